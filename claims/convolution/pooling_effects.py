"""Pooling: how much smaller the map becomes, what that loses, and what it saves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.proofs import both, floordiv, proved
from assay.decide.trial import Trial
from assay.evidence import Evidence, close, differs, equal, fact
from assay.sabotage import instead, with_arguments
from assay.strategies import normals, sizes

POOLINGS = ("max_pool2d", "average_pool2d")
PROVED_GRID = {"n": range(1, 40), "k": range(1, 8)}


def repeated(x: torch.Tensor, k: int) -> torch.Tensor:
    return x.repeat_interleave(k, -2).repeat_interleave(k, -1)


@claim(
    "gfg-40.2",
    "Pooling with windows of k pixels side by side divides height and width by k, rounded down.",
    needs=list(POOLINGS),
    setting={"steps": lambda k: k},
    reading="windows side by side divide the size",
    expect=HOLDS,
    sabotage={
        "windows one pixel apart": {"steps": instead(lambda k: 1)},
        "one pixel too many": {
            "max_pool2d": lambda sound: lambda x, **hyper: torch.nn.functional.pad(sound(x, **hyper), (0, 1))
        },
    },
)
def pooling_divides_the_size_by_its_window(lib: Any, trial: Trial, steps: Callable[[Any], Any]) -> Evidence:
    """Reading: with stride k the size becomes ⌊n/k⌋, which for k >= 2 is less than n; proved for all sizes, and seen
    for maps of up to 20 pixels.
    Why: ⌊(n - k)/k⌋ + 1 = ⌊n/k⌋."""

    def windows_fit(n: Any, k: Any) -> Any:
        kept = floordiv(n - k, steps(k)) + 1
        return both(kept == floordiv(n, k), kept < n)

    formula = proved(
        windows_fit,
        {"n": int, "k": int},
        assuming=lambda n, k: both(k >= 2, n >= k),
        grid=PROVED_GRID,
        what="sizes for which the formula gives another",
    )
    seen, wanted = [], []
    for n, k, role in itertools.product(range(6, 21, 2), range(2, 6), POOLINGS):
        x = torch.zeros(n, n + 1, device=trial.device)
        seen.append(tuple(getattr(lib, role)(x, size=k, stride=steps(k)).shape))
        wanted.append((n // k, (n + 1) // k))
    return formula & equal(seen, wanted, what="pooled sizes that are not ⌊n/k⌋")


def upright_stripes(*, device: torch.device) -> torch.Tensor:
    """(1, 8, 8) with columns of +1 and -1 by turns."""
    return (1 - 2 * (torch.arange(8, device=device) % 2)).to(torch.float64).expand(1, 8, 8)


BRIGHTER_THAN_AROUND = [[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]]
UPRIGHT_EDGE = [[1.0, -1.0, 0.0]] * 3


@claim(
    "gfg-40.2",
    "Images that the features found by convolution tell apart are still told apart after pooling.",
    needs=[*POOLINGS, "conv2d", "relu"],
    cases=[{"pooling": role} for role in POOLINGS],
    setting={"looks_for": BRIGHTER_THAN_AROUND},
    reading="what matters survives",
    expect=REFUTED(
        instead=(
            "Pooling keeps one summary of each window: maps whose windows share it become the same map, whatever else "
            "told them apart."
        ),
        by="pooling_keeps_one_value_of_each_window_and_forgets_its_place",
    ),
    sabotage={"the filter looks for upright edges": {"looks_for": instead(UPRIGHT_EDGE)}},
)
def what_told_maps_apart_survives_pooling(
    lib: Any, trial: Trial, pooling: str, looks_for: list[list[float]]
) -> Evidence:
    """Reading: for every pair of images with rectified feature maps four units apart, the pooled maps are one unit apart.
    Why: a filter for pixels brighter than those around answers with 4 to every bright pixel of upright and of lying
    stripes; the maps differ, but each window of both has the maximum 4 and the mean 2. A filter that answers to upright
    stripes only leaves 0 for the others, and then pooling keeps the difference."""
    x = upright_stripes(device=trial.device)
    w = torch.tensor(looks_for, dtype=torch.float64, device=trial.device)[None, None]
    upright, lying = (lib.relu(lib.conv2d(image, w)) for image in (x, x.mT))
    pooled = [getattr(lib, pooling)(z, size=2) for z in (upright, lying)]
    return differs(upright, lying, by=4, what="largest difference of the maps before pooling") & differs(
        *pooled, by=1, what="largest difference of the maps after pooling"
    )


@claim(
    "gfg-40.2",
    "Max pooling keeps the largest response of each window, average pooling the mean; both forget where in the window a "
    "response stood.",
    needs=list(POOLINGS),
    given={"x": normals((2, 4, 6)), "turns": sizes(1, 3), "k": sizes(2, 3)},
    setting={"steps": lambda k: k},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "overlapping windows": {"steps": instead(lambda k: 1)},
        "mean instead of maximum": {
            "max_pool2d": lambda sound: lambda x, size, stride: torch.nn.functional.avg_pool2d(x, size, stride)
        },
        "a corner instead of the mean": {
            "average_pool2d": lambda sound: lambda x, size, stride: x[..., ::stride, ::stride]
        },
    },
)
def pooling_keeps_one_value_of_each_window_and_forgets_its_place(
    lib: Any, x: torch.Tensor, turns: int, k: int, steps: Callable[[int], int]
) -> Evidence:
    """Reading: turning every window of side k in place leaves both pooled maps as they are; the largest entry of the one
    is the map's own, and the mean of the other is the map's mean.
    Why: maximum and sum do not depend on order; windows side by side cover the map once. A mean of k·k pixels is
    rounded at most k·k times, on each side, on entries of the mean size of the window; the mean over the 24 windows
    adds 25 roundings and that over the whole map 24·k·k + 1."""
    blocks = repeated(x, k).unflatten(-1, (-1, k)).unflatten(-3, (-1, k)).clone()  # (2, 4, k, 6, k)
    blocks += torch.arange(k * k, dtype=x.dtype, device=x.device).reshape(k, 1, k) / 8
    before = blocks.flatten(-2).flatten(-3, -2)
    after = torch.rot90(blocks, turns, (-3, -1)).flatten(-2).flatten(-3, -2)
    hyper = {"size": k, "stride": steps(k)}
    largest, mean = lib.max_pool2d(before, **hyper), lib.average_pool2d(before, **hyper)
    scale = torch.nn.functional.avg_pool2d(before.abs(), k, steps(k))
    return (
        equal(lib.max_pool2d(after, **hyper), largest, what="largest values changed by turning the windows")
        & equal(largest.amax((-2, -1)), before.amax((-2, -1)), what="maps whose largest response is lost")
        & close(
            lib.average_pool2d(after, **hyper), mean, operations=2 * k * k, scale=scale,
            what="means changed by turning the windows by",
        )
        & close(
            mean.mean((-2, -1)), before.mean((-2, -1)), operations=25 * (k * k + 1) + 1,
            scale=before.abs().mean((-2, -1)), what="mean of the pooled map differs from the map's by",
        )
    )  # fmt: skip


def work(y: torch.Tensor, w: torch.Tensor) -> int:
    """Multiply-adds that a convolution with kernels w (F, C, A, B) spends on its output y (F, I, J)."""
    return y.numel() * w[0].numel()


POOLED_LAYERS = [
    {"n": n, "channels": channels, "size": size, "stride": stride}
    for n in (7, 12, 48)
    for channels in (1, 4)
    for size in range(2, 8)
    for stride in (1, 2, 3)
]
WHERE_POOLING_SAVES = "the pooling steps by at least two pixels, and its windows are at most five pixels a side"


@claim(
    "gfg-40.3",
    "After pooling, the rest of the net computes less and stores less, the pooling itself counted in.",
    needs=["max_pool2d", "conv2d"],
    cases=[layer for layer in POOLED_LAYERS if layer["size"] <= 5],
    covers="windows of at most five pixels a side",
    expect=CONDITIONAL(WHERE_POOLING_SAVES, within=lambda stride, **_: stride >= 2),
    sabotage={
        "one step a pixel": {"max_pool2d": with_arguments(stride=1)},
        "steps of two pixels instead of one": {"stride": lambda s: max(s, 2)},
    },
)
def pooling_saves_work_and_memory(lib: Any, trial: Trial, n: int, channels: int, size: int, stride: int) -> Evidence:
    """Reading: comparisons of the pooling plus multiply-adds of a following 3x3 convolution are fewer than the
    multiply-adds without pooling, and so are the stored numbers behind the first map. Operations are counted, no
    seconds. Windows are kept to five pixels a side here, so that the step alone decides.
    Why: with steps of two or more at most a quarter of the pixels remain. Each costs K² - 1 <= 24 comparisons, and three
    others with 9 multiply-adds a channel are saved for it; at stride 1 almost every pixel remains."""
    return _saves(lib, trial, n, channels, size, stride)


@claim(
    "gfg-40.3",
    "Pooling by steps of two pixels and more saves operations and memory, however wide its windows are.",
    needs=["max_pool2d", "conv2d"],
    cases=[layer for layer in POOLED_LAYERS if layer["stride"] >= 2],
    covers="steps of two pixels or more",
    expect=CONDITIONAL(WHERE_POOLING_SAVES, within=lambda size, **_: size <= 5),
    sabotage={
        "windows of seven pixels a side": {"size": instead(7)},
        "looks at maps of twelve pixels at most": {"where": lambda n, **_: n <= 12},
    },
)
def pooling_by_steps_of_two_saves_work_and_memory(
    lib: Any, trial: Trial, n: int, channels: int, size: int, stride: int
) -> Evidence:
    """Reading: the counts of the claim above, for windows of two to seven pixels a side, so that the window alone
    decides.
    Why: a window of 6x6 pixels takes 35 comparisons, more than the 27 multiply-adds that one channel saves for it:
    21,296 operations with pooling, 20,736 without, on 48x48 pixels. On small maps so few windows remain that even wide
    ones save."""
    return _saves(lib, trial, n, channels, size, stride)


def _saves(lib: Any, trial: Trial, n: int, channels: int, size: int, stride: int) -> Evidence:
    """Counts, read from the shapes that the implementation gives; K² - 1 comparisons for each pooled entry."""
    x = torch.zeros(channels, n, n, device=trial.device)
    w = torch.zeros(channels, channels, 3, 3, device=trial.device)
    pooled = lib.max_pool2d(x, size=size, stride=stride)
    y, z = lib.conv2d(pooled, w, padding=1), lib.conv2d(x, w, padding=1)
    comparisons = pooled.numel() * (size**2 - 1)
    return fact("operations with pooling, against those without", comparisons + work(y, w), work(z, w) - 1) & fact(
        "numbers stored with pooling, against those without", pooled.numel() + y.numel(), z.numel() - 1
    )


@claim(
    "gfg-40.3",
    "Two-by-two pooling leaves the next convolution a quarter of its multiply-adds and of its output.",
    needs=[*POOLINGS, "conv2d"],
    given={"half": sizes(2, 9), "channels": sizes(1, 3)},
    setting={"stride": 2},
    covers="windows of two by two pixels side by side on maps of even size",
    expect=HOLDS,
    sabotage={
        "windows one pixel apart": {"stride": instead(1)},
        "no pooling": {"max_pool2d": lambda sound: lambda x, **_: x},
    },
)
def two_by_two_pooling_leaves_a_quarter(lib: Any, trial: Trial, half: int, channels: int, stride: int) -> Evidence:
    """Reading: 4 times the multiply-adds and entries behind the pooling are exactly those without it; proved for all
    even sizes.
    Why: ⌊(2m - 2)/2⌋ + 1 = m, and a convolution that keeps sizes spends the same on every output entry."""
    x = torch.zeros(channels, 2 * half, 2 * half, device=trial.device)
    w = torch.zeros(2, channels, 3, 3, device=trial.device)
    z = lib.conv2d(x, w, padding=1)
    after = [lib.conv2d(getattr(lib, role)(x, size=2, stride=stride), w, padding=1) for role in POOLINGS]
    formula = proved(
        lambda m: floordiv(2 * m - 2, stride) + 1 == m,
        {"m": int},
        assuming=lambda m: m >= 2,
        what="the halved size is not exact",
    )
    return (
        formula
        & equal([4 * work(y, w) for y in after], [work(z, w)] * 2, what="multiply-adds that are not a quarter")
        & equal([4 * y.numel() for y in after], [z.numel()] * 2, what="entries that are not a quarter")
    )
