"""The template that people copy: it runs, what it lacks is counted, and a wrong role in it is named with evidence."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.claim import Claim
from assay.config import load_config
from assay.execute import execute
from assay.measure import Conditions
from assay.registry import load_claims
from subjects.student_template import subject
from tests.project import assay

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def claims() -> list[Claim]:
    """Every claim that needs roles, and none but the template's."""
    config = load_config(ROOT)
    found = load_claims(config.claims_folder, config.claims).values()
    return [claim for claim in found if claim.needs and not subject.missing(claim.needs)]


def statuses(claims: list[Claim], wrong: dict[str, Any] | None = None) -> dict[str, dict[str, Any]]:
    tried = replace(subject, roles={**subject.roles, **(wrong or {})})
    return {claim.name: execute(claim, tried, Conditions(seed=0, examples=20)) for claim in claims}


def test_all_its_claims_come_out_as_predicted(claims: list[Claim]) -> None:
    assert {role for claim in claims for role in claim.needs} == set(subject.roles)
    assert {result["status"] for result in statuses(claims).values()} == {"as-predicted"}


def keeps_a_share_of_p(x: torch.Tensor, p: float, *, generator: torch.Generator, training: bool = True) -> torch.Tensor:
    """The textbook confusion of the dropout rate with the share that stays."""
    return subject.roles["dropout"](x, 1 - p, generator=generator, training=training)


def test_a_wrong_role_is_named_with_evidence(claims: list[Claim]) -> None:
    of_dropout = [claim for claim in claims if "dropout" in claim.needs]
    results = statuses(of_dropout, {"dropout": keeps_a_share_of_p})
    share = results["dropout_of_a_fifth_makes_a_binomial_number_inactive"]
    assert (share["status"], share["verdict"]) == ("surprising", "refuted")
    assert any(fact["outcome"] == "fails" for fact in share["facts"])
    assert "dropout" in share["needs"]
    others = statuses([claim for claim in claims if claim not in of_dropout], {"dropout": keeps_a_share_of_p})
    assert {result["status"] for result in others.values()} == {"as-predicted"}


def test_the_command_runs_it_and_counts_what_it_lacks(tmp_path: Path) -> None:
    done = assay(ROOT, "run", "gfg-19.13", "--subject", "student_template", "--out", str(tmp_path), "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    found = Counter(claim["status"] for claim in results["claims"])
    assert set(found) == {"as-predicted", "unsupported"}
    lacking = [claim["problem"] for claim in results["claims"] if claim["status"] == "unsupported"]
    assert all(problem.startswith("roles not offered: ") for problem in lacking)
