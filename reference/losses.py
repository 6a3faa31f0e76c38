"""Losses: what a prediction costs. `reduction` is "none" (one loss per case), "mean" or "sum" over all of them.

Below, l is the loss of one case, L the reduced loss, dL the gradient of all that follows by L, n the number of cases.
"""

from __future__ import annotations

import torch

from reference.activations import log_softmax_forward, sigmoid_forward
from reference.checks import (
    require_axis,
    require_broadcast,
    require_choice,
    require_dims,
    require_floating,
    require_values,
)
from reference.differentiable import Differentiable

Saved = tuple[torch.Tensor, ...]
Pair = tuple[torch.Tensor, torch.Tensor]

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "categorical_cross_entropy", "cross_entropy",
    "kl_divergence", "mean_squared_error",
]  # fmt: skip


def _reduced(losses: torch.Tensor, reduction: str) -> torch.Tensor:
    return {"none": lambda: losses, "mean": losses.mean, "sum": losses.sum}[reduction]()


def _share(dL: torch.Tensor, cases: torch.Size, reduction: str) -> torch.Tensor:
    """The gradient of everything downstream by each case's own loss: dL, or dL / n under the mean."""
    return (dL / cases.numel() if reduction == "mean" else dL).expand(cases)


def _check(
    name: str, reduction: str, *, within_unit: tuple[torch.Tensor, ...] = (), **tensors: torch.Tensor
) -> torch.Size:
    """The common shape of the tensors, once they are found to be fit for a loss."""
    require_choice(name, "reduction", reduction, ("none", "mean", "sum"))
    require_floating(name, **tensors)
    shape = require_broadcast(name, *(tensor.shape for tensor in tensors.values()))
    for tensor in within_unit:
        require_values(name, "0 <= value <= 1", (tensor >= 0) & (tensor <= 1))
    return shape


def _ratio(y: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
    """y / p, with 0 / 0 = 0: the derivative of y · log p where 0 · log 0 = 0."""
    return torch.where(y == 0, torch.zeros_like(p * y), y / torch.where(y == 0, 1.0, p))


def binary_cross_entropy_forward(
    p: torch.Tensor, y: torch.Tensor, *, reduction: str = "none"
) -> tuple[torch.Tensor, Saved]:
    """Binary cross-entropy of a predicted probability.

    Shapes: p (...), y (...) -> L (...) or ()
    Forward:
        (1) l = -(y · log p + (1 - y) · log(1 - p))
    Backward:
        (2) dp = dl · ((1 - y) / (1 - p) - y / p)
        (3) dy = dl · (log(1 - p) - log p)
    Conventions: 0 · log 0 = 0; natural logarithm; p and y broadcast; values outside [0, 1] are refused on the CPU
        and give NaN elsewhere.
    Units: nats.
    Example: binary_cross_entropy(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])).tolist() == [0.0, float("inf")]
    Asked: gfg-14.6
    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 4.3.2.
    """
    _check("binary_cross_entropy", reduction, within_unit=(p, y), p=p, y=y)
    l = -(torch.xlogy(y, p) + torch.special.xlog1py(1 - y, -p))  # (1)
    return _reduced(l, reduction), (p, y)


def binary_cross_entropy_backward(saved: Saved, dL: torch.Tensor, *, reduction: str = "none") -> Pair:
    p, y = saved
    dl = _share(dL, torch.broadcast_shapes(p.shape, y.shape), reduction)
    dp = dl * (_ratio(1 - y, 1 - p) - _ratio(y, p))  # (2)
    dy = dl * (torch.log1p(-p) - p.log())  # (3)
    return dp.sum_to_size(p.shape), dy.sum_to_size(y.shape)


def binary_cross_entropy_with_logits_forward(
    z: torch.Tensor, y: torch.Tensor, *, reduction: str = "none"
) -> tuple[torch.Tensor, Saved]:
    """Binary cross-entropy of sigmoid(z), computed from the logit.

    Shapes: z (...), y (...) -> L (...) or ()
    Forward:
        (1) l = max(z, 0) - z · y + log(1 + exp(-|z|))
    Backward:
        (2) dz = dl · (sigmoid(z) - y)
        (3) dy = -dl · z
    Conventions: finite for every finite z; z and y broadcast; labels outside [0, 1] are refused on the CPU.
    Units: nats.
    Example: binary_cross_entropy_with_logits(torch.tensor([1000.0, -1000.0]), torch.ones(2)).tolist() == [0.0, 1000.0]
    Asked: gfg-12.4, gfg-14.6, ib-14.3, ib-14.5, ib-14.6
    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 4.3.2.
    """
    _check("binary_cross_entropy_with_logits", reduction, within_unit=(y,), z=z, y=y)
    l = z.clamp_min(0) - z * y + torch.log1p((-z.abs()).exp())  # (1)
    return _reduced(l, reduction), (z, y)


def binary_cross_entropy_with_logits_backward(saved: Saved, dL: torch.Tensor, *, reduction: str = "none") -> Pair:
    z, y = saved
    dl = _share(dL, torch.broadcast_shapes(z.shape, y.shape), reduction)
    dz = dl * (sigmoid_forward(z)[0] - y)  # (2)
    dy = -dl * z  # (3)
    return dz.sum_to_size(z.shape), dy.sum_to_size(y.shape)


def cross_entropy_forward(
    z: torch.Tensor, labels: torch.Tensor, *, reduction: str = "none"
) -> tuple[torch.Tensor, Saved]:
    """Sparse categorical cross-entropy of softmax(z) for one true class per case, computed from the logits.

    Shapes: z (..., c), labels (...) -> L (...) or ()
    Forward:
        (1) q = log softmax(z)
        (2) l = -q[label]
    Backward:
        (3) dz = dl · (exp(q) - one-hot(label))
    Conventions: labels are integers in [0, c) and broadcast to z's cases; a class that does not exist is refused on
        the CPU and gives NaN elsewhere.
    Units: nats.
    Example: cross_entropy(torch.tensor([[0.0, 1000.0]]), torch.tensor([0])).tolist() == [1000.0]
    Asked: gfg-12.5, gfg-14.8, ib-14.1, ib-14.2, ib-14.4
    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 6.2.2.3.
    """
    at = _check_classes(z, labels, reduction)
    q, _ = log_softmax_forward(z)  # (1) (..., c)
    exists = (at >= 0) & (at < z.shape[-1])
    chosen = q.gather(-1, at.clamp(0, z.shape[-1] - 1).unsqueeze(-1)).squeeze(-1)
    l = -torch.where(exists, chosen, torch.nan)  # (2) (...)
    return _reduced(l, reduction), (q, labels)


def cross_entropy_backward(saved: Saved, dL: torch.Tensor, *, reduction: str = "none") -> tuple[torch.Tensor, None]:
    q, labels = saved
    dl = _share(dL, q.shape[:-1], reduction)
    one_hot = labels.unsqueeze(-1) == torch.arange(q.shape[-1], device=q.device)  # (..., c)
    return dl.unsqueeze(-1) * (q.exp() - one_hot.to(q.dtype)), None  # (3)


def _check_classes(z: torch.Tensor, labels: torch.Tensor, reduction: str) -> torch.Tensor:
    """The labels, one for every case of z."""
    name = "cross_entropy"
    require_choice(name, "reduction", reduction, ("none", "mean", "sum"))
    require_floating(name, z=z)
    require_dims(name, 1, z=z)
    require_axis(name, z, -1)
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(
            f"{name} got labels that are no integers: {labels.dtype}, expected class indices; convert them with .long()"
        )
    if require_broadcast(name, z.shape[:-1], labels.shape) != z.shape[:-1]:
        raise ValueError(
            f"{name} got too many labels: {tuple(labels.shape)}, expected one for each case of {tuple(z.shape[:-1])}"
        )
    require_values(name, f"0 <= label < {z.shape[-1]}", (labels >= 0) & (labels < z.shape[-1]))
    return labels.expand(z.shape[:-1]).long()


def categorical_cross_entropy_forward(
    p: torch.Tensor, y: torch.Tensor, *, reduction: str = "none"
) -> tuple[torch.Tensor, Saved]:
    """Categorical cross-entropy of predicted probabilities, for one-hot or soft targets.

    Shapes: p (..., c), y (..., c) -> L (...) or ()
    Forward:
        (1) l = -Σ y · log p
    Backward:
        (2) dp = -dl · y / p
        (3) dy = -dl · log p
    Conventions: the sum runs over the last axis; 0 · log 0 = 0; values outside [0, 1] are refused on the CPU.
    Units: nats.
    Example: categorical_cross_entropy(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]])).tolist() == [0.0]
    Asked: gfg-14.7, gfg-22.2, gfg-22.3, gfg-22.4, gfg-22.5
    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 4.3.4.
    """
    _check_rows("categorical_cross_entropy", reduction, p=p, y=y)
    l = -torch.xlogy(y, p).sum(-1)  # (1)
    return _reduced(l, reduction), (p, y)


def categorical_cross_entropy_backward(saved: Saved, dL: torch.Tensor, *, reduction: str = "none") -> Pair:
    p, y = saved
    dl = _share(dL, torch.broadcast_shapes(p.shape, y.shape)[:-1], reduction).unsqueeze(-1)
    dp = -dl * _ratio(y, p)  # (2)
    dy = -dl * p.log()  # (3)
    return dp.sum_to_size(p.shape), dy.sum_to_size(y.shape)


def kl_divergence_forward(p: torch.Tensor, q: torch.Tensor, *, reduction: str = "none") -> tuple[torch.Tensor, Saved]:
    """The Kullback-Leibler divergence of q from p: what it costs to describe p by q.

    Shapes: p (..., c), q (..., c) -> L (...) or ()
    Forward:
        (1) l = Σ p · (log p - log q)
    Backward:
        (2) dp = dl · (log p - log q + 1)
        (3) dq = -dl · p / q
    Conventions: the sum runs over the last axis; 0 · log 0 = 0; infinite where q = 0 < p; values outside [0, 1] are
        refused on the CPU.
    Units: nats.
    Example: kl_divergence(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.5, 0.5]])).tolist() == [0.0]
    Asked: gfg-14.9, gfg-14.10
    Source: Cover and Thomas, Elements of Information Theory (2006), section 2.3.
    """
    _check_rows("kl_divergence", reduction, p=p, q=q)
    l = (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(-1)  # (1)
    return _reduced(l, reduction), (p, q)


def kl_divergence_backward(saved: Saved, dL: torch.Tensor, *, reduction: str = "none") -> Pair:
    p, q = saved
    dl = _share(dL, torch.broadcast_shapes(p.shape, q.shape)[:-1], reduction).unsqueeze(-1)
    dp = dl * (p.log() - q.log() + 1)  # (2)
    dq = -dl * _ratio(p, q)  # (3)
    return dp.sum_to_size(p.shape), dq.sum_to_size(q.shape)


def _check_rows(name: str, reduction: str, **tensors: torch.Tensor) -> None:
    require_dims(name, 1, **tensors)
    shape = _check(name, reduction, within_unit=tuple(tensors.values()), **tensors)
    if shape[-1] == 0:
        raise ValueError(f"{name} got no classes: shape {tuple(shape)}, expected at least one entry in the last axis")


def mean_squared_error_forward(
    y_hat: torch.Tensor, y: torch.Tensor, *, reduction: str = "none"
) -> tuple[torch.Tensor, Saved]:
    """The squared error, whose mean over all entries is the mean squared error.

    Shapes: y_hat (...), y (...) -> L (...) or ()
    Forward:
        (1) l = (y_hat - y)²
    Backward:
        (2) dy_hat = 2 · dl · (y_hat - y)
        (3) dy = -dy_hat
    Conventions: no factor one half; y_hat and y broadcast.
    Units: the square of y's unit.
    Example: mean_squared_error(torch.tensor([1.0, 4.0]), torch.tensor([3.0, 4.0]), reduction="mean").item() == 2.0
    Asked: gfg-14.1, gfg-14.4, gfg-14.5, gfg-14.11, gfg-23.3
    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 1.1.
    """
    _check("mean_squared_error", reduction, y_hat=y_hat, y=y)
    l = (y_hat - y).square()  # (1)
    return _reduced(l, reduction), (y_hat, y)


def mean_squared_error_backward(saved: Saved, dL: torch.Tensor, *, reduction: str = "none") -> Pair:
    y_hat, y = saved
    dl = _share(dL, torch.broadcast_shapes(y_hat.shape, y.shape), reduction)
    slope = 2 * dl * (y_hat - y)  # (2) (3)
    return slope.sum_to_size(y_hat.shape), -slope.sum_to_size(y.shape)


binary_cross_entropy = Differentiable(binary_cross_entropy_forward, binary_cross_entropy_backward)
binary_cross_entropy_with_logits = Differentiable(
    binary_cross_entropy_with_logits_forward, binary_cross_entropy_with_logits_backward
)
cross_entropy = Differentiable(cross_entropy_forward, cross_entropy_backward)
categorical_cross_entropy = Differentiable(categorical_cross_entropy_forward, categorical_cross_entropy_backward)
kl_divergence = Differentiable(kl_divergence_forward, kl_divergence_backward)
mean_squared_error = Differentiable(mean_squared_error_forward, mean_squared_error_backward)
