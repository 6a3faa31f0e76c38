"""What a step of batch descent costs, and a whole descent: counted in operations and steps, never timed."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, claim
from assay.evidence import at_least, at_most, within
from assay.sabotage import instead
from claims.lab.regression import batch_descent, distance, gaussian

HALF_OF_THE_SAMPLES = {"dense": lambda sound: lambda x, w, b: sound(x[: len(x) // 2], w, b)}


def gradient_flops(lib, trial, n, d):
    """Floating-point operations in matrix products of one full gradient by backpropagation, counted as they are executed."""
    x = trial.normal(n, d, stream=("flops", n, d))
    w = torch.zeros(1, d, dtype=torch.float64, device=trial.device, requires_grad=True)
    with FlopCounterMode(display=False) as counter:
        lib.dense(x, w, None).square().mean().backward()
    return counter.get_total_flops()


@claim(
    "ib-21.2",
    "The price of one batch step grows in proportion to the training set.",
    needs=["dense"],
    also=["gfg-25.5"],
    cases=[{"n": 2**k} for k in range(6, 13)],
    setting={"used": lambda n: n},
    reading="the price of one step",
    expect=HOLDS,
    kind="comparative",
    sabotage={
        "half of the samples are left out": HALF_OF_THE_SAMPLES,
        "uses 32 samples whatever n is": {"used": lambda sound: lambda n: 32},
        "uses the square root of n": {"used": lambda sound: lambda n: int(n**0.5)},
    },
)
def a_batch_step_costs_in_proportion_to_the_set(lib, trial, n, used):
    """Reading: one gradient with n samples of 8 features takes at least 4·n·8 floating-point operations, twice the samples exactly twice.
    Why: every sample passes forward and backward once, with 8 products and 8 sums each (a subject that also finds the gradient by
    the inputs takes half as many again); counted while the products run, not timed."""
    few, many = gradient_flops(lib, trial, used(n), 8), gradient_flops(lib, trial, used(2 * n), 8)
    return at_least(few, 4 * n * 8, what="operations of one gradient, against 4·n·8") & within(
        many / few, 2.0, 0.0, what="cost ratio of 2n to n samples differs from two by", why="counts are exact"
    )


def mean_steps(lib, g, n, d=10, most=400):
    """Batch steps of the best constant rate to a thousandth of the distance, on average over 25 sets; `most` where that is too few."""
    data = gaussian(25, n, d, g, noise=0.1)
    curvature = torch.linalg.eigvalsh(data.x.mT @ data.x / n)
    lr, best = 2 / (curvature[:, 0] + curvature[:, -1]), data.minimiser()
    w, steps = torch.zeros_like(best), 0
    goal = 1e-6 * distance(w, best)
    for _ in range(most):
        far = distance(w, best) > goal
        if not far.any():
            break
        steps, w = steps + far.double().mean(), batch_descent(lib, data, w, lr=lr, steps=1)
    return float(steps)


@claim(
    "ib-21.2",
    "The whole training by batch descent costs more on a larger set.",
    needs=["mean_gradient", "sgd", "dense"],
    also=["gfg-25.5"],
    cases=[{"n": 12}, {"n": 40}, {"n": 400}],
    setting={"used": lambda n: n},
    reading="the price of the whole training",
    expect=CONDITIONAL(
        "the samples far outnumber the features, for 10 Gaussian features from 40 samples on; 12 samples for 10 features take so "
        "many more steps that 120 cost less in all",
        within=lambda n, used: n >= 40,
    ),
    kind="comparative",
    sabotage={"40 samples whatever n is": {"used": lambda sound: lambda n: 40}},
)
def training_costs_more_on_a_larger_set(lib, trial, n, used):
    """Reading: ten times the samples take at least one and a half times the operations, steps times those of one gradient, until
    the distance to the optimum has fallen to a thousandth.
    Why: the number of steps follows the condition number of the features, which falls towards one as √(d/n) vanishes: fast where
    n is near d, hardly any more for n far above d, where the price of a step takes over.
    Margin: of 40 against 400 samples it is 20·40 to 5·400, two fifths; the allowance of two thirds lies between that and one."""
    few, many = (
        mean_steps(lib, trial.generator(m), used(m)) * gradient_flops(lib, trial, used(m), 10) for m in (n, 10 * n)
    )
    return at_most(few / many, 2 / 3, what="cost with n samples over that with ten times as many")


@claim(
    "ib-21.4",
    "One step of batch descent stays cheap when features are added.",
    needs=["dense"],
    cases=[{"d": 2**k} for k in range(3, 9)],
    reading="the price of one step",
    setting={"flops": gradient_flops},
    expect=HOLDS,
    kind="comparative",
    sabotage={
        "half of the samples are left out": HALF_OF_THE_SAMPLES,
        "solves the normal equations": {
            "flops": lambda sound: lambda lib, trial, n, d: normal_equation_flops(trial, n, d)
        },
    },
)
def a_step_is_linear_in_the_features(lib, trial, d, flops):
    """Reading: one gradient with 64 samples of d features takes at least 4·64·d floating-point operations, twice the features
    exactly twice.
    Why: a gradient touches each of the n·d inputs a fixed number of times, while the normal equations need all n·d² products."""
    few, many = flops(lib, trial, 64, d), flops(lib, trial, 64, 2 * d)
    return at_least(few, 4 * 64 * d, what="operations of one gradient, against 4·64·d") & within(
        many / few, 2.0, 0.0, what="cost ratio of 2d to d features differs from two by", why="counts are exact"
    )


def normal_equation_flops(trial, n, d):
    """Operations in the products XᵀX and Xᵀy."""
    x, y = trial.normal(n, d, stream=("flops", n, d)), trial.normal(n, 1, stream=("target", n))
    with FlopCounterMode(display=False) as counter:
        _ = x.mT @ x, x.mT @ y
    return counter.get_total_flops()


def steps_to_reach(lib, trial, d, spread):
    """Updates with the best constant rate until the distance has fallen to a thousandth, for curvatures from 1 to spread."""
    curvature = torch.logspace(
        0, torch.log10(torch.tensor(float(spread))).item(), d, dtype=torch.float64, device=trial.device
    )
    w, steps = torch.ones(d, dtype=torch.float64, device=trial.device), 0
    while float(w.abs().max()) > 1e-3 and steps < 20_000:
        (w,), _ = lib.sgd([w], [curvature * w], None, lr=2 / (1 + float(curvature[-1])))
        steps += 1
    return steps


@claim(
    "ib-21.4",
    "The whole descent scales well when features are added.",
    needs=["sgd"],
    cases=[{"d": d} for d in (4, 16, 64)],
    setting={"spread": lambda d: 3.0},
    reading="the price of the whole descent",
    expect=CONDITIONAL(
        "the condition number of the features does not grow with their number; where it grows the steps grow with it",
        within={"spread": instead(lambda d: 3.0)},
        beyond={"spread": instead(lambda d: d**2)},
    ),
    sabotage={
        "divides the gradient by the number of features": {
            "sgd": lambda sound: lambda p, g, s, *, lr: sound(p, [x / x.numel() for x in g], s, lr=lr)
        }
    },
)
def the_whole_descent_scales_well(lib, trial, d, spread):
    """Reading: with d features whose curvatures spread from 1 to κ, the steps to a thousandth of the distance are no more than
    with two features.
    Why: the best constant rate shrinks the distance by (κ - 1)/(κ + 1) a step; d appears only if κ depends on it, here as d²."""
    few = steps_to_reach(lib, trial, 2, spread(2))
    return at_most(steps_to_reach(lib, trial, d, spread(d)), few, what="steps, against those with two features")


@claim(
    "ib-21.4",
    "The steps that descent needs follow the condition number.",
    needs=["sgd"],
    cases=[{"spread": 10.0**k} for k in range(1, 4)],
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={"steps half as long": {"sgd": lambda sound: lambda p, g, s, *, lr: sound(p, g, s, lr=lr / 2)}},
)
def steps_grow_with_the_condition_number(lib, trial, spread):
    """Reading: the steps to a thousandth equal ln 1000 / ln((κ + 1)/(κ - 1)), rounded up.
    Why: with rate 2/(1 + κ) the extreme coordinates shrink by exactly (κ - 1)/(κ + 1); one step is left for rounding."""
    expected = torch.log(torch.tensor(1000.0)) / torch.log(torch.tensor((spread + 1) / (spread - 1)))
    return within(
        steps_to_reach(lib, trial, 8, spread),
        float(expected.ceil()),
        1,
        what="steps differ from the formula by",
        why="one step for rounding",
    )
