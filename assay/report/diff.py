"""What changed between two runs: flipped verdicts first, then moved numbers, then the environment."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from rich.console import Console

from assay.errors import UsageError
from assay.report.words import number

Essence = dict[str, Any]
ESSENCE_ID = "assay-essence"


def essence(results: Mapping[str, Any]) -> Essence:
    """The part of a results document that two runs are compared by; the HTML page carries it.

    A statement of which a claim did not run has no verdict to compare.
    """
    return {
        "run": {
            key: results["run"].get(key)
            for key in ("seed", "device", "subjects", "examples", "partial", "environment", "false_alarm_bound")
        },
        "statements": {s["id"]: s["verdict"] for s in results["statements"] if not s.get("not_run")},
        "claims": {
            f"{c['id']} on {c['subject']}": [
                c["verdict"],
                c["status"],
                [[_name(f), f["measured"], f["allowed"]] for f in c["facts"]],
            ]
            for c in results["claims"]
        },
    }


def _name(fact: Mapping[str, Any]) -> str:
    side = fact.get("side", "")
    return f"{fact['what']} ({side})" if side else str(fact["what"])


class _Embedded(HTMLParser):
    """Collects the text of the script element that carries the essence."""

    def __init__(self) -> None:
        super().__init__()
        self.inside = False
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag == "script" and dict(attrs).get("id") == ESSENCE_ID

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.text += data


def load(path: Path) -> Essence:
    """The essence of a run, from results.json or from the report made of it; UsageError says what is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"file {path} cannot be read: {error}, expected a results.json or an HTML report; give one of these"
        ) from error
    if re.match(r"\s*<", text):
        parser = _Embedded()
        parser.feed(text)
        text = parser.text
    try:
        document = json.loads(text)
        return document if isinstance(document["claims"], dict) else essence(document)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"file {path} holds no results of a run: {error!r}, expected results.json or an HTML report; give one"
        ) from error


@dataclass(frozen=True)
class Difference:
    """What two runs disagree on, each list in the order of the newer run; lines are ready to print."""

    flipped: tuple[str, ...]
    moved: tuple[str, ...]
    appeared: tuple[str, ...]
    vanished: tuple[str, ...]
    environment: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """1 if a verdict or a status flipped, else 0: numbers may move, and claims may be added."""
        return 1 if self.flipped else 0

    def text(self) -> str:
        parts = {
            "Verdicts flipped": self.flipped,
            "Numbers moved, the largest change first": self.moved,
            "Only in the newer run": self.appeared,
            "Only in the older run": self.vanished,
            "Environment": self.environment,
        }
        said = [
            f"{title} ({len(lines)})\n" + "\n".join(f"  {line}" for line in lines)
            for title, lines in parts.items()
            if lines
        ]
        return "\n\n".join(said) if said else "The two runs agree: verdicts, numbers and environment."


def diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    """Compare two results documents, or what `load` read from two files."""
    before, after = (run if isinstance(run["claims"], dict) else essence(run) for run in (old, new))
    statements = [
        f"statement {sid}: was {before['statements'][sid]}, is {verdict}"
        for sid, verdict in after["statements"].items()
        if before["statements"].get(sid, verdict) != verdict
    ]
    shared = [key for key in after["claims"] if key in before["claims"]]
    claims = [line for key in shared for line in _flipped(key, before["claims"][key], after["claims"][key])]
    moves = sorted(
        (move for key in shared for move in _moved(key, before["claims"][key], after["claims"][key])),
        key=lambda m: -m[0],
    )
    return Difference(
        tuple(statements + claims),
        tuple([line for _, line in moves] + _bound(before["run"], after["run"])),
        tuple(_only(after, before)),
        tuple(_only(before, after)),
        tuple(_environment(before["run"], after["run"])),
    )


def diff_files(old: Path, new: Path, console: Console) -> int:
    """Print what changed between two files of results or reports; 1 if a verdict flipped, else 0."""
    found = diff(load(old), load(new))
    console.print(found.text(), markup=False, highlight=False, soft_wrap=True)
    return found.exit_code


def _flipped(key: str, before: list[Any], after: list[Any]) -> list[str]:
    said = []
    for position, noun in ((0, "verdict"), (1, "status")):
        if before[position] != after[position]:
            said.append(f"claim {key}: {noun} was {before[position]}, is {after[position]}")
    return said


def _moved(key: str, before: list[Any], after: list[Any]) -> list[tuple[float, str]]:
    """Facts of the same name whose number differs, with the size of the change as a share of the larger number."""
    earlier = {name: measured for name, measured, _ in before[2]}
    moves = []
    for name, measured, allowed in after[2]:
        was = earlier.get(name, measured)
        if was != measured:
            moves.append(
                (
                    _change(was, measured),
                    f"{key}: {name} was {number(was)}, is {number(measured)} (allowed {number(allowed)})",
                )
            )
    return moves


def _change(was: float | None, now: float | None) -> float:
    """0 to 2; a number that became infinite or finite again counts most."""
    if was is None or now is None:
        return 2.0
    return abs(now - was) / max(abs(now), abs(was))


def _only(here: Mapping[str, Any], there: Mapping[str, Any]) -> list[str]:
    statements = [
        f"statement {sid}: {verdict}" for sid, verdict in here["statements"].items() if sid not in there["statements"]
    ]
    return statements + [
        f"claim {key}: {found[0]}" for key, found in here["claims"].items() if key not in there["claims"]
    ]


def _bound(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    was, now = (run.get("false_alarm_bound") for run in (before, after))
    said = f"the run's bound on false alarms was {number(was)}, is {number(now)}"
    return [] if was == now or was is None or now is None else [said]


def _environment(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    flat = [
        {**{k: v for k, v in run.items() if k not in ("environment", "false_alarm_bound")}, **run["environment"]}
        for run in (before, after)
    ]
    keys = dict.fromkeys([*flat[1], *flat[0]])
    return [
        f"{key}: was {_said(flat[0].get(key))}, is {_said(flat[1].get(key))}"
        for key in keys
        if flat[0].get(key) != flat[1].get(key)
    ]


def _said(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else "nothing" if value is None else str(value)
