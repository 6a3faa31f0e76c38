"""results.json: written as results come, so that a killed run leaves a readable file that says it is partial."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from assay.claim import Claim
from assay.errors import UsageError
from assay.ledger import Ledger, deciding_claims, judge
from assay.measure import Conditions

Result = dict[str, Any]
LIBRARIES = ("assay", "torch", "numpy", "scipy", "hypothesis", "z3-solver", "sympy", "pytest")
WRITE_EVERY_SECONDS = 1.0
RUN_BOUND = 1e-4


def environment(device: str) -> dict[str, str]:
    """What a reader needs to redo the run: Python, libraries, platform, device."""
    versions = {name: metadata.version(name) for name in LIBRARIES if _installed(name)}
    name = torch.cuda.get_device_name(0) if device == "cuda" else platform.machine()
    return {"python": platform.python_version(), "platform": sys.platform, "device_name": name, **versions}


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


class Book:
    """Collects the results of a run and keeps the file on disk up to date."""

    def __init__(
        self,
        path: Path,
        ledger: Ledger,
        claims: Mapping[str, Claim],
        subjects: list[str],
        conditions: Conditions,
    ) -> None:
        self.path, self.ledger, self.subjects, self.conditions = path, ledger, subjects, conditions
        self.results: dict[tuple[str, str], Result] = {}
        self.total = self.selected = 0
        self._deciding, self._known = deciding_claims(claims.values()), len(claims)
        self._order = {name: place for names in (ledger.statements, claims) for place, name in enumerate(names)}
        self._environment = environment(conditions.device)
        self._started, self._clock, self._written = time.time(), time.perf_counter(), 0.0

    def plan(self, items: Sequence[str]) -> None:
        """What pytest collected: an item is a claim on a subject, named `claim[subject]`."""
        self.total, self.selected = len(items), len({item.rpartition("[")[0] for item in items})

    def add(self, result: Result) -> None:
        """Record one result; the file follows within a second."""
        self.results[result["id"], result["subject"]] = result | {"topic": self.ledger.topic_of(result["statement_id"])}
        if time.perf_counter() - self._written > WRITE_EVERY_SECONDS:
            self.write(partial=True)

    def finish(self) -> Result:
        """The last word: corrections are checked against the claims that named them, and the file is no longer partial."""
        check_corrections(self.results)
        interrupted = not self.total  # before anything was collected
        return self.write(partial=interrupted or len(self.results) < self.total)

    def write(self, *, partial: bool) -> Result:
        document = self.document(partial=partial)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".json.part")
        draft.write_text(json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False), encoding="utf-8")
        os.replace(draft, self.path)
        self._written = time.perf_counter()
        return document

    def _place(self, result: Result) -> tuple[int, int, int]:
        """Statements in the order of the ledger, the claims of one in the order of their file: a reading may refer to the one above."""
        return (self._order[result["statement_id"]], self._order[result["id"]], self.subjects.index(result["subject"]))

    def document(self, *, partial: bool) -> Result:
        claims = sorted(self.results.values(), key=self._place)
        by_statement: dict[str, list[Result]] = {}
        for claim in claims:
            for sid in (claim["statement_id"], *claim["also"]):
                by_statement.setdefault(sid, []).append(claim)
        return {
            "run": {
                "seed": self.conditions.seed, "device": self.conditions.device, "subjects": self.subjects, "examples": self.conditions.examples,
                "wall_seconds": round(time.perf_counter() - self._clock, 3),
                "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._started)),
                "false_alarm_bound": sum(c["false_alarm"] for c in claims),
                "environment": self._environment, "partial": partial, "total_claims": self.total,
                "selected_claims": self.selected, "known_claims": self._known,
            },
            "documents": self.ledger.documents,
            "statements": [
                judge(s, by_statement.get(s.id, []), self.subjects[0], self._deciding.get(s.id))
                for s in self.ledger.statements.values()
            ],
            "claims": claims,
        }  # fmt: skip


def check_corrections(results: dict[tuple[str, str], Result]) -> None:
    """A refuted claim counts only with a correction that holds on the same subject; otherwise it is surprising."""
    by_name = {(result["name"], result["subject"]): result for result in results.values()}
    for result in results.values():
        correction = by_name.get((result["by"], result["subject"]))
        if result["status"] != "as-predicted" or correction is None:
            continue
        if correction["verdict"] not in ("holds", "conditional", "unsupported"):
            result["status"] = "surprising"
            result["problem"] = f"its correction {result['by']} does not hold: {correction['verdict']}"


def load_record(path: Path) -> dict[str, str]:
    """The verdicts of an earlier run, by claim id and subject; empty where none was recorded."""
    if not path.is_file():
        return {}
    try:
        record: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"record {path.name} cannot be read: {error}; delete it, or write it with --record") from error
    return record


def record_of(document: Result) -> dict[str, str]:
    """What --record writes: the measured verdict of every claim on every subject. Deleting it loses nothing."""
    return {f"{c['id']} on {c['subject']}": c["verdict"] for c in document["claims"] if c["status"] != "error"}


def asked_for_all(run: Result) -> bool:
    """Whether a run was not limited to some of the claims; one from before that was written down was not."""
    return bool(run.get("selected_claims") == run.get("known_claims"))


def updated(record: dict[str, str], document: Result) -> dict[str, str]:
    """The record after --record: a whole run replaces what was known of its subjects, so that claims which are gone leave it."""
    run = document["run"]
    whole = not run["partial"] and asked_for_all(run)
    kept = {key: was for key, was in record.items() if not (whole and key.rpartition(" on ")[2] in run["subjects"])}
    return dict(sorted((kept | record_of(document)).items()))


def drift(document: Result, record: dict[str, str]) -> list[str]:
    """One line for every claim whose verdict differs from the recorded one."""
    now = record_of(document)
    return [f"{key}: was {record[key]}, is {now[key]}" for key in now if key in record and record[key] != now[key]]
