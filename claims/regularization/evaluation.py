"""What dropout does outside training: nothing in the inverted form, a multiplication by the keep probability in the
classic one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, close, equal
from assay.sabotage import instead, scaled, with_arguments
from assay.strategies import normals, probabilities, seeds

Role = Callable[..., Any]


def _seeded(x: torch.Tensor, seed: int) -> torch.Generator:
    return torch.Generator(x.device).manual_seed(seed)


def _ones(n: int, g: torch.Generator) -> torch.Tensor:
    return torch.ones(n, dtype=torch.float64, device=g.device)


@claim(
    "gfg-19.12",
    "Outside training a dropout layer gives back its input.",
    reading="inverted dropout, which rescales in training",
    needs=["dropout"],
    given={"x": normals((3, 8)), "p": probabilities(0.1, 0.9), "seed": seeds()},
    expect=HOLDS,
    sabotage={
        "is left in training mode": {"dropout": with_arguments(training=True)},
        "rescales in evaluation too": {"dropout": lambda sound: lambda x, p, **rest: sound(x, p, **rest) * (1 - p)},
    },
)
def inverted_dropout_does_nothing_outside_training(lib: Any, x: torch.Tensor, p: float, seed: int) -> Evidence:
    """Reading: the output in evaluation equals the input to the last bit.

    Why: the division by 1 - p in training has already made the mean right.
    """
    y = lib.dropout(x, p, generator=_seeded(x, seed), training=False)
    return equal(y, x, what="entries that evaluation changes")


@claim(
    "gfg-19.12",
    "Outside training a layer of classic dropout gives back its input.",
    reading="dropout as first published, which does not rescale in training",
    needs=["dropout_classic"],
    given={"x": normals((3, 8)), "p": probabilities(0.1, 0.9), "seed": seeds()},
    expect=REFUTED(
        instead="Dropout in its first form does not drop outside training but multiplies by the keep probability 1 - "
        "p; only inverted dropout, the form in use today, does nothing there.",
        by="evaluation_of_classic_dropout_is_its_training_mean",
    ),
    sabotage={
        "divides by the keep probability": {
            "dropout_classic": lambda sound: lambda x, p, **rest: sound(x, p, **rest) / (1 - p)
        },
    },
)
def classic_dropout_does_nothing_outside_training(lib: Any, x: torch.Tensor, p: float, seed: int) -> Evidence:
    """Reading: the output in evaluation equals the input.

    Why not: the classic form keeps the mean by multiplying in evaluation.
    """
    y = lib.dropout_classic(x, p, generator=_seeded(x, seed), training=False)
    return close(y, x, operations=4, what="evaluation changes an entry by")


@claim(
    "gfg-35.7",
    "At test time no neuron is dropped: the net computes what it would compute without dropout layers, the same every "
    "time.",
    needs=["dropout", "dense", "relu"],
    given={
        "x": normals((4, 6)),
        "w1": normals((9, 6)),
        "w2": normals((2, 9)),
        "p": probabilities(0.3, 0.9),
        "seed": seeds(),
    },
    expect=HOLDS,
    sabotage={
        "is left in training mode": {"dropout": with_arguments(training=True)},
        "drops by a fixed mask": {
            "dropout": lambda sound: lambda x, p, **rest: sound(x, p, generator=_seeded(x, 0), training=True)
        },
    },
)
def every_neuron_takes_part_at_test_time(
    lib: Any, x: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, p: float, seed: int
) -> Evidence:
    """Reading: two evaluations agree to the last bit with each other and with the net that has no dropout layer.

    Why: evaluation draws no mask.
    """
    generator = _seeded(x, seed)

    def net(dropped: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        return lib.dense(dropped(lib.relu(lib.dense(x, w1))), w2)

    first, second = (net(lambda h: lib.dropout(h, p, generator=generator, training=False)) for _ in range(2))
    twice = equal(second, first, what="outputs that differ between two evaluations")
    return twice & equal(first, net(lambda h: h), what="outputs that differ from the net without dropout")


@claim(
    "gfg-35.8",
    "At test time the outputs have to be multiplied by the dropout probability p.",
    needs=["dropout_classic"],
    setting={"p": 0.2, "factor": lambda p: p},
    expect=REFUTED(
        instead="The factor is the probability of keeping a neuron, 1 - p, and only in classic dropout; inverted "
        "dropout divides by 1 - p in training and needs no factor at test time. At p = 0.5 the two factors happen to "
        "agree.",
        by="evaluation_of_classic_dropout_is_its_training_mean",
    ),
    sabotage={
        "the factor is the keep probability": {"factor": instead(lambda p: 1 - p)},
        "a rate at which both agree": {"p": instead(0.5)},
    },
)
def the_test_factor_is_the_dropout_probability(
    lib: Any, trial: Trial, p: float, factor: Callable[[float], float]
) -> Evidence:
    """Reading: p times the full output is the mean output of training, which the factor is there to reproduce; p = 0.2.

    Why not: a neuron is present with probability 1 - p, so the mean is (1 - p) times the full output.
    """
    return trial.mean(
        lambda n, g: lib.dropout_classic(_ones(n, g), p, generator=g), factor(p),
        detects=0.02, spread=0.5, bounds=(0.0, 1.0), what="mean training output of a neuron whose full output is 1",
    )  # fmt: skip


@claim(
    "gfg-35.8",
    "Classic dropout multiplies by 1 - p at test time, which is the mean output of training.",
    reading=CORRECTION,
    also=["gfg-19.12"],
    needs=["dropout_classic"],
    cases=[{"p": 0.2}, {"p": 0.7}],
    expect=HOLDS,
    sabotage={
        "multiplies by the dropout probability": {
            "dropout_classic": lambda sound: (
                lambda x, p, *, generator, training=True: sound(x, p, generator=generator) if training else p * x
            )
        },
        "forgets the factor": {
            "dropout_classic": lambda sound: (
                lambda x, p, *, generator, training=True: sound(x, p, generator=generator) if training else x
            )
        },
    },
)
def evaluation_of_classic_dropout_is_its_training_mean(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: the mean over masks of the training output is the evaluation output, to 0.02, and that is (1 - p)·x.

    Why: E[m] = 1 - p.
    """
    one = torch.ones((), dtype=torch.float64, device=trial.device)
    factor = lib.dropout_classic(one, p, generator=trial.generator("unused"), training=False)
    mean = trial.mean(
        lambda n, g: lib.dropout_classic(_ones(n, g), p, generator=g), float(factor),
        detects=0.02, spread=0.5, bounds=(0.0, 1.0), what="mean training output of a neuron whose full output is 1",
    )  # fmt: skip
    return mean & close(factor, 1 - p, operations=2, what="the test factor differs from 1 - p by")


@claim(
    "gfg-35.8",
    "Inverted dropout needs no factor at test time: its training output has the full output as its mean.",
    reading=CORRECTION,
    needs=["dropout"],
    cases=[{"p": 0.2}, {"p": 0.7}],
    expect=HOLDS,
    sabotage={
        "forgets to rescale": {"dropout": lambda sound: lambda x, p, **rest: sound(x, p, **rest) * (1 - p)},
        "divides by the dropout probability": {
            "dropout": lambda sound: lambda x, p, **rest: sound(x, p, **rest) * (1 - p) / p
        },
        "is three in a hundred too large": {"dropout": scaled(1.03)},
    },
)
def inverted_dropout_keeps_the_mean(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: the mean over masks of the training output is the input, to 0.02.

    Why: E[m / (1 - p)] = 1.
    """
    return trial.mean(
        lambda n, g: lib.dropout(_ones(n, g), p, generator=g), 1.0,
        detects=0.02, spread=(p / (1 - p)) ** 0.5, bounds=(0.0, 1 / (1 - p)),
        what="mean training output of a neuron whose output is 1",
    )  # fmt: skip
