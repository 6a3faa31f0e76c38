"""Activations played by torch."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = [
    "elu", "hardtanh", "heaviside", "leaky_relu", "linear", "log_softmax", "maxout", "relu", "sigmoid", "softmax",
    "softsign", "tanh",
]  # fmt: skip

relu = functional.relu
sigmoid = torch.sigmoid
softsign = functional.softsign
tanh = torch.tanh


def heaviside(z: torch.Tensor, *, at_zero: float = 1.0) -> torch.Tensor:
    return torch.heaviside(z, torch.tensor(at_zero, dtype=z.dtype, device=z.device))


def linear(z: torch.Tensor, *, slope: float = 1.0) -> torch.Tensor:
    return slope * torch.nn.Identity()(z)


def leaky_relu(z: torch.Tensor, *, slope: float = 0.01) -> torch.Tensor:
    return functional.leaky_relu(z, slope)


def elu(z: torch.Tensor, *, alpha: float = 1.0) -> torch.Tensor:
    return functional.elu(z, alpha)


def hardtanh(z: torch.Tensor) -> torch.Tensor:
    return functional.hardtanh(z)


def softmax(z: torch.Tensor, *, dim: int = -1) -> torch.Tensor:
    return functional.softmax(z, dim)


def log_softmax(z: torch.Tensor, *, dim: int = -1) -> torch.Tensor:
    return functional.log_softmax(z, dim)


def maxout(z: torch.Tensor, *, dim: int = -1) -> torch.Tensor:
    return z.max(dim).values
