"""The values of actions played by torch.gather and torch.nn.functional; torch has no agents."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["chosen_values", "temporal_difference_loss"]


def chosen_values(q: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
    return torch.gather(q, -1, actions.unsqueeze(-1)).squeeze(-1)


def temporal_difference_loss(q: torch.Tensor, actions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return functional.mse_loss(chosen_values(q, actions), targets.detach(), reduction="none").mean(-1)
