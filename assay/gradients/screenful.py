"""A report on one terminal screen: what is wrong first, then what agrees, then how to repeat it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from assay.gradients.records import Finding, InputEntries

WIDTH = 80
# With so many of each the whole stays within 24 lines of 80 columns.
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
    """The lines of a report, wrapped to 80 columns; `last` are lines at the end that are never left out."""
    lines = wrapped(title, "")
    wrong = [record for record in entries if record.wrong_count]
    doubtful = [record for record in entries if record.verdict in ("kink", "unresolved")]
    for record in [*wrong, *doubtful][:INPUTS]:
        lines += _record(record, ENTRIES if len(wrong) < 2 else 1)
    rest = [record.name for record in [*wrong, *doubtful][INPUTS:]]
    if rest:
        lines += wrapped(f"as well: {_listed(rest)}", "  ")
    condemning = [finding for finding in findings if finding.status in ("wrong", "unresolved")]
    notes = [finding for finding in findings if finding.status == "note"]
    for finding in [*condemning, *notes][:FINDINGS]:
        lines += _shortened(f"{finding.status}: {finding.kind}: {finding.sentence}")
    if guess and wrong:
        lines += _shortened(f"looks like: {guess}")
    lines += _agreeing([record for record in entries if record.verdict == "agrees"])
    if example:
        shown = example if len(example) <= EXAMPLE else f"{len(example)} characters long, in the report's `example`"
        lines.append(f"  smallest failing input: {shown}")
    return "\n".join([*lines, *last])


def wrapped(text: str, indent: str) -> list[str]:
    """A sentence in lines of 80 columns."""
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False)


def _shortened(text: str, most: int = 3) -> list[str]:
    """A sentence in at most three lines."""
    lines = wrapped(text, "  ")
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
    lines = _shortened(head)
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
