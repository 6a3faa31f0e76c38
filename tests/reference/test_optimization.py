"""Optimisers, schedules, clipping and batches of the reference: against torch, formulas and planted mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
import torch

import reference.optimization as ours
import subjects.torch_nn.optimization as theirs
from assay.evidence import gamma

Step = Callable[..., tuple[Sequence[torch.Tensor], Any]]

OPTIMIZERS = {
    "sgd": {"lr": 0.1},
    "momentum": {"lr": 0.1, "beta": 0.8},
    "nesterov": {"lr": 0.1, "beta": 0.8},
    "adam": {"lr": 0.1, "beta1": 0.7, "beta2": 0.9},
}
DTYPES = [torch.float64, torch.float32]
STEPS = 6


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def parameters(dtype: torch.dtype) -> list[torch.Tensor]:
    return [draw(2, 3, 4, seed=1, dtype=dtype), draw(2, 3, seed=2, dtype=dtype), draw(seed=3, dtype=dtype)]


def run(step: Step, hyper: dict[str, float], dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    """The parameters after a few steps along random gradients that do not depend on them."""
    params: Sequence[torch.Tensor] = parameters(dtype)
    state = None
    for k in range(STEPS):
        grads = [draw(*p.shape, seed=10 * k + 4, dtype=dtype) for p in params]
        params, state = step(params, grads, state, **hyper)
    return list(params)


def differ(first: Sequence[torch.Tensor], second: Sequence[torch.Tensor], dtype: torch.dtype) -> bool:
    """More than rounding apart: a step takes at most 16 operations per entry, on numbers of size below 8."""
    allowance = 8 * gamma(16 * STEPS, dtype)
    return any(float((a - b).abs().max()) > allowance for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_follows_torch(name: str, dtype: torch.dtype) -> None:
    first = run(getattr(ours, name), OPTIMIZERS[name], dtype)
    second = run(getattr(theirs, name), OPTIMIZERS[name], dtype)
    assert not differ(first, second, dtype)
    assert all(p.dtype == dtype for p in first)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("name", "planted"),
    [
        ("sgd", lambda p, g, s, *, lr: ours.sgd(p, [-x for x in g], s, lr=lr)),
        ("sgd", lambda p, g, s, *, lr: ours.sgd(p, g, s, lr=lr * 1.001)),
        ("momentum", lambda p, g, s, *, lr, beta: ours.momentum(p, g, None, lr=lr, beta=beta)),
        ("momentum", lambda p, g, s, *, lr, beta: ours.momentum(p, g, s, lr=lr, beta=1 - beta)),
        ("momentum", lambda p, g, s, *, lr, beta: ours.nesterov(p, g, s, lr=lr, beta=beta)),
        ("nesterov", lambda p, g, s, *, lr, beta: ours.momentum(p, g, s, lr=lr, beta=beta)),
        ("adam", lambda p, g, s, *, lr, beta1, beta2: ours.adam(p, g, None, lr=lr, beta1=beta1, beta2=beta2)),
        ("adam", lambda p, g, s, *, lr, beta1, beta2: ours.adam(p, g, s, lr=lr, beta1=beta2, beta2=beta1)),
    ],
)
def test_planted_mistake_is_caught(name: str, planted: Step, dtype: torch.dtype) -> None:
    assert differ(run(planted, OPTIMIZERS[name], dtype), run(getattr(theirs, name), OPTIMIZERS[name], dtype), dtype)


def test_adam_follows_its_formula() -> None:
    w, m, s, state = draw(3), torch.zeros(3).double(), torch.zeros(3).double(), None
    moved = [w]
    for t in range(1, STEPS):
        g = draw(3, seed=t)
        m, s = 0.7 * m + 0.3 * g, 0.9 * s + 0.1 * g * g
        w = w - 0.1 * (m / (1 - 0.7**t)) / ((s / (1 - 0.9**t)) ** 0.5 + 1e-8)
        moved, state = ours.adam(moved, [g], state, lr=0.1, beta1=0.7, beta2=0.9)
    assert not differ(moved, [w], torch.float64)


@pytest.mark.parametrize("module", [ours, theirs])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_changes_nothing_in_place(module: Any, name: str) -> None:
    params, grads = parameters(torch.float64), [torch.ones_like(p) for p in parameters(torch.float64)]
    step, hyper = getattr(module, name), OPTIMIZERS[name]
    once, state = step(params, grads, None, **hyper)
    twice = step(once, grads, state, **hyper)[0]
    again = step(once, grads, state, **hyper)[0]
    assert all(torch.equal(a, b) for a, b in zip(params, parameters(torch.float64), strict=True))
    assert all(bool((g == 1).all()) for g in grads)
    assert all(torch.equal(a, b) for a, b in zip(twice, again, strict=True)), "the state was changed by its first use"


def test_momentum_without_memory_is_plain_descent() -> None:
    hyper = {"lr": 0.1}
    plain = run(ours.sgd, hyper)
    assert all(torch.equal(a, b) for a, b in zip(run(ours.momentum, hyper | {"beta": 0.0}), plain, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(run(ours.nesterov, hyper | {"beta": 0.0}), plain, strict=True))


def test_gradients_flow_through_a_step() -> None:
    w, g = draw(3).requires_grad_(), draw(3, seed=5).requires_grad_()
    (moved,), _ = ours.sgd([w], [g], None, lr=0.25)
    dw, dg = torch.autograd.grad(moved.sum(), [w, g])
    assert torch.equal(dw, torch.ones(3).double())
    assert torch.equal(dg, torch.full((3,), -0.25).double())


@pytest.mark.parametrize(
    ("name", "hyper", "message"),
    [
        ("sgd", {"lr": -0.1}, "lr is out of range"),
        ("sgd", {"lr": float("nan")}, "lr is out of range"),
        ("momentum", {"lr": 0.1, "beta": 1.0}, "beta is out of range"),
        ("nesterov", {"lr": 0.1, "beta": -0.1}, "beta is out of range"),
        ("adam", {"lr": 0.1, "beta1": 1.0}, "beta1 is out of range"),
        ("adam", {"lr": 0.1, "beta2": 1.5}, "beta2 is out of range"),
        ("adam", {"lr": 0.1, "eps": -1.0}, "eps is out of range"),
    ],
)
def test_rates_out_of_range_are_refused(name: str, hyper: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        getattr(ours, name)([draw(2)], [draw(2)], None, **hyper)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("grads", [[], [draw(3)], [draw(2), draw(2)]])
def test_gradients_that_do_not_match_are_refused(name: str, grads: list[torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="grads do not match params"):
        getattr(ours, name)([draw(2)], grads, None, **OPTIMIZERS[name])


@pytest.mark.parametrize("step", range(7))
def test_schedules_follow_torch_and_their_formulas(step: int) -> None:
    # a scheduler of torch multiplies step by step, so it rounds once per step
    rounding = gamma(step + 2, torch.float64)
    assert ours.constant_rate(step, lr=0.3) == 0.3
    for name, hyper in (("step_decay", {"factor": 0.3, "every": 3}), ("exponential_decay", {"factor": 0.7})):
        first, second = (getattr(module, name)(step, lr=0.3, **hyper) for module in (ours, theirs))
        assert abs(first - second) <= rounding * second, name
    assert ours.inverse_time_decay(step, lr=0.3, scale=2) == 0.3 / (1 + step / 2)


def test_schedules_fall() -> None:
    steps = range(12)
    stepwise = [ours.step_decay(t, lr=1.0, factor=0.5, every=3) for t in steps]
    assert stepwise == [1.0] * 3 + [0.5] * 3 + [0.25] * 3 + [0.125] * 3
    for rates in (
        [ours.exponential_decay(t, lr=1.0, factor=0.9) for t in steps],
        [ours.inverse_time_decay(t, lr=1.0, scale=4) for t in steps],
    ):
        assert rates[0] == 1.0
        assert all(later < earlier for earlier, later in pairwise(rates))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ours.constant_rate(-1, lr=0.1), "step is negative"),
        (lambda: ours.step_decay(-1, lr=0.1, factor=0.5, every=3), "step is negative"),
        (lambda: ours.step_decay(1, lr=0.1, factor=0.5, every=0), "every is too small"),
        (lambda: ours.inverse_time_decay(1, lr=0.1, scale=0.0), "scale is not positive"),
        (lambda: ours.exponential_decay(-1, lr=0.1, factor=0.5), "step is negative"),
        (lambda: ours.clip_by_value([draw(2)], -1.0), "limit is out of range"),
        (lambda: ours.clip_by_norm([draw(2)], float("inf")), "limit is out of range"),
        (lambda: ours.mean_gradient(draw(3)), "per_sample has no samples"),
        (lambda: ours.mean_gradient(draw(0, 3)), "per_sample has no samples"),
        (lambda: ours.epoch_batches(0, 3), "an epoch has no batches"),
        (lambda: ours.epoch_batches(3, 0), "an epoch has no batches"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_clipping_by_value_follows_torch(limit: float) -> None:
    grads = parameters(torch.float64)
    first, second = ours.clip_by_value(grads, limit), theirs.clip_by_value(grads, limit)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert max(float(g.abs().max()) for g in first) <= limit


def total_norm(grads: Sequence[torch.Tensor]) -> float:
    return float(torch.cat([g.flatten() for g in grads]).norm())


def test_clipping_by_norm_shortens_to_the_limit_and_keeps_the_direction() -> None:
    grads = parameters(torch.float64)
    norm, clipped = total_norm(grads), ours.clip_by_norm(grads, 0.5)
    assert norm > 0.5
    # 33 entries: squares, their sum, the root, the quotient and the product
    assert abs(total_norm(clipped) - 0.5) <= 0.5 * gamma(2 * 33 + 8, torch.float64)
    for g, c in zip(grads, clipped, strict=True):
        assert float((c - g * (0.5 / norm)).abs().max()) <= 4 * gamma(2 * 33 + 8, torch.float64)
    assert all(torch.equal(a, b) for a, b in zip(ours.clip_by_norm(grads, 100.0), grads, strict=True))
    zero = ours.clip_by_norm([torch.zeros(2)], 0.5)
    assert torch.equal(zero[0], torch.zeros(2))


@pytest.mark.parametrize("batch_dims", [0, 1])
def test_clipping_by_norm_is_torchs_up_to_its_safety_term(batch_dims: int) -> None:
    grads = parameters(torch.float64)[:2]
    first, second = (module.clip_by_norm(grads, 0.5, batch_dims=batch_dims) for module in (ours, theirs))
    shortest = (
        1.0  # no replica's norm is below one, so torch's 1e-6 in the divisor changes entries by at most 1e-6 of 0.5
    )
    for replica in zip(*grads, strict=True):
        assert total_norm(replica) > shortest
    assert max(float((a - b).abs().max()) for a, b in zip(first, second, strict=True)) <= 0.5e-6
    assert total_norm(first) == pytest.approx(0.5 * (2**0.5 if batch_dims else 1.0), rel=gamma(80, torch.float64))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (2, 5, 4)])
def test_mean_gradient_is_the_mean_over_samples(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    per_sample = draw(*shape, seed=6, dtype=dtype)
    n = shape[-2]
    exact = per_sample.double().sum(-2) / n
    allowance = gamma(n + 1, dtype) * per_sample.double().abs().mean(-2)
    for module in (ours, theirs):
        assert bool(((module.mean_gradient(per_sample).double() - exact).abs() <= allowance).all())
    if n > 1:
        assert bool(((per_sample.sum(-2).double() - exact).abs() > allowance).all()), "a sum would pass for a mean"


@pytest.mark.parametrize("module", [ours, theirs])
@pytest.mark.parametrize(("n", "size"), [(1, 1), (7, 3), (6, 3), (5, 9)])
def test_an_epoch_visits_each_sample_once(module: Any, n: int, size: int) -> None:
    in_order = module.epoch_batches(n, size)
    assert torch.cat(in_order).tolist() == list(range(n))
    assert [len(batch) for batch in in_order] == [size] * (n // size) + ([n % size] if n % size else [])
    shuffled = torch.cat(module.epoch_batches(n, size, generator=torch.Generator().manual_seed(3)))
    again = torch.cat(module.epoch_batches(n, size, generator=torch.Generator().manual_seed(3)))
    assert sorted(shuffled.tolist()) == list(range(n))
    assert torch.equal(shuffled, again)


def test_shuffled_epochs_differ() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.cat(ours.epoch_batches(20, 4, generator=generator)) for _ in range(2))
    assert not torch.equal(first, second)
