"""The functions of the speed table: the layers that people check, at sizes whose dense Jacobian gradcheck can hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Named = dict[str, Tensor]


@dataclass(frozen=True)
class Function:
    """One function of the table with its named float64 inputs."""

    name: str
    call: Callable[..., Tensor]
    shapes: dict[str, tuple[int, ...]]

    def inputs(self) -> Named:
        """Numbers around one of both signs, the same in every run, asking for their gradient."""
        generator = torch.Generator().manual_seed(0)
        return {
            name: (
                torch.randn(shape, generator=generator, dtype=torch.float64) / max(1, shape[-1]) ** 0.25
            ).requires_grad_()
            for name, shape in self.shapes.items()
        }

    @property
    def sizes(self) -> tuple[int, int]:
        """How many numbers go in and come out."""
        inputs = self.inputs()
        return sum(x.numel() for x in inputs.values()), self.call(*inputs.values()).numel()


def lstm(x: Tensor, u: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """x (t, n, d), u (4h, d), w (4h, h), b (4h) -> the last hidden state (n, h)."""
    h = c = x.new_zeros(x.shape[1], w.shape[1])
    for step in x:
        i, f, g, o = (step @ u.t() + h @ w.t() + b).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    return h


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """q, k, v (b, h, n, d) -> (b, h, n, d)."""
    return (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v


def batch_norm(x: Tensor, g: Tensor, b: Tensor) -> Tensor:
    """x (n, c) -> (n, c), by the statistics of the batch."""
    return functional.batch_norm(x, None, None, g, b, training=True)


def cross_entropy(z: Tensor) -> Tensor:
    """z (n, k) -> the mean loss for labels 0, 1, 2, ..."""
    return functional.cross_entropy(z, torch.arange(z.shape[0], device=z.device) % z.shape[1])


def perceptron(x: Tensor, v: Tensor, a: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """x (n, d) through one hidden layer of tanh -> (n, k)."""
    return functional.linear(torch.tanh(functional.linear(x, v, a)), w, b)


def summed_dense(x: Tensor, w: Tensor) -> Tensor:
    """x (n, d), w (k, d) -> row sums of tanh(x·wᵀ) (n)."""
    return torch.tanh(x @ w.t()).sum(-1)


TABLE = (
    Function("dense", functional.linear, {"x": (16, 32), "w": (24, 32), "b": (24,)}),
    Function("convolution", functional.conv2d, {"x": (2, 3, 10, 10), "w": (6, 3, 3, 3), "b": (6,)}),
    Function("lstm", lstm, {"x": (5, 4, 8), "u": (48, 8), "w": (48, 12), "b": (48,)}),
    Function("attention", attention, {"q": (2, 2, 10, 8), "k": (2, 2, 10, 8), "v": (2, 2, 10, 8)}),
    Function("batch norm", batch_norm, {"x": (32, 16), "g": (16,), "b": (16,)}),
    Function("softmax-cross-entropy", cross_entropy, {"z": (32, 20)}),
    Function(
        "perceptron of 10,136 parameters",
        perceptron,
        {"x": (4, 64), "v": (100, 64), "a": (100,), "w": (36, 100), "b": (36,)},
    ),
)

LARGE = (
    Function("softmax-cross-entropy of 10,000", cross_entropy, {"z": (100, 100)}),
    Function(
        "perceptron, batch of 16", perceptron, {"x": (16, 64), "v": (100, 64), "a": (100,), "w": (36, 100), "b": (36,)}
    ),
    Function("wide dense layer, summed", summed_dense, {"x": (8, 200), "w": (60, 200)}),
)
