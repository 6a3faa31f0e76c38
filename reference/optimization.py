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
    Example: sgd([torch.tensor([1.0])], [torch.tensor([2.0])], lr=0.25)[0][0].tolist() == [0.5]
    Asked: gfg-10.7, gfg-13.7, gfg-14.2, gfg-15.7, gfg-17.2, gfg-17.6, gfg-17.7, gfg-21.1, gfg-21.2, gfg-21.3, gfg-21.4,
        gfg-21.5, gfg-23.2, gfg-23.4, gfg-23.5, gfg-23.6, gfg-24.3, gfg-25.2, gfg-25.3, gfg-25.4, gfg-25.5, gfg-25.6,
        gfg-25.7, gfg-47.7, ib-3.1, ib-3.2, ib-3.3, ib-3.4, ib-3.5, ib-3.6, ib-3.7, ib-3.8, ib-3.9, ib-3.10, ib-13.5,
        ib-13.6, ib-13.7, ib-21.1, ib-21.2, ib-21.3, ib-21.4, ib-22.1, ib-22.2, ib-22.3, ib-22.4, ib-22.5, ib-22.8,
        ib-22.9, ib-22.10, ib-22.11, ib-22.12, ib-22.13, ib-22.14, ib-22.15, ib-22.16, ib-22.17, ib-31.1, ib-31.2,
        ib-31.4, ib-31.5
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
    Example:
        w, g, v = torch.tensor([1.0]), torch.tensor([2.0]), torch.tensor([4.0])
        momentum([w], [g], [v], lr=0.25, beta=0.5)[0][0].tolist() == [0.0]
    Asked: gfg-31.1, gfg-31.2, gfg-31.3, gfg-31.5, gfg-31.6, gfg-31.7, gfg-31.8
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
    Example: nesterov([torch.tensor([1.0])], [torch.tensor([2.0])], lr=0.25, beta=0.5)[0][0].tolist() == [0.25]
    Asked: gfg-31.1
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
    Example: adam([torch.tensor([1.0])], [torch.tensor([-4.0])], lr=0.5)[0][0].tolist() == [1.5]
    Asked: gfg-21.2
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
    """The learning rate that never changes.

    (1) rate = lr
    Example: constant_rate(7, lr=0.1) == 0.1
    Asked: gfg-21.3, gfg-21.4
    Source: Bengio, Practical recommendations for gradient-based training of deep architectures (2012), section 3.1.1.
    """
    _check_step(step)
    return lr  # (1)


def step_decay(step: int, *, lr: float, factor: float, every: int) -> float:
    """The learning rate multiplied by a factor after every so many steps.

    (1) rate = lr·factor^⌊step/every⌋
    Errors: ValueError if step is negative or every is below 1.
    Example: step_decay(5, lr=1.0, factor=0.5, every=2) == 0.25
    Asked: ib-13.8
    Source: He, Zhang, Ren, Sun, Deep residual learning for image recognition (2016), section 4.2, divides by 10 in this way.
    """
    _check_step(step)
    if every < 1:
        raise ValueError(f"every is too small: {every}, expected at least 1 (step_decay); pass a number of steps")
    return lr * factor ** (step // every)  # (1)


def inverse_time_decay(step: int, *, lr: float, scale: float) -> float:
    """The learning rate that falls as one over time: to a half after `scale` steps, to a third after twice as many.

    (1) rate = lr / (1 + step/scale)
    Conventions: its sum over all steps diverges, the sum of its squares does not.
    Example: inverse_time_decay(10, lr=1.0, scale=10) == 0.5
    Asked: ib-13.8, ib-22.6, ib-22.7
    Source: Robbins and Monro 1951, the conditions under which descent along noisy gradients converges.
    """
    _check_step(step)
    if not scale > 0:
        raise ValueError(f"scale is not positive: {scale}, expected steps > 0 (inverse_time_decay); pass another scale")
    return lr / (1 + step / scale)  # (1)


def exponential_decay(step: int, *, lr: float, factor: float) -> float:
    """The learning rate multiplied by a factor at every step.

    (1) rate = lr·factor^step
    Conventions: for factor < 1 the rates of all steps together stay below lr/(1 - factor).
    Example: exponential_decay(2, lr=1.0, factor=0.5) == 0.25
    Asked: ib-13.8, ib-22.6
    Source: Senior, Heigold, Ranzato, Yang, An empirical study of learning rates in deep neural networks (2013).
    """
    _check_step(step)
    return lr * factor**step  # (1)


def clip_by_value(grads: Tensors, limit: float) -> list[torch.Tensor]:
    """Each entry of each gradient moved to the nearest point of [-limit, limit].

    Shapes: g (...) -> (...), for each of the sequence
    (1) g' = min(max(g, -limit), limit)
    Conventions: this can turn the gradient, unlike clipping by norm.
    Errors: ValueError if limit is negative.
    Example: clip_by_value([torch.tensor([3.0, -0.5])], 1.0)[0].tolist() == [1.0, -0.5]
    Asked: ib-9.4
    Source: Mikolov, Statistical language models based on neural networks (thesis, 2012).
    """
    _check_rate("limit", limit, high=math.inf)
    return [g.clamp(-limit, limit) for g in grads]  # (1)


def clip_by_norm(grads: Tensors, limit: float, *, batch_dims: int = 0) -> list[torch.Tensor]:
    """All gradients together shortened to Euclidean norm `limit` if they are longer; the direction stays.

    Shapes: g (*replicas, ...) -> (*replicas, ...), `batch_dims` leading replica axes, each replica clipped for itself.
    (1) g' = g·min(1, limit/|g|), |g|² = the sum of the squares of all entries of all gradients
    Example: clip_by_norm([torch.tensor([3.0, 4.0])], 2.5)[0].tolist() == [1.5, 2.0]
    Asked: gfg-30.1, gfg-30.2, gfg-30.3, gfg-30.4, gfg-30.5, ib-9.1, ib-9.3, ib-9.5, ib-9.6
    Source: Pascanu, Mikolov and Bengio 2013, algorithm 1.
    """
    _check_rate("limit", limit, high=math.inf)
    parts = [g.square().sum(tuple(range(batch_dims, g.dim()))) if g.dim() > batch_dims else g.square() for g in grads]
    norm = torch.stack(parts).sum(0).sqrt()  # (*replicas)
    factor = torch.where(norm > limit, limit / norm, torch.ones_like(norm))  # (*replicas), 1 where the norm is 0
    return [g * factor.reshape(factor.shape + (1,) * (g.dim() - batch_dims)) for g in grads]  # (1)


def mean_gradient(per_sample: torch.Tensor) -> torch.Tensor:
    """The gradient of a mean loss over a batch: the mean of the samples' gradients, whatever the batch's size.

    Shapes: per_sample (..., n, d) -> (..., d)
    (1) g = (1/n)·Σ_i g_i
    Conventions: in batch descent n counts the whole set, in stochastic descent it is 1, in mini-batch descent it lies
        between.
    Errors: ValueError if there is no sample axis or no sample.
    Example: mean_gradient(torch.tensor([[1.0], [3.0]])).tolist() == [2.0]
    Asked: gfg-20.6, gfg-25.1, gfg-25.2, gfg-25.6, gfg-25.8, gfg-25.9, gfg-25.10, ib-21.1, ib-21.2, ib-22.1, ib-22.2,
        ib-22.8, ib-22.9, ib-22.10
    Source: Bottou, Curtis, Nocedal, Optimization methods for large-scale machine learning (2018).
    """
    if per_sample.dim() < 2 or per_sample.shape[-2] == 0:
        raise ValueError(
            f"per_sample has no samples: shape {tuple(per_sample.shape)}, expected (..., n, d) with n >= 1 "
            "(mean_gradient); stack one gradient per sample along the last axis but one"
        )
    return per_sample.mean(-2)  # (1), (..., n, d) -> (..., d)


def epoch_batches(n: int, size: int, *, generator: torch.Generator | None = None) -> list[torch.Tensor]:
    """The places of all samples, cut into the batches of one epoch; in random order if a generator is given.

    Shapes: n, size -> ⌈n/size⌉ integer tensors (size,), the last one shorter if size does not divide n
    (1) 0, ..., n - 1 in order or in an order drawn from all n! alike
    (2) cut after every `size`-th: each place is in one batch
    Errors: ValueError if n or size is not positive.
    Example: [batch.tolist() for batch in epoch_batches(5, 2)] == [[0, 1], [2, 3], [4]]
    Asked: gfg-20.1, gfg-20.2, gfg-20.3, gfg-20.4, gfg-20.5, gfg-20.6, gfg-20.7, gfg-20.8, gfg-20.9, gfg-20.10,
        gfg-20.11, gfg-20.13, gfg-20.14, gfg-20.15, ib-22.15, ib-22.18, ib-25.1, ib-25.2, ib-25.3, ib-25.5
    Source: Bengio, Practical recommendations for gradient-based training of deep architectures (2012), section 3.1.1.
    """
    if n < 1 or size < 1:
        raise ValueError(
            f"an epoch has no batches: n = {n}, size = {size}, expected both at least 1 (epoch_batches); "
            "pass positive integers"
        )
    order = (
        torch.arange(n) if generator is None else torch.randperm(n, generator=generator, device=generator.device)
    )  # (1)
    return list(torch.split(order, size))  # (2)


def _velocities(params: Tensors, grads: Tensors, state: Velocities | None, lr: float, beta: float) -> Velocities:
    """Equation (1) of `momentum` and `nesterov`."""
    _check_pairs(params, grads)
    _check_rate("lr", lr, high=math.inf)
    _check_rate("beta", beta, high=1.0)
    if state is None:
        return [g.clone() for g in grads]
    return [beta * v + g for v, g in zip(state, grads, strict=True)]  # (1)


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
