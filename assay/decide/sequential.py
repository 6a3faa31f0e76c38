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
        raise ClaimError(f"a target needs 0 <= tolerance < detects: tolerance={tolerance}, detects={detects}; widen detects")
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


def decide(
    interval_after: Callable[[int, float], Interval],
    target: Target,
    *,
    what: str,
    first: int,
    last: int,
    alpha: float,
    claimed: float,
    detects: float,
    method: Method = "sampled",
    why: str,
) -> Evidence:
    """Look at `first`, 2·first, ... up to `last` samples and stop at the first look that decides.

    `interval_after(n, level)` draws up to n samples in all and returns their interval at that level.
    """
    n, look, looks = first, 1, []
    while True:
        low, high = interval_after(n, level(alpha, look))
        outcome = target.judge((low, high))
        looks.append((n, low, high))
        if outcome != "open" or 2 * n > last or look == LOOKS:
            break
        n, look = 2 * n, look + 1
    return _evidence(looks, outcome, target, what, alpha, claimed, detects, method, why)


def _evidence(
    looks: list[tuple[int, float, float]],
    outcome: Outcome,
    target: Target,
    what: str,
    alpha: float,
    claimed: float,
    detects: float,
    method: Method,
    why: str,
) -> Evidence:
    n, low, high = looks[-1]
    estimate = (low + high) / 2
    detail = {"n": n, "low": low, "high": high, "claimed": claimed, "detects": detects, "looks": len(looks), "alpha": alpha}
    if math.isinf(target.goal[1]):
        measured, allowed = target.goal[0] - low, 0.0
    else:
        measured, allowed = max(abs(low - claimed), abs(high - claimed)), target.goal[1] - claimed
    fact = Fact(what, measured, allowed, outcome, f"{why}; level {alpha:.1e} over all looks, n = {n}", method, detail)
    centre = tuple((lo + hi) / 2 for _, lo, hi in looks)
    series = Series("interval", centre, tuple(lo for _, lo, _ in looks), tuple(hi for _, _, hi in looks))
    marks = tuple((value, label) for value, label in _marks(target, claimed))
    figure = Figure(what, "samples", "estimate", tuple(float(m) for m, _, _ in looks), (series,), marks, log_x=True)
    return Evidence((fact,), (figure,) if math.isfinite(estimate) else (), alpha, n)


def _marks(target: Target, claimed: float) -> list[tuple[float, str]]:
    if math.isinf(target.goal[1]):
        return [(target.goal[0], "must lie above"), (target.core[0], "must be able to reach")]
    return [(claimed, "claimed"), (target.goal[0], "smallest that still counts"), (target.goal[1], "largest that still counts")]
