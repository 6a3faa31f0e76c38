"""Normalisation played by torch.nn.functional; torch has no scaling of data."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["batch_norm", "batch_norm_evaluation", "layer_norm", "residual", "running_statistics"]

residual = torch.add


def batch_norm(x: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor, *, eps: float = 1e-5) -> torch.Tensor:
    return functional.batch_norm(x, None, None, gain, shift, training=True, eps=eps)


def batch_norm_evaluation(
    x: torch.Tensor,
    gain: torch.Tensor,
    shift: torch.Tensor,
    mean: torch.Tensor,
    variance: torch.Tensor,
    *,
    eps: float = 1e-5,
) -> torch.Tensor:
    return functional.batch_norm(x, mean, variance, gain, shift, training=False, eps=eps)


def running_statistics(
    x: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor, *, rate: float = 0.1
) -> tuple[torch.Tensor, torch.Tensor]:
    mean, variance = mean.clone(), variance.clone()
    functional.batch_norm(x, mean, variance, training=True, momentum=rate)
    return mean, variance


def layer_norm(x: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor, *, eps: float = 1e-5) -> torch.Tensor:
    return functional.layer_norm(x, gain.shape, gain, shift, eps)
