"""Sessions: report, tests, gradcheck, benchmarks, lint, docs, minimums. `nox -l` lists them; versions are read from pyproject.toml."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import nox

nox.needs_version = ">=2024.4.15"
nox.options.sessions = ["tests", "report", "lint"]
nox.options.reuse_existing_virtualenvs = True
nox.options.default_venv_backend = "venv"

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKERS = str(min(os.cpu_count() or 1, 8))


def install(session: nox.Session, *extras: str) -> None:
    """Install this checkout with pinned versions: constraints.txt is the one place that pins."""
    wanted = f".[{','.join(extras)}]" if extras else "."
    session.install("-c", "constraints.txt", "-e", wanted)


@nox.session
def report(session: nox.Session) -> None:
    """Run every claim on every subject and write reports/index.html, results.json and junit.xml."""
    install(session)
    session.run("assay", "run", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """The whole test suite, two workers, one thread each."""
    install(session, "dev")
    session.env["OMP_NUM_THREADS"] = "1"
    session.run("pytest", "-n", WORKERS, "--dist", "worksteal", *session.posargs)


@nox.session
def gradcheck(session: nox.Session) -> None:
    """Check every component's backward, plant mistakes in it, and print the checker's rates on its corpus."""
    install(session, "dev")
    session.env["OMP_NUM_THREADS"] = "1"
    session.run("python", "-m", "tests.reference.table")
    session.run("python", "-m", "tests.reference.planted")
    for options in ([], ["--dtype", "float32"], ["--order", "2"], ["--explore"]):
        session.run("python", "-m", "tests.gradients.corpus.rates", *options, *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Ratios measured in one run; skipped by the tests session."""
    install(session, "dev")
    session.env["OMP_NUM_THREADS"] = "1"
    session.run("pytest", "benchmarks", "-p", "no:xdist", "--benchmark-group-by=group")
    for table in ("speed", "resolution", "honesty", "location"):
        session.run("python", "-m", f"benchmarks.gradients.{table}", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and types."""
    install(session, "dev")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """Write the pages of the components anew, fail if the ones here were stale, and run every example."""
    install(session, "dev")
    session.run("assay", "components", "--check")
    session.run("pytest", "tests/test_docs.py", *session.posargs)


@nox.session
def minimums(session: nox.Session) -> None:
    """The tests on the oldest versions that pyproject.toml admits."""
    oldest = [re.sub(r">=", "==", need) for need in PROJECT["dependencies"]]
    session.install(*oldest)
    session.install("--no-deps", "-e", ".")
    session.install(
        *[need for need in PROJECT["optional-dependencies"]["dev"] if not need.startswith(("ruff", "mypy", "types"))]
    )
    session.run("pytest", "-n", WORKERS, "-m", "not browser", *session.posargs)
