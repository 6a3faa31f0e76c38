"""A subject may differ from the textbook on purpose: said in the claim's header, listed with the reason, not failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project import assay, claim_source, make

THEIRS = """
from assay.subject import Subject
subject = Subject("theirs", {"double": lambda x: 2 * x + 1})
"""
BODY = "return equal(lib.double(1), 2, what='sum')"


def run(folder: Path, header: str, *subjects: str) -> tuple[int, str, str]:
    """`assay run` on these subjects: exit status, what it printed, the page."""
    make(folder, claim_source("twice_one_is_two", BODY, header))
    (folder / "exam_subjects" / "theirs.py").write_text(THEIRS)
    done = assay(folder, "run", *(f"--subject={name}" for name in subjects), "--workers", "1")
    page = (folder / "reports" / "index.html").read_text(encoding="utf-8")
    return done.returncode, " ".join((done.stdout + done.stderr).split()), page


@pytest.mark.parametrize(("header", "code"), [("differs={'theirs': 'counts from one'}", 0), ("", 1)])
def test_a_difference_fails_the_run_unless_the_claim_says_why(header: str, code: int, tmp_path: Path) -> None:
    status, printed, page = run(tmp_path / "project", header, "reference", "theirs")
    assert status == code, printed
    assert ("known difference" in printed) == (code == 0)
    assert ("known difference: counts from one" in page) == (code == 0)
    assert 'data-subject="reference theirs *differs"' in page


def test_a_difference_of_the_only_subject_stands_on_the_page(tmp_path: Path) -> None:
    status, printed, page = run(tmp_path / "project", "differs={'theirs': 'counts from one'}", "theirs")
    assert status == 0, printed
    assert "<b>Known difference of theirs:</b> counts from one" in page
