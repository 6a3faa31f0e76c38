"""The kind of mistake, as a sentence: guesses from the pattern of analytic against measured derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from assay.gradients import numeric
from assay.gradients.compare import Comparison
from assay.gradients.flat import where
from assay.gradients.table import WRONG, Table

# Two numbers are called the same pattern when they agree to six digits, far above the bars of a table.
SAME = 1e-6
# So few wrong entries are named one by one; a slice of which so large a share is wrong counts as wrong.
FEW, MOSTLY = 3, 0.9
Array = numeric.Array


def guess(comparison: Comparison) -> str:
    """The first pattern that explains the worst table, or an empty string."""
    tables = [table for table in comparison.tables.values() if (table.status == WRONG).any()]
    if not tables:
        return _screened(comparison)
    table = max(tables, key=lambda one: int((one.status == WRONG).sum()))
    known = np.isfinite(table.analytic) & np.isfinite(table.measured)
    a, n = np.where(known, table.analytic, 0.0), np.where(known, table.measured, 0.0)
    patterns: tuple[Callable[[], str], ...] = (
        lambda: _zero(table, a, n),
        lambda: _scale(table, a, n),
        lambda: _transposed(comparison, table, a, n),
        lambda: _other_input(comparison, table, a, n),
        lambda: _part(comparison, table),
        lambda: _reduction(comparison, table, a, n),
        lambda: _shifted(a, n),
        lambda: _permuted(a, n),
        lambda: _term(comparison, table, a, n),
    )
    return next((sentence for sentence in (pattern() for pattern in patterns) if sentence), "")


def _screened(comparison: Comparison) -> str:
    """For inputs without a table: whether probes have one ratio."""
    return ratio_of([(probe.analytic, probe.measured, probe.bar) for probe in comparison.failed])


def ratio_of(measured: Sequence[tuple[float, float, float]]) -> str:
    """The one ratio of (gradient, measured, bar) where there is one, else an empty string."""
    ratios = [a / n for a, n, bar in measured if abs(n) > numeric.MARGIN * bar and np.isfinite(a)]
    if len(ratios) >= 2 and max(ratios) - min(ratios) <= SAME * max(abs(ratio) for ratio in ratios):
        return _ratio(ratios[0])
    return ""


def _same(a: Array, n: Array) -> bool:
    return a.shape == n.shape and bool(
        np.abs(a - n).max(initial=0) <= SAME * max(float(np.abs(n).max(initial=0)), 1e-300)
    )


def _ratio(ratio: float) -> str:
    if abs(ratio + 1) <= SAME:
        return "the sign is wrong: every entry is negated (-1 times what it should be)"
    if ratio == 0:
        return "the gradient is zero where it should not be: something is detached, masked or not returned"
    return f"the scale is wrong: every entry is {ratio:.10g} times what it should be"


def _zero(table: Table, a: Array, n: Array) -> str:
    if (a == 0).all():
        return _ratio(0.0)
    wrong = table.status == WRONG
    if (a[wrong] == 0).all():
        return f"the gradient is zero at {int(wrong.sum())} entries where it should not be: something is masked, clipped or forgotten"
    if (np.abs(n[wrong]) <= table.bar[wrong]).all():
        return f"the gradient is not zero at {int(wrong.sum())} entries where it should be: a mask or a clipping is missing"
    return ""


def _scale(table: Table, a: Array, n: Array) -> str:
    heard = np.abs(n) > numeric.MARGIN * table.bar
    if not heard.any() or not (n[heard] @ n[heard]) > 0:
        return ""
    ratio = float(a[heard] @ n[heard] / (n[heard] @ n[heard]))
    if (
        ratio != 0
        and (np.abs(a - ratio * n) <= max(SAME * abs(ratio - 1), 1e-12) * np.abs(n).max() + 2 * table.bar).all()
    ):
        return _ratio(ratio)
    return ""


def _transposed(comparison: Comparison, table: Table, a: Array, n: Array) -> str:
    """The gradient of a square (or reshaped) matrix is that of its transpose; or the whole Jacobian is transposed."""
    shape = comparison.sampler.target.inputs[table.position].shape
    for factor in (1.0, -1.0):
        sign = " (and negated)" if factor < 0 else ""
        if a.shape[0] == a.shape[1] and _same(a, factor * n.T):
            return f"the Jacobian is transposed{sign}"
        if len(shape) >= 2 and a.shape[1] == int(np.prod(shape)):
            cubes = n.reshape(-1, *shape)
            if shape[-1] == shape[-2] and _same(a.reshape(-1, *shape), factor * cubes.swapaxes(-1, -2)):
                return f"the gradient is transposed{sign}: each entry is that of the transposed place"
            moved = cubes.swapaxes(-1, -2).reshape(a.shape)
            if _same(a, factor * moved):
                return f"the gradient is the transposed one read in the wrong order{sign}"
    return ""


def _other_input(comparison: Comparison, table: Table, a: Array, n: Array) -> str:
    names = comparison.sampler.target.names
    for position, other in comparison.tables.items():
        if position != table.position and other.measured.shape == n.shape and _same(a, np.nan_to_num(other.measured)):
            return f"it is the gradient of {names[position]}: two gradients are swapped or returned in the wrong order"
    return ""


def _part(comparison: Comparison, table: Table) -> str:
    """Only some entries of the input, or some slices of one of its axes, are wrong."""
    target = comparison.sampler.target
    value, name = target.inputs[table.position], target.names[table.position]
    columns = (table.status == WRONG).any(0)
    if columns.size != int(np.prod(value.shape)) or not len(value.shape) or not columns.any() or columns.all():
        return ""
    places = np.flatnonzero(columns)
    if places.size <= FEW and places.size < columns.size / 2:
        named = ", ".join(f"{name}{where(int(k), value)}" for k in places)
        return f"out of {columns.size} entries only {named} {'is' if places.size == 1 else 'are'} wrong"
    grid = columns.reshape(value.shape)
    for axis, size in enumerate(value.shape):
        share = grid.mean(axis=tuple(k for k in range(grid.ndim) if k != axis))
        if size > 1 and (share > 0).sum() == 1:
            return f"only index {int(share.argmax())} along axis {axis} of {name} is wrong"
        if size > 2 and (share >= MOSTLY).sum() == size - 1 and (share == 0).sum() == 1:
            return f"only index {int(share.argmin())} along axis {axis} of {name} is right: the other ones are treated as it is, or stale"
    return ""


def _reduction(comparison: Comparison, table: Table, a: Array, n: Array) -> str:
    """One slice where a sum over broadcast axes belongs, or a sum divided by its length."""
    shape = comparison.sampler.target.inputs[table.position].shape
    if a.shape[1] != int(np.prod(shape)):
        return ""
    rows_wrong = (table.status == WRONG).any(1)
    kept = ~rows_wrong
    if kept.any() and rows_wrong.any() and (a[rows_wrong] == 0).all():
        return "a reduction is missing: only some outputs reach the gradient, expected the sum over all of the broadcast axis"
    return ""


def _shifted(a: Array, n: Array) -> str:
    for step in (1, -1):
        if a.shape[1] > 2 and _same(a[:, 1:-1], np.roll(n, step, axis=1)[:, 1:-1]):
            return f"the entries are shifted by {step:+d}: an index or a padding is off by one"
        if a.shape[0] > 2 and _same(a[1:-1], np.roll(n, step, axis=0)[1:-1]):
            return f"the entries are shifted by {step:+d} along the output: an index or a padding is off by one"
    return ""


def _permuted(a: Array, n: Array) -> str:
    if a.shape[1] > 1 and _same(np.sort(a, axis=1), np.sort(n, axis=1)):
        return "the entries are permuted: right numbers in the wrong places"
    return ""


def _term(comparison: Comparison, table: Table, a: Array, n: Array) -> str:
    """The difference has rank one or is constant over an axis: a term of a sum is missing or one too many."""
    value = comparison.sampler.target.inputs[table.position]
    difference, word = _block(comparison, a - n, value.shape)
    top = float(np.abs(difference).max(initial=0))
    if top == 0 or min(difference.shape) < 2:
        return ""
    for axis, what in ((0, "outputs"), (1, f"entries of {comparison.sampler.target.names[table.position]}")):
        if (np.ptp(difference, axis=axis) <= SAME * top).all():
            return f"the error is the same for all {what}{word}: a term, such as that of a mean or a sum, is missing"
    values = np.linalg.svd(difference[:256, :256], compute_uv=False)
    if min(difference.shape) > 2 and values[1:].max(initial=0) <= SAME * values[0]:
        return f"the error is one product of two vectors{word}: a term of a sum is missing"
    return ""


def _block(comparison: Comparison, difference: Array, shape: tuple[int, ...]) -> tuple[Array, str]:
    """Where samples (first axes) or rows (all but the last) do not mix, the block of the worst one."""
    outputs = comparison.analytic.outputs
    if len(outputs) != 1 or not shape or difference.shape[1] != int(np.prod(shape)):
        return difference, ""
    out = tuple(outputs[0].shape)
    for count in (int(np.prod(shape[:-1])), shape[0]):
        if count < 2 or difference.shape[0] % count or not out or int(np.prod(out)) != difference.shape[0]:
            continue
        blocks = difference.reshape(count, difference.shape[0] // count, count, difference.shape[1] // count)
        sizes = np.abs(blocks).max(axis=(1, 3))
        if (sizes - np.diag(np.diag(sizes))).max() <= SAME * sizes.max():
            worst = int(np.diag(sizes).argmax())
            return np.ascontiguousarray(blocks[worst, :, worst]), " within each row"
    return difference, ""
