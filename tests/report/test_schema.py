"""The schema accepts what a run writes and names the place of what it must not write."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from assay.errors import AssayError
from assay.report.schema import validate
from tests.report import factory

Break = Callable[[dict[str, Any]], Any]


def test_a_synthetic_run_is_valid() -> None:
    validate(factory.synthetic(120))


def test_a_run_that_measured_nothing_is_valid() -> None:
    validate(factory.results([], [], partial=True, false_alarm_bound=0.0, wall_seconds=0.0))


def test_keys_that_are_numbers_are_valid_because_json_writes_them_as_text() -> None:
    results = factory.synthetic(20)
    results["documents"]["gfg"]["questions"] = {1: "What is it?"}
    validate(results)


HOSTILE: dict[str, tuple[Break, str]] = {
    "unknown verdict": (lambda r: r["statements"][0].update(verdict="true"), "results.statements[0].verdict"),
    "claim verdict": (lambda r: r["claims"][0].update(verdict="ambiguous"), "results.claims[0].verdict"),
    "unknown status": (lambda r: r["claims"][1].update(status="passed"), "results.claims[1].status"),
    "unknown grade": (lambda r: r["claims"][0].update(grade="certain"), "results.claims[0].grade"),
    "unknown outcome": (
        lambda r: r["claims"][0]["facts"][0].update(outcome="ok"),
        "results.claims[0].facts[0].outcome",
    ),
    "an extra key": (lambda r: r["claims"][0].update(colour="red"), "'colour' was unexpected"),
    "an extra key of the run": (lambda r: r["run"].update(host="here"), "'host' was unexpected"),
    "a missing key": (lambda r: r["claims"][0].pop("controls"), "'controls' is a required property"),
    "a missing seed": (lambda r: r["run"].pop("seed"), "'seed' is a required property"),
    "text for a number": (lambda r: r["claims"][0].update(seconds="1.2"), "results.claims[0].seconds"),
    "negative cases": (lambda r: r["claims"][0].update(cases=-1), "results.claims[0].cases"),
    "a probability above one": (lambda r: r["run"].update(false_alarm_bound=1.5), "results.run.false_alarm_bound"),
    "no subject": (lambda r: r["run"].update(subjects=[]), "results.run.subjects"),
    "a malformed id": (lambda r: r["statements"][0].update(id="gfg 1"), "results.statements[0].id"),
    "a question with a name": (lambda r: r["documents"]["gfg"]["questions"].update(one="x"), "results.documents.gfg"),
    "not a number": (
        lambda r: r["claims"][0]["facts"][0].update(measured=math.nan),
        "results.claims[0].facts[0].measured",
    ),
    "infinity": (
        lambda r: r["claims"][0]["facts"][0]["detail"].update(low=-math.inf),
        "results.claims[0].facts[0].detail.low",
    ),
    "an object": (lambda r: r["claims"][0]["seen"].update(z=object()), "results.claims[0].seen.z"),
    "a verdict on what cannot run": (lambda r: r["statements"][0].update(executable=False), "results.statements[0]"),
    "a statement twice": (lambda r: r["statements"].append(r["statements"][0]), "stands twice"),
    "a claim twice": (lambda r: r["claims"].append(r["claims"][0]), "stands twice"),
    "a claim that did not run": (lambda r: r["statements"][0]["claims"].append("gfg-1.1:ghost"), "gfg-1.1:ghost"),
    "a ragged figure": (lambda r: r["claims"][0].update(figures=[ragged()]), "unequal lengths"),
}


def ragged() -> dict[str, Any]:
    figure = factory.figure()
    figure["series"][0]["low"] = [0.0]
    return figure


@pytest.mark.parametrize("name", HOSTILE)
def test_a_broken_document_is_refused_at_its_place(name: str) -> None:
    damage, place = HOSTILE[name]
    results = factory.synthetic(20, executed=1.0)
    damage(results)
    with pytest.raises(AssayError) as refused:
        validate(results)
    assert place in str(refused.value)
