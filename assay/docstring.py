"""The house form of a component's docstring: a sentence, then labelled sections, among them numbered equations.

The rectified linear unit.

Shapes: z (...) -> y (...)
Forward:
    (1) y = max(z, 0)
Backward:
    (2) dz = dy where z > 0, else 0
Conventions: the slope at the kink z = 0 is 0.
Example: relu(torch.tensor([-3.0, 0.5])).tolist() == [0.0, 0.5]
Asked: gfg-16.5, ib-36.6
Source: who published it, and where.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

LABELS = ("Shapes", "Forward", "Backward", "Conventions", "Units", "Errors", "Example", "Asked", "Source")
EQUATIONS = "Equations"
STRAY = "Stray"
NOBODY = "none"

_LABEL = re.compile(rf"({'|'.join(LABELS)})\b([^:]*):\s*(.*)")
_EQUATION = re.compile(r"\((\d+)\)")
_STATEMENT = re.compile(r"[a-z]+-\d+\.\d+")


@dataclass(frozen=True)
class Docstring:
    """`sections` maps a label to its text, lines kept; equations outside Forward and Backward are under Equations.

    `provisos` says what stands between a label and its colon; text that belongs to no section is under Stray.
    """

    sentence: str
    sections: Mapping[str, str]
    provisos: Mapping[str, str]

    @property
    def equations(self) -> list[str]:
        """The numbers of all equations, in the order of the text."""
        blocks = (self.sections.get(label, "") for label in ("Forward", "Backward", EQUATIONS))
        return [found[1] for block in blocks for line in block.splitlines() if (found := _EQUATION.match(line.strip()))]

    @property
    def asked(self) -> list[str]:
        """The ids of the statements that are about this component."""
        return _STATEMENT.findall(self.sections.get("Asked", ""))

    @property
    def program(self) -> str:
        """The example as a program: its last line, which is an expression that must be true, becomes an assertion."""
        source = self.sections.get("Example", "")
        last = ast.parse(source).body[-1] if source else None
        if last is None or not isinstance(last, ast.Expr):
            return ""
        lines = source.splitlines()
        lines[last.lineno - 1] = "assert " + lines[last.lineno - 1]
        return "\n".join(lines)


def parse(text: str) -> Docstring:
    """The parts of a docstring; nothing is refused, what is missing is missing in the result."""
    sentence, _, rest = inspect.cleandoc(text).partition("\n\n")
    sections: dict[str, list[str]] = {}
    provisos: dict[str, str] = {}
    label = STRAY
    for line in rest.splitlines():
        found = _LABEL.fullmatch(line)
        if found:
            label, provisos[found[1]], line = found[1], found[2].strip(" ,"), found[3]
        elif line and not line[0].isspace():
            label = EQUATIONS if _EQUATION.match(line) else STRAY
        if line.strip():
            sections.setdefault(label, []).append(line)
    return Docstring(_joined(sentence), {key: _text(key, lines) for key, lines in sections.items()}, provisos)


def _joined(text: str) -> str:
    return " ".join(text.split())


def _text(label: str, lines: list[str]) -> str:
    """Code and equations keep their lines, prose is joined."""
    if label in ("Forward", "Backward", EQUATIONS, "Example"):
        return textwrap.dedent("\n".join(lines))
    return _joined(" ".join(lines))
