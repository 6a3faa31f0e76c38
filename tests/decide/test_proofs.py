"""Proofs: true statements are proved, false ones give the smallest counterexample, vacuous ones are refused."""

import pytest
import sympy

from assay.decide import proofs as pf
from assay.errors import ClaimError


def test_a_true_statement_is_proved_and_confirmed() -> None:
    evidence = pf.proved(
        lambda n, s: pf.floordiv(n, s) * s <= n,
        {"n": int, "s": int},
        assuming=lambda n, s: pf.both(n >= 0, s >= 1),
        what="w",
    )
    (fact,) = evidence.facts
    assert fact.outcome == "holds"
    assert fact.method == "proof"
    assert fact.detail["confirmed_on"] > 10
    assert "ℤ" in fact.detail["obligation"]


def test_a_false_statement_gives_the_smallest_counterexample() -> None:
    evidence = pf.proved(
        lambda a, b: a * b != 12, {"a": int, "b": int}, assuming=lambda a, b: pf.both(a >= 1, b >= 1), what="w"
    )
    (fact,) = evidence.facts
    found = {name: int(value) for name, value in fact.detail["counterexample"].items()}
    assert fact.outcome == "fails"
    assert sum(found.values()) == 7


def test_hypotheses_that_cannot_be_met_prove_nothing() -> None:
    evidence = pf.proved(lambda n: n == 5, {"n": int}, assuming=lambda n: pf.both(n > 3, n < 3), what="w")
    assert evidence.outcome == "invalid"


def test_an_empty_grid_confirms_nothing() -> None:
    evidence = pf.proved(lambda n: n * n >= 0, {"n": int}, grid={"n": []}, what="w")
    assert evidence.outcome == "invalid"


def test_a_constant_is_no_statement() -> None:
    with pytest.raises(ClaimError, match="constant"):
        pf.proved(lambda n: True, {"n": int}, what="w")


def test_reals_and_ratios_are_exact() -> None:
    assert (
        pf.proved(lambda x, y: (x + y) * (x - y) == x * x - y * y, {"x": float, "y": float}, what="w").outcome
        == "holds"
    )
    halves = pf.proved(
        lambda n: pf.implies(pf.ratio(n, 2) == pf.floordiv(n, 2), pf.negation(n == 3)), {"n": int}, what="w"
    )
    assert halves.outcome == "holds"


def test_the_second_engine_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """If z3 said yes to everything, Python on the grid would still notice."""
    monkeypatch.setattr(
        pf, "_check", lambda *conditions: pf.z3.unsat if len(conditions[0].children()) == 2 else pf.z3.sat
    )
    evidence = pf.proved(lambda n: n < 3, {"n": int}, assuming=lambda n: n >= 0, what="w")
    assert evidence.outcome == "invalid"


def test_identities_of_sympy() -> None:
    x, y = sympy.symbols("x y", real=True)
    assert pf.identity(sympy.sin(x) ** 2 + sympy.cos(x) ** 2, sympy.Integer(1), what="w").outcome == "holds"
    wrong = pf.identity((x + y) ** 2, x**2 + y**2, what="w")
    assert wrong.outcome == "fails"
    assert set(wrong.facts[0].detail["counterexample"]) == {"x", "y"}
