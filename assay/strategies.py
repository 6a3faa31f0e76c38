"""Hypothesis strategies for tensors, shapes, probabilities and seeds.

Hypothesis draws configurations and seeds, never samples: torch's generator is outside its control, so random tensors are made
from a drawn integer seed, and small ones from drawn entries, which shrink to readable counterexamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from hypothesis import strategies as st

Strategy = st.SearchStrategy[Any]


def seeds() -> Strategy:
    """An integer seed for a `torch.Generator`; shrinks to 0."""
    return st.integers(0, 2**32 - 1)


def sizes(low: int = 1, high: int = 8) -> Strategy:
    """The length of an axis."""
    return st.integers(low, high)


def choices(*values: Any) -> Strategy:
    """One of the values; shrinks to the first."""
    return st.sampled_from(values)


def shapes(min_dims: int = 1, max_dims: int = 3, *, low: int = 1, high: int = 5) -> Strategy:
    """A tuple of axis lengths, each in [low, high]."""
    return st.lists(sizes(low, high), min_size=min_dims, max_size=max_dims).map(tuple)


def reals(low: float = -10.0, high: float = 10.0) -> Strategy:
    """A finite float in [low, high]; shrinks towards 0 and round numbers."""
    return st.floats(low, high, allow_nan=False, allow_infinity=False, allow_subnormal=False)


def probabilities(low: float = 0.0, high: float = 1.0) -> Strategy:
    """A probability in [low, high]; avoid 0.5 in a claim that must tell p from 1 - p."""
    return reals(low, high)


@st.composite
def tensors(
    draw: st.DrawFn,
    shape: Strategy | Sequence[int],
    elements: Strategy | None = None,
    dtype: torch.dtype = torch.float64,
) -> torch.Tensor:
    """A small tensor of drawn entries: every entry shrinks. For more than about 100 entries use `normals`."""
    drawn = draw(shape) if isinstance(shape, st.SearchStrategy) else tuple(shape)
    count = math.prod(drawn)
    values = draw(st.lists(elements if elements is not None else reals(), min_size=count, max_size=count))
    return torch.tensor(values, dtype=dtype).reshape(drawn)


@st.composite
def normals(
    draw: st.DrawFn, shape: Strategy | Sequence[int], scale: float = 1.0, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    """A tensor of standard normal entries times `scale`, from a drawn seed: any size, never tied, never zero."""
    drawn = draw(shape) if isinstance(shape, st.SearchStrategy) else tuple(shape)
    generator = torch.Generator().manual_seed(draw(seeds()))
    return torch.randn(drawn, generator=generator, dtype=torch.float64).mul(scale).to(dtype)
