"""Layers played by torch.nn.functional; replicas of the weights by torch.vmap."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

__all__ = ["dense", "embedding", "mlp"]


def dense(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
    if w.dim() == 2 and (b is None or b.dim() == 1):
        return functional.linear(x, w, b)
    leading = torch.broadcast_shapes(x.shape[:-2], w.shape[:-2], () if b is None else b.shape[:-1])
    x = x.expand(*leading, *x.shape[-2:]).reshape(-1, *x.shape[-2:])
    w = w.expand(*leading, *w.shape[-2:]).reshape(-1, *w.shape[-2:])
    bias = () if b is None else (b.expand(*leading, b.shape[-1]).reshape(-1, b.shape[-1]),)
    y = torch.vmap(functional.linear)(x, w, *bias)
    return y.reshape(*leading, *y.shape[-2:])


def embedding(labels: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    return functional.embedding(labels, table)


def mlp(
    x: torch.Tensor, params: Sequence[torch.Tensor], activation: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    for w, b in zip(params[:-2:2], params[1:-2:2], strict=True):
        x = activation(dense(x, w, b))
    return dense(x, *params[-2:])
