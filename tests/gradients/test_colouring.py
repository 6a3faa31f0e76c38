"""Columns measured together: the groups are right, save work, and a gradient that lies about its zeros cannot hide in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from assay.gradients import check_gradient, colouring
from assay.gradients import compare as comparing
from assay.gradients.examination import Examination
from assay.gradients.table import WRONG, Table
from assay.gradients.target import resolve


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def grouped(table: np.ndarray) -> colouring.Grouping | None:
    return colouring.grouping(table, np.ones(table.shape[1]), torch.Generator().manual_seed(0))


def measured(fn: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Table, int]:
    """The table of every entry, and how often the function was evaluated."""
    check = Examination(resolve(fn, {"x": x}), 0)
    check.compare(True)
    assert check.comparison is not None
    return check.comparison.tables[0], check.sampler.forwards


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(4, 60), st.floats(0.0, 0.1))
def test_no_two_columns_of_a_group_share_a_row(seed: int, rows: int, columns: int, share: float) -> None:
    draws = np.random.default_rng(seed)
    table = draws.normal(size=(rows, columns)) * (draws.random((rows, columns)) < share)
    found = grouped(table)
    if found is None:
        assert colouring.WORTH * max(1, (table != 0).sum(1).max()) > columns // 2
        return
    assert found.count * colouring.WORTH <= columns
    for group in range(found.count):
        assert ((table[:, found.label == group] != 0).sum(1) <= 1).all()
    directions = found.directions(np.arange(found.count))
    np.testing.assert_allclose(found.compressed(table), table @ directions.T, rtol=1e-12)


@pytest.mark.parametrize(
    ("table", "count"),
    [
        (np.eye(40), 1),
        (np.kron(np.eye(10), np.ones((3, 2))), 2),
        (np.ones((5, 40)), None),
        (np.zeros((5, 40)), 1),
        (np.eye(3), None),
    ],
    ids=["elementwise", "blocks", "dense", "nothing", "too small"],
)
def test_the_number_of_groups(table: np.ndarray, count: int | None) -> None:
    found = grouped(table)
    assert (None if found is None else found.count) == count


def test_a_pattern_without_structure_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.random.default_rng(0)
    table = (draws.random((200, 300)) < 0.05).astype(float)
    assert grouped(table) is not None
    monkeypatch.setattr(colouring, "TRIES", 0)
    assert grouped(table) is None


def test_groups_take_few_evaluations_and_their_bars_hold_the_truth() -> None:
    x = torch.linspace(-2, 2, 500, dtype=torch.float64)
    table, forwards = measured(torch.tanh, x)
    assert table.pending is not None
    assert forwards < 100
    worst, widest = table.worst(), table.widest
    assert worst is not None
    single = table.entry(*worst)
    truth = np.diag(1 - np.tanh(x.numpy()) ** 2)
    assert (np.abs(table.measured - truth) <= table.bar).mean() >= 0.999
    assert table.pending is None
    assert widest == pytest.approx(float(table.bar.max()))
    assert single == pytest.approx(table.entry(*worst))


def candidate(forward: Callable[[Tensor], Tensor], gradient: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """`forward`, whose backward multiplies the cotangent by `gradient(x)` entry by entry."""

    class Candidate(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return forward(x)

        @staticmethod
        def backward(ctx: Any, dy: Tensor) -> Tensor:
            return dy * gradient(*ctx.saved_tensors)

    return Candidate.apply  # type: ignore[no-any-return]


X = torch.linspace(-1.0, 1.3, 64, dtype=torch.float64)
OFF = 1e-5
# A neighbour reaches each output; the gradient says that none does, and lays that share on the entry itself: a sum of equal moves agrees.
HIDDEN = candidate(lambda x: x.sin() + OFF * x.roll(1), lambda x: x.cos() + OFF)


def test_what_the_gradient_calls_zero_cannot_hide_even_where_errors_cancel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "outcome", lambda *_: "agrees")  # the screen is silenced: the table stands alone
    table, _ = measured(HIDDEN, X)
    hit = table.status == WRONG
    itself = np.eye(64, dtype=bool)
    assert (hit == (itself | np.roll(itself, -1, 1))).all()
    assert check_gradient(HIDDEN, {"x": X}, entries="all", variations=False).verdict == "differs"
    monkeypatch.setattr(colouring, "signs", lambda count, _: torch.ones(count, dtype=torch.float64))
    assert (
        check_gradient(HIDDEN, {"x": X}, entries="all", variations=False).verdict == "agrees"
    )  # equal moves are blind


def test_an_output_that_no_column_should_reach_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "outcome", lambda *_: "agrees")
    mask = (torch.arange(64) != 17).double()
    table, _ = measured(candidate(torch.sin, lambda x: x.cos() * mask), X)
    assert np.argwhere(table.status == WRONG).tolist() == [[17, 17]]


def test_only_groups_that_disagree_are_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "outcome", lambda *_: "agrees")
    weights = torch.ones(8, 8, dtype=torch.float64)
    right, forwards = measured(lambda x: (x.reshape(8, 8) @ weights).sin().reshape(-1), X)
    assert right.groups is not None
    assert not right.status.any()
    kinked, more = measured(lambda x: torch.relu(x.reshape(8, 8) - X[9]) @ weights, X)
    assert (kinked.status != 0).sum() == 8
    assert forwards < more
