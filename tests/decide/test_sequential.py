"""The one rule for sampled claims: error rates, power, and what it says when it cannot decide."""

import math
from typing import Any

import pytest
import torch

from assay.decide import intervals
from assay.decide.sequential import LOOKS, above, around, level, samples_needed
from assay.decide.trial import ALPHA, Trial, seed_from
from assay.errors import ClaimError

RUNS, LOOSE = 2000, 0.05


def coin(p: float) -> Any:
    return lambda n, g: torch.rand(n, generator=g, dtype=torch.float64) < p


def gauss(mean: float = 0.0, sd: float = 1.0) -> Any:
    return lambda n, g: mean + sd * torch.randn(n, generator=g, dtype=torch.float64)


def uniform(n: int, g: torch.Generator) -> torch.Tensor:
    return torch.rand(n, generator=g, dtype=torch.float64)


METHODS = {
    "proportion": lambda t: t.proportion(coin(0.3), 0.3, detects=0.2, what="w"),
    "variance": lambda t: t.variance(gauss(sd=2.0), 4.0, detects=0.5, what="w"),
    "mean": lambda t: t.mean(gauss(1.0), 1.0, detects=0.5, spread=1.0, what="w"),
    "bounded mean": lambda t: t.mean(uniform, 0.5, detects=0.2, spread=0.29, bounds=(0.0, 1.0), what="w"),
    "distribution": lambda t: t.distribution(uniform, lambda x: x, detects=0.2, what="w"),
    "often": lambda t: t.often(coin(0.75), floor=0.5, detects=0.25, what="w"),
    "exceeds": lambda t: t.exceeds(gauss(1.0), floor=0.0, detects=1.0, spread=1.0, what="w"),
    "prefers": lambda t: t.prefers(
        lambda n, g: (torch.rand(n, generator=g) - 0.25, torch.rand(n, generator=g)), what="w"
    ),
}


@pytest.mark.parametrize("name", METHODS)
def test_false_alarms_stay_below_their_bound(name: str) -> None:
    """With the truth in place, 2,000 runs at alpha 0.05 refute at most 5 % of the time, plus five standard errors of that rate."""
    wrong = sum(METHODS[name](Trial(seed_from(name, run), alpha=LOOSE)).outcome == "fails" for run in range(RUNS))
    assert wrong / RUNS <= LOOSE + 5 * math.sqrt(LOOSE * (1 - LOOSE) / RUNS)


WRONG = {
    "proportion": lambda t: t.proportion(coin(0.31), 0.3, detects=0.01, what="w"),
    "variance": lambda t: t.variance(gauss(sd=math.sqrt(1.05)), 1.0, detects=0.05, what="w"),
    "mean": lambda t: t.mean(gauss(0.1), 0.0, detects=0.1, spread=1.0, what="w"),
    "bounded mean": lambda t: t.mean(uniform, 0.47, detects=0.03, spread=0.29, bounds=(0.0, 1.0), what="w"),
    "distribution": lambda t: t.distribution(uniform, lambda x: (x + 0.05).clamp(max=1), detects=0.05, what="w"),
    "often": lambda t: t.often(coin(0.5), floor=0.5, detects=0.25, what="w"),
    "prefers": lambda t: t.prefers(lambda n, g: (torch.rand(n, generator=g), torch.rand(n, generator=g)), what="w"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_deviation_of_exactly_the_detectable_size_never_holds(name: str) -> None:
    outcomes = {WRONG[name](Trial(seed_from("wrong", name, run))).outcome for run in range(5)}
    assert outcomes <= {"fails", "open"}
    assert "fails" in outcomes


@pytest.mark.parametrize("name", METHODS)
def test_at_the_runs_own_level_the_truth_is_confirmed(name: str) -> None:
    assert {METHODS[name](Trial(seed_from("right", name, run))).outcome for run in range(5)} == {"holds"}


def test_not_enough_samples_is_open_not_a_verdict() -> None:
    evidence = Trial(1).mean(gauss(), 0.0, detects=1e-1, spread=1.0, what="w", most=64)
    assert evidence.outcome == "open"
    assert evidence.facts[0].detail["detects"] == 0.1


def test_nan_is_invalid() -> None:
    evidence = Trial(1).mean(lambda n, g: torch.full((n,), math.nan), 0.0, detects=0.1, spread=1.0, what="w")
    assert evidence.outcome == "invalid"
    assert Trial(1).prefers(lambda n, g: (torch.full((n,), math.nan), torch.zeros(n)), what="w").outcome == "invalid"


def test_the_levels_of_all_looks_sum_to_less_than_alpha() -> None:
    assert sum(level(0.01, look) for look in range(1, LOOKS + 1)) < 0.01


def test_decisions_of_one_claim_share_its_alpha() -> None:
    trial = Trial(3)
    spent = sum(trial.proportion(coin(0.3), 0.3, detects=0.2, what="w").false_alarm for _ in range(20))
    assert spent < ALPHA


def test_a_peeking_z_test_would_raise_far_more_false_alarms() -> None:
    """Why the looks are paid for: the same interval at a fixed level, looked at as often, misses much more than alpha."""
    missed = 0
    for run in range(400):
        sample = torch.randn(4096, generator=torch.Generator().manual_seed(run), dtype=torch.float64)
        looks = [intervals.mean(sample[:n], LOOSE) for n in range(16, 4097, 64)]
        missed += any(low > 0 or high < 0 for low, high in looks)
    assert missed / 400 > 4 * LOOSE


def test_samples_follow_from_spread_effect_and_level() -> None:
    assert samples_needed(2.0, 0.1, 1e-6) == pytest.approx(4 * samples_needed(1.0, 0.1, 1e-6), rel=1e-3)
    assert samples_needed(1.0, 0.05, 1e-6) == pytest.approx(4 * samples_needed(1.0, 0.1, 1e-6), rel=1e-3)


def test_a_draw_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ClaimError, match="one independent value for each"):
        Trial(1).mean(lambda n, g: torch.zeros(3), 0.0, detects=0.1, spread=1.0, what="w")


@pytest.mark.parametrize("make", [lambda: around(0.0, 0.1, 0.2), lambda: above(0.0, 0.0)])
def test_a_target_that_cannot_be_missed_is_refused(make: Any) -> None:
    with pytest.raises(ClaimError):
        make()
