"""Facts: each comparison is shown to hold, to fail by the right amount, and to be invalid on NaN."""

import math

import pytest
import torch

from assay import evidence as ev
from assay.errors import ClaimError

NAN = torch.tensor([1.0, math.nan])


def only(evidence: ev.Evidence) -> ev.Fact:
    (fact,) = evidence.facts
    return fact


@pytest.mark.parametrize(
    ("made", "outcome", "measured"),
    [
        (ev.at_least(torch.tensor([0.0, 2.0]), 0, what="w"), "holds", 0.0),
        (ev.at_least(torch.tensor([-0.25, 2.0]), 0, what="w"), "fails", 0.25),
        (ev.at_most(torch.tensor([1.5]), 1, what="w"), "fails", 0.5),
        (ev.between(torch.tensor([0.5, 1.25]), 0, 1, what="w"), "fails", 0.25),
        (ev.equal((3, 4), (3, 4), what="w"), "holds", 0.0),
        (ev.equal((3, 4), (4, 3), what="w"), "fails", 1.0),
        (ev.equal(torch.tensor([1, 2, 3]), torch.tensor([1, 0, 0]), what="w"), "fails", 2.0),
        (ev.within(torch.tensor([1.0]), 1.5, 0.5, what="w", why="y"), "holds", 0.5),
        (ev.within(torch.tensor([1.0]), 1.75, 0.5, what="w", why="y"), "fails", 0.75),
        (ev.differs(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.5]), by=0.5, what="w"), "holds", 0.0),
        (ev.differs(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.0]), by=0.5, what="w"), "fails", 0.5),
        (ev.diverges(torch.tensor([1e9, math.inf, math.nan]), beyond=1e6, what="w"), "holds", 1e6 - 1e9),
        (ev.diverges(torch.tensor([1.0, math.inf]), beyond=10, what="w"), "fails", 9.0),
        (ev.true(False, what="w"), "fails", 1.0),
    ],
)
def test_a_comparison_measures_by_how_much(made: ev.Evidence, outcome: str, measured: float) -> None:
    assert (only(made).outcome, only(made).measured) == (outcome, measured)


@pytest.mark.parametrize(
    "made",
    [
        ev.at_least(NAN, 0, what="w"),
        ev.at_most(NAN, 5, what="w"),
        ev.between(NAN, 0, 5, what="w"),
        ev.equal(NAN, NAN, what="w"),
        ev.within(NAN, 1.0, 5.0, what="w", why="y"),
        ev.close(NAN, torch.ones(2), operations=1, what="w"),
        ev.differs(NAN, torch.zeros(2), by=0.1, what="w"),
        ev.fact("w", math.nan, 1.0),
        ev.close(torch.ones(2), torch.ones(3), operations=1, what="w"),
        ev.at_least(torch.empty(0), 0, what="w"),
    ],
)
def test_nan_wrong_shape_and_nothing_are_invalid_never_a_verdict(made: ev.Evidence) -> None:
    assert made.outcome == "invalid"


def test_close_allows_the_stated_roundings_and_not_one_more() -> None:
    u = 2.0**-53
    assert ev.close(torch.tensor([1 + 2 * u], dtype=torch.float64), 1.0, operations=2, what="w").outcome == "holds"
    assert ev.close(torch.tensor([1 + 8 * u], dtype=torch.float64), 1.0, operations=2, what="w").outcome == "fails"


def test_close_uses_the_dtype_of_the_actual_value() -> None:
    third = torch.tensor([1 / 3], dtype=torch.float32)
    assert ev.close(third, 1 / 3, operations=1, what="w").outcome == "holds"
    assert ev.close(third.double(), 1 / 3, operations=1, what="w").outcome == "fails"


def test_close_scale_covers_cancellation() -> None:
    terms = torch.tensor([1e16, 1.0, -1e16], dtype=torch.float64)
    total = (terms[0] + terms[1]) + terms[2]
    assert ev.close(total, 1.0, operations=2, what="w").outcome == "fails"
    assert ev.close(total, 1.0, operations=2, scale=terms.abs().sum(), what="w").outcome == "holds"


def test_gamma_is_highams() -> None:
    assert ev.gamma(10, torch.float64) == pytest.approx(10 * 2.0**-53, rel=1e-14)
    assert math.isinf(ev.gamma(1e9, torch.bfloat16))


def test_the_most_severe_outcome_wins() -> None:
    good, bad, unknown = ev.true(True, what="a"), ev.true(False, what="b"), ev.fact("c", math.nan, 0)
    assert [(good & good).outcome, (good & bad).outcome, (bad & unknown).outcome] == ["holds", "fails", "invalid"]


def test_evidence_has_no_truth_value() -> None:
    with pytest.raises(ClaimError, match="join facts with '&'"):
        bool(ev.true(True, what="w"))


def test_all_of_nothing_is_refused() -> None:
    with pytest.raises(ClaimError, match="at least one fact"):
        ev.all_of([])


def test_rejects_needs_a_refusal() -> None:
    def refuse() -> None:
        raise ValueError("no")

    assert ev.rejects(refuse, what="w").outcome == "holds"
    assert ev.rejects(lambda: None, what="w").outcome == "fails"
    with pytest.raises(KeyError):
        ev.rejects(lambda: {}["x"], what="w")
