"""Follow an optimiser down a known landscape, step by step, with gradients written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

Slope = Callable[[torch.Tensor], torch.Tensor]
Update = Callable[[list[torch.Tensor], list[torch.Tensor], Any], tuple[Any, Any]]  # parameters, gradients, state


def path(update: Update, slope: Slope, start: torch.Tensor, steps: int) -> torch.Tensor:
    """The points that `steps` updates visit, the start first: w (...) -> (steps + 1, ...)."""
    w, state, visited = start, None, [start]
    for _ in range(steps):
        (w,), state = update([w], [slope(w)], state)
        visited.append(w)
    return torch.stack(visited)


def steps_to(update: Update, slope: Slope, start: torch.Tensor, reach: float, most: int) -> int:
    """After how many updates all coordinates are within `reach` of zero; `most` + 1 if never within `most` updates."""
    w, state = start, None
    for step in range(most):
        if float(w.abs().max()) <= reach:
            return step
        (w,), state = update([w], [slope(w)], state)
    return most if float(w.abs().max()) <= reach else most + 1


@dataclass(frozen=True)
class Landscape:
    """A loss over w (..., d) with its slope and its least value; `convex` is a fact about the formula."""

    loss: Callable[[torch.Tensor], torch.Tensor]
    slope: Slope
    least: float
    convex: bool


def _bowl(w: torch.Tensor) -> torch.Tensor:
    return (w.square() * w.new_tensor([1.0, 4.0])).sum(-1) / 2


def _two_wells(w: torch.Tensor) -> torch.Tensor:
    return (w**4 - 2 * w**2 + 0.3 * w).sum(-1)


def _pass(w: torch.Tensor) -> torch.Tensor:
    return w[..., 0].square() + (w[..., 1].square() - 1).square() / 4


def _dimple(w: torch.Tensor) -> torch.Tensor:
    return (w.square() / 20 - 0.3 * torch.exp(-(((w - 3) / 0.3) ** 2))).sum(-1)


# Least values: of the two wells, the loss at the lowest root of 4w³ - 4w + 0.3, w = -1.03557871; of the dimpled bowl,
# -0.3·exp(-100) near w = 0, which is zero to 43 digits.
LANDSCAPES = {
    "bowl": Landscape(_bowl, lambda w: w * w.new_tensor([1.0, 4.0]), 0.0, convex=True),
    "shallow bowl": Landscape(lambda w: w.square().sum(-1) / 20, lambda w: w / 10, 0.0, convex=True),
    "two wells": Landscape(_two_wells, lambda w: 4 * w**3 - 4 * w + 0.3, -1.3054284837, convex=False),
    "mountain pass": Landscape(
        _pass, lambda w: torch.stack([2 * w[..., 0], w[..., 1] * (w[..., 1].square() - 1)], -1), 0.0, convex=False
    ),
    "dimpled bowl": Landscape(
        _dimple, lambda w: w / 10 + 0.6 * (w - 3) / 0.09 * torch.exp(-(((w - 3) / 0.3) ** 2)), 0.0, convex=False
    ),
}
