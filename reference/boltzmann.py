"""The restricted Boltzmann machine: two layers of binary units, every visible one tied to every hidden one.

A machine is (w, b, c): w (..., h, d), b (..., d) for the d visible units, c (..., h) for the h hidden ones. Leading axes
are replicas: many machines learn at once.
"""

from __future__ import annotations

import torch

from reference.activations import sigmoid, sigmoid_forward
from reference.checks import require_broadcast, require_dims, require_floating, require_values
from reference.differentiable import Differentiable
from reference.layers import dense

Saved = tuple[torch.Tensor, ...]
Machine = tuple[torch.Tensor, torch.Tensor, torch.Tensor]

__all__ = [
    "binary_states", "contrastive_divergence", "free_energy", "gibbs_step", "joint_energy", "likelihood_gradient",
    "log_probability",
]  # fmt: skip

MOST_UNITS = 16  # 2^16 states of 16 units in float64 take 8 MiB, times the replicas


def joint_energy_forward(
    v: torch.Tensor, h: torch.Tensor, w: torch.Tensor, b: torch.Tensor, c: torch.Tensor
) -> tuple[torch.Tensor, Saved]:
    """The energy of a state of all units of a restricted Boltzmann machine: its probability is exp(-E) / Z.

    Shapes: v (..., n, d), h (..., n, k), w (..., k, d), b (..., d), c (..., k) -> E (..., n)
    Forward:
        (1) E = -b · v - c · h - h · w · v
    Backward:
        (2) dv = -dE · (b + h · w)
        (3) dh = -dE · (c + w · v)
        (4) dw = -Σ dE · h · vᵀ, db = -Σ dE · v, dc = -Σ dE · h over the n cases
    Conventions: defined for real states too, as probabilities in place of bits; leading axes broadcast, and gradients
        are summed back over them.
    Example:
        v, h, w, b, c = torch.ones(1, 1), torch.ones(1, 1), torch.tensor([[2.0]]), torch.tensor([3.0]), torch.tensor([4.0])
        joint_energy(v, h, w, b, c).tolist() == [-9.0]
    Asked: none
    Source: Hinton, A practical guide to training restricted Boltzmann machines (2010), equation 1.
    """
    _check_machine("joint_energy", v, (w, b, c))
    require_floating("joint_energy", h=h)
    if h.dim() < 2 or h.shape[-2:] != (v.shape[-2], w.shape[-2]):
        raise ValueError(
            f"joint_energy got hidden states that do not fit: {tuple(h.shape)}, expected (..., {v.shape[-2]}, "
            f"{w.shape[-2]}) for v {tuple(v.shape)}, w {tuple(w.shape)}"
        )
    tied = (h * (v @ w.mT)).sum(-1)  # (..., n)
    return -((v * b.unsqueeze(-2)).sum(-1) + (h * c.unsqueeze(-2)).sum(-1) + tied), (v, h, w, b, c)  # (1)


def joint_energy_backward(saved: Saved, dE: torch.Tensor) -> tuple[torch.Tensor, ...]:
    v, h, w, b, c = saved
    g = -dE.unsqueeze(-1)  # (..., n, 1)
    dv = g * (b.unsqueeze(-2) + h @ w)  # (2) (..., n, d)
    dh = g * (c.unsqueeze(-2) + v @ w.mT)  # (3) (..., n, k)
    dw, db, dc = (g * h).mT @ v, (g * v).sum(-2), (g * h).sum(-2)  # (4) (..., k, d), (..., d), (..., k)
    pairs = zip((dv, dh, dw, db, dc), (v, h, w, b, c), strict=True)
    return tuple(slope.sum_to_size(tensor.shape) for slope, tensor in pairs)


def free_energy_forward(
    v: torch.Tensor, w: torch.Tensor, b: torch.Tensor, c: torch.Tensor
) -> tuple[torch.Tensor, Saved]:
    """The free energy of visible states in a restricted Boltzmann machine: their probability is exp(-F) / Z.

    Shapes: v (..., n, d), w (..., h, d), b (..., d), c (..., h) -> F (..., n)
    Forward:
        (1) a = w · v + c
        (2) F = -b · v - Σ_j log(1 + exp(a_j)), the sum of exp(-E) over the hidden states being exp(-F)
    Backward, with p = sigmoid(a), the probabilities of the hidden units:
        (3) dv = -dF · (b + p · w)
        (4) dw = -Σ dF · p · vᵀ, db = -Σ dF · v, dc = -Σ dF · p over the n cases
    Conventions: those of `joint_energy`; finite for every finite input.
    Example:
        v, w, b, c = torch.ones(1, 1), torch.zeros(1, 1), torch.tensor([3.0]), torch.tensor([-1000.0])
        free_energy(v, w, b, c).tolist() == [-3.0]
    Asked: none
    Source: Hinton, A practical guide to training restricted Boltzmann machines (2010), section 16.1.
    """
    _check_machine("free_energy", v, (w, b, c))
    a = v @ w.mT + c.unsqueeze(-2)  # (1) (..., n, h)
    hidden = a.clamp_min(0) + torch.log1p((-a.abs()).exp())
    return -((v * b.unsqueeze(-2)).sum(-1) + hidden.sum(-1)), (v, w, b, c, a)  # (2)


def free_energy_backward(saved: Saved, dF: torch.Tensor) -> tuple[torch.Tensor, ...]:
    v, w, b, c, a = saved
    p, _ = sigmoid_forward(a)  # (..., n, h)
    dv, _, dw, db, dc = joint_energy_backward((v, p, w, b, c), dF)  # (3) (4)
    return dv, dw, db, dc


joint_energy = Differentiable(joint_energy_forward, joint_energy_backward)
free_energy = Differentiable(free_energy_forward, free_energy_backward)


def gibbs_step(v: torch.Tensor, machine: Machine, *, generator: torch.Generator) -> torch.Tensor:
    """Visible states after one turn: the hidden units are drawn given the visible ones, then the reverse.

    Shapes: v (..., n, d), machine (w, b, c) -> v (..., n, d)
    (1) h_j = 1 with probability sigmoid(w_j · v + c_j)
    (2) v_i = 1 with probability sigmoid(Σ_j w_ji · h_j + b_i)
    Example:
        w, b, c = torch.zeros(1, 2), torch.tensor([1000.0, -1000.0]), torch.zeros(1)
        gibbs_step(torch.zeros(1, 2), (w, b, c), generator=torch.Generator()).tolist() == [[1.0, 0.0]]
    Asked: none
    Source: Hinton, A practical guide to training restricted Boltzmann machines (2010), section 3.
    """
    w, b, c = machine
    _check_bits("gibbs_step", v, machine)
    h = drawn(sigmoid(dense(v, w, c)), generator)  # (1)
    return drawn(sigmoid(dense(h, w.mT, b)), generator)  # (2)


def contrastive_divergence(
    v: torch.Tensor, machine: Machine, *, steps: int = 1, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The direction in which contrastive divergence moves a restricted Boltzmann machine: for (w, b, c).

    Shapes: v (..., n, d), machine (w, b, c) -> (..., h, d), (..., d), (..., h)
    (1) v' = v after `steps` Gibbs steps, p = sigmoid(w · v + c), p' = sigmoid(w · v' + c)
    (2) mean over the n cases of (p · vᵀ - p' · v'ᵀ, v - v', p - p')
    Conventions: an ascent direction; the exact gradient of the likelihood as `steps` grows.
    Errors: ValueError if the shapes do not fit, v holds anything but 0 and 1 or steps is below 1.
    Example:
        w, b, c = torch.zeros(1, 2), torch.zeros(2), torch.zeros(1)
        contrastive_divergence(torch.ones(1, 2), (w, b, c), generator=torch.Generator())[2].tolist() == [0.0]
    Asked: none
    Source: Hinton, Training products of experts by minimizing contrastive divergence (2002).
    """
    _check_bits("contrastive_divergence", v, machine)
    if steps < 1:
        raise ValueError(f"contrastive_divergence got steps out of range: {steps}, expected at least 1")
    fantasy = v
    for _ in range(steps):
        fantasy = gibbs_step(fantasy, machine, generator=generator)  # (1)
    n = v.shape[-2]
    shares = torch.full(v.shape[:-1], 1 / n, dtype=v.dtype, device=v.device)  # (..., n)
    data, model = (_expected(states, machine, shares) for states in (v, fantasy))
    return data[0] - model[0], data[1] - model[1], data[2] - model[2]  # (2)


def binary_states(units: int, *, like: torch.Tensor) -> torch.Tensor:
    """Every state of binary units, in the order of the numbers that they spell.

    Shapes: units -> states (2^units, units)
    (1) state_i = the digits of i in base two, the highest first
    Errors: ValueError outside 1 <= units <= 16, beyond which a table of all states is too long.
    Example: binary_states(2, like=torch.zeros(1)).tolist() == [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    Asked: none
    Source: Hinton, A practical guide to training restricted Boltzmann machines (2010), section 2.
    """
    if not 1 <= units <= MOST_UNITS:
        raise ValueError(f"binary_states got units out of range: {units}, expected 1 to {MOST_UNITS}; draw instead")
    places = torch.arange(units - 1, -1, -1, device=like.device)
    return (torch.arange(2**units, device=like.device).unsqueeze(-1) >> places & 1).to(like.dtype)  # (1)


def log_probability(v: torch.Tensor, machine: Machine) -> torch.Tensor:
    """The exact logarithm of the probability of visible states, all states being summed up.

    Shapes: v (..., n, d), machine (w, b, c) -> (..., n)
    (1) log p(v) = -F(v) - log Z, Z = Σ exp(-F) over the 2^d states of the visible units
    Units: nats.
    Errors: ValueError if the shapes do not fit, v holds anything but 0 and 1 or there are more than 16 units.
    Example:
        w, b, c = torch.zeros(1, 1), torch.tensor([1000.0]), torch.zeros(1)
        log_probability(torch.ones(1, 1), (w, b, c)).tolist() == [0.0]
    Asked: none
    Source: Hinton, A practical guide to training restricted Boltzmann machines (2010), equation 4.
    """
    _check_bits("log_probability", v, machine)
    every = binary_states(v.shape[-1], like=v)
    return -free_energy(v, *machine) - torch.logsumexp(-free_energy(every, *machine), -1, keepdim=True)  # (1)


def likelihood_gradient(v: torch.Tensor, machine: Machine) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The exact gradient, by (w, b, c), of the mean log probability of visible states, all states being summed up.

    Shapes: v (..., n, d), machine (w, b, c) -> (..., h, d), (..., d), (..., h)
    (1) mean of (p · vᵀ, v, p) over the n cases, minus the mean of the same over all states with their probabilities,
        p = sigmoid(w · v + c)
    Errors: ValueError if the shapes do not fit, v holds anything but 0 and 1 or there are more than 16 units.
    Example:
        w, b, c = torch.zeros(1, 2), torch.zeros(2), torch.zeros(1)
        likelihood_gradient(torch.ones(1, 2), (w, b, c))[1].tolist() == [0.5, 0.5]
    Asked: none
    Source: Hinton, A practical guide to training restricted Boltzmann machines (2010), equation 5.
    """
    every = binary_states(v.shape[-1], like=v)
    chances = log_probability(every, machine).exp()  # (..., 2^d)
    shares = torch.full(v.shape[:-1], 1 / v.shape[-2], dtype=v.dtype, device=v.device)
    data, model = _expected(v, machine, shares), _expected(every, machine, chances)
    return data[0] - model[0], data[1] - model[1], data[2] - model[2]  # (1)


def drawn(p: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Zeros and ones with the probabilities p (...) -> (...)."""
    u = torch.rand(p.shape, generator=generator, dtype=p.dtype, device=generator.device)
    return (u < p).to(p.dtype)


def _expected(v: torch.Tensor, machine: Machine, chances: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Σ chances · (p · vᵀ, v, p), the means whose differences move (w, b, c)."""
    w, _, c = machine
    p, weighted = sigmoid(dense(v, w, c)), chances.unsqueeze(-1) * v
    return p.mT @ weighted, weighted.sum(-2), (chances.unsqueeze(-1) * p).sum(-2)


def _check_machine(name: str, v: torch.Tensor, machine: Machine) -> None:
    w, b, c = machine
    require_floating(name, v=v, w=w, b=b, c=c)
    require_dims(name, 2, v=v, w=w)
    require_dims(name, 1, b=b, c=c)
    if v.shape[-1] != w.shape[-1] or b.shape[-1] != w.shape[-1] or c.shape[-1] != w.shape[-2]:
        raise ValueError(
            f"{name} got shapes that do not fit: v {tuple(v.shape)}, w {tuple(w.shape)}, b {tuple(b.shape)}, "
            f"c {tuple(c.shape)}, expected (..., n, d), (..., h, d), (..., d), (..., h)"
        )
    require_broadcast(name, v.shape[:-2], w.shape[:-2], b.shape[:-1], c.shape[:-1])


def _check_bits(name: str, v: torch.Tensor, machine: Machine) -> None:
    _check_machine(name, v, machine)
    require_values(name, "states 0 or 1", (v == 0) | (v == 1))
