"""The pytest plugin: a claim on a subject is a pytest item, so -k, -n, --lf, --junitxml and timeouts come with pytest.

Inert outside the claims folder, and light: torch is imported only when there is a claim to collect.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from assay.config import Config, load_config
from assay.errors import AssayError

CONFIG = pytest.StashKey[Config]()


@pytest.fixture
def assert_gradients() -> Callable[..., Any]:
    """`assay.assert_gradients`, for tests that would rather not import it."""
    from assay.gradients import assert_gradients as check

    return check


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("assay", "claims about deep learning")
    group.addoption(
        "--assay-subject",
        action="append",
        default=[],
        help="subject to put under the claims (may be given several times)",
    )
    group.addoption("--assay-seed", type=int, default=0, help="seed of the run")
    group.addoption("--assay-device", default="cpu", help="cpu or cuda")
    group.addoption("--assay-examples", type=int, default=100, help="examples of each property-tested claim")
    group.addoption("--assay-results", default="", help="write results.json here")
    group.addoption("--assay-select", default="", help="JSON list of claim ids to run")
    group.addoption("--assay-memory", type=int, default=0, help="MiB of data that a worker may hold; 0 for no limit")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CONFIG] = load_config(Path(config.rootpath))
    in_worker = hasattr(config, "workerinput")
    if config.getoption("--assay-results") and not in_worker:
        try:
            _keep_book(config)
        except AssayError as error:
            raise pytest.UsageError(str(error)) from error
    megabytes = config.getoption("--assay-memory")
    if megabytes and in_worker:
        resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))


def _keep_book(config: pytest.Config) -> None:
    from assay.items import Recorder, conditions_of
    from assay.ledger import load_ledger
    from assay.registry import load_claims
    from assay.results import Book

    here = config.stash[CONFIG]
    names = config.getoption("--assay-subject") or ["reference"]
    path = Path(config.getoption("--assay-results"))
    claims = load_claims(here.claims_folder, here.claims)
    book = Book(path, load_ledger(here.ledger), claims, names, conditions_of(config))
    book.write(partial=True)  # a run that is killed now must not leave the results of an earlier one
    config.pluginmanager.register(Recorder(config, book), "assay-recorder")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if (
        file_path.suffix != ".py"
        or file_path.name == "__init__.py"
        or not _holds_claims(file_path, parent.config.stash[CONFIG])
    ):
        return None
    from assay.items import ClaimFile

    return ClaimFile.from_parent(parent, path=file_path)


def _holds_claims(path: Path, config: Config) -> bool:
    try:
        return config.claims_folder in path.resolve().parents
    except AssayError:
        return False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call" and hasattr(item, "result_of"):
        vars(report)["assay_result"] = item.result_of(call)
    return report
