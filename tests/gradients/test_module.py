"""check_module on large modules: parameters and inputs, buffers, modes, dtypes, regions that are wrong throughout, progress."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from assay.errors import GradientInputError
from assay.gradients import GradientReport, check_module

SIZE = 160
Damage = Callable[[Tensor, Tensor, Tensor], None]


class Affine(torch.autograd.Function):
    """x Wᵀ + b; `damage(dx, dw, db)` spoils its gradients in place."""

    @staticmethod
    def forward(ctx, x, w, b, damage):
        ctx.save_for_backward(x, w)
        ctx.damage = damage
        return x @ w.T + b

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        dx, dw, db = dy @ w, dy.T @ x, dy.sum(0)
        ctx.damage(dx, dw, db)
        return dx, dw, db, None


class Layer(nn.Module):
    """tanh of an affine map of SIZE numbers."""

    def __init__(self, damage: Damage = lambda dx, dw, db: None, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter((torch.randn(SIZE, SIZE, generator=generator) / SIZE**0.5).to(dtype))
        self.bias = nn.Parameter(torch.randn(SIZE, generator=generator).to(dtype))
        self.damage = damage

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(Affine.apply(x, self.weight, self.bias, self.damage))


def wrong(report: GradientReport) -> dict[str, set[str]]:
    """The wrong entries of every record that has some."""
    return {record.name: {entry.index for entry in record.wrong} for record in report.entries if record.wrong_count}


def one(dtype: str = "float64") -> tuple[str]:
    return (f"{dtype}[3,{SIZE}]",)


def test_a_right_large_module_has_a_record_for_inputs_and_parameters():
    report = check_module(Layer(), one())
    assert report.verdict == "agrees"
    assert [record.name for record in report.entries] == ["x", "parameter weight", "parameter bias"]
    assert all(0 < record.resolution < 1e-3 for record in report.entries)


def test_a_wrong_entry_of_an_input_of_a_large_module_is_located():
    def damage(dx: Tensor, dw: Tensor, db: Tensor) -> None:
        dx[1, 7] *= 1.01

    assert wrong(check_module(Layer(damage), one())) == {"x": {"[1, 7]"}}


def test_wrong_entries_of_two_parameters_are_located():
    def damage(dx: Tensor, dw: Tensor, db: Tensor) -> None:
        dw[5, 9] *= 1.001
        db[3] *= -1

    assert wrong(check_module(Layer(damage), one())) == {"parameter weight": {"[5, 9]"}, "parameter bias": {"[3]"}}


@pytest.mark.parametrize(
    ("place", "count", "words"),
    [
        ((slice(None), slice(None)), SIZE * SIZE, "times what it should be"),
        ((7, slice(None)), SIZE, "index 7 of axis 0"),
        ((slice(None), 11), SIZE, "index 11 of axis 1"),
    ],
)
def test_a_region_that_is_wrong_throughout_is_found_without_going_through_it(place, count: int, words: str):
    def damage(dx: Tensor, dw: Tensor, db: Tensor) -> None:
        dw[place] *= 1.5

    report = check_module(Layer(damage), one())
    assert report.verdict == "differs"
    (record,) = [record for record in report.entries if record.wrong_count]
    assert (record.name, record.wrong_count) == ("parameter weight", count)
    assert words in report.explain()
    assert report.forwards < 1500


def test_a_whole_small_parameter_beside_a_large_one_is_called_wrong_throughout():
    def damage(dx: Tensor, dw: Tensor, db: Tensor) -> None:
        db *= 2

    report = check_module(Layer(damage), one())
    assert {record.name: record.wrong_count for record in report.entries if record.wrong_count} == {
        "parameter bias": SIZE
    }
    assert "bias is wrong throughout" in report.guess


class Faint(nn.Module):
    """A layer beside a gain whose gradient is a hundred million times smaller."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.layer, self.factor = Layer(), factor
        self.gain = nn.Parameter(torch.linspace(0.5, 1.5, SIZE, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        gain = Affine.apply(self.gain[None], torch.eye(SIZE).double(), torch.zeros(SIZE).double(), self.damage)
        return self.layer(x) + 1e-8 * gain

    def damage(self, dx: Tensor, dw: Tensor, db: Tensor) -> None:
        dx *= self.factor


def test_a_gradient_that_drowns_beside_the_others_is_searched_by_itself():
    assert check_module(Faint(1.0), one()).verdict == "agrees"
    report = check_module(Faint(1.1), one())
    assert set(wrong(report)) == {"parameter gain"}


def test_a_gradient_that_cannot_be_heard_is_unresolved():
    class Deaf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.linspace(1, 2, 30_000, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return 1e8 + 1e-9 * self.weight.sin() + 0 * x

    assert check_module(Deaf(), (torch.ones(1, dtype=torch.float64),), training=False).verdict == "unresolved"


def test_a_gradient_that_is_only_rounding_agrees():
    class Invariant(nn.Module):
        """Softmax does not change when every logit moves: the gradient of the shift is zero up to rounding."""

        def __init__(self) -> None:
            super().__init__()
            self.layer, self.shift = Layer(), nn.Parameter(torch.ones(1, dtype=torch.float64))

        def forward(self, x: Tensor) -> Tensor:
            return (self.layer(x) + self.shift).softmax(-1)

    assert check_module(Invariant(), one()).verdict == "agrees"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_narrow_modules_agree_and_their_mistakes_are_located(dtype: str):
    def damage(dx: Tensor, dw: Tensor, db: Tensor) -> None:
        dw[3, 7] *= 1.001

    narrow = getattr(torch, dtype)
    module = Layer(dtype=narrow)
    assert check_module(module, one(dtype)).verdict == "agrees"
    assert module.weight.dtype is narrow
    assert wrong(check_module(Layer(damage, narrow), one(dtype))) == {"parameter weight": {"[3, 7]"}}


def test_a_mistake_in_the_narrow_path_alone_is_found():
    def damage(dx: Tensor, dw: Tensor, db: Tensor) -> None:
        if dw.dtype is torch.bfloat16:
            dw[4, 2] += 10

    report = check_module(Layer(damage, torch.bfloat16), one("bfloat16"))
    assert report.verdict == "differs"
    assert "weight[4, 2]" in report.explain()


def test_a_module_that_refuses_float64_is_measured_in_its_own_dtype():
    class Fixed(Layer):
        def forward(self, x: Tensor) -> Tensor:
            if x.dtype is torch.float64:
                raise RuntimeError("no double here")
            return super().forward(x)

    report = check_module(Fixed(dtype=torch.float32), one("float32"))
    assert report.verdict in ("agrees", "unresolved")
    assert any(finding.kind == "precision" and finding.status == "note" for finding in report.findings)


class Normed(nn.Module):
    """A layer, batch normalisation in the module's mode, a frozen scale."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.layer, self.norm = Layer(self.damage), nn.BatchNorm1d(SIZE).double()
        self.scale = nn.Parameter(torch.full((SIZE,), 2.0, dtype=torch.float64), requires_grad=False)
        self.factor = factor

    def damage(self, dx: Tensor, dw: Tensor, db: Tensor) -> None:
        if not self.training:
            dw *= self.factor

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.layer(x)) * self.scale


def test_buffers_stay_and_the_other_mode_is_checked():
    module = Normed()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    report = check_module(module, (f"float64[8,{SIZE}]",))
    assert report.verdict == "agrees"
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert module.training
    assert "parameter scale" not in {record.name for record in report.entries}
    (mode,) = [finding for finding in report.findings if finding.kind == "evaluation mode"]
    assert mode.status == "holds"


def test_a_mistake_in_the_other_mode_is_a_finding():
    report = check_module(Normed(1.5), (f"float64[8,{SIZE}]",))
    assert [finding.kind for finding in report.wrong] == ["evaluation mode"]
    assert check_module(Normed(1.5), (f"float64[8,{SIZE}]",), training=True).verdict == "agrees"
    assert check_module(Normed(1.5), (f"float64[8,{SIZE}]",), training=False).verdict == "differs"


def test_dropout_is_given_one_seed():
    module = nn.Sequential(Layer(), nn.Dropout(0.5))
    assert check_module(module, one()).verdict == "agrees"


class Two(nn.Module):
    """Two inputs whose order matters."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, size, dtype=torch.float64, generator=torch.manual_seed(0)))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return (x @ self.weight).tanh() * mask


@pytest.mark.parametrize("size", [4, SIZE])
def test_inputs_by_name_come_in_any_order(size: int):
    report = check_module(Two(size), {"mask": torch.ones(1, dtype=torch.float64), "x": f"float64[3,{size}]"})
    assert report.verdict == "agrees"


@pytest.mark.parametrize("size", [4, SIZE])
def test_a_loss_keeps_the_names_of_the_module(size: int):
    report = check_module(
        Two(size),
        {"x": f"float64[3,{size}]", "mask": torch.ones(1, dtype=torch.float64)},
        loss=lambda y: y.square().sum(),
    )
    assert report.verdict == "agrees"
    assert report.target == "Two"
    assert {record.name for record in report.entries} == {"x", "mask", "parameter weight"}


@pytest.mark.parametrize(
    ("module", "inputs", "words"),
    [
        (Layer(), ("float64[3,4]",), "raises RuntimeError"),
        (nn.Sequential(Layer(), nn.Hardtanh(float("nan"), float("inf"))), one(), "NaN"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_sentence(module: nn.Module, inputs, words: str):
    with pytest.raises(GradientInputError, match=words) as caught:
        check_module(module, inputs)
    assert "\n" not in str(caught.value)
    assert "expected" in str(caught.value)


def test_options_that_a_search_does_not_know_are_noted():
    report = check_module(Layer(), one(), training=True, order=2, entries=None, tolerance=0.5)
    (note,) = [finding for finding in report.findings if finding.kind == "options"]
    assert "order, tolerance" in note.sentence
    assert not [f for f in check_module(Layer(), one(), training=True, order=1).findings if f.kind == "options"]


def test_progress_is_shown_on_a_console():
    stream = io.StringIO()
    check_module(Layer(), one(), progress=Console(file=stream, force_terminal=True, width=100), training=True)
    assert "checking Layer" in stream.getvalue()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_modules_on_cuda_are_searched_there(dtype: str):
    def damage(dx: Tensor, dw: Tensor, db: Tensor) -> None:
        dw[3, 7] *= 1.01

    narrow = getattr(torch, dtype)
    assert check_module(Layer(dtype=narrow), one(dtype), device="cuda").verdict == "agrees"
    assert wrong(check_module(Layer(damage, narrow), one(dtype), device="cuda")) == {"parameter weight": {"[3, 7]"}}
