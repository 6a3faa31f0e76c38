"""Equal weights at the start: what stays equal, what stays zero, and what a net can learn all the same."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.evidence import Evidence, all_of, at_least, at_most, close
from assay.sabotage import instead
from assay.strategies import seeds, sizes
from claims.initialization.networks import Activation, all_zero, at_random, start, two_class_loss, zero
from claims.lab import tasks
from claims.lab.training import Parameters, accuracy, fit, gradients, mlp

STEPS = 100
STUCK = (
    "Zero weights stop a net whose hidden activation is zero at zero, as tanh and ReLU are; nets without a hidden layer "
    "learn, and so do sigmoid nets unless the classes are exactly balanced."
)
NETS = ["dense", "sgd", "zeros", "tanh", "relu", "sigmoid", "binary_cross_entropy_with_logits"]


def centred(sound: Activation) -> Activation:
    """A sigmoid that is zero at zero."""
    return lambda z: sound(z) - 0.5


def raised(sound: Activation) -> Activation:
    """An activation that is one half at zero."""
    return lambda z: sound(z) + 0.5


def random_in_place_of_zeros(sound: Any) -> Any:
    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        return at_random(torch.device("cpu"))(1, *shape)[0]

    return draw


def task(name: str, trial: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The four points of exclusive or, or 64 points of which a line separates the 24 of class one."""
    if name == "xor":
        x, y = tasks.xor()
        return x.to(trial.device), y.to(trial.device)
    x = torch.randn(64, 2, generator=trial.generator("task"), dtype=torch.float64, device=trial.device)
    return x, highest(x[:, 0], 24)


def highest(score: torch.Tensor, count: int) -> torch.Tensor:
    """Class one for the `count` highest scores: never balanced by chance, for balance is a case of its own."""
    return (score >= score.sort(descending=True).values[count - 1]).to(torch.float64)


def learnt_from_zero(lib: Any, trial: Any, hidden: tuple[int, ...], activation: str, of: str) -> tuple[float, float]:
    """Accuracy after training from zero weights, and the accuracy of always naming the commoner class."""
    x, y = task(of, trial)
    f = getattr(lib, activation)
    params = start((2, *hidden, 1), all_zero(lib, trial.device), 1, zero(trial.device))
    params = fit(two_class_loss(lib, f, x, y), params, lambda p, g, s: lib.sgd(p, g, s, lr=1.0), STEPS)
    commoner = max(float(y.mean()), 1 - float(y.mean()))
    return float(accuracy(mlp(lib, params, x, f), y)), commoner


def learns_nothing(lib: Any, trial: Any, hidden: tuple[int, ...], activation: str, of: str) -> Evidence:
    reached, commoner = learnt_from_zero(lib, trial, hidden, activation, of)
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
    covers="sigmoid hidden units, classes out of balance",
    expect=REFUTED(instead=STUCK, by="zero_weights_stop_a_net_only_behind_units_silent_at_zero"),
    sabotage={
        "sigmoids centred at zero": {"sigmoid": centred},
        "tanh units": {"activation": instead("tanh")},
    },
)
def zero_weights_stop_a_net_of_sigmoids(
    lib: Any, trial: Any, hidden: tuple[int, ...], activation: str, of: str
) -> Evidence:
    """Reading: a 2-8-1 sigmoid net from zero weights gets no further than always naming the commoner class.
    Why not: the units answer 1/2, so the output weights move first, then the hidden ones, all alike: a net of one unit."""
    return learns_nothing(lib, trial, hidden, activation, of)


@claim(
    "ib-17.2",
    "A net of sigmoid units cannot be trained from zero weights to a task with as many cases of either class.",
    needs=NETS,
    setting={"hidden": (8,), "activation": "sigmoid", "of": "xor"},
    covers="sigmoid hidden units, classes exactly in balance",
    expect=HOLDS,
    sabotage={
        "classes out of balance": {"of": instead("halfspace")},
        "random weights": {"zeros": random_in_place_of_zeros, "of": instead("halfspace")},
    },
)
def balanced_classes_stop_a_net_of_sigmoids_at_zero_weights(
    lib: Any, trial: Any, hidden: tuple[int, ...], activation: str, of: str
) -> Evidence:
    """Reading: on exclusive or, trained with all four points at once, such a net still gives one answer for all inputs.
    Why: all signals are 1/2, so the output weights' gradient is half the mean of 1/2 - y, which is 0: a stationary point."""
    return learns_nothing(lib, trial, hidden, activation, of)


@claim(
    "ib-17.2",
    "A net of tanh or ReLU units cannot be trained to any task from zero weights.",
    needs=NETS,
    cases=[
        {"hidden": hidden, "activation": activation, "of": of}
        for of in ("halfspace", "xor")
        for activation in ("tanh", "relu")
        for hidden in ((8,), (4, 4))
    ],
    covers="hidden units that are zero at zero: tanh, ReLU",
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
    Why: with W = 0 and f(0) = 0 every hidden signal is 0, so every product in the gradient of a weight has a factor 0; only
    the output bias moves."""
    return learns_nothing(lib, trial, hidden, activation, of)


@claim(
    "ib-17.2",
    "From zero weights, nets behind units that are zero at zero learn nothing; all others learn a separable task.",
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
    """Reading: after 100 steps on a separable task, tanh and ReLU nets are no better than the commoner class; the sigmoid
    net and the net without hidden layer are right on at least nine points in ten.
    Why: the output weights' gradient is the hidden signal times the error, and f(0) decides whether there is a signal."""
    stuck = all_of([learns_nothing(lib, trial, (8,), activation, of) for activation in ("tanh", "relu")])
    for hidden, name in (((8,), "sigmoid net"), ((), "net without hidden layer")):
        stuck &= at_least(
            learnt_from_zero(lib, trial, hidden, "sigmoid", of)[0], 0.9, what=f"accuracy of the {name} short by"
        )
    return stuck


def weight_gradients(
    lib: Any, trial: Any, activation: str, at_step: int, hidden: tuple[int, ...] = (4,)
) -> list[torch.Tensor]:
    """The gradients by the weights, layer by layer, after `at_step` steps from zero."""
    loss, params = trained(lib, trial, activation, at_step, hidden)
    return list(gradients(loss, params)[1])[::2]


def trained(
    lib: Any, trial: Any, activation: str, steps: int, hidden: tuple[int, ...] = (4,)
) -> tuple[Any, Parameters]:
    """The loss of a net on a small random task of three inputs, and its parameters after some steps from zero."""
    g = trial.generator("task")
    x = torch.randn(16, 3, generator=g, dtype=torch.float64, device=trial.device)
    y = highest(x[:, 0] - 0.3 * x[:, 1], 6)
    loss = two_class_loss(lib, getattr(lib, activation), x, y)
    params = start((3, *hidden, 1), all_zero(lib, trial.device), 1, zero(trial.device))
    return loss, fit(loss, params, lambda p, d, s: lib.sgd(p, d, s, lr=0.5), steps)


def spread(parts: list[torch.Tensor]) -> float:
    """The largest entry of all tensors minus the smallest."""
    entries = torch.cat([part.flatten() for part in parts])
    return float(entries.max() - entries.min())


def change_of_gradients(lib: Any, trial: Any, activation: str) -> Evidence:
    first, last = (weight_gradients(lib, trial, activation, step) for step in (0, 50))
    change = max(float((a - b).abs().max()) for a, b in zip(first, last, strict=True))
    return at_most(change, 0.0, what="a weight's derivative changes over 50 steps by")


@claim(
    "ib-17.3",
    "In a sigmoid net that starts from zero the derivative for every weight stays constant over time.",
    needs=NETS,
    setting={"activation": "sigmoid"},
    reading="constant over time",
    covers="sigmoid hidden units",
    expect=REFUTED(
        instead="From zero weights derivatives stay constant, namely zero, behind tanh or ReLU units; in a sigmoid net they "
        "change at every step, equally for all units of a layer.",
        by="zero_weights_keep_the_derivatives_of_tanh_and_relu_nets_at_zero",
    ),
    sabotage={"sigmoids centred at zero": {"sigmoid": centred}, "tanh units": {"activation": instead("tanh")}},
)
def zero_weights_keep_the_derivatives_of_a_sigmoid_net_constant(lib: Any, trial: Any, activation: str) -> Evidence:
    """Reading: each ∂L/∂w is the same at step 0 and at step 50.
    Why not: the units answer 1/2, the output weights learn, the error shrinks, and with it the derivatives."""
    return change_of_gradients(lib, trial, activation)


@claim(
    "ib-17.3",
    "In a tanh or ReLU net that starts from zero the derivative for every weight stays constant: it stays zero.",
    needs=NETS,
    cases=[{"activation": "tanh"}, {"activation": "relu"}],
    reading="constant over time",
    covers="tanh and ReLU hidden units",
    expect=HOLDS,
    sabotage={
        "tanh raised by one half": {"tanh": raised},
        "random weights": {"zeros": random_in_place_of_zeros},
        "sigmoid units": {"activation": instead("sigmoid")},
    },
)
def zero_weights_keep_the_derivatives_of_tanh_and_relu_nets_at_zero(lib: Any, trial: Any, activation: str) -> Evidence:
    """Reading: each ∂L/∂w is 0 at step 0 and at step 50.
    Why: every product in it contains a hidden signal or a later weight, and both are 0 while only the output bias moves."""
    gradient = weight_gradients(lib, trial, activation, 50)
    largest = max(float(part.abs().max()) for part in gradient)
    return change_of_gradients(lib, trial, activation) & at_most(largest, 0.0, what="size of a weight's derivative")


@claim(
    "gfg-32.2",
    "Zero weights make all weight derivatives of a sigmoid net identical.",
    needs=NETS,
    setting={"activation": "sigmoid", "hidden": (4,)},
    reading="all entries of all layers",
    covers="sigmoid hidden units",
    expect=REFUTED(
        instead="Zero weights make the derivatives of different units of a layer identical; those of different inputs or "
        "layers differ, unless all are zero as in tanh and ReLU nets.",
        by="equal_weights_give_equal_derivatives_to_all_units_of_a_layer",
    ),
    sabotage={"sigmoids centred at zero": {"sigmoid": centred}, "tanh units": {"activation": instead("tanh")}},
)
def zero_weights_make_all_derivatives_of_a_sigmoid_net_identical(
    lib: Any, trial: Any, activation: str, hidden: tuple[int, ...]
) -> Evidence:
    """Reading: all entries of all weight gradients are one number, at step 0 and at step 3.
    Why not: the output weights see signals of 1/2 and get a gradient; the hidden ones are shielded by W2 = 0."""
    return identical_derivatives(lib, trial, activation, hidden)


@claim(
    "gfg-32.2",
    "Zero weights make all weight derivatives of a net without hidden layer identical.",
    needs=NETS,
    setting={"activation": "sigmoid", "hidden": ()},
    reading="all entries of all layers",
    covers="no hidden layer",
    expect=REFUTED(
        instead="Without a hidden layer the derivatives follow the inputs, which differ.",
        by="equal_weights_give_equal_derivatives_to_all_units_of_a_layer",
    ),
    sabotage={"a hidden layer of centred sigmoids": {"hidden": instead((4,)), "sigmoid": centred}},
)
def zero_weights_make_all_derivatives_of_a_single_layer_identical(
    lib: Any, trial: Any, activation: str, hidden: tuple[int, ...]
) -> Evidence:
    """Reading: all entries of the weight gradient are one number, at step 0 and at step 3.
    Why not: ∂L/∂w_j is the mean of (p - y)·x_j, another number for every input."""
    return identical_derivatives(lib, trial, activation, hidden)


@claim(
    "gfg-32.2",
    "Zero weights make all weight derivatives of a tanh or ReLU net identical: they are zero.",
    needs=NETS,
    cases=[
        {"activation": activation, "hidden": hidden} for activation in ("tanh", "relu") for hidden in ((4,), (4, 3))
    ],
    reading="all entries of all layers",
    covers="tanh and ReLU hidden units",
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
    return identical_derivatives(lib, trial, activation, hidden)


def identical_derivatives(lib: Any, trial: Any, activation: str, hidden: tuple[int, ...]) -> Evidence:
    facts = []
    for step in (0, 3):
        parts = weight_gradients(lib, trial, activation, step, hidden)
        facts.append(at_most(spread(parts), 0.0, what=f"two weight derivatives at step {step} differ by"))
    return all_of(facts)


@claim(
    "gfg-32.3",
    "After a start from zero all weights of a sigmoid net have one value in later iterations.",
    needs=NETS,
    setting={"activation": "sigmoid"},
    reading="all weights of the net",
    covers="sigmoid hidden units",
    expect=REFUTED(
        instead="From zero, the incoming weights of all units of a layer stay equal to each other; weights of different "
        "inputs and of different layers move apart.",
        by="equal_units_stay_equal_for_ever",
    ),
    sabotage={"sigmoids centred at zero": {"sigmoid": centred}, "tanh units": {"activation": instead("tanh")}},
)
def zero_weights_keep_all_weights_of_a_sigmoid_net_equal(lib: Any, trial: Any, activation: str) -> Evidence:
    """Reading: after four steps all weights are one number.
    Why not: the output weights move at the first step, the hidden ones at the second, each input's by its own correlation."""
    return equal_weights(lib, trial, activation)


@claim(
    "gfg-32.3",
    "After a start from zero all weights of a tanh or ReLU net have one value in later iterations: zero.",
    needs=NETS,
    cases=[{"activation": "tanh"}, {"activation": "relu"}],
    reading="all weights of the net",
    covers="tanh and ReLU hidden units",
    expect=HOLDS,
    sabotage={
        "tanh raised by one half": {"tanh": raised},
        "random weights": {"zeros": random_in_place_of_zeros},
        "sigmoid units": {"activation": instead("sigmoid")},
    },
)
def zero_weights_keep_all_weights_of_tanh_and_relu_nets_equal(lib: Any, trial: Any, activation: str) -> Evidence:
    """Reading: after four steps all weights are one number.
    Why: their gradients are zero at every step, so none of them moves."""
    return equal_weights(lib, trial, activation)


def equal_weights(lib: Any, trial: Any, activation: str) -> Evidence:
    _, params = trained(lib, trial, activation, 4)
    return at_most(spread(list(params)[::2]), 0.0, what="two weights differ after four steps by")


UNITS = {
    "seed": seeds(),
    "width": sizes(2, 8),
    "activation": st.sampled_from(["sigmoid", "tanh", "relu"]),
    "value": st.sampled_from([0.0, 0.25, -0.5]),
}
SYMMETRY_BREAKERS = {
    "random weights": {"weight_sd": instead(1.0)},
    "a millionth of randomness in the weights": {"weight_sd": instead(1e-6)},
    "random biases": {"bias_sd": instead(1.0)},
    "dropout between the layers": {"drop": instead(0.5)},
}
EQUAL_NETS = ["dense", "sgd", "constant", "sigmoid", "tanh", "relu", "binary_cross_entropy_with_logits"]


def equal_net(
    lib: Any, trial: Any, seed: int, width: int, activation: str, value: float, steps: int,
    weight_sd: float, bias_sd: float, drop: float,
) -> tuple[Parameters, Parameters]:  # fmt: skip
    """Parameters and gradients of a 3-width-1 net from constant weights after some steps on a random task."""
    g = torch.Generator(trial.device).manual_seed(seed)
    x = torch.randn(6, 3, generator=g, dtype=torch.float64, device=trial.device)
    y = (torch.rand(6, generator=g, dtype=torch.float64, device=trial.device) < 0.4).to(torch.float64)
    noise = at_random(trial.device, seed=seed)

    def near(by: float, at: float) -> Any:
        return lambda r, fan_out, fan_in: (
            lib.constant((fan_out, fan_in), at).to(trial.device) + by * noise(r, fan_out, fan_in)
        )

    def loss(params: Parameters, step: int) -> torch.Tensor:
        w1, b1, w2, b2 = params
        h = getattr(lib, activation)(lib.dense(x, w1, b1))
        kept = torch.rand(h.shape, generator=g, dtype=torch.float64, device=trial.device) >= drop
        return lib.binary_cross_entropy_with_logits(lib.dense(h * kept, w2, b2)[..., 0], y).mean(-1)

    params = start((3, width, 1), near(weight_sd, value), 1, near(bias_sd, 0.0))
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
    reading="across the units of a layer",
    expect=HOLDS,
    sabotage=SYMMETRY_BREAKERS,
)
def equal_weights_give_equal_derivatives_to_all_units_of_a_layer(
    lib: Any,
    trial: Any,
    seed: int,
    width: int,
    activation: str,
    value: float,
    weight_sd: float,
    bias_sd: float,
    drop: float,
) -> Evidence:
    """Reading: for zero or any other constant weights, ∂L/∂w agrees between the units of a hidden layer, in and out.
    Why: units with the same incoming and outgoing weights compute the same signal and receive the same error. Only the order
    of a sum can differ: over 6 cases, 3 inputs and the width, forward and backward."""
    found = equal_net(lib, trial, seed, width, activation, value, 0, weight_sd, bias_sd, drop)[1]
    return alike(found, 4 * (6 + 3 + width), "derivatives")


@claim(
    "gfg-32.4",
    "Hidden units that start alike stay alike in every iteration.",
    needs=EQUAL_NETS,
    given=UNITS,
    setting={"weight_sd": 0.0, "bias_sd": 0.0, "drop": 0.0},
    also=["gfg-32.3", "ib-17.4"],
    reading="across the units of a layer",
    expect=HOLDS,
    sabotage=SYMMETRY_BREAKERS,
)
def equal_units_stay_equal_for_ever(
    lib: Any,
    trial: Any,
    seed: int,
    width: int,
    activation: str,
    value: float,
    weight_sd: float,
    bias_sd: float,
    drop: float,
) -> Evidence:
    """Reading: with equal incoming and equal outgoing weights at the start, zero included, they are equal after ten steps of
    deterministic descent: every unit computes the same feature.
    Why: equal weights give equal derivatives, and equal derivatives keep weights equal, step by step."""
    steps = 10
    found = equal_net(lib, trial, seed, width, activation, value, steps, weight_sd, bias_sd, drop)[0]
    return alike(found, 4 * (6 + 3 + width) * steps, "weights")
