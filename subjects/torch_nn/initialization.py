"""Initialisers played by torch.nn.init. It has no He weights by fan average and no public count of fans."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import init

__all__ = [
    "constant", "he_normal", "he_uniform", "normal", "orthogonal", "uniform", "xavier_normal", "xavier_uniform",
    "zeros",
]  # fmt: skip

Shape = Sequence[int]
MODES = {"in": "fan_in", "out": "fan_out"}


def _empty(shape: Shape, generator: torch.Generator, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(tuple(shape), dtype=dtype, device=generator.device)


def zeros(shape: Shape, *, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return init.zeros_(torch.empty(tuple(shape), dtype=dtype))


def constant(shape: Shape, value: float, *, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return init.constant_(torch.empty(tuple(shape), dtype=dtype), value)


def normal(shape: Shape, *, sd: float, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return init.normal_(_empty(shape, generator, dtype), std=sd, generator=generator)


def uniform(
    shape: Shape, *, bound: float, generator: torch.Generator, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    return init.uniform_(_empty(shape, generator, dtype), -bound, bound, generator=generator)


def xavier_normal(shape: Shape, *, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return init.xavier_normal_(_empty(shape, generator, dtype), generator=generator)


def xavier_uniform(shape: Shape, *, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return init.xavier_uniform_(_empty(shape, generator, dtype), generator=generator)


def he_normal(
    shape: Shape,
    *,
    generator: torch.Generator,
    fan: str = "in",
    slope: float = 0.0,
    dtype: torch.dtype = torch.float64,
) -> torch.Tensor:
    w = _empty(shape, generator, dtype)
    return init.kaiming_normal_(w, a=slope, mode=_mode(fan), nonlinearity="leaky_relu", generator=generator)


def he_uniform(
    shape: Shape,
    *,
    generator: torch.Generator,
    fan: str = "in",
    slope: float = 0.0,
    dtype: torch.dtype = torch.float64,
) -> torch.Tensor:
    w = _empty(shape, generator, dtype)
    return init.kaiming_uniform_(w, a=slope, mode=_mode(fan), nonlinearity="leaky_relu", generator=generator)


def orthogonal(shape: Shape, *, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return init.orthogonal_(_empty(shape, generator, dtype), generator=generator)


def _mode(fan: str) -> str:
    if fan not in MODES:
        raise ValueError(f"torch.nn.init has no such fan: {fan!r}, expected one of {', '.join(MODES)}")
    return MODES[fan]
