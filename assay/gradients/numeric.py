"""Derivatives by extrapolated central differences, each with an error bar; kinks by one-sided slopes.

Along a direction v the function is sampled at x ± h_k·v with h_k = h_0·r^-k (r about 4). The slopes D_k/(2·h_k) have an error series in h²,
so Richardson's table T[k, j] = T[k, j-1] + (T[k, j-1] - T[k-1, j-1])/(r^2j - 1) removes one power after another.
Moving one row down divides the truncation of column j by 16^(j+1) and multiplies the rounding by 4; therefore the step
between two rows of one column bounds both: the truncation of the upper and the rounding of the lower.
Sources: Richardson 1911; Ridders 1982 (table); Moré and Wild 2011 (noise measured from differences, not from a model).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Not a power of two: steps of one mantissa would share their rounding, and hide that of a function near zero.
RATIO = 4.1
ROWS = 10
COLUMNS = 4
# Noise and truncation are read off differences that are as large as themselves; three times those bound the error in more than
# 99.9 % of entries (measured against sixty digits), which makes the bar. A difference is blamed on the gradient beyond three bars.
SAFETY = 3.0
MARGIN = 3.0
# Silence has to begin at this share of the largest step to be called flat: float32 inside a function is silent below 1e-6.
FLAT = 1e-5
# Puts every contradicted slope behind every other: bars span far less than this factor.
VAGUE = 1e60
# Two differences that happen to coincide do not make a slope exact: it carries the roundings of a difference, a quotient and, for each
# further column, of a product, a difference and a quotient.
ROUNDINGS = 2 + 3 * (COLUMNS - 1)
UNIT = float(np.finfo(np.float64).eps) / 2


def steps(first: float, rows: int = ROWS) -> Array:
    """The ladder h_0, h_0/r, h_0/r², ...: (rows,)."""
    return first * RATIO ** -np.arange(rows, dtype=np.float64)


@dataclass(frozen=True)
class Estimate:
    """A derivative (...), its error bar (...), the ladder row it was taken from, and the noise around every row (..., rows).

    `flat` is the bar of a zero slope where the function does not move at all near the point (minus infinity where it does): it may
    be flat there, or have a coarse resolution; a gradient of zero is then as right as the slope that larger steps show.
    `finest` (..., 2) are the plain slopes of the last two steps at which the function moves.
    """

    value: Array
    bar: Array
    row: NDArray[np.int64]
    noise: Array
    flat: Array
    finest: Array


def table(slopes: Array, columns: int = COLUMNS) -> list[Array]:
    """Richardson's table of slopes (..., rows): column j has shape (..., rows), NaN above its first entry."""
    found = [slopes]
    for j in range(1, min(columns, slopes.shape[-1])):
        last = found[-1]
        following = np.full_like(last, np.nan)
        following[..., 1:] = last[..., 1:] + (last[..., 1:] - last[..., :-1]) / (RATIO ** (2 * j) - 1)
        found.append(following)
    return found


def estimate(forward: Array, backward: Array, ladder: Array, floor: Array | float) -> Estimate:
    """The derivative from F(+h) - F(0) and F(0) - F(-h), both (..., rows), rows along the ladder (rows,).

    `floor` (...) is the smallest noise that one difference can have, from the format of the function's values. Of every row the
    column with the smallest bar is a candidate; the smallest bar wins among candidates that no smaller step contradicts.
    """
    differences = forward + backward
    with np.errstate(all="ignore"):
        still = (differences == 0).all(axis=-1)
        # Rows at the end of the ladder without any change are steps below the function's own resolution: they say nothing.
        silent = np.flip(np.logical_and.accumulate(np.flip(differences == 0, -1), axis=-1), -1) & ~still[..., None]
        slopes = np.where(silent, np.nan, differences / (2 * ladder))
        noise = np.maximum(_noise(slopes, ladder, silent), np.asarray(floor)[..., None])
        finest = _finest(slopes, silent)
        slopes = np.where(_rough(forward - backward, noise), np.nan, slopes)
        bars, values = _candidates(slopes, ladder, noise)
        bars_allowed = np.where(_contradicted(bars, values), bars * VAGUE, bars)
        row = bars_allowed.argmin(axis=-1)
    value, bar = _pick(values, row), _pick(bars, row)
    # A function that does not move by one rounding over the largest step has a slope below that rounding by that step.
    bar = np.where(still, floor / ladder[0], bar)
    # One that moves over the largest step alone has a slope of about that move, or none.
    once = silent[..., 1:].all(axis=-1) & np.isfinite(slopes[..., 0])
    value = np.where(once, slopes[..., 0], value)
    bar = np.where(once, SAFETY * np.maximum(np.abs(slopes[..., 0]), noise[..., 0] / ladder[0]), bar)
    started = np.where(silent, ladder, 0.0).max(axis=-1)
    flat = np.where(started > FLAT * ladder[0], floor / np.where(started > 0, started, 1.0), -np.inf)
    return Estimate(np.where(still, 0.0, value), bar, row, noise, flat, finest)


def _finest(slopes: Array, silent: NDArray[np.bool_]) -> Array:
    last = np.maximum((~silent).sum(axis=-1) - 1, 1)
    return np.stack([_pick(slopes, last - 1), _pick(slopes, last)], axis=-1)


def _pick(values: Array, row: NDArray[np.int64]) -> Array:
    return np.asarray(np.take_along_axis(values, row[..., None], -1)[..., 0])


def _candidates(slopes: Array, ladder: Array, noise: Array) -> tuple[Array, Array]:
    """The smallest bar of every row over the columns, and the value it belongs to: two arrays (..., rows)."""
    best, value = np.full(slopes.shape, np.inf), np.full(slopes.shape, np.nan)
    for column in table(slopes):
        bars = np.full(slopes.shape, np.inf)
        doubt = np.maximum(np.abs(np.diff(column, axis=-1)), (noise / ladder)[..., 1:])
        bars[..., 1:] = np.maximum(SAFETY * doubt, ROUNDINGS * UNIT * np.abs(column[..., 1:]))
        better = bars < best
        best, value = np.where(better, bars, best), np.where(better, column, value)
    return best, value


def _contradicted(bars: Array, values: Array) -> NDArray[np.bool_]:
    """Rows whose slope some smaller step, where the slope is known to a tenth, denies: the function has a finer scale."""
    known = bars < 0.1 * np.abs(values)
    found = np.zeros(bars.shape, dtype=bool)
    for k in range(1, bars.shape[-1]):
        apart = np.abs(values[..., :k] - values[..., k : k + 1]) > 2 * MARGIN * (bars[..., :k] + bars[..., k : k + 1])
        found[..., :k] |= apart & known[..., k : k + 1]
    return found


def _rough(bend: Array, noise: Array) -> NDArray[np.bool_]:
    """Rows down to the last whose bend F(+h) + F(-h) - 2·F(0) is audible and has not shrunk twice running: steps that jump over structure.

    A smooth bend shrinks by 16 a row, that of a kink by 4, of a square-root cusp by 2; beside a pole or over oscillations it stays.
    """
    size = np.abs(bend)
    around = np.max([noise, _moved(noise, -1), _moved(noise, -2)], axis=0)
    stays = np.zeros(bend.shape, dtype=bool)
    stays[..., 1:] = (size[..., 1:] > size[..., :-1] / 1.5) & (size[..., 1:] > 16 * around[..., 1:])
    stays[..., 2:] &= stays[..., 1:-1]
    return np.asarray(np.flip(np.logical_or.accumulate(np.flip(stays, -1), axis=-1), -1))


def _noise(slopes: Array, ladder: Array, silent: NDArray[np.bool_]) -> Array:
    """The noise of one difference around every row, (..., rows).

    Where truncation is gone, a step between two rows of a column is rounding divided by 2·h; the calmest column counts. Near a
    row the largest of four neighbouring steps is taken, because one can be small by chance. (A flat stretch of noise above says nothing about
    the rows below: a kink at distance d looks like noise of size d to every step beyond it.)
    """
    sizes = np.full(slopes.shape, np.inf)
    for column in table(slopes):
        change = np.abs(np.diff(column, axis=-1)) * ladder[1:]
        sizes[..., 1:] = np.minimum(sizes[..., 1:], np.where(np.isfinite(change), change, np.inf))
    # At the first silent row the function missed a change of slope times step.
    first = silent[..., 1:] & ~silent[..., :-1]
    sizes[..., 1:] = np.where(first, np.abs(slopes[..., :-1]) * ladder[1:], sizes[..., 1:])
    sizes = np.where(np.isfinite(sizes), sizes, 0.0)
    around = np.max([sizes, _moved(sizes, -1), _moved(sizes, 1), _moved(sizes, 2)], axis=0)
    # One row in four quieter than this is chance: quantised values can agree exactly over a few steps.
    ranked = np.sort(np.where(silent, np.inf, sizes)[..., 3:], axis=-1)
    rank = max(0, int(slopes.shape[-1]) // 4 - 1)
    quiet = ranked.take([rank], axis=-1) if ranked.shape[-1] else np.zeros(1)
    return np.asarray(np.maximum(around, 2 * np.where(np.isfinite(quiet), quiet, 0.0)))


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
    """One-sided slopes (...), how far they may be off, and `kink` where they stay apart as the step shrinks."""

    left: Array
    right: Array
    doubt: Array
    kink: NDArray[np.bool_]


def sides(forward: Array, backward: Array, ladder: Array, noise: Array) -> Sides:
    """One-sided slopes from F(+h) - F(0) and F(0) - F(-h), both (..., rows).

    The gap of the slopes is proportional to h on a smooth function, to 1/h in noise, and constant at a kink. A kink is claimed
    where the gap exceeds eight times its noise on the last three rows that rise above the noise, changes there by less than a
    factor 1.5 a row (a smooth function changes it by 4, a square-root cusp by 2), and is hidden below by noise alone: a gap
    that vanishes at a smaller, quieter step is a kink nearby, not here.

    A one-sided slope errs by c·h + O(h²); the slopes of two steps give its limit without c, up to the noise of the finer one and
    less than what the extrapolation itself added.
    """
    with np.errstate(all="ignore"):
        gap = (forward - backward) / ladder
        audible = np.abs(gap) > 8 * noise / ladder
        last = np.where(audible, np.arange(ladder.size), -1).max(axis=-1)
        kink = last >= 2
        at = np.maximum(last, 2)[..., None]
        chosen = [np.take_along_axis(gap, at - k, -1)[..., 0] for k in range(3)]
        heard = [np.take_along_axis(audible, at - k, -1)[..., 0] for k in range(3)]
        for k in range(2):
            kink &= heard[k + 1] & (np.abs(chosen[k]) < 1.5 * np.abs(chosen[k + 1]))
            kink &= (np.abs(chosen[k + 1]) < 1.5 * np.abs(chosen[k])) & (chosen[k] * chosen[k + 1] > 0)
        below = np.arange(ladder.size) > at
        hidden = 8 * noise / ladder >= np.abs(chosen[0])[..., None] / 1.5
        kink &= (~below | hidden).all(axis=-1)
        left, right = (_limit(side / ladder, at - 2) for side in (backward, forward))
        hiss = np.take_along_axis(noise / ladder, at - 1, -1)[..., 0]
        doubt = np.maximum(left[1], right[1]) + MARGIN * hiss
    return Sides(left[0], right[0], doubt, kink)


def _limit(slopes: Array, row: NDArray[np.int64]) -> tuple[Array, Array]:
    """One-sided slopes (..., rows) at `row` and the next, without the error proportional to h: the limit, and how far that moved it."""
    coarse, fine = (np.take_along_axis(slopes, row + k, -1)[..., 0] for k in (0, 1))
    limit = fine + (fine - coarse) / (RATIO - 1)
    return limit, np.abs(limit - coarse)
