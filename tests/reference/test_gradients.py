"""Every component under the project's own gradient checker: first and second derivative, every layout, planted mistakes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from assay.gradients import GradientReport, check_gradient
from tests.reference.protocol import PLANTED, Case, planted
from tests.reference.test_precisions import CASES

CUT = {name: case for name, case in CASES.items() if "cut every" in name}
SMOOTH = {name: case for name, case in CASES.items() if name not in CUT}


def checked(case: Case, order: int = 1, entries: str | None = None) -> GradientReport:
    """The checker's report; an optional tensor that the case leaves out is left out here too."""
    given = tuple(t for t in case.inputs if t is not None)

    def component(*tensors: torch.Tensor) -> torch.Tensor:
        return case.component(*tensors, **case.hyper)

    return check_gradient(component, given, order=order, entries=entries)


@pytest.mark.parametrize("name", SMOOTH)
def test_the_checker_finds_every_gradient_right(name: str) -> None:
    report = checked(SMOOTH[name], order=2)
    assert report.verdict == "agrees", report.explain()
    assert [finding.sentence for finding in report.wrong] == []


@pytest.mark.parametrize("mistake", PLANTED)
@pytest.mark.parametrize("name", SMOOTH)
def test_the_checker_catches_a_planted_mistake(name: str, mistake: str) -> None:
    wrong = replace(SMOOTH[name], component=planted(mistake, SMOOTH[name].component))
    assert checked(wrong).verdict == "differs"


@pytest.mark.parametrize("name", CUT)
def test_a_gradient_that_stops_at_a_cut_is_not_the_derivative(name: str) -> None:
    assert checked(CUT[name]).verdict == "differs"
