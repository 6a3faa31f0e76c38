"""The worked example of the output size: 28 x 28 x 3 pixels, a 3x3 kernel, stride 3, one layer of zeros."""

from __future__ import annotations

from typing import Any

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, equal, fact
from assay.sabotage import instead, with_arguments
from claims.lab.sliding import window_count


def _shape(lib: Any, trial: Trial, stride: int) -> tuple[int, ...]:
    """(rows, columns) of the example's layer with this stride."""
    x, w = trial.normal(3, 28, 28, stream="image"), trial.normal(5, 3, 3, 3, stream="kernels")
    return tuple(lib.conv2d(x, w, stride=stride, padding=1).shape[-2:])


@claim(
    "gfg-42.9",
    "A 3x3 kernel with stride 3 and one layer of zeros turns 28 x 28 x 3 pixels into an output 28 wide.",
    needs=["conv2d"],
    setting={"stride": 3},
    expect=REFUTED(
        instead="The output of that layer is 10 wide; 28 is its width at stride 1.",
        by="the_example_layer_is_ten_by_ten",
    ),
    sabotage={"takes stride 1": {"stride": instead(1)}},
)
def the_example_layer_is_twenty_eight_wide(lib: Any, trial: Trial, stride: int) -> Evidence:
    """Reading: the layer as described has 28 columns.
    Why: it fails because ⌊(28 + 2 - 3)/3⌋ + 1 = 10."""
    return fact("width differs from 28 by", abs(_shape(lib, trial, stride)[1] - 28), 0)


@claim(
    "gfg-42.9",
    "The layer of the example gives 10 rows and 10 columns.",
    needs=["conv2d"],
    setting={"stride": 3},
    expect=HOLDS,
    reading=CORRECTION,
    also=["gfg-42.10"],
    sabotage={
        "takes stride 1": {"stride": instead(1)},
        "forgets the zeros": {"conv2d": with_arguments(padding=0)},
    },
)
def the_example_layer_is_ten_by_ten(lib: Any, trial: Trial, stride: int) -> Evidence:
    """Reading: stride 3 on 28 + 2 pixels gives 10 positions of a kernel of 3 along each axis.
    Why: ⌊(28 + 2 - 3)/3⌋ + 1 = 10; without the zeros it would be 9."""
    return equal(_shape(lib, trial, stride), (10, 10), what="output is not 10 x 10")


@claim(
    "gfg-42.10",
    "Dividing by 1, as the example does for width and height, gives the size of its layer with stride 3.",
    needs=["conv2d"],
    setting={"divisor": 1, "stride": 3},
    expect=REFUTED(
        instead="The divisor is the stride: with the stated 3 both come out as 10, and 28 is the size at stride 1.",
        by="the_example_layer_is_ten_by_ten",
    ),
    sabotage={
        "divides by the stated stride": {"divisor": instead(3)},
        "states stride 1": {"stride": instead(1)},
    },
)
def the_example_may_divide_by_one(lib: Any, trial: Trial, divisor: int, stride: int) -> Evidence:
    """Reading: (28 + 2·1 - 3)/1 + 1 = 28 is the number of rows and of columns that stride 3 leaves.
    Why: it fails because the windows stand 3 pixels apart, not 1."""
    rows, columns = _shape(lib, trial, stride)
    size = window_count(28, 3, divisor, 1)
    return fact("width differs from the example's by", abs(columns - size), 0) & fact(
        "height differs from the example's by", abs(rows - size), 0
    )
