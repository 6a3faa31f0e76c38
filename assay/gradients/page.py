"""The report as one self-contained HTML page, light or dark as the reader's system is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2

from assay.gradients import numeric
from assay.gradients.screenful import HOW

# Pixels of a map's longer side, and of its squares.
SIDE, SMALLEST, LARGEST = 480, 8, 32
# Errors are shown in bars and cut at the margin where nothing is wrong.
LOUD = numeric.MARGIN
ORDER = ("wrong", "unresolved", "note", "holds")
STYLE = """
:root { color-scheme: light dark; --text: #1b1b1b; --ground: #ffffff; --line: #d5d5d5; --code: #f3f3f3; --within: #e8eef8;
  --good: #17603a; --bad: #a3142b; --doubt: #715000 }
@media (prefers-color-scheme: dark) { :root { --text: #e6e6e6; --ground: #16181b; --line: #3b4046; --code: #23272c; --within: #2b3442;
  --good: #7fd3a2; --bad: #ff8f9d; --doubt: #e5bd62 } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: var(--text); background: var(--ground) }
h1 { line-height: 1.2; overflow-wrap: anywhere }
.wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
caption { text-align: left; font-weight: bold; padding: .3rem .6rem }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
.agrees, .holds { color: var(--good) } .differs, .wrong { color: var(--bad) } .kink, .unresolved, .note { color: var(--doubt) }
code, pre { font-family: ui-monospace, monospace; background: var(--code) }
pre { padding: .6rem; overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere }
svg { max-width: 100%; height: auto; border: 1px solid var(--line) }
.within { fill: var(--within) }
"""
TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{ r.target }}: {{ r.verdict }}</title><style>{{ style }}</style></head><body><main>
<h1>{{ r.target }}: <span class="{{ r.verdict }}">{{ r.verdict }}</span></h1>
<p>{{ explanation }}</p>
<div class="wide"><table><caption>Inputs</caption>
<tr><th scope="col">input</th><th scope="col">shape</th><th scope="col">verdict</th><th scope="col">entries</th><th scope="col">how</th>
<th scope="col">resolution</th><th scope="col">worst entry</th></tr>
{% for e in r.entries %}<tr><td>{{ e.name }}</td><td>{{ e.dtype }}{{ e.shape|list }}</td><td class="{{ e.verdict }}">{{ e.verdict }}</td>
<td>{{ counted(e) }}</td><td>{{ how[e.method] }}</td><td class="number">{{ "%.1e"|format(e.resolution) }}</td><td>{{ e.worst or e.reason }}</td></tr>
{% endfor %}</table></div>
{% for e in r.entries if e.heat %}{% set map = heat(e.heat) %}<h2>Error of {{ e.name }}</h2>
<svg role="img" aria-label="map of the error of {{ e.name }}" width="{{ map.width }}" height="{{ map.height }}"
viewBox="0 0 {{ map.width }} {{ map.height }}">
{% for c in map.cells %}<rect x="{{ c.x }}" y="{{ c.y }}" width="{{ map.side }}" height="{{ map.side }}"
{% if c.fill %}fill="{{ c.fill }}"{% else %}class="within"{% endif %}><title>{{ "%.2g"|format(c.value) }} bars</title></rect>
{% endfor %}</svg>
<p>Outputs run down, entries of {{ e.name }} across; each square shows the largest error of its block. Plain: within the bar. Coloured: wrong, by
{{ map.range }} times the bar, darker for more.</p>{% endfor %}
{% for e in r.entries if e.wrong %}<div class="wide"><table><caption>Wrong entries of {{ e.name }}
{% if e.wrong|length < e.wrong_count %}({{ e.wrong|length }} of {{ e.wrong_count }}){% endif %}</caption>
<tr><th scope="col">entry</th><th scope="col" class="number">gradient</th><th scope="col" class="number">measured</th>
<th scope="col" class="number">bar</th></tr>
{% for w in e.wrong %}<tr><td>d {{ w.output }} / d {{ w.input }}{{ w.index }}</td>
<td class="number">{{ "%.12g"|format(w.analytic) }}</td><td class="number">{{ "%.12g"|format(w.measured) }}</td>
<td class="number">{{ "%.1e"|format(w.bar) }}</td></tr>{% endfor %}</table></div>{% endfor %}
<div class="wide"><table><caption>What else must be true of a backward</caption>
<tr><th scope="col">finding</th><th scope="col">status</th><th scope="col">in words</th></tr>
{% for f in findings %}<tr><td>{{ f.kind }}</td><td class="{{ f.status }}">{{ f.status }}</td><td>{{ f.sentence }}</td></tr>
{% endfor %}</table></div>
{% if r.example %}<p>Smallest failing input:</p><pre>{{ r.example }}</pre>{% endif %}
<p>To repeat it:</p><pre>{{ r.line }}</pre>
<p>{{ r.forwards }} forward evaluations, {{ "%.3f"|format(r.seconds) }} s, seed {{ r.seed }}.</p>
</main></body></html>
"""


def page(explanation: str, report: Mapping[str, Any]) -> str:
    """One HTML page without outside resources: verdict, inputs, maps of the error, wrong entries, findings, the line that repeats it.

    `report` holds the fields of a GradientReport by name, `explanation` its sentence.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    findings = sorted(report["findings"], key=lambda finding: ORDER.index(finding.status))
    return environment.from_string(TEMPLATE).render(
        r=report, explanation=explanation, findings=findings, style=STYLE, how=HOW, heat=heat_map, counted=counted
    )


def counted(record: Any) -> str:
    """How many entries of an input there are, and how many of them do not agree."""
    parts = ((record.wrong_count, "wrong"), (record.kinks, "at a kink"), (record.unresolved, "unresolved"))
    words = ", ".join(f"{count} {word}" for count, word in parts if count)
    return f"{record.checked}" + (f": {words}" if words else "")


def heat_map(errors: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The squares of a map of errors in bars: those that stand out are coloured on a logarithmic scale of their own."""
    rows, columns = len(errors), len(errors[0])
    side = max(SMALLEST, min(LARGEST, SIDE // max(rows, columns)))
    loud = [value for row in errors for value in row if value > LOUD]
    low, high = min(loud, default=1.0), max(loud, default=1.0)
    cells = [
        {"x": j * side, "y": i * side, "value": value, "fill": color(value, low, high) if value > LOUD else ""}
        for i, row in enumerate(errors)
        for j, value in enumerate(row)
    ]
    words = f"{low:.2g}" if low == high else f"{low:.2g} to {high:.2g}"
    return {"side": side, "width": columns * side, "height": rows * side, "cells": cells, "range": words}


def color(value: float, low: float, high: float) -> str:
    """From orange at `low` to dark red at `high`, by the logarithm."""
    share = 0.5 if high <= low else (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    return f"rgb({round(245 - 125 * share)},{round(150 - 140 * share)},{round(60 - 30 * share)})"
