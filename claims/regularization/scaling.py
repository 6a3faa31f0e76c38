"""What the scaling of dropout makes equal between training and test: the mean input of the next layer, and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, close, equal
from assay.sabotage import Role, with_arguments

IN_TRAINING, AT_TEST_TIME = "dropout", "dropout_classic"  # where the scaling is done: the two forms of dropout
Formula = Callable[[float], float]
FORMS = [{"role": AT_TEST_TIME}, {"role": IN_TRAINING}]


def _without_scaling(sound: Role) -> Role:
    """Classic dropout that forgets its factor in evaluation."""
    return lambda x, p, *, generator, training=True: sound(x, p, generator=generator) if training else x


@claim(
    "gfg-35.9",
    "Thanks to the scaling, the next layer receives at test time the mean of what it received in training.",
    reading="the mean input of the next layer",
    needs=[IN_TRAINING, AT_TEST_TIME, "dense"],
    cases=FORMS,
    setting={"p": 0.2},
    expect=HOLDS,
    sabotage={
        "scales by the dropout probability": {
            "dropout": lambda sound: (
                lambda x, p, **rest: sound(x, p, **rest) * ((1 - p) / p if rest.get("training", True) else 1)
            )
        },
        "does not scale in training": {
            "dropout": lambda sound: (
                lambda x, p, **rest: sound(x, p, **rest) * (1 - p if rest.get("training", True) else 1)
            )
        },
        "does not scale at test time": {"dropout_classic": _without_scaling},
    },
)
def scaling_keeps_the_next_layers_mean_input(lib: Any, trial: Trial, role: str, p: float) -> Evidence:
    """Reading: a linear layer over eight dropped-out neurons has in training the mean that it has at test time, to
    0.02, whether dropout scales at test time, as first published, or in training.

    Why: expectation and linear layer change places.
    """
    h = torch.arange(1.0, 9.0, dtype=torch.float64, device=trial.device).expand(1, 8) / 8
    w = torch.tensor([[0.5, -0.3, 0.8, -0.6, 0.4, 0.7, -0.2, 0.9]], dtype=torch.float64, device=trial.device)
    drop = getattr(lib, role)
    quiet = lib.dense(drop(h, p, generator=trial.generator("unused"), training=False), w)
    spread = float((p / (1 - p) * (h * w).square().sum()).sqrt())
    return trial.mean(
        lambda n, g: lib.dense(drop(h.expand(n, 8), p, generator=g), w)[:, 0], float(quiet),
        detects=0.02, spread=spread, what="mean input of the next layer in training",
    )  # fmt: skip


_WITHOUT_THE_KINK = {"relu": lambda sound: lambda z: sound(z) - sound(-z)}


def _behind_a_kink(lib: Any, role: str, n: int, g: torch.Generator, *, training: bool) -> torch.Tensor:
    """relu(h₁ - h₂) of two neurons h₁ = h₂ = 1 behind one form of dropout with p = 0.5, for n masks (n,)."""
    w = torch.tensor([[1.0, -1.0]], dtype=torch.float64, device=g.device)
    h = torch.ones(n, 2, dtype=torch.float64, device=g.device)
    return lib.relu(lib.dense(getattr(lib, role)(h, 0.5, generator=g, training=training), w))[:, 0]


@claim(
    "gfg-35.9",
    "Thanks to the scaling, the whole net's output at test time is the mean of its outputs in training.",
    reading="the mean output of a net with a kink",
    needs=[IN_TRAINING, AT_TEST_TIME, "dense", "relu"],
    cases=FORMS,
    expect=REFUTED(
        instead="Behind a non-linearity the mean of the training outputs and the output at test time differ: the ReLU "
        "of the difference of two equal neurons of output 1 has the mean 1/4 in training (p = 1/2), or 1/2 if the "
        "scaling is done in training, and gives 0 at test time.",
        by="behind_a_kink_the_means_differ",
    ),
    sabotage={"leaves the kink out": _WITHOUT_THE_KINK},
)
def scaling_keeps_the_mean_output_behind_a_kink(lib: Any, trial: Trial, role: str) -> Evidence:
    """Reading: relu(h₁ - h₂) of two dropped-out neurons h₁ = h₂ = 1 has the mean that it has at test time.

    Why not: the four masks give 0, 0, 0 and 1, mean 1/4, or 2 for the 1 if training rescales, while relu(1 - 1) = 0.
    """
    quiet = float(_behind_a_kink(lib, role, 1, trial.generator("unused"), training=False))
    return trial.mean(
        lambda n, g: _behind_a_kink(lib, role, n, g, training=True), quiet,
        detects=0.1, spread=1.5, bounds=(-2.0, 2.0), what="mean output of the net in training",
    )  # fmt: skip


@claim(
    "gfg-35.9",
    "Behind a ReLU the mean output under dropout can be 1/4 in training, or 1/2 if the scaling is done there, and the "
    "output at test time 0.",
    reading=CORRECTION,
    needs=[IN_TRAINING, AT_TEST_TIME, "dense", "relu"],
    cases=[{"role": AT_TEST_TIME, "expected": 0.25}, {"role": IN_TRAINING, "expected": 0.5}],
    expect=HOLDS,
    sabotage={
        "leaves the kink out": _WITHOUT_THE_KINK,
        "drops at test time too": {"dropout": with_arguments(training=True)},
        "classic dropout rescales": {
            "dropout_classic": lambda sound: lambda x, p, **rest: sound(x, p, **rest) / (1 - p)
        },
    },
)
def behind_a_kink_the_means_differ(lib: Any, trial: Trial, role: str, expected: float) -> Evidence:
    """Reading: relu(h₁ - h₂) of two dropped-out neurons h₁ = h₂ = 1 has the mean 1/4 (1/2) over the masks of training,
    to 0.1, and is 0 at test time, whatever the mask (64 evaluations).

    Why: the four masks give 0, 0, 0 and 1 (2), each with probability 1/4.
    """
    quiet = _behind_a_kink(lib, role, 64, trial.generator("test"), training=False)
    mean = trial.mean(
        lambda n, g: _behind_a_kink(lib, role, n, g, training=True), expected,
        detects=0.1, spread=1.0, bounds=(-2.0, 2.0), what="mean output of the net in training",
    )  # fmt: skip
    return mean & equal(quiet, torch.zeros_like(quiet), what="outputs at test time other than 0")


@claim(
    "gfg-35.9",
    "Thanks to the scaling, the net's outputs scatter at test time as they did in training.",
    reading="the spread of the output",
    needs=[IN_TRAINING, AT_TEST_TIME],
    cases=FORMS,
    setting={"p": 0.2},
    expect=REFUTED(
        instead="The scaling keeps the mean of a neuron's output, not its spread: in training the output scatters around "
        "that at test time, (1 - p)·h, with the variance h²·p·(1 - p) over masks, or around h with h²·p/(1 - p) if the "
        "scaling is done in training.",
        by="the_output_scatters_in_training",
    ),
    sabotage={
        "trains in evaluation mode": {
            "dropout": with_arguments(training=False), "dropout_classic": with_arguments(training=False),
        },
    },
)  # fmt: skip
def scaling_keeps_the_spread_of_the_output(lib: Any, trial: Trial, role: str, p: float) -> Evidence:
    """Reading: the mean squared deviation from the test output is 0 in training too, to 0.1; p = 0.2.

    Why not: it is p·(1 - p) = 0.16, or p/(1 - p) = 1/4 if the scaling is done in training.
    """
    return _deviation(lib, trial, role, p, 0.0, detects=0.1)


@claim(
    "gfg-35.9",
    "Over masks, a neuron's training output scatters around its test output (1 - p)·h with the variance h²·p·(1 - p), or "
    "around h with h²·p/(1 - p) if the scaling is done in training.",
    reading=CORRECTION,
    needs=[IN_TRAINING, AT_TEST_TIME],
    cases=[
        {"role": AT_TEST_TIME, "test": lambda p: 1 - p, "variance": lambda p: p * (1 - p)},
        {"role": IN_TRAINING, "test": lambda p: 1.0, "variance": lambda p: p / (1 - p)},
    ],
    setting={"p": 0.2},
    expect=HOLDS,
    sabotage={
        "takes the rate for the probability of staying": {
            "dropout": lambda sound: lambda x, p, **rest: sound(x, 1 - p, **rest)
        },
        "does not scale at test time": {"dropout_classic": _without_scaling},
    },
)
def the_output_scatters_in_training(
    lib: Any, trial: Trial, role: str, test: Formula, variance: Formula, p: float
) -> Evidence:
    """Reading: for h = 1 the test output is exactly that, and the mean squared deviation from it that variance, to 0.02;
    p = 0.2.

    Why: m is 0 with probability p and else 1, so its variance is p·(1 - p), and that of m/(1 - p) is p/(1 - p).
    """
    one = torch.ones((), dtype=torch.float64, device=trial.device)
    quiet = getattr(lib, role)(one, p, generator=trial.generator("unused"), training=False)
    at_test_time = close(quiet, test(p), operations=2, what="the output at test time differs by")
    return at_test_time & _deviation(lib, trial, role, p, variance(p), detects=0.02)


def _deviation(lib: Any, trial: Trial, role: str, p: float, expected: float, *, detects: float) -> Evidence:
    """The mean squared deviation of a neuron's training output from its test output, where its output is 1."""

    def squared(n: int, g: torch.Generator) -> torch.Tensor:
        ones = torch.ones(n, dtype=torch.float64, device=g.device)
        quiet = getattr(lib, role)(ones, p, generator=g, training=False)
        return (getattr(lib, role)(ones, p, generator=g) - quiet).square()

    return trial.mean(
        squared, expected, detects=detects, spread=0.5, bounds=(0.0, 1.0),
        what="mean squared deviation of a training output",
    )  # fmt: skip
