"""The table of planted mistakes: `python -m tests.reference.planted` plants seven kinds in the backward of every component
and prints whether the gradient checker and the comparison with autograd catch them; exit status 1 if one is missed."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import torch
from rich.console import Console
from rich.table import Table

from tests.reference import mistakes
from tests.reference.protocol import Case, check_backward, draw
from tests.reference.registry import cases_of, components, fullest
from tests.reference.test_gradients import checked


@dataclass(frozen=True)
class Cell:
    """How many mistakes of one kind were planted in a component, which were missed and by whom; or why there are none."""

    planted: int
    missed: tuple[str, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        if self.reason:
            return "not possible"
        return f"MISSED {len(self.missed)} of {self.planted}" if self.missed else f"caught {self.planted}"


def missed(case: Case, mistake: mistakes.Mistake) -> list[str]:
    """Who holds the wrong component for right: the checker, at one random cotangent, or autograd."""
    wrong = replace(case, component=mistake.component)
    dy = draw(*case.component(*case.inputs, **case.hyper).shape, seed=17)
    report = checked(wrong, mistake.place, variations=False, cotangent=dy)
    blind = [] if report.verdict == "differs" else ["the checker"]
    try:
        check_backward(wrong)
    except AssertionError:
        return blind
    return [*blind, "autograd"]


def cell(kind: str, case: Case, most: int | None = None) -> Cell:
    """Plant all mistakes of one kind, or at `most` so many, in the component of a case."""
    wrong = mistakes.planted(kind, case)
    if isinstance(wrong, str):
        return Cell(0, reason=wrong)
    holes = [f"{mistake.words}: {who}" for mistake in wrong[:most] for who in missed(case, mistake)]
    return Cell(len(wrong[:most]), tuple(holes))


def main() -> int:
    torch.set_num_threads(1)
    console, table = Console(width=150), Table("component", *mistakes.KINDS, box=None)
    planted, holes, reasons = 0, [], []
    for name, component in [(n, c) for n, c in components().items() if cases_of(c)]:
        cells = {kind: cell(kind, fullest(component)) for kind in mistakes.KINDS}
        table.add_row(name, *map(str, cells.values()))
        planted += sum(found.planted for found in cells.values())
        holes += [f"{name}: {hole}" for found in cells.values() for hole in found.missed]
        reasons += [f"{name}, {kind}: {found.reason}" for kind, found in cells.items() if found.reason]
    console.print(table)
    for line in (*reasons, *holes):
        console.print(line)
    console.print(f"{len(components())} components, {planted} planted mistakes, {len(holes)} holes")
    return 1 if holes else 0


if __name__ == "__main__":
    sys.exit(main())
