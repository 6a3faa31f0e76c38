"""Transposed convolution ("deconvolution"): what it computes and how large its output is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, claim
from assay.decide.proofs import both, floordiv, proved
from assay.decide.trial import Trial
from assay.evidence import Evidence, close, equal, fact
from assay.sabotage import ignoring, instead, scaled
from assay.strategies import normals, sizes

Role = Callable[..., torch.Tensor]
SIZES = [
    {"n": n, "K": K, "s": s, "p": p}
    for n in range(1, 7)
    for K in range(1, 6)
    for s in range(1, 4)
    for p in range(4)
]  # fmt: skip
SHRINKING = [case for case in SIZES if case["n"] + 2 * case["p"] >= case["K"]]
GROWING = [
    case | {"extra": q}
    for case in SIZES
    for q in range(case["s"])
    if (case["n"] - 1) * case["s"] + case["K"] + q > 2 * case["p"]
]
PROVED_GRID = {"n": range(1, 9), "K": range(1, 6), "s": range(1, 4), "p": range(4), "extra": range(3)}


def blank(n: int, device: torch.device) -> torch.Tensor:
    """An image of n rows and n + 1 columns: only its size matters."""
    return torch.zeros(1, n, n + 1, device=device)


def kernel(K: int, device: torch.device) -> torch.Tensor:
    """A kernel of K rows and columns: only its size matters."""
    return torch.zeros(1, 1, K, K, device=device)


def smaller_than_the_rest(n: Any, K: Any, s: Any, p: Any, extra: Any = 0) -> Any:
    """The condition on which a transposed convolution enlarges, and (without `extra`) a convolution shrinks."""
    return 2 * p < K - 1 + extra + (s - 1) * (n - 1)


@claim(
    "gfg-44.1",
    "A transposed convolution gives a larger map.",
    needs=["conv_transpose2d"],
    cases=GROWING,
    exhaustive=True,
    also=["gfg-44.3"],
    expect=CONDITIONAL(
        "twice the padding is less than K - 1 + (s - 1)(n - 1) + output padding, for n pixels a side, kernel K and stride s",
        within=smaller_than_the_rest,
    ),
    sabotage={
        "always two rows and columns more": {
            "conv_transpose2d": lambda sound: lambda x, w, **_: torch.nn.functional.pad(x, (1, 1, 1, 1))
        },
        "padding grows with the kernel": {
            "conv_transpose2d": lambda sound: lambda x, w, **_: sound(x, w, padding=w.shape[-1] // 2)
        },
    },
)
def a_transposed_convolution_gives_a_larger_map(
    lib: Any, trial: Trial, n: int, K: int, s: int, p: int, extra: int
) -> Evidence:
    """Reading: height and width of the output exceed those of the input; all sizes up to 6, kernels up to 5, strides
    up to 3.
    Why: the output has (n - 1)s - 2p + K + output padding rows; with stride 1, K = 3 and p = 1 that is n."""
    y = lib.conv_transpose2d(blank(n, trial.device), kernel(K, trial.device), stride=s, padding=p, output_padding=extra)
    return fact("rows missing to be larger", n + 1 - y.shape[-2], 0) & fact(
        "columns missing to be larger", n + 2 - y.shape[-1], 0
    )


@claim(
    "gfg-44.2",
    "A convolution gives a smaller map.",
    needs=["conv2d"],
    cases=SHRINKING,
    exhaustive=True,
    expect=CONDITIONAL(
        "twice the padding is less than K - 1 + (s - 1)(n - 1), for n pixels a side, kernel K and stride s",
        within=smaller_than_the_rest,
    ),
    sabotage={
        "padding that keeps the size": {"conv2d": lambda sound: lambda x, w, **_: sound(x, w, padding="same")},
        "never any padding": {"conv2d": lambda sound: lambda x, w, **_: x[..., 1:, 1:]},
    },
)
def a_convolution_gives_a_smaller_map(lib: Any, trial: Trial, n: int, K: int, s: int, p: int) -> Evidence:
    """Reading: the output has fewer rows than the input; all sizes up to 6, kernels up to 5, strides up to 3,
    padding up to 3.
    Why: ⌊(n + 2p - K)/s⌋ + 1 < n; a 3x3 kernel with one pixel of padding keeps the size, with two it adds to it."""
    y = lib.conv2d(blank(n, trial.device), kernel(K, trial.device), stride=s, padding=p)
    return fact("rows too many to be smaller", y.shape[-2] - (n - 1), 0)


@claim(
    "gfg-44.1",
    "A transposed convolution enlarges exactly where the convolution with the same kernel, stride and padding shrinks.",
    also=["gfg-44.2"],
    needs=["conv_transpose2d", "conv2d"],
    setting={"border": 2},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "padding counted once": {"border": instead(1)},
        "padding ignored": {"conv_transpose2d": ignoring("padding")},
    },
)
def a_transposed_convolution_enlarges_where_a_convolution_shrinks(lib: Any, trial: Trial, border: int) -> Evidence:
    """Reading: with n pixels a side, kernel K, stride s and padding p both do so if and only if
    2p < K - 1 + (s - 1)(n - 1), for all integers; the size formulas are those of the code.
    Why: (n - 1)s - 2p + K > n and ⌊(n + 2p - K)/s⌋ + 1 < n are the same inequality."""

    def grown(n: Any, K: Any, s: Any, p: Any) -> Any:
        return (n - 1) * s - border * p + K

    def left(n: Any, K: Any, s: Any, p: Any) -> Any:
        return floordiv(n + border * p - K, s) + 1

    def alike(n: Any, K: Any, s: Any, p: Any) -> Any:
        condition = 2 * p < K - 1 + (s - 1) * (n - 1)
        return both((grown(n, K, s, p) > n) == condition, (left(n, K, s, p) < n) == condition)

    formula = proved(
        alike, dict.fromkeys(("n", "K", "s", "p"), int), what="sizes for which one grows and the other does not shrink",
        assuming=lambda n, K, s, p: both(n >= 1, K >= 1, s >= 1, p >= 0, n + 2 * p >= K), grid=PROVED_GRID,
    )  # fmt: skip
    plain = [{name: case[name] for name in "nKsp"} for case in GROWING if case["extra"] == 0]
    rows = [(_rows(lib.conv2d, trial, **case), left(**case)) for case in SHRINKING[::7]]
    rows += [(_rows(lib.conv_transpose2d, trial, **case), grown(**case)) for case in plain[::7]]
    return formula & equal([got for got, _ in rows], [wanted for _, wanted in rows], what="sizes unlike the formulas")


def _rows(layer: Role, trial: Trial, n: int, K: int, s: int, p: int) -> int:
    """How many rows the layer makes of n."""
    return layer(blank(n, trial.device), kernel(K, trial.device), stride=s, padding=p).shape[-2]


def stamped(x: torch.Tensor, w: torch.Tensor, stride: int) -> torch.Tensor:
    """Lay the kernels w (C, F, A, B), each weighted by its pixel of x (C, H, W), onto a map (F, ...), `stride`
    apart."""
    (height, width), (A, B) = x.shape[-2:], w.shape[-2:]
    y = x.new_zeros(w.shape[1], (height - 1) * stride + A, (width - 1) * stride + B)
    for i in range(height):
        for j in range(width):
            y[:, stride * i : stride * i + A, stride * j : stride * j + B] += torch.einsum("c,cfab->fab", x[:, i, j], w)
    return y


def last_stamp_wins(sound: Role) -> Role:
    """Stamps the kernels, but covers what lay there instead of adding to it."""

    def covering(x: torch.Tensor, w: torch.Tensor, *, stride: int, padding: int) -> torch.Tensor:
        y, (A, B) = torch.zeros_like(sound(x, w, stride=stride)), w.shape[-2:]
        for i in range(x.shape[-2]):
            for j in range(x.shape[-1]):
                stamp = torch.einsum("c,cfab->fab", x[:, i, j], w)
                y[:, stride * i : stride * i + A, stride * j : stride * j + B] = stamp
        return cut(y, padding)

    return covering


def cut(y: torch.Tensor, p: int) -> torch.Tensor:
    return y[..., p : y.shape[-2] - p, p : y.shape[-1] - p]


MAPS = {"x": normals((2, 3, 4)), "w": normals((2, 3, 4, 3)), "s": sizes(1, 3), "p": sizes(0, 1)}


@claim(
    "gfg-44.3",
    (
        "A transposed convolution stamps the kernel, weighted by each pixel, onto the output; where stamps overlap "
        "they add up."
    ),
    needs=["conv_transpose2d"],
    given=MAPS,
    expect=HOLDS,
    sabotage={
        "kernel flipped": {"conv_transpose2d": lambda sound: lambda x, w, **hyper: sound(x, w.flip(-1, -2), **hyper)},
        "the last stamp wins": {"conv_transpose2d": last_stamp_wins},
        "near miss": {"conv_transpose2d": scaled(1.0001)},
    },
)
def a_transposed_convolution_stamps_its_kernel_on_the_output(
    lib: Any, x: torch.Tensor, w: torch.Tensor, s: int, p: int
) -> Evidence:
    """Reading: y = Σ over pixels of pixel times kernel shifted by s times the pixel's place, with p rows and columns
    cut off.
    Why: each entry is a sum of at most C·A·B products, on either side; that many roundings twice."""
    y = lib.conv_transpose2d(x, w, stride=s, padding=p)
    expected, scale = cut(stamped(x, w, s), p), cut(stamped(x.abs(), w.abs(), s), p)
    if y.shape != expected.shape:
        return equal(tuple(y.shape), tuple(expected.shape), what="shape of the stamped map")
    return close(
        y, expected, operations=2 * (w.shape[0] * 12 + 2), scale=scale, what="differs from the sum of stamps by"
    )


def spaced(x: torch.Tensor, s: int) -> torch.Tensor:
    """x (C, H, W) with s - 1 zeros between neighbours."""
    y = x.new_zeros(x.shape[0], (x.shape[-2] - 1) * s + 1, (x.shape[-1] - 1) * s + 1)
    y[..., ::s, ::s] = x
    return y


@claim(
    "gfg-44.3",
    "A transposed convolution is a convolution of the map, zeros put between its pixels, with the flipped kernel.",
    needs=["conv_transpose2d", "conv2d"],
    given=MAPS | {"w": normals((2, 3, 3, 3))},
    setting={"turned": lambda w: w.flip(-1, -2)},
    expect=HOLDS,
    sabotage={
        "kernel not flipped": {"turned": instead(lambda w: w)},
        "kernel transposed": {"turned": instead(lambda w: w.mT)},
    },
)
def a_transposed_convolution_is_a_convolution_of_a_spaced_map(
    lib: Any, x: torch.Tensor, w: torch.Tensor, s: int, p: int, turned: Callable[[torch.Tensor], torch.Tensor]
) -> Evidence:
    """Reading: with K - 1 - p zeros round the spaced map and channels exchanged in the kernel, both give the same
    output.
    Why: s·i + a = u gives the kernel entry at u - s·i; both sides sum at most C·K² products."""
    y = lib.conv_transpose2d(x, w, stride=s, padding=p)
    z = lib.conv2d(spaced(x, s), turned(w).transpose(0, 1), padding=w.shape[-1] - 1 - p)
    scale = cut(stamped(x.abs(), w.abs(), s), p)
    return close(y, z, operations=2 * (w.shape[0] * 9 + 2), scale=scale, what="differs from the convolution by")
