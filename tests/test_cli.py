"""The command line as a user meets it: exit status, one clear line for bad use, partial results, crashes that do not spread."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.project import GOOD, LEDGER, assay, claim_source, make, run

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
    assert all((tmp_path / "p" / "reports" / name).is_file() for name in ("index.html", "junit.xml"))


@pytest.mark.parametrize(
    ("name", "body", "header", "status", "problem"),
    [
        ("wrong", "return equal(lib.double(1), 3, what='sum')", "", "surprising", ""),
        ("vacuous", "lib.double(1); return equal(1, 1, what='one')", "", "toothless", ""),
        ("raises", "return {}['x']", "", "error", "KeyError"),
        ("hangs", "time.sleep(60)", "limit=1", "error", "hung"),
        ("dies", "os.kill(os.getpid(), signal.SIGKILL)", "", "error", "process died"),
        ("greedy", "torch.zeros(1 << 33); return equal(lib.double(1), 2, what='sum')", "", "error", "memory"),
    ],
)
def test_a_bad_claim_is_reported_as_what_it_is_and_the_others_go_on(
    tmp_path: Path, name: str, body: str, header: str, status: str, problem: str
) -> None:
    code, results, output = run(make(tmp_path / "p", claim_source(name, body, header), GOOD), "--memory", "3000")
    assert code == 1, output
    assert statuses(results) == {name: status, "twice_is_even": "as-predicted"}
    assert problem in next(c["problem"] for c in results["claims"] if c["name"] == name)
    assert name in output


def test_a_claim_stuck_in_native_code_is_ended_by_the_watchdog(tmp_path: Path) -> None:
    stuck = claim_source("stuck", "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]); time.sleep(60)", "limit=1")
    code, results, _ = run(make(tmp_path / "p", stuck, GOOD))
    assert code == 1
    assert statuses(results) == {"stuck": "error", "twice_is_even": "as-predicted"}
    assert "hung" in next(c["problem"] for c in results["claims"] if c["name"] == "stuck")


def test_a_killed_run_leaves_a_readable_file_that_says_it_is_partial(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", GOOD, claim_source("slow", "time.sleep(60); return equal(1, 1, what='one')"))
    process = subprocess.Popen(
        [sys.executable, "-m", "assay.cli", "run", "--subject", "reference", "--workers", "1"],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    path = folder / "reports" / "results.json"
    deadline = time.monotonic() + 60
    while not path.is_file() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    results = json.loads(path.read_text())
    assert results["run"]["partial"] is True
    assert statuses(results) == {"twice_is_even": "as-predicted"}


def test_bad_use_is_one_clear_line_and_exit_two(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", GOOD)
    cases = {
        ("run", "gfg-1.9"): "gfg-1.1",
        ("run", "twice_is_odd"): "twice_is_even",
        ("run", "gfg-1.2"): "no claim yet",
        ("run", "--subject", "referense"): "reference",
        ("run", "--topic", "ring"): "rings",
        ("run", "--device", "tpu"): "cpu or cuda",
        ("run", "--seed", "many"): "many",
        ("run", "--subject", "reference", "-k", "nothing_at_all"): "no claim",
        ("show", "gfg-1.8"): "gfg-1.1",
        ("list", "--topic", "x"): "rings",
        ("diff", "a.json", "b.json"): "a.json",
        ("report", "missing.json"): "missing.json",
        ("frobnicate",): "frobnicate",
    }  # fmt: skip
    for arguments, expected in cases.items():
        done = assay(folder, *arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert len(done.stderr.strip().splitlines()) == 1, (arguments, done.stderr)
        assert expected in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_without_one_is_one_clear_line(tmp_path: Path) -> None:
    done = assay(make(tmp_path / "p", GOOD), "run", "--subject", "reference", "--device", "cuda")
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    assert "--device cpu" in done.stderr


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (GOOD.replace('expect=HOLDS', 'expect="yes"'), "write HOLDS"),
        (GOOD.replace("gfg-1.1", "gfg-9.9"), "not in the ledger"),
        (GOOD + GOOD, "twice_is_even"),
        ("def broken(:\n", "rings.py"),
        ("import nowhere_to_be_found\n", "nowhere_to_be_found"),
    ],
)
def test_a_broken_claim_file_is_one_clear_line(tmp_path: Path, source: str, expected: str) -> None:
    done = assay(make(tmp_path / "p", source), "run", "--subject", "reference")
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert expected in done.stderr


def test_a_broken_ledger_is_one_clear_line(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", GOOD)
    (folder / "exam_claims" / "ledger.yaml").write_text(LEDGER.replace("topic: rings, ", "", 1))
    done = assay(folder, "run", "--subject", "reference")
    assert (done.returncode, len(done.stderr.strip().splitlines())) == (2, 1)
    assert "topic" in done.stderr


def test_same_numbers_alone_in_parallel_and_in_any_order(tmp_path: Path) -> None:
    noisy = claim_source(
        "noisy", "return trial.mean(lambda n, g: lib.double(torch.randn(n, generator=g)) , 0.0, detects=0.2, spread=2.0, what='mean')"
    ).replace("def noisy(lib)", "def noisy(lib, trial)")
    folder = make(tmp_path / "p", noisy, GOOD, claim_source("other", "return equal(lib.double(1), 2, what='sum')"))

    def numbers(*arguments: str) -> dict:
        code, results, output = run(folder, *arguments)
        assert code == 0, output
        return {c["id"]: {k: v for k, v in c.items() if k != "seconds"} for c in results["claims"]}

    together = numbers("--workers", "2")
    alone = numbers("gfg-1.1:noisy", "--workers", "1")
    assert alone["gfg-1.1:noisy"] == together["gfg-1.1:noisy"]


def test_recorded_verdicts_notice_drift(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", GOOD)
    assert run(folder, "--record")[0] == 0
    record = folder / "exam_claims" / "recorded.json"
    record.write_text(record.read_text().replace("holds", "refuted"))
    code, _, output = run(folder)
    assert code == 0
    assert "was refuted, is holds" in output


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
