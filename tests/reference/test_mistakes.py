"""Seven kinds of mistakes in every component's backward: each is caught, or there is a true reason why none can be made."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch

from tests.reference import mistakes, planted
from tests.reference.protocol import Case
from tests.reference.registry import CASES, components, fullest

CELLS = list(product(components(), mistakes.KINDS))


@pytest.mark.parametrize(("name", "kind"), CELLS)
def test_the_checker_and_autograd_catch_a_mistake_of_every_kind(name: str, kind: str) -> None:
    """One of each kind here, to save time; the command of tests/reference/planted.py plants them all."""
    found = planted.cell(kind, fullest(components()[name]), most=1)
    assert found.missed == ()
    assert found.planted > 0 or found.reason


# Shares of the components whose backward is one product or a choice, or linear in what it gets: counted, not derived.
WITHOUT_TERMS = 0.4
WITHOUT_SAVED = 0.3


@pytest.mark.parametrize("name", components())
def test_a_reason_why_a_mistake_is_impossible_is_true(name: str) -> None:
    """It still is at other cotangents, and for other inputs of an earlier call."""
    case = fullest(components()[name])
    for kind in mistakes.KINDS:
        if isinstance(mistakes.planted(kind, case), str):
            others = [mistakes.planted(kind, reversed_inputs(case), seed) for seed in (1, 2, 3)]
            assert all(isinstance(other, str) for other in others), kind


def reversed_inputs(case: Case) -> Case:
    return case.within([None if t is None else t.flatten().flip(0).reshape(t.shape) for t in case.inputs])


def test_most_mistakes_are_possible_in_most_components() -> None:
    """Only a gradient that is zero everywhere has no wrong factor, sign, order, sum or zero."""
    reasons = {
        (name, kind) for name, kind in CELLS if isinstance(mistakes.planted(kind, fullest(components()[name])), str)
    }
    everywhere = {
        name for name, kind in reasons if kind in ("factor 1.0001", "sign", "zero", "transposed", "missing sum")
    }
    assert everywhere == {"activations.heaviside"}
    assert len([1 for _, kind in reasons if kind == "missing term"]) < WITHOUT_TERMS * len(components())
    assert len([1 for _, kind in reasons if kind == "stale value"]) < WITHOUT_SAVED * len(components())


def test_a_hole_is_seen() -> None:
    """A plant that changes nothing is missed by both; a backward that both would miss makes the cell a hole."""
    case = CASES["activations: tanh"]
    sound = mistakes.Mistake("nothing", case.component, 0)
    assert planted.missed(case, sound) == ["the checker", "autograd"]
    assert str(planted.Cell(2, ("a: the checker",))) == "MISSED 1 of 2"


def test_a_saved_value_that_matters_is_not_called_impossible() -> None:
    case = CASES["activations: linear"]
    keeps = replace(
        case.component,
        forward=lambda z, slope: (slope * z, (z,)),
        backward=lambda saved, dy, slope: (slope * dy + 1e-9 * saved[0],),
    )
    assert isinstance(mistakes.planted("stale value", case), str)
    assert len(mistakes.planted("stale value", replace(case, component=keeps))) == 1


def test_terms_are_left_out_one_at_a_time() -> None:
    case = CASES["losses: kl_divergence, none"]
    words = [mistake.words for mistake in mistakes.planted("missing term", case)]  # type: ignore[union-attr]
    assert len(words) == len(set(words)) >= 4  # log p - log q + 1: four ways to lose a term
    assert all("kl_divergence_backward" in word for word in words)
    assert torch.is_tensor(case.inputs[0])
