"""Layers that are a matrix: the dense layer, the multilayer perceptron, the embedding; also for many replicas at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from reference.checks import require_broadcast, require_dims, require_floating, require_values
from reference.differentiable import Differentiable

Saved = tuple[torch.Tensor, ...]

__all__ = ["dense", "embedding", "mlp"]


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
    Example: dense(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([5.0])).tolist() == [[16.0]]
    Asked: gfg-2.3, gfg-2.4, gfg-6.5, gfg-8.7, gfg-10.6, gfg-13.5, gfg-13.6, gfg-15.3, gfg-17.5, ib-7.4, ib-10.1,
        ib-10.9, ib-10.10, ib-24.7
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


def embedding_forward(labels: torch.Tensor, table: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """The embedding: a learnt vector for each of a vocabulary of labels.

    Shapes: labels (...) of integers, table (v, d) -> y (..., d)
    Forward:
        (1) y = table[label], the same as one-hot(label) · table
    Backward:
        (2) dtable[l] = Σ dy over the places where label = l
    Conventions: labels get no gradient; one that the table lacks is refused on the CPU and gives NaN elsewhere.
    Example: embedding(torch.tensor([1, 0]), torch.tensor([[0.5], [7.0]])).tolist() == [[7.0], [0.5]]
    Asked: ib-4.5
    Source: Bengio, Ducharme, Vincent, Jauvin, A neural probabilistic language model (2003).
    """
    require_floating("embedding", table=table)
    if table.dim() != 2 or table.shape[0] == 0:
        raise ValueError(f"embedding got a table of another shape: {tuple(table.shape)}, expected (v, d) with v >= 1")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(f"embedding got labels that are no integers: {labels.dtype}, expected rows; use .long()")
    exists = (labels >= 0) & (labels < table.shape[0])
    require_values("embedding", f"0 <= label < {table.shape[0]}", exists)
    y = table[labels.long().clamp(0, table.shape[0] - 1)]  # (1)
    return torch.where(exists.unsqueeze(-1), y, torch.nan), (labels, table)


def embedding_backward(saved: Saved, dy: torch.Tensor) -> tuple[None, torch.Tensor]:
    labels, table = saved
    rows = labels.reshape(-1).long()
    return None, torch.zeros_like(table).index_add(0, rows, dy.reshape(-1, table.shape[-1]))  # (2)


dense = Differentiable(dense_forward, dense_backward)
embedding = Differentiable(embedding_forward, embedding_backward)


def mlp(
    x: torch.Tensor, params: Sequence[torch.Tensor], activation: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """The multilayer perceptron: dense layers with an activation between them, none after the last.

    Shapes: x (..., n, d), params w1, b1, w2, b2, ... -> y (..., n, out)
    (1) x = activation(dense(x, w, b)) for all layers but the last
    (2) y = dense(x, w, b)
    Errors: ValueError if weights and biases do not come in pairs.
    Example:
        w1, b1 = torch.ones(2, 2), torch.tensor([0.0, -1.0])
        w2, b2 = torch.tensor([[1.0, -2.0]]), torch.zeros(1)
        x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        mlp(x, [w1, b1, w2, b2], torch.relu)[:, 0].tolist() == [0.0, 1.0, 1.0, 0.0]
    Asked: gfg-1.3, gfg-1.4, gfg-1.5, gfg-1.6, gfg-2.2, gfg-2.6, gfg-6.3, gfg-6.9, gfg-9.1, gfg-9.2, gfg-9.4, gfg-9.6,
        gfg-9.9, gfg-9.10, gfg-10.1, gfg-10.2, gfg-10.4, gfg-12.1, gfg-12.2, gfg-12.3, gfg-12.6, gfg-12.7, gfg-12.8,
        gfg-13.1, gfg-15.1, gfg-15.2, gfg-15.5, gfg-18.2, gfg-18.3, gfg-18.6, gfg-19.3, gfg-24.2, gfg-27.2, gfg-27.3,
        gfg-27.4, gfg-27.6, gfg-27.7, gfg-27.8, ib-0.13, ib-4.1, ib-4.2, ib-4.4, ib-6.2, ib-6.3, ib-6.4, ib-7.1, ib-7.2,
        ib-7.7, ib-7.8, ib-10.2, ib-13.4, ib-19.1, ib-19.3, ib-19.4, ib-19.5, ib-19.6, ib-20.8, ib-24.1, ib-24.3,
        ib-24.5, ib-26.2, ib-26.5, ib-28.2
    Source: Rumelhart, Hinton, Williams, Learning representations by back-propagating errors (1986).
    """
    if not params or len(params) % 2:
        raise ValueError(f"mlp got {len(params)} parameters, expected pairs of weights and biases, at least one")
    for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
        x = activation(dense(x, w, b))  # (1)
    return dense(x, *params[-2:])  # (2)
