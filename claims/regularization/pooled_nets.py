"""Pooling as regularisation: a convolutional net with fewer numbers before its dense layer, on images with wrong
labels.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from assay.claim import HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence
from assay.sabotage import instead
from claims.lab.tasks import bars, flip
from claims.lab.training import Parameters, fit

ROLES = (
    "conv2d", "max_pool2d", "global_average_pool", "dense", "relu", "binary_cross_entropy_with_logits", "adam",
)  # fmt: skip
MAPS, SIDE, STEPS = 2, 6, 24
Pool = Callable[[Any, torch.Tensor], torch.Tensor]


def no_pooling(lib: Any, h: torch.Tensor) -> torch.Tensor:
    return h


def two_by_two(lib: Any, h: torch.Tensor) -> torch.Tensor:
    return lib.max_pool2d(h, size=2)


def over_the_whole_map(lib: Any, h: torch.Tensor) -> torch.Tensor:
    return lib.global_average_pool(h)


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


def _losses(
    lib: Any, pool: Pool, n: int, g: torch.Generator, seed: int, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Train n nets on 60 images each, a fifth of them with wrong labels: losses on the 60 and on 100 new ones, (n,)."""

    def images(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = bars((n, count), SIDE, g, noise=0.1)
        return x, flip(y, 0.2, g)

    train, fresh = images(60), images(100)
    own = torch.Generator(g.device).manual_seed(seed)
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
    return loss(params, train), loss(params, fresh)


@claim(
    "gfg-40.4",
    "Pooling lowers overfitting.",
    reading="the gap between new and training data narrows",
    needs=ROLES,
    setting={"pool": two_by_two, "plain": no_pooling, "steps": STEPS},
    expect=HOLDS,
    sabotage={
        "does not train": {"steps": instead(0)},
        "both nets pool over the whole map": {
            "pool": instead(over_the_whole_map),
            "plain": instead(over_the_whole_map),
        },
    },
)
def pooling_narrows_the_gap(lib: Any, trial: Trial, pool: Pool, plain: Pool, steps: int) -> Evidence:
    """Reading: on 60 images of bars with a fifth of the labels wrong, 2×2 max-pooling before the dense layer lowers
    the gap, and the loss on new images with it.

    Why: the dense layer has a quarter of the weights and sees less of each image's noise, so it learns fewer labels
    by heart. A gap that narrowed because nothing was learned would leave the loss on new images where it was.
    """

    def wins(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        state, seed = g.get_state(), int(torch.randint(2**62, (), generator=g, device=g.device))
        sides = []
        for chosen in (pool, plain):
            g.set_state(state)  # both nets see the same images
            sides.append(_losses(lib, chosen, n, g, seed, steps))
        (own, fresh), (own_plain, fresh_plain) = sides
        return torch.maximum((fresh - own) - (fresh_plain - own_plain), fresh - fresh_plain), torch.zeros_like(fresh)

    return trial.prefers(wins, what="gap to new data, and loss on new data: both lower with pooling than without")


@claim(
    "gfg-40.4",
    "A net with pooling does not overfit.",
    reading="the gap is gone",
    needs=ROLES,
    setting={"pool": two_by_two},
    expect=REFUTED(
        instead="Pooling narrows the gap, since the dense layer behind it has fewer weights; on few images a wide gap "
        "remains.",
        by="pooling_narrows_the_gap",
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
        own, fresh = _losses(lib, pool, n, g, int(torch.randint(2**62, (), generator=g, device=g.device)), STEPS)
        return torch.maximum(fresh - own - 0.2, fresh - math.log(2)), torch.zeros_like(fresh)

    return trial.prefers(worst, what="gap to new data below 0.2, and loss on new data below that of a guess")
