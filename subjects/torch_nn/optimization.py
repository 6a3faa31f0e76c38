"""The optimisation roles played by torch.optim, torch.nn.utils and torch.utils.data."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.optim.adam import adam as torch_adam
from torch.optim.lr_scheduler import ExponentialLR, LRScheduler, StepLR
from torch.optim.sgd import sgd as torch_sgd
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler

__all__ = [
    "adam",
    "clip_by_norm",
    "clip_by_value",
    "epoch_batches",
    "exponential_decay",
    "mean_gradient",
    "momentum",
    "nesterov",
    "sgd",
    "step_decay",
]

Tensors = Sequence[torch.Tensor]
Buffers = list[torch.Tensor | None]
Moments = tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]


def _copies(tensors: Tensors) -> list[torch.Tensor]:
    """torch.optim works in place, a role does not."""
    return [t.detach().clone() for t in tensors]


def _descend(
    params: Tensors, grads: Tensors, buffers: Buffers, *, lr: float, beta: float, nesterov: bool
) -> tuple[list[torch.Tensor], Buffers]:
    moved, kept = _copies(params), [None if v is None else v.clone() for v in buffers]
    with torch.no_grad():
        torch_sgd(
            moved, _copies(grads), kept, foreach=False, weight_decay=0.0, momentum=beta, lr=lr, dampening=0.0,
            nesterov=nesterov, maximize=False,
        )  # fmt: skip
    return moved, kept


def sgd(params: Tensors, grads: Tensors, state: None = None, *, lr: float) -> tuple[list[torch.Tensor], None]:
    """torch.optim's SGD without momentum."""
    return _descend(params, grads, [None] * len(params), lr=lr, beta=0.0, nesterov=False)[0], state


def momentum(
    params: Tensors, grads: Tensors, state: Buffers | None = None, *, lr: float, beta: float
) -> tuple[list[torch.Tensor], Buffers]:
    """torch.optim's SGD with momentum."""
    return _descend(params, grads, state or [None] * len(params), lr=lr, beta=beta, nesterov=False)


def nesterov(
    params: Tensors, grads: Tensors, state: Buffers | None = None, *, lr: float, beta: float
) -> tuple[list[torch.Tensor], Buffers]:
    """torch.optim's SGD with Nesterov momentum."""
    return _descend(params, grads, state or [None] * len(params), lr=lr, beta=beta, nesterov=True)


def adam(
    params: Tensors,
    grads: Tensors,
    state: Moments | None = None,
    *,
    lr: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
) -> tuple[list[torch.Tensor], Moments]:
    """torch.optim's Adam."""
    zeros = [torch.zeros_like(w) for w in params]
    means, squares, steps = (
        state if state is not None else (zeros, zeros, [torch.zeros((), dtype=torch.float64) for _ in params])
    )
    moved, means, squares, steps = _copies(params), _copies(means), _copies(squares), _copies(steps)
    with torch.no_grad():
        torch_adam(
            moved, _copies(grads), means, squares, [], steps, foreach=False, amsgrad=False, beta1=beta1, beta2=beta2,
            lr=lr, weight_decay=0.0, eps=eps, maximize=False,
        )  # fmt: skip
    return moved, (means, squares, steps)


def _scheduled(step: int, lr: float, schedule: Callable[..., LRScheduler], **hyper: float) -> float:
    """The rate that a scheduler of torch has set after `step` steps."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    scheduler = schedule(optimizer, **hyper)
    for _ in range(step):
        optimizer.step()
        scheduler.step()
    return float(scheduler.get_last_lr()[0])


def step_decay(step: int, *, lr: float, factor: float, every: int) -> float:
    """torch.optim.lr_scheduler.StepLR."""
    return _scheduled(step, lr, StepLR, step_size=every, gamma=factor)


def exponential_decay(step: int, *, lr: float, factor: float) -> float:
    """torch.optim.lr_scheduler.ExponentialLR."""
    return _scheduled(step, lr, ExponentialLR, gamma=factor)


def _with_gradients(grads: Tensors) -> list[torch.Tensor]:
    leaves = [torch.zeros_like(g) for g in grads]
    for leaf, g in zip(leaves, grads, strict=True):
        leaf.grad = g.detach().clone()
    return leaves


def clip_by_value(grads: Tensors, limit: float) -> list[torch.Tensor]:
    """torch.nn.utils.clip_grad_value_."""
    leaves = _with_gradients(grads)
    torch.nn.utils.clip_grad_value_(leaves, limit)
    return [leaf.grad for leaf in leaves if leaf.grad is not None]


def clip_by_norm(grads: Tensors, limit: float, *, batch_dims: int = 0) -> list[torch.Tensor]:
    """torch.nn.utils.clip_grad_norm_, replica by replica; it divides by the norm plus 1e-6: a little too short."""
    if batch_dims == 0:
        leaves = _with_gradients(grads)
        torch.nn.utils.clip_grad_norm_(leaves, limit)
        return [leaf.grad for leaf in leaves if leaf.grad is not None]
    replicas = [clip_by_norm(replica, limit, batch_dims=batch_dims - 1) for replica in zip(*grads, strict=True)]
    return [torch.stack(parts) for parts in zip(*replicas, strict=True)]


def mean_gradient(per_sample: torch.Tensor) -> torch.Tensor:
    """The gradient, by autograd, of torch's mean over the samples of a loss whose sample gradients are `per_sample`."""
    w = torch.zeros_like(per_sample[..., 0, :]).requires_grad_()
    losses = (per_sample.detach() * w[..., None, :]).sum(-1)  # (..., n), each linear in w
    return torch.autograd.grad(torch.mean(losses, -1).sum(), w)[0]


def epoch_batches(n: int, size: int, *, generator: torch.Generator | None = None) -> list[torch.Tensor]:
    """torch.utils.data's samplers."""
    order = SequentialSampler(range(n)) if generator is None else RandomSampler(range(n), generator=generator)
    batches = BatchSampler(order, size, drop_last=False)
    device = "cpu" if generator is None else generator.device
    return [torch.tensor(batch, device=device) for batch in batches]
