"""What a claim uses for anything random: seeded generators, the device, and decisions with a stated false-alarm bound.

A claim that asks for a `trial` argument gets one. Every decision a claim makes spends a share of the claim's alpha:
the i-th decision gets alpha / (i·(i + 1)), so any number of decisions spends at most alpha.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable
from dataclasses import replace

import torch

from assay.decide import intervals
from assay.decide.intervals import Interval
from assay.decide.sequential import Plan, above, around, decide, samples_for_student, samples_needed
from assay.errors import ClaimError
from assay.evidence import Evidence

ALPHA = 2e-8  # one execution of a claim; 5,000 executions stay within the run's bound of 1e-4
EFFECT = 0.05  # the paired effect is reported, not tested: its interval covers in 95 of 100 runs and spends nothing
STUDENT = "Student interval, widened for skewness"
MOST_SAMPLES = 1 << 23  # 64 MiB of float64: the memory that one decision may hold

Draw = Callable[[int, torch.Generator], torch.Tensor]
Pair = Callable[[int, torch.Generator], tuple[torch.Tensor, torch.Tensor]]


def seed_from(*parts: object) -> int:
    """A 63-bit seed from the text of `parts`: the same in every process, order and place."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Trial:
    """Seeded randomness on a device, and sequential decisions within a false-alarm budget."""

    def __init__(self, seed: int, device: torch.device | str = "cpu", alpha: float = ALPHA) -> None:
        self.seed, self.device, self.alpha = seed, torch.device(device), alpha
        self._decisions = 0

    def generator(self, *parts: object) -> torch.Generator:
        """A generator on the trial's device; the same `parts` give the same stream."""
        return torch.Generator(self.device).manual_seed(seed_from(self.seed, *parts))

    def normal(self, *shape: int, dtype: torch.dtype = torch.float64, stream: object = "normal") -> torch.Tensor:
        """Standard normal values of `shape`; name another `stream` for independent ones."""
        return torch.randn(shape, generator=self.generator(stream), dtype=dtype, device=self.device)

    def proportion(self, draw: Draw, claimed: float, *, detects: float, what: str, tolerance: float = 0.0) -> Evidence:
        """The probability of an event is `claimed`: `draw(n, g)` gives n independent yes-or-no outcomes (Clopper-Pearson)."""
        spread = math.sqrt(max(claimed * (1 - claimed), detects))
        sampler = _Sampler(draw, self._next_generator())
        return decide(
            lambda n, level: _share(sampler.first(n), level),
            around(claimed, detects, tolerance),
            self._plan(what, spread, detects, claimed, "Clopper-Pearson interval, exact"),
        )

    def often(self, draw: Draw, *, floor: float, detects: float, what: str, most: int = MOST_SAMPLES) -> Evidence:
        """The probability of an event exceeds `floor`; refuted unless it could be `floor + detects` (Clopper-Pearson)."""
        sampler = _Sampler(draw, self._next_generator())
        plan = self._plan(what, 0.5, detects, floor, "Clopper-Pearson interval, exact", most)
        return decide(lambda n, level: _share(sampler.first(n), level), above(floor, detects), plan)

    def variance(self, draw: Draw, claimed: float, *, detects: float, what: str) -> Evidence:
        """The variance of a Gaussian is `claimed` up to the relative effect `detects` (chi-square, exact)."""
        sampler = _Sampler(draw, self._next_generator())
        plan = self._plan(
            what, math.sqrt(2) * claimed, detects * claimed, claimed, "chi-square interval, exact for a Gaussian"
        )
        return decide(
            lambda n, level: intervals.gaussian_variance(sampler.first(n), level),
            around(claimed, detects * claimed),
            plan,
        )

    def mean(
        self,
        draw: Draw,
        claimed: float,
        *,
        detects: float,
        spread: float,
        what: str,
        bounds: Interval | None = None,
        tolerance: float = 0.0,
        most: int = MOST_SAMPLES,
    ) -> Evidence:
        """The mean is `claimed`, up to `tolerance`; `spread` is the expected standard deviation, used to plan n.

        With `bounds` the interval is exact for any distribution on them (empirical Bernstein); give them wherever there are any. Else
        it is Student's, widened for skewness. This is also the equivalence test: claimed=0, detects=margin, on paired differences
        (two one-sided tests in one interval).
        """
        sampler, student = _Sampler(draw, self._next_generator()), _student(spread, detects)

        def interval_after(n: int, level: float) -> Interval:
            sample = sampler.first(n)
            return intervals.bounded_mean(sample, bounds, level) if bounds else student(sample, level)

        why = "empirical Bernstein interval, exact on its bounds" if bounds else STUDENT
        plan = replace(self._plan(what, spread, detects - tolerance, claimed, why, most), detects=detects)
        return decide(interval_after, around(claimed, detects, tolerance), plan)

    def exceeds(
        self, draw: Draw, *, floor: float, detects: float, spread: float, what: str, most: int = MOST_SAMPLES
    ) -> Evidence:
        """The mean of unbounded values exceeds `floor`; refuted unless it could be `floor + detects` (Student)."""
        sampler, student = _Sampler(draw, self._next_generator()), _student(spread, detects)
        plan = self._plan(what, spread, detects, floor, STUDENT, most)
        return decide(lambda n, level: student(sampler.first(n), level), above(floor, detects), plan)

    def distribution(
        self, draw: Draw, cdf: Callable[[torch.Tensor], torch.Tensor], *, detects: float, what: str
    ) -> Evidence:
        """The distribution function is `cdf` up to a gap of `detects` anywhere (Dvoretzky-Kiefer-Wolfowitz, exact)."""
        sampler = _Sampler(draw, self._next_generator())

        def interval_after(n: int, level: float) -> Interval:
            ordered = sampler.first(n).sort().values
            return intervals.distribution_distance(ordered, cdf(ordered).to(torch.float64), level)

        return decide(interval_after, around(0.0, detects), self._plan(what, 0.5, detects, 0.0, "DKW band, exact"))

    def prefers(
        self, pair: Pair, *, margin: float = 0.0, detects: float = 0.25, what: str, most: int = 1024
    ) -> Evidence:
        """In paired runs the first beats the second: `pair(n, g)` gives two (n,) tensors of costs, lower is better.

        A run wins when first < second - margin. Holds when the win probability exceeds one half (sign test, exact); refuted unless it
        could be one half + `detects`. The paired effect is reported beside it, not tested.
        """
        effects: list[torch.Tensor] = []

        def wins(n: int, generator: torch.Generator) -> torch.Tensor:
            first, second = (side.detach().to("cpu", torch.float64) for side in pair(n, generator))
            effects.append(second - first)
            return torch.where((first + second).isnan(), torch.nan, (first < second - margin).to(torch.float64))

        sampler = _Sampler(wins, self._next_generator())
        plan = self._plan(what, 0.5, detects, 0.5, "sign test over paired runs, exact", most)
        plan = replace(plan, first=32, method="paired")
        evidence = decide(lambda n, level: _share(sampler.first(n), level), above(0.5, detects), plan)
        return _with_effect(evidence, torch.cat(effects))

    def _next_generator(self) -> torch.Generator:
        self._decisions += 1
        return self.generator("decision", self._decisions)

    def _plan(
        self, what: str, spread: float, detects: float, claimed: float, why: str, most: int = MOST_SAMPLES
    ) -> Plan:
        """First and last look follow from the spread, the detectable effect and this decision's share of alpha."""
        alpha = self.alpha / (self._decisions * (self._decisions + 1))
        needed = max(samples_needed(spread, detects, alpha), samples_for_student(alpha) if why == STUDENT else 0)
        if needed > MOST_SAMPLES:
            raise ClaimError(
                f"a decision needs too many samples: {needed}, expected at most {MOST_SAMPLES} ({what}); "
                "detect a larger effect or reduce the spread of a draw"
            )
        return Plan(what, why, claimed, detects, alpha, first=max(16, needed // 8), last=min(most, 4 * needed))


class _Sampler:
    """Draws only what is not drawn yet and keeps it, flat, in float64 on the CPU."""

    def __init__(self, draw: Draw, generator: torch.Generator) -> None:
        self._draw, self._generator = draw, generator
        self._kept = torch.empty(0, dtype=torch.float64)

    def first(self, n: int) -> torch.Tensor:
        missing = n - self._kept.numel()
        if missing > 0:
            values = self._draw(missing, self._generator).detach().to("cpu", torch.float64)
            if values.shape != (missing,):
                raise ClaimError(
                    f"a draw has the wrong shape: {tuple(values.shape)}, expected ({missing},); "
                    "return one independent value for each of the n requested"
                )
            self._kept = torch.cat([self._kept, values])
        return self._kept[:n]


def _student(spread: float, detects: float) -> Callable[[torch.Tensor, float], Interval]:
    """The interval of an unbounded mean; no standard deviation larger than what is expected and what must be seen is reckoned with."""
    return functools.partial(intervals.mean, most_spread=max(spread, detects))


def _share(events: torch.Tensor, level: float) -> Interval:
    if bool(events.isnan().any()):
        return math.nan, math.nan
    return intervals.proportion(int(events.sum()), events.numel(), level)


def _with_effect(evidence: Evidence, effects: torch.Tensor) -> Evidence:
    """Add the median paired effect and its interval to the detail of the only fact."""
    low, high = intervals.median(effects, EFFECT)
    evidence.facts[0].detail.update(effect=float(effects.median()), effect_low=low, effect_high=high)
    return evidence
