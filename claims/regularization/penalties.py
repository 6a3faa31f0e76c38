"""Which weights L1 sets to zero, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CONDITIONAL, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence
from assay.sabotage import instead

Role = Callable[..., Any]


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


def _twice(sound: Role) -> Role:
    return lambda w, *, t: sound(w, t=2 * t)


def _cuts_off(sound: Role) -> Role:
    """The hard threshold: a weight goes to zero or stays as it is."""
    return lambda w, *, t: torch.where(sound(w, t=t) == 0, 0.0, w)


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
        "shrinks by twice the threshold": {"soft_threshold": _twice},
        "cuts off without shrinking": {"soft_threshold": _cuts_off},
    },
)
def l1_makes_irrelevant_weights_exactly_zero(
    lib: Any, trial: Trial, step: Callable[..., torch.Tensor], strength: float
) -> Evidence:
    """Reading: of 20 weights 4 matter. After 200 steps, in more than half of the runs, at least 9 of the other 16 are
    exactly 0, none of the 4 is, and the loss pulls each weight that is left with the strength of the penalty.

    Why: at the minimiser a weight is 0 whenever its slope is below the strength; a step w - lr·sign(w) hits 0 with
    probability 0.
    """

    return trial.often(
        _is_sparse(lib, step, strength), floor=0.5, detects=0.4,
        what="share of runs that zero at least 9 of 16 irrelevant weights and no other",
    )  # fmt: skip


@claim(
    "gfg-19.6",
    "At the minimiser, a penalty of L1 has set most of the irrelevant weights to exactly zero.",
    needs=["soft_threshold"],
    setting={"strength": 0.4},
    expect=CONDITIONAL(
        "the penalty is stronger than the noise of the slopes and weaker than the slope of what matters: 0.4, where the "
        "slope of an irrelevant weight scatters by 0.1 and that of a relevant one is 3; at 0.01 most of the irrelevant "
        "weights stay, at 5 those that matter go too",
        within={"strength": instead(0.4)},
        beyond={"strength": instead(0.01)},
    ),
    sabotage={
        "the squared penalty's step": {"soft_threshold": _shrinks_only},
        "so strong that what matters goes too": {"strength": instead(5.0)},
    },
)
def l1_of_any_strength_makes_irrelevant_weights_exactly_zero(lib: Any, trial: Trial, strength: float) -> Evidence:
    """Reading: as above, with proximal steps.

    Why: on 100 samples with noise of standard deviation 1 the slope of an irrelevant weight scatters by 1/√100 = 0.1,
    and the weight is 0 only if its slope stays below the strength.
    """
    return trial.often(
        _is_sparse(lib, _proximal, strength), floor=0.5, detects=0.4,
        what="share of runs that zero at least 9 of 16 irrelevant weights and no other",
    )  # fmt: skip


def _is_sparse(
    lib: Any, step: Callable[..., torch.Tensor], strength: float
) -> Callable[[int, torch.Generator], torch.Tensor]:
    """Whether after 200 steps at least 9 of 16 irrelevant weights are exactly zero, none of the 4 that matter is, and
    the minimiser is reached, where each weight left has the slope -strength·sign(w): (n, generator) -> (n,).

    The curvatures of 100 samples of 20 features lie above (1 - √0.2)² = 0.3 and below (1 + √0.2)² = 2.1, so 200 steps
    at rate 0.2 leave at most (1 - 0.06)²⁰⁰ = 4e-6 of the way to the minimiser, which is 6 long, and slopes right to
    6·2.1·4e-6 = 5e-5: a hundredth is far above that.
    """

    def sparse(n: int, g: torch.Generator) -> torch.Tensor:
        gram, target = _sparse_regression((n, 100, 20), 4, g)
        w = torch.zeros_like(target) + 0.1
        for _ in range(200):
            slope = (gram @ w.unsqueeze(-1))[..., 0] - target
            w = step(lib, w, slope, strength, 0.2)
        slope = (gram @ w.unsqueeze(-1))[..., 0] - target
        pulled = ((slope + strength * w.sign()).abs() < 0.01) | (w == 0)
        return ((w[:, 4:] == 0).sum(-1) >= 9) & (w[:, :4] != 0).all(-1) & pulled.all(-1)

    return sparse
