"""Whether the weights of a dropped neuron stay as they are in that iteration: it depends on the mask and on the
optimiser.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, at_least, equal
from assay.sabotage import instead, with_arguments
from claims.lab.training import Parameters, gradients, random_layers

Role = Callable[..., Any]
Step = Callable[[Parameters, Parameters, Any], tuple[Parameters, Any]]
Mask = Callable[[torch.Tensor, torch.Generator], torch.Tensor]

NEEDS = ("dropout", "dense", "relu", "mean_squared_error")
TRUTH = (
    "The weights of a dropped neuron stay as they are if it is dropped for every example of the iteration and the "
    "update uses only this iteration's gradient. Dropout layers draw a mask for each example, and momentum, Adam or a "
    "penalty on the weights move a weight whose gradient is zero."
)
HIDDEN = 16


def _one_mask(lib: Any) -> Mask:
    """A mask for the whole batch, (hidden,)."""
    return lambda h, g: lib.dropout(torch.ones_like(h[0, 0]), 0.5, generator=g)


def _mask_each(lib: Any) -> Mask:
    """A mask for each example, (n, hidden)."""
    return lambda h, g: lib.dropout(torch.ones_like(h[0]), 0.5, generator=g)


def _updates(lib: Any, trial: Trial, mask: Mask, step: Step, *, n: int = 32, penalty: float = 0.0) -> Evidence:
    """A step with all neurons, one with dropout: of the neurons dropped for some example, how many had their weights
    changed?
    """
    generator = trial.generator("net")
    x, y = trial.normal(1, n, 5, stream="x"), trial.normal(1, n, 1, stream="y")
    params: Parameters = random_layers([5, HIDDEN, 1], 1, generator, gain=2**0.5)
    state: Any = None

    def loss(params: Parameters, factor: torch.Tensor | None) -> torch.Tensor:
        w1, b1, w2, b2 = params
        h = lib.relu(lib.dense(x, w1, b1) + 3.0)  # a ReLU that is on, so that only dropout can silence a neuron
        z = lib.dense(h if factor is None else h * factor, w2, b2)
        squares = lib.mean_squared_error(z, y).mean((-1, -2))
        return squares + penalty * (w1.square().sum((-1, -2)) + w2.square().sum((-1, -2)))

    params, state = step(params, gradients(lambda p, _: loss(p, None), params)[1], state)
    factor = mask(torch.ones(1, n, HIDDEN, dtype=x.dtype, device=x.device), generator)
    after, _ = step(params, gradients(lambda p, _: loss(p, factor), params)[1], state)
    off = (factor == 0).reshape(-1, HIDDEN).any(0)
    (w1, b1, w2, _), (v1, c1, v2, _) = params, after
    changed = (w1 != v1).any(-1)[0] | (b1 != c1)[0] | (w2 != v2)[0, 0]
    some = at_least(int(off.sum()), 1, what="dropped neurons")
    return some & equal(int((changed & off).sum()), 0, what="dropped neurons whose weights changed")


def _remembers_the_last_gradient(sound: Role) -> Role:
    """Gradient descent that adds most of the last gradient to this one."""

    def broken(params: Parameters, grads: Parameters, state: Any = None, *, lr: float) -> tuple[Parameters, Any]:
        joined = grads if state is None else [g + 0.9 * old for g, old in zip(grads, state, strict=True)]
        return sound(params, joined, None, lr=lr)[0], grads

    return broken


@claim(
    "gfg-35.4",
    "A dropped neuron gets no change of its weights in that iteration.",
    covers="one mask for the whole batch and plain gradient descent",
    needs=[*NEEDS, "sgd"],
    setting={"penalty": 0.0},
    expect=HOLDS,
    sabotage={
        "adds most of the last gradient": {"sgd": _remembers_the_last_gradient},
        "penalises the weights": {"penalty": instead(0.01)},
        "multiplies dropped neurons by a thousandth": {
            "dropout": lambda sound: lambda x, p, **rest: sound(x, p, **rest) * 0.999 + 0.001
        },
    },
)
def plain_descent_leaves_a_dropped_neuron_alone(lib: Any, trial: Trial, penalty: float) -> Evidence:
    """Reading: incoming weights, bias and outgoing weights of a neuron dropped for the batch are the same bits after
    the step.

    Why: the mask is a factor of both gradients, so they are 0, and w - lr·0 = w.
    """
    return _updates(lib, trial, _one_mask(lib), lambda p, g, s: lib.sgd(p, g, s, lr=0.1), penalty=penalty)


@claim(
    "gfg-35.4",
    "A neuron that is dropped for some example of the batch gets no change of its weights in that iteration.",
    covers="a mask for each example, as dropout layers draw it",
    needs=[*NEEDS, "sgd"],
    setting={"n": 32},
    expect=REFUTED(instead=TRUTH, by="plain_descent_leaves_a_dropped_neuron_alone"),
    sabotage={"a batch of one example": {"n": instead(1)}},
)
def a_mask_for_each_example_leaves_dropped_neurons_alone(lib: Any, trial: Trial, n: int) -> Evidence:
    """Reading: as with one mask, for neurons dropped for at least one of 32 examples.

    Why not: another example in which the neuron is present gives its weights a gradient.
    """
    return _updates(lib, trial, _mask_each(lib), lambda p, g, s: lib.sgd(p, g, s, lr=0.1), n=n)


@claim(
    "gfg-35.4",
    "A dropped neuron gets no change of its weights from a step with momentum.",
    covers="momentum",
    needs=[*NEEDS, "momentum"],
    expect=REFUTED(instead=TRUTH, by="plain_descent_leaves_a_dropped_neuron_alone"),
    sabotage={"forgets the velocity": {"momentum": with_arguments(beta=0.0)}},
)
def momentum_leaves_a_dropped_neuron_alone(lib: Any, trial: Trial) -> Evidence:
    """Reading: one mask for the batch, heavy ball with beta = 0.9 after one step with all neurons.

    Why not: the velocity of the earlier step still moves the weights.
    """
    return _updates(lib, trial, _one_mask(lib), lambda p, g, s: lib.momentum(p, g, s, lr=0.1, beta=0.9))


@claim(
    "gfg-35.4",
    "A dropped neuron gets no change of its weights from a step of Adam.",
    covers="Adam",
    needs=[*NEEDS, "adam"],
    expect=REFUTED(instead=TRUTH, by="plain_descent_leaves_a_dropped_neuron_alone"),
    sabotage={"keeps no mean of gradients": {"adam": with_arguments(beta1=0.0)}},
)
def adam_leaves_a_dropped_neuron_alone(lib: Any, trial: Trial) -> Evidence:
    """Reading: one mask for the batch, Adam with its usual rates after one step with all neurons.

    Why not: its mean gradient still holds the earlier step's.
    """
    return _updates(lib, trial, _one_mask(lib), lambda p, g, s: lib.adam(p, g, s, lr=0.1))
