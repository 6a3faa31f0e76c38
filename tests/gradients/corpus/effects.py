"""Backwards whose numbers are right once, and that spoil something: they edit tensors or differ from call to call.

Kinds of report studied: cotangents edited in place, saved tensors consumed by the first backward, gradients that
atomics or a workspace make different from call to call (DCNv2 8, PyTorch 67657).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.gradients.corpus.draw import mixed
from tests.gradients.corpus.entry import Backward, Entry, Forward, Mistake, classic

X = mixed(x=(3, 4))


def spoiling(name: str, mistake: Mistake, make: Callable[[], Any], truth: Forward, note: str = "") -> Entry:
    """A wrong entry of this module."""
    return Entry(name, make, X, False, mistake, truth=truth, note=note)


def doubled_cotangent(dy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """cos x·dy, with dy doubled in place on the way."""
    return dy.mul_(2) * x.cos() / 2


def moved_input(dy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """2·x·dy, after which x has moved."""
    dx = 2 * dy * x
    x.data.add_(0.125)
    return dx


def consumed_output(dy: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """y·dy, after which the saved y is halved: right in the first backward only."""
    dx = dy * y
    y.data.mul_(0.5)
    return dx


def normalising_forward(x: Tensor) -> Tensor:
    """tanh of x, leaving x divided by two in the caller's hands."""
    y = torch.tanh(x)
    x.data.div_(2)
    return y


def noisy() -> Backward:
    """A backward with a relative noise of 1e-3, other numbers in each call."""
    generator = torch.Generator().manual_seed(7)

    def backward(dy: Tensor, y: Tensor, x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype)
        return dy * x.cos() * (1 + 1e-3 * noise)

    return backward


def drifting(factor: float) -> Backward:
    """A backward that is right at its first call and off by one more step at each further one."""
    calls = iter(range(10**9))
    return lambda dy, y, x: dy * x.cos() * (1 + factor * next(calls))


def alternating() -> Backward:
    """A backward that forgets every second call."""
    calls = iter(range(10**9))
    return lambda dy, y, x: dy * x.cos() * (1 - next(calls) % 2)


def sine(backward: Callable[[], Backward]) -> Callable[[], Any]:
    """A maker of sin with a backward of its own state."""
    return lambda: classic(torch.sin, backward())


ENTRIES: tuple[Entry, ...] = (
    spoiling(
        "sin: doubles the cotangent in place",
        Mistake.MUTATION,
        lambda: classic(torch.sin, doubled_cotangent),
        torch.sin,
    ),
    spoiling(
        "square: moves its input", Mistake.MUTATION, lambda: classic(lambda x: x * x, moved_input), lambda x: x * x
    ),
    spoiling("exp: consumes what it saved", Mistake.MUTATION, lambda: classic(torch.exp, consumed_output), torch.exp),
    spoiling(
        "tanh: forward edits its input",
        Mistake.MUTATION,
        lambda: classic(normalising_forward, lambda dy, y, x: dy * (1 - y * y)),
        torch.tanh,
        note="the value of the first call is right, the input is not the caller's any more",
    ),
    spoiling("sin: noise in the gradient", Mistake.NONDETERMINISTIC, sine(noisy), torch.sin),
    spoiling("sin: forgets every second call", Mistake.NONDETERMINISTIC, sine(alternating), torch.sin),
    spoiling("sin: drifts by a thousandth a call", Mistake.NONDETERMINISTIC, sine(lambda: drifting(1e-3)), torch.sin),
)
