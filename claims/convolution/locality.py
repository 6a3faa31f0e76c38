"""Neighbourhoods: an output sees its own patch only, wherever that patch lies."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import pad

from assay.claim import CONDITIONAL, HOLDS, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, close, equal, fact, gamma, within
from assay.sabotage import instead, with_arguments
from assay.strategies import sizes
from claims.lab.sliding import matches_dot_products

PATCH = {"n": sizes(4, 8), "K": sizes(1, 3), "i": sizes(0, 5), "j": sizes(0, 5)}


def _inside(n: int, K: int, i: int, j: int) -> tuple[int, int]:
    """A window's position on n pixels, from two drawn numbers."""
    return i % (n - K + 1), j % (n - K + 1)


def _patch_only(slope: torch.Tensor, K: int, i: int, j: int, what: str) -> Evidence:
    """The slope (C, n, n) of one output is exactly zero outside the K x K patch at (i, j), never inside."""
    expected = torch.zeros_like(slope)
    expected[:, i : i + K, j : j + K] = 1
    return equal((slope != 0).to(slope.dtype), expected, what=what)


def _sees_everything(sound: Any) -> Any:
    return lambda x, w, **settings: sound(x, w, **settings) + 0.01 * x.sum()


@claim(
    "ib-7.11",
    "An output of a convolution layer is a nonlinear function of a weighted sum over neighbours in the layer below.",
    needs=["conv2d", "relu"],
    given=PATCH,
    expect=HOLDS,
    sabotage={
        "sees the whole image": {"conv2d": _sees_everything},
        "leaves out the nonlinearity": {"relu": lambda sound: lambda z: z},
        "leaves out the last column of the kernel": {"conv2d": lambda sound: lambda x, w: sound(x, w * _ramp(w))},
    },
)
def outputs_depend_on_neighbours_and_not_linearly(lib: Any, trial: Trial, n: int, K: int, i: int, j: int) -> Evidence:
    """Reading: relu(Σ w·patch) has slopes by the pixels of its K x K patch only, and is not odd in the image.
    Why: the window covers nothing else; a linear function would be odd, but relu(z) + relu(-z) is |z|."""
    row, column = _inside(n, K, i, j)
    x = trial.normal(2, n, n, stream="x").requires_grad_()
    w = trial.normal(1, 2, K, K, stream="w").abs()
    z = lib.conv2d(x, w)
    (slope,) = torch.autograd.grad(z[0, row, column], x)
    sum_of_both = lib.relu(z) + lib.relu(lib.conv2d(-x, w))
    return _patch_only(slope, K, row, column, "pixels outside the patch that matter, or inside that do not") & equal(
        sum_of_both[0, row, column], z[0, row, column].abs(), what="outputs that are not |z| when both signs are added"
    )


def _ramp(w: torch.Tensor) -> torch.Tensor:
    """Zero in the last column, one elsewhere."""
    return (torch.arange(w.shape[-1], device=w.device) < w.shape[-1] - 1).to(w.dtype)


def _elsewhere(sound: Any) -> Any:
    """Locally connected: each position has weights of its own."""
    return lambda x, w, **settings: _by_place(sound(x, w, **settings))


def _by_place(y: torch.Tensor) -> torch.Tensor:
    return y * (1 + torch.arange(y.shape[-1], device=y.device))


@claim(
    "ib-7.12",
    "Because it looks at neighbours only, a convolution layer can use its weights again at every position.",
    needs=["conv2d"],
    given={"n": sizes(4, 12), "K": sizes(1, 4), "i": sizes(0, 8), "j": sizes(0, 8)},
    expect=HOLDS,
    sabotage={
        "has weights of its own at each place": {"conv2d": _elsewhere},
        "adds a bias by place": {
            "conv2d": lambda sound: lambda x, w: (y := sound(x, w)) + torch.arange(y.shape[-1], device=y.device)
        },
    },
)
def the_same_weights_serve_every_position(lib: Any, trial: Trial, n: int, K: int, i: int, j: int) -> Evidence:
    """Reading: the same C·K·K weights convolve images of every size, and a patch gives the same output alone and at any
    place of a larger image.
    Why: an output is a sum over its patch in which the place does not occur."""
    row, column = _inside(n, K, i, j)
    x, w = trial.normal(2, n, n, stream="x"), trial.normal(3, 2, K, K, stream="w")
    patch = x[:, row : row + K, column : column + K]
    there = lib.conv2d(x, w)[:, row : row + 1, column : column + 1]
    return matches_dot_products(there, patch, w, what="output in the image differs from the patch's own by") & (
        matches_dot_products(lib.conv2d(patch, w), patch, w, what="output of the patch alone differs by")
    )


@claim(
    "gfg-37.6",
    "Convolution extracts local features.",
    needs=["conv2d"],
    given=PATCH,
    covers="features are local",
    expect=HOLDS,
    sabotage={
        "sees the whole image": {"conv2d": _sees_everything},
        "sees two neighbours more": {"conv2d": lambda sound: lambda x, w: sound(x + x.roll(2, -1), w)},
    },
)
def an_output_sees_its_patch_only(lib: Any, trial: Trial, n: int, K: int, i: int, j: int) -> Evidence:
    """Reading: the slope of y[i, j] by the image is zero exactly outside the patch (i, j) to (i + K - 1, j + K - 1).
    Why: no other pixel occurs in its sum."""
    row, column = _inside(n, K, i, j)
    x = trial.normal(2, n, n, stream="x").requires_grad_()
    y = lib.conv2d(x, trial.normal(1, 2, K, K, stream="w"))
    (slope,) = torch.autograd.grad(y[0, row, column], x)
    return _patch_only(slope, K, row, column, "pixels outside the patch that matter, or inside that do not")


@claim(
    "gfg-37.6",
    "Convolution leaves the spatial relation of features intact: a shifted image gives the shifted output.",
    needs=["conv2d"],
    given={"K": sizes(1, 3), "s": sizes(1, 3), "shift": sizes(1, 6)},
    covers="relations between features are kept",
    expect=CONDITIONAL(
        "the stride divides the shift, and nothing is cut off at the border", within=lambda K, s, shift: shift % s == 0
    ),
    sabotage={
        "has weights of its own at each place": {"conv2d": _elsewhere},
        "moves by one whatever the stride": {"conv2d": with_arguments(stride=1)},
    },
)
def a_shifted_image_gives_the_shifted_output(lib: Any, trial: Trial, K: int, s: int, shift: int) -> Evidence:
    """Reading: moving the image by `shift` rows and columns moves its output by some number of rows and columns.
    Why: at stride s the windows stand s apart, and see a pattern alike only after a move by whole steps; the pattern of
    4 x 4 pixels stays clear of the border of 18 x 18."""
    pattern, w = trial.normal(2, 4, 4, stream="x"), trial.normal(3, 2, K, K, stream="w")
    here, there = (lib.conv2d(_placed(pattern, 4 + move), w, stride=s) for move in (0, shift))
    differences = [(there - here.roll((move, move), (-2, -1))).abs().max() for move in range(shift + 1)]
    # Each side adds 2·K·K products: 2·K·K + 1 roundings a term, taken twice over, on the largest sum there can be.
    largest = float(w.abs().sum((1, 2, 3)).max() * pattern.abs().max())
    allowance = gamma(4 * (2 * K * K + 1), w.dtype) * largest
    return within(min(differences), 0.0, allowance, what="shifted output differs by", why="rounding of two sums")


def _placed(pattern: torch.Tensor, at: int) -> torch.Tensor:
    """The pattern (C, 4, 4) on an empty image of 18 x 18 pixels, its corner at (at, at)."""
    return pad(pattern, (at, 14 - at, at, 14 - at))


def _dots(side: int, device: torch.device) -> torch.Tensor:
    """A dot at each place of one half of an 8 x 8 image: (32, 1, 8, 8), left for side 0, right for side 1."""
    images = torch.eye(64, dtype=torch.float64, device=device).reshape(8, 8, 1, 8, 8)
    return images[:, 4 * side : 4 * side + 4].reshape(32, 1, 8, 8)


def by_place(side: int, device: torch.device) -> torch.Tensor:
    """Two classes that differ in where the dot lies."""
    return _dots(side, device)


def by_shape(side: int, device: torch.device) -> torch.Tensor:
    """Two classes that differ in shape: a dot, and a dot twice as bright, both anywhere in the left half."""
    return _dots(0, device) * (1 + side)


@claim(
    "gfg-37.7",
    "Where a feature lies is frequently no less important than the feature itself.",
    needs=["conv2d", "relu", "global_average_pool"],
    setting={"images": by_place},
    kind="existence",
    reading="there are such tasks",
    expect=HOLDS,
    sabotage={
        "classes by shape": {"images": instead(by_shape)},
        "a layer that forgets places": {
            "conv2d": lambda sound: lambda x, w: (y := sound(x, w)).mean((-2, -1), keepdim=True).expand(y.shape)
        },
    },
)
def a_task_may_ask_for_the_place_of_a_feature(lib: Any, trial: Trial, images: Any) -> Evidence:
    """Reading: there is a task, the side on which a dot lies, of which the features' presence tells nothing and their
    place everything.
    Why: the mean of a map over all places is the same wherever the dot lies, so that no head behind it can do better
    than chance; the map itself tells the sides apart by comparing its halves."""
    w = trial.normal(4, 1, 3, 1, stream="w").abs()  # one column wide: what it finds stays in the dot's column
    around = [pad(images(side, trial.device), (0, 0, 1, 1), mode="circular") for side in (0, 1)]
    maps = [lib.relu(lib.conv2d(x, w)) for x in around]
    present = [lib.global_average_pool(m) for m in maps]
    left, right = (m[..., 4:].sum((1, 2, 3)) - m[..., :4].sum((1, 2, 3)) for m in maps)
    # A map has three entries that are not zero: three products, two additions and a division a side.
    same = close(present[1], present[0], operations=2 * 6, what="features present differ between the sides by")
    wrong = int((left >= 0).sum() + (right <= 0).sum())
    return same & fact("dots whose side the map does not tell", wrong, 0)
