"""The image transformations for which torch itself has an operation; it has none for shear, brightness and contrast."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["add_noise", "crop", "flip", "rotate90", "standardise", "translate", "zoom"]


def rotate90(x: torch.Tensor, quarter_turns: int) -> torch.Tensor:
    return torch.rot90(x, quarter_turns, (-2, -1))


def flip(x: torch.Tensor, dim: int) -> torch.Tensor:
    return torch.flip(x, (dim,))


def crop(x: torch.Tensor, top: int, left: int, height: int, width: int) -> torch.Tensor:
    return torch.narrow(torch.narrow(x, -2, top, height), -1, left, width)


def translate(x: torch.Tensor, dy: int, dx: int, wrap: bool = False) -> torch.Tensor:
    if wrap:
        return torch.roll(x, (dy, dx), (-2, -1))
    down, right = (max(-n, min(step, n)) for step, n in zip((dy, dx), x.shape[-2:], strict=True))
    return functional.pad(x, (right, -right, down, -down))


def zoom(x: torch.Tensor, factor: float) -> torch.Tensor:
    mode = "area" if factor < 1 else "nearest"
    planes = x.reshape(1, -1, *x.shape[-2:])
    y = functional.interpolate(planes, scale_factor=factor, mode=mode)
    return y.reshape(*x.shape[:-2], *y.shape[-2:])


def add_noise(x: torch.Tensor, sd: float, generator: torch.Generator) -> torch.Tensor:
    return x + torch.normal(torch.zeros_like(x), sd, generator=generator)


def standardise(x: torch.Tensor) -> torch.Tensor:
    """Layer normalisation over the image; the smallest number as eps only keeps an image of one colour from 0/0."""
    return functional.layer_norm(x, x.shape[-2:], eps=torch.finfo(x.dtype).tiny)
