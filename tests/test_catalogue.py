"""What `assay list` and `assay show` say, in a pipe and in a narrow terminal."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.project import GOOD, LEDGER, claim_source, in_process, make

REFUTED_ONE = (
    claim_source("a_name_that_is_so_long_that_no_narrow_terminal_holds_it_in_one_of_its_columns", "return equal(lib.double(1), 3, what='sum')")
    .replace("expect=HOLDS", 'covers="odd x", expect=REFUTED(instead="It is two.", by="twice_is_even")')
    .replace('"""Reading: as it says."""', '"""Reading: as it says.\n\n    Why: it is so.\n    """')
)  # fmt: skip
LONG = REFUTED_ONE.partition("def ")[2].partition("(")[0]


@pytest.fixture
def said(tmp_path: Path, monkeypatch: Any, capsys: Any) -> Any:
    """What a command prints in a project with two claims on one statement, one of them recorded."""
    folder = make(tmp_path / "p", GOOD, REFUTED_ONE)
    (folder / "exam_claims" / "recorded.json").write_text(f'{{"gfg-1.1:{LONG} on reference": "refuted"}}')

    def run(*arguments: str, terminal: bool = False) -> str:
        text = io.StringIO()
        monkeypatch.setattr(
            "assay.cli.console", Console(file=text, width=80, force_terminal=terminal, color_system=None)
        )
        assert in_process(folder, capsys, monkeypatch, *arguments) == (0, "")
        return text.getvalue()

    return run


def test_a_list_in_a_pipe_is_one_whole_line_a_claim(said: Any) -> None:
    assert said("list").splitlines() == [
        "gfg-1.1:twice_is_even  rings  holds  double",
        f"gfg-1.1:{LONG}  rings  refuted  double",
    ]


def test_a_list_in_a_narrow_terminal_folds_and_loses_nothing(said: Any) -> None:
    text = said("list", terminal=True)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    first = [line.split("  ")[0].strip() for line in text.splitlines()[2:]]
    assert f"gfg-1.1:{LONG}" in "".join(first)


def test_a_claim_is_shown_with_its_record_correction_and_cover_and_alone(said: Any) -> None:
    lines = said("show", f"gfg-1.1:{LONG}").splitlines()
    for line in ("recorded: refuted on reference", "instead: It is two.", "shown by: twice_is_even", "covers: odd x"):
        assert f"  {line}" in lines
    assert lines.index("  Why: it is so.") == lines.index("  Reading: as it says.") + 1
    assert "gfg-1.1:twice_is_even" not in lines


def test_a_statement_is_shown_with_all_its_claims(said: Any) -> None:
    lines = said("show", "gfg-1.1").splitlines()
    assert lines[0] == "gfg-1.1 (rings, universal): Twice x is even."
    assert {"gfg-1.1:twice_is_even", f"gfg-1.1:{LONG}"} <= set(lines)


def test_a_question_is_shown_with_its_title_and_statements(said: Any) -> None:
    assert said("show", "gfg-1").splitlines() == [
        "gfg-1: first",
        "gfg-1.1 (rings, universal): Twice x is even.",
        "  gfg-1.1:twice_is_even: not recorded",
        f"  gfg-1.1:{LONG}: refuted on reference",
        "gfg-1.2 (rings, universal): Nobody tests this.",
        "  undecided: no claim yet",
        "gfg-1.3 (names, history): A name.",
        "  not executable: it is a name",
    ]


def test_a_wrapped_line_keeps_its_indent(said: Any) -> None:
    lines = said("show", LONG, terminal=True).splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line.startswith("  ") for line in lines[lines.index("  Reading: as it says.") :])


def test_an_unknown_id_names_those_of_its_question(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    folder = make(tmp_path / "p", GOOD)
    (folder / "exam_claims" / "ledger.yaml").write_text(LEDGER.replace("gfg-1.2", "gfg-42.2"))
    for command in ("show", "run"):
        code, complaint = in_process(folder, capsys, monkeypatch, command, "gfg-42.99")
        assert (code, complaint) == (2, "assay: id gfg-42.99 is unknown; nearest: gfg-42.2\n")
