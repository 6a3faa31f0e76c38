"""How much of a signal one layer passes on under the rules for its variance."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.decide.proofs import both, proved, ratio
from assay.decide.trial import Draw
from assay.evidence import Evidence, curve, within
from assay.sabotage import ignoring, instead, scaled, with_arguments
from claims.initialization.networks import plain

DEPTH = 20
SHAPES = ((32, 32), (16, 64), (64, 16))  # (out, in)
HE_RULE = (
    "He's own variance is 2/fan_in: it keeps the second moment of ReLU activations at any widths, which 2/fan_avg does "
    "only between layers of equal width."
)
BOUND = 2 ** (1 / DEPTH) - 1  # of a layer's gain; a third of it is well: a factor of 1.26 over twenty layers
SPREAD = 5**0.5  # of relu(z)² when its mean is 1: E[relu(z)⁴] = 3·E[z²]²/2 = 6
Activation = Callable[[torch.Tensor], torch.Tensor]
Initialiser = Callable[..., torch.Tensor]


def layer_gain(lib: Any, trial: Any, initialise: Initialiser, activation: Activation, shape: tuple[int, int]) -> Draw:
    """Independent units y of layers with this shape (out, in), as y² for an input of mean square one."""
    fan_out, fan_in = shape
    x = trial.normal(1, fan_in, stream="input")
    x = x / x.square().mean().sqrt()

    def draw(n: int, g: torch.Generator) -> torch.Tensor:
        w = torch.cat([initialise(shape, generator=g) for _ in range(math.ceil(n / fan_out))])
        return activation(lib.dense(x, w))[0, :n].square()

    return draw


def positive(fan_in: Any, fan_out: Any) -> Any:
    return both(fan_in >= 1, fan_out >= 1)


def square(fan_in: Any, fan_out: Any) -> Any:
    return both(fan_in >= 1, fan_in == fan_out)


@claim(
    "gfg-32.14",
    "He initialisation is Xavier's with variance two over the mean fan, which keeps ReLU activations at any widths.",
    needs=["dense", "relu", "he_normal"],
    setting={"shape": SHAPES[1], "assuming": positive},
    reading="variance 2 / mean fan keeps activations",
    expect=REFUTED(
        instead=HE_RULE,
        by="two_over_fan_in_keeps_relu_activations",
    ),
    sabotage={"layers of equal width": {"shape": instead(SHAPES[0]), "assuming": instead(square)}},
)
def two_over_the_mean_fan_keeps_relu_activations(
    lib: Any, trial: Any, shape: tuple[int, int], assuming: Any
) -> Evidence:
    """Reading: E[relu(Wx)²] = mean(x²) for var(W) = 2/fan_avg, whatever the widths.
    Why not: a symmetric sum is positive half the time, so E[relu(Wx)²] = ½ · fan_in · var(W) · mean(x²), which is
    fan_in/fan_avg · mean(x²)."""

    def by_average(shape: tuple[int, int], *, generator: torch.Generator) -> torch.Tensor:
        return lib.he_normal(shape, generator=generator, fan="average")

    gain = layer_gain(lib, trial, by_average, lib.relu, shape)
    return trial.mean(gain, 1.0, detects=0.05, spread=SPREAD, what="gain of a layer") & proved(
        lambda fan_in, fan_out: ratio(2 * fan_in, fan_in + fan_out) == 1,
        {"fan_in": int, "fan_out": int},
        assuming=assuming,
        what="layer whose gain fan_in / fan_avg is not 1",
    )


@claim(
    "gfg-32.14",
    "Variance two over fan-in keeps the second moment of ReLU activations, whatever the widths.",
    needs=["dense", "relu", "he_normal"],
    cases=[{"shape": shape} for shape in SHAPES],
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "two over fan-out": {"he_normal": with_arguments(fan="out")},
        "two over the mean fan": {"he_normal": with_arguments(fan="average")},
        "one over fan-in": {"he_normal": scaled(0.5**0.5)},
        "five per cent too much": {"he_normal": scaled(1.05**0.5)},
    },
)
def two_over_fan_in_keeps_relu_activations(lib: Any, trial: Any, shape: tuple[int, int]) -> Evidence:
    """Reading: E[relu(Wx)²] = mean(x²) for var(W) = 2/fan_in.
    Why: E[relu(Wx)²] = ½ · fan_in · var(W) · mean(x²)."""
    gain = layer_gain(lib, trial, lib.he_normal, lib.relu, shape)
    return trial.mean(gain, 1.0, detects=0.05, spread=SPREAD, what="gain of a layer")


@claim(
    "gfg-32.14",
    "He's variance is Xavier's multiplied by two over the mean fan.",
    needs=["he_normal"],
    setting={"factor": lambda fan_avg: 2 / fan_avg},
    reading="Xavier's variance times 2 / mean fan",
    expect=REFUTED(
        instead=HE_RULE,
        by="two_over_fan_in_keeps_relu_activations",
    ),
    sabotage={"multiplied by two": {"factor": instead(lambda fan_avg: 2.0)}},
)
def he_variance_is_that_of_xavier_over_half_the_mean_fan(lib: Any, trial: Any, factor: Any) -> Evidence:
    """Reading: var(He) = var(Xavier) · 2/fan_avg.
    Why not: var(Xavier) is 1/fan_avg already, so the product would be 2/fan_avg², which vanishes with the width."""
    return he_against_xavier(lib, trial, factor)


@claim(
    "gfg-32.14",
    "With the mean fan in both rules, He's variance is twice Xavier's.",
    needs=["he_normal"],
    setting={"factor": lambda fan_avg: 2.0},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "five per cent too much": {"he_normal": scaled(1.05**0.5)},
        "fan-in in place of the mean": {"he_normal": with_arguments(fan="in")},
    },
)
def he_variance_by_the_mean_fan_is_twice_that_of_xavier(lib: Any, trial: Any, factor: Any) -> Evidence:
    """Reading: var(He, fan_avg) = 2 · 1/fan_avg.
    Why: a rectifier silences half of the second moment, and the factor two makes up for it."""
    return he_against_xavier(lib, trial, factor)


def he_against_xavier(lib: Any, trial: Any, factor: Callable[[float], float]) -> Evidence:
    shape = SHAPES[1]
    fan_avg = sum(shape) / 2

    def draw(n: int, g: torch.Generator) -> torch.Tensor:
        matrices = math.ceil(n / math.prod(shape))
        return torch.cat([lib.he_normal(shape, generator=g, fan="average").flatten() for _ in range(matrices)])[:n]

    return trial.variance(draw, factor(fan_avg) / fan_avg, detects=0.05, what="variance of a weight")


@claim(
    "gfg-32.15",
    "He's weights suit ReLU and leaky ReLU units with a small slope.",
    needs=["dense", "leaky_relu", "he_normal"],
    cases=[{"slope": 0.0}, {"slope": 0.01}, {"slope": 0.1}],
    covers="ReLU, and leaky ReLU with a slope up to 0.1",
    expect=HOLDS,
    sabotage={
        "Xavier's variance": {"he_normal": scaled(0.5**0.5)},
        "a slope of one half": {"slope": instead(0.5)},
        "five per cent too much": {"he_normal": scaled(1.05**0.5)},
    },
)
def he_weights_suit_relu_units_with_a_small_slope(lib: Any, trial: Any, slope: float) -> Evidence:
    """Reading: a layer's gain is within 2^(1/20) of 1, so that the expected second moment stays within a factor of two over
    twenty layers; a single net of width n typically loses a factor of e^(-5/(2n)) a layer besides.
    Why: the gain is fan_in · var(W) · (1 + slope²)/2 = 1 + slope², and (1 + 0.1²)^20 = 1.22."""
    return gain_over_twenty_layers(lib, trial, slope)


@claim(
    "gfg-32.15",
    "He's weights suit leaky ReLU units with a large slope as well.",
    needs=["dense", "leaky_relu", "he_normal"],
    setting={"slope": 0.5},
    covers="leaky ReLU with a larger slope",
    expect=REFUTED(
        instead="For a leaky ReLU with slope a the variance must be 2/((1 + a²)·fan_in); with 2/fan_in the "
        "signal's second moment grows by 1 + a² a layer.",
        by="he_weights_adapted_to_the_slope_suit_leaky_units",
    ),
    sabotage={
        "variance adapted to the slope": {"he_normal": with_arguments(slope=0.5)},
        "a slope of 0.01": {"slope": instead(0.01)},
    },
)
def he_weights_suit_relu_units_with_a_large_slope(lib: Any, trial: Any, slope: float) -> Evidence:
    """Reading: a layer's gain is within 2^(1/20) of 1, so that the expected second moment stays within a factor of two over
    twenty layers.
    Why not: the gain is 1 + slope², for a slope of one half 1.25, and 1.25^20 = 87."""
    return gain_over_twenty_layers(lib, trial, slope)


@claim(
    "gfg-32.15",
    "Divided by one plus the squared slope, He's variance suits leaky ReLU units of any slope.",
    needs=["dense", "leaky_relu", "he_normal"],
    cases=[{"slope": 0.01}, {"slope": 0.5}, {"slope": 1.5}],
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "forgets the slope": {"he_normal": ignoring("slope")},
        "forgets the square": {
            "he_normal": lambda sound: (
                lambda shape, *, slope, generator: sound(shape, slope=slope**0.5, generator=generator)
            )
        },
    },
)
def he_weights_adapted_to_the_slope_suit_leaky_units(lib: Any, trial: Any, slope: float) -> Evidence:
    """Reading: with var(W) = 2/((1 + a²)·fan_in) a layer's gain is 1, to within 2^(1/20).
    Why: E[f(z)²] = (1 + a²)/2 · E[z²] for symmetric z."""
    return gain_over_twenty_layers(lib, trial, slope, adapted=True)


def gain_over_twenty_layers(lib: Any, trial: Any, slope: float, adapted: bool = False) -> Evidence:
    options = {"slope": slope} if adapted else {}
    gain = layer_gain(
        lib, trial, lambda shape, *, generator: lib.he_normal(shape, generator=generator, **options),
        lambda z: lib.leaky_relu(z, slope=slope), SHAPES[2],
    )  # fmt: skip
    depths = range(DEPTH + 1)
    expected = 1.0 if adapted else 1 + slope**2
    return trial.mean(
        gain, 1.0, detects=BOUND, tolerance=BOUND / 3, spread=SPREAD, what="gain of a layer"
    ).with_figure(
        curve(
            f"Expected second moment of the activations, slope {slope:g}", depths, {"expected": [expected**k for k in depths]},
            x_label="layer", y_label="over that of the input", marks={"half": 0.5, "twice": 2.0}, log_y=True,
        )
    )  # fmt: skip


def gelu(z: torch.Tensor) -> torch.Tensor:
    """z · Φ(z), Φ the normal distribution function."""
    return z * torch.special.ndtr(z)


def selu(z: torch.Tensor) -> torch.Tensor:
    """An ELU scaled so that standard normal z give mean 0 and mean square 1 (Klambauer and others 2017)."""
    return 1.0507009873554805 * torch.where(z > 0, z, 1.6732632423543772 * torch.expm1(z.clamp_max(0)))


OTHERS: dict[str, Activation] = {"gelu": gelu, "selu": selu}


@claim(
    "gfg-32.15",
    "He's weights suit GELU and SELU units.",
    needs=["dense", "he_normal"],
    cases=[{"activation": "gelu"}, {"activation": "selu"}],
    setting={"rectify": False},
    covers="GELU and SELU",
    expect=REFUTED(
        instead="With variance 2/fan_in a second moment of 1 becomes 0.92 behind a layer of GELU units and 1.72 behind SELU "
        "units; SELU keeps it with 1/fan_in.",
        by="gelu_shrinks_and_selu_enlarges_a_signal_under_he_weights",
    ),
    sabotage={"ReLU units": {"rectify": instead(True)}},
)
def he_weights_suit_gelu_and_selu_units(lib: Any, trial: Any, activation: str, rectify: bool) -> Evidence:
    """Reading: the gain of a layer, on a signal of mean square one, is within 2^(1/20) of 1.
    Why not: with z of variance 2, E[gelu(z)²] = 0.92 and E[selu(z)²] = 1.72; only the rectifier halves a second moment."""
    gain = layer_gain(lib, trial, lib.he_normal, torch.relu if rectify else OTHERS[activation], SHAPES[2])
    return trial.mean(gain, 1.0, detects=BOUND, tolerance=BOUND / 3, spread=SPREAD, what="gain of a layer")


@claim(
    "gfg-32.15",
    "Under He's weights a layer of GELU units shrinks a signal of size one and a layer of SELU units enlarges it; SELU keeps "
    "it under half of He's variance.",
    needs=["dense", "he_normal"],
    cases=[
        {"activation": "gelu", "share": 1.0, "gain": 0.922},
        {"activation": "selu", "share": 1.0, "gain": 1.723},
        {"activation": "selu", "share": 0.5, "gain": 1.0},
    ],
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "half the variance": {"he_normal": scaled(0.5**0.5)},
        "one size for all: gain 1": {"gain": instead(1.0)},
    },
)
def gelu_shrinks_and_selu_enlarges_a_signal_under_he_weights(
    lib: Any, trial: Any, activation: str, share: float, gain: float
) -> Evidence:
    """Reading: for a signal of mean square one and variance 2·share/fan_in, the second moment after one layer is `gain`.
    Why: it is the integral of f(z)² for normal z of variance 2·share, which the run computes as a sum as well; for SELU at
    variance 1 it is 1 by the choice of its two constants."""
    z = torch.linspace(-12, 12, 4801, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / (2 * torch.pi) ** 0.5
    integral = float(torch.trapezoid(OTHERS[activation]((2 * share) ** 0.5 * z).square() * density, z))

    def rule(shape: tuple[int, int], *, generator: torch.Generator) -> torch.Tensor:
        return share**0.5 * lib.he_normal(shape, generator=generator)

    measured = layer_gain(lib, trial, rule, OTHERS[activation], SHAPES[2])
    return within(
        integral, gain, 0.0005, what="integral differs from the stated gain by", why="the gain has three decimals"
    ) & trial.mean(measured, gain, detects=0.05 * gain, spread=SPREAD, what="second moment after a layer")


@claim(
    "gfg-32.6",
    "Uniform and normal weights of the same variance carry a signal alike.",
    needs=["dense", "relu", "uniform", "normal"],
    cases=[{"law": "uniform"}, {"law": "normal"}],
    expect=HOLDS,
    sabotage={
        "takes the bound for the standard deviation": {
            "uniform": lambda sound: (
                lambda shape, *, bound, generator: sound(shape, bound=bound / 3**0.5, generator=generator)
            )
        },
        "five per cent too much variance": {"normal": scaled(1.05**0.5)},
    },
)
def equal_variances_carry_a_signal_alike(lib: Any, trial: Any, law: str) -> Evidence:
    """Reading: with variance 2/fan_in, either law keeps the second moment of the activations of a ReLU layer.
    Why: E[relu(Wx)²] = ½ · fan_in · var(W) · mean(x²) holds for every symmetric law of the weights."""
    fan_out, fan_in = SHAPES[1]
    sd = (2 / fan_in) ** 0.5
    drawn = {
        "uniform": lambda shape, *, generator: lib.uniform(shape, bound=3**0.5 * sd, generator=generator),
        "normal": plain(lib, sd),
    }[law]
    gain = layer_gain(lib, trial, drawn, lib.relu, (fan_out, fan_in))
    return trial.mean(gain, 1.0, detects=0.05, spread=SPREAD, what="gain of a layer")
