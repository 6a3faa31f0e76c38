"""Pages of components: as the docstrings, claims and recorded verdicts have it, complete, runnable, never stale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.claim import HOLDS, REFUTED, claim
from assay.evidence import Evidence, equal
from assay.ledger import Ledger, Statement
from assay.report.components import INDEX, MARK, Library, load, pages, stale, write
from assay.subject import Subject
from subjects.reference import subject as reference
from tests.test_docs import blocks

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "docs" / "components"


def double(x: float, by: Callable[..., float] = sum) -> float:
    """Twice a number.

    Shapes: x () -> y ()
    (1) y = 2x | not x²
    Example:
        once = 3
        double(once) == 6
    Asked: gfg-1.1
    Source: Euclid.
    """
    return 2 * x  # (1)


def double_by_adding(x: float) -> float:
    """It adds `x | x` and is no `half` | of it."""
    return x + x


ADDS_ONE = {"adds one": {"double": lambda sound: lambda x: sound(x) + 1}}


@claim("gfg-1.1", "Twice x is even.", needs=["double"], expect=HOLDS, sabotage=ADDS_ONE)
def twice_is_even(lib: Any) -> Evidence:
    """Reading: as it says."""
    return equal(lib.double(1) % 2, 0, what="remainder")


@claim("gfg-1.1", "Twice x is odd.", needs=["double", "half"], expect=REFUTED(instead="It is even."), sabotage=ADDS_ONE)
def twice_is_odd(lib: Any) -> Evidence:
    """Reading: as it says."""
    return equal(lib.double(1) % 2, 1, what="remainder")


def library(folder: Path, **record: str) -> Library:
    statement = Statement("gfg-1.1", "gfg", 1, "rings", "Twice <x> is even | odd.", "universal", True)
    return Library(
        [Subject("mine", {"double": double, "half": lambda x: x / 2}), Subject("other", {"double": double_by_adding})],
        {made.id: made for made in (twice_is_even, twice_is_odd)},
        Ledger({"gfg-1.1": statement}),
        {f"gfg-1.1:{name} on mine": verdict for name, verdict in record.items()},
        ROOT, folder,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages(load(["reference", "torch"], FOLDER))


def test_the_pages_in_the_repository_are_those_of_the_docstrings_and_the_record(made: dict[str, str]) -> None:
    assert stale(made, FOLDER) == [], "run assay components and commit docs/components"


def test_every_role_has_a_page_with_an_example_and_is_in_the_index(made: dict[str, str]) -> None:
    assert set(made) == {INDEX, *(f"{role}.md" for role in reference.roles)}
    for role in reference.roles:
        assert f"[{role}]({role}.md)" in made[INDEX]
        assert "\n## Example\n" in made[f"{role}.md"], role
        assert "\n| reference | [reference/" in made[f"{role}.md"], role


def test_a_page_shows_the_docstring_the_players_the_statements_and_the_claims(tmp_path: Path) -> None:
    page = pages(library(tmp_path, twice_is_even="holds", twice_is_odd="refuted"))["double.md"]
    assert page.startswith(f"{MARK}\n# double\n\nTwice a number.\n")
    assert "\n`double(x, by=sum)` · module `tests.report.test_components` ·" in page
    assert "```text\n(1) y = 2x | not x²\n```" in page
    assert "| other | [tests/report/test_components.py](" in page
    assert "| It adds `x \\| x` and is no [`half`](half.md) \\| of it. |" in page
    assert "| Twice x is even. | gfg-1.1 | ✓ holds | not run yet |" in page
    assert "| Twice x is odd. | gfg-1.1 | ✗ refuted | – not offered |" in page
    assert "| gfg-1.1 | Twice \\<x\\> is even \\| odd. *Instead:* It is even. | ✗ refuted |" in page


def test_what_an_environment_below_the_project_holds_is_not_written_here(tmp_path: Path) -> None:
    """An environment may lie inside the checkout; a page must come out the same wherever it is made."""
    shelf = next(folder for folder in Path(torch.__file__).parents if folder.name == "site-packages")
    plain = library(tmp_path)
    subjects = [*plain.subjects[:1], Subject("other", {"double": torch.nn.functional.relu})]
    page = pages(replace(plain, subjects=subjects, root=shelf.parent))["double.md"]
    assert "| other | `torch.nn.functional.relu` |  |" in page


def test_the_verdict_of_a_statement_is_computed_from_the_record(tmp_path: Path) -> None:
    only = library(tmp_path, twice_is_even="holds")
    assert "? undecided: twice\\_is\\_odd: no verdict is recorded yet |" in pages(only)["double.md"]


def test_the_example_of_a_page_is_a_program_that_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "double.md"
    write(pages(library(tmp_path)), tmp_path)
    (program,) = blocks(path)
    assert program == "from tests.report.test_components import double\n\nonce = 3\nassert double(once) == 6\n"
    exec(compile(program, str(path), "exec"), {})
    monkeypatch.setitem(globals(), "double", lambda x: 2 * x + 1)
    with pytest.raises(AssertionError):
        exec(compile(program, str(path), "exec"), {})


def edited(path: Path) -> None:
    path.write_text(path.read_text() + "by hand\n")


SPOILED: dict[str, tuple[Callable[[Path], Any], list[str]]] = {
    "edited by hand": (lambda folder: edited(folder / "double.md"), ["double.md"]),
    "removed": (lambda folder: (folder / INDEX).unlink(), [INDEX]),
    "left over": (lambda folder: (folder / "triple.md").write_text(MARK), ["triple.md"]),
    "written by a person": (lambda folder: (folder / "notes.md").write_text("# Notes"), []),
}


@pytest.mark.parametrize("what", SPOILED)
def test_a_stale_page_is_seen_and_mended(what: str, tmp_path: Path) -> None:
    spoil, wanted = SPOILED[what]
    made = pages(library(tmp_path))
    write(made, tmp_path)
    assert stale(made, tmp_path) == []
    spoil(tmp_path)
    assert stale(made, tmp_path) == wanted
    write(made, tmp_path)
    assert stale(made, tmp_path) == []
    assert (tmp_path / "notes.md").is_file() == (what == "written by a person")
