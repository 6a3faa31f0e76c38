"""Stochastic descent near the minimum: a fixed rate keeps it bouncing over a floor, rates that fall to zero let it settle."""

from __future__ import annotations

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, claim
from assay.evidence import at_least, at_most
from assay.sabotage import instead
from claims.lab.regression import distance, gaussian, sampled_descent

FIXED, ROWS = 0.05, 100


def floor_of(lr, d=3, noise=1.0):
    """Mean squared distance to the optimum that single Gaussian rows keep up at a fixed rate: lr·σ²·d / (2 - lr·(d + 2)).

    The fixed point of V' = (1 - 2·lr + lr²·(d + 2))·V + lr²·σ²·d, since E|x|²xxᵀ = (d + 2)·I for a Gaussian row x.
    """
    return lr * noise**2 * d / (2 - lr * (d + 2))


SCHEDULES = {
    "one over t": lambda step: 1 / (step + 20),
    "one over root t": lambda step: 0.2 / (step + 1) ** 0.5,
    "geometric": lambda step: 0.2 * 0.97**step,
    "falling to three quarters": lambda step: 0.15 + 0.05 / (step + 1),
    "falling to a half": lambda step: 0.1 + 0.1 / (step + 1),
    "falling to the fixed rate": lambda step: FIXED + FIXED / (step + 1),
    "fixed": lambda step: FIXED,
}


def bounces(lib, g, runs, *, noise, schedule, steps, more=0):
    """`runs` single-sample descents from zero: the optimum, the points after `steps` updates and after `more` further ones."""
    data, rate = gaussian(runs, ROWS, 3, g, noise=noise), SCHEDULES[schedule]
    start = torch.zeros_like(data.x[:, 0])
    near = sampled_descent(lib, data, start, rate=rate, steps=steps, size=1, generator=g)
    later = sampled_descent(lib, data, near, rate=lambda k: rate(steps + k), steps=more, size=1, generator=g)
    return data.minimiser(), near, later


NOT_TO_ZERO = [{"schedule": "fixed"}, {"schedule": "falling to the fixed rate"}]
STANDS_STILL = {"sgd": lambda sound: lambda p, g, s, *, lr: sound(p, g, s, lr=0.0)}


@claim(
    "ib-22.4",
    "Near the minimum stochastic descent does not settle but keeps bouncing.",
    needs=["mean_gradient", "sgd"],
    cases=NOT_TO_ZERO,
    setting={"noise": 1.0},
    expect=CONDITIONAL(
        "the samples disagree at the optimum and the rate does not fall to zero",
        within={"noise": instead(1.0)},
        beyond={"noise": instead(0.0)},
    ),
    sabotage={
        "the rate falls to zero, as one over the step": {"schedule": instead("one over t")},
        "never moves": STANDS_STILL,
    },
)
def stochastic_descent_keeps_bouncing(lib, trial, schedule, noise):
    """Reading: 300 steps after the start, at the rate 0.05 or at rates that fall towards it, the point still moves by more than a
    tenth within 20 steps, and stays more than a tenth away from the optimum, on average.
    Why the condition: single-sample gradients have variance σ² at the optimum, so that the squared distance stays at a floor of
    V = 0.086, and two points 20 steps apart differ by 2·V·(1 - 0.95²⁰) = 0.11: lengths of 0.29 and 0.33. Without noise both
    vanish as 0.91³⁰⁰; with a rate of 1/320 and less the point moves by about √20·√3/320 = 0.02."""

    def moved(runs, g):
        best, near, later = bounces(lib, g, runs, noise=noise, schedule=schedule, steps=300, more=20)
        return torch.minimum(distance(near, later), distance(later, best)).sqrt()

    return trial.exceeds(
        moved,
        floor=0.1,
        detects=0.05,
        spread=0.1,
        what="mean movement long after the start",
        most=4096,
    )


@claim(
    "ib-22.5",
    "The parameters that stochastic descent finds are good but not optimal.",
    needs=["mean_gradient", "sgd"],
    also=["ib-22.14"],
    cases=NOT_TO_ZERO,
    setting={"noise": 1.0},
    expect=CONDITIONAL(
        "the samples disagree at the optimum and the rate does not fall to zero",
        within={"noise": instead(1.0)},
        beyond={"noise": instead(0.0)},
    ),
    sabotage={
        "the rate falls to zero, as one over the step": {"schedule": instead("one over t")},
        "never moves": STANDS_STILL,
    },
)
def stochastic_descent_ends_good_not_optimal(lib, trial, schedule, noise):
    """Reading: after 300 steps, at the rate 0.05 or at rates that fall towards it, the mean squared distance equals, to a quarter,
    the floor 0.081 that noise of deviation one keeps up: good, below a twentieth of the start's E|w*|² = 3, and not optimal.
    Why the condition: where every sample is fitted exactly, all gradients vanish at the optimum and the floor with them; rates
    1/(t + 20) leave 0.03 after as many steps, and less with every further one.
    Tolerance: the fit to n = 100 rows has used up a part of their noise, E r²xxᵀ = σ²·(1 - (d + 2)/n)·I for its residuals r, which
    takes 5 % off the floor. Left out are terms of the order of 0.05², and one of lr/300 in a falling rate: a twentieth covers them."""

    def far(runs, g):
        best, end, _ = bounces(lib, g, runs, noise=noise, schedule=schedule, steps=300)
        return distance(end, best)

    floor = floor_of(FIXED) * (1 - 5 / ROWS)
    return trial.mean(
        far,
        floor,
        detects=floor / 4,
        tolerance=floor / 20,
        spread=0.1,
        what="mean squared distance to the optimum",
        most=8192,
    )


def mean_distances(lib, trial, schedule, steps, more, runs):
    """Mean squared distance to the optimum of `runs` descents with noise of deviation one, after `steps` and `more` further steps."""
    best, near, later = bounces(
        lib, trial.generator("settle"), runs, noise=1.0, schedule=schedule, steps=steps, more=more
    )
    return float(distance(near, best).mean()), float(distance(later, best).mean())


@claim(
    "ib-22.6",
    "Steps that shrink from one to the next make stochastic descent settle at the optimum.",
    needs=["mean_gradient", "sgd"],
    cases=[{"schedule": name} for name in ("one over t", "one over root t", "geometric")],
    expect=CONDITIONAL(
        "the rates fall to zero, and so slowly that their sum is unbounded, as 1/(t + 20) and 0.2/√t do; rates whose sum is "
        "bounded, as of 0.2·0.97^t, stop at a distance, however many steps follow",
        within=lambda schedule: schedule != "geometric",
    ),
    sabotage={
        "the rate does not fall": {"schedule": instead("fixed")},
        "the rate falls, but not to zero": {"schedule": instead("falling to a half")},
    },
)
def shrinking_steps_settle_at_the_optimum(lib, trial, schedule):
    """Reading: with noise of deviation one, the mean squared distance V over 240 runs is after 1200 steps below half of the floor
    0.086 that the fixed rate 0.05 keeps up, and below 0.64 of what it was after 200.
    Why the condition: V follows the rate down: by six and more as 1/t, and by √6 as 1/√t, to 0.41. Rates whose sum is bounded
    go no farther than that sum: of V = 0.025 after 200 steps the geometric ones keep 97 %. Rates that tend to a limit above zero
    end at its floor. One over t is 1/(t + 20) here: 0.05/(t + 1) would settle too, but as t^-0.1, too slowly for any run.
    Margin: 240 runs know each V to a relative √(2/(3·240)) = 0.05, their ratio to 0.075; 0.64 is six of these above 0.41, and
    six below one."""
    early, late = mean_distances(lib, trial, schedule, 200, 1000, runs=240)
    low = at_most(late, floor_of(FIXED) / 2, what="mean squared distance, against half the floor of a fixed rate")
    return low & at_most(late / early, 0.64, what="share of the squared distance that 1000 further steps leave")


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
        mean_distances(lib, trial, schedule, 300, 300, runs=60)[1],
        floor_of(limit) / 2,
        what="mean squared distance, against half the floor",
    )
