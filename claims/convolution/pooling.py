"""Pooling: what a window gives, and where its gradient goes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch

from assay.claim import HOLDS, claim
from assay.evidence import Evidence, close, equal
from assay.sabotage import ignoring, scaled, with_arguments
from assay.strategies import choices, normals, sizes

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


WINDOWS = {"x": normals((7, 9)), "size": sizes(2, 3), "stride": sizes(1, 3), "padding": sizes(0, 1)}


@claim(
    "gfg-40.7",
    "Max pooling gives the largest value of each window; a border counts for nothing.",
    needs=["max_pool2d"],
    given=WINDOWS | {"shift": choices(0.0, -9.0)},
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
    expected = by_hand(x + shift, size, stride, padding, torch.max)
    if y.shape != expected.shape:
        return equal(tuple(y.shape), tuple(expected.shape), what="shape differs from the number of windows")
    return equal(y, expected, what="pooled values that are not the largest of their window")


def tied_pixels_each_take_it_all(sound: Pooling) -> Pooling:
    """A max pooling whose gradient goes whole to every pixel that equals the maximum."""

    def pool(x: torch.Tensor, *, size: int, stride: int, padding: int) -> torch.Tensor:
        y = sound(x.detach(), size=size, stride=stride, padding=padding)
        wide = torch.nn.functional.pad(x, (padding,) * 4, value=float(x.detach().min()) - 1)
        windows = wide.unfold(-2, size, stride).unfold(-2, size, stride)  # (I, J, size, size)
        won = windows.detach() == y[..., None, None]
        return y + (won * (windows - windows.detach())).sum((-1, -2))

    return pool


def given_to_the_winners(x: torch.Tensor, dy: torch.Tensor, size: int, stride: int, padding: int) -> torch.Tensor:
    """Window by window, dy (I, J) laid onto the largest pixel of x (H, W), the first row by row if several are."""
    dx = torch.zeros_like(x)
    for i, j in itertools.product(*map(range, dy.shape)):
        top, left = max(stride * i - padding, 0), max(stride * j - padding, 0)
        window = x[top : stride * i - padding + size, left : stride * j - padding + size]
        row, column = divmod(int(window.argmax()), window.shape[-1])
        dx[top + row, left + column] += dy[i, j]
    return dx


@claim(
    "gfg-40.7",
    "The gradient of max pooling goes to the largest pixel of each window and to no other, one alone among equals.",
    needs=["max_pool2d"],
    given=WINDOWS | {"dy_seed": normals((8, 10)), "tied": choices(False, True)},
    expect=HOLDS,
    sabotage={
        "everyone gets a share": {"max_pool2d": lambda sound: lambda x, **hyper: sound(x, **hyper) + 0.01 * x.sum()},
        "gradient 1.0001 times too large": {"max_pool2d": scaled(1.0001)},
        "tied pixels each take it all": {"max_pool2d": tied_pixels_each_take_it_all},
    },
)
def the_largest_pixel_takes_the_whole_gradient(
    lib: Any, x: torch.Tensor, size: int, stride: int, padding: int, dy_seed: torch.Tensor, tied: bool
) -> Evidence:
    """Reading: dx is, at each pixel, the sum of the upstream gradients of the windows in which it is the largest; where
    several are (images rounded to whole numbers) the first of them, row by row.
    Why: only the largest pixel moves the maximum. Equal pixels must not take the gradient more than once; that the
    first takes it is a convention."""
    x = (x.round() if tied else x).detach().requires_grad_()
    y = lib.max_pool2d(x, size=size, stride=stride, padding=padding)
    dy = dy_seed[: y.shape[-2], : y.shape[-1]]
    (dx,) = torch.autograd.grad(y, x, dy)
    share, scale = (given_to_the_winners(x.detach(), part, size, stride, padding) for part in (dy, dy.abs()))
    untouched = scale == 0
    return close(
        dx, share, operations=size * size, scale=scale, what="gradient differs from the winners' share by"
    ) & equal(dx[untouched], torch.zeros_like(dx[untouched]), what="pixels with a gradient that win no window")


@claim(
    "gfg-40.8",
    "Average pooling gives the mean of each window, with the border counted as zeros or left out as asked.",
    needs=["average_pool2d"],
    given=WINDOWS | {"count_padding": choices(False, True)},
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
