"""What the learning rate does to one update: it scales it. It
sets neither how often updates happen nor their size alone."""

from __future__ import annotations

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.evidence import all_of, at_most, close, equal, fact, within
from assay.sabotage import instead, with_arguments
from assay.strategies import normals, reals, shapes, sizes
from claims.lab.descent import path

OPTIMIZERS = {"sgd": {}, "momentum": {"beta": 0.9}, "nesterov": {"beta": 0.9}, "adam": {}}


def one_step(lib, optimizer, w, g, lr):
    """The change that the first step of an optimiser makes."""
    moved, _ = getattr(lib, optimizer)([w], [g], None, lr=lr, **OPTIMIZERS[optimizer])
    return moved[0] - w


def crooked_rate(sound):
    """A rate that enters with a power slightly above one."""
    return lambda params, grads, state, *, lr, **rest: sound(params, grads, state, lr=lr**1.001, **rest)


def tenth(sound):
    """A tenth of every step."""
    return lambda params, grads, state, *, lr: sound(params, grads, state, lr=lr / 10)


def unit_length(sound):
    """Divides the gradient by its length first."""
    return lambda params, grads, state, *, lr: sound(params, [g / g.norm() for g in grads], state, lr=lr)


@claim(
    "ib-3.5",
    "An update is proportional to the learning rate: a larger rate gives a larger change.",
    needs=["sgd", "momentum", "nesterov", "adam"],
    given={"w": normals(shapes(1, 2)), "lr": reals(1e-3, 2), "factor": reals(1.1, 10)},
    also=["gfg-21.2", "gfg-23.6"],
    reading="the rate scales each update",
    expect=HOLDS,
    sabotage={
        "descent ignores the rate": {"sgd": with_arguments(lr=0.1)},
        "momentum bends the rate": {"momentum": crooked_rate},
        "Adam ignores the rate": {"adam": with_arguments(lr=0.001)},
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
        return close(longer, factor * step, operations=12, scale=scale, what=what)

    return all_of([proportional(optimizer) for optimizer in OPTIMIZERS])


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
        instead="Adam's first step has the length of the rate in every coordinate, whatever the gradient's size.",
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
    "Adam's first step moves each coordinate by the learning rate, whatever the gradient's size.",
    needs=["adam"],
    given={"w": normals(shapes(1, 2)), "lr": reals(1e-3, 2), "power": sizes(0, 3)},
    also=["gfg-23.6"],
    reading="the rate alone sets the size",
    covers="Adam's first step",
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
    """Reading: with |g| >= 1 in each coordinate, Adam's first step is -lr·sign(g) up to eps = 1e-8.
    Why: the corrected means are g and g², so the step is lr·g/(|g| + eps), and 1/(1 + eps/|g|) >= 1 - eps."""
    g = 10.0**power * (w.sign() + w)
    step = one_step(lib, "adam", w, g, lr)
    margin = lr * 1e-8 + 2e-16 * 12 * (w.abs() + lr)
    return within(step, -lr * g.sign(), margin, what="a step differs from the rate by", why="lr·eps, and rounding")


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
        instead="At a fixed rate the updates shrink as the gradient does.",
        by="descent_moves_by_rate_times_gradient",
    ),
    sabotage={"gradients cut to unit length": {"sgd": unit_length}},
)
def updates_at_a_fixed_rate_keep_their_size(lib, trial, steps, lr):
    """Reading: along ten steps of descent on |w|²/2 from (8, 6), far from the minimum, all updates are equally long.
    Why it fails: the gradient is w itself, which becomes 0.7 times as long with every step."""
    start = torch.tensor([8.0, 6.0], dtype=torch.float64, device=trial.device)
    visited = path(lambda p, g, s: lib.sgd(p, g, s, lr=lr), lambda w: w, start, steps)
    sizes_of_updates = (visited[1:] - visited[:-1]).norm(dim=-1)
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
        "the loss is convex and smooth and the rate lies below two over its largest curvature",
        within=lambda percent: percent < 200,
    ),
    sabotage={"never moves": {"sgd": with_arguments(lr=0.0)}, "a tenth of the rate, a tenth of the way": {"sgd": tenth}},
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
    return at_most(loss[-1] / loss[0], 1e-3, what="share of the loss that is left, above one thousandth")


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


def recurrent_loss(lib, x, y, weights):
    """Half the squared error of a linear read-out of h_t =
    tanh(x_t·wxᵀ + h_{t-1}·whᵀ), with weights given for each time."""
    h, loss = torch.zeros_like(x[0]), 0.0
    for x_t, y_t, (wx, wh) in zip(x, y, weights, strict=True):
        h = lib.tanh(lib.dense(x_t, wx, None) + lib.dense(h, wh, None))
        loss = loss + (h - y_t).square().sum() / 2
    return loss


@claim(
    "gfg-47.7",
    "After backpropagation through time, descent moves the weights once, by "
    "the rate times the sum of the gradients of all times.",
    needs=["sgd", "dense", "tanh"],
    given={"times": sizes(2, 5), "start": normals([2, 3, 3], scale=0.7)},
    setting={"inside": False},
    expect=HOLDS,
    sabotage={
        "an update inside the loop over times": {"inside": instead(True)},
        "steps one percent too long": {
            "sgd": lambda sound: lambda params, grads, state, *, lr: sound(params, grads, state, lr=lr * 1.01)
        },
        "averages over two times": {
            "sgd": lambda sound: lambda params, grads, state, *, lr: sound(params, [g / 2 for g in grads], state, lr=lr)
        },
        "climbs instead of descending": {
            "sgd": lambda sound: lambda params, grads, state, *, lr: sound(params, [-g for g in grads], state, lr=lr)
        },
    },
)
def a_recurrent_net_moves_by_the_sum_over_times(lib, trial, times, start, inside):
    """Reading: with one copy of the weights per time step, w' = w -
    lr·Σ_t ∂L/∂w_t; the pass through the sequence uses one w throughout.
    Why: the weights are shared, so by the chain rule the gradient is the sum over the copies.
    A step after each time would take the later gradients at other weights."""
    cases, units, lr = 2, 3, 0.5
    x, y = trial.normal(2, times, cases, units)
    before = [w.clone() for w in start]
    moved = before
    for seen in range(1, times + 1) if inside else [times]:
        shared = [w.clone().requires_grad_() for w in moved]
        loss = recurrent_loss(lib, x[:seen], y[:seen], [shared] * seen)
        if inside and seen > 1:
            loss = loss - recurrent_loss(lib, x[: seen - 1], y[: seen - 1], [shared] * (seen - 1))
        moved, _ = lib.sgd(moved, torch.autograd.grad(loss, shared), None, lr=lr)
    untouched = all_of([equal(w, b, what="a role changed its input") for w, b in zip(start, before, strict=True)])

    copies = [[w.clone().requires_grad_() for w in before] for _ in range(times)]
    flat = torch.autograd.grad(recurrent_loss(lib, x, y, copies), [w for copy in copies for w in copy])
    parts = [torch.stack(flat[k::2]) for k in range(2)]
    # both sides add the same times·cases·units products in another order; each term passed at most times·(2·units + 4)
    # operations
    operations = times * cases * units + times * (2 * units + 4)
    for m, b, part in zip(moved, before, parts, strict=True):
        scale = b.abs() + lr * part.abs().sum(0) * units
        expected = b - lr * part.sum(0)
        untouched &= close(m, expected, operations=operations, scale=scale, what="the update differs from the sum by")
    return untouched
