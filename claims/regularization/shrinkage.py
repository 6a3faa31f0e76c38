"""What L2 does to the weights of a linear model: it shortens their vector, bounds it for given targets, and zeroes no
weight.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.decide.proofs import both, proved
from assay.decide.trial import Trial
from assay.evidence import Evidence, all_of, at_most, curve, unit_roundoff, within
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
    return at_most(
        strong, weak * factor, what="length of the weights under the stronger penalty, against the weaker one's"
    )


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
        "single weight can grow.",
        by="a_stronger_l2_penalty_shortens_the_weight_vector",
    ),
    sabotage={"uncorrelated features": {"x": lambda x: torch.linalg.qr(x).Q}},
)
def l2_makes_no_single_weight_larger(lib: Any, x: torch.Tensor, y: torch.Tensor) -> Evidence:
    """Reading: |wᵢ| at penalty 0.5 is at most |wᵢ| at penalty 0, for each i.

    Why not: with xᵀx not diagonal, the weights of correlated features trade their effect.
    """
    free, held = lib.ridge(x, y, penalty=0.0), lib.ridge(x, y, penalty=0.5)
    return at_most(held.abs(), free.abs(), what="size of a single weight under the penalty, against that without")


@claim(
    "gfg-19.7",
    "L2 holds the weights in check: for given targets there is a length that the vector of weights never exceeds.",
    reading="a bound for given data",
    needs=["ridge"],
    given={"x": normals((9, 5)), "y": normals((9,)), "penalty": probabilities(0.01, 100.0)},
    setting={"bound": lambda length, t: length / (2 * t**0.5)},
    expect=HOLDS,
    sabotage={
        "ignores the penalty": {"ridge": lambda sound: lambda x, y, *, penalty: sound(x, y, penalty=0.0)},
        "takes a tenth less penalty": {
            "ridge": lambda sound: lambda x, y, *, penalty: sound(x, y, penalty=0.9 * penalty)
        },
        "forgets the root": {"bound": instead(lambda length, t: length / (2 * t))},
    },
)
def l2_bounds_the_weights_for_given_targets(
    lib: Any, x: torch.Tensor, y: torch.Tensor, penalty: float, bound: Callable[[torch.Tensor, float], torch.Tensor]
) -> Evidence:
    """Reading: |w| <= |y|/(2√t) at penalty t, for every x; where all singular values of x are √t and y lies in their
    span, it is equal.

    Why: along a singular direction of size s, w = s·b/(s² + t), and s/(s² + t) <= 1/(2√t) with equality at s = √t. At
    most 100 roundings, magnified by the condition of xᵀx + t·I, which is at most 1 + |x|²/t.
    """
    rounding = 100 * unit_roundoff(x.dtype) * (1 + x.square().sum() / penalty)
    ceiling = bound(torch.linalg.vector_norm(y), penalty)
    length = torch.linalg.vector_norm(lib.ridge(x, y, penalty=penalty))
    even = torch.linalg.qr(x).Q * penalty**0.5
    reached = torch.linalg.vector_norm(lib.ridge(even, even.sum(-1), penalty=penalty))
    most = bound(torch.linalg.vector_norm(even.sum(-1)), penalty)
    return at_most(length, ceiling * (1 + rounding), what="length of the vector of weights, against |y|/(2√t)") & within(
        reached, most, 700 * unit_roundoff(x.dtype) * most, what="where it is reached, the length differs from it by",
        why="100 roundings, magnified by the condition of xᵀx + t·I, here at most 1 + 5t/t = 6; one more for the sums",
    )  # fmt: skip


@claim(
    "gfg-19.7",
    "L2 holds the weights in check: there is a length that their vector never exceeds, whatever the data.",
    reading="a bound that does not depend on the data",
    needs=["ridge"],
    setting={"limits": (2.0, 1e3, 1e6)},
    expect=REFUTED(
        instead="The bound that L2 sets depends on the data: targets that are k times as large give weights that are k "
        "times as large.",
        by="ridge_weights_grow_with_the_targets",
    ),
    sabotage={
        "projects onto a bound": {
            "ridge": lambda sound: (
                lambda x, y, *, penalty: torch.nn.functional.normalize(sound(x, y, penalty=penalty), dim=-1)
            )
        },
    },
)
def l2_sets_a_bound_for_all_data(lib: Any, trial: Trial, limits: tuple[float, ...]) -> Evidence:
    """Reading: one of the limits 2, 10³ and 10⁶ is not exceeded at penalty 1 by the weights for targets that are
    larger by the factor 2·limit/|w|.

    Why not: ridge weights are linear in the targets, so their length is then 2·limit, whatever the limit.
    """
    x, y = trial.normal(9, 5, stream="x"), trial.normal(9, stream="y")
    short = torch.linalg.vector_norm(lib.ridge(x, y, penalty=1.0))
    excess = [torch.linalg.vector_norm(lib.ridge(x, y * 2 * limit / short, penalty=1.0)) - limit for limit in limits]
    return at_most(torch.stack(excess).min(), 0, what="excess of the vector of weights over the nearest limit")


@claim(
    "gfg-19.7",
    "Under a given L2 penalty, targets that are k times as large give weights that are k times as large.",
    reading=CORRECTION,
    needs=["ridge"],
    given={"x": normals((9, 5)), "y": normals((9,)), "k": probabilities(2.0, 1000.0)},
    expect=HOLDS,
    sabotage={
        "projects onto a bound": {
            "ridge": lambda sound: (
                lambda x, y, *, penalty: torch.nn.functional.normalize(sound(x, y, penalty=penalty), dim=-1)
            )
        },
        "grows with the root": {
            "ridge": lambda sound: lambda x, y, *, penalty: sound(x, y, penalty=penalty) / y.norm().sqrt()
        },
    },
)
def ridge_weights_grow_with_the_targets(lib: Any, x: torch.Tensor, y: torch.Tensor, k: float) -> Evidence:
    """Reading: the weights for k·y are k times the weights for y, at penalty 1.

    Why: (xᵀx + I)⁻¹xᵀ(k·y) = k·(xᵀx + I)⁻¹xᵀy. At most 100 roundings on either side, magnified by the condition of
    xᵀx + I, which is at most 1 + |x|².
    """
    w, scaled = lib.ridge(x, y, penalty=1.0), lib.ridge(x, k * y, penalty=1.0)
    margin = 200 * unit_roundoff(x.dtype) * (1 + x.square().sum()) * k * torch.linalg.vector_norm(y)
    return within(
        scaled, k * w, margin, what="weights for k times the targets differ from k times the weights by",
        why="200 roundings, magnified by the condition of xᵀx + I; |w| is at most |y|/2",
    )  # fmt: skip


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
