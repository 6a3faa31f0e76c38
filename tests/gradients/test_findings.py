"""The separate findings: each is shown on a backward that has the fault, and is silent on one that has not."""

from __future__ import annotations

import pytest
import torch

from assay.gradients import check_gradient
from assay.gradients.analytic import Analytic
from assay.gradients.modes import batched
from assay.gradients.observe import forms
from assay.gradients.target import resolve


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
        (lambda dy, x: dy * x.cos() * (1.0 if float(x.max()) < 1e5 else 2.0), "set to 1e+06"),
        (lambda dy, x: dy * x.cos() * (2.0 if 0 < float(x.abs().min()) < 1e-5 else 1.0), "set to 1e-06"),
    ],
)
def test_variations_reach_special_places(rule, word):
    report = check_gradient(sine(rule), {"x": normal(3, 4)})
    assert report.verdict == "differs"
    assert word in report.explain()
    assert check_gradient(sine(rule), {"x": normal(3, 4)}, variations=False).verdict == "agrees"


def held(report, kind: str) -> bool:
    return any(finding.kind == kind and finding.status == "holds" for finding in report.findings)


def test_saved_tensors_are_left_alone():
    class Spoils(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x.cos())
            return x.sin()

        @staticmethod
        def backward(ctx, dy):
            (c,) = ctx.saved_tensors
            dx = dy * c
            c.data.mul_(2)
            return dx

    def forward(x):
        return x.sin(), [x.cos()]

    def backward(saved, dy):
        saved[0].mul_(dy)
        return saved[0].clone()

    for report in (
        check_gradient(Spoils.apply, {"x": normal(4)}),
        check_gradient(forward, {"x": normal(4)}, backward=backward),
    ):
        assert any("saved" in finding.sentence for finding in report.wrong if finding.kind == "mutation")


def test_a_wrong_dtype_and_a_wrong_device_are_named():
    def forward(x):
        return x.sin(), x

    report = check_gradient(forward, {"x": normal(4)}, backward=lambda x, dy: (dy * x.cos()).float())
    assert "dtype" in {finding.kind for finding in report.wrong}
    target = resolve(forward, {"x": normal(4)}, backward=lambda x, dy: dy)
    analytic = Analytic(target)
    analytic.raw = [torch.empty(4, dtype=torch.float64, device="meta")]
    assert [finding.kind for finding in forms(analytic)] == ["device"]


class Halves(torch.autograd.Function):
    """sin x and cos x, with undefined cotangents for what is not used."""

    right = True

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        ctx.set_materialize_grads(False)
        return x.sin(), x.cos()

    @staticmethod
    def backward(ctx, ds, dc):
        (x,) = ctx.saved_tensors
        ds = torch.zeros_like(x) if ds is None else ds
        dc = torch.full_like(x, 0.0 if Halves.right else 1.0) if dc is None else dc
        return ds * x.cos() - dc * x.sin()


@pytest.mark.parametrize("right", [True, False])
def test_an_undefined_cotangent_counts_as_zero(right: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Halves, "right", right)
    report = check_gradient(Halves.apply, {"x": normal(4)})
    assert held(report, "unused outputs") is right
    assert report.verdict == ("agrees" if right else "differs")


def test_the_output_is_the_same_without_recording():
    class Shortcut(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, dy):
            return dy * ctx.saved_tensors[0].cos()

    def layer(x):
        return Shortcut.apply(x) if x.requires_grad else Shortcut.apply(x) + 1

    assert "no_grad" in {finding.kind for finding in check_gradient(layer, {"x": normal(4)}).wrong}
    assert held(check_gradient(Shortcut.apply, {"x": normal(4)}), "no_grad")


def test_a_wrong_batching_rule_is_found():
    class Double(torch.autograd.Function):
        """2·dy, whose batching rule takes the first of the batch for all."""

        generate_vmap_rule = False

        @staticmethod
        def forward(dy):
            return 2 * dy

        @staticmethod
        def setup_context(ctx, inputs, output):
            pass

        @staticmethod
        def backward(ctx, dy):
            return 2 * dy

        @staticmethod
        def vmap(info, in_dims, dy):
            first = dy.select(in_dims[0], 0)
            return 2 * first.unsqueeze(0).expand(info.batch_size, *first.shape), 0

    class Sine(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(x):
            return x.sin()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, dy):
            return Double.apply(dy) * ctx.saved_tensors[0].cos() / 2

    assert check_gradient(Sine.apply, {"x": normal(4)}).verdict == "agrees"
    report = check_gradient(Sine.apply, {"x": normal(4)}, modes=("reverse", "batched"))
    assert [finding.kind for finding in report.wrong] == ["vmap"]
    report = check_gradient(torch.sin, {"input": normal(4)}, modes=("reverse", "batched"))
    assert held(report, "batched")
    assert held(report, "vmap")


def test_a_batch_that_repeats_its_first_row_is_found(monkeypatch: pytest.MonkeyPatch):
    analytic = Analytic(resolve(torch.sin, {"input": normal(4)}))
    generator = torch.Generator().manual_seed(0)
    assert [finding.status for finding in batched(analytic, generator)] == ["holds", "holds"]
    monkeypatch.setattr(analytic, "batch", lambda rows: ("", [analytic.pull(rows[0]).pop().expand(len(rows), 4)]))
    assert [finding.status for finding in batched(analytic, generator)] == ["wrong", "holds"]


def test_strides_of_the_input_are_respected():
    def unordered(dy, x):
        values = torch.as_strided(x, x.shape, torch.empty(x.shape).stride(), x.storage_offset())
        return dy * values.cos()

    report = check_gradient(sine(unordered), {"x": normal(3, 4)})
    assert any("input transposed in memory" in finding.sentence for finding in report.wrong)


def test_an_expanded_input_gets_the_gradient_of_its_copies():
    def stored(dy, x):
        once = x[:1] if x.stride(0) == 0 else x
        return dy[: once.shape[0]].expand(x.shape) * x.cos()

    report = check_gradient(sine(stored), {"x": normal(3, 4)})
    assert any("expanded x" in finding.sentence for finding in report.wrong)
    assert held(check_gradient(torch.sin, {"input": normal(3, 4)}), "expanded inputs")


def test_an_empty_batch_gives_a_zero_gradient():
    class Affine(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.save_for_backward(x, w)
            return x * w

        @staticmethod
        def backward(ctx, dy):
            x, w = ctx.saved_tensors
            dw = (dy * x).sum(0)
            return dy * w, dw if len(x) else dw + 1

    report = check_gradient(Affine.apply, {"x": normal(3, 2), "w": normal(2, seed=1)})
    assert any("empty output" in finding.sentence for finding in report.wrong)


def test_kept_memory_is_reported():
    report = check_gradient(torch.sin, {"input": normal(1000)})
    assert any(finding.kind == "memory" and "8000 bytes" in finding.sentence for finding in report.findings)


def test_every_change_of_values_and_sizes_is_named():
    report = check_gradient(lambda x, w: x @ w, {"x": normal(3, 4), "w": normal(4, 2, seed=1)})
    (sentence,) = [finding.sentence for finding in report.findings if finding.kind == "variations"]
    for words in (
        "one entry of x set to 0 or 1 or -1 or 30 or -30 or 1e-06 or 1e+06",
        "two entries of w equal",
        "axes of 3 cut to one",
    ):
        assert words in sentence
    observed = ("mutation", "determinism", "shape", "dtype", "device")
    for kind in ("cotangent layouts", "layouts", "expanded inputs", "linearity", "float32 twin", *observed):
        assert held(report, kind)


class Power(torch.autograd.Function):
    """z² or, of a real x, (1 + 2i)·x, with or without the conjugate in the backward."""

    @staticmethod
    def forward(ctx, z, conjugated):
        ctx.save_for_backward(z)
        ctx.conjugated = conjugated
        return z * z if z.is_complex() else z * (1 + 2j)

    @staticmethod
    def backward(ctx, dy):
        (z,) = ctx.saved_tensors
        c = 2 * z if z.is_complex() else torch.tensor(1 + 2j, dtype=torch.complex128)
        dz = dy * (c.conj() if ctx.conjugated else c)
        return (dz if z.is_complex() else dz.real), None


@pytest.mark.parametrize("z", [torch.complex(normal(4), normal(4, seed=1)), normal(4)])
def test_a_forgotten_conjugate_is_named(z: torch.Tensor):
    right = check_gradient(lambda z: Power.apply(z, True), {"z": z})
    assert right.verdict == "agrees"
    assert held(right, "conjugate convention")
    wrong = check_gradient(lambda z: Power.apply(z, False), {"z": z})
    assert "conjugate convention" in {finding.kind for finding in wrong.wrong}
    assert "forgets a conjugate" in wrong.explain()
    other = check_gradient(lambda z: 2 * Power.apply(z, True) - Power.apply(z, True).detach(), {"z": z})
    assert other.verdict == "differs"
    assert "conjugate convention" not in {finding.kind for finding in other.findings}


TWINS = {
    "a sum in half precision": lambda dy, x: dy * (x.half().cos().to(x.dtype) if x.dtype is torch.float32 else x.cos()),
    "a constant that float32 does not have": lambda dy, x: dy * x.cos() * (x.abs() / (x.abs() + 1e-300)),
}


@pytest.mark.parametrize("name", TWINS)
def test_what_only_float64_bears_is_found_by_the_float32_twin(name: str):
    x = normal(3, 4)
    assert check_gradient(sine(TWINS[name]), {"x": x}, variations=False).verdict == "agrees"
    report = check_gradient(sine(TWINS[name]), {"x": torch.cat([x, x[:1] * 1e-60])})
    assert "float32 twin" in {finding.kind for finding in report.wrong}


def test_a_function_that_refuses_float32_has_no_twin():
    def strict(x):
        if x.dtype is torch.float32:
            raise TypeError("double only")
        return x.sin()

    report = check_gradient(strict, {"x": normal(4)})
    assert report.verdict == "agrees"
    assert "float32 twin" not in {finding.kind for finding in report.findings}
