"""The small network that the claims of this topic train: many replicas with tanh units and one logit."""

from __future__ import annotations

from typing import Any

import torch

from claims.lab.training import Parameters, mlp


def binary_loss(lib: Any, params: Parameters, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The mean cross-entropy of each replica's logits against
    labels 0/1: x (n, d) or (R, n, d), y (n,) or (R, n) -> (R,)."""
    z = mlp(lib, params, x, lib.tanh)[..., 0]
    return (torch.nn.functional.softplus(z) - y * z).mean(-1)
