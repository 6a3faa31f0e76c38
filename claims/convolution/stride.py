"""Stride: how far the kernel moves, which values it may take, and which pixels it leaves out."""

from __future__ import annotations

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


def _unseen(conv2d: Any, n: int, K: int, s: int, device: torch.device) -> int:
    """How many pixels of an n x n image have no influence on any output."""
    x = torch.ones(1, n, n, dtype=torch.float64, device=device, requires_grad=True)
    w = torch.ones(1, 1, K, K, dtype=torch.float64, device=device)
    (slope,) = torch.autograd.grad(conv2d(x, w, stride=s).sum(), x)
    return int((slope == 0).sum())


def reaches_everywhere(n: int, K: int, s: int) -> bool:
    """No gap between windows, and no rest behind the last."""
    return (n - K) % s == 0 and (s <= K or n == K)


@claim(
    "gfg-39.3",
    "Each filter covers the whole input image as it slides.",
    needs=["conv2d"],
    given={"n": sizes(4, 12), "K": sizes(1, 4), "s": sizes(1, 4)},
    expect=CONDITIONAL(
        "the stride is no larger than the kernel and divides n - K (or a single window is the image)",
        within=reaches_everywhere,
    ),
    sabotage={
        "moves by one whatever the stride": {"conv2d": with_arguments(stride=1)},
        "stops before the last column": {"conv2d": lambda sound: lambda x, w, **k: sound(x, w, **k)[..., :-1]},
    },
)
def a_filter_covers_the_whole_image(lib: Any, trial: Trial, n: int, K: int, s: int) -> Evidence:
    """Reading: without padding every pixel has an influence on some output.
    Why: a stride above K jumps over pixels, and a rest of n - K by s stays behind the last window: K = 3 at stride 2
    never sees the last row and column of 28 x 28 pixels."""
    return fact("pixels that no output sees", _unseen(lib.conv2d, n, K, s, trial.device), 0)


@claim(
    "gfg-39.3",
    "A filter covers every pixel when the stride is no larger than the kernel and divides n - K.",
    needs=["conv2d"],
    setting={"layers": lambda n, K, s: both(s <= K, (n - K) % s == 0)},
    expect=HOLDS,
    reading=CORRECTION,
    sabotage={
        "allows a stride above the kernel": {"layers": instead(lambda n, K, s: (n - K) % s == 0)},
        "allows a rest": {"layers": instead(lambda n, K, s: s <= K)},
        "moves two pixels further": {"conv2d": lambda sound: lambda x, w, *, stride: sound(x, w, stride=stride + 2)},
    },
)
def a_filter_without_gaps_and_rest_covers_every_pixel(lib: Any, trial: Trial, layers: Any) -> Evidence:
    """Reading: pixel u of n lies in the window ⌊u/s⌋, or in the last one if that is no window.
    Why: u - s·⌊u/s⌋ <= s - 1 <= K - 1, and the last window ends with the last pixel."""

    def in_the_nearest_window(n: Term, K: Term, s: Term, u: Term) -> Term:
        last = window_count(n, K, s, 0) - 1
        i = floordiv(u, s)
        own = both(i <= last, u - s * i <= K - 1)
        final = both(i > last, s * last <= u, u - s * last <= K - 1)
        return either(own, final)

    sound = [(n, K, s) for n in range(4, 13) for K in (1, 2, 3, 4) for s in (1, 2, 3, 4) if layers(n, K, s)]
    unseen = sum(_unseen(lib.conv2d, n, K, s, trial.device) for n, K, s in sound)
    return proved(
        in_the_nearest_window,
        {"n": int, "K": int, "s": int, "u": int},
        assuming=lambda n, K, s, u: both(n >= K, K >= 1, s >= 1, u >= 0, u < n, layers(n, K, s)),
        what="a pixel lies in no window",
        grid={"s": range(1, 8)},
    ) & fact("pixels that no output of these layers sees", unseen, 0)


@claim(
    "gfg-39.4",
    "For large images the stride may be 2 or 3, or even 4.",
    needs=["conv2d"],
    cases=[{"n": n, "s": s} for n in (32, 128) for s in (1, 2, 3, 4)],
    exhaustive=True,
    expect=HOLDS,
    sabotage={
        "moves by one whatever the stride": {"conv2d": with_arguments(stride=1)},
        "takes a stride of zero for one": {
            "conv2d": lambda sound: lambda x, w, *, stride: sound(x, w, stride=max(stride, 1))
        },
    },
)
def strides_up_to_four_are_possible(lib: Any, trial: Trial, n: int, s: int) -> Evidence:
    """Reading: a 3x3 kernel takes strides 1 to 4 on 32 and 128 pixels, with the sizes of the formula; 0 is refused.
    Why: any step of at least one pixel leads on; on 32 pixels 30, 15, 10 and 8 windows remain."""
    strides = range(1, 9)
    found = [shape_of(lib.conv2d, n, n, 3, 3, trial.device, stride=step)[1] for step in strides]
    x, w = torch.ones(1, n, n, device=trial.device), torch.ones(1, 1, 3, 3, device=trial.device)
    evidence = equal(found[s - 1], window_count(n, 3, s, 0), what="size differs from the formula") & rejects(
        lambda: lib.conv2d(x, w, stride=0), what="stride 0 is accepted"
    )
    figure = curve(
        f"Output size of a 3x3 kernel on {n} pixels",
        strides,
        {"size": found},
        x_label="stride",
        y_label="outputs an axis",
    )
    return evidence.with_figure(figure)


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
