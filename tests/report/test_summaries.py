"""The terminal summary, the Markdown table, the CSV and the SARIF say what the results say."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from assay.report.export import sarif, statements_csv
from assay.report.markdown import verdict_table
from assay.report.terminal import summary
from tests.report import factory


def printed(results: dict[str, Any], *files: Path) -> str:
    console = Console(file=io.StringIO(), width=120)
    summary(results, console, files)
    out = console.file
    assert isinstance(out, io.StringIO)
    return out.getvalue()


def single(**changes: Any) -> dict[str, Any]:
    claim = factory.claim(**changes)
    return factory.results([factory.decided(factory.statement(), [claim], "holds")], [claim])


def test_the_terminal_counts_verdicts_by_topic_and_names_the_bound_and_the_files() -> None:
    results = factory.synthetic(120)
    text = printed(results, Path("reports/index.html"))
    holding = sum(s["topic"] == "convolution" and s["verdict"] == "holds" for s in results["statements"])
    row = next(line for line in text.splitlines() if line.startswith("convolution"))
    assert row.split()[1] == str(holding)
    assert "all as predicted" in text
    assert "probability at most 4.2·10⁻⁶" in text
    assert "wrote reports/index.html" in text


FOUND = {"values": {"n": "3"}, "fact": "sizes differ by", "measured": 1.0, "allowed": 0.0}
IDLE = factory.control(turned=False, why="never called")
FAILING = {
    "a surprise": (
        {"status": "surprising", "verdict": "refuted", "counterexample": FOUND},
        "sizes differ by: 1, allowed 0 (at n = 3)",
    ),
    "a toothless control": ({"status": "toothless", "controls": [IDLE]}, "control 'forgets to divide': never called"),
    "an error": (
        {"status": "error", "verdict": "inconclusive", "problem": "ValueError: no [such] shape"},
        "ValueError: no [such] shape",
    ),
    "a prediction that was too dark": (
        {"status": "surprising", "expect": "refuted"},
        "no counterexample was found where one was predicted",
    ),
    "an open question": ({"status": "surprising", "verdict": "inconclusive"}, "the evidence did not decide"),
    "a known difference": ({"status": "surprising", "differs": "rounds otherwise"}, "known difference"),
}


@pytest.mark.parametrize("name", FAILING)
def test_the_terminal_says_why_a_claim_is_not_as_predicted(name: str) -> None:
    changes, why = FAILING[name]
    text = printed(single(**changes))
    assert "gfg-1.1:softmax_sums_to_one on reference" in text
    assert why in text
    assert "1 not as predicted" in text


def test_the_terminal_counts_what_a_subject_does_not_offer() -> None:
    text = printed(single(status="unsupported", verdict="unsupported"))
    assert "all as predicted, 1 not put to subjects that lack what they need" in text


def test_the_terminal_does_not_take_text_for_markup() -> None:
    results = single(status="error", problem="[red]x[/nothing]")
    results["statements"][0]["topic"] = "[bold]losses"
    assert "[red]x[/nothing]" in printed(results)
    assert "[bold]losses" in printed(results)


def test_the_terminal_says_that_a_run_is_partial() -> None:
    assert "The run is partial" in printed(single() | {"run": single()["run"] | {"partial": True}})


def test_the_markdown_table_adds_up() -> None:
    results = factory.synthetic(150)
    lines = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in verdict_table(results).splitlines()]
    topics = [list(map(int, line[1:])) for line in lines[2:-3]]
    total = list(map(int, lines[-1][1:]))
    assert [sum(column) for column in zip(*topics, strict=True)] == total
    assert sum(total) == 150
    assert len({len(line) for line in lines}) == 1


def test_a_hostile_topic_stays_in_its_markdown_cell() -> None:
    results = single()
    results["statements"][0]["topic"] = "a | b\n<script>"
    assert "| a \\| b \\<script\\> |" in verdict_table(results)


def test_the_csv_has_a_line_for_each_statement_and_no_formula() -> None:
    results = factory.synthetic(80)
    results["statements"][0]["statement"] = '=HYPERLINK("x"), "quoted"\nand more'
    rows = list(csv.DictReader(io.StringIO(statements_csv(results))))
    assert [row["id"] for row in rows] == [s["id"] for s in results["statements"]]
    assert [row["verdict"] for row in rows] == [s["verdict"] for s in results["statements"]]
    assert rows[0]["statement"] == "'" + results["statements"][0]["statement"]


def test_sarif_lists_exactly_the_claims_that_fail_the_run() -> None:
    results = factory.synthetic(40, executed=1.0)
    assert json.loads(sarif(results))["runs"][0]["results"] == []
    results["claims"][0]["status"] = "surprising"
    results["claims"][2]["status"] = "toothless"
    results["claims"][4].update(status="surprising", differs="known")
    run = json.loads(sarif(results))["runs"][0]
    assert [found["ruleId"] for found in run["results"]] == [results["claims"][0]["id"], results["claims"][2]["id"]]
    for found in run["results"]:
        assert run["tool"]["driver"]["rules"][found["ruleIndex"]]["id"] == found["ruleId"]
        assert found["message"]["text"]
