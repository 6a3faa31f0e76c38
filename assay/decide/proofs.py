"""Proofs of formulas over unbounded domains: z3 for integers and reals, sympy for identities.

A statement is an ordinary Python function of its variables that works on numbers and on solver terms alike, so the very same
text is proved by z3 and then evaluated by Python on a grid of small values: a second engine that shares nothing with the first.
A proof is about the formula; a conformance check of the implementation belongs beside it in the same claim.

While terms are built, what z3 and Python understand differently is watched: a term used as a bool (Python's `and`, `or`, `if`)
is refused, every divisor must follow from the hypotheses to be positive (or, of reals, not zero), every premise must be possible.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any
from unittest.mock import patch

import sympy
import z3

from assay.decide.notation import written
from assay.errors import ClaimError
from assay.evidence import Evidence, Fact, Outcome, fact

Term = Any  # a number or a z3 expression
Domain = Mapping[str, type]  # variable name -> int or float (read as: a real number)

PATIENCE_MS = 20_000  # for the proof itself
SMALLEST_MS = 2_000  # for making a counterexample smaller, which only helps the reader
SMALL = range(-2, 8)
DIVISIONS = ("__div__", "__rdiv__", "__mod__", "__rmod__")  # the true divisions of z3 call these


@dataclass
class _Watched:
    """What the terms of one proof rely on: conditions on divisors, and the premises of implications."""

    divisors: list[Term] = field(default_factory=list)
    premises: list[Term] = field(default_factory=list)


_watched: ContextVar[_Watched | None] = ContextVar("_watched", default=None)


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
    if not _symbolic(premise, conclusion):
        return not premise or conclusion
    watched = _watched.get()
    if watched is not None and _symbolic(premise):
        watched.premises.append(premise)
    return z3.Implies(premise, conclusion)


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


@contextlib.contextmanager
def _building() -> Iterator[_Watched]:
    """While user code builds terms: refuse bools of them, and note every divisor."""
    watched = _Watched()
    token = _watched.set(watched)
    with contextlib.ExitStack() as edits:
        edits.callback(_watched.reset, token)
        edits.enter_context(patch.object(z3.BoolRef, "__bool__", _refuse_bool))
        for name in DIVISIONS:
            edits.enter_context(patch.object(z3.ArithRef, name, _noting(getattr(z3.ArithRef, name), watched)))
        yield watched


def _refuse_bool(term: z3.BoolRef) -> bool:
    raise ClaimError(
        f"a statement to prove uses {written(term)} as a bool, which Python decides before the solver sees it; "
        "write both(...), either(...), negation(...) or implies(...) for and, or, not, if"
    )


def _noting(divide: Callable[[Term, Term], Term], watched: _Watched) -> Callable[[Term, Term], Term]:
    def noted(self: Term, other: Term) -> Term:
        quotient = divide(self, other)
        divisor = quotient.children()[1]
        watched.divisors.append(divisor > 0 if divisor.is_int() else divisor != 0)
        return quotient

    return noted


def proved(
    statement: Callable[..., Term],
    over: Domain,
    *,
    what: str,
    assuming: Callable[..., Term] | None = None,
    grid: Mapping[str, Iterable[Any]] | None = None,
) -> Evidence:
    """`statement` is true for all values of `over` that satisfy `assuming`.

    Holds when z3 finds the negation unsatisfiable, the hypotheses and every premise can be met, no divisor can be zero or (of
    integers) negative, and Python agrees on a grid of small values. Fails with the smallest counterexample (least sum of sizes)
    that z3 finds, measured as the difference of the sides where an equation fails. Open when z3 does not know.
    """
    variables = {name: z3.Int(name) if kind is int else z3.Real(name) for name, kind in over.items()}
    with _building() as watched:
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

    def finding(measured: float, outcome: Outcome, why: str) -> Evidence:
        return Evidence((Fact(what, measured, 0.0, outcome, why, "proof", detail),))

    problem = _misunderstood(hypotheses, watched)
    if problem:
        return finding(math.nan, "invalid", problem)
    answer = _check(hypotheses, z3.Not(claim))
    if answer == z3.unknown:
        return finding(math.nan, "open", "the solver gave up within its time")
    if answer == z3.sat:
        model = _smallest(hypotheses, claim, variables)
        detail["counterexample"] = {name: _value(model, v) for name, v in variables.items()}
        measured, detail["shown"] = _violated(model, claim)
        return finding(measured, "fails", "a counterexample exists")
    vacuous = next((premise for premise in watched.premises if _check(hypotheses, premise) == z3.unsat), None)
    if vacuous is not None:
        return finding(
            math.nan, "invalid", f"the premise {written(vacuous)} can never be met: the implication is vacuous"
        )
    points, wrong = _second_engine(statement, over, assuming, grid)
    detail["confirmed_on"] = points
    if points == 0 or wrong is not None:
        detail["counterexample"] = wrong
        return finding(math.nan, "invalid", "the second engine disagrees or saw no point")
    return finding(0.0, "holds", f"no counterexample exists (unsatisfiable); Python agrees on all {points} grid points")


def _misunderstood(hypotheses: Term, watched: _Watched) -> str:
    """Why an answer of the solver would be about nothing, or about another division than Python's; empty where it is not."""
    if _check(hypotheses) != z3.sat:
        return "the hypotheses cannot be met: the proof would be vacuous"
    for condition in watched.divisors:
        if _check(hypotheses, z3.Not(condition)) != z3.unsat:
            return f"a divisor needs {written(condition)}, which the hypotheses do not give; add it to assuming="
    return ""


def _check(*conditions: Term) -> Any:
    solver = z3.Solver()
    solver.set("timeout", PATIENCE_MS)
    solver.add(*conditions)
    return solver.check()


def _obligation(over: Domain, hypotheses: Term, claim: Term) -> str:
    names = ", ".join(f"{name} ∈ {'ℤ' if kind is int else 'ℝ'}" for name, kind in over.items())
    given = "" if z3.is_true(hypotheses) else f" with {written(hypotheses)}"
    return f"for all {names}{given}: {written(claim)}"


def _smallest(hypotheses: Term, claim: Term, variables: Mapping[str, Any]) -> z3.ModelRef:
    """A counterexample with the least sum of absolute values; any where that takes too long."""
    optimizer = z3.Optimize()
    optimizer.set("timeout", SMALLEST_MS)
    optimizer.add(hypotheses, z3.Not(claim))
    optimizer.minimize(z3.Sum([z3.If(v >= 0, v, -v) for v in variables.values()]))
    if optimizer.check() == z3.sat:
        return optimizer.model()
    solver = z3.Solver()
    solver.add(hypotheses, z3.Not(claim))
    solver.check()
    return solver.model()


def _value(model: z3.ModelRef, term: Term) -> str:
    return str(model.eval(term, model_completion=True))


def _violated(model: z3.ModelRef, claim: Term) -> tuple[float, str]:
    """The first comparison of `claim` that fails at the model: by how much its sides differ, and the line "a = b: 3 = 1 is false"."""
    if claim.decl().kind() == z3.Z3_OP_AND:
        broken = (part for part in claim.children() if z3.is_false(model.eval(part, model_completion=True)))
        return _violated(model, next(broken))
    sides = claim.children()
    if len(sides) != 2 or not all(isinstance(side, z3.ArithRef) for side in sides):
        return 1.0, f"{written(claim)} is false"
    values = [model.eval(side, model_completion=True) for side in sides]
    gap = (
        z3.simplify(z3.ToReal(values[0]) - z3.ToReal(values[1]))
        if values[0].is_int()
        else z3.simplify(values[0] - values[1])
    )
    size = abs(float(gap.as_fraction())) if z3.is_rational_value(gap) else 1.0
    return size or 1.0, f"{written(claim)} would be {written(claim.decl()(*values))}"


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

    A second engine, numeric evaluation to 40 digits at irrational points that obey what is assumed of each symbol, must agree; it
    also gives the counterexample. Where the two disagree, neither is believed.
    """
    difference = left - right
    symbols = sorted(left.free_symbols | right.free_symbols, key=str)  # some may cancel in the difference
    point = {s: sympy.Float(at[str(s)], 40) if at else _typical(s, k) for k, s in enumerate(symbols)}
    residual = abs(complex(sympy.N(difference.subs(point), 40)))
    detail = {
        "engine": f"sympy {sympy.__version__}",
        "obligation": _equation(left, right, symbols),
        "point": {str(s): float(v) for s, v in point.items()},
    }
    allowance = 1e-30 * (1 + abs(complex(sympy.N(left.subs(point), 40))))
    why = "numeric residual at 40 digits, ten digits left for the evaluation's own rounding"
    simplified = sympy.simplify(difference) == 0
    if simplified and not residual <= allowance:
        return Evidence(
            (Fact(what, residual, allowance, "invalid", f"simplifies to zero, but not so the {why}", "proof", detail),)
        )
    if simplified:
        return fact(what, residual, allowance, why=f"simplifies to zero; {why}", method="proof", **detail)
    if residual > allowance:
        detail["counterexample"] = {str(s): str(float(v)) for s, v in point.items()}
        return fact(what, residual, allowance, why=why, method="proof", **detail)
    return Evidence(
        (Fact(what, residual, allowance, "open", "sympy cannot decide; the numbers agree", "proof", detail),)
    )


def _typical(symbol: sympy.Symbol, k: int) -> sympy.Expr:
    """A value for the k-th symbol within its assumptions: irrational where it may be, so that right and wrong do not meet by chance."""
    size = sympy.Integer(2 + k) if symbol.is_integer else sympy.sqrt(2 + k).evalf(40) / 3
    return -size if symbol.is_negative or symbol.is_nonpositive else size


def _equation(left: sympy.Expr, right: sympy.Expr, symbols: list[sympy.Symbol]) -> str:
    assumed = [
        f"{s} {word}" for s in symbols for word in ("positive", "negative", "integer") if getattr(s, f"is_{word}")
    ]
    equation = f"{left} = {right}".replace("**", "^").replace("*", "·")
    return f"for all {', '.join(map(str, symbols))}{' with ' + ', '.join(assumed) if assumed else ''}: {equation}"
