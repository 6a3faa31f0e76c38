"""Valid padding, which is none: the size it gives, and what it saves."""

from __future__ import annotations

import math
from typing import Any

import torch

from assay.claim import CONDITIONAL, HOLDS, claim
from assay.decide.proofs import Term, both, either, negation, proved
from assay.decide.trial import Trial
from assay.evidence import Evidence, at_least, curve, equal
from assay.sabotage import instead, with_arguments
from assay.strategies import sizes
from claims.convolution.sizes import every_layer, follows, shape_of
from claims.lab.sliding import matches_dot_products, window_count


@claim(
    "gfg-41.7",
    "Valid padding puts in no row and no column: only windows that lie on the image count.",
    needs=["conv2d"],
    given={"C": sizes(1, 2), "height": sizes(5, 9), "width": sizes(5, 9), "K": sizes(1, 5)},
    expect=HOLDS,
    sabotage={
        "adds a row of zeros": {
            "conv2d": lambda sound: (
                lambda x, w, *, padding: sound(torch.cat([x, 0 * x[..., :1, :]], -2), w, padding=padding)
            )
        },
        "pads as same padding does": {"conv2d": with_arguments(padding="same")},
    },
)
def valid_padding_puts_in_nothing(lib: Any, trial: Trial, C: int, height: int, width: int, K: int) -> Evidence:
    """Reading: at stride 1 a layer with valid padding gives n - K + 1 outputs an axis, the dot products with the image as it is;
    under same padding these stand inside the larger output.
    Why: n - K + 1 windows of K pixels lie wholly on n pixels."""
    x, w = trial.normal(C, height, width, stream="x"), trial.normal(2, C, K, K, stream="w")
    valid, same = lib.conv2d(x, w, padding="valid"), _same(lib.conv2d, x, w)
    before = (K - 1) // 2
    inner = same[..., before : before + height - K + 1, before : before + width - K + 1]
    return (
        equal(tuple(valid.shape), (2, height - K + 1, width - K + 1), what="shape differs from n - K + 1")
        & matches_dot_products(valid, x, w, what="output differs from the dot products with the image by")
        & matches_dot_products(inner, x, w, what="inside of the larger output differs by")
    )


def _same(conv2d: Any, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """The output of the size of the input: zeros are put around, and the layer itself pads nothing."""
    before, after = (w.shape[-1] - 1) // 2, w.shape[-1] // 2
    return conv2d(torch.nn.functional.pad(x, (before, after, before, after)), w, padding="valid")


def covers_or_skips(n: Term, K: Term, s: Term) -> Term:
    """The kernel is larger than one pixel, or the stride larger than one on an image larger than one pixel."""
    return either(K >= 2, both(s >= 2, n >= 2))


def one_pixel_at_a_time(n: Term, K: Term, s: Term) -> Term:
    return negation(covers_or_skips(n, K, s))


@claim(
    "gfg-41.8",
    "Under valid padding the output is smaller than the input.",
    needs=["conv2d"],
    setting={"layers": every_layer},
    expect=CONDITIONAL(
        "the kernel is larger than one pixel, or the stride larger than one on an image larger than one pixel",
        within={"layers": instead(covers_or_skips)},
        beyond={"layers": instead(one_pixel_at_a_time)},
    ),
    sabotage={
        "allows kernels of one pixel": {"layers": instead(every_layer)},
        "looks at large kernels only": {"layers": instead(covers_or_skips)},
        "pads as same padding does": {
            "conv2d": lambda sound: lambda x, w, *, stride, padding: sound(x, w, stride=stride, padding=w.shape[-1] - 1)
        },
    },
)
def valid_padding_makes_the_output_smaller(lib: Any, trial: Trial, layers: Any) -> Evidence:
    """Reading: ⌊(n - K)/s⌋ + 1 < n for every kernel that fits.
    Why: K >= 2 leaves n - K + 1 < n windows at most; a kernel of one pixel at stride 1 visits every pixel."""

    def smaller(n: Term, K: Term, s: Term) -> Term:
        return window_count(n, K, s, 0) < n

    def considered(n: Term, K: Term, s: Term) -> Term:
        return both(n >= K, K >= 1, s >= 1, layers(n, K, s))

    grid = [(n, K, s, "valid") for n in (1, 2, 5, 28) for K in (1, 2, 3) for s in (1, 2, 3) if n >= K]
    size = {"n": int, "K": int, "s": int}
    return proved(smaller, size, assuming=considered, what="output is not smaller than the input") & follows(
        lib.conv2d, grid, _windows, trial.device
    )


def _windows(n: Term, K: Term, s: Term, padding: str) -> Term:
    """Outputs along one axis: under same padding as many as windows of one pixel, ⌈n/s⌉."""
    return window_count(n, K if padding == "valid" else 1, s, 0)


HEADS = ("convolution alone", "global average and dense", "flatten and dense")


@claim(
    "gfg-41.9",
    "Valid padding leaves the model fewer parameters.",
    needs=["conv2d", "global_average_pool", "dense"],
    cases=[{"K": K, "s": s, "head": head} for K in (1, 2, 3, 5) for s in (1, 2, 3) for head in HEADS],
    expect=CONDITIONAL(
        "a dense layer reads the flattened maps and the kernel is larger than the stride",
        within=lambda K, s, head: s < K and head == "flatten and dense",
    ),
    sabotage={
        "averages the maps in every model": {"head": lambda head: head.replace("flatten", "global average")},
        "flattens the maps in every model of larger kernels": {
            "head": instead("flatten and dense"),
            "where": lambda K, s, head: s < K,
        },
    },
)
def valid_padding_leaves_fewer_parameters(lib: Any, trial: Trial, K: int, s: int, head: str) -> Evidence:
    """Reading: ten kernels and ten classes on 12 x 12 colour pixels need fewer weights and biases with valid padding.
    Why: a convolution has F·(C·K·K + 1) parameters whatever its padding; only a dense layer that reads every pixel of
    the maps grows with their size. Steps as long as the kernel may leave equally many windows: 6 x 6 for K = s = 2."""
    counts = [_parameters(lib, trial, K, s, head, padding) for padding in ("valid", "same")]
    return at_least(counts[1] - counts[0], 1, what="parameters that valid padding saves")


def _parameters(lib: Any, trial: Trial, K: int, s: int, head: str, padding: str) -> int:
    """Weights and biases of the model, which is run once so that every shape is one that the layers accept."""
    x, w = trial.normal(3, 12, 12, stream="x"), trial.normal(10, 3, K, K, stream="w")
    b = trial.normal(10, stream="b")
    maps = lib.conv2d(x, w, b, stride=s, padding=padding)
    if head == "convolution alone":
        return w.numel() + b.numel()
    features = maps.flatten() if head.startswith("flatten") else lib.global_average_pool(maps)
    weights = trial.normal(10, features.numel(), stream="weights")
    scores = lib.dense(features[None], weights, b)
    return w.numel() + b.numel() + weights.numel() + scores.numel()


def longer_than_its_step(n: Term, K: Term, s: Term) -> Term:
    return s < K


def no_longer_than_its_step(n: Term, K: Term, s: Term) -> Term:
    return s >= K


@claim(
    "gfg-41.10",
    "Valid padding takes less computation.",
    needs=["conv2d"],
    setting={"kernels": every_layer},
    expect=CONDITIONAL(
        "the kernel is larger than the stride",
        within={"kernels": instead(longer_than_its_step)},
        beyond={"kernels": instead(no_longer_than_its_step)},
    ),
    sabotage={
        "looks at larger kernels only": {"kernels": instead(longer_than_its_step)},
        "looks at kernels of one pixel only": {"kernels": instead(lambda n, K, s: K == 1)},
        "pads as same padding does": {"conv2d": with_arguments(padding="same")},
    },
)
def valid_padding_takes_fewer_multiplications(lib: Any, trial: Trial, kernels: Any) -> Evidence:
    """Reading: the multiplications of a layer, K·K for each output, are fewer with valid padding than with same padding.
    Why: along each axis ⌊(n - K)/s⌋ + 1 windows against ⌈n/s⌉; at stride 1 a share of 0.862 of all for n = 28, K = 3.
    Seconds are no part of the claim."""

    def fewer(n: Term, K: Term, s: Term) -> Term:
        return _windows(n, K, s, "valid") < _windows(n, K, s, "same")

    def considered(n: Term, K: Term, s: Term) -> Term:
        return both(n >= K, K >= 1, s >= 1, kernels(n, K, s))

    grid = [(28, K, s, padding) for K in range(1, 8) for s in range(1, 4) for padding in ("valid", "same")]
    size = {"n": int, "K": int, "s": int}
    evidence = proved(fewer, size, assuming=considered, what="valid padding leaves no fewer windows") & follows(
        lib.conv2d, grid, _windows, trial.device
    )
    widths = range(1, 8)
    return evidence.with_figure(
        curve(
            "Multiplications with valid padding at stride 1, as a share of same padding, on 28 x 28",
            widths,
            {
                "measured": [_share(lib.conv2d, K, trial.device) for K in widths],
                "((n - K + 1)/n)²": [((29 - K) / 28) ** 2 for K in widths],
            },
            x_label="kernel size K",
            y_label="share",
        )
    )


def _share(conv2d: Any, K: int, device: torch.device) -> float:
    """Outputs with valid padding for one with same padding, and so K·K multiplications for K·K: 28 x 28, stride 1."""
    valid, same = (math.prod(shape_of(conv2d, 28, 28, K, K, device, padding=padding)) for padding in ("valid", "same"))
    return valid / same
