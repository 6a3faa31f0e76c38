"""The first measurement of every entry: three steps for a sample of columns, two for the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from assay.gradients import numeric
from assay.gradients.screen import roundoff
from assay.gradients.table import Table

if TYPE_CHECKING:
    from assay.gradients.entries import Entries

# So many columns show the noise and the speed of convergence that the others are measured by.
SAMPLE = 32
# Bends above so many times the noise are heard; a bend is the sum of four values.
AUDIBLE = 16


def first_pass(entries: Entries, table: Table) -> NDArray[np.bool_]:
    """Fill values and bars of the table; True where one-sided slopes do not close as those of a smooth function."""
    n = table.columns.size
    chosen = np.zeros(n, dtype=bool)
    chosen[np.unique(np.linspace(0, n, min(n, SAMPLE), endpoint=False, dtype=np.int64))] = True
    uneven = np.zeros((n, table.analytic.shape[0]), dtype=bool)
    if n == 0:
        return uneven.T
    sample = np.flatnonzero(chosen)
    change, ratio, bends = _sampled(entries, table, sample)
    noise = _noise(entries, table, change, sample)
    _bars(entries, table, sample, change, noise)
    uneven[sample] = _uneven(bends, noise)
    for part in entries.parts(table.position, np.flatnonzero(~chosen), 2):
        slopes, bends = _slopes(entries, table, part, entries.short[1:])
        better = slopes[:, 1] + (slopes[:, 1] - slopes[:, 0]) / 15
        table.measured.T[part] = better
        _bars(entries, table, part, ratio * np.abs(better - slopes[:, 1]), noise)
        uneven[part] = _uneven(bends, noise)
    return uneven.T


def _slopes(
    entries: Entries, table: Table, part: NDArray[np.int64], ladder: numeric.Array
) -> tuple[numeric.Array, numeric.Array]:
    """Central slopes (c, rows, m), and the bends F(+h) + F(-h) - 2·F(0) at the last two steps (c, 2, m)."""
    values, base = entries.values(table, part, ladder)
    spans = torch.as_tensor(2 * ladder * table.unit[part, None], device=values.device)
    slopes = (values[:, 0] - values[:, 1]).div_(spans[..., None])
    bends = (values[:, 0, -2:] + values[:, 1, -2:]).sub_(base, alpha=2).abs_()
    return slopes.cpu().numpy(), bends.cpu().numpy()


def _sampled(
    entries: Entries, table: Table, sample: NDArray[np.int64]
) -> tuple[numeric.Array, float, numeric.Array]:
    """Fill the sampled columns from three steps: their last extrapolation step (c, m), the convergence, the bends (c, 2, m).

    The convergence is by how much the second extrapolation step is smaller than the first where truncation rules both: the
    upper percentile over the sample, which then turns the one step that two rows have into an estimate of the next.
    """
    changes, ratios, bends = [], [], []
    for part in entries.parts(table.position, sample, 3):
        slopes, bend = _slopes(entries, table, part, entries.short)
        first = slopes[:, 1:] + (slopes[:, 1:] - slopes[:, :-1]) / 15
        last = first[:, 1] + (first[:, 1] - first[:, 0]) / 255
        table.measured.T[part] = last
        with np.errstate(all="ignore"):
            changes.append(np.abs(last - first[:, 1]))
            ratio = changes[-1] / np.abs(first[:, 1] - slopes[:, 2])
        ratios.append(ratio[np.isfinite(ratio) & (ratio > 0)])
        bends.append(bend)
    known = np.concatenate(ratios)
    # Never below a 16th of the squared step: what a function of unit length scale has.
    ratio = float(np.quantile(known, 0.99)) if known.size else 0.0
    return np.concatenate(changes), max(min(ratio, 1.0), float(entries.short[1]) ** 2 / 16), np.concatenate(bends)


def _noise(entries: Entries, table: Table, change: numeric.Array, sample: NDArray[np.int64]) -> numeric.Array:
    """The noise of each output's differences, (m,).

    An output's rounding is that of its largest terms, so it has the size of its value or of its derivatives times the inputs,
    whichever is larger. The last extrapolation step is 1/255 of a step that is noise/(2·h) where truncation is gone: 255
    times its upper quartile, in units of that rounding, is the noise that all entries share.
    """
    value = entries.sampler.target.inputs[table.position]
    with np.errstate(all="ignore"):
        terms = np.sqrt(np.square(table.sizes * table.unit).sum(1))
        entries.sizes = roundoff(value) * np.maximum(np.abs(entries.base), terms)
        ratio = 255 * change * (entries.short[-1] * table.unit[sample, None]) / entries.sizes
        ratio = ratio[(change > 0) & np.isfinite(ratio)]
    pooled = float(np.quantile(ratio[:: max(1, ratio.size // 4096)], 0.75)) if ratio.size else 1.0
    return np.asarray(max(pooled, 1.0) * entries.sizes)


def _bars(
    entries: Entries, table: Table, part: NDArray[np.int64], change: numeric.Array, noise: numeric.Array
) -> None:
    """Bars of the columns: the next extrapolation step or the noise, and the rounding of the analytic side."""
    unit = table.unit[part, None]
    measured = table.measured.T[part]
    with np.errstate(all="ignore"):
        bar = numeric.SAFETY * np.maximum(change, noise / (entries.short[-1] * unit))
        still = measured == 0
        if still.any():
            value = entries.sampler.target.inputs[table.position]
            nothing = roundoff(value) * np.abs(entries.base) / (entries.short[0] * unit)
            bar = np.where(still & (change == 0), nothing, bar)
        table.bar.T[part] = bar + table.largest / unit


def _uneven(bends: numeric.Array, noise: numeric.Array) -> NDArray[np.bool_]:
    """Smooth bends shrink by 16 a row, those of kinks by 4; a bend within its noise says nothing."""
    return np.asarray((bends[:, 1] > bends[:, 0] / 8) & (bends[:, 1] > AUDIBLE * noise))
