"""Stride: how far the kernel moves, which values it may take, and which pixels it leaves out."""

from __future__ import annotations

import itertools
from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, claim
from assay.decide.proofs import Term, both, either, floordiv, implies, negation, proved
from assay.decide.trial import Trial
from assay.evidence import Evidence, close, curve, equal, fact, rejects
from assay.sabotage import instead, with_arguments
from assay.strategies import sizes
from claims.convolution.sizes import LAYER, a_layer, every_layer, follows, shape_of
from claims.lab.sliding import window_count


def _late(sound: Any) -> Any:
    """Begins one pixel to the right when it strides."""
    return lambda x, w, *, stride: sound(x.roll(-1, -1) if stride > 1 else x, w, stride=stride)


@claim(
    "gfg-39.1",
    "The stride is the number of pixels by which the kernel moves on each time.",
    needs=["conv2d"],
    given={"n": sizes(5, 12), "K": sizes(1, 4), "s": sizes(1, 4)},
    expect=HOLDS,
    sabotage={
        "begins one pixel late": {"conv2d": _late},
        "moves by one whatever the stride": {"conv2d": with_arguments(stride=1)},
    },
)
def the_stride_is_the_step_of_the_kernel(lib: Any, trial: Trial, n: int, K: int, s: int) -> Evidence:
    """Reading: the output at stride s is every s-th row and column of the output at stride 1.
    Why: window i begins at pixel s·i, where window s·i of stride 1 begins too."""
    x, w = trial.normal(2, n, n, stream="x"), trial.normal(3, 2, K, K, stream="w")
    strided, every = lib.conv2d(x, w, stride=s), lib.conv2d(x, w, stride=1)[..., ::s, ::s]
    if strided.shape != every.shape:
        return equal(tuple(strided.shape), tuple(every.shape), what="number of steps differs")
    scale = lib.conv2d(x.abs(), w.abs(), stride=1)[..., ::s, ::s]
    # One product and at most 2·K·K additions on the way of each term, on both sides.
    return close(strided, every, operations=2 * (2 * K * K + 1), scale=scale, what="output differs from every s-th by")


def _unseen(conv2d: Any, n: int, K: int, s: int, p: int, device: torch.device) -> int:
    """How many pixels of an n x n image have no influence on any output."""
    x = torch.ones(1, n, n, dtype=torch.float64, device=device, requires_grad=True)
    w = torch.ones(1, 1, K, K, dtype=torch.float64, device=device)
    (slope,) = torch.autograd.grad(conv2d(x, w, stride=s, padding=p).sum(), x)
    return int((slope == 0).sum())


def reaches_everywhere(n: Term, K: Term, s: Term, p: Term) -> Term:
    """No gap between windows, and no pixel, but at most p zeros, behind the last."""
    return both(s <= K, (n + 2 * p - K) % s <= p)


@claim(
    "gfg-39.3",
    "Each filter covers the whole input image as it slides.",
    needs=["conv2d"],
    given={"n": sizes(4, 12), "K": sizes(1, 4), "s": sizes(1, 4), "p": sizes(0, 2)},
    expect=CONDITIONAL(
        "the stride s is no larger than the kernel K, and n + 2p - K, for n pixels a side and padding p, leaves a rest "
        "of at most p when divided by s",
        within=reaches_everywhere,
    ),
    sabotage={
        "moves by one whatever the stride": {"conv2d": with_arguments(stride=1)},
        "stops before the last column": {"conv2d": lambda sound: lambda x, w, **k: sound(x, w, **k)[..., :-1]},
    },
)
def a_filter_covers_the_whole_image(lib: Any, trial: Trial, n: int, K: int, s: int, p: int) -> Evidence:
    """Reading: every pixel has an influence on some output; images of 4 to 12 pixels a side, kernels and strides up to
    4, padding up to 2.
    Why: a stride above K jumps over pixels, and the rest of n + 2p - K by s stays behind the last window. Without
    padding K = 3 at stride 2 never sees the last row and column of 28 x 28 pixels; with p = 1 only a zero is left."""
    return fact("pixels that no output sees", _unseen(lib.conv2d, n, K, s, p, trial.device), 0)


@claim(
    "gfg-39.3",
    "A filter covers every pixel when the stride s is no larger than the kernel K, and n + 2p - K, for n pixels and "
    "padding p, leaves a rest of at most p when divided by s.",
    needs=["conv2d"],
    setting={"layers": reaches_everywhere},
    expect=HOLDS,
    reading=CORRECTION,
    sabotage={
        "allows a stride above the kernel": {"layers": instead(lambda n, K, s, p: (n + 2 * p - K) % s <= p)},
        "allows any rest": {"layers": instead(lambda n, K, s, p: s <= K)},
        "forgets the padding": {"layers": instead(lambda n, K, s, p: both(s <= K, (n - K) % s == 0))},
        "moves two pixels further": {
            "conv2d": lambda sound: lambda x, w, *, stride, padding: sound(x, w, stride=stride + 2, padding=padding)
        },
    },
)
def a_filter_without_gaps_and_pixels_left_over_covers_every_pixel(lib: Any, trial: Trial, layers: Any) -> Evidence:
    """Reading: of n pixels the one at u, in place u + p behind p zeros, lies in the window ⌊(u + p)/s⌋, or in the last
    one if that is no window.
    Why: a place is at most s - 1 <= K - 1 behind the start of its own window, and the last window ends with the last
    pixel or behind it."""

    def in_the_nearest_window(n: Term, K: Term, s: Term, p: Term, u: Term) -> Term:
        last = window_count(n, K, s, p) - 1
        i = floordiv(u + p, s)
        own = both(i <= last, u + p - s * i <= K - 1)
        final = both(i > last, s * last <= u + p, u + p - s * last <= K - 1)
        return either(own, final)

    grid = itertools.product(range(4, 13), (1, 2, 3, 4), (1, 2, 3, 4), (0, 1, 2))
    unseen = sum(_unseen(lib.conv2d, *layer, trial.device) for layer in grid if layers(*layer))
    return proved(
        in_the_nearest_window,
        {"n": int, "K": int, "s": int, "p": int, "u": int},
        assuming=lambda n, K, s, p, u: both(a_layer(n, K, s, p), u >= 0, u < n, layers(n, K, s, p)),
        what="a pixel lies in no window",
        grid={"s": range(1, 8), "p": range(3)},
    ) & fact("pixels that no output of these layers sees", unseen, 0)


@claim(
    "gfg-39.4",
    "For large images the stride may be 2 or 3, or even 4.",
    needs=["conv2d"],
    cases=[{"n": n, "s": s} for n in (6, 32, 128) for s in (1, 2, 3, 4)],
    expect=HOLDS,
    sabotage={
        "moves by one whatever the stride": {"conv2d": with_arguments(stride=1)},
        "moves by three at most": {"conv2d": lambda sound: lambda x, w, *, stride: sound(x, w, stride=min(stride, 3))},
    },
)
def strides_up_to_four_are_possible(lib: Any, trial: Trial, n: int, s: int) -> Evidence:
    """Reading: a 3x3 kernel takes strides 1 to 4 on 6, 32 and 128 pixels a side, with the sizes of the formula.
    Why: any step of at least one pixel leads on; on 32 pixels 30, 15, 10 and 8 windows remain an axis. Small images
    allow these strides too, but few windows are left: 1 on 6 pixels at stride 4."""
    strides = range(1, 9)
    found = [shape_of(lib.conv2d, n, n, 3, 3, trial.device, stride=step)[1] for step in strides]
    evidence = equal(found[s - 1], window_count(n, 3, s, 0), what="size differs from the formula")
    figure = curve(
        f"Output size of a 3x3 kernel on {n} pixels",
        strides,
        {"size": found},
        x_label="stride",
        y_label="outputs an axis",
    )
    return evidence.with_figure(figure)


@claim(
    "gfg-39.4",
    "A stride of zero is refused.",
    needs=["conv2d"],
    expect=HOLDS,
    covers="stride zero",
    sabotage={
        "takes a stride of zero for one": {
            "conv2d": lambda sound: lambda x, w, *, stride: sound(x, w, stride=max(stride, 1))
        },
    },
)
def a_stride_of_zero_is_refused(lib: Any, trial: Trial) -> Evidence:
    """Reading: a layer asked for stride 0 raises an error.
    Why: a kernel that does not move on gives no next output."""
    x, w = torch.ones(1, 6, 6, device=trial.device), torch.ones(1, 1, 3, 3, device=trial.device)
    return rejects(lambda: lib.conv2d(x, w, stride=0), what="stride 0 is accepted")


def no_window_on_zeros_alone(n: Term, K: Term, s: Term, p: Term) -> Term:
    """The kernel is smaller than the image, and the padding smaller than the kernel."""
    return both(n > K, p <= K - 1)


def some_window_on_zeros_alone(n: Term, K: Term, s: Term, p: Term) -> Term:
    return negation(no_window_on_zeros_alone(n, K, s, p))


@claim(
    "gfg-42.6",
    "The shape can stay the same only at stride 1.",
    needs=["conv2d"],
    setting={"layers": every_layer},
    expect=CONDITIONAL(
        "the kernel is smaller than the image and the padding smaller than the kernel",
        within={"layers": instead(no_window_on_zeros_alone)},
        beyond={"layers": instead(some_window_on_zeros_alone)},
    ),
    sabotage={
        "allows any padding": {"layers": instead(every_layer)},
        "looks at usual layers only": {"layers": instead(no_window_on_zeros_alone)},
        "ignores the stride": {"conv2d": with_arguments(stride=1)},
    },
)
def only_stride_one_keeps_the_shape(lib: Any, trial: Trial, layers: Any) -> Evidence:
    """Reading: if ⌊(n + 2p - K)/s⌋ + 1 = n with n >= 2, then s = 1.
    Why: s >= 2 needs n + 2p - K >= 2·(n - 1), that is 2p >= n + K - 2: an image of 5 with K = 3, s = 2 and p = 3 stays
    5, but some of its windows see nothing but zeros."""

    def considered(n: Term, K: Term, s: Term, p: Term) -> Term:
        return both(a_layer(n, K, s, p), n >= 2, layers(n, K, s, p))

    def only_at_stride_one(n: Term, K: Term, s: Term, p: Term) -> Term:
        return implies(window_count(n, K, s, p) == n, s == 1)

    grid = [(n, K, s, p) for n in range(2, 7) for K in range(1, 5) for s in (2, 3) for p in range(5)]
    return proved(only_at_stride_one, LAYER, assuming=considered, what="another stride keeps the shape") & follows(
        lib.conv2d, [layer for layer in grid if a_layer(*layer)], window_count, trial.device
    )
