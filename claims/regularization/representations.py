"""What dropout does to the hidden neurons: how alike they become, and how much the net leans on each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, equal
from assay.sabotage import instead, with_arguments
from claims.lab.training import Parameters, fit
from claims.regularization.small_nets import (
    ROLES,
    Data,
    Recipe,
    Task,
    contest,
    cost,
    noisy_exclusive_or,
    noisy_halfspace,
    start,
    trained,
)


def _recipe(width: int, p: float) -> Recipe:
    return Recipe(width=width, p=p, steps=60, lr=0.05)


def likeness(lib: Any, params: Parameters, data: Data, fresh: Data) -> torch.Tensor:
    """The mean size of the correlation between two hidden neurons on new data (R,); a neuron that is always off
    counts as 0.
    """
    h = lib.relu(lib.dense(fresh[0], params[0], params[1]))
    h = h - h.mean(-2, keepdim=True)
    h = h / torch.linalg.vector_norm(h, dim=-2, keepdim=True).clamp_min(1e-12)
    sizes, width = (h.mT @ h).abs(), h.shape[-1]
    return (sizes.sum((-1, -2)) - sizes.diagonal(dim1=-2, dim2=-1).sum(-1)) / (width * (width - 1))


def harms(lib: Any, params: Parameters, data: Data) -> torch.Tensor:
    """By how much the loss on the data rises when one hidden neuron is removed: each neuron in its turn (R, width)."""
    x, y = data
    w1, b1, w2, b2 = params
    h = lib.relu(lib.dense(x, w1, b1))
    z = lib.dense(h, w2, b2)
    without = (z - h * w2).mT.contiguous()  # (R, width, n): the net's output less what one neuron adds to it
    losses = lib.binary_cross_entropy_with_logits(without, y.unsqueeze(-2).expand_as(without)).mean(-1)
    return losses - cost(lib, params, data).unsqueeze(-1)


def trained_to(lib: Any, recipe: Recipe, data: Data, params: Parameters, loss: torch.Tensor) -> Parameters:
    """Trains without dropout; each replica halts at its last step whose training loss is still above `loss` (R,)."""
    reached = torch.zeros_like(loss, dtype=torch.bool)

    def update(w: Parameters, g: Parameters, state: Any) -> tuple[Parameters, Any]:
        nonlocal reached
        moved, state = lib.adam(w, g, state, lr=recipe.lr)
        reached = reached | (cost(lib, moved, data) <= loss)
        return [
            torch.where(reached.reshape(-1, *[1] * (a.dim() - 1)), a, b) for a, b in zip(w, moved, strict=True)
        ], state

    return fit(lambda w, step: cost(lib, w, data), params, update, recipe.steps)


def _alike(lib: Any, recipe: Recipe, n: int, g: torch.Generator) -> tuple[Parameters, Parameters, Data]:
    """n nets by the recipe, as many without dropout at the same training loss, from the same weights on the same 100
    points, and the points.
    """
    data = noisy_halfspace((n, 100), g)
    own = torch.Generator(g.device).manual_seed(int(torch.randint(2**62, (), generator=g, device=g.device)))
    params = start(recipe, data[0], own)
    dropped = trained(lib, recipe, data, params, own)
    plain = trained_to(lib, _recipe(recipe.width, 0.0), data, params, cost(lib, dropped, data))
    return dropped, plain, data


def _harms(lib: Any, recipe: Recipe, n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """The harms of single neurons by the recipe, and without dropout at the same training loss: (n, width) each."""
    dropped, plain, data = _alike(lib, recipe, n, g)
    return harms(lib, dropped, data), harms(lib, plain, data)


@claim(
    "ib-34.6",
    "In a larger net trained with dropout, the hidden neurons are less alike.",
    reading="the neurons of a larger net are less correlated",
    needs=ROLES,
    setting={"task": noisy_halfspace, "small": 8, "large": 32, "p": 0.5},
    expect=CONDITIONAL(
        "the task asks the same of every neuron, as a half-space does; on an exclusive-or, which needs different "
        "neurons in any net, 32 are not less alike than 8",
        within={"task": instead(noisy_halfspace)},
        beyond={"task": instead(noisy_exclusive_or)},
    ),
    sabotage={"neither net has dropout": {"p": instead(0.0)}},
)
def neurons_of_a_larger_net_are_less_alike(
    lib: Any, trial: Trial, task: Task, small: int, large: int, p: float
) -> Evidence:
    """Reading: trained with p = 0.5 on the same 200 points, 32 neurons are less correlated on new data than 8, by 0.02;
    a neuron that is always off counts as correlated with none.

    Why: eight neurons of which half are missing must say much the same, where any of them can give the answer; without
    dropout no such difference shows.
    """
    pair = contest(lib, [_recipe(large, p), _recipe(small, p)], likeness, points=200, task=task)
    return trial.prefers(
        pair, margin=0.02, what="mean correlation (0 for a dead neuron): the larger net's is lower by 0.02"
    )


@claim(
    "ib-34.6",
    "Dropout makes the hidden neurons more independent of each other.",
    reading="dropout itself makes the neurons less correlated",
    needs=ROLES,
    setting={"task": noisy_exclusive_or, "p": 0.5, "other": 0.0},
    expect=CONDITIONAL(
        "the task needs different neurons, as an exclusive-or does; on a half-space, which asks the same of each, the 12 "
        "neurons of a small net become more alike",
        within={"task": instead(noisy_exclusive_or)},
        beyond={"task": instead(noisy_halfspace)},
    ),
    sabotage={"without dropout against with it": {"p": instead(0.0), "other": instead(0.5)}},
)
def dropout_makes_neurons_less_alike(lib: Any, trial: Trial, task: Task, p: float, other: float) -> Evidence:
    """Reading: trained on the same 200 points from the same weights, 12 neurons are less correlated on new data with p
    = 0.5 than without.

    Why: the loss is lowest when any half of the neurons gives the answer. On a half-space that makes them repeat each
    other; an exclusive-or is not solved by repeating one feature.
    """
    pair = contest(lib, [_recipe(12, p), _recipe(12, other)], likeness, points=200, task=task)
    return trial.prefers(pair, what="mean correlation (0 for a dead neuron): lower with dropout than without")


@claim(
    "ib-34.6",
    "On a half-space, which asks the same of every neuron, dropout makes the hidden neurons of a small net more alike.",
    reading=CORRECTION,
    needs=ROLES,
    setting={"p": 0.5},
    expect=HOLDS,
    sabotage={"drops nothing": {"p": instead(0.0)}},
)
def dropout_makes_neurons_of_a_small_net_more_alike(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: trained on the same 200 points of a half-space from the same weights, 12 neurons are more correlated on
    new data with p = 0.5 than without.

    Why: the loss is lowest when any half of the neurons gives the answer, which makes them redundant.
    """
    pair = contest(lib, [_recipe(12, 0.0), _recipe(12, p)], likeness, points=200)
    return trial.prefers(pair, what="mean correlation (0 for a dead neuron): lower without dropout than with it")


@claim(
    "ib-34.6",
    "A larger layer gives dropout more sub-networks to train: 2ⁿ for n neurons.",
    reading="a larger net has more sub-networks",
    needs=["dropout"],
    cases=[{"n": n} for n in range(1, 7)],
    expect=HOLDS,
    sabotage={
        "tosses one coin for the whole layer": {
            "dropout": lambda sound: lambda x, p, **rest: x * sound(torch.ones_like(x[:, :1]), p, **rest)
        },
        "is left in evaluation mode": {"dropout": with_arguments(training=False)},
    },
)
def a_larger_layer_has_more_sub_networks(lib: Any, trial: Trial, n: int) -> Evidence:
    """Reading: among 4096 masks of n neurons (p = 0.5) each of the 2ⁿ subsets occurs, for n up to 6.

    Why: each neuron is on or off; one of 64 is missing with probability 64·(63/64)⁴⁰⁹⁶ < 1e-26.
    """
    ones = torch.ones(4096, n, dtype=torch.float64, device=trial.device)
    on = lib.dropout(ones, 0.5, generator=trial.generator("masks")) != 0
    return equal(len(on.unique(dim=0)), 2**n, what="number of sub-networks seen")


@claim(
    "gfg-35.6",
    "Dropout makes a net learn features that bear the loss of a neuron.",
    reading="its features bear the loss of a neuron",
    needs=ROLES,
    setting={"recipe": _recipe(16, 0.5)},
    expect=HOLDS,
    sabotage={
        "drops nothing": {"recipe": instead(_recipe(16, 0.0))},
        "stops early instead": {"recipe": instead(replace(_recipe(16, 0.0), steps=10))},
    },
)
def dropout_makes_features_robust(lib: Any, trial: Trial, recipe: Recipe) -> Evidence:
    """Reading: removing one of 16 hidden neurons after training raises the loss on 100 training points less, averaged
    over the neurons, with p = 0.5 than without, where the net without is stopped when its training loss is as low.

    Why: in training a neuron is missing half of the time, so what depends on it alone is expensive. A net that has
    learned little has little to lose, hence the equal loss.
    """

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        dropped, plain = _harms(lib, recipe, n, g)
        return dropped.mean(-1), plain.mean(-1)

    return trial.prefers(pair, what="harm of removing a neuron at equal loss: less with dropout than without")


def _largest(harms: torch.Tensor) -> torch.Tensor:
    return harms.amax(-1)


def _average(harms: torch.Tensor) -> torch.Tensor:
    return harms.mean(-1)


Judge = Callable[[torch.Tensor], torch.Tensor]


@claim(
    "gfg-35.6",
    "Dropout makes a net learn robust features and no others.",
    reading="it learns no other features",
    needs=ROLES,
    setting={"judged_by": _largest},
    expect=REFUTED(
        instead="It is on average over the neurons that missing one costs less than in a net without dropout and with "
        "the same training loss.",
        by="dropout_makes_features_robust",
    ),
    sabotage={"judges by the average neuron": {"judged_by": instead(_average)}},
)
def dropout_leaves_no_fragile_features(lib: Any, trial: Trial, judged_by: Judge) -> Evidence:
    """Reading: of 64 neurons trained with p = 0.5, removing any one raises the loss on 100 training points less than
    removing an average neuron of a net without dropout, stopped at the same training loss.

    Why not: the noise makes leaning on a neuron expensive, not impossible, and few of 64 neurons do most of the work.
    """

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        dropped, plain = _harms(lib, _recipe(64, 0.5), n, g)
        return judged_by(dropped), plain.mean(-1)

    return trial.prefers(pair, what="harm of removing a neuron: less than an average one does without dropout")


def _noise_harms(lib: Any, n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """By how much the loss on 500 new points rises (n,) when noise of standard deviation 1, that of the inputs, is added
    to them: with p = 0.5 on 16 neurons, and without dropout at the same training loss.
    """
    dropped, plain, _ = _alike(lib, _recipe(16, 0.5), n, g)
    x, y = noisy_halfspace((n, 500), g)
    noisy = x + torch.randn(x.shape, generator=g, dtype=x.dtype, device=x.device)
    with_dropout, without = (cost(lib, params, (noisy, y)) - cost(lib, params, (x, y)) for params in (dropped, plain))
    return with_dropout, without


@claim(
    "gfg-35.6",
    "Dropout makes a net learn features that bear noise on the inputs.",
    reading="they bear noise on the inputs",
    needs=ROLES,
    setting={"exchanged": False},
    expect=REFUTED(
        instead="Noise on the inputs can hurt a net trained with dropout more than one that was trained without it to the "
        "same loss.",
        by="noise_on_the_inputs_can_hurt_more_under_dropout",
    ),
    sabotage={"without dropout against with it": {"exchanged": instead(True)}},
)
def dropout_makes_features_bear_noise(lib: Any, trial: Trial, exchanged: bool) -> Evidence:
    """Reading: noise of the inputs' own size on the inputs raises the loss on new points less with p = 0.5 than without,
    where the net without is stopped when its training loss is as low.

    Why not: what dropout trains for is the loss of a neuron, not noise on the inputs.
    """

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        with_dropout, without = _noise_harms(lib, n, g)
        return (without, with_dropout) if exchanged else (with_dropout, without)

    return trial.prefers(pair, what="harm of noise on the inputs at equal loss: less with dropout than without")


@claim(
    "gfg-35.6",
    "Noise on the inputs can hurt a net trained with dropout more than one trained without it to the same loss.",
    reading=CORRECTION,
    needs=ROLES,
    setting={"exchanged": True},
    expect=HOLDS,
    kind="existence",
    sabotage={"with dropout against without it": {"exchanged": instead(False)}},
)
def noise_on_the_inputs_can_hurt_more_under_dropout(lib: Any, trial: Trial, exchanged: bool) -> Evidence:
    """Reading: as for "they bear noise on the inputs", the other way round.

    Why: see there.
    """
    return dropout_makes_features_bear_noise.check(lib, trial, exchanged)
