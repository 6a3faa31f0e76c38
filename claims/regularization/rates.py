"""What the dropout rate does: how much it drops, how much noise it makes, when it does nothing and when it does too
much.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, curve, equal
from assay.sabotage import identity, instead, scaled
from claims.lab.tasks import halfspace
from claims.regularization.small_nets import (
    FEW,
    ROLES,
    WIDE,
    Data,
    Recipe,
    against,
    contest,
    fresh_cost,
    fresh_error,
)


def _ones(n: int, g: torch.Generator) -> torch.Tensor:
    return torch.ones(n, dtype=torch.float64, device=g.device)


def _keeps_instead(sound: Any) -> Any:
    """p taken for the probability of staying."""
    return lambda x, p, **rest: sound(x, 1 - p, **rest)


@claim(
    "gfg-19.10",
    "At the usual small rates of 0.2 and 0.25 the noise of dropout is a quarter and a third of the signal; at 0.5 it "
    "equals it.",
    reading="what such a rate does; whether it is usual is not for a run",
    needs=["dropout"],
    cases=[{"p": 0.2}, {"p": 0.25}, {"p": 0.5}],
    expect=HOLDS,
    sabotage={
        "forgets to rescale": {"dropout": lambda sound: lambda x, p, **rest: (1 - p) * sound(x, p, **rest)},
        "is a twentieth too large": {"dropout": scaled(1.05)},
        "takes the rate for the probability of staying": {"dropout": _keeps_instead},
    },
)
def the_noise_of_dropout_grows_with_the_rate(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: a neuron's training output has mean 1 and squared deviation p/(1 - p) from its output 1, both to 0.01.

    Why: it is 0 with probability p and 1/(1 - p) otherwise. That such rates are usual is not for a run to decide.
    """
    noise, largest = p / (1 - p), max(1.0, (p / (1 - p)) ** 2)
    mean = trial.mean(
        lambda n, g: lib.dropout(_ones(n, g), p, generator=g), 1.0,
        detects=0.01, spread=noise**0.5, bounds=(0.0, 1 / (1 - p)),
        what="mean training output of a neuron whose output is 1",
    )  # fmt: skip
    return mean & trial.mean(
        lambda n, g: (lib.dropout(_ones(n, g), p, generator=g) - 1).square(), noise,
        detects=0.01, spread=0.5, bounds=(0.0, largest), what="mean squared deviation of a training output",
    )  # fmt: skip


@claim(
    "ib-34.2",
    "A rate of 20 percent drops a fifth of the neurons, one of 50 percent half of them.",
    reading="the rate is the share of neurons that is dropped",
    needs=["dropout"],
    cases=[{"p": 0.2}, {"p": 0.35}, {"p": 0.5}],
    expect=HOLDS,
    sabotage={
        "takes the rate for the probability of staying": {"dropout": _keeps_instead},
        "drops one in a hundred too many": {"dropout": lambda sound: lambda x, p, **rest: sound(x, p + 0.01, **rest)},
    },
)
def the_rate_is_the_share_of_neurons_dropped(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: the expected share of zeroed neurons in a layer is the rate, to 0.01.

    Why: each neuron is dropped with probability p.
    """
    return trial.proportion(
        lambda n, g: lib.dropout(_ones(n, g), p, generator=g) == 0, p, detects=0.01, what="share of neurons dropped"
    )


@claim(
    "ib-34.3",
    "Dropout with too small a probability does nothing at all.",
    reading="exactly nothing",
    needs=["dropout"],
    setting={"p": 0.01},
    expect=REFUTED(
        instead="Any probability above zero drops some neurons; the smaller it is, the less that does: on "
        "the inputs of a linear unit as much as a penalty of size p/(1 - p).",
        by="the_effect_of_dropout_vanishes_with_the_rate",
    ),
    sabotage={"the probability is zero": {"p": instead(0.0)}, "drops nothing": {"dropout": identity()}},
)
def a_tiny_rate_does_nothing_at_all(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: in training with p = 0.01, 4096 outputs are the inputs to the last bit.

    Why not: nothing is dropped with probability 0.99⁴⁰⁹⁶ = 1e-18, and what stays is divided by 0.99. At p = 0 the mask
    is all ones and the divisor 1.
    """
    x = trial.normal(4096)
    return equal(lib.dropout(x, p, generator=trial.generator("mask")), x, what="outputs that differ from their inputs")


@claim(
    "ib-34.3",
    "The smaller the probability of dropout, the less it does.",
    reading="an effect that vanishes with the rate",
    needs=["dropout", "dense", "mean_squared_error"],
    cases=[{"p": 0.01}, {"p": 0.05}, {"p": 0.2}],
    expect=HOLDS,
    sabotage={
        "forgets to rescale": {"dropout": lambda sound: lambda x, p, **rest: (1 - p) * sound(x, p, **rest)},
        "drops three in a hundred more": {"dropout": lambda sound: lambda x, p, **rest: sound(x, p + 0.03, **rest)},
        "drops nothing": {"dropout": identity()},
    },
)
def the_effect_of_dropout_vanishes_with_the_rate(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: dropout on the inputs of a linear unit raises its expected squared error by p/(1 - p)·Σ w²x², to 0.005
    of Σ w²x².

    Why: the error's mean is unchanged and its variance is that of Σ wx·m/(1 - p): a ridge penalty of size p/(1 - p),
    which is 0.01 at p = 0.01.
    """
    x = torch.tensor([[0.5, -1.0, 0.8, 1.2]], dtype=torch.float64, device=trial.device)
    w = torch.tensor([[0.9, 0.4, -0.7, 0.3]], dtype=torch.float64, device=trial.device)
    y = torch.full((1, 1), 0.1, dtype=torch.float64, device=trial.device)
    size = (w * x).square().sum()
    plain = lib.mean_squared_error(lib.dense(x, w), y)[0, 0]

    def rise(n: int, g: torch.Generator) -> torch.Tensor:
        z = lib.dense(lib.dropout(x.expand(n, 4), p, generator=g), w)
        return (lib.mean_squared_error(z, y.expand(n, 1))[:, 0] - plain) / size

    return trial.mean(
        rise,
        p / (1 - p),
        detects=0.005,
        spread=2 * (p / (1 - p)) ** 0.5,
        what="rise of the expected squared error, in units of Σ w²x²",
    )


@claim(
    "ib-34.3",
    "Dropout with a probability as small as 0.05 has no effect on overfitting.",
    reading="nothing to be noticed",
    needs=ROLES,
    setting={"p": 0.05},
    expect=REFUTED(
        instead="Where a net overfits, even a rate of 0.05 lowers its loss on new data.",
        by="a_small_rate_already_lowers_the_loss",
    ),
    sabotage={"a hundredth of the rate": {"p": instead(0.0005)}},
)
def a_small_rate_has_no_effect_on_overfitting(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: 16 neurons on 100 points, a fifth of the labels wrong: the mean loss on new data with p = 0.05 is that
    without dropout, to 0.25, a tenth of it.

    Why not: 4,800 of the 96,000 activations of the training are dropped, and the loss falls by about 0.55.
    """

    def saved(n: int, g: torch.Generator) -> torch.Tensor:
        with_it, without = contest(lib, [replace(WIDE, p=p), WIDE], fresh_cost, points=FEW)(n, g)
        return without - with_it

    return trial.mean(saved, 0.0, detects=0.25, spread=0.25, what="what dropout takes off the mean loss on new data")


@claim(
    "ib-34.3",
    "Dropout with a probability of 0.05 lowers the loss on new data of a net that overfits.",
    reading=CORRECTION,
    needs=ROLES,
    setting={"p": 0.05},
    expect=HOLDS,
    sabotage={"drops nothing": {"p": instead(0.0)}},
)
def a_small_rate_already_lowers_the_loss(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: in the setting of "nothing to be noticed", the loss is lower by 0.1 with p = 0.05 than without, and the
    share of wrong answers on new data is not higher by more than 0.02.

    Why: see there. A net that has learned nothing has a low loss too, hence the second part.
    """
    return trial.prefers(
        against(lib, replace(WIDE, p=p), WIDE, FEW), margin=0.1,
        what="loss on new data, not bought with errors: p = 0.05 is better than none by 0.1",
    )  # fmt: skip


def _clean(shape: tuple[int, ...], generator: torch.Generator) -> Data:
    return halfspace(shape, 10, generator)


@claim(
    "ib-34.4",
    "With too large a probability of dropout the net does not learn enough.",
    needs=ROLES,
    setting={"much": 0.99},
    expect=HOLDS,
    kind="tendency",
    sabotage={
        "a moderate rate in the place of the large one": {"much": instead(0.1)},
        "no dropout in the place of the large one": {"much": instead(0.0)},
    },
)
def too_much_dropout_keeps_the_net_from_learning(lib: Any, trial: Trial, much: float) -> Evidence:
    """Reading: after the same 50 steps on 60 points without wrong labels, a net of 32 hidden neurons trained with p =
    0.99 answers wrongly on a share of new points that is larger by 0.1 than with p = 0.5.

    Why: with a third of a neuron present on average, 0.99³² = 72 percent of the examples of a step meet an empty layer
    and teach only the bias of the output; most others meet one neuron, multiplied by 100. New points and right labels,
    since whoever learns wrong labels by heart has not learned more.
    """
    train = partial(contest, lib, measure=fresh_error, points=60, task=_clean)
    recipes = {p: Recipe(width=32, p=p, steps=50, lr=0.05) for p in (0.0, 0.5, 0.9, much)}
    shown = train(list(recipes.values()))(8, trial.generator("sweep"))
    picture = curve(
        "Errors on new points by dropout rate", list(recipes), {"share wrong": [float(e.mean()) for e in shown]},
        x_label="rate p", y_label="share of new points wrong", marks={"chance": 0.5},
    )  # fmt: skip
    return trial.prefers(
        train([recipes[0.5], recipes[much]]), margin=0.1,
        what="errors on new points: p = 0.5 is better than the large rate by 0.1",
    ).with_figure(picture)  # fmt: skip
