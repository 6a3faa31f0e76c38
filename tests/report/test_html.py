"""The page as a text: complete, escaped, the same bytes every time, small, quick to make."""

from __future__ import annotations

import base64
import copy
import hashlib
import html
import itertools
import json
import random
import re
import time
from html.parser import HTMLParser
from typing import Any

import pytest

from assay.report import sampling
from assay.report.html import render
from assay.report.pictures import chart, interval
from assay.report.sampling import picture
from tests.report import factory

HOSTILE = (
    "<script>alert(1)</script> \"quoted\" 'single' ]]> --> </script> &amp; <img src=x onerror=alert(2)> {{ 7 * 7 }} "
    + "w" * 400
)
CONTENT_BUDGET = 4_000_000  # bytes for 400 statements, from the design
MAKING_BUDGET = 5.0  # seconds for 800 statements; 0.3 s were measured on one core, the rest is for slow machines


class Elements(HTMLParser):
    """Every start tag with its attributes, every id, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.tags if "id" in attributes]


def test_same_results_give_the_same_bytes() -> None:
    results = factory.synthetic(80)
    first = render(json.loads(json.dumps(results)))
    assert render(json.loads(json.dumps(results))) == first
    assert render(results) == first


def test_every_statement_and_question_is_there_once_and_every_link_leads_somewhere() -> None:
    results = factory.synthetic(200)
    page = Elements(render(results))
    assert len(page.ids) == len(set(page.ids))
    assert {s["id"] for s in results["statements"]} <= set(page.ids)
    questions = {f"{key}-q{q}" for key, last in factory.QUESTIONS.items() for q in range(1, last + 1)}
    assert questions <= set(page.ids)
    targets = {a["href"][1:] for tag, a in page.tags if tag == "a" and a["href"] and "=" not in a["href"]}
    assert targets <= set(page.ids)


def test_links_never_leave_the_page() -> None:
    page = Elements(render(factory.synthetic(60)))
    assert all((a.get("href") or "#").startswith("#") for _, a in page.tags)
    assert not [a for _, a in page.tags if "src" in a or "style" in a or any(name.startswith("on") for name in a)]


def test_the_policy_admits_exactly_the_pages_own_style_and_script() -> None:
    text = render(factory.synthetic(20))
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1))
    assert policy.startswith("default-src 'none'")
    for directive, tag in (("style-src", "style"), ("script-src", "script")):
        content = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(c.encode()).digest()).decode() for c in content]
        assert f"{directive} 'sha256-{digests[0]}'" in policy
        assert len(digests) == 1


def hostile() -> dict[str, Any]:
    """A run in which every free text is hostile; ids and enumerations are what the schema admits."""
    texts = """statement reason correct sentence covers docstring instead boundary problem differs
        what why title x_label y_label detects reproduce"""
    free = set(texts.split())

    def poison(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: HOSTILE if key in free and isinstance(item, str) else poison(item) for key, item in value.items()
            }
        return [poison(item) for item in value] if isinstance(value, list) else value

    results = factory.synthetic(40, executed=1.0)
    poisoned: dict[str, Any] = poison(results)
    for claim in poisoned["claims"]:
        claim["seen"] = {HOSTILE: HOSTILE}
        claim["counterexample"] = {"values": {HOSTILE: HOSTILE}, "fact": HOSTILE, "measured": 1.0, "allowed": 0.0}
        claim["controls"] = [factory.control(name=HOSTILE, why=HOSTILE)]
        claim["facts"].append(
            factory.fact(detail={"obligation": HOSTILE, "engine": HOSTILE, "got": HOSTILE, "expected": HOSTILE})
        )
        claim["figures"] = [factory.figure(count=2, marks=[[0.5, HOSTILE]])]
        claim["figures"][0]["series"][0]["name"] = HOSTILE
    for entry in poisoned["statements"]:
        entry["readings"] = [{"reading": HOSTILE, "verdict": "holds", "claims": []}] * 2
    return poisoned


def test_hostile_text_is_shown_and_never_becomes_markup() -> None:
    calm, page = (Elements(render(results)) for results in (factory.synthetic(40, executed=1.0), hostile()))
    assert sum(tag == "script" for tag, _ in page.tags) == sum(tag == "script" for tag, _ in calm.tags) == 2
    assert not [tag for tag, _ in page.tags if tag == "img"]
    assert not [a for _, a in page.tags if "onerror" in a]
    assert "{{ 7 * 7 }}" in page.text
    assert HOSTILE in page.text


def test_formulas_between_dollar_signs_become_mathml_and_hostile_ones_stay_text() -> None:
    docstring = r"Reading: $\frac{1}{n}$ and $<script>x</script>$ and $\frac{$ and `a < b`."
    made = factory.claim(docstring=docstring)
    text = render(factory.results([factory.decided(factory.statement(), [made], "holds")], [made]))
    assert "<mfrac><mrow><mn>1</mn></mrow><mrow><mi>n</mi></mrow></mfrac>" in text
    assert "<code>&lt;script&gt;x&lt;/script&gt;</code>" in text
    assert "<code>a &lt; b</code>" in text


def test_the_page_stays_within_its_size() -> None:
    assert len(render(factory.synthetic(400)).encode()) < CONTENT_BUDGET
    assert len(render(factory.synthetic(400, executed=1.0)).encode()) < CONTENT_BUDGET


def test_the_page_is_made_quickly() -> None:
    results = factory.synthetic(800)
    started = time.perf_counter()
    render(results)
    assert time.perf_counter() - started < MAKING_BUDGET


def one(claim: dict[str, Any], verdict: str = "holds", **changes: Any) -> str:
    return Elements(
        render(factory.results([factory.decided(factory.statement(), [claim], verdict, **changes)], [claim]))
    ).text


def test_a_refutation_shows_its_counterexample_and_what_is_true_instead() -> None:
    text = one(factory.refuted("gfg-1.1", "same_size"), "refuted", correct="It holds for odd kernels only.")
    shown = " ".join(text.split())
    assert "Take n = 3, k = 2, p = (k - 1) // 2 ⟶ the sizes differ by: 1, allowed 0." in shown
    assert "What is true instead It holds for odd kernels only." in shown


def test_a_sampled_fact_shows_its_interval_against_the_range_that_counts() -> None:
    made = factory.statistical("gfg-1.1", "kept")
    single = factory.figure(x=[16.0], series=[{"name": "interval", "y": [0.5], "low": [0.4], "high": [0.6]}])
    made["figures"] = [single, factory.figure()]
    page = render(factory.results([factory.decided(factory.statement(), [made], "holds")], [made]))
    text = " ".join(Elements(page).text.split())
    assert "0.495 to 0.507" in text
    assert "0.49 to 0.51" in text
    assert page.count('class="chart"') == 1
    one_sided = factory.fact("win rate", -0.2, 0.0, method="sampled", detail={"low": 0.7, "high": 0.9, "claimed": 0.5})
    assert "above 0.5" in one(factory.claim(facts=[one_sided]))


def test_a_sampled_refutation_says_where_the_interval_lies() -> None:
    detail = {"low": 1.22, "high": 1.31, "claimed": 1.0}
    made = factory.refuted("gfg-1.1", "gain", facts=[factory.fact("gain", 0.31, 0.04, outcome="fails", detail=detail)])
    made["counterexample"] = {"values": {"slope": 0.5}, "fact": "gain", "measured": 0.31, "allowed": 0.04}
    text = " ".join(one(made, "refuted").split())
    assert "Take slope = 0.5 ⟶ gain: between 1.22 and 1.31, within 0.96 to 1.04 needed; 1 is excluded." in text


def test_a_one_sided_refutation_says_and_shows_what_was_out_of_reach() -> None:
    """An interval around the floor refutes too, when the effect that had to be possible lies above it."""
    detail = {"low": 0.4, "high": 0.7, "claimed": 0.5, "detects": 0.25}
    facts = [factory.fact("it wins", 0.1, 0.0, outcome="fails", method="paired", detail=detail, why="sign test")]
    text = " ".join(one(factory.refuted("gfg-1.1", "wins", facts=facts), "refuted").split())
    assert "above 0.5 ✗ not as claimed 0.75 is out of reach" in text
    failing, holding = picture(facts[0]), picture(factory.fact(method="paired", allowed=0.0, detail=detail))
    assert 'class="k d"' in failing
    assert 'class="i fails"' in failing
    assert set(re.findall(r">([\d.]+)</text>", failing)) == {"0.4", "0.5", "0.7", "0.75"}
    assert "claimed 0.75" not in one(factory.claim(facts=[factory.fact(method="paired", allowed=0.0, detail=detail)]))
    assert 'class="i fails"' not in holding


def test_the_range_of_a_probability_ends_at_one() -> None:
    """An interval that reaches one reaches the end of the strip, and with it the end of the allowed range."""
    detail = {"low": 0.9, "high": 1.0, "claimed": 0.5, "detects": 0.25}
    share = picture(factory.fact(method="sampled", allowed=0.0, detail=detail, why="Clopper-Pearson interval, exact"))
    mean = picture(factory.fact(method="sampled", allowed=0.0, detail=detail, why="Student interval"))
    ends = [float(re.findall(r"M([\d.]+) 19v10", strip)[-1]) for strip in (share, mean)]
    assert ends[0] == 236
    assert ends[1] < 236


@pytest.mark.parametrize("values", [(0.5, 0.5001), (0.98, 0.99, 1.0), (0.0, 0.01, 0.02), (0.2, 0.8)])
def test_numbers_under_a_strip_do_not_overlap_and_stay_on_it(values: tuple[float, ...]) -> None:
    drawn = interval((0.0, 1.0), (0.0, 1.0), [(value, False) for value in values], False, True)
    row = re.findall(r'x="([\d.]+)" y="9">([\d.]+)<', drawn)
    spans = sorted((float(x) - 2.85 * len(text), float(x) + 2.85 * len(text)) for x, text in row)
    assert len(spans) == len(values)
    assert all(left[1] <= right[0] for left, right in itertools.pairwise(spans))
    assert spans[0][0] >= 0
    assert spans[-1][1] <= 240


def test_evidence_is_never_said_in_words_of_a_condition_or_as_a_proof_of_what_is_refuted() -> None:
    made = factory.conditional("gfg-1.1", "odd")
    text = " ".join(one(made, "conditional").split())
    assert "beyond the condition6 roundings in float32 41 ✗ not as claimed" in text
    assert "proved over its whole domain" not in one(factory.proved("gfg-1.1", "sizes"))


def ticks(figure: dict[str, Any]) -> list[list[str]]:
    """The numbers along x and along y of a chart."""
    drawn = chart(figure)
    return [re.findall(rf'<text class="{kind}" [^>]*>([^<]*)<', drawn) for kind in ("m", "e")]


def line(*y: float) -> list[dict[str, Any]]:
    return [{"name": "line", "y": list(y), "low": None, "high": None}]


def test_every_axis_has_two_numbers_and_counts_begin_at_zero() -> None:
    along_x, _ = ticks(factory.figure(x=[32.0, 64.0], series=line(0.5, 0.6), marks=[]))
    assert along_x == ["32", "64"]
    _, along_y = ticks(factory.figure(x=[1.0, 2.0], series=line(0.0, 0.0), marks=[]))
    assert along_y[0] == "0"
    assert not any("−" in text for text in along_y)
    _, along_y = ticks(factory.figure(x=[1.0, 2.0], series=line(-1.0, 1.0), marks=[]))
    assert "−1" in along_y


@pytest.mark.parametrize(
    ("detail", "measured", "allowed", "said"),
    [
        ({"value": 26.0, "at_least": 10.0}, "26", "at least 10", "26, at least 10 needed"),
        ({"value": 0.5, "at_most": 0.1}, "0.5", "at most 0.1", "0.5, at most 0.1 needed"),
        ({"value": 3.0, "at_least": 0.0, "at_most": 1.0}, "3", "0 to 1", "3, 0 to 1 needed"),
        ({"value": None, "at_least": 5.0}, "∞", "at least 5", "∞, at least 5 needed"),
        ({"got": 0.5, "expected": 1.0}, "2", "0", "2 (0.5 where 1 was expected)"),
        ({"got": "(1, 2)", "expected": "(1, 3)"}, "2", "0", "(1, 2) where (1, 3) was expected"),
        ({}, "2", "0", "2, allowed 0"),
    ],
)
def test_a_fact_is_said_by_the_values_that_it_knows(
    detail: dict[str, Any], measured: str, allowed: str, said: str
) -> None:
    found = factory.fact("off by", 2.0, 0.0, outcome="fails", detail=detail)
    assert (sampling.measured(found), sampling.allowed(found), sampling.result(found)) == (measured, allowed, said)
    assert measured in one(factory.claim(facts=[found]))


def test_a_disproof_shows_the_two_sides_at_its_counterexample() -> None:
    detail = {"obligation": "for all n: n + 2 = n", "engine": "z3", "shown": "n + 2 = n would be 3 = 1"}
    facts = [factory.fact("changes the size", 2.0, 0.0, outcome="fails", method="proof", detail=detail)]
    found = {"values": {"n": "1"}, "fact": "changes the size", "measured": 2.0, "allowed": 0.0}
    text = " ".join(one(factory.refuted("gfg-1.1", "size", facts=facts, counterexample=found), "refuted").split())
    assert "Take n = 1 ⟶ changes the size: n + 2 = n would be 3 = 1." in text
    assert "disprovedevery case" in text
    found["values"] = {}
    text = one(factory.refuted("gfg-1.1", "size", facts=facts, counterexample=found), "refuted")
    assert "On the setting of the reading above ⟶ changes the size" in " ".join(text.split())
    assert "Smallest counterexample" not in text


def test_a_tensor_too_long_for_a_line_stands_in_rows_beside_every_digit() -> None:
    grid = [[-2.310411800234176, 0.5, 1e-12, float("inf")], [3.0, -0.25, 12345.678, float("nan")], [0.0, 1.0, 2.0, 3.0]]
    made = factory.refuted("gfg-1.1", "size")
    made["counterexample"]["values"] = {
        "x": f"{grid} (float64)",
        "w": "[1.5, 2.5] (float32)",
        "odd": "[1, [2]] (float64)",
    }
    text = one(made, "refuted")
    assert "Take x = the 3 × 4 numbers below (float64), w = [1.5, 2.5] (float32), odd = [1, [2]] (float64)" in " ".join(
        text.split()
    )
    rows = sampling.taken("x", f"{[grid, grid]} (float64)").rows.splitlines()
    assert [line.split() for line in rows[:3]] == [
        ["-2.31", "0.5", "1e-12", "inf"], ["3", "-0.25", "1.235e+04", "nan"], ["0", "1", "2", "3"]
    ]  # fmt: skip
    assert rows[3:] == ["", *rows[:3]]
    assert f"{grid} (float64)" in text


@pytest.mark.parametrize(
    "inside",
    [f'["{"a" * 90}"]', str([[]] * 40), "[" * 2000 + "]" * 2000, str([1, [2]] * 20), "[" + '{"a": 1}, ' * 20 + "1]"],
)
def test_a_long_text_in_brackets_that_is_no_tensor_stands_as_it_is(inside: str) -> None:
    found = sampling.taken("x", f"{inside} (float64)")
    assert (found.short, found.rows) == (f"{inside} (float64)", "")


def test_a_worst_case_beside_a_smaller_counterexample_is_called_so() -> None:
    made = factory.refuted("gfg-1.1", "size")
    assert "the worst of" not in one(made, "refuted")
    made["facts"][0] |= {"measured": 7.0, "detail": {"got": 8.0, "expected": 1.0}}
    text = " ".join(one(made, "refuted").split())
    assert "the worst of 100 cases" in text
    assert "⟶ the sizes differ by: 1, allowed 0." in text


def test_a_proof_shows_its_obligation_and_engine() -> None:
    text = one(factory.proved("gfg-1.1", "sizes"))
    assert "for all n ∈ ℤ, k ∈ ℤ" in text
    assert "z3 4.15.0; confirmed by evaluation at 412 points" in text


def sides(within: list[float], beyond: list[float]) -> str:
    """A conditional claim with a chart of `x` on each side of its condition."""
    drawn = [
        factory.figure(x=x, series=line(*[0.5] * len(x)), marks=[], side=side)
        for x, side in ((within, "within"), (beyond, "beyond"))
    ]
    made = factory.conditional("gfg-1.1", "odd", figures=drawn)
    return render(factory.results([factory.decided(factory.statement(), [made], "conditional")], [made]))


def test_a_single_point_beyond_a_condition_joins_the_chart_of_the_points_within() -> None:
    page = sides([1.0, 2.0, 3.0], [9.0])
    assert page.count('class="chart"') == page.count('class="y"') == 1
    assert "Shaded: beyond the condition." in page
    assert sides([4.0, 5.0], [1.0]).count('class="chart"') == 1
    for apart in (([1.0, 2.0, 3.0], [2.5]), ([1.0, 2.0], [3.0, 4.0])):
        assert sides(*apart).count('class="chart"') == 2
        assert 'class="y"' not in sides(*apart)


def test_the_same_picture_is_shown_once() -> None:
    made = factory.claim(figures=[factory.figure(), factory.figure(), factory.figure(title="another")])
    page = render(factory.results([factory.decided(factory.statement(), [made], "holds")], [made]))
    assert page.count('class="chart"') == 2


def test_another_subject_is_shown_with_the_fact_that_came_closest() -> None:
    facts = [factory.fact("far from it", 0.1), factory.fact("close to it", 0.9), factory.fact("halfway", 0.5)]
    other = factory.claim(subject="torch", facts=facts)
    entry = factory.decided(factory.statement(), [factory.claim()], "holds")
    text = Elements(render(factory.results([entry], [factory.claim(), other]))).text
    assert "close to it: 0.9, allowed 1" in text
    assert "far from it: 0.1" not in text
    open_one = factory.fact("undecided", 0.2, outcome="open")
    assert sampling.closest([*facts, open_one]) is open_one


def test_what_a_subject_lacks_is_said_in_words() -> None:
    lacks = {"verdict": "unsupported", "status": "unsupported", "problem": "roles not offered: dropout_classic"}
    other = factory.claim(subject="torch", facts=[], controls=[], **lacks)
    entry = factory.decided(factory.statement(), [factory.claim()], "holds")
    assert (
        "torch does not offer dropout classic"
        in Elements(render(factory.results([entry], [factory.claim(), other]))).text
    )


def test_a_newcomer_is_told_the_words_of_the_page() -> None:
    text = one(factory.claim())
    for word in ("Statement", "Claim", "Reading", "Subject", "Evidence", "Control"):
        assert re.search(rf"{word}[A-Z]", text), word
    assert "pip install -e ." in text
    assert "said of every case" in text
    titled = factory.results([factory.statement()], [])
    titled["documents"]["gfg"]["questions"]["0"] = "Introduction"
    assert "56 questions and an introduction" in Elements(render(titled)).text


def test_labels_and_conditions_can_be_read_as_sentences() -> None:
    made = factory.conditional("gfg-1.1", "odd", docstring="Reading: every size.\nWhy: it follows.")
    reason = "Holds where the kernel is odd.\nRefuted: even kernels."
    page = render(factory.results([factory.decided(factory.statement(), [made], "conditional", reason=reason)], [made]))
    assert "Holds where the kernel is odd.<br>Refuted: even kernels." in page
    assert "Reading: Every size." in Elements(page).text
    assert "Condition: The kernel is odd" in Elements(page).text


def test_a_run_that_needs_attention_says_so_at_the_top() -> None:
    bad = factory.claim(
        status="toothless", controls=[factory.control(turned=False, why="verdict under the control: holds")]
    )
    text = " ".join(one(bad).split())
    assert "1 result needs attention" in text
    assert "0 of 1 planted mistakes and repairs turned the verdict round" in text
    assert "not turned" in text
    assert "needs attention" not in one(factory.claim())


def test_a_known_difference_of_another_subject_is_shown_and_is_no_alarm() -> None:
    main = factory.claim()
    other = factory.claim(
        subject="torch", verdict="refuted", status="surprising", differs="rounds differently on purpose"
    )
    text = render(factory.results([factory.decided(factory.statement(), [main], "holds")], [main, other]))
    assert "known difference: rounds differently on purpose" in text
    assert "needs attention" not in text
    assert 'data-subject="reference torch *differs"' in text


def test_a_partial_run_says_that_it_is_partial() -> None:
    claim = factory.claim()
    statements = [factory.decided(factory.statement(), [claim], "holds")]
    text = render(factory.results(statements, [claim], partial=True, total_claims=9))
    assert "This run is partial." in text
    assert "1 of 9 results are there" in text
    assert "This run is partial." not in render(factory.results(statements, [claim]))


def test_a_claim_shared_by_two_statements_is_shown_once_and_linked_from_the_other() -> None:
    claim = factory.claim("gfg-1.1", also=["ib-2.1"])
    statements = [factory.decided(factory.statement(sid), [claim], "holds") for sid in ("gfg-1.1", "ib-2.1")]
    text = render(factory.results(statements, [claim]))
    assert text.count(claim["reproduce"]) == 1
    assert 'The same claim also decides <a href="#gfg-1.1">' in text


def test_odd_numbers_do_not_break_a_picture() -> None:
    odd = [
        factory.figure(x=[], series=[{"name": "none", "y": [], "low": None, "high": None}], marks=[]),
        factory.figure(x=[1.0], series=[{"name": "one", "y": [2.0], "low": [1.0], "high": [3.0]}]),
        factory.figure(
            x=[0.0, -1.0, None],
            series=[{"name": "bad", "y": [None, 0.0, 1e300], "low": None, "high": None}],
            log_x=True,
            log_y=True,
        ),
        factory.figure(
            x=[1.0, 2.0, 3.0],
            series=[{"name": "gap", "y": [1.0, None, 1.0], "low": [None, 0.5, 0.5], "high": [2.0, 2.0, None]}],
        ),
        factory.figure(
            x=[1.0, 2.0],
            series=[{"name": "flat", "y": [0.0, 0.0], "low": None, "high": None}],
            marks=[[None, "nowhere"]],
        ),
        factory.figure(
            x=[1e-300, 1e300], series=[{"name": "wide", "y": [-1e308, 1e308], "low": None, "high": None}], log_x=True
        ),
    ]
    made = factory.claim(figures=odd)
    text = render(factory.results([factory.decided(factory.statement(), [made], "holds")], [made]))
    assert text.count('class="chart"') == len(odd)
    assert not re.search(r"\bnan\b|\binf\b", text)


@pytest.mark.parametrize("points", [9, 40, 4000])
def test_a_picture_stays_small(points: int) -> None:
    assert len(chart(factory.figure(points, count=2)).encode()) < 12_000
    assert len(chart(factory.figure(points)).encode()) < 6_500


def test_the_order_of_keys_does_not_matter() -> None:
    results = factory.synthetic(30)

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            keys = list(value)
            random.Random(1).shuffle(keys)
            return {key: shuffled(value[key]) for key in keys}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    other = shuffled(copy.deepcopy(results))
    for original, changed in zip(results["claims"], other["claims"], strict=True):
        changed["seen"] = original["seen"]
    other["documents"], other["run"] = results["documents"], results["run"]
    counterexamples = zip(results["claims"], other["claims"], strict=True)
    for original, changed in counterexamples:
        changed["counterexample"] = original["counterexample"]
    assert render(other) == render(results)
