"""Pooling as regularisation: a convolutional net with fewer numbers before its dense layer, on images with wrong
labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence
from assay.sabotage import instead
from claims.lab.tasks import bars, flip
from claims.lab.training import Parameters, accuracy, fit
from claims.regularization.small_nets import SLACK, Task

ROLES = (
    "conv2d", "max_pool2d", "global_average_pool", "dense", "relu", "binary_cross_entropy_with_logits", "adam",
)  # fmt: skip
MAPS, SIDE, STEPS = 2, 6, 24
WIDE_GAP = 0.2  # of losses; twice the standard error of a loss on the 60 images, whose spread is about 0.8
Pool = Callable[[Any, torch.Tensor], torch.Tensor]


def no_pooling(lib: Any, h: torch.Tensor) -> torch.Tensor:
    return h


def two_by_two(lib: Any, h: torch.Tensor) -> torch.Tensor:
    return lib.max_pool2d(h, size=2)


def over_the_whole_map(lib: Any, h: torch.Tensor) -> torch.Tensor:
    return lib.global_average_pool(h)


def upright_or_lying(shape: tuple[int, ...], g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Is the bar upright? x (*shape, 1, 6, 6), y (*shape)."""
    return bars(shape, SIDE, g, noise=0.1)


def even_or_odd_row(shape: tuple[int, ...], g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Is the row of a lying bar of three pixels odd? x (*shape, 1, 6, 6), y (*shape)."""
    row, start = (torch.randint(most, (*shape, 1, 1), generator=g, device=g.device) for most in (SIDE, SIDE - 2))
    at = torch.arange(SIDE, device=g.device)
    image = ((at.unsqueeze(-1) == row) & (at >= start) & (at < start + 3)).to(torch.float64)
    noise = torch.randn(image.shape, generator=g, dtype=image.dtype, device=g.device)
    return (image + 0.1 * noise).unsqueeze(-3), (row[..., 0, 0] % 2).to(image.dtype)


@dataclass(frozen=True)
class Outcome:
    """What n nets cost (n,): the loss on their 60 images, the loss on 500 new ones, and the share of these that they
    answer wrongly, by the true labels.
    """

    own: torch.Tensor
    fresh: torch.Tensor
    errors: torch.Tensor

    @property
    def gap(self) -> torch.Tensor:
        return self.fresh - self.own


def _scores(lib: Any, params: Parameters, x: torch.Tensor, pool: Pool) -> torch.Tensor:
    """x (R, n, 1, 6, 6) -> (R, n): convolution, ReLU, pooling, dense; a replica is a group of the convolution."""
    w, b, v, c = params
    replicas, n = x.shape[:2]
    kernels, offsets = w.reshape(-1, 1, 3, 3), b.reshape(-1)
    h = lib.relu(
        lib.conv2d(x[:, :, 0].transpose(0, 1), kernels, offsets, padding=1, groups=replicas)
    )  # (n, R·maps, 6, 6)
    features = pool(lib, h).reshape(n, replicas, -1).transpose(0, 1)
    return lib.dense(features, v, c)[..., 0]


def _trained(
    lib: Any, pool: Pool, n: int, g: torch.Generator, steps: int = STEPS, task: Task = upright_or_lying
) -> Outcome:
    """n nets, each trained on 60 images of its own, a fifth of them with wrong labels, as of the 500 new ones."""
    own = torch.Generator(g.device).manual_seed(int(torch.randint(2**62, (), generator=g, device=g.device)))
    (x, y), (new, truth) = task((n, 60), g), task((n, 500), g)
    train, fresh = (x, flip(y, 0.2, g)), (new, flip(truth, 0.2, g))
    width = pool(lib, torch.zeros(1, MAPS, SIDE, SIDE, dtype=torch.float64, device=g.device)).numel()
    params: Parameters = [
        torch.randn(n, MAPS, 3, 3, generator=own, dtype=torch.float64, device=g.device) * (2 / 9) ** 0.5,
        torch.zeros(n, MAPS, dtype=torch.float64, device=g.device),
        torch.randn(n, 1, width, generator=own, dtype=torch.float64, device=g.device) / width**0.5,
        torch.zeros(n, 1, dtype=torch.float64, device=g.device),
    ]

    def loss(params: Parameters, data: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return lib.binary_cross_entropy_with_logits(_scores(lib, params, data[0], pool), data[1]).mean(-1)

    params = fit(lambda p, step: loss(p, train), params, lambda p, d, state: lib.adam(p, d, state, lr=0.08), steps)
    errors = 1 - accuracy(_scores(lib, params, new, pool).unsqueeze(-1), truth)
    return Outcome(loss(params, train), loss(params, fresh), errors)


@claim(
    "gfg-40.4",
    "Pooling lowers overfitting.",
    reading="the gap between new and training data narrows",
    needs=ROLES,
    setting={"task": upright_or_lying, "pool": two_by_two, "steps": STEPS},
    expect=CONDITIONAL(
        "the answer does not hang on the exact place of what is seen, as with upright and lying bars; if it is whether "
        "the bar's row is even, which 2×2 pooling blurs, the gain is gone or bought with errors",
        within={"task": instead(upright_or_lying)},
        beyond={"task": instead(even_or_odd_row)},
    ),
    sabotage={"does not train": {"steps": instead(0)}},
)
def pooling_narrows_the_gap(lib: Any, trial: Trial, task: Task, pool: Pool, steps: int) -> Evidence:
    """Reading: on 60 images of bars with a fifth of the labels wrong, 2×2 max-pooling before the dense layer lowers
    the gap, and the loss on new images with it, and makes no more errors there, up to 0.02.

    Why: the dense layer has a quarter of the weights, and the maximum of four numbers forgets where it stood: labels are
    harder to learn by heart, and so is an answer that hangs on the place. A net that has learned nothing has no gap
    and a low loss, hence the errors.
    """

    def wins(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        state, sides = g.get_state(), []
        for chosen in (pool, no_pooling):
            g.set_state(state)  # both nets see the same images
            sides.append(_trained(lib, chosen, n, g, steps, task))
        pooled, other = sides
        excesses = (pooled.gap - other.gap, pooled.fresh - other.fresh, pooled.errors - other.errors - SLACK)
        return torch.stack(excesses).amax(0), torch.zeros_like(pooled.gap)

    return trial.prefers(wins, what="gap and loss on new data: lower with pooling, and not bought with errors")


@claim(
    "gfg-40.4",
    "A net with pooling does not overfit.",
    reading="the gap is gone",
    needs=ROLES,
    setting={"pool": two_by_two},
    expect=REFUTED(
        instead="Pooling can narrow the gap and leave it open: on 60 images, a fifth of them labelled wrongly, the loss "
        "on new images stays above that on the 60 by more than 0.2.",
        by="a_gap_remains_behind_pooling",
    ),
    sabotage={"pools over the whole map": {"pool": instead(over_the_whole_map)}},
)
def pooling_leaves_no_overfitting(lib: Any, trial: Trial, pool: Pool) -> Evidence:
    """Reading: with 2×2 max-pooling, the loss on new images is below that of a guess and exceeds that on the 60
    training images by less than 0.2.

    Why not: 18 pooled numbers for 60 images are still enough to learn part of the wrong labels by heart. Pooled over
    the whole map, which leaves two numbers, the net beats a guess on new images, and there is no such gap.
    """

    def worst(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        found = _trained(lib, pool, n, g)
        return torch.maximum(found.gap - WIDE_GAP, found.fresh - math.log(2)), torch.zeros_like(found.gap)

    return trial.prefers(worst, what="gap to new data below 0.2, and loss on new data below that of a guess")


@claim(
    "gfg-40.4",
    "On 60 images, a fifth of them labelled wrongly, the loss of a net with pooling is higher on new images than on the "
    "60, by more than 0.2.",
    reading=CORRECTION,
    needs=ROLES,
    setting={"pool": two_by_two},
    expect=HOLDS,
    sabotage={"pools over the whole map": {"pool": instead(over_the_whole_map)}},
)
def a_gap_remains_behind_pooling(lib: Any, trial: Trial, pool: Pool) -> Evidence:
    """Reading: the gap of "the gap is gone", the other way round.

    Why: see there.
    """

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        gap = _trained(lib, pool, n, g).gap
        return torch.zeros_like(gap), gap

    return trial.prefers(pair, margin=WIDE_GAP, what="gap to new data: above 0.2")
