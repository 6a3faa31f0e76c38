"""The perceptron played by torch.heaviside and torch.nn.functional; torch has no rule to train it."""

from __future__ import annotations

import torch

from subjects.torch_nn.activations import heaviside
from subjects.torch_nn.layers import dense

__all__ = ["perceptron"]


def perceptron(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return heaviside(dense(x, w, b))
