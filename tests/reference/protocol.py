"""What every component must pass: forward against an oracle, backward against derivatives, planted mistakes caught."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from assay.evidence import gamma
from reference.differentiable import Differentiable

DTYPES = [torch.float64, torch.float32]
# A central difference of step 1e-6 errs by u·|y|/1e-6, 1e-9 for the sizes here, and by 1e-12 of the third derivative.
DIFFERENCES = {"eps": 1e-6, "atol": 1e-8, "rtol": 1e-6}


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@dataclass(frozen=True)
class Case:
    """A component with small smooth inputs, and an independent way to compute the same.

    `roundings` bounds the relative error of the forward in units of the dtype's u, on numbers of size `scale`.
    """

    component: Differentiable
    inputs: tuple[torch.Tensor | None, ...]
    oracle: Callable[..., torch.Tensor]
    hyper: dict[str, Any] = field(default_factory=dict)
    roundings: int = 64
    scale: float = 1.0

    def cast(self, dtype: torch.dtype) -> list[torch.Tensor | None]:
        return [t.to(dtype) if t is not None and t.is_floating_point() else t for t in self.inputs]


def leaves(case: Case) -> list[torch.Tensor | None]:
    return [
        t.clone().requires_grad_() if t is not None and t.is_floating_point() else t for t in case.cast(torch.float64)
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


def check_backward(case: Case) -> None:
    """At a random cotangent, the hand-made backward equals autograd's derivative of the oracle."""
    ours, theirs = leaves(case), leaves(case)
    y, expected = case.component(*ours, **case.hyper), case.oracle(*theirs, **case.hyper)
    dy = draw(*y.shape, seed=99).to(y.device)
    found = torch.autograd.grad(y, wrt(ours), dy)
    for mine, other in zip(found, torch.autograd.grad(expected, wrt(theirs), dy), strict=True):
        allowed = gamma(4 * case.roundings, torch.float64) * (case.scale + float(other.abs().max())) * dy.numel()
        assert float((mine - other).abs().max()) <= allowed


def check_derivatives(case: Case) -> None:
    """First and second derivative against finite differences."""
    tensors = leaves(case)
    assert torch.autograd.gradcheck(lambda *t: case.component(*t, **case.hyper), tensors, **DIFFERENCES)
    assert torch.autograd.gradgradcheck(lambda *t: case.component(*t, **case.hyper), tensors, **DIFFERENCES)


def planted(name: str, component: Differentiable) -> Differentiable:
    """The component with a mistake in its backward."""
    edits: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "one part in ten thousand": lambda dx: dx * 1.0001,
        "sign": lambda dx: -dx,
        "zero": torch.zeros_like,
        "mean for each": lambda dx: dx.mean().expand(dx.shape),
    }

    def backward(saved: Any, dy: torch.Tensor, **hyper: Any) -> Any:
        slopes = list(component.backward(saved, dy, **hyper))
        at = next(k for k, slope in enumerate(slopes) if slope is not None)
        slopes[at] = edits[name](slopes[at])
        return tuple(slopes)

    return replace(component, backward=backward)


PLANTED = ["one part in ten thousand", "sign", "zero", "mean for each"]


def check_planted_is_caught(case: Case, mistake: str) -> None:
    wrong = replace(case, component=planted(mistake, case.component))
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(lambda *t: wrong.component(*t, **case.hyper), leaves(wrong), **DIFFERENCES)


def check_layouts(case: Case) -> None:
    """Non-contiguous inputs give the same as contiguous ones."""
    strided = [t if t is None else torch.stack([t, t], -1)[..., 0] for t in case.inputs]
    a, b = case.component(*case.inputs, **case.hyper), case.component(*strided, **case.hyper)
    assert float((a - b).abs().max()) <= gamma(case.roundings, a.dtype) * (case.scale + float(a.abs().max()))
