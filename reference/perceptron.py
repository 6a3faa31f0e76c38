"""The perceptron: a threshold on a weighted sum, and the rule by which it learns."""

from __future__ import annotations

import torch

from reference.activations import heaviside
from reference.checks import require_floating, require_values
from reference.layers import dense

__all__ = ["perceptron", "perceptron_rule"]


def perceptron(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The perceptron: a layer of threshold units, which answer 0 or 1.

    Shapes: x (..., n, d), w (..., out, d), b (..., out) -> y (..., n, out)
    (1) y = heaviside(x · wᵀ + b)
    Conventions: a unit fires where the sum is exactly zero; the gradient is zero everywhere, so it learns by a rule of
        its own.
    Example:
        x = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
        perceptron(x, torch.tensor([[1.0, 1.0]]), torch.tensor([-2.0])).tolist() == [[0.0], [1.0]]
    Asked: gfg-8.2, gfg-8.3, gfg-8.4, gfg-8.6, gfg-9.3, gfg-9.5, gfg-9.8, ib-1.5
    Source: Rosenblatt, The perceptron, Psychological Review 65 (1958).
    """
    return heaviside(dense(x, w, b))  # (1)


def perceptron_rule(
    x: torch.Tensor, y: torch.Tensor, w: torch.Tensor, b: torch.Tensor, *, lr: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights and biases after one pass over the cases, one after the other.

    Shapes: x (..., n, d), y (..., n, out) of zeros and ones, w (..., out, d), b (..., out) -> w, b
    (1) e = y_i - perceptron(x_i)
    (2) w = w + lr · e · x_iᵀ, b = b + lr · e
    Conventions: nothing changes at a case that is answered rightly; leading axes are replicas.
    Errors: ValueError if y holds anything but 0 and 1, the shapes do not fit or lr is not positive.
    Example:
        one, w, b = torch.ones(1, 1), torch.tensor([[-1.0]]), torch.zeros(1)
        [t.tolist() for t in perceptron_rule(one, one, w, b)] == [[[0.0]], [1.0]]
    Asked: gfg-8.3, gfg-8.8, gfg-8.9, gfg-8.10, gfg-8.11, gfg-9.5, gfg-9.7
    Source: Rosenblatt, The perceptron, Psychological Review 65 (1958).
    """
    require_floating("perceptron_rule", x=x, y=y, w=w, b=b)
    if not lr > 0:
        raise ValueError(f"perceptron_rule got lr out of range: {lr}, expected lr > 0")
    if y.shape[-1:] != b.shape[-1:] or x.shape[-2] != y.shape[-2]:
        raise ValueError(
            f"perceptron_rule got labels that do not fit: y {tuple(y.shape)}, expected (..., {x.shape[-2]}, {b.shape[-1]})"
        )
    require_values("perceptron_rule", "labels 0 or 1", (y == 0) | (y == 1))
    for i in range(x.shape[-2]):
        case, wanted = x[..., i : i + 1, :], y[..., i : i + 1, :]  # (..., 1, d), (..., 1, out)
        e = (wanted - perceptron(case, w, b)).mT  # (1) (..., out, 1)
        w, b = w + lr * e * case, b + lr * e[..., 0]  # (2)
    return w, b
