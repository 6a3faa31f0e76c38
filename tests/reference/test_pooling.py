"""Pooling: forward against torch, backward against derivatives, ties, borders, extremes, bad input."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from reference.pooling import average_pool2d, global_average_pool, max_pool2d
from subjects.torch_nn import pooling as by_torch
from tests.reference.protocol import Case, draw

X = draw(2, 3, 6, 5)
TIES = torch.tensor([[1.0, 7.0, 7.0, 0.0], [7.0, 7.0, 0.0, 2.0]], dtype=torch.float64)
SCALE = 3.5  # no mean exceeds the largest entry


def case(component: Any, x: torch.Tensor, **hyper: Any) -> Case:
    return Case(component, (x,), getattr(by_torch, component.name), hyper, scale=SCALE)


CASES = {
    "max": replace(case(max_pool2d, X, size=2), kinks=(TIES,)),
    "max of one map": case(max_pool2d, X[0, 0], size=(3, 2)),
    "max with overlap and border": case(max_pool2d, X - 5, size=3, stride=(1, 2), padding=1),
    "max with gaps": case(max_pool2d, X, size=(1, 2), stride=3),
    "mean": case(average_pool2d, X, size=2),
    "mean with overlap and border": case(average_pool2d, X, size=3, stride=(2, 1), padding=1),
    "mean of the map only": case(average_pool2d, X, size=3, stride=2, padding=(1, 0), count_padding=False),
    "mean with gaps": case(average_pool2d, X, size=(2, 1), stride=3),
    "global mean": case(global_average_pool, X),
    "global mean of one map": case(global_average_pool, X[0, 0]),
}


def test_of_tied_values_the_first_takes_the_whole_gradient() -> None:
    x = torch.tensor([[1.0, 7.0, 7.0, 0.0], [7.0, 7.0, 0.0, 0.0]], requires_grad=True)
    (dx,) = torch.autograd.grad(max_pool2d(x, size=2).sum(), x)
    assert dx.tolist() == [[0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("values", [2, 3])
def test_ties_agree_with_torch(values: int) -> None:
    x = torch.randint(values, (3, 6, 6), generator=torch.Generator().manual_seed(0)).to(torch.float64)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    settings = {"size": 3, "stride": 1, "padding": 1}
    (mine,) = torch.autograd.grad(max_pool2d(ours, **settings).sum(), ours)
    (other,) = torch.autograd.grad(by_torch.max_pool2d(theirs, **settings).sum(), theirs)
    assert torch.equal(mine, other)


def test_a_border_never_wins() -> None:
    x = torch.full((3, 3), -torch.inf, requires_grad=True)
    y = max_pool2d(x, size=2, padding=1)
    assert bool((y == -torch.inf).all())
    (dx,) = torch.autograd.grad(y, x, torch.ones(2, 2))
    assert float(dx.sum()) == 4.0


def test_nan_and_infinity_win() -> None:
    x = torch.tensor([[1.0, math.nan, 3.0, torch.inf]])
    y = max_pool2d(x, size=(1, 2))
    assert bool(y[0, 0].isnan())
    assert float(y[0, 1]) == torch.inf


def test_large_values_do_not_overflow_in_a_maximum() -> None:
    x = torch.tensor([[1e308, 9e307], [-1e308, -9e307]], dtype=torch.float64)
    assert max_pool2d(x, size=2).tolist() == [[1e308]]


@pytest.mark.parametrize("pool", [max_pool2d, average_pool2d])
def test_an_empty_batch_stays_empty(pool: Any) -> None:
    assert pool(torch.empty(0, 4, 4), size=2).shape == (0, 2, 2)


def test_replicas_under_vmap_are_the_single_ones() -> None:
    x = draw(4, 2, 4, 4).mul(4).round()  # whole numbers: sums and quarters of them are exact
    for pool in (max_pool2d, average_pool2d):
        slope = torch.func.grad(lambda x, pool=pool: pool(x, size=2, stride=1, padding=1).square().sum())
        assert torch.equal(torch.func.vmap(slope)(x), torch.stack([slope(one) for one in x]))


BAD = {
    "a vector": (lambda: max_pool2d(draw(4), size=2), "expected floating-point maps"),
    "integers": (lambda: average_pool2d(X.long(), size=2), "expected floating-point maps"),
    "size 0": (lambda: max_pool2d(X, size=0), "size"),
    "three sizes": (lambda: max_pool2d(X, size=(2, 2, 2)), "size"),
    "stride 0": (lambda: average_pool2d(X, size=2, stride=0), "stride"),
    "negative padding": (lambda: max_pool2d(X, size=2, padding=-1), "padding"),
    "more padding than half the window": (lambda: max_pool2d(X, size=2, padding=2), "pads too much"),
    "a window larger than the map": (lambda: average_pool2d(X, size=7), "larger than the padded input"),
    "a mean of a vector": (lambda: global_average_pool(draw(4)), "no map"),
    "a mean of nothing": (lambda: global_average_pool(torch.empty(2, 0, 3)), "no map"),
    "a mean of integers": (lambda: global_average_pool(X.long()), "integers"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name: str) -> None:
    call, words = BAD[name]
    with pytest.raises(ValueError, match=words):
        call()
