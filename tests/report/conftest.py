"""A headless browser that sees report pages as files, without a network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.report.html import render
from tests.report import factory

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
QUIET = (
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

Open = Callable[..., Any]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed; install the package chromium to run the browser tests")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed; install assay[dev]")
    with sync_api.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *QUIET])
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Reports of synthetic runs on disk, by number of statements, made once."""
    folder = tmp_path_factory.mktemp("report")

    def page(count: int) -> Path:
        path = folder / f"{count}.html"
        if not path.exists():
            results = json.loads(json.dumps(factory.synthetic(count)))
            path.write_text(render(results), encoding="utf-8")
        return path

    return page


@pytest.fixture
def visit(browser: Any, pages: Callable[[int], Path]) -> Iterator[Open]:
    """Opens the report of `count` statements, or a file, at a fragment; a script error or a request fails the test."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def visit(count: int | Path = 60, fragment: str = "", **context: Any) -> Any:
        contexts.append(browser.new_context(**context))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        path = count if isinstance(count, Path) else pages(count)
        address = path.as_uri()
        page.on(
            "request", lambda request: complaints.append(request.url) if request.url.split("#")[0] != address else None
        )
        page.goto(address + (f"#{fragment}" if fragment else ""))
        return page

    yield visit
    for context in contexts:
        context.close()
    assert complaints == []
