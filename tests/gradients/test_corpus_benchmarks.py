"""The benchmarks of the checker measure what they say: their truths, their plants and their tables on small cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from benchmarks.gradients import honesty, resolution, speed
from benchmarks.gradients.functions import TABLE


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("case", [case for case in honesty.scaled() if case.scale == 1], ids=lambda case: case.name)
def test_the_exact_function_is_the_torch_function(case: honesty.Case) -> None:
    x = case.inputs(torch.Generator().manual_seed(0))
    jacobian = torch.autograd.functional.jacobian(case.call, x).reshape(-1, x.numel()).numpy()
    wanted = honesty.truth(case, x)
    assert np.abs(jacobian - wanted).max() <= 1e-13 * np.abs(wanted).max()


def test_the_truth_is_right_to_the_last_digit() -> None:
    case = next(case for case in honesty.scaled() if case.name == "exp of x / 1e+08")
    x = torch.tensor([1e8, 2e8], dtype=torch.float64)
    assert honesty.truth(case, x)[1, 1] == pytest.approx(math.exp(2) / 1e8, rel=1e-15)


def test_bars_that_are_too_small_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    case = next(honesty.scaled())
    fair = honesty.judged(case, 1)
    assert fair["inside"] == fair["entries"]
    bars = honesty.measured
    monkeypatch.setattr(honesty, "measured", lambda call, x: (bars(call, x)[0] * (1 + 1e-6), bars(call, x)[1]))
    assert honesty.judged(case, 1)["inside"] < fair["inside"]


@pytest.mark.parametrize("one", [False, True], ids=["whole", "one entry"])
def test_the_plant_is_as_large_as_it_says(one: bool) -> None:
    x = resolution.point((2, 4)).requires_grad_()
    (dx,) = torch.autograd.grad(resolution.planted(torch.sin, 1e-3, one)(x).sum(), x)
    off = (dx / x.detach().cos() - 1).reshape(-1)
    assert int((off.abs() > 1e-6).sum()) == (1 if one else 8)
    assert float(off.max()) == pytest.approx(1e-3, rel=1e-9)


def test_the_smallest_error_found_is_the_last_of_the_list_that_is_found() -> None:
    def finds(candidate: resolution.Candidate, x: torch.Tensor) -> bool:
        leaf = x.clone().requires_grad_()
        (dx,) = torch.autograd.grad(candidate(leaf).sum(), leaf)
        return float((dx / x.cos() - 1).abs().max()) > 3e-5

    assert resolution.smallest(finds, torch.sin, one=False) == pytest.approx(10**-4.5)
    assert resolution.smallest(lambda candidate, x: False, torch.sin, one=False) is None


def test_every_function_of_the_speed_table_agrees() -> None:
    for function in TABLE[-2:]:
        verdict, reached = speed.full(function, function.inputs())
        assert verdict == "agrees"
        assert reached <= 1e-6


def test_the_speed_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert speed.main(["--only", "softmax", "--repeats", "1"]) == 0
    printed = capsys.readouterr().out
    assert "softmax-cross-entropy" in printed
    assert "geometric means" in printed
