"""Image transformations in use: a random series of them in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import HOLDS, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, equal
from assay.sabotage import instead
from claims.lab import tasks

SERIES = ["flip", "crop", "add_noise"]


def varied(lib: Any, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image of x (n, 1, 8, 8) mirrored or not, cut out up to one pixel off, and noisy."""
    coins = torch.randint(2, (len(x),), generator=generator, device=generator.device).tolist()
    corners = torch.randint(3, (len(x), 2), generator=generator, device=generator.device).tolist()
    images = []
    for image, mirrored, (top, left) in zip(x, coins, corners, strict=True):
        image = lib.flip(image, -1) if mirrored else image
        images.append(lib.crop(torch.nn.functional.pad(image, (1, 1, 1, 1)), top, left, 8, 8))
    return lib.add_noise(torch.stack(images), 0.05, generator)


def bar_images(trial: Trial, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Bars on 6x6 pixels, upright (1) or lying (0), inside a dark margin of one pixel: (n, 1, 8, 8), (n,)."""
    x, y = tasks.bars((n,), 6, trial.generator("bars"), noise=0.0)
    return torch.nn.functional.pad(x, (1, 1, 1, 1)), y


def direction(x: torch.Tensor) -> torch.Tensor:
    """1 where the brightest column outshines the brightest row, else 0: what a viewer would say of x (n, 1, 8, 8)."""
    columns, rows = x.sum(-2).amax(-1), x.sum(-1).amax(-1)
    return (columns > rows).to(x.dtype)[:, 0]


@claim(
    "gfg-43.3",
    (
        "A series of random transformations gives new variants of the training images in each epoch, of the same shape"
        " and label."
    ),
    needs=SERIES,
    setting={"stream": lambda epoch: epoch},
    expect=HOLDS,
    sabotage={
        "the same numbers drawn in every epoch": {"stream": instead(lambda epoch: 0)},
        "a quarter turn for a reflection": {"flip": lambda sound: lambda x, dim: torch.rot90(x, 1, (-2, -1))},
    },
)
def each_epoch_brings_new_variants(lib: Any, trial: Trial, stream: Callable[[int], int]) -> Evidence:
    """Reading: reflection, crop and noise on 16 bars, six epochs: no image comes twice, shapes stay, a viewer still
    names the direction of every bar, and the same seed gives the same epoch to the last bit.
    Why: noise is drawn afresh; none of the three turns upright into lying."""
    x, y = bar_images(trial, 16)
    epochs = [varied(lib, x, trial.generator("epoch", stream(epoch))) for epoch in range(6)]
    images = torch.stack(epochs).transpose(0, 1).flatten(2)  # (16, 6, 64)
    twice = sum(int((images[:, a] == images[:, b]).all(-1).sum()) for a in range(6) for b in range(a))
    return (
        equal(twice, 0, what="images that come a second time")
        & equal([tuple(epoch.shape) for epoch in epochs], [tuple(x.shape)] * 6, what="shapes that change")
        & equal(torch.stack([direction(epoch) for epoch in epochs]), y.expand(6, -1), what="labels that change")
        & equal(
            varied(lib, x, trial.generator("epoch", stream(0))), epochs[0], what="pixels that the seed does not repeat"
        )
    )
