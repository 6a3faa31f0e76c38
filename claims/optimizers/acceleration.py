"""Whether momentum speeds descent up, and whether it keeps descent out of local minima."""

from __future__ import annotations

import math

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.evidence import at_least, at_most, curve, equal
from assay.sabotage import instead, with_arguments
from claims.lab.descent import LANDSCAPES, path, steps_to


def plain_steps(lib, device, condition, most):
    """Steps of the best plain descent on (w₁² + condition·w₂²)/2 from (1, 1) until both coordinates are within 10⁻⁶."""
    return _steps(lambda p, g, s: lib.sgd(p, g, s, lr=2 / (1 + condition)), device, condition, most)


def momentum_steps(lib, device, condition, lr, beta, most):
    """The same for momentum at the given rate and coefficient."""
    return _steps(lambda p, g, s: lib.momentum(p, g, s, lr=lr, beta=beta), device, condition, most)


def _steps(update, device, condition, most):
    curvature = torch.tensor([1.0, float(condition)], dtype=torch.float64, device=device)
    return steps_to(update, lambda w: curvature * w, torch.ones_like(curvature), 1e-6, most)


@claim(
    "gfg-31.1",
    "Tuned momentum converges in fewer steps than tuned gradient descent: they grow as the root of the condition number, not as "
    "the number itself.",
    needs=["sgd", "momentum"],
    cases=[{"condition": k} for k in (4, 25, 100, 400)],
    setting={"tuned": lambda root: (4 / (root + 1) ** 2, ((root - 1) / (root + 1)) ** 2)},
    reading="both tuned, on an ill-conditioned quadratic",
    expect=HOLDS,
    kind="tendency",
    sabotage={
        "momentum without momentum": {"momentum": with_arguments(beta=0.0)},
        "the coefficient far above its best": {"tuned": lambda sound: lambda root: (sound(root)[0], 0.995)},
        "the coefficient not squared": {"tuned": lambda sound: lambda root: (sound(root)[0], sound(root)[1] ** 0.5)},
    },
)
def tuned_momentum_needs_steps_as_the_root_of_the_condition_number(lib, trial, condition, tuned):
    """Reading: with curvatures 1 and k, the best fixed rates and the best coefficient, momentum takes fewer steps to 10⁻⁶ than
    plain descent, at most √k·(ln 10⁶ + ln(1 + 2·√k·ln 10⁶))/2 + 1; plain descent takes at least (k - 1)·ln(10⁶)/2.
    Why: per step plain descent keeps (k - 1)/(k + 1) = 1 - 2/(k + 1) >= exp(-2/(k - 1)) of the distance. Momentum keeps
    q = (√k - 1)/(√k + 1) <= exp(-2/√k), but both modes are critically damped: after n steps (1 + (1 - q)·n)·qⁿ and
    (1 + (1 + q)·n)·qⁿ are left. Hence n <= √k·(ln 10⁶ + ln(1 + 2n))/2 + 1, where √k·ln 10⁶ is more than enough for n."""
    root, most, distance = math.sqrt(condition), 4000, math.log(1e6)
    lr, beta = tuned(root)
    plain = plain_steps(lib, trial.device, condition, most)
    fast = momentum_steps(lib, trial.device, condition, lr, beta, most)
    bound = root * (distance + math.log(1 + 2 * root * distance)) / 2 + 1
    return (
        at_most(fast, plain - 1, what="steps with momentum, against fewer than without")
        & at_most(fast, bound, what="steps with momentum, against the root law")
        & at_least(plain, (condition - 1) * distance / 2, what="steps of plain descent, against the least by its law")
    )


@claim(
    "gfg-31.1",
    "Momentum converges faster than gradient descent whatever its coefficient and the problem.",
    needs=["sgd", "momentum"],
    cases=[{"condition": k, "beta": beta} for k in (2, 100, 1000) for beta in (0.3, 0.6, 0.9, 0.99)],
    reading="any coefficient, any problem, the same rate",
    expect=REFUTED(
        instead="Momentum pays on ill-conditioned losses with a coefficient suited to them: if both are tuned, its steps grow "
        "as the root of the condition number, those of gradient descent as the number itself: about 200 against more than 2700 "
        "at 400.",
        by="tuned_momentum_needs_steps_as_the_root_of_the_condition_number",
    ),
    sabotage={
        "an ill-conditioned loss and a coefficient that suits it": {
            "where": lambda condition, beta: condition >= 100 and beta == 0.9
        }
    },
)
def momentum_is_faster_on_every_problem(lib, trial, condition, beta):
    """Reading: at plain descent's best rate 2/(1 + k), momentum reaches
    10⁻⁶ on curvatures 1 and k in fewer steps than plain descent.
    Why it fails: the distance cannot shrink faster than by √beta per step,
    which is slower than (k - 1)/(k + 1) for small k or large beta."""
    plain = plain_steps(lib, trial.device, condition, 8000)
    with_momentum = momentum_steps(lib, trial.device, condition, 2 / (1 + condition), beta, 8000)
    return at_most(with_momentum, plain - 1, what="steps with momentum, against fewer than without")


def end_in_two_wells(lib, device, start, beta):
    """Where momentum at the rate 0.0025 ends on w⁴ - 2w² + 0.3w
    after 1000 steps; the wells are at -1.036 (lower) and 0.960."""
    w = torch.tensor([start], dtype=torch.float64, device=device)
    update = lambda p, g, s: lib.momentum(p, g, s, lr=0.0025, beta=beta)  # noqa: E731 - a name for one argument
    return float(path(update, LANDSCAPES["two wells"].slope, w, 1000)[-1])


@claim(
    "gfg-31.2",
    "Momentum can carry descent out of a basin in which gradient descent ends.",
    needs=["sgd", "momentum"],
    setting={"start": 2.0, "betas": (0.9, 0.95)},
    reading="there are local minima that it leaves",
    expect=HOLDS,
    kind="existence",
    sabotage={
        "momentum without momentum": {"momentum": with_arguments(beta=0.0)},
        "a start close to the local minimum": {"start": instead(1.0)},
        "small coefficients": {"betas": instead((0.2, 0.3))},
    },
)
def momentum_can_leave_a_basin(lib, trial, start, betas):
    """Reading: on w⁴ - 2w² + 0.3w from 2, rate 0.0025, plain descent ends in
    the right, higher well, momentum with 0.9 and 0.95 in the left, lower one.
    Why: on the steep slope the velocity grows past what the
    barrier of height 0.7 between the wells can take off again."""
    w = torch.tensor([start], dtype=torch.float64, device=trial.device)
    plain = path(lambda p, g, s: lib.sgd(p, g, s, lr=0.0025), LANDSCAPES["two wells"].slope, w, 1000)
    ends = [end_in_two_wells(lib, trial.device, start, beta) for beta in betas]
    fast = path(lambda p, g, s: lib.momentum(p, g, s, lr=0.0025, beta=betas[0]), LANDSCAPES["two wells"].slope, w, 150)
    picture = curve(
        "Two wells, at -1.04 and 0.96",
        range(151),
        {"plain": plain[:151, 0], "momentum": fast[:, 0]},
        x_label="step",
        y_label="w",
    )
    return (
        at_least(float(plain[-1]), 0.9, what="place where plain descent ends")
        & at_most(max(ends), -1, what="place where momentum ends")
    ).with_figure(picture)  # fmt: skip


@claim(
    "gfg-31.2",
    "With momentum, descent never ends in a local minimum that is not the lowest.",
    needs=["momentum"],
    cases=[{"start": start, "beta": beta} for start in (2.0, 1.2, 0.97) for beta in (0.5, 0.9, 0.95)],
    reading="it is never stuck in one",
    expect=REFUTED(
        instead="Momentum leaves a basin only if it arrives with enough speed; started near a local minimum it ends there, as "
        "gradient descent does.",
        by="near_a_local_minimum_momentum_ends_in_it",
    ),
    sabotage={
        "a far start with a large coefficient": {"where": lambda start, beta: start == 2.0 and beta >= 0.9},
    },
)
def momentum_is_never_stuck(lib, trial, start, beta):
    """Reading: on w⁴ - 2w² + 0.3w, rate 0.0025, momentum ends in the
    lower well, at -1.036, from 2, 1.2 and 0.97 with 0.5, 0.9 and 0.95.
    Why it fails: a local minimum is a stable point of momentum too: without speed, nothing leads out of it."""
    return at_most(
        end_in_two_wells(lib, trial.device, start, beta), -1, what="place of the end, against the lower well"
    )


@claim(
    "gfg-31.2",
    "Started near a local minimum, momentum ends in it, as gradient descent does.",
    needs=["momentum"],
    cases=[{"start": start, "beta": beta} for start in (0.9, 0.97, 1.1) for beta in (0.0, 0.5, 0.9, 0.95)],
    reading=CORRECTION,
    expect=HOLDS,
    kind="tendency",
    sabotage={
        "starts high up the slope": {"start": lambda sound: sound + 0.9},
        "climbs instead of descending": {
            "momentum": lambda sound: lambda p, g, s, *, lr, beta: sound(p, [-x / 100 for x in g], s, lr=lr, beta=beta)
        },
    },
)
def near_a_local_minimum_momentum_ends_in_it(lib, trial, start, beta):
    """Reading: from 0.9 to 1.1, at the rate 0.0025, momentum with 0.5, 0.9 and 0.95, and with 0, which is plain descent, ends
    within 0.01 of the higher well, at 0.960.
    Why: the energy at the start, which momentum can only lose, is below the barrier between the wells."""
    gap = abs(end_in_two_wells(lib, trial.device, start, beta) - 0.960150)
    return at_most(gap, 0.01, what="distance of the end from the local minimum")


@claim(
    "gfg-31.1",
    "Momentum with coefficient zero is gradient descent.",
    needs=["sgd", "momentum"],
    cases=[{"condition": k} for k in (2, 30)],
    setting={"beta": 0.0},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "a coefficient of a hundredth": {"beta": instead(0.01)},
        "momentum ignores its coefficient": {"momentum": with_arguments(beta=0.5)},
    },
)
def momentum_with_coefficient_zero_is_plain_descent(lib, trial, condition, beta):
    """Reading: 20 steps on curvatures 1 and k visit the same points to the last bit.
    Why: the velocity is then the gradient itself, so both compute w - lr·g."""
    curvature = torch.tensor([1.0, float(condition)], dtype=torch.float64, device=trial.device)
    start, lr = torch.ones_like(curvature), 1.5 / condition
    plain = path(lambda p, g, s: lib.sgd(p, g, s, lr=lr), lambda w: curvature * w, start, 20)
    other = path(lambda p, g, s: lib.momentum(p, g, s, lr=lr, beta=beta), lambda w: curvature * w, start, 20)
    return equal(other, plain, what="points that differ between momentum without memory and plain descent")
