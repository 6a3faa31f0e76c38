"""Which learning rates let plain gradient descent converge: the bound 2/curvature, and both sides of it."""

from __future__ import annotations

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.proofs import both, either, implies, proved
from assay.evidence import all_of, at_least, at_most, close, curve, true
from assay.sabotage import instead
from assay.strategies import reals, sizes
from claims.lab.descent import path


def half_as_far(sound):
    """Half of every step: the learning rate misread by a factor of two."""
    return lambda params, grads, state, *, lr: sound(params, grads, state, lr=lr / 2)


def uphill(sound):
    """Adds the gradient where it should be subtracted."""
    return lambda params, grads, state, *, lr: sound(params, [-g for g in grads], state, lr=lr)


def three_times_as_far(sound):
    return lambda params, grads, state, *, lr: sound(params, grads, state, lr=lr * 3)


def steep_only(sound):
    """Leaves the first coordinate where it is."""
    return lambda params, grads, state, *, lr: sound(
        params, [g * (torch.arange(len(g)) > 0) for g in grads], state, lr=lr
    )


def one_percent_longer(sound):
    return lambda params, grads, state, *, lr: sound(params, grads, state, lr=lr * 1.01)


def on_parabola(lib, lr, curvature, start, steps):
    """The path of descent on curvature·w²/2, whose minimum is at zero."""
    return path(lambda p, g, s: lib.sgd(p, g, s, lr=lr), lambda w: curvature * w, start, steps)


@claim(
    "ib-3.1",
    "A learning rate of one or more cannot work.",
    needs=["sgd"],
    given={"lr": reals(1.5, 20), "curvature": reals(0.05, 2)},
    reading="only rates below one work",
    expect=REFUTED(
        instead="On a parabola the rates that work are exactly those below two divided by its curvature: no number such as one is "
        "built into that bound, which changes with the units of loss and parameters.",
        by="descent_converges_exactly_below_two_over_the_curvature",
    ),
    sabotage={
        "the bound that the curvature sets": {"where": lambda lr, curvature: lr * curvature >= 2.01},
        "climbs instead of descending": {"sgd": uphill},
    },
)
def a_rate_of_one_or_more_never_converges(lib, trial, lr, curvature):
    """Reading: for every lr >= 1.5, clearly outside the range from 0 to 1, and curvature c, 100 steps on c·w²/2 from w = 1 come no nearer to the minimum.
    Why it fails: each step multiplies w by 1 - lr·c, which is small for a flat loss whatever lr is."""
    start = torch.ones(1, dtype=torch.float64, device=trial.device)
    end = on_parabola(lib, lr, curvature, start, 100)[-1]
    return at_least(end.abs(), 1, what="distance from the minimum, over the start's")


@claim(
    "ib-3.1",
    "Every learning rate between zero and one works.",
    needs=["sgd"],
    given={"lr": reals(0.01, 0.99), "curvature": reals(0.1, 40)},
    reading="every rate below one works",
    expect=REFUTED(
        instead="On a steep loss rates far below one diverge: a rate must stay below two divided by the curvature.",
        by="descent_converges_exactly_below_two_over_the_curvature",
    ),
    sabotage={
        "a loss with curvature below two": {"where": lambda lr, curvature: curvature <= 2},
        "divides the gradient by the steepest curvature": {
            "sgd": lambda sound: (
                lambda params, grads, state, *, lr: sound(params, [g / 40 for g in grads], state, lr=lr)
            )
        },
    },
)
def every_rate_below_one_converges(lib, trial, lr, curvature):
    """Reading: for every lr in (0, 1) and curvature c, 100 steps on c·w²/2 from w = 1 end nearer to the minimum.
    Why it fails: each step multiplies w by 1 - lr·c, which lies below -1 as soon as lr·c > 2."""
    start = torch.ones(1, dtype=torch.float64, device=trial.device)
    end = on_parabola(lib, lr, curvature, start, 100)[-1]
    return at_most(end.abs(), 1, what="distance from the minimum, over the start's")


@claim(
    "ib-3.1",
    "Gradient descent on a parabola converges exactly for rates between zero and two over the curvature.",
    needs=["sgd"],
    reading=CORRECTION,
    setting={"step": lambda w, lr, c: w - lr * c * w},
    expect=HOLDS,
    sabotage={
        "the formula with half the gradient": {"step": lambda sound: lambda w, lr, c: (w + sound(w, lr, c)) / 2},
        "the formula with the wrong sign": {"step": lambda sound: lambda w, lr, c: 2 * w - sound(w, lr, c)},
        "steps one percent too long": {"sgd": one_percent_longer},
    },
)
def descent_converges_exactly_below_two_over_the_curvature(lib, trial, step):
    """Reading: for lr, c > 0 and w ≠ 0, one step on c·w²/2
    shrinks |w| if and only if lr·c < 2; sgd takes that very step.
    Why: a step multiplies w by the constant 1 - lr·c, so the
    powers of it vanish exactly when it lies within (-1, 1)."""

    def shrinks_exactly_below_two(w, lr, c):
        smaller = step(w, lr, c) * step(w, lr, c) < w * w
        return both(implies(lr * c < 2, smaller), implies(smaller, lr * c < 2))

    proof = proved(
        shrinks_exactly_below_two,
        {"w": float, "lr": float, "c": float},
        assuming=lambda w, lr, c: both(w * w > 0, lr > 0, c > 0),
        what="a step shrinks the distance for other rates than lr·c < 2",
    )
    w = torch.tensor([-3.0, 0.7, 5.0], dtype=torch.float64, device=trial.device)
    steps = [(lr, c) for lr in (0.03, 0.7, 1.9, 15.0) for c in (0.1, 0.9, 11.0)]
    conforms = []
    for lr, c in steps:
        (moved,), _ = lib.sgd([w], [c * w], None, lr=lr)
        scale = w.abs() * (1 + lr * c)
        conforms.append(close(moved, step(w, lr, c), operations=6, scale=scale, what="sgd differs from the formula"))
    return proof & all_of(conforms)


@claim(
    "ib-3.9",
    "A big learning rate carries the iterate ever further from the minimum.",
    needs=["sgd"],
    given={"percent": sizes(101, 300), "curvature": reals(0.1, 10)},
    expect=CONDITIONAL(
        "the rate exceeds two over the curvature; between one and two over it the iterate overshoots but comes nearer",
        within=lambda percent, curvature: percent > 200,
    ),
    sabotage={"half the step": {"sgd": half_as_far}, "climbs instead of descending": {"sgd": uphill}},
)
def a_big_rate_carries_the_iterate_away(lib, trial, percent, curvature):
    """Reading: with lr = share/c and share > 1, so that every step overshoots the minimum of c·w²/2, each of 20 steps
    ends farther from it than the one before.
    Why: the factor 1 - share is below -1 only for share > 2."""
    lr = percent / 100 / curvature
    start = torch.ones(1, dtype=torch.float64, device=trial.device)
    distance = on_parabola(lib, lr, curvature, start, 20).abs()[:, 0]
    picture = curve(
        f"Distance to the minimum, rate {percent / 100:g}/curvature", range(21), {"distance": distance},
        x_label="step", y_label="distance", log_y=True,
    )  # fmt: skip
    return at_least(distance[1:] / distance[:-1], 1, what="distance after a step over that before").with_figure(picture)


STEEP, FLAT = 10.0, 1.0


@claim(
    "gfg-21.3",
    "Raising the rate speeds descent up, then makes it bounce, and from two over the largest curvature on it fails.",
    needs=["sgd"],
    cases=[{"thousandths": k} for k in range(1, 231)],
    exhaustive=True,
    expect=HOLDS,
    sabotage={
        "steps one percent too long": {"sgd": one_percent_longer},
        "half the step": {"sgd": half_as_far},
        "the flat coordinate never moves": {"sgd": steep_only},
    },
)
def a_high_rate_is_fast_then_bounces_then_fails(lib, trial, thousandths):
    """Reading: on (w₁² + 10·w₂²)/2, for all rates of 1 to 230 thousandths, the steep coordinate changes sign at each of
    60 steps exactly for lr > 1/10, and has come nearer to the minimum exactly for lr < 2/10; of the flat one, the slower at rates
    up to 2/11, they leave (1 - lr)⁶⁰, which falls as the rate rises.
    Why: the steep coordinate is multiplied by 1 - 10·lr, the flat one by 1 - lr."""
    lr = thousandths / 1000
    curvature = torch.tensor([FLAT, STEEP], dtype=torch.float64, device=trial.device)
    visited = on_parabola(lib, lr, curvature, torch.ones_like(curvature), 60)
    bounces = bool((visited[1:, 1] * visited[:-1, 1] < 0).all())
    nearer = abs(float(visited[-1, 1])) < abs(float(visited[0, 1]))
    return (
        true(bounces == (lr > 1 / STEEP), what="bounces about the minimum where it should not, or fails to bounce")
        & true(nearer == (lr < 2 / STEEP), what="converges where it should not, or fails to converge")
        # each of the 60 steps rounds the product and the difference, relative to a factor of at least 0.77
        & close(visited[-1, 0], (1 - lr) ** 60, operations=60 * 4, what="the flat coordinate shrinks by another factor")
    )  # fmt: skip


@claim(
    "gfg-21.3",
    "The fastest rate on a quadratic is two over the sum of its extreme curvatures, between half of the rate that fails and that rate.",
    needs=["sgd"],
    setting={"best": lambda flat, steep: 2 / (flat + steep)},
    expect=HOLDS,
    sabotage={
        "one over the largest curvature": {"best": instead(lambda flat, steep: 1 / steep)},
        "two over the largest curvature": {"best": instead(lambda flat, steep: 2 / steep)},
        "steps one percent too long": {"sgd": one_percent_longer},
    },
)
def no_rate_beats_two_over_the_sum_of_the_curvatures(lib, trial, best):
    """Reading: for curvatures 0 < m < L and every rate lr, the slower of the factors |1 - lr·m|, |1 - lr·L| is at least
    that of lr* = 2/(m + L); sgd contracts by (L - m)/(L + m) there. The proof measures curvatures in units of m.
    Why: one factor falls with lr, the other rises, and they meet at lr*."""

    def slower_than_the_best(L, lr):
        reached = 1 - best(1, L)
        return either((1 - lr) * (1 - lr) >= reached * reached, (1 - lr * L) * (1 - lr * L) >= reached * reached)

    def both_factors_meet(L, lr):
        return (1 - best(1, L)) + (1 - best(1, L) * L) == 0

    def near_the_rate_that_fails(L, lr):
        return both(best(1, L) > 1 / L, best(1, L) < 2 / L)

    domain, order = {"L": float, "lr": float}, lambda L, lr: L > 1
    curvature = torch.tensor([FLAT, STEEP], dtype=torch.float64, device=trial.device)
    end = on_parabola(lib, 2 / (FLAT + STEEP), curvature, torch.ones_like(curvature), 20)[-1]
    shrunk = ((STEEP - FLAT) / (STEEP + FLAT)) ** 20
    return (
        proved(slower_than_the_best, domain, assuming=order, what="a rate contracts faster than the claimed best")
        & proved(both_factors_meet, domain, assuming=order, what="the two factors differ at the claimed best")
        & proved(near_the_rate_that_fails, domain, assuming=order, what="the best rate lies elsewhere than from 1/L to 2/L")
        # each of the 20 steps rounds lr, the product and the difference, magnified by (1 + lr·L)/(1 - lr·L) <= 4
        & close(end, torch.full_like(end, shrunk), operations=20 * 4 * 4, what="twenty steps shrink by another factor")
    )  # fmt: skip


@claim(
    "ib-31.1",
    "Every step of gradient descent lowers the loss.",
    needs=["sgd"],
    given={"percent": sizes(5, 400), "flat": reals(0.05, 1), "steep": reals(1, 20)},
    expect=CONDITIONAL(
        "the rate stays below two over the largest curvature", within=lambda percent, flat, steep: percent < 200
    ),
    sabotage={
        "three times the step": {"sgd": three_times_as_far},
        "climbs instead of descending": {"sgd": uphill},
    },
)
def every_step_of_descent_lowers_the_loss(lib, trial, percent, flat, steep):
    """Reading: on (flat·w₁² + steep·w₂²)/2 from (1, 1), with lr = share/steep, each of 30 steps lowers the loss.
    Why: a step multiplies each coordinate by 1 - lr·curvature,
    which has size below one for all exactly when lr·steep < 2."""
    curvature = torch.tensor([flat, steep], dtype=torch.float64, device=trial.device)
    visited = on_parabola(lib, percent / 100 / steep, curvature, torch.ones_like(curvature), 30)
    loss = (curvature * visited.square()).sum(-1) / 2
    return at_most(loss[1:], loss[:-1], what="loss after a step, against that before")
