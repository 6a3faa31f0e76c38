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
        # A row without any change between rows that change tells that the step is below the function's own resolution.
        slopes = np.where((differences == 0) & ~still[..., None], np.nan, differences / (2 * ladder))
        columns = table(slopes)
        noise = np.maximum(_noise(columns, ladder), np.asarray(floor)[..., None])
        best = np.full(still.shape, np.inf)
        value = np.full(still.shape, np.nan)
        row = np.zeros(still.shape, dtype=np.int64)
        for column in columns:
            bars = np.maximum(np.abs(np.diff(column, axis=-1)), noise / ladder[1:])
            bars = np.where(np.isfinite(bars), bars, np.inf)
            k = bars.argmin(axis=-1)
            bar = np.take_along_axis(bars, k[..., None], -1)[..., 0]
            better = bar < best
            best = np.where(better, bar, best)
            value = np.where(better, np.take_along_axis(column[..., 1:], k[..., None], -1)[..., 0], value)
            row = np.where(better, k + 1, row)
        level = np.take_along_axis(noise, np.maximum(row - 1, 0)[..., None], -1)[..., 0]
    # A function that does not move by one rounding over the largest step has a slope below that rounding by that step.
    bar = np.where(still, floor / ladder[0], best)
    return Estimate(np.where(still, 0.0, value), bar, row, np.where(still, floor, level))


def _noise(columns: list[Array], ladder: Array) -> Array:
    """The noise of one difference around every row but the first, (..., rows - 1).

    Where truncation is gone, a step between rows k-1 and k of the last column is rounding divided by 2·h_k. The largest of
    four neighbouring rows is taken: one step can be small by chance, and a hidden stage of low precision is silent at
    the smallest steps, while oscillations that the largest steps jump over would drown the rows that resolve them.
    """
    sizes = np.abs(np.diff(columns[-1], axis=-1)) * ladder[1:]
    first = np.abs(np.diff(columns[0], axis=-1)) * ladder[1:]
    sizes = np.where(np.isfinite(sizes), sizes, 0.0)
    sizes[..., -2:] = np.where(sizes[..., -2:] == 0, np.nan_to_num(first[..., -2:], posinf=0.0), sizes[..., -2:])
    around = sizes.copy()
    for shift in (-1, 1, 2):
        moved = np.zeros_like(sizes)
        if shift > 0:
            moved[..., :-shift] = sizes[..., shift:]
        else:
            moved[..., -shift:] = sizes[..., :shift]
        around = np.maximum(around, moved)
    return around


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
