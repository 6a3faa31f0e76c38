"""Every case of every component: forward, first and second backward, layouts; and that no component lacks a case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from reference.differentiable import Differentiable
from tests.reference.protocol import (
    DTYPES,
    Case,
    check_backward,
    check_forward,
    check_layouts,
    check_second_backward,
)
from tests.reference.registry import CASES, DERIVED, cases_of, components, given


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_forward(name: str, dtype: torch.dtype) -> None:
    check_forward(CASES[name], dtype)


@pytest.mark.parametrize("name", CASES)
def test_backward(name: str) -> None:
    check_backward(CASES[name])


@pytest.mark.parametrize("name", DERIVED)
def test_second_backward(name: str) -> None:
    check_second_backward(DERIVED[name])


@pytest.mark.parametrize("name", CASES)
def test_layouts(name: str) -> None:
    check_layouts(CASES[name])


@pytest.mark.parametrize("name", components())
def test_every_component_has_a_case(name: str) -> None:
    assert any(not case.stops for case in cases_of(components()[name]).values()), (
        f"{name} has no case: 0 of {len(CASES)}, expected at least one; add it to CASES of its test module"
    )


def test_a_component_without_a_case_is_seen() -> None:
    assert cases_of(Differentiable(lambda x: (x, ()), lambda saved, dy: (dy,))) == {}
    assert len(components()) > 60


def scaled_second(case: Case, factor: float) -> Case:
    """A case whose first backward is right while its second is wrong by a factor: it is hidden from the first."""

    class Hidden(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, dx: torch.Tensor) -> torch.Tensor:
            return dx.clone()

        @staticmethod
        def backward(ctx: Any, ddx: torch.Tensor) -> torch.Tensor:
            return factor * ddx

    def backward(saved: Any, dy: torch.Tensor, **hyper: Any) -> Any:
        return tuple(None if dx is None else Hidden.apply(dx) for dx in case.component.backward(saved, dy, **hyper))

    return replace(case, component=replace(case.component, backward=backward))


@pytest.mark.parametrize("name", [name for name in DERIVED if given(DERIVED[name])])
def test_a_wrong_second_backward_is_caught(name: str) -> None:
    check_backward(scaled_second(DERIVED[name], 1.0001))
    if name.startswith("activations: heaviside"):
        return
    with pytest.raises(AssertionError):
        check_second_backward(scaled_second(DERIVED[name], 1.0001))
