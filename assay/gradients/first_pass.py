"""The first measurement: three steps for groups of columns and for a sample of the others (for all, when sharpness is asked), one for the rest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from assay.gradients import numeric
from assay.gradients.screen import FIRST, roundoff
from assay.gradients.stencil import Stencil
from assay.gradients.table import SETTLED, Table

# So many columns show the noise and the speed of convergence that the others are measured by.
SAMPLE = 32
# Bends above so many times the noise are heard; a bend is the sum of four values.
AUDIBLE = 16
# A single difference steps by 3e-6 of the input's scale, the cube root of the rounding halved, where truncation is a tenth of
# rounding on a function of unit length scale: this share of the first of three steps that begin at `SHORT`.
SHORT = FIRST / 32
SMALL = 3e-6 / SHORT
# A bend of a thousandth of the slope means a length scale of a thousand steps or less: measured again with care.
BENT = 1e-3
# The noise that so large a share of the sampled entries exceeds counts, from LOUD·FEW entries on; of fewer one nearer to the largest.
LOUD, FEW = 0.05, 64
# The mean square of a group's moves, which are uniform on [0.5, 1]: its slopes are as much smaller than those of its columns.
SHARE = 7 / 12


def first_pass(stencil: Stencil, table: Table, columns: NDArray[np.int64], sharp: bool) -> NDArray[np.bool_]:
    """Fill values and bars of the columns; True (m, n) where they do not settle, disagree, or do not bend as a smooth function."""
    suspicious = np.zeros(table.analytic.shape, dtype=bool, order="F")
    if columns.size == 0:
        return suspicious
    chosen = np.full(columns.size, sharp)
    chosen[np.unique(np.linspace(0, columns.size, min(columns.size, SAMPLE), endpoint=False, dtype=np.int64))] = True
    sample = columns[chosen]
    change, bends = _sampled(stencil, table, sample)
    noise = _noise(stencil, table, change, sample)
    _bars(stencil, table, sample, change, noise / stencil.short[-1])
    uneven = (bends[:, 1] > bends[:, 0] / 8) & (bends[:, 1] > AUDIBLE * noise)
    suspicious[:, sample] = table.suspicious(sample) | uneven.T
    _single(stencil, table, columns[~chosen], noise, suspicious)
    return suspicious


def _single(
    stencil: Stencil, table: Table, columns: NDArray[np.int64], noise: numeric.Array, suspicious: NDArray[np.bool_]
) -> None:
    """One small central difference a column, whose rounding outweighs its truncation.

    The bend tells the truncation: relative to the slope it is h/L on a function of length scale L, and the truncation is
    (h/L)²/6. The largest bend of an output stands for all of its entries, because single ones vanish by symmetry.
    At a kink the bend is of the order of the slope itself.
    """
    largest = np.maximum(table.rows, np.finfo(np.float64).tiny)
    # Rounding r and truncation h² are balanced at the cube root of r, which grows with the value over the slope.
    ratio = float(np.median(noise / largest)) / numeric.UNIT
    h = stencil.short[0] * SMALL * float(np.clip(ratio ** (1 / 3), 1.0, 100.0))
    for part in stencil.parts(table.position, columns, 1):
        values, base, spans = stencil.values(table, part, np.array([h]))
        ahead, behind = values[:, 0, 0], values[:, 1, 0]
        table.measured.T[part] = (ahead - behind) / spans
        sums = ahead + behind
        with np.errstate(all="ignore"):
            # The largest and the smallest sum make the largest bend: two passes and no copy.
            bend = np.maximum(sums.max(0) - 2 * base, 2 * base - sums.min(0))
            slope = np.maximum(bend - 4 * noise, 0.0) / h
            truncation = (slope / largest) ** 2 / 6 * largest
            _bars(stencil, table, part, truncation / table.unit[part, None], noise / h)
            _suspect(table, part, suspicious)
            if not (slope <= BENT * largest).all():
                bent = np.abs(sums - 2 * base) - 4 * noise > BENT * largest * h
                suspicious.T[part] |= bent


def _suspect(table: Table, part: NDArray[np.int64], suspicious: NDArray[np.bool_]) -> None:
    """As `Table.suspicious`, in the cache and by bounds of whole outputs where these suffice."""
    allowed = numeric.MARGIN * table.bar.T[part].max(0)
    apart = np.abs(table.analytic.T[part] - table.measured.T[part]).max(0)
    tightest = numeric.MARGIN * table.bar.T[part].min(0)
    if not ((apart <= tightest) & (allowed <= SETTLED * table.least)).all():
        suspicious[:, part] = table.suspicious(part)


def _sampled(stencil: Stencil, table: Table, sample: NDArray[np.int64]) -> tuple[numeric.Array, numeric.Array]:
    """Fill the sampled columns from three steps: their last extrapolation step (c, m), and the bends at the last two (c, 2, m)."""
    changes, bends = [], []
    for part in stencil.parts(table.position, sample, 3):
        values, base, spans = stencil.values(table, part, stencil.short)
        slopes = (values[:, 0] - values[:, 1]) / spans[..., None]
        first = slopes[:, 1:] + (slopes[:, 1:] - slopes[:, :-1]) / (numeric.RATIO**2 - 1)
        last = first[:, 1] + (first[:, 1] - first[:, 0]) / (numeric.RATIO**4 - 1)
        table.measured.T[part] = last
        with np.errstate(all="ignore"):
            changes.append(np.abs(last - first[:, 1]))
        bends.append(np.abs(values[:, 0, 1:] + values[:, 1, 1:] - 2 * base))
    return np.concatenate(changes), np.concatenate(bends)


def _noise(stencil: Stencil, table: Table, change: numeric.Array, sample: NDArray[np.int64]) -> numeric.Array:
    """The noise of each output's differences, (m,).

    An output's rounding is that of its largest terms, so it has the size of its value or of its derivatives times the inputs,
    whichever is larger. The last extrapolation step is 1/(r⁴ - 1) of a step that is noise/(2·h) where truncation is gone: that many
    times its highest twentieth, in units of that rounding, is the noise that all entries share. Of few entries that is itself a
    matter of chance, and nearly the largest counts.
    """
    value = stencil.sampler.target.inputs[table.position]
    share = 1.0 if table.grouping is None else SHARE**0.5
    with np.errstate(all="ignore"):
        stencil.sizes = roundoff(value) * np.maximum(np.abs(stencil.base), table.lengths / share)
        ratio = (numeric.RATIO**4 - 1) * change * (stencil.short[-1] * table.unit[sample, None]) / stencil.sizes
        ratio = ratio[(change > 0) & np.isfinite(ratio)]
    level = 1 - min(LOUD, max(0, ratio.size - 1) / FEW)
    pooled = float(np.quantile(ratio[:: max(1, ratio.size // 4096)], level)) if ratio.size else 1.0
    return np.asarray(max(pooled, 1.0) * stencil.sizes)


def _bars(
    stencil: Stencil, table: Table, part: NDArray[np.int64], change: numeric.Array, rounding: numeric.Array
) -> None:
    """Bars of the columns: truncation `change` (c, m) or `rounding` (m,) of a unit step, and that of the analytic side."""
    unit = table.unit[part, None]
    with np.errstate(all="ignore"):
        bar = numeric.SAFETY * np.maximum(change, rounding / unit)
        measured = table.measured.T[part]
        if not measured.all():
            # Standing still tells a slope below one rounding over the step, of the largest output: a difference of large
            # numbers can stand still at zero.
            nothing = stencil.sizes.max() / (stencil.short[0] * unit)
            still = numeric.SAFETY * np.maximum(nothing, rounding / unit)
            bar = np.where((measured == 0) & (change == 0), still, bar)
        table.bar.T[part] = bar + table.largest / unit
