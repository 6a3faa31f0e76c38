"""Every public role of the reference documents itself in the house form, and its body keeps to the numbered equations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import pytest

from reference.differentiable import Differentiable
from subjects.reference import subject


def source_of(role: object) -> str:
    """The code of a role without its docstring."""
    functions = [role.forward, role.backward] if isinstance(role, Differentiable) else [role]
    return "\n".join(inspect.getsource(f).replace(inspect.getdoc(f) or "\0", "") for f in functions)


def complaints(doc: str, code: str, *, component: bool) -> Iterator[str]:
    """What a docstring lacks: a first sentence, shapes, numbered equations that the code refers to, a source."""
    first = doc.partition("\n\n")[0]
    if not first.strip().endswith((".", "?")):
        yield "its first paragraph is no sentence"
    numbers = set(re.findall(r"^\s*\((\d+)\)", doc, flags=re.MULTILINE))
    if component and "Shapes:" not in doc:
        yield "it has no line of shapes"
    if component and not numbers:
        yield "it has no numbered equation"
    body = re.sub(r'"""(?:.|\n)*?"""', "", code)
    used = {number for comment in re.findall(r"#(.*)", body) for number in re.findall(r"\((\d+)\)", comment)}
    for number in sorted(numbers - used if component else set()):
        yield f"no line of the code is marked as equation ({number})"
    for number in sorted(used - numbers):
        yield f"the code names an equation ({number}) that the docstring lacks"


@pytest.mark.parametrize("name", sorted(subject.roles))
def test_the_docstring_is_in_the_house_form(name: str) -> None:
    role = subject.roles[name]
    doc = inspect.cleandoc(role.__doc__ or "")
    assert list(complaints(doc, source_of(role), component=isinstance(role, Differentiable))) == []


def test_a_docstring_out_of_form_is_seen() -> None:
    found = set(complaints("No sentence\n\n(1) y = x", "y = x  # (2)", component=True))
    assert found == {
        "its first paragraph is no sentence",
        "it has no line of shapes",
        "no line of the code is marked as equation (1)",
        "the code names an equation (2) that the docstring lacks",
    }
