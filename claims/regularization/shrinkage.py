"""What L2 does to the weights of a linear model: it shortens their vector, and bounds or zeroes none of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.decide.proofs import both, proved
from assay.decide.trial import Trial
from assay.evidence import Evidence, all_of, at_most, curve, within
from assay.sabotage import instead
from assay.strategies import normals, probabilities


@claim(
    "gfg-19.7",
    "L2 holds the weights in check: the stronger the penalty, the shorter the vector of weights.",
    reading="the length of the weight vector",
    needs=["ridge"],
    given={"x": normals((9, 5)), "y": normals((9,)), "low": probabilities(0.0, 5.0), "more": probabilities(0.1, 5.0)},
    expect=HOLDS,
    sabotage={
        "ignores the penalty": {"ridge": lambda sound: lambda x, y, *, penalty: sound(x, y, penalty=1.0)},
        "penalises the wrong way": {
            "ridge": lambda sound: lambda x, y, *, penalty: sound(x, y, penalty=1 / (0.1 + penalty))
        },
    },
)
def a_stronger_l2_penalty_shortens_the_weight_vector(
    lib: Any, x: torch.Tensor, y: torch.Tensor, low: float, more: float
) -> Evidence:
    """Reading: |w| of ridge regression at penalty `low + more` is below that at `low`, by half the least factor that
    theory gives.

    Why: along a singular direction of size s, w = s·b/(s² + penalty); s² is at most the sum of the squares of x.
    """
    weak, strong = (torch.linalg.vector_norm(lib.ridge(x, y, penalty=t)) for t in (low, low + more))
    largest = x.square().sum()
    factor = 1 - 0.5 * more / (
        largest + low + more
    )  # theory: at most 1 - more / (s² + low + more); half of it covers rounding
    return at_most(strong, weak * factor, what="the weights under the stronger penalty are too long by")


@claim(
    "gfg-19.7",
    "L2 shrinks the weights along each singular direction of the data, the weakest direction most.",
    reading="the length of the weight vector",
    needs=["ridge"],
    setting={"shrunk": lambda s, t: s * s / (s * s + t)},
    expect=HOLDS,
    sabotage={
        "forgets the square": {"shrunk": instead(lambda s, t: s / (s + t))},
        "takes a tenth more penalty": {
            "ridge": lambda sound: lambda x, y, *, penalty: sound(x, y, penalty=1.1 * penalty)
        },
    },
)
def l2_shrinks_along_each_singular_direction(lib: Any, trial: Trial, shrunk: Callable[[Any, Any], Any]) -> Evidence:
    """Reading: the factor s²/(s² + t) is in (0, 1), falls with the penalty t and rises with s (proved); ridge weights
    have it.

    Why: (xᵀx + t·I)⁻¹xᵀy in the basis of x's singular vectors.
    """
    proof = proved(
        lambda s, r, t, u: both(
            shrunk(s, t) > 0, shrunk(s, t) < 1, shrunk(s, u) < shrunk(s, t), shrunk(r, t) < shrunk(s, t)
        ),
        {"s": float, "r": float, "t": float, "u": float},
        assuming=lambda s, r, t, u: both(r > 0, s > r, t > 0, u > t),
        what="the shrinking factor is not between 0 and 1, or not monotone",
    )
    x, y = trial.normal(9, 5, stream="x"), trial.normal(9, stream="y")
    _, s, v = torch.linalg.svd(x, full_matrices=False)
    free = v @ lib.ridge(x, y, penalty=0.0)
    condition = float((s[0] / s[-1]).square())
    margin = 100 * torch.finfo(x.dtype).eps * condition * free.norm()
    penalties = (0.3, 2.0)
    same = all_of([
        within(v @ lib.ridge(x, y, penalty=t), shrunk(s, t) * free, margin,
               what="weight along a direction differs from the formula by",
               why="100 roundings, magnified by the condition of xᵀx")
        for t in penalties
    ])  # fmt: skip
    sweep = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
    lengths = [float(lib.ridge(x, y, penalty=t).norm()) for t in sweep]
    return (proof & same).with_figure(
        curve("Length of the ridge weights", sweep, {"length": lengths}, x_label="penalty", y_label="length of w")
    )


@claim(
    "gfg-19.7",
    "L2 holds every weight in check: a stronger penalty makes no weight larger.",
    reading="each single weight",
    needs=["ridge"],
    given={"x": normals((9, 5)), "y": normals((9,))},
    expect=REFUTED(
        instead="L2 shortens the vector of weights as a whole; while correlated features share their effect anew, a "
        "single weight can grow, and there is no size that weights can never exceed.",
        by="a_stronger_l2_penalty_shortens_the_weight_vector",
    ),
    sabotage={"uncorrelated features": {"x": lambda x: torch.linalg.qr(x).Q}},
)
def l2_makes_no_single_weight_larger(lib: Any, x: torch.Tensor, y: torch.Tensor) -> Evidence:
    """Reading: |wᵢ| at penalty 0.5 is at most |wᵢ| at penalty 0, for each i.

    Why not: with xᵀx not diagonal, the weights of correlated features trade their effect.
    """
    free, held = lib.ridge(x, y, penalty=0.0), lib.ridge(x, y, penalty=0.5)
    return at_most(held.abs(), free.abs(), what="a single weight grows under the penalty by")


@claim(
    "gfg-19.7",
    "L2 holds the weights in check: there is a size that they never exceed.",
    reading="a bound that is never exceeded",
    needs=["ridge"],
    given={"x": normals((9, 5)), "y": normals((9,)), "scale": probabilities(1.0, 1000.0)},
    expect=REFUTED(
        instead="L2 pulls on the weights but sets no bound: targets a thousand times as large make them a thousand "
        "times as large. A bound is what max-norm sets.",
        by="max_norm_bounds_the_weights_into_each_neuron",
    ),
    sabotage={
        "projects onto a bound": {
            "ridge": lambda sound: (
                lambda x, y, *, penalty: torch.nn.functional.normalize(sound(x, y, penalty=penalty), dim=-1)
            )
        },
    },
)
def l2_sets_a_bound_on_the_weights(lib: Any, x: torch.Tensor, y: torch.Tensor, scale: float) -> Evidence:
    """Reading: at penalty 1 the length of the weights stays below 2, whatever the size of the targets.

    Why not: ridge weights are linear in the targets.
    """
    w = lib.ridge(x, scale * y, penalty=1.0)
    return at_most(torch.linalg.vector_norm(w), 2.0, what="the length of the weights exceeds 2 by")


@claim(
    "gfg-19.6",
    "L2 sets no weight to exactly zero.",
    reading=CORRECTION,
    also=["gfg-19.7"],
    needs=["ridge"],
    given={"x": normals((9, 5)), "y": normals((9,)), "penalty": probabilities(0.01, 100.0)},
    expect=HOLDS,
    sabotage={
        "cuts off small weights as L1 does": {
            "ridge": lambda sound: (
                lambda x, y, *, penalty: torch.nn.functional.softshrink(sound(x, y, penalty=penalty), 0.1)
            )
        },
    },
)
def l2_sets_no_weight_to_exactly_zero(lib: Any, x: torch.Tensor, y: torch.Tensor, penalty: float) -> Evidence:
    """Reading: ridge regression on Gaussian data has no weight that is exactly 0.

    Why: each weight is a ratio of polynomials in the data, zero on a set of measure zero.
    """
    zeros = (lib.ridge(x, y, penalty=penalty) == 0).sum()
    return at_most(zeros, 0, what="weights that are exactly zero")
