"""Numbers, docstrings and colours as a reader meets them."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

import assay.report
from assay.report.words import duration, moment, number, paragraphs, prose, sentence, spelled

STYLE = Path(assay.report.__file__).with_name("templates") / "style.css"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "0"), (0.0, "0"), (3, "3"), (-2, "−2"), (1234567, "1\u202f234\u202f567"), (0.5, "0.5"), (1 / 3, "0.3333"),
        (-0.25, "−0.25"), (12345.6, "12346"), (2e-8, "2·10⁻⁸"), (1e-4, "10⁻⁴"), (-1.5e300, "−1.5·10³⁰⁰"), (None, "∞"),
        (4.2e6, "4.2·10⁶"), (1e6, "10⁶"), (999999.0, "999\u202f999"),
    ],
)  # fmt: skip
def test_numbers_are_written_for_readers(value: float | None, written: str) -> None:
    assert number(value) == written


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "0 ms"), (0.0121, "13 ms"), (12.34, "12.3 s"), (150, "2 min 30 s"), (7260, "2 h 1 min")],
)
def test_durations_are_written_for_readers(seconds: float, written: str) -> None:
    assert duration(seconds) == written


def test_small_counts_are_spelled_and_timestamps_shortened() -> None:
    assert [spelled(2), spelled(12)] == ["Two", "12"]
    assert moment("2026-01-02T03:04:05Z") == "2026-01-02 03:04 UTC"


def test_a_docstring_becomes_labelled_paragraphs() -> None:
    made = paragraphs("Reading: first line\nthat goes on.\n\nA paragraph\nof two lines.\nWhy: because.")
    assert made == [
        {"label": "Reading", "text": "first line that goes on."},
        {"label": "", "text": "A paragraph of two lines."},
        {"label": "Why", "text": "because."},
    ]


def test_a_lone_dollar_or_backtick_stays_text() -> None:
    assert prose("costs 3 $ and a ` tick") == "costs 3 $ and a ` tick"
    assert prose("`a` and $x$").count("<code>") == 1


@pytest.mark.parametrize(
    ("typed", "printed"),
    [
        ("n + 2p - K >= (s - 1)", "n + 2p\u00a0−\u00a0K ≥ (s\u00a0−\u00a01)"), ("from -2 to 3", "from −2 to 3"),
        ("p = 2K_w", "p = 2K<sub>w</sub>"), ("g_(t+1), h_{t-1}", "g<sub>t+1</sub>, h<sub>t-1</sub>"),
        ("2/(fan_in)", "2/(fan<sub>in</sub>)"), ("snake_case_name, __init__", "snake_case_name, __init__"),
        ("3x3 or 4 x 4, 0x1F", "3×3 or 4 × 4, 0×1F"), ("level 1.0e-08, 4.29497e+09", "level 10⁻⁸, 4.29·10⁹"),
        ("single-sample, 2-8-1", "single-sample, 2-8-1"), ("1 shapes, 11 shapes, 1 roundings", "1 shape, 11 shapes, 1 rounding"),
        ("`x_i <= 1`", "<code>x<sub>i</sub> ≤ 1</code>"), ("<b>_i</b>", "&lt;b&gt;_i&lt;/b&gt;"),
    ],
)  # fmt: skip
def test_typed_signs_are_printed_as_in_a_book(typed: str, printed: str) -> None:
    assert prose(typed) == printed


def test_only_words_begin_with_a_capital() -> None:
    assert sentence("it fails because x") == "It fails because x"
    assert sentence("of 128 nets") == "Of 128 nets"
    for symbols in ("x[k] grows", "a·x is", "dx is exact", "relu(z) is", "y of all", "|w| is"):
        assert sentence(symbols) == symbols


def luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance as WCAG defines it, from sRGB components in 0..1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    lighter, darker = sorted((luminance(a), luminance(b)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def palette(side: int) -> dict[str, tuple[float, ...]]:
    """The named colours of the style sheet, light (0) or dark (1)."""
    found = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", STYLE.read_text(encoding="utf-8"))
    return {name: tuple(int(pair[side][k : k + 2], 16) / 255 for k in (1, 3, 5)) for name, *pair in found}


VERDICT_COLOURS = ("holds", "conditional", "ambiguous", "refuted", "undecided", "not-executable")


@pytest.mark.parametrize("side", [0, 1])
def test_every_text_colour_is_readable_on_every_ground(side: int) -> None:
    colours = palette(side)
    for text, ground in itertools.product(("ink", "quiet", "link", *VERDICT_COLOURS), ("paper", "raised")):
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for verdict in VERDICT_COLOURS:
        tint = tuple(0.09 * v + 0.91 * p for v, p in zip(colours[verdict], colours["paper"], strict=True))
        assert contrast(colours[verdict], tint) >= 4.5, verdict
    for line in (f"c{k}" for k in range(6)):
        assert contrast(colours[line], colours["paper"]) >= 3, line


def test_the_tint_of_a_badge_is_the_one_that_was_checked() -> None:
    assert "color-mix(in srgb, var(--v) 9%, var(--paper))" in STYLE.read_text(encoding="utf-8")
