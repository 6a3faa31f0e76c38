"""Optimisers, learning-rate schedules, gradient clipping and the mean over a batch: pure functions of tensors.

An optimiser is `(params, grads, state, *, lr, ...) -> (params, state)` over sequences of tensors. Nothing is changed in
place; `state` is None at first and opaque. Every operation is entrywise, so parameters may carry leading replica axes.
A schedule gives the learning rate of step 0, 1, 2, ... as a number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

__all__ = [
    "adam",
    "clip_by_norm",
    "clip_by_value",
    "constant_rate",
    "epoch_batches",
    "exponential_decay",
    "inverse_time_decay",
    "mean_gradient",
    "momentum",
    "nesterov",
    "sgd",
    "step_decay",
]

Tensors = Sequence[torch.Tensor]
Velocities = list[torch.Tensor]
Moments = tuple[int, list[torch.Tensor], list[torch.Tensor]]


def sgd(params: Tensors, grads: Tensors, state: None = None, *, lr: float) -> tuple[list[torch.Tensor], None]:
    """Gradient descent: one step of length lr·|g| against the gradient.

    Shapes: w (...), g (...) -> w (...), for each pair of the two sequences.
    (1) w' = w - lr·g
    Errors: ValueError if the sequences do not match or lr is negative.
    Source: Robbins and Monro 1951; the update does not depend on how many samples g was taken from.
    """
    _check_pairs(params, grads)
    _check_rate("lr", lr, high=math.inf)
    return [w - lr * g for w, g in zip(params, grads, strict=True)], state  # (1)


def momentum(
    params: Tensors, grads: Tensors, state: Velocities | None = None, *, lr: float, beta: float
) -> tuple[list[torch.Tensor], Velocities]:
    """Heavy ball: steps along a velocity, the geometrically weighted sum of all gradients so far.

    Shapes: w (...), g (...), v (...) -> w (...), v (...).
    (1) v' = beta·v + g, with v = 0 at first
    (2) w' = w - lr·v'
    Conventions: undamped, so a constant gradient is multiplied by 1/(1 - beta) in the end; beta = 0 is plain descent.
    Errors: ValueError if the sequences do not match, lr is negative or beta lies outside [0, 1).
    Source: Polyak 1964; Sutskever et al. 2013 fold lr into v, which differs only if lr changes.
    """
    velocities = _velocities(params, grads, state, lr, beta)
    return [w - lr * v for w, v in zip(params, velocities, strict=True)], velocities  # (2)


def nesterov(
    params: Tensors, grads: Tensors, state: Velocities | None = None, *, lr: float, beta: float
) -> tuple[list[torch.Tensor], Velocities]:
    """Nesterov momentum: steps along the velocity that the present gradient, if repeated, would lead to.

    Shapes: w (...), g (...), v (...) -> w (...), v (...).
    (1) v' = beta·v + g, with v = 0 at first
    (2) w' = w - lr·(g + beta·v')
    Errors: ValueError if the sequences do not match, lr is negative or beta lies outside [0, 1).
    Source: Nesterov 1983 in the form of Sutskever et al. 2013, with w standing for the look-ahead point.
    """
    velocities = _velocities(params, grads, state, lr, beta)
    steps = [g + beta * v for g, v in zip(grads, velocities, strict=True)]
    return [w - lr * step for w, step in zip(params, steps, strict=True)], velocities  # (2)


def adam(
    params: Tensors,
    grads: Tensors,
    state: Moments | None = None,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[list[torch.Tensor], Moments]:
    """Adam: steps of about lr in each coordinate, along the mean gradient over the root of the mean squared gradient.

    Shapes: w (...), g (...), m (...), s (...) -> w (...), and the state (t, m, s).
    (1) m' = beta1·m + (1 - beta1)·g
    (2) s' = beta2·s + (1 - beta2)·g²
    (3) w' = w - lr·(m'/(1 - beta1^t)) / (√(s'/(1 - beta2^t)) + eps), t = 1, 2, ...
    Conventions: m = s = 0 at first; the divisors in (3) correct for that; eps stands outside the root.
    Errors: ValueError if the sequences do not match, a rate is negative or a beta lies outside [0, 1).
    Source: Kingma and Ba 2015, algorithm 1.
    """
    _check_pairs(params, grads)
    _check_rate("lr", lr, high=math.inf)
    _check_rate("beta1", beta1, high=1.0)
    _check_rate("beta2", beta2, high=1.0)
    _check_rate("eps", eps, high=math.inf)
    zeros = [torch.zeros_like(w) for w in params]
    t, means, squares = state if state is not None else (0, zeros, zeros)
    t += 1
    means = [beta1 * m + (1 - beta1) * g for m, g in zip(means, grads, strict=True)]  # (1)
    squares = [beta2 * s + (1 - beta2) * g.square() for s, g in zip(squares, grads, strict=True)]  # (2)
    moved = [
        w - lr * (m / (1 - beta1**t)) / ((s / (1 - beta2**t)).sqrt() + eps)  # (3)
        for w, m, s in zip(params, means, squares, strict=True)
    ]
    return moved, (t, means, squares)


def constant_rate(step: int, *, lr: float) -> float:
    """The learning rate lr at every step."""
    _check_step(step)
    return lr


def step_decay(step: int, *, lr: float, factor: float, every: int) -> float:
    """The learning rate multiplied by `factor` after each `every` steps: lr·factor^⌊step/every⌋."""
    _check_step(step)
    if every < 1:
        raise ValueError(f"every is too small: {every}, expected at least 1 (step_decay); pass a number of steps")
    return lr * factor ** (step // every)


def inverse_time_decay(step: int, *, lr: float, scale: float) -> float:
    """The learning rate lr / (1 + step/scale): half of lr after `scale` steps.

    Conventions: its sum over all steps diverges, the sum of its squares does not.
    Source: Robbins and Monro 1951, the conditions under which descent along noisy gradients converges.
    """
    _check_step(step)
    if not scale > 0:
        raise ValueError(f"scale is not positive: {scale}, expected steps > 0 (inverse_time_decay); pass another scale")
    return lr / (1 + step / scale)


def exponential_decay(step: int, *, lr: float, factor: float) -> float:
    """The learning rate lr·factor^step: for factor < 1 the rates of all steps together stay below lr/(1 - factor)."""
    _check_step(step)
    return lr * factor**step


def clip_by_value(grads: Tensors, limit: float) -> list[torch.Tensor]:
    """Each entry of each gradient moved to the nearest point of [-limit, limit]; this can turn the gradient."""
    _check_rate("limit", limit, high=math.inf)
    return [g.clamp(-limit, limit) for g in grads]


def clip_by_norm(grads: Tensors, limit: float, *, batch_dims: int = 0) -> list[torch.Tensor]:
    """All gradients together shortened to Euclidean norm `limit` if they are longer; the direction stays.

    Shapes: g (*replicas, ...) -> (*replicas, ...), `batch_dims` leading replica axes, each replica clipped for itself.
    (1) g' = g·min(1, limit/|g|), |g|² = the sum of the squares of all entries of all gradients
    Source: Pascanu, Mikolov and Bengio 2013, algorithm 1.
    """
    _check_rate("limit", limit, high=math.inf)
    parts = [g.square().sum(tuple(range(batch_dims, g.dim()))) if g.dim() > batch_dims else g.square() for g in grads]
    norm = torch.stack(parts).sum(0).sqrt()  # (*replicas)
    factor = torch.where(norm > limit, limit / norm, torch.ones_like(norm))  # (*replicas), 1 where the norm is 0
    return [g * factor.reshape(factor.shape + (1,) * (g.dim() - batch_dims)) for g in grads]  # (1)


def mean_gradient(per_sample: torch.Tensor) -> torch.Tensor:
    """The gradient of a mean loss over a batch: the mean of the samples' gradients, whatever the batch's size.

    Shapes: per_sample (..., n, d) -> (..., d). In batch descent n counts the whole set, in stochastic descent
    it is 1, in mini-batch descent it lies between.
    (1) g = (1/n)·Σ_i g_i
    Errors: ValueError if there is no sample axis or no sample.
    """
    if per_sample.dim() < 2 or per_sample.shape[-2] == 0:
        raise ValueError(
            f"per_sample has no samples: shape {tuple(per_sample.shape)}, expected (..., n, d) with n >= 1 "
            "(mean_gradient); stack one gradient per sample along the last axis but one"
        )
    return per_sample.mean(-2)  # (1), (..., n, d) -> (..., d)


def epoch_batches(n: int, size: int, *, generator: torch.Generator | None = None) -> list[torch.Tensor]:
    """The indices 0..n-1 of one epoch cut into ⌈n/size⌉ batches, each index in one; shuffled if a generator is given.

    Shapes: a list of integer tensors (size,), the last one shorter if size does not divide n.
    Errors: ValueError if n or size is not positive.
    """
    if n < 1 or size < 1:
        raise ValueError(
            f"an epoch has no batches: n = {n}, size = {size}, expected both at least 1 (epoch_batches); "
            "pass positive integers"
        )
    order = torch.arange(n) if generator is None else torch.randperm(n, generator=generator, device=generator.device)
    return list(torch.split(order, size))


def _velocities(params: Tensors, grads: Tensors, state: Velocities | None, lr: float, beta: float) -> Velocities:
    """Equation (1) of `momentum` and `nesterov`."""
    _check_pairs(params, grads)
    _check_rate("lr", lr, high=math.inf)
    _check_rate("beta", beta, high=1.0)
    if state is None:
        return [g.clone() for g in grads]
    return [beta * v + g for v, g in zip(state, grads, strict=True)]


def _check_pairs(params: Tensors, grads: Tensors) -> None:
    got, expected = [tuple(g.shape) for g in grads], [tuple(w.shape) for w in params]
    if got != expected:
        raise ValueError(
            f"grads do not match params: shapes {got}, expected {expected} (optimiser step); "
            "pass one gradient per parameter"
        )


def _check_rate(name: str, value: float, high: float) -> None:
    if not 0 <= value < high:
        raise ValueError(
            f"{name} is out of range: {value}, expected 0 <= {name} < {high:g} (optimisation); pass another {name}"
        )


def _check_step(step: int) -> None:
    if step < 0:
        raise ValueError(f"step is negative: {step}, expected 0, 1, 2, ... (schedule); count steps from 0")
