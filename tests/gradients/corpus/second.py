"""Backwards that are right once and wrong when differentiated again.

Kinds of report studied: values saved outside the graph whose second derivative is silently zero (TensorFlow 7403,
9398), second derivatives with a lost term or sign (PyTorch 106789), backwards computed under no_grad.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.gradients.corpus import elementwise, layers, linear, losses, normalised
from tests.gradients.corpus.entry import Backward, Component, Entry, Mistake
from tests.gradients.corpus.normalised import inner


def silent(component: Component, backward: Backward, what: str = "second derivative lost", **more: Any) -> Entry:
    """An entry whose first derivative is right and whose second is not."""
    return component.wrong(what, Mistake.SECOND, backward, visible="second", order=2, **more)


def constant(backward: Backward, *places: int) -> Backward:
    """A backward that takes its saved y (place 0) and inputs (1, 2, ...) at the given places for constants."""

    def detached(dy: Tensor, *saved: Tensor) -> Any:
        return backward(dy, *(x.detach() if place in places else x for place, x in enumerate(saved)))

    return detached


class CosineTimes(torch.autograd.Function):
    """dy·cos x, with the sign of its derivative in x lost."""

    @staticmethod
    def forward(ctx: Any, dy: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(dy, x)
        return dy * x.cos()

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor, Tensor]:
        dy, x = ctx.saved_tensors
        return d * x.cos(), d * dy * x.sin()


class Over(torch.autograd.Function):
    """dy / x, with the divisor of its derivative in x not squared."""

    @staticmethod
    def forward(ctx: Any, dy: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(dy, x)
        return dy / x

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor, Tensor]:
        dy, x = ctx.saved_tensors
        return d / x, -d * dy / x


def without_graph(dy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """3·x²·dy, computed where nothing is recorded."""
    with torch.no_grad():
        return 3 * dy * x * x


def root_without_graph(dy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """dy / (2·√x), its factor computed where nothing is recorded."""
    with torch.no_grad():
        factor = 1 / (2 * y)
    return dy * factor


SMOOTH_SOFTMAX = normalised.SOFTMAX
ENTRIES: tuple[Entry, ...] = (
    silent(elementwise.SIN, constant(elementwise.SIN.backward, 1)),
    silent(elementwise.EXP, constant(elementwise.EXP.backward, 0)),
    silent(elementwise.TANH, constant(elementwise.TANH.backward, 0)),
    silent(elementwise.SIGMOID, constant(elementwise.SIGMOID.backward, 0)),
    silent(elementwise.GELU, constant(elementwise.GELU.backward, 1)),
    silent(elementwise.LOG, constant(elementwise.LOG.backward, 1)),
    silent(elementwise.SOFTPLUS, constant(elementwise.SOFTPLUS.backward, 1)),
    silent(elementwise.SQRT, root_without_graph, "factor under no_grad"),
    silent(elementwise.CUBE, without_graph, "backward under no_grad"),
    silent(elementwise.SIN, lambda dy, y, x: CosineTimes.apply(dy, x), "sign of the second derivative lost"),
    silent(elementwise.LOG, lambda dy, y, x: Over.apply(dy, x), "divisor of the second derivative not squared"),
    silent(elementwise.DIVIDE, constant(elementwise.DIVIDE.backward, 2), "divisor constant"),
    silent(elementwise.MULTIPLY, constant(elementwise.MULTIPLY.backward, 2), "second operand constant"),
    silent(elementwise.CUBE, lambda dy, y, x: 3 * dy * x * x.detach(), "one factor constant"),
    silent(SMOOTH_SOFTMAX, constant(SMOOTH_SOFTMAX.backward, 0)),
    silent(SMOOTH_SOFTMAX, lambda dy, y, z: y * (dy - inner(dy, y.detach())), "row sum of a constant"),
    silent(normalised.LOG_SOFTMAX, constant(normalised.LOG_SOFTMAX.backward, 0)),
    silent(normalised.LAYER_NORM, constant(normalised.LAYER_NORM.backward, 1), "input constant"),
    silent(normalised.LAYER_NORM, constant(normalised.LAYER_NORM.backward, 2), "scale constant"),
    silent(normalised.BATCH_NORM, constant(normalised.BATCH_NORM.backward, 1), "input constant"),
    silent(linear.DENSE, constant(linear.DENSE.backward, 1), "input constant"),
    silent(linear.SQUARE_DENSE, constant(linear.SQUARE_DENSE.backward, 2), "weights constant"),
    silent(linear.FROBENIUS, constant(linear.FROBENIUS.backward, 0), "norm constant"),
    silent(linear.INVERSE, constant(linear.INVERSE.backward, 0), "inverse constant"),
    silent(losses.CROSS_ENTROPY, constant(losses.CROSS_ENTROPY.backward, 1)),
    silent(losses.SQUARED, constant(losses.SQUARED.backward, 1, 2)),
    silent(layers.CONV1D, constant(layers.CONV1D.backward, 2), "kernel constant"),
    silent(layers.LSTM, constant(layers.LSTM.backward, 1), "gates constant"),
    silent(layers.ATTENTION, constant(layers.ATTENTION.backward, 1, 2), "queries and keys constant"),
)
