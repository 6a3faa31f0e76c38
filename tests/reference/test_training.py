"""Training through hand-made backwards: the same loss curve as torch.nn from the same weights, step by step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch

from assay.evidence import gamma
from reference import activations, attention, layers, losses, recurrent, transformer
from reference.optimization import sgd
from subjects.torch_nn import activations as torch_activations
from subjects.torch_nn import layers as torch_layers
from subjects.torch_nn import losses as torch_losses
from subjects.torch_nn import recurrent as torch_recurrent
from tests.reference.protocol import draw
from tests.reference.test_attention import OPTIONS, block, in_torch

STEPS = 100
LR = 0.05
Parameters = Sequence[torch.Tensor]
Loss = Callable[[Parameters], torch.Tensor]


def curve(loss: Loss, params: Parameters, lr: float = LR) -> torch.Tensor:
    """The loss before each of the steps of plain descent."""
    values, state = [], None
    for _ in range(STEPS):
        leaves = [p.detach().requires_grad_() for p in params]
        value = loss(leaves)
        params, state = sgd(leaves, torch.autograd.grad(value, leaves), state, lr=lr)
        values.append(value.detach())
    return torch.stack(values)


X, LABELS = draw(16, 3), torch.randint(4, (16,), generator=torch.Generator().manual_seed(0))
SEQUENCES = draw(8, 5, 3, seed=1)
TARGETS = draw(8, 4, seed=2)


def mlp() -> tuple[Loss, Loss, Parameters]:
    params = [0.5 * draw(6, 3, seed=3), draw(6, seed=4), 0.5 * draw(4, 6, seed=5), draw(4, seed=6)]

    def mine(p: Parameters) -> torch.Tensor:
        return losses.cross_entropy(layers.mlp(X, p, activations.tanh), LABELS, reduction="mean")

    def other(p: Parameters) -> torch.Tensor:
        hidden = torch_activations.tanh(torch_layers.dense(X, p[0], p[1]))
        return torch_losses.cross_entropy(torch_layers.dense(hidden, p[2], p[3]), LABELS, reduction="mean")

    return mine, other, params


def lstm() -> tuple[Loss, Loss, Parameters]:
    params = [0.5 * draw(16, 3, seed=7), 0.5 * draw(16, 4, seed=8), draw(16, seed=9)]
    start = (torch.zeros(8, 4, dtype=torch.float64),) * 2

    def mine(p: Parameters) -> torch.Tensor:
        y, _ = recurrent.lstm(SEQUENCES, *p, *start)
        return losses.mean_squared_error(y[:, -1], TARGETS, reduction="mean")

    def other(p: Parameters) -> torch.Tensor:
        y, _ = torch_recurrent.lstm(SEQUENCES, *p, *start)
        return torch_losses.mean_squared_error(y[:, -1], TARGETS, reduction="mean")

    return mine, other, params


def small_transformer() -> tuple[Loss, Loss, Parameters]:
    named = block(4, cross=False) | {"w_in": 0.5 * draw(4, 3, seed=10), "w_out": 0.5 * draw(4, 4, seed=11)}
    layer = torch.nn.TransformerEncoderLayer(4, 2, **OPTIONS)
    places = attention.sinusoidal_positions(5, 4)

    def mine(p: Parameters) -> torch.Tensor:
        parts = dict(zip(named, p, strict=True))
        x = transformer.encoder_block(layers.dense(SEQUENCES, parts["w_in"]) + places, parts, heads=2)
        return losses.mean_squared_error(layers.dense(x[:, -1], parts["w_out"]), TARGETS, reduction="mean")

    def other(p: Parameters) -> torch.Tensor:
        parts = dict(zip(named, p, strict=True))
        x = torch.nn.functional.linear(SEQUENCES, parts["w_in"]) + places
        x = torch.func.functional_call(layer, in_torch(parts, ("self",)), (x,))
        return torch.nn.functional.mse_loss(torch.nn.functional.linear(x[:, -1], parts["w_out"]), TARGETS)

    return mine, other, list(named.values())


NETS = {"a multilayer perceptron": mlp, "an LSTM": lstm, "a Transformer block": small_transformer}


def allowed(loss: torch.Tensor) -> torch.Tensor:
    """A thousand roundings enter at each step, and a step enlarges an older error by at most 1 + lr · 2 (curvature below 2).

    After k steps that is 1000 · k · 1.1^k roundings, on losses of size one.
    """
    k = torch.arange(1, STEPS + 1, dtype=torch.float64)
    return gamma(1000, torch.float64) * k * (1 + 2 * LR) ** k * (1 + loss)


@pytest.mark.parametrize("name", NETS)
def test_the_loss_curve_is_that_of_torch(name: str) -> None:
    mine, other, params = NETS[name]()
    ours, theirs = curve(mine, params), curve(other, params)
    assert float(ours[-1]) < 0.9 * float(ours[0])
    assert bool(((ours - theirs).abs() <= allowed(theirs)).all())


@pytest.mark.parametrize("name", NETS)
def test_a_slightly_wrong_rate_leaves_the_curve(name: str) -> None:
    mine, other, params = NETS[name]()
    theirs = curve(other, params)
    assert not bool(((curve(mine, params, LR * 1.0001) - theirs).abs() <= allowed(theirs)).all())
