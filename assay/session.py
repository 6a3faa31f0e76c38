"""One run of claims: what was asked for, pytest underneath, progress on the terminal, files at the end."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from _pytest.mark.expression import Expression  # pytest has no public way to check an expression
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from assay.catalogue import Catalogue
from assay.claim import Claim
from assay.config import Config, load_config
from assay.errors import AssayError, ClaimError, UsageError
from assay.items import Recorder
from assay.registry import nearest
from assay.results import RUN_BOUND, asked_for_all, drift, updated
from assay.subject import choose_subjects, load_subjects

REPORTS = Path("reports")
FAILED = ("surprising", "toothless", "error")


@dataclass(frozen=True)
class Request:
    """What a run was asked to do; see `assay run --help`."""

    ids: list[str]
    keyword: str
    topics: list[str]
    subjects: list[str]
    device: str
    seed: int
    examples: int
    record: bool
    out: Path | None  # None: see `folder`
    workers: int
    memory: int

    @property
    def narrowed(self) -> bool:
        """Not all claims were asked for."""
        return bool(self.ids or self.keyword or self.topics)

    @cached_property
    def folder(self) -> Path:
        """Where the run writes: what was asked for; else reports/, but a few claims never overwrite a report on all of them."""
        if self.out is not None:
            return self.out
        return REPORTS / "selection" if self.narrowed and _holds_whole_run(REPORTS / "results.json") else REPORTS


def _holds_whole_run(path: Path) -> bool:
    """Whether these are results of a run that was not limited to some claims."""
    try:
        return asked_for_all(json.loads(path.read_text(encoding="utf-8"))["run"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def run_claims(request: Request, console: Console) -> int:
    """Run what was asked for; exit status 0 if all came out as predicted, 1 if not, 2 for bad use."""
    config = load_config()
    _check_device(request.device)
    _check_keyword(request.keyword)
    catalogue = Catalogue.load(config)
    selected = catalogue.select(request.ids, request.topics)
    if not selected:
        raise UsageError("no claim is selected: the ids, topics and keyword have none in common; see assay list")
    _check_subjects(request.subjects, [catalogue.claims[cid] for cid in selected], config)
    _clear(request.folder)
    recorder = _run_pytest(request, config, selected, console)
    if not recorder.document.get("claims"):  # interrupted before the session began, there is no document
        raise UsageError(f"no claim ran: {_why_nothing(recorder, request)}")
    return _conclude(recorder.document, request, config, dict(catalogue.record), console)


def _why_nothing(recorder: Recorder, request: Request) -> str:
    if recorder.collection_errors:
        return "; ".join(recorder.collection_errors)
    nothing_matched = request.keyword and not recorder.book.total
    return f"the keyword {request.keyword} matches none" if nothing_matched else "interrupted before the first result"


def _check_keyword(keyword: str) -> None:
    """pytest finds a wrong expression in its workers only, and there it is not said."""
    try:
        Expression.compile(keyword)
    except SyntaxError as error:
        raise UsageError(
            f"keyword {keyword!r} is no expression of pytest: {error.msg}; see assay run --help"
        ) from error


def _check_subjects(names: list[str], claims: list[Claim], config: Config) -> None:
    """The subjects are there, once each, and what the claims say of subjects names real ones."""
    choose_subjects(names, config.subjects)
    if len(set(names)) < len(names):
        raise UsageError(f"subject {names[-1]} is named twice, expected once: {', '.join(names)}")
    known = load_subjects(config.subjects)
    roles = {role for subject in known.values() for role in subject.roles}
    for claim in claims:
        for noun, words, those in (("role", claim.needs, roles), ("subject", claim.differs, set(known))):
            for word in words:
                if word not in those:
                    raise ClaimError(
                        f"claim {claim.id} names a {noun} that does not exist: {word}; nearest: {', '.join(nearest(word, those))}"
                    )


def _clear(folder: Path) -> None:
    """Make the folder of the results; a page of an earlier run must not stand beside the results of this one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("index.html", "junit.xml"):
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"folder {folder} cannot be written: {error.strerror}; give another one with --out") from error


def _check_device(device: str) -> None:
    if device not in ("cpu", "cuda"):
        raise UsageError(f"device {device} is unknown, expected cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "device cuda was asked for, but torch finds none here; use --device cpu, or install a CUDA build of torch"
        )


def _run_pytest(request: Request, config: Config, selected: list[str], console: Console) -> Recorder:
    arguments = [
        str(config.claims_folder), f"--rootdir={config.root}", "-q", "--assert=plain", "-p", "no:cacheprovider", "-W", "error",
        "-n", str(request.workers), "--dist", "worksteal",
        "--max-worker-restart", str(len(selected) * len(request.subjects)),  # each may take its process along
        f"--junitxml={request.folder / 'junit.xml'}",
        f"--assay-seed={request.seed}", f"--assay-device={request.device}", f"--assay-examples={request.examples}",
        f"--assay-results={request.folder / 'results.json'}", f"--assay-select={json.dumps(selected)}",
        f"--assay-memory={0 if request.device == 'cuda' else request.memory}",
    ]  # fmt: skip
    arguments += [f"--assay-subject={name}" for name in request.subjects]
    if request.keyword:
        arguments += ["-k", request.keyword]
    follower = _Follower(console, request.workers)
    captured = io.StringIO()
    with follower.shown(), redirect_stdout(captured):
        code = pytest.main(arguments, plugins=[follower])
    if follower.recorder is None or code in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERNAL_ERROR):
        raise AssayError(f"pytest could not run the claims (status {int(code)}): {captured.getvalue().strip()[-2000:]}")
    return follower.recorder


class _Follower:
    """Progress: claims done, running, left, and each claim that is not as predicted as soon as it is known."""

    def __init__(self, console: Console, workers: int) -> None:
        self.recorder: Recorder | None = None
        self._console = console
        self._last_said = 0
        self._progress = Progress(
            TextColumn("claims"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[now]}"),
            console=console, transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task("claims", total=None, now="")

    @contextmanager
    def shown(self) -> Iterator[None]:
        with self._progress:
            yield

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        self.recorder = config.pluginmanager.get_plugin("assay-recorder")

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._update()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: Any) -> None:
        self._update()

    def _update(self) -> None:
        if self.recorder is None:
            return
        running = [nodeid.rpartition("::")[2] for nodeid in self.recorder.running]
        done, total = len(self.recorder.book.results), self.recorder.book.total
        self._progress.update(
            self._task,
            completed=done,
            total=total or None,
            now=f"left {total - done}; running {', '.join(running[:2])}",
        )
        if not self._console.is_terminal and done and done % 50 == 0 and self._last_said != done:
            self._last_said = done
            print(f"{done} of {total} claims done", file=sys.stderr, flush=True)


def _conclude(
    document: dict[str, Any], request: Request, config: Config, record: dict[str, str], console: Console
) -> int:
    """Report, record, drift, exit status."""
    from assay.report.html import render
    from assay.report.schema import validate
    from assay.report.terminal import summary

    validate(document)
    (request.folder / "index.html").write_text(render(document), encoding="utf-8")
    summary(document, console, [request.folder / name for name in ("index.html", "results.json", "junit.xml")])
    _say_limited(document["run"], console)
    for line in drift(document, record):
        console.print(f"verdict changed: {line}", markup=False, highlight=False, soft_wrap=True)
    if request.record:
        config.record.write_text(
            json.dumps(updated(record, document), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    bound = document["run"]["false_alarm_bound"]
    if bound > RUN_BOUND:
        console.print(
            f"the run's false-alarm bound is {bound:.1e}, expected at most {RUN_BOUND:.0e}; lower ALPHA in assay/decide/trial.py"
        )
        return 1
    failed = [c for c in document["claims"] if c["status"] in FAILED and not c["differs"]]
    return 1 if failed or document["run"]["partial"] else 0


def _say_limited(run: dict[str, Any], console: Console) -> None:
    if not asked_for_all(run):
        said = f"This run was limited to {run['selected_claims']} of {run['known_claims']} claims; a statement is decided only where all of its claims ran."
        console.print(said, markup=False, highlight=False, soft_wrap=True)
