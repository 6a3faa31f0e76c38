"""What a net can learn from zero weights."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.evidence import Evidence, all_of, at_least, at_most
from assay.sabotage import instead
from claims.initialization.networks import (
    NETS,
    Activation,
    Start,
    all_zero,
    biases_around,
    centred,
    highest,
    raised,
    random_in_place_of_zeros,
    start,
    two_class_loss,
    zero,
)
from claims.lab import tasks
from claims.lab.training import Loss, Parameters, accuracy, fit, mlp

STEPS = 60
STUCK = (
    "Zero weights stop a net whose hidden units answer 0 to their biases, as tanh and ReLU units do to zero biases and "
    "ReLU units to negative ones too. A net without hidden layer, or with one whose units answer otherwise, can learn "
    "two unbalanced classes that a line separates; a sigmoid net with zero biases cannot learn exactly balanced ones if "
    "all points are shown in each step."
)
LEARNT = 0.8  # of the points: nearly halfway from the commoner class (40 of 64) to all of them
STARTS = 16  # drawn biases, of which the best is looked at: one success refutes "never"
BIASES = ((0.1, 0.0), (0.0, 0.7))  # mean and deviation of biases other than zero: equal ones, unequal ones


def task(name: str, trial: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The four points of exclusive or, or 64 points of which a line separates those of class one: 24, or half of them."""
    if name == "xor":
        x, y = tasks.xor()
        return x.to(trial.device), y.to(trial.device)
    x = torch.randn(64, 2, generator=trial.generator("task"), dtype=torch.float64, device=trial.device)
    return x, highest(x[:, 0], 32 if name == "balanced halfspace" else 24)


def loss_on_a_share(
    lib: Any, activation: Activation, x: torch.Tensor, y: torch.Tensor, share: float, g: torch.Generator
) -> Loss:
    """The loss on a share of the points, drawn anew in each step."""

    def loss(params: Parameters, step: int) -> torch.Tensor:
        some = torch.randperm(len(x), generator=g, device=g.device)[: round(share * len(x))]
        return two_class_loss(lib, activation, x[some], y[some])(params, step)

    return loss


def learnt_from_zero(
    lib: Any, trial: Any, hidden: tuple[int, ...], activation: str, of: str,
    biases: Start | None = None, share: float = 1.0,
) -> tuple[float, float]:  # fmt: skip
    """The best accuracy after training from zero weights, with zero or drawn biases, and that of always naming the
    commoner class."""
    x, y = task(of, trial)
    f = getattr(lib, activation)
    loss = loss_on_a_share(lib, f, x, y, share, trial.generator("order"))
    params = start(
        (2, *hidden, 1), all_zero(lib, trial.device), 1 if biases is None else STARTS, biases or zero(trial.device)
    )
    params = fit(loss, params, lambda p, g, s: lib.sgd(p, g, s, lr=4.0), STEPS)
    commoner = max(float(y.mean()), 1 - float(y.mean()))
    return float(accuracy(mlp(lib, params, x, f), y).max()), commoner


def learns_nothing(
    lib: Any, trial: Any, hidden: tuple[int, ...], activation: str, of: str,
    biases: Start | None = None, share: float = 1.0,
) -> Evidence:  # fmt: skip
    reached, commoner = learnt_from_zero(lib, trial, hidden, activation, of, biases, share)
    return at_most(reached, commoner, what="accuracy, against that of always naming the commoner class")


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
    "A net with one hidden layer of sigmoid units cannot be trained to any task from zero weights.",
    needs=NETS,
    setting={"hidden": (8,), "activation": "sigmoid", "of": "halfspace"},
    covers="one hidden layer of sigmoid units and zero biases, classes out of balance",
    expect=REFUTED(instead=STUCK, by="zero_weights_stop_a_net_only_behind_units_silent_at_zero"),
    sabotage={
        "sigmoids centred at zero": {"sigmoid": centred},
        "tanh units": {"activation": instead("tanh")},
        "as many cases of either class": {"of": instead("balanced halfspace")},
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
    "With all points in each step, a net with one hidden layer of sigmoid units cannot be trained from zero weights and "
    "biases to a task with as many cases of either class.",
    needs=NETS,
    cases=[{"of": "balanced halfspace"}, {"of": "xor"}],
    setting={"share": 1.0},
    covers="one hidden layer of sigmoid units and zero biases, classes exactly in balance, all points in each step",
    expect=HOLDS,
    sabotage={
        "24 of the 64 points in class one in place of 32": {
            "of": lambda of: "halfspace" if of == "balanced halfspace" else of
        },
        "a quarter of the points in each step": {"share": instead(0.25)},
        "random weights": {"zeros": random_in_place_of_zeros},
    },
)
def balanced_classes_stop_a_net_of_sigmoids_at_zero_weights(lib: Any, trial: Any, of: str, share: float) -> Evidence:
    """Reading: trained with all points in each step, of which a line separates 32 from 32, or on exclusive or, a 2-8-1
    net still gives one answer for all inputs.
    Why: all signals are 1/2, so the output weights' gradient is half the mean of 1/2 - y, which is 0: a stationary
    point. A part of the points is seldom in balance."""
    return learns_nothing(lib, trial, (8,), "sigmoid", of, share=share)


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
    cases=[
        {"activation": activation, "mean": mean, "sd": sd} for activation in ("tanh", "relu") for mean, sd in BIASES
    ],
    setting={"of": "halfspace"},
    covers="one hidden layer of tanh or ReLU units with a bias other than zero (ReLU: above zero), classes out of balance",
    expect=REFUTED(instead=STUCK, by="zero_weights_stop_a_net_only_behind_units_silent_at_zero"),
    sabotage={
        "zero biases": {"mean": instead(0.0), "sd": instead(0.0)},
        "ReLU units with negative biases": {"activation": instead("relu"), "mean": instead(-0.1), "sd": instead(0.0)},
    },
)
def zero_weights_stop_a_net_whatever_its_biases(
    lib: Any, trial: Any, activation: str, mean: float, sd: float, of: str
) -> Evidence:
    """Reading: from zero weights and biases of 0.1, or normal ones, a 2-8-1 net gets no further than always naming the
    commoner class, in any of 16 draws.
    Why not: the hidden signals are then f(b), which gives the output weights gradients, and these the hidden ones; each
    unit with its own bias goes its own way."""
    return learns_nothing(lib, trial, (8,), activation, of, biases_around(trial, mean, sd))


@claim(
    "ib-17.2",
    "From zero weights, nets whose hidden units answer 0 to their biases learn nothing; with one hidden layer or none, all "
    "others can learn two unbalanced classes that a line separates.",
    needs=NETS,
    setting={"of": "halfspace"},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "tanh raised by one half": {"tanh": raised},
        "sigmoids centred at zero": {"sigmoid": centred},
        "random weights": {"zeros": random_in_place_of_zeros},
        "as many cases of either class": {"of": instead("balanced halfspace")},
    },
)
def zero_weights_stop_a_net_only_behind_units_silent_at_zero(lib: Any, trial: Any, of: str) -> Evidence:
    """Reading: after 60 steps on a separable task, tanh and ReLU nets with zero biases, and ReLU nets with biases of
    -0.1, are no better than the commoner class; the sigmoid net, the net without hidden layer, and tanh and ReLU nets
    with biases of 0.1 or the best of 16 draws of normal ones are right on at least four points in five,
    nearly halfway from the commoner class's 62.5 % to all points.
    Why: the output weights' gradient is the hidden signal f(b) times the error, so f(b) decides whether anything
    moves."""
    stuck = all_of([learns_nothing(lib, trial, (8,), activation, of) for activation in ("tanh", "relu")])
    stuck &= learns_nothing(lib, trial, (8,), "relu", of, biases_around(trial, -0.1, 0.0))
    learners: list[tuple[tuple[int, ...], str, Start | None]] = [((8,), "sigmoid", None), ((), "sigmoid", None)]
    learners += [((8,), f, biases_around(trial, mean, sd)) for f in ("tanh", "relu") for mean, sd in BIASES]
    for hidden, activation, biases in learners:
        reached, _ = learnt_from_zero(lib, trial, hidden, activation, of, biases)
        name = f"{activation} net with hidden layers {hidden} and {'drawn' if biases else 'zero'} biases"
        stuck &= at_least(reached, LEARNT, what=f"accuracy of the {name}")
    return stuck
