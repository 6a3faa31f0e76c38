"""Pooling and small changes of the image: what it absorbs, and what passes through it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, at_least, equal
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


Change = Callable[[torch.Tensor, torch.Generator], torch.Tensor]  # images (R, n, H, W) -> the same, changed


def one_pixel_off(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image moved by one pixel up or down and one to the left or right, round the border."""
    return shifted(x, *(1 - 2 * torch.randint(2, (2, *x.shape[:2]), generator=generator, device=x.device)))


def unchanged(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return x


def more_noise(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return x + 0.6 * torch.randn(x.shape, generator=generator, device=x.device)


@claim(
    "gfg-40.5",
    "On smooth feature maps a shift by one pixel usually changes the pooled map less than the map itself.",
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
        instead=("One feature on a dark map is absorbed while it stays in its window, and no longer."),
        by="a_single_feature_is_absorbed_only_while_it_stays_in_its_window",
    ),
    sabotage={"only features that stay in their window": {"where": lambda column: column % 2 == 0}},
)
def a_shift_by_one_pixel_never_changes_a_pooled_map(lib: Any, trial: Trial, column: int) -> Evidence:
    """Reading: P(Tx) = P(x) for a single feature in any column, T a shift by one pixel to the right.
    Why: from an odd column the feature enters the next window."""
    before, after = (_pooled(lib, spot(place, trial.device), size=2) for place in (column, column + 1))
    return equal(after, before, what="pooled entries changed by the shift")


def _pooled(lib: Any, x: torch.Tensor, *, size: int) -> torch.Tensor:
    """Both pooled maps of x (H, W): (2, H/size, W/size)."""
    return torch.stack([getattr(lib, role)(x, size=size) for role in POOLINGS])


@claim(
    "gfg-40.5",
    "A single feature leaves the pooled map as it was if a shift leaves it in its window, and changes it otherwise.",
    needs=list(POOLINGS),
    cases=[
        {"size": size, "column": column, "place": place}
        for size in (2, 4)
        for column, place in itertools.permutations(range(8), 2)
    ],
    reading=CORRECTION,
    exhaustive=True,
    expect=HOLDS,
    sabotage={
        "windows twice as wide": {role: lambda sound: lambda x, *, size: sound(x, size=2 * size) for role in POOLINGS},
        "one pixel of each window instead of a summary": dict.fromkeys(POOLINGS, every_other_pixel),
    },
)
def a_single_feature_is_absorbed_only_while_it_stays_in_its_window(
    lib: Any, trial: Trial, size: int, column: int, place: int
) -> Evidence:
    """Reading: for one feature of height 1 on a dark map, moved from a column to another place, both pooled maps stay
    the same to the last bit if it stands in the same window before and after; if not, each changes somewhere by
    1/size² or more. All columns and places of a map of eight.
    Why: maximum and mean of a window do not depend on where in it the feature stands, and a dark window gives 0. Of
    several features one may take another's place, so that the same is not true of them."""
    before, after = (_pooled(lib, spot(at, trial.device), size=size) for at in (column, place))
    if column // size == place // size:
        return equal(after, before, what="pooled entries changed by a shift within the window")
    moved = (after - before).abs().amax((-2, -1))
    return at_least(moved, 1 / size**2, what="change by a shift across a border")


@claim(
    "gfg-40.6",
    "A net that pools loses less accuracy on shifted images than the same net without pooling.",
    needs=["conv2d", "relu", "max_pool2d", "dense", "cross_entropy", "adam"],
    setting={"size": 4, "change": one_pixel_off},
    covers="small shifts",
    kind="comparative",
    expect=HOLDS,
    sabotage={
        "windows of a single pixel": {"size": instead(1)},
        "tested where it was trained": {"change": instead(unchanged)},
    },
)
def pooling_makes_a_net_robust_to_small_shifts(lib: Any, trial: Trial, size: int, change: Change) -> Evidence:
    """Reading: trained on four glyphs at a fixed place, tested one pixel off in both directions, the accuracy lost
    is smaller with 4x4 max pooling behind the convolution. Same glyphs, noise, kernels, two images of each
    glyph and 20 steps of Adam on both sides.
    Why: most of what the kernels answer to stays in its window; without pooling it meets the head's weights for
    another pixel."""
    return _loses_less(lib, trial, (size, 1), change, what="pooling loses less accuracy to the shift")


@claim(
    "gfg-40.6",
    "A net that pools loses less accuracy on noisier images than the same net without pooling.",
    needs=["conv2d", "relu", "max_pool2d", "dense", "cross_entropy", "adam"],
    setting={"size": 4, "change": more_noise},
    covers="more noise",
    kind="comparative",
    expect=REFUTED(
        instead="The very 4x4 pooling that helps a small net against shifts makes it lose more accuracy to noise.",
        by="pooling_makes_a_net_lose_more_accuracy_to_noise",
    ),
    sabotage={"shifted images instead": {"change": instead(one_pixel_off)}},
)
def pooling_makes_a_net_robust_to_noise(lib: Any, trial: Trial, size: int, change: Change) -> Evidence:
    """Reading: the nets, images and training of the claim above, tested with further noise of 0.6 a pixel on images that
    have noise of 0.2 in training.
    Why: it fails because four kept responses a kernel in place of 64 leave the head less to average over, and the
    largest of 16 grows with noise."""
    return _loses_less(lib, trial, (size, 1), change, what="pooling loses less accuracy to the noise")


@claim(
    "gfg-40.6",
    "A small net that pools by 4x4 pixels loses more accuracy on noisier images than the net without pooling.",
    needs=["conv2d", "relu", "max_pool2d", "dense", "cross_entropy", "adam"],
    setting={"size": 4, "change": more_noise},
    reading=CORRECTION,
    kind="comparative",
    expect=HOLDS,
    sabotage={"windows of a single pixel": {"size": instead(1)}},
)
def pooling_makes_a_net_lose_more_accuracy_to_noise(lib: Any, trial: Trial, size: int, change: Change) -> Evidence:
    """Reading: the comparison of the claim above the other way round.
    Why: see there."""
    return _loses_less(lib, trial, (1, size), change, what="the net without pooling loses less accuracy to the noise")


def _loses_less(lib: Any, trial: Trial, windows: tuple[int, int], change: Change, what: str) -> Evidence:
    """Of two nets alike but for the windows of their pooling, the first loses less accuracy to the change."""

    def pair(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        task = _Glyphs(n, generator, change)
        first, second = (task.lost_accuracy(lib, size) for size in windows)
        return first, second

    return trial.prefers(pair, what=what)


class _Glyphs:
    """For each of n replicas four random glyphs of 3x3 cells, noisy images of them at a fixed place, and the same
    changed."""

    def __init__(self, n: int, generator: torch.Generator, change: Change, *, classes: int = 4) -> None:
        self.generator, device = generator, generator.device
        cells = torch.rand(n, classes, 3, 3, generator=generator, device=device) < 0.5
        glyphs = torch.nn.functional.pad(
            cells.repeat_interleave(2, -1).repeat_interleave(2, -2).float(), (1,) * 4
        )  # (n, 4, 8, 8)
        self.labels, self.fresh = torch.arange(8, device=device) % classes, torch.arange(64, device=device) % classes
        self.x, self.x_fresh = self._noisy(glyphs[:, self.labels]), self._noisy(glyphs[:, self.fresh])
        self.x_changed = change(self.x_fresh, generator)
        self.kernels = random_kernels(n, 3, 1, 3, generator, dtype=torch.float32)
        self.heads = torch.randn(n, classes, 192, generator=generator, device=device)

    def _noisy(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.2 * torch.randn(x.shape, generator=self.generator, device=x.device)

    def lost_accuracy(self, lib: Any, size: int) -> torch.Tensor:
        """Accuracy on fresh images less that on the same images changed, after training with pooling of this size:
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

        params = fit(loss, start, lambda p, g, s: lib.adam(p, g, s, lr=0.06), 20)
        return accuracy(scores(params, self.x_fresh), self.fresh) - accuracy(scores(params, self.x_changed), self.fresh)
