"""Losses played by torch.nn.functional."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "categorical_cross_entropy", "cross_entropy",
    "kl_divergence", "mean_squared_error",
]  # fmt: skip


def binary_cross_entropy(p: torch.Tensor, y: torch.Tensor, *, reduction: str = "none") -> torch.Tensor:
    return functional.binary_cross_entropy(*torch.broadcast_tensors(p, y), reduction=reduction)


def binary_cross_entropy_with_logits(z: torch.Tensor, y: torch.Tensor, *, reduction: str = "none") -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(*torch.broadcast_tensors(z, y), reduction=reduction)


def cross_entropy(z: torch.Tensor, labels: torch.Tensor, *, reduction: str = "none") -> torch.Tensor:
    cases = z.shape[:-1]
    rows, classes = z.reshape(-1, z.shape[-1]), labels.expand(cases).reshape(-1).long()
    losses = functional.cross_entropy(rows, classes, reduction=reduction)
    return losses.reshape(cases) if reduction == "none" else losses


def categorical_cross_entropy(p: torch.Tensor, y: torch.Tensor, *, reduction: str = "none") -> torch.Tensor:
    """torch has no such loss of probabilities; cross-entropy = divergence + entropy, both of which it has."""
    divergence = functional.kl_div(*torch.broadcast_tensors(p.log(), y), reduction="none")
    return _reduced((divergence + torch.special.entr(y)).sum(-1), reduction)


def kl_divergence(p: torch.Tensor, q: torch.Tensor, *, reduction: str = "none") -> torch.Tensor:
    return _reduced(functional.kl_div(*torch.broadcast_tensors(q.log(), p), reduction="none").sum(-1), reduction)


def mean_squared_error(y_hat: torch.Tensor, y: torch.Tensor, *, reduction: str = "none") -> torch.Tensor:
    return functional.mse_loss(*torch.broadcast_tensors(y_hat, y), reduction=reduction)


def _reduced(losses: torch.Tensor, reduction: str) -> torch.Tensor:
    """torch's own mean of the divergence counts the classes as cases too; here a case is a row."""
    return {"none": lambda: losses, "mean": losses.mean, "sum": losses.sum}[reduction]()
