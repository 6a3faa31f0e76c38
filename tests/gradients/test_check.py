"""check_gradient: its verdicts, and that each of them can come out the other way."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from assay.errors import GradientError, GradientInputError
from assay.gradients import check_gradient


class Sine(torch.autograd.Function):
    """c·sin x with a backward that can be told to be wrong: a factor, one wrong entry."""

    @staticmethod
    def forward(ctx, x, c=1.0, factor=1.0, place=-1):
        ctx.save_for_backward(x)
        ctx.settings = c, factor, place
        return c * x.sin()

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        c, factor, place = ctx.settings
        dx = dy * c * x.cos()
        if place < 0:
            dx = dx * factor
        else:
            dx.view(-1)[place] *= factor
        return dx, None, None, None


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def test_a_right_backward_agrees_and_says_what_it_would_have_seen():
    report = check_gradient(Sine.apply, {"x": normal(3, 4)})
    assert report.verdict == "agrees"
    assert 0 < report.entries[0].resolution < 1e-8


@pytest.mark.parametrize("factor", [1 + 1e-8, 1 - 1e-8, 0.0, -1.0, 2.0])
def test_a_wrong_factor_differs(factor: float):
    assert check_gradient(lambda x: Sine.apply(x, 1.0, factor), {"x": normal(3, 4)}).verdict == "differs"


def test_one_entry_of_a_thousand_wrong_by_a_millionth_is_named():
    report = check_gradient(lambda x: Sine.apply(x, 1.0, 1 + 1e-6, 417), {"x": normal(1000)})
    assert report.verdict == "differs"
    assert [entry.index for entry in report.entries[0].wrong] == ["[417]"]


@settings(max_examples=12, deadline=None)
@given(st.floats(-8, 8), st.sampled_from([1.0, 0.0, -1.0, 1 + 1e-7]))
def test_the_verdict_does_not_depend_on_the_scale_of_the_function(exponent: float, factor: float):
    report = check_gradient(lambda x: Sine.apply(x, 10.0**exponent, factor), {"x": normal(5)}, variations=False)
    assert report.verdict == ("agrees" if factor == 1.0 else "differs")


MILLION = {"zero": lambda dx: 0 * dx, "negated": torch.neg, "doubled": lambda dx: 2 * dx, "transposed": lambda dx: dx.T}


@pytest.mark.parametrize(
    ("mistake", "side"), [(None, 1000), *((mistake, side) for mistake in MILLION for side in (100, 1000))]
)
def test_up_to_a_million_inputs_hide_nothing(mistake: str | None, side: int):
    class Spoilt(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, dy):
            dx = dy * ctx.saved_tensors[0].cos()
            return dx if mistake is None else MILLION[mistake](dx)

    report = check_gradient(Spoilt.apply, {"x": normal(side, side)}, variations=side < 1000)
    assert report.verdict == ("agrees" if mistake is None else "differs")
    assert (
        report.entries[0].wrong_count <= side**2
    )  # entries of the input: what is off the Jacobian's diagonal is right


@pytest.mark.parametrize(("slope", "verdict"), [(1.0, "kink"), (-1.0, "kink"), (0.3, "kink"), (1.001, "differs")])
def test_the_ends_of_a_curved_kink_are_subgradients_too(slope: float, verdict: str):
    """|x| + 5·x·|x| at 0: the one-sided slopes are measured from curved sides, the gradient may be either limit of them."""

    class Curved(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.abs() + 5 * x * x.abs()

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            return dy * torch.where(x == 0, slope, x.sign() + 10 * x.abs())

    x = torch.tensor([-0.7, 0.0, 1.2], dtype=torch.float64)
    assert check_gradient(Curved.apply, {"input": x}, variations=False).verdict == verdict


def test_kinks_are_never_wrong_but_values_outside_the_slopes_are():
    x = torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64)
    assert check_gradient(torch.relu, {"input": x}).verdict == "kink"
    assert check_gradient(torch.abs, {"input": x}).verdict == "kink"
    assert check_gradient(torch.relu, {"input": x + 1e-6}).verdict == "agrees"

    class Outside(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.relu()

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            return torch.where(x == 0, 1.5 * dy, dy * (x > 0))

    assert check_gradient(Outside.apply, {"x": x}).verdict == "differs"


def test_what_cannot_be_measured_is_unresolved():
    assert check_gradient(lambda x: 1e8 + 1e-8 * x.sin(), {"x": normal(5)}).verdict == "unresolved"
    edge = check_gradient(torch.sqrt, {"input": torch.tensor([0.0, 1.0], dtype=torch.float64)})
    assert edge.verdict == "unresolved"
    assert "domain" in edge.explain()


def test_a_zero_gradient_that_is_only_rounding_agrees():
    assert check_gradient(lambda x: x.softmax(-1).sum(), {"x": normal(4, 5)}).verdict == "agrees"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_narrow_dtypes_are_judged_by_the_formula_and_the_rounding(dtype: torch.dtype):
    x = normal(4, 6, dtype=dtype)
    assert check_gradient(Sine.apply, {"x": x}).verdict == "agrees"
    assert check_gradient(lambda x: Sine.apply(x, 1.0, 1 + 1e-6), {"x": x}).verdict == "differs"

    def narrow_only(x: Tensor) -> Tensor:
        return Sine.apply(x, 1.0, 1.0 if x.dtype is torch.float64 else 1.5)

    report = check_gradient(narrow_only, {"x": x})
    assert report.verdict == "differs"
    assert "rounding explains" in report.explain()


def test_complex_inputs_follow_the_conjugate_convention():
    z = torch.complex(normal(4), normal(4, seed=1))
    assert check_gradient(lambda z: (z * z.conj()).real + z.imag**3, {"z": z}).verdict == "agrees"

    class Forgets(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return z * z

        @staticmethod
        def backward(ctx, dy):
            return dy * 2 * ctx.saved_tensors[0]

    assert check_gradient(Forgets.apply, {"z": z}).verdict == "differs"


def test_declared_structure_and_surrogates():
    a = normal(3, 3)
    a = a @ a.T + torch.eye(3, dtype=torch.float64)
    assert check_gradient(torch.linalg.cholesky, {"input": a}).verdict == "differs"
    assert check_gradient(torch.linalg.cholesky, {"input": a}, constraint="symmetric").verdict == "agrees"

    def straight_through(x: Tensor) -> Tensor:
        return x + (x.round() - x).detach()

    x = normal(4) * 3
    assert check_gradient(straight_through, {"x": x}, surrogate=True).verdict == "agrees"
    assert check_gradient(straight_through, {"x": x}, surrogate=lambda x: x * 1.0).verdict == "agrees"
    assert check_gradient(straight_through, {"x": x}, surrogate=lambda x: x * 2.0).verdict == "differs"


def test_a_pair_is_checked_by_its_backward():
    def forward(x, w, *, scale):
        return scale * (x @ w), (x, w)

    def backward(saved, dy, *, scale):
        x, w = saved
        return scale * dy @ w.T, scale * x.T @ dy

    def forgetful(saved, dy, *, scale):
        x, w = saved
        return scale * dy @ w.T, x.T @ dy

    inputs = {"x": normal(3, 4), "w": normal(4, 2, seed=1)}
    assert check_gradient(forward, inputs, backward=backward, scale=3.0).verdict == "agrees"
    report = check_gradient(forward, inputs, backward=forgetful, scale=3.0)
    assert report.verdict == "differs"
    assert "respect to w" in report.explain()
    assert "0.3333333333 times" in report.guess


@pytest.mark.parametrize("given", [("x", "w"), ("x", "w", "b")])
def test_a_pair_may_return_none_for_an_optional_tensor_that_was_left_out(given: tuple[str, ...]):
    def forward(x, w, b=None):
        return (x @ w if b is None else x @ w + b), (x, w, b)

    def backward(saved, dy):
        x, w, b = saved
        return dy @ w.T, x.T @ dy, None if b is None else dy.sum(0)

    every = {"x": normal(3, 4), "w": normal(4, 2, seed=1), "b": normal(2)}
    inputs = {name: every[name] for name in given}
    assert check_gradient(forward, inputs, backward=backward).verdict == "agrees"
    assert check_gradient(forward, tuple(inputs.values()), backward=backward).verdict == "agrees"


def test_a_pair_may_leave_out_a_tensor_in_the_middle():
    def forward(x, mask=None, w=None):
        return x * w if mask is None else x * w * mask, (x, w)

    def backward(saved, dy):
        x, w = saved
        return dy * w, None, dy * x

    assert check_gradient(forward, {"x": normal(3), "w": normal(3, seed=1)}, backward=backward).verdict == "agrees"

    def more(saved, dy):
        return *backward(saved, dy), dy

    with pytest.raises(GradientInputError, match="wrong number of gradients"):
        check_gradient(forward, {"x": normal(3), "w": normal(3, seed=1)}, backward=more)


def test_a_given_cotangent_is_the_only_one_checked():
    w = torch.zeros(3, 4, dtype=torch.float64)
    w[0] = 1.0
    wrong_later = check_gradient(
        lambda x: Sine.apply(x, 1.0, 2.0, 7), {"x": normal(3, 4)}, cotangent=w, variations=False
    )
    assert wrong_later.verdict == "agrees"
    assert check_gradient(lambda x: Sine.apply(x, 1.0, 2.0, 2), {"x": normal(3, 4)}, cotangent=w).verdict == "differs"


def test_random_functions_are_given_one_seed():
    report = check_gradient(lambda x: torch.nn.functional.dropout(x.sin(), 0.5), {"x": normal(8)})
    assert report.verdict == "agrees"
    assert any(finding.kind == "randomness" for finding in report.findings)


def test_entries_all_fills_the_table():
    report = check_gradient(
        lambda x, w: torch.tanh(x @ w), {"x": normal(3, 4), "w": normal(4, 2, seed=1)}, entries="all"
    )
    assert [(e.method, e.checked) for e in report.entries] == [("entries", 72), ("entries", 48)]
    assert report.verdict == "agrees"


def test_inputs_are_left_as_they_were():
    x = normal(3, 4)
    before = x.clone()
    check_gradient(Sine.apply, {"x": x}, entries="all")
    assert torch.equal(x, before)
    assert not x.requires_grad


@pytest.mark.parametrize(
    ("fn", "inputs", "words"),
    [
        (lambda x: (x > 0).long(), {"x": normal(3)}, "does not return a floating-point tensor"),
        (lambda x: 3.0, {"x": normal(3)}, "does not return a floating-point tensor: float"),
        (lambda x: x * float("nan"), {"x": normal(3)}, "returns NaN"),
        (
            lambda x: x + torch.rand(3, generator=torch.Generator().manual_seed(next(COUNT))),
            {"x": normal(3)},
            "call to call",
        ),
        (lambda x: x.no_such_thing(), {"x": normal(3)}, "raises AttributeError"),
        (lambda x: x, {"x": torch.arange(3)}, "no differentiable input"),
        (lambda x: x, {}, "no differentiable input"),
        (3, {"x": normal(3)}, "not callable"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_one_sentence(fn, inputs, words):
    with pytest.raises(GradientInputError, match=words) as caught:
        check_gradient(fn, inputs)
    assert "\n" not in str(caught.value)
    assert "expected" in str(caught.value)


COUNT = iter(range(1000))


def test_a_report_has_no_truth_value_and_require_raises():
    report = check_gradient(lambda x: Sine.apply(x, 1.0, -1.0), {"x": normal(3)})
    with pytest.raises(GradientError, match="four verdicts"):
        bool(report)
    with pytest.raises(GradientError, match="sign"):
        report.require()
    assert check_gradient(Sine.apply, {"x": normal(3)}).require().verdict == "agrees"


def test_a_seed_gives_the_same_report():
    one, two = (check_gradient(Sine.apply, {"x": normal(5)}, seed=3) for _ in range(2))
    assert one.entries == two.entries
    assert one.findings == two.findings
