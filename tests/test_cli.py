"""The command line as a user meets it: exit status, one clear line for bad use, partial results, crashes that do not spread."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.ledger import load_ledger
from assay.measure import Conditions
from assay.report.page import build, unchecked
from assay.report.schema import validate
from assay.results import Book
from tests.project import GOOD, LEDGER, assay, claim_source, in_process, make, run
from tests.report import factory

ROOT = Path(__file__).parent.parent


def statuses(results: dict) -> dict[str, str]:
    return {c["name"]: c["status"] for c in results["claims"]}


def test_a_good_run_exits_zero_and_writes_everything(tmp_path: Path) -> None:
    code, results, output = run(make(tmp_path / "p", GOOD))
    assert code == 0, output
    assert statuses(results) == {"twice_is_even": "as-predicted"}
    assert {s["id"]: s["verdict"] for s in results["statements"]} == {
        "gfg-1.1": "holds", "gfg-1.2": "undecided", "gfg-1.3": "not-executable",
    }  # fmt: skip
    assert results["run"]["partial"] is False
    validate(results)
    assert all((tmp_path / "p" / "reports" / name).is_file() for name in ("index.html", "junit.xml"))


TWO_READINGS = [
    claim_source("strictly", "return equal(lib.double(1), 3, what='sum')", 'reading="strictly"')
    .replace("expect=HOLDS", 'expect=REFUTED(instead="It is two.")'),
    claim_source("loosely", "return equal(lib.double(1), 2, what='sum')", 'reading="loosely"'),
    claim_source("elsewhere", "return equal(lib.double(1), 2, what='sum')").replace("gfg-1.1", "gfg-1.4"),
]  # fmt: skip


@pytest.mark.parametrize("narrowed", [("gfg-1.1:strictly",), ("-k", "strictly")])
def test_a_run_of_a_few_claims_judges_no_statement_by_a_part_of_its_claims(
    tmp_path: Path, narrowed: tuple[str, ...]
) -> None:
    folder = make(tmp_path / "p", *TWO_READINGS)
    ledger = folder / "exam_claims" / "ledger.yaml"
    ledger.write_text(LEDGER + LEDGER.splitlines()[3].replace("gfg-1.1", "gfg-1.4") + "\n")
    done = assay(folder, "run", "--subject", "reference", *narrowed)
    results = json.loads((folder / "reports" / "results.json").read_text())
    said = {s["id"]: (s["verdict"], s["reason"]) for s in results["statements"]}
    assert said["gfg-1.1"] == ("undecided", "not run: 1 of its 2 claims")
    assert said["gfg-1.4"] == ("undecided", "not run: 1 of its 1 claims")
    assert said["gfg-1.2"] == ("undecided", "no claim yet")
    assert (results["run"]["selected_claims"], results["run"]["known_claims"]) == (1, 3)
    assert "limited to 1 of 3 claims" in done.stdout
    page = (folder / "reports" / "index.html").read_text()
    assert "limited to 1 of 3 claims" in page
    assert "1 executable statements have no claim yet" in page
    validate(results)


def test_a_run_of_a_few_claims_leaves_the_report_on_all_of_them_alone(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", GOOD, claim_source("other", "return equal(lib.double(1), 2, what='sum')"))
    reports = folder / "reports"
    first = assay(folder, "run", "other", "--subject", "reference")
    assert (reports / "results.json").is_file(), first.stderr  # nothing there to overwrite
    assert assay(folder, "run", "--subject", "reference").returncode == 0
    whole = (reports / "results.json").read_bytes()
    narrowed = assay(folder, "run", "other", "--subject", "reference")
    assert "reports/selection/index.html" in narrowed.stdout
    assert (reports / "results.json").read_bytes() == whole
    assert len(json.loads((reports / "selection" / "results.json").read_text())["claims"]) == 1
    assert assay(folder, "run", "--subject", "reference").returncode == 0
    assert (reports / "results.json").read_bytes() != whole


BAD = {
    "wrong": ("return equal(lib.double(1), 3, what='sum')", "", "surprising", ""),
    "vacuous": ("lib.double(1); return equal(1, 1, what='one')", "", "toothless", ""),
    "raises": ("return {}['x']", "", "error", "KeyError"),
    "hangs": ("time.sleep(600)", "limit=2", "error", "hung"),
    "stuck": (
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]); time.sleep(600)",
        "limit=2",
        "error",
        "hung",
    ),
    "dies": ("os.kill(os.getpid(), signal.SIGKILL)", "", "error", "process died"),
    "interrupts": ("raise KeyboardInterrupt", "", "error", "raised KeyboardInterrupt"),
    "times_out": ("raise TimeoutError('no answer')", "", "error", "TimeoutError: no answer"),
    "greedy": ("torch.zeros(1 << 33); return equal(lib.double(1), 2, what='sum')", "", "error", "memory"),
}


def test_bad_claims_are_reported_as_what_they_are_and_the_others_go_on(tmp_path: Path) -> None:
    """Wrong, vacuous, raising, hanging, stuck in native code, killed, out of memory: each is named, none takes another along."""
    claims = [claim_source(name, body, header) for name, (body, header, _, _) in BAD.items()]
    code, results, output = run(make(tmp_path / "p", *claims, GOOD), "--memory", "3000", "--workers", "2")
    assert code == 1, output
    assert statuses(results) == {
        "twice_is_even": "as-predicted",
        **{name: status for name, (_, _, status, _) in BAD.items()},
    }
    problems = {c["name"]: c["problem"] for c in results["claims"]}
    assert all(problem in problems[name] for name, (_, _, _, problem) in BAD.items()), problems
    assert all(name in output for name in BAD)
    validate(results)


def test_more_claims_may_die_than_a_worker_is_usually_restarted(tmp_path: Path) -> None:
    """pytest-xdist gives up after four restarts for each worker, which one role that crashes would use up."""
    dying = [claim_source(f"dies_{k}", "os._exit(3)") for k in range(5)]
    good = claim_source("last", "return equal(lib.double(1), 2, what='sum')")
    code, results, output = run(make(tmp_path / "p", *dying, good), "--workers", "1")
    assert code == 1, output
    assert statuses(results) == {"last": "as-predicted", **{f"dies_{k}": "error" for k in range(5)}}
    assert results["run"]["partial"] is False


def test_a_killed_run_leaves_a_readable_file_that_says_it_is_partial(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", GOOD, claim_source("slow", "time.sleep(60); return equal(1, 1, what='one')"))
    (folder / "reports").mkdir()
    for stale in ("results.json", "index.html", "junit.xml"):
        (folder / "reports" / stale).write_text('{"run": {"partial": false}}')
    process = subprocess.Popen(
        [sys.executable, "-m", "assay.cli", "run", "--subject", "reference", "--workers", "1"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    path = folder / "reports" / "results.json"
    deadline = time.monotonic() + 120
    while "as-predicted" not in path.read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    results = json.loads(path.read_text())
    assert not (folder / "reports" / "index.html").exists()
    assert results["run"]["partial"] is True
    validate(results)
    assert statuses(results) == {"twice_is_even": "as-predicted"}


def test_a_run_killed_before_its_first_result_leaves_no_results_of_an_earlier_one(tmp_path: Path) -> None:
    book = Book(
        tmp_path / "results.json",
        load_ledger(make(tmp_path / "p") / "exam_claims" / "ledger.yaml"),
        {},
        ["s"],
        Conditions(seed=7),
    )
    (tmp_path / "results.json").write_text("an earlier run")
    book.write(partial=True)
    assert book.finish()["run"]["partial"]
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["run"]["partial"], results["run"]["seed"], results["claims"]) == (True, 7, [])
    validate(results)
    assert any("ended early" in line for line in unchecked(build(results)))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("run", "gfg-1.9", "--subject", "reference"), "gfg-1.1"),
        (("run", "twice_is_odd", "--subject", "reference"), "twice_is_even"),
        (("run", "gfg-1.2", "--subject", "reference"), "no claim yet"),
        (("run", "--subject", "referense"), "reference"),
        (("run", "--subject", "reference", "--topic", "ring"), "rings"),
        (("run", "--device", "tpu"), "cpu or cuda"),
        (("run", "--seed", "many"), "--seed"),
        (("run", "--subject", "reference", "--subject", "reference"), "named twice"),
        (("run", "--subject", "reference", "-k", "((("), "no expression"),
        (("run", "--subject", "reference", "--out", "pyproject.toml"), "pyproject.toml cannot be written"),
        (("run", "--examples", "0"), "--examples"),
        (("show", "gfg-1.8"), "gfg-1.1"),
        (("list", "--topic", "x"), "rings"),
        (("diff", "a.json", "b.json"), "a.json"),
        (("report", "missing.json"), "missing.json"),
        (("report", "missing.json", "--out", "x.pdf"), ".html"),
        (("frobnicate",), "frobnicate"),
    ],
)
def test_bad_use_is_one_clear_line_and_exit_two(
    tmp_path: Path, capsys: Any, monkeypatch: Any, arguments: tuple[str, ...], expected: str
) -> None:
    code, complaint = in_process(make(tmp_path / "p", GOOD), capsys, monkeypatch, *arguments)
    assert code == 2
    assert len(complaint.strip().splitlines()) == 1, complaint
    assert expected in complaint


def test_a_keyword_that_matches_nothing_is_one_clear_line(tmp_path: Path) -> None:
    done = assay(make(tmp_path / "p", GOOD), "run", "--subject", "reference", "-k", "nothing_at_all", "--workers", "1")
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1), done.stderr
    assert "no claim" in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_without_one_is_one_clear_line(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    code, complaint = in_process(make(tmp_path / "p", GOOD), capsys, monkeypatch, "run", "--device", "cuda")
    assert (code, len(complaint.strip().splitlines())) == (2, 1)
    assert "--device cpu" in complaint


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (GOOD.replace("expect=HOLDS", 'expect="yes"'), "write HOLDS"),
        (GOOD.replace("gfg-1.1", "gfg-9.9"), "not in the ledger"),
        (GOOD + GOOD, "twice_is_even"),
        ("def broken(:\n", "rings.py"),
        ("import nowhere_to_be_found\n", "nowhere_to_be_found"),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0"),
        ("import sys\nsys.exit()\n", "SystemExit: no message"),
        (GOOD.replace("double", "dubble"), "nearest: double"),
        (
            GOOD.replace("expect=HOLDS", 'expect=HOLDS, differs={"torsh": "by design"}'),
            "subject that does not exist: torsh",
        ),
        (GOOD.replace("gfg-1.1", "gfg-1.3"), "not executable: it is a name"),
    ],
)
def test_a_broken_claim_file_is_one_clear_line(
    tmp_path: Path, capsys: Any, monkeypatch: Any, source: str, expected: str
) -> None:
    code, complaint = in_process(make(tmp_path / "p", source), capsys, monkeypatch, "run", "--subject", "reference")
    assert (code, len(complaint.strip().splitlines())) == (2, 1), complaint
    assert expected in complaint


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("exam_subjects/own.py", b"import sys\nsys.exit(0)\n", "SystemExit: 0"),
        ("exam_claims/recorded.json", b"{broken", "recorded.json cannot be read"),
        ("exam_claims/ledger.yaml", b"\xff\xfe", "ledger.yaml cannot be read"),
        ("pyproject.toml", b"[[[", "pyproject.toml cannot be read"),
        (
            "pyproject.toml",
            b'[tool.assay]\nclaims = "exam_claims"\nsubjects = "nowhere"\n',
            "package nowhere was not found",
        ),
    ],
)
def test_a_broken_file_of_the_project_is_one_clear_line(
    tmp_path: Path, capsys: Any, monkeypatch: Any, file: str, content: bytes, expected: str
) -> None:
    folder = make(tmp_path / "p", GOOD)
    (folder / file).write_bytes(content)
    code, complaint = in_process(folder, capsys, monkeypatch, "run", "--subject", "reference")
    assert (code, len(complaint.strip().splitlines())) == (2, 1), complaint
    assert expected in complaint
    assert not (folder / "reports").exists()


def test_a_report_makes_its_folder_and_says_where_it_cannot(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    folder = make(tmp_path / "p", GOOD)
    (folder / "results.json").write_text(json.dumps(factory.synthetic(5)))
    assert in_process(folder, capsys, monkeypatch, "report", "results.json", "--out", "new/x.md") == (0, "")
    assert (folder / "new" / "x.md").is_file()
    code, complaint = in_process(folder, capsys, monkeypatch, "report", "results.json", "--out", "results.json/x.md")
    assert (code, len(complaint.strip().splitlines())) == (2, 1), complaint
    assert "cannot be written" in complaint


def test_a_broken_ledger_is_one_clear_line(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    folder = make(tmp_path / "p", GOOD)
    (folder / "exam_claims" / "ledger.yaml").write_text(LEDGER.replace("topic: rings, ", "", 1))
    code, complaint = in_process(folder, capsys, monkeypatch, "run", "--subject", "reference")
    assert (code, len(complaint.strip().splitlines())) == (2, 1)
    assert "topic" in complaint


def test_same_numbers_alone_in_parallel_and_in_any_order(tmp_path: Path) -> None:
    noisy = claim_source(
        "noisy",
        "return trial.mean(lambda n, g: lib.double(torch.randn(n, generator=g)) , 0.0, detects=0.2, spread=2.0, what='mean')",
    ).replace("def noisy(lib)", "def noisy(lib, trial)")
    folder = make(tmp_path / "p", noisy, GOOD, claim_source("other", "return equal(lib.double(1), 2, what='sum')"))

    def numbers(*arguments: str) -> dict:
        code, results, output = run(folder, *arguments)
        assert code == 0, output
        return {c["id"]: {k: v for k, v in c.items() if k != "seconds"} for c in results["claims"]}

    together = numbers("--workers", "2")
    assert [cid.partition(":")[2] for cid in together] == ["noisy", "twice_is_even", "other"]  # the order of the file
    alone = numbers("gfg-1.1:noisy", "--workers", "1")
    assert alone["gfg-1.1:noisy"] == together["gfg-1.1:noisy"]


def test_a_whole_run_forgets_claims_that_are_gone_and_a_narrowed_one_keeps_the_rest(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", GOOD, claim_source("other", "return equal(lib.double(1), 2, what='sum')"))
    record = folder / "exam_claims" / "recorded.json"
    older = {"gfg-1.1:gone on reference": "holds", "gfg-1.1:gone on another": "holds"}
    record.write_text(json.dumps(older))
    assert run(folder, "gfg-1.1:other", "--record")[0] == 0
    assert json.loads(record.read_text()) == {**older, "gfg-1.1:other on reference": "holds"}
    assert run(folder, "--record")[0] == 0
    left = {"gfg-1.1:gone on another", "gfg-1.1:other on reference", "gfg-1.1:twice_is_even on reference"}
    assert set(json.loads(record.read_text())) == left


def test_recorded_verdicts_notice_drift(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", GOOD)
    assert run(folder, "--record")[0] == 0
    record = folder / "exam_claims" / "recorded.json"
    record.write_text(record.read_text().replace("holds", "refuted"))
    code, _, output = run(folder)
    assert code == 0
    assert "was refuted, is holds" in output


def test_pytest_finds_the_claims_that_failed_last(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", GOOD, claim_source("wrong", "return equal(lib.double(1), 3, what='sum')"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pytest", "exam_claims", "-q"]
    for more, expected in ((), "1 failed, 1 passed"), (("--lf", "--co"), "wrong[reference]\n\n1 test collected"):
        done = subprocess.run(
            [*command, *more], cwd=folder, capture_output=True, text=True, env=environment, check=False
        )
        assert expected in done.stdout


def test_claims_are_pytest_items(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", GOOD, claim_source("wrong", "return equal(lib.double(1), 3, what='sum')"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "exam_claims", "-k", "wrong or twice", "-p", "no:cacheprovider", "--junitxml=j.xml"],
        cwd=folder, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    assert "sum: 1.0, allowed 0.0" in done.stdout
    assert "Traceback" not in done.stdout
