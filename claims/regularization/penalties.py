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
