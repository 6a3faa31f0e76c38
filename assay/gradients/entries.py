"""Entry by entry: the whole Jacobian, measured in batches, each entry with its bar.

A first pass takes one step (two values) a column, three for a sample. Whatever does not settle there, or disagrees, is measured again on the
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
from assay.gradients.first_pass import first_pass
from assay.gradients.remeasure import remeasure
from assay.gradients.sampling import BUDGET, Sampler
from assay.gradients.screen import FIRST, Projection, roundoff, scales
from assay.gradients.table import Table


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
    found = [np.concatenate([part[i] for part in parts]) for i in range(len(analytic.target.wrt))]
    # Column after column in memory, as the measured side is filled.
    return [np.asfortranarray(table) for table in found]


class Entries:
    """The entry tables of one target; `projections` keep perturbations on a declared manifold.

    `start` is the first of the three steps of the first pass, `reached` the largest step that made sense to the screen. `sharp`
    takes three steps for every column: twelve digits where one step gives nine.
    """

    def __init__(
        self,
        sampler: Sampler,
        analytic: Analytic,
        *,
        projections: Mapping[int, Projection] | None = None,
        tolerance: float = 0.0,
        start: float = FIRST / 16,
        reached: float = FIRST,
        noisy: bool = False,
        sharp: bool = False,
    ) -> None:
        self.sampler, self.analytic, self.projections = sampler, analytic, projections or {}
        self.tolerance, self.noisy, self.sharp = tolerance, noisy, sharp
        # Three steps from a 230th of the input's scale remove six orders: truncation far below the rounding at the last step.
        self.short, self.long = numeric.steps(start, 3), numeric.steps(max(reached, FIRST), 17)
        # The rounding of each output, (m,): that of its value, until the first pass has seen its terms.
        self.copies: tuple[int, Tensor] | None = None
        self.base = np.nan_to_num(sampler.base.cpu().numpy())
        self.sizes = roundoff(sampler.target.inputs[sampler.target.wrt[0]]) * np.abs(self.base)

    def table(self, position: int, analytic: numeric.Array, columns: NDArray[np.int64] | None = None) -> Table:
        """Compare analytic (m, n) with measured derivatives at `columns` (all by default)."""
        unit = scales(self.sampler.target.inputs[position]).cpu().numpy()
        columns = np.arange(unit.size) if columns is None else columns
        analytic = self._on_manifold(position, analytic, unit.size)
        analytic = analytic if columns.size == unit.size else analytic[:, columns]
        own = 8 * roundoff(self.analytic.target.inputs[position])
        table = Table(position, analytic, columns, unit[columns], own, self.tolerance, self.noisy)
        uneven = first_pass(self, table)
        remeasure(self, table, table.suspicious() | uneven)
        return table

    def _on_manifold(self, position: int, analytic: numeric.Array, size: int) -> numeric.Array:
        project = self.projections.get(position)
        if project is None:
            return analytic
        moves = torch.stack([project(row) for row in torch.eye(size, dtype=torch.float64)]).numpy()
        return np.asarray(analytic @ moves.T)

    def parts(self, position: int, columns: NDArray[np.int64], rows: int) -> list[NDArray[np.int64]]:
        """The columns in chunks whose perturbed inputs and outputs fit the budget."""
        size = max(self.base.size, self.sampler.target.inputs[position].numel(), 1)
        each = max(1, BUDGET // (2 * rows * size) - 1)
        return [columns[start : start + each] for start in range(0, columns.size, each)]

    def values(self, table: Table, part: NDArray[np.int64], ladder: numeric.Array) -> tuple[Tensor, Tensor]:
        """The function at +h and -h along the columns `part` of the table, (c, 2, rows, m), and at the input itself, (m,)."""
        value = self.sampler.target.inputs[table.position]
        point = (torch.view_as_real(value) if value.is_complex() else value).reshape(-1).to(torch.float64)
        both = np.concatenate([ladder, -ladder])
        moves = torch.as_tensor(both * table.unit[part, None], device=point.device)
        index = torch.as_tensor(table.columns[part], device=point.device)
        if table.position in self.projections:
            rows = self.sampler.at(table.position, self._projected(table.position, point, index, moves))
        else:
            rows = self._perturbed(table.position, point, index, moves)
        return rows[:-1].reshape(len(part), 2, ladder.size, -1), rows[-1]

    def _perturbed(self, position: int, point: Tensor, index: Tensor, moves: Tensor) -> Tensor:
        """Outputs at the input with one entry moved, (moves + 1, m); the copies of the input are made once and put back."""
        count = moves.numel()
        if self.copies is None or self.copies[0] != position or self.copies[1].shape[0] < count + 1:
            self.copies = position, point.repeat(count + 1, 1)
        points = self.copies[1][-count - 1 :]
        row, column = torch.arange(count, device=point.device), index.repeat_interleave(moves.shape[1])
        kept = point[column]
        points[row, column] = kept + moves.reshape(-1)
        rows = self.sampler.at(position, points)
        points[row, column] = kept
        return rows

    def _projected(self, position: int, point: Tensor, index: Tensor, moves: Tensor) -> Tensor:
        """The input moved within its manifold, and the input itself: (moves + 1, n)."""
        project = self.projections[position]
        directions = torch.zeros(index.numel(), point.numel(), dtype=torch.float64)
        directions[torch.arange(index.numel()), index.cpu()] = 1.0
        projected = torch.stack([project(direction) for direction in directions]).to(point.device)
        points = (point + moves[:, :, None] * projected[:, None, :]).reshape(moves.numel(), -1)
        return torch.cat([points, point[None]])
