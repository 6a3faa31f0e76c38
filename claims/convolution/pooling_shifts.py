"""Pooling and small changes of the image: what it absorbs, and what passes through it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, equal, within
from assay.sabotage import instead
from claims.lab.convolving import convolved, random_kernels, shifted
from claims.lab.training import accuracy, fit

POOLINGS = ("max_pool2d", "average_pool2d")


def every_other_pixel(sound: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A pooling that looks at one pixel of each window."""
    return lambda x, *, size: x[..., ::size, ::size]


def smooth_features(n: int, generator: torch.Generator, *, rounds: int = 2) -> torch.Tensor:
    """Non-negative maps (n, 12, 12) that change little from pixel to pixel: noise averaged over 3x3 pixels,
    rectified."""
    x = torch.randn(n, 12, 12, generator=generator, dtype=torch.float64, device=generator.device)
    for dim in (-1, -2) * rounds:
        x = (x + x.roll(1, dim) + x.roll(-1, dim)) / 3
    return x.relu()


def relative_change(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """|after - before| / |before| of each map: (n, H, W) -> (n,)."""
    return (after - before).flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)


def higher_contrast(x: torch.Tensor) -> torch.Tensor:
    return 1.5 * x


def one_pixel_to_the_right(x: torch.Tensor) -> torch.Tensor:
    return x.roll(1, -1)


@claim(
    "gfg-40.5",
    "On smooth feature maps a shift by one pixel changes the pooled map less than the map itself.",
    needs=list(POOLINGS),
    cases=[{"pooling": role} for role in POOLINGS],
    setting={"size": 2},
    reading="pooled maps change less",
    expect=HOLDS,
    sabotage={
        "windows of a single pixel": {"size": instead(1)},
        "one pixel of each window instead of a summary": dict.fromkeys(POOLINGS, every_other_pixel),
    },
)
def a_shift_changes_pooled_maps_less(lib: Any, trial: Trial, pooling: str, size: int) -> Evidence:
    """Reading: for most smooth non-negative maps |P(Tx) - P(x)| / |P(x)| < |Tx - x| / |x|, T a shift by one pixel
    round the border.
    Why: a window's summary mostly sees the same pixels before and after. The rougher the map, the larger the gain."""
    pooled = getattr(lib, pooling)

    def pair(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        x = smooth_features(n, generator)
        moved = x.roll(1, -1)
        return relative_change(pooled(x, size=size), pooled(moved, size=size)), relative_change(x, moved)

    return trial.prefers(pair, what="the pooled map changes less than the map")


COLUMNS = [{"column": column} for column in range(2, 6)]


def spot(column: int, device: torch.device) -> torch.Tensor:
    """A single feature: (8, 8), 1 at row 4 and the given column."""
    x = torch.zeros(8, 8, dtype=torch.float64, device=device)
    x[4, column] = 1
    return x


@claim(
    "gfg-40.5",
    "Two-by-two pooling gives the same map after any shift by one pixel.",
    needs=list(POOLINGS),
    cases=COLUMNS,
    reading="pooled maps do not change at all",
    expect=REFUTED(
        instead=(
            "Only a shift that leaves each feature in its window is absorbed; one that crosses a border moves the "
            "pooled map by a whole cell."
        ),
        by="a_feature_that_stays_in_its_window_leaves_the_pooled_map_alone",
    ),
    sabotage={"only features that stay in their window": {"where": lambda column: column % 2 == 0}},
)
def a_shift_by_one_pixel_never_changes_a_pooled_map(lib: Any, trial: Trial, column: int) -> Evidence:
    """Reading: P(Tx) = P(x) for a single feature in any column, T a shift by one pixel to the right.
    Why: from an odd column the feature enters the next window."""
    return _unmoved(lib, spot(column, trial.device), steps=1, size=2)


def _unmoved(lib: Any, x: torch.Tensor, *, steps: int, size: int) -> Evidence:
    before, after = ([getattr(lib, role)(image, size=size) for role in POOLINGS] for image in (x, x.roll(steps, -1)))
    return equal(torch.stack(after), torch.stack(before), what="pooled entries changed by the shift")


@claim(
    "gfg-40.5",
    "A feature that a shift leaves in its window leaves the pooled map as it was.",
    needs=list(POOLINGS),
    cases=[
        {"size": size, "column": column, "steps": place - column}
        for size in (2, 4)
        for column in range(8)
        for place in range(8)
        if column != place and column // size == place // size
    ],
    reading=CORRECTION,
    exhaustive=True,
    expect=HOLDS,
    sabotage={
        "as far as the window is wide": {"steps": lambda steps: 4 if steps > 0 else -4},
        "one pixel of each window instead of a summary": dict.fromkeys(POOLINGS, every_other_pixel),
    },
)
def a_feature_that_stays_in_its_window_leaves_the_pooled_map_alone(
    lib: Any, trial: Trial, size: int, column: int, steps: int
) -> Evidence:
    """Reading: for one feature on a dark map, P(Tx) = P(x) to the last bit when it stands in the same window before
    and after: all columns and places of a map of eight. Why: maximum and mean of a window do not depend on where
    in it the feature stands."""
    return _unmoved(lib, spot(column, trial.device), steps=steps, size=size)


@claim(
    "gfg-40.6",
    "A net that pools loses less accuracy on shifted images than the same net without pooling.",
    needs=["conv2d", "relu", "max_pool2d", "dense", "cross_entropy", "adam"],
    setting={"size": 4, "far": 1},
    covers="small shifts",
    kind="comparative",
    expect=HOLDS,
    sabotage={"windows of a single pixel": {"size": instead(1)}, "tested where it was trained": {"far": instead(0)}},
)
def pooling_makes_a_net_robust_to_small_shifts(lib: Any, trial: Trial, size: int, far: int) -> Evidence:
    """Reading: trained on four glyphs at a fixed place, tested one pixel off in both directions, the accuracy lost
    is smaller with 4x4 max pooling behind the convolution. Same glyphs, noise, kernels and 30 steps of Adam on
    both sides.
    Why: most of what the kernels answer to stays in its window; without pooling it meets the head's weights for
    another pixel."""

    def pair(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        task = _Glyphs(n, generator, far=far)
        return task.lost_accuracy(lib, size), task.lost_accuracy(lib, 1)

    return trial.prefers(pair, what="pooling loses less accuracy to the shift")


class _Glyphs:
    """For each of n replicas four random glyphs of 3x3 cells, noisy images of them at a fixed place, and the same
    moved."""

    def __init__(self, n: int, generator: torch.Generator, *, far: int, classes: int = 4) -> None:
        self.generator, device = generator, generator.device
        cells = torch.rand(n, classes, 3, 3, generator=generator, device=device) < 0.5
        glyphs = torch.nn.functional.pad(
            cells.repeat_interleave(2, -1).repeat_interleave(2, -2).float(), (1,) * 4
        )  # (n, 4, 8, 8)
        self.labels, self.fresh = torch.arange(16, device=device) % classes, torch.arange(64, device=device) % classes
        self.x, self.x_fresh = self._noisy(glyphs[:, self.labels]), self._noisy(glyphs[:, self.fresh])
        signs = 1 - 2 * torch.randint(2, (2, n, 64), generator=generator, device=device)
        self.x_moved = shifted(self.x_fresh, *(far * signs))
        self.kernels = random_kernels(n, 3, 1, 3, generator, dtype=torch.float32)
        self.heads = torch.randn(n, classes, 192, generator=generator, device=device)

    def _noisy(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.2 * torch.randn(x.shape, generator=self.generator, device=x.device)

    def lost_accuracy(self, lib: Any, size: int) -> torch.Tensor:
        """Accuracy on fresh images less that on the same images moved, after training with pooling of this size:
        (n,)."""
        inputs = 3 * (8 // size) ** 2
        start = [self.kernels, self.heads[..., :inputs] / inputs**0.5, torch.zeros_like(self.heads[..., 0])]

        def scores(params: Any, x: torch.Tensor) -> torch.Tensor:
            z = lib.relu(convolved(lib, x[:, :, None], params[0], padding=1))
            return lib.dense(lib.max_pool2d(z, size=size).flatten(2), *params[1:])

        def loss(params: Any, step: int) -> torch.Tensor:
            return lib.cross_entropy(
                scores(params, self.x), self.labels.expand(len(self.x), -1), reduction="none"
            ).mean(-1)

        params = fit(loss, start, lambda p, g, s: lib.adam(p, g, s, lr=0.04), 30)
        return accuracy(scores(params, self.x_fresh), self.fresh) - accuracy(scores(params, self.x_moved), self.fresh)


@claim(
    "gfg-40.6",
    "A change of contrast shows less behind the pooling.",
    needs=list(POOLINGS),
    cases=[{"pooling": role} for role in POOLINGS],
    setting={"change": higher_contrast},
    covers="changes of contrast",
    expect=REFUTED(
        instead="A change of contrast passes pooling in full.",
        by="contrast_passes_pooling_in_full",
    ),
    sabotage={"a shift by one pixel instead": {"change": instead(one_pixel_to_the_right)}},
)
def pooling_softens_a_change_of_contrast(
    lib: Any, trial: Trial, pooling: str, change: Callable[[torch.Tensor], torch.Tensor]
) -> Evidence:
    """Reading: for most smooth maps, half as much contrast again changes the pooled map relatively less than the map,
    by a hundredth or more.
    Why: a hundredth is far above rounding, which is all that is left to chance here, and far below what a shift
    gives."""
    pooled = getattr(lib, pooling)

    def pair(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        x = smooth_features(n, generator)
        after = change(x)
        return relative_change(pooled(x, size=2), pooled(after, size=2)), relative_change(x, after)

    return trial.prefers(pair, margin=0.01, what="the pooled map changes less than the map")


@claim(
    "gfg-40.6",
    "A change of contrast reaches the pooled map undiminished.",
    needs=list(POOLINGS),
    cases=[{"pooling": role, "factor": factor} for role in POOLINGS for factor in (0.5, 1.5, 3.0)],
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "pooling that normalises": {
            role: lambda sound: lambda x, *, size: sound(x / x.amax((-2, -1), keepdim=True), size=size)
            for role in POOLINGS
        },
    },
)
def contrast_passes_pooling_in_full(lib: Any, trial: Trial, pooling: str, factor: float) -> Evidence:
    """Reading: |P(a·x) - P(x)| / |P(x)| = |a - 1| for every map, the same as before pooling.
    Why: maximum and mean of a·x are a times those of x for a > 0; of some 40 roundings each adds at most a unit
    roundoff per unit of size."""
    pooled = getattr(lib, pooling)
    x = smooth_features(50, trial.generator("maps"))
    change = relative_change(pooled(x, size=2), pooled(factor * x, size=2))
    rounding = 40 * torch.finfo(x.dtype).eps * (1 + factor)
    return within(
        change,
        abs(factor - 1),
        rounding,
        what="relative change differs from |a - 1| by",
        why="rounding of sums of 36 squares and their roots",
    )
