"""The derivatives of a net that starts from zero weights, and the weights that they lead to."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, Edits, claim
from assay.evidence import Evidence, all_of, at_most, close
from assay.sabotage import instead, scaled
from claims.initialization.networks import (
    NETS,
    all_zero,
    biases_around,
    centred,
    highest,
    raised,
    random_in_place_of_zeros,
    start,
    two_class_loss,
)
from claims.lab.training import Parameters, fit, gradients

CONSTANT = (
    "From zero weights the derivatives by the weights stay constant, namely zero, behind tanh or ReLU units with zero "
    "biases; they change in the course of training in a sigmoid net with classes out of balance, in a net without hidden "
    "layer, and in a tanh net with unequal biases."
)
# What turns a verdict about sigmoid nets, and about tanh and ReLU nets: units that answer 0, or do not answer 0, to a weight of 0.
NO_SIGNAL_FROM_ZERO: dict[str, Edits] = {
    "sigmoids centred at zero": {"sigmoid": centred},
    "tanh units": {"activation": instead("tanh")},
    "as many cases of either class": {"ones": instead(8)},
}
SIGNALS_FROM_ZERO: dict[str, Edits] = {
    "tanh raised by one half": {"tanh": raised},
    "random weights": {"zeros": random_in_place_of_zeros},
    "sigmoid units": {"activation": instead("sigmoid")},
}


def weight_gradients(lib: Any, trial: Any, activation: str, at_step: int, **net: Any) -> list[torch.Tensor]:
    """The gradients by the weights, layer by layer, after `at_step` steps from zero."""
    loss, params = trained(lib, trial, activation, at_step, **net)
    return list(gradients(loss, params)[1])[::2]


def trained(
    lib: Any, trial: Any, activation: str, steps: int, *,
    hidden: tuple[int, ...] = (4,), ones: int = 6, bias_sd: float = 0.0,
) -> tuple[Any, Parameters]:  # fmt: skip
    """The loss of a net on a small random task of three inputs, and its parameters after some steps from zero weights."""
    x, y = random_task(trial, ones)
    loss = two_class_loss(lib, getattr(lib, activation), x, y)
    params = start((3, *hidden, 1), all_zero(lib, trial.device), 1, biases_around(trial, 0.0, bias_sd))
    return loss, fit(loss, params, lambda p, d, s: lib.sgd(p, d, s, lr=0.5), steps)


def random_task(trial: Any, ones: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Sixteen cases of three inputs, `ones` of them in class one: x (16, 3), y (16,)."""
    x = torch.randn(16, 3, generator=trial.generator("task"), dtype=torch.float64, device=trial.device)
    return x, highest(x[:, 0] - 0.3 * x[:, 1], ones)


def spread(parts: list[torch.Tensor]) -> float:
    """The largest entry of all tensors minus the smallest."""
    entries = torch.cat([part.flatten() for part in parts])
    return float(entries.max() - entries.min())


def change_of_gradients(lib: Any, trial: Any, activation: str, **net: Any) -> Evidence:
    first, last = (weight_gradients(lib, trial, activation, step, **net) for step in (0, 50))
    change = max(float((a - b).abs().max()) for a, b in zip(first, last, strict=True))
    return at_most(change, 0.0, what="change of a weight's derivative over 50 steps")


@claim(
    "ib-17.3",
    "In a sigmoid net that starts from zero the derivative for every weight stays constant over time.",
    needs=NETS,
    setting={"activation": "sigmoid", "ones": 6},
    reading="constant over time",
    covers="sigmoid hidden units, zero biases, classes out of balance",
    expect=REFUTED(instead=CONSTANT, by="zero_weights_keep_the_derivatives_of_tanh_and_relu_nets_at_zero"),
    sabotage=NO_SIGNAL_FROM_ZERO,
)
def zero_weights_keep_the_derivatives_of_a_sigmoid_net_constant(
    lib: Any, trial: Any, activation: str, ones: int
) -> Evidence:
    """Reading: each ∂L/∂w is the same at step 0 and at step 50.
    Why not: the units answer 1/2, the output weights learn, the error shrinks, and with it the derivatives."""
    return change_of_gradients(lib, trial, activation, ones=ones)


@claim(
    "ib-17.3",
    "In a net without hidden layer that starts from zero the derivative for every weight stays constant over time.",
    needs=NETS,
    setting={"hidden": ()},
    reading="constant over time",
    covers="no hidden layer",
    expect=REFUTED(instead=CONSTANT, by="zero_weights_keep_the_derivatives_of_tanh_and_relu_nets_at_zero"),
    sabotage={"a hidden layer of tanh units": {"hidden": instead((4,))}},
)
def zero_weights_keep_the_derivatives_of_a_single_layer_constant(
    lib: Any, trial: Any, hidden: tuple[int, ...]
) -> Evidence:
    """Reading: each ∂L/∂w is the same at step 0 and at step 50.
    Why not: ∂L/∂w_j is the mean of (p - y)·x_j, and p leaves 1/2 as the weights learn."""
    return change_of_gradients(lib, trial, "tanh", hidden=hidden)


@claim(
    "ib-17.3",
    "In a tanh net that starts from zero weights and unequal biases the derivative for every weight stays constant.",
    needs=NETS,
    setting={"bias_sd": 0.7},
    reading="constant over time",
    covers="tanh hidden units with unequal biases",
    expect=REFUTED(instead=CONSTANT, by="zero_weights_keep_the_derivatives_of_tanh_and_relu_nets_at_zero"),
    sabotage={"zero biases": {"bias_sd": instead(0.0)}},
)
def zero_weights_keep_the_derivatives_constant_whatever_the_biases(lib: Any, trial: Any, bias_sd: float) -> Evidence:
    """Reading: each ∂L/∂w is the same at step 0 and at step 50, with normal biases of deviation 0.7.
    Why not: the hidden units answer f(b), so the output weights learn, and the error shrinks."""
    return change_of_gradients(lib, trial, "tanh", bias_sd=bias_sd)


@claim(
    "ib-17.3",
    "In a tanh or ReLU net that starts from zero the derivative for every weight stays constant: it stays zero.",
    needs=NETS,
    cases=[{"activation": "tanh"}, {"activation": "relu"}],
    reading="constant over time",
    covers="tanh and ReLU hidden units, zero biases",
    expect=HOLDS,
    sabotage=SIGNALS_FROM_ZERO,
)
def zero_weights_keep_the_derivatives_of_tanh_and_relu_nets_at_zero(lib: Any, trial: Any, activation: str) -> Evidence:
    """Reading: each ∂L/∂w is 0 at step 0 and at step 50.
    Why: every product in it contains a hidden signal or a later weight, and both are 0 while only the output bias
    moves."""
    gradient = weight_gradients(lib, trial, activation, 50)
    largest = max(float(part.abs().max()) for part in gradient)
    return change_of_gradients(lib, trial, activation) & at_most(largest, 0.0, what="size of a weight's derivative")


@claim(
    "gfg-32.2",
    "Zero weights make all weight derivatives of a sigmoid net identical.",
    needs=NETS,
    setting={"activation": "sigmoid", "ones": 6},
    reading="all entries of all layers",
    covers="sigmoid hidden units, zero biases, classes out of balance",
    expect=REFUTED(
        instead="Zero weights and equal biases make the derivatives of different units of a hidden layer identical; "
        "those of different inputs or layers differ, unless all are zero as in tanh and ReLU nets with zero biases.",
        by="equal_weights_give_equal_derivatives_to_all_units_of_a_layer",
    ),
    sabotage=NO_SIGNAL_FROM_ZERO,
)
def zero_weights_make_all_derivatives_of_a_sigmoid_net_identical(
    lib: Any, trial: Any, activation: str, ones: int
) -> Evidence:
    """Reading: all entries of all weight gradients are one number, at step 0 and at step 3.
    Why not: the output weights see signals of 1/2 and get a gradient; the hidden ones are shielded by W2 = 0."""
    return identical_derivatives(lib, trial, activation, ones=ones)


@claim(
    "gfg-32.2",
    "Zero weights make all weight derivatives of a net without hidden layer identical.",
    needs=NETS,
    setting={"activation": "sigmoid", "hidden": ()},
    reading="all entries of all layers",
    covers="no hidden layer",
    expect=REFUTED(
        instead="Without a hidden layer each derivative is the mean product of its own input with the error.",
        by="derivatives_without_hidden_layer_follow_the_inputs",
    ),
    sabotage={"a hidden layer of centred sigmoids": {"hidden": instead((4,)), "sigmoid": centred}},
)
def zero_weights_make_all_derivatives_of_a_single_layer_identical(
    lib: Any, trial: Any, activation: str, hidden: tuple[int, ...]
) -> Evidence:
    """Reading: all entries of the weight gradient are one number, at step 0 and at step 3.
    Why not: ∂L/∂w_j is the mean of (p - y)·x_j, another number for every input."""
    return identical_derivatives(lib, trial, activation, hidden=hidden)


@claim(
    "gfg-32.2",
    "Without a hidden layer, the derivative at zero weights by the weight of an input is the mean of that input times "
    "the error.",
    needs=NETS,
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "sums where it should average": {"binary_cross_entropy_with_logits": scaled(16)},
        "random weights": {"zeros": random_in_place_of_zeros},
    },
)
def derivatives_without_hidden_layer_follow_the_inputs(lib: Any, trial: Any) -> Evidence:
    """Reading: for a net of three inputs and one sigmoid output with zero weights and bias, ∂L/∂w_j is the mean over the
    16 cases of (1/2 - y)·x_j.
    Why: the chain rule, with p = 1/2 for every case. 16 products and their sum round on either side."""
    x, y = random_task(trial)
    terms = (0.5 - y)[:, None] * x
    return close(
        weight_gradients(lib, trial, "sigmoid", 0, hidden=())[0][0],
        terms.mean(0, keepdim=True),
        operations=2 * (16 + 4),
        scale=terms.abs().mean(0, keepdim=True),
        what="a derivative differs from the mean of input times error",
    )


@claim(
    "gfg-32.2",
    "Zero weights make all weight derivatives of a tanh or ReLU net identical: they are zero.",
    needs=NETS,
    cases=[
        {"activation": activation, "hidden": hidden} for activation in ("tanh", "relu") for hidden in ((4,), (4, 3))
    ],
    reading="all entries of all layers",
    covers="tanh and ReLU hidden units, zero biases",
    expect=HOLDS,
    sabotage={
        "tanh raised by one half": {"tanh": raised},
        "random weights": {"zeros": random_in_place_of_zeros},
        "no hidden layer": {"hidden": instead(())},
    },
)
def zero_weights_make_all_derivatives_of_tanh_and_relu_nets_identical(
    lib: Any, trial: Any, activation: str, hidden: tuple[int, ...]
) -> Evidence:
    """Reading: all entries of all weight gradients are one number, at step 0 and at step 3.
    Why: every product in them has a factor f(0) = 0 or a weight 0."""
    return identical_derivatives(lib, trial, activation, hidden=hidden)


def identical_derivatives(lib: Any, trial: Any, activation: str, **net: Any) -> Evidence:
    facts = []
    for step in (0, 3):
        parts = weight_gradients(lib, trial, activation, step, **net)
        facts.append(at_most(spread(parts), 0.0, what=f"difference of two weight derivatives at step {step}"))
    return all_of(facts)


@claim(
    "gfg-32.3",
    "After a start from zero all weights of a sigmoid net have one value in later iterations.",
    needs=NETS,
    setting={"activation": "sigmoid", "ones": 6},
    reading="all weights of the net",
    covers="sigmoid hidden units, zero biases, classes out of balance",
    expect=REFUTED(
        instead="From zero weights and equal biases, the incoming weights of all units of a hidden layer stay equal to "
        "each other; weights of different inputs and layers move apart, unless all stay zero, as behind tanh and ReLU "
        "units with zero biases.",
        by="equal_units_stay_equal_for_ever",
    ),
    sabotage=NO_SIGNAL_FROM_ZERO,
)
def zero_weights_keep_all_weights_of_a_sigmoid_net_equal(lib: Any, trial: Any, activation: str, ones: int) -> Evidence:
    """Reading: after four steps all weights are one number.
    Why not: the output weights move at the first step, the hidden ones at the second, each input's by its own
    correlation."""
    return equal_weights(lib, trial, activation, ones=ones)


@claim(
    "gfg-32.3",
    "After a start from zero all weights of a tanh or ReLU net have one value in later iterations: zero.",
    needs=NETS,
    cases=[{"activation": "tanh"}, {"activation": "relu"}],
    reading="all weights of the net",
    covers="tanh and ReLU hidden units, zero biases",
    expect=HOLDS,
    sabotage=SIGNALS_FROM_ZERO,
)
def zero_weights_keep_all_weights_of_tanh_and_relu_nets_equal(lib: Any, trial: Any, activation: str) -> Evidence:
    """Reading: after four steps all weights are one number.
    Why: their gradients are zero at every step, so none of them moves."""
    return equal_weights(lib, trial, activation)


def equal_weights(lib: Any, trial: Any, activation: str, **net: Any) -> Evidence:
    _, params = trained(lib, trial, activation, 4, **net)
    return at_most(spread(list(params)[::2]), 0.0, what="difference of two weights after four steps")
