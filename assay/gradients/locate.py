"""Locate: k wrong entries among N by adaptive group testing, about k·log2(N) directional derivatives.

A group is a range of flat coordinates. Its directional derivative along random coefficients is measured and compared with the
gradient's. A group that disagrees is halved with the same coefficients, so the two halves share the parent's
discrepancy and one measurement decides; a single entry is measured with care, corrected, and the search starts anew until
the whole agrees under two fresh seeds. Tensors whose gradients drown beside the others' are then searched by themselves.
Where wrong entries share a tensor or a slice of one, the whole of it is suspected, sampled, and left out if all of the sample is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch

from assay.gradients import numeric
from assay.gradients.field import Field, Measured, Region, along
from assay.gradients.screen import FIRST

# Of so many random entries more than half wrong means that the whole is wrong: group testing is for few among many.
SAMPLE = 16
# A region is taken to be wrong throughout when so many of its entries, drawn at random, are.
SUSPECT = 6
MOST = 64
CLEAN, LOST = 2, 4
# Tensors in which an error of this share of the typical entry would not show are searched by themselves.
BLUNT = 1e-4
Progress = Callable[[int, int], None]


@dataclass
class Search:
    """What was found: wrong entries, kinks, regions that are wrong throughout.

    `complete` when the rest agrees under two fresh seeds; `dense` when most entries are wrong; `last` is the last measurement
    of the whole, `bars` the bars of tensors that were searched by themselves.
    """

    wrong: dict[int, Measured] = field(default_factory=dict)
    kinks: dict[int, Measured] = field(default_factory=dict)
    regions: list[Region] = field(default_factory=list)
    complete: bool = True
    dense: bool = False
    last: Measured = field(default_factory=lambda: Measured(0, 0, 0.0, 0.0, math.inf, False))
    bars: dict[int, float] = field(default_factory=dict)


def search(field_: Field, progress: Progress | None = None) -> Search:
    """Find the wrong entries of a field, whole first; `progress` is told (entries found, forwards)."""
    return _Search(field_, progress or (lambda found, forwards: None)).run()


def wrong_in(field_: Field, found: Search, k: int) -> int:
    """How many entries of tensor k are wrong: those located, and all of the regions that are wrong throughout."""
    low, high = field_.span(k)
    inside = {start - low for start in found.wrong if low <= start < high}
    for region in found.regions:
        if region.tensor == k:
            if region.axis is None:
                return high - low
            inside |= set(region.places(field_.shapes[k]).tolist())
    return len(inside)


class _Search:
    """One search under way."""

    def __init__(self, field_: Field, progress: Progress) -> None:
        self.field, self.progress, self.seed = field_, progress, 1
        self.generator = torch.Generator().manual_seed(field_.seed)
        self.found = Search()

    def run(self) -> Search:
        sampled = self._sample()
        wrong = [entry for entry in sampled if entry.wrong and not entry.kink]
        for entry in wrong:
            self._keep(entry)
        if len(wrong) > SAMPLE // 2:
            self.found.dense, self.found.complete = True, False
            self.found.last = self._measure(0, self.field.size)
            return self.found
        self.found.last = self._settle(0, self.field.size)
        for k in range(len(self.field.sources)):
            sharpness = self.field.resolution(k, self.found.last.bar)
            if self.found.complete and not 0 < sharpness <= BLUNT and self.field.sources[k].numel():
                self.found.bars[k] = self._settle(*self.field.span(k), clean=1).bar
        return self.found

    def _measure(self, start: int, stop: int) -> Measured:
        first = min(FIRST, 256 * self.field.settled) if stop - start == self.field.size and self.seed > 1 else FIRST
        self.seed += 1
        self.progress(len(self.found.wrong), self.field.forwards)
        return self.field.measure(start, stop, self.seed, rows=numeric.ROWS, first=first)

    def _settle(self, start: int, stop: int, clean: int = CLEAN) -> Measured:
        """Find entries until [start, stop) agrees under `clean` fresh seeds, or the trail is lost."""
        agreed = lost = 0
        while True:
            last = self._measure(start, stop)
            if not last.wrong:
                agreed += 1
                if agreed == clean:
                    return last
                continue
            leaf = _descend(self.field, last, self.seed)
            if leaf is None or not leaf.wrong:
                lost += 1
            else:
                self._keep(leaf)
                self._suspect(leaf)
                agreed = 0
            if lost == LOST or len(self.found.wrong) >= MOST:
                self.found.complete = False
                return last

    def _keep(self, leaf: Measured) -> None:
        (self.found.kinks if leaf.kink else self.found.wrong)[leaf.start] = leaf
        self.field.corrections[leaf.start] = leaf.measured

    def _sample(self) -> list[Measured]:
        """Four random entries; if those are all wrong, more until it is clear whether most of sixteen are."""
        places = torch.randint(self.field.size, (SAMPLE,), generator=self.generator).tolist()
        found: list[Measured] = []
        for place in dict.fromkeys(places):
            found.append(self.field.entry(place))
            wrong = sum(entry.wrong for entry in found)
            if (len(found) >= 4 and wrong < 4) or wrong > SAMPLE // 2:
                break
        return found

    def _suspect(self, leaf: Measured) -> None:
        """Where a tensor has 2, 4, 8, ... wrong entries: is it wrong throughout, or a slice that holds several of them?"""
        k, _ = self.field.place(leaf.start)
        low, high = self.field.span(k)
        inside = [start - low for start in self.found.wrong if low <= start < high]
        if len(inside) < 2 or len(inside) & (len(inside) - 1):
            return
        for region in self._candidates(k, inside):
            if all(self.field.entry(low + place).wrong for place in self._drawn(region)):
                self.found.regions.append(region)
                self.field.left_out.append(region)
                return

    def _candidates(self, k: int, inside: list[int]) -> Iterator[Region]:
        """The tensor, then every slice of it that holds the last wrong entry and another one."""
        yield Region(k)
        places = [along(place, self.field.shapes[k]) for place in inside]
        for axis, index in enumerate(places[-1]):
            if any(place[axis] == index for place in places[:-1]) and self.field.shapes[k][axis] > 1:
                yield Region(k, axis, index)

    def _drawn(self, region: Region) -> list[int]:
        shape = self.field.shapes[region.tensor]
        size = self.field.sources[region.tensor].numel()
        if region.axis is None:
            return list(dict.fromkeys(torch.randint(size, (SUSPECT,), generator=self.generator).tolist()))
        places = region.places(shape)
        chosen = torch.randint(places.numel(), (SUSPECT,), generator=self.generator)
        return list(dict.fromkeys(places[chosen].tolist()))


def _descend(field_: Field, whole: Measured, seed: int) -> Measured | None:
    """Halve a disagreeing range down to one entry; None when the trail is lost in the bars."""
    start, stop = whole.start, whole.stop
    discrepancy = whole.analytic - whole.measured
    while stop - start > 1:
        middle = (start + stop) // 2
        left = field_.measure(start, middle, seed)
        if not numeric.MARGIN * left.bar <= abs(discrepancy) / 4:
            # Four steps leave a bar in which the discrepancy could hide: the wrong half is not to be guessed.
            left = field_.measure(start, middle, seed, rows=numeric.ROWS)
        if not np.isfinite(left.bar):
            return None
        share = left.analytic - left.measured
        right = discrepancy - share
        if left.wrong and (abs(share) >= abs(discrepancy) / 4 or abs(share) > abs(right)):
            stop, discrepancy = middle, share
        else:
            start, discrepancy = middle, right
    return field_.entry(start)
