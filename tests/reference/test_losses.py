"""Losses: forward against torch, backward against the derivative, extremes, reductions, bad input."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch.nn import functional

from reference import losses
from tests.reference.protocol import Case, draw

P, Q = torch.softmax(draw(3, 4), -1), torch.softmax(draw(3, 4, seed=1), -1)
Z, LABELS = draw(3, 4, seed=2), torch.tensor([0, 3, 1])


def reduced(values: torch.Tensor, reduction: str) -> torch.Tensor:
    return {"none": lambda: values, "mean": values.mean, "sum": values.sum}[reduction]()


def divergence(p: torch.Tensor, q: torch.Tensor, reduction: str) -> torch.Tensor:
    return reduced((p * (p / q).log()).sum(-1), reduction)


def soft_cross_entropy(p: torch.Tensor, y: torch.Tensor, reduction: str) -> torch.Tensor:
    return reduced(-(y * p.log()).sum(-1), reduction)


def binary(p: torch.Tensor, y: torch.Tensor, reduction: str) -> torch.Tensor:
    return reduced(-(y * p.log() + (1 - y) * (1 - p).log()), reduction)


def binary_of_logits(z: torch.Tensor, y: torch.Tensor, reduction: str) -> torch.Tensor:
    return reduced(functional.softplus(z) - z * y, reduction)


def squared(y_hat: torch.Tensor, y: torch.Tensor, reduction: str) -> torch.Tensor:
    return reduced((y_hat - y) ** 2, reduction)


def sparse(z: torch.Tensor, labels: torch.Tensor, reduction: str) -> torch.Tensor:
    one_hot = functional.one_hot(labels, z.shape[-1])
    return reduced(torch.logsumexp(z, -1) - (one_hot * z).sum(-1), reduction)


SCALE = 10.0  # logarithms of these probabilities, logits and sums over 12 of them stay below
PLAIN: dict[str, tuple[Any, tuple[torch.Tensor, ...], Any]] = {
    "binary_cross_entropy": (losses.binary_cross_entropy, (P, Q), binary),
    "binary_cross_entropy_with_logits": (losses.binary_cross_entropy_with_logits, (Z, Q), binary_of_logits),
    "cross_entropy": (losses.cross_entropy, (Z, LABELS), sparse),
    "cross_entropy of replicas": (losses.cross_entropy, (draw(2, 3, 4), LABELS), sparse),
    "cross_entropy, each with its labels": (losses.cross_entropy, (draw(2, 3, 4), LABELS.expand(2, 3)), sparse),
    "categorical_cross_entropy": (losses.categorical_cross_entropy, (P, Q), soft_cross_entropy),
    "kl_divergence": (losses.kl_divergence, (P, Q), divergence),
    "mean_squared_error": (losses.mean_squared_error, (Z, P), squared),
    "mean_squared_error of replicas": (losses.mean_squared_error, (draw(2, 3, 4), P), squared),
}
CASES = {
    f"{name}, {reduction}": Case(component, inputs, oracle, {"reduction": reduction}, roundings=96, scale=SCALE)
    for name, (component, inputs, oracle) in PLAIN.items()
    for reduction in ("none", "mean", "sum")
}


def test_logits_of_any_size_have_a_finite_loss_and_gradient() -> None:
    z = torch.tensor([-1e300, -800.0, 0.0, 800.0, 1e300], dtype=torch.float64, requires_grad=True)
    l = losses.binary_cross_entropy_with_logits(z, torch.tensor([1.0, 1.0, 0.5, 0.0, 0.0], dtype=torch.float64))
    assert l.tolist() == [1e300, 800.0, math.log(2), 800.0, 1e300]
    assert torch.autograd.grad(l.sum(), z)[0].tolist() == [-1.0, -1.0, 0.0, 1.0, 1.0]


def test_a_logit_far_behind_costs_its_distance() -> None:
    z = torch.tensor([[0.0, 1000.0]], dtype=torch.float64, requires_grad=True)
    l = losses.cross_entropy(z, torch.tensor([0]))
    assert l.tolist() == [1000.0]
    assert torch.autograd.grad(l.sum(), z)[0].tolist() == [[-1.0, 1.0]]


def test_certainty_costs_nothing_if_right_and_everything_if_wrong() -> None:
    p = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    l = losses.binary_cross_entropy(p, torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert l.tolist() == [0.0, 0.0]
    assert torch.autograd.grad(l.sum(), p)[0].tolist() == [1.0, -1.0]
    assert losses.binary_cross_entropy(p.detach(), torch.tensor([1.0, 0.0])).tolist() == [math.inf, math.inf]


def test_zero_probabilities_add_nothing_to_a_divergence() -> None:
    p = torch.tensor([0.0, 0.25, 0.75], dtype=torch.float64)
    q = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
    assert losses.kl_divergence(p, q).item() == pytest.approx(0.75 * math.log(3), rel=1e-15)  # a few roundings
    assert torch.func.grad(lambda q: losses.kl_divergence(p, q))(q).tolist() == [0.0, -1.0, -3.0]
    assert losses.kl_divergence(q, p).item() == math.inf
    assert torch.func.grad(lambda q: losses.categorical_cross_entropy(q, p))(p).tolist() == [0.0, -1.0, -1.0]


def test_second_derivatives_at_certainty_are_finite() -> None:
    p = torch.tensor([0.0, 0.5], dtype=torch.float64, requires_grad=True)
    (dp,) = torch.autograd.grad(
        losses.categorical_cross_entropy(p, torch.tensor([0.0, 1.0], dtype=torch.float64)), p, create_graph=True
    )
    assert torch.autograd.grad(dp.sum(), p)[0].tolist() == [0.0, 4.0]


def test_training_a_hundred_replicas_is_one_call_under_vmap() -> None:
    z, labels = draw(100, 5, 3), torch.randint(3, (100, 5), generator=torch.Generator().manual_seed(0))
    slopes = torch.func.vmap(torch.func.grad(lambda z, y: losses.cross_entropy(z, y, reduction="mean")))(z, labels)
    alone = torch.func.grad(lambda z: losses.cross_entropy(z, labels[7], reduction="mean"))(z[7])
    assert float((slopes[7] - alone).abs().max()) <= 1e-15  # entries below 1/5, a few roundings


REFUSED = {
    "class out of range": (lambda: losses.cross_entropy(Z, torch.tensor([0, 4, 1])), "0 <= label < 4"),
    "negative class": (lambda: losses.cross_entropy(Z, torch.tensor([0, -1, 1])), "1 of 3"),
    "too many labels": (lambda: losses.cross_entropy(Z, torch.zeros(2, 3, dtype=torch.long)), "too many labels"),
    "labels that do not fit": (lambda: losses.cross_entropy(Z, torch.tensor([0, 1])), "do not fit"),
    "labels that are no integers": (lambda: losses.cross_entropy(Z, torch.ones(3)), "no integers"),
    "integer logits": (lambda: losses.cross_entropy(torch.ones(3, 4, dtype=torch.int64), LABELS), "got integers"),
    "no class": (lambda: losses.cross_entropy(torch.empty(3, 0), LABELS), "empty axis"),
    "probability above one": (lambda: losses.binary_cross_entropy(3 * P, Q), "0 <= value <= 1"),
    "NaN labels": (lambda: losses.binary_cross_entropy_with_logits(Z, Q * math.nan), "12 of 12"),
    "negative probability": (lambda: losses.kl_divergence(-P, Q), "0 <= value <= 1"),
    "shapes that do not fit": (lambda: losses.mean_squared_error(Z, draw(3, 5)), "do not fit"),
    "unknown reduction": (lambda: losses.mean_squared_error(Z, Z, reduction="average"), "one of none, mean, sum"),
    "scalar probabilities": (lambda: losses.kl_divergence(P.sum(), P.sum()), "at least 1 axes"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
