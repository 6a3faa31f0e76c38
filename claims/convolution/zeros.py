"""What padding puts around an image: how many layers, of what, and how much of the border it saves."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, at_least, close, equal
from assay.sabotage import instead
from assay.strategies import sizes
from claims.convolution.same_padding import missing_pixels
from claims.lab.sliding import matches_dot_products


def _zeros_around(x: torch.Tensor, K: int, s: int) -> torch.Tensor:
    """The rows and columns of zeros that same padding needs, the odd one at the bottom and right."""
    m = max(missing_pixels(x.shape[-1], K, s), 0)
    return _extended(x, m // 2, m - m // 2)


def _zeros_in_front(x: torch.Tensor, K: int, s: int) -> torch.Tensor:
    """As many rows and columns of zeros, all at the top and left."""
    return _extended(x, max(missing_pixels(x.shape[-1], K, s), 0), 0)


def _extended(x: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """x (C, H, W) with zeros joined on, first to its rows, then to its columns."""
    for axis in (-2, -1):
        front, back = list(x.shape), list(x.shape)
        front[axis], back[axis] = before, after
        x = torch.cat([x.new_zeros(front), x, x.new_zeros(back)], axis)
    return x


@claim(
    "gfg-41.6",
    "Same padding is rows and columns of zeros put around the input before the convolution.",
    needs=["conv2d"],
    given={"C": sizes(1, 2), "n": sizes(4, 8), "K": sizes(1, 5), "s": sizes(1, 3)},
    setting={"surround": _zeros_around},
    expect=HOLDS,
    sabotage={
        "puts all zeros in front": {"surround": instead(_zeros_in_front)},
        "puts all zeros in front at larger strides": {
            "surround": lambda sound: lambda x, K, s: (sound if s == 1 else _zeros_in_front)(x, K, s)
        },
        "pads as at stride one": {"surround": lambda sound: lambda x, K, s: sound(x, K, 1)},
        "pads after the convolution": {
            "conv2d": lambda sound: lambda x, w, *, stride, padding: _zeros_around(sound(x, w), w.shape[-1], stride)
        },
    },
)
def same_padding_is_zeros_put_around_the_input(
    lib: Any, trial: Trial, C: int, n: int, K: int, s: int, surround: Any
) -> Evidence:
    """Reading: a layer with same padding equals the dot products of the image with zeros around it: of the
    m = max((⌈n/s⌉ - 1)·s + K - n, 0) rows and columns ⌊m/2⌋ stand before and ⌈m/2⌉ behind.
    Why: m zeros give ⌈n/s⌉ outputs; at stride 1 they are K - 1, which keep the size, the same on both sides for odd
    K. At stride 2 a 3x3 kernel on 28 pixels has none before and one behind."""
    x, w = trial.normal(C, n, n, stream="x"), trial.normal(2, C, K, K, stream="w")
    y, wide = lib.conv2d(x, w, stride=s, padding="same"), surround(x, K, s)
    return matches_dot_products(y, wide, w, stride=s, what="same padding differs from zeros around the input by")


@claim(
    "gfg-41.3",
    "To pad by p is to put p layers of zeros around the input.",
    needs=["conv2d"],
    given={"C": sizes(1, 2), "n": sizes(3, 6), "K": sizes(1, 3), "p": sizes(0, 3)},
    reading="what padding by p does",
    expect=HOLDS,
    sabotage={
        "surrounds with ones": {
            "conv2d": lambda sound: (
                lambda x, w, *, padding: sound(x - 1, w, padding=padding) + w.sum((1, 2, 3))[:, None, None]
            )
        },
        "pads one side only": {"conv2d": lambda sound: lambda x, w, *, padding: sound(_extended(x, 2 * padding, 0), w)},
    },
)
def padding_puts_layers_of_zeros_around_the_input(lib: Any, trial: Trial, C: int, n: int, K: int, p: int) -> Evidence:
    """Reading: a layer with padding p equals the bare layer on the image that p rows and columns of zeros surround.
    Why: this is the definition of zero padding."""
    x, w = trial.normal(C, n, n, stream="x"), trial.normal(2, C, K, K, stream="w")
    return matches_dot_products(
        lib.conv2d(x, w, padding=p), _extended(x, p, p), w, what="padding differs from zeros around the input by"
    )


FILLINGS = [{"filling": "zeros"}, {"filling": "reflect"}, {"filling": "replicate"}, {"filling": "circular"}]


@claim(
    "gfg-41.3",
    "Padding is always with zeros: whatever fills the border, a blurred white image turns grey there.",
    needs=["conv2d"],
    cases=FILLINGS,
    reading="zeros are the only filling",
    expect=REFUTED(
        instead="Zeros are one filling; reflected, repeated or wrapped pixels keep the size too, and leave a constant "
        "image constant.",
        by="other_fillings_keep_a_constant_image_constant",
    ),
    sabotage={"zeros only": {"where": lambda filling: filling == "zeros"}},
)
def every_filling_dims_the_border(lib: Any, trial: Trial, filling: str) -> Evidence:
    """Reading: with every filling that keeps the size, the mean of 3x3 pixels of a constant image is 6/9 at its border.
    The filling is put around the image beforehand; the layer under test pads nothing.
    Why: it fails because only zeros take something away: other fillings continue the image."""
    blurred = _blurred(lib.conv2d, filling, trial.device)
    # Nine products of 1/9 and eight additions against one division: 2·10 roundings are an upper bound for both sides.
    return equal(tuple(blurred.shape), (6, 6), what="filling does not keep the size") & close(
        blurred[0, 1:-1], 6 / 9, operations=20, what="border of the blurred image differs from 6/9 by"
    )


@claim(
    "gfg-41.3",
    "Reflected, repeated and wrapped pixels keep the size as zeros do, and leave a constant image constant.",
    needs=["conv2d"],
    cases=FILLINGS[1:],
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "puts zeros": {"filling": instead("zeros")},
        "pads nothing more": {"conv2d": lambda sound: lambda x, w: sound(x, w)[..., 1:-1, 1:-1]},
    },
)
def other_fillings_keep_a_constant_image_constant(lib: Any, trial: Trial, filling: str) -> Evidence:
    """Reading: with each of these fillings the mean of 3x3 pixels of a constant image is that constant everywhere.
    Why: each repeats pixels of the image, all of which are equal."""
    blurred = _blurred(lib.conv2d, filling, trial.device)
    return equal(tuple(blurred.shape), (6, 6), what="filling does not keep the size") & close(
        blurred, 1.0, operations=20, what="blurred image differs from the constant by"
    )


def _blurred(conv2d: Any, filling: str, device: torch.device) -> torch.Tensor:
    """The mean of 3x3 pixels of a 6 x 6 image of ones that the filling surrounds."""
    white = torch.ones(1, 1, 6, 6, dtype=torch.float64, device=device)
    mode = "constant" if filling == "zeros" else filling
    surrounded = torch.nn.functional.pad(white, (1, 1, 1, 1), mode=mode)
    return conv2d(surrounded, torch.full((1, 1, 3, 3), 1 / 9, dtype=torch.float64, device=device))[0, 0]


def _reach(conv2d: Any, n: int, K: int, p: int, device: torch.device) -> torch.Tensor:
    """How many outputs of a K x K layer each pixel enters, (n, n): the slope of their sum under weights of one."""
    x = torch.ones(1, n, n, dtype=torch.float64, device=device, requires_grad=True)
    w = torch.ones(1, 1, K, K, dtype=torch.float64, device=device)
    (slope,) = torch.autograd.grad(conv2d(x, w, padding=p).sum(), x)
    return slope[0]


def _corners(x: torch.Tensor) -> torch.Tensor:
    """The four corners of x (n, n)."""
    return x[[0, 0, -1, -1], [0, -1, 0, -1]]


BORDER = {"K": sizes(2, 4), "p": sizes(0, 4)}


@claim(
    "gfg-41.2",
    "With padding nothing at the border is lost: a corner enters as many windows as the centre.",
    needs=["conv2d"],
    given=BORDER,
    reading="the border counts as much as the centre",
    expect=CONDITIONAL(
        "the stride is 1 and the padding at least K - 1, which enlarges the output", within=lambda K, p: p >= K - 1
    ),
    sabotage={
        "pads one less": {"conv2d": lambda sound: lambda x, w, *, padding: sound(x, w, padding=max(padding - 1, 0))},
        "always pads fully": {"conv2d": lambda sound: lambda x, w, *, padding: sound(x, w, padding=w.shape[-1])},
        "all zeros in front": {"conv2d": lambda sound: lambda x, w, *, padding: sound(_on_one_side(x, padding), w)},
    },
)
def a_corner_enters_as_many_windows_as_the_centre(lib: Any, trial: Trial, K: int, p: int) -> Evidence:
    """Reading: at stride 1 the pixel in each corner enters K·K windows, as the central one does.
    Why: along each axis the first pixel lies in min(p + 1, K) windows: 4 of 9 for a 3x3 kernel under same padding."""
    reach = _reach(lib.conv2d, 9, K, p, trial.device)
    return equal(reach[4, 4], torch.tensor(K * K), what="centre does not enter K·K windows") & equal(
        _corners(reach), reach[4, 4].expand(4), what="corners and centre do not enter equally many windows"
    )


@claim(
    "gfg-41.2",
    "With padding less of the border is lost: a corner enters more windows with every layer of zeros up to K - 1.",
    needs=["conv2d"],
    given=BORDER,
    reading="less of the border is lost than without",
    expect=HOLDS,
    sabotage={
        "ignores the padding": {"conv2d": lambda sound: lambda x, w, *, padding: sound(x, w)},
        "all zeros in front": {"conv2d": lambda sound: lambda x, w, *, padding: sound(_on_one_side(x, padding), w)},
        "stops at one layer": {"conv2d": lambda sound: lambda x, w, *, padding: sound(x, w, padding=min(padding, 1))},
    },
)
def padding_lets_a_corner_enter_more_windows(lib: Any, trial: Trial, K: int, p: int) -> Evidence:
    """Reading: at stride 1 each corner enters min(p + 1, K)² windows, the centre K² whatever the padding.
    Why: windows that hold the first pixel of an axis begin at 0, -1, ..., as far as padding and kernel reach."""
    reach = _reach(lib.conv2d, 9, K, p, trial.device)
    grown = at_least(_corners(reach), min(p + 1, K) ** 2, what="windows that hold a corner")
    return grown & equal(reach[4, 4], torch.tensor(K * K), what="centre does not enter K·K windows")


def _on_every_side(x: torch.Tensor, p: int) -> torch.Tensor:
    return _extended(x, p, p)


def _in_all(x: torch.Tensor, p: int) -> torch.Tensor:
    return _extended(x, p // 2, p - p // 2)


def _on_one_side(x: torch.Tensor, p: int) -> torch.Tensor:
    return _extended(x, 2 * p, 0)


@claim(
    "gfg-42.5",
    "In the formula p is the number of layers of zeros put on each side.",
    needs=["conv2d"],
    given={"rows": sizes(3, 7), "columns": sizes(3, 7), "K": sizes(1, 3), "p": sizes(0, 3)},
    setting={"surround": _on_every_side},
    expect=HOLDS,
    sabotage={
        "p layers in all": {"surround": instead(_in_all)},
        "all 2p on one side": {"surround": instead(_on_one_side)},
        "layers of ones": {"surround": instead(lambda x, p: _on_every_side(x - 1, p) + 1)},
        "one layer too many": {"surround": instead(lambda x, p: _extended(x, p + 1, p + 1))},
    },
)
def p_counts_the_layers_of_zeros_on_each_side(
    lib: Any, trial: Trial, rows: int, columns: int, K: int, p: int, surround: Any
) -> Evidence:
    """Reading: padding by p makes the layer work on an image of I + 2p rows and columns, p of them zeros on each side.
    Why: the formula's numerator I + 2p - K counts the zeros of both sides; values tell the sides apart, sizes do not."""
    x, w = trial.normal(1, rows, columns, stream="x"), trial.normal(1, 1, K, K, stream="w")
    wide, y = surround(x, p), lib.conv2d(x, w, padding=p)
    size = tuple(n - K + 1 for n in wide.shape[-2:])
    same_size = equal(tuple(y.shape[-2:]), size, what="shape differs from that of the image with its zeros")
    if tuple(y.shape[-2:]) != size:
        return same_size
    return same_size & matches_dot_products(y, wide, w, what="output differs from that of the image with its zeros by")
