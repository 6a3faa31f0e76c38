"""The ledger: every statement of the documents, and how the verdicts of its claims become its own.

No verdict stands in the ledger. Coverage and verdicts are computed from the claims of a run.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from assay.claim import CORRECTION, STATEMENT_ID, Claim
from assay.errors import LedgerError

Result = Mapping[str, Any]
REQUIRED = {
    "id": str, "document": str, "question": int, "topic": str, "statement": str, "kind": str, "executable": bool,
}  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """A sentence of a document in our words; `reason` says why it is not executable; `related` repeats or contradicts it."""

    id: str
    document: str
    question: int
    topic: str
    statement: str
    kind: str
    executable: bool
    reason: str = ""
    related: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ledger:
    """All statements in the documents' order, and the titles of documents and questions."""

    statements: Mapping[str, Statement]
    documents: Mapping[str, Any] = field(default_factory=dict)

    def topic_of(self, statement_id: str) -> str:
        statement = self.statements.get(statement_id)
        if statement is None:
            raise LedgerError(
                f"statement {statement_id} is not in the ledger; add it to claims/ledger.yaml or mend the claim's id"
            )
        return statement.topic


def load_ledger(path: Path) -> Ledger:
    """Read and check the ledger; says which entry is wrong."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LedgerError(f"ledger {path.name} cannot be read: {str(error).splitlines()[0]}; mend the file") from error
    if not isinstance(document, dict) or not isinstance(document.get("statements"), list):
        raise LedgerError(f"ledger {path.name} has no list of statements; expected the keys documents and statements")
    statements: dict[str, Statement] = {}
    for position, entry in enumerate(document["statements"]):
        statement = _statement(entry, position)
        if statement.id in statements:
            raise LedgerError(f"ledger entry {statement.id} stands twice; remove one")
        statements[statement.id] = statement
    return Ledger(statements, _documents(document.get("documents", {})))


def _documents(documents: Any) -> Mapping[str, Any]:
    entries = documents.items() if isinstance(documents, dict) else [("documents", documents)]
    for key, entry in entries:
        titled = isinstance(entry, dict) and isinstance(entry.get("title"), str)
        if not titled or not isinstance(entry.get("questions"), dict):
            raise LedgerError(
                f"ledger document {key} is malformed: {entry!r}, expected a title and its questions by number"
            )
    return dict(entries)


def _statement(entry: Any, position: int) -> Statement:
    missing = [key for key in REQUIRED if not isinstance(entry, dict) or key not in entry]
    if missing:
        raise LedgerError(f"ledger entry {position + 1} lacks {', '.join(missing)}; expected {', '.join(REQUIRED)}")
    mistyped = [key for key, wanted in REQUIRED.items() if type(entry[key]) is not wanted or entry[key] == ""]
    if mistyped:
        key = mistyped[0]
        raise LedgerError(
            f"ledger entry {position + 1} has {key}: {entry[key]!r}, expected {REQUIRED[key].__name__}; mend {key}"
        )
    if not re.fullmatch(STATEMENT_ID, entry["id"]):
        raise LedgerError(f"ledger entry {position + 1} has id: {entry['id']!r}, expected the form gfg-16.2; mend id")
    unknown = set(entry) - {*REQUIRED, "reason", "related"}
    if unknown:
        raise LedgerError(f"ledger entry {entry['id']} has unknown keys: {', '.join(sorted(unknown))}")
    if not entry["executable"] and not entry.get("reason"):
        raise LedgerError(f"ledger entry {entry['id']} is not executable and gives no reason; add reason")
    return Statement(**{**entry, "related": tuple(entry.get("related", ()))})


def deciding_claims(claims: Iterable[Claim]) -> dict[str, dict[str, str]]:
    """For each statement the claims that decide it, run or not: claim id -> reading."""
    deciding: dict[str, dict[str, str]] = {}
    for claim in claims:
        for sid in claim.statements if claim.reading != CORRECTION else ():
            deciding.setdefault(sid, {})[claim.id] = claim.reading
    return deciding


def judge(
    statement: Statement, claims: Iterable[Result], deciding_subject: str, known: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The statement's line in results.json, computed from the results of its claims on the deciding subject.

    `known` holds all claims that decide it (id -> reading): a statement of which one did not run is undecided.
    """
    mine = [c for c in claims if c["subject"] == deciding_subject]
    deciding = [c for c in mine if c["reading"] != CORRECTION]
    ran = {c["id"] for c in deciding}
    missing = {cid: reading for cid, reading in (known or {}).items() if cid not in ran}
    verdict, reason = _verdict(statement, deciding, len(missing))
    return {
        "id": statement.id, "document": statement.document, "question": statement.question, "topic": statement.topic,
        "statement": statement.statement, "kind": statement.kind, "executable": statement.executable,
        "verdict": verdict, "reason": reason, "correct": _correct(deciding, verdict),
        "readings": _readings(deciding, set(missing.values())), "claims": list(dict.fromkeys(c["id"] for c in mine)),
        "not_run": list(missing), "related": list(statement.related),
    }  # fmt: skip


def _verdict(statement: Statement, deciding: list[Result], missing: int) -> tuple[str, str]:
    if not statement.executable:
        return "not-executable", statement.reason
    if missing:
        return "undecided", f"not run: {missing} of its {missing + len(deciding)} claims"
    if not deciding:
        return "undecided", "no claim yet"
    verdicts = {reading: _of_reading(claims) for reading, claims in _by_reading(deciding).items()}
    if "undecided" in verdicts.values():
        return "undecided", _why_undecided(deciding)
    if len(set(verdicts.values())) > 1:
        return "ambiguous", "; ".join(f"{reading}: {_words(verdict)}" for reading, verdict in verdicts.items())
    verdict = next(iter(verdicts.values()))
    return verdict, _conditions(deciding) if verdict == "conditional" else ""


def _by_reading(claims: list[Result]) -> dict[str, list[Result]]:
    readings: dict[str, list[Result]] = {}
    for claim in claims:
        readings.setdefault(claim["reading"], []).append(claim)
    return readings


def _of_reading(claims: list[Result]) -> str:
    """One reading: all hold, or all refuted, or parts of the domain that differ; a claim refuted without a named part refutes it all."""
    if any(_is_open(c) for c in claims):
        return "undecided"
    verdicts = {c["verdict"] for c in claims}
    if len(verdicts) == 1:
        return str(next(iter(verdicts)))
    if any(c["verdict"] == "refuted" and not c["covers"] for c in claims):
        return "refuted"
    return "conditional"


def _is_open(claim: Result) -> bool:
    """Whether it decides nothing: a claim that could not have come out otherwise says nothing either."""
    status = claim.get("status", "")  # a recorded verdict has none
    return claim["verdict"] in ("inconclusive", "unsupported") or status in ("toothless", "error")


def _why_undecided(claims: list[Result]) -> str:
    return "; ".join(f"{c['name']}: {_why_open(c)}" for c in claims if _is_open(c))


def _why_open(claim: Result) -> str:
    toothless = "toothless, a control did not turn its verdict" if claim.get("status") == "toothless" else ""
    return claim["problem"] or toothless or "the evidence did not decide"


def _conditions(claims: list[Result]) -> str:
    """One line a part: where it holds under a condition, for what it holds, for what it is refuted; by reading if there are several."""
    readings = _by_reading(claims)
    lines = [
        f"{reading}: {part}" if len(readings) > 1 else part
        for reading in readings
        for part in _parts(readings[reading])
    ]
    return "\n".join(f"{line[:1].upper()}{line[1:].rstrip('.')}." for line in lines)


def _parts(claims: list[Result]) -> list[str]:
    parts = [f"holds where {c['boundary']}" for c in claims if c["verdict"] == "conditional"]
    for verdict in ("holds", "refuted"):
        covered = dict.fromkeys(c["covers"] for c in claims if c["verdict"] == verdict and c["covers"])
        parts += [f"{verdict}: {'; '.join(covered)}"] if covered else []
    return list(dict.fromkeys(parts))


def _correct(claims: list[Result], verdict: str) -> str:
    """What is true instead: said by the claims that were refuted in this run."""
    if verdict in ("holds", "undecided", "not-executable"):
        return ""
    return " ".join(dict.fromkeys(c["instead"] for c in claims if c["verdict"] == "refuted" and c["instead"]))


def _readings(claims: list[Result], incomplete: set[str]) -> list[dict[str, Any]]:
    """Each reading that ran, with its own verdict; one of which a claim is missing has none."""
    return [
        {
            "reading": reading,
            "verdict": "undecided" if reading in incomplete else _of_reading(group),
            "claims": [c["id"] for c in group],
        }
        for reading, group in _by_reading(claims).items()
    ]


def _words(verdict: str) -> str:
    return {"conditional": "holds under conditions", "ambiguous": "depends on the reading"}.get(verdict, verdict)
