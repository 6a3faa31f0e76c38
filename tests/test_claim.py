"""Headers: every way to write a wrong one is refused at import with the id and what to write instead."""

from typing import Any

import pytest

from assay.claim import CONDITIONAL, HOLDS, REFUTED, claim
from assay.errors import ClaimError
from assay.evidence import Evidence, true
from assay.strategies import sizes


def good(**changes: Any) -> dict[str, Any]:
    return {
        "needs": ["f"], "given": {"x": sizes()}, "expect": HOLDS, "sabotage": {"breaks f": {"f": lambda sound: sound}}, **changes,
    }  # fmt: skip


def check(lib: Any, x: int) -> Evidence:
    """Reading: x."""
    return true(True, what="w")


def unread(lib: Any, x: int) -> Evidence:
    """No precise form."""
    return true(True, what="w")


def misnamed(lib: Any, y: int) -> Evidence:
    """Reading: y."""
    return true(True, what="w")


def test_a_good_header_becomes_a_claim() -> None:
    made = claim("gfg-1.1", "It is so.", **good())(check)
    assert (made.id, made.title, made.wants_trial) == ("gfg-1.1:check", "check", False)


@pytest.mark.parametrize(
    ("statement_id", "sentence", "function", "changes", "message"),
    [
        ("16.2", "It is so.", check, {}, "malformed statement id"),
        ("gfg-1.1", "", check, {}, "no sentence"),
        ("gfg-1.1", "It is so.", unread, {}, "Reading:"),
        ("gfg-1.1", "It is so.", misnamed, {}, "make the two lists equal"),
        ("gfg-1.1", "It is so.", check, {"cases": [{"x": 1}]}, "both given and cases"),
        ("gfg-1.1", "It is so.", check, {"given": None, "cases": []}, "domain is empty"),
        ("gfg-1.1", "It is so.", check, {"given": None, "cases": [{"x": 1}, {"z": 1}]}, "different names"),
        ("gfg-1.1", "It is so.", check, {"sabotage": {}}, "no control"),
        ("gfg-1.1", "It is so.", check, {"sabotage": {"nothing": {}}}, "empty control"),
        ("gfg-1.1", "It is so.", check, {"sabotage": {"typo": {"g": lambda s: s}}}, "edits 'g'"),
        ("gfg-1.1", "It is so.", check, {"sabotage": {"constant": {"x": 3}}}, "write lambda sound"),
        ("gfg-1.1", "It is so.", check, {"needs": "f"}, r"write needs=\['f'\]"),
        ("gfg-1.1", "It is so.", check, {"also": "gfg-1.2"}, "expected a list of names"),
        ("gfg-1.1", "It is so.", check, {"also": ["gfg-1.1"]}, "a statement twice"),
        ("gfg-1.1", "It is so.", check, {"limit": 0}, "seconds above zero"),
        ("gfg-1.1", "It is so.", check, {"limit": "x"}, "seconds above zero"),
        ("gfg-1.1", "It is so.", check, {"kind": "banana"}, "existence, tendency, comparative"),
        ("gfg-1.1", "It is so.", check, {"reading": " "}, "empty reading"),
        ("gfg-1.1", "It is so.", check, {"expect": REFUTED(instead="x.", by="check")}, "itself as its correction"),
        (
            "gfg-1.1",
            "It is so.",
            check,
            {"expect": CONDITIONAL("", within=lambda x: True)},
            "CONDITIONAL without words",
        ),
        ("gfg-1.1", "It is so.", check, {"expect": "holds"}, "write HOLDS"),
        ("gfg-1.1", "It is so.", check, {"expect": REFUTED(instead="")}, "says nothing true"),
        ("gfg-1.1", "It is so.", check, {"expect": CONDITIONAL("b", within={"q": lambda s: 1})}, "edits 'q'"),
    ],
)
def test_a_wrong_header_is_refused(
    statement_id: str, sentence: str, function: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ClaimError, match=message):
        claim(statement_id, sentence, **good(**changes))(function)
