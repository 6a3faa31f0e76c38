"""Transfer: what one task has taught put to use in another, by layers held or moved slowly, shared, aligned or compared.

Leading axes are replicas: nets with parameters w (..., out, d), b (..., out) learn side by side. n counts cases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from reference.checks import require_axis, require_broadcast, require_dims, require_floating, require_values
from reference.differentiable import Differentiable
from reference.layers import dense, mlp

Saved = tuple[torch.Tensor, ...]
Pair = tuple[torch.Tensor, torch.Tensor]
Tensors = Sequence[torch.Tensor]

__all__ = [
    "class_prototypes", "correlation_alignment", "fine_tune", "gradient_reversal", "layer_rates", "multi_task_loss",
    "nearest_prototype", "shared_body", "squared_distances",
]  # fmt: skip


def layer_rates(layers: int, *, lr: float, head: int = 1, body_lr: float = 0.0) -> list[float]:
    """A learning rate for each weight and each bias of a net of which the last layers are the head.

    Shapes: -> 2 · layers rates, for w1, b1, w2, b2, ...
    (1) body_lr for all layers but the last `head`, lr for these
    Conventions: body_lr = 0 is feature extraction, body_lr = lr fine-tuning of everything, between them lies the usual
        caution towards what was learnt before.
    Errors: ValueError unless 1 <= head <= layers and the rates are not negative.
    Example: layer_rates(3, lr=0.1, head=1, body_lr=0.01) == [0.01, 0.01, 0.01, 0.01, 0.1, 0.1]
    Asked: gfg-33.4, gfg-33.5, gfg-55.6, gfg-55.7, ib-16.3
    Source: Yosinski, Clune, Bengio, Lipson, How transferable are features in deep neural networks? (2014), section 2.
    """
    if not 1 <= head <= layers or not min(lr, body_lr) >= 0:
        raise ValueError(
            f"layer_rates got settings out of range: head {head} of {layers} layers, lr {lr}, body_lr {body_lr}, "
            "expected 1 <= head <= layers and rates of at least 0"
        )
    return [body_lr] * (2 * (layers - head)) + [lr] * (2 * head)  # (1)


def fine_tune(
    loss: Callable[[Tensors], torch.Tensor], params: Tensors, *, rates: Sequence[float], updates: int
) -> list[torch.Tensor]:
    """Descent with a learning rate for each parameter; those with the rate 0 stay bit for bit and cost no gradient.

    Shapes: params (...), loss of the params -> (...), one number for each replica
    (1) w' = w - rate · dL/dw, L being the sum over the replicas, so that each follows its own gradient
    Conventions: a parameter that the loss does not use stays too.
    Errors: ValueError unless there is one rate for each parameter, none is negative and updates is not negative.
    Example: fine_tune(lambda p: p[0] ** 2 + p[1] ** 2, [torch.ones(1), torch.ones(1)], rates=[0.0, 0.5], updates=1) == [1, 0]
    Asked: gfg-24.6, gfg-32.20, gfg-33.1, gfg-33.2, gfg-33.3, gfg-33.4, gfg-33.5, gfg-33.6, gfg-33.7, gfg-55.1,
        gfg-55.2, gfg-55.3, gfg-55.4, gfg-55.5, ib-15.1, ib-15.3, ib-15.4, ib-15.5, ib-16.1, ib-16.2, ib-16.4
    Source: Yosinski, Clune, Bengio, Lipson, How transferable are features in deep neural networks? (2014), section 2.
    """
    if len(rates) != len(params) or not min(rates, default=0.0) >= 0 or updates < 0:
        raise ValueError(
            f"fine_tune got settings out of range: {len(rates)} rates for {len(params)} parameters, {updates} updates, "
            "expected one rate for each, all at least 0, and updates >= 0"
        )
    current, moving = list(params), [k for k, rate in enumerate(rates) if rate > 0]
    for _ in range(updates if moving else 0):
        leaves = {k: current[k].detach().requires_grad_() for k in moving}
        total = loss([leaves.get(k, w) for k, w in enumerate(current)]).sum()
        slopes = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
        for (k, w), slope in zip(leaves.items(), slopes, strict=True):
            current[k] = (w - rates[k] * slope).detach()  # (1)
    return current


def shared_body(
    x: torch.Tensor, body: Tensors, heads: Sequence[Tensors], activation: Callable[[torch.Tensor], torch.Tensor]
) -> list[torch.Tensor]:
    """Several tasks on the same features: one body, and a dense layer for each task.

    Shapes: x (..., n, d), body w1, b1, ..., heads of (w, b) each -> y (..., n, out) for each head
    (1) h = activation(mlp(x, body)), y = dense(h, w, b)
    Errors: ValueError if there is no head or a head is no pair.
    Example: [y.shape for y in shared_body(torch.ones(5, 2), [torch.ones(3, 2), torch.ones(3)], [[torch.ones(1, 3), torch.ones(1)]], relu)] == [(5, 1)]
    Asked: gfg-55.9, gfg-55.10
    Source: Caruana, Multitask learning (1997), section 2.
    """
    if not heads or any(len(head) != 2 for head in heads):
        raise ValueError(
            f"shared_body got heads of {[len(h) for h in heads]} parameters, expected (w, b) for each task"
        )
    h = activation(mlp(x, body, activation))
    return [dense(h, *head) for head in heads]  # (1)


def multi_task_loss_forward(losses: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """The cost of several tasks in one number: a weighted sum.

    Shapes: losses (..., k), weights (..., k) -> L (...)
    Forward:
        (1) L = Σ_t weights_t · losses_t
    Backward:
        (2) dlosses_t = dL · weights_t, dweights_t = dL · losses_t
    Conventions: leading axes broadcast, and gradients are summed back over them.
    Errors: ValueError if there is no task, or not one weight for each.
    Example: multi_task_loss(torch.tensor([2.0, 4.0]), torch.tensor([0.5, 0.25])) == 2.0
    Asked: gfg-55.9
    Source: Caruana, Multitask learning (1997), section 2.
    """
    require_floating("multi_task_loss", losses=losses, weights=weights)
    require_dims("multi_task_loss", 1, losses=losses, weights=weights)
    if losses.shape[-1] != weights.shape[-1]:
        raise ValueError(
            f"multi_task_loss got weights that do not fit: {tuple(weights.shape)}, expected one for each of "
            f"{losses.shape[-1]} tasks"
        )
    require_broadcast("multi_task_loss", losses.shape, weights.shape)
    require_axis("multi_task_loss", losses, -1)
    return (losses * weights).sum(-1), (losses, weights)  # (1)


def multi_task_loss_backward(saved: Saved, dL: torch.Tensor) -> Pair:
    losses, weights = saved
    dl = dL.unsqueeze(-1)
    return (dl * weights).sum_to_size(losses.shape), (dl * losses).sum_to_size(weights.shape)  # (2)


def class_prototypes_forward(x: torch.Tensor, labels: torch.Tensor, *, classes: int) -> tuple[torch.Tensor, Saved]:
    """The mean of each class's embeddings: with one case for each class, the case itself.

    Shapes: x (..., n, d), labels (..., n) of integers -> y (..., classes, d)
    Forward, with share_ck = 1 / (cases of class c) where case k is of class c, else 0:
        (1) y_c = Σ_k share_ck · x_k
    Backward:
        (2) dx_k = Σ_c share_ck · dy_c
    Conventions: labels get no gradient; a class without a case is refused on the CPU and has the prototype 0 elsewhere.
    Errors: ValueError if the shapes do not fit.
    Example: class_prototypes(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 1]), classes=2).tolist() == [[2.0], [5.0]]
    Asked: gfg-55.11
    Source: Snell, Swersky, Zemel, Prototypical networks for few-shot learning (2017), equation 1.
    """
    require_floating("class_prototypes", x=x)
    require_dims("class_prototypes", 2, x=x)
    if labels.shape != x.shape[:-1] or labels.is_floating_point() or classes < 1:
        raise ValueError(
            f"class_prototypes got labels that do not fit: {labels.dtype} {tuple(labels.shape)} for {classes} classes, "
            f"expected integers of shape {tuple(x.shape[:-1])} and at least one class"
        )
    shares, counts = _shares(labels, classes, x)
    require_values("class_prototypes", "a case for each class", counts > 0)
    return shares @ x, (x, labels)  # (1)


def class_prototypes_backward(saved: Saved, dy: torch.Tensor, *, classes: int) -> tuple[torch.Tensor, None]:
    x, labels = saved
    shares, _ = _shares(labels, classes, x)
    return shares.mT @ dy, None  # (2)


def squared_distances_forward(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """The squared distance of every vector of one set from every vector of another.

    Shapes: x (..., n, d), y (..., m, d) -> D (..., n, m)
    Forward:
        (1) D_ij = |x_i - y_j|²
    Backward:
        (2) dx_i = 2 · Σ_j dD_ij · (x_i - y_j)
        (3) dy_j = 2 · Σ_i dD_ij · (y_j - x_i)
    Conventions: from differences, not from products, so that near vectors keep their figures; leading axes broadcast.
    Errors: ValueError if the shapes do not fit.
    Example: squared_distances(torch.tensor([[0.0], [3.0]]), torch.tensor([[1.0]])).tolist() == [[1.0], [4.0]]
    Asked: gfg-55.11
    Source: Snell, Swersky, Zemel, Prototypical networks for few-shot learning (2017), equation 2.
    """
    _check_sets("squared_distances", x, y)
    return (x.unsqueeze(-2) - y.unsqueeze(-3)).square().sum(-1), (x, y)  # (1)


def squared_distances_backward(saved: Saved, dD: torch.Tensor) -> Pair:
    x, y = saved
    each = 2 * dD.unsqueeze(-1) * (x.unsqueeze(-2) - y.unsqueeze(-3))  # (..., n, m, d)
    return each.sum(-2).sum_to_size(x.shape), -each.sum(-3).sum_to_size(y.shape)  # (2) (3)


def nearest_prototype(x: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
    """The class whose prototype lies nearest, the first of equally near ones.

    Shapes: x (..., n, d), prototypes (..., c, d) -> (..., n) of integers
    (1) argmin of the squared distances
    Example: nearest_prototype(torch.tensor([[0.2], [0.9]]), torch.tensor([[0.0], [1.0]])).tolist() == [0, 1]
    Asked: gfg-55.11
    Source: Snell, Swersky, Zemel, Prototypical networks for few-shot learning (2017), section 2.3.
    """
    return squared_distances(x, prototypes).argmin(-1)  # (1)


def gradient_reversal_forward(x: torch.Tensor, *, strength: float = 1.0) -> tuple[torch.Tensor, Saved]:
    """The identity whose gradient is turned round: what lies below it works against what lies above it.

    Shapes: x (...) -> y (...)
    Forward:
        (1) y = x
    Backward:
        (2) dx = -strength · dy
    Conventions: not the derivative of (1), on purpose, save for the strength -1.
    Errors: ValueError if the dtype is no floating one.
    Example: torch.func.grad(lambda x: gradient_reversal(x, strength=2.0))(torch.tensor(5.0)) == -2.0
    Asked: gfg-55.8
    Source: Ganin and Lempitsky, Unsupervised domain adaptation by backpropagation (2015), equations 7 and 8.
    """
    require_floating("gradient_reversal", x=x)
    return x.clone(), (x,)  # (1)


def gradient_reversal_backward(saved: Saved, dy: torch.Tensor, *, strength: float = 1.0) -> tuple[torch.Tensor]:
    return (-strength * dy,)  # (2)


def correlation_alignment_forward(source: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """How far the covariances of two domains' features lie apart (CORAL).

    Shapes: source (..., n, d), target (..., m, d) -> L (...)
    Forward, with features s~, t~ less their means:
        (1) D = s~ᵀ · s~ / (n - 1) - t~ᵀ · t~ / (m - 1)
        (2) L = Σ D² / (4 · d²)
    Backward:
        (3) dsource = dL · s~ · D / (d² · (n - 1))
        (4) dtarget = -dL · t~ · D / (d² · (m - 1))
    Conventions: means may differ at no cost; leading axes broadcast, and gradients are summed back over them.
    Units: the fourth power of the features' unit.
    Errors: ValueError if the shapes do not fit or a domain has fewer than two cases.
    Example: correlation_alignment(torch.tensor([[1.0], [3.0]]), torch.tensor([[5.0], [9.0]])) == 9.0
    Asked: gfg-55.8
    Source: Sun and Saenko, Deep CORAL (2016), equations 1 to 5.
    """
    _check_sets("correlation_alignment", source, target)
    if min(source.shape[-2], target.shape[-2]) < 2:
        raise ValueError(
            f"correlation_alignment got too few cases: {source.shape[-2]} and {target.shape[-2]}, expected at least two"
        )
    apart = _covariance(source) - _covariance(target)  # (1) (..., d, d)
    return apart.square().sum((-2, -1)) / (4 * apart.shape[-1] ** 2), (source, target)  # (2)


def correlation_alignment_backward(saved: Saved, dL: torch.Tensor) -> Pair:
    source, target = saved
    weighted = dL[..., None, None] * (_covariance(source) - _covariance(target)) / source.shape[-1] ** 2
    dsource = _centred(source) @ weighted / (source.shape[-2] - 1)  # (3)
    dtarget = -_centred(target) @ weighted / (target.shape[-2] - 1)  # (4)
    return dsource.sum_to_size(source.shape), dtarget.sum_to_size(target.shape)


multi_task_loss = Differentiable(multi_task_loss_forward, multi_task_loss_backward)
class_prototypes = Differentiable(class_prototypes_forward, class_prototypes_backward)
squared_distances = Differentiable(squared_distances_forward, squared_distances_backward)
gradient_reversal = Differentiable(gradient_reversal_forward, gradient_reversal_backward)
correlation_alignment = Differentiable(correlation_alignment_forward, correlation_alignment_backward)


def _shares(labels: torch.Tensor, classes: int, x: torch.Tensor) -> Pair:
    """Each case's share in the prototype of its class (..., classes, n), and the number of cases of each class."""
    member = (labels.unsqueeze(-2) == torch.arange(classes, device=x.device).unsqueeze(-1)).to(x.dtype)
    counts = member.sum(-1)
    return member / counts.clamp_min(1).unsqueeze(-1), counts


def _centred(x: torch.Tensor) -> torch.Tensor:
    return x - x.mean(-2, keepdim=True)


def _covariance(x: torch.Tensor) -> torch.Tensor:
    centred = _centred(x)
    return centred.mT @ centred / (x.shape[-2] - 1)


def _check_sets(name: str, x: torch.Tensor, y: torch.Tensor) -> None:
    require_floating(name, x=x, y=y)
    require_dims(name, 2, x=x, y=y)
    if x.shape[-1] != y.shape[-1]:
        raise ValueError(
            f"{name} got features that do not fit: {tuple(x.shape)}, {tuple(y.shape)}, expected the same last axis"
        )
    require_broadcast(name, x.shape[:-2], y.shape[:-2])
