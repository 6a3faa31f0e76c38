"""Initialisers played by torch.nn.init. It has no public count of fans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch.nn import init

__all__ = [
    "constant", "he_normal", "he_uniform", "normal", "orthogonal", "uniform", "xavier_normal", "xavier_uniform",
    "zeros",
]  # fmt: skip

Shape = Sequence[int]
MODES: dict[str, Literal["fan_in", "fan_out"]] = {"in": "fan_in", "out": "fan_out"}


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
    """By fan average this is Xavier's rule with torch's own gain for a leaky rectifier."""
    w = _empty(shape, generator, dtype)
    if fan == "average":
        return init.xavier_normal_(w, gain=init.calculate_gain("leaky_relu", slope), generator=generator)
    return init.kaiming_normal_(w, a=slope, mode=_mode(fan), nonlinearity="leaky_relu", generator=generator)


def he_uniform(
    shape: Shape,
    *,
    generator: torch.Generator,
    fan: str = "in",
    slope: float = 0.0,
    dtype: torch.dtype = torch.float64,
) -> torch.Tensor:
    """By fan average this is Xavier's rule with torch's own gain for a leaky rectifier."""
    w = _empty(shape, generator, dtype)
    if fan == "average":
        return init.xavier_uniform_(w, gain=init.calculate_gain("leaky_relu", slope), generator=generator)
    return init.kaiming_uniform_(w, a=slope, mode=_mode(fan), nonlinearity="leaky_relu", generator=generator)


def orthogonal(shape: Shape, *, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return init.orthogonal_(_empty(shape, generator, dtype), generator=generator)


def _mode(fan: str) -> Literal["fan_in", "fan_out"]:
    if fan not in MODES:
        raise ValueError(f"he got an unknown fan: {fan!r}, expected one of in, out, average")
    return MODES[fan]
