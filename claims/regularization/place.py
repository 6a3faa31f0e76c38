"""Where dropout stands: behind the activation, or in front of it."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, close, differs
from assay.sabotage import instead, with_arguments
from assay.strategies import normals, probabilities, seeds


def _seeded(x: torch.Tensor, seed: int) -> torch.Generator:
    return torch.Generator(x.device).manual_seed(seed)


CURVED = ("sigmoid", "tanh", "softsign")
STRAIGHT = ("relu", "leaky_relu", "linear")


@claim(
    "gfg-19.9",
    "Dropout belongs behind the activation: in front of it, it would do something else.",
    needs=["dropout", *CURVED, *STRAIGHT],
    cases=[{"activation": name} for name in (*CURVED, *STRAIGHT)],
    setting={"p": 0.4},
    expect=CONDITIONAL(
        "the activation is not positively homogeneous, as sigmoid, tanh and softsign, and dropout rescales in training; "
        "with ReLU, leaky ReLU or none both places agree, and with tanh they do where training does not rescale",
        within=lambda activation, p: activation in CURVED,
    ),
    sabotage={
        "drops nothing": {"p": instead(0.0)},
        "is left in evaluation mode": {"dropout": with_arguments(training=False)},
    },
)
def dropout_in_front_of_the_activation_does_something_else(
    lib: Any, trial: Trial, activation: str, p: float
) -> Evidence:
    """Reading: dropping a(z) and applying a to the dropped z differ somewhere by 0.05, on 1000 values with one mask of
    inverted dropout.

    Why: they agree on kept neurons iff a(z/k) = a(z)/k, and on dropped ones iff a(0) = 0; both hold if a(k·z) =
    k·a(z) for k > 0. Without rescaling k = 1, and a(0) = 0 is enough.
    """
    act = getattr(lib, activation)
    z = trial.normal(1000)
    behind = lib.dropout(act(z), p, generator=trial.generator("mask"))
    in_front = act(lib.dropout(z, p, generator=trial.generator("mask")))
    return differs(behind, in_front, by=0.05, what="largest difference between the two places")


@claim(
    "gfg-19.9",
    "With a ReLU, dropout in front of the activation and behind it are the same.",
    reading=CORRECTION,
    needs=["dropout", "relu"],
    given={"z": normals((4, 10)), "p": probabilities(0.1, 0.9), "seed": seeds()},
    expect=HOLDS,
    sabotage={
        "ReLU with a threshold at one": {"relu": lambda sound: lambda z: sound(z - 1)},
        "ReLU followed by a square": {"relu": lambda sound: lambda z: sound(z).square()},
    },
)
def dropout_and_relu_can_change_places(lib: Any, z: torch.Tensor, p: float, seed: int) -> Evidence:
    """Reading: dropout(relu(z)) = relu(dropout(z)) with one mask.

    Why: max(k·z, 0) = k·max(z, 0) for every k >= 0, in particular for k = 0 and k = 1/(1 - p).
    """
    behind = lib.dropout(lib.relu(z), p, generator=_seeded(z, seed))
    in_front = lib.relu(lib.dropout(z, p, generator=_seeded(z, seed)))
    return close(behind, in_front, operations=4, what="the two places differ by")


@claim(
    "gfg-19.9",
    "Where training does not rescale, dropout in front of tanh and behind it are the same.",
    reading=CORRECTION,
    needs=["dropout_classic", "tanh"],
    given={"z": normals((4, 10)), "p": probabilities(0.1, 0.9), "seed": seeds()},
    expect=HOLDS,
    sabotage={
        "an activation that is 1/2 at zero": {"tanh": lambda sound: lambda z: 0.5 + sound(z) / 2},
        "rescales in training": {"dropout_classic": lambda sound: lambda x, p, **rest: sound(x, p, **rest) / (1 - p)},
    },
)
def classic_dropout_and_tanh_can_change_places(lib: Any, z: torch.Tensor, p: float, seed: int) -> Evidence:
    """Reading: dropout(tanh(z)) = tanh(dropout(z)) with one mask of dropout as first published.

    Why: m is 0 or 1, and tanh(0) = 0.
    """
    behind = lib.dropout_classic(lib.tanh(z), p, generator=_seeded(z, seed))
    in_front = lib.tanh(lib.dropout_classic(z, p, generator=_seeded(z, seed)))
    return close(behind, in_front, operations=4, what="the two places differ by")
