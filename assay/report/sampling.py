"""How a fact is said: a number against its threshold, or a sampled fact's interval against the range that counts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from assay.report import pictures
from assay.report.words import number

Result = Mapping[str, Any]
SHARES = ("sign test", "Clopper-Pearson")  # how the allowance of a sampled probability begins


@dataclass(frozen=True)
class Spread:
    """The interval of a sampled fact, the claimed value, and where the interval must lie (None: no upper end)."""

    low: float
    high: float
    claimed: float
    allowed: tuple[float, float | None]
    reach: float | None = None  # one-sided: refuted once the interval cannot reach it
    failed: bool = False
    share: bool = False  # a probability: nothing lies above one

    @property
    def measured(self) -> str:
        return f"{number(self.low)} to {number(self.high)}"

    @property
    def wanted(self) -> str:
        low, high = self.allowed
        return f"above {number(low)}" if high is None else f"{number(low)} to {number(high)}"

    @property
    def reason(self) -> str:
        """Why a failed fact failed: an interval can do so and still overlap the range that counts."""
        if not self.failed:
            return ""
        if self.allowed[1] is not None:
            return f"{number(self.claimed)} is excluded"
        return f"{number(self.reach)} is out of reach" if self.reach is not None else ""

    @property
    def said(self) -> str:
        """The interval and what it had to do, for a sentence."""
        within = "" if self.allowed[1] is None else "within "
        reason = f"; {self.reason}" if self.reason else ""
        return f"between {number(self.low)} and {number(self.high)}, {within}{self.wanted} needed{reason}"

    @property
    def marks(self) -> list[tuple[float, bool]]:
        """The values that decide, and whether each is only a limit of refutation."""
        limits = [(self.claimed, False), *[(end, False) for end in self.allowed if end is not None]]
        return list(dict.fromkeys(limits + ([(self.reach, True)] if self.reach is not None else [])))


def spread(fact: Result) -> Spread | None:
    """The interval of a sampled fact; None for other facts and for intervals without finite ends.

    A one-sided fact allows nothing below its floor, and is refuted once its floor plus the detectable effect is out of reach; a
    two-sided one allows `allowed` to both sides, and is refuted once the claimed value is excluded.
    """
    ends = [fact["detail"].get(key) for key in ("low", "high", "claimed")]
    if fact["allowed"] is None or not all(isinstance(end, (int, float)) for end in ends):
        return None
    low, high, claimed = map(float, ends)
    failed, share = fact["outcome"] == "fails", fact["why"].startswith(SHARES)
    if margin := fact["allowed"]:
        return Spread(low, high, claimed, (claimed - margin, claimed + margin), None, failed, share)
    reach = claimed + fact["detail"]["detects"] if "detects" in fact["detail"] else None
    return Spread(low, high, claimed, (claimed, None), reach, failed, share)


def picture(fact: Result) -> Markup | None:
    """The picture of a sampled fact's interval, if it has one."""
    found = spread(fact)
    if not found:
        return None
    return pictures.interval((found.low, found.high), found.allowed, found.marks, found.failed, found.share)


def result(fact: Result) -> str:
    """What came out: proved, an interval with its range, or a number with its threshold."""
    if fact["outcome"] == "invalid":
        return "not measured"
    if fact["method"] == "proof" and fact["allowed"] == 0:
        return {"holds": "proved", "fails": "disproved"}.get(fact["outcome"], "open")
    found = spread(fact)
    if found:
        return ("so in a share of the paired runs " if fact["method"] == "paired" else "") + found.said
    return f"{number(fact['measured'])}, allowed {number(fact['allowed'])}"


def figures(claim: Result) -> list[Result]:
    """The figures worth a chart: a single interval is left out where its fact shows it already."""
    shown = {fact["what"] for fact in claim["facts"] if spread(fact)}
    return [figure for figure in claim["figures"] if len(figure["x"]) > 1 or figure["title"] not in shown]


def worked(claim: Result) -> dict[str, Any]:
    """The counterexample as a line to redo by hand: what to take, what is looked at, what comes out."""
    found = claim["counterexample"]
    facts = [fact for fact in claim["facts"] if fact["what"] == found["fact"] and fact["outcome"] == "fails"]
    plain = f"{number(found['measured'])}, allowed {number(found['allowed'])}"
    sampled = next((result(fact) for fact in facts if spread(fact)), None)
    take = [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in found["values"].items()]
    return {"take": take, "what": found["fact"], "result": sampled or plain}
