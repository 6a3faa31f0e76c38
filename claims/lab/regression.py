"""Least squares with the gradient of every sample at hand: the field on which batch, stochastic and mini-batch descent differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

Rates = Callable[[int], float]  # step -> learning rate


@dataclass(frozen=True)
class Regression:
    """Loss (1/n)·Σ (x_i·w - y_i)²/2 of R replicas at once: x (R, n, d), y (R, n)."""

    x: torch.Tensor
    y: torch.Tensor

    def sample_gradients(self, w: torch.Tensor) -> torch.Tensor:
        """The gradient of each sample's loss: w (R, d) -> (R, n, d)."""
        residual = (self.x @ w[..., None])[..., 0] - self.y
        return residual[..., None] * self.x

    def rows(self, index: torch.Tensor) -> Regression:
        """The samples of `index`: (m,) the same for all replicas, or (R, m)."""
        if index.dim() == 1:
            return Regression(self.x[:, index], self.y[:, index])
        at = torch.arange(self.x.shape[0], device=self.x.device)[:, None]
        return Regression(self.x[at, index], self.y[at, index])

    def loss(self, w: torch.Tensor) -> torch.Tensor:
        """The mean loss of each replica: w (R, d) -> (R,)."""
        return ((self.x @ w[..., None])[..., 0] - self.y).square().mean(-1) / 2

    def minimiser(self) -> torch.Tensor:
        """The exact solution of each replica: (R, d)."""
        return torch.linalg.lstsq(self.x, self.y[..., None]).solution[..., 0]

    def curvature(self) -> torch.Tensor:
        """The largest eigenvalue of the loss's second derivative: (R,)."""
        return torch.linalg.eigvalsh(self.x.mT @ self.x / self.x.shape[1])[:, -1]


def gaussian(replicas: int, n: int, d: int, generator: torch.Generator, *, noise: float) -> Regression:
    """Gaussian inputs, a Gaussian true weight vector, targets with Gaussian noise of this standard deviation."""
    x, w, e = (
        torch.randn(replicas, *shape, generator=generator, dtype=torch.float64, device=generator.device)
        for shape in ((n, d), (d, 1), (n,))
    )  # fmt: skip
    return Regression(x, (x @ w)[..., 0] + noise * e)


def batch_descent(lib: Any, data: Regression, w: torch.Tensor, *, lr: float | torch.Tensor, steps: int) -> torch.Tensor:
    """`steps` updates, each along the mean gradient of the whole set: w (R, d) -> (R, d)."""
    for _ in range(steps):
        (w,), _state = lib.sgd([w], [_scaled(lib.mean_gradient(data.sample_gradients(w)), lr)], None, lr=1.0)
    return w


def _scaled(gradient: torch.Tensor, lr: float | torch.Tensor) -> torch.Tensor:
    """lr·g, with one rate for all replicas or one (R,) for each."""
    return gradient * (lr[:, None] if isinstance(lr, torch.Tensor) else lr)


def sampled_descent(
    lib: Any, data: Regression, w: torch.Tensor, *, rate: Rates, steps: int, size: int, generator: torch.Generator
) -> torch.Tensor:
    """`steps` updates, each along the mean gradient of `size` samples drawn with replacement: w (R, d) -> (R, d)."""
    replicas, n = data.y.shape
    for step in range(steps):
        index = torch.randint(n, (replicas, size), generator=generator, device=generator.device)
        (w,), _state = lib.sgd([w], [lib.mean_gradient(data.rows(index).sample_gradients(w))], None, lr=rate(step))
    return w


def distance(w: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The squared Euclidean distance of each replica: (R, d), (R, d) -> (R,)."""
    return (w - target).square().sum(-1)
