"""Generative models: variational autoencoder, adversarial losses, restricted Boltzmann machine.

An autoencoder is two nets of dense layers, one after the other; here is what the generative ones need beyond that.
"""

from __future__ import annotations

import torch

from reference.activations import sigmoid
from reference.checks import require_choice, require_dims, require_floating, require_values
from reference.differentiable import Differentiable
from reference.layers import dense
from reference.losses import binary_cross_entropy_with_logits

Saved = tuple[torch.Tensor, ...]
Pair = tuple[torch.Tensor, torch.Tensor]
Machine = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

__all__ = [
    "contrastive_divergence", "corrupt", "discriminator_loss", "free_energy", "gaussian_divergence", "generator_loss",
    "gibbs_step", "reparameterise",
]  # fmt: skip


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
    Source: Vincent, Larochelle, Bengio, Manzagol, Extracting and composing robust features (2008).
    """
    require_floating("corrupt", x=x)
    if not 0 <= share <= 1:
        raise ValueError(f"corrupt got a share out of range: {share}, expected 0 <= share <= 1")
    kept = torch.rand(x.shape, generator=generator, dtype=torch.float64, device=generator.device) >= share
    return x * kept.to(x.dtype)  # (1)


def discriminator_loss(on_real: torch.Tensor, on_fake: torch.Tensor) -> torch.Tensor:
    """What it costs a discriminator to mistake real for fake and the reverse: logits (...), (...) -> ().

    (1) L = -mean log D(real) - mean log(1 - D(fake)), D = sigmoid(logit)
    Units: nats.
    Source: Goodfellow et al., Generative adversarial nets (2014), equation 1.
    """
    real = binary_cross_entropy_with_logits(on_real, torch.ones_like(on_real), reduction="mean")
    fake = binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake), reduction="mean")
    return real + fake  # (1)


def generator_loss(on_fake: torch.Tensor, *, form: str = "non-saturating") -> torch.Tensor:
    """What it costs a generator to be found out: logits of fakes (...) -> ().

    (1) original: L = mean log(1 - D(fake)), whose gradient vanishes while D is sure
    (2) non-saturating: L = -mean log D(fake), the same fixed points with a gradient of full size there
    Units: nats.
    Source: Goodfellow et al., Generative adversarial nets (2014), section 3.
    """
    require_choice("generator_loss", "form", form, ("original", "non-saturating"))
    if form == "original":
        return -binary_cross_entropy_with_logits(on_fake, torch.zeros_like(on_fake), reduction="mean")  # (1)
    return binary_cross_entropy_with_logits(on_fake, torch.ones_like(on_fake), reduction="mean")  # (2)


def free_energy(v: torch.Tensor, w: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """The free energy of visible states in a restricted Boltzmann machine: their probability is exp(-F) / Z.

    Shapes: v (n, d) of zeros and ones, w (h, d), b (d) for visible units, c (h) for hidden ones -> F (n)
    (1) F = -b · v - Σ_j log(1 + exp(w_j · v + c_j))
    Source: Hinton, A practical guide to training restricted Boltzmann machines (2010), section 16.1.
    """
    _check_machine("free_energy", v, w, b, c)
    return -(v @ b) - torch.nn.functional.softplus(dense(v, w, c)).sum(-1)  # (1)


def gibbs_step(v: torch.Tensor, machine: Machine, *, generator: torch.Generator) -> torch.Tensor:
    """Visible states after one turn: the hidden units are drawn given the visible ones, then the reverse.

    Shapes: v (n, d), machine (w (h, d), b (d), c (h)) -> v (n, d)
    (1) h_j = 1 with probability sigmoid(w_j · v + c_j)
    (2) v_i = 1 with probability sigmoid(Σ_j w_ji · h_j + b_i)
    Source: Hinton, A practical guide to training restricted Boltzmann machines (2010), section 3.
    """
    w, b, c = machine
    _check_machine("gibbs_step", v, w, b, c)
    h = _drawn(sigmoid(dense(v, w, c)), generator)  # (1)
    return _drawn(sigmoid(dense(h, w.mT, b)), generator)  # (2)


def contrastive_divergence(
    v: torch.Tensor, machine: Machine, *, steps: int = 1, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The direction in which contrastive divergence moves a restricted Boltzmann machine: for (w, b, c).

    Shapes: v (n, d), machine (w (h, d), b (d), c (h)) -> (h, d), (d), (h)
    (1) v' = v after `steps` Gibbs steps, p = sigmoid(w · v + c), p' = sigmoid(w · v' + c)
    (2) mean over the cases of (p · vᵀ - p' · v'ᵀ, v - v', p - p')
    Conventions: an ascent direction; the exact gradient of the likelihood as `steps` grows.
    Errors: ValueError if the shapes do not fit, v holds anything but 0 and 1 or steps is below 1.
    Source: Hinton, Training products of experts by minimizing contrastive divergence (2002).
    """
    w, b, c = machine
    _check_machine("contrastive_divergence", v, w, b, c)
    if steps < 1:
        raise ValueError(f"contrastive_divergence got steps out of range: {steps}, expected at least 1")
    fantasy = v
    for _ in range(steps):
        fantasy = gibbs_step(fantasy, machine, generator=generator)  # (1)
    p, q, n = sigmoid(dense(v, w, c)), sigmoid(dense(fantasy, w, c)), v.shape[0]
    return (p.mT @ v - q.mT @ fantasy) / n, (v - fantasy).mean(0), (p - q).mean(0)  # (2)


def _drawn(p: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Zeros and ones with the probabilities p."""
    u = torch.rand(p.shape, generator=generator, dtype=p.dtype, device=generator.device)
    return (u < p).to(p.dtype)


def _check_moments(name: str, mean: torch.Tensor, other: torch.Tensor) -> None:
    require_floating(name, mean=mean, other=other)
    require_dims(name, 1, mean=mean)
    if mean.shape != other.shape:
        raise ValueError(f"{name} got shapes that differ: {tuple(mean.shape)}, {tuple(other.shape)}, expected the same")


def _check_machine(name: str, v: torch.Tensor, w: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> None:
    require_floating(name, v=v, w=w, b=b, c=c)
    if v.dim() != 2 or w.dim() != 2 or v.shape[1:] != w.shape[1:] or b.shape != w.shape[1:] or c.shape != w.shape[:1]:
        raise ValueError(
            f"{name} got shapes that do not fit: v {tuple(v.shape)}, w {tuple(w.shape)}, b {tuple(b.shape)}, "
            f"c {tuple(c.shape)}, expected (n, d), (h, d), (d), (h)"
        )
    require_values(name, "states 0 or 1", (v == 0) | (v == 1))
