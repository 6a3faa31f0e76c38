"""`check_gradient`: the gradient of a function at given inputs, without a tolerance from the user."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from assay.gradients.analytic import WrongShapeError
from assay.gradients.conjugate import KIND, conjugate_convention
from assay.gradients.diagnose import guess
from assay.gradients.examination import Examination
from assay.gradients.findings import further
from assay.gradients.float32 import float32_twin
from assay.gradients.records import Finding, InputEntries, Verdict
from assay.gradients.report import GradientReport
from assay.gradients.second import second_order
from assay.gradients.target import Inputs, Target, resolve
from assay.gradients.variations import allowed, varied
from assay.isolation import isolated

Mode = Literal["reverse", "forward", "batched"]
USUAL = {"order": 1, "modes": ("reverse",), "surrogate": False, "variations": True}


def check_gradient(
    fn: Any,
    inputs: Inputs,
    *,
    wrt: Sequence[str | int] | str | int | None = None,
    backward: Callable[..., Any] | None = None,
    cotangent: Any = None,
    probes: int | None = None,
    order: int = 1,
    modes: Sequence[Mode] = ("reverse",),
    tolerance: float | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    entries: Literal["all"] | None = None,
    constraint: Any = None,
    surrogate: bool | Callable[..., Any] = False,
    variations: bool | Literal["layouts"] = True,
    **hyper: Any,
) -> GradientReport:
    """Compare the gradient that `fn` computes with its measured derivative, at `inputs`.

    `inputs`: names -> tensors (or a tuple). `backward(saved, dy, **hyper)` belongs to an `fn` that returns (output, saved).
    `cotangent`: check this one alone. `probes`: random cotangents (2). `order=2` checks the gradient's own gradient too.
    `tolerance`: a relative error that you accept; none by default. `entries="all"` measures every entry. `constraint`: a
    manifold that the input lies on ("symmetric", "lower", "upper", or a projection). `surrogate`: the gradient is meant to
    differ (True), or to be that of another function. `variations`: "layouts" skips the changed values and sizes, False the layouts too.
    Raises GradientInputError when there is nothing that can be checked.
    """
    asked = {
        "wrt": wrt, "probes": probes, "order": order, "modes": tuple(modes), "tolerance": tolerance, "entries": entries,
        "constraint": constraint, "surrogate": surrogate, "variations": variations, "backward": backward, "cotangent": cotangent,
    }  # fmt: skip
    with isolated(seed, device):
        target = resolve(fn, inputs, wrt=wrt, backward=backward, cotangent=cotangent, device=device, hyper=hyper)
        checking = Checking(repeated(target.label, asked | hyper, seed), seed, order, tuple(modes), entries, variations)
        try:
            return checking.report(Examination(target, seed, probes or 2, tolerance or 0.0, constraint, surrogate))
        except WrongShapeError as error:
            return checking.misshapen(target, error)


@dataclass(frozen=True)
class Checking:
    """One check under way: the line that repeats it, and what it looks at."""

    line: str
    seed: int
    order: int
    modes: tuple[str, ...]
    entries: Literal["all"] | None
    variations: bool | Literal["layouts"]
    started: float = field(default_factory=time.perf_counter)

    def report(self, check: Examination) -> GradientReport:
        """Compare, then look for everything else; what is wrong at the given input is not varied."""
        records = check.compare(self.entries == "all")
        wrong = any(record.wrong_count for record in records)
        findings = self.findings(check, False if wrong else self.variations)
        return GradientReport(
            target=check.target.label, verdict=overall(records, findings), entries=tuple(records), findings=tuple(findings),
            guess=_guess(check, findings), seed=self.seed, line=self.line, forwards=check.forwards,
            seconds=time.perf_counter() - self.started,
        )  # fmt: skip

    def findings(self, check: Examination, variations: bool | Literal["layouts"]) -> list[Finding]:
        """What was observed, what else must be true of the backward, the changed inputs."""
        found = [*check.observed, *check.notes, *conjugate_convention(check), *further(check, self.modes)]
        if self.order >= 2:
            found += second_order(check)
        if variations and check.comparison is not None and not any(f.status == "wrong" for f in found):
            found += varied(check, variations == "layouts")
            if variations is True and allowed(check.target):
                found += float32_twin(check)
        return found

    def misshapen(self, target: Target, error: WrongShapeError) -> GradientReport:
        """The report on a backward whose gradient autograd refuses to take."""
        return GradientReport(
            target=target.label, verdict="differs", entries=(), findings=(Finding("shape", "wrong", str(error)),), guess="",
            seed=self.seed, line=self.line, forwards=3, seconds=time.perf_counter() - self.started,
        )  # fmt: skip


def repeated(label: str, asked: Mapping[str, Any], seed: int) -> str:
    """The call that repeats the check: options are written where they are not the usual ones; what has no short form by name."""
    plain = (str, int, float, bool, tuple, list)
    words = [
        f", {name}={value!r}" if isinstance(value, plain) else f", {name}={getattr(value, '__name__', name)}"
        for name, value in asked.items()
        if value is not None and not (isinstance(value, plain) and value == USUAL.get(name))
    ]
    return f"check_gradient({label if label.isidentifier() else 'fn'}, inputs{''.join(words)}, seed={seed})"


def _guess(check: Examination, findings: Sequence[Finding]) -> str:
    """What the mistake looks like: a forgotten conjugate has a finding of its own, the rest is read off the entries."""
    conjugate = [finding.sentence for finding in findings if finding.kind == KIND and finding.status == "wrong"]
    if conjugate:
        return conjugate[0]
    return guess(check.comparison) if check.comparison is not None else ""


def overall(records: Sequence[InputEntries], findings: Sequence[Finding]) -> Verdict:
    """Wrong anywhere: differs. Else not judged somewhere: unresolved. Else at a kink: kink. Else agrees."""
    verdicts = {record.verdict for record in records}
    if "differs" in verdicts or any(finding.status == "wrong" for finding in findings):
        return "differs"
    if "unresolved" in verdicts or any(finding.status == "unresolved" for finding in findings):
        return "unresolved"
    return "kink" if "kink" in verdicts else "agrees"
