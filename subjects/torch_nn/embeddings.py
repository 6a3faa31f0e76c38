"""Embedding losses played by torch.nn.functional; torch has no margin losses on the sphere.

torch.nn.TripletMarginLoss measures plain distances (after adding 1e-6 to each difference), the role squared ones: the
same loss with a distance of one's own is torch's too, and plays it.
"""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["triplet_loss", "unit_length"]


def unit_length(x: torch.Tensor, *, eps: float = 1e-12) -> torch.Tensor:
    return functional.normalize(x, dim=-1, eps=eps)


def triplet_loss(
    anchor: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, *, margin: float = 0.2
) -> torch.Tensor:
    """torch refuses a margin of zero."""
    return functional.triplet_margin_with_distance_loss(
        anchor, positive, negative, distance_function=_squared_distance, margin=margin, reduction="none"
    )


def _squared_distance(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(a, b, reduction="none").sum(-1)
