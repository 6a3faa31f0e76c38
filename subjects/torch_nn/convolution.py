"""The convolution roles, played by torch.nn.functional."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["conv1d", "conv2d", "conv_output_size", "conv_transpose2d"]

Size = int | tuple[int, int]


def _same(n: int, size: int, stride: int, dilation: int) -> tuple[int, int]:
    """Zeros (before, after) for ceil(n/stride) outputs; torch offers `same` for stride 1, and warns at even kernels."""
    total = max((-(-n // stride) - 1) * stride + dilation * (size - 1) + 1 - n, 0)
    return total // 2, total - total // 2


def conv1d(
    x: torch.Tensor,
    w: torch.Tensor,
    b: torch.Tensor | None = None,
    *,
    stride: int = 1,
    padding: int | str = 0,
    dilation: int = 1,
    groups: int = 1,
) -> torch.Tensor:
    """x (..., C, L), w (F, C/groups, A) -> (..., F, I)."""
    lead, image = x.shape[:-2], x.reshape(-1, *x.shape[-2:])
    if padding == "same":
        image, padding = functional.pad(image, _same(x.shape[-1], w.shape[-1], stride, dilation)), 0
    y = functional.conv1d(image, w, b, stride, padding, dilation, groups)
    return y.reshape(*lead, *y.shape[-2:])


def conv2d(
    x: torch.Tensor,
    w: torch.Tensor,
    b: torch.Tensor | None = None,
    *,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> torch.Tensor:
    """x (..., C, H, W), w (F, C/groups, A, B) -> (..., F, I, J)."""
    lead, image = x.shape[:-3], x.reshape(-1, *x.shape[-3:])
    if padding == "same":
        (s, t), (d, e) = (v if isinstance(v, tuple) else (v, v) for v in (stride, dilation))
        rows, columns = _same(x.shape[-2], w.shape[-2], s, d), _same(x.shape[-1], w.shape[-1], t, e)
        image, padding = functional.pad(image, (*columns, *rows)), 0
    y = functional.conv2d(image, w, b, stride, padding, dilation, groups)
    return y.reshape(*lead, *y.shape[-3:])


def conv_output_size(n: int, size: int, stride: int = 1, padding: int | str = 0, dilation: int = 1) -> int:
    """What torch answers for tensors without data: shapes only, nothing is computed."""
    x, w = torch.empty(1, 1, n, device="meta"), torch.empty(1, 1, size, device="meta")
    return conv1d(x, w, stride=stride, padding=padding, dilation=dilation).shape[-1]


def conv_transpose2d(
    x: torch.Tensor,
    w: torch.Tensor,
    b: torch.Tensor | None = None,
    *,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> torch.Tensor:
    """x (..., C, H, W), w (C, F/groups, A, B) -> (..., F, I, J)."""
    lead, image = x.shape[:-3], x.reshape(-1, *x.shape[-3:])
    y = functional.conv_transpose2d(image, w, b, stride, padding, output_padding, groups, dilation)
    return y.reshape(*lead, *y.shape[-3:])
