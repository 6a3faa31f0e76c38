"""Errors that the bounds in float32 must show, and every case of every component on a CUDA device where there is one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.reference.protocol import DTYPES, Case, check_backward, check_forward
from tests.reference.registry import CASES

CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def on(case: Case, device: str) -> Case:
    return replace(case, inputs=tuple(t if t is None else t.to(device) for t in case.inputs))


def scaled_oracle(case: Case, factor: float) -> Case:
    def wrong(*tensors: torch.Tensor, **hyper: object) -> torch.Tensor:
        return factor * case.oracle(*tensors, **hyper)

    return replace(case, oracle=wrong)


@pytest.mark.parametrize("name", CASES)
def test_one_part_in_a_hundred_is_seen_in_float32(name: str) -> None:
    with pytest.raises(AssertionError):
        check_forward(scaled_oracle(CASES[name], 1.01), torch.float32)


@pytest.mark.cuda
@CUDA
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_cuda_stays_within_the_same_bounds(name: str, dtype: torch.dtype) -> None:
    check_forward(on(CASES[name], "cuda"), dtype)


@pytest.mark.cuda
@CUDA
@pytest.mark.parametrize("name", CASES)
def test_backward_on_cuda(name: str) -> None:
    check_backward(on(CASES[name], "cuda"))


def test_the_cases_are_many_and_none_is_on_the_wrong_device() -> None:
    assert len(CASES) > 50
    assert all(t is None or t.device.type == "cpu" for case in CASES.values() for t in on(case, "cpu").inputs)
