"""What a model can fit: polynomials, linear regression, networks without activation, and the error taken apart."""

from __future__ import annotations

from typing import NamedTuple

import torch

from reference.checks import require_broadcast, require_dims, require_floating, require_values
from reference.differentiable import Differentiable
from reference.layers import dense_backward, dense_forward

Saved = tuple[torch.Tensor, ...]

__all__ = [
    "bias_variance",
    "collapsed_network",
    "linear_network",
    "linear_regression",
    "polynomial",
    "polynomial_fit",
]


class Decomposition(NamedTuple):
    """The parts of a mean squared error at each point (..., n); the error is bias² + variance + noise."""

    bias: torch.Tensor
    variance: torch.Tensor
    noise: torch.Tensor


def bias_variance(predictions: torch.Tensor, targets: torch.Tensor) -> Decomposition:
    """The squared error of models trained on many training sets, taken apart at each point.

    Shapes: predictions (..., r, n) of r trained models, targets (..., m, n) of m fresh labels -> three times (..., n)
    (1) bias = mean p - mean y
    (2) variance = mean (p - mean p)²
    (3) noise = mean (y - mean y)²
    Conventions: the means run over models or over labels, with the divisors r and m, so that bias² + variance + noise
        is exactly the mean of (p - y)² over all r · m pairs; a single row of targets, the truth, gives no noise.
    Units: bias has the unit of y, the other two have its square.
    Errors: ValueError if the points differ, or no model or no label is given.
    Example:
        predictions = torch.tensor([[1.0], [3.0]])
        [part.item() for part in bias_variance(predictions, torch.zeros(1, 1))] == [2.0, 1.0, 0.0]
    Asked: ib-8.4, ib-29.1, ib-29.2, ib-29.3, ib-29.4, ib-29.6, ib-29.8, ib-29.9, ib-29.10, ib-29.13, ib-29.14
    Source: Geman, Bienenstock, Doursat, Neural networks and the bias/variance dilemma (1992), section 3.
    """
    require_floating("bias_variance", predictions=predictions, targets=targets)
    require_dims("bias_variance", 2, predictions=predictions, targets=targets)
    if predictions.shape[-1] != targets.shape[-1] or 0 in (predictions.shape[-2], targets.shape[-2]):
        raise ValueError(
            f"bias_variance got shapes that do not fit: predictions {tuple(predictions.shape)}, targets "
            f"{tuple(targets.shape)}, expected (..., r, n) and (..., m, n) with r >= 1 and m >= 1"
        )
    require_broadcast("bias_variance", predictions.shape[:-2], targets.shape[:-2])
    bias = predictions.mean(-2) - targets.mean(-2)  # (1)
    return Decomposition(bias, predictions.var(-2, correction=0), targets.var(-2, correction=0))  # (2) (3)


def polynomial_forward(x: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """A polynomial, by Horner's rule.

    Shapes: x (..., n), w (..., k + 1), the constant first -> y (..., n)
    Forward:
        (1) y = Σ w_j · x^j
    Backward:
        (2) dx = dy · Σ j · w_j · x^(j - 1)
        (3) dw_j = Σ dy · x^j over the n points
    Conventions: leading axes broadcast, and gradients are summed back over them; x^0 is 1 at zero too.
    Example: polynomial(torch.tensor([2.0]), torch.tensor([1.0, 0.0, 3.0])).tolist() == [13.0]
    Asked: ib-29.7, ib-29.12
    Source: Knuth, The Art of Computer Programming, volume 2, section 4.6.4.
    """
    require_floating("polynomial", x=x, w=w)
    require_dims("polynomial", 1, x=x, w=w)
    if w.shape[-1] == 0:
        raise ValueError(f"polynomial got no coefficient: w {tuple(w.shape)}, expected (..., k + 1) with k >= 0")
    require_broadcast("polynomial", x.shape[:-1], w.shape[:-1])
    return _horner(x, w), (x, w)  # (1)


def polynomial_backward(saved: Saved, dy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    x, w = saved
    k = torch.arange(1, w.shape[-1], dtype=w.dtype, device=w.device)
    slope = _horner(x, k * w[..., 1:]) if w.shape[-1] > 1 else torch.zeros_like(dy)  # (..., n)
    dw = (dy.unsqueeze(-2) @ _powers(x, w.shape[-1] - 1)).squeeze(-2)  # (3) (..., 1, n) · (..., n, k + 1)
    return (dy * slope).sum_to_size(x.shape), dw.sum_to_size(w.shape)  # (2)


def _horner(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    y = w[..., -1:] + torch.zeros_like(x)  # (..., n)
    for j in range(w.shape[-1] - 2, -1, -1):
        y = y * x + w[..., j : j + 1]
    return y


def _powers(x: torch.Tensor, degree: int) -> torch.Tensor:
    """1, x, x², ... : (..., n) -> (..., n, degree + 1)."""
    columns = [torch.ones_like(x)]
    for _ in range(degree):
        columns.append(columns[-1] * x)
    return torch.stack(columns, -1)


def polynomial_fit(x: torch.Tensor, y: torch.Tensor, *, degree: int) -> torch.Tensor:
    """The polynomial of a given degree with the least squared error, for many training sets at once.

    Shapes: x (..., n), y (..., n) -> w (..., degree + 1), the constant first
    (1) w minimises Σ (y - Σ w_j · x^j)²; of several such, the one of least norm
    Conventions: leading axes are replicas and broadcast; powers are ill-conditioned far from -1 <= x <= 1: scale first.
    Errors: ValueError if the shapes do not fit, degree is negative or a value is not finite.
    Example:
        w = polynomial_fit(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 3.0]), degree=1)
        torch.allclose(w, torch.tensor([1.0, 2.0]))
    Asked: ib-29.5, ib-29.7, ib-29.11, ib-29.12
    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 1.1.
    """
    require_floating("polynomial_fit", x=x, y=y)
    require_dims("polynomial_fit", 1, x=x, y=y)
    if x.shape[-1] != y.shape[-1] or x.shape[-1] == 0 or degree < 0:
        raise ValueError(
            f"polynomial_fit got shapes that do not fit: x {tuple(x.shape)}, y {tuple(y.shape)}, degree {degree}, "
            "expected (..., n) and (..., n) with n >= 1, and degree >= 0"
        )
    require_broadcast("polynomial_fit", x.shape[:-1], y.shape[:-1])
    return _least_squares("polynomial_fit", _powers(x, degree), y.unsqueeze(-1)).squeeze(-1)  # (1)


def linear_regression(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The affine map with the least squared error: the weights and the bias of a dense layer.

    Shapes: x (..., n, d), y (..., n, out) -> w (..., out, d), b (..., out)
    (1) w minimises Σ |(y - mean y) - (x - mean x) · wᵀ|²; of several such, the one of least norm
    (2) b = mean y - mean x · wᵀ
    Conventions: leading axes are replicas and broadcast; the bias does not count in the norm.
    Errors: ValueError if the cases differ, there are none or a value is not finite.
    Example:
        w, b = linear_regression(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [3.0]]))
        torch.allclose(w, torch.tensor([[2.0]])) and torch.allclose(b, torch.tensor([1.0]))
    Asked: gfg-3.2, gfg-3.5, gfg-5.1, ib-0.7, ib-4.3, ib-5.5, ib-28.4, ib-28.5
    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 3.1.
    """
    require_floating("linear_regression", x=x, y=y)
    require_dims("linear_regression", 2, x=x, y=y)
    if x.shape[-2] != y.shape[-2] or x.shape[-2] == 0:
        raise ValueError(
            f"linear_regression got cases that do not fit: x {tuple(x.shape)}, y {tuple(y.shape)}, "
            "expected (..., n, d) and (..., n, out) with n >= 1"
        )
    require_broadcast("linear_regression", x.shape[:-2], y.shape[:-2])
    at_x, at_y = x.mean(-2, keepdim=True), y.mean(-2, keepdim=True)  # (..., 1, d), (..., 1, out)
    w = _least_squares("linear_regression", x - at_x, y - at_y).mT  # (1) (..., out, d)
    return w, (at_y - at_x @ w.mT).squeeze(-2)  # (2) (..., out)


def _least_squares(name: str, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """By singular values, which find the solution of least norm where the columns of x depend on each other."""
    require_values(name, "finite x and y", x.isfinite().all() & y.isfinite().all())
    return torch.linalg.pinv(x) @ y  # (..., d, n) · (..., n, out) -> (..., d, out)


def linear_network_forward(x: torch.Tensor, *params: torch.Tensor | None) -> tuple[torch.Tensor, tuple[object, ...]]:
    """A network of any depth without activation: dense layers, one after the other.

    Shapes: x (..., n, d), w1 (..., h1, d), b1 (..., h1), w2 (..., h2, h1), b2, ... -> y (..., n, out)
    Forward:
        (1) h_0 = x, h_l = h_(l-1) · w_lᵀ + b_l, y the last of them
    Backward:
        (2) dh_(l-1) = dh_l · w_l, from the last dh = dy down to dx = dh_0
        (3) dw_l = dh_lᵀ · h_(l-1)
        (4) db_l = Σ dh_l over the n cases
    Conventions: weights and biases in pairs; a bias may be None; leading axes broadcast as in the dense layer.
    Example: linear_network(torch.ones(1, 2), 2 * torch.eye(2), None, torch.ones(1, 2), torch.ones(1)).tolist() == [[5.0]]
    Asked: ib-27.1, ib-27.3, ib-27.4, ib-28.3, ib-28.4, ib-28.7, ib-28.8
    Source: Saxe, McClelland, Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural
        networks (2014), equation 1.
    """
    h = [x]
    for w, b in _pairs("linear_network", params):
        h.append(dense_forward(h[-1], w, b)[0])  # (1)
    return h[-1], (*h[:-1], *params)


def linear_network_backward(saved: tuple[torch.Tensor, ...], dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    depth = len(saved) // 3  # the input of each layer, then its weights and its biases
    h, params = saved[:depth], saved[depth:]
    gradients: list[torch.Tensor | None] = []
    dh: torch.Tensor | None = dy
    for at in reversed(range(depth)):
        w, b = params[2 * at : 2 * at + 2]
        dh, dw, db = dense_backward((h[at], w, *(() if b is None else (b,))), dh)  # (2) (3) (4)
        gradients = [dw, db, *gradients]
    return dh, *gradients


linear_network = Differentiable(linear_network_forward, linear_network_backward)
polynomial = Differentiable(polynomial_forward, polynomial_backward)


def collapsed_network(*params: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The one dense layer that computes what a network without activation computes.

    Shapes: w1 (..., h1, d), b1 (..., h1), w2, b2, ... -> w (..., out, d), b (..., out)
    (1) w = w_L · ... · w_2 · w_1
    (2) b = b_L + w_L · (b_(L-1) + ... w_2 · b_1), None if no layer has a bias
    Errors: ValueError if weights and biases do not come in pairs, or layers do not fit.
    Example:
        w, b = collapsed_network(2 * torch.eye(2), None, torch.ones(1, 2), torch.ones(1))
        w.tolist() == [[2.0, 2.0]] and b.tolist() == [1.0]
    Asked: ib-24.5, ib-27.2, ib-28.3
    Source: Saxe, McClelland, Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural
        networks (2014), equation 1.
    """
    (w, b), *further = _pairs("collapsed_network", params)
    for next_w, next_b in further:
        w = dense_forward(w.mT, next_w)[0].mT  # (1) (..., out, h) · (..., h, d)
        if b is not None:
            b = dense_forward(b.unsqueeze(-2), next_w)[0].squeeze(-2)  # (2) (..., out)
        b = next_b if b is None else b if next_b is None else b + next_b
    return w, b


def _pairs(name: str, params: tuple[torch.Tensor | None, ...]) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    if not params or len(params) % 2 or any(w is None for w in params[::2]):
        raise ValueError(
            f"{name} got {len(params)} parameters, expected pairs of weights and biases, at least one; "
            "a bias may be None, a weight may not"
        )
    return list(zip(params[::2], params[1::2], strict=True))  # type: ignore[arg-type]
