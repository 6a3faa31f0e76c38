"""One offline page from results.json: readable without scripts, with a policy that forbids any request."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from assay.claim import CORRECTION
from assay.report import page as pages
from assay.report import pictures, sampling, words
from assay.report.diff import essence

TEMPLATES = Path(__file__).with_name("templates")
TABLE_ROWS = 60  # longer tables show evenly spaced rows


def render(results: Mapping[str, Any]) -> str:
    """The report as one HTML text; the same results give the same bytes."""
    style, script = _asset("style.css"), _asset("script.js")
    page = pages.build(results)
    return (
        _environment()
        .get_template("page.html")
        .render(
            page=page,
            run=page.run,
            counts=pages.count(page.entries),
            unchecked=pages.unchecked(page),
            style=Markup(style),
            script=Markup(script),
            policy=_policy(style, script),
            essence=embedded(essence(results)),
        )
    )


def embedded(document: Any) -> Markup:
    """JSON that may stand inside a script element: no character in it can end the element or open a comment."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


@cache
def _asset(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8").strip()


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.globals.update(
        VERDICTS=words.VERDICTS,
        CLAIM_VERDICTS=words.CLAIM_VERDICTS,
        GRADES=words.GRADES,
        STATUSES=words.STATUSES,
        OUTCOMES=words.OUTCOMES,
        SIDES=words.SIDES,
        KINDS=words.KINDS,
        RUN_WORDS=words.RUN_WORDS,
        CORRECTION=CORRECTION,
        closest=sampling.closest,
        measured_of=sampling.measured,
        allowed_of=sampling.allowed,
        pair_of=sampling.pair,
        is_worst=sampling.worst,
        count=pages.count,
        chart=pictures.chart,
        gauge=pictures.gauge,
        rows_of=_rows,
        interval_of=sampling.picture,
        spread_of=sampling.spread,
        result_of=sampling.result,
        shown_in=sampling.figures,
        worked=sampling.worked,
        swatch=pictures.swatch,
    )
    made.filters.update(
        num=words.number,
        duration=words.duration,
        prose=words.prose,
        sentence=words.sentence,
        paragraphs=words.paragraphs,
        moment=words.moment,
        spelled=words.spelled,
    )
    return made


def _rows(figure: Mapping[str, Any]) -> dict[str, Any]:
    """The table beside a picture: a head, rows of numbers, and every how many points a row is shown."""
    head = [figure["x_label"] or "x"]
    columns = [figure["x"]]
    for series in figure["series"]:
        head.append(series["name"])
        columns.append(series["y"])
        if series["low"] is not None and series["high"] is not None:
            head += ["from", "to"]
            columns += [series["low"], series["high"]]
    rows = list(zip(*columns, strict=False))
    every = -(-len(rows) // TABLE_ROWS) or 1
    return {
        "head": head,
        "rows": [[words.number(v) if v is not None else "–" for v in row] for row in rows[::every]],
        "every": every,
    }
