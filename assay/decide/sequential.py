"""One rule for everything that is sampled.

Samples are drawn on doubling looks n0, 2·n0, 4·n0, ... At look k an interval valid at level alpha / (k·(k + 1)) is built; these levels
sum to alpha, so by the union bound the probability that any of the intervals misses the truth is at most alpha at
whatever look the test stops. `holds` when the interval lies inside the target's goal, `refuted` (here: fails) when it lies wholly
outside the target's core; neither by the last look: open. Goal contains core, so for a truth in the core "fails", and for a truth
outside the goal "holds", each has probability at most alpha. Between the two either answer is allowed: the gap is what the test does not claim to see.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import stats

from assay.decide.intervals import Interval
from assay.errors import ClaimError
from assay.evidence import Evidence, Fact, Figure, Method, Outcome, Series

LOOKS = 12


@dataclass(frozen=True)
class Target:
    """Where the true value is claimed to lie: `core` is what is claimed, `goal` is the core widened by the detectable effect."""

    core: Interval
    goal: Interval

    def judge(self, interval: Interval) -> Outcome:
        low, high = interval
        if math.isnan(low) or math.isnan(high):
            return "invalid"
        if self.goal[0] < low and high < self.goal[1]:
            return "holds"
        if high < self.core[0] or low > self.core[1]:
            return "fails"
        return "open"


def around(claimed: float, detects: float, tolerance: float = 0.0) -> Target:
    """The value equals `claimed` up to `tolerance`; a deviation of `detects` or more is refuted. An equivalence test."""
    if not 0 <= tolerance < detects:
        raise ClaimError(
            f"a target needs 0 <= tolerance < detects: tolerance={tolerance}, detects={detects}; widen detects"
        )
    return Target((claimed - tolerance, claimed + tolerance), (claimed - detects, claimed + detects))


def above(floor: float, detects: float) -> Target:
    """The value exceeds `floor`; it is refuted unless it could reach `floor + detects`."""
    if detects <= 0:
        raise ClaimError(f"a target needs detects > 0: {detects}; say which effect the claim must be able to see")
    return Target((floor + detects, math.inf), (floor, math.inf))


def level(alpha: float, look: int) -> float:
    """The share of alpha spent at look 1, 2, ...: alpha / (look·(look + 1)), which sums to alpha over all looks."""
    return alpha / (look * (look + 1))


def samples_needed(spread: float, detects: float, alpha: float) -> int:
    """n such that a normal interval of half width z·spread/√n fits twice into `detects`: once for the estimate, once for the interval."""
    z = float(stats.norm.isf(level(alpha, LOOKS) / 2))
    return max(16, math.ceil((2 * z * spread / detects) ** 2))


def samples_for_student(alpha: float) -> int:
    """n from which even a Gaussian sample's chance skewness, √(6/n), changes a tail by no more than exp(z³·√(6/n) / (3·√n)) = e."""
    z = float(stats.norm.isf(level(alpha, LOOKS) / 2))
    return math.ceil(z**3 * math.sqrt(6) / 3)


@dataclass(frozen=True)
class Plan:
    """What one decision is about and what it may spend: looks at `first`, 2·first, ... up to `last` samples, level `alpha` in all."""

    what: str
    why: str
    claimed: float
    detects: float
    alpha: float
    first: int
    last: int
    method: Method = "sampled"


Look = tuple[int, float, float]  # samples, low, high


def decide(interval_after: Callable[[int, float], Interval], target: Target, plan: Plan) -> Evidence:
    """Stop at the first look that decides; `interval_after(n, level)` gives the interval of the first n samples at that level."""
    n, looks = plan.first, list[Look]()
    while True:
        low, high = interval_after(n, level(plan.alpha, len(looks) + 1))
        outcome = target.judge((low, high))
        looks.append((n, low, high))
        if outcome != "open" or 2 * n > plan.last or len(looks) == LOOKS:
            return _evidence(looks, outcome, target, plan)
        n *= 2


def _evidence(looks: list[Look], outcome: Outcome, target: Target, plan: Plan) -> Evidence:
    n, low, high = looks[-1]
    detail = {
        "n": n, "low": low, "high": high, "claimed": plan.claimed, "detects": plan.detects, "looks": len(looks), "alpha": plan.alpha,
    }  # fmt: skip
    if math.isinf(target.goal[1]):
        measured, allowed = target.goal[0] - low, 0.0
    else:
        measured, allowed = max(abs(low - plan.claimed), abs(high - plan.claimed)), target.goal[1] - plan.claimed
    why = f"{plan.why}; level {plan.alpha:.1e} over all looks, n = {n}"
    fact = Fact(plan.what, measured, allowed, outcome, why, plan.method, detail)
    figures = (_figure(looks, target, plan),) if math.isfinite(low + high) else ()
    return Evidence((fact,), figures, plan.alpha, n)


def _figure(looks: list[Look], target: Target, plan: Plan) -> Figure:
    """The interval at each look, against what it must lie within."""
    centre = tuple((low + high) / 2 for _, low, high in looks)
    series = Series("estimate", centre, tuple(low for _, low, _ in looks), tuple(high for _, _, high in looks))
    x = tuple(float(n) for n, _, _ in looks)
    paired = plan.method == "paired"
    x_label, y_label = ("paired runs", "share of paired runs") if paired else ("samples", plan.what)
    return Figure(plan.what, x_label, y_label, x, (series,), tuple(_marks(target, plan.claimed)), log_x=True)


def _marks(target: Target, claimed: float) -> list[tuple[float, str]]:
    if math.isinf(target.goal[1]):
        return [(target.goal[0], "must lie above"), (target.core[0], "refuted if it cannot reach")]
    low, high = target.goal
    return [(claimed, "claimed"), (low, "smallest that still counts"), (high, "largest that still counts")]
