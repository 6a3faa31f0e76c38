"""Entry by entry: the whole Jacobian, measured in batches, each entry with its bar.

Columns that share no output are measured in groups, by three steps a group (`colouring`). Of the others a first pass takes one step (two
values) a column, three for a sample. Whatever does not settle there, or disagrees, is measured again on the long ladder
(`remeasure`), which also tells kinks from smooth entries; only that second measurement condemns an entry.
"""

from __future__ import annotations

import numpy as np
import torch

from assay.gradients import numeric
from assay.gradients.analytic import Analytic
from assay.gradients.colouring import grouping
from assay.gradients.first_pass import first_pass
from assay.gradients.remeasure import remeasure
from assay.gradients.sampling import BUDGET
from assay.gradients.screen import Projection, roundoff, scales
from assay.gradients.stencil import Stencil
from assay.gradients.table import Table


def jacobian(analytic: Analytic) -> list[numeric.Array]:
    """The analytic Jacobian of every differentiated input, (m, n_i), by batched vector-Jacobian products."""
    m = analytic.rows
    device = analytic.target.inputs[analytic.target.wrt[0]].device
    widest = max(analytic.target.inputs[k].numel() for k in analytic.target.wrt)
    rows = max(1, BUDGET // max(widest, m, 1))
    parts = []
    for start in range(0, m, rows):
        count = min(rows, m - start)
        w = torch.zeros(count, m, dtype=torch.float64, device=device)
        w[torch.arange(count), torch.arange(start, start + count)] = 1.0
        parts.append([g.cpu().numpy() for g in analytic.pull_rows(w)])
    return parts[0] if len(parts) == 1 else [np.concatenate(columns) for columns in zip(*parts, strict=True)]


def measure(stencil: Stencil, table: Table, generator: torch.Generator, sharp: bool) -> Table:
    """Measure every entry of the table. `sharp` takes three steps for every column: twelve digits where one step gives nine."""
    left = np.arange(table.columns.size)
    together = None if table.position in stencil.projections else grouping(table.analytic, table.unit, generator)
    if together is not None:
        table.groups = table.grouped(together)
        doubtful = np.flatnonzero(first_pass(stencil, table.groups, np.arange(together.count), sharp=True).any(0))
        left = np.flatnonzero(np.isin(together.label, doubtful))
    if left.size:
        # Column after column in memory, as the measured side is filled.
        table.analytic = np.asfortranarray(table.analytic)
        remeasure(stencil, table, first_pass(stencil, table, left, sharp))
    return table


def table_of(
    stencil: Stencil, analytic: Analytic, position: int, slopes: numeric.Array, tolerance: float, noisy: bool
) -> Table:
    """The table of one input, not measured yet, from the analytic Jacobian (m, n), brought onto the declared manifold."""
    unit = scales(stencil.sampler.target.inputs[position]).cpu().numpy()
    project = stencil.projections.get(position)
    slopes = slopes if project is None else _on_manifold(project, slopes)
    own = 8 * roundoff(analytic.target.inputs[position])
    return Table(position, slopes, np.arange(unit.size), unit, own, tolerance, noisy)


def _on_manifold(project: Projection, slopes: numeric.Array) -> numeric.Array:
    moves = torch.stack([project(row) for row in torch.eye(slopes.shape[1], dtype=torch.float64)]).numpy()
    return np.asarray(slopes @ moves.T)
