"""Inputs for the corpus: fixed kinds at a seed, and Hypothesis strategies over shapes, values and layouts.

Default inputs leave nothing to luck: `mixed` has both signs by construction and stays at least 0.3 from zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from tests.gradients.corpus.entry import Inputs, Named, Strategy

Shape = tuple[int, ...]
ORDINARY = (0.0, 1.0, -1.0, 2.0)


def magnitudes(shape: Shape, generator: torch.Generator, dtype: torch.dtype, low: float, high: float) -> Tensor:
    """Uniform numbers in [low, high), drawn in float64 so that both dtypes see the same point."""
    return (low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)).to(dtype)


def alternating(shape: Shape) -> Tensor:
    """Signs + - + - ... with one more flip every three entries, so that no axis has all its signs alike."""
    place = torch.arange(math.prod(shape))
    return (1.0 - 2.0 * ((place + place // 3) % 2)).to(torch.float64).reshape(shape)


def mixed(**shapes: Shape) -> Inputs:
    """Both signs, magnitudes in [0.3, 1.7)."""

    def inputs(generator: torch.Generator, dtype: torch.dtype) -> Named:
        return {
            name: magnitudes(shape, generator, dtype, 0.3, 1.7) * alternating(shape).to(dtype)
            for name, shape in shapes.items()
        }

    return inputs


def uniform(low: float, high: float, **shapes: Shape) -> Inputs:
    """Numbers in [low, high)."""

    def inputs(generator: torch.Generator, dtype: torch.dtype) -> Named:
        return {name: magnitudes(shape, generator, dtype, low, high) for name, shape in shapes.items()}

    return inputs


def fixed(**values: object) -> Inputs:
    """The given numbers; integers stay integers, everything else takes the dtype asked for."""

    def tensor(value: object, dtype: torch.dtype) -> Tensor:
        drawn = torch.from_numpy(np.array(value))
        return drawn.to(dtype) if drawn.is_floating_point() else drawn

    def inputs(generator: torch.Generator, dtype: torch.dtype) -> Named:
        return {name: tensor(value, dtype) for name, value in values.items()}

    return inputs


def joined(*parts: Inputs) -> Inputs:
    """The named tensors of several inputs, in order."""

    def inputs(generator: torch.Generator, dtype: torch.dtype) -> Named:
        return {name: x for part in parts for name, x in part(generator, dtype).items()}

    return inputs


def changed(base: Inputs, change: Callable[[Named], Named]) -> Inputs:
    """Inputs after a change: a layout, a constant, a complex pair."""
    return lambda generator, dtype: change(base(generator, dtype))


def widened(x: Tensor) -> Tensor:
    """The same numbers with every second place of a twice as wide row: no longer contiguous."""
    return torch.stack([x, torch.zeros_like(x)], -1)[..., 0] if x.dim() else x


def quotient(a: Tensor, b: Tensor) -> Tensor:
    """a / b, zero where b is zero: the subgradient that a norm has there."""
    return torch.where(b == 0, 0, a / torch.where(b == 0, 1, b))


def turned(x: Tensor) -> Tensor:
    """The same numbers with the memory order of the axes reversed."""
    axes = tuple(reversed(range(x.dim())))
    return x.permute(axes).contiguous().permute(axes)


def repeated(x: Tensor) -> Tensor:
    """The first row of x for every row, expanded and not copied."""
    return x[:1].expand_as(x) if x.dim() and x.shape[0] else x


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "turned": turned,
    "widened": widened,
    "repeated": repeated,
}


def filled(shape: Shape, seed: int, share: float, special: Sequence[float], low: float, high: float) -> Tensor:
    """Numbers of both signs (or of one, when low >= 0), a share of them replaced by special values."""
    generator = torch.Generator().manual_seed(seed)
    x = low + (high - low) * torch.rand(shape, generator=generator, dtype=torch.float64)
    if not special:
        return x
    chosen = torch.tensor(special, dtype=torch.float64)[torch.randint(len(special), shape, generator=generator)]
    return torch.where(torch.rand(shape, generator=generator, dtype=torch.float64) < share, chosen, x)


def exploring(
    special: Sequence[float] = ORDINARY,
    sizes: tuple[int, int] = (1, 5),
    layouts: Sequence[str] = ("contiguous",),
    low: float = -1.7,
    high: float = 1.7,
    divisible: int = 1,
    **axes: str,
) -> Strategy:
    """A strategy over shapes given by letters: `exploring(x="nm", w="km")` draws n, m and k and shares m.

    Each tensor is ordinary, or has special values here and there or everywhere, in one of the layouts.
    """

    def strategy(dtype: torch.dtype) -> st.SearchStrategy[Named]:
        @st.composite
        def named(draw: st.DrawFn) -> Named:
            letters = sorted(set("".join(axes.values())))
            size = {letter: divisible * draw(st.integers(*sizes), label=letter) for letter in letters}
            drawn = {}
            for name, letters_of in axes.items():
                shape = tuple(size[letter] for letter in letters_of)
                share = draw(st.sampled_from([0.0, 0.3, 1.0]), label=f"share of special values in {name}")
                x = filled(shape, draw(st.integers(0, 99), label=f"seed of {name}"), share, special, low, high)
                drawn[name] = LAYOUTS[draw(st.sampled_from(list(layouts)), label=f"layout of {name}")](x.to(dtype))
            return drawn

        return named()

    return strategy


def length(drawn: Named, code: str) -> int:
    """The size that a code such as "x1" names: axis 1 of x."""
    return drawn[code[:-1]].shape[int(code[-1])]


def with_integers(base: Strategy, low: int, high: int | str, **axes: str) -> Strategy:
    """Add integer tensors to a strategy: `t="x0"` has the length of axis 0 of x; a `high` such as "x1" is a size."""

    def strategy(dtype: torch.dtype) -> st.SearchStrategy[Named]:
        @st.composite
        def named(draw: st.DrawFn) -> Named:
            drawn = draw(base(dtype))
            top = length(drawn, high) - 1 if isinstance(high, str) else high
            for name, code in axes.items():
                drawn[name] = torch.tensor([draw(st.integers(low, top)) for _ in range(length(drawn, code))])
            return drawn

        return named()

    return strategy
