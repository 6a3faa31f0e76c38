"""The end of a run in the terminal: verdicts by topic, then what is not as predicted, the error bound, the files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from assay.report import page as pages
from assay.report.words import STATUSES, VERDICTS, duration, number

COLOURS = {"holds": "green", "conditional": "cyan", "ambiguous": "magenta", "refuted": "red", "undecided": "yellow"}
HEADS = {"conditional": "if", "ambiguous": "reading", "not-executable": "no run"}
LONGEST_REASON = 160  # characters: two lines of an ordinary terminal


def summary(results: Mapping[str, Any], console: Console, files: Iterable[Path] = ()) -> None:
    """Print the summary of a results document; `files` are the paths that the run wrote."""
    page = pages.build(results)
    console.print(_table(page))
    trouble = [c for c in page.claims if c["status"] not in ("as-predicted", "unsupported")]
    for claim in trouble:
        console.print(_line(claim), soft_wrap=True)
    console.print(Text(_closing(page, len(trouble))), soft_wrap=True)
    for file in files:
        console.print(Text(f"wrote {file}"), soft_wrap=True)


def _table(page: pages.Page) -> Table:
    """Statements by topic and verdict; topics in which nothing ran are counted in one row."""
    table = Table(box=None, pad_edge=False, show_footer=True, header_style="bold", padding=(0, 1))
    total = pages.count(page.entries)
    table.add_column("topic", footer="all", no_wrap=True)
    for verdict, many in total.items():
        head = f"{VERDICTS[verdict].sign} {HEADS.get(verdict, verdict)}"
        table.add_column(head, footer=str(many), justify="right", style=COLOURS.get(verdict, ""), no_wrap=True)
    idle = [entries for entries in page.topics.values() if not any(entry.evidence for entry in entries)]
    for topic, entries in page.topics.items():
        if entries not in idle:
            table.add_row(Text(topic), *_cells(entries))
    if idle:
        table.add_row(f"{len(idle)} other topics", *_cells([entry for entries in idle for entry in entries]))
    return table


def _cells(entries: list[pages.Entry]) -> list[str]:
    return [str(many) if many else "·" for many in pages.count(entries).values()]


def _line(claim: Mapping[str, Any]) -> Text:
    """One claim that is not as predicted: where, what came out, and why."""
    colour = "yellow" if claim["differs"] else "red"
    state = "known difference" if claim["differs"] else STATUSES[claim["status"]]
    said = f" on {claim['subject']}: {state}; {claim['verdict']}, predicted {claim['expect']}. {reason(claim)}"
    return Text.assemble((claim["id"], f"bold {colour}"), said)


def reason(claim: Mapping[str, Any]) -> str:
    """Why a claim is not as predicted, in one line: a known difference, a problem, controls, or the worst fact."""
    if claim["differs"]:
        return str(claim["differs"])
    if claim["problem"]:
        return str(claim["problem"])[:LONGEST_REASON]
    if claim["status"] == "toothless":
        idle = [control for control in claim["controls"] if not control["turned"]]
        return "; ".join(f"control {control['name']!r}: {control['why']}" for control in idle)[:LONGEST_REASON]
    found = claim["counterexample"]
    if found:
        at = ", ".join(f"{name} = {value}" for name, value in found["values"].items())
        numbers = f"{number(found['measured'])}, allowed {number(found['allowed'])}"
        return f"{found['fact']}: {numbers} (at {at})"[:LONGEST_REASON]
    if claim["verdict"] == "holds":
        return "no counterexample was found where one was predicted"
    return "the evidence did not decide"


def _closing(page: pages.Page, trouble: int) -> str:
    """The last lines: how many results, how long, how sure, and whether all of it ran."""
    run = page.run
    state = "all as predicted" if not trouble else f"{trouble} not as predicted"
    absent = sum(claim["status"] == "unsupported" for claim in page.claims)
    if absent:
        state += f", {absent} not put to subjects that lack what they need"
    ran = f"{len(page.claims)} results on {', '.join(run['subjects'])} in {duration(run['wall_seconds'])}"
    early = "The run is partial: it ended before all claims were run.\n" if run["partial"] else ""
    return (
        f"{early}{ran}: {state}.\n"
        f"{page.turned} of {page.controls} controls turned the verdict round. "
        f"False alarms of chance in the whole run: probability at most {number(run['false_alarm_bound'])}."
    )
