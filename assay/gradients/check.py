"""`check_gradient`: the gradient of a function at given inputs, without a tolerance from the user."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
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

Mode = Literal["reverse", "forward", "batched"]


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
    target = resolve(fn, inputs, wrt=wrt, backward=backward, cotangent=cotangent, device=device, hyper=hyper)
    asked = {
        "wrt": (wrt, None), "probes": (probes, None), "order": (order, 1), "modes": (tuple(modes), ("reverse",)),
        "tolerance": (tolerance, None), "entries": (entries, None), "constraint": (constraint, None), "surrogate": (surrogate, False),
        "variations": (variations, True), "backward": (backward, None), "cotangent": (cotangent, None), **{k: (v, None) for k, v in hyper.items()},
    }  # fmt: skip
    line = repeated(target.label, asked, seed)
    started = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            check = Examination(target, seed, probes or 2, tolerance or 0.0, constraint, surrogate)
        except WrongShapeError as error:
            return _misshapen(target, error, seed, line, time.perf_counter() - started)
        records = check.compare(entries == "all")
        findings = _findings(
            check, order, modes, False if any(record.wrong_count for record in records) else variations
        )
    return _report(check, records, findings, seed, line, time.perf_counter() - started)


def _report(
    check: Examination,
    records: Sequence[InputEntries],
    findings: Sequence[Finding],
    seed: int,
    line: str,
    seconds: float,
) -> GradientReport:
    return GradientReport(
        target=check.target.label,
        verdict=overall(records, findings),
        entries=tuple(records),
        findings=tuple(findings),
        guess=_guess(check, findings),
        seed=seed,
        line=line,
        forwards=check.forwards,
        seconds=seconds,
    )


def _misshapen(target: Target, error: WrongShapeError, seed: int, line: str, seconds: float) -> GradientReport:
    """The report on a backward whose gradient autograd refuses to take."""
    return GradientReport(
        target=target.label, verdict="differs", entries=(), findings=(Finding("shape", "wrong", str(error)),), guess="",
        seed=seed, line=line, forwards=3, seconds=seconds,
    )  # fmt: skip


def repeated(label: str, asked: Mapping[str, tuple[Any, Any]], seed: int) -> str:
    """The call that repeats the check: options (value, default) are written where they differ; what has no short form by name."""
    plain = (str, int, float, bool, tuple, list)
    words = [
        f", {name}={value!r}" if isinstance(value, plain) else f", {name}={getattr(value, '__name__', name)}"
        for name, (value, default) in asked.items()
        if value is not default and not (isinstance(value, plain) and value == default)
    ]
    return f"check_gradient({label if label.isidentifier() else 'fn'}, inputs{''.join(words)}, seed={seed})"


def _findings(
    check: Examination, order: int, modes: Sequence[Mode], variations: bool | Literal["layouts"]
) -> list[Finding]:
    found = [*check.observed, *check.notes, *conjugate_convention(check), *further(check, modes)]
    if order >= 2:
        found += second_order(check)
    if variations and check.comparison is not None and not any(f.status == "wrong" for f in found):
        found += varied(check, variations == "layouts")
        if variations is True and allowed(check.target):
            found += float32_twin(check)
    return found


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
