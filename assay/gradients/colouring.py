"""Columns of a Jacobian that share no output, measured together: an elementwise function of a million numbers takes one direction.

Which columns share an output is read off the gradient under test, so that it cannot be trusted: every column of a group moves by its own
random share of a step. An output that a second column of the group reaches, against what the gradient says, then shows a slope that is off
by that column's share, and one that no column should reach shows a slope that is not zero; such groups are measured column by column.
Source: Curtis, Powell and Reid 1974 (columns without a common row share one difference).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from assay.gradients.screen import signs

Array = NDArray[np.float64]

# A group takes six values, a column by itself two: fewer groups than a quarter of the columns save at least a quarter of the work.
WORTH = 4
# First fit tries so many groups a column on average before the pattern counts as one without structure.
TRIES = 64


@dataclass(frozen=True)
class Grouping:
    """Input coordinate j belongs to group `label[j]` (n,) and moves by `moves[j]` (n,) of the input's own units for a unit step."""

    label: NDArray[np.int64]
    moves: Array
    count: int

    def compressed(self, table: Array) -> Array:
        """The slopes (m, count) of all groups that entries (m, n) without a common output in one group make."""
        rows, columns = np.divmod(np.flatnonzero(table != 0), table.shape[1])
        found = np.zeros((table.shape[0], self.count))
        found[rows, self.label[columns]] = table[rows, columns] * self.moves[columns]
        return found

    def directions(self, part: NDArray[np.int64]) -> Array:
        """The moves of the groups `part`, (c, n)."""
        found = np.zeros((part.size, self.label.size))
        place = np.full(self.count, -1)
        place[part] = np.arange(part.size)
        (member,) = np.nonzero(place[self.label] >= 0)
        found[place[self.label[member]], member] = self.moves[member]
        return found


def grouping(table: Array, unit: Array, generator: torch.Generator) -> Grouping | None:
    """Groups of the columns of an analytic Jacobian (m, n) that share no nonzero row, or None where they would not save work."""
    columns = table.shape[1]
    support = table != 0
    # A row reached by k columns needs k groups.
    if columns < WORTH or support.sum(axis=1).max(initial=1) * WORTH > columns:
        return None
    label = _first_fit(support)
    if label is None:
        return None
    count = int(label.max()) + 1
    return Grouping(label, signs(columns, generator).numpy() * unit, count)


def _first_fit(support: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Every column (n) of the support (m, n) into the first group that has none of its rows; None when that makes too many groups.

    Sets of rows are the bits of an integer. Equal columns never share a group, so that the search goes on behind the last equal one.
    """
    columns = support.shape[1]
    packed = np.packbits(np.ascontiguousarray(support.T), axis=1)
    width, data = packed.shape[1], packed.tobytes()
    label, tries = [], 0
    taken: list[int] = []
    behind: dict[bytes, int] = {}
    for start in range(0, columns * width, width):
        column = data[start : start + width]
        rows = int.from_bytes(column, "big")
        k = first = behind.get(column, 0)
        while k < len(taken) and taken[k] & rows:
            k += 1
        tries += k - first
        if k == len(taken):
            taken.append(0)
        if len(taken) * WORTH > columns or tries > TRIES * columns:
            return None
        taken[k] |= rows
        behind[column] = k + 1 if rows else k
        label.append(k)
    return np.array(label, dtype=np.int64)
