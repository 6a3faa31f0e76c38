"""What a role does besides answering: a NaN, a changed input and a coarser dtype decide nothing, whatever a claim makes of them."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.claim import HOLDS, REFUTED, Claim, claim
from assay.evidence import Evidence, close, diverges, equal
from assay.execute import execute
from assay.measure import Conditions, measure
from assay.registry import load_claims
from assay.strategies import reals, shapes, tensors
from assay.subject import Subject
from assay.watch import Fault, watched
from subjects.reference import subject as reference

ADDS_ONE: dict[str, Any] = {"adds one": {"double": lambda sound: lambda x: sound(x) + 1}}


def made(check: Any, expect: Any = HOLDS) -> Claim:
    header = claim(
        "gfg-1.1",
        "Twice x is x and x.",
        needs=["double"],
        given={"x": tensors(shapes(1, 2), reals(1, 2))},
        expect=expect,
        sabotage=ADDS_ONE,
    )
    return header(check)


def counts(lib: Any, x: torch.Tensor) -> Evidence:
    """Reading: no entry of 2x is below one, counted, so that a NaN is no entry below one."""
    return equal(int((lib.double(x) < 1).sum()), 0, what="entries below one")


def none_left(lib: Any, x: torch.Tensor) -> Evidence:
    """Reading: some entry of 2x is at least one, counted, so that a NaN is not."""
    return equal(bool((lib.double(x) >= 1).any()), True, what="entries of one or more")


def twice(lib: Any, x: torch.Tensor) -> Evidence:
    """Reading: 2x = x + x, compared after the call."""
    return close(lib.double(x), x + x, operations=1, what="differs by")


def wiped(x: torch.Tensor) -> torch.Tensor:
    x.zero_()
    return torch.zeros_like(x)


@pytest.mark.parametrize("check", [counts, none_left])
def test_a_nan_that_became_a_yes_or_a_no_decides_nothing(check: Any) -> None:
    result = execute(made(check), Subject("nan", {"double": lambda x: x * math.nan}), Conditions())
    assert (result["verdict"], result["status"]) == ("inconclusive", "error")
    assert "double returned NaN for finite input" in result["problem"]


def test_a_control_that_only_gives_nan_turns_nothing() -> None:
    made_claim = made(none_left)
    made_claim.controls["gives NaN"] = {"double": lambda sound: lambda x: sound(x) * math.nan}
    result = execute(made_claim, Subject("sound", {"double": lambda x: 2 * x}), Conditions())
    assert {control["name"]: control["turned"] for control in result["controls"]}["gives NaN"] is False


def test_a_role_that_wipes_its_input_does_not_hold_by_zero_equals_zero() -> None:
    result = execute(made(twice), Subject("wiper", {"double": wiped}), Conditions())
    assert result["verdict"] == "inconclusive"
    assert "double changed its input" in result["problem"]


def test_a_coarser_dtype_does_not_buy_a_wider_tolerance() -> None:
    coarse = Subject("coarse", {"double": lambda x: (1.05 * 2 * x).to(torch.bfloat16)})
    result = execute(made(twice), coarse, Conditions())
    assert result["verdict"] == "inconclusive"
    assert "double returned bfloat16" in result["problem"]


def test_divergence_may_use_a_nan() -> None:
    def grows(lib: Any, x: torch.Tensor) -> Evidence:
        """Reading: 2x is lost."""
        return diverges(lib.double(x), beyond=1e6, what="stays")

    found = measure(made(grows), Subject("s", {"double": lambda x: x * math.nan}), Conditions(), {}, "claim", "")
    assert found.outcome == "holds"


def test_nan_from_nan_or_infinity_and_values_under_vmap_are_no_faults() -> None:
    faults: list[Fault] = []
    double = watched("double", lambda x, y=None: {"sum": [x + x]}, faults)
    double(torch.tensor([math.nan]))
    watched("difference", lambda x: x - x, faults)(torch.tensor([math.inf]))
    torch.vmap(lambda x: double(x)["sum"][0])(torch.ones(3, 2))
    double(torch.ones(2), y=3)
    assert faults == []


def test_a_control_sees_the_inputs_that_the_claim_saw() -> None:
    """x is never above 1.98, which is false but seldom seen; a control that changes nothing must not get away with other inputs."""

    def low(lib: Any, x: torch.Tensor) -> Evidence:
        """Reading: x < 1.98 in its first entry."""
        return equal(bool(lib.double(x).flatten()[0] < 2 * 1.98), True, what="above")

    unchanged = made(low, REFUTED(instead="It may be."))
    unchanged.controls.clear()
    unchanged.controls["changes nothing"] = {"double": lambda sound: lambda x: sound(x)}
    results = [execute(unchanged, Subject("s", {"double": lambda x: 2 * x}), Conditions(seed=s)) for s in range(20)]
    assert {r["status"] for r in results} <= {"toothless", "surprising"}
    assert not any(control["turned"] for r in results for control in r["controls"])


CLAIMS = load_claims(Path("claims"), "claims")
DRAWN = [claim_id for claim_id, found in CLAIMS.items() if found.given and not found.wants_trial]


def _all_nan(answer: Any, spoiled: list[bool]) -> Any:
    if isinstance(answer, torch.Tensor) and answer.is_floating_point():
        spoiled.append(True)
        return answer * math.nan
    if isinstance(answer, (tuple, list)):
        return type(answer)(_all_nan(part, spoiled) for part in answer)
    return answer


def _spoiling(role: Any, spoiled: list[bool]) -> Any:
    return lambda *args, **kwargs: _all_nan(role(*args, **kwargs), spoiled)


@pytest.mark.parametrize("claim_id", DRAWN)
def test_no_claim_is_decided_by_a_subject_of_nans(claim_id: str) -> None:
    spoiled: list[bool] = []  # stays empty where a claim is about integers
    nans = Subject("nan", {name: _spoiling(role, spoiled) for name, role in reference.roles.items()})
    result = execute(CLAIMS[claim_id], nans, Conditions(examples=5))
    assert result["verdict"] == "inconclusive" or not spoiled
