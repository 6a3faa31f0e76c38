"""Generative models played by torch.distributions and torch.nn.functional; torch has no restricted Boltzmann machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.distributions import AffineTransform, Normal
from torch.distributions import kl_divergence as divergence
from torch.nn import functional

from subjects.torch_nn.layers import mlp

__all__ = ["autoencoder", "corrupt", "discriminator_loss", "gaussian_divergence", "generator_loss", "reparameterise"]


def autoencoder(
    x: torch.Tensor,
    encoder: Sequence[torch.Tensor],
    decoder: Sequence[torch.Tensor],
    activation: Callable[[torch.Tensor], torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    code = mlp(x, encoder, activation)
    return code, mlp(code, decoder, activation)


def gaussian_divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return divergence(Normal(mean, (log_variance / 2).exp()), prior).sum(-1)


def reparameterise(mean: torch.Tensor, log_variance: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    return AffineTransform(mean, (log_variance / 2).exp())(noise)


def corrupt(x: torch.Tensor, *, share: float, generator: torch.Generator) -> torch.Tensor:
    """torch's dropout would enlarge what it keeps, its Bernoulli draw does not."""
    kept = torch.full(x.shape, 1 - share, dtype=torch.float64, device=generator.device)
    return x * torch.bernoulli(kept, generator=generator).to(x.dtype)


def discriminator_loss(on_real: torch.Tensor, on_fake: torch.Tensor) -> torch.Tensor:
    real = functional.binary_cross_entropy_with_logits(on_real, torch.ones_like(on_real))
    return real + functional.binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake))


def generator_loss(on_fake: torch.Tensor, *, form: str = "non-saturating") -> torch.Tensor:
    if form == "original":
        return functional.logsigmoid(-on_fake).mean()
    return functional.binary_cross_entropy_with_logits(on_fake, torch.ones_like(on_fake))
