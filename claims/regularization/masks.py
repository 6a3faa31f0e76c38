"""What dropout's mask is: a coin for each neuron and each iteration, the same in the forward and the backward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CONDITIONAL, HOLDS, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, all_of, at_least, close, equal
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
        "leaks into the others": {
            "dropout": lambda sound: lambda x, p, **rest: sound(x + 0.001 * x.mean(-1, keepdim=True), p, **rest)
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
    some = at_least(int(off.sum()), 1, what="dropped neurons")  # none of 96: probability 0.6⁹⁶
    return some & equal(after, before, what="entries of the next layer that changed with a dropped neuron")


@claim(
    "gfg-35.5",
    "The neurons that dropout draws are left out for the whole iteration.",
    reading="the same neurons for every example of the iteration",
    needs=["dropout"],
    setting={"n": 64},
    expect=CONDITIONAL(
        "one mask serves the whole batch; dropout layers draw a mask for each of its examples",
        within={"dropout": _one_row},
        beyond={"n": instead(64)},
    ),
    sabotage={"a batch of one example": {"n": instead(1)}, "drops nothing": {"dropout": identity()}},
)
def a_drawn_neuron_sits_out_the_whole_iteration(lib: Any, trial: Trial, n: int) -> Evidence:
    """Reading: of 32 neurons, dropped with probability 1/2, some are off, each of them for all 64 examples of the
    iteration.

    Why: one mask switches off none of 32 with probability 2⁻³². With a coin for each example, a neuron is off for
    all 64 with probability 2⁻⁶⁴, so nearly every neuron is mixed.
    """
    ones = torch.ones(n, 32, dtype=torch.float64, device=trial.device)
    off = lib.dropout(ones, 0.5, generator=trial.generator("mask")) == 0
    mixed = off.any(0) & ~off.all(0)
    some = at_least(int(off.any(0).sum()), 1, what="dropped neurons")
    return some & equal(int(mixed.sum()), 0, what="neurons off for some examples of the iteration and on for others")


@claim(
    "gfg-35.5",
    "An example passes through the net that is left when the neurons that dropout drew for it are taken out.",
    reading="in the pass of each example",
    needs=["dropout", "dense"],
    given={"x": normals((4, 5)), "w": normals((8, 5)), "v": normals((3, 8)), "seed": seeds()},
    setting={"p": 0.4},
    expect=HOLDS,
    sabotage={
        "lets a thousandth through": {
            "dropout": lambda sound: lambda x, p, **rest: 0.999 * sound(x, p, **rest) + 0.001 * x
        },
        "draws another mask for the backward pass": {"dropout": _another_mask_backward},
    },
)
def each_example_sees_the_net_without_its_dropped_neurons(
    lib: Any, x: torch.Tensor, w: torch.Tensor, v: torch.Tensor, seed: int, p: float
) -> Evidence:
    """Reading: for each of four examples, the output and the gradient of its sum by the input are those of the net
    from which the rows of w and the columns of v of the dropped neurons are deleted, times 1/(1 - p).

    Why: a factor 0 takes the neuron out of the sum over neurons and out of the gradient alike. Either side rounds
    about 5 + 2 + 8 times.
    """
    x = x.clone().requires_grad_()
    h = lib.dense(x, w)
    stays = (lib.dropout(torch.ones_like(h), p, generator=_seeded(x, seed)) != 0).detach()
    y = lib.dense(lib.dropout(h, p, generator=_seeded(x, seed)), v)
    (dx,) = torch.autograd.grad(y.sum(), x)
    small = [v[:, on] @ w[on] / (1 - p) for on in stays]  # (3, 5) each: the smaller net of one example
    sizes = [v[:, on].abs() @ w[on].abs() / (1 - p) for on in stays]
    facts = [
        close(y[i], small[i] @ x[i], operations=30, scale=sizes[i] @ x[i].abs(), what="an output differs by")
        & close(dx[i], small[i].sum(0), operations=30, scale=sizes[i].sum(0), what="an input's gradient differs by")
        for i in range(len(x))
    ]
    return all_of([at_least(int((~stays).sum()), 1, what="dropped neurons"), *facts])


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
