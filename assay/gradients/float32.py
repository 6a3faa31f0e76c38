"""The float32 twin of a function of float64 inputs: the same gradient, up to float32's rounding."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from assay.errors import GradientInputError
from assay.gradients.analytic import EXPECTED_FAILURES, Analytic
from assay.gradients.examination import Examination
from assay.gradients.narrow import own_dtype, twin
from assay.gradients.records import Finding
from assay.gradients.target import Target

KIND = "float32 twin"
NARROW = {torch.float64: torch.float32, torch.complex128: torch.complex64}


def float32_twin(check: Examination) -> list[Finding]:
    """Whether the backward is right at float32 inputs too: constants and sums that only float64 bears show there.

    Nothing is said of functions that have float32 inputs already, refuse them, or compute something else with them.
    """
    if check.target.narrow:
        return []
    narrow = check.target.converted(_narrow)
    with warnings.catch_warnings():
        # What the function says at inputs that nobody asked for is no news.
        warnings.simplefilter("ignore")
        return _compared(check, narrow)


def _compared(check: Examination, narrow: Target) -> list[Finding]:
    try:
        analytic = Analytic(narrow)
        _, formula, notes = twin(narrow, analytic)
        if notes or analytic.kept != check.analytic.kept:
            return []
        found = own_dtype(formula, analytic, check.generator, check.tolerance)
    except (GradientInputError, *EXPECTED_FAILURES):
        return []
    if found:
        return [Finding(KIND, "wrong", f"at the same inputs in float32 the gradient differs: {found[0].sentence}")]
    return [Finding(KIND, "holds", "at the same inputs in float32 the gradient agrees, up to float32's rounding")]


def _narrow(value: Any) -> Any:
    return value.to(NARROW[value.dtype]) if isinstance(value, Tensor) and value.dtype in NARROW else value
