"""Execute one claim on one subject: both sides of its boundary, every control, and the result as a plain dict for results.json."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from assay.claim import Claim, Edits, Verdict
from assay.decide.trial import seed_from
from assay.errors import AssayError
from assay.evidence import Fact, Outcome
from assay.isolation import isolated
from assay.measure import Conditions, Measurement, measure
from assay.subject import Subject

Result = dict[str, Any]

_VERDICT: dict[Outcome, Verdict] = {
    "holds": "holds",
    "fails": "refuted",
    "open": "inconclusive",
    "invalid": "inconclusive",
}
_GRADES = ("proved", "exhaustive", "property", "statistical", "empirical")
_KINDS = {
    "proved": "formula",
    "exhaustive": "finite domain",
    "property": "universal",
    "statistical": "statistical",
    "empirical": "tendency",
}


@dataclass(frozen=True)
class Verdicts:
    """A verdict with the measurements behind it: one, or one for each side of a boundary."""

    verdict: Verdict
    measurements: tuple[Measurement, ...]

    @property
    def problem(self) -> str:
        return next((m.problem for m in self.measurements if m.problem and m.outcome == "invalid"), "")


def execute(claim: Claim, subject: Subject, conditions: Conditions) -> Result:
    """Run the claim and its controls; never raises for what a subject does."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    missing = subject.missing(claim.needs)
    if missing:
        return _header(claim, subject, conditions) | _unsupported(missing)
    found = decide(claim, subject, conditions, {}, "claim", shrink=True)
    controls = [
        _control(claim, subject, conditions, name, edits, found.verdict) for name, edits in claim.controls.items()
    ]
    measured = _measured(claim, subject, found, controls, time.perf_counter() - started)
    return _without_stale_excuse(_header(claim, subject, conditions) | measured)


def _without_stale_excuse(result: Result) -> Result:
    """A declared difference that is no longer there fails: it would excuse the next real one."""
    if not result["differs"] or result["status"] != "as-predicted":
        return result
    said = f"declared to differ on {result['subject']} ({result['differs']}), but came out as predicted; take it out of differs="
    return result | {"status": "surprising", "problem": said, "differs": ""}


def decide(
    claim: Claim, subject: Subject, conditions: Conditions, edits: Edits, label: str, *, shrink: bool
) -> Verdicts:
    """The verdict under `edits`, from one domain or from both sides of the claim's boundary; `label` seeds the execution."""
    with isolated(seed_from(claim.id, conditions.seed, label), conditions.device):
        return _decide(claim, subject, conditions, edits, label, shrink=shrink)


def _decide(
    claim: Claim, subject: Subject, conditions: Conditions, edits: Edits, label: str, *, shrink: bool
) -> Verdicts:
    if claim.expect.verdict != "conditional":
        measurement = measure(claim, subject, conditions, edits, label, "", shrink=shrink)
        return Verdicts(_VERDICT[measurement.outcome], (measurement,))
    within, beyond = (
        measure(claim, subject, conditions, _combined(side, edits), label, name, shrink=shrink)
        for name, side in (("within", claim.expect.within), ("beyond", claim.expect.beyond))
    )
    return Verdicts(_two_sided(_VERDICT[within.outcome], _VERDICT[beyond.outcome]), (within, beyond))


def _combined(side: Edits, edits: Edits) -> Edits:
    """The edits of a boundary's side followed by those of a control; two filters must both admit."""
    joined = dict(side)
    for name, edit in edits.items():
        joined[name] = _then(joined[name], edit, name) if name in joined else edit
    return joined


def _then(first: Any, second: Any, name: str) -> Any:
    if name == "where":
        return lambda **values: first(**values) and second(**values)
    return lambda sound: second(first(sound))


def _two_sided(within: Verdict, beyond: Verdict) -> Verdict:
    if "inconclusive" in (within, beyond):
        return "inconclusive"
    if within == "refuted":
        return "refuted"
    return "conditional" if beyond == "refuted" else "holds"


def _control(
    claim: Claim, subject: Subject, conditions: Conditions, name: str, edits: Edits, verdict: Verdict
) -> Result:
    """A control turns the verdict by evidence: the edited code ran, and the opposite was decided, not crashed into."""
    found = decide(claim, subject, conditions, edits, f"control {name}", shrink=False)
    wanted = {"holds": ("refuted",), "refuted": ("holds",), "conditional": ("holds", "refuted")}.get(verdict, ())
    ran = any(m.edited_code_ran for m in found.measurements)
    turned = ran and found.verdict in wanted
    worst = _worst_fact(found.measurements)
    why = (
        ""
        if turned
        else (
            "the edited role was never called"
            if not ran
            else found.problem or f"verdict under the control: {found.verdict}"
        )
    )
    return {
        "name": name, "turned": turned, "verdict": found.verdict, "why": why,
        "fact": _fact_fields(worst) if worst else None,
        "false_alarm": sum(m.false_alarm for m in found.measurements),
    }  # fmt: skip


def _worst_fact(measurements: tuple[Measurement, ...]) -> Fact | None:
    facts = [fact for m in measurements for fact in m.facts.values()]
    return max(facts, key=lambda fact: (fact.outcome == "fails", min(fact.closeness, 1e300)), default=None)


def _header(claim: Claim, subject: Subject, conditions: Conditions) -> Result:
    expect = claim.expect
    return {
        "id": claim.id, "name": claim.name, "statement_id": claim.statement_id, "also": list(claim.also),
        "sentence": claim.sentence, "reading": claim.reading, "covers": claim.covers, "docstring": claim.docstring,
        "subject": subject.name, "needs": list(claim.needs), "expect": expect.verdict, "instead": expect.instead, "by": expect.by,
        "boundary": expect.boundary, "differs": claim.differs.get(subject.name, ""),
        "reproduce": f"assay run {claim.id} --subject {subject.name} --seed {conditions.seed} --device {conditions.device}"
        + (f" --examples {conditions.examples}" if claim.given and conditions.examples != Conditions.examples else ""),
    }  # fmt: skip


def _unsupported(missing: list[str]) -> Result:
    return blank() | {
        "verdict": "unsupported",
        "status": "unsupported",
        "problem": f"roles not offered: {', '.join(missing)}",
    }


def blank() -> Result:
    """The measured half of a result in which nothing was measured."""
    return {
        "kind": "", "grade": "empirical", "verdict": "inconclusive", "status": "error", "problem": "", "facts": [], "figures": [],
        "cases": 0, "samples": 0, "seen": {}, "counterexample": None, "controls": [], "false_alarm": 0.0, "detects": "", "seconds": 0.0,
    }  # fmt: skip


def crashed(claim: Claim, subject: Subject, conditions: Conditions, problem: str, seconds: float) -> Result:
    """The result of a claim that took its process with it, hung, or filled memory."""
    return _header(claim, subject, conditions) | blank() | {"problem": problem, "seconds": round(seconds, 3)}


def _measured(claim: Claim, subject: Subject, found: Verdicts, controls: list[Result], seconds: float) -> Result:
    sides = found.measurements
    grade = _grade(claim, sides)
    return {
        "kind": claim.kind or _kind(grade, sides), "grade": grade, "verdict": found.verdict,
        "status": _status(claim, subject, found, controls), "problem": found.problem,
        "facts": [_fact_fields(fact) | {"side": side} for side, m in _sided(sides) for fact in m.facts.values()],
        "figures": [_figure_fields(figure, side) for side, m in _sided(sides) for figure in m.figures],
        "cases": sum(m.cases for m in sides), "samples": sum(m.samples for m in sides), "seen": sides[0].seen,
        "counterexample": next((m.counterexample for m in sides if m.outcome == "fails"), None),
        "controls": controls,
        "false_alarm": sum(m.false_alarm for m in sides) + sum(control["false_alarm"] for control in controls),
        "detects": "; ".join(dict.fromkeys(_detects(fact) for m in sides for fact in m.facts.values() if _detects(fact))),
        "seconds": round(seconds, 3),
    }  # fmt: skip


def _sided(sides: tuple[Measurement, ...]) -> list[tuple[str, Measurement]]:
    return list(zip(("within", "beyond") if len(sides) == 2 else ("",), sides, strict=True))


def _status(claim: Claim, subject: Subject, found: Verdicts, controls: list[Result]) -> str:
    if found.problem:
        return "error"
    if found.verdict != claim.expect.verdict:
        return "surprising"
    return "as-predicted" if all(control["turned"] for control in controls) else "toothless"


def _grade(claim: Claim, sides: tuple[Measurement, ...]) -> str:
    methods = {fact.method for m in sides for fact in m.facts.values()}
    if "proof" in methods:
        return "proved"
    if methods & {"sampled", "paired"}:
        return "statistical"
    if claim.kind == "tendency" or "swept" in methods:
        return "empirical"
    if claim.given:
        return "property"
    return "exhaustive" if claim.exhaustive else "empirical"


def _kind(grade: str, sides: tuple[Measurement, ...]) -> str:
    if any(fact.method == "paired" for m in sides for fact in m.facts.values()):
        return "comparative"
    return _KINDS[grade]


def _detects(fact: Fact) -> str:
    """The smallest effect that could not pass unnoticed: a value in a one-sided comparison (nothing allowed), else a deviation."""
    if "detects" not in fact.detail:
        return ""
    detects, claimed = fact.detail["detects"], fact.detail["claimed"]
    effect = f"off by {detects:g} or more" if fact.allowed else f"{claimed + detects:g} or more"
    return f"{fact.what}: {effect}"


def _fact_fields(fact: Fact) -> Result:
    return {
        "what": fact.what, "measured": _number(fact.measured), "allowed": _number(fact.allowed), "outcome": fact.outcome,
        "why": fact.why, "method": fact.method, "detail": _plain(fact.detail),
    }  # fmt: skip


def _figure_fields(figure: Any, side: str) -> Result:
    fields: Result = _plain(asdict(figure))
    return fields | {"side": side}


def _number(value: float) -> float | None:
    """JSON has no infinity and no NaN: they become null, and `outcome` says what they meant."""
    return float(value) if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bool) or value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return _number(value)
    raise AssayError(
        f"evidence holds a {type(value).__name__}, expected numbers and text; convert it before putting it into a detail or figure"
    )
