"""Subjects: roles by name, what is missing, what was not declared, and two modules that fight for one name."""

import sys
from pathlib import Path
from typing import Any

import pytest

from assay.errors import SubjectError, UsageError
from assay.subject import Subject, choose_subjects, load_subjects, public_roles

MINE = Subject("mine", {"double": lambda x: 2 * x})


def package(folder: Path, name: str, monkeypatch: Any, **modules: str) -> Any:
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text("")
    for module, source in modules.items():
        (folder / name / f"{module}.py").write_text(source)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return __import__(name)


def test_a_library_holds_the_declared_roles_and_counts_calls_of_replaced_ones() -> None:
    library = MINE.library(["double"], {"double": lambda sound: lambda x: sound(x) + 1})
    assert library.double(3) == 7
    assert library.calls_of_replaced == 1
    with pytest.raises(SubjectError, match="needs="):
        library.half(3)


def test_missing_roles_and_roles_that_cannot_be_called() -> None:
    assert MINE.missing(["double", "half"]) == ["half"]
    with pytest.raises(SubjectError, match="not callable: half"):
        Subject("broken", {"half": 0.5})  # type: ignore[dict-item]


def test_a_name_that_two_modules_define_is_refused(tmp_path: Path, monkeypatch: Any) -> None:
    source = '__all__ = ["f"]\n\ndef f(): ...\n'
    good = package(tmp_path, "one_of_each", monkeypatch, a=source, b=source.replace('f"', 'g"').replace(" f(", " g("))
    assert sorted(public_roles(good)) == ["f", "g"]
    with pytest.raises(SubjectError, match="f is defined twice"):
        public_roles(package(tmp_path, "two_alike", monkeypatch, a=source, b=source))


def test_a_subject_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: Any) -> None:
    package(tmp_path, "broken_subjects", monkeypatch, theirs="import nowhere_at_all\n")
    with pytest.raises(SubjectError, match=r"broken_subjects\.theirs.*nowhere_at_all"):
        load_subjects("broken_subjects")


@pytest.mark.parametrize("leaving", ["sys.exit(0)", "sys.exit()", "raise SystemExit"])
def test_a_subject_that_leaves_when_it_is_imported_is_named(tmp_path: Path, monkeypatch: Any, leaving: str) -> None:
    name = f"leaving_{len(leaving)}"
    package(tmp_path, name, monkeypatch, theirs=f"import sys\n{leaving}\n")
    with pytest.raises(SubjectError, match="SystemExit"):
        load_subjects(name)


def test_a_package_of_subjects_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="nowhere_at_all was not found"):
        load_subjects("nowhere_at_all")


def test_an_unknown_subject_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="reference"):
        choose_subjects(["referens"], "subjects")
