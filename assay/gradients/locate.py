"""Locate: k wrong entries among N by adaptive group testing, about k·log2(N) directional derivatives.

A group is a range of flat coordinates. Its directional derivative along random coefficients is measured and compared with the
gradient's. A group that disagrees is halved with the same coefficients, so the two halves share the parent's
discrepancy and one measurement decides; a single entry is measured with care, corrected, and the search starts anew until
the whole agrees under two fresh seeds. Inputs are perturbed in place and put back: one saved copy of the range.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from assay.gradients import numeric
from assay.gradients.screen import FIRST, signs

BLOCK = 1 << 16
# Of so many random entries more than half wrong means that the whole is wrong: group testing is for few among many.
SAMPLE = 16
MOST = 64


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

    @property
    def excess(self) -> float:
        return abs(self.analytic - self.measured) / max(self.bar, float(np.finfo(np.float64).tiny))


@dataclass
class Field:
    """Tensors whose flat coordinates form one range [0, size), with the gradient of the scalar `value()` for each.

    `tensors` are perturbed in place and restored; `gradients` are corrected as wrong entries are found. `natural` is the size of
    the terms that the value is a sum of: its rounding is theirs. `own` is the unit roundoff of the gradients.
    """

    tensors: Sequence[Tensor]
    gradients: Sequence[Tensor]
    value: Callable[[], float]
    seed: int
    natural: float = 0.0
    unit: float = numeric.UNIT
    own: float = numeric.UNIT
    forwards: int = 0
    settled: float = FIRST
    scales: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.offsets = np.cumsum([0, *(tensor.numel() for tensor in self.tensors)])
        self.scales = [_scale(tensor) for tensor in self.tensors]
        self.base = self._value()

    @property
    def size(self) -> int:
        return int(self.offsets[-1])

    def _value(self) -> float:
        self.forwards += 1
        return self.value()

    def _pieces(self, start: int, stop: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Flat views of the tensors' parts inside the range, their gradients, and the coefficients, block by block.

        Coefficients are drawn anew at each pass, never kept: they would be another copy of the parameters.
        """
        for k, tensor in enumerate(self.tensors):
            low, high = max(start, int(self.offsets[k])), min(stop, int(self.offsets[k + 1]))
            while low < high:
                block = low // BLOCK
                end = min(high, (block + 1) * BLOCK)
                draws = signs(BLOCK, torch.Generator().manual_seed((self.seed << 20) ^ (seed << 40) ^ block))
                inside = draws[low - block * BLOCK : end - block * BLOCK] * self.scales[k]
                at = slice(low - int(self.offsets[k]), end - int(self.offsets[k]))
                yield tensor.view(-1)[at], self.gradients[k].view(-1)[at], inside.to(tensor.device)
                low = end

    def measure(self, start: int, stop: int, seed: int, rows: int = 4, first: float | None = None) -> Measured:
        """The derivative along the seeded coefficients of [start, stop), from `rows` steps."""
        analytic = sum(float(g.to(torch.float64) @ d) for _, g, d in self._pieces(start, stop, seed))
        if first is None:
            # Fewer coordinates move the function less: the square root of the share, up to the first step of the screen.
            first = min(FIRST, 16 * self.settled * (self.size / max(1, stop - start)) ** 0.5)
        ladder = numeric.steps(first, rows)
        ahead, behind = self._sampled(start, stop, seed, ladder)
        floor = np.array([self.unit * max(abs(self.base), self.natural)])
        found = numeric.estimate((ahead - self.base)[None], (self.base - behind)[None], ladder, floor)
        apart = numeric.sides((ahead - self.base)[None], (self.base - behind)[None], ladder, found.noise)
        if stop - start == self.size:
            self.settled = min(self.settled, float(ladder[found.row[0]]))
        bar = float(found.bar[0]) + 8 * self.own * max(abs(analytic), self._length(start, stop))
        return Measured(start, stop, analytic, float(found.value[0]), bar, bool(apart.kink[0]))

    def _sampled(self, start: int, stop: int, seed: int, ladder: numeric.Array) -> tuple[numeric.Array, numeric.Array]:
        """Values ahead and behind along the ladder; the range is perturbed in place and put back whatever happens."""
        saved = [view.clone() for view, _, _ in self._pieces(start, stop, seed)]
        ahead, behind = np.empty(ladder.size), np.empty(ladder.size)
        try:
            for k, h in enumerate(ladder.tolist()):
                for step, values in ((h, ahead), (-h, behind)):
                    for (view, _, d), old in zip(self._pieces(start, stop, seed), saved, strict=True):
                        torch.add(old, d.mul_(step), out=view)
                    values[k] = self._value()
        finally:
            for (view, _, _), old in zip(self._pieces(start, stop, seed), saved, strict=True):
                view.copy_(old)
        return ahead, behind

    def _length(self, start: int, stop: int) -> float:
        """The size of the gradient's rounding along the range: entries weighted by their scale, signs at random."""
        if self.own == numeric.UNIT:
            return 0.0
        total = 0.0
        for k in range(len(self.tensors)):
            low, high = max(start, int(self.offsets[k])), min(stop, int(self.offsets[k + 1]))
            if low < high:
                at = slice(low - int(self.offsets[k]), high - int(self.offsets[k]))
                part = torch.linalg.vector_norm(self.gradients[k].view(-1)[at], dtype=torch.float64)
                total += (float(part) * self.scales[k]) ** 2
        return math.sqrt(total)

    def entry(self, index: int) -> Measured:
        """One entry by itself on the long ladder, as a derivative per unit of the input."""
        found = self.measure(index, index + 1, 0, rows=12, first=FIRST)
        d = float(next(self._pieces(index, index + 1, 0))[2][0])
        # A sum of rounded terms is off by a few roundings of its largest term, for which the typical entry stands.
        k, _ = self.place(index)
        typical = (
            float(torch.linalg.vector_norm(self.gradients[k], dtype=torch.float64)) / self.gradients[k].numel() ** 0.5
        )
        bar = found.bar / abs(d) + 8 * self.own * typical
        return Measured(index, index + 1, found.analytic / d, found.measured / d, bar, found.kink)

    def place(self, index: int) -> tuple[int, int]:
        """(which tensor, which flat entry of it)."""
        k = int(np.searchsorted(self.offsets, index, side="right")) - 1
        return k, index - int(self.offsets[k])

    def correct(self, entry: Measured) -> None:
        k, at = self.place(entry.start)
        self.gradients[k].view(-1)[at] = entry.measured


@dataclass(frozen=True)
class Search:
    """The wrong entries found; `complete` when the rest agrees under two fresh seeds; `dense` when most entries are wrong."""

    wrong: tuple[Measured, ...]
    kinks: tuple[Measured, ...]
    complete: bool
    dense: bool
    last: Measured


def search(field_: Field, progress: Callable[[int, int], None] | None = None) -> Search:
    """Find the wrong entries of a field, whole first; `progress` is told (entries found, forwards)."""
    sampled = _sample(field_)
    wrong = [entry for entry in sampled if entry.wrong and not entry.kink]
    last = field_.measure(0, field_.size, 1, rows=numeric.ROWS, first=FIRST)
    if len(wrong) > SAMPLE // 2:
        return Search(tuple(wrong), (), False, True, last)
    for entry in wrong:
        field_.correct(entry)
    found, clean, seed, lost = list(wrong), 0, 2, 0
    kinks: list[Measured] = []
    while clean < 2 and len(found) < MOST and lost < 4:
        last = field_.measure(0, field_.size, seed, rows=numeric.ROWS, first=min(FIRST, 256 * field_.settled))
        if not last.wrong:
            clean, seed = clean + 1, seed + 1
            continue
        leaf = _descend(field_, last, seed)
        seed += 1
        if leaf is None or not leaf.wrong:
            lost += 1
            continue
        (kinks if leaf.kink else found).append(leaf)
        field_.correct(leaf)
        clean = 0
        if progress is not None:
            progress(len(found), field_.forwards)
    unique = {entry.start: entry for entry in found}
    return Search(tuple(unique.values()), tuple(kinks), clean >= 2, False, last)


def _sample(field_: Field) -> list[Measured]:
    generator = torch.Generator().manual_seed(field_.seed)
    places = torch.randint(field_.size, (4,), generator=generator).tolist()
    found = [field_.entry(place) for place in dict.fromkeys(places)]
    if sum(entry.wrong for entry in found) < len(found):
        return found
    more = torch.randint(field_.size, (SAMPLE - 4,), generator=generator).tolist()
    return found + [field_.entry(place) for place in dict.fromkeys(more) if place not in places]


def _descend(field_: Field, whole: Measured, seed: int) -> Measured | None:
    """Halve a disagreeing range down to one entry; None when the trail is lost in the bars."""
    start, stop = whole.start, whole.stop
    discrepancy = whole.analytic - whole.measured
    while stop - start > 1:
        middle = (start + stop) // 2
        left = field_.measure(start, middle, seed)
        if not np.isfinite(left.bar):
            return None
        share = left.analytic - left.measured
        if left.wrong and abs(share) >= abs(discrepancy) / 4:
            stop, discrepancy = middle, share
            continue
        right = discrepancy - share
        if left.wrong and abs(share) > abs(right):
            stop, discrepancy = middle, share
        else:
            start, discrepancy = middle, right
    return field_.entry(start)


def _scale(tensor: Tensor) -> float:
    """The root mean square of a tensor in float64, one for zeros."""
    if tensor.numel() == 0:
        return 1.0
    norm = float(torch.linalg.vector_norm(tensor, dtype=torch.float64))
    return norm / tensor.numel() ** 0.5 if norm > 0 and np.isfinite(norm) else 1.0
