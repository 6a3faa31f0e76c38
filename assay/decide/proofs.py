"""Proofs of formulas over unbounded domains: z3 for integers and reals, sympy for identities.

A statement is an ordinary Python function of its variables that works on numbers and on solver terms alike, so the very same
text is proved by z3 and then evaluated by Python on a grid of small values: a second engine that shares nothing with the first.
A proof is about the formula; a conformance check of the implementation belongs beside it in the same claim.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

import sympy
import z3

from assay.errors import ClaimError
from assay.evidence import Evidence, Fact, fact

Term = Any  # a number or a z3 expression
Domain = Mapping[str, type]  # variable name -> int or float (read as: a real number)

PATIENCE_MS = 20_000  # for the proof itself
SMALLEST_MS = 2_000  # for making a counterexample smaller, which only helps the reader
SMALL = range(-2, 8)


def _symbolic(*terms: Term) -> bool:
    return any(isinstance(term, z3.ExprRef) for term in terms)


def both(*terms: Term) -> Term:
    """Conjunction of conditions on numbers or solver terms."""
    return z3.And(*terms) if _symbolic(*terms) else all(terms)


def either(*terms: Term) -> Term:
    """Disjunction of conditions on numbers or solver terms."""
    return z3.Or(*terms) if _symbolic(*terms) else any(terms)


def negation(term: Term) -> Term:
    """The opposite of a condition on numbers or solver terms."""
    return z3.Not(term) if _symbolic(term) else not term


def implies(premise: Term, conclusion: Term) -> Term:
    """If `premise` then `conclusion`, on numbers or solver terms."""
    return either(negation(premise), conclusion)


def floordiv(a: Term, b: Term) -> Term:
    """⌊a / b⌋ of integers with b > 0; for such b, z3's division equals Python's (not for negative divisors)."""
    return a / b if _symbolic(a, b) else a // b


def ratio(a: Term, b: Term) -> Term:
    """a / b as an exact fraction, never rounded."""
    return _real(a) / _real(b) if _symbolic(a, b) else Fraction(a) / Fraction(b)


def _real(value: Term) -> Term:
    if isinstance(value, z3.ArithRef):
        return z3.ToReal(value) if value.is_int() else value
    return z3.RealVal(value)


def proved(
    statement: Callable[..., Term],
    over: Domain,
    *,
    what: str,
    assuming: Callable[..., Term] | None = None,
    grid: Mapping[str, Iterable[Any]] | None = None,
) -> Evidence:
    """`statement` is true for all values of `over` that satisfy `assuming`.

    Holds when z3 finds the negation unsatisfiable, the hypotheses can be met at all, and Python agrees on a grid of small
    values. Fails with the smallest counterexample (least sum of sizes) that z3 finds. Open when z3 does not know.
    """
    variables = {name: z3.Int(name) if kind is int else z3.Real(name) for name, kind in over.items()}
    hypotheses = assuming(**variables) if assuming else z3.BoolVal(True)
    claim = statement(**variables)
    if not isinstance(claim, z3.ExprRef):
        raise ClaimError(
            f"a statement to prove is constant: {claim!r}, expected a condition on {sorted(over)} ({what})"
        )
    detail: dict[str, Any] = {
        "engine": f"z3 {z3.get_version_string()}",
        "obligation": _obligation(over, hypotheses, claim),
    }
    if _check(hypotheses) != z3.sat:
        return Evidence(
            (
                Fact(
                    what,
                    math.nan,
                    0.0,
                    "invalid",
                    "the hypotheses cannot be met: the proof would be vacuous",
                    "proof",
                    detail,
                ),
            )
        )
    answer = _check(z3.And(hypotheses, z3.Not(claim)))
    if answer == z3.unknown:
        return Evidence((Fact(what, math.nan, 0.0, "open", "the solver gave up within its time", "proof", detail),))
    if answer == z3.sat:
        detail["counterexample"] = _smallest(hypotheses, claim, variables)
        return Evidence((Fact(what, 1.0, 0.0, "fails", "a counterexample exists", "proof", detail),))
    points, wrong = _second_engine(statement, over, assuming, grid)
    detail["confirmed_on"] = points
    if points == 0 or wrong is not None:
        detail["counterexample"] = wrong
        return Evidence(
            (Fact(what, math.nan, 0.0, "invalid", "the second engine disagrees or saw no point", "proof", detail),)
        )
    why = f"no counterexample exists (unsatisfiable); Python agrees on all {points} grid points"
    return Evidence((Fact(what, 0.0, 0.0, "holds", why, "proof", detail),))


def _check(*conditions: Term) -> Any:
    solver = z3.Solver()
    solver.set("timeout", PATIENCE_MS)
    solver.add(*conditions)
    return solver.check()


def _obligation(over: Domain, hypotheses: Term, claim: Term) -> str:
    names = ", ".join(f"{name} ∈ {'ℤ' if kind is int else 'ℝ'}" for name, kind in over.items())
    return f"for all {names}: {_text(hypotheses)} ⟹ {_text(claim)}"


def _text(term: Term) -> str:
    return " ".join(str(z3.simplify(term) if z3.is_true(term) else term).split())


def _smallest(hypotheses: Term, claim: Term, variables: Mapping[str, Any]) -> dict[str, str]:
    """A counterexample with the least sum of absolute values, as exact text."""
    optimizer = z3.Optimize()
    optimizer.set("timeout", SMALLEST_MS)
    optimizer.add(hypotheses, z3.Not(claim))
    optimizer.minimize(z3.Sum([z3.If(v >= 0, v, -v) for v in variables.values()]))
    if optimizer.check() != z3.sat:
        solver = z3.Solver()
        solver.add(hypotheses, z3.Not(claim))
        solver.check()
        model = solver.model()
    else:
        model = optimizer.model()
    return {name: str(model.eval(v, model_completion=True)) for name, v in variables.items()}


def _second_engine(
    statement: Callable[..., Term],
    over: Domain,
    assuming: Callable[..., Term] | None,
    grid: Mapping[str, Iterable[Any]] | None,
) -> tuple[int, dict[str, str] | None]:
    """Evaluate the same functions in Python on small values: how many satisfied the hypotheses, and one that fails."""
    reals = [Fraction(k, 2) for k in SMALL]
    axes = [
        list(grid[name]) if grid and name in grid else (list(SMALL) if kind is int else reals)
        for name, kind in over.items()
    ]
    points = 0
    for values in itertools.product(*axes):
        point = dict(zip(over, values, strict=True))
        if assuming is not None and not assuming(**point):
            continue
        points += 1
        if not statement(**point):
            return points, {name: str(value) for name, value in point.items()}
    return points, None


def identity(left: sympy.Expr, right: sympy.Expr, *, what: str, at: Mapping[str, float] | None = None) -> Evidence:
    """Two expressions are equal for all values of their symbols: sympy simplifies the difference to zero.

    A second engine, numeric evaluation to 40 digits at irrational points, must agree; it also gives the counterexample.
    """
    difference = left - right
    symbols = sorted(left.free_symbols | right.free_symbols, key=str)  # some may cancel in the difference
    chosen = at or {str(symbol): math.sqrt(2 + k) / 3 for k, symbol in enumerate(symbols)}
    point = {symbol: sympy.Float(chosen[str(symbol)], 40) for symbol in symbols}
    residual = abs(complex(sympy.N(difference.subs(point), 40)))
    detail = {
        "engine": f"sympy {sympy.__version__}",
        "obligation": f"{left} = {right}",
        "point": {str(s): float(v) for s, v in point.items()},
    }
    allowance = 1e-30 * (1 + abs(complex(sympy.N(left.subs(point), 40))))
    why = "numeric residual at 40 digits, ten digits left for the evaluation's own rounding"
    if sympy.simplify(difference) == 0:
        return fact(what, residual, allowance, why=f"simplifies to zero; {why}", method="proof", **detail)
    if residual > allowance:
        detail["counterexample"] = {str(s): str(float(v)) for s, v in point.items()}
        return fact(what, residual, allowance, why=why, method="proof", **detail)
    return Evidence(
        (Fact(what, residual, allowance, "open", "sympy cannot decide; the numbers agree", "proof", detail),)
    )
