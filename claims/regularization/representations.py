"""What dropout does to the hidden neurons: how alike they become, and how much the net leans on each of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from assay.claim import HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, equal
from assay.sabotage import instead, with_arguments
from claims.lab.training import Parameters
from claims.regularization.small_nets import ROLES, Data, Recipe, contest


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


def harm(lib: Any, params: Parameters, data: Data, fresh: Data, *, deleted: int) -> torch.Tensor:
    """By how much the loss on the training points rises when `deleted` hidden neurons are removed, averaged over all
    blocks of neurons.
    """
    x, y = data
    w1, b1, w2, b2 = params
    h = lib.relu(lib.dense(x, w1, b1))

    def loss(hidden: torch.Tensor) -> torch.Tensor:
        return lib.binary_cross_entropy_with_logits(lib.dense(hidden, w2, b2)[..., 0], y).mean(-1)

    blocks = torch.arange(h.shape[-1], device=h.device) // deleted
    rises = [loss(h * (blocks != block)) - loss(h) for block in range(int(blocks[-1]) + 1)]
    return torch.stack(rises).mean(0)


@claim(
    "ib-34.6",
    "In a larger net trained with dropout, the hidden neurons are less alike.",
    reading="the neurons of a larger net are less correlated",
    needs=ROLES,
    setting={"small": 8, "large": 32, "p": 0.5},
    expect=HOLDS,
    sabotage={"both nets are equally large": {"large": instead(8)}, "neither net has dropout": {"p": instead(0.0)}},
)
def neurons_of_a_larger_net_are_less_alike(lib: Any, trial: Trial, small: int, large: int, p: float) -> Evidence:
    """Reading: trained with p = 0.5 on the same 300 points, 32 neurons are less correlated on new data than 8, by 0.02.

    Why: eight neurons of which half are missing must say much the same; without dropout, width makes no difference.
    """
    pair = contest(lib, [_recipe(large, p), _recipe(small, p)], likeness, points=300)
    return trial.prefers(pair, margin=0.02, what="mean correlation of neurons: the larger net's is lower by 0.02")


@claim(
    "ib-34.6",
    "Dropout makes the hidden neurons more independent of each other.",
    reading="dropout itself makes the neurons less correlated",
    needs=ROLES,
    setting={"p": 0.5, "other": 0.0},
    expect=REFUTED(
        instead="Dropout makes the hidden neurons of a small net more alike, since each has to stand in for absent "
        "ones; the larger the net, the weaker the effect.",
        by="neurons_of_a_larger_net_are_less_alike",
    ),
    sabotage={"without dropout against with it": {"p": instead(0.0), "other": instead(0.5)}},
)
def dropout_makes_neurons_less_alike(lib: Any, trial: Trial, p: float, other: float) -> Evidence:
    """Reading: trained on the same 300 points from the same weights, 8 neurons are less correlated on new data with p
    = 0.5 than without.

    Why not: the loss is lowest when any half of the neurons gives the answer, which makes them redundant.
    """
    pair = contest(lib, [_recipe(8, p), _recipe(8, other)], likeness, points=300)
    return trial.prefers(pair, what="mean correlation of neurons: lower with dropout than without")


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
    "Dropout makes a net learn features that bear the loss of some neurons.",
    reading="it learns robust features",
    needs=ROLES,
    setting={"p": 0.5},
    expect=HOLDS,
    sabotage={"drops nothing": {"p": instead(0.0)}},
)
def dropout_makes_features_robust(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: removing 4 of 16 hidden neurons after training raises the loss on 100 training points less with p =
    0.5 than without.

    Why: in training a neuron is missing half of the time, so what depends on it alone is expensive.
    """
    pair = contest(lib, [_recipe(16, p), _recipe(16, 0.0)], partial(harm, deleted=4), points=100)
    return trial.prefers(pair, what="harm of removing a quarter of the neurons: less with dropout than without")


@claim(
    "gfg-35.6",
    "Dropout makes a net learn robust features and no others.",
    reading="it learns no other features",
    needs=ROLES,
    setting={"width": 16, "deleted": 4},
    expect=REFUTED(
        instead="Features become more robust, not proof: after training with dropout the removal of a quarter of the "
        "neurons still does harm.",
        by="dropout_makes_features_robust",
    ),
    sabotage={"one neuron of 32 is removed": {"width": instead(32), "deleted": instead(1)}},
)
def dropout_leaves_no_fragile_features(lib: Any, trial: Trial, width: int, deleted: int) -> Evidence:
    """Reading: trained with p = 0.5, removing 4 of 16 hidden neurons raises the loss on 100 training points by less
    than 0.015.

    Why not: the noise makes leaning on a neuron expensive, not impossible.
    """
    train = contest(lib, [_recipe(width, 0.5)], partial(harm, deleted=deleted), points=100)
    return trial.prefers(_against(0.015, train), what="harm of removing a quarter of the neurons is below 0.015")


def _against(
    bound: float, train: Callable[[int, torch.Generator], tuple[torch.Tensor, ...]]
) -> Callable[[int, torch.Generator], tuple[torch.Tensor, torch.Tensor]]:
    """A pair that sets one measure against a fixed number."""

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        (measured,) = train(n, g)
        return measured, torch.full_like(measured, bound)

    return pair
