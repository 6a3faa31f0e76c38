"""Layers that are a matrix: the dense layer, also for many replicas of a network at once."""

from __future__ import annotations

import torch

from reference.checks import require_broadcast, require_dims, require_floating
from reference.differentiable import Differentiable

Saved = tuple[torch.Tensor, ...]

__all__ = ["dense"]


def dense_forward(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None) -> tuple[torch.Tensor, Saved]:
    """The dense (fully connected) layer: every output is a weighted sum of all inputs.

    Shapes: x (..., n, d), w (..., out, d), b (..., out) or None -> y (..., n, out)
    Forward:
        (1) y = x · wᵀ + b
    Backward:
        (2) dx = dy · w
        (3) dw = dyᵀ · x
        (4) db = Σ dy over the n cases
    Conventions: leading axes broadcast (replicas of the weights over shared data, or the reverse), and gradients are
        summed back over them.
    Source: Rumelhart, Hinton, Williams, Learning representations by back-propagating errors (1986).
    """
    _check(x, w, b)
    y = x @ w.mT  # (1) (..., n, d) · (..., d, out) -> (..., n, out)
    return (y if b is None else y + b.unsqueeze(-2)), (x, w, *(() if b is None else (b,)))


def dense_backward(saved: Saved, dy: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
    x, w, *b = saved
    dx = (dy @ w).sum_to_size(x.shape)  # (2) (..., n, out) · (..., out, d) -> (..., n, d)
    dw = (dy.mT @ x).sum_to_size(w.shape)  # (3) (..., out, n) · (..., n, d) -> (..., out, d)
    db = dy.sum(-2).sum_to_size(b[0].shape) if b else None  # (4) (..., out)
    return dx, dw, db


def _check(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None) -> None:
    require_floating("dense", x=x, w=w, b=b)
    require_dims("dense", 2, x=x, w=w)
    if x.shape[-1] != w.shape[-1]:
        raise ValueError(
            f"dense got features that do not fit: x {tuple(x.shape)}, w {tuple(w.shape)}, expected the same last axis"
        )
    if b is not None and (b.dim() < 1 or b.shape[-1] != w.shape[-2]):
        raise ValueError(
            f"dense got a bias that does not fit: b {tuple(b.shape)}, expected (..., {w.shape[-2]}), "
            "one for each row of w"
        )
    require_broadcast("dense", x.shape[:-2], w.shape[:-2], () if b is None else b.shape[:-1])


dense = Differentiable(dense_forward, dense_backward)
