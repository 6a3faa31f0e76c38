"""The second measurement of suspicious entries, on the long ladder: it condemns, clears, or finds a kink or an edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assay.gradients import numeric
from assay.gradients.stencil import Stencil
from assay.gradients.table import AGREES, KINK, OUTSIDE, UNRESOLVED, WRONG, Table

# So many columns are measured again, in batches of so many, before a verdict on them is extended to the rest.
AGAIN, BATCH = 256, 32


def remeasure(stencil: Stencil, table: Table, suspicious: NDArray[np.bool_]) -> None:
    """Measure the columns of suspicious entries again; once nearly all of many prove wrong, the rest is judged as it stands."""
    counts = suspicious.sum(0)
    again = np.flatnonzero(counts)
    again = again[np.argsort(-counts[again], kind="stable")]
    for start in range(0, len(again), BATCH):
        _columns(stencil, table, again[start : start + BATCH], suspicious)
        done = again[: start + BATCH]
        if start >= AGAIN and (table.status[:, done] == WRONG)[suspicious[:, done]].mean() > 0.95:
            rest = again[start + BATCH :]
            i, j = np.nonzero(suspicious[:, rest])
            table.judge(i, rest[j])
            return


def _columns(stencil: Stencil, table: Table, part: NDArray[np.int64], suspicious: NDArray[np.bool_]) -> None:
    i, c = np.nonzero(suspicious[:, part])
    pieces = [
        stencil.values(table, piece, stencil.long) for piece in stencil.parts(table.position, part, stencil.long.size)
    ]
    chosen = np.concatenate([values for values, _, _ in pieces])[c, :, :, i]
    center = pieces[0][1][i][:, None]
    ahead, behind = chosen[:, 0] - center, center - chosen[:, 1]
    # Where nothing moves the rounding of the largest output counts: a difference of large numbers can stand still at zero.
    still = (ahead == 0).all(-1) & (behind == 0).all(-1)
    floor = np.where(still, stencil.sizes.max(initial=0), stencil.sizes[i])
    found = numeric.estimate(ahead, behind, stencil.long, floor)
    apart = numeric.sides(ahead, behind, stencil.long, found.noise)
    outside = np.isnan(ahead).any(-1) | np.isnan(behind).any(-1)
    edges = np.zeros(len(part), dtype=bool)
    edges[c[outside]] = True
    _settle(table, i, part[c], found, apart, outside, edges[c])


def _settle(
    table: Table,
    i: NDArray[np.int64],
    j: NDArray[np.int64],
    found: numeric.Estimate,
    apart: numeric.Sides,
    outside: NDArray[np.bool_],
    edge: NDArray[np.bool_],
) -> None:
    """Write the second measurement of the entries (i, j) into the table; `edge` marks columns that touch the domain's edge."""
    unit = table.unit[j]
    rounding = table.own * np.abs(table.finite[i, j])
    with np.errstate(all="ignore"):
        known = np.isfinite(found.bar) | ~np.isfinite(table.bar[i, j])
        table.measured[i[known], j[known]] = (found.value / unit)[known]
        table.bar[i[known], j[known]] = (found.bar / unit + rounding)[known]
        table.judge(i, j)
        a = table.analytic[i, j]
        lost = (~np.isfinite(table.bar[i, j]) & outside) | (edge & ~np.isfinite(a))
        flat = np.abs(a) <= numeric.MARGIN * found.flat / unit
        low, high = np.minimum(apart.left, apart.right) / unit, np.maximum(apart.left, apart.right) / unit
        slack = numeric.MARGIN * rounding + apart.doubt / unit
        within = (a >= low - slack) & (a <= high + slack)
        # The finest steps say what the gradient says and coarser ones do not: structure too fine for the ladder, not a mistake.
        fine = (np.abs(found.finest / unit[:, None] - a[:, None]) < 0.1 * np.abs(a)[:, None]).all(-1)
        fine &= np.abs(table.measured[i, j] - a) > 0.3 * np.abs(a)
    table.status[i[fine], j[fine]] = UNRESOLVED
    table.status[i[lost], j[lost]] = OUTSIDE
    table.status[i[flat], j[flat]] = AGREES
    kink = apart.kink
    table.status[i[kink], j[kink]] = np.where(within, KINK, WRONG)[kink]
    for k in np.flatnonzero(kink):
        table.slopes[(int(i[k]), int(j[k]))] = (float(apart.left[k] / unit[k]), float(apart.right[k] / unit[k]))
