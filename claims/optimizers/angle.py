"""Where the gradient of the whole set points: straight at the optimum only if all curvatures are equal."""

from __future__ import annotations

import math

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, claim
from assay.evidence import at_least, curve, within
from assay.sabotage import instead


@claim(
    "gfg-25.4",
    "Each step of batch descent points straight at the optimum.",
    needs=["mean_gradient"],
    cases=[{"spread": s} for s in (1.0, 10.0, 100.0, 1000.0)],
    reading="heads straight for the optimum",
    expect=CONDITIONAL("all curvatures are equal, for the step to head straight", within=lambda spread: spread == 1.0),
    sabotage={"the Newton direction": {"mean_gradient": lambda sound: lambda g: newton(sound(g), g)}},
)
def batch_descent_points_straight_at_the_optimum(lib, trial, spread):
    """Reading: over 360 directions, the cosine between -g and the way to the optimum is one up to rounding.
    Why not: in a valley of condition number κ the cosine falls to 2√κ/(1 + κ), so the path bends and, at large rates, zigzags.
    How long a step counts as large the statement does not say; that the steps work is the other readings' matter."""
    return at_least(cosines(lib, trial, spread).min(), 1 - 1e-12, what="smallest cosine falls short of one by")


@claim(
    "gfg-25.4",
    "The worst angle of the gradient follows the condition number.",
    needs=["mean_gradient"],
    cases=[{"spread": s} for s in (2.0, 10.0, 100.0)],
    setting={"worst": lambda spread: 2 * spread**0.5 / (1 + spread)},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "the root of twice the condition number": {"worst": instead(lambda spread: (2 * spread) ** 0.5 / (1 + spread))},
        "follows one axis only": {"mean_gradient": lambda sound: lambda g: sound(g) * g.new_tensor([1.0, 0.0])},
    },
)
def the_worst_angle_follows_the_condition_number(lib, trial, spread, worst):
    """Reading: the smallest cosine over all directions is 2√κ/(1 + κ) (Kantorovich).
    Allowance: the grid of 3600 angles misses the worst direction by at most δ = π/3600. The slope is zero there and the cosine's
    second derivative at most (κ - 1)², which it reaches on the flat axis, so that the grid's smallest is above by at most
    (κ - 1)²·δ²/2: 0.004 of 0.198 at κ = 100."""
    smallest = cosines(lib, trial, spread, count=3600).min()
    grid = ((spread - 1) * math.pi / 3600) ** 2 / 2 + 1e-12
    figure = curve("smallest cosine against condition number", [1, 2, 10, 100, 1000], {"2√κ/(1+κ)": [2 * k**0.5 / (1 + k) for k in (1, 2, 10, 100, 1000)]},
                   x_label="condition number", y_label="cosine", log_x=True)  # fmt: skip
    return within(
        smallest,
        worst(spread),
        grid,
        what="smallest cosine differs from the formula by",
        why="spacing of the grid of directions",
    ).with_figure(figure)


def valley(trial, spread, count):
    """`count` points on a circle around the minimum of a quadratic with curvatures 1 and spread, as a batch of per-sample gradients."""
    angle = torch.arange(count, dtype=torch.float64, device=trial.device) * (2 * torch.pi / count)
    w = torch.stack([angle.cos(), angle.sin()], -1)
    return w, w * w.new_tensor([1.0, spread])


def cosines(lib, trial, spread, count=360):
    w, slope = valley(trial, spread, count)
    halves = torch.stack([slope * 0.5, slope * 1.5], -2)  # two samples whose mean gradient is the slope
    g = lib.mean_gradient(halves)
    return (g * w).sum(-1) / (g.norm(dim=-1) * w.norm(dim=-1))


def newton(gradient, per_sample):
    """The gradient divided by the curvature of each axis, read off the two axis directions in the batch."""
    curvature = torch.stack([gradient[0, 0], gradient[gradient.shape[0] // 4, 1]])
    return gradient / curvature
