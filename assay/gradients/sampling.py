"""The function at many perturbed points: batched by `torch.func.vmap` where that does not change it, one by one elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.gradients.flat import joined, unflat
from assay.gradients.target import Target

# Float64 numbers that one batch of perturbed inputs or outputs may hold: 3 MB, within a last-level cache (measured best of 0.5 to 8).
BUDGET = 3 << 17


class Sampler:
    """Values of a target around its inputs, as rows of float64.

    `kept` says which outputs take part (those that the analytic side calls differentiable).
    """

    def __init__(self, target: Target, kept: tuple[int, ...] | None = None) -> None:
        self.target = target
        self.kept = kept
        self.batched = not target.clones and target.seed is None
        self.checked: set[int] = set()
        self.forwards = 0
        self.base = self.one(target.inputs)

    def one(self, inputs: tuple[object, ...]) -> Tensor:
        """The kept outputs at `inputs`, (m,)."""
        with torch.no_grad():
            self.forwards += 1
            return self._row(self.target.outputs(inputs)).detach()

    def _row(self, outputs: tuple[Tensor, ...]) -> Tensor:
        kept = outputs if self.kept is None else tuple(outputs[k] for k in self.kept)
        if self.target.cotangent is None:
            return joined(kept)
        return (joined(kept) * joined(self.target.cotangent)).sum().reshape(1)

    def at(self, position: int, points: Tensor) -> Tensor:
        """Outputs (b, m) where input `position` takes the flat values `points` (b, n)."""
        size = max(points.shape[1], self.base.numel(), 1)
        rows = max(1, BUDGET // size)
        if rows == 1 or points.shape[0] == 1 or not self.batched:
            return torch.stack([self._guarded(position, point) for point in points])
        if points.shape[0] <= rows:
            return self._batch(position, points)
        return torch.cat([self._batch(position, part) for part in torch.split(points, rows)])

    def _at(self, position: int, point: Tensor) -> Tensor:
        inputs = list(self.target.inputs)
        inputs[position] = unflat(point, inputs[position])
        return self._row(self.target.outputs(inputs)).detach()

    def _guarded(self, position: int, point: Tensor) -> Tensor:
        """One perturbed value; a point that the function refuses lies outside its domain and gives NaN."""
        self.forwards += 1
        try:
            with torch.no_grad():
                row = self._at(position, point)
        except (RuntimeError, ValueError, ArithmeticError):
            return torch.full_like(self.base, torch.nan)
        return row if row.shape == self.base.shape else torch.full_like(self.base, torch.nan)

    def _batch(self, position: int, points: Tensor) -> Tensor:
        try:
            with torch.no_grad():
                rows = torch.func.vmap(lambda point: self._at(position, point), randomness="same")(points)
        except Exception:  # noqa: BLE001 - any operation may refuse to be batched, each with its own exception
            rows = None
        if rows is not None and position not in self.checked:
            rows = rows if self._same(position, points, rows) else None
        if rows is not None:
            self.checked.add(position)
            self.forwards += points.shape[0]
            return rows
        alone = torch.stack([self._guarded(position, point) for point in points])
        self.batched = self.batched and bool(alone.isnan().any())
        return alone

    def _same(self, position: int, points: Tensor, rows: Tensor) -> bool:
        """Whether batching left the function as it was: the first and the last row, computed alone, to rounding.

        Batched kernels sum in another order; a sum of n terms moves by at most n·u relative to its largest partial sum, far
        below the square root of the unit roundoff, while a wrong batching rule changes leading digits.
        """
        if rows.shape[1:] != self.base.shape:
            return False
        last = points.shape[0] - 1
        for k in {0, last}:
            alone = self._guarded(position, points[k])
            size = float(alone.abs().nan_to_num().max()) if alone.numel() else 0.0
            slack = torch.finfo(_real(self.target.inputs[position])).eps ** 0.5 * size
            if not torch.allclose(rows[k], alone, rtol=0.0, atol=slack, equal_nan=True):
                return False
        return True


def _real(value: object) -> torch.dtype:
    assert isinstance(value, Tensor)
    return value.real.dtype if value.is_complex() else value.dtype
