"""Activations: forward against torch and mpmath, backward against the derivative, kinks, ties, extremes, bad input."""

from __future__ import annotations

import math

import mpmath
import pytest
import torch
from torch.nn import functional

from assay.evidence import gamma
from reference import activations
from tests.reference.protocol import Case, draw

Z = 2 * draw(3, 4)


def fires(z: torch.Tensor) -> torch.Tensor:
    return torch.heaviside(z.detach(), torch.ones_like(z)) + 0 * z  # for torch alone there is no gradient to ask for


KINKS = (torch.tensor([[-2.0, 0.0, 1.0], [-1.0, 0.5, 0.0]], dtype=torch.float64),)
TIES = (torch.tensor([[2.0, 5.0, 5.0], [1.0, 1.0, 1.0], [0.0, 3.0, -1.0]], dtype=torch.float64),)

# |z| < 8 here, and an exponential turns a rounding of its argument into at most 8 roundings of its value; a dozen
# operations more are room for sums over four entries and the quotients.
ROUNDINGS = 20
CASES = {
    "heaviside": Case(activations.heaviside, (Z,), fires, roundings=ROUNDINGS),
    "linear": Case(activations.linear, (Z,), lambda z, slope: slope * z, {"slope": -0.7}, roundings=ROUNDINGS),
    "sigmoid": Case(activations.sigmoid, (Z,), torch.sigmoid, roundings=ROUNDINGS),
    "tanh": Case(activations.tanh, (Z,), torch.tanh, roundings=ROUNDINGS),
    "softsign": Case(activations.softsign, (Z,), functional.softsign, roundings=ROUNDINGS),
    "relu": Case(activations.relu, (Z,), functional.relu, roundings=ROUNDINGS, kinks=KINKS),
    "leaky_relu": Case(
        activations.leaky_relu,
        (Z,),
        lambda z, slope: functional.leaky_relu(z, slope),
        {"slope": 0.3},
        roundings=ROUNDINGS,
        kinks=KINKS,
    ),
    "elu": Case(
        activations.elu,
        (Z,),
        lambda z, alpha: functional.elu(z, alpha),
        {"alpha": 0.7},
        roundings=ROUNDINGS,
        kinks=KINKS,
    ),
    "hardtanh": Case(activations.hardtanh, (Z,), functional.hardtanh, roundings=ROUNDINGS, kinks=KINKS),
    "softmax": Case(activations.softmax, (Z,), lambda z: functional.softmax(z, -1), roundings=ROUNDINGS),
    "softmax over rows": Case(
        activations.softmax, (Z,), lambda z, dim: functional.softmax(z, dim), {"dim": 0}, roundings=ROUNDINGS
    ),
    "log_softmax": Case(
        activations.log_softmax, (Z,), lambda z: functional.log_softmax(z, -1), scale=10, roundings=ROUNDINGS
    ),
    "maxout": Case(activations.maxout, (Z,), lambda z: z.max(-1).values, roundings=ROUNDINGS, kinks=TIES),
    "maxout over rows": Case(
        activations.maxout, (Z,), lambda z, dim: z.max(dim).values, {"dim": 0}, roundings=ROUNDINGS
    ),
}


EXTREMES = [-700.0, -40.0, -1.0, -1e-8, 1e-300, 1e-8, 0.5, 40.0, 700.0]
EXACT = {
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "tanh": mpmath.tanh,
    "softsign": lambda z: z / (1 + abs(z)),
    "elu": lambda z: z if z > 0 else mpmath.expm1(z),
}


@pytest.mark.parametrize("z", EXTREMES)
@pytest.mark.parametrize("name", EXACT)
def test_extremes_keep_their_relative_accuracy(name: str, z: float) -> None:
    with mpmath.workdps(60):
        exact = EXACT[name](mpmath.mpf(z))
        y = getattr(activations, name)(torch.tensor(z, dtype=torch.float64))
        error = abs(mpmath.mpf(float(y)) - exact)
        assert error <= gamma(8, torch.float64) * abs(exact)  # at most eight correctly rounded steps


@pytest.mark.parametrize("name", [n for n in activations.__all__ if n != "maxout"])
def test_finite_where_the_mathematics_is_finite(name: str) -> None:
    z = torch.tensor([-1e300, -800.0, -0.0, 0.0, 800.0, 1e300], dtype=torch.float64, requires_grad=True)
    y = getattr(activations, name)(z)
    (dz,) = torch.autograd.grad(y, z, torch.ones_like(y))
    assert bool(y.detach()[1:-1].isfinite().all())
    assert bool(dz[1:-1].isfinite().all())
    if name != "log_softmax":
        assert bool(y.detach().isfinite().all())


@pytest.mark.parametrize("name", [n for n in activations.__all__ if "max" not in n])
def test_nan_stays_nan(name: str) -> None:
    assert bool(getattr(activations, name)(torch.tensor([math.nan])).isnan())


@pytest.mark.parametrize("name", [n for n in activations.__all__ if "max" not in n])
def test_empty_batches_stay_empty(name: str) -> None:
    assert getattr(activations, name)(torch.empty(0, 3)).shape == (0, 3)


SLOPE_AT_KINK = {"relu": (0.0, 0.0), "leaky_relu": (0.0, 0.01), "elu": (0.0, 1.0), "hardtanh": (1.0, 0.0)}


@pytest.mark.parametrize("name", SLOPE_AT_KINK)
def test_slope_at_the_kink_is_the_documented_one(name: str) -> None:
    at, slope = SLOPE_AT_KINK[name]
    z = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    (dz,) = torch.autograd.grad(getattr(activations, name)(z), z)
    assert float(dz) == slope


def test_heaviside_fires_from_zero_on_and_has_no_slope() -> None:
    z = torch.tensor([-2.0, 0.0, 3.0], dtype=torch.float64, requires_grad=True)
    y = activations.heaviside(z)
    assert y.tolist() == [0.0, 1.0, 1.0]
    assert activations.heaviside(z, at_zero=0.5).tolist() == [0.0, 0.5, 1.0]
    assert torch.autograd.grad(y.sum(), z)[0].tolist() == [0.0, 0.0, 0.0]


def test_heaviside_answers_a_wrong_slope() -> None:
    dy = draw(3)
    assert bool((activations.heaviside.backward((draw(3),), dy)[0] == 0).all())
    assert not bool((activations.linear.backward((), dy)[0] == 0).all())


def test_a_tie_in_maxout_goes_to_the_first_piece() -> None:
    z = torch.tensor([[2.0, 5.0, 5.0], [1.0, 1.0, 1.0]], dtype=torch.float64, requires_grad=True)
    (dz,) = torch.autograd.grad(activations.maxout(z).sum(), z)
    assert dz.tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]


def test_softmax_under_vmap_and_in_float32_sums_to_one() -> None:
    z = draw(5, 3, 7, dtype=torch.float32)
    y = torch.func.vmap(activations.softmax)(z)
    assert bool(((y.sum(-1) - 1).abs() <= gamma(8, torch.float32)).all())


@pytest.mark.parametrize("name", activations.__all__)
def test_integers_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} got integers: z is torch.int64, expected a floating dtype"):
        getattr(activations, name)(torch.arange(3))


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "maxout"])
def test_bad_axes_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="axis that is not there: dim=2"):
        getattr(activations, name)(Z, dim=2)
    with pytest.raises(ValueError, match="empty axis"):
        getattr(activations, name)(torch.empty(3, 0))
