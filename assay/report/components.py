"""A page in Markdown for each role of a subject: its docstring, who plays it, what is asked about it, and the claims that use it."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from assay.claim import Claim
from assay.config import load_config
from assay.docstring import Docstring, parse
from assay.ledger import Ledger, Statement, judge, load_ledger
from assay.registry import load_claims
from assay.report.markdown import escaped
from assay.report.words import CLAIM_VERDICTS, VERDICTS
from assay.results import load_record
from assay.subject import Role, Subject, choose_subjects

TEMPLATES = Path(__file__).with_name("templates")
MARK = "<!-- made by assay components; do not edit -->"
INDEX = "README.md"

_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Library:
    """What pages are made from: subjects (the first one's roles get a page), claims, ledger, recorded verdicts, and where pages lie."""

    subjects: Sequence[Subject]
    claims: Mapping[str, Claim]
    ledger: Ledger
    record: Mapping[str, str]
    root: Path
    folder: Path

    def verdict(self, claim: Claim, subject: Subject) -> str:
        """The recorded verdict in words, or that there is none."""
        if subject.missing(claim.needs):
            return shown("unsupported", CLAIM_VERDICTS)
        return shown(self.record.get(f"{claim.id} on {subject.name}", ""), CLAIM_VERDICTS)

    def judged(self, statement: Statement) -> dict[str, Any]:
        """The statement's line as a run would compute it from the recorded verdicts of the first subject."""
        first = self.subjects[0].name
        results = [
            {
                "id": claim.id, "name": claim.name, "subject": first, "reading": claim.reading, "covers": claim.covers,
                "boundary": claim.expect.boundary, "instead": claim.expect.instead, "problem": "no verdict is recorded yet",
                "verdict": self.record.get(f"{claim.id} on {first}", "inconclusive"),
            }
            for claim in self.claims.values()
            if statement.id in claim.statements
        ]  # fmt: skip
        return judge(statement, results, first)

    def prose(self, text: str) -> str:
        """A line of text for a page: `code` stays code, and leads to the page of the role that it names."""
        parts = _CODE.split(" ".join(text.split()))
        return "".join(self._code(part) if k % 2 else escaped(part) for k, part in enumerate(parts))

    def _code(self, text: str) -> str:
        shown = "`" + text.replace("|", "\\|") + "`"
        return f"[{shown}]({text}.md)" if text in self.subjects[0].roles else shown

    def link(self, path: Path) -> str:
        """A path as seen from a page."""
        return Path(os.path.relpath(path, self.folder)).as_posix()


@dataclass(frozen=True)
class Component:
    """One role of the first subject, with everything that its page shows."""

    name: str
    role: Role
    library: Library

    @cached_property
    def doc(self) -> Docstring:
        return parse(definition(self.role).__doc__ or "")

    @property
    def module(self) -> str:
        return str(definition(self.role).__module__)

    @property
    def call(self) -> str:
        """How it is called: names and defaults without types."""
        signature = inspect.signature(definition(self.role))
        bare = [p.replace(annotation=p.empty, default=_by_name(p.default)) for p in signature.parameters.values()]
        return f"{self.name}{signature.replace(parameters=bare, return_annotation=signature.empty)}"

    @property
    def program(self) -> str:
        """The example with its imports, a program that ends with an assertion."""
        homes: dict[str, list[str]] = {}
        for name in _unknown(self.doc.program):
            homes.setdefault(self._home(name), []).append(name)
        modules = "\n".join(f"import {name}" for name in homes.pop("", []))
        public = "\n".join(f"from {home} import {', '.join(found)}" for home, found in sorted(homes.items()))
        return "\n\n".join(part for part in (modules, public, self.doc.program) if part)

    def _home(self, name: str) -> str:
        """The module that an example takes a name from: its own, or that of another role; none for a module."""
        own = vars(importlib.import_module(self.module))
        if inspect.ismodule(own.get(name)) or name in sys.stdlib_module_names:
            return ""
        other = self.library.subjects[0].roles.get(name)
        return self.module if name in own or other is None else str(definition(other).__module__)

    @property
    def players(self) -> list[tuple[str, str, str]]:
        """Subject, where its role is written, and what its author says about it."""
        plays = [(subject, subject.roles[self.name]) for subject in self.library.subjects if self.name in subject.roles]
        return [
            (subject.name, self._place(role), "" if role is self.role else self._remark(role))
            for subject, role in plays
        ]

    def _place(self, role: Role) -> str:
        path = _source(role)
        if not self._ours(role) or path is None:
            return f"`{_qualified(role)}`"
        return f"[{path.relative_to(self.library.root).as_posix()}]({self.library.link(path)})"

    def _remark(self, role: Role) -> str:
        """What the author of another subject says about the role, if it is written in this project."""
        return _first_paragraph(role.__doc__) if self._ours(role) else ""

    def _ours(self, role: Role) -> bool:
        """Whether it is written in this project, and not in an environment that is installed below it."""
        path, root = _source(role), self.library.root
        return path is not None and path.is_relative_to(root) and "site-packages" not in path.relative_to(root).parts

    @property
    def asked(self) -> list[dict[str, Any]]:
        """The statements that the docstring lists, judged; one that the ledger lacks is left to the tests."""
        known = self.library.ledger.statements
        return [self.library.judged(known[sid]) for sid in self.doc.asked if sid in known]

    @cached_property
    def claims(self) -> list[Claim]:
        order = {sid: k for k, sid in enumerate(self.library.ledger.statements)}
        using = [claim for claim in self.library.claims.values() if self.name in claim.needs]
        return sorted(using, key=lambda claim: (order.get(claim.statement_id, len(order)), claim.name))


def load(names: Sequence[str], folder: Path) -> Library:
    """The library of the configured project, for pages in `folder`."""
    config = load_config()
    subjects = choose_subjects(names, config.subjects)
    claims = load_claims(config.claims_folder, config.claims)
    record = load_record(config.record)
    return Library(subjects, claims, load_ledger(config.ledger), record, config.root.resolve(), folder.resolve())


def pages(library: Library) -> dict[str, str]:
    """File name -> Markdown: one page for each role of the first subject, and the index by module."""
    components = [Component(name, role, library) for name, role in sorted(library.subjects[0].roles.items())]
    modules: dict[str, list[Component]] = {}
    for component in sorted(components, key=lambda c: (c.module, c.name)):
        modules.setdefault(component.module, []).append(component)
    made = {f"{c.name}.md": _render("component.md.jinja", component=c, library=library) for c in components}
    about = {name: _first_paragraph(importlib.import_module(name).__doc__) for name in modules}
    made[INDEX] = _render("components.md.jinja", modules=modules, about=about, library=library)
    return made


def stale(made: Mapping[str, str], folder: Path) -> list[str]:
    """The files that are missing, differ from what would be written, or are left over."""
    differing = [name for name, text in made.items() if _text(folder / name) != text]
    return sorted([*differing, *_left_over(made, folder)])


def write(made: Mapping[str, str], folder: Path) -> None:
    """Write the pages, and remove earlier ones that have no component any more."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _left_over(made, folder):
        (folder / name).unlink()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")


def definition(role: Role) -> Any:
    """The function that is documented: of a pair of forward and backward, the forward."""
    return getattr(role, "forward", role)


def shown(verdict: str, words: Mapping[str, Any]) -> str:
    """A verdict with its sign."""
    return f"{words[verdict].sign} {words[verdict].word}" if verdict in words else "not run yet"


@dataclass(frozen=True)
class _Name:
    """Shown as it is, without quotes."""

    text: str

    def __repr__(self) -> str:
        return self.text


def _by_name(default: Any) -> Any:
    """A function as a default shows as its name, not as its address."""
    return _Name(default.__name__) if callable(default) and default is not inspect.Parameter.empty else default


def _left_over(made: Mapping[str, str], folder: Path) -> list[str]:
    return [p.name for p in folder.glob("*.md") if p.name not in made and _text(p).startswith(MARK)]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _source(role: Role) -> Path | None:
    try:
        return Path(inspect.getfile(definition(role))).resolve()
    except TypeError:  # written in C
        return None


def _qualified(role: Role) -> str:
    """The dotted name of a role that is not written here; functions in C do not know their module."""
    module = getattr(role, "__module__", None) or "torch"
    return f"{module}.{role.__name__}"


def _first_paragraph(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").partition("\n\n")[0].split())


def _unknown(program: str) -> list[str]:
    """The names that a program uses and does not define."""
    nodes = list(ast.walk(ast.parse(program)))
    names = [node for node in nodes if isinstance(node, ast.Name)]
    stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    stored |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    return sorted({node.id for node in names} - stored - set(dir(builtins)))


def _render(template: str, **values: Any) -> str:
    return _environment().get_template(template).render(mark=MARK, VERDICTS=VERDICTS, shown=shown, **values)


@cache
def _environment() -> Environment:
    """Markdown is not escaped as HTML is; what could end a table's cell goes through `Library.prose`."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        autoescape=False, keep_trailing_newline=True,
    )  # fmt: skip
