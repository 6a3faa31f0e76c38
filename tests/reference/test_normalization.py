"""Normalisation: forward against torch and plain formulas, backward against the derivative, statistics, bad input."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from assay.evidence import gamma
from reference import normalization as ours
from subjects.torch_nn import normalization as theirs
from tests.reference.protocol import Case, draw

X, IMAGES = draw(5, 3), draw(3, 2, 2, 2, seed=1)
GAIN, SHIFT, MEAN = draw(3, seed=2), draw(3, seed=3), draw(3, seed=4)
VARIANCE = draw(3, seed=5).square() + 0.1


def batch_norm(x: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    return functional.batch_norm(x, None, None, gain, shift, training=True)


def evaluated(
    x: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor
) -> torch.Tensor:
    return (x - mean) / (variance + 1e-5) ** 0.5 * gain + shift


def layer_norm(x: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor, eps: float) -> torch.Tensor:
    return functional.layer_norm(x, gain.shape, gain, shift, eps)


def min_max(x: torch.Tensor, dim: int) -> torch.Tensor:
    low, high = x.min(dim, keepdim=True).values, x.max(dim, keepdim=True).values
    return (x - low) / (high - low)


def mean_normalisation(x: torch.Tensor, dim: int) -> torch.Tensor:
    return (x - x.mean(dim, keepdim=True)) / (x.max(dim, keepdim=True).values - x.min(dim, keepdim=True).values)


def z_score(x: torch.Tensor, dim: int, correction: int) -> torch.Tensor:
    return (x - x.mean(dim, keepdim=True)) / x.std(dim, keepdim=True, correction=correction)


TIES = (torch.tensor([[2.0, 5.0, 5.0, -1.0], [1.0, 1.0, 3.0, 0.5], [0.0, 3.0, -1.0, 0.5]], dtype=torch.float64),)
SCALE = 10.0  # a gain below 3 on normalised values below 3
CASES = {
    "batch_norm": Case(ours.batch_norm, (X, GAIN, SHIFT), batch_norm, scale=SCALE),
    "batch_norm of images": Case(ours.batch_norm, (IMAGES, GAIN[:2], SHIFT[:2]), batch_norm, scale=SCALE),
    "batch_norm_evaluation": Case(ours.batch_norm_evaluation, (X, GAIN, SHIFT, MEAN, VARIANCE), evaluated, scale=SCALE),
    "layer_norm": Case(ours.layer_norm, (X, GAIN, SHIFT), layer_norm, {"eps": 1e-3}, scale=SCALE),
    "layer_norm of sequences": Case(
        ours.layer_norm, (draw(2, 4, 3), GAIN, SHIFT), layer_norm, {"eps": 0.1}, scale=SCALE
    ),
    "residual": Case(ours.residual, (X, draw(5, 3, seed=6)), torch.add, scale=SCALE),
    "min_max": Case(ours.min_max, (X,), min_max, {"dim": 0}, scale=SCALE),
    "min_max of rows": Case(ours.min_max, (X,), min_max, {"dim": -1}, scale=SCALE, kinks=TIES),
    "mean_normalisation": Case(ours.mean_normalisation, (X,), mean_normalisation, {"dim": 0}, scale=SCALE),
    "mean_normalisation of rows": Case(
        ours.mean_normalisation, (X,), mean_normalisation, {"dim": 1}, scale=SCALE, kinks=TIES
    ),
    "z_score": Case(ours.z_score, (X,), z_score, {"dim": 0, "correction": 0}, scale=SCALE),
    "z_score, unbiased": Case(ours.z_score, (X,), z_score, {"dim": 1, "correction": 1}, scale=SCALE),
}


def test_evaluation_after_many_batches_agrees_with_training() -> None:
    mean, variance = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for _ in range(200):
        mean, variance = ours.running_statistics(X, mean, variance, rate=0.2)
    left = 0.8**200  # of the first statistics
    assert float((mean - X.mean(0)).abs().max()) <= left * 4 + gamma(600, torch.float64) * 4
    assert float((variance - X.var(0)).abs().max()) <= left * 4 + gamma(600, torch.float64) * 4
    biased = X.var(0, correction=0)
    y = ours.batch_norm_evaluation(X, GAIN, SHIFT, X.mean(0), biased)
    assert float((y - ours.batch_norm(X, GAIN, SHIFT)).abs().max()) <= gamma(64, torch.float64) * SCALE


@pytest.mark.parametrize("x", [X, IMAGES])
def test_running_statistics_follow_torch(x: torch.Tensor) -> None:
    d = x.shape[1]
    mine = ours.running_statistics(x, MEAN[:d], VARIANCE[:d], rate=0.3)
    for a, b in zip(mine, theirs.running_statistics(x, MEAN[:d], VARIANCE[:d], rate=0.3), strict=True):
        assert float((a - b).abs().max()) <= gamma(32, torch.float64) * SCALE


def test_replicas_are_one_call_under_vmap() -> None:
    x, gain, shift = draw(4, 5, 3), draw(4, 3), draw(4, 3)
    y = torch.func.vmap(ours.batch_norm)(x, gain, shift)
    alone = ours.batch_norm(x[2], gain[2], shift[2])
    assert float((y[2] - alone).abs().max()) <= gamma(32, torch.float64) * SCALE


def test_constant_features_give_the_shift_in_batch_norm() -> None:
    y = ours.batch_norm(torch.full((4, 3), 7.0, dtype=torch.float64), GAIN, SHIFT)
    assert torch.equal(y, SHIFT.expand(4, 3))


def test_a_tie_of_extremes_goes_to_the_first_case() -> None:
    x = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64, requires_grad=True)
    (dx,) = torch.autograd.grad(ours.min_max(x)[1], x)
    assert dx.tolist() == [0.0, 0.0, 0.0]  # the first of two largest stays at 1 wherever it goes
    (dx,) = torch.autograd.grad(ours.min_max(x)[2], x)
    assert dx.tolist() == [0.0, -1.0, 1.0]


ONES = torch.ones(4, 3, dtype=torch.float64)
REFUSED = {
    "gain of another size": (lambda: ours.batch_norm(X, GAIN[:2], SHIFT), "gain of another size"),
    "no batch axis": (lambda: ours.batch_norm(X[0], GAIN, SHIFT), "at least 2 axes"),
    "empty batch": (lambda: ours.batch_norm(X[:0], GAIN, SHIFT), "empty batch"),
    "integers": (lambda: ours.layer_norm(X.long(), GAIN, SHIFT), "got integers"),
    "negative eps": (lambda: ours.layer_norm(X, GAIN, SHIFT, eps=-1.0), "eps >= 0"),
    "NaN eps": (lambda: ours.layer_norm(X, GAIN, SHIFT, eps=math.nan), "eps >= 0"),
    "negative variance": (lambda: ours.batch_norm_evaluation(X, GAIN, SHIFT, MEAN, -VARIANCE), "variance >= 0"),
    "one value a feature": (lambda: ours.running_statistics(X[:1], MEAN, VARIANCE), "two for each feature"),
    "rate above one": (lambda: ours.running_statistics(X, MEAN, VARIANCE, rate=1.5), "0 <= rate <= 1"),
    "branches that differ": (lambda: ours.residual(X, X[:1]), "shapes that differ"),
    "constant feature, min-max": (lambda: ours.min_max(ONES), "not constant"),
    "constant feature, mean": (lambda: ours.mean_normalisation(ONES), "not constant"),
    "constant feature, z": (lambda: ours.z_score(ONES), "not constant"),
    "axis that is not there": (lambda: ours.min_max(X, dim=2), "axis that is not there"),
    "correction too large": (lambda: ours.z_score(X[:1], correction=1), "0 <= correction < 1"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
