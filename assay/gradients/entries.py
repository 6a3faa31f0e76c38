"""Entry by entry: the whole Jacobian, measured in batches, each entry with its bar; suspicious entries are measured again.

The first pass takes three steps (six values a column). Whatever does not settle there, or disagrees, is measured again on the
long ladder, which also tells kinks from smooth entries; only that second measurement condemns an entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.gradients import numeric
from assay.gradients.analytic import Analytic
from assay.gradients.sampling import BUDGET, Sampler
from assay.gradients.screen import Projection, scales

AGREES, WRONG, KINK, UNRESOLVED, OUTSIDE = range(5)
# An entry that is settled to a millionth of its row needs no second measurement.
SETTLED = 1e-6
# An error of a tenth of the entry is the coarsest that an "agrees" may overlook.
NEEDED = 0.1
# So many columns measured again, in batches of so many, before a verdict on them is extended to the rest.
AGAIN, BATCH = 256, 32


@dataclass
class Table:
    """Analytic and measured derivatives (m, n) of all outputs with respect to one input, with bars and a status each."""

    position: int
    analytic: numeric.Array
    measured: numeric.Array
    bar: numeric.Array
    status: NDArray[np.int8]
    left: dict[tuple[int, int], tuple[float, float]]
    columns: NDArray[np.int64]
    unit: numeric.Array

    @property
    def top(self) -> float:
        """The largest finite analytic entry: entries a million times below it need not be resolved by themselves."""
        return float(np.abs(np.nan_to_num(self.analytic, posinf=0.0, neginf=0.0)).max(initial=0))


def jacobian(analytic: Analytic) -> list[numeric.Array]:
    """The analytic Jacobian of every differentiated input, (m, n_i), by batched vector-Jacobian products."""
    m = analytic.rows
    device = analytic.target.inputs[analytic.target.wrt[0]].device
    widest = max(analytic.target.inputs[k].numel() for k in analytic.target.wrt)
    rows = max(1, BUDGET // max(widest, m, 1))
    parts = []
    for start in range(0, m, rows):
        count = min(rows, m - start)
        w = torch.zeros(count, m, dtype=torch.float64, device=device)
        w[torch.arange(count), torch.arange(start, start + count)] = 1.0
        parts.append([g.cpu().numpy() for g in analytic.pull_rows(w)])
    return [np.concatenate([part[i] for part in parts]) for i in range(len(analytic.target.wrt))]


class Entries:
    """The entry tables of one target; `project` keeps perturbations on a declared manifold."""

    def __init__(
        self,
        sampler: Sampler,
        analytic: Analytic,
        *,
        project: Mapping[int, Projection] | None = None,
        tolerance: float = 0.0,
        start: float = 2.0**-6,
        reached: float = 0.07,
        noisy: bool = False,
    ) -> None:
        self.sampler, self.analytic = sampler, analytic
        self.projections, self.tolerance = project or {}, tolerance
        # Three steps from a 64th of the input's scale remove six orders: 1e-14, below the rounding at the last step.
        self.short, self.long = numeric.steps(start, 3), numeric.steps(reached, 17)
        self.noisy = noisy
        self.base = np.nan_to_num(sampler.base.cpu().numpy())

    def table(self, position: int, analytic: numeric.Array, columns: NDArray[np.int64] | None = None) -> Table:
        """Compare analytic (m, n) with measured derivatives at `columns` (all by default)."""
        unit = scales(self.sampler.target.inputs[position]).cpu()
        columns = np.arange(unit.numel()) if columns is None else columns
        analytic = self._on_manifold(position, analytic, unit)[:, columns]
        measured, bar, uneven = self._short(position, unit, columns, analytic)
        status = np.full(analytic.shape, AGREES, dtype=np.int8)
        table = Table(position, analytic, measured, bar, status, {}, columns, unit.numpy()[columns])
        suspicious = self._suspicious(table) | uneven
        self._again(table, unit, suspicious)
        return table

    def _again(self, table: Table, unit: Tensor, suspicious: NDArray[np.bool_]) -> None:
        """Measure suspicious columns again; once nearly all of many prove wrong, the rest is judged by the short pass."""
        again = np.flatnonzero(suspicious.any(0))
        again = again[np.argsort(-suspicious[:, again].sum(0), kind="stable")]
        for start in range(0, len(again), BATCH):
            self._long(table, unit, again[start : start + BATCH], suspicious)
            done = again[: start + BATCH]
            wrong = (table.status[:, done] == WRONG)[suspicious[:, done]]
            if start >= AGAIN and wrong.mean() > 0.95:
                for column in again[start + BATCH :]:
                    rows = suspicious[:, column]
                    table.status[rows, column] = self._judge(table, rows, int(column))
                return

    def _on_manifold(self, position: int, analytic: numeric.Array, unit: Tensor) -> numeric.Array:
        project = self.projections.get(position)
        if project is None:
            return analytic
        eye = torch.eye(unit.numel(), dtype=torch.float64)
        moves = torch.stack([project(row) for row in eye]).numpy()
        return analytic @ moves.T

    def _points(self, position: int, unit: Tensor, columns: NDArray[np.int64], ladder: numeric.Array) -> Tensor:
        """All perturbed inputs of the columns and the input itself: (columns · 2 · rows + 1, n)."""
        value = self.sampler.target.inputs[position]
        point = (torch.view_as_real(value) if value.is_complex() else value).reshape(-1).to(torch.float64)
        count, rows = len(columns), ladder.size
        index = torch.as_tensor(columns, device=point.device)
        moves = torch.as_tensor(np.concatenate([ladder, -ladder]), device=point.device) * unit.to(point.device)[index, None]
        project = self.projections.get(position)
        if project is None:
            points = point.repeat(count * 2 * rows + 1, 1)
            flat = torch.arange(count * 2 * rows, device=point.device)
            points[flat, index.repeat_interleave(2 * rows)] += moves.reshape(-1)
            return points
        directions = torch.zeros(count, point.numel(), dtype=torch.float64)
        directions[torch.arange(count), index.cpu()] = 1.0
        projected = torch.stack([project(direction) for direction in directions]).to(point.device)
        points = (point + moves[:, :, None] * projected[:, None, :]).reshape(count * 2 * rows, -1)
        return torch.cat([points, point[None]])

    def _short(
        self, position: int, unit: Tensor, columns: NDArray[np.int64], analytic: numeric.Array
    ) -> tuple[numeric.Array, numeric.Array, NDArray[np.bool_]]:
        rows = self.short.size
        m, n = self.base.size, unit.numel()
        each = max(1, 4 * BUDGET // max(1, 2 * rows * max(m, n)))
        measured, change = np.empty((m, len(columns))), np.empty((m, len(columns)))
        bends = np.empty((2, m, len(columns)))
        for start in range(0, len(columns), each):
            part = columns[start : start + each]
            values = self.sampler.at(position, self._points(position, unit, part, self.short)).cpu()
            base, values = values[-1], values[:-1].reshape(len(part), 2, rows, m)
            spans = 2 * torch.as_tensor(self.short) * unit[torch.as_tensor(part), None]
            slopes = (values[:, 0] - values[:, 1]) / spans[..., None]
            first = slopes[:, 1:] + (slopes[:, 1:] - slopes[:, :-1]) / 15
            last = first[:, 1] + (first[:, 1] - first[:, 0]) / 255
            measured[:, start : start + each] = last.T.numpy()
            change[:, start : start + each] = (last - first[:, 1]).abs().T.numpy()
            bend = (values[:, 0, ::2] + values[:, 1, ::2] - 2 * base).abs()
            bends[:, :, start : start + each] = bend.permute(1, 2, 0).numpy()
        bar, level = self._bars(position, unit, columns, measured, change, analytic)
        # Smooth bends shrink by 256 over two rows, kinks by 16; a bend within its noise says nothing.
        uneven = (bends[1] > bends[0] / 64) & (bends[1] > 16 * level)
        return measured, bar, uneven

    def _bars(
        self,
        position: int,
        unit: Tensor,
        columns: NDArray[np.int64],
        measured: numeric.Array,
        change: numeric.Array,
        analytic: numeric.Array,
    ) -> tuple[numeric.Array, numeric.Array]:
        """Bars of the short pass and the noise of each output: the last extrapolation step, floored by the noise pooled over the whole output.

        `last - first` is 1/255 of a step that is noise/(2·h) where truncation is gone, so 255 times its upper quantile
        over the entries that move at all is the noise of the table in units of each entry's own rounding floor.
        """
        steps = self.short[-1] * unit.numpy()[columns]
        roundoff = _unit(self.sampler.target.inputs[position])
        with np.errstate(all="ignore"):
            noise = 255 * np.nan_to_num(change, posinf=0.0) * steps
            sizes = np.maximum(np.abs(self.base)[:, None], np.abs(measured) * unit.numpy()[columns])
            ratio = noise / (roundoff * sizes)
            moving = (change > 0) & np.isfinite(ratio)
            pooled = float(np.quantile(ratio[moving][:: max(1, moving.sum() // 4096)], 0.75)) if moving.any() else 1.0
            # Rounding before a cancellation is larger than that of the result: each output's own upper decile counts too.
            own = np.quantile(noise, 0.9, axis=1, keepdims=True) if noise.shape[1] else 0.0
            level = np.maximum(max(pooled, 1.0) * roundoff * sizes, own)
            bar = np.maximum(change, level / steps)
            eight = 8 * _unit(self.analytic.target.inputs[position])
            weights = np.abs(np.nan_to_num(analytic, posinf=0.0, neginf=0.0)) * unit.numpy()[columns]
            rounding = eight * weights.max(1, keepdims=True, initial=0) / unit.numpy()[columns]
        still = (measured == 0) & (change == 0)
        bar = np.where(still, roundoff * np.abs(self.base)[:, None] / (self.short[0] * unit.numpy()[columns]), bar)
        return np.asarray(bar + rounding), np.asarray(level)

    def _suspicious(self, table: Table) -> NDArray[np.bool_]:
        """Entries that the short pass cannot settle: not finite, not converged, or outside five bars."""
        size = np.maximum(np.abs(table.measured), np.abs(table.analytic))
        with np.errstate(all="ignore"):
            row = np.nan_to_num(size).max(1, keepdims=True, initial=0)
            loose = table.bar * numeric.MARGIN > SETTLED * np.maximum(size, np.maximum(1e-3 * row, 1e-6 * table.top))
            apart = ~(np.abs(table.analytic - table.measured) <= numeric.MARGIN * table.bar)
        return np.asarray(loose | apart | ~np.isfinite(table.measured))

    def _long(self, table: Table, unit: Tensor, part: NDArray[np.int64], suspicious: NDArray[np.bool_]) -> None:
        """Measure the columns `part` again on the long ladder, alone (not batched), and judge their suspicious entries."""
        columns = table.columns[part]
        rows, m = self.long.size, self.base.size
        values = self.sampler.at(table.position, self._points(table.position, unit, columns, self.long)).cpu().numpy()
        base = values[-1][None, :, None]
        values = values[:-1].reshape(len(part), 2, rows, m).transpose(0, 3, 1, 2)
        ahead, behind = values[:, :, 0] - base, base - values[:, :, 1]
        roundoff = _unit(self.sampler.target.inputs[table.position])
        for k, column in enumerate(part):
            own = self.long * float(unit[columns[k]])
            floor = roundoff * np.abs(self.base)
            found = numeric.estimate(ahead[k], behind[k], own, floor)
            apart = numeric.sides(ahead[k], behind[k], own, found.noise)
            chosen = suspicious[:, column]
            self._settle(table, chosen, int(column), found, apart, np.isnan(behind[k]).any(-1) | np.isnan(ahead[k]).any(-1))

    def _settle(
        self,
        table: Table,
        rows: NDArray[np.bool_],
        column: int,
        found: numeric.Estimate,
        apart: numeric.Sides,
        outside: NDArray[np.bool_],
    ) -> None:
        own = 8 * _unit(self.analytic.target.inputs[table.position]) * np.abs(np.nan_to_num(table.analytic[:, column], posinf=0, neginf=0))
        better = rows & (np.isfinite(found.bar) | ~np.isfinite(table.bar[:, column]))
        table.measured[better, column] = found.value[better]
        table.bar[better, column] = (found.bar + own)[better]
        table.status[rows, column] = self._judge(table, rows, column)
        lost = rows & ~np.isfinite(table.bar[:, column])
        edge = outside.any() & ~np.isfinite(table.analytic[:, column])
        table.status[(lost & outside) | edge, column] = OUTSIDE
        a = table.analytic[:, column]
        table.status[rows & (np.abs(a) <= numeric.MARGIN * found.flat), column] = AGREES
        low, high = np.minimum(apart.left, apart.right), np.maximum(apart.left, apart.right)
        slack = numeric.MARGIN * own + 1e-6 * np.maximum(np.abs(low), np.abs(high))
        within = (a >= low - slack) & (a <= high + slack)
        kink = rows & apart.kink
        table.status[kink, column] = np.where(within, KINK, WRONG)[kink]
        for i in np.flatnonzero(kink):
            table.left[(int(i), column)] = (float(apart.left[i]), float(apart.right[i]))

    def _judge(self, table: Table, rows: NDArray[np.bool_], column: int) -> NDArray[np.int8]:
        """Status of the chosen rows of one column from value, bar and power."""
        a, n, bar = table.analytic[rows, column], table.measured[rows, column], table.bar[rows, column]
        size = np.maximum(np.abs(a), np.abs(n))
        with np.errstate(all="ignore"):
            apart = np.abs(a - n) > numeric.MARGIN * bar + self.tolerance * size
            row = np.nanmax(np.abs(np.where(np.isfinite(table.analytic[rows]), table.analytic[rows], 0)), axis=1, initial=0)
            blind = ~(numeric.MARGIN * bar <= NEEDED * np.maximum(size, np.maximum(1e-3 * row, 1e-6 * table.top)))
            zero = (a == 0) | self.noisy
        blind &= ~zero | ~np.isfinite(bar)
        status = np.where(apart, WRONG, np.where(blind, UNRESOLVED, AGREES)).astype(np.int8)
        status[~np.isfinite(a)] = WRONG
        status[~np.isfinite(n) | ~np.isfinite(bar)] = UNRESOLVED
        return status


def _unit(value: Tensor) -> float:
    return float(torch.finfo(value.dtype).eps) / 2
