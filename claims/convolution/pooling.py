"""Pooling: what a window gives, what a map loses, and what it saves."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.proofs import both, floordiv, proved
from assay.decide.trial import Trial
from assay.evidence import Evidence, close, differs, equal, fact
from assay.sabotage import ignoring, instead, scaled, with_arguments
from assay.strategies import normals, sizes

Pooling = Callable[..., torch.Tensor]
POOLINGS = ("max_pool2d", "average_pool2d")


def by_hand(
    x: torch.Tensor, size: int, stride: int, padding: int, summary: Callable[[torch.Tensor], torch.Tensor]
) -> torch.Tensor:
    """Pool an image (H, W) window by window; `summary` sees only entries that lie inside the image."""
    height, width = x.shape
    rows, columns = ((n + 2 * padding - size) // stride + 1 for n in (height, width))

    def window(i: int, j: int) -> torch.Tensor:
        top, left = stride * i - padding, stride * j - padding
        return x[max(top, 0) : top + size, max(left, 0) : left + size]

    return torch.stack([torch.stack([summary(window(i, j)) for j in range(columns)]) for i in range(rows)])


def on_zero_border(sound: Pooling) -> Pooling:
    """A pooling that takes the border for pixels of value zero."""
    return lambda x, *, padding=0, **hyper: sound(torch.nn.functional.pad(x, (padding,) * 4), **hyper)


def repeated(x: torch.Tensor, k: int) -> torch.Tensor:
    return x.repeat_interleave(k, -2).repeat_interleave(k, -1)


WINDOWS = {"x": normals((7, 9)), "size": sizes(2, 3), "stride": sizes(1, 3), "padding": sizes(0, 1)}
PROVED_GRID = {"n": range(1, 40), "k": range(1, 8)}


@claim(
    "gfg-40.7",
    "Max pooling gives the largest value of each window; a border counts for nothing.",
    needs=["max_pool2d"],
    given=WINDOWS | {"shift": st.sampled_from([0.0, -9.0])},
    expect=HOLDS,
    sabotage={
        "the border counts as zero": {"max_pool2d": on_zero_border},
        "smallest instead of largest": {"max_pool2d": lambda sound: lambda x, **hyper: -sound(-x, **hyper)},
        "stride ignored": {"max_pool2d": ignoring("stride")},
    },
)
def max_pooling_gives_the_largest_value_of_each_window(
    lib: Any, x: torch.Tensor, size: int, stride: int, padding: int, shift: float
) -> Evidence:
    """Reading: y[i, j] is the maximum over the pixels of the image below window (i, j), to the last bit.
    Why: images shifted by -9 are negative throughout, so that a border of zeros would win at every edge."""
    y = lib.max_pool2d(x + shift, size=size, stride=stride, padding=padding)
    return equal(
        y,
        by_hand(x + shift, size, stride, padding, torch.max),
        what="pooled values that are not the largest of their window",
    )


@claim(
    "gfg-40.7",
    "The gradient of max pooling goes to the largest pixel of each window and to no other.",
    needs=["max_pool2d"],
    given=WINDOWS | {"dy_seed": normals((8, 10))},
    expect=HOLDS,
    sabotage={
        "everyone gets a share": {"max_pool2d": lambda sound: lambda x, **hyper: sound(x, **hyper) + 0.01 * x.sum()},
        "gradient 1.0001 times too large": {"max_pool2d": scaled(1.0001)},
    },
)
def the_largest_pixel_takes_the_whole_gradient(
    lib: Any, x: torch.Tensor, size: int, stride: int, padding: int, dy_seed: torch.Tensor
) -> Evidence:
    """Reading: dx is, at each pixel, the sum of the upstream gradients of the windows in which it is the largest.
    Why: only the largest pixel moves the maximum; normal pixels are never tied."""
    x = x.detach().requires_grad_()
    y = lib.max_pool2d(x, size=size, stride=stride, padding=padding)
    dy = dy_seed[: y.shape[-2], : y.shape[-1]]
    (dx,) = torch.autograd.grad(y, x, dy)
    winners = by_hand(x.detach(), size, stride, padding, torch.max)
    share = torch.stack([(dy * (winners == pixel)).sum() for pixel in x.detach().flatten()]).reshape(x.shape)
    sizes_of_terms = torch.stack([(dy.abs() * (winners == pixel)).sum() for pixel in x.detach().flatten()]).reshape(
        x.shape
    )
    untouched = sizes_of_terms == 0
    return close(
        dx, share, operations=size * size, scale=sizes_of_terms, what="gradient differs from the winners' share by"
    ) & equal(dx[untouched], torch.zeros_like(dx[untouched]), what="pixels with a gradient that win no window")


@claim(
    "gfg-40.8",
    "Average pooling gives the mean of each window, with the border counted as zeros or left out as asked.",
    needs=["average_pool2d"],
    given=WINDOWS | {"count_padding": st.booleans()},
    expect=HOLDS,
    sabotage={
        "the border is never counted": {"average_pool2d": with_arguments(count_padding=False)},
        "the border is always counted": {"average_pool2d": with_arguments(count_padding=True)},
        "sum instead of mean": {
            "average_pool2d": lambda sound: lambda x, size, **hyper: sound(x, size=size, **hyper) * size**2
        },
    },
)
def average_pooling_gives_the_mean_of_each_window(
    lib: Any, x: torch.Tensor, size: int, stride: int, padding: int, count_padding: bool
) -> Evidence:
    """Reading: y[i, j] is the sum over the pixels below window (i, j), divided by K², or by their number if the
    border is left out.
    Why: K² - 1 additions, a division and as many roundings in the oracle, on entries of the mean size of the window."""
    y = lib.average_pool2d(x, size=size, stride=stride, padding=padding, count_padding=count_padding)
    counted = (lambda part: part.sum() / size**2) if count_padding else torch.mean
    expected = by_hand(x, size, stride, padding, counted)
    scale = by_hand(x.abs(), size, stride, padding, counted)
    return close(y, expected, operations=2 * size**2 + 2, scale=scale, what="pooled values differ from the mean by")


@claim(
    "gfg-40.8",
    "Average pooling is a convolution of each channel with a constant kernel.",
    needs=["average_pool2d", "conv2d"],
    given={"x": normals((3, 8, 7)), "size": sizes(2, 3), "stride": sizes(1, 3), "padding": sizes(0, 1)},
    expect=HOLDS,
    sabotage={
        "the border is left out": {"average_pool2d": with_arguments(count_padding=False)},
        "largest instead of mean": {
            "average_pool2d": lambda sound: (
                lambda x, size, stride, padding: torch.nn.functional.max_pool2d(x, size, stride, padding)
            )
        },
        "near miss": {"conv2d": scaled(1.0001)},
    },
)
def average_pooling_is_a_convolution_with_equal_weights(
    lib: Any, x: torch.Tensor, size: int, stride: int, padding: int
) -> Evidence:
    """Reading: pooling equals the depthwise convolution with all weights 1/K², and its gradient is 1/K² for every
    pixel of a window.
    Why: both are the same linear map; each side rounds K² + 1 times."""
    w = torch.full((3, 1, size, size), 1 / size**2, dtype=x.dtype, device=x.device)
    x = x.detach().requires_grad_()
    y = lib.average_pool2d(x, size=size, stride=stride, padding=padding)
    z = lib.conv2d(x, w, stride=stride, padding=padding, groups=3)
    scale = torch.nn.functional.conv2d(x.detach().abs(), w, stride=stride, padding=padding, groups=3)
    (dx,) = torch.autograd.grad(y[0, 1, 1], x)
    inside = by_window(x[0], size, stride, padding)
    return close(
        y, z.detach(), operations=2 * size**2 + 2, scale=scale, what="pooling differs from the convolution by"
    ) & close(dx[0], inside / size**2, operations=2, what="gradient of one window differs from 1/K² by")


def by_window(x: torch.Tensor, size: int, stride: int, padding: int) -> torch.Tensor:
    """1 where a pixel of x (H, W) lies in window (1, 1), else 0."""
    first = stride - padding
    inside = torch.zeros_like(x.detach())
    inside[max(first, 0) : first + size, max(first, 0) : first + size] = 1
    return inside


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
    given={"n": sizes(4, 16), "channels": sizes(1, 4), "size": sizes(2, 3), "stride": sizes(1, 3)},
    expect=CONDITIONAL("the pooling steps by at least two pixels", within=lambda stride, **_: stride >= 2),
    sabotage={
        "every pixel kept": {"max_pool2d": with_arguments(size=1, stride=1)},
    },
)
def pooling_saves_work_and_memory(lib: Any, trial: Trial, n: int, channels: int, size: int, stride: int) -> Evidence:
    """Reading: comparisons of the pooling plus multiply-adds of a following 3x3 convolution are fewer than the
    multiply-adds without pooling, and so are the stored numbers behind the first map.
    Why: counts, read from the shapes that the implementation gives; K² - 1 comparisons for each pooled entry."""
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
