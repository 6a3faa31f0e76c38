"""What momentum does to a single update: a geometrically weighted sum of past gradients, its memory and its inertia."""

from __future__ import annotations

import math

import sympy
import torch

from assay.claim import CONDITIONAL, HOLDS, REFUTED, claim
from assay.decide.proofs import identity
from assay.evidence import all_of, at_least, at_most, close, curve, equal, true, within
from assay.sabotage import instead, with_arguments
from assay.strategies import normals, sizes


def damped(sound):
    """The velocity averages instead of summing: the new gradient enters with the factor 1 - beta."""
    return lambda params, grads, state, *, lr, beta: sound(
        params, [g * (1 - beta) for g in grads], state, lr=lr, beta=beta
    )


def swapped(sound):
    """beta confused with 1 - beta."""
    return lambda params, grads, state, *, lr, beta: sound(params, grads, state, lr=lr, beta=1 - beta)


def turned_round(sound):
    """The largest coefficient of the sweep where the smallest should be."""
    return lambda params, grads, state, *, lr, beta: sound(params, grads, state, lr=lr, beta=max(BETAS) - beta)


def without_memory(sound):
    return lambda params, grads, state, *, lr, beta: sound(params, grads, None, lr=lr, beta=beta)


def scales_the_gradient(sound):
    """Multiplies the new gradient by beta, where the old velocity should be multiplied."""

    def step(params, grads, state, *, lr, beta):
        velocities = [beta * g + (v if state is not None else 0) for g, v in zip(grads, state or grads, strict=True)]
        return [w - lr * v for w, v in zip(params, velocities, strict=True)], velocities

    return step


def only_the_first(sound):
    """Moves the first parameter of the list and leaves the others."""

    def step(params, grads, state, **rates):
        moved, state = sound(params[:1], grads[:1], state, **rates)
        return [*moved, *params[1:]], state

    return step


def displacements(lib, gradients, lr, beta, place=1):
    """The change of w in each step when the gradients are fed in from w = 0: (steps, d) -> (steps, d).

    w stands at this place, 0 or 1, of a list with another parameter (d, 1) that has gradients of its own."""
    params, state, visited = [torch.zeros_like(gradients[0]), torch.zeros_like(gradients[0])[:, None]], None, []
    for g in gradients:
        grads, order = [g, g[:, None] / -2], 1 - 2 * place
        moved, state = lib.momentum(params[::order], grads[::order], state, lr=lr, beta=beta)
        moved = list(moved)[::order]
        visited.append(moved[0] - params[0])
        params = moved
    return torch.stack(visited)


@claim(
    "gfg-31.3",
    "A momentum step is the rate times a sum over all gradients so far, the "
    "one k steps back weighted by the k-th power of beta.",
    needs=["momentum"],
    given={"gradients": normals([12, 3]), "percent": sizes(5, 95)},
    setting={"lr": 0.1},
    expect=HOLDS,
    sabotage={
        "no memory": {"momentum": without_memory},
        "moves the first parameter only": {"momentum": only_the_first},
        "the average instead of the sum": {"momentum": damped},
        "beta and 1 - beta confused": {"momentum": swapped},
        "beta one percent too low": {
            "momentum": lambda sound: lambda p, g, s, *, lr, beta: sound(p, g, s, lr=lr, beta=0.99 * beta)
        },
    },
)
def a_momentum_step_sums_all_gradients_so_far(lib, gradients, percent, lr):
    """Reading: the t-th displacement is -lr·Σ_s beta^(t-s)·g_s, compared with the explicit sum for 12 random gradients, of the
    first and of the second of two parameters.
    Why: unrolling v_t = beta·v_(t-1) + g_t, v_0 = 0. The form that
    averages multiplies each g by 1 - beta, which only rescales lr."""
    beta = percent / 100
    t = torch.arange(12, dtype=torch.float64, device=gradients.device)
    weights = torch.where(t[:, None] >= t, beta ** (t[:, None] - t).clamp_min(0), 0.0)
    expected, scale = -lr * weights @ gradients, lr * (weights @ gradients.abs())
    # at most 12 terms with 3 roundings each on either side, and w' - w rounds by the way so far
    return all_of(
        [
            close(
                displacements(lib, gradients, lr, beta, place), expected, operations=80, scale=scale.cumsum(0),
                what="a displacement differs from the weighted sum",
            )
            for place in (0, 1)
        ]
    )  # fmt: skip


@claim(
    "gfg-31.3",
    "The momentum recursion is the weighted sum of all gradients.",
    needs=[],
    setting={"recursion": lambda v, g, beta: beta * v + g},
    expect=HOLDS,
    sabotage={
        "the gradient scaled by beta": {"recursion": instead(lambda v, g, beta: v + beta * g)},
        "the average": {"recursion": instead(lambda v, g, beta: beta * v + (1 - beta) * g)},
    },
)
def the_momentum_recursion_is_a_weighted_sum(lib, recursion):
    """Reading: if v = Σ_{s<=t} beta^(t-s)·g_s then beta·v + g_(t+1) = Σ_{s<=t+1} beta^(t+1-s)·g_s, by induction from
    v_0 = 0, here for symbolic beta and eight symbolic gradients.
    Why: one step multiplies every weight by beta and gives the new gradient the weight one."""
    beta, gradients = sympy.Symbol("beta"), sympy.symbols("g1:9")
    v = sympy.Integer(0)
    for g in gradients:
        v = recursion(v, g, beta)
    unrolled = sum(beta ** (len(gradients) - 1 - s) * g for s, g in enumerate(gradients))
    return identity(v, unrolled, what="the recursion differs from the weighted sum")


@claim(
    "gfg-31.5",
    "Momentum can carry the parameters on in their old direction although the present gradient points elsewhere.",
    needs=["momentum"],
    given={"percent": sizes(51, 99)},
    setting={"pushes": 200},
    expect=HOLDS,
    kind="existence",
    sabotage={
        "beta zero": {"momentum": with_arguments(beta=0.0)},
        "no memory": {"momentum": without_memory},
        "moves the first parameter only": {"momentum": only_the_first},
        "no pushes before the turn": {"pushes": instead(0)},
    },
)
def momentum_carries_on_against_the_gradient(lib, trial, percent, pushes):
    """Reading: for beta from 0.51 to 0.99, after 200 gradients of +1 the gradient is -1, yet the parameter goes on
    downwards, for as many steps n >= 1 as (2 - beta²⁰⁰)·betaⁿ > 1, and then turns.
    Why: 200 pushes give the velocity (1 - beta²⁰⁰)/(1 - beta), and n gradients of -1 leave it at
    ((2 - beta²⁰⁰)·betaⁿ - 1)/(1 - beta); over these coefficients the bracket stays 6·10⁻⁴ away from zero."""
    beta, most = percent / 100, 80
    gradients = torch.ones(pushes + most, 1, dtype=torch.float64, device=trial.device)
    gradients[pushes:] = -1
    goes_on = displacements(lib, gradients, 0.1, beta)[pushes:, 0] < 0
    expected = [(2 - beta**200) * beta**n > 1 for n in range(1, most + 1)]
    lasts = at_least(int(goes_on.sum()), 1, what="steps against the gradient")
    return lasts & equal(goes_on.tolist(), expected, what="the steps against the gradient are others than derived")


@claim(
    "gfg-31.5",
    "A momentum step goes against the present gradient's pull exactly when the old velocity outweighs it.",
    needs=["momentum"],
    given={"gradients": normals([6, 2]), "percent": sizes(20, 95)},
    expect=HOLDS,
    sabotage={
        "no memory": {"momentum": without_memory},
        "moves the first parameter only": {"momentum": only_the_first},
        "beta and 1 - beta confused": {"momentum": swapped},
    },
)
def inertia_wins_when_the_velocity_outweighs_the_gradient(lib, gradients, percent):
    """Reading: <w' - w, -g> < 0 if and only if <beta·v, g> < -|g|², v being the weighted sum of the earlier gradients.
    Why: <w' - w, -g> = lr·(<beta·v, g> + |g|²)."""
    beta = percent / 100
    powers = beta ** torch.arange(5, 0, -1, dtype=torch.float64, device=gradients.device)
    last = gradients[-1]
    balance = (powers @ gradients[:-1]) @ last + last.square().sum()
    progress = -displacements(lib, gradients, 0.1, beta)[-1] @ last
    size = (powers @ gradients[:-1].abs()) @ last.abs() + last.square().sum()
    return close(
        progress,
        0.1 * balance,
        operations=60,
        scale=size,
        what="progress against the gradient differs from the balance",
    ) & true(bool((progress < 0) == (balance < 0)), what="inertia wins where the gradient should, or the reverse")


@claim(
    "gfg-31.6",
    "The momentum coefficient fixes what share of an earlier gradient enters the present update.",
    needs=["momentum"],
    given={"percent": sizes(0, 99)},
    setting={"lr": 0.1},
    expect=HOLDS,
    sabotage={
        "the gradient scaled instead of the velocity": {"momentum": scales_the_gradient},
        "moves the first parameter only": {"momentum": only_the_first},
        "beta and 1 - beta confused": {"momentum": swapped},
        "the average instead of the sum": {"momentum": damped},
    },
)
def beta_is_the_share_of_the_last_gradient(lib, trial, percent, lr):
    """Reading: a single unit gradient moves the parameter by lr·betaᵏ in the k-th step after it, k = 0..9; under a
    constant unit gradient the steps add up these shares, lr·(1 - betaᵗ)/(1 - beta), towards lr/(1 - beta).
    Why: each step multiplies the velocity by beta."""
    beta = percent / 100
    impulse = torch.zeros(10, 1, dtype=torch.float64, device=trial.device)
    impulse[0] = 1
    k = torch.arange(10, dtype=torch.float64, device=trial.device)[:, None]
    shares = -lr * beta**k
    answer = displacements(lib, impulse, lr, beta)
    constant = displacements(lib, torch.ones_like(impulse), lr, beta)
    bounds = {"operations": 40, "scale": shares.abs().cumsum(0).cumsum(0)}  # w' - w rounds by the way so far
    return close(answer, shares, **bounds, what="an impulse's later share differs from the power of beta") & close(
        constant, shares.cumsum(0), **bounds, what="a constant gradient's step differs from the sum of the shares"
    )


BETAS = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.97)


def steps_to_turn(lib, device, beta, pushes):
    """Steps until the displacement follows gradients of -1, after so many gradients of +1; 51 if it never does in 50."""
    gradients = torch.ones(pushes + 50, 1, dtype=torch.float64, device=device)
    gradients[pushes:] = -1
    follows = displacements(lib, gradients, 1.0, beta)[pushes:, 0] > 0
    return int(follows.to(torch.int64).argmax()) + 1 if bool(follows.any()) else 51


@claim(
    "gfg-31.7",
    "The larger the momentum coefficient, the longer the old direction is kept.",
    needs=["momentum"],
    setting={"betas": BETAS, "pushes": 400},
    expect=CONDITIONAL(
        "the old direction has lasted, here for 400 steps; after a single step in it every coefficient turns at once",
        within={"pushes": instead(400)},
        beyond={"pushes": instead(1)},
    ),
    kind="tendency",
    sabotage={
        "no memory": {"momentum": without_memory},
        "moves the first parameter only": {"momentum": only_the_first},
        "the range of beta turned round": {"momentum": turned_round},
        "coefficients in falling order": {"betas": lambda sound: sound[::-1]},
    },
)
def a_larger_beta_keeps_the_old_direction_longer(lib, trial, betas, pushes):
    """Reading: after k equal gradients that then turn round, the steps until the parameter turns are ⌈ln(2 - betaᵏ) / -ln beta⌉
    (1 for beta = 0), which rises with beta, and more than one at the largest;
    the coefficients avoid those at which the velocity passes through zero exactly.
    Why: the velocity after n further steps is proportional to (2 - betaᵏ)·betaⁿ - 1; at k = n = 1 that is -(1 - beta)² < 0."""
    counts = [steps_to_turn(lib, trial.device, beta, pushes) for beta in betas]
    expected = [math.ceil(math.log(2 - beta**pushes) / -math.log(beta)) if beta > 0 else 1 for beta in betas]
    picture = curve("Steps until the parameter turns", betas, {"steps": counts}, x_label="beta", y_label="steps")
    rises = at_least(
        torch.tensor(counts[1:]),
        torch.tensor(counts[:-1]),
        what="steps to turn at a larger coefficient, against the next smaller",
    )
    longest = at_least(
        counts[-1], counts[0] + 1, what="steps to turn at the largest coefficient, against more than at the smallest"
    )
    return (
        rises & longest & equal(counts, expected, what="steps until the parameter turns differ from the formula")
    ).with_figure(picture)


def one_turn(device):
    """400 gradients along one axis and one along the other: (401, 2)."""
    gradients = torch.zeros(401, 2, dtype=torch.float64, device=device)
    gradients[:400, 0], gradients[400, 1] = 1, 1
    return gradients


@claim(
    "gfg-31.8",
    "The smaller the momentum coefficient, the more an update turns when the gradient turns.",
    needs=["momentum"],
    setting={"betas": BETAS},
    reading="by how much it turns",
    expect=HOLDS,
    kind="tendency",
    sabotage={
        "no memory": {"momentum": without_memory},
        "moves the first parameter only": {"momentum": only_the_first},
        "the range of beta turned round": {"momentum": turned_round},
        "the gradient scaled instead of the velocity": {"momentum": scales_the_gradient},
    },
)
def a_smaller_beta_turns_more_with_the_gradient(lib, trial, betas):
    """Reading: after 400 gradients along one axis and one along the other, the step has turned by atan((1 -
    beta)/beta), which falls from 90 degrees at beta = 0 to below 2 at 0.97.
    Why: the velocity is then (beta·(1 - beta⁴⁰⁰)/(1 - beta), 1)."""
    last = torch.stack([displacements(lib, one_turn(trial.device), 0.1, beta)[-1] for beta in betas])
    angles = torch.atan2(last[:, 1].abs(), last[:, 0].abs())
    expected = torch.tensor(
        [math.atan2(1 - beta, beta * (1 - beta**400)) for beta in betas], dtype=torch.float64, device=trial.device
    )
    picture = curve(
        "Turn of the update after the gradient's turn by 90 degrees",
        betas,
        {"degrees": angles.rad2deg()},
        x_label="beta",
        y_label="degrees",
    )
    falls = at_most(angles[1:], angles[:-1], what="turn at a larger coefficient, in radians, against the next smaller")
    # the way is at most 400·lr/(1 - 0.97); w' - w rounds by u of it, 1.5e-12 of lr, in both coordinates of a step at least lr long
    allowance = 400 / 0.03 * 2.0**-52
    return (
        falls
        & within(
            angles,
            expected,
            allowance,
            what="a turn differs from the formula by radians",
            why="rounding of the way gone",
        )
    ).with_figure(picture)


@claim(
    "gfg-31.8",
    "The smaller the momentum coefficient, the more an update changes when the gradient turns.",
    needs=["momentum"],
    setting={"betas": BETAS},
    reading="by how much it changes",
    expect=REFUTED(
        instead="The new gradient enters the update with weight one whatever beta is; it turns the update less at a larger beta only "
        "because the old velocity is larger.",
        by="a_momentum_step_sums_all_gradients_so_far",
    ),
    kind="tendency",
    sabotage={"the average instead of the sum, which weighs the new gradient by 1 - beta": {"momentum": damped}},
)
def a_smaller_beta_changes_the_update_more(lib, trial, betas):
    """Reading: after 400 gradients along one axis, let the next one point along the other and not along the same: the step then
    differs by a vector that is shorter, by a thousandth of the rate at least, at each larger coefficient.
    Why it fails: the step is -lr·(beta·v + g), and beta·v is the same on both sides: the difference is lr·√2 long for every beta."""
    turned = one_turn(trial.device)
    straight = turned[:1].expand_as(turned)
    changes = torch.stack(
        [(displacements(lib, turned, 0.1, b) - displacements(lib, straight, 0.1, b))[-1].norm() for b in betas]
    )
    return at_least(changes[:-1] - changes[1:], 1e-4, what="how much shorter the change is at a larger coefficient")
