"""Neighbourhoods: an output sees its own patch only, wherever that patch lies."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import pad

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, at_least, close, equal, fact, gamma, within
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
        "asks the neighbour for its sign": {"relu": lambda sound: lambda z: sound(z) + z.abs() * z.roll(1, -1).sign()},
    },
)
def outputs_depend_on_neighbours_and_not_linearly(lib: Any, trial: Trial, n: int, K: int, i: int, j: int) -> Evidence:
    """Reading: y = relu(z) with z = Σ w·patch has, where z > 0, slopes by the pixels of its K x K patch only, and is not
    odd in the image.
    Why: the window covers nothing else; a linear function would be odd, but relu(z) + relu(-z) is |z|. The image is
    taken with the sign that makes z positive at the output that is looked at."""
    row, column = _inside(n, K, i, j)
    x, w = trial.normal(2, n, n, stream="x"), trial.normal(1, 2, K, K, stream="w").abs()
    x = (x * lib.conv2d(x, w)[0, row, column].sign()).requires_grad_()
    z = lib.conv2d(x, w)
    y = lib.relu(z)
    (slope,) = torch.autograd.grad(y[0, row, column], x)
    sum_of_both = y + lib.relu(lib.conv2d(-x, w))
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
    "A convolution layer uses the same weights again at every position.",
    needs=["conv2d"],
    given={"n": sizes(4, 12), "K": sizes(1, 4), "i": sizes(0, 8), "j": sizes(0, 8)},
    reading="the weights are shared",
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


def round_the_border(x: torch.Tensor) -> torch.Tensor:
    """x (1, n, n) goes on round the border, by n - 1 pixels to the right and below: an n x n kernel has n x n places."""
    n = x.shape[-1]
    return pad(x, (0, n - 1, 0, n - 1), mode="circular")


AS_LARGE_AS_THE_IMAGE = {"n": sizes(3, 6), "down": sizes(0, 2), "right": sizes(1, 2)}


@claim(
    "ib-7.12",
    "Only a layer whose outputs look at neighbours alone can use its weights again at every position.",
    needs=["conv2d"],
    given=AS_LARGE_AS_THE_IMAGE,
    reading="locality is what allows it",
    expect=REFUTED(
        instead="Weights can be shared without locality: on an image continued round its border a kernel as large as "
        "the image looks at all pixels from every position.",
        by="a_kernel_as_large_as_the_image_shares_its_weights",
    ),
    sabotage={"has weights of its own at each place": {"conv2d": _elsewhere}},
)
def weights_are_shared_only_by_local_layers(lib: Any, trial: Trial, n: int, down: int, right: int) -> Evidence:
    """Reading: with an n x n kernel on n x n pixels continued round the border, the output of a shifted image is not the
    shifted output: it departs by more than rounding.
    Why: it fails because a shift renames the pixels beneath the kernel and leaves each of its n² products as it was."""
    x, w = trial.normal(1, n, n, stream="x"), trial.normal(1, 1, n, n, stream="w")
    here, there = (lib.conv2d(round_the_border(image), w) for image in (x, x.roll((down, right), (-2, -1))))
    # n² products a side: one product and at most n² additions on the way of each.
    allowance = gamma(4 * (n * n + 1), w.dtype) * float(w.abs().sum() * x.abs().max())
    expected = here.roll((down, right), (-2, -1))
    departure = (there - expected).abs().max()
    return at_least(departure, 2 * allowance, what="departure from the shifted outputs")


@claim(
    "ib-7.12",
    "On an image continued round its border a kernel as large as the image sees all pixels from each position.",
    needs=["conv2d"],
    given=AS_LARGE_AS_THE_IMAGE,
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "has weights of its own at each place": {"conv2d": _elsewhere},
        "sees one pixel only": {"conv2d": lambda sound: lambda x, w: sound(x, w * (w == w.amax()))},
    },
)
def a_kernel_as_large_as_the_image_shares_its_weights(
    lib: Any, trial: Trial, n: int, down: int, right: int
) -> Evidence:
    """Reading: each of the n² outputs is the sum over all n² pixels of the same n² weights times the image as seen from
    there; none of its slopes by a pixel is zero.
    Why: on an image continued round its border every window covers each pixel once."""
    x, w = trial.normal(1, n, n, stream="x").requires_grad_(), trial.normal(1, 1, n, n, stream="w")
    y = lib.conv2d(round_the_border(x), w)[0, down, right]
    (slope,) = torch.autograd.grad(y, x)
    seen = x.detach().roll((-down, -right), (-2, -1))[0]
    return equal(int((slope == 0).sum()), 0, what="pixels that an output does not look at") & close(
        y,
        (w[0, 0] * seen).sum(),
        operations=2 * (n * n + 1),
        scale=(w[0, 0] * seen).abs().sum(),
        what="output differs from the same weights' sum by",
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
    given={"K": sizes(1, 3), "s": sizes(1, 3), "down": sizes(0, 6), "right": sizes(0, 6)},
    covers="relations between features are kept",
    expect=CONDITIONAL(
        "the stride divides the shift, down and to the right, and nothing is cut off at the border",
        within=lambda K, s, down, right: down % s == right % s == 0,
    ),
    sabotage={
        "has weights of its own at each place": {"conv2d": _elsewhere},
        "has weights of its own on each diagonal": {
            "conv2d": lambda sound: lambda x, w, **settings: _by_diagonal(sound(x, w, **settings))
        },
        "moves by one whatever the stride": {"conv2d": with_arguments(stride=1)},
    },
)
def a_shifted_image_gives_the_shifted_output(lib: Any, trial: Trial, K: int, s: int, down: int, right: int) -> Evidence:
    """Reading: moving the image by `down` rows and `right` columns moves its output by some numbers of rows and columns.
    Why: at stride s the windows stand s apart, and see a pattern alike only after a move by whole steps; the pattern of
    4 x 4 pixels stays clear of the border of 18 x 18."""
    pattern, w = trial.normal(2, 4, 4, stream="x"), trial.normal(3, 2, K, K, stream="w")
    here, there = (lib.conv2d(_placed(pattern, *move), w, stride=s) for move in ((0, 0), (down, right)))
    moves = [(i, j) for i in range(down + 1) for j in range(right + 1)]
    differences = [(there - here.roll(move, (-2, -1))).abs().max() for move in moves]
    # Each side adds 2·K·K products: 2·K·K + 1 roundings a term, taken twice over, on the largest sum there can be.
    largest = float(w.abs().sum((1, 2, 3)).max() * pattern.abs().max())
    allowance = gamma(4 * (2 * K * K + 1), w.dtype) * largest
    return within(min(differences), 0.0, allowance, what="shifted output differs by", why="rounding of two sums")


def _placed(pattern: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """The pattern (C, 4, 4) on an empty image of 18 x 18 pixels, its corner at (4 + down, 4 + right)."""
    return pad(pattern, (4 + right, 10 - right, 4 + down, 10 - down))


def _by_diagonal(y: torch.Tensor) -> torch.Tensor:
    """Factors that are the same only along each diagonal."""
    rows, columns = (torch.arange(n, device=y.device) for n in y.shape[-2:])
    return y * (1 + (rows[:, None] - columns).abs())


def _dots(side: int, device: torch.device) -> torch.Tensor:
    """A dot at each place of one half of an 8 x 8 image: (32, 1, 8, 8), left for side 0, right for side 1."""
    images = torch.eye(64, dtype=torch.float64, device=device).reshape(8, 8, 1, 8, 8)
    return images[:, 4 * side : 4 * side + 4].reshape(32, 1, 8, 8)


def by_place(side: int, device: torch.device) -> torch.Tensor:
    """Two classes that differ in where the dot lies."""
    return _dots(side, device)


def by_brightness(side: int, device: torch.device) -> torch.Tensor:
    """Two classes that differ in brightness: a dot, and a dot twice as bright, both anywhere in the left half."""
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
        "classes by brightness, not by place": {"images": instead(by_brightness)},
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
