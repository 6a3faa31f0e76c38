"""Stochastic descent near the minimum: a fixed rate keeps it bouncing over a floor, rates that fall to zero let it settle."""

from __future__ import annotations

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, claim
from assay.evidence import at_least, at_most
from assay.sabotage import instead
from claims.lab.regression import distance, gaussian, sampled_descent

FIXED = 0.05


def floor_of(lr, d=3, noise=1.0):
    """Mean squared distance to the optimum that single Gaussian rows keep up at a fixed rate: lr·σ²·d / (2 - lr·(d + 2)).

    The fixed point of V' = (1 - 2·lr + lr²·(d + 2))·V + lr²·σ²·d, since E|x|²xxᵀ = (d + 2)·I for a Gaussian row x.
    """
    return lr * noise**2 * d / (2 - lr * (d + 2))


def fixed(step):
    return FIXED


def falling(step):
    return 1 / (step + 20)


def bounces(lib, g, runs, *, noise, rate, steps, more=0):
    """`runs` single-sample descents from zero: the optimum, the points after `steps` updates and after `more` further ones."""
    data = gaussian(runs, 100, 3, g, noise=noise)
    start = torch.zeros_like(data.x[:, 0])
    near = sampled_descent(lib, data, start, rate=rate, steps=steps, size=1, generator=g)
    later = sampled_descent(lib, data, near, rate=lambda k: rate(steps + k), steps=more, size=1, generator=g)
    return data.minimiser(), near, later


STANDS_STILL = {"sgd": lambda sound: lambda p, g, s, *, lr: sound(p, g, s, lr=0.0)}


@claim(
    "ib-22.4",
    "Near the minimum stochastic descent does not settle but keeps bouncing.",
    needs=["mean_gradient", "sgd"],
    setting={"noise": 1.0, "rate": fixed},
    expect=CONDITIONAL(
        "the samples disagree at the optimum and the rate does not fall",
        within={"noise": instead(1.0)},
        beyond={"noise": instead(0.0)},
    ),
    sabotage={"the rate falls as one over the step": {"rate": instead(falling)}, "never moves": STANDS_STILL},
)
def stochastic_descent_keeps_bouncing(lib, trial, noise, rate):
    """Reading: 300 steps of rate 0.05 after the start, the point still moves by more than a tenth within 20 steps, and stays more
    than a tenth away from the optimum, on average.
    Why the condition: single-sample gradients have variance σ² at the optimum, so that the squared distance stays at a floor of
    V = 0.086, and two points 20 steps apart differ by 2·V·(1 - 0.95²⁰) = 0.11: lengths of 0.29 and 0.33. Without noise both
    vanish as 0.91³⁰⁰; with a rate of 1/320 and less the point moves by about √20·√3/320 = 0.02."""

    def moved(runs, g):
        best, near, later = bounces(lib, g, runs, noise=noise, rate=rate, steps=300, more=20)
        return torch.minimum(distance(near, later), distance(later, best)).sqrt()

    return trial.exceeds(
        moved,
        floor=0.1,
        detects=0.05,
        spread=0.1,
        what="mean movement long after the start falls short of a tenth by",
        most=4096,
    )


@claim(
    "ib-22.5",
    "The parameters that stochastic descent finds are good but not optimal.",
    needs=["mean_gradient", "sgd"],
    also=["ib-22.14"],
    setting={"noise": 1.0, "rate": fixed},
    expect=CONDITIONAL(
        "the samples disagree at the optimum and the rate is fixed",
        within={"noise": instead(1.0)},
        beyond={"noise": instead(0.0)},
    ),
    sabotage={"the rate falls as one over the step": {"rate": instead(falling)}, "never moves": STANDS_STILL},
)
def stochastic_descent_ends_good_not_optimal(lib, trial, noise, rate):
    """Reading: after 300 steps of rate 0.05 the mean squared distance equals, to one half, the floor 0.086 that noise of
    deviation one keeps up at this rate: good, below a twentieth of the start's E|w*|² = 3, and not optimal.
    Why the condition: where every sample is fitted exactly, all gradients vanish at the optimum and the floor with them; rates
    1/(t + 20) leave 0.03 after as many steps, and less with every further one.
    Tolerance: a hundred rows are not their expectation, and the floor is linear in their moments: a quarter is allowed for it."""

    def far(runs, g):
        best, end, _ = bounces(lib, g, runs, noise=noise, rate=rate, steps=300)
        return distance(end, best)

    floor = floor_of(FIXED)
    return trial.mean(
        far,
        floor,
        detects=floor / 2,
        tolerance=floor / 4,
        spread=0.1,
        what="mean squared distance differs from the floor",
        most=8192,
    )


SCHEDULES = {
    "one over t": falling,
    "one over root t": lambda step: 0.2 / (step + 1) ** 0.5,
    "one over t squared": lambda step: FIXED / (step + 1) ** 2,
    "falling to three quarters": lambda step: 0.15 + 0.05 / (step + 1),
    "falling to a half": lambda step: 0.1 + 0.1 / (step + 1),
    "fixed": fixed,
}


def mean_distance(lib, trial, schedule, steps=600, runs=60):
    """Mean squared distance to the optimum at the end of `runs` single-sample descents with noise of deviation one."""
    best, end, _ = bounces(lib, trial.generator("settle"), runs, noise=1.0, rate=SCHEDULES[schedule], steps=steps)
    return float(distance(end, best).mean())


@claim(
    "ib-22.6",
    "Steps that shrink from one to the next make stochastic descent settle at the optimum.",
    needs=["mean_gradient", "sgd"],
    cases=[{"schedule": name} for name in ("one over t", "one over root t", "one over t squared")],
    expect=CONDITIONAL(
        "the rates fall to zero, and so slowly that their sum is unbounded",
        within=lambda schedule: schedule != "one over t squared",
    ),
    sabotage={
        "the rate does not fall": {"schedule": instead("fixed")},
        "the rate falls, but not to zero": {"schedule": instead("falling to a half")},
    },
)
def shrinking_steps_settle_at_the_optimum(lib, trial, schedule):
    """Reading: after 600 steps with noise of deviation one, the mean squared distance over 60 runs is below half of the floor
    0.086 that the fixed rate 0.05 keeps up.
    Why the condition: rates 1/t and 0.2/√t end at 0.0016 and 0.008, where the floors are 0.002 and 0.013, and 1/t still
    remembers about 0.01 of its start; a summable schedule stops near its start, above 1; rates that fall, but not to zero,
    end at the floor of the rate that they tend to."""
    half = floor_of(FIXED) / 2
    return at_most(
        mean_distance(lib, trial, schedule),
        half,
        what="mean squared distance exceeds half the floor of a fixed rate by",
    )


@claim(
    "ib-22.6",
    "Rates that fall towards a lower rate above zero leave the floor of that rate.",
    needs=["mean_gradient", "sgd"],
    cases=[{"schedule": name} for name in ("falling to a half", "falling to three quarters")],
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={"the rate falls to zero": {"schedule": instead("one over t")}},
)  # fmt: skip
def rates_that_fall_but_not_to_zero_leave_a_floor(lib, trial, schedule):
    """Reading: although the rates fall at every step and their sum is unbounded, the mean squared distance of 60 runs after 600
    steps is at least half of the floor of the limiting rate: 0.2 for 0.1, 0.36 for 0.15.
    Why: the floor depends on the rate of the last steps. 60 runs know it to a relative √(2/(3·60)) = 0.11, far from a half."""
    limit = {"falling to a half": 0.1}.get(schedule, 0.15)
    return at_least(
        mean_distance(lib, trial, schedule),
        floor_of(limit) / 2,
        what="mean squared distance falls short of half the floor by",
    )
