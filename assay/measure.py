"""Measure one claim under one edit: run the check over its domain and keep the worst evidence and the smallest counterexample."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import hypothesis
import torch
from hypothesis.errors import UnsatisfiedAssumption

from assay.claim import Claim, Edits
from assay.decide.trial import ALPHA, Trial, seed_from
from assay.errors import AssayError
from assay.evidence import SEVERITY, Evidence, Fact, Figure, Outcome, invalid
from assay.subject import Library, Subject
from assay.watch import Fault

MOST_FIGURES = 4
SHOWN_ENTRIES = 64


@dataclass
class Measurement:
    """What came out of running a check over its domain under one edit."""

    facts: dict[str, Fact] = field(default_factory=dict)
    figures: list[Figure] = field(default_factory=list)
    false_alarm: float = 0.0
    samples: int = 0
    cases: int = 0
    seen: dict[str, str] = field(default_factory=dict)
    counterexample: dict[str, Any] | None = None
    problem: str = ""
    edited_code_ran: bool = True

    @property
    def outcome(self) -> Outcome:
        """Finite violations decide over gaps elsewhere; nothing drawn, or nothing but failures to measure, is invalid."""
        if self.counterexample is not None:
            return "fails"
        if not self.facts or self.cases == 0:
            return "invalid"
        return max((fact.outcome for fact in self.facts.values()), key=lambda outcome: SEVERITY[outcome])

    def add(self, evidence: Evidence) -> None:
        """Keep, for each thing measured, the fact that came closest to its allowance, and the first figures that differ."""
        for fact in evidence.facts:
            kept = self.facts.get(fact.what)
            if kept is None or (SEVERITY[fact.outcome], fact.closeness) > (SEVERITY[kept.outcome], kept.closeness):
                self.facts[fact.what] = fact
        for figure in evidence.figures:
            if figure not in self.figures and len(self.figures) < MOST_FIGURES:
                self.figures.append(figure)
        self.false_alarm += evidence.false_alarm
        self.samples += evidence.samples


@dataclass(frozen=True)
class Conditions:
    """What one run fixes for all claims: the run's seed, the device, how many examples a property gets."""

    seed: int = 0
    device: str = "cpu"
    examples: int = 100


class _Found(Exception):
    """Tells Hypothesis that this example shows what is sought, so that it shrinks it."""


class _Domain:
    """One execution: the edited library, the edited values, and the check behind them."""

    def __init__(
        self, claim: Claim, subject: Subject, conditions: Conditions, edits: Edits, label: str, side: str
    ) -> None:
        self.claim, self.conditions, self.edits = claim, conditions, edits
        self.label, self.inputs = f"{label} {side}".strip(), f"claim {side}".strip()
        roles = {name: edit for name, edit in edits.items() if name in claim.needs}
        self.library: Library = subject.library(claim.needs, roles)
        self.edits_role = bool(roles)
        self.setting = {name: self._edited(name, value) for name, value in claim.setting.items()}
        self.where: Callable[..., bool] | None = edits.get("where")
        self.result = Measurement()

    def _edited(self, name: str, value: Any) -> Any:
        return self.edits[name](value) if name in self.edits else value

    def admits(self, drawn: Mapping[str, Any]) -> bool:
        return self.where is None or bool(self.where(**drawn, **self.setting))

    def run(self, drawn: Mapping[str, Any], case: int, shares: int = 1) -> Evidence:
        """The evidence at one point of the domain; an exception of the subject is invalid evidence, not a refutation."""
        values = {name: _moved(self._edited(name, value), self.conditions.device) for name, value in drawn.items()}
        arguments: dict[str, Any] = {**values, **self.setting}
        if self.claim.wants_trial:
            seed = seed_from(self.claim.id, self.conditions.seed, self.label, case)
            arguments["trial"] = Trial(seed, self.conditions.device, ALPHA / shares)
        self.library.faults.clear()
        try:
            evidence = self.claim.check(self.library, **arguments)
        except (UnsatisfiedAssumption, AssayError, KeyboardInterrupt):
            raise
        except Exception as error:  # noqa: BLE001 - whatever the subject raises is a finding about the subject
            evidence = invalid(f"raised {type(error).__name__}", str(error).splitlines()[0][:300] if str(error) else "")
            self.result.problem = (
                self.result.problem or f"{type(error).__name__}: {str(error)[:300]}{described(values)}"
            )
        if not isinstance(evidence, Evidence):
            raise AssayError(
                f"claim {self.claim.id} returned {type(evidence).__name__}, expected Evidence; return at_least(...), close(...), ... joined with &"
            )
        evidence = _unless_at_fault(evidence, self.library.faults)
        self.result.cases += 1
        self.result.add(evidence)
        if evidence.outcome in ("fails", "invalid"):
            self._keep_counterexample(values, evidence)
        return evidence

    def _keep_counterexample(self, values: Mapping[str, Any], evidence: Evidence) -> None:
        worst = max(evidence.facts, key=lambda fact: SEVERITY[fact.outcome])
        if worst.outcome == "invalid" and not self.result.problem:
            self.result.problem = f"{worst.what}: {worst.why or 'not a number'}{described({**values, **self.setting})}"
        if worst.outcome == "fails":
            shown = worst.detail.get("counterexample") or {
                name: show(value) for name, value in {**values, **self.setting}.items() if not callable(value)
            }
            self.result.counterexample = {
                "values": shown, "fact": worst.what, "measured": _finite(worst.measured), "allowed": _finite(worst.allowed),
            }  # fmt: skip


def _unless_at_fault(evidence: Evidence, faults: list[Fault]) -> Evidence:
    """The evidence, made invalid by the first fault of a role: whatever a claim concludes from a NaN, it is no answer."""
    for fault in faults:
        if fault.kind != "nan" or not evidence.nan_answers:
            return evidence & invalid(fault.said, "no claim can be judged by it")
    return evidence


def measure(
    claim: Claim, subject: Subject, conditions: Conditions, edits: Edits, label: str, side: str, *, shrink: bool = True
) -> Measurement:
    """Run the claim's check over its whole domain with `edits` in place.

    `label` names the execution and seeds its trial; inputs are searched in the same order under every label of a `side` of the
    boundary, so that a control turns the verdict by what it edits and not by other inputs.
    """
    domain = _Domain(claim, subject, conditions, edits, label, side)
    if claim.given:
        _explore(domain, shrink)
    elif claim.cases:
        admitted = [(k, case) for k, case in enumerate(claim.cases) if domain.admits(case)]
        for k, case in admitted:
            if domain.run(case, k, shares=len(claim.cases)).outcome == "fails":
                break  # the first case that fails is the counterexample: authors list cases from small to large
        domain.result.seen = {"cases": f"{domain.result.cases} of {len(claim.cases)}"}
    elif domain.admits({}):
        domain.run({}, 0)
    domain.result.edited_code_ran = not domain.edits_role or domain.library.calls_of_replaced > 0
    return domain.result


def _explore(domain: _Domain, shrink: bool) -> None:
    """Let Hypothesis look for a finite violation; only if there is none but something could not be measured, shrink that."""
    saw = _Seen()
    _search(domain, "fails", shrink, saw)
    if domain.result.outcome == "invalid" and domain.result.cases and shrink:
        domain.result.problem = ""
        _search(domain, "invalid", shrink, saw)
    domain.result.seen = saw.summary()


def _search(domain: _Domain, sought: Outcome, shrink: bool, saw: _Seen) -> None:
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    if shrink:
        phases += [hypothesis.Phase.target, hypothesis.Phase.shrink]

    @hypothesis.seed(seed_from(domain.claim.id, domain.conditions.seed, domain.inputs))
    @hypothesis.settings(
        max_examples=domain.conditions.examples,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=list(hypothesis.HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(**domain.claim.given)
    def body(**drawn: Any) -> None:
        hypothesis.assume(domain.admits(drawn))
        if sought == "invalid":
            domain.result.problem = ""
        outcome = domain.run(drawn, 0).outcome
        saw.add(drawn)
        if outcome == sought:
            raise _Found

    try:
        body()
    except _Found:
        return  # Hypothesis replays the smallest example last, so the counterexample kept last is the smallest
    except hypothesis.errors.Unsatisfiable:
        return


class _Seen:
    """What inputs a property really saw: the range of every number, shape and dtype."""

    def __init__(self) -> None:
        self._ranges: dict[str, tuple[float, float]] = {}
        self._shapes: dict[str, set[tuple[int, ...]]] = {}

    def add(self, drawn: Mapping[str, Any]) -> None:
        for name, value in drawn.items():
            if isinstance(value, torch.Tensor):
                self._shapes.setdefault(name, set()).add(tuple(value.shape))
                if value.numel() and not value.is_complex():
                    self._widen(name, float(value.min()), float(value.max()))
            elif isinstance(value, (int, float)):
                self._widen(name, float(value), float(value))

    def _widen(self, name: str, low: float, high: float) -> None:
        old = self._ranges.get(name, (math.inf, -math.inf))
        self._ranges[name] = (min(old[0], low), max(old[1], high))

    def summary(self) -> dict[str, str]:
        text = {
            name: f"{low:g}" if low == high else f"from {low:g} to {high:g}"
            for name, (low, high) in self._ranges.items()
        }
        for name, shapes in self._shapes.items():
            largest = max(shapes, key=math.prod)
            text[name] = f"{len(shapes)} shapes up to {largest}" + (f", entries {text[name]}" if name in text else "")
        return text


def _moved(value: Any, device: str) -> Any:
    return value.to(device) if isinstance(value, torch.Tensor) else value


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


def show(value: Any) -> str:
    """A value as exact text for a reader: large tensors as their shape and first entries, recipes by their fields."""
    if isinstance(value, torch.Tensor):
        shown = value.detach().cpu()
        kind = str(value.dtype).replace("torch.", "")
        if shown.numel() <= SHOWN_ENTRIES:
            return f"{shown.tolist()} ({kind})"
        return f"{kind}{list(shown.shape)} beginning {shown.flatten()[:4].tolist()}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if is_dataclass(value) and not isinstance(value, type):
        return ", ".join(f"{part.name.replace('_', ' ')} {show(getattr(value, part.name))}" for part in fields(value))
    if isinstance(value, tuple | list):
        return ", ".join(map(show, value)) or "none"
    return str(value)


def described(values: Mapping[str, Any]) -> str:
    """Where it happened, for the end of a message; nothing for a claim without values."""
    shown = [f"{name} = {show(value)}" for name, value in values.items() if not callable(value)]
    return f" (at {', '.join(shown)})" if shown else ""
