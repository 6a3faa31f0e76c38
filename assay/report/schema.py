"""The shape of results.json: a JSON schema in this folder, and where a document departs from it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from assay.errors import AssayError

SCHEMA = Path(__file__).with_name("results.schema.json")
LONGEST = 200  # characters of jsonschema's message that still read as one line


@cache
def _validator() -> Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def validate(results: dict[str, Any]) -> None:
    """Check a results document against the schema and its references; AssayError names the first path that is wrong."""
    for path, value in _not_json(results, "results"):
        raise AssayError(
            f"{path} is not JSON: {value!r}, expected text, a finite number, a list or a mapping; mend the run"
        )
    errors = list(_validator().iter_errors(results))
    if errors:
        raise AssayError(_described(best_match(errors) or errors[0]))
    _validate_references(results)


def _described(error: ValidationError) -> str:
    path = "results" + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    return f"{path} is malformed: {error.message[:LONGEST]} (results.schema.json); write it with this version"


def _not_json(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The paths of values that JSON cannot hold: NaN, infinities, keys that are not text, objects."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, (str, int)):  # JSON writes a whole-number key as text
                yield f"key of {path}", key
            yield from _not_json(item, f"{path}.{key}")
    elif isinstance(value, (list, tuple)):
        for position, item in enumerate(value):
            yield from _not_json(item, f"{path}[{position}]")
    elif (not isinstance(value, (str, int, float)) and value is not None) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        yield path, value


def _validate_references(results: dict[str, Any]) -> None:
    """Ids are unique, and whatever is named exists: a page built from a dangling id would have dead links."""
    seen: set[str] = set()
    for entry in results["statements"]:
        if entry["id"] in seen:
            raise AssayError(
                f"statement {entry['id']} stands twice in results.statements, expected once; mend the ledger"
            )
        seen.add(entry["id"])
    executed = {claim["id"] for claim in results["claims"]}
    for entry in results["statements"]:
        for claim_id in entry["claims"]:
            if claim_id not in executed:
                raise AssayError(
                    f"statement {entry['id']} names claim {claim_id}, which is not in results.claims; run again"
                )
    pairs: set[tuple[str, str]] = set()
    for claim in results["claims"]:
        pair = (claim["id"], claim["subject"])
        if pair in pairs:
            raise AssayError(f"claim {pair[0]} on {pair[1]} stands twice in results.claims, expected once; run again")
        pairs.add(pair)
        for series in (s for figure in claim["figures"] for s in figure["series"]):
            lengths = {len(line) for line in (series["y"], series["low"], series["high"]) if line is not None}
            if len(lengths) > 1:
                where = f"claim {claim['id']}, figure series {series['name']!r}"
                raise AssayError(f"{where} has lines of unequal lengths: {sorted(lengths)}; mend the claim")
