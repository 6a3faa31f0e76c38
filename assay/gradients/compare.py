"""Judge one input: screen it, go entry by entry where the screen objects or on request, and write down what was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from assay.gradients import numeric
from assay.gradients.analytic import Analytic
from assay.gradients.entries import jacobian, measure, table_of
from assay.gradients.first_pass import SHORT
from assay.gradients.flat import where
from assay.gradients.located import located
from assay.gradients.records import Entry, InputEntries
from assay.gradients.sampling import Sampler
from assay.gradients.screen import FIRST, Probe, Projection, Screen, signs
from assay.gradients.screen import resolution as sharpness
from assay.gradients.stencil import Stencil
from assay.gradients.table import KINK, NEEDED, OUTSIDE, UNRESOLVED, WRONG, Table

# Entries of one Jacobian that a table may hold: 32 MB an array. Beyond it the gradient is located by group testing.
TABLE = 4_000_000
SHOWN = 20
# Gradients below so many roundings of the output may be rounding; whether they are, a moved input tells.
NEAR_ZERO = 1e5
HEAT = 48


@dataclass
class Comparison:
    """Everything needed to compare one target's gradient with its derivative, and the tables made on the way."""

    sampler: Sampler
    analytic: Analytic
    generator: torch.Generator
    probes: int = 2
    project: Mapping[int, Projection] = field(default_factory=dict)
    tolerance: float = 0.0

    def __post_init__(self) -> None:
        self.tables: dict[int, Table] = {}
        self.rounded: dict[int, bool] = {}
        self.failed: list[Probe] = []
        self.jacobians: list[numeric.Array] | None = None
        self.screen = self._screen()

    def _screen(self) -> Screen:
        return Screen(self.sampler, self.analytic, self.generator, probes=self.probes, project=self.project)

    def run(self, every_entry: bool) -> list[InputEntries]:
        """One record per differentiated input."""
        return [self.input(position, every_entry) for position in self.sampler.target.wrt]

    def input(self, position: int, every_entry: bool = False) -> InputEntries:
        probes = self.screen.input(position)
        found = self._outcomes(probes)
        outcomes = [outcome(probe, 0.0, self.tolerance) for probe in probes]
        self.failed += [probe for probe, word in zip(probes, outcomes, strict=True) if word == "fails"]
        if not every_entry and found <= {"agrees"}:
            return self._screened(position, probes)
        if self._affordable(position):
            return self._by_entry(position, probes, "fails" in found)
        return located(self.blank(position, probes), self.sampler, self.screen, position, probes, outcomes)

    def _outcomes(self, probes: list[Probe]) -> set[str]:
        # A band whose entries are a million times below the typical ones need not be resolved by itself.
        least = max((probe.typical for probe in probes if np.isfinite(probe.typical)), default=0.0) / 1e6
        found = {outcome(probe, least, self.tolerance) for probe in probes}
        measured = all(np.isfinite(probe.bar) for probe in probes)
        if (
            "unresolved" in found
            and found <= {"agrees", "unresolved"}
            and measured
            and self.rounding(probes[0].position)
        ):
            return {"agrees"}
        return found

    def rounding(self, position: int) -> bool:
        """Whether the analytic gradient is nothing but rounding errors around zero.

        A derivative hardly changes when the inputs move by a billionth; a sum of rounding errors is another one. Only
        gradients of few roundings of the output are asked.
        """
        if position not in self.rounded:
            self.rounded[position] = self._is_rounding(position)
        return self.rounded[position]

    def _is_rounding(self, position: int) -> bool:
        i = self.sampler.target.wrt.index(position)
        gradient, unit = self.screen.gradients[position], self.screen.units[position]
        natural = float(self.sampler.base.nan_to_num().norm())
        if (
            gradient.numel() == 0
            or not float((gradient.abs() * unit).nan_to_num(nan=np.inf).max()) <= NEAR_ZERO * numeric.UNIT * natural
        ):
            return False
        if not bool(gradient.any()):
            return True
        # All inputs move: the gradient of a shift that the function takes out again rounds alike wherever the shift stands.
        inputs = list(self.analytic.target.inputs)
        for moving in self.analytic.target.wrt:
            value = inputs[moving]
            moves = signs(value.numel(), self.generator).reshape(value.shape).to(value.device)
            inputs[moving] = value * (1 + 1e-9 * moves)
        moved = Analytic(self.analytic.target.at(inputs))
        again = torch.stack([moved.pull(w.to(self.sampler.base.device))[i].cpu() for w in self.screen.cotangents])
        return bool((again - gradient).norm() > 0.1 * gradient.norm())

    def _affordable(self, position: int) -> bool:
        return self.sampler.base.numel() * self.screen.units[position].numel() <= TABLE

    def blank(self, position: int, probes: list[Probe]) -> InputEntries:
        """A record with nothing but the input's name, size and the resolution of the screen."""
        value = self.sampler.target.inputs[position]
        own = self.analytic.target.inputs[position]
        return InputEntries(
            name=self.sampler.target.names[position],
            shape=tuple(value.shape),
            dtype=str(own.dtype).removeprefix("torch."),
            checked=self.sampler.base.numel() * self.screen.units[position].numel(),
            method="screen",
            resolution=sharpness(probes),
        )

    def _screened(self, position: int, probes: list[Probe]) -> InputEntries:
        record = self.blank(position, probes)
        if not self.rounded.get(position):
            return record
        # Beside a gradient of zero an error is measured by the output's own size over the input's.
        natural = max(probe.natural for probe in probes) / float(self.screen.units[position].max())
        return replace(record, resolution=max(probe.smallest for probe in probes) / natural if natural > 0 else 0.0)

    def _by_entry(self, position: int, probes: list[Probe], failed: bool) -> InputEntries:
        table = self.table(position, sharp=failed)
        record = summary(self, table, self.blank(position, probes))
        if record.verdict != "agrees" or not failed:
            return record
        if not self._fails_again(position):
            return record
        worst = max(probes, key=lambda probe: probe.excess)
        shown = Entry(record.name, " along a random direction", "<w, y>", worst.analytic, worst.measured, worst.bar)
        return replace(record, wrong=(shown,), wrong_count=1)

    def _fails_again(self, position: int) -> bool:
        """Two fresh screens: a failure that is chance does not come twice more."""
        for _ in range(2):
            fresh = self._screen()
            if "fails" not in self._outcomes(fresh.input(position)):
                return False
        return True

    def _start(self, position: int) -> float:
        """The first step of the first pass: a 32nd of the step that the screen ended on, or less where it had to go deep.

        A random direction moves an inner product of n terms sqrt(n) times as far as one entry does; the fourth root is the
        middle between that and a function of the entry alone.
        """
        n = self.screen.units[position].numel()
        reached = self.screen.reached.get(position, FIRST)
        return float(min(reached * (SHORT / FIRST), 8 * self.screen.settled.get(position, reached) * n**0.25))

    def table(self, position: int, sharp: bool = False) -> Table:
        if self.jacobians is None:
            self.jacobians = jacobian(self.analytic)
        stencil = Stencil(
            self.sampler,
            projections=self.project,
            start=self._start(position),
            reached=self.screen.reached.get(position, FIRST),
        )
        slopes = self.jacobians[self.sampler.target.wrt.index(position)]
        table = table_of(stencil, self.analytic, position, slopes, self.tolerance, self.rounding(position))
        self.tables[position] = measure(stencil, table, self.generator, sharp)
        return self.tables[position]


def outcome(probe: Probe, least: float = 0.0, tolerance: float = 0.0) -> str:
    """ "agrees", "fails", "kink" or "unresolved" for one probe; a probe too blunt for a tenth of the gradient is unresolved."""
    if not np.isfinite(probe.analytic):
        return "fails"
    if not np.isfinite(probe.bar) or not np.isfinite(probe.measured):
        return "unresolved"
    if probe.kink:
        return "kink"
    if abs(probe.analytic) <= numeric.MARGIN * probe.flat:
        return "agrees"
    if abs(probe.analytic - probe.measured) > numeric.MARGIN * probe.bar + tolerance * probe.size:
        return "fails"
    blunt = probe.typical > 0 and probe.smallest > NEEDED * max(probe.typical, least)
    return "unresolved" if blunt else "agrees"


def summary(comparison: Comparison, table: Table, record: InputEntries) -> InputEntries:
    """The record of an input from its table of entries."""
    status = table.status
    plain = not status.any()
    wrong, kinks, lost = (
        np.zeros((0, 2), dtype=np.int64) if plain else np.argwhere(np.isin(status, kinds))
        for kinds in ((WRONG,), (KINK,), (UNRESOLVED, OUTSIDE))
    )
    if len(wrong):
        i, j = wrong.T
        error = np.abs(table.analytic[i, j] - table.measured[i, j])
        wrong = wrong[np.argsort(-np.nan_to_num(error, nan=np.inf), kind="stable")]
    size, worst = table.typical, table.worst()
    return replace(
        record,
        checked=status.size,
        method="entries",
        resolution=numeric.MARGIN * table.widest / size if size > 0 else record.resolution,
        worst=None if worst is None else entry(comparison, table, *worst),
        wrong=tuple(entry(comparison, table, int(i), int(j)) for i, j in wrong[:SHOWN]),
        wrong_count=len(wrong),
        kinks=len(kinks),
        kink=entry(comparison, table, *(int(k) for k in kinks[0])) if len(kinks) else None,
        unresolved=len(lost),
        reason=reason(comparison, table, lost) if len(lost) else "",
        heat=heat(table) if not plain else (),
    )


def reason(comparison: Comparison, table: Table, lost: np.ndarray) -> str:
    """Why entries could not be judged: outside the domain, noise, or a slope that does not settle."""
    i, j = (int(k) for k in lost[0])
    if table.status[i, j] == OUTSIDE:
        return "outside the domain: the function gives no finite value beside this input"
    if not np.isfinite(table.bar[i, j]):
        return "the slope does not settle as the step shrinks"
    return f"the bar {table.bar[i, j]:.1e} is wider than a tenth of the derivative {abs(table.measured[i, j]):.1e}: noise or ill-conditioning"


def entry(comparison: Comparison, table: Table, i: int, j: int) -> Entry:
    """The record of one entry of a table."""
    target = comparison.sampler.target
    analytic, measured, bar = table.entry(i, j)
    return Entry(
        input=target.names[table.position],
        index=where(int(table.columns[j]), target.inputs[table.position]),
        output=output_name(comparison.analytic, i),
        analytic=analytic,
        measured=measured,
        bar=bar,
        slopes=table.slopes.get((i, j)),
    )


def output_name(analytic: Analytic, row: int) -> str:
    """The name of a flat output coordinate, "y[0, 2]" or "y1[3]" when there are several outputs."""
    if analytic.target.cotangent is not None:
        return "<cotangent, y>"
    for number, value in enumerate(analytic.outputs):
        size = value.numel() * (2 if value.is_complex() else 1)
        if row < size:
            return f"y{number if len(analytic.outputs) > 1 else ''}{where(row, value)}"
        row -= size
    return "y"


def heat(table: Table) -> tuple[tuple[float, ...], ...]:
    """Errors in bars, at most 48 x 48: the largest of each block, for the picture in the report."""
    with np.errstate(all="ignore"):
        excess = np.abs(table.analytic - table.measured) / np.maximum(table.bar, np.finfo(np.float64).tiny)
        bad = table.status == WRONG
        excess = np.where(
            bad, np.nan_to_num(excess, nan=1e9, posinf=1e9), np.minimum(np.nan_to_num(excess), numeric.MARGIN)
        )
    if excess.size == 0:
        return ()
    rows, columns = (np.unique(np.linspace(0, n, min(HEAT, n), endpoint=False, dtype=np.int64)) for n in excess.shape)
    blocks = np.maximum.reduceat(np.maximum.reduceat(excess, rows, axis=0), columns, axis=1)
    return tuple(tuple(float(value) for value in row) for row in blocks)
