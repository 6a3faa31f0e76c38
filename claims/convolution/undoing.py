"""What an enlarged map is worth, and in which sense a transposed convolution is the opposite of a convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.proofs import both, floordiv, proved
from assay.decide.trial import Trial
from assay.evidence import Evidence, close, curve, equal, fact
from assay.sabotage import ignoring, instead, scaled
from assay.strategies import normals, sizes
from claims.convolution.transposed import PROVED_GRID, SHRINKING, Role, blank, cut, kernel, stamped

ENLARGING = [{"K": K, "s": s} for s in (2, 3) for K in range(s, 2 * s + 1)]


@claim(
    "gfg-44.4",
    "The output of an enlarging transposed convolution has more pixels than its input.",
    needs=["conv_transpose2d"],
    cases=ENLARGING,
    reading="more pixels",
    expect=HOLDS,
    sabotage={
        "padding that takes the gain away": {
            "conv_transpose2d": lambda sound: lambda x, w, **_: sound(x, w, padding=w.shape[-1] // 2)
        }
    },
)
def the_enlarged_map_has_more_pixels(lib: Any, trial: Trial, K: int, s: int) -> Evidence:
    """Reading: without padding (strides 2 and 3, kernels from the stride to twice the stride) it has s² times the pixels
    or more.
    Why: (n - 1)s + K >= ns for K >= s. Padding takes some of them away: 99 are left of 30 pixels at K = 3, s = 2 and
    p = 1, less than four times as many."""
    x = blank(5, trial.device)
    y = lib.conv_transpose2d(x, kernel(K, trial.device), stride=s)
    return fact("pixels missing", s**2 * x.numel() - y.numel(), 0)


@claim(
    "gfg-44.4",
    "The enlarged map carries as many independent numbers as it has pixels.",
    needs=["conv_transpose2d"],
    given={"w": normals((1, 1, 3, 3))},
    setting={"s": 2},
    reading="more information",
    expect=REFUTED(
        instead=(
            "It has more pixels but no more independent numbers than its input; whatever it adds comes from its weights."
        ),
        by="the_enlarged_map_knows_no_more_than_its_input",
    ),
    sabotage={"a single weight and steps of one pixel": {"w": lambda w: w[..., :1, :1], "s": instead(1)}},
)
def the_enlarged_map_is_richer(lib: Any, trial: Trial, w: torch.Tensor, s: int) -> Evidence:
    """Reading: the outputs for many images of 4x4 pixels span as many dimensions as an output has pixels.
    Why: the output is linear in 16 numbers; its 81 pixels lie in a space of 16 dimensions."""
    outputs = _outputs(lib, trial, w, s, 0)
    return fact("dimensions missing", outputs.shape[1] - int(torch.linalg.matrix_rank(outputs)), 0)


def _outputs(lib: Any, trial: Trial, w: torch.Tensor, s: int, p: int) -> torch.Tensor:
    """The outputs for 200 random images of 4x4 pixels, more than any output has pixels: (200, pixels of an output)."""
    return lib.conv_transpose2d(trial.normal(200, 1, 4, 4, stream="images"), w, stride=s, padding=p).flatten(1)


def with_invented_detail(sound: Role) -> Role:
    """Adds to every output a hundredth of its own square, which is not linear in the image."""
    return lambda x, w, **hyper: sound(x, w, **hyper) + 0.01 * sound(x, w, **hyper).square()


@claim(
    "gfg-44.4",
    "Without padding the enlarged map has exactly as many independent numbers as its input, and with padding no more.",
    needs=["conv_transpose2d"],
    given={"w": normals((1, 1, 3, 3)), "s": sizes(1, 3), "p": sizes(0, 2)},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "first row dropped": {"conv_transpose2d": lambda sound: lambda x, w, **hyper: sound(x[..., 1:, :], w, **hyper)},
        "detail invented": {"conv_transpose2d": with_invented_detail},
    },
)
def the_enlarged_map_knows_no_more_than_its_input(lib: Any, trial: Trial, w: torch.Tensor, s: int, p: int) -> Evidence:
    """Reading: the outputs for 200 random images of 4x4 pixels span 16 dimensions without padding, and never more than
    16 with padding up to 2, at strides 1 to 3.
    Why: the map is linear, and as polynomials have no zero divisors, no image other than zero gives zero. Padding cuts
    rows and columns off, and may lose some: K = 3, s = 3 and p = 3 leave 4 dimensions of 16."""
    rank = int(torch.linalg.matrix_rank(_outputs(lib, trial, w, s, p)))
    return fact("dimensions more than 16", rank - 16, 0) & fact(
        "dimensions lost without padding", 16 - rank if p == 0 else 0, 0
    )


@claim(
    "gfg-44.4",
    "A transposed convolution with equal weights turns an even surface into an even surface.",
    needs=["conv_transpose2d"],
    cases=[{"K": K, "s": s} for s in (1, 2, 3) for K in range(s, 7)],
    reading="no pattern of its own",
    exhaustive=True,
    expect=CONDITIONAL(
        "the weights are equal and the stride divides the kernel's size", within=lambda K, s: K % s == 0
    ),
    sabotage={
        "stride ignored": {"conv_transpose2d": ignoring("stride")},
        "kernel with a hole": {"conv_transpose2d": lambda sound: lambda x, w, **hyper: sound(x, punched(w), **hyper)},
    },
)
def an_even_surface_stays_even(lib: Any, trial: Trial, K: int, s: int) -> Evidence:
    """Reading: away from the border, all pixels of the output for a constant image are equal: no pattern that is not
    in the input.
    Why: a pixel is covered by as many stamps as multiples of s lie in K pixels beginning at its place; that number
    is the same everywhere only if s divides K. Else a chequered pattern appears."""
    y = lib.conv_transpose2d(
        torch.ones(1, 8, 8, device=trial.device), torch.ones(1, 1, K, K, device=trial.device), stride=s
    )
    inside = cut(y, K)
    row = y[0, y.shape[-2] // 2]
    figure = curve(
        f"A row of the output for a constant image, kernel {K}, stride {s}",
        range(len(row)),
        {"pixel": row.tolist()},
        x_label="column",
        y_label="value",
    )
    spread = fact("largest minus smallest pixel inside", inside.max() - inside.min(), 0, why="sums of ones are exact")
    return spread.with_figure(figure)


def punched(w: torch.Tensor) -> torch.Tensor:
    """The kernel with its first weight doubled."""
    w = w.clone()
    w[..., 0, 0] *= 2
    return w


RESTORING = [
    case
    for case in SHRINKING
    if case["p"] <= case["K"] // 2 and case["n"] - (case["n"] + 2 * case["p"] - case["K"]) % case["s"] >= 1
]


@claim(
    "gfg-44.5",
    "A transposed convolution gives back the size that the convolution with the same settings took away.",
    needs=["conv_transpose2d", "conv2d"],
    cases=RESTORING,
    reading="opposite in size",
    exhaustive=True,
    expect=CONDITIONAL(
        "the stride s divides n + 2p - K, for n pixels a side, kernel K and padding p",
        within=lambda n, K, s, p: (n + 2 * p - K) % s == 0,
    ),
    sabotage={
        "an output padding of one less than the stride": {
            "conv_transpose2d": lambda sound: (
                lambda x, w, stride, padding: sound(x, w, stride=stride, padding=padding, output_padding=stride - 1)
            )
        },
        "padding forgotten": {"conv_transpose2d": ignoring("padding")},
    },
)
def the_size_comes_back(lib: Any, trial: Trial, n: int, K: int, s: int, p: int) -> Evidence:
    """Reading: an image of n rows has n rows again; all sizes up to 6, kernels up to 5, strides up to 3, padding up
    to half a kernel, as far as a row comes back at all.
    Why: with a stride above one, several sizes shrink to the same one and only the smallest of them comes back."""
    w = kernel(K, trial.device)
    y = lib.conv2d(blank(n, trial.device), w, stride=s, padding=p)
    back = lib.conv_transpose2d(y, w, stride=s, padding=p)
    return equal(back.shape[-2], n, what="the size that comes back is another")


@claim(
    "gfg-44.5",
    "With the remainder of (n + 2p - K)/s as output padding the size n comes back: kernel K, stride s, padding p.",
    needs=["conv_transpose2d", "conv2d"],
    setting={"remainder": lambda n, K, s, p: (n + 2 * p - K) % s},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={"always one less than the stride": {"remainder": instead(lambda n, K, s, p: s - 1)}},
)
def the_remainder_brings_the_size_back(lib: Any, trial: Trial, remainder: Callable[..., Any]) -> Evidence:
    """Reading: (o - 1)s - 2p + K + r = n with o = ⌊(n + 2p - K)/s⌋ + 1 and r = (n + 2p - K) mod s, for all integers;
    layers of all sizes up to 6, kernels up to 5, strides and padding up to 3.
    Why: the division with remainder, written backwards."""

    def comes_back(n: Any, K: Any, s: Any, p: Any) -> Any:
        return floordiv(n + 2 * p - K, s) * s - 2 * p + K + remainder(n, K, s, p) == n

    formula = proved(
        comes_back, dict.fromkeys(("n", "K", "s", "p"), int), what="sizes that do not come back",
        assuming=lambda n, K, s, p: both(n >= 1, K >= 1, s >= 1, p >= 0, n + 2 * p >= K), grid=PROVED_GRID,
    )  # fmt: skip
    sizes_back = []
    for c in SHRINKING:
        w, hyper = kernel(c["K"], trial.device), {"stride": c["s"], "padding": c["p"]}
        y = lib.conv2d(blank(c["n"], trial.device), w, **hyper)
        sizes_back.append(lib.conv_transpose2d(y, w, output_padding=remainder(**c), **hyper).shape[-2])
    return formula & equal(
        sizes_back, [c["n"] for c in SHRINKING], what="sizes of the implementation that do not come back"
    )


@claim(
    "gfg-44.5",
    "A transposed convolution with the same kernel undoes the convolution.",
    needs=["conv_transpose2d", "conv2d"],
    given={"x": normals((1, 6, 6)), "w": normals((1, 1, 3, 3))},
    reading="opposite as maps",
    expect=REFUTED(
        instead=("It is the transpose of the convolution's matrix, not its inverse."),
        by="a_transposed_convolution_is_the_adjoint",
    ),
    sabotage={"a single weight of one": {"w": lambda w: torch.ones_like(w[..., :1, :1])}},
)
def a_transposed_convolution_undoes_a_convolution(lib: Any, x: torch.Tensor, w: torch.Tensor) -> Evidence:
    """Reading: the image comes back up to rounding, at stride one without padding.
    Why: the product CᵀC of a matrix and its transpose is the identity only for matrices with orthonormal columns."""
    back = lib.conv_transpose2d(lib.conv2d(x, w), w)
    scale = stamped(torch.nn.functional.conv2d(x.abs(), w.abs()), w.abs(), 1)
    return close(back, x, operations=2 * (w.numel() + 1), scale=scale, what="the image differs from what comes back by")


@claim(
    "gfg-44.5",
    "A transposed convolution is the transpose of the linear map that the convolution is.",
    needs=["conv_transpose2d", "conv2d"],
    given={
        "x": normals((2, 7, 6)),
        "w": normals((3, 2, 3, 2)),
        "y": normals((3, 9, 9)),
        "s": sizes(1, 3),
        "p": sizes(0, 1),
    },
    reading="opposite in direction",
    expect=HOLDS,
    sabotage={
        "kernel flipped": {"conv_transpose2d": lambda sound: lambda x, w, **hyper: sound(x, w.flip(-1, -2), **hyper)},
        "near miss": {"conv_transpose2d": scaled(1.0001)},
    },
)
def a_transposed_convolution_is_the_adjoint(
    lib: Any, x: torch.Tensor, w: torch.Tensor, y: torch.Tensor, s: int, p: int
) -> Evidence:
    """Reading: ⟨Cx, y⟩ = ⟨x, C'y⟩ for all x and y, with every stride and padding: each goes where the other comes
    from.
    Why: both are the sum of y[f, i, j] · w[f, c, a, b] · x[c, s·i + a - p, s·j + b - p], of at most 12 products for
    each entry."""
    forth = lib.conv2d(x, w, stride=s, padding=p)
    y = y[:, : forth.shape[-2], : forth.shape[-1]]
    extra = tuple((n + 2 * p - k) % s for n, k in zip(x.shape[-2:], w.shape[-2:], strict=True))
    back = lib.conv_transpose2d(y, w, stride=s, padding=p, output_padding=extra)
    left, right = (forth * y).sum(), (x * back).sum()
    scale = (torch.nn.functional.conv2d(x.abs(), w.abs(), stride=s, padding=p) * y.abs()).sum()
    operations = 2 * (w.numel() + 2) + forth.numel() + x.numel()
    return close(left, right, operations=operations, scale=scale, what="the inner products differ by")
