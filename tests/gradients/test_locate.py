"""Group testing: exact places, few forward evaluations, nothing spurious; modules of any size."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from assay.errors import GradientInputError
from assay.gradients import check_gradient, check_module
from assay.gradients.coefficients import BLOCK, Coefficients
from assay.gradients.field import Field, Measured
from assay.gradients.locate import search
from benchmarks.gradients.location import in_a_process


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, wrong):
        ctx.save_for_backward(x, w)
        ctx.wrong = wrong
        return x @ w.T

    @staticmethod
    def backward(ctx, dy):
        x, w = ctx.saved_tensors
        dw = dy.T @ x
        for row, column, factor in ctx.wrong:
            dw[row, column] *= factor
        return dy @ w, dw, None


class Layer(torch.nn.Module):
    def __init__(self, size: int, wrong: list[tuple[int, int, float]], dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = torch.nn.Parameter(torch.randn(size, size, dtype=dtype, generator=generator) / size**0.5)
        self.bias = torch.nn.Parameter(torch.zeros(size, dtype=dtype))
        self.wrong = wrong

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(Product.apply(x, self.weight, self.wrong) + self.bias)


@pytest.mark.parametrize("count", [1, 4])
def test_wrong_entries_are_located_exactly_within_the_bound(count: int):
    size = 250
    wrong = [(7 * k, 3 + 5 * k, 1 + 1e-3) for k in range(count)]
    report = check_module(Layer(size, wrong), ("float64[3,250]",))
    found = {entry.index for record in report.entries for entry in record.wrong}
    assert found == {f"[{row}, {column}]" for row, column, _ in wrong}
    assert report.forwards <= 20 * count * math.log2(size * size / count + 1) + 200


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_right_large_module_agrees_and_is_left_as_it_was(dtype: torch.dtype):
    module = Layer(200, [], dtype)
    before = module.weight.detach().clone()
    assert check_module(module, ("float64[3,200]" if dtype is torch.float64 else "float32[3,200]",)).verdict == "agrees"
    assert torch.equal(module.weight, before)
    assert module.weight.grad is None


def test_a_narrow_module_is_searched_on_a_wide_replica_and_held_against_it():
    report = check_module(Layer(200, [(3, 7, 1 + 1e-3)], torch.float32), ("float32[3,200]",))
    assert [entry.index for record in report.entries for entry in record.wrong] == ["[3, 7]"]

    class Narrow(Layer):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.wrong = [(2, 5, 1.5)] if x.dtype is torch.float32 else []
            return super().forward(x)

    narrow = check_module(Narrow(200, [], torch.float32), ("float32[3,200]",))
    assert narrow.verdict == "differs"
    assert "weight[2, 5]" in narrow.explain()


def test_coefficients_are_the_same_in_pieces_and_at_places_and_never_small():
    size = 3 * BLOCK + 17
    coefficients = Coefficients(size, 5)
    cpu = torch.device("cpu")
    drawn = torch.cat([window * factor for _, _, window, factor in coefficients.pieces(0, size, cpu)])
    part = torch.cat([window * factor for _, _, window, factor in coefficients.pieces(100, 2 * BLOCK + 9, cpu)])
    assert drawn.shape == (size,)
    assert torch.equal(part, drawn[100 : 2 * BLOCK + 9])
    places = torch.tensor([0, BLOCK - 1, BLOCK, size - 1])
    assert torch.equal(coefficients.at(places), drawn[places])
    assert 0.25 <= float(drawn.abs().min()) <= float(drawn.abs().max()) <= 1
    # A sum of n independent draws of variance (7/12)² stays within five of its deviations.
    assert abs(float(drawn.sum())) <= 5 * 7 / 12 * size**0.5
    assert not torch.equal(drawn, torch.cat([w * f for _, _, w, f in Coefficients(size, 6).pieces(0, size, cpu)]))


def test_a_field_is_put_back_when_the_function_fails_and_leaves_sources_and_gradients_alone():
    source, calls = torch.linspace(-1, 1, 1000, dtype=torch.float64), iter(range(100))
    moved, kept = source.clone(), source.clone()
    gradient = moved.cos()

    def value() -> float:
        if next(calls) == 5:
            raise RuntimeError("enough")
        return float(moved.sin().sum())

    field = Field([source], [moved], [gradient], [(1000,)], value, 0)
    with pytest.raises(RuntimeError, match="enough"):
        field.measure(0, 1000, 1)
    assert torch.equal(moved, kept)
    assert torch.equal(source, kept)
    assert not field.measure(10, 700, 1).wrong
    field.corrections[20] = 5.0
    assert field.measure(10, 700, 1).wrong
    assert not field.measure(21, 700, 1).wrong
    assert torch.equal(gradient, kept.cos())


def test_ten_million_parameters_are_searched_in_three_copies_of_them():
    row = in_a_process(10**7, 1, "float64")
    assert row["exact"]
    assert row["forwards"] <= row["bound"]
    assert row["copies"] <= 3.0


def test_one_wrong_entry_of_a_large_input_is_located():
    def tanh(x):
        return Product.apply(torch.eye(1, dtype=torch.float64), x[:, None], [(31_234, 0, 1.5)]).tanh()

    report = check_gradient(tanh, {"x": torch.linspace(-2, 2, 40_000, dtype=torch.float64)}, variations=False)
    assert [entry.index for entry in report.entries[0].wrong] == ["[31234]"]


# The bias before a normalisation has no gradient but rounding; in these draws it stays the same when the bias alone moves.
@pytest.mark.parametrize("seed", [0, 53, 56, 80])
def test_small_modules_are_checked_with_parameters_inputs_and_both_modes(seed: int):
    torch.manual_seed(seed)
    module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3), torch.nn.Tanh()).double()
    running = module[1].running_mean.clone()
    report = check_module(module, {"input": "float64[6,4]"})
    assert report.verdict == "agrees"
    assert {record.name for record in report.entries} >= {"input", "parameter 0.weight", "parameter 1.bias"}
    assert any(finding.kind == "evaluation mode" and finding.status == "holds" for finding in report.findings)
    assert torch.equal(module[1].running_mean, running)
    assert module.training


def test_a_module_that_the_check_makes_is_drawn_by_its_seed_and_the_generators_stay():
    def weights(seed: int) -> list[float]:
        report = check_module(
            lambda: torch.nn.Linear(3, 2).double(), {"input": "float64[2,3]"}, seed=seed, entries="all"
        )
        return [record.worst.analytic for record in report.entries if record.worst is not None]

    torch.manual_seed(17)
    first, after = weights(0), torch.rand(1)
    torch.manual_seed(18)
    assert weights(0) == first
    assert weights(1) != first
    torch.manual_seed(17)
    assert torch.equal(torch.rand(1), after)


def test_a_check_of_a_function_that_draws_leaves_the_generators():
    drawn = torch.get_rng_state()
    check_gradient(torch.nn.functional.dropout, {"input": torch.linspace(1, 2, 6, dtype=torch.float64)})
    assert torch.equal(torch.get_rng_state(), drawn)


def test_a_wrong_small_module_differs_through_a_loss():
    report = check_module(
        Layer(5, [(1, 2, 0.5)]), (torch.ones(2, 5, dtype=torch.float64),), loss=lambda y: y.square().sum()
    )
    assert report.verdict == "differs"
    assert [entry.index for record in report.entries for entry in record.wrong] == ["[1, 2]"]


def test_what_is_no_module_is_refused():
    with pytest.raises(GradientInputError, match="no module"):
        check_module(lambda: 3, ("float64[3]",))
    with pytest.raises(GradientInputError, match="cannot be read"):
        check_module(Layer(3, []), ("float99[3]",))


@pytest.mark.parametrize("always", [True, False])
def test_a_broken_comparison_does_not_pass_these_tests(always: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Measured, "wrong", property(lambda self: always))
    right, wrong = (check_module(Layer(150, places), ("float64[3,150]",)) for places in ([], [(3, 7, 1.5)]))
    assert (right.verdict, wrong.verdict) != ("agrees", "differs")


def test_coefficients_that_are_all_alike_do_not_pass_these_tests(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("assay.gradients.coefficients.signs", lambda count, _: torch.ones(count, dtype=torch.float64))
    x = torch.linspace(0.5, 1, 30_000, dtype=torch.float64)
    opposite = Field([x], [x.clone()], [torch.ones_like(x)], [(30_000,)], lambda: 0.0, 0)
    opposite.value = lambda: float(opposite.moved[0].sum())
    opposite.base = opposite.value()
    opposite.gradients[0][:2] += torch.tensor([1.0, -1.0], dtype=torch.float64)
    assert search(opposite).wrong == {}
    monkeypatch.undo()
    assert set(search(replace(opposite, corrections={})).wrong) == {0, 1}
