"""Small pictures as inline SVG: charts of aggregates, gauges of facts, intervals against their claimed value.

Made by hand rather than by a plotting library: the page's content-security policy forbids style attributes, colours
must follow the page's light or dark theme, and hundreds of pictures must stay small. Colours and dashes are classes of
the style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeGuard

from markupsafe import Markup, escape

from assay.report.words import number

WIDTH, HEIGHT = 360.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 350.0, 22.0, 168.0
LINE_HEIGHT = 12.0
MOST_POINTS = 120  # a picture 300 units wide shows no more
MOST_DOTS = 16  # beyond this, dots hide the line
MOST_SIZE = 1e100  # larger numbers are missing from a picture, not from its table: their differences overflow
LETTER = 5.7  # width of a digit of the style sheet's 10 px letters
COLOURS = 6  # as many as the style sheet has

Values = Sequence[float | None]
Marks = Sequence[tuple[float, bool]]


@dataclass(frozen=True)
class Axis:
    """Maps values in [low, high] to positions from `start` to `end`, linearly or by logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    ends: tuple[float, ...] = ()  # the least and the greatest value

    def at(self, value: float | None) -> float | None:
        """The position of a value; None where a value is missing or has no logarithm."""
        if not _drawable(value) or (self.log and value < 1 / MOST_SIZE):
            return None
        low, high, here = (_scale(v, self.log) for v in (self.low, self.high, value))
        share = (here - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values; the ends of the data where fewer than two of these lie on the axis."""
        made = _log_ticks(self.low, self.high) if self.log else _linear_ticks(self.low, self.high)
        return made if len(made) > 1 or not self.ends else sorted(set(self.ends))


def _drawable(value: float | None) -> TypeGuard[float]:
    return value is not None and abs(value) <= MOST_SIZE


def _scale(value: float, log: bool) -> float:
    return math.log10(value) if log else value


def axis(values: Iterable[float | None], start: float, end: float, log: bool, room: float) -> Axis:
    """An axis over all values, widened by `room` of their range, below zero only for values there; linear if none is positive."""
    known = [v for v in values if _drawable(v)]
    positive = [v for v in known if v >= 1 / MOST_SIZE]
    log = log and bool(positive)
    known = positive if log else known or [0.0]
    ends = min(known), max(known)
    low, high = (_scale(value, log) for value in ends)
    margin = (high - low) * room or (0.3 if log else abs(high) * 0.1 or 1.0)
    if log:
        return Axis(10 ** (low - margin), 10 ** (high + margin), start, end, True, ends)
    return Axis(max(low - margin, 0.0) if low >= 0 else low - margin, high + margin, start, end, False, ends)


def _linear_ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step)
    return [round(k * step, 12 - math.floor(math.log10(step))) for k in range(first, math.floor(high / step) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1,)):
        made = [m * 10.0**p for p in powers for m in digits if low <= m * 10.0**p <= high]
        if len(made) <= 6:
            break
    stride = math.ceil(len(made) / 6) or 1
    return made[::stride]


def chart(figure: dict[str, Any]) -> Markup:
    """A line chart of a figure of results.json; bands as areas, marks as dashed lines with their label."""
    x = axis(figure["x"], LEFT, RIGHT, figure["log_x"], 0.04)
    lines = [line for s in figure["series"] for line in (s["y"], s["low"], s["high"]) if line is not None]
    marks = [(value, label) for value, label in figure["marks"] if value is not None]
    y = axis([v for line in lines for v in line] + [value for value, _ in marks], BOTTOM, TOP, figure["log_y"], 0.08)
    parts = [_beyond(x, *figure["beyond"]) if "beyond" in figure else "", _grid(x, y, figure)]
    parts += [_band(figure["x"], s, x, y, k % COLOURS) for k, s in enumerate(figure["series"])]
    parts += [_line(figure["x"], s["y"], x, y, k % COLOURS) for k, s in enumerate(figure["series"])]
    parts.append(_marks(marks, y))
    label = (
        f"Chart: {figure['title']}; {figure['y_label']} over {figure['x_label']}. The table beside it has the numbers."
    )
    return _svg(WIDTH, HEIGHT, label, "chart", "".join(parts))


def _svg(width: float, height: float, label: str, kind: str, body: str) -> Markup:
    """An image with a text alternative; the body's texts are escaped already."""
    head = f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'
    return Markup(f"{head}{body}</svg>")


def _stroke(kind: str, d: str) -> str:
    return f'<path class="{kind}" d="{d}"/>'


def _text(kind: str, x: float, y: float, text: str) -> str:
    return f'<text class="{kind}" x="{round(x, 1):g}" y="{round(y, 1):g}">{escape(text)}</text>'


def _grid(x: Axis, y: Axis, figure: dict[str, Any]) -> str:
    parts = []
    for value in y.ticks():
        at = y.at(value) or 0.0
        parts += [_stroke("g", f"M{LEFT:g} {at:.1f}H{RIGHT:g}"), _text("e", LEFT - 5, at + 3.5, number(value))]
    for value in x.ticks():
        at = x.at(value) or 0.0
        parts += [_stroke("a", f"M{at:.1f} {BOTTOM:g}v4"), _text("m", at, BOTTOM + 15, number(value))]
    parts.append(_stroke("a", f"M{LEFT:g} {BOTTOM:g}H{RIGHT:g}"))
    if figure["y_label"] != figure["title"]:  # the caption says it already, and has the room for it
        parts.append(_text("l", 4, 11, figure["y_label"]))
    parts.append(_text("e l", RIGHT, HEIGHT - 4, figure["x_label"]))
    return "".join(parts)


def _beyond(x: Axis, last_within: float, first_beyond: float) -> str:
    """The ground on which a condition does not hold: from halfway between two neighbouring points to the end of the axis."""
    edge = ((x.at(last_within) or LEFT) + (x.at(first_beyond) or RIGHT)) / 2
    end = RIGHT if first_beyond > last_within else LEFT
    return _stroke("y", f"M{edge:.1f} {TOP:g}H{end:g}V{BOTTOM:g}H{edge:.1f}Z")


def _points(xs: Values, ys: Values, x: Axis, y: Axis) -> list[list[tuple[float, float]]]:
    """Runs of neighbouring points that can be drawn; long lines keep the lowest and highest point of each column."""
    runs: list[list[tuple[float, float]]] = [[]]
    for a, b in zip(xs, ys, strict=False):
        at, height = x.at(a), y.at(b)
        if at is None or height is None:
            runs.append([])
        else:
            runs[-1].append((at, height))
    return [_thinned(run) for run in runs if run]


def _thinned(run: list[tuple[float, float]]) -> list[tuple[float, float]]:
    if len(run) <= MOST_POINTS:
        return run
    size = math.ceil(len(run) / (MOST_POINTS // 2))
    kept: list[tuple[float, float]] = []
    for k in range(0, len(run), size):
        column = run[k : k + size]
        kept += sorted({min(column, key=lambda p: p[1]), max(column, key=lambda p: p[1])})
    return kept


def _path(run: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in run)


def _line(xs: Values, ys: Values, x: Axis, y: Axis, colour: int) -> str:
    runs = _points(xs, ys, x, y)
    parts = [_stroke(f"s s{colour}", _path(run)) for run in runs if len(run) > 1]
    if sum(map(len, runs)) <= MOST_DOTS:
        parts += [f'<circle class="p s{colour}" cx="{a:.1f}" cy="{b:.1f}" r="2.5"/>' for run in runs for a, b in run]
    return "".join(parts)


def _band(xs: Values, series: dict[str, Any], x: Axis, y: Axis, colour: int) -> str:
    """The area between low and high; a whisker where a point has no neighbour."""
    if series["low"] is None or series["high"] is None:
        return ""
    known = [None not in pair for pair in zip(series["low"], series["high"], strict=True)]
    sides = [[v if both else None for v, both in zip(series[name], known, strict=True)] for name in ("low", "high")]
    parts = []
    for low, high in zip(*(_points(xs, side, x, y) for side in sides), strict=False):
        if len(low) == 1:
            (at, bottom), (_, top) = low[0], high[0]
            caps = f"M{at - 5:.1f} {bottom:.1f}h10M{at - 5:.1f} {top:.1f}h10"
            parts.append(_stroke(f"w s{colour}", f"M{at:.1f} {bottom:.1f}V{top:.1f}{caps}"))
        else:
            parts.append(_stroke(f"b s{colour}", f"{_path([*low, *reversed(high)])}Z"))
    return "".join(parts)


def _marks(marks: list[tuple[float, str]], y: Axis) -> str:
    """Dashed lines; labels that would overlap move apart."""
    parts, lowest = [], math.inf
    for value, label in sorted(marks, key=lambda mark: mark[0]):
        at = y.at(value)
        if at is None:
            continue
        lowest = min(at - 3, lowest - LINE_HEIGHT)
        parts.append(_stroke("k", f"M{LEFT:g} {at:.1f}H{RIGHT:g}"))
        parts.append(_text("e h", RIGHT - 2, lowest, f"{label} {number(value)}"))
    return "".join(parts)


def gauge(measured: float | None, allowed: float | None) -> Markup:
    """How much of the allowance was used: a bar against the threshold at two thirds of the track."""
    width, threshold = 120.0, 80.0
    if measured is None or allowed is None:
        used = 1.5
    elif allowed > 0:
        used = min(max(measured / allowed, 0.0), 1.5)
    else:
        used = 0.0 if measured <= allowed else 1.5
    kind = "fails" if used > 1 else "holds"
    label = f"measured {number(measured)}, allowed {number(allowed)}"
    reach = max(used * threshold, 1.5)  # a sliver, so that "nothing used" is seen as a measurement
    parts = (
        _stroke("t", f"M0 7H{width:g}"),
        _stroke(f"u {kind}", f"M0 7H{reach:.1f}"),
        _stroke("k", f"M{threshold:g} 0V14"),
    )
    return _svg(width, 14, label, "gauge", "".join(parts))


def interval(
    ends: tuple[float, float], allowed: tuple[float, float | None], marks: Marks, failed: bool, share: bool
) -> Markup:
    """A confidence interval over the allowed range, open above if that has no upper end; a limit of refutation is dashed."""
    x = axis([*ends, *(value for value, _ in marks)], 4.0, 236.0, False, 0.12)
    if share:  # nothing lies below zero or above one
        x = replace(x, low=max(x.low, 0.0), high=min(x.high, 1.0))
    a, b = (x.at(end) or 0.0 for end in ends)
    left, right = x.at(allowed[0]) or 0.0, x.at(allowed[1]) or x.end
    parts = [_stroke("t", "M4 24H236"), _stroke("z", f"M{left:.1f} 16H{right:.1f}V32H{left:.1f}Z")]
    parts += [_stroke("k d" if limit else "k", f"M{x.at(value) or 0.0:.1f} 13V35") for value, limit in marks]
    parts.append(_stroke("i fails" if failed else "i", f"M{a:.1f} 24H{b:.1f}M{a:.1f} 19v10M{b:.1f} 19v10"))
    parts += _labels([value for value, _ in marks], x, 9.0) + _labels(ends, x, 46.0)
    said = ", ".join(
        f"{'refuted if it cannot reach' if limit else 'mark at'} {number(value)}" for value, limit in marks
    )
    return _svg(240, 50, f"interval from {number(ends[0])} to {number(ends[1])}; {said}", "interval", "".join(parts))


def _labels(values: Iterable[float], x: Axis, y: float) -> list[str]:
    """Numbers at their place in a row; what would overlap moves to the right, then back from the row's end."""
    known = sorted(set(values))
    wide = [len(number(value)) * LETTER + 6 for value in known]
    places, free = [], x.start - 4
    for value, width in zip(known, wide, strict=True):
        places.append(max(x.at(value) or 0.0, free + width / 2))
        free = places[-1] + width / 2
    free = x.end + 4
    for k in reversed(range(len(known))):
        places[k] = min(places[k], free - wide[k] / 2)
        free = places[k] - wide[k] / 2
    return [_text("m", place, y, number(value)) for place, value in zip(places, known, strict=True)]


def swatch(position: int) -> Markup:
    """The sign of a series in a legend: its colour and its dashes."""
    line = _stroke(f"s s{position % COLOURS}", "M0 4H24")
    return Markup(f'<svg class="swatch" viewBox="0 0 24 8" aria-hidden="true">{line}</svg>')
