"""Choosing claims by id: exact, by name, by statement, by question; corrections come along; errors name the nearest."""

from typing import Any

import pytest

from assay.claim import HOLDS, REFUTED, Claim, claim
from assay.errors import UsageError
from assay.evidence import Evidence, true
from assay.registry import choose, load_claims


def named(name: str, statement: str, **changes: Any) -> Claim:
    def check(lib: Any) -> Evidence:
        """Reading: x."""
        return true(True, what="w")

    check.__name__ = name
    header = {"needs": ["f"], "expect": HOLDS, "sabotage": {"b": {"f": lambda s: s}}, **changes}
    return claim(statement, "It is so.", **header)(check)


CLAIMS = {
    c.id: c
    for c in (
        named("one", "gfg-4.1"),
        named("two", "gfg-42.1", expect=REFUTED(instead="x.", by="three")),
        named("three", "gfg-42.2", also=["ib-7.3"]),
    )
}
STATEMENTS = ["gfg-4.1", "gfg-42.1", "gfg-42.2", "ib-7.3", "ib-9.9"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["gfg-4.1:one"], ["one"]),
        (["one"], ["one"]),
        (["gfg-4"], ["one"]),
        (["gfg-42"], ["two", "three"]),
        (["gfg-42.1"], ["two", "three"]),
        (["ib-7.3"], ["three"]),
    ],
)
def test_words_choose_claims_and_bring_their_corrections(words: list[str], found: list[str]) -> None:
    assert [cid.partition(":")[2] for cid in choose(words, CLAIMS, STATEMENTS)] == found


@pytest.mark.parametrize(("word", "nearest"), [("gfg-42.9", "gfg-42"), ("thre", "three"), ("ib-9.9", "no claim yet")])
def test_an_unknown_word_names_the_nearest(word: str, nearest: str) -> None:
    with pytest.raises(UsageError, match=nearest):
        choose([word], CLAIMS, STATEMENTS)


def test_our_claims_load_and_decide_statements_of_the_ledger() -> None:
    from pathlib import Path

    from assay.config import load_config
    from assay.ledger import load_ledger

    config = load_config(Path(__file__).parent)
    ledger = load_ledger(config.ledger)
    claims = load_claims(config.claims_folder, config.claims)
    assert claims
    assert [
        cid for cid, c in claims.items() if not all(ledger.statements[sid].executable for sid in c.statements)
    ] == []
