"""Padding that keeps the size: which amount does, for which kernels and strides."""

from __future__ import annotations

from typing import Any

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.proofs import Term, both, floordiv, implies, negation, proved
from assay.decide.trial import Trial
from assay.evidence import Evidence, equal
from assay.sabotage import instead, with_arguments
from claims.convolution.sizes import LAYER, a_layer, every_layer, follows, shape_of
from claims.lab.sliding import window_count


def half_and_step_one(n: Term, K: Term, s: Term, p: Term) -> Term:
    """Stride 1 and twice the padding one less than the kernel."""
    return both(s == 1, 2 * p == K - 1)


def too_much_or_too_little(n: Term, K: Term, s: Term, p: Term) -> Term:
    return negation(half_and_step_one(n, K, s, p))


def always_the_same_size(sound: Any) -> Any:
    """A layer that puts out what it takes in, in size, whatever it is asked for."""
    return lambda x, w, **_: sound(x, w, padding="same")


@claim(
    "gfg-41.1",
    "Padding keeps height and width as they were.",
    needs=["conv2d"],
    setting={"layers": every_layer},
    expect=CONDITIONAL(
        "the stride is 1 and 2p = K - 1",
        within={"layers": instead(half_and_step_one)},
        beyond={"layers": instead(too_much_or_too_little)},
    ),
    sabotage={
        "pads one row less": {"conv2d": lambda sound: lambda x, w, **k: sound(x[..., 1:, :], w, **k)},
        "keeps the size whatever the padding": {"conv2d": always_the_same_size},
        "looks at no other layers": {"layers": instead(half_and_step_one)},
        "allows any padding": {"layers": instead(every_layer)},
    },
)
def padding_keeps_height_and_width(lib: Any, trial: Trial, layers: Any) -> Evidence:
    """Reading: a layer with padding p on each side puts out as many rows and columns as it takes in, for every n.
    Why: n + 2p - K + 1 windows stand at stride 1, and only 2p = K - 1 makes that n: n = 28, K = 3, p = 2 give 30.
    The proof is about the formula; on both sides of the condition 120 layers are compared with it."""

    def keeps_the_size(n: Term, K: Term, s: Term, p: Term) -> Term:
        return window_count(n, K, s, p) == n

    def considered(n: Term, K: Term, s: Term, p: Term) -> Term:
        return both(a_layer(n, K, s, p), layers(n, K, s, p))

    grid = [(n, K, s, p) for n in (6, 7, 28) for K in range(1, 6) for s in (1, 2) for p in range(4)]
    return proved(keeps_the_size, LAYER, assuming=considered, what="padding changes the size") & follows(
        lib.conv2d, grid, window_count, trial.device
    )


def ceiling(n: Term, s: Term) -> Term:
    """⌈n/s⌉."""
    return floordiv(n + s - 1, s)


def missing_pixels(n: Term, K: Term, s: Term) -> Term:
    """(⌈n/s⌉ - 1)·s + K - n: what the last of ⌈n/s⌉ windows lacks, or if not positive has left over."""
    return (ceiling(n, s) - 1) * s + K - n


def every_stride(s: Term) -> Term:
    return s >= 1


def stride_one(s: Term) -> Term:
    return s == 1


def larger_stride(s: Term) -> Term:
    return s >= 2


def sized(n: Term, K: Term, s: Term, missing: Any, wanted: Term) -> Term:
    """With `missing` zeros in all, or none where that is negative, a layer has `wanted` windows."""
    m = missing(n, K, s)
    with_zeros, bare = window_count(n + m, K, s, 0), window_count(n, K, s, 0)
    return both(implies(m > 0, with_zeros == wanted), implies(m <= 0, bare == wanted))


@claim(
    "gfg-41.5",
    "Under same padding height and width of the output are those of the input.",
    needs=["conv2d"],
    setting={"strides": every_stride},
    expect=CONDITIONAL(
        "the stride is 1", within={"strides": instead(stride_one)}, beyond={"strides": instead(larger_stride)}
    ),
    sabotage={
        "allows every stride": {"strides": instead(every_stride)},
        "looks at stride 1 only": {"strides": instead(stride_one)},
        "keeps the size at every stride": {"conv2d": always_the_same_size},
        "loses a column": {"conv2d": lambda sound: lambda x, w, **k: sound(x[..., 1:], w, **k)},
    },
)
def same_padding_keeps_height_and_width(lib: Any, trial: Trial, strides: Any) -> Evidence:
    """Reading: a layer asked for same padding puts out as many rows and columns as it takes in, even kernels included.
    Why: for a stride s frameworks mean ⌈n/s⌉ by it; an even kernel gets its odd zero on one side."""

    def keeps_the_size(n: Term, K: Term, s: Term) -> Term:
        return sized(n, K, s, missing_pixels, n)

    return proved(
        keeps_the_size,
        {"n": int, "K": int, "s": int},
        assuming=lambda n, K, s: both(n >= 1, K >= 1, strides(s)),
        what="same padding changes the size",
    ) & follows(lib.conv2d, SAME_LAYERS, _one_output_a_step, trial.device)


SAME_LAYERS = [(n, K, s, "same") for n in (5, 6, 28) for K in (1, 2, 3, 4) for s in (1, 2, 3)]


def _one_output_a_step(n: int, K: int, s: int, padding: str) -> Term:
    return ceiling(n, s)


@claim(
    "gfg-41.5",
    "Under same padding there are ⌈n/s⌉ outputs, at stride 1 as many as inputs.",
    needs=["conv2d", "conv_output_size"],
    setting={"missing": missing_pixels},
    expect=HOLDS,
    reading=CORRECTION,
    sabotage={
        "puts one zero more than K - 1": {"missing": instead(lambda n, K, s: K)},
        "ignores the stride": {"conv2d": with_arguments(stride=1)},
    },
)
def same_padding_gives_one_output_a_step(lib: Any, trial: Trial, missing: Any) -> Evidence:
    """Reading: max((⌈n/s⌉ - 1)·s + K - n, 0) zeros in all give ⌈n/s⌉ windows, and so do layers with same padding.
    Why: the last of ⌈n/s⌉ windows ends at (⌈n/s⌉ - 1)·s + K; a kernel shorter than the stride may need no zeros."""

    def one_output_a_step(n: Term, K: Term, s: Term) -> Term:
        return sized(n, K, s, missing, ceiling(n, s))

    asked = [lib.conv_output_size(n, K, stride=s, padding=padding) for n, K, s, padding in SAME_LAYERS]
    wanted = [_one_output_a_step(*layer) for layer in SAME_LAYERS]
    return (
        proved(
            one_output_a_step,
            {"n": int, "K": int, "s": int},
            assuming=lambda n, K, s: both(n >= 1, K >= 1, s >= 1),
            what="zeros do not give one output a step",
        )
        & follows(lib.conv2d, SAME_LAYERS, _one_output_a_step, trial.device)
        & equal(asked, wanted, what="predicted sizes that are not one a step")
    )


def odd_kernel(n: Term, K: Term, s: Term, p: Term) -> Term:
    return K % 2 == 1


def even_kernel(n: Term, K: Term, s: Term, p: Term) -> Term:
    return K % 2 == 0


def half_of_kernel(K: Term) -> Term:
    """⌊(K - 1)/2⌋, the whole number that (K - 1)/2 is for odd K."""
    return floordiv(K - 1, 2)


@claim(
    "gfg-42.7",
    "At stride 1 the padding p = (K - 1)/2 keeps the shape.",
    needs=["conv2d"],
    setting={"kernels": every_layer, "padding": half_of_kernel},
    expect=CONDITIONAL(
        "the kernel is odd",
        within={"kernels": instead(odd_kernel)},
        beyond={"kernels": instead(even_kernel)},
    ),
    sabotage={
        "takes K/2": {"padding": instead(lambda K: floordiv(K + 1, 2))},
        "looks at odd kernels only": {"kernels": instead(odd_kernel)},
        "keeps the size whatever the padding": {"conv2d": always_the_same_size},
        "pads one side": {
            "conv2d": lambda sound: lambda x, w, *, padding, **k: sound(x[..., padding:], w, padding=padding)
        },
    },
)
def half_of_the_kernel_keeps_the_shape(lib: Any, trial: Trial, kernels: Any, padding: Any) -> Evidence:
    """Reading: (K - 1)/2 zeros on each side, rounded down where that is no whole number, give n outputs for all n.
    Why: n + 2p - K + 1 = n asks for 2p = K - 1, so that K must be odd; an even K lacks one row and column."""

    def keeps_the_size(n: Term, K: Term, s: Term, p: Term) -> Term:
        return window_count(n, K, 1, padding(K)) == n

    def considered(n: Term, K: Term, s: Term, p: Term) -> Term:
        return both(n >= 1, K >= 1, s == 1, p == 0, n + 2 * padding(K) >= K, kernels(n, K, s, p))

    grid = [(28, K, 1, padding(K)) for K in range(1, 7)]
    return proved(keeps_the_size, LAYER, assuming=considered, what="padding changes the size") & follows(
        lib.conv2d, grid, window_count, trial.device
    )


@claim(
    "gfg-42.8",
    "The padding that keeps the shape is p = 2K - 1.",
    needs=["conv2d"],
    setting={"padding": lambda K: 2 * K - 1},
    expect=REFUTED(
        instead="The shape is kept by p = (K - 1)/2 at stride 1 and an odd kernel; p = 2K - 1 enlarges it by 3K - 1.",
        by="half_of_the_kernel_keeps_the_shape_of_odd_kernels",
    ),
    sabotage={"takes (K - 1)/2": {"padding": instead(half_of_kernel)}},
)
def twice_the_kernel_less_one_keeps_the_shape(lib: Any, trial: Trial, padding: Any) -> Evidence:
    """Reading: 2K - 1 zeros on each side of an odd kernel give n outputs at stride 1.
    Why: it fails because n + 2·(2K - 1) - K + 1 = n + 3K - 1: a 3x3 kernel turns 28 into 36."""
    return _keeps_odd(lib, trial, padding)


@claim(
    "gfg-42.8",
    "The padding that keeps the shape is p = (K - 1)/2, at stride 1 and for odd kernels.",
    needs=["conv2d"],
    setting={"padding": half_of_kernel},
    expect=HOLDS,
    reading=CORRECTION,
    sabotage={
        "takes 2K - 1": {"padding": instead(lambda K: 2 * K - 1)},
        "takes (K + 1)/2": {"padding": instead(lambda K: floordiv(K + 1, 2))},
    },
)
def half_of_the_kernel_keeps_the_shape_of_odd_kernels(lib: Any, trial: Trial, padding: Any) -> Evidence:
    """Reading: (K - 1)/2 zeros on each side of an odd kernel give n outputs at stride 1.
    Why: n + (K - 1) - K + 1 = n."""
    return _keeps_odd(lib, trial, padding)


def _keeps_odd(lib: Any, trial: Trial, padding: Any) -> Evidence:
    """Proof over all n and odd K, and layers on 28 pixels, that `padding(K)` keeps the size at stride 1."""

    def keeps_the_size(n: Term, K: Term) -> Term:
        return window_count(n, K, 1, padding(K)) == n

    found = [shape_of(lib.conv2d, 28, 28, K, K, trial.device, padding=padding(K))[1] for K in (1, 3, 5)]
    odd = proved(
        keeps_the_size,
        {"n": int, "K": int},
        assuming=lambda n, K: both(n >= 1, K >= 1, K % 2 == 1),
        what="padding changes the size",
    )
    return odd & equal(found, [28, 28, 28], what="kernels 1, 3 and 5 on 28 pixels do not give 28")
