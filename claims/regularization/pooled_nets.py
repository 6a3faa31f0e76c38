"""Pooling as regularisation: a convolutional net with fewer numbers before its dense layer, on images with wrong
labels.
"""

from __future__ import annotations

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
MAPS, SIDE = 2, 6
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


def _gap(lib: Any, pool: Pool, n: int, g: torch.Generator, seed: int) -> torch.Tensor:
    """Train n nets on 40 images each, a fifth of them with wrong labels: loss on 200 new images minus loss on the
    40.
    """

    def images(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = bars((n, count), SIDE, g)
        return x, flip(y, 0.2, g)

    train, fresh = images(40), images(200)
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

    params = fit(lambda p, step: loss(p, train), params, lambda p, d, state: lib.adam(p, d, state, lr=0.05), 20)
    return loss(params, fresh) - loss(params, train)


@claim(
    "gfg-40.4",
    "Pooling lowers overfitting.",
    reading="the gap between new and training data narrows",
    needs=ROLES,
    setting={"pool": two_by_two, "plain": no_pooling},
    expect=HOLDS,
    sabotage={
        "pools nothing": {"pool": instead(no_pooling)},
        "both nets pool over the whole map": {
            "pool": instead(over_the_whole_map),
            "plain": instead(over_the_whole_map),
        },
    },
)
def pooling_narrows_the_gap(lib: Any, trial: Trial, pool: Pool, plain: Pool) -> Evidence:
    """Reading: on 40 images of bars with a fifth of the labels wrong, 2×2 max-pooling before the dense layer lowers
    the gap.

    Why: the dense layer has a quarter of the weights and sees less of each image's noise, so it learns fewer labels
    by heart.
    """

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        state, seed = g.get_state(), int(torch.randint(2**62, (), generator=g, device=g.device))
        g.set_state(state)  # both nets see the same images
        first = _gap(lib, pool, n, g, seed)
        g.set_state(state)
        return first, _gap(lib, plain, n, g, seed)

    return trial.prefers(pair, what="gap between new and training data: with pooling lower than without")


@claim(
    "gfg-40.4",
    "A net with pooling does not overfit.",
    reading="the gap is gone",
    needs=ROLES,
    setting={"pool": two_by_two},
    expect=REFUTED(
        instead="Pooling narrows the gap, since the dense layer behind it has fewer weights; on few images a wide gap "
        "remains. Only pooling over the whole map, which leaves one number per map, all but closes it here.",
        by="pooling_narrows_the_gap",
    ),
    sabotage={"pools over the whole map": {"pool": instead(over_the_whole_map)}},
)
def pooling_leaves_no_overfitting(lib: Any, trial: Trial, pool: Pool) -> Evidence:
    """Reading: with 2×2 max-pooling, the loss on new images exceeds that on the 40 training images by less than 0.2.

    Why not: 18 pooled numbers for 40 images are still enough to learn most wrong labels by heart.
    """

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        gap = _gap(lib, pool, n, g, int(torch.randint(2**62, (), generator=g, device=g.device)))
        return gap, torch.full_like(gap, 0.2)

    return trial.prefers(pair, what="gap between new and training data is below 0.2")
