"""What a start does to the signals that pass through a net: activations on the way up, gradients on the way down."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.evidence import Evidence, Figure, curve
from assay.sabotage import instead, scaled
from claims.initialization.networks import plain

WIDTH, DEPTH = 64, 20
XAVIER = ["dense", "tanh", "sigmoid", "xavier_normal"]
Activation = Callable[[torch.Tensor], torch.Tensor]
Initialiser = Callable[..., torch.Tensor]


def nets(
    lib: Any, initialise: Initialiser, activation: Activation, n: int, g: torch.Generator, depth: int = DEPTH
) -> tuple[torch.Tensor, torch.Tensor]:
    """Decades (n,) gained or lost by the second moments of activations and of gradients on their way through n nets."""
    x = torch.randn(n, 1, WIDTH, generator=g, dtype=torch.float64, device=g.device).requires_grad_()
    y = x
    for _ in range(depth):
        w = torch.stack([initialise((WIDTH, WIDTH), generator=g) for _ in range(n)])
        y = activation(lib.dense(y, w))
    dy = torch.randn(y.shape, generator=g, dtype=torch.float64, device=g.device)
    (dx,) = torch.autograd.grad(y, x, dy)
    return decades(y, x), decades(dx, dy)


def decades(end: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
    """log10 of the ratio of the second moments: (n, 1, width) twice -> (n,)."""
    return (end.detach().square().sum((1, 2)) / start.detach().square().sum((1, 2))).log10()


def profile(lib: Any, initialise: Initialiser, activation: Activation, g: torch.Generator) -> list[float]:
    """Decades between the gradient's second moment at each layer, input first, and at the output; mean over 8 nets."""
    signals = [torch.randn(8, 1, WIDTH, generator=g, dtype=torch.float64, device=g.device).requires_grad_()]
    for _ in range(DEPTH):
        w = torch.stack([initialise((WIDTH, WIDTH), generator=g) for _ in range(8)])
        signals.append(activation(lib.dense(signals[-1], w)))
    dy = torch.randn(signals[-1].shape, generator=g, dtype=torch.float64, device=g.device)
    slopes = torch.autograd.grad(signals[-1], signals[:-1], dy)
    return [float(decades(slope, dy).mean()) for slope in slopes] + [0.0]


def profiles(title: str, series: dict[str, list[float]]) -> Figure:
    return curve(
        title, range(DEPTH + 1), series, x_label="layer (0 is the input)", y_label="decades against the output",
        marks={"kept": 0.0},
    )  # fmt: skip


@claim(
    "gfg-29.5",
    "Weights of a suitable scale keep the gradient from vanishing or exploding on its way through twenty layers.",
    needs=["dense", "relu", "normal", "he_normal"],
    expect=HOLDS,
    sabotage={
        "half the variance": {"he_normal": scaled(0.5**0.5)},
        "layers without rectifiers, which need half the variance": {"relu": lambda sound: lambda z: z},
    },
)
def a_suitable_scale_mitigates_vanishing_and_exploding_gradients(lib: Any, trial: Any) -> Evidence:
    """Reading: with fan · var(W) · E[f'²] = 1 the gradient's second moment changes by less than a factor of 100 over 20
    ReLU layers in most draws, and by less than with standard deviation 0.01 or 1.
    Why: each layer multiplies the expected second moment by fan · var(W) · E[f'²], here 64 · 2/64 · 1/2."""

    def lost(initialise: Initialiser, n: int, g: torch.Generator) -> torch.Tensor:
        return nets(lib, initialise, lib.relu, n, g)[1].abs()

    def pair(n: int, g: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        others = torch.minimum(lost(plain(lib, 0.01), n, g), lost(plain(lib, 1.0), n, g))
        return lost(lib.he_normal, n, g), others

    kept = trial.often(
        lambda n, g: lost(lib.he_normal, n, g) < 2, floor=0.5, detects=0.25, what="share of nets that keep the gradient"
    )
    preferred = trial.prefers(pair, what="decades gained or lost, against the better of two arbitrary scales")
    rules = {"He": lib.he_normal, "sd 0.01": plain(lib, 0.01), "sd 1": plain(lib, 1.0)}
    series = {name: profile(lib, rule, lib.relu, trial.generator("profile", name)) for name, rule in rules.items()}
    return (kept & preferred).with_figure(profiles("Second moment of the gradient, 20 ReLU layers", series))


@claim(
    "gfg-32.8",
    "Weights drawn at random without regard to the width can make gradients vanish or explode.",
    needs=["dense", "relu", "normal"],
    cases=[{"sd": 0.01}, {"sd": 1.0}],
    expect=HOLDS,
    sabotage={
        "the standard deviation that suits the width": {"sd": instead((2 / WIDTH) ** 0.5)},
        "half the variance asked for": {"normal": scaled(0.5**0.5)},
    },
)
def a_random_scale_can_make_gradients_vanish_or_explode(lib: Any, trial: Any, sd: float) -> Evidence:
    """Reading: with standard deviation s the gradient's second moment follows (n·s²/2)^L over L ReLU layers of width n,
    to 0.15 decades a layer, and moves by more than three decades in all: down for s = 0.01, up for s = 1.
    Why: a layer multiplies it by n · s² · ½. The mean of the logarithm lies below the logarithm of the mean by half the
    relative variance, 5/(2n) a layer; twice that is tolerated."""
    law = math.log10(WIDTH * sd**2 / 2)

    def change(n: int, g: torch.Generator) -> torch.Tensor:
        return nets(lib, plain(lib, sd), lib.relu, n, g)[1]

    return trial.mean(
        lambda n, g: change(n, g) / DEPTH, law, detects=0.15, tolerance=5 / (WIDTH * math.log(10)), spread=0.03,
        what="decades a layer",
    ) & trial.exceeds(
        lambda n, g: change(n, g).abs(), floor=3, detects=3, spread=1, what="decades over all layers"
    )  # fmt: skip


@claim(
    "gfg-32.12",
    "Xavier's weights keep the signals of a deep tanh net in range.",
    needs=XAVIER,
    setting={"activation": "tanh"},
    covers="twenty tanh hidden layers (softmax, an output map, is not tested in hidden layers)",
    expect=HOLDS,
    sabotage={
        "a quarter of the variance": {"xavier_normal": scaled(0.5)},
        "sigmoid units": {"activation": instead("sigmoid")},
    },
)
def xavier_weights_suit_tanh(lib: Any, trial: Any, activation: str) -> Evidence:
    """Reading: over 20 layers of width 64 the second moments of activations and of gradients each change by less than a
    factor of 100 in most draws. Softmax is an output map: it stands in no hidden layer here.
    Why: tanh has slope 1 at zero, where Xavier's weights keep both second moments."""
    return signals_kept(lib, trial, activation, DEPTH).with_figure(xavier_profiles(lib, trial))


@claim(
    "gfg-32.12",
    "Xavier's weights keep the signals of a deep sigmoid net in range.",
    needs=XAVIER,
    setting={"activation": "sigmoid", "depth": DEPTH},
    covers="twenty sigmoid hidden layers",
    expect=REFUTED(
        instead="Xavier's weights suit tanh, whose slope at zero is 1; in a deep sigmoid net the activations stay in range, "
        "but the gradient's second moment shrinks by a factor of 16 or more a layer, about 25 decades over 20 layers.",
        by="xavier_weights_keep_the_activations_of_a_sigmoid_net_but_not_its_gradient",
    ),
    sabotage={
        "a sigmoid centred and stretched to slope 1": {"sigmoid": lambda sound: lambda z: 4 * sound(z) - 2},
        "tanh units": {"activation": instead("tanh")},
        "a single layer": {"depth": instead(1)},
    },
)
def xavier_weights_suit_sigmoid(lib: Any, trial: Any, activation: str, depth: int) -> Evidence:
    """Reading: over 20 layers of width 64 the second moments of activations and of gradients each change by less than a
    factor of 100 in most draws.
    Why not: the slope of the sigmoid is at most 1/4, so a layer keeps at most 1/16 of the gradient's second moment."""
    return signals_kept(lib, trial, activation, depth).with_figure(xavier_profiles(lib, trial))


@claim(
    "gfg-32.12",
    "Xavier's weights keep the signals of a net with a single sigmoid layer in range.",
    needs=XAVIER,
    setting={"activation": "sigmoid", "depth": 1},
    covers="a single sigmoid hidden layer",
    expect=HOLDS,
    sabotage={
        "twenty layers": {"depth": instead(DEPTH)},
        "a ten-thousandth of the variance": {"xavier_normal": scaled(0.01)},
    },
)
def xavier_weights_suit_a_single_sigmoid_layer(lib: Any, trial: Any, activation: str, depth: int) -> Evidence:
    """Reading: over one layer of width 64 the second moments of activation and gradient each change by less than a factor of
    100 in most draws.
    Why: the activation lies between 0 and 1, mostly near 1/2; the gradient loses a factor of about 16 to 20."""
    return signals_kept(lib, trial, activation, depth)


@claim(
    "gfg-32.12",
    "In a deep sigmoid net Xavier's weights keep the activations in range, while the gradient shrinks by a factor of 16 or "
    "more a layer.",
    needs=XAVIER,
    setting={"activation": "sigmoid"},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "tanh units": {"activation": instead("tanh")},
        "four times the variance": {"xavier_normal": scaled(2.0)},
    },
)
def xavier_weights_keep_the_activations_of_a_sigmoid_net_but_not_its_gradient(
    lib: Any, trial: Any, activation: str
) -> Evidence:
    """Reading: over 20 layers of width 64 the activations' second moment changes by less than a factor of 100 in most
    draws; the gradient's loses log10(16) = 1.20 decades a layer or more on average, 24.1 in all.
    Why: sigmoids lie near 1/2, and their slope is at most 1/4, while Xavier's weights keep the gradient as it is."""
    f = getattr(lib, activation)
    kept = trial.often(
        lambda n, g: nets(lib, lib.xavier_normal, f, n, g)[0].abs() < 2,
        floor=0.5, detects=0.25, what="share of nets that keep the activations",
    )  # fmt: skip
    return kept & trial.exceeds(
        lambda n, g: -nets(lib, lib.xavier_normal, f, n, g)[1], floor=DEPTH * math.log10(16), detects=1, spread=0.5,
        what="decades that the gradient loses",
    )  # fmt: skip


def signals_kept(lib: Any, trial: Any, activation: str, depth: int) -> Evidence:
    """Activations and gradients, each decided by itself."""

    def kept(signal: int, name: str) -> Evidence:
        return trial.often(
            lambda n, g: nets(lib, lib.xavier_normal, getattr(lib, activation), n, g, depth)[signal].abs() < 2,
            floor=0.5, detects=0.25, what=f"share of nets that keep the {name}",
        )  # fmt: skip

    return kept(0, "activations") & kept(1, "gradient")


def xavier_profiles(lib: Any, trial: Any) -> Figure:
    series = {
        name: profile(lib, lib.xavier_normal, getattr(lib, name), trial.generator("profile", name))
        for name in ("tanh", "sigmoid")
    }
    return profiles("Second moment of the gradient, 20 layers with Xavier's weights", series)
