"""Whether dropout stops nets from overfitting, at which rate, and for which nets: it helps those that overfit, and the
others gain nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Pair, Trial
from assay.evidence import Evidence
from assay.sabotage import instead
from claims.lab.training import Parameters
from claims.regularization.small_nets import (
    FEW,
    NARROW,
    PLENTY,
    ROLES,
    WIDE,
    Data,
    Recipe,
    Task,
    against,
    contest,
    fresh_cost,
    fresh_cost_and_error,
    fresh_error,
    gap,
    noisy_exclusive_or,
    noisy_halfspace,
    not_bought,
)


@claim(
    "ib-34.1",
    "Dropout makes a net generalise better.",
    also=["gfg-35.1"],
    reading="the loss on new data falls",
    needs=ROLES,
    setting={"recipe": WIDE, "points": FEW, "p": 0.5},
    expect=CONDITIONAL(
        "the net overfits: here 16 hidden neurons on 100 points with wrong labels; 2 neurons on 600 points gain nothing",
        within={"recipe": instead(WIDE), "points": instead(FEW)},
        beyond={"recipe": instead(NARROW), "points": instead(PLENTY)},
    ),
    sabotage={"drops nothing": {"p": instead(0.0)}, "drops all but one in a hundred": {"p": instead(0.99)}},
)
def dropout_lowers_the_loss_on_new_data(lib: Any, trial: Trial, recipe: Recipe, points: int, p: float) -> Evidence:
    """Reading: trained on the same data from the same weights, the net with p = 0.5 has the lower cross-entropy on
    500 fresh points, and not by answering more of them wrongly: up to 0.02 more, the noise of counting them.

    Why: the noise keeps the net from fitting wrong labels; a net that cannot fit them loses capacity and gains nothing.
    A net that has learned nothing has a low loss too, hence the second part.
    """
    pair = against(lib, _with(recipe, p=p), recipe, points)
    return trial.prefers(pair, what="loss on new data, not bought with errors: dropout is better than none")


@claim(
    "gfg-35.1",
    "Dropout lowers the overfitting of a net that overfits, and not by keeping it from learning.",
    reading="the gap between new and training data narrows",
    also=["ib-34.1"],
    needs=ROLES,
    setting={"recipe": replace(WIDE, p=0.5)},
    expect=HOLDS,
    sabotage={
        "drops nothing": {"recipe": instead(WIDE)},
        "does not train": {"recipe": instead(replace(WIDE, steps=0))},
    },
)
def dropout_narrows_the_gap_between_new_and_training_data(lib: Any, trial: Trial, recipe: Recipe) -> Evidence:
    """Reading: 16 hidden neurons, 100 points, a fifth of the labels wrong: with p = 0.5, loss on new data minus loss
    on training data is smaller. A gap counts as the plain net's if it was bought with errors: if the share of wrong
    answers on new data is larger by more than 0.02 (it is smaller by about 0.03).

    Why: what the net has learned by heart costs nothing on training data and much on new data. Any net that learns
    little has a narrow gap too, hence the second part: an untrained one is wrong on half of the new data. On plenty
    of data there is hardly a gap to narrow, and dropout costs something: see the claim on the loss on new data.
    """

    def both(lib: Any, params: Parameters, data: Data, fresh: Data) -> torch.Tensor:
        return torch.stack([gap(lib, params, data, fresh), fresh_error(lib, params, data, fresh)])

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        return not_bought(*contest(lib, [recipe, WIDE], both, points=FEW)(n, g))

    return trial.prefers(pair, what="gap between new and training data, not bought with errors: dropout is better")


LITTLE, NOISE = 15, 0.045  # steps; twice the standard error of a loss on 500 points, whose spread is about 0.5


def _training_on(lib: Any, recipe: Recipe, points: int) -> Pair:
    """The loss on new data after all of the recipe's steps, and after the first 15 of the same training."""

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        late, early = contest(lib, [recipe, replace(recipe, steps=LITTLE)], fresh_cost, points=points)(n, g)
        return late, early

    return pair


@claim(
    "gfg-35.1",
    "A net with dropout does not overfit.",
    reading="overfitting is gone",
    also=["ib-34.1"],
    needs=ROLES,
    setting={"p": 0.5},
    expect=REFUTED(
        instead="Dropout lowers overfitting and need not end it: with half of its 16 neurons dropped, a net still "
        "learns wrong labels of 100 points by heart, and its loss on new data rises as training goes on.",
        by="a_net_with_dropout_can_overfit",
    ),
    sabotage={"drops nine in ten": {"p": instead(0.9)}},
)
def dropout_leaves_no_overfitting(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: of 16 neurons, trained on 100 points, a fifth of them with wrong labels, the loss on new data after 60
    steps is not higher than after 15, give or take the noise of measuring it.

    Why not: half of 16 neurons can still learn wrong labels. A gap between training and new data as such would prove
    nothing, since every net that has learned from its data has some; that training makes things worse is the harm.
    """
    pair = _training_on(lib, _with(WIDE, p=p), FEW)
    return trial.prefers(pair, margin=-NOISE, what="loss on new data: further training does not raise it")


@claim(
    "gfg-35.1",
    "A net with dropout can overfit: its loss on new data rises while it is trained.",
    reading=CORRECTION,
    also=["ib-34.1"],
    needs=ROLES,
    setting={"p": 0.5},
    expect=HOLDS,
    sabotage={"drops nine in ten": {"p": instead(0.9)}},
)
def a_net_with_dropout_can_overfit(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: as for "overfitting is gone", the other way round: after 60 steps the loss is higher than after 15, by
    more than the noise.

    Why: see there; at p = 0.9 hardly a neuron is left to learn by heart with.
    """

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        late, early = _training_on(lib, _with(WIDE, p=p), FEW)(n, g)
        return early, late

    return trial.prefers(pair, margin=NOISE, what="loss on new data: 15 steps are better than 60")


@claim(
    "ib-34.2",
    "A rate from 20 to 50 percent is better than no dropout.",
    reading="it is better than none",
    needs=ROLES,
    cases=[{"p": 0.2}, {"p": 0.5}],
    setting={"recipe": WIDE, "points": FEW},
    expect=CONDITIONAL(
        "the net overfits: here 16 hidden neurons on 100 points with wrong labels; 2 neurons on 600 points gain "
        "nothing from these rates",
        within={"recipe": instead(WIDE), "points": instead(FEW)},
        beyond={"recipe": instead(NARROW), "points": instead(PLENTY)},
    ),
    sabotage={"drops nothing": {"p": instead(0.0)}, "drops all but one in a hundred": {"p": instead(0.99)}},
)
def a_rate_from_a_fifth_to_a_half_is_better_than_none(
    lib: Any, trial: Trial, p: float, recipe: Recipe, points: int
) -> Evidence:
    """Reading: at p = 0.2 and at p = 0.5 the loss on new data is lower by more than 0.02 than without dropout, and the
    share of wrong answers there is not higher by more than 0.02.

    Why: as for dropout at all; nothing singles out one rate for every net.
    """
    pair = against(lib, _with(recipe, p=p), recipe, points)
    return trial.prefers(
        pair, margin=0.02, what="loss on new data, not bought with errors: this rate is better than none by 0.02"
    )


def _rates(lib: Any, other: float) -> Pair:
    """The loss on new data with the better of a fifth and a half, chosen afterwards in each run; and with the other
    rate.
    """

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        recipes = [_with(WIDE, p=p) for p in (0.2, 0.5, other)]
        low, high, another = contest(lib, recipes, fresh_cost, points=FEW)(n, g)
        return torch.minimum(low, high), another

    return pair


@claim(
    "ib-34.2",
    "The best rate lies from 20 to 50 percent, whatever the net.",
    reading="the best rate lies there",
    needs=ROLES,
    setting={"other": 0.8},
    expect=REFUTED(
        instead="How much dropout is best depends on how much the net overfits: 16 neurons on 100 points with wrong "
        "labels do better with 80 percent than with 50.",
        by="the_best_rate_can_lie_above_a_half",
    ),
    sabotage={"compares with a lower rate": {"other": instead(0.05)}},
)
def the_best_rate_lies_from_a_fifth_to_a_half(lib: Any, trial: Trial, other: float) -> Evidence:
    """Reading: 16 neurons on 100 points, a fifth of the labels wrong: the better of p = 0.2 and 0.5, chosen with
    hindsight, has a lower loss on new data than p = 0.8.

    Why not: half of 16 neurons still learn wrong labels by heart; the mean loss falls all the way from 0.2 to 0.8.
    """
    return trial.prefers(_rates(lib, other), what="loss on new data: 0.2 or 0.5 is better than the other rate")


@claim(
    "ib-34.2",
    "A rate of 80 percent can be better than one of 50.",
    reading=CORRECTION,
    needs=ROLES,
    setting={"other": 0.8},
    expect=HOLDS,
    kind="existence",
    sabotage={
        "compares with a lower rate": {"other": instead(0.05)},
        "compares with a rate that ruins the net": {"other": instead(0.99)},
    },
)
def the_best_rate_can_lie_above_a_half(lib: Any, trial: Trial, other: float) -> Evidence:
    """Reading: 16 neurons on 100 points, a fifth of the labels wrong: p = 0.8 has a lower loss on new data than 0.5, and
    not a larger share of wrong answers there, up to 0.02.

    Why: see the claim that it corrects; p = 0.99 lowers the loss further, and ruins the net.
    """
    pair = against(lib, _with(WIDE, p=other), _with(WIDE, p=0.5), FEW)
    return trial.prefers(pair, what="loss on new data, not bought with errors: the other rate is better than 0.5")


@claim(
    "ib-34.5",
    "The larger the net, the more dropout helps it.",
    reading="dropout gains more",
    needs=ROLES,
    setting={"points": 150, "small": 4, "large": 32, "p": 0.5},
    expect=CONDITIONAL(
        "points are enough for dropout to keep the larger net from learning them by heart: 4 against 32 neurons on "
        "150 points; on 30 points, which 32 neurons learn in spite of it, the larger net does not gain more",
        within={"points": instead(150)},
        beyond={"points": instead(30)},
    ),
    sabotage={"drops nothing": {"p": instead(0.0)}},
)
def dropout_helps_a_larger_net_more(lib: Any, trial: Trial, points: int, small: int, large: int, p: float) -> Evidence:
    """Reading: what p = 0.5 takes off the loss on new data is more for the larger net than for the smaller; what the
    larger net saves counts as nothing if its share of wrong answers is higher by more than 0.02 than without dropout.

    Why: the larger net has more to lose by learning labels by heart, as long as half of it cannot do the same.
    """
    recipes = [Recipe(width=w, p=rate, steps=60, lr=0.05) for w in (small, large) for rate in (0.0, p)]
    train = contest(lib, recipes, fresh_cost_and_error, points=points)

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        small_without, small_with, large_without, large_with = train(n, g)
        judged, plain = not_bought(large_with, large_without)
        return judged - plain, small_with[0] - small_without[0]

    return trial.prefers(pair, what="what dropout takes off the loss: the larger net gains more")


@claim(
    "ib-34.5",
    "Of two nets with dropout the larger does better on new data.",
    reading="its result with dropout is better",
    needs=ROLES,
    setting={"task": noisy_exclusive_or, "small": 4, "large": 32},
    expect=CONDITIONAL(
        "the task needs many neurons, as an exclusive-or does; on a half-space, which one neuron can tell, the larger "
        "net does not do better",
        within={"task": instead(noisy_exclusive_or)},
        beyond={"task": instead(noisy_halfspace)},
    ),
    sabotage={"the nets are exchanged": {"small": instead(32), "large": instead(4)}},
)
def a_larger_net_with_dropout_does_better(lib: Any, trial: Trial, task: Task, small: int, large: int) -> Evidence:
    """Reading: trained with p = 0.5 on the same 100 points, some with wrong labels, 32 neurons have a lower loss on new
    data than 4, and their share of wrong answers is not higher by more than 0.02.

    Why: two of four neurons are too few for an exclusive-or; on a half-space more neurons learn more wrong labels by
    heart, dropout or not.
    """
    wide, narrow = (Recipe(width=width, p=0.5, steps=60, lr=0.05) for width in (large, small))
    pair = against(lib, wide, narrow, FEW, task)
    return trial.prefers(pair, what="loss on new data, not bought with errors: the larger net's is lower")


def _with(recipe: Recipe, p: float) -> Recipe:
    return replace(recipe, p=p)
