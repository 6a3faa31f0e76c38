"""Whether regularisation makes nets answer better on new data: it does where they overfit, and gains nothing where
they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from assay.claim import CONDITIONAL, HOLDS, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence
from assay.sabotage import instead, with_arguments
from claims.lab.tasks import halfspace
from claims.regularization.small_nets import (
    FEW,
    ROLES,
    WIDE,
    Data,
    Recipe,
    contest,
    fresh_error,
    noisy_exclusive_or,
)

SETTLED = Recipe(width=2, steps=60, lr=0.15)  # on 400 points: has learned what it can, and little by heart


@claim(
    "ib-20.7",
    "Regularisation helps where accuracy on validation data no longer rises.",
    needs=ROLES,
    setting={"recipe": WIDE, "points": FEW, "penalty": 0.03},
    expect=CONDITIONAL(
        "accuracy stands still because the net overfits, here 16 neurons on 100 points; 2 neurons on 400 points, whose "
        "accuracy stands still too, gain nothing from the same penalty",
        within={"recipe": instead(WIDE), "points": instead(FEW)},
        beyond={"recipe": instead(SETTLED), "points": instead(400)},
    ),
    sabotage={"no penalty": {"penalty": lambda sound: 0.0}},
)
def l2_raises_accuracy_on_validation_data(
    lib: Any, trial: Trial, recipe: Recipe, points: int, penalty: float
) -> Evidence:
    """Reading: half of the steps already gave as few errors on 500 fresh points, up to 0.05; trained on the same data
    from the same weights, the net with L2 makes fewer by 0.03.

    Why: the penalty makes wrong labels expensive to learn; where nothing is learned by heart there is nothing to gain.
    """
    stopped = contest(lib, [replace(recipe, steps=recipe.steps // 2), recipe], fresh_error, points=points)

    def halfway(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        half, full = stopped(n, g)
        return half, full + 0.05

    still = trial.prefers(halfway, what="errors on validation data: half of the steps are as good, up to 0.05")
    pair = contest(lib, [_with(recipe, penalty=penalty), recipe], fresh_error, points=points)
    return still & trial.prefers(pair, margin=0.03, what="errors on validation data: L2 is better than none by 0.03")


@claim(
    "ib-20.7",
    "Regularisation helps where accuracy on validation data no longer rises, however strong it is.",
    needs=ROLES,
    setting={"penalty": 0.03},
    expect=CONDITIONAL(
        "the penalty has a suitable size: here 0.03; at 0.3 the net that overfits can only guess",
        within={"penalty": instead(0.03)},
        beyond={"penalty": instead(0.3)},
    ),
    sabotage={"no penalty": {"penalty": lambda sound: 0.0}},
)
def l2_of_any_strength_raises_accuracy_on_validation_data(lib: Any, trial: Trial, penalty: float) -> Evidence:
    """Reading: the net of 16 neurons on 100 points makes fewer errors with the penalty, by 0.03.

    Why: a strong penalty holds the weights at zero, where the answer does not depend on the point.
    """
    pair = contest(lib, [_with(WIDE, penalty=penalty), WIDE], fresh_error, points=FEW)
    return trial.prefers(pair, margin=0.03, what="errors on validation data: L2 is better than none by 0.03")


def _clouds(shape: tuple[int, ...], generator: torch.Generator) -> Data:
    """A noisy exclusive-or of two coordinates, beside three that say nothing."""
    x, y = noisy_exclusive_or(shape, generator)
    idle = torch.rand(*shape, 3, generator=generator, dtype=x.dtype, device=x.device) * 2 - 1
    return torch.cat([x, idle], -1), y


def _plane(shape: tuple[int, ...], generator: torch.Generator) -> Data:
    return halfspace(shape, 2, generator, flipped=0.1)


@claim(
    "ib-13.3",
    "Many hidden neurons in one layer, with regularisation, can give a more accurate net than a few, or than many "
    "without it.",
    needs=ROLES,
    setting={"task": _clouds, "wide": 32, "penalty": 0.004},
    expect=HOLDS,
    kind="existence",
    sabotage={
        "a task that one neuron solves": {"task": instead(_plane)},
        "the wide layer is as narrow": {"wide": instead(2)},
        "no penalty": {"penalty": instead(0.0)},
    },
)
def many_neurons_with_regularisation_can_be_more_accurate(
    lib: Any, trial: Trial, task: Callable[..., Data], wide: int, penalty: float
) -> Evidence:
    """Reading: on 150 points of a noisy exclusive-or with three idle coordinates, 32 neurons with an L2 penalty of
    0.004 make fewer errors on new data, by 0.01, than the better of 32 neurons without it and 2 neurons.

    Why: two half-planes cut out no checkerboard, and 32 neurons learn wrong labels by heart unless that costs.
    """
    recipe = Recipe(width=wide, steps=50, lr=0.1)
    train = contest(
        lib, [replace(recipe, penalty=penalty), recipe, replace(recipe, width=2)], fresh_error, points=150, task=task
    )

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        held, free, narrow = train(n, g)
        return held, torch.minimum(free, narrow)

    return trial.prefers(
        pair, margin=0.01, what="errors on new data: many neurons with L2 make fewer by 0.01 than either other net"
    )


FEW_SAMPLES, MANY_SAMPLES = 60, 2000


def _ridge_contest(
    lib: Any, samples: int, penalty: float
) -> Callable[[int, torch.Generator], tuple[torch.Tensor, torch.Tensor]]:
    """Squared distance of the fitted from the true 50 weights, which is the excess test error: with the penalty, and
    nine tenths of that without.
    """

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        w = torch.randn(n, 50, generator=g, dtype=torch.float64, device=g.device) / 50**0.5
        x = torch.randn(n, samples, 50, generator=g, dtype=torch.float64, device=g.device)
        noise = torch.randn(n, samples, generator=g, dtype=torch.float64, device=g.device)
        y = (x @ w.unsqueeze(-1))[..., 0] + 0.5 * noise
        held, free = ((lib.ridge(x, y, penalty=t) - w).square().sum(-1) for t in (penalty, 0.0))
        return held, 0.9 * free

    return pair


@claim(
    "gfg-24.4",
    "Regularisation improves a model.",
    needs=["ridge"],
    setting={"samples": FEW_SAMPLES, "penalty": 10.0},
    expect=CONDITIONAL(
        "samples are few: 60 for 50 weights, with noise on the targets; with 2000 there is hardly anything to gain",
        within={"samples": instead(FEW_SAMPLES)},
        beyond={"samples": instead(MANY_SAMPLES)},
    ),
    sabotage={"no penalty": {"penalty": instead(0.0)}, "ignores the penalty": {"ridge": with_arguments(penalty=0.0)}},
)
def a_penalty_lowers_test_error(lib: Any, trial: Trial, samples: int, penalty: float) -> Evidence:
    """Reading: ridge regression with penalty 10 has an excess test error lower by a tenth than least squares (noise
    variance 0.25).

    Why: least squares has 0.25·50/(60 - 51) = 1.4, and the penalty trades that for a little bias; with 2000 samples
    it has 0.006, of which the penalty, 10 against 2000, takes less than a hundredth.
    """
    return trial.prefers(
        _ridge_contest(lib, samples, penalty), what="excess test error: the penalty is better by a tenth than none",
        most=128,
    )  # fmt: skip


@claim(
    "gfg-24.4",
    "Regularisation improves a model, however strong it is.",
    needs=["ridge"],
    setting={"penalty": 10.0},
    expect=CONDITIONAL(
        "the penalty has a suitable size: here 10; at 10⁵ all weights go to zero and the model gets worse",
        within={"penalty": instead(10.0)},
        beyond={"penalty": instead(1e5)},
    ),
    sabotage={"ignores the penalty": {"ridge": with_arguments(penalty=0.0)}},
)
def a_penalty_of_any_size_lowers_test_error(lib: Any, trial: Trial, penalty: float) -> Evidence:
    """Reading: on 100 samples, with the penalty the excess test error is lower by a tenth than without.

    Why: the penalty that Bayes would choose is the ratio of the variances of noise and weight, 0.25/0.02 = 12.5; at
    10⁵ the model predicts zero, whose error is 1, while least squares adds 0.25·50/(100 - 51) = 0.26.
    """
    return trial.prefers(
        _ridge_contest(lib, 100, penalty), what="excess test error: the penalty is better by a tenth than none"
    )


def _with(recipe: Recipe, **changed: float) -> Recipe:
    return replace(recipe, **changed)
