"""What the usual kinds of regularisation do: add a penalty to the loss, constrain the weights, lower the error on new
data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, at_least, at_most, unit_roundoff, within
from assay.sabotage import identity, instead
from claims.lab.training import Parameters, fit, gradients

ROLES = ["l1_penalty", "l2_penalty", "dropout", "max_norm", "dense", "mean_squared_error"]
IN_THE_LOSS = "a penalty term in the loss that is computed"
IN_EFFECT = "a penalty, if only on average, or a constraint"


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
    return same & at_least(added[0], 0.01, what="what is added")


ADDS = (
    "Only L1 and L2 add a penalty term to the loss that is computed. Dropout changes the forward pass, which for a "
    "linear model amounts to a penalty on average over the masks; max-norm adds nothing and constrains the weights."
)


@claim(
    "gfg-19.5",
    "Regularisation adds to the loss a penalty on the weights.",
    reading=IN_THE_LOSS,
    covers="L1 and L2",
    needs=ROLES,
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
    reading=IN_THE_LOSS,
    covers="dropout",
    needs=ROLES,
    setting={"kind": "dropout"},
    expect=REFUTED(instead=ADDS, by="dropout_adds_a_penalty_on_average"),
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
    reading=IN_THE_LOSS,
    covers="max-norm",
    needs=ROLES,
    setting={"kind": "max-norm"},
    expect=REFUTED(instead=ADDS, by="training_with_max_norm_constrains_the_weights"),
    sabotage={"L1 in its place": {"kind": instead("L1")}},
)
def max_norm_adds_a_penalty_to_the_loss(lib: Any, trial: Trial, kind: str) -> Evidence:
    """Reading: as for L1 and L2.

    Why not: the projected weights are other weights, whose loss may even be smaller.
    """
    return _added(lib, trial, kind)


@claim(
    "gfg-19.5",
    "On average over its masks, dropout adds to the loss of a linear model a penalty on the weights.",
    reading=IN_EFFECT,
    covers="dropout",
    needs=["dropout", "dense", "mean_squared_error"],
    cases=[{"data": "one data set"}, {"data": "another"}],
    setting={"p": 0.4},
    expect=HOLDS,
    sabotage={
        "forgets to rescale": {"dropout": lambda sound: lambda x, p, **rest: (1 - p) * sound(x, p, **rest)},
        "drops nothing": {"dropout": identity()},
        "drops one in twenty more": {"dropout": lambda sound: lambda x, p, **rest: sound(x, p + 0.05, **rest)},
    },
)
def dropout_adds_a_penalty_on_average(lib: Any, trial: Trial, data: str, p: float) -> Evidence:
    """Reading: for features of mean square one, loss with dropout minus loss is p/(1 - p)·Σ w² on average, to 0.1 of
    Σ w², for two data sets. L1 and L2, which add a penalty with every mask, do so on average too.

    Why: each input keeps its mean and gains the variance x²·p/(1 - p), independently of the others.
    """
    x, w = trial.normal(20, 8, stream=data), trial.normal(1, 8, stream="weights")
    x = x / x.square().mean(0).sqrt()
    y = lib.dense(x, w)[..., 0] + trial.normal(20, stream=(data, "noise"))
    plain = lib.mean_squared_error(lib.dense(x, w)[..., 0], y, reduction="mean")

    def rise(n: int, g: torch.Generator) -> torch.Tensor:
        z = lib.dense(lib.dropout(x.expand(n, -1, -1), p, generator=g), w)[..., 0]
        return (lib.mean_squared_error(z, y.expand(n, -1)).mean(-1) - plain) / w.square().sum()

    return trial.mean(rise, p / (1 - p), detects=0.1, spread=0.5, what="rise of the mean loss, in units of Σ w²")


@claim(
    "gfg-19.5",
    "Max-norm constrains the weights: training with it ends within the limit, which the loss alone would exceed.",
    reading=IN_EFFECT,
    covers="max-norm",
    needs=["max_norm", "dense", "mean_squared_error", "sgd"],
    setting={"c": 2.0},
    expect=HOLDS,
    sabotage={
        "does nothing": {"max_norm": identity()},
        "ends a hundredth too long": {"max_norm": lambda sound: lambda w, *, c: sound(w, c=1.01 * c)},
    },
)
def training_with_max_norm_constrains_the_weights(lib: Any, trial: Trial, c: float) -> Evidence:
    """Reading: after 20 steps of gradient descent, each followed by the projection, every row is at most c = 2 long;
    without the projection every row is longer than c + 1.

    Why: the targets ask for rows of length 50, and the projection follows each step. A length is right up to six
    squares, five sums and a root, twice, a division and a product.
    """
    x, wanted = trial.normal(50, 6, stream="x"), trial.normal(3, 6, stream="w")
    y = lib.dense(x, wanted / torch.linalg.vector_norm(wanted, dim=-1, keepdim=True) * 50)

    def ends(project: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
        w = torch.zeros(1, 3, 6, dtype=x.dtype, device=x.device)
        for _ in range(20):
            _, slopes = gradients(lambda p, _: lib.mean_squared_error(lib.dense(x, p[0]), y).mean((-1, -2)), [w])
            (w,), _ = lib.sgd([w], slopes, None, lr=0.3)
            w = project(w)
        return torch.linalg.vector_norm(w, dim=-1)

    ceiling = c * (1 + 26 * unit_roundoff(x.dtype))
    held, free = ends(lambda w: lib.max_norm(w, c=c)), ends(lambda w: w)
    return at_most(held, ceiling, what="length of the weights into a neuron, against c") & at_least(
        free, c + 1, what="length of the weights into a neuron without the projection"
    )


STRENGTHS = {"L1": 0.2, "L2": 0.1, "dropout": 0.1, "max-norm": 2.5}


@claim(
    "gfg-19.5",
    "Each of L1, L2, dropout and max-norm can keep a model from overfitting.",
    reading="each kind can lower the error on new data",
    needs=[*ROLES, "sgd"],
    cases=[{"kind": kind} for kind in STRENGTHS],
    setting={"strengths": STRENGTHS},
    kind="existence",
    expect=HOLDS,
    sabotage={
        "no strength": {"strengths": instead({"L1": 0.0, "L2": 0.0, "dropout": 0.0, "max-norm": 1e9})},
        "a max-norm that leaves no weights": {"strengths": lambda sound: sound | {"max-norm": 1e-9}},
    },
)
def each_kind_can_keep_a_model_from_overfitting(
    lib: Any, trial: Trial, kind: str, strengths: dict[str, float]
) -> Evidence:
    """Reading: 100 steps of gradient descent on 30 noisy samples of 25 features: with the kind of regularisation the
    excess error on new data is lower by a tenth than without, and lower by a tenth than with weights of zero.

    Why: without it the weights follow the noise, of standard deviation 2 where the signal has 3; each kind holds them
    shorter. Holding them at zero is no cure: such a model has learned nothing, and its excess error is |w|².
    """

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        w, x, noise = (
            torch.randn(n, *shape, generator=g, dtype=torch.float64, device=g.device)
            for shape in ((1, 25), (30, 25), (30,))
        )
        w = 3 * w / 25**0.5
        y = (x @ w.mT)[..., 0] + 2 * noise
        held, free = (_descended(lib, name, strengths, x, y, g) for name in (kind, "none"))
        excess, plain, zero = ((found - w).square().sum((-1, -2)) for found in (held, free, 0 * w))
        return excess, 0.9 * torch.minimum(plain, zero)

    return trial.prefers(
        pair, what="excess error on new data: with this kind lower by a tenth than without, or than at zero", most=256
    )


def _descended(
    lib: Any, kind: str, strengths: dict[str, float], x: torch.Tensor, y: torch.Tensor, g: torch.Generator
) -> torch.Tensor:
    """The weights (R, 1, d) of a linear unit after 100 steps from zero on x (R, n, d), y (R, n)."""
    strength = strengths.get(kind, 0.0)

    def loss(params: Parameters, step: int) -> torch.Tensor:
        (w,) = params
        shown = lib.dropout(x, strength, generator=g) if kind == "dropout" else x
        losses = lib.mean_squared_error(lib.dense(shown, w)[..., 0], y).mean(-1)
        penalty = {"L1": lib.l1_penalty, "L2": lib.l2_penalty}.get(kind)
        return losses + strength * penalty(w, batch_dims=1) if penalty else losses

    def step(params: Parameters, slopes: Parameters, state: Any) -> tuple[Parameters, Any]:
        (w,), state = lib.sgd(params, slopes, state, lr=0.1)
        return [lib.max_norm(w, c=strength) if kind == "max-norm" else w], state

    return fit(loss, [torch.zeros_like(x[:, :1])], step, 100)[0]
