"""Every case of every component test module, found by looking: a module that defines CASES is a component's."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

import reference
from reference.differentiable import Differentiable
from tests.reference.protocol import Case

HERE = Path(__file__).parent
MODULES = [
    path.stem
    for path in sorted(HERE.glob("test_*.py"))
    if re.search(r"^CASES\b", path.read_text("utf-8"), re.MULTILINE)
]
CASES: dict[str, Case] = {
    f"{stem.removeprefix('test_')}: {name}": case
    for stem in MODULES
    for name, case in importlib.import_module(f"tests.reference.{stem}").CASES.items()
}
DERIVED = {name: case for name, case in CASES.items() if not case.stops}


def given(case: Case) -> int:
    return sum(t is not None and t.is_floating_point() for t in case.inputs)


def components() -> dict[str, Differentiable]:
    """Every `Differentiable` that a module of the reference defines, by module and name."""
    found: dict[str, Differentiable] = {}
    for module in pkgutil.iter_modules(reference.__path__):
        members = vars(importlib.import_module(f"reference.{module.name}"))
        found |= {
            f"{module.name}.{name.removeprefix('_')}": member
            for name, member in members.items()
            if isinstance(member, Differentiable) and member.forward.__module__ == f"reference.{module.name}"
        }
    return found


def cases_of(component: Differentiable) -> dict[str, Case]:
    return {name: case for name, case in CASES.items() if case.component is component}


def fullest(component: Differentiable) -> Case:
    """The component's case with the most tensors among those whose gradient is the derivative; of equals the first."""
    return max((case for case in cases_of(component).values() if not case.stops), key=given)
