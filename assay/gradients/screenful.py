"""A report on one terminal screen: what is wrong first, then what agrees, then how to repeat it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from assay.gradients.records import Finding, InputEntries

WIDTH, HEIGHT = 80, 24
INPUTS, ENTRIES, FINDINGS, AGREEING = 2, 3, 3, 3
# Longer examples are left to the JSON and the HTML.
EXAMPLE = 320
HOW = {"screen": "covered by random probes", "entries": "measured one by one", "located": "covered by group testing"}


def screenful(
    title: str,
    entries: Sequence[InputEntries],
    findings: Sequence[Finding],
    guess: str,
    example: str,
    last: Sequence[str],
) -> str:
    """The lines of a report, at most 24 of 80 columns; `last` are lines at the end that are never left out."""
    off = [record for record in entries if record.wrong_count]
    off += [record for record in entries if record.verdict in ("kink", "unresolved")]
    rest = [record.name for record in off[INPUTS:]]
    shown = example if len(example) <= EXAMPLE else f"{len(example)} characters long, in the report's `example`"
    parts = [
        Part(0, shortened(title, "")),
        *(
            Part(0 if k == 0 else 4, _record(record, ENTRIES if len(off) < 2 else 1))
            for k, record in enumerate(off[:INPUTS])
        ),
        Part(5, shortened(f"as well: {_listed(rest)}")) if rest else Part(0, []),
        *_findings(findings),
        Part(2, shortened(f"looks like: {guess}"))
        if guess and any(record.wrong_count for record in off)
        else Part(0, []),
        Part(7, _agreeing([record for record in entries if record.verdict == "agrees"])),
        Part(3, [f"  smallest failing input: {shown}"] if example else []),
        Part(0, list(last)),
    ]
    while sum(part.height for part in parts) > HEIGHT and any(part.dispensable for part in parts):
        parts.remove(max(reversed(parts), key=lambda part: part.dispensable))
    return "\n".join(line for part in parts for line in part.lines)


@dataclass(frozen=True)
class Part:
    """Lines that stay or go together: the more `dispensable` first, zero never."""

    dispensable: int
    lines: list[str]

    @property
    def height(self) -> int:
        """Lines of a terminal of 80 columns."""
        return sum(max(1, -(-len(line) // WIDTH)) for line in self.lines)


def _findings(findings: Sequence[Finding]) -> list[Part]:
    """What condemns before what is only noted."""
    condemning = [finding for finding in findings if finding.status in ("wrong", "unresolved")]
    notes = [finding for finding in findings if finding.status == "note"]
    return [
        Part(6 if finding.status == "note" else 1, shortened(f"{finding.status}: {finding.kind}: {finding.sentence}"))
        for finding in [*condemning, *notes][:FINDINGS]
    ]


def wrapped(text: str, indent: str) -> list[str]:
    """A sentence in lines of 80 columns."""
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)


def shortened(text: str, indent: str = "  ", most: int = 3) -> list[str]:
    """A sentence in at most three lines."""
    lines = wrapped(text, indent)
    return lines if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1][: WIDTH - 4]} ..."]


def _record(record: InputEntries, most: int) -> list[str]:
    """One input that does not agree: how many entries are off, and the worst of them."""
    counts = [
        f"{count} {word}"
        for count, word in (
            (record.wrong_count, "wrong"),
            (record.kinks, "at a kink"),
            (record.unresolved, f"unresolved ({record.reason})" if record.reason else "unresolved"),
        )
        if count
    ]
    head = f"{record.name} {record.dtype}{list(record.shape)}: of {record.checked} entries {', '.join(counts)}"
    lines = shortened(head)
    for entry in record.wrong[:most] or ((record.kink,) if record.kink is not None else ()):
        lines += wrapped(str(entry), "    ")
    return lines


def _agreeing(records: Sequence[InputEntries]) -> list[str]:
    if len(records) > AGREEING:
        worst = max(record.resolution for record in records)
        names = _listed([record.name for record in records])
        return wrapped(f"agrees: {names}; an error of {worst:.1e} of the gradient would have shown in each", "  ")
    return [
        line
        for record in records
        for line in wrapped(
            f"agrees: {record.name} {record.dtype}{list(record.shape)}: {record.checked} entries {HOW[record.method]}, "
            f"resolution {record.resolution:.1e}",
            "  ",
        )
    ]


def _listed(names: Sequence[str]) -> str:
    """The first names and how many more there are."""
    more = f" and {len(names) - AGREEING} more" if len(names) > AGREEING else ""
    return ", ".join(names[:AGREEING]) + more
