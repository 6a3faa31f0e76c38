"""Changed inputs: one entry at a time becomes special, axes become one long, empty, or one longer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from assay.gradients.target import Target

# Special beside inputs of ordinary size.
SPECIAL = (0.0, 1.0, -1.0, 30.0, -30.0)
# So far from the others that the function may have structure far finer than this entry, or far coarser.
FAR = (1e-6, 1e6)


@dataclass(frozen=True)
class Change:
    """Changed inputs, in words and as values; `far` when one entry is of another order of magnitude than the rest."""

    name: str
    inputs: list[Any]
    far: bool = False


def values(target: Target, generator: torch.Generator) -> Iterator[Change]:
    """One entry of one input at a time becomes special: 0, ±1, equal to its neighbour, very large, very small."""
    for position in target.wrt:
        value, name = target.inputs[position], target.names[position]
        if value.numel() == 0:
            continue
        place = int(torch.randint(value.numel(), (1,), generator=generator))
        for special in (*SPECIAL, *FAR):
            changed = _with(target, position, _placed(value, place, special))
            yield Change(f"with one entry of {name} set to {special:g}", changed, special in FAR)
        if value.numel() > 1:
            neighbour = value.reshape(-1)[(place + 1) % value.numel()]
            changed = _with(target, position, _placed(value, place, neighbour))
            yield Change(f"with two entries of {name} equal", changed)
    for position, value in enumerate(target.inputs):
        if isinstance(value, Tensor) and value.dtype in (torch.int64, torch.int32) and value.numel() > 1:
            same = value.reshape(-1)[:1].expand(value.shape).clone()
            yield Change(f"with all entries of {target.names[position]} the same", _with(target, position, same))


def _with(target: Target, position: int, value: Tensor) -> list[Any]:
    inputs = list(target.inputs)
    inputs[position] = value
    return inputs


def _placed(value: Tensor, place: int, special: Any) -> Tensor:
    changed = value.clone(memory_format=torch.contiguous_format)
    changed.view(-1)[place] = special
    return changed


def sizes(target: Target) -> Iterator[Change]:
    """All axes of one size become one long, empty, or one longer; then each first and each last axis by itself."""
    shapes = {k: tuple(v.shape) for k, v in enumerate(target.inputs) if isinstance(v, Tensor)}
    groups: list[tuple[str, set[tuple[int, int]]]] = []
    for size in sorted({n for shape in shapes.values() for n in shape if n > 1}):
        every = {(k, axis) for k, shape in shapes.items() for axis, n in enumerate(shape) if n == size}
        first = {(k, axis) for k, axis in every if axis == 0}
        groups.append((f"axes of {size}", every))
        if first and first != every:
            groups.append((f"first axes of {size}", first))
            groups.append((f"other axes of {size}", every - first))
    for label, axes in groups:
        for wanted, word in ((1, "cut to one"), (0, "cut to zero"), (None, "one longer")):
            inputs = list(target.inputs)
            for k, axis in axes:
                inputs[k] = _resized(inputs[k], axis, wanted)
            yield Change(f"with {label} {word}", inputs)


def _resized(value: Tensor, axis: int, wanted: int | None) -> Tensor:
    if wanted is not None:
        return value.narrow(axis, 0, wanted).clone()
    extra = value.narrow(axis, 0, 1)
    # The added slice differs from the one that it continues, so that it makes no tie.
    return torch.cat([value, extra * 0.75 + 0.125 if value.is_floating_point() else extra], axis)
