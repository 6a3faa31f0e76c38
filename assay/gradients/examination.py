"""One target under examination: what its first calls showed, its float64 twin, and the comparison with the measured derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from assay.errors import GradientInputError
from assay.gradients.compare import Comparison
from assay.gradients.constraints import projections
from assay.gradients.narrow import own_dtype, twin
from assay.gradients.observe import observe
from assay.gradients.records import Finding, InputEntries
from assay.gradients.sampling import Sampler
from assay.gradients.target import Target


class Examination:
    """What the findings look at: the target and its analytic side in their own dtype, the twin (`reference`, `formula`).

    `measured` is the function whose derivative is measured: the twin, or the one that a surrogate gradient is meant to be of.
    """

    def __init__(
        self,
        target: Target,
        seed: int,
        probes: int = 2,
        tolerance: float = 0.0,
        constraint: Any = None,
        surrogate: bool | Callable[..., Any] = False,
    ) -> None:
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
        """One record per differentiated input; none for a gradient that is declared to be no derivative."""
        if self.surrogate is True:
            sentence = "the gradient is declared a surrogate and was not compared with the derivative"
            self.notes.append(Finding("surrogate", "note", sentence))
            return []
        self.comparison = Comparison(
            self.sampler, self.formula, self.generator, self.probes, self.projected, self.tolerance
        )
        records = self.comparison.run(every_entry)
        if self.formula is self.analytic:
            return records
        held = Finding("precision", "holds", "the gradient in its own dtype is that of float64, up to rounding")
        self.notes += own_dtype(self.formula, self.analytic, self.generator, self.tolerance) or [held]
        return [
            replace(record, dtype=str(self.target.inputs[k].dtype).removeprefix("torch."))
            for k, record in zip(self.target.wrt, records, strict=True)
        ]

    @property
    def forwards(self) -> int:
        """Evaluations of the function: those of the sampler, and three while it was observed."""
        return self.sampler.forwards + 3
