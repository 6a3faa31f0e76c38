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
    ) -> tuple[numeric.Array, numeric.Array]:
        """The function at +h and -h along the columns `part` of the table, (c, 2, rows, m), and at the input itself, (m,)."""
        value = self.sampler.target.inputs[table.position]
        point = (torch.view_as_real(value) if value.is_complex() else value).reshape(-1).to(torch.float64)
        both = np.concatenate([ladder, -ladder])
        moves = torch.as_tensor(both * table.unit[part, None], device=point.device)
        if table.grouping is not None:
            directions = torch.as_tensor(table.grouping.directions(table.columns[part]), device=point.device)
            rows = self.sampler.at(table.position, _along(point, directions, moves))
        elif table.position in self.projections:
            directions = self._projected(table.position, point, table.columns[part])
            rows = self.sampler.at(table.position, _along(point, directions, moves))
        else:
            rows = self._columns(
                table.position, point, torch.as_tensor(table.columns[part], device=point.device), moves
            )
        found = rows.cpu().numpy()
        return found[:-1].reshape(len(part), 2, ladder.size, -1), found[-1]

    def _columns(self, position: int, point: Tensor, index: Tensor, moves: Tensor) -> Tensor:
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

    def _projected(self, position: int, point: Tensor, columns: NDArray[np.int64]) -> Tensor:
        """The unit vectors of the columns, projected onto the manifold of the input: (c, n)."""
        project = self.projections[position]
        directions = torch.zeros(columns.size, point.numel(), dtype=torch.float64)
        directions[torch.arange(columns.size), torch.as_tensor(columns)] = 1.0
        return torch.stack([project(direction) for direction in directions]).to(point.device)


def _along(point: Tensor, directions: Tensor, moves: Tensor) -> Tensor:
    """The input moved along directions (c, n) by moves (c, steps), and the input itself: (c·steps + 1, n)."""
    points = (point + moves[:, :, None] * directions[:, None, :]).reshape(moves.numel(), -1)
    return torch.cat([points, point[None]])
