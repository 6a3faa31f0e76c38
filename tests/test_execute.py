"""One claim on one subject: verdicts, statuses, and that a control counts only if it turned the verdict by evidence."""

import math
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from assay.claim import CONDITIONAL, HOLDS, REFUTED, claim
from assay.evidence import Evidence, at_least, close, diverges, equal, fact, true
from assay.execute import execute
from assay.measure import Conditions
from assay.strategies import reals, shapes, sizes, tensors
from assay.subject import Subject

SOUND = Subject("sound", {"double": lambda x: x + x, "unused": lambda x: x})
BREAKS: dict[str, Any] = {"adds one": {"double": lambda sound: lambda x: sound(x) + 1}}


def made(**changes: Any) -> Any:
    header: dict[str, Any] = {"needs": ["double"], "given": {"x": sizes(0, 20)}, "expect": HOLDS, "sabotage": BREAKS}
    return claim("gfg-1.1", "Twice x is even.", **{**header, **changes})


def even(lib: Any, x: int) -> Evidence:
    """Reading: 2x mod 2 = 0."""
    return equal(lib.double(x) % 2, 0, what="remainder")


def small(lib: Any, x: int) -> Evidence:
    """Reading: 2x < 10 for all x, which is false."""
    return at_least(10, lib.double(x) + 1, what="reaches ten by")


def run(made_claim: Any, subject: Subject = SOUND, **conditions: Any) -> dict[str, Any]:
    return execute(made_claim, subject, Conditions(**conditions))


def test_holds_as_predicted() -> None:
    result = run(made()(even))
    assert (result["verdict"], result["status"], result["grade"]) == ("holds", "as-predicted", "property")
    assert result["cases"] > 10
    assert result["seen"] == {"x": "from 0 to 20"}
    assert result["controls"][0]["turned"]


def test_a_declared_difference_is_kept_while_it_is_there_and_fails_once_it_is_gone() -> None:
    excused = made(differs={"odd": "adds one on purpose"})(even)
    odd = Subject("odd", {"double": lambda x: x + x + 1})
    real = run(excused, odd)
    assert (real["status"], real["differs"]) == ("surprising", "adds one on purpose")
    stale = run(excused, Subject("odd", {"double": lambda x: x + x}))
    assert (stale["status"], stale["differs"]) == ("surprising", "")
    assert "adds one on purpose" in stale["problem"]
    assert "take it out of differs=" in stale["problem"]


def test_refuted_gives_the_smallest_counterexample() -> None:
    result = run(
        made(expect=REFUTED(instead="Only below five."), sabotage={"below five": {"where": lambda x: x < 5}})(small)
    )
    assert (result["verdict"], result["status"]) == ("refuted", "as-predicted")
    assert result["counterexample"]["values"] == {"x": "5"}


def test_a_boundary_is_run_on_both_sides() -> None:
    result = run(
        made(expect=CONDITIONAL("x < 5", within=lambda x: x < 5), sabotage={"never": {"x": lambda x: 0}})(small)
    )
    assert (result["verdict"], result["status"]) == ("conditional", "as-predicted")
    wrong = run(
        made(expect=CONDITIONAL("x < 9", within=lambda x: x < 9), sabotage={"never": {"x": lambda x: 0}})(small)
    )
    assert (wrong["verdict"], wrong["status"]) == ("refuted", "surprising")


def test_the_prediction_never_makes_the_verdict() -> None:
    result = run(made(expect=HOLDS)(small))
    assert (result["verdict"], result["status"]) == ("refuted", "surprising")


@pytest.mark.parametrize(
    ("sabotage", "why"),
    [
        ({"changes nothing": {"double": lambda sound: sound}}, "verdict under the control: holds"),
        ({"crashes": {"double": lambda sound: lambda x: 1 // 0}}, "ZeroDivisionError"),
        ({"gives NaN": {"double": lambda sound: lambda x: math.nan}}, "remainder|w"),
        ({"empties the domain": {"where": lambda x: False}}, "inconclusive"),
    ],
)
def test_a_control_that_does_not_turn_by_evidence_is_toothless(sabotage: dict[str, Any], why: str) -> None:
    def doubled(lib: Any, x: int) -> Evidence:
        """Reading: 2x = x + x."""
        return at_least(lib.double(x), 2 * x, what="remainder")

    result = run(made(sabotage=sabotage)(doubled))
    assert result["status"] == "toothless"
    assert not result["controls"][0]["turned"]


def test_a_sabotage_that_never_ran_is_no_kill() -> None:
    calls = []

    def fickle(lib: Any, x: int) -> Evidence:
        """Reading: refuted whenever it is asked a second time, without using the edited role."""
        calls.append(x)
        return true(len(calls) <= 1, what="asked once")

    toothless = claim(
        "gfg-1.1",
        "It is so.",
        needs=["unused"],
        setting={"x": 1},
        expect=HOLDS,
        sabotage={"unused": {"unused": lambda s: lambda x: 0}},
    )(fickle)
    result = run(toothless)
    assert result["controls"][0]["verdict"] == "refuted"
    assert result["status"] == "toothless"
    assert "never called" in result["controls"][0]["why"]


@pytest.mark.parametrize(
    "double", [lambda z: z * math.nan, lambda z: {}[z], lambda z: z[:, None, None].expand(-1, 7, 3)]
)
def test_nan_an_exception_or_a_wrong_shape_refutes_nothing(double: Any) -> None:
    def tight(lib: Any, z: torch.Tensor) -> Evidence:
        """Reading: double(z) = 2z."""
        return close(lib.double(z), 2 * z, operations=1, what="error")

    given = {"z": tensors(shapes(1, 1, low=2), reals())}
    result = run(made(given=given)(tight), Subject("broken", {"double": double}))
    assert (result["verdict"], result["status"]) == ("inconclusive", "error")
    assert result["problem"]


def test_an_invalid_example_is_shrunk_for_the_report() -> None:
    def finite(lib: Any, z: torch.Tensor) -> Evidence:
        """Reading: double(z) = 2z."""
        return close(lib.double(z), 2 * z, operations=1, what="error")

    overflows = Subject("overflows", {"double": lambda z: torch.where(z > 7, math.nan, z + z)})
    result = run(made(given={"z": tensors(shapes(1, 1), reals())})(finite), overflows)
    assert "z = [8.0]" in result["problem"] or "z = [7.0" in result["problem"]


def test_divergence_can_be_the_point() -> None:
    def explodes(lib: Any, x: int) -> Evidence:
        """Reading: doubling 2000 times leaves every float."""
        y = 1.0 + x
        for _ in range(2000):
            y = lib.double(y)
        return diverges(y, beyond=1e300, what="size after 2000 doublings")

    result = run(made(sabotage={"identity": {"double": lambda sound: lambda x: x}})(explodes))
    assert (result["verdict"], result["status"]) == ("holds", "as-predicted")


def test_the_line_that_runs_a_claim_again_names_the_number_of_examples() -> None:
    assert run(made()(even), examples=7)["reproduce"].endswith("--seed 0 --device cpu --examples 7")
    assert run(made()(even))["reproduce"].endswith("--seed 0 --device cpu")


def test_what_a_sampled_claim_would_notice_is_said_as_a_value_or_as_a_deviation() -> None:
    def heads(lib: Any, trial: Any) -> Evidence:
        """Reading: half of all coins, and more than a tenth of them."""
        coin = lambda n, g: torch.rand(n, generator=g) < lib.double(0.25)  # noqa: E731
        return trial.proportion(coin, 0.5, detects=0.1, what="heads") & trial.often(
            coin, floor=0.1, detects=0.2, what="share of heads"
        )

    result = run(made(given={})(heads))
    assert result["detects"] == "heads: off by 0.1 or more; share of heads: 0.3 or more"


def test_a_missing_role_is_unsupported() -> None:
    result = run(made()(even), Subject("empty", {}))
    assert (result["verdict"], result["status"]) == ("unsupported", "unsupported")
    assert "double" in result["problem"]


def test_a_role_that_was_not_declared_is_refused() -> None:
    def greedy(lib: Any, x: int) -> Evidence:
        """Reading: uses a role it did not declare."""
        return equal(lib.unused(x), x, what="w")

    with pytest.raises(Exception, match="needs="):
        run(made()(greedy))


def test_all_cases_are_run_and_shared_between_looks() -> None:
    def listed(lib: Any, trial: Any, x: int) -> Evidence:
        """Reading: 2x is even, and a fair coin is fair."""
        toss = trial.proportion(lambda n, g: torch.rand(n, generator=g) < 0.5, 0.5, detects=0.1, what="heads")
        return toss & equal(lib.double(x) % 2, 0, what="remainder")

    result = run(
        claim(
            "gfg-1.1", "It is so.", needs=["double"], cases=[{"x": k} for k in range(5)], expect=HOLDS, sabotage=BREAKS
        )(listed)
    )
    assert (result["cases"], result["grade"], result["verdict"]) == (5, "statistical", "holds")
    assert 0 < result["false_alarm"] <= 2 * 2e-8


def test_same_seed_same_numbers_and_another_seed_other_numbers() -> None:
    def noisy(lib: Any, trial: Any) -> Evidence:
        """Reading: the mean of double of a Gaussian is zero."""
        return trial.mean(
            lambda n, g: lib.double(torch.randn(n, generator=g)), 0.0, detects=0.2, spread=2.0, what="mean"
        )

    claim_ = claim("gfg-1.1", "It is so.", needs=["double"], expect=HOLDS, sabotage=BREAKS)(noisy)
    first, again, other = (run(claim_, seed=s)["facts"] for s in (1, 1, 2))
    assert first == again
    assert first != other


def fresh(x: int) -> int:
    """Twice x as long as the process is as a claim expects to find it; then it is left otherwise."""
    sound = torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32 and os.getcwd() != "/"
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    os.chdir("/")
    return x + x if sound else x + x + 1


def test_what_a_subject_leaves_behind_does_not_reach_the_next_claim(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)

    def once(lib: Any) -> Evidence:
        """Reading: 2 * 1 mod 2 = 0."""
        return equal(lib.double(1) % 2, 0, what="remainder")

    claim_ = claim("gfg-1.1", "It is so.", needs=["double"], expect=HOLDS, sabotage=BREAKS)(once)
    for _ in range(2):
        result = run(claim_, Subject("untidy", {"double": fresh}))
        assert (result["verdict"], result["status"]) == ("holds", "as-predicted")
    assert (torch.is_grad_enabled(), torch.get_default_dtype(), Path.cwd()) == (True, torch.float32, tmp_path)


@pytest.mark.parametrize("draw", [lambda: float(torch.rand(())), random.random, lambda: float(np.random.rand())])
def test_global_generators_give_a_claim_the_same_numbers_wherever_it_runs(draw: Any) -> None:
    def drawn(lib: Any) -> Evidence:
        """Reading: none, it shows what was drawn."""
        return at_least(lib.double(0), 0, what="drawn") & fact(f"drew {lib.double(0)}", 0.0, 0.0)

    claim_ = claim("gfg-1.1", "It is so.", needs=["double"], expect=HOLDS, sabotage=BREAKS)(drawn)
    noisy = Subject("noisy", {"double": lambda x: draw()})
    alone = run(claim_, noisy)["facts"]
    draw()  # what another claim might have drawn in between
    assert run(claim_, noisy)["facts"] == alone
    assert run(claim_, noisy, seed=1)["facts"] != alone
