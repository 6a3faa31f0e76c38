"""The words and signs of the report: verdicts, grades, statuses, and how numbers and docstrings are written."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from latex2mathml.converter import convert
from markupsafe import Markup, escape


@dataclass(frozen=True)
class Word:
    """One value of an enumeration: its sign, its word, its plural use in a sentence, and what it means."""

    sign: str
    word: str
    many: str
    meaning: str


VERDICTS = {
    "holds": Word("✓", "holds", "hold", "true as said, wherever it was tried"),
    "conditional": Word(
        "◐", "holds under conditions", "hold under conditions", "true on one part of its domain, false on the rest"
    ),
    "ambiguous": Word(
        "⇄", "depends on the reading", "depend on the reading", "several precise readings, not one verdict"
    ),
    "refuted": Word(
        "✗", "refuted", "are refuted", "false as said; a counterexample and the correct statement are given"
    ),
    "undecided": Word("?", "undecided", "are undecided", "no claim yet, or the evidence did not decide"),
    "not-executable": Word(
        "–", "not executable", "are not executable", "a name, a date, a matter of taste: nothing to run"
    ),
}
CLAIM_VERDICTS = {
    **{key: VERDICTS[key] for key in ("holds", "conditional", "refuted")},
    "inconclusive": Word("?", "inconclusive", "inconclusive", "the evidence did not decide"),
    "unsupported": Word("–", "not offered", "not offered", "the subject lacks a role that the claim needs"),
}
GRADES = {
    "proved": "decided by proof",
    "exhaustive": "decided case by case, every one",
    "property": "tried on drawn inputs",
    "statistical": "sampled, with an error bound",
    "empirical": "observed in runs",
}
STATUSES = {
    "as-predicted": "as predicted",
    "surprising": "not as predicted",
    "toothless": "toothless: a control did not turn it",
    "unsupported": "not offered by this subject",
    "error": "could not be run",
}
OUTCOMES = {
    "holds": Word("✓", "as claimed", "as claimed", "within what is allowed"),
    "fails": Word("✗", "not as claimed", "not as claimed", "beyond what is allowed"),
    "open": Word("?", "open", "open", "the evidence did not decide"),
    "invalid": Word("–", "not measured", "not measured", "nothing could be measured"),
}
KINDS = {
    "universal": "said of every case",
    "existence": "says that something can occur",
    "formula": "a formula",
    "definition": "a definition",
    "comparative": "a comparison",
    "statistical": "said of a distribution",
    "advice": "advice",
    "example": "an example",
    "history": "history",
}
RUN_WORDS = {"device_name": "processor", "platform": "system"}
SIDES = {"": "", "within": "within the condition", "beyond": "beyond the condition"}

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MARKED = re.compile(r"`([^`\n]+)`|\$([^$\n]+)\$")
_SUBSCRIPT = re.compile(r"(?<![^\W\d])(fan|[^\W\d_])_(\w{1,4}(?!\w)|\{[^{}]*\}|\([^()]*\))")
_WRITTEN = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?e[+-]?\d+\b")
_TYPED = (
    (re.compile(r"(?<=[\w)]) - (?=[\w(])"), "\u00a0−\u00a0"),  # a formula is not broken at its minus sign
    (re.compile(r"(?<![\w)\]/-])-(?=\d)"), "−"),
    (re.compile(r"(?<=\d)( ?)x( ?)(?=\d)"), r"\1×\2"),
    (re.compile(r"\b1 (shape|rounding)s\b"), r"1 \1"),
    (re.compile(">="), "≥"),
    (re.compile("<="), "≤"),
)
_SENTENCE = re.compile(r"(?:[a-z]{3,}|an|as|at|by|if|in|it|no|of|on|to|we)(?=[ ,'-]+[\w|(])|a(?= [a-z]{2,})")
_LABEL = re.compile(r"([A-Z][A-Za-z ]{1,24}):\s")


def number(value: float | int | None) -> str:
    """A number as a reader writes it: four significant digits, powers of ten with superscripts, a true minus sign."""
    if value is None:
        return "∞"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e6):
        return f"{int(value):,}".replace(",", "\u202f").replace("-", "−")
    if 1e-3 <= abs(value) < 1e6:
        return f"{value:.4g}".replace("-", "−") if abs(value) < 1e4 else f"{value:.0f}".replace("-", "−")
    mantissa, _, exponent = f"{value:.2e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    return power if mantissa == "1" else f"{mantissa.replace('-', '−')}·{power}"


def duration(seconds: float) -> str:
    """Seconds in words that fit their size."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)} ms"
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def moment(started: str) -> str:
    """A UTC timestamp without the signs that only machines need."""
    return started.replace("T", " ").removesuffix("Z")[:16] + (" UTC" if started.endswith("Z") else "")


def spelled(many: int) -> str:
    """A small count as a word that can begin a sentence."""
    return (
        ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")[many] if many < 10 else str(many)
    )


def prose(text: str) -> Markup:
    """One line of text: `code` between backticks, MathML between dollar signs, everything else as it is printed in a book."""
    parts: list[Markup] = []
    end = 0
    for found in _MARKED.finditer(text):
        parts.append(_printed(text[end : found.start()]))
        code, formula = found.groups()
        parts.append(Markup("<code>{}</code>").format(_printed(code)) if code else mathml(formula))
        end = found.end()
    parts.append(_printed(text[end:]))
    return Markup("").join(parts)


def _printed(text: str) -> Markup:
    """Typed signs become printed ones: minus, times, powers of ten, subscripts."""
    text = _WRITTEN.sub(lambda found: number(float(found.group())), text)
    for typed, sign in _TYPED:
        text = typed.sub(sign, text)
    parts: list[Markup] = []
    end = 0
    for found in _SUBSCRIPT.finditer(text):
        base, below = found.groups()
        below = below[1:-1] if below[0] in "{(" else below
        parts += [escape(text[end : found.start()] + base), Markup("<sub>{}</sub>").format(below)]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def sentence(text: str) -> str:
    """Text that begins with a word begins with a capital; a symbol stays as it is."""
    return text[:1].upper() + text[1:] if _SENTENCE.match(text) else text


def mathml(formula: str) -> Markup:
    """A LaTeX formula as MathML; what cannot be converted, or holds markup of its own, is shown as code."""
    if not any(sign in formula for sign in "<>&"):
        try:
            return Markup(convert(formula))
        except Exception:  # noqa: BLE001 - the converter raises many kinds; the reader still gets the formula's text
            return Markup("<code>{}</code>").format(formula)
    return Markup("<code>{}</code>").format(formula)


def paragraphs(docstring: str) -> list[dict[str, Any]]:
    """A docstring as paragraphs with their label, as in 'Reading: ...' and 'Why: ...'; wrapped lines are joined."""
    made: list[dict[str, Any]] = []
    fresh = True
    for line in docstring.splitlines():
        text = line.strip()
        label = _LABEL.match(text)
        if label:
            made.append({"label": label.group(1), "text": text[label.end() :]})
        elif text and (fresh or not made):
            made.append({"label": "", "text": text})
        elif text:
            made[-1]["text"] += " " + text
        fresh = not text
    return made
