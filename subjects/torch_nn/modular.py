"""Modular networks played by torch.einsum and torch.nn.functional; torch has no layer of experts."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["mixture", "mixture_of_experts"]


def mixture(gate: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    return torch.einsum("...k,...ko->...o", gate, answers)


def mixture_of_experts(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    return mixture(functional.softmax(logits, -1), answers)
