"""The ledger: complete, well formed, and verdicts that are computed from claims and from nothing else."""

from pathlib import Path
from typing import Any

import pytest

from assay.claim import AS_STATED, CORRECTION, HOLDS, claim
from assay.config import load_config
from assay.errors import LedgerError
from assay.evidence import Evidence, true
from assay.ledger import Statement, deciding_claims, judge, load_ledger
from tests.project import LEDGER

ROOT = Path(__file__).parent.parent
STATEMENT = Statement("gfg-1.1", "gfg", 1, "rings", "Twice x is even.", "universal", executable=True)


def result(verdict: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": "gfg-1.1:c", "name": "c", "subject": "reference", "reading": AS_STATED, "covers": "", "verdict": verdict,
        "instead": "", "boundary": "", "problem": "", **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("claims", "verdict", "reason"),
    [
        ([], "undecided", "no claim yet"),
        ([result("holds")], "holds", ""),
        ([result("refuted")], "refuted", ""),
        ([result("conditional", boundary="K is odd")], "conditional", "Holds where K is odd."),
        ([result("holds"), result("refuted")], "refuted", ""),
        ([result("holds", covers="K odd"), result("refuted", covers="K even")], "conditional", "K even"),
        ([result("holds", reading="a"), result("refuted", reading="b")], "ambiguous", "a: holds; b: refuted"),
        ([result("refuted", reading="a"), result("refuted", reading="b")], "refuted", ""),
        ([result("refuted"), result("holds", reading=CORRECTION)], "refuted", ""),
        ([result("holds", reading=CORRECTION)], "undecided", "no claim yet"),
        ([result("holds"), result("inconclusive", problem="too noisy")], "undecided", "too noisy"),
        ([result("unsupported", problem="no role")], "undecided", "no role"),
        ([result("holds", subject="torch")], "undecided", "no claim yet"),
        ([result("holds", status="toothless")], "undecided", "c: toothless"),
        ([result("refuted", status="error", problem="it crashed")], "undecided", "c: it crashed"),
        ([result("holds", reading="a", status="toothless"), result("refuted", reading="b")], "undecided", "toothless"),
        ([result("refuted", status="surprising")], "refuted", ""),
    ],
)
def test_a_statements_verdict_follows_from_its_claims(claims: list[dict[str, Any]], verdict: str, reason: str) -> None:
    line = judge(STATEMENT, claims, "reference")
    assert line["verdict"] == verdict
    assert reason in line["reason"]


def test_conditions_are_one_sentence_a_part_each_once_and_by_reading_if_there_are_several() -> None:
    parts = [
        result("refuted", covers="K even"), result("holds", covers="K odd"), result("holds", covers="K odd"),
        result("conditional", boundary="p = 0."), result("holds", covers="K = 1"),
    ]  # fmt: skip
    assert judge(STATEMENT, parts, "reference")["reason"].splitlines() == [
        "Holds where p = 0.",
        "Holds: K odd; K = 1.",
        "Refuted: K even.",
    ]
    readings = [result("conditional", boundary="x > 0", reading=reading) for reading in ("all entries", "each row")]
    assert judge(STATEMENT, readings, "reference")["reason"].splitlines() == [
        "All entries: holds where x > 0.",
        "Each row: holds where x > 0.",
    ]


def test_what_is_true_instead_is_said_only_if_the_run_refuted_it() -> None:
    instead = "Only for odd kernels."
    assert judge(STATEMENT, [result("refuted", instead=instead)], "reference")["correct"] == instead
    assert judge(STATEMENT, [result("holds", instead=instead)], "reference")["correct"] == ""


def test_a_statement_of_which_a_claim_did_not_run_is_undecided_and_says_how_many() -> None:
    known = {"gfg-1.1:c": "a", "gfg-1.1:d": "b", "gfg-1.1:e": "a"}
    line = judge(STATEMENT, [result("refuted", reading="a", instead="x.")], "reference", known)
    assert (line["verdict"], line["reason"]) == ("undecided", "not run: 2 of its 3 claims")
    assert (line["not_run"], line["correct"]) == (["gfg-1.1:d", "gfg-1.1:e"], "")
    assert [reading["verdict"] for reading in line["readings"]] == ["undecided"]
    assert judge(STATEMENT, [], "reference", known)["reason"] == "not run: 3 of its 3 claims"
    complete = judge(STATEMENT, [result("holds")], "reference", {"gfg-1.1:c": AS_STATED})
    assert (complete["verdict"], complete["not_run"]) == ("holds", [])


def test_the_claims_that_decide_a_statement_are_known_before_they_run() -> None:
    """Those that name it also count, those that only show what is true instead do not."""

    def check(lib: Any) -> Evidence:
        """Reading: x."""
        return true(True, what="w")

    header: dict[str, Any] = {"needs": ["f"], "expect": HOLDS, "sabotage": {"b": {"f": lambda s: s}}}
    stated = claim("gfg-1.1", "So.", also=["gfg-1.2"], reading="strictly", **header)(check)
    instead = claim("gfg-1.1", "So.", reading=CORRECTION, **header)(check)
    known = {"gfg-1.1:check": "strictly"}
    assert deciding_claims([stated, instead]) == {"gfg-1.1": known, "gfg-1.2": known}


def test_not_executable_keeps_its_reason() -> None:
    statement = Statement("gfg-1.3", "gfg", 1, "names", "A name.", "history", executable=False, reason="it is a name")
    assert judge(statement, [], "reference")["verdict"] == "not-executable"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("id: gfg-1.2", "id: gfg-1.1", "stands twice"),
        ("topic: rings, ", "", "lacks topic"),
        (", reason: it is a name", "", "gives no reason"),
        ("executable: true", 'executable: "no"', "executable: 'no', expected bool"),
        ("id: gfg-1.2", "id: gfg 1", "id: 'gfg 1', expected the form"),
        ("questions: {1: first}", "title: again", "document gfg is malformed"),
        (
            "documents: {gfg: {title: a guide, questions: {1: first}}}",
            "documents: null",
            "documents is malformed: None",
        ),
        ("topic: rings", "topic: null", "topic: None, expected str"),
        ("topic: rings", 'topic: ""', "topic: '', expected str"),
        ("question: 1", "question: one", "question: 'one', expected int"),
        ("kind: history", "kind: history, verdict: holds", "unknown keys: verdict"),
        ("statements:", "sentences:", "no list of statements"),
        ("documents: {", "documents: {{", "cannot be read"),
    ],
)
def test_a_broken_ledger_says_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "ledger.yaml"
    path.write_text(LEDGER.replace(old, new, 1))
    with pytest.raises(LedgerError, match=message):
        load_ledger(path)


def test_our_ledger_holds_every_statement_of_both_guides() -> None:
    """801 statements: 305 of the guide of 36 questions, 496 of the guide of 56; 689 of them executable, 188 in the first four topics."""
    ledger = load_ledger(load_config(ROOT).ledger)
    statements = ledger.statements.values()
    count = {document: sum(s.document == document for s in statements) for document in ledger.documents}
    first = {"initialization", "regularization", "convolution", "optimizers"}
    assert count == {"ib": 305, "gfg": 496}
    assert sum(s.executable for s in statements) == 689
    assert sum(s.executable and s.topic in first for s in statements) == 188
    assert {s.question for s in statements if s.document == "gfg"} == set(range(1, 57))
    assert {s.question for s in statements if s.document == "ib"} == set(range(37))
    assert all(question in ledger.documents[s.document]["questions"] for s in statements for question in [s.question])
    assert all(related in ledger.statements for s in statements for related in s.related)
