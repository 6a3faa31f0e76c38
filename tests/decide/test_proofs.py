"""Proofs: true statements are proved, false ones give the smallest counterexample, vacuous ones are refused."""

from typing import Any

import pytest
import sympy

from assay.decide import proofs as pf
from assay.decide.notation import written
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


CUT_SHORT = {
    "and": lambda n: (n * 1 == n + 0) and (n < 100),
    "or": lambda n: (n == 3) or (n == 50),
    "if": lambda n: n < 0 if n == 1000 else pf.either(n <= 0, n > 0),
    "chained": lambda n: 0 <= n <= 10,
}


@pytest.mark.parametrize("name", CUT_SHORT)
def test_what_python_would_decide_before_the_solver_is_refused(name: str) -> None:
    with pytest.raises(ClaimError, match="write both"):
        pf.proved(CUT_SHORT[name], {"n": int}, what="w")
    with pytest.raises(ClaimError, match="write both"):
        pf.proved(lambda n: n * n >= 0, {"n": int}, assuming=CUT_SHORT[name], what="w")


UNSOUND = {
    "floor by what may be negative": lambda a, b: pf.implies(a >= 10, pf.floordiv(a, b) * b <= a),
    "remainder by what may be negative": lambda a, b: pf.implies(a >= 10, a % b >= 0),
    "ratio by what may be zero": lambda a, b: pf.ratio(a, a - b) == pf.ratio(a, a - b),
    "a number by what may be zero": lambda a, b: 6 / a == 6 / a,
    "a premise that is never met": lambda a, b: pf.implies(pf.both(a > 3, a < 3), a == b + 1),
}


@pytest.mark.parametrize("name", UNSOUND)
def test_what_the_solver_understands_otherwise_proves_nothing(name: str) -> None:
    evidence = pf.proved(UNSOUND[name], {"a": int, "b": int}, what="w")
    assert evidence.outcome == "invalid"
    assert "assuming=" in evidence.facts[0].why or "never be met" in evidence.facts[0].why


def test_a_premise_that_is_never_met_does_not_hide_a_counterexample() -> None:
    evidence = pf.proved(lambda n: pf.both(pf.implies(pf.both(n > 3, n < 3), n == 0), n < 2), {"n": int}, what="w")
    assert evidence.outcome == "fails"


def test_a_counterexample_says_what_the_sides_are() -> None:
    def same(n: Any, K: Any) -> Any:
        return pf.both(n >= 1, pf.floordiv(n + 2 * (2 * K - 1) - K, 1) + 1 == n)

    evidence = pf.proved(same, {"n": int, "K": int}, assuming=lambda n, K: pf.both(n >= 1, K >= 1), what="w")
    (fact,) = evidence.facts
    assert (fact.measured, fact.allowed) == (2.0, 0.0)
    assert fact.detail["counterexample"] == {"n": "1", "K": "1"}
    assert fact.detail["shown"] == "⌊(n + 2·(2·K − 1) − K)/1⌋ + 1 = n would be 3 = 1"
    assert fact.detail["obligation"].startswith("for all n ∈ ℤ, K ∈ ℤ with n ≥ 1 and K ≥ 1: ")


def test_the_second_engine_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """If z3 said yes to everything, Python on the grid would still notice."""
    monkeypatch.setattr(pf, "_check", lambda *conditions: pf.z3.unsat if len(conditions) == 2 else pf.z3.sat)
    evidence = pf.proved(lambda n: n < 3, {"n": int}, assuming=lambda n: n >= 0, what="w")
    assert evidence.outcome == "invalid"


def test_identities_of_sympy() -> None:
    x, y = sympy.symbols("x y", real=True)
    assert pf.identity(sympy.sin(x) ** 2 + sympy.cos(x) ** 2, sympy.Integer(1), what="w").outcome == "holds"
    wrong = pf.identity((x + y) ** 2, x**2 + y**2, what="w")
    assert wrong.outcome == "fails"
    assert set(wrong.facts[0].detail["counterexample"]) == {"x", "y"}


def test_identities_respect_what_is_assumed_of_a_symbol() -> None:
    """log(m²)/2 = log(-m) for negative m: the numbers must be taken there."""
    m = sympy.Symbol("m", negative=True)
    evidence = pf.identity(sympy.log(m**2) / 2, sympy.log(-m), what="w")
    assert evidence.outcome in ("holds", "open")
    assert "m negative" in evidence.facts[0].detail["obligation"]


def test_engines_that_disagree_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pf.sympy, "simplify", lambda difference: sympy.Integer(0))
    x = sympy.Symbol("x")
    assert pf.identity(x, x + 1, what="w").outcome == "invalid"


@pytest.mark.parametrize(
    ("term", "text"),
    [
        (lambda n, x: pf.negation(n % 2 == 1), "n mod 2 ≠ 1"),
        (lambda n, x: -n * (n - 1) < 3, "−n·(n − 1) < 3"),
        (lambda n, x: pf.either(x / 2 >= 1, pf.negation(x < -1)), "x/2 ≥ 1 or not (x < −1)"),
        (lambda n, x: pf.floordiv(n, 3) - (n - 1) == n, "⌊n/3⌋ − (n − 1) = n"),
        (lambda n, x: pf.implies(n > 0, x > 0) == (n < 1), "(n > 0 ⟹ x > 0) ⟺ n < 1"),
        (lambda n, x: pf.z3.If(n > 0, n, -n) >= 0, "(n if n > 0, else −n) ≥ 0"),
    ],
)
def test_terms_are_written_as_a_person_would(term: Any, text: str) -> None:
    assert written(term(pf.z3.Int("n"), pf.z3.Real("x"))) == text
