"""Pooling: summaries of windows, and of whole maps."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

from reference.checks import require_floating
from reference.differentiable import Differentiable, Saved
from reference.windows import Size, count, pair, spread, windows

__all__ = ["average_pool2d", "global_average_pool", "max_pool2d"]

Pairs = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def _settings(name: str, x: torch.Tensor, size: Size, stride: Size | None, padding: Size) -> Pairs:
    """Window, stride (by default the window) and padding as pairs; refuses what no pooling accepts."""
    if x.dim() < 2 or not x.is_floating_point():
        raise ValueError(
            f"{name} got an unusable x: {x.dtype} {tuple(x.shape)}, expected floating-point maps (..., H, W)"
        )
    window, zeros = pair(size, "size", least=1), pair(padding, "padding", least=0)
    steps = window if stride is None else pair(stride, "stride", least=1)
    if any(2 * p > k for p, k in zip(zeros, window, strict=True)):
        raise ValueError(f"{name} pads too much: {zeros}, expected at most half of the window {window}; pad less")
    for n, p, k, s in zip(x.shape[-2:], zeros, window, steps, strict=True):
        count(n + 2 * p, k, s)
    return window, steps, zeros


def _bordered(x: torch.Tensor, zeros: tuple[int, int], value: float = 0.0) -> torch.Tensor:
    """x (..., H, W) -> (..., H + 2p, W + 2q)."""
    return pad(x, (zeros[1], zeros[1], zeros[0], zeros[0]), value=value)


def max_pool2d_forward(
    x: torch.Tensor, *, size: Size, stride: Size | None = None, padding: Size = 0
) -> tuple[torch.Tensor, Saved]:
    """Keep the largest value of each window.

    Shapes: x (..., H, W) -> y (..., I, J), I = conv_output_size(H, A, s, p) and J alike, each leading index by itself
    Forward:
        (1) k[i, j] = the first position (row by row) of the largest x in the window that begins at (s·i - p, t·j - q)
        (2) y[i, j] = x[k[i, j]]
    Backward:
        (3) dx[u] = Σ dy[i, j] over all i, j with k[i, j] = u
    Conventions: the stride is the window unless given; padding never wins; of tied values the first takes the whole
        gradient; NaN wins.
    Errors: ValueError for wrong rank, dtype, stride below 1, padding over half the window, a window over the image.
    Example: max_pool2d(torch.tensor([[1.0, 2.0], [4.0, 3.0]]), size=2).tolist() == [[4.0]]
    Asked: gfg-36.6, gfg-36.8, gfg-40.2, gfg-40.3, gfg-40.4, gfg-40.5, gfg-40.6, gfg-40.7
    Source: Goodfellow, Bengio and Courville 2016, section 9.3.
    """
    window, steps, zeros = _settings("max_pool2d", x, size, stride, padding)
    patches = windows(_bordered(x, zeros), window, steps, (1, 1)).flatten(-2)  # (..., I, J, A·B)
    places = torch.arange(x.shape[-2] * x.shape[-1], device=x.device).reshape(x.shape[-2:])
    places = windows(_bordered(places, zeros, -1), window, steps, (1, 1)).flatten(-2)  # (I, J, A·B), -1 for padding
    patches = torch.where(places < 0, -torch.inf, patches)
    best = ((patches == patches.amax(-1, keepdim=True)) | patches.isnan()) & (places >= 0)
    first = best.to(torch.uint8).argmax(-1, keepdim=True)
    k = places.expand(best.shape).gather(-1, first).squeeze(-1)  # (1) (..., I, J)
    return x.flatten(-2).gather(-1, k.flatten(-2)).reshape(k.shape), (x, k)  # (2) (..., I, J)


def max_pool2d_backward(
    saved: Saved, dy: torch.Tensor, *, size: Size, stride: Size | None = None, padding: Size = 0
) -> tuple[torch.Tensor]:
    """Equation (3) of `max_pool2d_forward`: dy (..., I, J) -> dx (..., H, W)."""
    x, k = saved
    dx = torch.zeros_like(x).flatten(-2).scatter_add(-1, k.flatten(-2), dy.flatten(-2))  # (3) (..., H·W)
    return (dx.reshape(x.shape),)


def _shares(
    x: torch.Tensor, window: tuple[int, int], steps: tuple[int, int], zeros: tuple[int, int], count_padding: bool
) -> torch.Tensor:
    """How many pixels (I, J) each window is divided by: all of it, or only those that lie on the image."""
    present = torch.ones(x.shape[-2:], dtype=x.dtype, device=x.device)
    filled = _bordered(present, zeros, 1.0 if count_padding else 0.0)
    return windows(filled, window, steps, (1, 1)).sum((-2, -1))


def average_pool2d_forward(
    x: torch.Tensor, *, size: Size, stride: Size | None = None, padding: Size = 0, count_padding: bool = True
) -> tuple[torch.Tensor, Saved]:
    """Keep the mean of each window.

    Shapes: x (..., H, W) -> y (..., I, J), I = conv_output_size(H, A, s, p) and J alike, each leading index by itself
    Forward:
        (1) y[i, j] = Σ_ab x̃[s·i + a, t·j + b] / m[i, j], x̃ = x with p rows and q columns of zeros on each side
    Backward:
        (2) dx̃[u, v] = Σ dy[i, j] / m[i, j] over all i, j whose window holds (u, v); dx is dx̃ without its border
    Conventions: the stride is the window unless given; m = A·B, or its pixels on the image if not count_padding.
    Errors: those of `max_pool2d`.
    Example: average_pool2d(torch.tensor([[1.0, 2.0], [4.0, 3.0]]), size=2).tolist() == [[2.5]]
    Asked: gfg-36.8, gfg-40.2, gfg-40.3, gfg-40.4, gfg-40.5, gfg-40.6, gfg-40.8
    Source: Goodfellow, Bengio and Courville 2016, section 9.3.
    """
    window, steps, zeros = _settings("average_pool2d", x, size, stride, padding)
    sums = windows(_bordered(x, zeros), window, steps, (1, 1)).sum((-2, -1))  # (..., I, J)
    return sums / _shares(x, window, steps, zeros, count_padding), (x,)  # (1) (..., I, J)


def average_pool2d_backward(
    saved: Saved,
    dy: torch.Tensor,
    *,
    size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    count_padding: bool = True,
) -> tuple[torch.Tensor]:
    """Equation (2) of `average_pool2d_forward`: dy (..., I, J) -> dx (..., H, W)."""
    (x,) = saved
    window, steps, zeros = _settings("average_pool2d", x, size, stride, padding)
    (height, width), (p, q) = x.shape[-2:], zeros
    ones = torch.ones(1, 1, *window, dtype=dy.dtype, device=dy.device)
    share = (dy / _shares(x, window, steps, zeros, count_padding)).unsqueeze(-3)  # (..., 1, I, J)
    dx = spread(share, ones, steps, (1, 1), 1, (height + 2 * p, width + 2 * q)).squeeze(-3)  # (2) (..., H + 2p, W + 2q)
    return (dx[..., p : p + height, q : q + width],)


def global_average_pool_forward(x: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """Keep one number per map, its mean.

    Shapes: x (..., H, W) -> y (...)
    Forward:
        (1) y = Σ_uv x[u, v] / (H·W)
    Backward:
        (2) dx[u, v] = dy / (H·W)
    Errors: ValueError for wrong rank or dtype, and for an empty map.
    Example: global_average_pool(torch.tensor([[1.0, 2.0], [4.0, 3.0]])).item() == 2.5
    Asked: gfg-40.8
    Source: Lin, Chen and Yan 2014, section 3.2.
    """
    require_floating("global_average_pool", x=x)
    if x.dim() < 2 or 0 in x.shape[-2:]:
        raise ValueError(f"global_average_pool got no map: {tuple(x.shape)}, expected (..., H, W), H and W at least 1")
    return x.mean((-2, -1)), (x,)  # (1) (...)


def global_average_pool_backward(saved: Saved, dy: torch.Tensor) -> tuple[torch.Tensor]:
    """Equation (2) of `global_average_pool_forward`: dy (...) -> dx (..., H, W)."""
    (x,) = saved
    return ((dy / (x.shape[-2] * x.shape[-1]))[..., None, None].expand(x.shape),)  # (2) (..., H, W)


max_pool2d = Differentiable(max_pool2d_forward, max_pool2d_backward)
average_pool2d = Differentiable(average_pool2d_forward, average_pool2d_backward)
global_average_pool = Differentiable(global_average_pool_forward, global_average_pool_backward)
