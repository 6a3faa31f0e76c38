"""What a check found: a verdict, the entries of every input, the separate findings; in words, JSON and HTML."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from assay.errors import GradientError
from assay.gradients.page import page
from assay.gradients.records import Finding, InputEntries, Verdict
from assay.gradients.screenful import screenful, wrapped


@dataclass(frozen=True)
class GradientReport:
    """The outcome of one check; it has no truth value, because four verdicts do not fit two."""

    target: str
    verdict: Verdict
    entries: tuple[InputEntries, ...]
    findings: tuple[Finding, ...]
    guess: str
    seed: int
    line: str
    forwards: int
    seconds: float
    example: str = ""

    def __bool__(self) -> bool:
        raise GradientError(
            "a gradient report has no truth value: it has four verdicts; compare report.verdict, or call require()"
        )

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The findings that condemn."""
        return tuple(finding for finding in self.findings if finding.status == "wrong")

    def explain(self) -> str:
        """One sentence: the verdict, where, by how much, and what kind of mistake it looks like."""
        if self.verdict == "differs":
            return self._differs()
        if self.verdict == "unresolved":
            reasons = [f"{e.name}: {e.reason}" for e in self.entries if e.unresolved and e.reason]
            reasons += [finding.sentence for finding in self.findings if finding.status == "unresolved"]
            return (
                f"{self.target}: the gradient could not be measured well enough to judge it ({'; '.join(reasons[:3])})."
            )
        if self.verdict == "kink":
            entry = next(e for e in self.entries if e.kinks)
            place = f" (first: {entry.kink})" if entry.kink is not None else ""
            total = sum(e.kinks for e in self.entries)
            noun = "entry lies" if total == 1 else "entries lie"
            return f"{self.target}: {total} {noun} at a kink, where the gradient is a valid subgradient{place}; elsewhere it agrees."
        return f"{self.target}: the gradient agrees; {self._power()}."

    def _power(self) -> str:
        shown = [e for e in self.entries if e.checked]
        if not shown:
            return "there was nothing to compare"
        worst = max(shown, key=lambda e: e.resolution)
        return f"an error of one entry as small as {worst.resolution:.1e} of the gradient would have shown ({worst.name} is the least sharp)"

    def _differs(self) -> str:
        bad = [e for e in self.entries if e.wrong_count]
        if bad:
            first = max(bad, key=lambda e: e.wrong_count)
            place = str(first.wrong[0]) if first.wrong else f"d / d {first.name}"
            total = (
                f"{first.wrong_count} of {first.checked} entries are wrong"
                if first.wrong_count > 1
                else "one entry is wrong"
            )
            guess = f"; {self.guess}" if self.guess else ""
            return f"{self.target}: the gradient with respect to {first.name} differs: {total}, for example {place}{guess}."
        sentences = "; ".join(finding.sentence for finding in self.wrong[:3])
        return f"{self.target}: {sentences}."

    def summary(self, advice: str = "") -> str:
        """The report on one screen: the verdict, what is wrong, a guess, what agrees, `advice`, the line to reproduce."""
        last = [*(wrapped(f"what to do: {advice}", "  ") if advice else []), f"  reproduce: {self.line}"]
        return screenful(
            f"{self.verdict}: {self._title()}", self.entries, self.findings, self.guess, self.example, last
        )

    def _title(self) -> str:
        """The explanation where it is short; of a difference only where it is, because entries and guess follow."""
        bad = [e for e in self.entries if e.wrong_count]
        if self.verdict != "differs":
            return self.explain()
        if not bad:
            kinds = ", ".join(dict.fromkeys(finding.kind for finding in self.wrong))
            return f"{self.target}: the backward is wrong ({kinds})"
        names = ", ".join(e.name for e in bad[:3]) + (f" and {len(bad) - 3} more" if len(bad) > 3 else "")
        return f"{self.target}: the gradient with respect to {names} is not the derivative"

    def require(self, *, kinks: bool = False) -> GradientReport:
        """Itself when the gradient agrees; raises GradientError with the summary otherwise. `kinks=True` accepts a valid subgradient."""
        if self.verdict == "agrees" or (kinks and self.verdict == "kink"):
            return self
        raise GradientError(self.summary())

    def to_json(self, path: str | Path | None = None) -> str:
        """The report as JSON text, written to `path` if given; numbers that are not finite are strings."""
        text = json.dumps(_plain(asdict(self) | {"explanation": self.explain()}), indent=1, allow_nan=False)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def to_html(self, path: str | Path | None = None) -> str:
        """The report as one self-contained page with a heat map of the error per entry, written to `path` if given."""
        text = page(self.explain(), vars(self))
        if path is not None:
            Path(path).write_text(text, encoding="utf-8")
        return text


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and value - value != 0:
        return str(value)
    return value
