"""The formula for the output size of a convolution layer: proved as a count of windows, and compared with layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.proofs import Term, both, floordiv, proved, ratio
from assay.decide.trial import Trial
from assay.evidence import Evidence, equal, fact
from assay.sabotage import instead, with_arguments
from assay.strategies import sizes
from claims.lab.sliding import window_count

LAYER = {"n": int, "K": int, "s": int, "p": int}  # pixels, kernel, stride, zeros on each side, all along one axis


def a_layer(n: Term, K: Term, s: Term, p: Term) -> Term:
    """The numbers describe a layer that has a window: positive sizes and a kernel no larger than the padded input."""
    return both(n >= 1, K >= 1, s >= 1, p >= 0, n + 2 * p >= K)


def every_layer(n: Term, *rest: Term) -> Term:
    """No restriction on the layer."""
    return n >= 1


def rounded_up(n: Term, K: Term, s: Term, p: Term) -> Term:
    """The same formula with the quotient rounded up."""
    return floordiv(n + 2 * p - K + s - 1, s) + 1


def without_the_one(n: Term, K: Term, s: Term, p: Term) -> Term:
    """The same formula without its final 1."""
    return floordiv(n + 2 * p - K, s)


def shape_of(conv2d: Any, height: int, width: int, A: int, B: int, device: torch.device, **settings: Any) -> Any:
    """(rows, columns) of a layer's output."""
    x, w = torch.ones(1, height, width, device=device), torch.ones(1, 1, A, B, device=device)
    return tuple(conv2d(x, w, **settings).shape[-2:])


def follows(
    conv2d: Any, layers: Iterable[tuple[Any, ...]], formula: Callable[..., Any], device: torch.device
) -> Evidence:
    """Every layer (n, K, s, padding) makes of n rows and n + 1 columns as many as `formula` gives for each."""
    unlike = [
        (n, K, s, padding)
        for n, K, s, padding in layers
        if shape_of(conv2d, n, n + 1, K, K, device, stride=s, padding=padding)
        != (formula(n, K, s, padding), formula(n + 1, K, s, padding))
    ]
    return fact("layers whose size is not that of the formula", len(unlike), 0)


TWO_AXES = {
    "rows": sizes(4, 12), "columns": sizes(4, 12), "A": sizes(1, 4), "B": sizes(1, 4),
    "down": sizes(1, 4), "across": sizes(1, 4), "p": sizes(0, 3),
}  # fmt: skip


def _divides(rows: int, columns: int, A: int, B: int, down: int, across: int, p: int, **_: Any) -> bool:
    return (rows + 2 * p - A) % down == 0 and (columns + 2 * p - B) % across == 0


def exact_quotient(n: int, K: int, s: int, p: int) -> Term:
    """(n + 2p - K)/s + 1 as a fraction."""
    return ratio(n + 2 * p - K, s) + 1


@claim(
    "gfg-42.1",
    "Width and height of a layer's output are (I + 2p - K)/s + 1, each with its own I, K and s.",
    needs=["conv2d"],
    given=TWO_AXES,
    setting={"formula": exact_quotient},
    also=["gfg-42.2"],
    reading="as an exact quotient",
    expect=CONDITIONAL("the stride divides I + 2p - K on both axes", within=_divides),
    sabotage={
        "drops the final one": {"formula": lambda sound: lambda *layer: sound(*layer) - 1},
        "rounds the quotient down": {"formula": instead(window_count)},
        "exchanges rows and columns": {"conv2d": lambda sound: lambda x, w, **k: sound(x.mT, w.mT, **k)},
    },
)
def the_size_formula_needs_no_rounding(
    lib: Any, trial: Trial, rows: int, columns: int, A: int, B: int, down: int, across: int, p: int, formula: Any
) -> Evidence:
    """Reading: the fraction itself is the number of rows and of columns, one p serving both axes.
    Why: the last window reaches the border only if the stride divides; otherwise the fraction is no whole number."""
    shape = shape_of(lib.conv2d, rows, columns, A, B, trial.device, stride=(down, across), padding=p)
    return equal(formula(columns, B, across, p), shape[1], what="width differs from the fraction") & equal(
        formula(rows, A, down, p), shape[0], what="height differs from the fraction"
    )


@claim(
    "gfg-42.1",
    "Width and height of a layer's output are (I + 2p - K)/s rounded down, plus 1.",
    needs=["conv2d", "conv_output_size"],
    given=TWO_AXES,
    setting={"formula": window_count},
    also=["gfg-42.2"],
    reading="rounded down",
    expect=HOLDS,
    sabotage={
        "drops the final one": {"formula": instead(without_the_one)},
        "rounds up": {"formula": instead(rounded_up)},
        "exchanges the strides": {
            "conv2d": lambda sound: lambda x, w, *, stride, padding: sound(x, w, stride=stride[::-1], padding=padding)
        },
    },
)
def the_size_formula_rounded_down_is_the_size(
    lib: Any, trial: Trial, rows: int, columns: int, A: int, B: int, down: int, across: int, p: int, formula: Any
) -> Evidence:
    """Reading: along each axis ⌊(I + 2p - K)/s⌋ + 1 is the number of rows or columns, if a window fits.
    Why: window i covers s·i to s·i + K - 1 of I + 2p pixels; the next claim proves the count."""
    shape = shape_of(lib.conv2d, rows, columns, A, B, trial.device, stride=(down, across), padding=p)
    asked = lib.conv_output_size(columns, B, stride=across, padding=p)
    return (
        equal(formula(columns, B, across, p), shape[1], what="width differs from the formula")
        & equal(formula(rows, A, down, p), shape[0], what="height differs from the formula")
        & equal(asked, shape[1], what="width differs from the predicted size")
    )


@claim(
    "gfg-42.1",
    "⌊(I + 2p - K)/s⌋ + 1 counts the windows that fit, no more and no fewer.",
    needs=["conv2d"],
    setting={"formula": window_count},
    also=["gfg-42.2"],
    reading="rounded down",
    expect=HOLDS,
    sabotage={
        "drops the final one": {"formula": instead(without_the_one)},
        "rounds up": {"formula": instead(rounded_up)},
    },
)
def the_size_formula_counts_the_windows_that_fit(lib: Any, trial: Trial, formula: Any) -> Evidence:
    """Reading: for all n, K, s >= 1 and p >= 0 with K <= n + 2p the last counted window ends inside, the next outside.
    Why: window o - 1 ends at (o - 1)·s + K, window o at o·s + K; beside the proof layers are compared with it."""

    def last_fits_and_next_does_not(n: Term, K: Term, s: Term, p: Term) -> Term:
        o = formula(n, K, s, p)
        return both((o - 1) * s + K <= n + 2 * p, o * s + K > n + 2 * p)

    layers = [(n, K, s, p) for n in (5, 8, 28) for K in (1, 2, 3) for s in (1, 2, 3) for p in (0, 1, 2)]
    return proved(last_fits_and_next_does_not, LAYER, assuming=a_layer, what="formula miscounts the windows") & follows(
        lib.conv2d, layers, formula, trial.device
    )


@claim(
    "gfg-39.2",
    "The stride controls the size of the output: a larger one never gives a larger output.",
    needs=["conv2d"],
    setting={"formula": window_count},
    expect=HOLDS,
    sabotage={
        "multiplies by the stride": {"formula": instead(lambda n, K, s, p: (n + 2 * p - K) * s + 1)},
        "rounds the quotient up": {"formula": instead(rounded_up)},
        "ignores the stride": {"conv2d": with_arguments(stride=1)},
    },
)
def a_larger_stride_never_gives_a_larger_output(lib: Any, trial: Trial, formula: Any) -> Evidence:
    """Reading: out = ⌊(n + 2p - K)/s⌋ + 1 does not grow when s grows by one, and layers have that size.
    Why: the quotient of a number that is not negative falls as its divisor grows."""

    def one_more_gives_no_more(n: Term, K: Term, s: Term, p: Term) -> Term:
        return formula(n, K, s + 1, p) <= formula(n, K, s, p)

    layers = [(28, 3, s, p) for s in range(1, 7) for p in (0, 1)]
    return proved(one_more_gives_no_more, LAYER, assuming=a_layer, what="output grows with the stride") & follows(
        lib.conv2d, layers, formula, trial.device
    )


def rows_of(rows: int, columns: int) -> int:
    return rows


def columns_of(rows: int, columns: int) -> int:
    return columns


@claim(
    "gfg-42.3",
    "The width of an image is its number of rows, and the height its number of columns.",
    needs=["conv2d"],
    given={"rows": sizes(4, 30), "columns": sizes(4, 30)},
    setting={"width_of": rows_of, "height_of": columns_of},
    reading="width and height in their usual sense",
    expect=REFUTED(
        instead="The width is the number of columns, the height the number of rows; square images hide the difference.",
        by="the_width_of_an_image_is_its_number_of_columns",
    ),
    sabotage={
        "names them the other way round": {"width_of": instead(columns_of), "height_of": instead(rows_of)},
        "square images": {"where": lambda rows, columns, **named: rows == columns},
    },
)
def the_width_of_an_image_is_its_number_of_rows(
    lib: Any, trial: Trial, rows: int, columns: int, width_of: Any, height_of: Any
) -> Evidence:
    """Reading: with I_w the number of rows and a kernel 1 high and 4 wide, I_w - 3 is the output's extent sideways.
    Why: it fails because a kernel 4 wide shortens the rows, whose length is the number of columns."""
    high, wide = shape_of(lib.conv2d, rows, columns, 1, 4, trial.device)
    return equal(width_of(rows, columns) - 3, wide, what="output is not as wide as the formula says") & equal(
        height_of(rows, columns), high, what="output is not as high as the formula says"
    )


@claim(
    "gfg-42.3",
    "In the size formula I_w may stand for the number of rows and I_h for that of columns, if the kernel's K_w and the "
    "stride's s_w count rows too.",
    needs=["conv2d"],
    given=TWO_AXES,
    setting={"width_of": rows_of, "height_of": columns_of},
    reading="I_w and I_h as mere names of the first and the second axis",
    expect=HOLDS,
    sabotage={
        "names them the other way round": {"width_of": instead(columns_of), "height_of": instead(rows_of)},
        "exchanges rows and columns": {"conv2d": lambda sound: lambda x, w, **k: sound(x.mT, w.mT, **k)},
    },
)
def the_axes_of_the_size_formula_may_have_any_names(
    lib: Any, trial: Trial, rows: int, columns: int, A: int, B: int, down: int, across: int, p: int,
    width_of: Any, height_of: Any,
) -> Evidence:  # fmt: skip
    """Reading: ⌊(I_w + 2p - K_w)/s_w⌋ + 1 is the output's first extent with I_w rows, a kernel K_w high and a step s_w
    downwards, and likewise with h for the second extent: 20 x 30 pixels and a 3 x 5 kernel give 18 x 26.
    Why: the formula treats both axes alike, so that names used for one axis throughout are as good as any."""
    shape = shape_of(lib.conv2d, rows, columns, A, B, trial.device, stride=(down, across), padding=p)
    first, second = width_of(rows, columns), height_of(rows, columns)
    named = (window_count(first, A, down, p), window_count(second, B, across, p))
    return equal(named, shape, what="output shape differs from the formula with these names")


@claim(
    "gfg-42.3",
    "The width of an image is its number of columns, and the height its number of rows.",
    needs=["conv2d"],
    given={"rows": sizes(4, 30), "columns": sizes(4, 30)},
    expect=HOLDS,
    reading=CORRECTION,
    sabotage={"lays the image on its side": {"conv2d": lambda sound: lambda x, w: sound(x.mT, w)}},
)
def the_width_of_an_image_is_its_number_of_columns(lib: Any, trial: Trial, rows: int, columns: int) -> Evidence:
    """Reading: a kernel 1 high and 4 wide gives rows rows and columns - 3 columns.
    Why: it can take columns - 3 places sideways and every row."""
    high, wide = shape_of(lib.conv2d, rows, columns, 1, 4, trial.device)
    return equal((high, wide), (rows, columns - 3), what="output shape differs")


LAYERS = {"n": sizes(11, 16), "K": sizes(2, 3), "s": sizes(1, 2), "F": sizes(1, 4)}
STACK = LAYERS | {"depth": sizes(2, 3)}


def _output_of_stack(conv2d: Any, n: int, K: int, s: int, F: int, depth: int, device: torch.device) -> Any:
    """The shape of `depth` layers of F filters on an image of two channels; only the first layer has the stride s."""
    y = torch.ones(2, n, n, device=device)
    for layer in range(depth):
        w = torch.ones(F, y.shape[0], K, K, device=device)
        y = conv2d(y, w, stride=s if layer == 0 else 1)
    return tuple(y.shape)


@claim(
    "gfg-42.11",
    "What the formula gives is the output shape of the whole convolutional model.",
    needs=["conv2d"],
    given=STACK,
    reading="height and width of the whole model",
    expect=REFUTED(
        instead="The formula gives height and width of one layer's output; a model's shape follows by applying it "
        "layer by layer, and its number of channels is the number of filters of the last layer.",
        by="the_shape_of_a_model_follows_layer_by_layer",
    ),
    sabotage={
        "one layer only": {"depth": instead(1)},
        "kernels of one pixel at stride one": {"K": instead(1), "s": instead(1)},
    },
)
def the_size_formula_gives_the_shape_of_the_model(
    lib: Any, trial: Trial, n: int, K: int, s: int, F: int, depth: int
) -> Evidence:
    """Reading: ⌊(n + 2p - K)/s⌋ + 1, with the numbers of the image and of the first layer, is the height and width that
    a model of two or three layers puts out.
    Why: it fails because each further layer shrinks the maps again."""
    shape = _output_of_stack(lib.conv2d, n, K, s, F, depth, trial.device)
    out = window_count(n, K, s, 0)
    return equal((out, out), shape[-2:], what="height and width of the model differ from the formula")


@claim(
    "gfg-42.11",
    "The formula gives height and width of the output of a model of one layer.",
    needs=["conv2d"],
    given=LAYERS,
    setting={"depth": 1},
    reading="height and width of one layer",
    expect=HOLDS,
    sabotage={
        "a second layer": {"depth": instead(2)},
        "ignores the stride": {"conv2d": with_arguments(stride=1)},
    },
)
def the_size_formula_gives_height_and_width_of_one_layer(
    lib: Any, trial: Trial, n: int, K: int, s: int, F: int, depth: int
) -> Evidence:
    """Reading: ⌊(n + 2p - K)/s⌋ + 1 on both axes; the third number of the shape, the filters, is not in the formula.
    Why: it counts the windows of that layer."""
    shape = _output_of_stack(lib.conv2d, n, K, s, F, depth, trial.device)
    out = window_count(n, K, s, 0)
    return equal((out, out), shape[-2:], what="height and width of the layer differ from the formula")


@claim(
    "gfg-42.11",
    "Applied layer by layer, with the number of filters as channels, the formula gives the shape of a model.",
    needs=["conv2d"],
    given=STACK,
    expect=HOLDS,
    reading=CORRECTION,
    sabotage={
        "adds the channels up": {"conv2d": lambda sound: lambda x, w, **k: sound(x, w, **k).sum(-3, keepdim=True)},
        "ignores the stride": {"conv2d": with_arguments(stride=1)},
    },
)
def the_shape_of_a_model_follows_layer_by_layer(
    lib: Any, trial: Trial, n: int, K: int, s: int, F: int, depth: int
) -> Evidence:
    """Reading: start at n, apply the formula once a layer; the channels are the filters of the last layer.
    Why: each layer's output is the next one's input."""
    shape = _output_of_stack(lib.conv2d, n, K, s, F, depth, trial.device)
    out = window_count(n, K, s, 0)
    for _ in range(depth - 1):
        out = window_count(out, K, 1, 0)
    return equal((F, out, out), shape, what="shape of the model differs")
