"""`check_gradient`: the gradient of a function at given inputs, without a tolerance from the user."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch

from assay.errors import GradientInputError
from assay.gradients.compare import Comparison
from assay.gradients.constraints import projections
from assay.gradients.diagnose import guess
from assay.gradients.findings import further
from assay.gradients.narrow import own_dtype, twin
from assay.gradients.observe import observe
from assay.gradients.report import Finding, GradientReport, InputEntries, Verdict
from assay.gradients.sampling import Sampler
from assay.gradients.target import Inputs, Target, resolve
from assay.gradients.variations import varied

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
    asked = {"wrt": wrt, "order": order if order != 1 else None, "entries": entries}
    words = "".join(f", {name}={value!r}" for name, value in asked.items() if value is not None)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        check = Check(target, seed, probes or 2, tolerance or 0.0, constraint, surrogate)
        records = check.compare(entries == "all")
        wrong = any(record.wrong_count for record in records)
        findings = check.findings(order, modes, False if wrong else variations)
    return check.report(records, findings, f"check_gradient({target.label}, inputs{words}, seed={seed})")


class Check:
    """One target under check: what was observed, the comparison with the measured derivative, the findings."""

    def __init__(
        self,
        target: Target,
        seed: int,
        probes: int = 2,
        tolerance: float = 0.0,
        constraint: Any = None,
        surrogate: bool | Callable[..., Any] = False,
    ) -> None:
        self.started, self.seed = time.perf_counter(), seed
        self.generator = torch.Generator().manual_seed(seed)
        self.probes, self.tolerance, self.constraint, self.surrogate = probes, tolerance, constraint, surrogate
        self.target, self.analytic, self.observed, self.observed_values = observe(target, self.generator)
        self.reference, self.formula, self.notes = twin(self.target, self.analytic)
        measured = self.reference
        if callable(surrogate):
            measured = replace(self.reference, function=surrogate, backward=None, module=None, by_name=False)
        self.measured = measured
        self.projected = projections(constraint, self.reference)
        self.sampler = Sampler(measured, self.formula.kept if not callable(surrogate) else None)
        if bool(self.sampler.base.isnan().any()):
            raise GradientInputError(
                f"{target.label} returns NaN: {int(self.sampler.base.isnan().sum())} of {self.sampler.base.numel()} outputs, "
                "expected numbers; check it at an input inside its domain"
            )
        self.comparison: Comparison | None = None

    def compare(self, every_entry: bool) -> list[InputEntries]:
        if self.surrogate is True:
            self.notes.append(
                Finding(
                    "surrogate", "note", "the gradient is declared a surrogate and was not compared with the derivative"
                )
            )
            return []
        self.comparison = Comparison(
            self.sampler, self.formula, self.generator, self.probes, self.projected, self.tolerance
        )
        records = self.comparison.run(every_entry)
        if self.formula is not self.analytic:
            self.notes += own_dtype(self.comparison, self.analytic, self.tolerance)
        return records

    def findings(self, order: int, modes: Sequence[Mode], variations: bool | Literal["layouts"]) -> list[Finding]:
        found = [*self.observed, *self.notes, *further(self, order, modes)]
        if variations and self.comparison is not None and not any(f.status == "wrong" for f in found):
            found += varied(self, variations == "layouts")
        return found

    def guess(self) -> str:
        return guess(self.comparison) if self.comparison is not None else ""

    def report(self, records: Sequence[InputEntries], findings: Sequence[Finding], line: str) -> GradientReport:
        return GradientReport(
            target=self.target.label,
            verdict=overall(records, findings),
            entries=tuple(records),
            findings=tuple(findings),
            guess=self.guess(),
            seed=self.seed,
            line=line,
            forwards=self.forwards,
            seconds=time.perf_counter() - self.started,
        )

    @property
    def forwards(self) -> int:
        return self.sampler.forwards + 3


def overall(records: Sequence[InputEntries], findings: Sequence[Finding]) -> Verdict:
    """Wrong anywhere: differs. Else not judged somewhere: unresolved. Else at a kink: kink. Else agrees."""
    verdicts = {record.verdict for record in records}
    if "differs" in verdicts or any(finding.status == "wrong" for finding in findings):
        return "differs"
    if "unresolved" in verdicts or any(finding.status == "unresolved" for finding in findings):
        return "unresolved"
    return "kink" if "kink" in verdicts else "agrees"
