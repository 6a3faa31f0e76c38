"""The report as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2

CELL = 10
TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ r.target }}: {{ r.verdict }}</title><style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b; background: #fff }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid #ddd; vertical-align: top }
.agrees, .holds { color: #176639 } .differs, .wrong { color: #a3142b } .kink, .unresolved, .note { color: #7a5200 }
code, pre { font-family: ui-monospace, monospace; background: #f4f4f4; padding: .1rem .3rem }
 pre { padding: .6rem; overflow-x: auto; white-space: pre-wrap }
</style></head><body>
<h1>{{ r.target }}: <span class="{{ r.verdict }}">{{ r.verdict }}</span></h1>
<p>{{ explanation }}</p>
<table><caption>Inputs</caption><tr><th>input</th><th>shape</th><th>verdict</th><th>entries</th><th>how</th><th>resolution</th><th>worst entry</th></tr>
{% for e in r.entries %}<tr><td>{{ e.name }}</td><td>{{ e.dtype }}{{ e.shape|list }}</td><td class="{{ e.verdict }}">{{ e.verdict }}</td>
<td>{{ e.checked }}
{% if e.wrong_count %}, {{ e.wrong_count }} wrong{% endif %}{% if e.kinks %}, {{ e.kinks }} at a kink{% endif %}
{% if e.unresolved %}, {{ e.unresolved }} unresolved{% endif %}</td>
<td>{{ e.method }}</td><td>{{ "%.1e"|format(e.resolution) }}</td><td>{{ e.worst or e.reason }}</td></tr>{% endfor %}</table>
{% for e in r.entries if e.wrong %}<h2>Wrong entries of {{ e.name }}</h2>
<table><tr><th>entry</th><th>gradient</th><th>measured</th><th>bar</th></tr>
{% for w in e.wrong %}<tr><td>d {{ w.output }} / d {{ w.input }}{{ w.index }}</td>
<td>{{ "%.12g"|format(w.analytic) }}</td><td>{{ "%.12g"|format(w.measured) }}</td><td>{{ "%.1e"|format(w.bar) }}</td></tr>{% endfor %}</table>{% endfor %}
{% for e in r.entries if e.heat %}<h2>Error of {{ e.name }} in bars</h2>
<svg role="img"
aria-label="heat map of the error of {{ e.name }}" width="{{ e.heat[0]|length * cell }}" height="{{ e.heat|length * cell }}">
{% for row in e.heat %}{% set i = loop.index0 %}{% for value in row %}
<rect x="{{ loop.index0 * cell }}" y="{{ i * cell }}" width="{{ cell }}" height="{{ cell }}"
fill="{{ color(value) }}"><title>{{ "%.2g"|format(value) }} bars</title></rect>{% endfor %}{% endfor %}
</svg><p>Outputs run down, entries of {{ e.name }} across; each square is the largest error of its block. Pale: within the bar; red: wrong.</p>{% endfor %}
<table><caption>Findings</caption><tr><th>finding</th><th></th><th></th></tr>
{% for f in r.findings %}<tr><td>{{ f.kind }}</td><td class="{{ f.status }}">{{ f.status }}</td><td>{{ f.sentence }}</td></tr>{% endfor %}</table>
{% if r.example %}<p>Smallest failing input:</p><pre>{{ r.example }}</pre>{% endif %}
<p>To repeat it:</p><pre>{{ r.line }}</pre>
<p>{{ r.forwards }} forward evaluations, {{ "%.3f"|format(r.seconds) }} s, seed {{ r.seed }}.</p>
</body></html>
"""


def page(explanation: str, report: Mapping[str, Any]) -> str:
    """One HTML page without outside resources: verdict, inputs, wrong entries, heat maps, findings, the line that repeats it.

    `report` holds the fields of a GradientReport by name, `explanation` its sentence.
    """
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(TEMPLATE).render(r=report, explanation=explanation, cell=CELL, color=color)


def color(excess: float) -> str:
    """White to blue within two bars, red beyond, darker with each power of ten."""
    if excess <= 2:
        share = int(255 - 60 * max(excess, 0.0) / 2)
        return f"rgb({share},{share},255)"
    decades = min(len(f"{excess:.0f}"), 8)
    return f"rgb({230 - 12 * decades},{max(0, 110 - 14 * decades)},{max(0, 100 - 12 * decades)})"
