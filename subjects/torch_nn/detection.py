"""Of detection, torch itself has the loss of offsets; boxes are in torchvision."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["smooth_l1"]


def smooth_l1(y_hat: torch.Tensor, y: torch.Tensor, *, beta: float = 1.0) -> torch.Tensor:
    return functional.smooth_l1_loss(*torch.broadcast_tensors(y_hat, y), reduction="none", beta=beta)
