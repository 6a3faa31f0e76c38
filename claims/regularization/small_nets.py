"""One hidden layer on few, wrongly labelled points: the setting in which nets overfit. Many replicas at once; it
holds no claim.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from assay.decide.trial import Pair
from claims.lab.tasks import halfspace, xor_clouds
from claims.lab.training import Parameters, accuracy, fit, mlp, random_layers

Data = tuple[torch.Tensor, torch.Tensor]
Task = Callable[[tuple[int, ...], torch.Generator], Data]
Measure = Callable[[Any, Parameters, Data, Data], torch.Tensor]

ROLES = ("dense", "relu", "dropout", "l2_penalty", "binary_cross_entropy_with_logits", "adam")


@dataclass(frozen=True)
class Recipe:
    """How a net is trained: width, dropout probability on the hidden layer, L2 strength, steps of Adam at rate lr."""

    width: int = 64
    p: float = 0.0
    penalty: float = 0.0
    steps: int = 150
    lr: float = 0.02


WIDE = Recipe(width=16, steps=60, lr=0.05)  # on 100 points: learns wrong labels by heart
NARROW = Recipe(width=2, steps=40, lr=0.05)  # on 600 points: cannot
PLENTY = 600
FEW = 100
SLACK = 0.02  # the standard error of a share near 0.35 of 500 points


def noisy_halfspace(shape: tuple[int, ...], generator: torch.Generator) -> Data:
    """Ten features, of which one decides the class; a fifth of the labels is wrong: x (*shape, 10), y (*shape)."""
    return halfspace(shape, 10, generator, flipped=0.2)


def noisy_exclusive_or(shape: tuple[int, ...], generator: torch.Generator) -> Data:
    """Two coordinates, of which the signs together decide the class; a tenth of the labels is wrong: x (*shape, 2),
    y (*shape).
    """
    return xor_clouds(shape, generator, flipped=0.1)


def start(recipe: Recipe, x: torch.Tensor, generator: torch.Generator) -> Parameters:
    """Fresh weights for each replica of x (R, n, d)."""
    return random_layers([x.shape[-1], recipe.width, 1], x.shape[0], generator, gain=2**0.5, dtype=x.dtype)


def trained(lib: Any, recipe: Recipe, data: Data, params: Parameters, generator: torch.Generator) -> Parameters:
    """The parameters after training each replica on its own data x (R, n, d), y (R, n)."""
    x, y = data

    def loss(params: Parameters, step: int) -> torch.Tensor:
        w1, b1, w2, b2 = params
        hidden = lib.relu(lib.dense(x, w1, b1))
        if recipe.p > 0:
            hidden = lib.dropout(hidden, recipe.p, generator=generator)
        losses = lib.binary_cross_entropy_with_logits(lib.dense(hidden, w2, b2)[..., 0], y).mean(-1)
        if recipe.penalty > 0:
            losses = losses + recipe.penalty * (lib.l2_penalty(w1, batch_dims=1) + lib.l2_penalty(w2, batch_dims=1))
        return losses

    return fit(loss, params, lambda w, g, state: lib.adam(w, g, state, lr=recipe.lr), recipe.steps)


def cost(lib: Any, params: Parameters, data: Data) -> torch.Tensor:
    """The mean loss of each replica on its data (R,), without dropout and penalty."""
    x, y = data
    return lib.binary_cross_entropy_with_logits(mlp(lib, params, x, lib.relu)[..., 0], y).mean(-1)


def error(lib: Any, params: Parameters, data: Data) -> torch.Tensor:
    """The share of wrong answers of each replica (R,), without dropout."""
    x, y = data
    return 1 - accuracy(mlp(lib, params, x, lib.relu), y)


def contest(
    lib: Any, recipes: Sequence[Recipe], measure: Measure, *, points: int, task: Task = noisy_halfspace
) -> Callable[[int, torch.Generator], tuple[torch.Tensor, ...]]:
    """Train every recipe on the same data, and from the same weights where widths agree: (n, generator) -> measures
    (n,).

    `measure(lib, parameters, data, fresh)` is given the training data and 500 fresh points of the same task.
    """

    def run(n: int, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
        data, fresh = task((n, points), generator), task((n, 500), generator)
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))

        def one(recipe: Recipe) -> torch.Tensor:
            own = torch.Generator(generator.device).manual_seed(seed)
            return measure(lib, trained(lib, recipe, data, start(recipe, data[0], own), own), data, fresh)

        return tuple(one(recipe) for recipe in recipes)

    return run


def fresh_cost(lib: Any, params: Parameters, data: Data, fresh: Data) -> torch.Tensor:
    """The loss on points that were not trained on."""
    return cost(lib, params, fresh)


def gap(lib: Any, params: Parameters, data: Data, fresh: Data) -> torch.Tensor:
    """By how much the loss on fresh points exceeds that on the training points: what overfitting costs."""
    return cost(lib, params, fresh) - cost(lib, params, data)


def fresh_error(lib: Any, params: Parameters, data: Data, fresh: Data) -> torch.Tensor:
    """The share of wrong answers on points that were not trained on."""
    return error(lib, params, fresh)


def fresh_cost_and_error(lib: Any, params: Parameters, data: Data, fresh: Data) -> torch.Tensor:
    """The loss and the share of wrong answers on points that were not trained on (2, R)."""
    return torch.stack([fresh_cost(lib, params, data, fresh), fresh_error(lib, params, data, fresh)])


def not_bought(judged: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two costs (R,) of two nets, each given with its share of wrong answers (2, R): the first counts as the second if
    it was bought with errors, that is if its net makes more of them, by more than 0.02.

    A net that has learned nothing has a small loss on new data and a narrow gap, and is wrong on half of it.
    """
    (cost, errors), (plain, plain_errors) = judged, other
    return torch.where(errors <= plain_errors + SLACK, cost, plain), plain


def against(lib: Any, judged: Recipe, other: Recipe, points: int, task: Task = noisy_halfspace) -> Pair:
    """The losses on new data of two nets: (n, generator) -> two (n,); the first counts as the second if it was bought
    with errors.
    """

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        return not_bought(*contest(lib, [judged, other], fresh_cost_and_error, points=points, task=task)(n, g))

    return pair
