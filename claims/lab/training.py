"""Train many small networks at once: replicas are the leading axis of every parameter.

A dense layer is a pair w (R, out, in), b (R, out); the data are (n, d) shared by all replicas or (R, n, d). The sum of the replicas'
losses has the gradient of each replica's own loss, so one backward pass serves them all.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import torch

Parameters = Sequence[torch.Tensor]
Loss = Callable[[Parameters, int], torch.Tensor]  # parameters, step -> (R,) losses
Update = Callable[
    [Parameters, Parameters, Any], tuple[Parameters, Any]
]  # parameters, gradients, state -> parameters, state


def gradients(loss: Loss, params: Parameters, step: int = 0) -> tuple[torch.Tensor, Parameters]:
    """The replicas' losses (R,) and the gradient of each replica's loss by its own parameters."""
    leaves = [p.detach().requires_grad_() for p in params]
    losses = loss(leaves, step)
    return losses.detach(), torch.autograd.grad(losses.sum(), leaves)


def fit(loss: Loss, params: Parameters, update: Update, steps: int) -> Parameters:
    """`steps` updates of every replica; `update` is one role of the optimisers with its rates fixed."""
    state: Any = None
    for step in range(steps):
        _, slopes = gradients(loss, params, step)
        params, state = update(params, slopes, state)
    return params


def mlp(
    lib: Any, params: Parameters, x: torch.Tensor, activation: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """A multilayer perceptron: params w1, b1, w2, b2, ...; x (..., n, d) -> (..., n, out), no activation after the last layer."""
    pairs = list(zip(params[::2], params[1::2], strict=True))
    for w, b in pairs[:-1]:
        x = activation(lib.dense(x, w, b))
    return lib.dense(x, *pairs[-1])


def random_layers(
    widths: Sequence[int],
    replicas: int,
    generator: torch.Generator,
    *,
    gain: float = 1.0,
    dtype: torch.dtype = torch.float64,
) -> list[torch.Tensor]:
    """Normal weights of variance gain²/fan_in and zero biases, alternating w (R, out, in) and b (R, out)."""
    params = []
    for fan_in, fan_out in itertools.pairwise(widths):
        w = torch.randn(replicas, fan_out, fan_in, generator=generator, dtype=dtype, device=generator.device)
        params += [w * gain / fan_in**0.5, torch.zeros(replicas, fan_out, dtype=dtype, device=generator.device)]
    return params


def accuracy(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Share of right answers of each replica: scores (R, n, 1) with labels 0/1 (n,) or (R, n), or (R, n, c) with classes -> (R,)."""
    guesses = (scores[..., 0] > 0).long() if scores.shape[-1] == 1 else scores.argmax(-1)
    return (guesses == labels.long()).to(torch.float64).mean(-1)
