"""For people's own tests: `assert_gradients`; the pytest plugin offers it as a fixture of the same name."""

from __future__ import annotations

from typing import Any

from assay.gradients.check import check_gradient
from assay.gradients.report import GradientReport

ADVICE = {
    "differs": "mend the backward at the entries above; the line below repeats the check",
    "unresolved": "check it at inputs of ordinary size inside the function's domain, or pass tolerance=",
    "kink": "move the inputs off the kink, or pass kinks=True to accept a valid subgradient",
}


def assert_gradients(fn: Any, inputs: Any, *, kinks: bool = False, **options: Any) -> GradientReport:
    """The report of `check_gradient`; raises AssertionError with a message of one screen unless the gradient agrees.

    `kinks=True` accepts valid subgradients at kinks. `options` go to `check_gradient`.
    """
    __tracebackhide__ = True
    report = check_gradient(fn, inputs, **options)
    if report.verdict == "agrees" or (kinks and report.verdict == "kink"):
        return report
    raise AssertionError(report.summary(ADVICE[report.verdict]))
