"""Every public role of the reference documents itself in the house form, and its body keeps to the numbered equations.

One form for all: there is no list of exceptions. What a role cannot have, a rule read off its signature lets it do without.
"""

from __future__ import annotations

import inspect
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from types import CodeType
from typing import Any

import pytest

from assay.config import load_config
from assay.docstring import NOBODY, STRAY, Docstring, parse
from assay.ledger import Ledger, load_ledger
from reference.differentiable import Differentiable
from subjects.reference import subject


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return load_ledger(load_config().ledger)


def functions_of(role: Any) -> list[Any]:
    return [role.forward, role.backward] if isinstance(role, Differentiable) else [role]


def marked(function: Any) -> set[str]:
    """The numbers of equations that comments in the body name."""
    source = inspect.cleandoc("\n" + inspect.getsource(function))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return {number for comment in comments for number in re.findall(r"\((\d+)\)", comment)}


def reached_from(functions: list[Any]) -> list[Any]:
    """The functions and what they call, and what that calls, of the private functions and pairs of their module."""
    found: list[Any] = []
    waiting = list(functions)
    while waiting:
        function = waiting.pop()
        if function not in found:
            found.append(function)
            called = [function.__globals__.get(name) for name in named_in(function.__code__) if name.startswith("_")]
            waiting += [part for value in called for part in functions_of(value) if inspect.isfunction(part)]
    return found


def named_in(code: CodeType) -> set[str]:
    """The names that a function looks up, also in what is nested in it."""
    nested = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*(named_in(part) for part in nested))


def handles_tensors(function: Any) -> bool:
    """Whether a tensor, or the shape of one, goes in or comes out: only then are there shapes to state."""
    return any(word in str(inspect.signature(function)) for word in ("Tensor", "Shape"))


def complaints(doc: Docstring, *, shapes: bool, pair: bool, used: set[str], reached: set[str]) -> Iterator[str]:
    """What a docstring lacks, given whether tensors are handled, a backward exists, and which equations the code names.

    `used` are those that the role's own code names, `reached` those that what it calls names too.
    """
    if not doc.sentence.endswith((".", "?")):
        yield "its first paragraph is no sentence"
    if STRAY in doc.sections:
        yield f"it has text outside the sections: {doc.sections[STRAY]}"
    needed = ["Source", "Asked", "Example", *(["Shapes"] if shapes else []), *(["Forward", "Backward"] if pair else [])]
    yield from (f"it has no {label}" for label in needed if not doc.sections.get(label))
    if not doc.equations:
        yield "it has no numbered equation"
    if doc.equations != [str(k) for k in range(1, len(doc.equations) + 1)]:
        yield f"its equations are not numbered in order: {doc.equations}"
    for number in sorted(set(doc.equations) - reached):
        yield f"no line of the code is marked as equation ({number})"
    for number in sorted(used - set(doc.equations)):
        yield f"the code names an equation ({number}) that the docstring lacks"


def complaints_of(doc: Docstring, functions: list[Any]) -> Iterator[str]:
    """The complaints about the docstring of these functions, a role alone or its forward and its backward."""
    used = set().union(*(marked(function) for function in functions))
    reached = set().union(*(marked(function) for function in reached_from(functions)))
    shapes, pair = handles_tensors(functions[0]), len(functions) == 2
    return complaints(doc, shapes=shapes, pair=pair, used=used, reached=reached)


def misplaced(doc: Docstring, ledger: Ledger) -> Iterator[str]:
    """What is wrong with the statements that a docstring lists."""
    if not doc.asked and doc.sections.get("Asked") != NOBODY:
        yield f"it lists no statement, and does not say {NOBODY}"
    for sid in doc.asked:
        if sid not in ledger.statements:
            yield f"statement {sid} is not in the ledger"
        elif not ledger.statements[sid].executable:
            yield f"statement {sid} has nothing to run"
    if len(set(doc.asked)) < len(doc.asked):
        yield "it lists a statement twice"


@pytest.mark.parametrize("name", sorted(subject.roles))
def test_the_docstring_is_in_the_house_form(name: str, ledger: Ledger) -> None:
    functions = functions_of(subject.roles[name])
    doc = parse(functions[0].__doc__ or "")
    assert [*complaints_of(doc, functions), *misplaced(doc, ledger)] == []


def unlisted(ledger: Ledger, roles: Mapping[str, Any]) -> list[str]:
    """Executable statements that no component lists, of the topics that bear the name of a module of the reference."""
    topics = {functions_of(role)[0].__module__.rpartition(".")[2] for role in roles.values()}
    listed = {sid for role in roles.values() for sid in parse(functions_of(role)[0].__doc__ or "").asked}
    due = [s.id for s in ledger.statements.values() if s.executable and s.topic in topics]
    return [sid for sid in due if sid not in listed]


def test_every_statement_about_components_is_listed_at_one(ledger: Ledger) -> None:
    assert unlisted(ledger, subject.roles) == []
    without = {name: role for name, role in subject.roles.items() if name != "softsign"}
    assert unlisted(ledger, without) == ["ib-36.18"]


SOUND = """The rectified linear unit.

    Shapes: z (...) -> y (...)
    Forward:
        (1) y = max(z, 0)
    Backward, where the slope exists:
        (2) dz = dy where z > 0,
            else 0
    Conventions: the slope at the kink
        is 0.
    Example:
        z = 3
        max(z, 0) == 3
    Asked: gfg-16.5, ib-36.6
    Source: Nair and Hinton (2010).
    """


def test_the_parts_of_a_docstring_are_found() -> None:
    doc = parse(SOUND)
    assert doc.sentence == "The rectified linear unit."
    assert doc.sections["Shapes"] == "z (...) -> y (...)"
    assert doc.sections["Backward"] == "(2) dz = dy where z > 0,\n    else 0"
    assert doc.provisos["Backward"] == "where the slope exists"
    assert doc.sections["Conventions"] == "the slope at the kink is 0."
    assert doc.equations == ["1", "2"]
    assert doc.asked == ["gfg-16.5", "ib-36.6"]
    assert doc.program == "z = 3\nassert max(z, 0) == 3"


# a bad docstring: what is replaced in the sound one, by what, and what must be said about it
BAD = {
    "no sentence": ("unit.", "unit", "its first paragraph is no sentence"),
    "no shapes": ("Shapes: z (...) -> y (...)", "", "it has no Shapes"),
    "no backward": ("Backward, where the slope exists", "Backwards", "it has no Backward"),
    "no equation": ("(1) y", "y", "its equations are not numbered in order: ['2']"),
    "an equation of its own": ("(2) dz", "(3) dz", "the code names an equation (2) that the docstring lacks"),
    "an equation that nobody computes": ("is 0.", "is 0.\n    (3) x = 0", "no line of the code is marked as equation (3)"),
    "text in between": ("Conventions:", "By the way, ", "it has text outside the sections: By the way, the slope at the kink is 0."),
    "no example": ("Example:", "Sample:", "it has no Example"),
    "nobody asked": ("Asked: gfg-16.5, ib-36.6", "", "it has no Asked"),
    "nothing after asked": ("gfg-16.5, ib-36.6", "later", "it lists no statement, and does not say none"),
    "a statement that does not exist": ("gfg-16.5", "gfg-16.999", "statement gfg-16.999 is not in the ledger"),
    "a statement without anything to run": ("gfg-16.5", "gfg-1.1", "statement gfg-1.1 has nothing to run"),
    "a statement twice": ("gfg-16.5", "ib-36.6", "it lists a statement twice"),
    "no source": ("Source: Nair and Hinton (2010).", "", "it has no Source"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_docstring_out_of_form_is_seen(what: str, ledger: Ledger) -> None:
    def said(text: str) -> list[str]:
        doc = parse(text)
        return [*complaints(doc, shapes=True, pair=True, used={"1", "2"}, reached={"1", "2"}), *misplaced(doc, ledger)]

    old, new, wanted = BAD[what]
    assert said(SOUND) == []
    assert wanted in said(SOUND.replace(old, new))
