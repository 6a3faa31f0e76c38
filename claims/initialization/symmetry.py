"""Hidden units that start alike."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import CONDITIONAL, claim
from assay.evidence import Evidence, close
from assay.sabotage import instead
from assay.strategies import choices, seeds, sizes
from claims.initialization.networks import at_random, start
from claims.lab.training import Parameters, fit, gradients

UNITS = {
    "seed": seeds(),
    "width": sizes(2, 8),
    "activation": choices("sigmoid", "tanh", "relu"),
    "value": choices(0.0, 0.25, -0.5),
    "outputs": choices(1, 2),
}
SYMMETRY_BREAKERS = {
    "random weights": {"weight_sd": instead(1.0)},
    "a millionth of randomness in the weights": {"weight_sd": instead(1e-6)},
    "dropout between the layers": {"drop": instead(0.5)},
}
ALIKE = CONDITIONAL(
    "the units of a hidden layer start with equal biases as well, and no noise such as dropout tells them apart",
    within={"bias_sd": instead(0.0), "drop": instead(0.0)},
    beyond={"bias_sd": instead(1.0)},
)
EQUAL_NETS = ["dense", "sgd", "constant", "sigmoid", "tanh", "relu", "binary_cross_entropy_with_logits"]


def equal_net(
    lib: Any, trial: Any, seed: int, width: int, activation: str, value: float, outputs: int, steps: int,
    weight_sd: float, bias_sd: float, drop: float,
) -> tuple[Parameters, Parameters]:  # fmt: skip
    """Parameters and gradients of a 3-width-outputs net from constant weights after some steps on a random task."""
    g = torch.Generator(trial.device).manual_seed(seed)
    x = torch.randn(6, 3, generator=g, dtype=torch.float64, device=trial.device)
    y = (torch.rand(6, outputs, generator=g, dtype=torch.float64, device=trial.device) < 0.4).to(torch.float64)
    noise = at_random(trial.device, seed=seed)

    def near(by: float, at: float) -> Any:
        return lambda r, fan_out, fan_in: (
            lib.constant((fan_out, fan_in), at).to(trial.device) + by * noise(r, fan_out, fan_in)
        )

    def loss(params: Parameters, step: int) -> torch.Tensor:
        w1, b1, w2, b2 = params
        h = getattr(lib, activation)(lib.dense(x, w1, b1))
        kept = torch.rand(h.shape, generator=g, dtype=torch.float64, device=trial.device) >= drop
        return lib.binary_cross_entropy_with_logits(lib.dense(h * kept, w2, b2), y).mean((-2, -1))

    params = start((3, width, outputs), near(weight_sd, value), 1, near(bias_sd, 0.0))
    params = fit(loss, params, lambda p, d, s: lib.sgd(p, d, s, lr=0.5), steps)
    return params, gradients(loss, params, steps)[1]


def alike(parts: Parameters, roundings: int, of: str) -> Evidence:
    """All rows of w1 and all columns of w2 equal the first one, up to the order of summation."""
    w1, w2 = parts[0][0], parts[2][0]
    return close(
        w1,
        w1[:1].expand_as(w1),
        operations=roundings,
        scale=w1.abs().max(),
        what=f"incoming {of} of two units differ by",
    ) & close(
        w2,
        w2[:, :1].expand_as(w2),
        operations=roundings,
        scale=w2.abs().max(),
        what=f"outgoing {of} of two units differ by",
    )


@claim(
    "gfg-32.2",
    "Equal weights give equal derivatives to all units of a hidden layer.",
    needs=EQUAL_NETS,
    given=UNITS,
    setting={"weight_sd": 0.0, "bias_sd": 0.0, "drop": 0.0},
    also=["ib-17.3"],
    reading="across the units of a hidden layer",
    expect=ALIKE,
    sabotage=SYMMETRY_BREAKERS,
)
def equal_weights_give_equal_derivatives_to_all_units_of_a_layer(
    lib: Any,
    trial: Any,
    seed: int,
    width: int,
    activation: str,
    value: float,
    outputs: int,
    weight_sd: float,
    bias_sd: float,
    drop: float,
) -> Evidence:
    """Reading: for zero or any other constant weights, ∂L/∂w agrees between the units of a hidden layer, in and out.
    Why: units with the same incoming and outgoing weights compute the same signal and receive the same error. Only
    the order of a sum can differ: over 6 cases, 3 inputs, the width and the outputs, forward and backward. Unequal biases
    give unequal signals."""
    found = equal_net(lib, trial, seed, width, activation, value, outputs, 0, weight_sd, bias_sd, drop)[1]
    return alike(found, 4 * (6 + 3 + width + outputs), "derivatives")


@claim(
    "gfg-32.4",
    "Hidden units that start alike stay alike in every iteration.",
    needs=EQUAL_NETS,
    given=UNITS,
    setting={"weight_sd": 0.0, "bias_sd": 0.0, "drop": 0.0},
    also=["gfg-32.3", "ib-17.4"],
    reading="across the units of a hidden layer",
    expect=ALIKE,
    sabotage=SYMMETRY_BREAKERS,
)
def equal_units_stay_equal_for_ever(
    lib: Any,
    trial: Any,
    seed: int,
    width: int,
    activation: str,
    value: float,
    outputs: int,
    weight_sd: float,
    bias_sd: float,
    drop: float,
) -> Evidence:
    """Reading: with equal incoming and equal outgoing weights at the start, zero included, they are equal after ten
    steps of deterministic descent: every unit computes the same feature.
    Why: equal weights give equal derivatives, and equal derivatives keep weights equal, step by step; units
    with unequal biases go different ways."""
    steps = 10
    found = equal_net(lib, trial, seed, width, activation, value, outputs, steps, weight_sd, bias_sd, drop)[0]
    return alike(found, 4 * (6 + 3 + width + outputs) * steps, "weights")
