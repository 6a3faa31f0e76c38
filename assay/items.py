"""A claim on a subject as a pytest item, and the recorder that keeps the book of a run on the controller.

A worker that hangs is ended by a watchdog, one that fills its memory gets an error, and one that dies is replaced by
pytest-xdist; each is reported as what it was, and the others go on.
"""

from __future__ import annotations

import faulthandler
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from assay.claim import Claim
from assay.config import load_config
from assay.errors import AssayError
from assay.execute import crashed, execute
from assay.measure import Conditions
from assay.registry import claims_in
from assay.results import Book
from assay.subject import Subject, choose_subjects

GRACE_SECONDS = 5.0  # between the polite alarm and the watchdog that ends the process


def conditions_of(config: pytest.Config) -> Conditions:
    return Conditions(
        config.getoption("--assay-seed"), config.getoption("--assay-device"), config.getoption("--assay-examples")
    )


class ClaimFile(pytest.File):
    """A module of claims."""

    def collect(self) -> Iterator[pytest.Item]:
        config = load_config(Path(self.config.rootpath))
        parts = self.path.resolve().relative_to(config.claims_folder).with_suffix("").parts
        subjects = choose_subjects(self.config.getoption("--assay-subject") or ["reference"], config.subjects)
        selected = self.config.getoption("--assay-select")
        wanted = set(json.loads(selected)) if selected else None
        for claim in claims_in(".".join((config.claims, *parts))):
            if wanted is None or claim.id in wanted:
                for subject in subjects:
                    name = f"{claim.name}[{subject.name}]"
                    # pytest would take a bracket in a name for part of the name, and --lf would never match its own id
                    yield ClaimItem.from_parent(
                        self, name=name, nodeid=f"{self.nodeid}::{name}", claim=claim, subject=subject
                    )

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *_: Any) -> Any:
        return str(excinfo.value) if isinstance(excinfo.value, AssayError) else super().repr_failure(excinfo)


class ClaimFailed(Exception):
    """A claim whose result is not as predicted."""


class ClaimItem(pytest.Item):
    """One claim on one subject."""

    def __init__(self, *, claim: Claim, subject: Subject, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.claim, self.subject = claim, subject
        self.result: dict[str, Any] | None = None

    def runtest(self) -> None:
        conditions, in_worker = conditions_of(self.config), hasattr(self.config, "workerinput")
        started = time.perf_counter()
        try:
            with _time_limit(self.claim.limit, in_worker=in_worker):
                self.result = execute(self.claim, self.subject, conditions)
        except TimeLimit:
            self.result = self._crashed(hung(self.claim.limit), time.perf_counter() - started)
        except KeyboardInterrupt as error:
            if isinstance(error, Interrupted) or not in_worker:
                raise
            self.result = self._crashed("raised KeyboardInterrupt", time.perf_counter() - started)
        if self.result["status"] == "unsupported":
            pytest.skip(self.result["problem"])
        if self.result["status"] != "as-predicted" and not self.result["differs"]:
            raise ClaimFailed(explain(self.result))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *_: Any) -> Any:
        return (
            str(excinfo.value)
            if isinstance(excinfo.value, (ClaimFailed, AssayError))
            else super().repr_failure(excinfo)
        )

    def result_of(self, call: pytest.CallInfo[None]) -> dict[str, Any]:
        """The claim's result, also when something else than the subject went wrong."""
        if self.result is None:
            problem = f"{call.excinfo.typename}: {call.excinfo.value}" if call.excinfo else "it left no result"
            self.result = self._crashed(problem, call.duration)
        return self.result

    def _crashed(self, problem: str, seconds: float) -> dict[str, Any]:
        return crashed(self.claim, self.subject, conditions_of(self.config), problem, seconds)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, self.claim.check.__code__.co_firstlineno, self.name


def hung(limit: float) -> str:
    return f"hung: still running after its limit of {limit:g} s; make it smaller or raise limit="


def explain(result: dict[str, Any]) -> str:
    """One or two lines that say what came out, what was predicted, and how to see it again."""
    parts = [
        f"claim {result['id']} on {result['subject']} is {result['status']}: {result['verdict']}, predicted {result['expect']}"
    ]
    if result["problem"]:
        parts.append(result["problem"])
    if result["counterexample"]:
        found = result["counterexample"]
        parts.append(f"{found['fact']}: {found['measured']}, allowed {found['allowed']} (at {found['values']})")
    parts += [f"control {c['name']!r} did not turn it: {c['why']}" for c in result["controls"] if not c["turned"]]
    return "; ".join(parts) + f"\n  again: {result['reproduce']}"


class TimeLimit(BaseException):
    """The claim's own limit; no Exception, which a subject might raise or catch."""


class Interrupted(KeyboardInterrupt):
    """A signal to the process, not something that a subject raised."""


class _time_limit:  # noqa: N801 - reads as a statement
    """Raise TimeLimit after `seconds`; in a worker, end the process if even that does not help."""

    def __init__(self, seconds: float, *, in_worker: bool) -> None:
        self.seconds, self.in_worker = seconds, in_worker

    def __enter__(self) -> None:
        signal.signal(signal.SIGALRM, _alarm)
        signal.setitimer(signal.ITIMER_REAL, self.seconds)
        if self.in_worker:
            signal.signal(signal.SIGINT, _interrupt)
            faulthandler.dump_traceback_later(self.seconds + GRACE_SECONDS, exit=True)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self.in_worker:
            faulthandler.cancel_dump_traceback_later()


def _alarm(_signal: int, _frame: FrameType | None) -> None:
    raise TimeLimit


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise Interrupted


class Recorder:
    """On the controller: keeps the book, and gives a result to claims that took their process with them."""

    def __init__(self, config: pytest.Config, book: Book) -> None:
        self.config, self.book = config, book
        self.running: dict[str, float] = {}
        self.document: dict[str, Any] = {}  # what the file on disk says, once the run has ended
        self.collection_errors: list[str] = []

    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        self.book.plan(ids)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        if session.items:  # with xdist the workers collect
            self.book.plan([item.nodeid for item in session.items])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            text = str(report.longrepr).strip().splitlines()
            self.collection_errors.append(text[-1] if text else report.nodeid)

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self.running[nodeid] = time.perf_counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        result = getattr(report, "assay_result", None)
        if result is not None:
            self.book.add(result)
        died = report.failed and report.when not in ("setup", "call", "teardown")
        if died and result is None:
            self._add_crashed(report.nodeid)
        if died or report.when == "teardown":
            self.running.pop(report.nodeid, None)

    def _add_crashed(self, nodeid: str) -> None:
        path, _, name = nodeid.partition("::")
        claim_name, _, subject_name = name.rstrip("]").partition("[")
        here = load_config(Path(self.config.rootpath))
        parts = (Path(self.config.rootpath) / path).resolve().relative_to(here.claims_folder).with_suffix("").parts
        claim = next(c for c in claims_in(".".join((here.claims, *parts))) if c.name == claim_name)
        subject = choose_subjects([subject_name], here.subjects)[0]
        seconds = time.perf_counter() - self.running.get(nodeid, time.perf_counter())
        problem = (
            hung(claim.limit)
            if seconds >= claim.limit
            else "its process died: killed, out of memory, or a crash in native code"
        )
        self.book.add(crashed(claim, subject, conditions_of(self.config), problem, seconds))

    def pytest_sessionfinish(self) -> None:
        self.document = self.book.finish()
