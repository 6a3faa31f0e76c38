"""The table of components: every line lies inside its bound, and a backward that loses precision leaves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from reference.differentiable import Differentiable
from tests.reference import table
from tests.reference.protocol import Case
from tests.reference.registry import CASES, components, fullest
from tests.reference.rounding import Rounded, backward_precision, bounds, forward_precision

Edit = Callable[[torch.Tensor], torch.Tensor]


@pytest.mark.parametrize("name", components())
def test_every_line_lies_inside_its_bound(name: str) -> None:
    found = list(table.lines(name, table.derived(components()[name])))
    assert [line.dtype for line in found][:2] == [torch.float64, torch.float32]
    assert [line for line in found if not line.inside] == []


def spoilt(component: Differentiable, edit: Edit, *, within: bool = False) -> Differentiable:
    """The component with an edit of all gradients that leave its backward, and also of what goes into it if `within`."""

    def backward(saved: tuple[torch.Tensor, ...], dy: torch.Tensor, **hyper: Any) -> Any:
        if within:
            saved, dy = tuple(None if t is None else edit(t) for t in saved), edit(dy)
        return tuple(None if dx is None else edit(dx) for dx in component.backward(saved, dy, **hyper))

    return replace(component, backward=backward)


def narrow(t: torch.Tensor) -> bool:
    return t.is_floating_point() and t.dtype != torch.float64


SPOILT: dict[str, Callable[[Differentiable], Differentiable]] = {
    "computes in bfloat16": lambda component: spoilt(
        component, lambda t: t.to(torch.bfloat16).to(t.dtype) if narrow(t) else t, within=True
    ),
    "loses one part in ten thousand": lambda component: spoilt(component, lambda t: t * (1 - 1e-4) if narrow(t) else t),
}
STILL = [name for name, component in components().items() if component.name == "heaviside"]
MOVING = [name for name in components() if name not in STILL]


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("name", MOVING)
def test_a_float32_backward_that_loses_precision_leaves_its_bound(name: str, how: str) -> None:
    """The float64 line does not see it: only the narrow backward is wrong."""
    wrong = [replace(case, component=SPOILT[how](case.component)) for case in table.derived(components()[name])]
    line = table.rounded(name, wrong, torch.float32, 0)
    assert line is not None
    assert not line.inside


def test_a_component_without_a_slope_has_nothing_to_lose() -> None:
    for name in STILL:
        assert not backward_precision(fullest(components()[name]), torch.float32).loosest


def test_a_wrong_float64_line_is_outside() -> None:
    case = CASES["activations: tanh"]
    wrong = replace(case, component=spoilt(case.component, lambda t: t * (1 + 1e-9)))
    assert not table.measured("tanh", [wrong]).inside
    assert table.measured("tanh", [case]).inside


def test_a_slope_beyond_the_one_sided_ones_is_outside() -> None:
    case = CASES["activations: relu"]
    wrong = replace(
        case.component, backward=lambda saved, dy: (torch.where(saved[0] > 0, 1.0, -0.1 * (saved[0] == 0)) * dy,)
    )
    assert table.measured("relu", [case]).kinks == 2
    assert not table.measured("relu", [replace(case, component=wrong)]).inside


@pytest.mark.parametrize("name", CASES)
def test_kinks_are_the_same_numbers_in_every_dtype(name: str) -> None:
    for t in CASES[name].kinks or ():
        assert t is None or torch.equal(t.to(torch.bfloat16).to(t.dtype), t)


@pytest.mark.parametrize("name", CASES)
def test_float32_values_stay_within_their_running_bound(name: str) -> None:
    found = forward_precision(CASES[name], torch.float32)
    assert found.inside, found


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.bfloat16])
def test_bfloat16_values_stay_within_their_running_bound(name: str) -> None:
    found = forward_precision(CASES[name], torch.bfloat16)
    assert found.inside, found


def test_half_as_much_again_is_seen_in_bfloat16() -> None:
    """In all cases whose bound is telling, and that is most of them."""
    telling = [c for c in CASES.values() if c.bfloat16 and 0 < forward_precision(c, torch.bfloat16).loosest < 0.5]
    assert len(telling) > 0.8 * len(CASES)
    assert not any(forward_precision(half_again(case), torch.bfloat16).inside for case in telling)


def half_again(case: Case) -> Case:
    def wrong(*tensors: torch.Tensor, **hyper: Any) -> torch.Tensor:
        return 1.5 * case.oracle(*tensors, **hyper)

    return replace(case, oracle=wrong)


def test_the_running_bound_is_that_of_the_textbook() -> None:
    """x + y + z: two roundings, of x + y and of the sum; Σ x: as many as terms, of the sum of the sizes."""
    x, y, z = (torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in (3.0, -1.0, 5.0))
    with Rounded() as rounded:
        total = x + y + z
    assert bounds([total], rounded)[0].tolist() == [2.0 + 7.0]
    terms = torch.tensor([1.0, -2.0, 4.0], dtype=torch.float64, requires_grad=True)
    with Rounded() as rounded:
        total = terms.sum()
    assert bounds([total], rounded)[0].item() == 3 * 7.0


def test_an_operation_whose_roundings_are_unknown_is_named() -> None:
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(KeyError, match="the roundings of lgamma are not known"), Rounded():
        torch.lgamma(x)
