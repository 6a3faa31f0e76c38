"""What a check writes down: one derivative (`Entry`), one input (`InputEntries`), one further property (`Finding`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["agrees", "differs", "kink", "unresolved"]
Status = Literal["holds", "wrong", "note", "unresolved"]


@dataclass(frozen=True)
class Entry:
    """One derivative d output / d input: the gradient's number, the measured one and its bar; at a kink the one-sided slopes."""

    input: str
    index: str
    output: str
    analytic: float
    measured: float
    bar: float
    slopes: tuple[float, float] | None = None

    def __str__(self) -> str:
        place = f"d {self.output} / d {self.input}{self.index}"
        if self.slopes is not None:
            low, high = sorted(self.slopes)
            return f"{place}: gradient {self.analytic:.10g}, one-sided slopes {low:.10g} and {high:.10g}"
        digits = _digits(self.analytic, self.measured)
        return f"{place}: gradient {self.analytic:.{digits}g}, measured {self.measured:.{digits}g} ± {self.bar:.1e}"


def _digits(one: float, other: float) -> int:
    """As many digits as it takes for two different numbers to print differently."""
    return next((digits for digits in range(7, 17) if f"{one:.{digits}g}" != f"{other:.{digits}g}"), 17)


@dataclass(frozen=True)
class InputEntries:
    """What was found for one input. `resolution`: the smallest error of one gradient entry that would have shown, relative."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    checked: int
    method: Literal["screen", "entries", "located"]
    resolution: float
    worst: Entry | None = None
    wrong: tuple[Entry, ...] = ()
    wrong_count: int = 0
    kinks: int = 0
    kink: Entry | None = None
    unresolved: int = 0
    reason: str = ""
    heat: tuple[tuple[float, ...], ...] = ()

    @property
    def verdict(self) -> Verdict:
        if self.wrong_count:
            return "differs"
        if self.unresolved:
            return "unresolved"
        return "kink" if self.kinks else "agrees"


@dataclass(frozen=True)
class Finding:
    """Something else that must be true of a backward: whether it is, in one sentence."""

    kind: str
    status: Status
    sentence: str
