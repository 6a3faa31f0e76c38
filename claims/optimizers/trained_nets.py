"""Which minima the training of a small network finds, from zero weights, from some start and from every start."""

from __future__ import annotations

import torch

from assay.claim import CONDITIONAL, HOLDS, claim
from assay.evidence import at_most, curve, fact
from assay.sabotage import instead, with_arguments
from claims.lab import tasks
from claims.lab.training import fit, random_layers
from claims.optimizers.classifier import binary_loss


def logical(kind, device):
    """The corners of the square with labels: exclusive or; or noisy
    AND, each corner with both labels, so that a least loss exists."""
    x, y = (t.to(device) for t in tasks.xor())
    if kind == "xor":
        return 2 * x - 1, y
    corner = x[:, 0] * x[:, 1]
    return torch.cat([2 * x - 1] * 4), torch.cat([corner] * 3 + [1 - corner])


# The curvature of a mean cross-entropy is at most 1/4 of the largest eigenvalue of the mean of x·xᵀ, x with a one for the bias: the
# corners (±1, ±1) make that the identity, so that two over the curvature is 8.
CONVEX = (
    "the loss is convex and smooth, as in a model without hidden layer, the rate below two over its curvature, here 8, and the "
    "start not far, here standard normal weights"
)


@claim(
    "gfg-14.2", "Training changes the weights until the loss is minimal, wherever it starts.",
    needs=["dense", "tanh", "sgd"],
    setting={"widths": [2, 4, 1], "kind": "xor", "gain": 0.0, "lr": 2.0},
    reading="the minimum is reached",
    expect=CONDITIONAL(
        f"{CONVEX}; a net with a hidden layer that starts with all weights zero stays at chance",
        within={"widths": instead([2, 1]), "kind": instead("noisy and"), "gain": instead(1.0)},
        beyond={"gain": instead(0.0)},
    ),
    sabotage={
        "no hidden layer, on both sides": {"widths": instead([2, 1]), "kind": instead("noisy and")},
        "a rate of 20, above two over the curvature": {"lr": instead(20.0)},
        "never moves": {"sgd": with_arguments(lr=0.0)},
    },
)  # fmt: skip
def training_reaches_the_least_loss_from_zero_weights(lib, trial, widths, kind, gain, lr):
    """Reading: 300 steps at rate 2 bring the mean cross-entropy of each of 16 replicas, from standard normal weights in the model
    without hidden layer and from zero weights in the net, to within 0.01 of the least value: for the noisy AND what Newton's
    method finds, 0 for exclusive or.
    Why: with zero weights the hidden units pass no gradient on, and
    the logit of a balanced task has slope zero: nothing moves."""
    losses = end_losses(lib, trial, widths, kind, replicas=16, gain=gain, lr=lr, steps=300)
    return at_most(losses[-1], least_loss(kind) + 0.01, what="the worst loss, against the least and 0.01")


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
    "gfg-15.7", "Because the activations have slopes, gradient descent finds optimal weights from some start.",
    needs=["dense", "tanh", "sgd"],
    reading="from some start",
    kind="existence",
    expect=HOLDS,
    sabotage={
        "a step function in place of tanh": {"tanh": lambda sound: torch.sign},
        "never moves": {"sgd": with_arguments(lr=0.0)},
    },
)  # fmt: skip
def descent_finds_the_optimal_weights_from_some_start(lib, trial):
    """Reading: of 64 random starts of a net with two tanh units on exclusive or, at least one gets within 0.05 of the
    least mean cross-entropy in 400 steps at rate 1.
    Why: descent needs a slope. A step function has the slope zero, so that its hidden weights never move, and steps
    through the origin, as they start, cut no corner off."""
    losses = end_losses(lib, trial, [2, 2, 1], "xor", replicas=64, gain=1.0, lr=1.0, steps=400)
    return at_most(losses.min(), 0.05, what="loss of the best of 64 starts")


def end_losses(lib, trial, widths, kind, *, replicas, gain, lr, steps):
    """The mean cross-entropies that so many random starts reach, in rising order; NaN, where one overflows, stands last."""
    x, y = logical(kind, trial.device)
    start = random_layers(widths, replicas, trial.generator("start"), gain=gain)
    end = fit(lambda p, _: binary_loss(lib, p, x, y), start, lambda p, g, s: lib.sgd(p, g, s, lr=lr), steps)
    return binary_loss(lib, end, x, y).sort().values


@claim(
    "gfg-15.7", "Gradient descent finds the optimal weights of a network with differentiable activations.",
    needs=["dense", "tanh", "sgd"],
    setting={"widths": [2, 2, 1], "kind": "xor", "gain": 1.0, "lr": 1.0},
    reading="from every start",
    expect=CONDITIONAL(
        f"{CONVEX}; a net with two hidden units on exclusive or ends in a poor minimum from some starts",
        within={"widths": instead([2, 1]), "kind": instead("noisy and")}, beyond={"kind": instead("xor")},
    ),
    sabotage={
        "never moves": {"sgd": with_arguments(lr=0.0)},
        "no hidden layer, a convex loss, on both sides": {"widths": instead([2, 1]), "kind": instead("noisy and")},
        "a rate of 20, above two over the curvature": {"lr": instead(20.0)},
        "starts two hundred times as far": {"gain": instead(200.0)},
    },
)  # fmt: skip
def descent_finds_the_optimal_weights_from_every_start(lib, trial, widths, kind, gain, lr):
    """Reading: from each of 64 random starts, 400 steps at rate 1
    bring the mean cross-entropy to within 0.05 of the least value.
    Why: differentiable activations give a slope, not convexity; two
    tanh units can settle on a division that leaves corners wrong."""
    losses = end_losses(lib, trial, widths, kind, replicas=64, gain=gain, lr=lr, steps=400)
    picture = curve(
        "End loss of 64 starts, sorted", range(64), {"loss": losses}, x_label="start", y_label="mean cross-entropy"
    )
    failed = int((losses > least_loss(kind) + 0.05).sum())
    return fact("starts of 64 that miss the optimum by more than 0.05", failed, 0).with_figure(picture)
