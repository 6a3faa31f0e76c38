"""Every component under the project's own gradient checker: first and second derivative, layouts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from assay.gradients import GradientReport, check_gradient
from tests.reference.protocol import Case
from tests.reference.registry import CASES, components, fullest

STOPPED = {name: case for name, case in CASES.items() if case.stops}


def checked(case: Case, only: int | None = None, **options: Any) -> GradientReport:
    """The checker's report on the tensors that get a gradient, or on one alone; all others stay as they are."""
    free = [k for k, t in enumerate(case.inputs) if t is not None and k not in case.constant and only in (None, k)]

    def component(*tensors: torch.Tensor) -> torch.Tensor:
        return case.component(*filled(tensors), **case.hyper)

    def surrogate(*tensors: torch.Tensor) -> torch.Tensor:
        assert case.surrogate is not None
        return case.surrogate(*filled(tensors), **case.hyper)

    def filled(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor | None]:
        placed = dict(zip(free, tensors, strict=True))
        return [placed.get(k, t) for k, t in enumerate(case.inputs)]

    given = tuple(t for k, t in enumerate(case.inputs) if t is not None and k in free)
    return check_gradient(component, given, surrogate=surrogate if case.surrogate else False, **options)


@pytest.mark.parametrize("name", components())
def test_the_checker_finds_every_gradient_right(name: str) -> None:
    """On the fullest case of each component; the table of components measures the first derivative in all of them.

    Other values, sizes and memory layouts are in test_hostile.py, which costs less than the checker varying them itself.
    """
    report = checked(fullest(components()[name]), order=2, variations="layouts")
    assert report.verdict == "agrees", report.explain()
    assert [finding.sentence for finding in report.wrong] == []


@pytest.mark.parametrize("name", STOPPED)
def test_a_gradient_that_stops_at_a_cut_is_not_the_derivative(name: str) -> None:
    assert checked(STOPPED[name]).verdict == "differs"
