"""What a net can learn from zero weights."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.evidence import Evidence, all_of, at_least, at_most
from assay.sabotage import instead
from claims.initialization.networks import (
    NETS,
    Start,
    all_zero,
    centred,
    highest,
    raised,
    random_in_place_of_zeros,
    start,
    two_class_loss,
    zero,
)
from claims.lab import tasks
from claims.lab.training import accuracy, fit, mlp

STEPS = 60
STUCK = (
    "Zero weights with zero biases stop a net whose hidden activation is zero at zero, as tanh and ReLU are; with "
    "unequal biases such nets learn; nets without a hidden layer learn, and so do sigmoid nets with zero biases unless "
    "the classes are exactly balanced."
)
STARTS = 16  # drawn biases, of which the best is looked at: one success refutes "never"


def task(name: str, trial: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The four points of exclusive or, or 64 points of which a line separates those of class one: 24, or half of them."""
    if name == "xor":
        x, y = tasks.xor()
        return x.to(trial.device), y.to(trial.device)
    x = torch.randn(64, 2, generator=trial.generator("task"), dtype=torch.float64, device=trial.device)
    return x, highest(x[:, 0], 32 if name == "balanced halfspace" else 24)


def learnt_from_zero(
    lib: Any, trial: Any, hidden: tuple[int, ...], activation: str, of: str, biases: Start | None = None
) -> tuple[float, float]:
    """The best accuracy after training from zero weights, with zero or drawn biases, and that of always naming the
    commoner class."""
    x, y = task(of, trial)
    f = getattr(lib, activation)
    replicas = 1 if biases is None else STARTS
    params = start((2, *hidden, 1), all_zero(lib, trial.device), replicas, biases or zero(trial.device))
    params = fit(two_class_loss(lib, f, x, y), params, lambda p, g, s: lib.sgd(p, g, s, lr=4.0), STEPS)
    commoner = max(float(y.mean()), 1 - float(y.mean()))
    return float(accuracy(mlp(lib, params, x, f), y).max()), commoner


def unequal_biases(trial: Any, sd: float) -> Start:
    """Normal biases of deviation `sd`, from a stream of their own."""
    g = trial.generator("biases")
    return lambda r, fan_out, fan_in: (
        sd * torch.randn(r, fan_out, fan_in, generator=g, dtype=torch.float64, device=trial.device)
    )


def learns_nothing(
    lib: Any, trial: Any, hidden: tuple[int, ...], activation: str, of: str, biases: Start | None = None
) -> Evidence:
    reached, commoner = learnt_from_zero(lib, trial, hidden, activation, of, biases)
    return at_most(reached, commoner, what="accuracy exceeds that of always naming the commoner class by")


@claim(
    "ib-17.2",
    "A net without hidden layer cannot be trained to any task from zero weights.",
    needs=NETS,
    setting={"hidden": (), "activation": "tanh", "of": "halfspace"},
    covers="no hidden layer",
    expect=REFUTED(instead=STUCK, by="zero_weights_stop_a_net_only_behind_units_silent_at_zero"),
    sabotage={"a hidden layer of tanh units": {"hidden": instead((8,))}},
)
def zero_weights_stop_a_net_without_hidden_layer(
    lib: Any, trial: Any, hidden: tuple[int, ...], activation: str, of: str
) -> Evidence:
    """Reading: logistic regression from zero weights gets no further than always naming the commoner class.
    Why not: the gradient at zero is the mean of (1/2 - y)·x, which points at the task, and the loss is convex."""
    return learns_nothing(lib, trial, hidden, activation, of)


@claim(
    "ib-17.2",
    "A net of sigmoid units cannot be trained to any task from zero weights.",
    needs=NETS,
    setting={"hidden": (8,), "activation": "sigmoid", "of": "halfspace"},
    covers="sigmoid hidden units and zero biases, classes out of balance",
    expect=REFUTED(instead=STUCK, by="zero_weights_stop_a_net_only_behind_units_silent_at_zero"),
    sabotage={
        "sigmoids centred at zero": {"sigmoid": centred},
        "tanh units": {"activation": instead("tanh")},
    },
)
def zero_weights_stop_a_net_of_sigmoids(
    lib: Any, trial: Any, hidden: tuple[int, ...], activation: str, of: str
) -> Evidence:
    """Reading: a 2-8-1 sigmoid net from zero weights and biases gets no further than always naming the commoner class.
    Why not: the units answer 1/2, so the output weights move first, then the hidden ones, all alike: a net of one
    unit."""
    return learns_nothing(lib, trial, hidden, activation, of)


@claim(
    "ib-17.2",
    "A net of sigmoid units cannot be trained from zero weights and biases to a task with as many cases of either class.",
    needs=NETS,
    cases=[{"of": "balanced halfspace"}, {"of": "xor"}],
    setting={"hidden": (8,), "activation": "sigmoid"},
    covers="sigmoid hidden units and zero biases, classes exactly in balance",
    expect=HOLDS,
    sabotage={
        "24 of the 64 points in class one in place of 32": {
            "of": lambda of: "halfspace" if of == "balanced halfspace" else of
        },
        "random weights": {"zeros": random_in_place_of_zeros},
    },
)
def balanced_classes_stop_a_net_of_sigmoids_at_zero_weights(
    lib: Any, trial: Any, hidden: tuple[int, ...], activation: str, of: str
) -> Evidence:
    """Reading: trained with all points at once, of which a line separates 32 from 32, or on exclusive or, such a net
    still gives one answer for all inputs.
    Why: all signals are 1/2, so the output weights' gradient is half the mean of 1/2 - y, which is 0: a stationary
    point."""
    return learns_nothing(lib, trial, hidden, activation, of)


@claim(
    "ib-17.2",
    "A net of tanh or ReLU units cannot be trained to any task from zero weights and zero biases.",
    needs=NETS,
    cases=[
        {"hidden": hidden, "activation": activation, "of": of}
        for of in ("halfspace", "xor")
        for activation in ("tanh", "relu")
        for hidden in ((8,), (4, 4))
    ],
    covers="hidden units that are zero at zero, tanh or ReLU, and zero biases",
    expect=HOLDS,
    sabotage={
        "random weights": {"zeros": random_in_place_of_zeros},
        "tanh raised by one half": {"tanh": raised},
    },
)
def zero_weights_stop_a_net_of_tanh_or_relu_units(
    lib: Any, trial: Any, hidden: tuple[int, ...], activation: str, of: str
) -> Evidence:
    """Reading: after training, such a net still gives one answer for all inputs.
    Why: with W = 0, b = 0 and f(0) = 0 every hidden signal is 0, so every product in the gradient of a weight has a factor
    0; only the output bias moves."""
    return learns_nothing(lib, trial, hidden, activation, of)


@claim(
    "ib-17.2",
    "A net of tanh or ReLU units cannot be trained to any task from zero weights, whatever its biases.",
    needs=NETS,
    cases=[{"activation": "tanh"}, {"activation": "relu"}],
    setting={"bias_sd": 0.7, "of": "halfspace"},
    covers="hidden units, tanh or ReLU, with unequal biases",
    expect=REFUTED(instead=STUCK, by="zero_weights_stop_a_net_only_behind_units_silent_at_zero"),
    sabotage={"zero biases": {"bias_sd": instead(0.0)}},
)
def zero_weights_stop_a_net_whatever_its_biases(
    lib: Any, trial: Any, activation: str, bias_sd: float, of: str
) -> Evidence:
    """Reading: from zero weights and normal biases a 2-8-1 net gets no further than always naming the commoner class, in
    any of 16 draws.
    Why not: the hidden signals are then f(b), which gives the output weights unequal gradients, and these the hidden
    ones."""
    return learns_nothing(lib, trial, (8,), activation, of, unequal_biases(trial, bias_sd))


@claim(
    "ib-17.2",
    "From zero weights and biases, nets behind units that are zero at zero learn nothing; all others learn a separable "
    "task.",
    needs=NETS,
    setting={"of": "halfspace"},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "tanh raised by one half": {"tanh": raised},
        "sigmoids centred at zero": {"sigmoid": centred},
        "random weights": {"zeros": random_in_place_of_zeros},
    },
)
def zero_weights_stop_a_net_only_behind_units_silent_at_zero(lib: Any, trial: Any, of: str) -> Evidence:
    """Reading: after 60 steps on a separable task, tanh and ReLU nets are no better than the commoner class; the
    sigmoid net, the net without hidden layer, and tanh and ReLU nets with the best of 16 draws of biases are right on
    at least nine points in ten.
    Why: the output weights' gradient is the hidden signal times the error, and f(0) decides whether there is a
    signal."""
    stuck = all_of([learns_nothing(lib, trial, (8,), activation, of) for activation in ("tanh", "relu")])
    for hidden, name in (((8,), "sigmoid net"), ((), "net without hidden layer")):
        stuck &= at_least(
            learnt_from_zero(lib, trial, hidden, "sigmoid", of)[0], 0.9, what=f"accuracy of the {name} short by"
        )
    for activation in ("tanh", "relu"):
        reached, _ = learnt_from_zero(lib, trial, (8,), activation, of, unequal_biases(trial, 0.7))
        stuck &= at_least(reached, 0.9, what=f"accuracy of the {activation} net with unequal biases short by")
    return stuck
