"""The verdict table of a run in Markdown, for a README or a pull request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.report import page as pages
from assay.report.words import VERDICTS


def verdict_table(results: Mapping[str, Any]) -> str:
    """Statements by topic and verdict as a Markdown table, one line a topic, the documents and the total below."""
    page = pages.build(results)
    rows = [[cell(topic), *_counts(entries)] for topic, entries in page.topics.items()]
    rows += [[f"*{cell(document.title)}*", *_counts(document.entries)] for document in page.documents]
    rows.append(["**all**", *(f"**{many}**" for many in _counts(page.entries))])
    head = ["topic", *(word.word for word in VERDICTS.values())]
    lines = [head, ["---", *["---:"] * len(VERDICTS)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _counts(entries: list[pages.Entry]) -> list[str]:
    return [str(many) for many in pages.count(entries).values()]


def cell(text: str) -> str:
    """Text that cannot end a cell or begin markup, on one line."""
    return escaped(" ".join(text.split()))


def escaped(text: str) -> str:
    """Text whose signs are no markup."""
    return "".join(f"\\{sign}" if sign in "\\|*_`<>[]" else sign for sign in text)
