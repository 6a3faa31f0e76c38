"""The kind of mistake, as a sentence: guesses from the pattern of analytic against measured derivatives."""

from __future__ import annotations

import numpy as np

from assay.gradients import numeric
from assay.gradients import table as table_of
from assay.gradients.compare import Comparison
from assay.gradients.table import Table


def guess(comparison: Comparison) -> str:
    """The first pattern that explains the worst table, or an empty string."""
    tables = [table for table in comparison.tables.values() if (table.status == table_of.WRONG).any()]
    if not tables:
        return ""
    table = max(tables, key=lambda one: int((one.status == table_of.WRONG).sum()))
    for pattern in (_scale,):
        sentence = pattern(table)
        if sentence:
            return sentence
    return ""


def _scale(table: Table) -> str:
    known = np.isfinite(table.measured) & (np.abs(table.measured) > numeric.MARGIN * table.bar)
    if not known.any():
        return ""
    a, n = table.analytic[known], table.measured[known]
    if np.all(a == 0):
        return "the gradient is zero where it should not be: something is detached, masked or not returned"
    ratio = float(a @ n / (n @ n))
    if np.all(np.abs(a - ratio * n) <= 1e-6 * np.abs(a)):
        return f"every entry is {ratio:.8g} times what it should be"
    return ""
