"""Solver terms as a person writes them: floors for whole division, "and" for And, each comparison with its own sign."""

from __future__ import annotations

from typing import Any

import z3

Term = Any

_RELATIONS = {
    z3.Z3_OP_EQ: "=",
    z3.Z3_OP_LE: "≤",
    z3.Z3_OP_GE: "≥",
    z3.Z3_OP_LT: "<",
    z3.Z3_OP_GT: ">",
    z3.Z3_OP_DISTINCT: "≠",
}
_JOINED = {z3.Z3_OP_AND: " and ", z3.Z3_OP_OR: " or "}
_ARITHMETIC = {z3.Z3_OP_ADD: " + ", z3.Z3_OP_SUB: " − ", z3.Z3_OP_MUL: "·"}
_BINDS = {" or ": 1, " and ": 2, "relation": 3, " + ": 4, " − ": 4, "·": 5, "sign": 6, "atom": 9}


def written(term: Term) -> str:
    """A term of z3 in the notation of the field."""
    return _written(term)[0]


def _written(term: Term) -> tuple[str, int]:
    """The text and how tightly it binds."""
    kind, parts = term.decl().kind(), term.children()
    if kind == z3.Z3_OP_IMPLIES or (kind == z3.Z3_OP_EQ and isinstance(parts[0], z3.BoolRef)):
        sign = " ⟹ " if kind == z3.Z3_OP_IMPLIES else " ⟺ "
        return sign.join(_inside(part, _BINDS[" or "]) for part in parts), 0
    if kind in _JOINED:
        return _between(_JOINED[kind], parts, _BINDS[_JOINED[kind]])
    if kind in _RELATIONS:
        return _between(f" {_RELATIONS[kind]} ", parts, _BINDS["relation"])
    if kind in _ARITHMETIC:
        return _between(_ARITHMETIC[kind], parts, _BINDS[_ARITHMETIC[kind]])
    if kind == z3.Z3_OP_NOT:
        return _negated(parts[0])
    if kind in (z3.Z3_OP_IDIV, z3.Z3_OP_DIV):
        return _divided(kind, *parts)
    if kind == z3.Z3_OP_MOD:
        return _between(" mod ", parts, _BINDS["·"])
    if kind == z3.Z3_OP_UMINUS:
        return f"−{_inside(parts[0], _BINDS['sign'])}", _BINDS["sign"]
    if kind == z3.Z3_OP_TO_REAL:
        return _written(parts[0])
    if kind == z3.Z3_OP_ITE:
        return f"({written(parts[1])} if {written(parts[0])}, else {written(parts[2])})", _BINDS["atom"]
    text = " ".join(str(term).split()).replace("-", "−")
    return text, _BINDS["sign"] if text.startswith("−") else _BINDS["atom"]


def _between(sign: str, parts: list[Term], binds: int) -> tuple[str, int]:
    first, *others = parts
    return sign.join([_inside(first, binds), *(_inside(part, binds + 1) for part in others)]), binds


def _inside(term: Term, binds: int) -> str:
    text, own = _written(term)
    return text if own >= binds else f"({text})"


def _negated(term: Term) -> tuple[str, int]:
    if term.decl().kind() == z3.Z3_OP_EQ:
        return _between(" ≠ ", term.children(), _BINDS["relation"])
    return f"not ({written(term)})", _BINDS["atom"]


def _divided(kind: int, above: Term, below: Term) -> tuple[str, int]:
    quotient = f"{_inside(above, _BINDS['·'])}/{_inside(below, _BINDS['sign'])}"
    return (f"⌊{quotient}⌋", _BINDS["atom"]) if kind == z3.Z3_OP_IDIV else (quotient, _BINDS["·"])
