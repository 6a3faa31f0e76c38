"""Where gradient descent ends: at the least loss if the loss is convex and has one; else the start and the rate decide."""

from __future__ import annotations

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, claim
from assay.evidence import at_least, at_most
from assay.sabotage import instead, with_arguments
from claims.lab.descent import LANDSCAPES, Landscape, path

STARTS = (
    ("bowl", (3.0, -2.0)), ("bowl", (-1.0, 5.0)), ("two wells", (-1.5,)), ("two wells", (1.5,)),
    ("mountain pass", (1.0, 0.5)), ("mountain pass", (1.0, 0.0)), ("dimpled bowl", (-2.0,)), ("dimpled bowl", (3.5,)),
)  # fmt: skip
CASES = [{"landscape": landscape, "start": start} for landscape, start in STARTS]
BOWLS = [case for case in CASES if LANDSCAPES[case["landscape"]].convex]
# log(1 + e^-w): convex, of curvature 1/4 at most; it falls towards zero for ever and has no lowest point
ENDLESS = Landscape(lambda w: torch.nn.functional.softplus(-w).sum(-1), lambda w: -torch.sigmoid(-w), 0.0, convex=True)
GROUNDS = LANDSCAPES | {"endless slope": ENDLESS}
DOWN_FOR_EVER = {"landscape": "endless slope", "start": (0.0,)}


def ends(landscape, **_):
    return landscape != "endless slope"


def on_convex(landscape, **_):
    return LANDSCAPES[landscape].convex


def uphill(sound):
    """Adds the gradient where it should be subtracted, a hundredth of it so that the numbers stay finite."""
    return lambda params, grads, state, *, lr: sound(params, [-g / 100 for g in grads], state, lr=lr)


def descend(lib, device, landscape, start, lr, steps):
    """The losses above the least one along the path: (steps + 1,)."""
    ground = GROUNDS[landscape]
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
    reading="the minimum is reached",
    covers="exact gradients, any loss",
    expect=CONDITIONAL(
        "the loss is convex and smooth and has a lowest point, as a bowl does, and the rate is below two over its curvature; on a loss "
        "with two wells it may end in the higher one",
        within=on_convex,
    ),
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
    return at_most(excess[-1] / excess[0], 1e-3, what="share of the start's excess loss that is left")


@claim(
    "ib-3.10",
    "One and the same low learning rate reaches the minimum of every parabola.",
    needs=["sgd"],
    cases=[{"curvature": c} for c in (1.0, 10.0, 90.0, 101.0)],
    setting={"steps": 2500},
    also=["ib-13.6"],
    reading="the minimum is reached",
    covers="exact gradients, convex losses of any steepness",
    expect=CONDITIONAL(
        "the loss is a parabola, and the rate, here 0.02, is below two over its curvature",
        within=lambda curvature, steps: 0.02 * curvature < 2,
    ),
    sabotage={"too few steps": {"steps": instead(2)}},
)
def a_low_rate_reaches_the_minimum_of_every_parabola(lib, trial, curvature, steps):
    """Reading: on c·w²/2 from 1, 2500 steps at the rate 0.02 remove at least 99.9 % of the excess loss.
    Why: a step multiplies w by 1 - 0.02·c: low is what is below 2/c, and no number is low for every loss."""
    w = torch.ones(1, dtype=torch.float64, device=trial.device)
    end = path(lambda p, g, s: lib.sgd(p, g, s, lr=0.02), lambda w: curvature * w, w, steps)[-1]
    return at_most(end.square(), 1e-3, what="share of the start's excess loss that is left")


@claim(
    "ib-13.6",
    "A low learning rate brings descent to rest, wherever that is.",
    needs=["sgd"],
    cases=[*CASES, DOWN_FOR_EVER],
    setting={"steps": 4000},
    reading="it comes to rest",
    covers="exact gradients, smooth losses",
    expect=CONDITIONAL(
        "the loss grows without bound on all sides, and its curvature on the way stays below two over the rate, here 100; on "
        "log(1 + e^-w) the point moves on for ever, on a parabola of curvature 101 it flies off",
        within=ends,
    ),
    kind="tendency",
    sabotage={"too few steps": {"steps": instead(2)}, "climbs instead of descending": {"sgd": uphill}},
)
def a_low_rate_comes_to_rest(lib, trial, landscape, start, steps):
    """Reading: at the rate 0.02 the second half of 4000 steps moves the point by at most a tenth, on every landscape.
    Why: below two over the curvature a step lowers the loss by a fixed share of the squared slope. A loss that grows on all
    sides keeps the point in a bounded region, where the slopes must vanish, in whatever dip or on whatever pass. On log(1 + e^-w)
    w grows as ln t: each doubling of the steps moves it by ln 2 = 0.69. The parabola is run by the claim on parabolas.
    Margin: on the flattest ground, curvature 1/10, the second half moves the start's 2 by 2·0.998²⁰⁰⁰ = 0.04."""
    w = torch.tensor(start, dtype=torch.float64, device=trial.device)
    visited = path(lambda p, g, s: lib.sgd(p, g, s, lr=0.02), GROUNDS[landscape].slope, w, steps)
    moved = (visited[-1] - visited[steps // 2]).norm()
    return at_most(moved, 0.1, what="how far the second half of the steps moves the point")


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
    Why: the dimple's curvature at its bottom, w = 2.955, is 6.32, so that rates above 2/6.32 = 0.32 cannot settle
    there, while the bowl's is 1/10."""
    losses = {lr: descend(lib, trial.device, landscape, (3.5,), lr, 1500)[-1] for lr in (low, *high)}
    caught = at_least(losses[low], 0.1, what="excess loss at the end of the low rate")
    return caught & at_most(
        torch.stack([losses[lr] for lr in high]),
        1e-3,
        what="excess loss at the end of a high rate",
    )


@claim(
    "gfg-23.2",
    "Gradient descent makes the cost minimal.",
    needs=["sgd"],
    cases=CASES,
    setting={"lr": 0.05},
    also=["gfg-14.2"],
    reading="the minimum is reached",
    expect=CONDITIONAL(
        "the cost is convex and smooth and has a lowest point, as a bowl does, and the rate is below two over its curvature; on "
        "a cost that is not convex it may stop in a local minimum or on a saddle",
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
    never_up = at_most(excess[1:] - excess[:-1], rounding, what="rise of the cost in a step, against rounding")
    return never_up & at_most(excess[-1] / excess[0], 1e-3, what="share of the start's excess cost that is left")


@claim(
    "gfg-23.2",
    "Gradient descent makes a convex cost minimal at any rate.",
    needs=["sgd"],
    cases=BOWLS,
    setting={"lr": 0.05},
    also=["gfg-14.2"],
    reading="the minimum is reached",
    covers="smooth convex losses",
    expect=CONDITIONAL(
        "the cost is a bowl, and the rate is below two over its curvature, here 2/4; at 0.6 the steps grow without end",
        within={"lr": instead(0.05)}, beyond={"lr": instead(0.6)},
    ),
    kind="tendency",
    sabotage={"never moves": {"sgd": with_arguments(lr=0.0)}},
)  # fmt: skip
def descent_makes_a_convex_cost_minimal(lib, trial, landscape, start, lr):
    """Reading: on a bowl of curvatures 1 and 4, 800 steps end within a thousandth of the start's excess over the least
    cost.
    Why: a step multiplies the coordinates by 1 - lr and 1 - 4·lr, at 0.6 by 0.4 and -1.4."""
    excess = descend(lib, trial.device, landscape, start, lr, 800)
    return at_most(excess[-1] / excess[0], 1e-3, what="share of the start's excess cost that is left")


@claim(
    "gfg-23.2",
    "Gradient descent makes every smooth convex cost minimal.",
    needs=["sgd"],
    cases=[*BOWLS, DOWN_FOR_EVER],
    setting={"lr": 0.05},
    also=["gfg-14.2", "ib-3.10", "ib-13.6", "ib-22.13", "ib-21.3", "gfg-25.4"],
    reading="the minimum is reached",
    covers="smooth convex losses",
    expect=CONDITIONAL(
        "the smooth convex loss has a lowest point, and the rate is below two over its curvature; log(1 + e^-w), the cross-entropy "
        "of one point, has none, and descent on it goes on for ever",
        within=ends,
    ),
    kind="tendency",
    sabotage={"never moves": {"sgd": with_arguments(lr=0.0)}, "climbs instead of descending": {"sgd": uphill}},
)
def descent_makes_a_convex_cost_minimal_if_there_is_a_least_one(lib, trial, landscape, start, lr):
    """Reading: 800 steps at the rate 0.05 end within a millionth of the start's excess over the least cost or, where there is
    none, over the bound that the cost tends to.
    Why: on a bowl what is left shrinks by at least 0.95² a step, on log(1 + e^-w) only as 1/(0.05·t): 0.025 after 800 steps.
    Labels that a plane separates without an error make a cross-entropy of this kind."""
    excess = descend(lib, trial.device, landscape, start, lr, 800)
    return at_most(excess[-1] / excess[0], 1e-6, what="share of the start's excess cost that is left")


@claim(
    "gfg-23.2",
    "At a rate below two over the curvature, on a cost that grows on all sides, gradient descent follows the slope down to where "
    "it is zero: a minimum, or a saddle if it starts on its ridge.",
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
    Why: the costs are bounded below, and their curvature on the way is at most 23, that of the two wells at 1.5: each step lowers
    them by at least lr·(1 - 0.05·23/2) = 0.42·lr times the squared slope."""
    ground = LANDSCAPES[landscape]
    w = torch.tensor(start, dtype=torch.float64, device=trial.device)
    visited = path(lambda p, g, s: lib.sgd(p, g, s, lr=0.05), ground.slope, w, steps)
    slopes = ground.slope(visited).norm(dim=-1)
    return at_most(slopes[-1] / slopes[0], 1e-3, what="share of the start's slope that is left")
