"""Entry by entry: the whole Jacobian, measured in batches, each entry with its bar.

This first pass takes three steps (six values a column). Whatever does not settle there, or disagrees, is measured again on the
long ladder (`remeasure`), which also tells kinks from smooth entries; only that second measurement condemns an entry.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.gradients import numeric
from assay.gradients.analytic import Analytic
from assay.gradients.remeasure import remeasure
from assay.gradients.sampling import BUDGET, Sampler
from assay.gradients.screen import FIRST, Projection, scales
from assay.gradients.table import SETTLED, Table

# The noise of an output is read off so many of its entries.
NOISY = 64


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
    """The entry tables of one target; `projections` keep perturbations on a declared manifold.

    `start` is the first of the three steps of the first pass, `reached` the largest step that made sense to the screen.
    """

    def __init__(
        self,
        sampler: Sampler,
        analytic: Analytic,
        *,
        projections: Mapping[int, Projection] | None = None,
        tolerance: float = 0.0,
        start: float = FIRST / 4,
        reached: float = FIRST,
        noisy: bool = False,
    ) -> None:
        self.sampler, self.analytic, self.projections = sampler, analytic, projections or {}
        self.tolerance, self.noisy = tolerance, noisy
        # Three steps from a 64th of the input's scale remove six orders: 1e-14, below the rounding at the last step.
        self.short, self.long = numeric.steps(start, 3), numeric.steps(reached, 17)
        self.base = np.nan_to_num(sampler.base.cpu().numpy())

    def table(self, position: int, analytic: numeric.Array, columns: NDArray[np.int64] | None = None) -> Table:
        """Compare analytic (m, n) with measured derivatives at `columns` (all by default)."""
        unit = scales(self.sampler.target.inputs[position]).cpu().numpy()
        columns = np.arange(unit.size) if columns is None else columns
        analytic = self._on_manifold(position, analytic, unit.size)
        analytic = analytic if columns.size == unit.size else analytic[:, columns]
        own = 8 * _unit(self.analytic.target.inputs[position])
        table = Table(position, analytic, columns, unit[columns], own, self.tolerance, self.noisy)
        uneven = self._short(table)
        remeasure(self, table, table.suspicious() | uneven)
        return table

    def _on_manifold(self, position: int, analytic: numeric.Array, size: int) -> numeric.Array:
        project = self.projections.get(position)
        if project is None:
            return analytic
        moves = torch.stack([project(row) for row in torch.eye(size, dtype=torch.float64)]).numpy()
        return np.asarray(analytic @ moves.T)

    def values(self, table: Table, part: NDArray[np.int64], ladder: numeric.Array) -> tuple[Tensor, Tensor]:
        """The function at +h and -h along the columns `part` of the table, (c, 2, rows, m), and at the input itself, (m,)."""
        rows = self.sampler.at(table.position, self._points(table, part, ladder))
        return rows[:-1].reshape(len(part), 2, ladder.size, -1), rows[-1]

    def _points(self, table: Table, part: NDArray[np.int64], ladder: numeric.Array) -> Tensor:
        """All perturbed inputs of the columns, and the input itself: (columns · 2 · rows + 1, n)."""
        value = self.sampler.target.inputs[table.position]
        point = (torch.view_as_real(value) if value.is_complex() else value).reshape(-1).to(torch.float64)
        count = len(part) * 2 * ladder.size
        index = torch.as_tensor(table.columns[part], device=point.device)
        both = np.concatenate([ladder, -ladder])
        moves = torch.as_tensor(both * table.unit[part, None], device=point.device)
        project = self.projections.get(table.position)
        if project is None:
            points = point.repeat(count + 1, 1)
            flat = torch.arange(count, device=point.device)
            points[flat, index.repeat_interleave(2 * ladder.size)] += moves.reshape(-1)
            return points
        directions = torch.zeros(len(part), point.numel(), dtype=torch.float64)
        directions[torch.arange(len(part)), index.cpu()] = 1.0
        projected = torch.stack([project(direction) for direction in directions]).to(point.device)
        points = (point + moves[:, :, None] * projected[:, None, :]).reshape(count, -1)
        return torch.cat([points, point[None]])

    def _short(self, table: Table) -> NDArray[np.bool_]:
        """Fill the table from three steps a column; True where the one-sided slopes do not close as they should."""
        m, n = table.analytic.shape
        rows = self.short.size
        each = max(1, BUDGET // max(1, rows * max(m, self.sampler.target.inputs[table.position].numel())))
        change = np.empty((n, m))
        bends = np.empty((2, n, m))
        measured = np.empty((n, m))
        for start in range(0, n, each):
            part = np.arange(start, min(n, start + each))
            values, base = self.values(table, part, self.short)
            spans = torch.as_tensor(2 * self.short * table.unit[part, None], device=values.device)
            slopes = (values[:, 0] - values[:, 1]) / spans[..., None]
            first = slopes[:, 1:] + (slopes[:, 1:] - slopes[:, :-1]) / 15
            last = first[:, 1] + (first[:, 1] - first[:, 0]) / 255
            measured[part] = last.cpu().numpy()
            change[part] = (last - first[:, 1]).abs_().cpu().numpy()
            for k, row in enumerate((0, rows - 1)):
                bends[k, part] = (values[:, 0, row] + values[:, 1, row]).sub_(base, alpha=2).abs_().cpu().numpy()
        table.measured[:] = measured.T
        noise = self._bars(table, change.T)
        # Smooth bends shrink by 256 over two rows, kinks by 16; a bend within its noise says nothing.
        return np.asarray((bends[1].T > bends[0].T / 64) & (bends[1].T > 16 * noise))

    def _bars(self, table: Table, change: numeric.Array) -> numeric.Array:
        """Bars of the first pass, and the noise of each entry's differences, (m, n).

        `change` is the last extrapolation step, 1/255 of a step that is noise/(2·h) where truncation is gone. So 255 times its
        upper quartile, in units of each output's rounding, is the noise that all entries share; an output whose rounding
        comes from a cancellation before it has its own upper decile on top.
        """
        steps = self.short[-1] * table.unit
        roundoff = _unit(self.sampler.target.inputs[table.position])
        with np.errstate(all="ignore"):
            sizes = np.maximum(np.abs(self.base)[:, None], np.abs(table.measured) * table.unit)
            sizes *= roundoff
            thin = slice(None, None, max(1, -(-change.shape[1] // NOISY)))
            seen = 255 * np.nan_to_num(change[:, thin], posinf=0.0) * steps[thin]
            ratio = (seen / sizes[:, thin])[seen > 0]
            ratio = ratio[np.isfinite(ratio)]
            pooled = float(np.quantile(ratio[:: max(1, ratio.size // 4096)], 0.75)) if ratio.size else 1.0
            own = np.quantile(seen, 0.9, axis=1, keepdims=True) if seen.size else np.zeros((change.shape[0], 1))
            noise = np.maximum(max(pooled, 1.0) * sizes, own)
            still = (table.measured == 0) & (change == 0)
            bar = numeric.SAFETY * np.maximum(change, noise / steps)
            nothing = roundoff * np.abs(self.base)[:, None] / (self.short[0] * table.unit)
            table.bar[:] = np.where(still, nothing, bar) + table.rounding()
        return np.asarray(noise)


def _unit(value: Tensor) -> float:
    return float(torch.finfo(value.dtype).eps) / 2
