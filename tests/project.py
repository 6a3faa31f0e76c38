"""A small project of claims in a folder of its own, for tests that run the command line as a user would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.cli import main

LEDGER = """
documents: {gfg: {title: a guide, questions: {1: first}}}
statements:
- {id: gfg-1.1, document: gfg, question: 1, topic: rings, kind: universal, executable: true, statement: Twice x is even.}
- {id: gfg-1.2, document: gfg, question: 1, topic: rings, kind: universal, executable: true, statement: Nobody tests this.}
- {id: gfg-1.3, document: gfg, question: 1, topic: names, kind: history, executable: false, statement: A name., reason: it is a name}
"""

SUBJECT = """
import os, time
from assay.subject import Subject
subject = Subject("reference", {"double": lambda x: x + x, "half": lambda x: x / 2})
"""

HEAD = """
import os, signal, time
import torch
from assay.claim import claim, HOLDS, REFUTED, CONDITIONAL, CORRECTION
from assay.evidence import equal, at_least, fact
from assay.strategies import sizes
"""

GOOD = '''
@claim("gfg-1.1", "Twice x is even.", needs=["double"], given={"x": sizes(0, 50)}, expect=HOLDS,
       sabotage={"adds one": {"double": lambda sound: lambda x: sound(x) + 1}})
def twice_is_even(lib, x):
    """Reading: 2x mod 2 = 0."""
    return equal(lib.double(x) % 2, 0, what="remainder")
'''


def claim_source(name: str, body: str, header: str = "") -> str:
    """A claim about gfg-1.1 whose check has this body."""
    return f'''
@claim("gfg-1.1", "Twice x is even.", needs=["double"], expect=HOLDS,
       sabotage={{"adds one": {{"double": lambda sound: lambda x: sound(x) + 1}}}}, {header})
def {name}(lib):
    """Reading: as it says."""
    {body}
'''


def make(folder: Path, *claims: str, subject: str = SUBJECT) -> Path:
    """Lay the project out in `folder`; returns it."""
    (folder / "exam_claims").mkdir(parents=True)
    (folder / "exam_subjects").mkdir()
    (folder / "pyproject.toml").write_text('[tool.assay]\nclaims = "exam_claims"\nsubjects = "exam_subjects"\n')
    (folder / "exam_claims" / "__init__.py").write_text("")
    (folder / "exam_claims" / "ledger.yaml").write_text(LEDGER)
    (folder / "exam_claims" / "rings.py").write_text(HEAD + "\n".join(claims))
    (folder / "exam_subjects" / "__init__.py").write_text("")
    (folder / "exam_subjects" / "own.py").write_text(subject)
    return folder


def assay(folder: Path, *arguments: str, timeout: float = 400) -> subprocess.CompletedProcess[str]:
    """Run the command line in the project's folder."""
    return subprocess.run(
        [sys.executable, "-m", "assay.cli", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=timeout, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "COLUMNS": "200"},
    )  # fmt: skip


def run(folder: Path, *arguments: str, timeout: float = 400) -> tuple[int, dict[str, Any], str]:
    """`assay run` on the one subject: exit status, results.json, and what it printed."""
    done = assay(folder, "run", "--subject", "reference", "--out", "reports", *arguments, timeout=timeout)
    path = folder / "reports" / "results.json"
    results = json.loads(path.read_text()) if path.is_file() else {}
    return done.returncode, results, done.stdout + done.stderr


def in_process(folder: Path, capsys: Any, monkeypatch: Any, *arguments: str) -> tuple[int, str]:
    """The command line in this process: exit status and what it wrote to stderr."""
    for name in [name for name in sys.modules if name.startswith("exam_")]:
        del sys.modules[name]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["assay", *arguments])
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    with pytest.raises(SystemExit) as leaving:
        main()
    return int(leaving.value.code or 0), capsys.readouterr().err
