"""How a fact is said: a number against its threshold, or a sampled fact's interval against the range that counts."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from assay.evidence import SEVERITY
from assay.report import pictures
from assay.report.words import number

Result = Mapping[str, Any]
TENSOR = re.compile(r"(\[.*\]) \((\w+)\)", re.DOTALL)  # as evidence writes a tensor: its entries and its dtype
LINE = 80  # longer tensors are no longer read in a line
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


def measured(fact: Result) -> str:
    """What stands in the column of measurements: an interval, the value itself where the fact knows it, or how far off it was."""
    found = spread(fact)
    if fact["outcome"] == "invalid":
        return "–"
    if _decided(fact):
        return "proved" if fact["outcome"] == "holds" else "disproved"
    return found.measured if found else number(fact["detail"].get("value", fact["measured"]))


def allowed(fact: Result) -> str:
    """What the measurement had to keep to."""
    found = spread(fact)
    if fact["outcome"] == "invalid":
        return "–"
    if _decided(fact):
        return "every case"
    return found.wanted if found else _bounds(fact["detail"]) or number(fact["allowed"])


def _decided(fact: Result) -> bool:
    """A proof that came to its end, where the only number is a flag."""
    return fact["method"] == "proof" and fact["outcome"] in ("holds", "fails") and fact["allowed"] == 0


def _bounds(detail: Mapping[str, Any]) -> str:
    low, high = ("at_least" in detail, "at_most" in detail)
    if "value" not in detail or not (low or high):
        return ""
    if low and high:
        return f"{number(detail['at_least'])} to {number(detail['at_most'])}"
    return f"at least {number(detail['at_least'])}" if low else f"at most {number(detail['at_most'])}"


def result(fact: Result) -> str:
    """What came out: proved, an interval with its range, a wrong value beside the right one, or a number with its threshold."""
    if fact["outcome"] == "invalid":
        return "not measured"
    if fact["method"] == "proof" and fact["allowed"] == 0:
        return {"holds": "proved", "fails": str(fact["detail"].get("shown", "disproved"))}.get(fact["outcome"], "open")
    found = spread(fact)
    if found:
        return ("so in a share of the paired runs " if fact["method"] == "paired" else "") + found.said
    if fact["outcome"] == "fails" and pair(fact):
        sides = "{} where {} was expected".format(*pair(fact))
        return sides if isinstance(fact["detail"]["got"], str) else f"{number(fact['measured'])} ({sides})"
    return f"{measured(fact)}, {allowed(fact)} needed" if _bounds(fact["detail"]) else plain(fact)


def pair(fact: Result) -> tuple[str, ...]:
    """The worst entry of a comparison beside what it should be, if the fact knows them."""
    sides = [fact["detail"][side] for side in ("got", "expected") if side in fact["detail"]]
    return tuple(side if isinstance(side, str) else number(side) for side in sides)


def plain(fact: Result) -> str:
    return f"{number(fact['measured'])}, allowed {number(fact['allowed'])}"


def closest(facts: Sequence[Result]) -> Result:
    """The fact that used most of its allowance; what failed or was left open comes before what holds."""

    def used(fact: Result) -> tuple[int, float]:
        measured, allowed = fact["measured"], fact["allowed"]
        if measured is None or allowed is None:
            return SEVERITY[fact["outcome"]], math.inf
        return SEVERITY[fact["outcome"]], measured / allowed if allowed else measured

    return max(facts, key=used)


def figures(claim: Result) -> list[Result]:
    """The figures worth a chart: each once; a single interval is left out where its fact shows it already."""
    shown = {fact["what"] for fact in claim["facts"] if spread(fact)}
    fresh: list[Result] = []
    for figure in claim["figures"]:
        if figure not in fresh and (len(figure["x"]) > 1 or figure["title"] not in shown):
            fresh.append(figure)
    return _joined(fresh)


def _joined(figures: list[Result]) -> list[Result]:
    """A figure within a condition and the one beyond it become one where one of them is a single point beside the other's."""
    for within, beyond in itertools.permutations(figures, 2):
        same = all(within[key] == beyond[key] for key in ("title", "x_label", "y_label", "log_x", "log_y", "marks"))
        sides = (within["side"], beyond["side"]) == ("within", "beyond")
        if same and sides and 1 in (len(within["x"]), len(beyond["x"])) and _apart(within["x"], beyond["x"]):
            rest = [figure for figure in figures if figure is not beyond]
            return [_both(within, beyond) if figure is within else figure for figure in rest]
    return figures


def _apart(xs: list[float], others: list[float]) -> bool:
    return max(xs) < min(others) or max(others) < min(xs)


def _both(within: Result, beyond: Result) -> Result:
    """One figure of two, in the order of x; `beyond` is where the condition ends and on which side it does."""
    order = sorted(range(len(within["x"]) + len(beyond["x"])), key=[*within["x"], *beyond["x"]].__getitem__)

    def line(old: list[Any] | None, new: list[Any] | None) -> list[Any] | None:
        return None if old is None or new is None else [[*old, *new][k] for k in order]

    series = [
        {"name": one["name"], **{key: line(one[key], two[key]) for key in ("y", "low", "high")}}
        for one, two in zip(within["series"], beyond["series"], strict=True)
    ]
    above = max(within["x"]) < min(beyond["x"])
    edge = (max(within["x"]), min(beyond["x"])) if above else (min(within["x"]), max(beyond["x"]))
    return {**within, "x": line(within["x"], beyond["x"]), "series": series, "side": "", "beyond": edge}


@dataclass(frozen=True)
class Taken:
    """One value of a counterexample: what stands in the line, its exact text, and rounded rows where a tensor is too long for a line."""

    name: str
    short: str
    exact: str
    rows: str = ""


def taken(name: str, exact: str) -> Taken:
    """The value as a reader takes it in: a tensor too long for a line goes into rows of four digits, blocks apart by an empty row."""
    found = TENSOR.fullmatch(exact)
    if found is None or len(exact) <= LINE:
        return Taken(name, exact, exact)
    try:
        values = np.array(json.loads(found[1].replace("nan", "NaN").replace("inf", "Infinity")), dtype=np.float64)
    except (ValueError, TypeError, RecursionError):  # no array of numbers: whatever stands there is shown as it is
        return Taken(name, exact, exact)
    if not values.size:
        return Taken(name, exact, exact)
    words = [f"{value:.4g}" for value in values.flat]
    wide, columns = max(map(len, words)), values.shape[-1]
    lines = ["  ".join(word.rjust(wide) for word in words[k : k + columns]) for k in range(0, len(words), columns)]
    height = values.shape[-2] if values.ndim > 1 else 1
    blocks = ["\n".join(lines[k : k + height]) for k in range(0, len(lines), height)]
    short = f"the {' × '.join(map(str, values.shape))} numbers below ({found[2]})"
    return Taken(name, short, exact, "\n\n".join(blocks))


def worked(claim: Result) -> dict[str, Any]:
    """The counterexample as a line to redo by hand: what to take, what is looked at, what comes out."""
    found = claim["counterexample"]
    facts = [fact for fact in claim["facts"] if fact["what"] == found["fact"] and fact["outcome"] == "fails"]
    # the facts hold the worst case; what they say is the counterexample's own only where that is the worst case
    own = next((fact for fact in facts if spread(fact) or fact["measured"] == found["measured"]), None)
    take = [
        taken(name, value if isinstance(value, str) else json.dumps(value)) for name, value in found["values"].items()
    ]
    return {"take": take, "what": found["fact"], "result": result(own) if own else plain(found)}


def worst(claim: Result, fact: Result) -> bool:
    """Whether a fact shows another case than the counterexample beside it."""
    found = claim["counterexample"]
    same_fact = found is not None and (found["fact"], "fails") == (fact["what"], fact["outcome"])
    return same_fact and not spread(fact) and found["measured"] != fact["measured"]
