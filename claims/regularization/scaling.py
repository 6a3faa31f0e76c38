"""What the scaling of dropout makes equal between training and test: the mean input of the next layer, and no more."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, equal
from assay.sabotage import with_arguments


@claim(
    "gfg-35.9",
    "Thanks to the scaling, the next layer receives at test time the mean of what it received in training.",
    reading="the mean input of the next layer",
    needs=["dropout", "dense"],
    setting={"p": 0.2},
    expect=HOLDS,
    sabotage={
        "scales by the dropout probability": {
            "dropout": lambda sound: (
                lambda x, p, **rest: sound(x, p, **rest) * ((1 - p) / p if rest.get("training", True) else 1)
            )
        },
        "does not scale": {
            "dropout": lambda sound: (
                lambda x, p, **rest: sound(x, p, **rest) * (1 - p if rest.get("training", True) else 1)
            )
        },
    },
)
def scaling_keeps_the_next_layers_mean_input(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: a linear layer over eight dropped-out neurons has in training the mean that it has at test time, to
    0.02.

    Why: expectation and linear layer change places.
    """
    h = torch.arange(1.0, 9.0, dtype=torch.float64, device=trial.device).expand(1, 8) / 8
    w = torch.tensor([[0.5, -0.3, 0.8, -0.6, 0.4, 0.7, -0.2, 0.9]], dtype=torch.float64, device=trial.device)
    quiet = lib.dense(lib.dropout(h, p, generator=trial.generator("unused"), training=False), w)
    spread = float((p / (1 - p) * (h * w).square().sum()).sqrt())
    return trial.mean(
        lambda n, g: lib.dense(lib.dropout(h.expand(n, 8), p, generator=g), w)[:, 0], float(quiet),
        detects=0.02, spread=spread, what="mean input of the next layer in training",
    )  # fmt: skip


_WITHOUT_THE_KINK = {"relu": lambda sound: lambda z: sound(z) - sound(-z)}


def _behind_a_kink(lib: Any, n: int, g: torch.Generator, *, training: bool) -> torch.Tensor:
    """relu(h₁ - h₂) of two neurons h₁ = h₂ = 1 behind dropout with p = 0.5, for n masks (n,)."""
    w = torch.tensor([[1.0, -1.0]], dtype=torch.float64, device=g.device)
    h = torch.ones(n, 2, dtype=torch.float64, device=g.device)
    return lib.relu(lib.dense(lib.dropout(h, 0.5, generator=g, training=training), w))[:, 0]


@claim(
    "gfg-35.9",
    "Thanks to the scaling, the whole net's output at test time is the mean of its outputs in training.",
    reading="the mean output of a net with a kink",
    needs=["dropout", "dense", "relu"],
    expect=REFUTED(
        instead="Behind a non-linearity the mean of the training outputs and the output at test time differ: the ReLU "
        "of the difference of two equal neurons of output 1 has the mean 1/2 in training (p = 1/2) and gives 0 at test "
        "time.",
        by="behind_a_kink_the_means_differ",
    ),
    sabotage={"leaves the kink out": _WITHOUT_THE_KINK},
)
def scaling_keeps_the_mean_output_behind_a_kink(lib: Any, trial: Trial) -> Evidence:
    """Reading: relu(h₁ - h₂) of two dropped-out neurons h₁ = h₂ = 1 has the mean that it has at test time.

    Why not: the four masks give 0, 0, 0 and 2, mean 1/2, while relu(1 - 1) = 0.
    """
    quiet = float(_behind_a_kink(lib, 1, trial.generator("unused"), training=False))
    return trial.mean(
        lambda n, g: _behind_a_kink(lib, n, g, training=True), quiet,
        detects=0.1, spread=1.5, bounds=(-2.0, 2.0), what="mean output of the net in training",
    )  # fmt: skip


@claim(
    "gfg-35.9",
    "Behind a ReLU the mean output under dropout can be 1/2 in training and the output at test time 0.",
    reading=CORRECTION,
    needs=["dropout", "dense", "relu"],
    expect=HOLDS,
    sabotage={
        "leaves the kink out": _WITHOUT_THE_KINK,
        "drops at test time too": {"dropout": with_arguments(training=True)},
    },
)
def behind_a_kink_the_means_differ(lib: Any, trial: Trial) -> Evidence:
    """Reading: relu(h₁ - h₂) of two dropped-out neurons h₁ = h₂ = 1 has the mean 1/2 over the masks of training, to
    0.1, and is 0 at test time, whatever the mask (64 evaluations).

    Why: the four masks give 0, 0, 0 and 2, each with probability 1/4.
    """
    quiet = _behind_a_kink(lib, 64, trial.generator("test"), training=False)
    mean = trial.mean(
        lambda n, g: _behind_a_kink(lib, n, g, training=True), 0.5,
        detects=0.1, spread=1.0, bounds=(-2.0, 2.0), what="mean output of the net in training",
    )  # fmt: skip
    return mean & equal(quiet, torch.zeros_like(quiet), what="outputs at test time other than 0")


@claim(
    "gfg-35.9",
    "Thanks to the scaling, the net's outputs scatter at test time as they did in training.",
    reading="the spread of the output",
    needs=["dropout"],
    setting={"p": 0.2},
    expect=REFUTED(
        instead="The scaling keeps the mean of a neuron's output, not its spread: in training it scatters around h with "
        "the variance h²·p/(1 - p) over masks.",
        by="the_noise_of_dropout_grows_with_the_rate",
    ),
    sabotage={"trains in evaluation mode": {"dropout": with_arguments(training=False)}},
)
def scaling_keeps_the_spread_of_the_output(lib: Any, trial: Trial, p: float) -> Evidence:
    """Reading: the mean squared deviation from the test output is 0 in training too, to 0.1; p = 0.2.

    Why not: it is p/(1 - p) = 1/4.
    """

    def deviation(n: int, g: torch.Generator) -> torch.Tensor:
        ones = torch.ones(n, dtype=torch.float64, device=g.device)
        quiet = lib.dropout(ones, p, generator=g, training=False)
        return (lib.dropout(ones, p, generator=g) - quiet).square()

    return trial.mean(
        deviation, 0.0, detects=0.1, spread=0.5, bounds=(0.0, 1.0), what="mean squared deviation of a training output"
    )
