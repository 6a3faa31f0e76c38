"""The table of all components: `python -m tests.reference.table` prints, for each component and dtype, the worst relative error of its
gradient, the bar that it must stay within, and the kinks met; the exit status is 1 if a line is outside its bar."""

from __future__ import annotations

import sys
from dataclasses import replace

import torch
from rich.console import Console
from rich.table import Table

from assay.gradients import GradientReport
from tests.reference.protocol import DTYPES, Case
from tests.reference.registry import DERIVED
from tests.reference.test_gradients import checked


def in_dtype(case: Case, dtype: torch.dtype) -> Case:
    return replace(case, inputs=tuple(case.cast(dtype)))


def worst(report: GradientReport) -> tuple[float, float, int]:
    """Relative error and bar of the entry that came closest to its bar, and the number of kinks, over all inputs."""
    found = [(0.0, 0.0)]
    for entry in (summary.worst for summary in report.entries if summary.worst is not None):
        size = max(abs(entry.measured), abs(entry.analytic))
        if size > 0:
            found.append((abs(entry.analytic - entry.measured) / size, entry.bar / size))
    return *max(found), sum(summary.kinks for summary in report.entries)


def main() -> int:
    torch.set_num_threads(1)
    console, outside = Console(width=110), 0
    table = Table("component", "dtype", "worst relative error", "bar", "kinks", "verdict", box=None)
    for name, case in DERIVED.items():
        for dtype in DTYPES:
            report = checked(in_dtype(case, dtype), entries="all")
            error, bar, kinks = worst(report)
            outside += report.verdict == "differs"
            table.add_row(
                name, str(dtype).removeprefix("torch."), f"{error:.1e}", f"{bar:.1e}", str(kinks), report.verdict
            )
    console.print(table)
    console.print(f"{len(DERIVED)} components in {len(DTYPES)} dtypes: {outside} outside their bar")
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
