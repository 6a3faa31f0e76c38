"""Screen: is anything wrong at all? A few extrapolated random probes cover every entry of the Jacobian at a stated resolution.

For random v and w the number <w, J v>, measured to about twelve digits, equals <w, A v> unless an entry of the analytic A is
off. Entries of v and w are ± uniform on [0.5, 1], so that no entry is probed weakly and equal errors do not cancel.
Outputs and inputs whose derivatives differ by orders of magnitude are probed apart, so that the small are not drowned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from assay.gradients import numeric
from assay.gradients.analytic import Analytic
from assay.gradients.sampling import BUDGET, Sampler

Projection = Callable[[Tensor], Tensor]
# One band holds derivatives within a factor 10,000: beside twelve digits that leaves eight for the smallest of a band.
BAND = 1e4
BANDS = 4
# Entries of one input step by their common size unless they span so much.
SPAN = 1e4
FIRST = 0.07
# Where the truncation and the rounding both leave more than this share of the derivative, other step sizes are tried.
WANTED = 1e-9
# Larger steps are tried only if they can be so many times larger: the bar shrinks no more than they grow.
WORTH = 16


@dataclass(frozen=True)
class Probe:
    """One directional comparison of input `position`: <g, v> against the measured derivative and its bar.

    `size` is the length of g∘v, what a wrong gradient could be off by; `smallest` is the error of one gradient entry that shows.
    """

    position: int
    band: int
    analytic: float
    measured: float
    bar: float
    size: float
    smallest: float
    typical: float
    natural: float
    kink: bool
    row: int
    flat: float

    @property
    def excess(self) -> float:
        """The difference in units of what is allowed (the margin of bars); NaN where nothing could be measured."""
        return abs(self.analytic - self.measured) / max(numeric.MARGIN * self.bar, np.finfo(np.float64).tiny)

    @property
    def agrees(self) -> bool:
        return abs(self.analytic - self.measured) <= numeric.MARGIN * self.bar


def resolution(probes: list[Probe]) -> float:
    """The smallest visible error of one gradient entry in any band, relative to the typical entry of the input."""
    typical = max((probe.typical for probe in probes), default=0.0)
    return max(probe.smallest for probe in probes) / typical if typical > 0 else 0.0


def scales(value: Tensor) -> Tensor:
    """The step unit of every entry, (n,): the root mean square, or each entry's own size where they span orders of magnitude."""
    sizes = value.abs().to(torch.float64).reshape(-1)
    sizes = sizes.repeat_interleave(2) if value.is_complex() else sizes
    finite = sizes[sizes.isfinite() & (sizes > 0)]
    if finite.numel() == 0:
        return torch.ones_like(sizes)
    typical = finite.square().mean().sqrt() if float(finite.max()) < 1e150 else finite.max()
    if not float(typical) > 0:
        typical = finite.max()
    if float(finite.max()) < SPAN * _low(finite):
        return torch.full_like(sizes, float(typical))
    return torch.where(sizes.isfinite() & (sizes > 0), sizes, finite.min())


def _low(sizes: Tensor) -> float:
    """The smallest size that counts: one entry in twenty may be smaller, as long as it is not far smaller than 1/n of the others.

    Of n numbers around zero the smallest is by chance about 1/n of the typical one.
    """
    few = sizes[:: max(1, sizes.numel() // 4096)].sort().values
    return min(float(few[few.numel() // 20]), float(sizes.min()) * sizes.numel())


def signs(count: int, generator: torch.Generator) -> Tensor:
    """(count,) random coefficients ± uniform on [0.5, 1]."""
    draws = torch.rand(count, dtype=torch.float64, generator=generator)
    return torch.where(draws < 0.5, draws + 0.5, -draws)


def bands(sizes: Tensor) -> list[Tensor]:
    """Masks of entries whose `sizes` lie within a factor 10,000 of each other, largest first; zeros join the last."""
    top = float(sizes.max()) if sizes.numel() else 0.0
    low = sizes[sizes > 0]
    if top == 0.0 or (low.numel() == sizes.numel() and float(low.min()) * BAND >= top):
        return [torch.ones_like(sizes, dtype=torch.bool)]
    level = torch.full_like(sizes, float(BANDS - 1))
    steps = torch.floor(torch.log(top / low) / np.log(BAND))
    level[sizes > 0] = steps.clamp(0, BANDS - 1)  # top / top can round below 1
    return [level == k for k in range(BANDS) if bool((level == k).any())]


class Screen:
    """Probes of one target: cotangents are drawn once, then every differentiated input is probed by `input`."""

    def __init__(
        self,
        sampler: Sampler,
        analytic: Analytic,
        generator: torch.Generator,
        *,
        probes: int = 2,
        project: Mapping[int, Projection] | None = None,
    ) -> None:
        self.sampler, self.analytic, self.generator = sampler, analytic, generator
        self.projections = project or {}
        self.wrt = sampler.target.wrt
        self.units = {k: scales(sampler.target.inputs[k]).cpu() for k in self.wrt}
        self.reached: dict[int, float] = {}
        self.settled: dict[int, float] = {}
        self.cotangents = self._cotangents(probes)
        pulled = [analytic.pull(w.to(sampler.base.device)) for w in self.cotangents]
        self.gradients = {k: torch.stack([g[i].cpu() for g in pulled]) for i, k in enumerate(self.wrt)}

    def _cotangents(self, probes: int) -> Tensor:
        """(p, m): `probes` random cotangents for each band of outputs that change alike under a small joint step."""
        m = self.sampler.base.numel()
        groups = bands(self._pilot()) if m > 1 else [torch.ones(m, dtype=torch.bool)]
        rows = [torch.where(mask, signs(m, self.generator), 0.0) for mask in groups for _ in range(probes)]
        return torch.stack(rows)

    def _pilot(self) -> Tensor:
        """How much every output changes, (m,), when any one input moves by a 128th of its size."""
        base = self.sampler.base
        change = torch.zeros_like(base)
        for k in self.wrt:
            value = self.sampler.target.inputs[k]
            point = torch.view_as_real(value).reshape(-1) if value.is_complex() else value.reshape(-1)
            direction = self._project(k, signs(point.numel(), self.generator) * self.units[k])
            moved = point.to(torch.float64) + direction.to(point.device) / 128
            change = torch.maximum(change, (self.sampler.at(k, moved[None])[0] - base).abs().nan_to_num())
        return change.cpu()

    def _project(self, position: int, direction: Tensor) -> Tensor:
        project = self.projections.get(position)
        return direction if project is None else project(direction)

    def input(self, position: int) -> list[Probe]:
        """Probes of one input, one for each band of its gradient and each cotangent."""
        gradient = self.gradients[position]
        unit = self.units[position]
        if unit.numel() == 0 or self.cotangents.shape[1] == 0:
            return []
        sizes = gradient.abs().nan_to_num().amax(0) * unit
        found = []
        for number, mask in enumerate(bands(sizes)):
            direction = self._project(position, torch.where(mask, signs(unit.numel(), self.generator) * unit, 0.0))
            found += self.along(position, direction, gradient, number)
        return found

    def along(self, position: int, direction: Tensor, gradient: Tensor, band: int = 0) -> list[Probe]:
        """Compare gradient (p, n) with measured derivatives along `direction` (n,): one probe per cotangent."""
        self.reached[position] = FIRST
        best = self._ladder(position, direction, gradient, band, FIRST)
        for _ in range(3):
            shifts = _shifts(best, float(self.units[position].max()) * self.reached[position])
            firsts = [self.reached[position] * shift for shift in shifts]
            others = [(self._ladder(position, direction, gradient, band, first), first) for first in firsts]
            better = [(found, first) for found, first in others if _better(found, best)]
            if not better:
                break
            best, self.reached[position] = min(better, key=lambda pair: _quality(pair[0]))
        deepest = max(probe.row for probe in best)
        self.settled[position] = min(
            self.settled.get(position, np.inf), self.reached[position] * numeric.RATIO**-deepest
        )
        return best

    def _ladder(self, position: int, direction: Tensor, gradient: Tensor, band: int, first: float) -> list[Probe]:
        ladder = numeric.steps(first)
        forward, backward = self._samples(position, direction, ladder)
        w = self.cotangents.numpy()
        base = np.nan_to_num(self.sampler.base.cpu().numpy())
        unit = roundoff(self.sampler.target.inputs[position])
        d, g = direction.numpy(), gradient.numpy()
        broken = ~np.isfinite(g).all(axis=1)
        g = np.nan_to_num(g, posinf=0.0, neginf=0.0) if not np.isfinite(g).all() else g
        noise = unit * np.sqrt((w * w) @ (base * base) + (g * g) @ (d * d))
        found = numeric.estimate(forward, backward, ladder, noise)
        apart = numeric.sides(forward, backward, ladder, found.noise)
        own = 8 * roundoff(self.analytic.target.inputs[position]) * np.sqrt((g * g) @ (d * d))
        probes = []
        for p in range(w.shape[0]):
            size = float(np.linalg.norm(g[p] * d))
            bar = float(found.bar[p] + own[p])
            live = d != 0
            smallest = 2 * numeric.MARGIN * bar / float(np.abs(d[live]).max()) if live.any() else 0.0
            typical = float(np.sqrt(np.mean(g[p][live] ** 2))) if live.any() else 0.0
            probes.append(
                Probe(
                    position, band, np.nan if broken[p] else float(g[p] @ d), float(found.value[p]), bar, size, smallest, typical,
                    float(np.sqrt((w[p] ** 2) @ base**2)), bool(apart.kink[p]), int(found.row[p]), float(found.flat[p]),
                )
            )  # fmt: skip
        return probes

    def _samples(self, position: int, direction: Tensor, ladder: numeric.Array) -> tuple[numeric.Array, numeric.Array]:
        """F(+h) - F(0) and F(0) - F(-h), projected on the cotangents: two arrays (p, rows)."""
        value = self.sampler.target.inputs[position]
        point = (torch.view_as_real(value) if value.is_complex() else value).reshape(-1).to(torch.float64)
        w = self.cotangents.to(point.device).T
        direction = direction.to(point.device)
        if max(point.numel(), self.sampler.base.numel()) > BUDGET // ladder.size:
            return self._one_by_one(position, point, direction, ladder, w)
        moves = torch.as_tensor(ladder, device=point.device)[:, None] * direction
        points = torch.cat([point + moves, point - moves, point[None]])
        rows = self.sampler.at(position, points)
        base = rows[-1]
        ahead = (rows[: ladder.size] - base) @ w
        behind = (base - rows[ladder.size : -1]) @ w
        return ahead.T.cpu().numpy(), behind.T.cpu().numpy()

    def _one_by_one(
        self, position: int, point: Tensor, direction: Tensor, ladder: numeric.Array, w: Tensor
    ) -> tuple[numeric.Array, numeric.Array]:
        """As `_samples`, holding one perturbed input at a time: for inputs that fill the memory budget alone."""
        base = self.sampler.base
        ahead = [(self.sampler.at(position, (point + h * direction)[None])[0] - base) @ w for h in ladder.tolist()]
        behind = [(base - self.sampler.at(position, (point - h * direction)[None])[0]) @ w for h in ladder.tolist()]
        return torch.stack(ahead).T.cpu().numpy(), torch.stack(behind).T.cpu().numpy()


def roundoff(value: Tensor) -> float:
    """The unit roundoff of a tensor's dtype."""
    return float(torch.finfo(value.dtype).eps) / 2


def _blur(probe: Probe) -> float:
    """The bar relative to the slope it measures; slopes below a billionth of the function's own size count as that.

    Where gradient and measurement agree, a slope that is small by cancellation counts as the length of the gradient.
    """
    length = probe.size if probe.agrees else 0.0
    slope = max(
        length, abs(float(np.nan_to_num(probe.measured))), 1e-9 * probe.natural, float(np.finfo(np.float64).tiny)
    )
    return probe.bar / slope


def _quality(probes: list[Probe]) -> float:
    """The widest bar relative to what it measures."""
    return max((_blur(probe) for probe in probes), default=0.0)


def _better(found: list[Probe], best: list[Probe]) -> bool:
    """Whether other steps measured more sharply; steps so small that the function stands still measure nothing."""
    stopped = all(probe.measured == 0 for probe in found) and any(probe.measured != 0 for probe in best)
    return not stopped and _quality(found) < _quality(best)


def _shifts(probes: list[Probe], step: float) -> list[float]:
    """Factors by which to move the ladder, the likelier first: up while rounding limits a `step` below one, else down.

    Nothing is moved once the bar is a billionth of the derivative; both ways are tried where hardly a digit is known.
    """
    quality = _quality(probes)
    if quality <= WANTED or all(p.kink or (p.bar > 0 and p.size == 0) for p in probes):
        return []
    worst = max(probes, key=_blur)
    down = [numeric.RATIO**-7]
    # A fifth of the unit, and no power of two: steps on the grid of floating-point numbers hide rounding.
    up = [min(numeric.RATIO**6, 0.21 / step)] if step < 0.21 / WORTH else []
    if not np.isfinite(worst.bar) or worst.row > numeric.ROWS - 3:
        return down
    if quality > 1e-3:
        return up + down
    return up if worst.row <= 4 else []
