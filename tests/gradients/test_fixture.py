"""The pytest fixture of people's own tests is there without an import, passes a right gradient and fails a wrong one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from assay.errors import GradientError


class Doubled(torch.autograd.Function):
    """y = 2x with a backward that forgets the factor."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> torch.Tensor:
        return dy


def test_the_fixture_passes_and_fails(assert_gradients: Callable[..., Any]) -> None:
    x = torch.linspace(0.3, 1.7, 6, dtype=torch.float64)
    assert_gradients(torch.sin, {"x": x})
    with pytest.raises((GradientError, AssertionError), match=r"times|half|0\.5"):
        assert_gradients(Doubled.apply, {"x": x})
