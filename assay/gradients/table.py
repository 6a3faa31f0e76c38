"""The table of one input's entries: analytic and measured derivatives with a bar and a status each."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from assay.gradients import numeric
from assay.gradients.colouring import Grouping

AGREES, WRONG, KINK, UNRESOLVED, OUTSIDE = range(5)
# An entry known to a thousandth of itself (or of a thousandth of its row) needs no second measurement: the screen, which
# sees far smaller errors, asks for the sharp pass when it objects.
SETTLED = 1e-3
# An error of a tenth of the entry is the coarsest that an "agrees" may overlook.
NEEDED = 0.1


@dataclass
class Table:
    """Derivatives (m, n) of all outputs with respect to the `columns` of one input, whose step units are `unit` (n,).

    `own` is the relative rounding of the analytic side, `tolerance` what the user accepts, `noisy` says that the gradient is
    rounding around zero. With a `grouping` the columns are its groups; `groups` is the table of the groups that the columns of this
    one were measured in. `slopes` holds the one-sided slopes of the entries at kinks.
    """

    position: int
    analytic: numeric.Array
    columns: NDArray[np.int64]
    unit: numeric.Array
    own: float
    tolerance: float
    noisy: bool
    grouping: Grouping | None = None
    groups: Table | None = None
    slopes: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.status = np.zeros(self.analytic.shape, dtype=np.int8, order="F")
        self._spread: tuple[numeric.Array, numeric.Array] | None = None

    def grouped(self, grouping: Grouping) -> Table:
        """The table of the groups of this table's columns, which are all columns of the input: (m, groups), steps in units of their moves."""
        every = np.arange(grouping.count)
        slopes = grouping.compressed(self.analytic)
        return Table(self.position, slopes, every, np.ones(every.size), self.own, self.tolerance, self.noisy, grouping)

    @property
    def pending(self) -> tuple[Table, Grouping] | None:
        """The groups, as long as nobody asked for their columns one by one."""
        if self._spread is not None or self.groups is None or self.groups.grouping is None:
            return None
        return self.groups, self.groups.grouping

    @property
    def measured(self) -> numeric.Array:
        """The measured derivatives (m, n). What a group's slope is off by is laid on each of its columns alone."""
        return self._values()[0]

    @property
    def bar(self) -> numeric.Array:
        """The error bars of the measured derivatives (m, n)."""
        return self._values()[1]

    def _values(self) -> tuple[numeric.Array, numeric.Array]:
        if self._spread is None and self.pending is None:
            shape = self.analytic.shape
            self._spread = np.empty(shape, order="F"), np.empty(shape, order="F")
        elif self.pending is not None:
            groups, grouping = self.pending
            off = (groups.measured - groups.analytic)[:, grouping.label] / grouping.moves
            bar = groups.bar[:, grouping.label] / np.abs(grouping.moves)
            self._spread = np.asfortranarray(self.analytic + off), np.asfortranarray(bar)
        assert self._spread is not None
        return self._spread

    @cached_property
    def finite(self) -> numeric.Array:
        """The analytic derivatives with zeros for what is not finite, (m, n)."""
        # A sum is finite only if all of its terms are; one that overflows costs a copy and nothing else.
        with np.errstate(all="ignore"):
            whole = bool(np.isfinite(self.analytic.sum()))
        return self.analytic if whole else np.nan_to_num(self.analytic, posinf=0.0, neginf=0.0)

    @cached_property
    def even(self) -> float | None:
        """The step unit that all columns share, or None."""
        return float(self.unit[0]) if self.unit.size and (self.unit == self.unit[0]).all() else None

    @cached_property
    def scaled(self) -> numeric.Array:
        """The derivatives for a step of one unit, up to the common factor `even` where there is one, (m, n)."""
        return self.finite if self.even is not None else self.finite * self.unit

    @cached_property
    def rows(self) -> numeric.Array:
        """The largest derivative of each output for a step of one unit, (m,)."""
        return _largest(self.scaled) * (self.even or 1.0)

    @cached_property
    def lengths(self) -> numeric.Array:
        """The root of the sum of squares of each output's derivatives for a step of one unit, (m,)."""
        with np.errstate(all="ignore"):
            return np.asarray(np.sqrt(np.einsum("ij,ij->i", self.scaled, self.scaled)) * (self.even or 1.0))

    @cached_property
    def least(self) -> numeric.Array:
        """The size below which an entry need not be resolved by itself, (m,): 1e-3 of its row, 1e-6 of the table."""
        row = _largest(self.finite)
        return np.asarray(np.maximum(1e-3 * row, 1e-6 * row.max(initial=0)))

    @property
    def largest(self) -> numeric.Array:
        """What a unit step along a column may be off by the analytic side's rounding, (m,): that of the row's largest entry."""
        return self.own * self.rows

    @property
    def typical(self) -> float:
        """The root mean square of the entries."""
        with np.errstate(all="ignore"):
            return math.sqrt(float(np.einsum("ij,ij->", self.finite, self.finite)) / max(1, self.finite.size))

    @property
    def widest(self) -> float:
        """The widest finite bar of any entry."""
        if self.pending is not None:
            groups, grouping = self.pending
            return float((groups.bar.max(0, initial=0)[grouping.label] / np.abs(grouping.moves)).max(initial=0))
        widest = float(self.bar.max(initial=0))
        return widest if np.isfinite(widest) else float(self.bar[np.isfinite(self.bar)].max(initial=0))

    def worst(self) -> tuple[int, int] | None:
        """The entry (i, j) whose error is the most bars."""
        if self.analytic.size == 0:
            return None
        if self.pending is not None:
            i, group = self.pending[0].worst() or (0, 0)
            members = np.flatnonzero(self.pending[1].label == group)
            return i, int(members[np.abs(self.finite[i, members]).argmax()])
        with np.errstate(all="ignore"):
            excess = np.abs(self.analytic - self.measured)
            excess /= np.maximum(self.bar, np.finfo(np.float64).tiny)
        if not np.isfinite(excess.max()):
            excess = np.nan_to_num(excess, nan=0.0, posinf=0.0)
        column, row = np.unravel_index(int(excess.T.argmax()), excess.T.shape)
        return int(row), int(column)

    def entry(self, i: int, j: int) -> tuple[float, float, float]:
        """Analytic and measured derivative and bar of one entry."""
        analytic = float(self.analytic[i, j])
        if self.pending is None:
            return analytic, float(self.measured[i, j]), float(self.bar[i, j])
        groups, grouping = self.pending
        group, move = grouping.label[j], grouping.moves[j]
        off = float((groups.measured[i, group] - groups.analytic[i, group]) / move)
        return analytic, analytic + off, float(groups.bar[i, group] / abs(move))

    def suspicious(self, columns: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Entries of the columns that the first pass cannot settle, (m, c): not finite, not converged, or outside the bar's margin."""
        analytic, measured, bar = self.analytic[:, columns], self.measured[:, columns], self.bar[:, columns]
        with np.errstate(all="ignore"):
            allowed = numeric.MARGIN * bar
            close = np.abs(analytic - measured) <= allowed
            close &= allowed <= SETTLED * np.maximum(np.abs(self.finite[:, columns]), self.least[:, None])
        return np.asarray(~close)

    def judge(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> None:
        """Set the status of the entries (i, j) from value, bar and power."""
        a, n, bar = self.analytic[i, j], self.measured[i, j], self.bar[i, j]
        with np.errstate(all="ignore"):
            size = np.maximum(np.abs(a), np.abs(n))
            apart = np.abs(a - n) > numeric.MARGIN * bar + self.tolerance * size
            blind = ~(numeric.MARGIN * bar <= NEEDED * np.maximum(size, self.least[i]))
        blind &= (a != 0) & (not self.noisy)
        status = np.where(apart, WRONG, np.where(blind, UNRESOLVED, AGREES)).astype(np.int8)
        status[~np.isfinite(a)] = WRONG
        status[~np.isfinite(n) | ~np.isfinite(bar)] = UNRESOLVED
        self.status[i, j] = status


def _largest(values: numeric.Array) -> numeric.Array:
    """The largest size in each row, (m,), without a copy of the table."""
    return np.asarray(np.maximum(values.max(1, initial=0), -values.min(1, initial=0)))
