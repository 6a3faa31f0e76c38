"""What a penalty on the weights is, what L1 sets to zero and what L2 holds in check."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.proofs import both, proved
from assay.decide.trial import Trial
from assay.evidence import Evidence, all_of, at_least, at_most, curve, within
from assay.sabotage import instead
from assay.strategies import normals, probabilities

Role = Callable[..., Any]


def _regularised(
    lib: Any, kind: str, w: torch.Tensor, x: torch.Tensor, y: torch.Tensor, g: torch.Generator
) -> torch.Tensor:
    """The training objective of a linear unit under one kind of regularisation: loss, plus penalty if there is one."""
    shown = lib.dropout(x, 0.4, generator=g) if kind == "dropout" else x
    used = lib.max_norm(w, c=0.5) if kind == "max-norm" else w
    loss = lib.mean_squared_error(lib.dense(shown, used)[..., 0], y, reduction="mean")
    penalty = {"L1": lib.l1_penalty, "L2": lib.l2_penalty}.get(kind)
    return loss + 0.1 * penalty(w) if penalty else loss


def _added(lib: Any, trial: Trial, kind: str) -> Evidence:
    """What regularisation adds to the loss is positive, and the same number for two data sets."""
    w = trial.normal(1, 8, stream="weights")
    added = []
    for data in ("one data set", "another"):
        x, y = trial.normal(20, 8, stream=data), trial.normal(20, stream=(data, "y"))
        loss = lib.mean_squared_error(lib.dense(x, w)[..., 0], y, reduction="mean")
        added.append(_regularised(lib, kind, w, x, y, trial.generator("mask")) - loss)
    rounding = 200 * torch.finfo(w.dtype).eps * 100
    same = within(
        added[1], added[0], rounding, what="what is added differs between two data sets by",
        why="200 roundings of losses below 100",
    )  # fmt: skip
    return same & at_least(added[0], 0.01, what="what is added falls short of 0.01 by")


ADDS = (
    "Only L1 and L2 add a penalty term to the loss. Dropout changes the forward pass and max-norm projects the weights; "
    "what they change in the loss depends on the data."
)


@claim(
    "gfg-19.5",
    "Regularisation adds to the loss a penalty on the weights.",
    covers="L1 and L2",
    needs=["l1_penalty", "l2_penalty", "dropout", "max_norm", "dense", "mean_squared_error"],
    cases=[{"kind": "L1"}, {"kind": "L2"}],
    expect=HOLDS,
    sabotage={
        "the penalties are zero": {
            "l1_penalty": lambda sound: lambda w: 0 * sound(w),
            "l2_penalty": lambda sound: lambda w: 0 * sound(w),
        },
        "dropout in their place": {"kind": instead("dropout")},
    },
)
def l1_and_l2_add_a_penalty_to_the_loss(lib: Any, trial: Trial, kind: str) -> Evidence:
    """Reading: objective minus loss is positive, and the same number for two data sets: it depends on the weights alone.

    Why: that is what a penalty on the weights means.
    """
    return _added(lib, trial, kind)


@claim(
    "gfg-19.5",
    "Dropout adds to the loss a penalty on the weights.",
    covers="dropout",
    needs=["l1_penalty", "l2_penalty", "dropout", "max_norm", "dense", "mean_squared_error"],
    setting={"kind": "dropout"},
    expect=REFUTED(instead=ADDS, by="l1_and_l2_add_a_penalty_to_the_loss"),
    sabotage={"L2 in its place": {"kind": instead("L2")}},
)
def dropout_adds_a_penalty_to_the_loss(lib: Any, trial: Trial, kind: str) -> Evidence:
    """Reading: as for L1 and L2, with one mask for both data sets.

    Why not: the mask acts on the inputs, so what it changes differs from one data set to the next.
    """
    return _added(lib, trial, kind)


@claim(
    "gfg-19.5",
    "Max-norm adds to the loss a penalty on the weights.",
    covers="max-norm",
    needs=["l1_penalty", "l2_penalty", "dropout", "max_norm", "dense", "mean_squared_error"],
    setting={"kind": "max-norm"},
    expect=REFUTED(instead=ADDS, by="l1_and_l2_add_a_penalty_to_the_loss"),
    sabotage={"L1 in its place": {"kind": instead("L1")}},
)
def max_norm_adds_a_penalty_to_the_loss(lib: Any, trial: Trial, kind: str) -> Evidence:
    """Reading: as for L1 and L2.

    Why not: the projected weights are other weights, whose loss may even be smaller.
    """
    return _added(lib, trial, kind)


def _sparse_regression(
    shape: tuple[int, int, int], relevant: int, g: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gram matrix xᵀx/n (R, d, d) and xᵀy/n (R, d) of a linear task in which `relevant` of d features matter, by 3."""
    replicas, n, d = shape
    x = torch.randn(replicas, n, d, generator=g, dtype=torch.float64, device=g.device)
    noise = torch.randn(replicas, n, generator=g, dtype=torch.float64, device=g.device)
    y = 3 * x[..., :relevant].sum(-1) + noise
    return x.mT @ x / n, (x.mT @ y.unsqueeze(-1))[..., 0] / n


def _proximal(lib: Any, w: torch.Tensor, slope: torch.Tensor, strength: float, lr: float) -> torch.Tensor:
    """A gradient step on the loss, then the exact minimiser of penalty plus distance."""
    return lib.soft_threshold(w - lr * slope, t=lr * strength)


def _subgradient(lib: Any, w: torch.Tensor, slope: torch.Tensor, strength: float, lr: float) -> torch.Tensor:
    """A gradient step on loss plus penalty, as back-propagation makes it."""
    leaf = w.clone().requires_grad_()
    (pull,) = torch.autograd.grad(lib.l1_penalty(leaf), leaf)
    return w - lr * (slope + strength * pull)


def _shrinks_only(sound: Role) -> Role:
    """The proximal step of L2 in place of L1's."""
    return lambda w, *, t: w / (1 + t) + 0 * sound(w, t=t)


@claim(
    "gfg-19.6",
    "A penalty of L1 sets most of the irrelevant weights to exactly zero.",
    needs=["soft_threshold", "l1_penalty"],
    setting={"step": _proximal, "strength": 0.4},
    expect=CONDITIONAL(
        "training takes proximal steps, or otherwise reaches the minimiser; the gradient steps of back-propagation jump "
        "over zero and leave small weights",
        within={"step": instead(_proximal)},
        beyond={"step": instead(_subgradient)},
    ),
    sabotage={
        "the squared penalty's step": {"soft_threshold": _shrinks_only},
        "no penalty": {"strength": instead(0.0)},
    },
)
def l1_makes_irrelevant_weights_exactly_zero(
    lib: Any, trial: Trial, step: Callable[..., torch.Tensor], strength: float
) -> Evidence:
    """Reading: of 20 weights of which 4 matter, at least 8 are exactly 0 after 200 steps, in more than half of the runs.

    Why: at the minimiser a weight is 0 whenever its slope is below the strength; a step w - lr·sign(w) hits 0 with probability 0.
    """

    def sparse(n: int, g: torch.Generator) -> torch.Tensor:
        gram, target = _sparse_regression((n, 100, 20), 4, g)
        w = torch.zeros_like(target) + 0.1
        for _ in range(200):
            slope = (gram @ w.unsqueeze(-1))[..., 0] - target
            w = step(lib, w, slope, strength, 0.2)
        return (w == 0).sum(-1) >= 8

    return trial.often(sparse, floor=0.5, detects=0.4, what="share of runs with at least 8 of 20 weights exactly zero")


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
    """Reading: |w| of ridge regression at penalty `low + more` is below that at `low`, by half the least factor that theory gives.

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
    """Reading: the factor s²/(s² + t) is in (0, 1), falls with the penalty t and rises with s (proved); ridge weights have it.

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
        within(v @ lib.ridge(x, y, penalty=t), shrunk(s, t) * free, margin, what="weight along a direction differs from the formula by",
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
        instead="L2 shortens the vector of weights as a whole; while correlated features share their effect anew, a single weight can "
        "grow, and there is no size that weights can never exceed.",
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
        instead="L2 pulls on the weights but sets no bound: targets a thousand times as large make them a thousand times as large. "
        "A bound is what max-norm sets.",
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
