"""The first measurement of every entry: three steps for a sample of columns (for all, when sharpness is asked), one for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from assay.gradients import numeric
from assay.gradients.screen import FIRST, roundoff
from assay.gradients.table import Table

if TYPE_CHECKING:
    from assay.gradients.entries import Entries

# So many columns show the noise and the speed of convergence that the others are measured by.
SAMPLE = 32
# Bends above so many times the noise are heard; a bend is the sum of four values.
AUDIBLE = 16
# A single difference steps by this share of the first of three steps: 3e-6 of the input's scale, the cube root of the
# rounding halved, where truncation is a tenth of rounding on a function of unit length scale.
SMALL = 3e-6 / (FIRST / 16)
# A bend of a thousandth of the slope means a length scale of a thousand steps or less: measured again with care.
BENT = 1e-3


def first_pass(entries: Entries, table: Table) -> NDArray[np.bool_]:
    """Fill values and bars of the table; True where one-sided slopes do not close as those of a smooth function."""
    n = table.columns.size
    uneven = np.zeros((n, table.analytic.shape[0]), dtype=bool)
    if n == 0:
        return uneven.T
    chosen = np.full(n, entries.sharp)
    chosen[np.unique(np.linspace(0, n, min(n, SAMPLE), endpoint=False, dtype=np.int64))] = True
    sample = np.flatnonzero(chosen)
    change, bends = _sampled(entries, table, sample)
    noise = _noise(entries, table, change, sample)
    _bars(entries, table, sample, change, noise / entries.short[-1])
    uneven[sample] = (bends[:, 1] > bends[:, 0] / 8) & (bends[:, 1] > AUDIBLE * noise)
    _single(entries, table, np.flatnonzero(~chosen), noise, uneven)
    return uneven.T


def _single(
    entries: Entries, table: Table, columns: NDArray[np.int64], noise: numeric.Array, uneven: NDArray[np.bool_]
) -> None:
    """One small central difference a column, whose rounding outweighs its truncation.

    The bend tells the truncation: relative to the slope it is h/L on a function of length scale L, and the truncation is
    (h/L)²/6. The largest bend of an output stands for all of its entries, because single ones vanish by symmetry.
    At a kink the bend is of the order of the slope itself.
    """
    largest = np.maximum((table.sizes * table.unit).max(1, initial=0), np.finfo(np.float64).tiny)
    # Rounding r and truncation h² are balanced at the cube root of r, which grows with the value over the slope.
    ratio = float(np.median(noise / largest)) / numeric.UNIT
    h = entries.short[0] * SMALL * float(np.clip(ratio ** (1 / 3), 1.0, 100.0))
    for part in entries.parts(table.position, columns, 1):
        slopes, bends = _slopes(entries, table, part, np.array([h]))
        table.measured.T[part] = slopes[:, 0]
        with np.errstate(all="ignore"):
            bend = np.maximum(bends[:, 0] - 4 * noise, 0.0) / h
            truncation = (bend.max(0, initial=0) / largest) ** 2 / 6 * largest / table.unit[part, None]
            uneven[part] = bend > BENT * largest
            _bars(entries, table, part, truncation, noise / h)


def _slopes(
    entries: Entries, table: Table, part: NDArray[np.int64], ladder: numeric.Array
) -> tuple[numeric.Array, numeric.Array]:
    """Central slopes (c, rows, m), and the bends F(+h) + F(-h) - 2·F(0) at the last two steps (c, 2, m) or the only one."""
    values, base = entries.values(table, part, ladder)
    spans = torch.as_tensor(2 * ladder * table.unit[part, None], device=values.device)
    slopes = (values[:, 0] - values[:, 1]).div_(spans[..., None])
    bends = (values[:, 0, -2:] + values[:, 1, -2:]).sub_(base, alpha=2).abs_()
    return slopes.cpu().numpy(), bends.cpu().numpy()


def _sampled(entries: Entries, table: Table, sample: NDArray[np.int64]) -> tuple[numeric.Array, numeric.Array]:
    """Fill the sampled columns from three steps: their last extrapolation step (c, m), and the bends (c, 2, m)."""
    changes, bends = [], []
    for part in entries.parts(table.position, sample, 3):
        slopes, bend = _slopes(entries, table, part, entries.short)
        first = slopes[:, 1:] + (slopes[:, 1:] - slopes[:, :-1]) / (numeric.RATIO**2 - 1)
        last = first[:, 1] + (first[:, 1] - first[:, 0]) / (numeric.RATIO**4 - 1)
        table.measured.T[part] = last
        with np.errstate(all="ignore"):
            changes.append(np.abs(last - first[:, 1]))
        bends.append(bend)
    return np.concatenate(changes), np.concatenate(bends)


def _noise(entries: Entries, table: Table, change: numeric.Array, sample: NDArray[np.int64]) -> numeric.Array:
    """The noise of each output's differences, (m,).

    An output's rounding is that of its largest terms, so it has the size of its value or of its derivatives times the inputs,
    whichever is larger. The last extrapolation step is 1/(r⁴ - 1) of a step that is noise/(2·h) where truncation is gone: that many
    times its upper quartile, in units of that rounding, is the noise that all entries share.
    """
    value = entries.sampler.target.inputs[table.position]
    with np.errstate(all="ignore"):
        terms = np.sqrt(np.square(table.sizes * table.unit).sum(1))
        entries.sizes = roundoff(value) * np.maximum(np.abs(entries.base), terms)
        ratio = (numeric.RATIO**4 - 1) * change * (entries.short[-1] * table.unit[sample, None]) / entries.sizes
        ratio = ratio[(change > 0) & np.isfinite(ratio)]
    pooled = float(np.quantile(ratio[:: max(1, ratio.size // 4096)], 0.75)) if ratio.size else 1.0
    return np.asarray(max(pooled, 1.0) * entries.sizes)


def _bars(
    entries: Entries, table: Table, part: NDArray[np.int64], change: numeric.Array, rounding: numeric.Array
) -> None:
    """Bars of the columns: truncation `change` (c, m) or `rounding` (m,) of a unit step, and that of the analytic side."""
    unit = table.unit[part, None]
    with np.errstate(all="ignore"):
        bar = numeric.SAFETY * np.maximum(change, rounding / unit)
        still = (table.measured.T[part] == 0) & (change == 0)
        if still.any():
            # Standing still tells a slope below one rounding over the step, of the largest output: a difference of large
            # numbers can stand still at zero.
            nothing = entries.sizes.max() / (entries.short[0] * unit)
            bar = np.where(still, numeric.SAFETY * np.maximum(nothing, rounding / unit), bar)
        table.bar.T[part] = bar + table.largest / unit
