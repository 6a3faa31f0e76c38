"""What the learning rate does to one update: it scales it. It
sets neither how often updates happen nor their size alone."""

from __future__ import annotations

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.evidence import all_of, at_least, at_most, close, equal, fact, true, within
from assay.sabotage import instead, with_arguments
from assay.strategies import normals, reals, shapes, sizes
from claims.lab.descent import path
from claims.optimizers.momentum import only_the_first

OPTIMIZERS = {"sgd": {}, "momentum": {"beta": 0.9}, "nesterov": {"beta": 0.9}, "adam": {}}


def one_step(lib, optimizer, w, g, lr):
    """The change of w that the first step of an optimiser makes, after another parameter with a gradient of its own."""
    moved, _ = getattr(lib, optimizer)([w[..., None], w], [g[..., None] / -2, g], None, lr=lr, **OPTIMIZERS[optimizer])
    return moved[1] - w


def crooked_rate(sound):
    """A rate that enters with a power slightly above one."""
    return lambda params, grads, state, *, lr, **rest: sound(params, grads, state, lr=lr**1.001, **rest)


def times(factor):
    """Every step longer or shorter by this factor."""
    return lambda sound: lambda params, grads, state, *, lr: sound(params, grads, state, lr=factor * lr)


def unit_length(sound):
    """Divides the gradient by its length first."""
    return lambda params, grads, state, *, lr: sound(params, [g / g.norm() for g in grads], state, lr=lr)


@claim(
    "ib-3.5",
    "An update is proportional to the learning rate: a larger rate gives a larger change.",
    needs=["sgd", "momentum", "nesterov", "adam"],
    given={"w": normals(shapes(1, 2)), "lr": reals(1e-3, 2), "factor": reals(1.1, 10)},
    also=["gfg-21.2", "gfg-23.6"],
    reading="the rate scales an update from a given point",
    expect=HOLDS,
    sabotage={
        "descent ignores the rate": {"sgd": with_arguments(lr=0.1)},
        "momentum bends the rate": {"momentum": crooked_rate},
        "Adam ignores the rate": {"adam": with_arguments(lr=0.001)},
        **{f"{role} moves the first parameter only": {role: only_the_first} for role in OPTIMIZERS},
    },
)
def an_update_is_proportional_to_the_rate(lib, w, lr, factor):
    """Reading: for descent, both kinds of momentum and Adam, from the same point with
    the same gradient, the step at the rate factor·lr is factor times the step at lr.
    Why: in each of them the rate only multiplies a direction that does not depend on it."""
    g = (3 * w + 1).flip(0)

    def proportional(optimizer):
        step, longer = one_step(lib, optimizer, w, g, lr), one_step(lib, optimizer, w, g, factor * lr)
        # forming w' and w' - w rounds by |w'| each; the direction (up to 8 operations in Adam) is the same on both
        # sides
        scale = w.abs() * (1 + factor) + factor * step.abs()
        what = f"{optimizer}: step at the larger rate differs from the factor"
        grows = true(bool(longer.norm() > step.norm()), what=f"{optimizer}: the larger rate does not lengthen the step")
        return grows & close(longer, factor * step, operations=12, scale=scale, what=what)

    return all_of([proportional(optimizer) for optimizer in OPTIMIZERS])


@claim(
    "ib-3.5",
    "Along a run at a larger learning rate every update is larger.",
    needs=["sgd"],
    setting={"updates": 4},
    reading="update for update along a run",
    expect=REFUTED(
        instead="From a given point the update is proportional to the rate; along a run at a larger rate only the first must be "
        "larger, as the later ones start from other points.",
        by="an_update_is_proportional_to_the_rate",
    ),
    sabotage={"only the first update": {"updates": instead(1)}},
)
def every_update_of_a_run_grows_with_the_rate(lib, trial, updates):
    """Reading: on w²/2 from 1, each of the first four updates at the rate 0.9 is at least as long as that at 0.1.
    Why it fails: a step leaves 1 - lr of w; the third updates have the lengths 0.9·0.1² and 0.1·0.9², 0.009 and 0.081."""
    start = torch.ones(1, dtype=torch.float64, device=trial.device)
    runs = (path(lambda p, g, s, lr=lr: lib.sgd(p, g, s, lr=lr), lambda w: w, start, updates) for lr in (0.1, 0.9))
    low, high = (visited.diff(dim=0).abs() for visited in runs)
    return at_least(high, low, what="length of the update at the larger rate, against the smaller one's")


@claim(
    "ib-13.5",
    "The learning rate is the factor that turns a gradient into an update.",
    needs=["sgd"],
    given={"w": normals(shapes(1, 2)), "lr": reals(1e-3, 2), "power": sizes(0, 3)},
    covers="plain descent",
    expect=HOLDS,
    sabotage={
        "steps of length lr in every coordinate, as Adam takes at first": {
            "sgd": lambda sound: (
                lambda params, grads, state, *, lr: sound(params, [g.sign() for g in grads], state, lr=lr)
            )
        },
        "the rate bent": {"sgd": crooked_rate},
        "the gradient cut to unit length": {"sgd": unit_length},
    },
)
def descent_moves_by_rate_times_gradient(lib, w, lr, power):
    """Reading: one step of descent changes w by -lr·g, for gradients g of any size (here scaled by 1, 10, 100, 1000).
    Why: this is how gradient descent is defined. The word rate means step per gradient, not updates per time."""
    g = 10.0**power * (3 * w + 1).flip(0)
    step = one_step(lib, "sgd", w, g, lr)
    return close(
        step, -lr * g, operations=4, scale=w.abs() + lr * g.abs(), what="the step differs from rate times gradient"
    )


@claim(
    "ib-13.5",
    "With Adam too the learning rate is the factor that turns a gradient into an update.",
    needs=["adam"],
    given={"w": normals(shapes(1, 2)), "lr": reals(1e-3, 2), "power": sizes(0, 3)},
    covers="Adam",
    expect=REFUTED(
        instead="Adam's first step has the length of the rate in every coordinate whose gradient is large against its "
        "constant eps, 1e-8, however large that gradient is.",
        by="adam_first_moves_each_coordinate_by_the_rate",
    ),
    sabotage={
        "plain descent in its place": {
            "adam": lambda sound: (
                lambda params, grads, state, *, lr: ([p - lr * g for p, g in zip(params, grads, strict=True)], state)
            )
        },
    },
)
def adam_moves_by_rate_times_gradient(lib, w, lr, power):
    """Reading: Adam's first step from w is -lr·g, for gradients g of any size (here scaled by 1, 10, 100, 1000).
    Why it fails: Adam divides by the root of the mean squared gradient, and the gradient's size with it."""
    g = 10.0**power * (3 * w + 1).flip(0)
    step = one_step(lib, "adam", w, g, lr)
    return close(
        step, -lr * g, operations=4, scale=w.abs() + lr * g.abs(), what="the step differs from rate times gradient"
    )


@claim(
    "gfg-21.2",
    "Adam's first step moves each coordinate whose gradient is large against eps = 1e-8 by the learning rate.",
    needs=["adam"],
    given={"w": normals(shapes(1, 2)), "lr": reals(1e-3, 2), "power": sizes(-10, 3)},
    also=["gfg-23.6"],
    reading="the rate alone sets the size",
    covers="Adam's first step, where the gradient is large against Adam's constant eps, 1e-8",
    expect=HOLDS,
    sabotage={
        "no correction of the first mean": {
            "adam": lambda sound: lambda params, grads, state, *, lr: sound(params, grads, state, lr=lr * 0.1)
        },
        "a step of rate times gradient": {
            "adam": lambda sound: (
                lambda params, grads, state, *, lr: ([p - lr * g for p, g in zip(params, grads, strict=True)], state)
            )
        },
    },
)
def adam_first_moves_each_coordinate_by_the_rate(lib, w, lr, power):
    """Reading: for |g| from 1e-10 to 1000 and more, Adam's first step is -lr·g/(|g| + eps), at most lr long, and at least 0.99·lr
    where |g| >= 1e-6. Smaller gradients give shorter steps.
    Why: the corrected means are g and g²; 1/(1 + eps/|g|) >= 1 - eps/|g|, which is 0.99 at |g| = 1e-6."""
    g = 10.0**power * (w.sign() + w)
    step, rounding = one_step(lib, "adam", w, g, lr), 2e-16 * 12 * (w.abs() + lr)
    expected, least = -lr * g / (g.abs() + 1e-8), torch.where(g.abs() >= 1e-6, 0.99 * lr, 0.0)
    formula = within(step, expected, rounding, what="a step differs from lr·g/(|g| + eps) by", why="rounding")
    return formula & at_least(step.abs() + rounding, least, what="length of a step, against 99 percent of the rate")


@claim(
    "gfg-23.6",
    "The learning rate alone determines how large an update is.",
    needs=["sgd"],
    given={"w": normals([3]), "lr": reals(1e-3, 2), "slope": reals(1.5, 10)},
    also=["gfg-21.2"],
    reading="the rate alone sets the size",
    covers="plain descent, from loss to loss",
    expect=REFUTED(
        instead="An update of gradient descent is the rate times the "
        "gradient: at the same rate, a ten times steeper loss gives ten times longer steps.",
        by="descent_moves_by_rate_times_gradient",
    ),
    sabotage={"gradients cut to unit length": {"sgd": unit_length}},
)
def the_same_rate_means_the_same_update_size(lib, w, lr, slope):
    """Reading: two losses of different slope give updates of the same length at the same rate.
    Why it fails: the gradient's length multiplies the rate;
    only optimisers that divide by it, as Adam does, lose it."""
    gradient = torch.ones_like(w)
    flat, steep = (one_step(lib, "sgd", w, g, lr).norm() for g in (gradient, slope * gradient))
    return close(
        steep, flat, operations=16, scale=w.norm() + slope * lr * 2, what="the update on the steeper loss differs by"
    )


@claim(
    "gfg-23.6",
    "During a run at a fixed learning rate all updates have the same size.",
    needs=["sgd"],
    setting={"steps": 10, "lr": 0.3},
    also=["gfg-21.2"],
    reading="the rate alone sets the size",
    covers="plain descent, along a run",
    expect=REFUTED(
        instead="At a fixed rate the updates change as the gradient does: near a minimum they shrink.",
        by="descent_moves_by_rate_times_gradient",
    ),
    sabotage={"gradients cut to unit length": {"sgd": unit_length}},
)
def updates_at_a_fixed_rate_keep_their_size(lib, trial, steps, lr):
    """Reading: along ten steps of descent on |w|²/2 from (8, 6), far from the minimum, all updates are equally long.
    Why it fails: the gradient is w itself, which becomes 0.7 times as long with every step."""
    start = torch.tensor([8.0, 6.0], dtype=torch.float64, device=trial.device)
    visited = path(lambda p, g, s: lib.sgd(p, g, s, lr=lr), lambda w: w, start, steps)
    sizes_of_updates = visited.diff(dim=0).norm(dim=-1)
    return close(
        sizes_of_updates,
        sizes_of_updates[0],
        operations=20,
        scale=10.0,
        what="an update's length differs from the first by",
    )


@claim(
    "gfg-21.2",
    "The learning rate makes the loss minimal.",
    needs=["sgd"],
    cases=[{"percent": share} for share in (20, 50, 100, 150, 190, 210, 300)],
    reading="and the loss becomes minimal",
    expect=CONDITIONAL(
        "the loss is convex and smooth, the rate lies below two over its largest curvature, and the steps suffice, here 100 for "
        "rates of at least a fifth of one over that curvature and curvatures within a factor of 4",
        within=lambda percent: percent < 200,
    ),
    sabotage={
        "never moves": {"sgd": with_arguments(lr=0.0)},
        "twice the rate": {"sgd": times(2)},
        "a tenth of the rate, for which 100 steps do not suffice": {"sgd": times(0.1)},
    },
)  # fmt: skip
def the_rate_makes_the_loss_minimal(lib, trial, percent):
    """Reading: at the rate share/4, 100 steps on (c·w₁² + 4·w₂²)/2 from (1, 1), for c = 1, 2, 3, 4, leave at most a thousandth of
    the loss.
    Why: a step multiplies the coordinates by 1 - share·c/4 and 1 - share, at most 0.95 in size for shares of 0.2 to 1.9, and
    0.95²⁰⁰ = 4·10⁻⁵; above 2 the second grows."""
    flat = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64, device=trial.device)
    curvature = torch.stack([flat, torch.full_like(flat, 4.0)], -1)
    start = torch.ones_like(curvature)
    visited = path(lambda p, g, s: lib.sgd(p, g, s, lr=percent / 400), lambda w: curvature * w, start, 100)
    loss = (curvature * visited.square()).sum(-1) / 2
    return at_most(loss[-1] / loss[0], 1e-3, what="share of the loss that is left")


def count_updates(lib, device, n, size, epochs, lr):
    """Fit the mean of 1..n by mini-batch descent and count the updates that changed it."""
    x = torch.arange(1.0, n + 1, dtype=torch.float64, device=device)
    w, changed = torch.zeros(1, dtype=torch.float64, device=device), 0
    for _ in range(epochs):
        for batch in lib.epoch_batches(n, size):
            (moved,), _ = lib.sgd([w], [(w - x[batch]).mean(0, keepdim=True)], None, lr=lr)
            changed += int(not torch.equal(moved, w))
            w = moved
    return changed


@claim(
    "gfg-21.1",
    "The learning rate controls how often the optimizer changes the weights.",
    needs=["sgd", "epoch_batches"],
    setting={"runs": [(4, 1e-4), (4, 1e-2), (4, 1.0)]},
    expect=REFUTED(
        instead="The number of updates is the number of batches seen, epochs times "
        "⌈samples / batch size⌉; the rate only scales "
        "each update.",
        by="the_number_of_updates_is_epochs_times_batches",
    ),
    sabotage={"other batch sizes instead of other rates": {"runs": instead([(4, 1e-2), (7, 1e-2), (10, 1e-2)])}},
)
def the_rate_sets_how_often_weights_change(lib, trial, runs):
    """Reading: with the same data, batch size and epochs, runs at different rates make different numbers of updates.
    Why it fails: an update happens once per batch; the rate enters only its size."""
    counts = [count_updates(lib, trial.device, 30, size, 3, lr) for size, lr in runs]
    different = len(set(counts))
    return fact(
        "numbers of updates that are missing to make them all different", len(runs) - different, 0,
        why=f"the runs made {counts} updates",
    )  # fmt: skip


@claim(
    "gfg-21.1",
    "The number of updates is the number of epochs times the number of batches, whatever the rate.",
    needs=["sgd", "epoch_batches"],
    given={"n": sizes(1, 40), "size": sizes(1, 12), "epochs": sizes(1, 3), "part": sizes(1, 100)},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "the last short batch is dropped": {
            "epoch_batches": lambda sound: lambda n, size: [b for b in sound(n, size) if len(b) == size or n < size]
        },
        "an optimiser that never moves": {"sgd": with_arguments(lr=0.0)},
    },
)
def the_number_of_updates_is_epochs_times_batches(lib, trial, n, size, epochs, part):
    """Reading: for n samples, any batch size and a rate of part/101, a run makes epochs·⌈n/size⌉ updates.
    Why: one update per batch. As 101 is prime, the fitted mean is
    a fraction that no batch mean equals: no gradient is zero."""
    made = count_updates(lib, trial.device, n, size, epochs, part / 101)
    return equal(made, epochs * -(-n // size), what="the number of updates differs")
