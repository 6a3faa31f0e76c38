"""Results for other programs: a CSV of the statements, and SARIF with the claims that fail the run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from assay.report import page as pages
from assay.report.terminal import reason
from assay.report.words import STATUSES

COLUMNS = (
    "id",
    "document",
    "question",
    "topic",
    "kind",
    "statement",
    "verdict",
    "reason",
    "correct",
    "claims",
    "grades",
    "subjects",
)
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def statements_csv(results: Mapping[str, Any]) -> str:
    """One line a statement; a text that a spreadsheet would take for a formula gets a leading apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in pages.build(results).entries:
        subjects = [name for name in entry.subjects if not name.startswith("*")]
        lists = {"claims": entry.statement["claims"], "grades": entry.grades, "subjects": subjects}
        row = {**entry.statement, **{name: " ".join(values) for name, values in lists.items()}}
        writer.writerow([_plain(row[column]) for column in COLUMNS])
    return out.getvalue()


def _plain(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_SIGNS) else value


def sarif(results: Mapping[str, Any]) -> str:
    """SARIF 2.1.0 with one result for each claim that is surprising, toothless or in error."""
    failing = pages.build(results).trouble
    rules = {claim["id"]: {"id": claim["id"], "shortDescription": {"text": claim["sentence"]}} for claim in failing}
    driver = {
        "name": "Assay",
        "version": results["run"]["environment"].get("assay", "0"),
        "rules": list(rules.values()),
    }
    positions = {claim_id: position for position, claim_id in enumerate(rules)}
    found = [_sarif_result(claim, positions[claim["id"]]) for claim in failing]
    document = {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": found}]}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _sarif_result(claim: Mapping[str, Any], position: int) -> dict[str, Any]:
    name = f"{claim['id']} on {claim['subject']}"
    why = f"{STATUSES[claim['status']]}; {reason(claim)}"
    said = f"{claim['sentence']} On {claim['subject']}: {why}. Again: {claim['reproduce']}"
    return {
        "ruleId": claim["id"],
        "ruleIndex": position,
        "level": "error",
        "message": {"text": said},
        "locations": [{"logicalLocations": [{"fullyQualifiedName": name, "kind": "function"}]}],
    }
