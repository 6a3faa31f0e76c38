"""Batch gradient descent: every step uses the whole training set."""

from __future__ import annotations

import torch

from assay.claim import CONDITIONAL, HOLDS, claim
from assay.evidence import at_least, at_most, close, equal
from assay.sabotage import instead
from assay.strategies import seeds, sizes
from claims.lab.regression import batch_descent, distance, gaussian, sampled_descent

SUMS = {"mean_gradient": lambda sound: lambda g: sound(g) * g.shape[-2]}
DROPS_LAST = {"mean_gradient": lambda sound: lambda g: sound(g[..., :-1, :]) * (g.shape[-2] - 1) / g.shape[-2]}


def random_half(sound):
    """Averages half of the samples, new ones at each call."""
    g = torch.Generator().manual_seed(0)
    return lambda x: sound(x[..., torch.randperm(x.shape[-2], generator=g)[: (x.shape[-2] + 1) // 2].to(x.device), :])


def on_one_set(trial, seed, n, d, noise=1.0):
    """One random regression and a starting point: Regression of one replica, w (1, d)."""
    data = gaussian(1, n, d, trial.generator("data", seed), noise=noise)
    return data, torch.zeros(1, d, dtype=torch.float64, device=trial.device)


@claim(
    "ib-21.1",
    "The step of batch descent follows the gradient of the loss over the whole training set.",
    needs=["mean_gradient"],
    also=["ib-22.8", "gfg-25.2"],
    given={"seed": seeds(), "n": sizes(2, 40), "d": sizes(1, 6)},
    expect=HOLDS,
    sabotage={"sums where it should average": SUMS, "leaves one sample out": DROPS_LAST},
)
def batch_gradient_is_the_gradient_of_the_whole_sets_loss(lib, trial, seed, n, d):
    """Reading: for every set of n samples, the mean of the samples' gradients equals the gradient, by autograd, of the mean loss.
    Why: differentiation is linear. The allowance is that of sums of n products of d terms, on the sum of absolute terms."""
    data, _ = on_one_set(trial, seed, n, d)
    w = torch.randn(
        1, d, generator=trial.generator("w", seed), dtype=torch.float64, device=trial.device
    ).requires_grad_()
    (expected,) = torch.autograd.grad(data.loss(w).sum(), w)
    per_sample = data.sample_gradients(w.detach())
    terms = (data.x.abs() @ w.detach().abs()[..., None] + data.y.abs()[..., None]) * data.x.abs()
    return close(
        lib.mean_gradient(per_sample),
        expected,
        operations=2 * (n + d + 4),
        scale=terms.mean(-2),
        what="mean of sample gradients differs from the gradient by",
    )


SURFACES = {
    "round bowl": (lambda w: w.square().sum(-1) / 2, 1.0),
    "long bowl": (lambda w: (w.square() * w.new_tensor([1.0, 8.0])).sum(-1) / 2, 8.0),
    "softened absolute value": (lambda w: torch.logaddexp(w, -w).sum(-1), 1.0),
    "absolute value": (lambda w: w.abs().sum(-1), 1.0),
    "two wells": (lambda w: (w**4 / 4 - w**2 / 2 + 0.1 * w).sum(-1), 12.0),
    "waves": (lambda w: (w.square() / 20 - torch.cos(3 * w)).sum(-1), 9.1),
}
LEAST = {"softened absolute value": 2 * 0.6931471805599453, "two wells": 2 * -0.35238607380003645, "waves": -2.0}
SMOOTH = ("round bowl", "long bowl", "softened absolute value", "two wells", "waves")
CONVEX = ("round bowl", "long bowl", "softened absolute value", "absolute value")
REACHED = 1e-6  # far below the smallest excess of a wrong end here (0.005) and above rounding (1e-15)


def excess_after_descent(lib, trial, surface, steps=400, share=1.0):
    """How far above the least value descent with rate share/curvature ends, from a start on the far side."""
    loss, curvature = SURFACES[surface]
    w = torch.tensor([1.55, 1.43], dtype=torch.float64, device=trial.device)
    for _ in range(steps):
        leaf = w.requires_grad_()
        (slope,) = torch.autograd.grad(loss(leaf), leaf)
        (w,), _ = lib.sgd([leaf.detach()], [slope], None, lr=share / curvature)
    return loss(w) - LEAST.get(surface, 0.0)


@claim(
    "ib-21.3",
    "On convex error surfaces batch descent finds the lowest point.",
    needs=["sgd"],
    cases=[{"surface": name} for name in CONVEX],
    also=["gfg-25.4"],
    reading="convex is enough",
    expect=CONDITIONAL(
        "the surface is convex and smooth and has a lowest point; convex alone is not enough: at a constant rate descent steps to "
        "and fro across a kink for ever",
        within=lambda surface: surface in SMOOTH,
    ),
    sabotage={"climbs": {"sgd": lambda sound: lambda p, g, s, *, lr: sound(p, [-x for x in g], s, lr=min(lr, 0.01))}},
)
def descent_finds_the_lowest_point_of_convex_surfaces(lib, trial, surface):
    """Reading: from a fixed start, 400 steps of rate 1/curvature end within 1e-6 of the least value, for each convex surface.
    Why not all: at a kink the slope does not shrink, so a constant rate steps back and forth across the minimum for ever;
    rates that fall to zero would get there."""
    return at_most(excess_after_descent(lib, trial, surface), REACHED, what="height of the end above the least value")


@claim(
    "ib-21.3",
    "On fairly smooth error surfaces batch descent finds the lowest point.",
    needs=["sgd"],
    cases=[{"surface": name} for name in SMOOTH],
    also=["gfg-25.4"],
    reading="smooth is enough",
    expect=CONDITIONAL(
        "the surface is convex and smooth and has a lowest point; smooth alone is not enough: descent stops in the first valley",
        within=lambda surface: surface in CONVEX,
    ),
    sabotage={"climbs": {"sgd": lambda sound: lambda p, g, s, *, lr: sound(p, [-x for x in g], s, lr=min(lr, 0.01))}},
)
def descent_finds_the_lowest_point_of_smooth_surfaces(lib, trial, surface):
    """Reading: as for convex surfaces, for each smooth one.
    Why not all: descent stops in the first valley that it reaches, which need not be the deepest."""
    return at_most(excess_after_descent(lib, trial, surface), REACHED, what="height of the end above the least value")


@claim(
    "ib-22.13",
    "With enough time batch descent always returns the best answer.",
    needs=["sgd"],
    cases=[{"surface": name} for name in SURFACES],
    reading="the minimum is reached",
    expect=CONDITIONAL(
        "the loss is convex and smooth and has a lowest point, and the rate is constant and below two over its curvature",
        within=lambda surface: surface in CONVEX and surface in SMOOTH,
    ),
    sabotage={"never moves": {"sgd": lambda sound: lambda p, g, s, *, lr: sound(p, g, s, lr=0.0)}},
)
def enough_time_gives_the_best_answer(lib, trial, surface):
    """Reading: after 400 steps of rate 1/curvature the loss is within 1e-6 of the least value, for every surface.
    Why not all: time does not help out of a valley that is not the deepest, nor, at a constant rate, to rest at a kink."""
    return at_most(excess_after_descent(lib, trial, surface), REACHED, what="height of the end above the least value")


@claim(
    "ib-22.13",
    "With enough time batch descent returns the best answer on smooth convex surfaces at any rate.",
    needs=["sgd"],
    cases=[{"surface": name} for name in SMOOTH if name in CONVEX],
    setting={"share": 1.9},
    reading="the minimum is reached",
    covers="smooth convex losses with a lowest point",
    expect=CONDITIONAL(
        "the loss is convex and smooth and has a lowest point, and the rate is below two over its curvature, as 1.9 over it and "
        "not 2.1",
        within={"share": instead(1.9)},
        beyond={"share": instead(2.1)},
    ),
    sabotage={"never moves": {"sgd": lambda sound: lambda p, g, s, *, lr: sound(p, g, s, lr=0.0)}},
)
def enough_time_gives_the_best_answer_at_any_rate(lib, trial, surface, share):
    """Reading: after 400 steps at the rate share/curvature the loss is within 1e-6 of the least value.
    Why: along the steepest direction a step multiplies the distance by 1 - share, at 2.1 by -1.1; on the softened absolute value,
    whose curvature falls off, this is so near its lowest point."""
    return at_most(
        excess_after_descent(lib, trial, surface, share=share),
        REACHED,
        what="height of the end above the least value",
    )


@claim(
    "ib-22.12",
    "Batch descent gives the same run every time; stochastic descent gives another with each seed.",
    needs=["mean_gradient", "sgd", "epoch_batches"],
    given={"seed": seeds(), "n": sizes(16, 24)},
    setting={"same": False},
    expect=HOLDS,
    sabotage={
        "the stochastic runs share their seed": {"same": instead(True)},
        "the batch is a random half": {"mean_gradient": random_half},
        "batches are never shuffled": {
            "epoch_batches": lambda sound: lambda n, size, *, generator=None: sound(n, size)
        },
    },
)
def batch_runs_coincide_and_stochastic_runs_differ(lib, trial, seed, n, same):
    """Reading: two batch runs agree to the last bit; two stochastic runs with the same seed do too, with different seeds they differ.
    Why: the only chance in either is the order in which samples are drawn; two orders of 16 or more samples coincide with
    probability at most 1/16! = 5e-14, in a hundred examples 5e-12, and the weights that different orders lead to differ."""
    data, w = on_one_set(trial, seed, n, 3)

    def stochastic(key):
        point, g = w, trial.generator("order", seed, key)
        for index in lib.epoch_batches(n, 1, generator=g):
            (point,), _ = lib.sgd([point], [lib.mean_gradient(data.rows(index).sample_gradients(point))], None, lr=0.05)
        return point

    runs = [batch_descent(lib, data, w, lr=0.05, steps=5) for _ in range(2)]
    again = equal(runs[0], runs[1], what="entries in which two batch runs differ") & equal(
        stochastic(0), stochastic(0), what="entries in which runs of one seed differ"
    )
    gap = float((stochastic(0) - stochastic(0 if same else 1)).abs().max())
    return again & at_least(gap, 1e-12, what="largest difference of two seeds")


@claim(
    "ib-22.15",
    "Batch descent does not care in which order the samples come.",
    needs=["mean_gradient", "sgd", "epoch_batches"],
    also=["gfg-25.2"],
    given={"seed": seeds(), "n": sizes(10, 30)},
    setting={"size": lambda n: n},
    expect=HOLDS,
    sabotage={
        "mini-batches of three in the order of the rows": {"size": instead(lambda n: 3)},
        "leaves the last sample out": DROPS_LAST,
    },
)
def order_does_not_matter_to_batch_descent(lib, trial, seed, n, size):
    """Reading: for any permutation of the samples, one update an epoch leads, after 20 epochs, to the same weights up to rounding.
    Why: a sum does not depend on the order of its terms; each step adds at most n + d roundings and contracts what was there."""
    data, start = on_one_set(trial, seed, n, 3)
    order = torch.randperm(n, generator=trial.generator("order", seed), device=trial.device)

    def run(given):
        w, updates = start, 0
        for _ in range(20):
            for index in lib.epoch_batches(n, size(n)):
                (w,), _ = lib.sgd(
                    [w],
                    [lib.mean_gradient(given.rows(index).sample_gradients(w))],
                    None,
                    lr=0.5 / float(data.curvature()),
                )
                updates += 1
        return w, updates

    (plain, updates), (shuffled, _) = run(data), run(data.rows(order))
    scale = plain.abs().max() + data.y.abs().max() * data.x.abs().max() / data.curvature()
    return close(
        shuffled,
        plain,
        operations=20 * 4 * (n + 3),
        scale=scale.expand_as(plain),
        what="weights after another order differ by",
    ) & equal(updates, 20 * -(-n // size(n)), what="updates in 20 epochs")


@claim(
    "gfg-25.3",
    "Batch descent can be slow on large sets but ends at a more accurate model.",
    needs=["mean_gradient", "sgd"],
    reading="after one pass over the data",
    setting={"n": 400, "size": 1},
    expect=HOLDS,
    limit=60,
    sabotage={
        "so few samples that n times the rate is 0.4": {"n": instead(20)},
        "one step along the mean of 400 drawn samples": {"size": instead(400)},
    },
)
def after_one_pass_batch_descent_is_behind(lib, trial, n, size):
    """Reading: one batch step of the rate 1/L leaves a larger distance to the optimum than n single-sample steps of rate 0.02 do,
    on 400 samples, in paired runs.
    Why: for the same number of sample gradients the batch moves once, by 1/L along the steepest direction and by less along all
    others; the n small steps together shrink the start by about exp(-0.02·n): n·lr = 8 is far above one, 0.4 would not be."""

    def pair(runs, g):
        data = gaussian(runs, n, 10, g, noise=0.1)
        start, best = torch.zeros(runs, 10, dtype=torch.float64, device=trial.device), data.minimiser()
        stochastic = sampled_descent(lib, data, start, rate=lambda step: 0.02, steps=n // size, size=size, generator=g)
        batch = batch_descent(lib, data, start, lr=1 / data.curvature(), steps=1)
        return distance(stochastic, best), distance(batch, best)

    return trial.prefers(pair, what="single-sample steps are nearer after one pass", most=128)


@claim(
    "gfg-25.3",
    "Batch descent can be slow on large sets but ends at a more accurate model.",
    needs=["mean_gradient", "sgd"],
    reading="in the limit",
    setting={"noise": 1.0},
    expect=HOLDS,
    limit=60,
    sabotage={"noise-free data, on which single samples agree": {"noise": instead(0.0)}},
)
def in_the_limit_batch_descent_is_more_accurate(lib, trial, noise):
    """Reading: 60 batch steps end nearer to the optimum than 4000 single-sample steps of constant rate do, in paired runs.
    Why: the batch gradient vanishes at the optimum, single-sample gradients do not: a constant rate leaves a floor."""

    def pair(runs, g):
        data = gaussian(runs, 200, 4, g, noise=noise)
        start, best = torch.zeros(runs, 4, dtype=torch.float64, device=trial.device), data.minimiser()
        stochastic = sampled_descent(lib, data, start, rate=lambda step: 0.05, steps=4000, size=1, generator=g)
        batch = batch_descent(lib, data, start, lr=1 / data.curvature(), steps=60)
        return distance(batch, best), distance(stochastic, best)

    return trial.prefers(pair, what="batch descent is nearer in the limit", most=128)
