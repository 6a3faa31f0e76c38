"""Tensors as flat real float64 vectors and back: a complex entry is two real ones, which is PyTorch's gradient convention."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def flat(value: Tensor) -> Tensor:
    """`value` (...) -> (n,) float64; complex entries give real and imaginary part side by side."""
    return coordinates(value).reshape(-1).to(torch.float64)


def coordinates(value: Tensor) -> Tensor:
    """The real coordinates as a view in the tensor's own precision: (...) or, for complex numbers, (..., 2)."""
    return torch.view_as_real(value.resolve_conj()) if value.is_complex() else value


def count(value: Tensor) -> int:
    """The number of real coordinates of `value`."""
    return value.numel() * (2 if value.is_complex() else 1)


def unflat(coordinates: Tensor, like: Tensor) -> Tensor:
    """(n,) float64 -> a tensor of the shape, dtype and device of `like`."""
    if like.is_complex():
        pairs = coordinates.reshape(*like.shape, 2).to(like.real.dtype)
        return torch.view_as_complex(pairs.contiguous())
    return coordinates.reshape(like.shape).to(like.dtype)


def joined(values: Sequence[Tensor]) -> Tensor:
    """All `values`, flat, one after another: (m,) float64."""
    return flat(values[0]) if len(values) == 1 else torch.cat([flat(value) for value in values])


def where(index: int, value: Tensor) -> str:
    """The flat coordinate as indices of the tensor, for example "[3, 1]" or "[0].imag"."""
    part = ""
    if value.is_complex():
        index, imaginary = divmod(index, 2)
        part = ".imag" if imaginary else ".real"
    steps: list[int] = []
    for size in reversed(value.shape):
        index, step = divmod(index, size)
        steps.append(step)
    return f"[{', '.join(str(step) for step in reversed(steps))}]{part}"
