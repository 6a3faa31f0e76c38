"""Facts: what was measured, what was allowed, how close it came.

Every fact has the form `measured <= allowed`, so that "by how much" is always one number. A check returns `Evidence`, facts
joined by `&`; there is no bool, because a fact has four outcomes. NaN never holds and never refutes: it is `invalid`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from assay.errors import ClaimError

Outcome = Literal["holds", "fails", "open", "invalid"]
Method = Literal["exact", "proof", "sampled", "paired", "swept"]
Number = float | int
Values = torch.Tensor | Number | Sequence[Number]

SEVERITY: dict[Outcome, int] = {"holds": 0, "open": 1, "fails": 2, "invalid": 3}


@dataclass(frozen=True)
class Series:
    """One line of a figure: `y` over the figure's `x`, with an optional band from `low` to `high`."""

    name: str
    y: tuple[float, ...]
    low: tuple[float, ...] | None = None
    high: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Figure:
    """An aggregate picture: series over `x`, with horizontal `marks` (value, label). Never raw samples."""

    title: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    series: tuple[Series, ...]
    marks: tuple[tuple[float, str], ...] = ()
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Fact:
    """One comparison: `what` was `measured`, at most `allowed`; `why` derives the allowance; `detail` is for the report."""

    what: str
    measured: float
    allowed: float
    outcome: Outcome
    why: str = ""
    method: Method = "exact"
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def closeness(self) -> float:
        """How much of the allowance was used: above 1 it fails; infinite for an invalid fact."""
        if self.outcome == "invalid":
            return math.inf
        if self.allowed > 0:
            return self.measured / self.allowed
        return 0.0 if self.measured <= self.allowed else math.inf


@dataclass(frozen=True)
class Evidence:
    """Facts that must all hold, the figures that show them, what the sampling spent, and whether a NaN of the subject is an answer."""

    facts: tuple[Fact, ...]
    figures: tuple[Figure, ...] = ()
    false_alarm: float = 0.0
    samples: int = 0
    nan_answers: bool = False

    def __post_init__(self) -> None:
        if not self.facts:
            raise ClaimError("evidence without a fact, expected at least one; a check that asserts nothing cannot hold")

    def __and__(self, other: Evidence) -> Evidence:
        return Evidence(
            self.facts + other.facts,
            self.figures + other.figures,
            self.false_alarm + other.false_alarm,
            self.samples + other.samples,
            self.nan_answers or other.nan_answers,
        )

    def __bool__(self) -> bool:
        raise ClaimError(
            "evidence has no truth value: it can also be open or invalid; return it, and join facts with '&'"
        )

    @property
    def outcome(self) -> Outcome:
        """The most severe outcome of the facts: invalid over fails over open over holds."""
        return max((fact.outcome for fact in self.facts), key=lambda outcome: SEVERITY[outcome])

    def with_figure(self, figure: Figure) -> Evidence:
        return replace(self, figures=(*self.figures, figure))


def fact(
    what: str, measured: Number, allowed: Number, *, why: str = "", method: Method = "exact", **detail: Any
) -> Evidence:
    """Evidence of a single comparison `measured <= allowed`; NaN on either side is invalid."""
    measured, allowed = float(measured), float(allowed)
    if math.isnan(measured) or math.isnan(allowed):
        outcome: Outcome = "invalid"
    else:
        outcome = "holds" if measured <= allowed else "fails"
    return Evidence((Fact(what, measured, allowed, outcome, why, method, detail),))


def invalid(what: str, why: str) -> Evidence:
    """Evidence that nothing could be measured, for example because a shape is wrong: neither holds nor refutes."""
    return Evidence((Fact(what, math.nan, math.nan, "invalid", why),))


def _tensor(values: Values) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values.detach().to(torch.float64)
    return torch.as_tensor(values, dtype=torch.float64)


def _pair(actual: Values, expected: Values) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Both sides in float64 on one device, `expected` (one number, or as many axes) broadcast to actual's shape; None when it
    does not fit: a wrong shape must not be mistaken for a wrong value."""
    a, b = _tensor(actual), _tensor(expected)
    if a.device != b.device:
        b = b.to(a.device) if b.dim() == 0 else b
        a, b = a.cpu(), b.cpu()
    if b.dim() not in (0, a.dim()):
        return None
    try:
        return a, b.expand(a.shape)
    except RuntimeError:
        return None


def _compared(what: str, actual: Values, *, low: Values | None = None, high: Values | None = None) -> Evidence:
    """low <= actual <= high entry by entry. Measured is how far the worst entry lies outside; the detail holds it and its bounds."""
    tensor = _tensor(actual)
    sides = {name: _pair(tensor, bound) for name, bound in (("at_least", low), ("at_most", high)) if bound is not None}
    if None in sides.values():
        return invalid(what, "the shapes do not fit")
    pairs = {name: pair for name, pair in sides.items() if pair is not None}
    excess = torch.stack([b - a if name == "at_least" else a - b for name, (a, b) in pairs.items()])
    if excess.numel() == 0 or bool(excess.isnan().any()):
        return invalid(what, "there is nothing to compare" if excess.numel() == 0 else "an entry is not a number")
    worst = int(excess.amax(0).flatten().argmax())
    detail: dict[str, Any] = {name: float(bound.flatten()[worst]) for name, (_, bound) in pairs.items()}
    return fact(what, max(0.0, float(excess.max())), 0.0, value=float(tensor.flatten()[worst]), **detail)


def at_least(values: Values, floor: Values, *, what: str) -> Evidence:
    """Every value is at least `floor`; measured is how far the worst falls below it."""
    return _compared(what, values, low=floor)


def at_most(values: Values, ceiling: Values, *, what: str) -> Evidence:
    """Every value is at most `ceiling`; measured is how far the worst rises above it."""
    return _compared(what, values, high=ceiling)


def between(values: Values, low: Number, high: Number, *, what: str) -> Evidence:
    """Every value lies in [low, high]; measured is how far the worst lies outside."""
    return _compared(what, values, low=low, high=high)


def equal(actual: Any, expected: Any, *, what: str) -> Evidence:
    """The same to the last bit: integers, shapes, tensors. Measured is the number of entries that differ."""
    if not isinstance(actual, torch.Tensor) and not isinstance(expected, torch.Tensor):
        same = actual == expected
        detail: dict[str, Any] = {} if same else {"got": repr(actual), "expected": repr(expected)}
        return fact(what, 0.0 if same else 1.0, 0.0, why="equality is exact", **detail)
    a, b = torch.as_tensor(actual), torch.as_tensor(expected)
    if a.shape != b.shape:
        return invalid(what, f"shape {tuple(a.shape)} against {tuple(b.shape)}")
    if bool(a.isnan().any()) or bool(b.isnan().any()):
        return invalid(what, "an entry is not a number")
    return fact(what, int((a.detach().cpu() != b.detach().cpu()).sum()), 0.0, why="equality is exact, to the last bit")


def unit_roundoff(dtype: torch.dtype) -> float:
    """u: the largest relative error of one correctly rounded operation, half the spacing at one."""
    return float(torch.finfo(dtype).eps) / 2


def gamma(operations: Number, dtype: torch.dtype) -> float:
    """Higham's gamma_k = k·u / (1 - k·u): bounds the relative error of k roundings in any order."""
    product = float(operations) * unit_roundoff(dtype)
    return product / (1 - product) if product < 1 else math.inf


def close(
    actual: torch.Tensor, expected: Values, *, operations: Number, what: str, scale: Values | None = None
) -> Evidence:
    """`actual` equals `expected` up to `operations` roundings in actual's dtype, on entries of size `scale`.

    |actual - expected| <= gamma_k · scale entry by entry; `scale` defaults to |expected|. For a sum, pass the sum of the absolute
    terms as the scale, which covers cancellation. Measured is the error in units of the allowance, allowed is 1.
    """
    pair = _pair(actual, expected)
    if pair is None:
        return invalid(what, f"shape {tuple(actual.shape)} does not fit the expected one")
    sizes = _tensor(scale).to(pair[0].device).abs() if scale is not None else pair[1].abs()
    allowance = gamma(operations, actual.dtype) * sizes + torch.finfo(actual.dtype).tiny * float(operations)
    return within(
        actual, expected, allowance, what=what, why=f"{operations:g} roundings in {actual.dtype}".replace("torch.", "")
    )


def within(actual: Values, expected: Values, margin: Values, *, what: str, why: str) -> Evidence:
    """|actual - expected| <= margin entry by entry; `why` derives the margin. Measured is the worst error, allowed its margin."""
    pair = _pair(actual, expected)
    if pair is None:
        return invalid(what, "the shapes do not fit")
    error = (pair[0] - pair[1]).abs()
    margins = _tensor(margin).to(error.device).expand(error.shape)
    if error.numel() == 0 or bool((error.isnan() | margins.isnan()).any()):
        return invalid(what, "there is nothing to compare" if error.numel() == 0 else "an entry is not a number")
    used = torch.where(
        error <= margins, error / margins.clamp_min(torch.finfo(torch.float64).tiny), 1 + error / margins
    )
    worst = int(used.flatten().argmax())
    sides: dict[str, Any] = {
        name: float(side.flatten()[worst]) for name, side in zip(("got", "expected"), pair, strict=True)
    }
    return fact(what, float(error.flatten()[worst]), float(margins.flatten()[worst]), why=why, **sides)


def differs(actual: torch.Tensor, other: Values, *, by: Number, what: str) -> Evidence:
    """Somewhere the two differ by at least `by`; measured is the shortfall of the largest difference."""
    pair = _pair(actual, other)
    if pair is None:
        return invalid(what, "the shapes do not fit")
    largest = (pair[0] - pair[1]).abs()
    if largest.numel() == 0 or bool(largest.isnan().any()):
        return invalid(what, "nothing to compare, or an entry is not a number")
    return fact(what, float(by) - float(largest.max()), 0.0, value=float(largest.max()), at_least=float(by))


def diverges(values: Values, *, beyond: Number, what: str) -> Evidence:
    """Every value exceeds `beyond` in size or is no longer finite: the one kind of evidence in which NaN is an answer."""
    sizes = _tensor(values).abs().nan_to_num(nan=math.inf)
    smallest = float(sizes.min())
    measured = 0.0 if math.isinf(smallest) else float(beyond) - smallest
    return replace(fact(what, measured, 0.0, value=smallest, at_least=float(beyond)), nan_answers=True)


def true(condition: bool, *, what: str) -> Evidence:
    """A yes-or-no observation, a bool and nothing else (a NaN is no yes); measured is 0 for yes and 1 for no."""
    if not isinstance(condition, bool):
        raise ClaimError(f"true got {type(condition).__name__}, expected bool ({what}); compare first, then bool(...)")
    return fact(what, 0.0 if condition else 1.0, 0.0, why="observed or not")


def all_of(evidence: Sequence[Evidence]) -> Evidence:
    """Join any number of pieces of evidence."""
    if not evidence:
        raise ClaimError("all_of got no evidence, expected at least one fact; a check that asserts nothing cannot hold")
    joined = evidence[0]
    for piece in evidence[1:]:
        joined = joined & piece
    return joined


def curve(
    title: str,
    x: Sequence[Number],
    series: dict[str, Sequence[Number] | torch.Tensor],
    *,
    x_label: str,
    y_label: str,
    marks: dict[str, float] | None = None,
    log_x: bool = False,
    log_y: bool = False,
) -> Figure:
    """A figure from plain numbers: named series over x, and horizontal marks by label."""
    lines = tuple(Series(name, tuple(float(v) for v in y)) for name, y in series.items())
    marked = tuple((value, label) for label, value in (marks or {}).items())
    return Figure(title, x_label, y_label, tuple(float(v) for v in x), lines, marked, log_x, log_y)


def rejects(call: Callable[[], Any], *, what: str) -> Evidence:
    """The call refuses its input with a ValueError or RuntimeError, as both our code and torch do; measured is 1 if it accepts."""
    try:
        call()
    except (ValueError, RuntimeError) as refusal:
        return fact(what, 0.0, 0.0, why=f"refused: {str(refusal).splitlines()[0][:120]}")
    return fact(what, 1.0, 0.0, why="accepted without complaint")
