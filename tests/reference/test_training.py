"""Training through hand-made backwards: the same loss curve as torch.nn from the same weights, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from assay.evidence import gamma
from reference import activations, attention, convolution, layers, losses, pooling, recurrent, transformer
from reference.differentiable import Differentiable
from reference.optimization import sgd
from subjects.torch_nn import activations as torch_activations
from subjects.torch_nn import convolution as torch_convolution
from subjects.torch_nn import layers as torch_layers
from subjects.torch_nn import losses as torch_losses
from subjects.torch_nn import pooling as torch_pooling
from subjects.torch_nn import recurrent as torch_recurrent
from subjects.torch_nn import transformer as torch_transformer
from tests.reference.protocol import draw

STEPS = 100
LR = 0.05
Parameters = Sequence[torch.Tensor]
Loss = Callable[[Parameters], torch.Tensor]

X, LABELS = draw(16, 3), torch.randint(4, (16,), generator=torch.Generator().manual_seed(0))
IMAGES = draw(16, 1, 6, 6, seed=12)
SEQUENCES = draw(8, 5, 3, seed=1)
TARGETS = draw(8, 4, seed=2)


@dataclass(frozen=True)
class Net:
    """The same net twice, by the reference and by torch, and where its components are looked up when it runs."""

    mine: Loss
    other: Loss
    params: Parameters
    components: tuple[tuple[ModuleType, str], ...]


def mlp() -> Net:
    params = [0.5 * draw(6, 3, seed=3), draw(6, seed=4), 0.5 * draw(4, 6, seed=5), draw(4, seed=6)]

    def mine(p: Parameters) -> torch.Tensor:
        return losses.cross_entropy(layers.mlp(X, p, activations.tanh), LABELS, reduction="mean")

    def other(p: Parameters) -> torch.Tensor:
        return torch_losses.cross_entropy(torch_layers.mlp(X, p, torch_activations.tanh), LABELS, reduction="mean")

    return Net(mine, other, params, ((layers, "dense"), (activations, "tanh"), (losses, "cross_entropy")))


def convolutional() -> Net:
    params = [0.5 * draw(3, 1, 3, 3, seed=13), 0.1 * draw(3, seed=14), 0.3 * draw(4, 27, seed=15), draw(4, seed=16)]

    def mine(p: Parameters) -> torch.Tensor:
        maps = activations.relu(convolution.conv2d(IMAGES, p[0], p[1], padding="same"))
        features = pooling.max_pool2d(maps, size=2).flatten(1)
        return losses.cross_entropy(layers.dense(features, p[2], p[3]), LABELS, reduction="mean")

    def other(p: Parameters) -> torch.Tensor:
        maps = torch_activations.relu(torch_convolution.conv2d(IMAGES, p[0], p[1], padding="same"))
        features = torch_pooling.max_pool2d(maps, size=2).flatten(1)
        return torch_losses.cross_entropy(torch_layers.dense(features, p[2], p[3]), LABELS, reduction="mean")

    parts = ((convolution, "conv2d"), (pooling, "max_pool2d"), (activations, "relu"), (layers, "dense"))
    return Net(mine, other, params, parts)


def lstm() -> Net:
    params = [0.5 * draw(16, 3, seed=7), 0.5 * draw(16, 4, seed=8), draw(16, seed=9)]
    start = (torch.zeros(8, 4, dtype=torch.float64),) * 2

    def mine(p: Parameters) -> torch.Tensor:
        y, _ = recurrent.lstm(SEQUENCES, *p, *start)
        return losses.mean_squared_error(y[:, -1], TARGETS, reduction="mean")

    def other(p: Parameters) -> torch.Tensor:
        y, _ = torch_recurrent.lstm(SEQUENCES, *p, *start)
        return torch_losses.mean_squared_error(y[:, -1], TARGETS, reduction="mean")

    return Net(mine, other, params, ((recurrent, "lstm_states"), (losses, "mean_squared_error")))


def small_transformer() -> Net:
    weights = transformer.transformer_parameters(4, 7, cross=False, generator=torch.Generator().manual_seed(0))
    named = weights | {"w_in": 0.5 * draw(4, 3, seed=10), "w_out": 0.5 * draw(4, 4, seed=11)}
    places = attention.sinusoidal_positions(5, 4)

    def mine(p: Parameters) -> torch.Tensor:
        parts = dict(zip(named, p, strict=True))
        x = transformer.encoder_block(layers.dense(SEQUENCES, parts["w_in"]) + places, parts, heads=2)
        return losses.mean_squared_error(layers.dense(x[:, -1], parts["w_out"]), TARGETS, reduction="mean")

    def other(p: Parameters) -> torch.Tensor:
        parts = dict(zip(named, p, strict=True))
        x = torch_layers.dense(SEQUENCES, parts["w_in"]) + places
        x = torch_transformer.encoder_block(x, parts, heads=2)
        return torch_losses.mean_squared_error(torch_layers.dense(x[:, -1], parts["w_out"]), TARGETS, reduction="mean")

    looks = ((attention, "scaled_dot_product_attention"), (attention, "dense"), (transformer, "dense"))
    return Net(mine, other, list(named.values()), (*looks, (transformer, "layer_norm"), (transformer, "relu")))


NETS = {
    "a multilayer perceptron": mlp,
    "a convolutional net": convolutional,
    "an LSTM": lstm,
    "a Transformer block": small_transformer,
}
MISTAKES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "one part in ten thousand": lambda dx: dx * 1.0001,
    "sign": lambda dx: -dx,
    "zero": torch.zeros_like,
    "transposed": lambda dx: dx.flip(-1),  # the entries of the last axis in another order
}
PARTS = [(name, place, part) for name in NETS for place, part in NETS[name]().components]


def descent(loss: Loss, params: Parameters, lr: float = LR) -> Iterator[tuple[torch.Tensor, Parameters]]:
    """The loss and the parameters before each of the steps of plain descent."""
    state = None
    for _ in range(STEPS):
        leaves = [p.detach().requires_grad_() for p in params]
        value = loss(leaves)
        yield value.detach(), [leaf.detach() for leaf in leaves]
        params, state = sgd(leaves, torch.autograd.grad(value, leaves), state, lr=lr)


def stretch(loss: Loss, params: Parameters) -> float:
    """By how much a step can enlarge a small error in the parameters: the norm of the step's Jacobian I - lr · Hessian."""
    sizes = [p.numel() for p in params]

    def of_flat(w: torch.Tensor) -> torch.Tensor:
        return loss([part.reshape(p.shape) for part, p in zip(w.split(sizes), params, strict=True)])

    with sdpa_kernel(SDPBackend.MATH):  # the only one of torch's that can be differentiated twice
        flat = torch.cat([p.reshape(-1) for p in params])
        hessian = torch.autograd.functional.hessian(of_flat, flat, vectorize=True)
    return float((1 - LR * torch.linalg.eigvalsh(hessian)).abs().max())


@cache
def curve_of_torch(name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """torch's loss before each step, and how far from it rounding may take another one.

    A thousand roundings enter at each step, on numbers of size one. The errors of the steps before are stretched by the
    step's Jacobian, whose norm is measured where torch is, and never taken as less than 1.
    """
    net = NETS[name]()
    roundings, values, allowed = 1.0, [], []
    for value, params in descent(net.other, net.params):
        values.append(value)
        allowed.append(gamma(1000, torch.float64) * roundings * (1 + float(value)))
        roundings = roundings * max(stretch(net.other, params), 1.0) + 1
    return torch.stack(values), torch.tensor(allowed, dtype=torch.float64)


def planted(component: Differentiable, mistake: str) -> Differentiable:
    """The component with a mistake in every gradient that it hands back."""

    def backward(saved: Any, dy: torch.Tensor, **hyper: Any) -> tuple[torch.Tensor | None, ...]:
        slopes = component.backward(saved, dy, **hyper)
        return tuple(None if slope is None else MISTAKES[mistake](slope) for slope in slopes)

    return replace(component, backward=backward)


def strays(name: str, lr: float = LR) -> bool:
    """Whether the reference's loss curve leaves the one of torch by more than rounding; asks no further than where it does."""
    net = NETS[name]()
    mine = (value for value, _ in descent(net.mine, net.params, lr))
    return any(
        not bool((value - other).abs() <= bound)
        for value, other, bound in zip(mine, *curve_of_torch(name), strict=True)
    )


@pytest.mark.parametrize("name", NETS)
def test_the_loss_curve_is_that_of_torch(name: str) -> None:
    theirs, allowed = curve_of_torch(name)
    assert float(theirs[-1]) < 0.9 * float(theirs[0])
    assert float(allowed.max()) < 1e-4  # else the stretched roundings would allow anything
    assert not strays(name)


@pytest.mark.parametrize("name", NETS)
def test_a_slightly_wrong_rate_leaves_the_curve(name: str) -> None:
    assert strays(name, LR * 1.0001)


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize(("name", "place", "part"), PARTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_wrong_backward_leaves_the_curve(
    name: str, place: ModuleType, part: str, mistake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, part, planted(getattr(place, part), mistake))
    assert strays(name)
