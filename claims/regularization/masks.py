"""What dropout's mask is: a coin for each neuron and each iteration, the same in the forward and the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CONDITIONAL, HOLDS, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, at_least, close, equal
from assay.sabotage import identity, instead, with_arguments
from assay.strategies import normals, probabilities, seeds

Role = Callable[..., Any]


def _ones(*shape: int, generator: torch.Generator) -> torch.Tensor:
    return torch.ones(shape, dtype=torch.float64, device=generator.device)


def _seeded(x: torch.Tensor, seed: int) -> torch.Generator:
    return torch.Generator(x.device).manual_seed(seed)


def _keeps_instead(sound: Role) -> Role:
    """p taken for the probability of staying."""
    return lambda x, p, **rest: sound(x, 1 - p, **rest)


def _one_coin(sound: Role) -> Role:
    """One coin for the whole layer."""
    return lambda x, p, **rest: x * sound(torch.ones_like(x[:, :1]), p, **rest)


def _one_row(sound: Role) -> Role:
    """One mask for all examples of the batch."""
    return lambda x, p, **rest: x * sound(torch.ones_like(x[:1]), p, **rest)


def _same_mask_always(sound: Role) -> Role:
    return lambda x, p, **rest: sound(x, p, **rest | {"generator": _seeded(x, 0)})


def _another_mask_backward(sound: Role) -> Role:
    """The forward pass of one mask with the backward pass of another."""

    def broken(x: torch.Tensor, p: float, **rest: Any) -> torch.Tensor:
        forward, backward = sound(x, p, **rest), sound(x, p, **rest)
        return forward.detach() + backward - backward.detach()

    return broken


def _exactly_two(sound: Role) -> Role:
    """Two of ten are drawn without replacement."""

    def broken(x: torch.Tensor, p: float, *, generator: torch.Generator) -> torch.Tensor:
        order = torch.rand(x.shape, generator=generator, device=x.device).argsort(-1)
        return x * (order >= 2) / (1 - p)

    return broken


@claim(
    "gfg-19.8",
    "In training, dropout switches each neuron off by a coin of its own that falls on drop with the rate's "
    "probability.",
    also=["gfg-35.2"],
    needs=["dropout"],
    cases=[{"p": 0.2}, {"p": 0.7}],
    expect=HOLDS,
    sabotage={
        "takes the rate for the probability of staying": {"dropout": _keeps_instead},
        "tosses one coin for the whole layer": {"dropout": _one_coin},
        "drops one neuron in a hundred too many": {
            "dropout": lambda sound: lambda x, p, **rest: sound(x, p + 0.01, **rest)
        },
    },
)
def dropout_tosses_a_coin_for_each_neuron(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: P(zero) = p for one neuron and p² for two neurons of one layer, to 0.01.

    Why: the entries of the mask are independent Bernoulli variables; for two, p² with probability p each means
    independent.
    """

    def off(n: int, g: torch.Generator) -> torch.Tensor:
        return lib.dropout(_ones(n, 2, generator=g), p, generator=g) == 0

    one = trial.proportion(lambda n, g: off(n, g)[:, 0], p, detects=0.01, what="share of iterations that drop a neuron")
    two = trial.proportion(
        lambda n, g: off(n, g).all(-1), p * p, detects=0.01, what="share of iterations that drop both of two neurons"
    )
    return one & two


@claim(
    "gfg-35.2",
    "A neuron that dropout zeroes in the forward pass gets no gradient in the backward pass, and only such a neuron.",
    also=["gfg-19.8"],
    needs=["dropout"],
    given={"x": normals((5, 12)), "dy": normals((5, 12)), "p": probabilities(0.2, 0.8), "seed": seeds()},
    expect=HOLDS,
    sabotage={
        "draws another mask for the backward pass": {"dropout": _another_mask_backward},
        "drops nothing": {"dropout": identity()},
    },
)
def a_dropped_neuron_is_missing_in_both_passes(
    lib: Any, x: torch.Tensor, dy: torch.Tensor, p: float, seed: int
) -> Evidence:
    """Reading: y is 0 or x/(1 - p) and dx is 0 or dy/(1 - p), each zero exactly where the other is.

    Why: y = m·x/(1 - p) is linear in x, so the gradient is multiplied by the same m/(1 - p).
    """
    x = x.clone().requires_grad_()
    y = lib.dropout(x, p, generator=_seeded(x, seed))
    (dx,) = torch.autograd.grad(y, x, dy)
    off = y == 0
    forward = close(
        y, torch.where(off, 0.0, x / (1 - p)), operations=4, what="a neuron's output is neither 0 nor x/(1-p)"
    )
    backward = close(
        dx, torch.where(off, 0.0, dy / (1 - p)), operations=4, what="its gradient does not follow its output"
    )
    return forward & backward


@claim(
    "gfg-35.3",
    "Each iteration draws its mask afresh, independently of the last one.",
    needs=["dropout"],
    setting={"p": 0.3},
    expect=HOLDS,
    sabotage={
        "keeps the first mask": {"dropout": _same_mask_always},
        "is left in evaluation mode": {"dropout": with_arguments(training=False)},
    },
)
def every_iteration_draws_a_new_mask(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: a neuron is off in two iterations running with probability p², to 0.01, and likewise in two examples
    of a batch.

    Why: independent draws of probability p each.
    """

    def off(*shape: int, g: torch.Generator) -> torch.Tensor:
        return lib.dropout(_ones(*shape, generator=g), p, generator=g) == 0

    running = trial.proportion(
        lambda n, g: off(n, g=g) & off(n, g=g), p * p, detects=0.01, what="share dropped in two iterations running"
    )
    beside = trial.proportion(
        lambda n, g: off(2, n, g=g).all(0), p * p, detects=0.01, what="share dropped in two examples of a batch"
    )
    return running & beside


@claim(
    "gfg-35.3",
    "What a dropped neuron computes has no influence on the next layer.",
    needs=["dropout", "dense"],
    given={"h": normals((8, 12)), "other": normals((8, 12), 1000.0), "w": normals((3, 12)), "seed": seeds()},
    setting={"p": 0.4},
    expect=HOLDS,
    sabotage={
        "lets a thousandth through": {
            "dropout": lambda sound: lambda x, p, **rest: 0.999 * sound(x, p, **rest) + 0.001 * x
        },
        "is left in evaluation mode": {"dropout": with_arguments(training=False)},
    },
)
def a_dropped_neuron_does_not_reach_the_next_layer(
    lib: Any, h: torch.Tensor, other: torch.Tensor, w: torch.Tensor, seed: int, p: float
) -> Evidence:
    """Reading: with one mask, changing the activations of dropped neurons leaves the next layer's input the same to
    the last bit.

    Why: a dropped activation enters only as 0 times its value.
    """
    off = lib.dropout(torch.ones_like(h), p, generator=_seeded(h, seed)) == 0
    changed = torch.where(off, other, h)
    before, after = (lib.dense(lib.dropout(x, p, generator=_seeded(h, seed)), w) for x in (h, changed))
    some = at_least(int(off.sum()), 1, what="dropped neurons fall short of one by")  # none of 96: probability 0.6⁹⁶
    return some & equal(after, before, what="entries of the next layer that changed with a dropped neuron")


@claim(
    "gfg-35.5",
    "The neurons that dropout draws are left out for the whole iteration.",
    needs=["dropout"],
    setting={"n": 64, "p": 0.5},
    expect=CONDITIONAL(
        "the iteration sees one example: the layer draws a mask for each example of a batch",
        within={"n": instead(1)},
        beyond={"n": instead(64)},
    ),
    sabotage={
        "draws one mask for the whole batch": {"dropout": _one_row},
        "drops nothing": {"dropout": identity()},
    },
)
def a_drawn_neuron_sits_out_the_whole_iteration(lib: Any, trial: Trial, n: int, p: float) -> Evidence:
    """Reading: of 32 neurons, each is off for all n examples of the iteration or for none.

    Why: with a coin for each example, a neuron is off for all 64 with probability 2⁻⁶⁴, so nearly every neuron is
    mixed.
    """
    ones = torch.ones(n, 32, dtype=torch.float64, device=trial.device)
    off = lib.dropout(ones, p, generator=trial.generator("mask")) == 0
    mixed = off.any(0) & ~off.all(0)
    return equal(int(mixed.sum()), 0, what="neurons off for some examples of the iteration and on for others")


@claim(
    "gfg-19.11",
    "Dropout of 0.20 makes each neuron of a layer of ten inactive with probability 0.2, which is not two of ten each "
    "time.",
    needs=["dropout"],
    setting={"p": 0.2},
    expect=HOLDS,
    sabotage={
        "drops exactly two of the ten": {"dropout": _exactly_two},
        "takes the rate for the probability of staying": {"dropout": _keeps_instead},
    },
)
def dropout_of_a_fifth_makes_a_binomial_number_inactive(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: P(one neuron off) = 0.2 and P(exactly two of ten off) = 45·0.2²·0.8⁸ = 0.302, both to 0.01.

    Why: the number off is Binomial(10, 0.2).
    """

    def off(n: int, g: torch.Generator) -> torch.Tensor:
        return lib.dropout(_ones(n, 10, generator=g), p, generator=g) == 0

    one = trial.proportion(
        lambda n, g: off(n, g)[:, 3], 0.2, detects=0.01, what="share of iterations that drop one neuron"
    )
    two = trial.proportion(
        lambda n, g: off(n, g).sum(-1) == 2,
        45 * 0.2**2 * 0.8**8,
        detects=0.01,
        what="share that drops exactly two of ten",
    )
    return one & two
