"""What a penalty on the weights is, and which weights L1 sets to zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CONDITIONAL, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, at_least, within
from assay.sabotage import instead

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
    "Only L1 and L2 add a penalty term to the loss. Dropout changes the forward pass and max-norm projects the "
    "weights; what they change in the loss depends on the data."
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
    """Reading: objective minus loss is positive, and the same number for two data sets: it depends on the weights
    alone.

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
        "training takes proximal steps; the gradient steps of back-propagation jump over zero and leave small weights",
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
    """Reading: of 20 weights of which 4 matter, at least 8 are exactly 0 after 200 steps, in more than half of the
    runs.

    Why: at the minimiser a weight is 0 whenever its slope is below the strength; a step w - lr·sign(w) hits 0 with
    probability 0.
    """

    return trial.often(
        _is_sparse(lib, step, strength), floor=0.5, detects=0.4,
        what="share of runs with at least 8 of 20 weights exactly zero",
    )  # fmt: skip


@claim(
    "gfg-19.6",
    "At the minimiser, a penalty of L1 has set most of the irrelevant weights to exactly zero.",
    needs=["soft_threshold"],
    setting={"strength": 0.4},
    expect=CONDITIONAL(
        "the penalty is stronger than the noise of the slopes: 0.4, where the slope of an irrelevant weight scatters "
        "by 0.1; at 0.01 nearly all weights stay alive",
        within={"strength": instead(0.4)},
        beyond={"strength": instead(0.01)},
    ),
    sabotage={
        "the squared penalty's step": {"soft_threshold": _shrinks_only},
        "no penalty": {"strength": instead(0.0)},
    },
)
def l1_of_any_strength_makes_irrelevant_weights_exactly_zero(lib: Any, trial: Trial, strength: float) -> Evidence:
    """Reading: as above, with proximal steps.

    Why: on 100 samples with noise of standard deviation 1 the slope of an irrelevant weight scatters by 1/√100 = 0.1,
    and the weight is 0 only if its slope stays below the strength.
    """
    return trial.often(
        _is_sparse(lib, _proximal, strength), floor=0.5, detects=0.4,
        what="share of runs with at least 8 of 20 weights exactly zero",
    )  # fmt: skip


def _is_sparse(
    lib: Any, step: Callable[..., torch.Tensor], strength: float
) -> Callable[[int, torch.Generator], torch.Tensor]:
    """Whether at least 8 of 20 weights, of which 4 matter, are exactly zero after 200 steps: (n, generator) -> (n,).

    The curvatures of 100 samples of 20 features lie above (1 - √0.2)² = 0.3, so 200 steps at rate 0.2 leave at most
    (1 - 0.06)²⁰⁰ = 4e-6 of the way to the minimiser.
    """

    def sparse(n: int, g: torch.Generator) -> torch.Tensor:
        gram, target = _sparse_regression((n, 100, 20), 4, g)
        w = torch.zeros_like(target) + 0.1
        for _ in range(200):
            slope = (gram @ w.unsqueeze(-1))[..., 0] - target
            w = step(lib, w, slope, strength, 0.2)
        return (w == 0).sum(-1) >= 8

    return sparse
