"""Inputs from a short description: "float64[3,4]" is a tensor of normal numbers of that dtype and shape."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from assay.errors import GradientInputError

PATTERN = re.compile(r"(?P<dtype>[a-z]+\d*)\[(?P<shape>[\d,\s]*)\](?:<(?P<below>\d+))?")


def described(text: str, generator: torch.Generator) -> Tensor:
    """A tensor for "dtype[shape]"; integers lie below 2, or below n with "<n" at the end."""
    match = PATTERN.fullmatch(text.strip())
    dtype = getattr(torch, match["dtype"], None) if match else None
    if match is None or not isinstance(dtype, torch.dtype):
        raise GradientInputError(
            f"the input description cannot be read: {text!r}, expected dtype[shape] such as float64[3,4] or int64[5]<10; write one"
        )
    shape = tuple(int(n) for n in match["shape"].replace(" ", "").split(",") if n)
    if dtype.is_floating_point or dtype.is_complex:
        wide = torch.complex128 if dtype.is_complex else torch.float64
        return torch.randn(shape, dtype=wide, generator=generator).to(dtype)
    return torch.randint(int(match["below"] or 2), shape, generator=generator).to(dtype)


def made(inputs: Any, seed: int = 0) -> Any:
    """Inputs as given; a factory is called, and every description among them becomes a tensor."""
    generator = torch.Generator().manual_seed(seed)
    if isinstance(inputs, Callable) and not isinstance(inputs, Tensor):  # type: ignore[arg-type]
        inputs = inputs()
    if isinstance(inputs, str):
        return (described(inputs, generator),)
    if isinstance(inputs, Mapping):
        return {name: described(v, generator) if isinstance(v, str) else v for name, v in inputs.items()}
    if isinstance(inputs, (tuple, list)):
        return tuple(described(v, generator) if isinstance(v, str) else v for v in inputs)
    return inputs
