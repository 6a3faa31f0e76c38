"""A scalar function of many coordinates beside the gradient that is claimed for it, compared along directions of any range."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from assay.gradients import numeric
from assay.gradients.coefficients import BLOCK, Coefficients
from assay.gradients.screen import FIRST


@dataclass(frozen=True)
class Measured:
    """A directional derivative of the range [start, stop): the gradient's, the measured, the bar."""

    start: int
    stop: int
    analytic: float
    measured: float
    bar: float
    kink: bool

    @property
    def wrong(self) -> bool:
        return not abs(self.analytic - self.measured) <= numeric.MARGIN * self.bar and np.isfinite(self.bar)


@dataclass(frozen=True)
class Region:
    """All entries of tensor number `tensor` (axis None), or those with `index` along `axis`."""

    tensor: int
    axis: int | None = None
    index: int = 0

    def places(self, shape: Sequence[int]) -> Tensor:
        """The flat places (n,) of a slice in a tensor of `shape`."""
        assert self.axis is not None
        before, after = math.prod(shape[: self.axis]), math.prod(shape[self.axis + 1 :])
        ahead = torch.arange(before)[:, None] * (shape[self.axis] * after)
        return (ahead + self.index * after + torch.arange(after)).reshape(-1)


@dataclass
class Field:
    """Flat real tensors whose coordinates form one range [0, size), with the gradient of the scalar `value()` for each.

    `sources` (n_k,) are never changed. `moved` (n_k,) is what `value` reads: a range of it becomes source + step · coefficients and the
    source again, so that nothing has to be saved. `shapes` are the tensors' own. `gradients` are not changed either: the
    measured derivatives of wrong entries are kept in `corrections`, and wrong regions are `left_out` of every direction.
    `natural` is the size of the terms that the value is a sum of: its rounding is theirs. `unit` is the unit roundoff of the
    value, `own` that of the gradients.
    """

    sources: Sequence[Tensor]
    moved: Sequence[Tensor]
    gradients: Sequence[Tensor]
    shapes: Sequence[Sequence[int]]
    value: Callable[[], float]
    seed: int
    natural: float = 0.0
    unit: float = numeric.UNIT
    own: float = numeric.UNIT
    forwards: int = 0
    settled: float = FIRST
    corrections: dict[int, float] = field(default_factory=dict)
    left_out: list[Region] = field(default_factory=list)
    typicals: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.offsets = np.cumsum([0, *(tensor.numel() for tensor in self.sources)])
        self.scales = [_scale(tensor) for tensor in self.sources]
        self.coefficients = Coefficients(self.size, self.seed << 20)
        self.drawn = 0
        self.base = self._value()

    @property
    def size(self) -> int:
        return int(self.offsets[-1])

    def _value(self) -> float:
        self.forwards += 1
        return self.value()

    def _draw(self, seed: int) -> None:
        if seed != self.drawn:
            self.coefficients, self.drawn = Coefficients(self.size, (self.seed << 20) + seed), seed

    def _pieces(self, start: int, stop: int) -> Iterator[tuple[int, slice, Tensor, float]]:
        """The parts of the range: (which tensor, where in it, window, factor)."""
        whole = {region.tensor for region in self.left_out if region.axis is None}
        for k, source in enumerate(self.sources):
            offset = int(self.offsets[k])
            low, high = max(start, offset), min(stop, int(self.offsets[k + 1]))
            if low < high and k not in whole:
                for first, last, window, factor in self.coefficients.pieces(low, high, source.device):
                    yield k, slice(first - offset, last - offset), window, factor * self.scales[k]

    def _excluded(self, start: int, stop: int) -> Iterator[tuple[int, Tensor]]:
        """The places of slices that are left out: (which tensor, places in it that the range touches)."""
        for region in self.left_out:
            offset = int(self.offsets[region.tensor])
            if region.axis is not None and start < self.offsets[region.tensor + 1] and stop > offset:
                places = region.places(self.shapes[region.tensor])
                yield region.tensor, places[(places + offset >= start) & (places + offset < stop)]

    def measure(self, start: int, stop: int, seed: int, rows: int = 4, first: float | None = None) -> Measured:
        """The derivative along the seeded coefficients of [start, stop), from `rows` steps."""
        self._draw(seed)
        analytic = self._claimed(start, stop)
        if first is None:
            # Fewer coordinates move the function less: the square root of the share, up to the first step of the screen.
            first = min(FIRST, 16 * self.settled * (self.size / max(1, stop - start)) ** 0.5)
        ladder = numeric.steps(first, rows)
        ahead, behind = self._sampled(start, stop, ladder)
        floor = np.array([self.unit * max(abs(self.base), self.natural)])
        found = numeric.estimate((ahead - self.base)[None], (self.base - behind)[None], ladder, floor)
        apart = numeric.sides((ahead - self.base)[None], (self.base - behind)[None], ladder, found.noise)
        if stop - start == self.size:
            self.settled = min(self.settled, float(ladder[found.row[0]]))
        bar = float(found.bar[0]) + 8 * self.own * max(abs(analytic), self._length(start, stop))
        return Measured(start, stop, analytic, float(found.value[0]), bar, bool(apart.kink[0]))

    def _claimed(self, start: int, stop: int) -> float:
        """<gradient, coefficients> over the range, with the corrections and without what is left out."""
        total = 0.0
        for k, at, window, factor in self._pieces(start, stop):
            total += factor * float(self.gradients[k][at].to(torch.float64) @ window)
        for k, places in self._excluded(start, stop):
            offset = int(self.offsets[k])
            d = self.coefficients.at(places + offset) * self.scales[k]
            total -= float(self.gradients[k][places.to(self.gradients[k].device)].to("cpu", torch.float64) @ d)
        for index, value in self.corrections.items():
            if start <= index < stop and not self._inside(index):
                k, at_ = self.place(index)
                total += (value - float(self.gradients[k][at_])) * self.coefficient(index)
        return total

    def _inside(self, index: int) -> bool:
        """Whether a coordinate is left out."""
        k, at = self.place(index)
        return any(
            region.tensor == k and (region.axis is None or along(at, self.shapes[k])[region.axis] == region.index)
            for region in self.left_out
        )

    def coefficient(self, index: int) -> float:
        """The coefficient of one coordinate, times its tensor's scale."""
        k, _ = self.place(index)
        return float(self.coefficients.at(torch.tensor([index]))[0]) * self.scales[k]

    def _sampled(self, start: int, stop: int, ladder: numeric.Array) -> tuple[numeric.Array, numeric.Array]:
        """Values ahead and behind along the ladder; what was moved is put back whatever happens."""
        ahead, behind = np.empty(ladder.size), np.empty(ladder.size)
        try:
            for k, h in enumerate(ladder.tolist()):
                for step, values in ((h, ahead), (-h, behind)):
                    self._move(start, stop, step)
                    values[k] = self._value()
        finally:
            for k, at, _, _ in self._pieces(start, stop):
                self.moved[k][at].copy_(self.sources[k][at])
        return ahead, behind

    def _move(self, start: int, stop: int, step: float) -> None:
        for k, at, window, factor in self._pieces(start, stop):
            torch.add(self.sources[k][at], window, alpha=step * factor, out=self.moved[k][at])
        for k, places in self._excluded(start, stop):
            there = places.to(self.moved[k].device)
            self.moved[k][there] = self.sources[k][there].to(self.moved[k].dtype)

    def _length(self, start: int, stop: int) -> float:
        """The size of the gradient's rounding along the range: entries weighted by their scale, signs at random."""
        if self.own == numeric.UNIT:
            return 0.0
        total = 0.0
        for k, gradient in enumerate(self.gradients):
            offset = int(self.offsets[k])
            low, high = max(start, offset), min(stop, int(self.offsets[k + 1]))
            if low < high:
                total += (norm(gradient[low - offset : high - offset]) * self.scales[k]) ** 2
        return math.sqrt(total)

    def entry(self, index: int) -> Measured:
        """One entry by itself on the long ladder, as a derivative per unit of the input."""
        found = self.measure(index, index + 1, 0, rows=12, first=FIRST)
        d = self.coefficient(index)
        bar = found.bar / abs(d) + 8 * self.own * self.typical(self.place(index)[0])
        return Measured(index, index + 1, found.analytic / d, found.measured / d, bar, found.kink)

    def typical(self, k: int) -> float:
        """The root mean square of one tensor's gradient: a sum of rounded terms is off by a few roundings of its largest term."""
        if k not in self.typicals:
            self.typicals[k] = norm(self.gradients[k]) / math.sqrt(max(1, self.gradients[k].numel()))
        return self.typicals[k]

    def resolution(self, k: int, bar: float) -> float:
        """The error of one entry of tensor k that shows beside `bar`, relative to its typical entry; 0 for a gradient of zero."""
        typical = self.typical(k)
        return self.visible(k, bar) / typical if typical > 0 else 0.0

    def visible(self, k: int, bar: float) -> float:
        """The error of one entry of tensor k that shows whatever its coefficient, which is a quarter of the scale or more."""
        return 4 * numeric.MARGIN * bar / self.scales[k]

    def place(self, index: int) -> tuple[int, int]:
        """(which tensor, which flat entry of it)."""
        k = int(np.searchsorted(self.offsets, index, side="right")) - 1
        return k, index - int(self.offsets[k])

    def span(self, k: int) -> tuple[int, int]:
        """The range of one tensor."""
        return int(self.offsets[k]), int(self.offsets[k + 1])


def along(place: int, shape: Sequence[int]) -> list[int]:
    """A flat place as indices."""
    return [int(i) for i in np.unravel_index(place, tuple(shape))]


def norm(value: Tensor) -> float:
    """The length of a flat tensor (n,) in float64, block by block: a narrow tensor is never widened as a whole."""
    return math.sqrt(sum(float(part.double().square().sum()) for part in torch.split(value, BLOCK)))


def _scale(tensor: Tensor) -> float:
    """The root mean square of a tensor in float64, one for zeros."""
    size = norm(tensor)
    return size / math.sqrt(tensor.numel()) if size > 0 and math.isfinite(size) else 1.0
