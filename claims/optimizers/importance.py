"""How much the choice of the learning rate matters: against other hyperparameters, and over orders of magnitude."""

from __future__ import annotations

import torch

from assay.claim import CONDITIONAL, HOLDS, claim
from assay.evidence import at_least, at_most, curve, equal
from assay.sabotage import instead, with_arguments
from claims.lab import tasks
from claims.lab.descent import path
from claims.lab.training import fit, random_layers
from claims.optimizers.classifier import binary_loss


def end_loss(lib, trial, lr, *, width, size, steps, replicas):
    """The loss on all 200 points of two moons after mini-batch descent, for each replica on points of its own: (R,)."""
    x, y = (part.unflatten(0, (replicas, 200)) for part in tasks.moons(200 * replicas, trial.generator("data")))
    start = random_layers([2, width, 1], replicas, trial.generator("start", width))
    batches = torch.randint(200, (steps, size), generator=trial.generator("batches"), device=trial.device)
    end = fit(
        lambda p, step: binary_loss(lib, p, x[:, batches[step]], y[:, batches[step]]),
        start,
        lambda p, g, s: lib.sgd(p, g, s, lr=lr),
        steps,
    )
    return binary_loss(lib, end, x, y)


@claim(
    "ib-3.2",
    "Over a grid of learning rates, widths and batch sizes, the learning rate decides most about the loss reached.",
    needs=["dense", "tanh", "sgd"],
    setting={"rates": (0.1, 0.8), "widths": (8, 64), "batch_sizes": (8, 64)},
    expect=CONDITIONAL(
        "each ranges over a factor of eight, the rates from 0.1 to 0.8, widths and batch sizes from 8 to 64; with rates from 0.5 to 4, "
        "or batches of 1 and 8, the batch size decides more",
        within={"batch_sizes": instead((8, 64))},
        beyond={"batch_sizes": instead((1, 8))},
    ),
    kind="comparative",
    sabotage={
        "rates from 0.5 to 4": {"rates": instead((0.5, 4.0))},
        "rates within a tenth of each other": {"rates": instead((0.095, 0.1, 0.105))},
        "the rate is ignored": {"sgd": with_arguments(lr=0.1)},
    },
)
def the_rate_matters_more_than_width_and_batch_size(lib, trial, rates, widths, batch_sizes):
    """Reading: of the variance of the log loss after 40 steps on two moons, over all
    combinations, the averages by rate explain more than those by width, and more than those by
    batch size (main effects of a full factorial design; a cell is the median of 24 nets, each on points of its own).
    Why: in a fixed number of low steps the rate decides how far training gets. Such a ranking is one of ranges: at rates
    above one, or along the gradient of a single sample, the steps are too long for the noise in them, which the batch size rules.
    Margin: rates from 0.1 explain 0.5 to 0.6, widths 0.2 to 0.3; beyond, rates 0.00 to 0.16 and batch sizes 0.25 to 0.4."""

    def cell(lr, width, size):
        return end_loss(lib, trial, lr, width=width, size=size, steps=40, replicas=24).log().median()

    grid = torch.stack(
        [torch.stack([torch.stack([cell(r, w, b) for b in batch_sizes]) for w in widths]) for r in rates]
    )
    by_rate, by_width, by_size = (
        grid.mean(axes).var(unbiased=False) / grid.var(unbiased=False) for axes in ((1, 2), (0, 2), (0, 1))
    )
    picture = curve(
        "Log loss reached, mean over widths and batch sizes", rates, {"mean log loss": grid.mean((1, 2))},
        x_label="learning rate", y_label="log loss", log_x=True,
    )  # fmt: skip
    return at_least(
        by_rate,
        torch.maximum(by_width, by_size),
        what="share of variance explained by the rate, against width's and batch size's",
    ).with_figure(picture)


@claim(
    "ib-3.8",
    "The learning rate that serves best is neither very low nor very high.",
    needs=["dense", "tanh", "sgd"],
    setting={"rates": (1e-4, 1e-2, 1.0, 1e1, 1e2)},
    also=["gfg-24.3"],
    expect=HOLDS,
    kind="tendency",
    sabotage={
        "no very high rate": {"rates": instead((1e-4, 1e-2, 1.0))},
        "no very low rate": {"rates": instead((1e1, 1e2, 1e3))},
        "the rate is ignored": {"sgd": with_arguments(lr=0.1)},
    },
)
def the_best_rate_is_neither_very_low_nor_very_high(lib, trial, rates):
    """Reading: with rates from 10⁻⁴ to 10² and 60 full steps on two moons, the median loss of 5 nets is least for a
    rate inside the range, and both ends of the range end at more than twice that loss.
    Why: at the low end the budget ends before the way does, at the high end the steps overshoot."""
    losses = torch.stack([end_loss(lib, trial, lr, width=16, size=200, steps=60, replicas=5).median() for lr in rates])
    picture = curve(
        "Loss after 60 steps",
        rates,
        {"median of 5 nets": losses},
        x_label="learning rate",
        y_label="loss",
        log_x=True,
        log_y=True,
    )
    return at_most(
        2 * losses.min() / torch.stack([losses[0], losses[-1]]),
        1,
        what="twice the best loss over the loss at an end of the range",
    ).with_figure(picture)


@claim(
    "gfg-21.5",
    "A suitable learning rate is decisive: after the same number of steps, "
    "rates differ by many orders of magnitude in the loss.",
    needs=["sgd"],
    setting={"rates": (0.001, 0.01, 0.05, 0.1, 2 / 11, 0.19, 0.199, 0.21), "curvatures": (1.0, 10.0)},
    also=["gfg-24.3"],
    expect=HOLDS,
    kind="tendency",
    sabotage={
        "rates within a twentieth of each other": {"rates": instead((0.095, 0.1, 0.105))},
        "the rate is ignored": {"sgd": with_arguments(lr=0.1)},
    },
)
def rates_differ_by_orders_of_magnitude_in_the_loss(lib, trial, rates, curvatures):
    """Reading: on (w₁² + 10·w₂²)/2 from (1, 1), the losses after 100 steps at rates from 0.001 to 0.21 span more than
    ten orders of magnitude; the best is the one nearest to 2/11.
    Why: a step's factor is raised to the hundredth power, so
    0.82 and 1.1 end 26 orders of magnitude apart in the loss."""
    curvature = torch.tensor(curvatures, dtype=torch.float64, device=trial.device)
    start = torch.ones_like(curvature)
    ends = torch.stack(
        [path(lambda p, g, s, lr=lr: lib.sgd(p, g, s, lr=lr), lambda w: curvature * w, start, 100)[-1] for lr in rates]
    )
    losses = (curvature * ends.square()).sum(-1) / 2
    picture = curve(
        "Loss after 100 steps", rates, {"loss": losses}, x_label="learning rate", y_label="loss", log_y=True
    )
    span = at_least(
        (losses.max() / losses.min()).log10(),
        10,
        what="span of the losses, in orders of magnitude",
    )
    nearest = min(rates, key=lambda lr: abs(lr - 2 / sum(curvatures)))
    return (
        span & equal(rates[int(losses.argmin())], nearest, what="the best rate is not the one nearest to 2/11")
    ).with_figure(picture)
