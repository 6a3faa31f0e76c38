"""Declared structure: an input that lies on a manifold is perturbed within it, and the gradient is compared along it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from assay.errors import GradientInputError
from assay.gradients.target import Target

SHAPES: dict[str, Callable[[Tensor], Tensor]] = {
    "symmetric": lambda direction: (direction + direction.mT) / 2,
    "hermitian": lambda direction: (direction + direction.mH) / 2,
    "lower": torch.tril,
    "upper": torch.triu,
}


def projections(constraint: Any, target: Target) -> dict[int, Callable[[Tensor], Tensor]]:
    """The projection of every constrained input: a mapping of names, or one constraint for all square matrices among them."""
    found = {}
    for position in target.wrt:
        value, name = target.inputs[position], target.names[position]
        square = value.dim() >= 2 and value.shape[-1] == value.shape[-2]
        own = constraint.get(name) if isinstance(constraint, Mapping) else constraint if square else None
        project = _projector(own, value.shape, value.is_complex())
        if project is not None:
            found[position] = project
    return found


def _projector(constraint: Any, shape: torch.Size, complex_: bool) -> Callable[[Tensor], Tensor] | None:
    """The projection of flat directions (n,) of an input of that shape onto the declared manifold; None without a constraint."""
    if constraint is None:
        return None
    project = SHAPES.get(constraint) if isinstance(constraint, str) else constraint
    if not callable(project):
        raise GradientInputError(
            f"the constraint is not known: {constraint!r}, expected one of {', '.join(sorted(SHAPES))} or a function of a "
            "direction (constraint); name one"
        )

    def flat(direction: Tensor) -> Tensor:
        value = direction.reshape(*shape, 2) if complex_ else direction.reshape(shape)
        moved = project(torch.view_as_complex(value.contiguous()) if complex_ else value)
        return (torch.view_as_real(moved.resolve_conj()) if complex_ else moved).reshape(-1)

    return flat
