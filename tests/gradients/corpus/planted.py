"""Mistakes planted in right backwards: every sort of the table times every component that can have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tests.gradients.corpus import elementwise, layers, linear, losses, normalised
from tests.gradients.corpus.entry import Backward, Component

STEP = 1e-3
NUDGE = 1e-6


@dataclass(frozen=True)
class Plant:
    """A component with one mistake planted in the gradient of one input.

    `place` is the position of that input; `words` are words one of which the guess must contain ("" accepts any).
    """

    sort: str
    component: Component
    backward: Backward
    place: int
    words: tuple[str, ...] = ()
    order: int = 1

    @property
    def name(self) -> str:
        """The sort and the component."""
        return f"{self.sort} in {self.component.name}"

    def make(self, c: float = 1.0) -> Callable[..., Any]:
        """c times the component, with the planted backward."""
        return scaled(self.component, self.backward, c)


def scaled(component: Component, backward: Backward, c: float) -> Callable[..., Any]:
    """c·f with a backward of f; the backward sees the y of f, as if c belonged to the cotangent."""
    if c == 1:
        return component.style(component.forward, backward)
    return component.style(
        lambda *x: c * component.forward(*x), lambda dy, y, *x: backward(c * dy, component.forward(*x), *x)
    )


def every(gradients: Any) -> tuple[Any, ...]:
    """Gradients as a tuple, whatever the backward returned."""
    return gradients if isinstance(gradients, tuple) else (gradients,)


def changed(component: Component, place: int, change: Callable[[Tensor], Tensor]) -> Backward:
    """The right backward with the gradient of one input changed."""

    def backward(dy: Tensor, *saved: Tensor) -> tuple[Any, ...]:
        found = list(every(component.backward(dy, *saved)))
        found[place] = change(found[place])
        return tuple(found)

    return backward


def edited(component: Component) -> Backward:
    """The right backward, after which its cotangent is one larger."""

    def backward(dy: Tensor, *saved: Tensor) -> tuple[Any, ...]:
        found = every(component.backward(dy.clone(), *saved))
        dy.add_(1)
        return found

    return backward


def constant(component: Component) -> Backward:
    """The right backward of saved tensors that are constants: its own derivative in them is zero."""
    return lambda dy, *saved: component.backward(dy, *(x.detach() for x in saved))


def stale(component: Component) -> Backward:
    """The right backward of saved values that have moved by a thousandth since the forward."""
    return lambda dy, *saved: component.backward(dy, *((1 + STEP) * x if x.is_floating_point() else x for x in saved))


def in_float32(component: Component) -> Backward:
    """The right backward, all in float32."""

    def narrow(x: Tensor) -> Tensor:
        return x.float() if x.is_floating_point() else x

    def backward(dy: Tensor, *saved: Tensor) -> tuple[Any, ...]:
        found = every(component.backward(narrow(dy), *(narrow(x) for x in saved)))
        return tuple(None if g is None else g.to(dy.dtype) for g in found)

    return backward


def noisy(component: Component, place: int) -> Backward:
    """The right backward with a noise of a thousandth in one gradient, another in each call."""
    generator = torch.Generator().manual_seed(11)
    return changed(
        component,
        place,
        lambda g: g * (1 + STEP * torch.randn(g.shape, generator=generator, dtype=torch.float64).to(g.dtype)),
    )


def one_entry(g: Tensor) -> Tensor:
    """The gradient with its largest entry off by one part in a thousand."""
    flat = g.reshape(-1)
    place = torch.zeros_like(flat).scatter(0, flat.abs().argmax(0, keepdim=True), 1)
    return (flat * (1 + STEP * place)).reshape(g.shape)


SMOOTH = (
    (elementwise.SIN, 0),
    (elementwise.GELU, 0),
    (elementwise.MULTIPLY, 1),
    (linear.DENSE, 1),
    (linear.SQUARE_DENSE, 1),
    (linear.SOLVE, 0),
    (normalised.SOFTMAX, 0),
    (normalised.LOG_SOFTMAX, 0),
    (normalised.LAYER_NORM, 0),
    (normalised.BATCH_NORM, 0),
    (normalised.RMS_NORM, 1),
    (losses.CROSS_ENTROPY, 0),
    (losses.SQUARED, 0),
    (layers.CONV1D, 1),
    (layers.CONV2D, 0),
    (layers.RNN, 2),
    (layers.LSTM, 0),
    (layers.GRU, 3),
    (layers.ATTENTION, 0),
    (layers.MIXER, 1),
)
SQUARES = ((linear.SQUARE_DENSE, 1), (linear.TRACE, 0), (layers.RESIDUAL, 1), (layers.CONV2D, 1), (layers.RNN, 2))
TALL = ((linear.DENSE, 2), (normalised.LAYER_NORM, 2), (normalised.BATCH_NORM, 1), (elementwise.SWISH, 1))


def everywhere() -> Iterator[Plant]:
    """The mistakes that every component can have."""
    for component, place in SMOOTH:
        yield Plant(
            "factor 1 + 1e-6", component, changed(component, place, lambda g: g * (1 + NUDGE)), place, ("times",)
        )
        yield Plant("sign", component, changed(component, place, torch.neg), place, ("sign", "negat", "-1"))
        yield Plant("zero", component, changed(component, place, torch.zeros_like), place, ("zero",))
        yield Plant("one entry", component, changed(component, place, one_entry), place)
        yield Plant("stale value", component, stale(component), -1)
        yield Plant("in-place edit", component, edited(component), -1)
        yield Plant("zero second derivative", component, constant(component), -1, order=2)
        yield Plant("float32 accumulation", component, in_float32(component), -1)
        yield Plant("non-deterministic", component, noisy(component, place), place)


def somewhere() -> Iterator[Plant]:
    """The mistakes that need an axis, a square or a sum."""
    for component, place in SQUARES:
        yield Plant("transpose", component, changed(component, place, lambda g: g.mT), place, ("transpos", "permut"))
    for component, place in TALL:
        yield Plant("missing reduction", component, changed(component, place, lambda g: g / 3), place, ("times",))
    for component, place in SMOOTH:
        yield Plant("shifted by one", component, changed(component, place, lambda g: g.roll(1, -1)), place)


TABLE = tuple(
    plant
    for plant in (*everywhere(), *somewhere())
    if not (plant.sort == "zero second derivative" and plant.component.order < 2)
)
RIGHT = tuple(dict.fromkeys(component for component, _ in (*SMOOTH, *SQUARES, *TALL)))
