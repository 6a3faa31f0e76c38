"""The function at small steps from its input along columns of a table, in batches; and what rounding does to its outputs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.gradients import numeric
from assay.gradients.sampling import BUDGET, Sampler
from assay.gradients.screen import FIRST, Projection, roundoff
from assay.gradients.table import Table


class Stencil:
    """Steps around the input of one sampler; `projections` keep them on a declared manifold.

    `short` are the three steps of the first pass, from `start` on; `long` the ladder of the second, from the largest step that made sense
    to the screen. `sizes` (m,) is the rounding of each output: that of its value, until the first pass has seen its terms.
    """

    def __init__(
        self, sampler: Sampler, *, projections: Mapping[int, Projection] | None, start: float, reached: float
    ) -> None:
        self.sampler, self.projections = sampler, projections or {}
        self.short = numeric.steps(start, 3)
        # From the largest step that can make sense to two rows below the last of the short ones, and never fewer than 17.
        largest = max(reached, FIRST)
        rows = math.ceil(math.log(largest / start) / math.log(numeric.RATIO)) + 5
        self.long = numeric.steps(largest, max(17, rows))
        self.copies: tuple[int, Tensor] | None = None
        self.base = np.nan_to_num(sampler.base.cpu().numpy())
        self.sizes = roundoff(sampler.target.inputs[sampler.target.wrt[0]]) * np.abs(self.base)

    def parts(self, position: int, columns: NDArray[np.int64], rows: int) -> list[NDArray[np.int64]]:
        """The columns in chunks whose perturbed inputs and outputs fit the budget."""
        size = max(self.base.size, self.sampler.target.inputs[position].numel(), 1)
        each = max(1, (BUDGET // size - 1) // (2 * rows))
        return [columns[start : start + each] for start in range(0, columns.size, each)]

    def values(
        self, table: Table, part: NDArray[np.int64], ladder: numeric.Array
    ) -> tuple[numeric.Array, numeric.Array, numeric.Array]:
        """The function at +h and -h along the columns `part` of the table, (c, 2, rows, m), and at the input itself, (m,).

        The third array (c, rows) are the distances from -h to +h, as far as the rounding of the moved entry lets them be what was asked.
        """
        value = self.sampler.target.inputs[table.position]
        point = (torch.view_as_real(value) if value.is_complex() else value).reshape(-1).to(torch.float64)
        moves = np.concatenate([ladder, -ladder]) * table.unit[part, None]
        spans = 2 * moves[:, : ladder.size]
        if table.grouping is not None:
            rows = self._along(table.position, point, table.grouping.directions(table.columns[part]), moves)
        elif table.position in self.projections:
            rows = self._along(
                table.position, point, self._projected(table.position, point, table.columns[part]), moves
            )
        else:
            kept = point.cpu().numpy()[table.columns[part], None]
            # The moved entries as the function sees them, in the input's own dtype.
            moved = torch.as_tensor(kept + moves).to(value.real.dtype if value.is_complex() else value.dtype).double()
            rows = self._columns(
                table.position, point, torch.as_tensor(table.columns[part], device=point.device), moved
            )
            apart = (moved[:, : ladder.size] - moved[:, ladder.size :]).numpy()
            spans = np.where(apart > 0, apart, spans)
        found = rows.cpu().numpy()
        return found[:-1].reshape(len(part), 2, ladder.size, -1), found[-1], spans

    def _columns(self, position: int, point: Tensor, index: Tensor, moved: Tensor) -> Tensor:
        """Outputs at the input with entry index[k] replaced by moved[k] (c, steps), and at the input itself: (c·steps + 1, m).

        The copies of the input are made once and put back.
        """
        count = moved.numel()
        if self.copies is None or self.copies[0] != position or self.copies[1].shape[0] < count + 1:
            self.copies = position, point.repeat(count + 1, 1)
        points = self.copies[1][-count - 1 :]
        row, column = torch.arange(count, device=point.device), index.repeat_interleave(moved.shape[1])
        points[row, column] = moved.reshape(-1).to(point.device)
        rows = self.sampler.at(position, points)
        points[row, column] = point[column]
        return rows

    def _along(self, position: int, point: Tensor, directions: numeric.Array, moves: numeric.Array) -> Tensor:
        """Outputs at the input moved along directions (c, n) by moves (c, steps), and at the input itself: (c·steps + 1, m)."""
        along, by = (torch.as_tensor(values, device=point.device) for values in (directions, moves))
        points = (point + by[:, :, None] * along[:, None, :]).reshape(by.numel(), -1)
        return self.sampler.at(position, torch.cat([points, point[None]]))

    def _projected(self, position: int, point: Tensor, columns: NDArray[np.int64]) -> numeric.Array:
        """The unit vectors of the columns, projected onto the manifold of the input: (c, n)."""
        project = self.projections[position]
        directions = torch.zeros(columns.size, point.numel(), dtype=torch.float64)
        directions[torch.arange(columns.size), torch.as_tensor(columns)] = 1.0
        return np.asarray(torch.stack([project(direction) for direction in directions]).numpy())
