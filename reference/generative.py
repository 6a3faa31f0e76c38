"""Autoencoders, plain, denoising and variational, and adversarial losses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from reference.activations import sigmoid_forward
from reference.checks import require_choice, require_dims, require_floating
from reference.differentiable import Differentiable
from reference.layers import mlp
from reference.regularization import masked

Saved = tuple[torch.Tensor, ...]
Pair = tuple[torch.Tensor, torch.Tensor]

__all__ = ["autoencoder", "corrupt", "discriminator_loss", "gaussian_divergence", "generator_loss", "reparameterise"]


def autoencoder(
    x: torch.Tensor,
    encoder: Sequence[torch.Tensor],
    decoder: Sequence[torch.Tensor],
    activation: Callable[[torch.Tensor], torch.Tensor],
) -> tuple[torch.Tensor, torch.Tensor]:
    """An autoencoder: a net that leads to a code, and one that leads from the code back to what went in.

    Shapes: x (..., n, d), encoder and decoder w1, b1, w2, b2, ... each -> code (..., n, k), y (..., n, d)
    (1) code = mlp(x, encoder)
    (2) y = mlp(code, decoder)
    Conventions: undercomplete if k < d, overcomplete if k > d; denoising if x has gone through `corrupt` and y is
        compared with what x was before. The activation stands between layers, not on the code and not on y.
    Errors: ValueError if y has not as many features as x, and those of `mlp`.
    Example:
        halve, double = [0.5 * torch.eye(2), torch.zeros(2)], [2 * torch.eye(2), torch.zeros(2)]
        [t.tolist() for t in autoencoder(torch.ones(1, 2), halve, double, torch.relu)] == [[[0.5, 0.5]], [[1.0, 1.0]]]
    Asked: gfg-7.5, gfg-7.6, gfg-51.1, gfg-51.2, gfg-51.3, gfg-51.5, ib-32.1, ib-32.2, ib-32.3, ib-32.4, ib-32.5,
        ib-32.6, ib-32.7, ib-32.8, ib-32.9, ib-33.1, ib-33.3, ib-33.4, ib-33.5, ib-33.6, ib-33.7, ib-33.8, ib-33.9,
        ib-33.11, ib-33.12, ib-33.13
    Source: Hinton and Salakhutdinov, Reducing the dimensionality of data with neural networks (2006).
    """
    code = mlp(x, encoder, activation)  # (1)
    y = mlp(code, decoder, activation)  # (2)
    if y.shape[-1] != x.shape[-1]:
        raise ValueError(
            f"autoencoder got a decoder that does not lead back: {y.shape[-1]} features, expected {x.shape[-1]}, those of x"
        )
    return code, y


def gaussian_divergence_forward(mean: torch.Tensor, log_variance: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """The Kullback-Leibler divergence of the standard normal law from a diagonal one: a variational autoencoder's prior.

    Shapes: mean (..., d), log_variance (..., d) -> L (...)
    Forward:
        (1) L = ½ · Σ (mean² + exp(log_variance) - 1 - log_variance)
    Backward:
        (2) dmean = dL · mean
        (3) dlog_variance = dL · (exp(log_variance) - 1) / 2
    Conventions: never negative, 0 only for mean 0 and variance 1; exp(v) - 1 is computed without cancellation.
    Units: nats.
    Example: gaussian_divergence(torch.tensor([2.0, 0.0]), torch.zeros(2)).item() == 2.0
    Asked: gfg-14.9
    Source: Kingma and Welling, Auto-encoding variational Bayes (2014), appendix B.
    """
    _check_moments("gaussian_divergence", mean, log_variance)
    terms = mean.square() + (torch.expm1(log_variance) - log_variance)
    return terms.sum(-1) / 2, (mean, log_variance)  # (1)


def gaussian_divergence_backward(saved: Saved, dL: torch.Tensor) -> Pair:
    mean, log_variance = saved
    dl = dL.unsqueeze(-1)
    return dl * mean, dl * torch.expm1(log_variance) / 2  # (2) (3)


def reparameterise_forward(
    mean: torch.Tensor, log_variance: torch.Tensor, noise: torch.Tensor
) -> tuple[torch.Tensor, Saved]:
    """A draw from a normal law as a function of its moments, so that gradients reach them.

    Shapes: mean (..., d), log_variance (..., d), noise (..., d) -> z (..., d)
    Forward:
        (1) z = mean + exp(log_variance / 2) · noise
    Backward:
        (2) dmean = dz, dnoise = dz · exp(log_variance / 2)
        (3) dlog_variance = dz · exp(log_variance / 2) · noise / 2
    Conventions: the noise is standard normal and drawn outside, from a passed generator.
    Example: reparameterise(torch.tensor([1.0]), torch.zeros(1), torch.tensor([2.0])).tolist() == [3.0]
    Asked: none
    Source: Kingma and Welling, Auto-encoding variational Bayes (2014), section 2.4.
    """
    _check_moments("reparameterise", mean, log_variance)
    _check_moments("reparameterise", mean, noise)
    spread = (log_variance / 2).exp()
    return mean + spread * noise, (spread, noise)  # (1)


def reparameterise_backward(saved: Saved, dz: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    spread, noise = saved
    return dz, dz * spread * noise / 2, dz * spread  # (2) (3)


gaussian_divergence = Differentiable(gaussian_divergence_forward, gaussian_divergence_backward)
reparameterise = Differentiable(reparameterise_forward, reparameterise_backward)


def corrupt(x: torch.Tensor, *, share: float, generator: torch.Generator) -> torch.Tensor:
    """The input of a denoising autoencoder: each entry set to zero with probability `share`, for itself.

    Shapes: x (...) -> (...)
    (1) x · m, m = 0 with probability share, else 1
    Errors: ValueError if share lies outside [0, 1].
    Example: corrupt(torch.ones(3), share=1.0, generator=torch.Generator()).tolist() == [0.0, 0.0, 0.0]
    Asked: ib-33.1
    Source: Vincent, Larochelle, Bengio, Manzagol, Extracting and composing robust features (2008).
    """
    require_floating("corrupt", x=x)
    if not 0 <= share <= 1:
        raise ValueError(f"corrupt got a share out of range: {share}, expected 0 <= share <= 1")
    kept = torch.rand(x.shape, generator=generator, dtype=torch.float64, device=generator.device) >= share
    return masked(x, kept.to(x.dtype))  # (1)


def discriminator_loss_forward(on_real: torch.Tensor, on_fake: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """What it costs a discriminator to mistake real for fake and the reverse.

    Shapes: on_real (...), on_fake (...) of logits z, z' -> L ()
    Forward:
        (1) L = mean log(1 + exp(-z)) + mean log(1 + exp(z')), which is -mean log D(real) - mean log(1 - D(fake)) for
            D = sigmoid(logit)
    Backward, n and n' counting the entries:
        (2) dz = -dL · sigmoid(-z) / n
        (3) dz' = dL · sigmoid(z') / n'
    Conventions: the two need not be equally many; a mean over nothing is NaN.
    Units: nats.
    Example: discriminator_loss(torch.tensor([1000.0]), torch.tensor([-1000.0])).item() == 0.0
    Asked: gfg-52.3, gfg-52.5
    Source: Goodfellow et al., Generative adversarial nets (2014), equation 1.
    """
    require_floating("discriminator_loss", on_real=on_real, on_fake=on_fake)
    return _softplus(-on_real).mean() + _softplus(on_fake).mean(), (on_real, on_fake)  # (1)


def discriminator_loss_backward(saved: Saved, dL: torch.Tensor) -> Pair:
    real, fake = saved
    dreal = -dL * sigmoid_forward(-real)[0] / real.numel()  # (2)
    return dreal, dL * sigmoid_forward(fake)[0] / fake.numel()  # (3)


def generator_loss_forward(on_fake: torch.Tensor, *, form: str = "non-saturating") -> tuple[torch.Tensor, Saved]:
    """What it costs a generator to be found out.

    Shapes: on_fake (...) of logits z -> L ()
    Forward:
        (1) original: L = mean log(1 - D(fake)) = -mean log(1 + exp(z))
        (2) non-saturating: L = -mean log D(fake) = mean log(1 + exp(-z))
    Backward, n counting the entries:
        (3) original: dz = -dL · sigmoid(z) / n, which vanishes while the discriminator is sure of the fake
        (4) non-saturating: dz = -dL · sigmoid(-z) / n, of full size there
    Conventions: both have the same fixed points.
    Units: nats.
    Example: generator_loss(torch.tensor([-1000.0])).item() == 1000.0
    Asked: gfg-52.2, gfg-52.4
    Source: Goodfellow et al., Generative adversarial nets (2014), section 3.
    """
    require_choice("generator_loss", "form", form, ("original", "non-saturating"))
    require_floating("generator_loss", on_fake=on_fake)
    if form == "original":
        return -_softplus(on_fake).mean(), (on_fake,)  # (1)
    return _softplus(-on_fake).mean(), (on_fake,)  # (2)


def generator_loss_backward(saved: Saved, dL: torch.Tensor, *, form: str = "non-saturating") -> tuple[torch.Tensor]:
    (z,) = saved
    found_out = sigmoid_forward(z if form == "original" else -z)[0]  # (3) (4)
    return (-dL * found_out / z.numel(),)


discriminator_loss = Differentiable(discriminator_loss_forward, discriminator_loss_backward)
generator_loss = Differentiable(generator_loss_forward, generator_loss_backward)


def _softplus(z: torch.Tensor) -> torch.Tensor:
    """log(1 + exp(z)), finite for every finite z and exact where exp(z) is tiny."""
    return z.clamp_min(0) + torch.log1p((-z.abs()).exp())


def _check_moments(name: str, mean: torch.Tensor, other: torch.Tensor) -> None:
    require_floating(name, mean=mean, other=other)
    require_dims(name, 1, mean=mean)
    if mean.shape != other.shape:
        raise ValueError(f"{name} got shapes that differ: {tuple(mean.shape)}, {tuple(other.shape)}, expected the same")
