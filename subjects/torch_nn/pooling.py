"""The pooling roles, played by torch.nn.functional."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["average_pool2d", "global_average_pool", "max_pool2d"]

Size = int | tuple[int, int]


def max_pool2d(x: torch.Tensor, *, size: Size, stride: Size | None = None, padding: Size = 0) -> torch.Tensor:
    """x (..., H, W) -> (..., I, J)."""
    y = functional.max_pool2d(_as_maps(x), size, stride, padding)
    return y.reshape(*x.shape[:-2], *y.shape[-2:])


def average_pool2d(
    x: torch.Tensor, *, size: Size, stride: Size | None = None, padding: Size = 0, count_padding: bool = True
) -> torch.Tensor:
    """x (..., H, W) -> (..., I, J)."""
    y = functional.avg_pool2d(_as_maps(x), size, stride, padding, count_include_pad=count_padding)
    return y.reshape(*x.shape[:-2], *y.shape[-2:])


def global_average_pool(x: torch.Tensor) -> torch.Tensor:
    """x (..., H, W) -> (...)."""
    return functional.adaptive_avg_pool2d(_as_maps(x), 1).reshape(x.shape[:-2])


def _as_maps(x: torch.Tensor) -> torch.Tensor:
    """torch pools (C, H, W): any leading axes become its channels, which are pooled one by one all the same."""
    return x.reshape(-1, *x.shape[-2:])
