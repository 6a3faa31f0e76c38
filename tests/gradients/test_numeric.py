"""The measured derivative: its bars are honest, and each part of it can be seen to matter."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assay.gradients import check_gradient, numeric
from assay.gradients.examination import Examination
from assay.gradients.target import resolve

LADDER = numeric.steps(0.07, 17)


def measured(f, x: float) -> numeric.Estimate:
    ahead = np.array([[f(x + h) - f(x) for h in LADDER]])
    behind = np.array([[f(x) - f(x - h) for h in LADDER]])
    return numeric.estimate(ahead, behind, LADDER, numeric.UNIT * abs(f(x)))


SMOOTH = {
    "sin": (np.sin, lambda x: mpmath.cos(x)),
    "exp": (np.exp, lambda x: mpmath.exp(x)),
    "tanh": (np.tanh, lambda x: 1 - mpmath.tanh(x) ** 2),
    "bell": (lambda x: np.exp(-x * x), lambda x: -2 * x * mpmath.exp(-x * x)),
}


@pytest.mark.parametrize("name", SMOOTH)
@settings(max_examples=60, deadline=None)
@given(x=st.floats(-3, 3), exponent=st.floats(-8, 8))
@example(x=6.878698637739825e-16, exponent=0.0)  # moves by one rounding over the largest step, by none over the others
def test_the_true_derivative_lies_inside_the_bar(name: str, x: float, exponent: float):
    f, slope = SMOOTH[name]
    c = 10.0**exponent
    found = measured(lambda t: c * f(t), x)
    with mpmath.workdps(60):
        truth = float(mpmath.mpf(c) * slope(mpmath.mpf(x)))
    assert abs(found.value[0] - truth) <= found.bar[0]
    assert found.bar[0] <= 1e-8 * c * max(1.0, abs(f(x)))


def test_noise_widens_the_bar_and_is_not_mistaken_for_slope():
    noise = np.random.default_rng(0)
    found = measured(lambda t: np.sin(t) + 1e-6 * noise.standard_normal(), 0.3)
    assert abs(found.value[0] - np.cos(0.3)) <= found.bar[0]
    assert found.bar[0] > 1e-6


def test_a_hidden_narrow_stage_widens_the_bar():
    found = measured(lambda t: float(np.sin(np.float32(t))), 0.3)
    assert abs(found.value[0] - np.cos(0.3)) <= found.bar[0]
    assert 1e-7 < found.bar[0] < 1e-2


def test_a_finer_scale_wins_over_a_coarser_one():
    found = measured(lambda t: np.sin(1e5 * t), 0.3)
    assert abs(found.value[0] - 1e5 * np.cos(3e4)) <= found.bar[0] + 1e-3 * 1e5


@pytest.mark.parametrize(("f", "x", "kink"), [(abs, 0.0, True), (abs, 1e-5, False), (np.cos, 0.0, False)])
def test_kinks_are_told_from_bends(f, x: float, kink: bool):
    ahead = np.array([[f(x + h) - f(x) for h in LADDER]])
    behind = np.array([[f(x) - f(x - h) for h in LADDER]])
    found = numeric.estimate(ahead, behind, LADDER, numeric.UNIT)
    assert bool(numeric.sides(ahead, behind, LADDER, found.noise).kink[0]) is kink


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_the_bars_of_a_table_hold_the_truth(scale: float):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, dtype=torch.float64, generator=generator)
    check = Examination(resolve(lambda x: scale * x.tanh(), {"x": x}), 0)
    check.compare(True)
    table = check.comparison.tables[0]
    with mpmath.workdps(60):
        truth = np.diag([float(scale * (1 - mpmath.tanh(mpmath.mpf(float(v))) ** 2)) for v in x])
    assert (np.abs(table.measured - truth) <= table.bar).mean() >= 0.999


def test_a_broken_comparison_does_not_pass_these_tests(monkeypatch: pytest.MonkeyPatch):
    """Mutation of the checker itself: each break must turn a verdict that other tests rely on."""

    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, dy):
            return 2 * dy * ctx.saved_tensors[0].cos()

    x = {"x": torch.linspace(-1, 1, 5, dtype=torch.float64)}
    assert check_gradient(Doubled.apply, x).verdict == "differs"
    assert check_gradient(torch.sin, x).verdict == "agrees"
    with monkeypatch.context() as patch:
        patch.setattr("assay.gradients.compare.outcome", lambda *_: "agrees")
        assert check_gradient(Doubled.apply, x, variations=False).verdict == "agrees"
    with monkeypatch.context() as patch:
        patch.setattr(numeric, "SAFETY", 1e12)
        assert check_gradient(Doubled.apply, x, variations=False).verdict != "differs"
    with monkeypatch.context() as patch:
        patch.setattr(numeric, "MARGIN", 0.0)
        assert check_gradient(torch.sin, x, variations=False).verdict != "agrees"
