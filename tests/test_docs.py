"""An example nobody runs is not written: every Python block of the documentation is executed, block by block, page by page."""

import re
import sys
import types
from pathlib import Path

import pytest
from typer.testing import CliRunner

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda p: p.name)
def test_the_examples_of_a_page_run(page: Path) -> None:
    module = types.ModuleType(f"example_{page.stem}")
    sys.modules[module.__name__] = module
    for block in blocks(page):
        exec(compile(block, str(page), "exec"), vars(module))


def test_every_command_that_a_page_names_exists() -> None:
    from assay.cli import app

    known = set(re.findall(r"^[│ ] *([a-z]+) ", CliRunner().invoke(app, ["--help"]).output, re.MULTILINE))
    named = {
        word for page in PAGES for word in re.findall(r"`(?:\$ )?assay ([a-z]+)", page.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= known, named - known


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8")):
            if not (page.parent / target).exists():
                broken.append(f"{page.name} -> {target}")
    assert broken == []
