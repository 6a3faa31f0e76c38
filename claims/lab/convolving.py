"""Small convolutional networks, many at once: replicas are the leading axis of images, kernels and results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from claims.lab.training import Parameters, fit

Net = Callable[[Parameters, torch.Tensor], torch.Tensor]  # parameters, images (R, n, C, H, W) -> scores (R, n)


def convolved(lib: Any, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None, **hyper: Any) -> torch.Tensor:
    """Each replica's kernels on its own images: x (R, n, C, H, W), w (R, F, C, A, B), b (R, F) -> (R, n, F, I, J).

    The replicas are the groups of one grouped convolution.
    """
    replicas = x.shape[0]
    images = x.transpose(0, 1).flatten(1, 2)  # (n, R·C, H, W)
    bias = None if b is None else b.flatten()
    y = lib.conv2d(images, w.flatten(0, 1), bias, groups=replicas, **hyper)  # (n, R·F, I, J)
    return y.unflatten(1, (replicas, -1)).transpose(0, 1)


def random_kernels(
    replicas: int,
    filters: int,
    channels: int,
    size: int,
    generator: torch.Generator,
    *,
    dtype: torch.dtype = torch.float64,
) -> torch.Tensor:
    """Normal kernels (R, F, C, K, K) of variance 2 / (C·K²), which keeps the size of rectified responses."""
    shape = (replicas, filters, channels, size, size)
    w = torch.randn(shape, generator=generator, dtype=dtype, device=generator.device)
    return w * (2 / (channels * size**2)) ** 0.5


def shifted(x: torch.Tensor, down: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Each image (..., H, W) moved by its own steps `down` and `right` (...), round the border."""
    rows = (torch.arange(x.shape[-2], device=x.device) - down[..., None]) % x.shape[-2]  # (..., H)
    columns = (torch.arange(x.shape[-1], device=x.device) - right[..., None]) % x.shape[-1]  # (..., W)
    moved = x.gather(-2, rows[..., None].expand(x.shape))
    return moved.gather(-1, columns[..., None, :].expand(x.shape))


def trained(
    lib: Any, net: Net, start: Parameters, x: torch.Tensor, y: torch.Tensor, *, steps: int, lr: float
) -> Parameters:
    """Each replica's parameters after `steps` steps of Adam on its images x (R, n, C, H, W) and labels y (R, n) in
    {0, 1}."""

    def loss(params: Parameters, step: int) -> torch.Tensor:
        return lib.binary_cross_entropy_with_logits(net(params, x), y, reduction="none").mean(-1)

    return fit(loss, start, lambda p, g, s: lib.adam(p, g, s, lr=lr), steps)


def right(scores: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Share of images (R, n) whose score has the sign of their label: (R,)."""
    return ((scores > 0) == (y > 0.5)).to(torch.float64).mean(-1)
