"""What different starts lead to after training: paired runs on the same data, everything else varied by the seed."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.evidence import Evidence, at_most
from assay.sabotage import instead, scaled, with_arguments
from claims.initialization.networks import (
    Start,
    adam,
    biases_around,
    descent,
    drawn,
    squared_loss,
    start,
    two_class_loss,
    unequal,
    zero,
)
from claims.lab import tasks
from claims.lab.training import Parameters, accuracy, fit, mlp

ACTIVATIONS = [{"activation": "tanh"}, {"activation": "sigmoid"}, {"activation": "relu"}]
XOR = ["dense", "sgd", "normal", "zeros", "constant", "tanh", "relu", "sigmoid", "binary_cross_entropy_with_logits"]


@claim(
    "ib-17.1",
    "A net whose biases all start at zero can still learn.",
    needs=["dense", "tanh", "adam", "normal", "mean_squared_error"],
    setting={"biases_learn": True},
    kind="existence",
    expect=HOLDS,
    sabotage={
        "biases that stay at zero": {"biases_learn": instead(False)},
        "all weights zero as well": {"normal": scaled(0.0)},
    },
)
def zero_biases_do_not_keep_a_net_from_learning(lib: Any, trial: Any, biases_learn: bool) -> Evidence:
    """Reading: from random weights and zero biases, a 1-12-1 tanh net fits a cosine on [-2, 2] to one per cent of its
    variance, in most draws of the weights.
    Why: random weights tell the units apart, and the biases get gradients of their own. Kept at zero, they leave an odd
    function, which cannot fit an even one."""
    x = torch.linspace(-2, 2, 21, dtype=torch.float64, device=trial.device)[:, None]
    y = x[:, 0].cos()

    def learnt(n: int, g: torch.Generator) -> torch.Tensor:
        params = start((1, 12, 1), drawn(lib.normal, g, sd=1.0), n, zero(trial.device))
        squared = squared_loss(lib, lib.tanh, x, y)

        def loss(params: Parameters, step: int) -> torch.Tensor:
            return squared([p if biases_learn or k % 2 == 0 else 0 * p for k, p in enumerate(params)], step)

        return loss(fit(loss, params, adam(lib, 0.05), 300), 0) < 0.01 * y.var()

    return trial.often(learnt, floor=0.5, detects=0.25, what="share of starts that learn")


def constant_start(lib: Any, values: torch.Tensor, hidden: tuple[int, ...], biases: Start) -> list[torch.Tensor]:
    """A net of two inputs and one output for each value, all of whose weights have that value."""
    weights = [
        start((2, *hidden, 1), one_value(lib, float(c), values.device), 1, zero(values.device))[::2] for c in values
    ]
    params = start((2, *hidden, 1), zero(values.device), len(values), biases)
    params[::2] = [torch.cat(layer) for layer in zip(*weights, strict=True)]
    return params


def one_value(lib: Any, c: float, device: torch.device) -> Start:
    return lambda r, fan_out, fan_in: lib.constant((fan_out, fan_in), c).to(device).expand(r, -1, -1)


@claim(
    "ib-17.5",
    "From constant weights a net never gets more than three of the four points of exclusive or right.",
    needs=XOR,
    cases=ACTIVATIONS,
    setting={"noise": 0.0, "bias_sd": 0.0},
    covers="a task that needs two units in a layer",
    expect=CONDITIONAL(
        "a layer's biases are equal as well and the task needs two units in a layer",
        within={"bias_sd": instead(0.0)},
        beyond={"bias_sd": instead(0.5), "activation": instead("tanh")},
    ),
    sabotage={
        "random weights": {"constant": lambda sound: lambda shape, value: unequal(sound(shape, value), 1.0)},
        "dropout between the layers": {"noise": instead(0.5)},
    },
)
def constant_weights_leave_one_effective_unit_in_a_layer(
    lib: Any, trial: Any, activation: str, noise: float, bias_sd: float
) -> Evidence:
    """Reading: for 24 constants between -2 and 2 the 2-8-1 net, trained from zero biases, names at most three of four
    points rightly; from normal biases some tanh net names all four.
    Why: eight equal units are one unit, a monotone function of one sum; it cuts the plane once, and no line separates
    exclusive or. Unequal biases make eight units of them."""
    values = torch.linspace(-2, 2, 24, dtype=torch.float64, device=trial.device)
    x, y = (part.to(trial.device) for part in tasks.xor())
    f, g = getattr(lib, activation), trial.generator("dropout")

    def net(params: Parameters, kept: float) -> torch.Tensor:
        w1, b1, w2, b2 = params
        h = f(lib.dense(x, w1, b1))
        mask = torch.rand(h.shape, generator=g, dtype=torch.float64, device=trial.device) < kept
        return lib.dense(h * mask / kept, w2, b2)

    def loss(params: Parameters, step: int) -> torch.Tensor:
        return lib.binary_cross_entropy_with_logits(net(params, 1 - noise)[..., 0], y).mean(-1)

    biases = biases_around(trial, 0.0, bias_sd)
    params = fit(loss, constant_start(lib, values, (8,), biases), descent(lib, 1.0), 150)
    return at_most(accuracy(net(params, 1.0), y), 0.75, what="accuracy on exclusive or")


@claim(
    "ib-17.5",
    "With zero biases, constant weights lead to a worse result than random ones.",
    needs=XOR,
    setting={"sd": 1.0},
    covers="a task that needs two units in a layer, zero biases, against random weights",
    expect=HOLDS,
    sabotage={
        "random weights a thousand times too small": {"sd": instead(0.001)},
        "all weights zero": {"normal": scaled(0.0)},
    },
)
def constant_weights_learn_exclusive_or_worse_than_random_ones(lib: Any, trial: Any, sd: float) -> Evidence:
    """Reading: paired runs of a 2-8-1 tanh net on exclusive or, 150 steps; the constant is drawn from [-1, 1].
    Why: one effective unit leaves a cross-entropy of at least (3/4)·log 3 - (1/2)·log 2 = 0.477, eight units none."""
    x, y = (part.to(trial.device) for part in tasks.xor())
    loss = two_class_loss(lib, lib.tanh, x, y)

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        values = torch.rand(n, generator=g, dtype=torch.float64, device=trial.device) * 2 - 1
        starts = (
            start((2, 8, 1), drawn(lib.normal, g, sd=sd), n, zero(trial.device)), constant_start(lib, values, (8,), zero(trial.device))
        )  # fmt: skip
        random, constant = (loss(fit(loss, params, descent(lib, 1.0), 150), 0) for params in starts)
        return random, constant

    return trial.prefers(pair, margin=0.1, what="cross-entropy after training, random against constant")


@claim(
    "ib-17.5",
    "Constant weights other than zero are likely to give a net with one hidden layer a poor result on a task that one unit "
    "can solve.",
    needs=XOR,
    cases=ACTIVATIONS,
    setting={"of": "separable"},
    covers="a task that one unit can solve, one hidden layer, a constant other than zero",
    expect=REFUTED(
        instead="From equal weights other than zero, a net with one hidden layer mostly learns a task that one unit can "
        "solve; from weights of zero behind tanh or ReLU units, and in a ReLU net of three hidden layers, it mostly does "
        "not.",
        by="constant_weights_learn_a_separable_task",
    ),
    sabotage={"a task that needs two units": {"of": instead("xor")}},
)
def constant_weights_are_poor_on_a_separable_task(lib: Any, trial: Any, activation: str, of: str) -> Evidence:
    """Reading: in most draws of the constant from [-1, 1] fewer than nine answers in ten are right after 150 steps.
    Why not: one unit separates two classes that a line separates."""
    return mostly_poor(lib, trial, (8,), activation, 1.0, of)


@claim(
    "ib-17.5",
    "On a task that one unit can solve, weights of zero, or constant weights in a deep ReLU net, are likely to give a poor "
    "result.",
    needs=XOR,
    cases=[
        {"hidden": (8,), "activation": "tanh", "largest": 0.0},
        {"hidden": (8,), "activation": "relu", "largest": 0.0},
        {"hidden": (8, 8, 8), "activation": "relu", "largest": 1.0},
    ],
    setting={"of": "separable"},
    covers="a task that one unit can solve, from zero behind tanh or ReLU units or in a ReLU net of three hidden layers",
    expect=HOLDS,
    sabotage={
        "one hidden layer and other constants": {"hidden": instead((8,)), "largest": instead(1.0)},
        "random weights": {"constant": lambda sound: lambda shape, value: unequal(sound(shape, value), 0.5)},
    },
)
def zero_weights_and_constants_in_deep_nets_are_poor_on_a_separable_task(
    lib: Any, trial: Any, hidden: tuple[int, ...], activation: str, largest: float, of: str
) -> Evidence:
    """Reading: in most draws of the constant, zero or from [-1, 1], fewer than nine answers in ten are right after 150
    steps.
    Why: from zero nothing but the output bias moves. In the deep net a negative constant makes every unit of the second
    layer silent, and a positive one multiplies the signal by about 8·c in each layer, mostly too much or too little."""
    return mostly_poor(lib, trial, hidden, activation, largest, of)


def mostly_poor(lib: Any, trial: Any, hidden: tuple[int, ...], activation: str, largest: float, of: str) -> Evidence:
    return trial.often(
        lambda n, g: right_from_constants(lib, hidden, activation, largest, of, n, g) < 0.9,
        floor=0.5, detects=0.25, what="share of constants with a poor result",
    )  # fmt: skip


@claim(
    "ib-17.5",
    "From constant weights other than zero a net with one hidden layer mostly learns a task that one unit can solve.",
    needs=XOR,
    cases=ACTIVATIONS,
    setting={"of": "separable", "largest": 1.0},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "a task that needs two units": {"of": instead("xor")},
        "the constant zero": {"largest": instead(0.0)},
        "never moves": {"sgd": with_arguments(lr=0.0)},
    },
)
def constant_weights_learn_a_separable_task(lib: Any, trial: Any, activation: str, of: str, largest: float) -> Evidence:
    """Reading: in most draws of the constant from [-1, 1] at least nine answers in ten are right after 150 steps.
    Why: equal units act as one, and one unit separates two classes that a line separates."""
    return trial.often(
        lambda n, g: right_from_constants(lib, (8,), activation, largest, of, n, g) >= 0.9,
        floor=0.5, detects=0.25, what="share of constants with a good result",
    )  # fmt: skip


def right_from_constants(
    lib: Any, hidden: tuple[int, ...], activation: str, largest: float, of: str, n: int, g: torch.Generator
) -> torch.Tensor:
    """Accuracy (n,) of nets trained from equal weights, each from a constant drawn from [-largest, largest]."""
    x, y = tasks.halfspace((n, 32), 2, g) if of == "separable" else (t.to(g.device) for t in tasks.xor())
    values = largest * (torch.rand(n, generator=g, dtype=torch.float64, device=g.device) * 2 - 1)
    f = getattr(lib, activation)
    params = constant_start(lib, values, hidden, zero(g.device))
    params = fit(two_class_loss(lib, f, x, y), params, descent(lib, 1.0), 150)
    return accuracy(mlp(lib, params, x, f), y)


@claim(
    "gfg-32.5",
    "Zero weights can stop learning altogether where random ones learn.",
    needs=XOR,
    setting={"hidden": (8,), "of": "xor"},
    kind="existence",
    expect=HOLDS,
    sabotage={
        "no hidden layer, a separable task": {"hidden": instead(()), "of": instead("separable")},
        "random in place of zero weights": {
            "zeros": lambda sound: lambda shape: unequal(sound(shape), 1.0),
        },
    },
)
def zero_weights_can_stop_what_random_weights_learn(lib: Any, trial: Any, hidden: tuple[int, ...], of: str) -> Evidence:
    """Reading: paired runs of a 2-8-1 tanh net on exclusive or, 150 steps of descent at a rate of 1: random weights end with a
    cross-entropy lower by 0.3 or more.
    Why: from zero the answer stays 1/2 with cross-entropy log 2 = 0.69; random weights reach about 0.02."""

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = tasks.halfspace((n, 32), 2, g) if of == "separable" else (t.to(g.device) for t in tasks.xor())
        loss = two_class_loss(lib, lib.tanh, x, y)
        widths = (2, *hidden, 1)
        at_zero: Start = lambda r, fan_out, fan_in: lib.zeros((fan_out, fan_in)).to(g.device).expand(r, -1, -1)  # noqa: E731
        starts = (start(widths, weights, n, zero(g.device)) for weights in (drawn(lib.normal, g, sd=1.0), at_zero))
        random, stuck = (loss(fit(loss, params, descent(lib, 1.0), 150), 0) for params in starts)
        return random, stuck

    return trial.prefers(pair, margin=0.3, what="cross-entropy after training, random against zero")


@claim(
    "gfg-32.1",
    "The scale of the initial weights decides whether a deep net learns in the given number of steps.",
    needs=["dense", "relu", "sgd", "normal", "he_normal", "binary_cross_entropy_with_logits"],
    setting={"depth": 4},
    expect=HOLDS,
    sabotage={
        "no hidden layer: a convex problem": {"depth": instead(0)},
        "He's weights a tenth as large": {"he_normal": scaled(0.1)},
    },
)
def the_initial_scale_decides_what_a_deep_net_learns(lib: Any, trial: Any, depth: int) -> Evidence:
    """Reading: paired runs, four ReLU layers of 12 units, 120 steps of descent on separable classes: with He's
    weights the loss ends below a third of that with standard deviation 0.01.
    Why: 0.01 shrinks the signal's size by √(12/2)·0.01, a factor of 40, in each layer, and the gradient's likewise;
    the net stays on its plateau. A convex problem forgets its start."""

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        x, y = tasks.halfspace((n, 32), 2, g)
        loss = two_class_loss(lib, lib.relu, x, y)
        widths = (2, *[12] * depth, 1)
        rules = (drawn(lib.he_normal, g), drawn(lib.normal, g, sd=0.01))
        he, small = (
            loss(fit(loss, start(widths, rule, n, zero(g.device)), descent(lib, 0.3), 120), 0).log10() for rule in rules
        )
        return he, small

    return trial.prefers(pair, margin=0.5, what="decades of the loss after training, He against 0.01")


@claim(
    "gfg-32.7",
    "Plain random weights serve a shallow net well over a wide range of scales, at a learning rate of 1.",
    needs=["dense", "relu", "sgd", "normal", "binary_cross_entropy_with_logits"],
    cases=[{"sd": 0.05}, {"sd": 0.1}, {"sd": 0.3}],
    setting={"depth": 1},
    expect=HOLDS,
    sabotage={
        "five hidden layers": {"depth": instead(5)},
        "all weights zero": {"normal": scaled(0.0)},
    },
)
def plain_random_weights_serve_a_shallow_net(lib: Any, trial: Any, sd: float, depth: int) -> Evidence:
    """Reading: with one hidden layer of 16 ReLU units, in most runs at least 85 % of 32 points with the classes of
    exclusive or are named rightly after 120 steps at a rate of 1, for standard deviations 0.05, 0.1 and 0.3.
    Why: one layer shrinks the signal once, and descent recovers; over many layers the factors multiply."""

    def served(n: int, g: torch.Generator) -> torch.Tensor:
        x, y = tasks.xor_clouds((n, 32), g)
        loss = two_class_loss(lib, lib.relu, x, y)
        params = start((2, *[16] * depth, 1), drawn(lib.normal, g, sd=sd), n, zero(g.device))
        params = fit(loss, params, descent(lib, 1.0), 120)
        return accuracy(mlp(lib, params, x, lib.relu), y) >= 0.85

    return trial.often(served, floor=0.5, detects=0.25, what="share of runs that learn")
