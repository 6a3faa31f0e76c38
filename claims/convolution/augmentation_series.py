"""Image transformations in use: a random series of them in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CONDITIONAL, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, equal, fact
from assay.sabotage import identity, instead
from claims.lab import tasks

Change = Callable[[torch.Generator], torch.Tensor]
SERIES = ["flip", "rotate90", "crop", "add_noise"]


def varied(lib: Any, x: torch.Tensor, generator: torch.Generator, first: str) -> torch.Tensor:
    """Each image of x (n, 1, 8, 8) mirrored (or turned) or not, cut out up to one pixel off, and noisy."""
    return lib.add_noise(cropped(lib, turned(lib, x, generator, first), generator), 0.05, generator)


def turned(lib: Any, x: torch.Tensor, generator: torch.Generator, first: str) -> torch.Tensor:
    """Every image is mirrored, or given a quarter turn, if a coin says so."""
    coins = torch.randint(2, (len(x),), generator=generator, device=generator.device).tolist()
    after = lib.flip(x, -1) if first == "flip" else lib.rotate90(x, 1)
    return torch.stack([b if coin else a for a, b, coin in zip(x, after, coins, strict=True)])


def cropped(lib: Any, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Every image is cut out of its padded self, up to one pixel off."""
    corners = torch.randint(3, (len(x), 2), generator=generator, device=generator.device).tolist()
    wide = torch.nn.functional.pad(x, (1, 1, 1, 1))
    return torch.stack([lib.crop(image, *corner, 8, 8) for image, corner in zip(wide, corners, strict=True)])


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
    setting={"stream": lambda epoch: epoch, "first": "flip"},
    expect=CONDITIONAL(
        "each transformation of the series keeps the label (of lying and upright bars a reflection does, a quarter turn "
        "does not)",
        within={"first": instead("flip")},
        beyond={"first": instead("rotate90")},
    ),
    sabotage={
        "the same numbers drawn in every epoch": {"stream": instead(lambda epoch: 0)},
        "reflection and quarter turn do nothing": {"flip": identity(), "rotate90": identity()},
        "always cuts out the middle": {"crop": lambda sound: lambda x, top, left, *size: sound(x, 1, 1, *size)},
    },
)
def each_epoch_brings_new_variants(lib: Any, trial: Trial, stream: Callable[[int], int], first: str) -> Evidence:
    """Reading: reflection, crop and noise on 16 bars, six epochs: no image comes twice, shapes stay, a viewer still
    names the direction of every bar, and the same seed gives the same epoch to the last bit. Reflection alone and crop
    alone make more than one variant of at least half of the bars.
    Why: noise is drawn afresh; none of the three turns upright into lying. A bar keeps one side of its mirror in all six
    epochs with probability 1/32, more than half of 16 bars do so once in 10⁹ runs; one crop of nine comes even less
    often six times."""
    x, y = bar_images(trial, 16)

    def epochs(change: Change, *name: object) -> torch.Tensor:
        """(6, 16, 1, 8, 8)"""
        return torch.stack([change(trial.generator("epoch", stream(epoch), *name)) for epoch in range(6)])

    series = epochs(lambda g: varied(lib, x, g, first))
    again = varied(lib, x, trial.generator("epoch", stream(0)), first)
    images = series.transpose(0, 1).flatten(2)  # (16, 6, 64)
    twice = sum(int((images[:, a] == images[:, b]).all(-1).sum()) for a in range(6) for b in range(a))
    return (
        equal(twice, 0, what="images that come a second time")
        & equal(tuple(series.shape[1:]), tuple(x.shape), what="shapes that change")
        & equal(torch.stack([direction(epoch) for epoch in series]), y.expand(6, -1), what="labels that change")
        & equal(again, series[0], what="pixels that the seed does not repeat")
        & fact("bars that reflection never changes", _unvaried(epochs(lambda g: turned(lib, x, g, first), "turn")), 8)
        & fact("bars that the crop never moves", _unvaried(epochs(lambda g: cropped(lib, x, g), "crop")), 8)
    )


def _unvaried(epochs: torch.Tensor) -> int:
    """The number of images that are the same in all epochs (6, n, 1, 8, 8)."""
    return int((epochs == epochs[0]).flatten(2).all(-1).all(0).sum())
