"""The table of all components: `python -m tests.reference.table` prints for each component and dtype the worst relative
error of its gradient, the bound that it must stay within, and the kinks met; exit status 1 if a line is outside.

In float64 the gradient is compared with the measured derivative, and the bound is that measurement's error bar with its margin. In the
narrow dtypes the backward computed in that dtype is compared with the derivative in float64, and the bound is the running
error bound of tests/reference/rounding.py. A line shows the entry that comes closest to its bound, over all cases.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table

from assay.gradients import GradientReport
from assay.gradients.numeric import MARGIN
from reference.differentiable import Differentiable
from tests.reference.protocol import Case
from tests.reference.registry import cases_of, components
from tests.reference.rounding import backward_precision, closeness
from tests.reference.test_gradients import checked

NARROW = [torch.float32, torch.bfloat16]
# A bound of half the largest entry of a gradient still tells its sign; a wider one says nothing, nor does its line.
TELLING = 0.5


@dataclass(frozen=True)
class Line:
    """One component in one dtype; `error` and `bound` are relative to the size of the gradient."""

    component: str
    dtype: torch.dtype
    error: float
    bound: float
    kinks: int
    verdict: str

    @property
    def inside(self) -> bool:
        return self.error <= self.bound and self.verdict in ("agrees", "kink")


def worst(report: GradientReport) -> tuple[float, float]:
    """Relative error and bar of the entry that came closest to its bar, over all inputs; kinks have no derivative."""
    found = [(0.0, 0.0)]
    for entry in (summary.worst for summary in report.entries if summary.worst is not None):
        size = max(abs(entry.measured), abs(entry.analytic))
        if size > 0 and entry.slopes is None:
            found.append((abs(entry.analytic - entry.measured) / size, MARGIN * entry.bar / size))
    return max(found, key=closeness)


def measured(name: str, cases: list[Case]) -> Line:
    """The gradient in float64 against the measured derivative, where the function is smooth and at its kinks."""
    places = [*cases, *at_kinks(cases)]
    reports = [checked(case, entries="all", variations=False) for case in places]
    error, bound = max(map(worst, reports), key=closeness)
    kinks = sum(summary.kinks for report in reports for summary in report.entries)
    wrong = [report.verdict for report in reports if report.verdict not in ("agrees", "kink")]
    return Line(name, torch.float64, error, bound, kinks, wrong[0] if wrong else "kink" if kinks else "agrees")


def rounded(name: str, cases: list[Case], dtype: torch.dtype, kinks: int) -> Line | None:
    """The gradient computed in a narrow dtype; None where no case has a telling bound."""
    found = [backward_precision(case, dtype) for case in cases]
    found += [backward_precision(case, dtype, at_kinks=True) for case in at_kinks(cases)]
    telling = [(p.error, p.bound) for p in found if p.loosest <= TELLING]
    if not telling:
        return None
    error, bound = max(telling, key=closeness)
    return Line(name, dtype, error, bound, kinks, "kink" if kinks else "agrees")


def at_kinks(cases: list[Case]) -> list[Case]:
    return [case.within(case.kinks) for case in cases if case.kinks is not None]


def lines(name: str, cases: list[Case]) -> Iterator[Line]:
    """The lines of one component: float64, float32, and bfloat16 where that makes sense."""
    first = measured(name, cases)
    yield first
    for dtype in NARROW:
        fit = [case for case in cases if dtype != torch.bfloat16 or case.bfloat16]
        line = rounded(name, fit, dtype, first.kinks)
        if line is not None:
            yield line


def derived(component: Differentiable) -> list[Case]:
    """The cases whose gradient is the derivative of the value."""
    return [case for case in cases_of(component).values() if not case.stops]


def main() -> int:
    torch.set_num_threads(1)
    console, outside, shown, seen = Console(width=110), 0, 0, set()
    table = Table("component", "dtype", "worst relative error", "bound", "kinks", "verdict", box=None)
    for line in [line for name, component in components().items() for line in lines(name, derived(component))]:
        outside, shown, seen = outside + (not line.inside), shown + 1, seen | {(line.component, line.dtype)}
        words = line.verdict if line.inside else f"OUTSIDE ({line.verdict})"
        dtype = str(line.dtype).removeprefix("torch.")
        table.add_row(line.component, dtype, f"{line.error:.1e}", f"{line.bound:.1e}", str(line.kinks), words)
    console.print(table)
    missing = [name for name in components() if (name, torch.bfloat16) not in seen]
    console.print(f"without a telling bound in bfloat16: {', '.join(missing)}")
    console.print(f"{len(components())} components, {shown} lines, {outside} outside their bound")
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
