"""The separate findings: each is shown on a backward that has the fault, and is silent on one that has not."""

from __future__ import annotations

import pytest
import torch

from assay.gradients import check_gradient


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sine(backward):
    """sin x with the given rule dx = backward(dy, x)."""

    class Sine(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, dy):
            return backward(dy, *ctx.saved_tensors)

    return Sine.apply


CALLS = iter(range(10**6))
FAULTS = {
    "mutation": lambda dy, x: dy.mul_(x.cos()),
    "determinism": lambda dy, x: dy * x.cos() * (1 + 1e-3 * next(CALLS)),
    "linearity": lambda dy, x: dy.clamp(-2, 2) * x.cos(),
    "zero cotangent": lambda dy, x: dy * x.cos() + (dy == 0) * 1.0,
    "layouts": lambda dy, x: torch.as_strided(dy, dy.shape, torch.empty(dy.shape).stride()) * x.cos(),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_found_and_named(kind: str):
    report = check_gradient(sine(FAULTS[kind]), {"x": normal(3, 4)})
    assert report.verdict == "differs"
    assert kind in {finding.kind for finding in report.wrong}


def test_a_right_backward_has_no_fault():
    report = check_gradient(
        sine(lambda dy, x: dy * x.cos()), {"x": normal(3, 4)}, order=2, modes=("reverse", "batched")
    )
    assert report.verdict == "agrees"
    assert report.wrong == ()


def test_the_forward_must_leave_its_input_alone():
    report = check_gradient(lambda x: x.mul_(2.0).sin(), {"x": normal(4)})
    assert {finding.kind for finding in report.wrong} == {"mutation"}


def test_a_wrong_shape_is_named():
    def forward(x):
        return x.sum(-1), x

    report = check_gradient(forward, {"x": normal(3, 4)}, backward=lambda x, dy: dy[:, None])
    assert "shape" in {finding.kind for finding in report.wrong}


def test_an_integer_input_gets_none():
    def forward(x, rows):
        return x[rows], (x, rows)

    def right(saved, dy):
        x, rows = saved
        return torch.zeros_like(x).index_add(0, rows, dy), None

    def eager(saved, dy):
        return right(saved, dy)[0], torch.zeros(2)

    inputs = {"x": normal(3, 4), "rows": torch.tensor([2, 0])}
    assert check_gradient(forward, inputs, backward=right).verdict == "agrees"
    assert "None" in {finding.kind for finding in check_gradient(forward, inputs, backward=eager).wrong}


def test_second_order_is_right_or_refused_but_never_silently_zero():
    class Silent(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, dy):
            return dy * ctx.saved_tensors[0].detach().cos()

    class Refuses(Silent):
        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, dy):
            return dy * ctx.saved_tensors[0].cos()

    x = {"x": normal(4)}
    assert check_gradient(Silent.apply, x).verdict == "agrees"
    silent = check_gradient(Silent.apply, x, order=2)
    assert silent.verdict == "differs"
    assert "second" in silent.explain()
    refused = check_gradient(Refuses.apply, x, order=2)
    assert refused.verdict == "agrees"
    assert any(finding.kind == "second order" and "refused" in finding.sentence for finding in refused.findings)


def test_forward_mode_is_held_against_reverse_mode():
    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.save_for_forward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, dy):
            return dy * ctx.saved_tensors[0].cos()

        @staticmethod
        def jvp(ctx, tangent):
            return -tangent * ctx.saved_tensors[0].cos()

    x = {"x": normal(4)}
    assert check_gradient(Both.apply, x).verdict == "agrees"
    assert check_gradient(Both.apply, x, modes=("reverse", "forward")).verdict == "differs"
    assert check_gradient(torch.sin, {"input": normal(4)}, modes=("reverse", "forward")).verdict == "agrees"


def test_an_input_alone_gets_the_gradient_it_gets_with_the_others():
    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x * w

        @staticmethod
        def backward(ctx, dy):
            x, w = ctx.saved_tensors
            return dy * w, dy * x if ctx.needs_input_grad[0] else dy

    report = check_gradient(Product.apply, {"x": normal(4), "w": normal(4, seed=1)})
    assert "subsets" in {finding.kind for finding in report.wrong}


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        (lambda dy, x: torch.where(x == 0, 3 * dy, dy * x.cos()), "set to 0"),
        (lambda dy, x: dy * x.cos() * (1.0 if x.shape[0] > 1 else 2.0), "cut to one"),
        (lambda dy, x: dy * x.cos() * (1.0 if float(x.max()) < 20 else 2.0), "set to 30"),
    ],
)
def test_variations_reach_special_places(rule, word):
    report = check_gradient(sine(rule), {"x": normal(3, 4)})
    assert report.verdict == "differs"
    assert word in report.explain()
    assert check_gradient(sine(rule), {"x": normal(3, 4)}, variations=False).verdict == "agrees"
