"""Pooling: how much smaller the map becomes, what that loses, and what it saves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.proofs import both, floordiv, proved
from assay.decide.trial import Trial
from assay.evidence import Evidence, differs, equal, fact
from assay.sabotage import instead, with_arguments
from assay.strategies import normals, sizes

POOLINGS = ("max_pool2d", "average_pool2d")
PROVED_GRID = {"n": range(1, 40), "k": range(1, 8)}


def repeated(x: torch.Tensor, k: int) -> torch.Tensor:
    return x.repeat_interleave(k, -2).repeat_interleave(k, -1)


@claim(
    "gfg-40.2",
    "Pooling with windows of k pixels side by side divides height and width by k.",
    needs=list(POOLINGS),
    setting={"steps": lambda k: k},
    reading="the map becomes smaller",
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


def checkerboard(*, device: torch.device) -> torch.Tensor:
    """(1, 8, 8) of +1 and -1."""
    at = torch.arange(8, device=device)
    return (1 - 2 * ((at[:, None] + at) % 2)).to(torch.float64)[None]


@claim(
    "gfg-40.2",
    "Feature maps that differ still differ after pooling.",
    needs=[*POOLINGS, "conv2d"],
    cases=[{"pooling": role} for role in POOLINGS],
    setting={"pattern": [[1.0]]},
    reading="what matters survives",
    expect=REFUTED(
        instead=(
            "Pooling keeps one summary of each window: maps whose windows share it become the same map, whatever else "
            "told them apart."
        ),
        by="max_pooling_keeps_the_strongest_response_and_forgets_its_place",
    ),
    sabotage={"a filter that answers to the pattern looks first": {"pattern": instead([[1.0, -1.0], [-1.0, 1.0]])}},
)
def what_told_maps_apart_survives_pooling(lib: Any, trial: Trial, pooling: str, pattern: list[list[float]]) -> Evidence:
    """Reading: for every pair of maps that a task must tell apart, the pooled maps differ by at least one unit.
    Why: a checkerboard and its negative have the same mean 0 and the same maximum 1 in every window."""
    x = checkerboard(device=trial.device)
    w = torch.tensor(pattern, dtype=torch.float64, device=trial.device)[None, None]
    seen = [lib.conv2d(sign * x, w, stride=len(pattern)) for sign in (1, -1)]
    first, second = (getattr(lib, pooling)(z, size=2) for z in seen)
    return differs(first, second, by=1, what="pooled maps of a board and its negative are closer than one unit by")


@claim(
    "gfg-40.2",
    "Max pooling keeps the strongest response of each window and forgets where in the window it stood.",
    needs=["max_pool2d"],
    given={"x": normals((2, 4, 6)), "turns": sizes(1, 3), "k": sizes(2, 3)},
    setting={"steps": lambda k: k},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "overlapping windows": {"steps": instead(lambda k: 1)},
        "mean instead of maximum": {
            "max_pool2d": lambda sound: lambda x, size, stride: torch.nn.functional.avg_pool2d(x, size, stride)
        },
    },
)
def max_pooling_keeps_the_strongest_response_and_forgets_its_place(
    lib: Any, x: torch.Tensor, turns: int, k: int, steps: Callable[[int], int]
) -> Evidence:
    """Reading: turning every window of side k in place leaves the pooled map as it is, and its largest entry is the
    map's own.
    Why: the maximum does not depend on order; windows side by side cover the map once."""
    blocks = repeated(x, k).unflatten(-1, (-1, k)).unflatten(-3, (-1, k)).clone()  # (2, 4, k, 6, k)
    blocks += torch.arange(k * k, dtype=x.dtype, device=x.device).reshape(k, 1, k) / 8
    before = blocks.flatten(-2).flatten(-3, -2)
    after = torch.rot90(blocks, turns, (-3, -1)).flatten(-2).flatten(-3, -2)
    pooled = lib.max_pool2d(before, size=k, stride=steps(k))
    return equal(
        lib.max_pool2d(after, size=k, stride=steps(k)), pooled, what="pooled entries changed by turning the windows"
    ) & equal(pooled.amax((-2, -1)), before.amax((-2, -1)), what="maps whose largest response is lost")


def work(y: torch.Tensor, w: torch.Tensor) -> int:
    """Multiply-adds that a convolution with kernels w (F, C, A, B) spends on its output y (F, I, J)."""
    return y.numel() * w[0].numel()


@claim(
    "gfg-40.3",
    "After pooling, the rest of the net computes less and stores less, the pooling itself counted in.",
    needs=["max_pool2d", "conv2d"],
    given={"n": sizes(7, 20), "channels": sizes(1, 4), "size": sizes(2, 7), "stride": sizes(1, 3)},
    expect=CONDITIONAL(
        "the pooling steps by at least two pixels, and its windows are at most three pixels wide",
        within=lambda size, stride, **_: stride >= 2 and size <= 3,
    ),
    sabotage={
        "every pixel kept": {"max_pool2d": with_arguments(size=1, stride=1)},
    },
)
def pooling_saves_work_and_memory(lib: Any, trial: Trial, n: int, channels: int, size: int, stride: int) -> Evidence:
    """Reading: comparisons of the pooling plus multiply-adds of a following 3x3 convolution are fewer than the
    multiply-adds without pooling, and so are the stored numbers behind the first map.
    Why: counts, read from the shapes that the implementation gives; K² - 1 comparisons for each pooled entry, which
    windows of 7x7 pixels make more than one channel saves. Operations are counted, no seconds."""
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
    "Two-by-two pooling leaves the next convolution a quarter of its multiply-adds and of its memory.",
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
