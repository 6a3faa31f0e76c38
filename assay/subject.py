"""A subject: a named set of roles, the implementation that a claim is put to."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import ModuleType
from typing import Any

from assay.errors import SubjectError, UsageError
from assay.watch import Fault, watched

Role = Callable[..., Any]


@dataclass(frozen=True)
class Subject:
    """`roles` maps a role's name to the callable that plays it; `about` says in one sentence whose code it is."""

    name: str
    roles: Mapping[str, Role]
    about: str = ""

    def __post_init__(self) -> None:
        wrong = sorted(role for role, played in self.roles.items() if not callable(played))
        if wrong:
            raise SubjectError(
                f"subject {self.name} has roles that are not callable: {', '.join(wrong)}; give a function for each"
            )

    def missing(self, needs: Iterable[str]) -> list[str]:
        """The needed roles that this subject does not play."""
        return [role for role in needs if role not in self.roles]

    def library(self, needs: Iterable[str], edits: Mapping[str, Callable[[Role], Role]] | None = None) -> Library:
        """The `lib` of one execution: only the declared roles, some of them replaced by a sabotage."""
        library = Library(self.name, {role: self.roles[role] for role in needs})
        for role, edit in (edits or {}).items():
            library.replace(role, edit(self.roles[role]))
        return library


@dataclass
class Library:
    """What a claim may touch: `lib.softmax(...)`. Calls of replaced roles are counted: a sabotage that never ran is no kill.

    Every call is watched: `faults` names what no claim may mistake for an answer (see `assay.watch`).
    """

    subject: str
    roles: dict[str, Role]
    calls_of_replaced: int = field(default=0)
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.roles = {role: watched(role, played, self.faults) for role, played in self.roles.items()}

    def replace(self, role: str, played: Role) -> None:
        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls_of_replaced += 1
            return played(*args, **kwargs)

        self.roles[role] = watched(role, counted, self.faults)

    def __getattr__(self, role: str) -> Role:
        try:
            played: Role = self.__dict__["roles"][role]
        except KeyError:
            raise SubjectError(
                f"role {role} was not declared: the claim needs {sorted(self.roles)}; add {role!r} to needs=[...]"
            ) from None
        return played


def public_roles(package: ModuleType) -> dict[str, Role]:
    """Every public name (`__all__`) of the package's modules, as roles; a name that two modules use is refused."""
    roles: dict[str, Role] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for name in getattr(module, "__all__", ()):
            if name in roles:
                raise SubjectError(
                    f"role {name} is defined twice in {package.__name__}, the second time in {info.name}; rename one"
                )
            roles[name] = getattr(module, name)
    return roles


def load_subjects(package: str) -> dict[str, Subject]:
    """Every `Subject` that a module of `package` defines as `subject`, by name; one that cannot be imported is one clear line."""
    found: dict[str, Subject] = {}
    if importlib.util.find_spec(package) is None:
        raise UsageError(
            f"package {package} was not found, expected a package of subjects; set subjects in [tool.assay] of pyproject.toml"
        )
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        try:
            subject = getattr(importlib.import_module(f"{package}.{info.name}"), "subject", None)
        except (Exception, SystemExit) as error:  # a script that ends with sys.exit() must not end the run in silence
            raise SubjectError(
                f"subject module {package}.{info.name} cannot be imported: {type(error).__name__}: {error}; mend the file"
            ) from error
        if isinstance(subject, Subject):
            found[subject.name] = subject
    return found


def choose_subjects(names: Iterable[str], package: str) -> list[Subject]:
    """The subjects of these names, or one line that names the nearest ones."""
    known = load_subjects(package)
    for name in names:
        if name not in known:
            nearest = get_close_matches(name, known, n=3, cutoff=0.3) or sorted(known)
            raise UsageError(f"subject {name} is unknown; nearest: {', '.join(nearest)}")
    return [known[name] for name in names]
