"""What a convolution layer computes: sliding dot products, one map per filter."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, close, equal, true
from assay.sabotage import instead, scaled
from assay.strategies import choices, shapes, sizes, tensors
from claims.lab.sliding import matches_dot_products


def _flipped(sound: Any) -> Any:
    return lambda x, w, *b, **settings: sound(x, w.flip(-2, -1), *b, **settings)


def _apart(sound: Any) -> Any:
    """Each input channel convolved alone with its slice of the first filter, never added up."""
    return lambda x, w, **settings: sound(x, w[:1].transpose(0, 1), groups=x.shape[-3], **settings)


@claim(
    "gfg-37.2",
    "Sliding over the image, the layer takes at each place the dot product of the kernel with the patch beneath.",
    needs=["conv2d"],
    given={"C": sizes(1, 3), "H": sizes(3, 7), "W": sizes(3, 7), "A": sizes(1, 3), "B": sizes(1, 3)},
    expect=HOLDS,
    sabotage={
        "flips the kernel first": {"conv2d": _flipped},
        "forgets the bias": {"conv2d": lambda sound: lambda x, w, b: sound(x, w)},
        "is off by one part in ten thousand": {"conv2d": scaled(1.0001)},
    },
)
def a_convolution_layer_takes_sliding_dot_products(
    lib: Any, trial: Trial, C: int, H: int, W: int, A: int, B: int
) -> Evidence:
    """Reading: y[f, i, j] = b[f] + Σ_cab w[f, c, a, b] · x[c, i + a, j + b] for every position of the window, no flip.
    Why: this is the definition; the oracle is a loop over positions that shares no code with the subject."""
    x, w, b = trial.normal(C, H, W, stream="x"), trial.normal(2, C, A, B, stream="w"), trial.normal(2, stream="b")
    return matches_dot_products(lib.conv2d(x, w, b), x, w, b, what="output differs from the dot product by")


@claim(
    "gfg-38.5",
    "Under one window kernel and data are multiplied entry by entry and the products add up to a single number.",
    needs=["conv2d"],
    given={"C": sizes(1, 4), "K": sizes(1, 4)},
    expect=HOLDS,
    sabotage={
        "keeps the channels apart": {"conv2d": _apart},
        "averages where it should add": {"conv2d": lambda sound: lambda x, w: sound(x, w) / w[0].numel()},
    },
)
def one_window_gives_one_number(lib: Any, trial: Trial, C: int, K: int) -> Evidence:
    """Reading: an input as large as the kernel gives one number per filter, the sum over channels, rows and columns.
    Why: only one window position exists, and the sum runs over everything beneath it."""
    x, w = trial.normal(C, K, K, stream="x"), trial.normal(1, C, K, K, stream="w")
    y = lib.conv2d(x, w)
    one = equal(tuple(y.shape), (1, 1, 1), what="one window and one filter do not give one number")
    products = w[0] * x
    # One product and at most numel additions on the way of each term, on both sides.
    operations = 2 * (products.numel() + 1)
    return one & close(
        y.sum(),
        products.sum(),
        operations=operations,
        scale=products.abs().sum(),
        what="number differs from the sum of products by",
    )


def _channel_by_channel(patch: torch.Tensor) -> torch.Tensor:
    return patch.flatten()


def _pixel_by_pixel(patch: torch.Tensor) -> torch.Tensor:
    return patch.movedim(0, -1).flatten()


@claim(
    "gfg-39.5",
    "At every step a filter gives the dot product of its weights with the patch of the input volume.",
    needs=["conv2d"],
    given={"C": sizes(2, 3), "n": sizes(4, 7), "K": sizes(2, 3), "s": sizes(1, 3)},
    setting={"row_of": _channel_by_channel},
    expect=HOLDS,
    sabotage={
        "orders the patch by pixels, the filter by channels": {"row_of": instead(_pixel_by_pixel)},
        "sees the first channel only": {"conv2d": lambda sound: lambda x, w, **k: sound(x[:1], w[:, :1], **k)},
    },
)
def each_step_is_a_dot_product_with_the_volume_beneath(
    lib: Any, trial: Trial, C: int, n: int, K: int, s: int, row_of: Any
) -> Evidence:
    """Reading: with one row a window, its C·K·K entries in the filter's order, y = rows · filters for every stride.
    Why: a window's output is linear in the patch, with the filter as its coefficients."""
    x, w = trial.normal(C, n, n, stream="x"), trial.normal(2, C, K, K, stream="w")
    y = lib.conv2d(x, w, stride=s)
    starts = range(0, n - K + 1, s)
    rows = torch.stack([row_of(x[:, i : i + K, j : j + K]) for i in starts for j in starts])  # (I·J, C·K·K)
    filters = w.flatten(1).mT  # (C·K·K, 2)
    steps = equal(y[0].numel(), len(rows), what="number of steps differs")
    # One product and at most C·K·K additions on the way of each term, on both sides.
    return steps & close(
        y.flatten(-2).mT,
        rows @ filters,
        operations=2 * (C * K * K + 1),
        scale=rows.abs() @ filters.abs(),
        what="output of a step differs from the dot product with the volume by",
    )


def _whole_numbers(longest: int) -> Any:
    """Sequences of 2 to `longest` whole numbers from -2 to 2."""
    return tensors(shapes(1, 1, low=2, high=longest), sizes(-2, 2).map(float))


def _mathematical(x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """The coefficients of the product of two polynomials: (x ∗ k)[i] = Σ_a k[a] · x[i - a]."""
    y = x.new_zeros(x.numel() + k.numel() - 1)
    for a, weight in enumerate(k):
        y[a : a + x.numel()] += weight * x
    return y


def _full(conv1d: Any, x: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """The layer's output at every place where kernel and signal overlap."""
    return conv1d(x[None], k[None, None], padding=k.numel() - 1)[0]


def _turned(sound: Any) -> Any:
    return lambda x, w, **settings: sound(x, w.flip(-1), **settings)


@claim(
    "gfg-37.3",
    "The sliding dot product of a layer is what mathematics calls convolution.",
    needs=["conv1d"],
    given={"x": _whole_numbers(4), "k": _whole_numbers(3)},
    expect=REFUTED(
        instead="The sliding dot product is the cross-correlation; a convolution turns the kernel round first, "
        "and the two agree only for a kernel that equals its mirror image.",
        by="turning_the_kernel_round_first_gives_the_convolution",
    ),
    sabotage={
        "turns the kernel round first": {"conv1d": _turned},
        "kernels that equal their mirror image": {"where": lambda x, k: torch.equal(k, k.flip(-1))},
    },
)
def a_sliding_dot_product_is_a_mathematical_convolution(lib: Any, x: torch.Tensor, k: torch.Tensor) -> Evidence:
    """Reading: wherever kernel and signal overlap, the layer's output equals (x ∗ k)[i] = Σ_a k[a] · x[i - a].
    Why: it fails because the layer adds k[a] · x[i + a]; whole numbers are used, so nothing is rounded."""
    return equal(_full(lib.conv1d, x, k), _mathematical(x, k), what="entries that differ from the convolution")


@claim(
    "gfg-37.3",
    "With its kernel turned round the layer computes the convolution, which is commutative; without, it is not.",
    needs=["conv1d"],
    given={"x": _whole_numbers(4), "k": _whole_numbers(3)},
    expect=HOLDS,
    reading=CORRECTION,
    sabotage={
        "forgets to turn the kernel": {"conv1d": _turned},
        "shifts by one": {"conv1d": lambda sound: lambda x, w, **k: sound(x, w, **k).roll(1, -1)},
    },
)
def turning_the_kernel_round_first_gives_the_convolution(lib: Any, x: torch.Tensor, k: torch.Tensor) -> Evidence:
    """Reading: the layer applied to the mirrored kernel equals x ∗ k, and then signal and kernel can be exchanged.
    Why: substituting -a for a in the layer's sum gives the convolution's; the product of polynomials commutes."""
    convolved = _full(lib.conv1d, x, k.flip(-1))
    exchanged = _full(lib.conv1d, k, x.flip(-1))
    return equal(convolved, _mathematical(x, k), what="entries that differ from the convolution") & equal(
        exchanged, convolved, what="entries that change when signal and kernel are exchanged"
    )


@claim(
    "gfg-37.5",
    "The output channels of a layer are its feature maps, one for each filter.",
    needs=["conv2d"],
    given={"C": sizes(1, 3), "F": sizes(2, 5)},
    expect=HOLDS,
    sabotage={
        "mixes the maps": {"conv2d": lambda sound: lambda x, w: sound(x, w) + sound(x, w).mean(-3, keepdim=True)},
        "loses the last map": {"conv2d": lambda sound: lambda x, w: sound(x, w)[..., :-1, :, :]},
    },
)
def every_filter_makes_a_map_of_its_own(lib: Any, trial: Trial, C: int, F: int) -> Evidence:
    """Reading: F filters give F maps, and the slope of map f by the weights of any other filter is exactly zero.
    Why: the sum that makes map f contains no weight of another filter."""
    x = trial.normal(C, 5, 5, stream="x")
    w = trial.normal(F, C, 3, 3, stream="w").requires_grad_()
    maps = lib.conv2d(x, w)
    evidence = equal(maps.shape[-3], F, what="number of maps differs from the number of filters")
    for f in range(min(F, maps.shape[-3])):
        (slope,) = torch.autograd.grad(maps[f].sum(), w, retain_graph=True)
        others = torch.cat([slope[:f], slope[f + 1 :]])
        evidence &= equal(others, torch.zeros_like(others), what="weights of other filters that a map uses")
        evidence &= true(bool((slope[f] != 0).all()), what="a map leaves out weights of its own filter")
    return evidence


@claim(
    "gfg-38.1",
    "The kernel of a convolution is a small matrix.",
    needs=["conv2d"],
    given={"C": sizes(1, 4), "K": sizes(1, 3), "apart": choices(False, True)},
    expect=CONDITIONAL(
        "a filter sees a single channel: the input has only one, or each is convolved by itself",
        within=lambda C, K, apart: C == 1 or apart,
    ),
    sabotage={
        "looks at the first channel only": {"conv2d": lambda sound: lambda x, w, **_: sound(x[:1], w[:, :1])},
        "looks at the first row of the kernel only": {
            "conv2d": lambda sound: lambda x, w, **settings: sound(x, w[..., :1, :], **settings)
        },
    },
)
def a_kernel_is_a_matrix(lib: Any, trial: Trial, C: int, K: int, apart: bool) -> Evidence:
    """Reading: the K·K weights of one matrix are all that an output depends on.
    Why: for C channels the sum runs over channels too, so that 3x3 on colour images takes a block of 27 weights; with as
    many groups as channels it does not."""
    x, depth = trial.normal(C, 4, 4, stream="x"), 1 if apart else C
    w = trial.normal(2 * C, depth, K, K, stream="w").requires_grad_()
    (slope,) = torch.autograd.grad(lib.conv2d(x, w, groups=C // depth)[0, 0, 0], w)
    return equal(int((slope != 0).sum()), K * K, what="number of weights of one output differs from a matrix")


@claim(
    "gfg-38.1",
    "On C channels that are convolved together a kernel is a block of C matrices.",
    needs=["conv2d"],
    given={"C": sizes(1, 4), "K": sizes(1, 3)},
    expect=HOLDS,
    reading=CORRECTION,
    sabotage={"looks at the first channel only": {"conv2d": lambda sound: lambda x, w: sound(x[:1], w[:, :1])}},
)
def a_kernel_is_a_block_of_one_matrix_a_channel(lib: Any, trial: Trial, C: int, K: int) -> Evidence:
    """Reading: one output depends on exactly C·K·K weights, all of one filter.
    Why: the window covers K·K pixels of each channel."""
    x, w = trial.normal(C, 4, 4, stream="x"), trial.normal(2, C, K, K, stream="w").requires_grad_()
    (slope,) = torch.autograd.grad(lib.conv2d(x, w)[0, 0, 0], w)
    return equal(
        int((slope[0] != 0).sum()), C * K * K, what="weights of its own filter that an output depends on"
    ) & equal(int((slope[1] != 0).sum()), 0, what="weights of the other filter that an output depends on")
