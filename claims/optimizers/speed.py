"""How the learning rate bears on speed: it helps up to a point, and a low rate takes its time in inverse proportion."""

from __future__ import annotations

import math

import torch

from assay.claim import CONDITIONAL, HOLDS, claim
from assay.evidence import at_least, at_most, between, curve, diverges
from assay.sabotage import instead, with_arguments
from assay.strategies import reals, sizes
from claims.lab import tasks
from claims.lab.descent import path, steps_to
from claims.lab.training import gradients, random_layers
from claims.optimizers.classifier import binary_loss


def count_steps(lib, lr, curvature, start, reach, most):
    """Updates of descent on curvature·w²/2 until |w| <= reach."""
    return steps_to(lambda p, g, s: lib.sgd(p, g, s, lr=lr), lambda w: curvature * w, start, reach, most)


def ten_steps(lib, lr, curvature, start):
    """The distance to the minimum of curvature·w²/2 after ten steps."""
    return path(lambda p, g, s: lib.sgd(p, g, s, lr=lr), lambda w: curvature * w, start, 10)[-1].abs()


def one(device):
    return torch.ones(1, dtype=torch.float64, device=device)


@claim(
    "ib-3.3",
    "The higher the learning rate, the sooner the network has learnt.",
    needs=["sgd"],
    given={"percent": sizes(20, 150), "factor": reals(1.1, 3), "curvature": reals(0.2, 5)},
    expect=CONDITIONAL(
        "the higher rate is still below one over the curvature",
        within=lambda percent, factor, curvature: percent * factor <= 100,
    ),
    sabotage={
        "rates divided instead of multiplied": {"factor": lambda sound: 1 / sound},
        "the rate is ignored": {"sgd": with_arguments(lr=0.1)},
        "never moves": {"sgd": with_arguments(lr=0.0)},
    },
)
def a_higher_rate_needs_fewer_steps(lib, trial, percent, factor, curvature):
    """Reading: descent on c·w²/2 from 1 to 0.001 takes no more steps at the rate factor·lr than at lr = percent/(100·c), and ten
    steps end nearer to the minimum by at least a thousandth of the distance.
    Why: the distance shrinks by |1 - lr·c| per step, which falls with lr up to lr·c = 1 and rises from there on.
    Within the condition ten steps leave at most (0.78/0.8)¹⁰ = 0.78 of what they leave at the lower rate."""
    lr, most = percent / 100 / curvature, 200
    slow, fast = (count_steps(lib, rate, curvature, one(trial.device), 1e-3, most) for rate in (lr, factor * lr))
    far, near = (ten_steps(lib, rate, curvature, one(trial.device)) for rate in (lr, factor * lr))
    return at_most(fast, slow, what="steps at the higher rate, against the lower one's") & at_most(
        near, 0.999 * far, what="distance after ten steps at the higher rate, against 0.999 of that at the lower one"
    )


def epochs_to(lib, lr, start, batches, target, most):
    """Epochs of mini-batch descent until each replica's loss over its own data, batches of x (R, n, 2) and y (R, n), is
    below `target`; `most` + 1 if it never is: (R,)."""
    x, y = (torch.cat(parts, 1) for parts in zip(*batches, strict=True))
    needed = torch.full((start[0].shape[0],), float(most + 1), dtype=torch.float64, device=x.device)
    params = start
    for epoch in range(1, most + 1):
        for inputs, labels in batches:
            _, slopes = gradients(
                lambda p, _, inputs=inputs, labels=labels: binary_loss(lib, p, inputs, labels), params
            )
            params, _ = lib.sgd(params, slopes, None, lr=lr)
        arrived = (binary_loss(lib, params, x, y) < target) & (needed > epoch)
        needed = torch.where(arrived, float(epoch), needed)
        if bool((needed <= epoch).all()):
            break
    return needed


@claim(
    "ib-3.4", "The higher the learning rate, the fewer epochs training takes.",
    needs=["dense", "tanh", "sgd"],
    setting={"rates": (0.1, 0.3, 1.0)},
    expect=CONDITIONAL(
        "the rates are 0.1, 0.3 and 1, each about three times the one before, in a net of 16 units on two moons; a rate of 10 "
        "takes longer",
        within={"rates": instead((0.1, 0.3, 1.0))}, beyond={"rates": instead((1.0, 10.0))},
    ),
    kind="tendency",
    sabotage={
        "rates in falling order": {"rates": lambda sound: sound[::-1]},
        "the rate is ignored": {"sgd": with_arguments(lr=0.1)},
    },
)  # fmt: skip
def fewer_epochs_at_a_higher_rate(lib, trial, rates):
    """Reading: a net with 16 hidden units on two moons, trained on batches of 50 from 200 points, reaches a mean loss
    of 0.3 at least one epoch sooner at the next higher rate, and at the highest within five, a handful: means over 40 nets, each with
    points of its own. At most 15 epochs are run; a net that has not arrived then counts as 16.
    Why: below the rate at which steps overshoot, longer steps cover
    the same way in fewer of them; far above, little settles. Between 1 and 3 it depends on the points which rate is ahead.
    Margins: the means are about 13, 7, 3 and 9, a mean of 40 nets wavers by 0.5."""
    most, generator = 15, trial.generator("start")
    x, y = tasks.moons(40 * 200, trial.generator("data"))
    batches = list(zip(x.reshape(40, 200, 2).split(50, 1), y.reshape(40, 200).split(50, 1), strict=True))
    start = random_layers([2, 16, 1], 40, generator)
    epochs = torch.stack([epochs_to(lib, lr, start, batches, 0.3, most).mean() for lr in rates])
    picture = curve(
        "Epochs until the loss is below 0.3", rates, {"mean of 40 nets": epochs},
        x_label="learning rate", y_label="epochs", marks={"not reached": most + 1.0}, log_x=True,
    )  # fmt: skip
    handful = at_most(epochs[-1], 5, what="epochs at the highest rate")
    fewer = at_most(epochs[1:] - epochs[:-1], -1, what="epochs more at the higher rate")
    return (fewer & handful).with_figure(picture)


SHARES = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002)


@claim(
    "ib-3.6",
    "A low learning rate converges slowly: the number of steps grows as one over the rate.",
    needs=["sgd"],
    cases=[{"share": share} for share in SHARES],
    setting={"start": 1.0},
    also=["ib-13.6", "gfg-21.4"],
    covers="slowness, on a convex loss with exact gradients",
    expect=HOLDS,
    kind="tendency",
    sabotage={
        "starts at the minimum": {"start": instead(0.0)},
        "the rate is ignored": {"sgd": with_arguments(lr=0.1)},
        "half of every step": {"sgd": lambda sound: lambda p, g, s, *, lr: sound(p, g, s, lr=lr / 2)},
    },
)
def steps_grow_as_one_over_the_rate(lib, trial, share, start):
    """Reading: descent on w²/2 at rate lr takes n steps from 1 to 10⁻⁶ with (1 - lr)·ln 10⁶ <= lr·n <= ln 10⁶ + lr.
    Why: n is the first with (1 - lr)ⁿ <= 10⁻⁶, and lr <= -ln(1 - lr) <= lr/(1 - lr)."""
    distance = math.log(1e6)
    n = count_steps(lib, share, 1.0, start * one(trial.device), 1e-6, 20_000)
    return between(share * n, (1 - share) * distance, distance + share, what="rate times steps")


@claim(
    "ib-13.7",
    "A higher learning rate learns faster, and a still higher one does not converge.",
    needs=["sgd"],
    given={"curvature": reals(0.1, 10)},
    setting={"rates": (0.1, 1.0, 2.5)},
    expect=HOLDS,
    kind="existence",
    sabotage={
        "no rate above one over the curvature": {"rates": instead((0.1, 0.5, 1.0))},
        "the middle rate above two over the curvature": {"rates": instead((0.1, 2.2, 2.5))},
        "the rate is ignored": {"sgd": with_arguments(lr=0.1)},
    },
)
def a_higher_rate_is_faster_and_a_still_higher_one_fails(lib, trial, curvature, rates):
    """Reading: on c·w²/2 the rate 1/c needs fewer steps to 0.001
    than 0.1/c, and 2.5/c multiplies the distance by 1.5 per step.
    Why: the factors per step are 0, 0.9 and -1.5."""
    low, middle, high = (rate / curvature for rate in rates)
    slow, fast = (count_steps(lib, lr, curvature, one(trial.device), 1e-3, 100) for lr in (low, middle))
    end = path(lambda p, g, s: lib.sgd(p, g, s, lr=high), lambda w: curvature * w, one(trial.device), 30)[-1]
    return at_least(slow, fast + 1, what="steps at the lower rate, against more than at the higher one") & diverges(
        end, beyond=1e5, what="distance after 30 steps at the highest rate"
    )


@claim(
    "ib-3.7",
    "A low learning rate need not converge: steps below the resolution of the numbers change nothing.",
    needs=["sgd"],
    setting={"lr": 1e-9},
    reading="may never converge",
    expect=HOLDS,
    kind="existence",
    sabotage={
        "a rate within the resolution": {"lr": instead(1e-3)},
        "a rate of one half whatever is asked": {"sgd": with_arguments(lr=0.5)},
    },
)
def a_rate_below_the_resolution_stands_still(lib, trial, lr):
    """Reading: descent on w²/2 in float32 from w = 1 at the rate 10⁻⁹ is still at 1, to the bit, after 1000 steps.
    Why: numbers just below 1 lie 6·10⁻⁸ apart, so 1 - 10⁻⁹ is rounded back to 1."""
    start = torch.ones(1, dtype=torch.float32, device=trial.device)
    visited = path(lambda p, g, s: lib.sgd(p, g, s, lr=lr), lambda w: w, start, 1000)
    return at_least(visited, 1, what="distance from the minimum, over the start's")


@claim(
    "ib-3.7",
    "Rates that fall off too fast stop descent short of the minimum.",
    needs=["sgd", "exponential_decay"],
    given={"percent": sizes(1, 40), "factor": reals(0.1, 0.5)},
    reading="may never converge",
    expect=HOLDS,
    sabotage={
        "the rate does not fall": {"exponential_decay": lambda sound: lambda step, *, lr, factor: lr},
        "the rate falls as one over the step": {
            "exponential_decay": lambda sound: lambda step, *, lr, factor: lr / (1 + step / 10)
        },
    },
)
def rates_that_fall_too_fast_stop_short(lib, trial, percent, factor):
    """Reading: with lr_t = lr·factorᵗ, lr <= 0.4, descent on w²/2 from
    1 never comes below (1 - lr)^(1/(1 - factor)), here within 20 steps.
    Why: 1 - lr·factorᵗ >= (1 - lr)^(factorᵗ) by concavity
    (Bernoulli), and the exponents sum to at most 1/(1 - factor)."""
    lr = percent / 100
    w, lowest = one(trial.device), 1.0
    for step in range(20):
        (w,), _ = lib.sgd([w], [w], None, lr=lib.exponential_decay(step, lr=lr, factor=factor))
        lowest = min(lowest, float(w))
    floor = (1 - lr) ** (1 / (1 - factor))
    # three roundings in each of twenty steps may take this share off the exact bound
    return at_least(lowest, floor * (1 - 60 * 2.0**-53), what="lowest distance, against the bound")
