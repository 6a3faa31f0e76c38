"""What every component must pass: forward against an oracle, first and second backward against autograd through it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from assay.evidence import gamma
from reference.differentiable import Differentiable

DTYPES = [torch.float64, torch.float32]


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@dataclass(frozen=True)
class Case:
    """A component with small smooth inputs, and an independent way to compute the same.

    `roundings` bounds the relative error of the forward in units of the dtype's u, on numbers of size `scale`.
    `constant`: positions of floating inputs that get no gradient, as masks. `stops`: the gradient is meant to stop
    somewhere, so that it is not the derivative of the value. `surrogate`: the gradient is meant to be the derivative of
    this other function, all through (the oracle must give that gradient too). `kinks`: inputs some of which lie where the function has
    no derivative, for example ties. `bfloat16`: whether torch computes every step in it. `samples`: positions of the
    inputs whose first axis counts samples; None for all that have as many there as the first.
    """

    component: Differentiable
    inputs: tuple[torch.Tensor | None, ...]
    oracle: Callable[..., torch.Tensor]
    hyper: dict[str, Any] = field(default_factory=dict)
    roundings: int = 64
    scale: float = 1.0
    constant: tuple[int, ...] = ()
    stops: bool = False
    surrogate: Callable[..., torch.Tensor] | None = None
    kinks: tuple[torch.Tensor | None, ...] | None = None
    bfloat16: bool = True
    samples: tuple[int, ...] | None = None

    @property
    def name(self) -> str:
        return self.component.name.removeprefix("_")

    def cast(self, dtype: torch.dtype) -> list[torch.Tensor | None]:
        return [t.to(dtype) if t is not None and t.is_floating_point() else t for t in self.inputs]

    def only(self, count: int) -> Case:
        """The same with the first samples alone."""
        first = self.inputs[0]
        assert first is not None
        alike = [k for k, t in enumerate(self.inputs) if t is not None and t.dim() and t.shape[0] == first.shape[0]]
        chosen = alike if self.samples is None else self.samples
        return self.within([t if t is None or k not in chosen else t[:count] for k, t in enumerate(self.inputs)])

    def within(self, inputs: Sequence[torch.Tensor | None]) -> Case:
        """The same at other inputs."""
        return replace(self, inputs=tuple(inputs))


def leaves(case: Case) -> list[torch.Tensor | None]:
    """The inputs in float64, those that get a gradient as leaves of a graph."""
    return [
        t.clone().requires_grad_() if t is not None and t.is_floating_point() and k not in case.constant else t
        for k, t in enumerate(case.cast(torch.float64))
    ]


def wrt(tensors: Sequence[torch.Tensor | None]) -> list[torch.Tensor]:
    return [t for t in tensors if t is not None and t.requires_grad]


def check_forward(case: Case, dtype: torch.dtype) -> None:
    tensors = case.cast(dtype)
    y = case.component(*tensors, **case.hyper)
    wide = [t.to(torch.float64) if t is not None and t.is_floating_point() else t for t in tensors]
    expected = case.oracle(*wide, **case.hyper)
    assert y.dtype == dtype
    assert y.shape == expected.shape
    allowed = gamma(case.roundings, dtype) * (case.scale + expected.abs())
    assert bool(((y.to(torch.float64) - expected).abs() <= allowed).all())


def agree(case: Case, found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor], terms: int, power: int) -> None:
    """Gradients agree up to `power` times four times the forward's roundings, in each of `terms` added terms."""
    for mine, other in zip(found, expected, strict=True):
        size = (case.scale + float(other.abs().max() if other.numel() else 0)) ** power
        allowed = gamma(4 * power * case.roundings, torch.float64) * size * terms
        assert bool(((mine - other).abs() <= allowed).all())


def check_backward(case: Case) -> None:
    """At a random cotangent, the hand-made backward equals autograd's derivative of the oracle."""
    ours, theirs = leaves(case), leaves(case)
    y, expected = case.component(*ours, **case.hyper), case.oracle(*theirs, **case.hyper)
    dy = draw(*y.shape, seed=99).to(y.device)
    found = torch.autograd.grad(y, wrt(ours), dy)
    agree(case, found, torch.autograd.grad(expected, wrt(theirs), dy), dy.numel(), 1)


def second(f: Callable[..., torch.Tensor], case: Case) -> list[torch.Tensor]:
    """The gradient of <v, first gradient> at random v and cotangent, by the inputs and by the cotangent."""
    tensors = leaves(case)
    y = f(*tensors, **case.hyper)
    dy = draw(*y.shape, seed=99).to(y.device).requires_grad_()
    first = torch.autograd.grad(y, wrt(tensors), dy, create_graph=True)
    along = sum((g * draw(*g.shape, seed=7 + k).to(g.device)).sum() for k, g in enumerate(first))
    assert isinstance(along, torch.Tensor)
    if not along.requires_grad:
        return [torch.zeros_like(t) for t in [*wrt(tensors), dy]]
    return list(torch.autograd.grad(along, [*wrt(tensors), dy], allow_unused=True, materialize_grads=True))


def check_second_backward(case: Case) -> None:
    """The second derivative through the hand-made backward equals autograd's through the oracle."""
    found, expected = second(case.component, case), second(case.oracle, case)
    agree(case, found, expected, expected[-1].numel() * max(g.numel() for g in expected), 2)


def check_layouts(case: Case) -> None:
    """Non-contiguous inputs give the same as contiguous ones."""
    strided = [t if t is None else torch.stack([t, t], -1)[..., 0] for t in case.inputs]
    a, b = case.component(*case.inputs, **case.hyper), case.component(*strided, **case.hyper)
    assert bool(((a - b).abs() <= gamma(case.roundings, a.dtype) * (case.scale + a.abs())).all())
