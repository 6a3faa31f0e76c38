"""The dense layer: forward against an einsum, backward against the derivative, replicas, bad input."""

from __future__ import annotations

import pytest
import torch

from reference.layers import dense
from tests.reference.protocol import (
    DTYPES,
    PLANTED,
    Case,
    check_backward,
    check_derivatives,
    check_forward,
    check_layouts,
    check_planted_is_caught,
    draw,
)


def summed(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
    y = torch.einsum("...nd,...od->...no", x, w)
    return y if b is None else y + b[..., None, :]


X, W, B = draw(5, 3), draw(4, 3, seed=1), draw(4, seed=2)
SCALE = 20.0  # the sum of the sizes of three products of numbers below three, and a bias
CASES = {
    "one": Case(dense, (X, W, B), summed, scale=SCALE),
    "without bias": Case(dense, (X, W, None), summed, scale=SCALE),
    "replicas of the weights": Case(dense, (X, draw(2, 4, 3), draw(2, 4)), summed, scale=SCALE),
    "replicas of the data": Case(dense, (draw(2, 5, 3), W, B), summed, scale=SCALE),
    "a weight shared by two biases": Case(dense, (X, W, draw(2, 4)), summed, scale=SCALE),
    "a grid of replicas": Case(dense, (draw(2, 1, 5, 3), draw(3, 4, 3), None), summed, scale=SCALE),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_forward(name: str, dtype: torch.dtype) -> None:
    check_forward(CASES[name], dtype)


@pytest.mark.parametrize("name", CASES)
def test_backward(name: str) -> None:
    check_backward(CASES[name])
    check_derivatives(CASES[name])
    check_layouts(CASES[name])


@pytest.mark.parametrize("mistake", PLANTED)
@pytest.mark.parametrize("name", CASES)
def test_planted_backward_is_caught(name: str, mistake: str) -> None:
    check_planted_is_caught(CASES[name], mistake)


def test_an_empty_batch_has_zero_gradients() -> None:
    w, b = W.clone().requires_grad_(), B.clone().requires_grad_()
    y = dense(torch.empty(0, 3, dtype=torch.float64), w, b)
    assert y.shape == (0, 4)
    dw, db = torch.autograd.grad(y.sum(), (w, b))
    assert not bool(dw.any())
    assert not bool(db.any())


REFUSED = {
    "features that do not fit": ((X, draw(4, 2), B), "features that do not fit"),
    "bias that does not fit": ((X, W, draw(3)), "bias that does not fit"),
    "scalar bias": ((X, W, draw()), "bias that does not fit"),
    "a single input without cases": ((draw(3), W, B), "at least 2 axes"),
    "integers": ((X, W.long(), B), "w is torch.int64"),
    "replicas that do not fit": ((draw(2, 5, 3), draw(3, 4, 3), None), "do not fit"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    tensors, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        dense(*tensors)


def test_no_tensor_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="got no tensor"):
        dense(1.0, 2.0)  # type: ignore[arg-type]
