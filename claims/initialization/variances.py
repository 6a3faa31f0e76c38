"""The variances that the rules prescribe, and how many neurons they count."""

from __future__ import annotations

import math
from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.decide.proofs import both, proved, ratio
from assay.decide.trial import Draw
from assay.evidence import Evidence, all_of, equal
from assay.sabotage import instead, scaled

SHAPES = ((10, 40), (40, 10), (64, 25))  # (out, in), none square: there fan_in, fan_out and their mean agree
FANS = {"fan_in": int, "fan_out": int}


def positive(fan_in: Any, fan_out: Any) -> Any:
    return both(fan_in >= 1, fan_out >= 1)


def square(fan_in: Any, fan_out: Any) -> Any:
    return both(fan_in >= 1, fan_in == fan_out)


def entries(initialise: Any, shape: tuple[int, ...], **options: Any) -> Draw:
    """Independent entries of as many weight matrices as it takes."""

    def draw(n: int, generator: torch.Generator) -> torch.Tensor:
        matrices = math.ceil(n / math.prod(shape))
        return torch.cat([initialise(shape, generator=generator, **options).flatten() for _ in range(matrices)])[:n]

    return draw


def sums(initialise: Any, shape: tuple[int, int], axis: int, **options: Any) -> Draw:
    """Sums of the weights along one axis of as many matrices as it takes, over the root of their number."""
    length = shape[axis]

    def draw(n: int, generator: torch.Generator) -> torch.Tensor:
        matrices = math.ceil(n * length / math.prod(shape))
        added = [initialise(shape, generator=generator, **options).sum(axis) for _ in range(matrices)]
        return torch.cat(added)[:n] / length**0.5

    return draw


def uncorrelated(trial: Any, initialise: Any, shape: tuple[int, int], variance: float, **options: Any) -> Evidence:
    """The sum of m weights of a row, or of a column, has m times their variance, as only without correlation (on average).
    Seen to a tenth: a mean correlation of 1/(10·m). Sums of uniform weights have lighter tails than normal ones, which makes
    the chi-square interval too wide, not too narrow."""
    across, along = (
        trial.variance(
            sums(initialise, shape, axis, **options), variance, detects=0.1, what=f"variance of a {line}'s sum"
        )
        for axis, line in ((1, "row"), (0, "column"))
    )
    return across & along


def repeating(axis: int) -> Any:
    """A control: the second half of the rows (axis 0) or columns (axis 1) repeats the first."""

    def edit(sound: Any) -> Any:
        def draw(shape: tuple[int, int], **options: Any) -> torch.Tensor:
            half = sound(shape, **options).narrow(axis, 0, shape[axis] // 2 + 1)
            return torch.cat([half, half], axis).narrow(axis, 0, shape[axis])

        return draw

    return edit


def normal_cdf(sd: float) -> Any:
    return lambda w: torch.special.ndtr(w / sd)


def uniform_cdf(bound: float) -> Any:
    return lambda w: ((w / bound + 1) / 2).clamp(0, 1)


def drawn_with_variance(variance: Any) -> Any:
    """A control: normal weights whose variance follows another rule of (out, in)."""

    def edit(sound: Any) -> Any:
        return lambda shape, *, generator, **_: (
            variance(*shape) ** 0.5
            * torch.randn(shape, generator=generator, dtype=torch.float64, device=generator.device)
        )

    return edit


@claim(
    "gfg-32.6",
    "Uniform initialisation spreads the weights evenly between -a and a; their variance is a²/3.",
    needs=["uniform"],
    setting={"bound": 0.3},
    expect=HOLDS,
    sabotage={
        "three per cent too wide": {"uniform": scaled(1.03)},
        "every column twice": {"uniform": repeating(1)},
        "reads the bound as a standard deviation": {
            "uniform": lambda sound: (
                lambda shape, *, bound, generator: sound(shape, bound=bound * 3**0.5, generator=generator)
            )
        },
        "normal weights of the same variance": {
            "uniform": lambda sound: (
                lambda shape, *, bound, generator: drawn_with_variance(lambda *_: bound**2 / 3)(sound)(
                    shape, generator=generator
                )
            )
        },
    },
)
def uniform_weights_lie_evenly_within_their_bound(lib: Any, trial: Any, bound: float) -> Evidence:
    """Reading: w ~ U(-a, a), independent; |w| <= a; w has mean 0 and variance a²/3.
    Why: ∫ w²/(2a) dw over (-a, a) is a²/3; only uncorrelated weights have sums whose variance is the sum of theirs."""
    draw = entries(lib.uniform, SHAPES[0], bound=bound)
    outside = trial.proportion(lambda n, g: draw(n, g).abs() > bound, 0.0, detects=0.001, what="share beyond the bound")
    gap = trial.distribution(
        draw, uniform_cdf(bound), detects=0.01, what="distribution differs from the uniform one by"
    )
    variance = trial.mean(
        lambda n, g: draw(n, g).square(), bound**2 / 3, detects=0.02 * bound**2 / 3, spread=0.3 * bound**2,
        what="mean square of a weight",
    )  # fmt: skip
    return outside & gap & variance & uncorrelated(trial, lib.uniform, SHAPES[0], bound**2 / 3, bound=bound)


@claim(
    "gfg-32.6",
    "Normal initialisation draws independent weights from a bell curve of mean zero and the chosen spread.",
    needs=["normal"],
    setting={"sd": 0.3},
    expect=HOLDS,
    sabotage={
        "five per cent too much variance": {"normal": scaled(1.05**0.5)},
        "every row twice": {"normal": repeating(0)},
        "reads the spread as a variance": {
            "normal": lambda sound: lambda shape, *, sd, generator: sound(shape, sd=sd**0.5, generator=generator)
        },
        "uniform weights of the same variance": {
            "normal": lambda sound: (
                lambda shape, *, sd, generator: (
                    sd
                    * 3**0.5
                    * (2 * torch.rand(shape, generator=generator, dtype=torch.float64, device=generator.device) - 1)
                )
            )
        },
    },
)
def normal_weights_have_the_spread_asked_for(lib: Any, trial: Any, sd: float) -> Evidence:
    """Reading: w ~ N(0, s²), independent, with variance s² and the distribution function of the normal law.
    Why: this is the definition; the variance is seen to five per cent, the distribution to one hundredth, and a correlation
    in the variance of sums."""
    draw = entries(lib.normal, SHAPES[0], sd=sd)
    return (
        trial.variance(draw, sd**2, detects=0.05, what="variance of a weight")
        & trial.distribution(draw, normal_cdf(sd), detects=0.01, what="distribution differs from the normal one by")
        & uncorrelated(trial, lib.normal, SHAPES[0], sd**2, sd=sd)
    )


@claim(
    "gfg-32.10",
    "Xavier's normal weights have mean zero and variance one over the mean of fan-in and fan-out.",
    needs=["xavier_normal"],
    cases=[{"shape": shape} for shape in SHAPES],
    expect=HOLDS,
    sabotage={
        "divides by fan-in alone": {"xavier_normal": drawn_with_variance(lambda fan_out, fan_in: 1 / fan_in)},
        "divides by the sum of the fans": {
            "xavier_normal": drawn_with_variance(lambda fan_out, fan_in: 1 / (fan_in + fan_out))
        },
        "five per cent too much variance": {"xavier_normal": scaled(1.05**0.5)},
        "every row twice": {"xavier_normal": repeating(0)},
    },
)
def xavier_weights_have_variance_one_over_the_mean_fan(lib: Any, trial: Any, shape: tuple[int, int]) -> Evidence:
    """Reading: w ~ N(0, 2/(fan_in + fan_out)) for matrices of any shape.
    Why: 1/fan_in would keep activations, 1/fan_out gradients; the mean fan is the compromise between the two."""
    variance = 2 / sum(shape)
    draw = entries(lib.xavier_normal, shape)
    return (
        trial.variance(draw, variance, detects=0.05, what="variance of a weight")
        & trial.mean(draw, 0.0, detects=0.1 * variance**0.5, spread=variance**0.5, what="mean of a weight")
        & trial.distribution(draw, normal_cdf(variance**0.5), detects=0.02, what="distance to the normal law")
        & uncorrelated(trial, lib.xavier_normal, shape, variance)
    )


@claim(
    "gfg-32.11",
    "The mean fan is the number of neurons that feed the layer.",
    needs=["dense"],
    setting={"assuming": positive},
    expect=REFUTED(
        instead="Fan-in is the number of a layer's inputs; the mean fan averages it with the number of outputs.",
        by="the_mean_fan_counts_the_inputs_only_of_square_layers",
    ),
    sabotage={"square layers only": {"assuming": instead(square)}},
)
def the_mean_fan_counts_the_inputs(lib: Any, assuming: Any) -> Evidence:
    """Reading: (fan_in + fan_out)/2 = fan_in for every layer.
    Why not: a layer from 1 neuron to 2 has a mean fan of 3/2 and one input."""
    counted = all_of([inputs_counted(lib, fan_in, fan_out) for fan_in, fan_out in ((7, 3), (3, 7))])
    return counted & proved(
        lambda fan_in, fan_out: ratio(fan_in + fan_out, 2) == fan_in,
        FANS,
        assuming=assuming,
        what="layer whose mean fan is not its number of inputs",
    )


@claim(
    "gfg-32.11",
    "The mean fan equals the number of inputs exactly for layers with as many outputs as inputs.",
    needs=["dense"],
    setting={"mean_fan": lambda fan_in, fan_out: ratio(fan_in + fan_out, 2)},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "forgets to halve": {"mean_fan": instead(lambda fan_in, fan_out: fan_in + fan_out)},
        "a layer that sees only part of its inputs": {
            "dense": lambda sound: lambda x, w: sound(x[..., 1:], w[..., 1:])
        },
    },
)
def the_mean_fan_counts_the_inputs_only_of_square_layers(lib: Any, mean_fan: Any) -> Evidence:
    """Reading: (fan_in + fan_out)/2 = fan_in if and only if fan_in = fan_out; a dense layer of ones counts its fan_in.
    Why: subtract fan_in/2 on both sides."""
    counted = all_of([inputs_counted(lib, fan_in, fan_out) for fan_in, fan_out in ((7, 3), (3, 7), (5, 5))])
    return counted & proved(
        lambda fan_in, fan_out: (mean_fan(fan_in, fan_out) == fan_in) == (fan_in == fan_out),
        FANS,
        assuming=positive,
        what="layer for which the equivalence fails",
    )


def inputs_counted(lib: Any, fan_in: int, fan_out: int) -> Evidence:
    """A dense layer of ones maps ones to the number of its inputs."""
    ones = torch.ones(1, fan_in, dtype=torch.float64)
    y = lib.dense(ones, torch.ones(fan_out, fan_in, dtype=torch.float64))
    return equal(
        y, torch.full((1, fan_out), float(fan_in), dtype=torch.float64), what="inputs counted by a layer of ones"
    )
