"""Where gradient descent ends: at the least loss if the loss is convex; else the start and the rate decide."""

from __future__ import annotations

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, claim
from assay.evidence import at_least, at_most, curve, fact
from assay.sabotage import instead, with_arguments
from claims.lab import tasks
from claims.lab.descent import LANDSCAPES, path
from claims.lab.training import fit, random_layers
from claims.optimizers.classifier import binary_loss

STARTS = (
    ("bowl", (3.0, -2.0)), ("bowl", (-1.0, 5.0)), ("two wells", (-1.5,)), ("two wells", (1.5,)),
    ("mountain pass", (1.0, 0.5)), ("mountain pass", (1.0, 0.0)), ("dimpled bowl", (-2.0,)), ("dimpled bowl", (3.5,)),
)  # fmt: skip
CASES = [{"landscape": landscape, "start": start} for landscape, start in STARTS]


def on_convex(landscape, **_):
    return LANDSCAPES[landscape].convex


def uphill(sound):
    """Adds the gradient where it should be subtracted, a hundredth of it so that the numbers stay finite."""
    return lambda params, grads, state, *, lr: sound(params, [-g / 100 for g in grads], state, lr=lr)


def descend(lib, device, landscape, start, lr, steps):
    """The losses above the least one along the path: (steps + 1,)."""
    ground = LANDSCAPES[landscape]
    w = torch.tensor(start, dtype=torch.float64, device=device)
    visited = path(lambda p, g, s: lib.sgd(p, g, s, lr=lr), ground.slope, w, steps)
    return ground.loss(visited) - ground.least


@claim(
    "ib-3.10",
    "A low learning rate reaches the minimum in the end.",
    needs=["sgd"],
    cases=CASES,
    setting={"steps": 2500},
    also=["ib-13.6"],
    covers="exact gradients, any loss",
    expect=CONDITIONAL("the loss is convex", within=on_convex),
    kind="tendency",
    sabotage={
        "too few steps": {"steps": instead(2)},
        "only starts in the lowest basin": {"where": lambda start, **_: start not in ((1.5,), (1.0, 0.0), (3.5,))},
    },
)
def a_low_rate_reaches_the_lowest_point(lib, trial, landscape, start, steps):
    """Reading: descent at the rate 0.02 removes at least 99.9 % of the start's excess over the least loss.
    Why: on a convex loss every point with zero slope is lowest; elsewhere descent
    stops in the nearest dip, or on a pass whose ridge it follows exactly."""
    excess = descend(lib, trial.device, landscape, start, 0.02, steps)
    return at_most(
        excess[-1] / excess[0], 1e-3, what="share of the start's excess loss that is left, above one thousandth"
    )


@claim(
    "ib-3.7",
    "A low learning rate may stay caught in a bad minimum that a higher one leaves.",
    needs=["sgd"],
    setting={"landscape": "dimpled bowl", "low": 0.01, "high": (1.0, 3.0, 5.0)},
    reading="may stay caught in a bad solution",
    expect=HOLDS,
    kind="existence",
    sabotage={
        "a convex loss": {"landscape": instead("shallow bowl")},
        "all rates low": {"high": instead((0.01, 0.02, 0.03))},
        "the rate is ignored": {"sgd": with_arguments(lr=0.5)},
    },
)
def a_low_rate_stays_in_a_dimple_that_a_high_one_leaves(lib, trial, landscape, low, high):
    """Reading: on w²/20 with a narrow dimple at w = 3, from 3.5, the rate 0.01
    ends at least 0.1 above the least loss, the rates 1, 3 and 5 end below 0.001.
    Why: the dimple's curvature is about 7, so that rates above 2/7 cannot settle there, while the bowl's is 1/10."""
    losses = {lr: descend(lib, trial.device, landscape, (3.5,), lr, 1500)[-1] for lr in (low, *high)}
    caught = at_least(losses[low], 0.1, what="the low rate ends nearer to the least loss than 0.1, by")
    return caught & at_most(
        torch.stack([losses[lr] for lr in high]),
        1e-3,
        what="a high rate ends farther from the least loss than 0.001, by",
    )


@claim(
    "gfg-23.2",
    "Gradient descent makes the cost minimal.",
    needs=["sgd"],
    cases=CASES,
    setting={"lr": 0.05},
    also=["gfg-14.2"],
    expect=CONDITIONAL(
        "the cost is convex; on other costs it stops where the slope is zero, which may be a local minimum or a saddle",
        within=on_convex,
    ),
    kind="tendency",
    sabotage={
        "climbs instead of descending": {"sgd": uphill},
        "never moves": {"sgd": with_arguments(lr=0.0)},
        "only starts in the lowest basin": {"where": lambda start, **_: start not in ((1.5,), (1.0, 0.0), (3.5,))},
    },
)
def descent_makes_the_cost_minimal(lib, trial, landscape, start, lr):
    """Reading: 800 steps never raise the cost and end within a thousandth of the start's excess over the least cost.
    Why: below two over the curvature each step lowers the cost, until
    the slope is zero; only convexity makes that the minimum."""
    excess = descend(lib, trial.device, landscape, start, lr, 800)
    # the cost is a sum of up to three terms of size at most 1.4 near its end: rounding may lift it by 8 roundings of
    # that
    rounding = 8 * 1.4 * 2.0**-53
    never_up = at_most(excess[1:] - excess[:-1], rounding, what="a step raises the cost by more than rounding, by")
    return never_up & at_most(
        excess[-1] / excess[0], 1e-3, what="share of the start's excess cost that is left, above one thousandth"
    )


@claim(
    "gfg-23.2",
    "Gradient descent follows the slope down to a point where it is zero: a "
    "minimum, or a saddle if it starts on its ridge.",
    needs=["sgd"],
    cases=CASES,
    setting={"steps": 1500},
    reading=CORRECTION,
    expect=HOLDS,
    kind="tendency",
    sabotage={"too few steps": {"steps": instead(2)}, "climbs instead of descending": {"sgd": uphill}},
)
def descent_ends_where_the_slope_vanishes(lib, trial, landscape, start, steps):
    """Reading: at the rate 0.05 the slope at the end is at most
    a thousandth of the slope at the start, on all landscapes.
    Why: the costs are bounded below and each step lowers them by at least lr/2 times the squared slope."""
    ground = LANDSCAPES[landscape]
    w = torch.tensor(start, dtype=torch.float64, device=trial.device)
    visited = path(lambda p, g, s: lib.sgd(p, g, s, lr=0.05), ground.slope, w, steps)
    slopes = ground.slope(visited).norm(dim=-1)
    return at_most(slopes[-1] / slopes[0], 1e-3, what="share of the start's slope that is left, above one thousandth")


def logical(kind, device):
    """The corners of the square with labels: exclusive or; or noisy
    AND, each corner with both labels, so that a least loss exists."""
    x, y = (t.to(device) for t in tasks.xor())
    if kind == "xor":
        return 2 * x - 1, y
    corner = x[:, 0] * x[:, 1]
    return torch.cat([2 * x - 1] * 4), torch.cat([corner] * 3 + [1 - corner])


@claim(
    "gfg-14.2", "Training changes the weights until the loss is minimal, wherever it starts.",
    needs=["dense", "tanh", "sgd"],
    setting={"widths": [2, 4, 1], "kind": "xor", "gain": 0.0},
    expect=CONDITIONAL(
        "the loss is convex in the weights, as in a model without hidden layer; a "
        "net that starts with all weights zero stays at chance",
        within={"widths": instead([2, 1]), "kind": instead("noisy and")}, beyond={"gain": instead(0.0)},
    ),
    sabotage={
        "a random start": {"gain": instead(1.5)},
        "never moves": {"sgd": with_arguments(lr=0.0)},
    },
)  # fmt: skip
def training_reaches_the_least_loss_from_zero_weights(lib, trial, widths, kind, gain):
    """Reading: from zero weights (16 equal replicas), 300 steps at rate 2 bring the mean cross-entropy to within 0.01
    of the least value: 0 for exclusive or; for the noisy AND what Newton's method finds.
    Why: with zero weights the hidden units pass no gradient on, and
    the logit of a balanced task has slope zero: nothing moves."""
    x, y = logical(kind, trial.device)
    start = random_layers(widths, 16, trial.generator("start"), gain=gain)
    end = fit(lambda p, _: binary_loss(lib, p, x, y), start, lambda p, g, s: lib.sgd(p, g, s, lr=2.0), 300)
    least = least_loss(kind)
    return at_most(
        binary_loss(lib, end, x, y).min(), least + 0.01, what="the best loss lies above the least by more than 0.01, by"
    )


def least_loss(kind):
    """Zero for exclusive or, which four hidden units can compute;
    logistic regression on the noisy AND, by Newton's method."""
    if kind == "xor":
        return 0.0
    x, y = logical(kind, torch.device("cpu"))
    design = torch.cat([x, torch.ones_like(x[:, :1])], -1)
    w = torch.zeros(3, dtype=torch.float64)
    for _ in range(30):
        p = (design @ w).sigmoid()
        w = w + torch.linalg.solve((design.mT * (p * (1 - p))) @ design, design.mT @ (y - p))
    return float((torch.nn.functional.softplus(design @ w) - y * (design @ w)).mean())


@claim(
    "gfg-15.7", "Gradient descent finds the optimal weights of a network with differentiable activations.",
    needs=["dense", "tanh", "sgd"],
    setting={"widths": [2, 2, 1], "kind": "xor"},
    expect=CONDITIONAL(
        "the loss is convex in the weights, as in a model without hidden layer; "
        "a net with two hidden units on exclusive or ends "
        "in a poor minimum from some starts",
        within={"widths": instead([2, 1]), "kind": instead("noisy and")}, beyond={"kind": instead("xor")},
    ),
    sabotage={
        "never moves": {"sgd": with_arguments(lr=0.0)},
        "no hidden layer, a convex loss, on both sides": {"widths": instead([2, 1]), "kind": instead("noisy and")},
    },
)  # fmt: skip
def descent_finds_the_optimal_weights_from_every_start(lib, trial, widths, kind):
    """Reading: from each of 64 random starts, 400 steps at rate 1
    bring the mean cross-entropy to within 0.05 of the least value.
    Why: differentiable activations give a slope, not convexity; two
    tanh units can settle on a division that leaves corners wrong."""
    x, y = logical(kind, trial.device)
    start = random_layers(widths, 64, trial.generator("start"))
    end = fit(lambda p, _: binary_loss(lib, p, x, y), start, lambda p, g, s: lib.sgd(p, g, s, lr=1.0), 400)
    losses = binary_loss(lib, end, x, y).sort().values
    picture = curve(
        "End loss of 64 starts, sorted", range(64), {"loss": losses}, x_label="start", y_label="mean cross-entropy"
    )
    failed = int((losses > least_loss(kind) + 0.05).sum())
    return fact("starts of 64 that miss the optimum by more than 0.05", failed, 0).with_figure(picture)
