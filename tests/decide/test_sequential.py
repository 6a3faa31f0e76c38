"""The one rule for sampled claims: error rates, power, and what it says when it cannot decide."""

import math
from typing import Any

import pytest
import torch
from scipy import stats

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
    """Why the looks are paid for: the same interval at a fixed level, looked at as often, misses more than alpha by over five
    standard errors of the rate."""
    missed = 0
    for run in range(400):
        sample = torch.randn(4096, generator=torch.Generator().manual_seed(run), dtype=torch.float64)
        looks = [intervals.mean(sample[:n], LOOSE, most_spread=1.0) for n in range(16, 4097, 64)]
        missed += any(low > 0 or high < 0 for low, high in looks)
    assert missed / 400 > LOOSE + 5 * math.sqrt(LOOSE * (1 - LOOSE) / 400)


def test_skewed_values_are_missed_no_oftener_than_said_where_plain_students_t_does() -> None:
    """2,500 samples of 64 squares of Gaussians, skewness 2.8: a rate of 1 % may show up to 5 standard errors, 1 %, above itself."""
    n, runs, alpha = 64, 2500, 0.01
    samples = torch.randn(runs, n, generator=torch.Generator().manual_seed(4), dtype=torch.float64).square()
    ends = [intervals.mean(sample, alpha, most_spread=1.0) for sample in samples]
    plain = float(stats.t.isf(alpha / 2, n - 1)) * samples.std(1) / math.sqrt(n)
    assert sum(not low <= 1 <= high for low, high in ends) / runs <= alpha
    assert float(((samples.mean(1) - 1).abs() > plain).double().mean()) > alpha + 5 * math.sqrt(alpha / runs)


def test_values_all_alike_leave_room_for_those_not_seen() -> None:
    """All but a share q of the law at zero, the rest where the standard deviation is 1: no interval may leave that mean out while
    64 zeros in a row are likelier than alpha."""
    low, high = intervals.mean(torch.zeros(64, dtype=torch.float64), 0.01, most_spread=1.0)
    q = 1 - 0.01 ** (1 / 64)
    assert high == -low > math.sqrt(q / (1 - q))


@pytest.mark.parametrize("seed", range(10))
def test_a_seldom_failure_does_not_pass_for_never(seed: int) -> None:
    """One failure in twenty: 16 draws without any are likelier than not to occur in a few runs, and are not evidence of a mean of one."""
    right = coin(0.95)
    evidence = Trial(seed).mean(lambda n, g: right(n, g).double(), 1.0, detects=0.05, spread=0.22, what="w", most=512)
    assert evidence.outcome in ("fails", "open")


def test_without_skewness_the_interval_is_students() -> None:
    """Half of alpha, on two sides."""
    sample = torch.tensor([-1.0, 1.0], dtype=torch.float64).repeat(32)
    half = float(stats.t.isf(0.0025, 63)) * float(sample.std()) / 8
    assert intervals.mean(sample, 0.01, most_spread=1.0) == pytest.approx((-half, half))


def test_the_medians_interval_covers_as_often_as_it_says() -> None:
    """2,000 samples of 40 exponentials: the exact rate for these order statistics is 3.8 %, below the 5 % asked for."""
    g = torch.Generator().manual_seed(5)
    samples = torch.empty(RUNS, 40, dtype=torch.float64).exponential_(generator=g)
    missed = sum(
        not low <= math.log(2) <= high for low, high in (intervals.median(sample, LOOSE) for sample in samples)
    )
    assert 0 < missed / RUNS <= LOOSE
    assert intervals.median(samples[0, :4], LOOSE) == (-math.inf, math.inf)


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
