"""Regularisers of the reference: against torch and independent formulas, gradients, bad input, planted mistakes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.autograd.gradcheck import GradcheckError

import reference.regularization as ours
import subjects.torch_nn.regularization as theirs
from assay.decide.trial import Trial
from assay.evidence import gamma
from reference.differentiable import Differentiable
from tests.reference.protocol import DTYPES, Case, draw


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mask(*shape: int) -> torch.Tensor:
    return ours.dropout_mask(shape, 0.4, generator(3))


def shortened(w: torch.Tensor, c: float) -> torch.Tensor:
    r = torch.linalg.vector_norm(w, dim=-1, keepdim=True)
    return w * (c / r).clamp_max(1.0)


TO_ZERO = torch.tensor([[-2.0, 0.0, 1.0], [0.5, -0.5, 0.0]], dtype=torch.float64)
# 60 operations an entry; dividing by A costs as many digits as its condition, below 100 here; torch has no elimination
# in bfloat16
RIDGE: dict[str, Any] = {
    "roundings": 60 * 100,
    "bfloat16": False,
}  # 60 operations an entry; dividing by A costs as many digits as its condition, below 100 here
SUMS = 100.0  # the sum of the sizes or squares of 24 numbers below 3
# no entry stands near a kink
CASES = {
    "masked": Case(
        ours.masked, (draw(3, 4, 5), mask(4, 5)), lambda x, m, keep: x * m / keep, {"keep": 0.6}, constant=(1,)
    ),
    "masked, the mask broadcast over x": Case(
        ours.masked, (draw(4, 1, 5), mask(3, 5)), lambda x, m, keep: x * m / keep, {"keep": 0.6}, constant=(1,)
    ),
    "l1_penalty": Case(
        ours.l1_penalty, (draw(2, 3, 4),), theirs.l1_penalty, {"batch_dims": 1}, scale=SUMS, kinks=(TO_ZERO,)
    ),
    "l2_penalty": Case(ours.l2_penalty, (draw(2, 3, 4),), theirs.l2_penalty, {"batch_dims": 2}, scale=SUMS),
    "soft_threshold": Case(ours.soft_threshold, (draw(4, 5),), theirs.soft_threshold, {"t": 0.5}, kinks=(TO_ZERO,)),
    "max_norm": Case(
        ours.max_norm,
        (draw(2, 6, 4),),
        shortened,
        {"c": 2.5},
        kinks=(torch.tensor([[1.5, 2.0], [1.0, 1.0], [3.0, 4.0]], dtype=torch.float64),),
    ),
    "ridge": Case(ours.ridge, (draw(2, 7, 3), draw(2, 7, seed=1)), theirs.ridge, {"penalty": 0.3}, **RIDGE),
    "ridge with fewer samples than features": Case(
        ours.ridge, (draw(3, 5), draw(3, seed=1)), theirs.ridge, {"penalty": 0.3}, **RIDGE
    ),
}


def test_forgetting_one_term_of_ridges_or_max_norms_backward_is_caught() -> None:
    def ridge_backward(saved: tuple[torch.Tensor, ...], dw: torch.Tensor, *, penalty: float) -> Any:
        x, y, A, w = saved
        u = torch.linalg.solve(A, dw.unsqueeze(-1))
        return (y.unsqueeze(-1) - x @ w.unsqueeze(-1)) @ u.mT, (x @ u)[..., 0]  # lacks - (x·u)·wᵀ

    def max_norm_backward(saved: tuple[torch.Tensor, ...], dy: torch.Tensor, *, c: float) -> Any:
        _, r = saved
        return (torch.where(r <= c, dy, dy * c / r),)  # lacks the projection

    x, y = draw(7, 3).requires_grad_(), draw(7, seed=1)
    for broken, call in (
        (Differentiable(ours.ridge_forward, ridge_backward), lambda f: f(x, y, penalty=0.3)),
        (Differentiable(ours.max_norm_forward, max_norm_backward), lambda f: f(x, c=0.5)),
    ):
        with pytest.raises(GradcheckError):
            torch.autograd.gradcheck(lambda _, f=broken, call=call: call(f), (x,))


@pytest.mark.parametrize("dtype", DTYPES)
def test_max_norm_agrees_with_torchs_up_to_torchs_own_shortfall(dtype: torch.dtype) -> None:
    w = draw(3, 6, 4, dtype=dtype)
    mine, yours = ours.max_norm(w, c=1.5), theirs.max_norm(w, c=1.5)
    # torch divides by the length plus 1e-7: a relative 1e-7 / length too short
    assert float((mine - yours).abs().max()) <= 1.5 * (1e-7 / 1.5 + gamma(30, dtype))


def test_max_norm_survives_lengths_whose_squares_overflow_and_rows_of_zeros() -> None:
    w = torch.tensor([[3e200, 4e200], [0.0, 0.0], [3e-200, 4e-200]], dtype=torch.float64)
    wanted = torch.tensor([[0.6, 0.8], [0.0, 0.0], [3e-200, 4e-200]], dtype=torch.float64)
    assert torch.allclose(ours.max_norm(w, c=1.0), wanted, rtol=gamma(12, torch.float64), atol=0)
    leaf = w.clone().requires_grad_()
    ours.max_norm(leaf, c=1.0).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_soft_threshold_is_the_proximal_step(dtype: torch.dtype) -> None:
    """The result minimises (y - w)²/2 + t·|y| against a fine grid of rivals."""
    w, t = draw(20, dtype=dtype), 0.5
    y = ours.soft_threshold(w, t=t).double()
    rivals = torch.linspace(-4, 4, 8001, dtype=torch.float64).unsqueeze(-1)

    def cost(v: torch.Tensor) -> torch.Tensor:
        return (v - w.double()).square() / 2 + t * v.abs()

    assert (cost(y) <= cost(rivals) + gamma(8, dtype) * 20).all()


def test_ridge_satisfies_its_normal_equations() -> None:
    x, y = draw(4, 9, 5), draw(4, 9, seed=1)
    w = ours.ridge(x, y, penalty=0.7)
    slope = x.mT @ (x @ w.unsqueeze(-1) - y.unsqueeze(-1)) + 0.7 * w.unsqueeze(-1)
    assert float(slope.abs().max()) <= gamma(100 * 50, torch.float64) * float(x.abs().sum())


@pytest.mark.parametrize("p", [0.0, 0.2, 0.7])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_applies_the_mask_that_its_generator_gives(dtype: torch.dtype, p: float) -> None:
    x = draw(8, 50, dtype=dtype)
    m = ours.dropout_mask((8, 50), p, generator(5), dtype=dtype)
    inverted = ours.dropout(x, p, generator=generator(5))
    assert torch.allclose(inverted, m * x / (1 - p), rtol=gamma(2, dtype), atol=0)
    assert torch.equal(ours.dropout_classic(x, p, generator=generator(5)), m * x)
    assert inverted.dtype == dtype
    assert torch.equal(m.double(), ours.dropout_mask((8, 50), p, generator(5)))  # one seed, one mask


def test_dropout_outside_training_draws_nothing() -> None:
    x, g = draw(6, 7), generator()
    before = g.get_state()
    assert torch.equal(ours.dropout(x, 0.3, generator=g, training=False), x)
    assert torch.equal(ours.dropout_classic(x, 0.3, generator=g, training=False), (1 - 0.3) * x)
    assert torch.equal(g.get_state(), before)


@pytest.mark.parametrize(("p", "wrong"), [(0.2, 0.8), (0.7, 0.69)])
@pytest.mark.parametrize("subject", [ours, theirs])
def test_the_share_of_dropped_units_is_the_rate(subject: Any, p: float, wrong: float) -> None:
    def dropped(n: int, g: torch.Generator) -> torch.Tensor:
        return subject.dropout_mask((n,), p, g) == 0

    assert Trial(1).proportion(dropped, p, detects=0.01, what="dropped").outcome == "holds"
    assert Trial(1).proportion(dropped, wrong, detects=0.01, what="dropped").outcome == "fails"


def test_torchs_generator_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    theirs.dropout(draw(5), 0.5, generator=generator())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("losses", "patience", "least_gain", "wanted"),
    [
        ([3.0, 2.0, 1.0], 2, 0.0, (2, 2)),  # the curve ends first
        ([3.0, 1.0, 2.0, 2.0, 0.0], 2, 0.0, (3, 1)),  # stopped before the late gain
        ([3.0, 1.0, 2.0, 2.0, 0.0], 3, 0.0, (4, 4)),  # more patience finds it
        ([1.0, 1.0, 1.0], 2, 0.0, (2, 0)),  # a tie is no gain
        ([3.0, 2.9, 2.8, 2.7], 3, 0.5, (3, 0)),  # gains too small to count, compared with the best, not with the last
        ([3.0, 2.7, 2.4, 2.1], 3, 0.5, (3, 2)),  # small gains that add up
        ([5.0], 1, 0.0, (0, 0)),
        ([5.0, float("inf")], 1, 0.0, (1, 0)),
    ],
)
def test_early_stopping(losses: list[float], patience: int, least_gain: float, wanted: tuple[int, int]) -> None:
    assert ours.early_stopping(losses, patience=patience, least_gain=least_gain) == wanted


def test_early_stopping_on_all_short_curves() -> None:
    """Against the definition: the first epoch that ends `patience` epochs without a new minimum, and the minimum
    until then.
    """
    for losses in itertools.product(range(3), repeat=5):
        for patience in (1, 2, 3):
            splits = {k: k - patience + 1 for k in range(patience, 5)}
            ends = [k for k, cut in splits.items() if min(losses[:cut]) <= min(losses[cut : k + 1])]
            stopped = ends[0] if ends else 4
            best = losses.index(min(losses[: stopped + 1]))
            assert ours.early_stopping(losses, patience=patience) == (stopped, best), (losses, patience)


X = draw(4, 3)
G = generator()
BAD: dict[str, Callable[[], Any]] = {
    "a rate of one": lambda: ours.dropout(X, 1.0, generator=G),
    "a negative rate": lambda: ours.dropout_mask((3,), -0.1, G),
    "a rate that is not a number": lambda: ours.dropout_classic(X, float("nan"), generator=G),
    "a bad rate in evaluation": lambda: ours.dropout(X, 1.5, generator=G, training=False),
    "integers": lambda: ours.dropout(X.long(), 0.5, generator=G),
    "a keep probability of zero": lambda: ours.masked(X, X, keep=0.0),
    "a mask that does not fit": lambda: ours.masked(X, X.mT),
    "a negative threshold": lambda: ours.soft_threshold(X, t=-1.0),
    "a threshold that is not a number": lambda: ours.soft_threshold(X, t=float("nan")),
    "a bound of zero": lambda: ours.max_norm(X, c=0.0),
    "a single number": lambda: ours.max_norm(X[0, 0], c=1.0),
    "too many batch axes": lambda: ours.l1_penalty(X, batch_dims=3),
    "negative batch axes": lambda: ours.l2_penalty(X, batch_dims=-1),
    "targets that do not fit": lambda: ours.ridge(X, draw(3), penalty=1.0),
    "a negative penalty": lambda: ours.ridge(X, draw(4), penalty=-1.0),
    "least squares with too few samples": lambda: ours.ridge(X.mT, draw(3), penalty=0.0),
    "no curve": lambda: ours.early_stopping([], patience=1),
    "a loss that is not a number": lambda: ours.early_stopping([1.0, float("nan")], patience=1),
    "no patience": lambda: ours.early_stopping([1.0], patience=0),
    "a negative gain": lambda: ours.early_stopping([1.0], patience=1, least_gain=-1.0),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_refused(what: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        BAD[what]()


@pytest.mark.parametrize("shape", [(0, 3), (3, 1), (1, 1)])
def test_empty_and_tiny_inputs(shape: tuple[int, int]) -> None:
    w = draw(*shape)
    assert ours.max_norm(w, c=1.0).shape == shape
    assert ours.soft_threshold(w, t=0.1).shape == shape
    assert ours.dropout(w, 0.5, generator=generator()).shape == shape
    assert ours.l1_penalty(w).shape == ()


def test_expanded_and_transposed_inputs() -> None:
    w = draw(4, 3)
    assert torch.equal(ours.max_norm(w.mT, c=1.0), ours.max_norm(w.mT.contiguous(), c=1.0))
    assert torch.equal(ours.l2_penalty(w[:1].expand(4, 3)), ours.l2_penalty(w[:1].repeat(4, 1)))
