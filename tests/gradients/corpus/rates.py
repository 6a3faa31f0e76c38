"""Print how many mistakes a checker finds and how many right functions it calls wrong; exit 1 below what is required.

python -m tests.gradients.corpus.rates [--dtype float32] [--explore] [--order 2] [--against torch] [--only WORD]
        [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from tests.gradients.corpus import ENTRIES
from tests.gradients.corpus.entry import Entry
from tests.gradients.corpus.judge import Judge, Outcome, assay_check, assay_explore, judged, torch_check

REQUIRED_SPECIAL = 0.97
REQUIRED_ALWAYS = 1.0
LARGE = 20_000


def chosen(dtype: torch.dtype, explore: bool, order: int, only: str) -> list[Entry]:
    """The entries that a run is about: those whose label holds in the dtype and at the order."""

    def fits(entry: Entry) -> bool:
        if dtype not in entry.dtypes or only not in entry.name:
            return False
        if explore:
            return entry.strategy is not None and (entry.right or entry.visible == "special")
        return (
            (entry.right and entry.order == 2) or entry.visible == "second" if order == 2 else entry.visible != "second"
        )

    return [entry for entry in ENTRIES if fits(entry)]


def kind(outcome: Outcome) -> str:
    """The row of the table that an outcome counts in."""
    return "right" if outcome.entry.right else f"wrong, visible {outcome.entry.visible}"


def row(name: str, outcomes: Sequence[Outcome]) -> str:
    """One line: how many were called wrong, how many got a verdict that their label allows, the time."""
    found = sum(outcome.found for outcome in outcomes)
    raised = sum(outcome.verdict == "raised" for outcome in outcomes)
    expected = sum(outcome.expected for outcome in outcomes)
    middle = sorted(outcome.seconds for outcome in outcomes)[len(outcomes) // 2]
    share = f"{100 * found / len(outcomes):6.1f} %"
    return f"{name:24} {len(outcomes):5} {found:7} {share:>9} {expected:9} {raised:7} {1e3 * middle:9.1f} ms"


def table(title: str, outcomes: Sequence[Outcome]) -> str:
    """The rates of one checker."""
    lines = [title, f"{'':24} {'all':>5} {'differs':>7} {'share':>9} {'as wanted':>9} {'raised':>7} {'median':>12}"]
    for name in sorted({kind(outcome) for outcome in outcomes}, reverse=True):
        lines.append(row(name, [outcome for outcome in outcomes if kind(outcome) == name]))
    return "\n".join(lines)


def surprises(outcomes: Iterable[Outcome], explore: bool) -> str:
    """One line for each verdict that its label does not allow; special ones need not be found where nobody explores."""
    lines = [
        f"  {outcome.verdict:10} {kind(outcome):24} {outcome.entry.name}: {outcome.detail[:160]}"
        for outcome in outcomes
        if not outcome.expected and (explore or outcome.entry.visible != "special" or outcome.verdict == "raised")
    ]
    return "\n".join(lines)


def shortfalls(outcomes: Sequence[Outcome], explore: bool) -> list[str]:
    """What is required and was not reached, in words."""
    problems = []
    right = [outcome for outcome in outcomes if outcome.entry.right]
    alarms = sum(outcome.found or outcome.verdict == "raised" for outcome in right)
    if alarms:
        problems.append(
            f"{alarms} of {len(right)} right functions were called wrong or could not be checked, expected none"
        )
    for visible, required in (("always", REQUIRED_ALWAYS), ("second", REQUIRED_ALWAYS), ("special", REQUIRED_SPECIAL)):
        wrong = [outcome for outcome in outcomes if not outcome.entry.right and outcome.entry.visible == visible]
        share = sum(outcome.found for outcome in wrong) / max(1, len(wrong))
        if wrong and share < required and (visible != "special" or explore):
            problems.append(
                f"{100 * share:.1f} % of mistakes visible {visible} were found, expected {100 * required:.0f} %"
            )
    return problems


def rivals(order: int, dtype: torch.dtype) -> dict[str, Judge]:
    """torch's checkers, as they come, and loosened where float32 makes people do that."""
    loose = [False, True] if dtype == torch.float32 else [False]
    return {
        f"gradcheck {'fast' if fast else 'slow'}{', loosened' if soft else ''}": torch_check(
            fast=fast, order=order, loose=soft
        )
        for fast in (False, True)
        for soft in loose
    }


def small(entry: Entry) -> bool:
    """Whether slow gradcheck can build the Jacobian at all: its dense one has the square of this many numbers."""
    return sum(x.numel() for x in entry.default().values()) <= LARGE


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dtype", choices=["float64", "float32"], default="float64")
    parser.add_argument("--explore", action="store_true", help="explore around the special entries")
    parser.add_argument("--order", type=int, choices=[1, 2], default=1)
    parser.add_argument("--against", choices=["torch"], help="judge by torch's gradcheck as well")
    parser.add_argument("--json", metavar="FILE", help="write the counts to a file")
    parser.add_argument("--label", choices=["right", "wrong"], help="the entries of one label")
    parser.add_argument("--only", default="", help="entries whose name contains this")
    return parser


def counts(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float]]:
    """The numbers of the table."""
    kinds = {name: [outcome for outcome in outcomes if kind(outcome) == name] for name in map(kind, outcomes)}
    return {
        name: {
            "all": len(some),
            "differs": sum(outcome.found for outcome in some),
            "as_wanted": sum(outcome.expected for outcome in some),
            "raised": sum(outcome.verdict == "raised" for outcome in some),
            "median_s": statistics.median(outcome.seconds for outcome in some),
        }
        for name, some in kinds.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; 1 if a required rate is missed."""
    asked = options().parse_args(arguments)
    torch.set_num_threads(1)
    dtype = getattr(torch, asked.dtype)
    entries = chosen(dtype, asked.explore, asked.order, asked.only)
    if asked.label:
        entries = [entry for entry in entries if entry.right == (asked.label == "right")]
    judge = assay_explore if asked.explore else assay_check(asked.order)
    outcomes = [judged(judge, entry, dtype) for entry in entries]
    written = {"assay": counts(outcomes)}
    title = f"assay, {'explored, ' if asked.explore else ''}{asked.dtype}, order {asked.order}"
    print(table(title, outcomes), "not as wanted:", surprises(outcomes, asked.explore), sep="\n")
    if asked.against:
        for name, rival in rivals(asked.order, dtype).items():
            theirs = [judged(rival, entry, dtype) for entry in entries if small(entry)]
            written[name] = counts(theirs)
            print(table(f"{name}, {asked.dtype}", theirs))
    if asked.json:
        Path(asked.json).write_text(json.dumps({"run": title, "rates": written}, indent=1) + "\n", encoding="utf-8")
    problems = shortfalls(outcomes, asked.explore)
    print(*(f"missed: {problem}" for problem in problems), sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
