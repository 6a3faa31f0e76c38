"""The table of one input's entries: analytic and measured derivatives with a bar and a status each."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from assay.gradients import numeric

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
    rounding around zero. `slopes` holds the one-sided slopes of the entries at kinks.
    """

    position: int
    analytic: numeric.Array
    columns: NDArray[np.int64]
    unit: numeric.Array
    own: float
    tolerance: float
    noisy: bool
    slopes: dict[tuple[int, int], tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.measured = np.empty(self.analytic.shape, order="F")
        self.bar = np.empty(self.analytic.shape, order="F")
        self.status = np.full(self.analytic.shape, AGREES, dtype=np.int8)

    @cached_property
    def sizes(self) -> numeric.Array:
        """|analytic| with zeros for what is not finite, (m, n)."""
        sizes = np.abs(self.analytic)
        return sizes if np.isfinite(sizes).all() else np.nan_to_num(sizes, posinf=0.0)

    @cached_property
    def least(self) -> numeric.Array:
        """The size below which an entry need not be resolved by itself, (m, 1): 1e-3 of its row, 1e-6 of the table."""
        row = self.sizes.max(1, keepdims=True, initial=0)
        return np.asarray(np.maximum(1e-3 * row, 1e-6 * row.max(initial=0)))

    @cached_property
    def largest(self) -> numeric.Array:
        """What a unit step along a column may be off by the analytic side's rounding, (m,): that of the row's largest entry."""
        return np.asarray(self.own * (self.sizes * self.unit).max(1, initial=0))

    def suspicious(self) -> NDArray[np.bool_]:
        """Entries that the first pass cannot settle: not finite, not converged, or outside the bar's margin."""
        with np.errstate(all="ignore"):
            allowed = numeric.MARGIN * self.bar
            close = np.abs(self.analytic - self.measured) <= allowed
            close &= allowed <= SETTLED * np.maximum(self.sizes, self.least)
        return np.asarray(~close)

    def judge(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> None:
        """Set the status of the entries (i, j) from value, bar and power."""
        a, n, bar = self.analytic[i, j], self.measured[i, j], self.bar[i, j]
        with np.errstate(all="ignore"):
            size = np.maximum(np.abs(a), np.abs(n))
            apart = np.abs(a - n) > numeric.MARGIN * bar + self.tolerance * size
            blind = ~(numeric.MARGIN * bar <= NEEDED * np.maximum(size, self.least[i, 0]))
        blind &= (a != 0) & (not self.noisy)
        status = np.where(apart, WRONG, np.where(blind, UNRESOLVED, AGREES)).astype(np.int8)
        status[~np.isfinite(a)] = WRONG
        status[~np.isfinite(n) | ~np.isfinite(bar)] = UNRESOLVED
        self.status[i, j] = status
