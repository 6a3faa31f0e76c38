"""Small nets whose start is under a claim: parameters w1, b1, w2, b2, ... with a leading axis of replicas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch

from claims.lab.training import Loss, Parameters, mlp

Activation = Callable[[torch.Tensor], torch.Tensor]
Start = Callable[[int, int, int], torch.Tensor]  # replicas, fan_out, fan_in -> w (R, out, in)


GOLDEN = (5**0.5 - 1) / 2  # its multiples fill the unit interval evenly


def start(widths: Sequence[int], weights: Start, replicas: int, biases: Start) -> list[torch.Tensor]:
    """Weights (R, out, in) and biases (R, out) of a net of these widths; a bias is a matrix with one column."""
    params = []
    for fan_in, fan_out in pairwise(widths):
        params += [weights(replicas, fan_out, fan_in), biases(replicas, fan_out, 1)[..., 0]]
    return params


def zero(device: torch.device) -> Start:
    return lambda r, fan_out, fan_in: torch.zeros(r, fan_out, fan_in, dtype=torch.float64, device=device)


def all_zero(lib: Any, device: torch.device) -> Start:
    """The role `zeros`, the same for every replica."""
    return lambda r, fan_out, fan_in: lib.zeros((fan_out, fan_in)).to(device).expand(r, -1, -1).clone()


def drawn(initialise: Callable[..., torch.Tensor], g: torch.Generator, **options: Any) -> Start:
    """A random initialiser, called once for each replica."""
    return lambda r, fan_out, fan_in: torch.stack(
        [initialise((fan_out, fan_in), generator=g, **options) for _ in range(r)]
    )


def at_random(device: torch.device, *, sd: float = 1.0, seed: int = 0) -> Start:
    """Normal weights from a seed of their own: what controls put in the place of equal weights."""
    g = torch.Generator(device).manual_seed(seed)
    return lambda r, fan_out, fan_in: (
        sd * torch.randn(r, fan_out, fan_in, generator=g, dtype=torch.float64, device=device)
    )


def biases_around(trial: Any, mean: float, sd: float) -> Start:
    """Normal biases, from a stream of their own; with `sd` zero they are equal."""
    g = trial.generator("biases")
    return lambda r, fan_out, fan_in: (
        mean + sd * torch.randn(r, fan_out, fan_in, generator=g, dtype=torch.float64, device=trial.device)
    )


def two_class_loss(lib: Any, activation: Activation, x: torch.Tensor, y: torch.Tensor) -> Loss:
    """Mean binary cross-entropy of a net with one output."""

    def loss(params: Parameters, step: int) -> torch.Tensor:
        return lib.binary_cross_entropy_with_logits(mlp(lib, params, x, activation)[..., 0], y).mean(-1)

    return loss


def squared_loss(lib: Any, activation: Activation, x: torch.Tensor, y: torch.Tensor) -> Loss:
    """Mean squared error of a net with one output."""

    def loss(params: Parameters, step: int) -> torch.Tensor:
        return lib.mean_squared_error(mlp(lib, params, x, activation)[..., 0], y).mean(-1)

    return loss


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


def highest(score: torch.Tensor, count: int) -> torch.Tensor:
    """Class one for the `count` highest scores: never balanced by chance, for balance is a case of its own."""
    return (score >= score.sort(descending=True).values[count - 1]).to(torch.float64)


def plain(lib: Any, sd: float) -> Callable[..., torch.Tensor]:
    """Normal weights of one standard deviation, whatever the widths."""
    return lambda shape, *, generator: lib.normal(shape, sd=sd, generator=generator)


def unequal(w: torch.Tensor, sd: float) -> torch.Tensor:
    """Fixed unequal numbers of spread `sd` in place of equal ones."""
    k = torch.arange(1, w.numel() + 1, dtype=w.dtype, device=w.device).reshape(w.shape)
    return sd * torch.special.ndtri((k * GOLDEN).frac())


def descent(lib: Any, lr: float) -> Any:
    return lambda params, slopes, state: lib.sgd(params, slopes, state, lr=lr)


def adam(lib: Any, lr: float) -> Any:
    return lambda params, slopes, state: lib.adam(params, slopes, state, lr=lr)
