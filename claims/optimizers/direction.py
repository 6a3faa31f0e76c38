"""The direction of an update: the gradient points to steepest
ascent, and a step against it lowers the loss if it is short."""

from __future__ import annotations

import sympy
import torch

from assay.claim import CONDITIONAL, HOLDS, claim
from assay.decide.proofs import identity
from assay.evidence import at_most, between, curve, fact, within
from assay.sabotage import instead
from assay.strategies import seeds
from claims.lab import tasks
from claims.lab.training import accuracy, gradients, mlp, random_layers
from claims.optimizers.classifier import binary_loss


def uphill(sound):
    """Adds the gradient where it should be subtracted."""
    return lambda params, grads, state, *, lr: sound(params, [-g for g in grads], state, lr=lr)


ON_THE_BATCH = "a step lowers the loss of its batch"


@claim(
    "gfg-10.7", "A step against the gradient makes the network better at its task.",
    needs=["dense", "tanh", "sgd"],
    setting={"rates": (0.01,)},
    also=["gfg-13.7", "gfg-23.5"],
    reading=ON_THE_BATCH,
    kind="tendency",
    expect=CONDITIONAL(
        "the step is short, here rates up to 1; at 30 a single step raises the loss of some nets",
        within={"rates": instead((1e-4, 1e-2, 1.0))}, beyond={"rates": instead((30.0,))},
    ),
    sabotage={
        "climbs instead of descending": {"sgd": uphill},
        "a thousand times the step": {"sgd": lambda sound: lambda p, g, s, *, lr: sound(p, g, s, lr=1000 * lr)},
    },
)  # fmt: skip
def a_step_against_the_gradient_lowers_the_loss(lib, trial, rates):
    """Reading: of 128 random nets (2-8-1, tanh) on a batch of 32 points
    of two moons, each has a lower loss on that batch after one step.
    Why: the loss changes by -lr·|g|² + O(lr²): the first term wins
    for short steps, nothing bounds the second for long ones."""
    x, y = tasks.moons(32, trial.generator("data"))
    start = random_layers([2, 8, 1], 128, trial.generator("start"))
    before, slopes = gradients(lambda p, _: binary_loss(lib, p, x, y), start)
    worse = [int((binary_loss(lib, lib.sgd(start, slopes, None, lr=lr)[0], x, y) >= before).sum()) for lr in rates]
    picture = curve(
        "Nets whose loss did not fall",
        rates,
        {"of 128 nets": worse},
        x_label="learning rate",
        y_label="nets",
        log_x=True,
    )
    return fact("nets of 128 whose loss did not fall", max(worse), 0, why="each net counts").with_figure(picture)


@claim(
    "gfg-10.7", "A step against the gradient makes the network better on points that it has not seen.",
    needs=["dense", "tanh", "sgd"],
    setting={"size": 32, "cost": binary_loss},
    also=["gfg-13.7", "gfg-23.5"],
    reading="a step makes it better on unseen points",
    kind="tendency",
    expect=CONDITIONAL(
        "better means a lower loss, the step is short and the batch stands for the task, as 32 points do and a single one does not; "
        "the accuracy of some nets falls even then",
        within={"size": instead(32)}, beyond={"size": instead(1)},
    ),
    sabotage={
        "climbs instead of descending": {"sgd": uphill},
        "judged by the errors made": {"cost": lambda sound: errors_made},
    },
)  # fmt: skip
def a_step_against_the_gradient_helps_on_unseen_points(lib, trial, size, cost):
    """Reading: of random nets (2-8-1, tanh), each with a batch and 1000 other points of two moons of its own, more than 85 in
    a hundred have no higher loss on those points after one step at the rate 0.01.
    Why: the loss of the task changes by -lr·<g, G>, g the gradient on the batch and G on the task: 32 points agree with G, in all
    but one net of ten thousand; a single one points uphill for about a fifth of the nets. The number of errors moves by whole
    points, and in one net of six upwards: more of them come to lie beyond the threshold while all become likelier on average."""

    def no_worse(n, g):
        x, y = (part.unflatten(0, (n, size)) for part in tasks.moons(n * size, g))
        unseen = [part.unflatten(0, (n, 1000)) for part in tasks.moons(n * 1000, g)]
        start = random_layers([2, 8, 1], n, g)
        _, slopes = gradients(lambda p, _: binary_loss(lib, p, x, y), start)
        end, _ = lib.sgd(start, slopes, None, lr=0.01)
        return cost(lib, end, *unseen) <= cost(lib, start, *unseen)

    return trial.often(no_worse, floor=0.85, detects=0.12, what="share of nets that are no worse on unseen points")


def errors_made(lib, params, x, y):
    """The share of wrong answers of each replica: (R,)."""
    return 1 - accuracy(mlp(lib, params, x, lib.tanh), y)


@claim(
    "gfg-23.5",
    "For a short step the cost falls by the rate times the squared gradient.",
    needs=["dense", "tanh", "sgd"],
    also=["gfg-14.2"],
    reading=ON_THE_BATCH,
    covers="a fall by rate times squared gradient, for a short step",
    given={"seed": seeds()},
    setting={"lr": 1e-3},
    expect=HOLDS,
    sabotage={
        "climbs instead of descending": {"sgd": uphill},
        "half of every step": {"sgd": lambda sound: lambda p, g, s, *, lr: sound(p, g, s, lr=lr / 2)},
        "a step too long for the first order": {"lr": instead(30.0)},
    },
)
def a_short_step_lowers_the_cost_by_rate_times_squared_gradient(lib, trial, seed, lr):
    """Reading: for 8 random nets (2-8-1, tanh), the cost falls by
    lr·|g|² up to twice lr·|g| times the change of the gradient over the step.
    Why: the fall is the integral of the slope along the step, and by Cauchy and Schwarz the slope at a point w' of it
    differs from the slope at the start by at most |g|·|g(w') - g|."""
    generator = trial.generator(seed)
    x, y = tasks.moons(32, generator)
    start = random_layers([2, 8, 1], 8, generator)
    before, slopes = gradients(lambda p, _: binary_loss(lib, p, x, y), start)
    end, _ = lib.sgd(start, slopes, None, lr=lr)
    after, turned = gradients(lambda p, _: binary_loss(lib, p, x, y), end)
    squared = sum(g.square().flatten(1).sum(-1) for g in slopes)
    drift = sum((h - g).square().flatten(1).sum(-1) for g, h in zip(slopes, turned, strict=True))
    # where the drift grows along the step, its average is at most that at the end; twice that leaves room where it does
    # not; 64 roundings of the loss
    margin = 2 * lr * (squared * drift).sqrt() + 64 * 2.0**-53
    short = at_most(drift / squared, 0.01, what="change of the gradient on the way, as a share of itself, squared")
    return short & within(
        before - after,
        lr * squared,
        margin,
        what="the fall differs from rate times squared gradient by",
        why="the change of the gradient over the step, and rounding",
    )


@claim(
    "gfg-23.4",
    "No direction climbs more steeply than the gradient, and none descends more steeply than its opposite.",
    needs=["dense", "tanh"],
    given={"seed": seeds()},
    setting={"order": 2},
    expect=HOLDS,
    sabotage={
        "lengths measured by the largest coordinate": {"order": instead(float("inf"))},
        "a layer whose gradient forgets the bias": {
            "dense": lambda sound: lambda x, w, b: sound(x, w, b.detach() + 0 * b)
        },
        "a layer whose gradient is halved": {
            "dense": lambda sound: lambda x, w, b: (sound(x, w, b) + sound(x, w, b).detach()) / 2
        },
    },
)
def the_gradient_points_to_steepest_ascent(lib, trial, seed, order):
    """Reading: the slope of a net's loss along 50 random directions of unit length, measured by central differences
    without the gradient, lies within ±|g|, and along g/|g| it is |g|.
    Why: the slope along d is <g, d> <= |g|·|d| by Cauchy and Schwarz, equal only for d along g.
    With another measure of length another direction is steepest: sign(g) for the largest coordinate."""
    generator = trial.generator(seed)
    x, y = tasks.moons(16, generator)
    start = [p[0] for p in random_layers([2, 3, 1], 1, generator)]
    slopes = torch.autograd.grad(binary_loss(lib, leaves := [p.requires_grad_() for p in start], x, y), leaves)
    g = torch.cat([s.flatten() for s in slopes])
    directions = torch.randn(50, len(g), generator=generator, dtype=torch.float64, device=g.device)
    directions = torch.cat([directions, g[None], g.sign()[None]])
    directions = directions / torch.linalg.vector_norm(directions, ord=order, dim=-1, keepdim=True)
    slope, error = measured_slopes(lib, start, directions, x, y)
    along = within(
        slope[50],
        g.norm(),
        error[50],
        what="the slope along the gradient differs from its length by",
        why="truncation and rounding of the central difference",
    )
    return along & between(
        (slope.abs() - error).clamp_min(0),
        0,
        float(g.norm()),
        what="steepness of a direction beyond rounding, against the gradient's length",
    )


def measured_slopes(lib, params, directions, x, y):
    """Central differences of the loss along each direction, (n,),
    and a bound on their error from a second, doubled distance."""
    shapes = [p.shape for p in params]

    def losses(distance):
        moved = torch.cat([p.detach().flatten() for p in params]) + distance * directions
        parts = moved.split([s.numel() for s in shapes], -1)
        return binary_loss(lib, [part.unflatten(-1, s) for part, s in zip(parts, shapes, strict=True)], x, y).detach()

    near, far = ((losses(h) - losses(-h)) / (2 * h) for h in (1e-4, 2e-4))
    # the error of `near` is a third of near - far to fourth order; all of it is allowed, and 64 roundings of losses of
    # size below 4
    return near, (near - far).abs() + 64 * 4 * 2.0**-53 / 1e-4


@claim(
    "gfg-23.4",
    "The slope along a direction of unit length falls short of the "
    "gradient's length by what is not along the gradient.",
    needs=[],
    setting={"shortfall": lambda g, d: sum((g[i] * d[j] - g[j] * d[i]) ** 2 for i, j in ((0, 1), (0, 2), (1, 2)))},
    expect=HOLDS,
    sabotage={
        "one pair of coordinates forgotten": {
            "shortfall": instead(lambda g, d: (g[0] * d[1] - g[1] * d[0]) ** 2 + (g[0] * d[2] - g[2] * d[0]) ** 2)
        },
        "the direction does not matter": {"shortfall": instead(lambda g, d: 0 * g[0])},
    },
)
def slopes_fall_short_of_the_gradient_by_their_angle(lib, shortfall):
    """Reading: in three dimensions |g|²·|d|² - <g, d>² is a sum of squares, which vanishes only for d along g.
    Why: Lagrange's identity. So <g, d> <= |g| for |d| = 1; g and d span a plane, so three dimensions say it for all."""
    g, d = sympy.symbols("g1:4", real=True), sympy.symbols("d1:4", real=True)
    squared = [sum(a * b for a, b in zip(u, v, strict=True)) for u, v in ((g, g), (d, d), (g, d))]
    return identity(
        squared[0] * squared[1] - squared[2] ** 2, shortfall(g, d), what="the shortfall differs from the sum of squares"
    )
