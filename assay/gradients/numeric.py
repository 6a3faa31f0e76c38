"""Derivatives by extrapolated central differences, each with an error bar; kinks by one-sided slopes.

Along a direction v the function is sampled at x ± h_k·v with h_k = h_0·4^-k. The slopes D_k/(2·h_k) have an error series in h²,
so Richardson's table T[k, j] = T[k, j-1] + (T[k, j-1] - T[k-1, j-1])/(16^j - 1) removes one power after another.
Moving one row down divides the truncation of column j by 16^(j+1) and multiplies the rounding by 4; therefore the step
between two rows of one column bounds both: the truncation of the upper and the rounding of the lower.
Sources: Richardson 1911; Ridders 1982 (table); Moré and Wild 2011 (noise measured from differences, not from a model).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RATIO = 4.0
ROWS = 10
COLUMNS = 4
# A difference is blamed on the gradient beyond five bars: no right row of 682,200 measured ones exceeded that (design document).
MARGIN = 5.0
# Puts every vague slope behind every known one: bars span far less than this factor.
VAGUE = 1e60
UNIT = float(np.finfo(np.float64).eps) / 2


def steps(first: float, rows: int = ROWS) -> Array:
    """The ladder h_0, h_0/4, h_0/16, ...: (rows,)."""
    return first * RATIO ** -np.arange(rows, dtype=np.float64)


@dataclass(frozen=True)
class Estimate:
    """A derivative (...), its error bar (...), the ladder row it was taken from and the measured noise of the function."""

    value: Array
    bar: Array
    row: NDArray[np.int64]
    noise: Array


def table(slopes: Array, columns: int = COLUMNS) -> list[Array]:
    """Richardson's table of slopes (..., rows): column j has shape (..., rows), NaN above its first entry."""
    found = [slopes]
    for j in range(1, min(columns, slopes.shape[-1])):
        last = found[-1]
        following = np.full_like(last, np.nan)
        following[..., 1:] = last[..., 1:] + (last[..., 1:] - last[..., :-1]) / (16.0**j - 1)
        found.append(following)
    return found


def estimate(differences: Array, ladder: Array, floor: Array | float) -> Estimate:
    """The derivative from central differences F(+h) - F(-h) of shape (..., rows), rows along the ladder (rows,).

    `floor` (...) is the smallest noise that one difference can have, from the format of the function's values.
    """
    with np.errstate(all="ignore"):
        still = (differences == 0).all(axis=-1)
        # Rows at the end of the ladder without any change are steps below the function's own resolution: they say nothing.
        silent = np.flip(np.logical_and.accumulate(np.flip(differences == 0, -1), axis=-1), -1) & ~still[..., None]
        columns = table(np.where(silent, np.nan, differences / (2 * ladder)))
        noise = np.maximum(_noise(columns, ladder, differences), np.asarray(floor)[..., None])
        best, ranks = np.full(still.shape, np.inf), np.full(still.shape, np.inf)
        value = np.full(still.shape, np.nan)
        row = np.zeros(still.shape, dtype=np.int64)
        for column in columns:
            bars = np.maximum(np.abs(np.diff(column, axis=-1)), noise / ladder[1:])
            bars = np.where(np.isfinite(bars), bars, np.inf)
            # A slope known to a tenth goes before any that is not: an average over oscillations has a small bar, too.
            vague = np.where(bars < 0.1 * np.abs(column[..., 1:]), bars, bars * VAGUE)
            k = vague.argmin(axis=-1)
            bar = np.take_along_axis(bars, k[..., None], -1)[..., 0]
            rank = np.take_along_axis(vague, k[..., None], -1)[..., 0]
            better = rank < ranks
            ranks = np.where(better, rank, ranks)
            best = np.where(better, bar, best)
            value = np.where(better, np.take_along_axis(column[..., 1:], k[..., None], -1)[..., 0], value)
            row = np.where(better, k + 1, row)
        level = np.take_along_axis(noise, np.maximum(row - 1, 0)[..., None], -1)[..., 0]
    # A function that does not move by one rounding over the largest step has a slope below that rounding by that step.
    bar = np.where(still, floor / ladder[0], best)
    return Estimate(np.where(still, 0.0, value), bar, row, np.where(still, floor, level))


def _noise(columns: list[Array], ladder: Array, differences: Array) -> Array:
    """The noise of one difference around every row but the first, (..., rows - 1): the larger of two measurements.

    Where truncation is gone, a step between rows k-1 and k of the last column is rounding divided by 2·h_k. Near a row the
    largest of four neighbouring steps is taken, because one can be small by chance. A hidden stage of low precision is silent
    (or exactly regular) at the smallest steps; it shows as a flat stretch above them, which counts for every row below.
    """
    sizes = np.abs(np.diff(columns[-1], axis=-1)) * ladder[1:]
    first = np.abs(np.diff(columns[0], axis=-1)) * ladder[1:]
    sizes = np.where(np.isfinite(sizes), sizes, 0.0)
    sizes[..., -2:] = np.where(sizes[..., -2:] == 0, np.nan_to_num(first[..., -2:], posinf=0.0), sizes[..., -2:])
    around = sizes.copy()
    for shift in (-1, 1, 2):
        around = np.maximum(around, _moved(sizes, shift))
    # Flat: three neighbours within a factor 8, all far below the difference itself. Truncation falls by 4^8 a row in this
    # column and a crossed kink by 16, so neither is flat; steps that jump over oscillations are as large as the difference.
    calm = np.where(sizes < 0.05 * np.abs(differences[..., 1:]), sizes, 0.0)
    triple = np.stack([calm, _moved(calm, 1), _moved(calm, 2)])
    flat = np.where(triple.max(0) < 8 * triple.min(0), triple.min(0), 0.0)
    return np.asarray(np.maximum(around, np.maximum.accumulate(flat, axis=-1)))


def _moved(values: Array, by: int) -> Array:
    """`values` shifted along the ladder, zeros coming in: entry k holds values[k + by]."""
    moved = np.zeros_like(values)
    if by > 0:
        moved[..., :-by] = values[..., by:]
    else:
        moved[..., -by:] = values[..., :by]
    return moved


@dataclass(frozen=True)
class Sides:
    """One-sided slopes (...): `kink` where they stay apart as the step shrinks; `settled` where they do anything but jump."""

    left: Array
    right: Array
    kink: NDArray[np.bool_]


def sides(forward: Array, backward: Array, ladder: Array, noise: Array) -> Sides:
    """One-sided slopes from F(+h) - F(0) and F(0) - F(-h), both (..., rows).

    The gap of the slopes is proportional to h on a smooth function, to 1/h in noise, and constant at a kink. A kink is claimed
    where the gap exceeds eight times its noise on the last three rows that rise above the noise, changes there by less than a
    factor 1.5 a row (a smooth function changes it by 4, a square-root cusp by 2), and is hidden below by noise alone: a gap
    that vanishes at a smaller, quieter step is a kink nearby, not here.
    """
    with np.errstate(all="ignore"):
        gap = (forward - backward) / ladder
        audible = np.abs(gap) > 8 * noise[..., None] / ladder
        last = np.where(audible, np.arange(ladder.size), -1).max(axis=-1)
        kink = last >= 2
        at = np.maximum(last, 2)[..., None]
        chosen = [np.take_along_axis(gap, at - k, -1)[..., 0] for k in range(3)]
        heard = [np.take_along_axis(audible, at - k, -1)[..., 0] for k in range(3)]
        for k in range(2):
            kink &= heard[k + 1] & (np.abs(chosen[k]) < 1.5 * np.abs(chosen[k + 1]))
            kink &= (np.abs(chosen[k + 1]) < 1.5 * np.abs(chosen[k])) & (chosen[k] * chosen[k + 1] > 0)
        below = np.arange(ladder.size) > at
        hidden = 8 * noise[..., None] / ladder >= np.abs(chosen[0])[..., None] / 1.5
        kink &= (~below | hidden).all(axis=-1)
        right = np.take_along_axis(forward / ladder, at, -1)[..., 0]
        left = np.take_along_axis(backward / ladder, at, -1)[..., 0]
    return Sides(left, right, kink)
