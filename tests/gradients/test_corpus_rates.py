"""The checker against the corpus: each entry gets the verdict that its label allows, and the rates notice when not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.gradients.corpus import ENTRIES, RIGHT, WRONG, Entry, rates
from tests.gradients.corpus.judge import Judge, Outcome, assay_check, assay_explore, judged

DOUBLE, SINGLE = torch.float64, torch.float32
# The rates run over all entries. Here every mistake that shows at one input, and of what takes long one in so many.
A_FEW = 5


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def wanted(judge: Judge, entry: Entry, dtype: torch.dtype) -> None:
    """Fail with what the checker said unless the label allows it."""
    outcome = judged(judge, entry, dtype)
    assert outcome.expected, f"{entry.name} is {rates.kind(outcome)}: {outcome.verdict}, {outcome.detail}"


def each(entries: list[Entry]) -> pytest.MarkDecorator:
    """One test per entry, named after it."""
    return pytest.mark.parametrize("entry", entries, ids=lambda entry: entry.name)


def thinned(entries: list[Entry]) -> list[Entry]:
    """Every wrong entry and one in a few of the right ones, whose checks run to their end."""
    return [entry for entry in entries if not entry.right] + [entry for entry in entries if entry.right][::A_FEW]


@each(thinned(rates.chosen(DOUBLE, explore=False, order=1, only="")))
def test_float64(entry: Entry) -> None:
    if entry.visible == "special":
        entry = replace(entry, verdicts=frozenset({"agrees", "differs"}))
        outcome = judged(assay_check(1), entry, DOUBLE)
        assert outcome.verdict != "raised", outcome.detail
    else:
        wanted(assay_check(1), entry, DOUBLE)


@each([entry for entry in rates.chosen(SINGLE, explore=False, order=1, only="") if entry.visible == "always"][::A_FEW])
def test_float32(entry: Entry) -> None:
    wanted(assay_check(1), entry, SINGLE)


@each(thinned(rates.chosen(DOUBLE, explore=False, order=2, only="")))
def test_second_order(entry: Entry) -> None:
    wanted(assay_check(2), entry, DOUBLE)


@each([entry for entry in rates.chosen(DOUBLE, explore=True, order=1, only="") if not entry.right][::A_FEW])
def test_explored(entry: Entry) -> None:
    wanted(assay_explore, entry, DOUBLE)


def outcomes(judge: Judge) -> list[Outcome]:
    """What a judge says of the whole corpus."""
    return [judged(judge, entry, DOUBLE) for entry in ENTRIES]


def by_heart(entry: Entry, dtype: torch.dtype) -> tuple[str, str]:
    """A judge that has read the labels."""
    return (min(entry.verdicts) if entry.right else "differs"), ""


def test_the_rates_are_met_by_a_judge_who_knows_the_labels() -> None:
    assert rates.shortfalls(outcomes(by_heart), explore=True) == []


def test_the_rates_notice_a_checker_that_always_agrees() -> None:
    problems = rates.shortfalls(outcomes(lambda entry, dtype: ("agrees", "")), explore=True)
    assert [problem[:5] for problem in problems] == ["0.0 %"] * 3


def test_the_rates_notice_a_checker_that_never_agrees() -> None:
    (problem,) = rates.shortfalls(outcomes(lambda entry, dtype: ("differs", "")), explore=True)
    assert problem.startswith(f"{len(RIGHT)} of {len(RIGHT)} right functions")


@pytest.mark.parametrize("blind", ["always", "second", "special"])
def test_the_rates_notice_a_checker_that_is_blind_to_one_sort(blind: str) -> None:
    def judge(entry: Entry, dtype: torch.dtype) -> tuple[str, str]:
        return ("agrees", "") if entry.visible == blind else by_heart(entry, dtype)

    (problem,) = rates.shortfalls(outcomes(judge), explore=True)
    assert f"visible {blind}" in problem


def test_one_miss_and_one_false_alarm_are_noticed() -> None:
    def judge(entry: Entry, dtype: torch.dtype) -> tuple[str, str]:
        if entry is WRONG[0]:
            return "unresolved", ""
        return ("differs", "") if entry is RIGHT[0] else by_heart(entry, dtype)

    assert len(rates.shortfalls(outcomes(judge), explore=True)) == 2


def test_a_checker_that_falls_over_has_not_judged() -> None:
    def judge(entry: Entry, dtype: torch.dtype) -> tuple[str, str]:
        raise RuntimeError("stumbled")

    outcome = judged(judge, RIGHT[0], DOUBLE)
    assert outcome.verdict == "raised"
    assert not outcome.expected
    assert "stumbled" in outcome.detail


def test_the_command_prints_the_table_and_exits_by_the_rates(capsys: pytest.CaptureFixture[str]) -> None:
    assert rates.main(["--only", "sigmoid: "]) == 0
    printed = capsys.readouterr().out
    assert "wrong, visible always" in printed
    assert "100.0 %" in printed


def test_the_command_fails_when_a_rate_is_missed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "assay_check", lambda order: lambda entry, dtype: ("agrees", ""))
    assert rates.main(["--only", "sigmoid: ", "--against", "torch"]) == 1
    printed = capsys.readouterr().out
    assert "missed: 0.0 % of mistakes visible always" in printed
    assert "gradcheck slow" in printed
