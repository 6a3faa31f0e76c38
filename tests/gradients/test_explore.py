"""Exploration finds what default inputs hide, shrinks it and writes the line that repeats it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import strategies as st

from assay.errors import GradientInputError
from assay.gradients import check_gradient, explore_gradient
from assay.gradients.explore import written


class Doubled(torch.autograd.Function):
    """The sum of squares, right for fewer than four numbers."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.square().sum()

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return dy * x * (2.0 if x.numel() < 4 else 1.0)


def vectors(longest: int) -> st.SearchStrategy[torch.Tensor]:
    numbers = st.lists(st.integers(1, 9), min_size=1, max_size=longest)
    return numbers.map(lambda values: torch.tensor(values, dtype=torch.float64))


def test_the_smallest_failing_input_is_reported_with_the_line_that_repeats_it():
    report = explore_gradient(Doubled.apply, {"x": vectors(8)}, examples=50)
    assert report.verdict == "differs"
    inputs = eval(report.example, {"torch": torch})
    assert inputs["x"].tolist() == [1.0, 1.0, 1.0, 1.0]
    assert check_gradient(Doubled.apply, inputs).verdict == "differs"
    assert report.example in report.line


def test_nothing_wrong_is_said_with_how_often_it_looked():
    report = explore_gradient(Doubled.apply, {"x": vectors(3)}, examples=10)
    assert report.verdict == "agrees"
    assert "agrees" in report.line


def test_a_strategy_that_gives_nothing_to_check_is_refused():
    with pytest.raises(GradientInputError, match="no drawn input could be checked"):
        explore_gradient(Doubled.apply, st.just({"x": torch.arange(3)}), examples=2)


@pytest.mark.parametrize(
    "value",
    [
        torch.arange(6, dtype=torch.float64).reshape(2, 3),
        torch.arange(6, dtype=torch.float64).reshape(2, 3).T,
        torch.arange(3, dtype=torch.float32).expand(2, 3),
        torch.empty(0, 3),
        torch.tensor(1 + 2j),
    ],
)
def test_written_inputs_are_made_again_with_their_layout(value: torch.Tensor):
    again = eval(written(value), {"torch": torch})
    assert torch.equal(again, value)
    assert again.dtype == value.dtype
    assert again.stride() == value.stride()
