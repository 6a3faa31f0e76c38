"""Two runs are compared from JSON or from HTML: flipped verdicts first, then numbers, then the environment."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from assay.errors import UsageError
from assay.report.diff import diff, diff_files, load
from assay.report.html import render
from tests.report import factory


def changed() -> tuple[dict[str, Any], dict[str, Any]]:
    """A run and a later one: a verdict flipped, numbers moved, a claim came, another went, torch is newer."""
    old = factory.synthetic(60, executed=1.0)
    new = copy.deepcopy(old)
    new["statements"][0]["verdict"] = "refuted"
    new["claims"][0].update(verdict="refuted", status="surprising")
    new["claims"][4]["facts"][0]["measured"] = 0.00701
    new["claims"][2]["facts"][0]["measured"] = None
    new["claims"].pop()
    new["claims"].append(factory.claim("gfg-1.1", "a_new_claim"))
    new["run"]["environment"]["torch"] = "2.14.0"
    new["run"]["seed"] = 5
    return old, new


def test_a_run_agrees_with_itself() -> None:
    results = factory.synthetic(60)
    found = diff(results, copy.deepcopy(results))
    assert found.exit_code == 0
    assert found.text() == "The two runs agree: verdicts, numbers and environment."


def test_every_kind_of_change_is_found_in_order() -> None:
    old, new = changed()
    found = diff(old, new)
    first = old["claims"][0]["id"]
    assert found.exit_code == 1
    assert found.flipped == (
        "statement gfg-1.1: was holds, is refuted",
        f"claim {first} on reference: verdict was holds, is refuted",
        f"claim {first} on reference: status was as-predicted, is surprising",
    )
    assert [line.split(":")[1].split(" ")[0] for line in found.moved] == [old["claims"][k]["name"] for k in (2, 4)]
    assert "was 0, is ∞" in found.moved[0]
    assert found.appeared == ("claim gfg-1.1:a_new_claim on reference: holds",)
    assert found.vanished == (f"claim {old['claims'][-1]['id']} on torch: {old['claims'][-1]['verdict']}",)
    assert found.environment == ("seed: was 0, is 5", "torch: was 2.13.0, is 2.14.0")
    heads = [found.text().index(title) for title in ("Verdicts flipped (3)", "Numbers moved", "Environment (2)")]
    assert heads == sorted(heads)


def test_the_bound_on_false_alarms_is_a_number_of_the_run_and_no_environment() -> None:
    old, _ = changed()
    new = copy.deepcopy(old)
    new["run"]["false_alarm_bound"] = 6.21833333333332e-06
    found = diff(old, new)
    assert found.environment == ()
    assert found.moved == ("the run's bound on false alarms was 4.2·10⁻⁶, is 6.22·10⁻⁶",)


def test_moved_numbers_alone_do_not_fail() -> None:
    old, _ = changed()
    new = copy.deepcopy(old)
    new["claims"][0]["facts"][0]["measured"] = 0.41
    assert diff(old, new).exit_code == 0
    assert len(diff(old, new).moved) == 1


def test_a_statement_that_was_not_run_in_full_did_not_flip() -> None:
    old = factory.synthetic(60, executed=1.0)
    new = copy.deepcopy(old)
    new["statements"][0].update(verdict="undecided", reason="not run: 1 of its 2 claims", not_run=["gfg-1.1:x"])
    found = diff(old, new)
    assert (found.flipped, found.exit_code) == ((), 0)
    assert found.vanished == (f"statement gfg-1.1: {old['statements'][0]['verdict']}",)
    assert diff(new, old).appeared == found.vanished


@pytest.mark.parametrize("kinds", [("json", "html"), ("html", "json"), ("html", "html"), ("json", "json")])
def test_json_and_html_of_the_same_run_carry_the_same(kinds: tuple[str, str], tmp_path: Path) -> None:
    old, new = changed()
    new["claims"][0]["facts"][0]["what"] = old["claims"][0]["facts"][0]["what"] = "</script><!-- <script> & \u2028"
    paths = []
    for name, results, kind in zip(("old", "new"), (old, new), kinds, strict=True):
        path = tmp_path / f"{name}.{kind}"
        path.write_text(render(results) if kind == "html" else json.dumps(results), encoding="utf-8")
        paths.append(path)
    assert diff(*map(load, paths)) == diff(old, new)
    console = Console(file=io.StringIO(), width=60)
    assert diff_files(*paths, console) == 1
    assert console.file.getvalue() == diff(old, new).text() + "\n"


@pytest.mark.parametrize("content", ["", "{}", "[1]", "not json", "<html><p>another page</p></html>", '{"claims": 3}'])
def test_another_file_is_refused_in_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "other"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="holds no results of a run") as refused:
        load(path)
    assert "\n" not in str(refused.value)


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "nothing", binary):
        with pytest.raises(UsageError, match="cannot be read"):
            load(path)
