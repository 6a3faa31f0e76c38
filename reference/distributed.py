"""Training on several ranks: the arithmetic of joining what they learned, and steps in which they really talk.

A shard is the pair x (n, d), y (n, out) that one rank holds; ranks may hold shards of different sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import distributed

from reference.activations import tanh
from reference.checks import require_floating
from reference.layers import mlp
from reference.losses import mean_squared_error
from reference.optimization import sgd
from reference.ranks import launch

Tensors = Sequence[torch.Tensor]
Shard = tuple[torch.Tensor, torch.Tensor]
Loss = Callable[[Tensors, torch.Tensor, torch.Tensor], torch.Tensor]
Combine = Callable[[Tensors, int], Tensors]
Part = tuple[Tensors, torch.Tensor | None, torch.Tensor | None]

__all__ = ["data_parallel", "layer_parts", "model_parallel", "network_loss", "parameter_averaging", "weighted_average"]


def weighted_average(values: Sequence[Tensors], sizes: Sequence[int]) -> list[torch.Tensor]:
    """The average over ranks of gradients or of parameters, where each rank counts as many times as it has cases.

    Shapes: of each rank a sequence of tensors (...) -> one such sequence
    (1) mean_k = Σ n_r · v_rk / Σ n_r over the ranks r
    Conventions: of gradients of mean losses over shards this is the gradient of the mean loss over all cases.
    Errors: ValueError if there is no rank, sizes do not fit or are below 1, or the ranks' tensors differ in shape.
    Example: weighted_average([[torch.ones(2)], [torch.zeros(2)]], [3, 1])[0].tolist() == [0.75, 0.75]
    Asked: gfg-56.7, gfg-56.10
    Source: McMahan et al., Communication-efficient learning of deep networks (2017), algorithm 1.
    """
    shapes = [[v.shape for v in rank] for rank in values]
    if len(sizes) != len(values) or not sizes or min(sizes) < 1 or any(s != shapes[0] for s in shapes):
        raise ValueError(
            f"weighted_average got ranks that do not fit: {len(values)} with sizes {list(sizes)}, expected a size >= 1 "
            "and tensors of the same shapes for each"
        )
    total = sum(sizes)
    columns = zip(*values, strict=True)
    return [torch.stack([n * v for n, v in zip(sizes, of, strict=True)]).sum(0) / total for of in columns]  # (1)


def _all_reduced_average(values: Tensors, size: int) -> list[torch.Tensor]:
    """`weighted_average` where every rank has only its own values and size, and all receive the average."""
    total = torch.tensor(size, device=values[0].device)
    distributed.all_reduce(total)
    sums = [size * v for v in values]
    for part in sums:
        distributed.all_reduce(part)
    return [part / total.to(part.dtype) for part in sums]


def network_loss(params: Tensors, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The mean squared error of a multilayer perceptron of tanh units.

    Shapes: params w1, b1, w2, b2, ..., x (n, d), y (n, out) -> ()
    (1) L = mean (mlp(x) - y)² over all cases and outputs
    Errors: ValueError if shapes do not fit.
    Example: network_loss([torch.ones(1, 1), torch.zeros(1)], torch.ones(1, 1), torch.zeros(1, 1)).item() == 1.0
    Asked: none
    Source: Rumelhart, Hinton, Williams, Learning representations by back-propagating errors (1986).
    """
    return mean_squared_error(mlp(x, params, tanh), y, reduction="mean")  # (1)


def data_parallel(
    params: Tensors, shards: Sequence[Shard], *, lr: float, steps: int = 1, loss: Loss = network_loss
) -> list[list[torch.Tensor]]:
    """Descent on shards of the data, one rank for each: gradients are averaged at every step.

    Shapes: params (...), shards of x (n_r, d), y (n_r, out) -> of each rank the parameters (...)
    (1) g_r = gradient of the mean loss over shard r, on rank r
    (2) g = Σ n_r · g_r / Σ n_r, by an all-reduce
    (3) w = w - lr · g, the same on every rank
    Conventions: unequal shards give the same step as all cases on one rank, but for rounding.
    Errors: ValueError if there is no shard, one is empty or does not fit, or lr or steps are out of range; RuntimeError if
        a rank is lost.
    Example:
        x = torch.ones(4, 1)
        found = data_parallel([torch.zeros(1, 1), torch.zeros(1)], [(x[:1], x[:1]), (x[1:], x[1:])], lr=0.5)
        [[w.item(), b.item()] for w, b in found] == [[1.0, 1.0], [1.0, 1.0]]
    Asked: gfg-56.1, gfg-56.5, gfg-56.6, gfg-56.7, gfg-56.8, gfg-56.12
    Source: Li et al., PyTorch Distributed: experiences on accelerating data parallel training (2020).
    """
    sent = _checked("data_parallel", params, shards, loss, lr, steps)
    further = (_sent(params), loss, lr, steps, _all_reduced_average)
    return launch(_data_parallel_rank, sent, *further, device=params[0].device)


def _data_parallel_rank(shard: Shard, params: Tensors, loss: Loss, lr: float, steps: int, combine: Combine) -> Tensors:
    """What one rank of `data_parallel` does."""
    for _ in range(steps):
        g = _gradients(loss, params, *shard)  # (1)
        params, _ = sgd(params, combine(g, len(shard[0])), lr=lr)  # (2) (3)
    return params


def parameter_averaging(
    params: Tensors, shards: Sequence[Shard], *, lr: float, steps: int, every: int, loss: Loss = network_loss
) -> list[list[torch.Tensor]]:
    """Descent of each rank on its own shard, with the parameters averaged every few steps.

    Shapes: params (...), shards of x (n_r, d), y (n_r, out) -> of each rank the parameters (...)
    (1) w_r = w_r - lr · gradient of the mean loss over shard r
    (2) every `every` steps w_r = Σ n_r · w_r / Σ n_r, by an all-reduce
    Conventions: with every = 1 the same as `data_parallel`, but for rounding; after the last average ranks differ.
    Errors: as `data_parallel`, and ValueError if every < 1.
    Example:
        x = torch.ones(1, 1)
        shards = [(x, x), (x, -x)]
        found = parameter_averaging([torch.zeros(1, 1), torch.zeros(1)], shards, lr=0.5, steps=1, every=1)
        [w.item() for w, _ in found] == [0.0, 0.0]
    Asked: gfg-56.9, gfg-56.10, gfg-56.11, gfg-56.12
    Source: McMahan et al., Communication-efficient learning of deep networks (2017), algorithm 1.
    """
    if every < 1:
        raise ValueError(f"parameter_averaging got every out of range: {every}, expected every >= 1")
    sent = _checked("parameter_averaging", params, shards, loss, lr, steps)
    further = (_sent(params), loss, lr, steps, every, _all_reduced_average)
    return launch(_parameter_averaging_rank, sent, *further, device=params[0].device)


def _parameter_averaging_rank(
    shard: Shard,
    params: Tensors,
    loss: Loss,
    lr: float,
    steps: int,
    every: int,
    combine: Combine = _all_reduced_average,
) -> Tensors:
    """What one rank of `parameter_averaging` does."""
    for step in range(1, steps + 1):
        params, _ = sgd(params, _gradients(loss, params, *shard), lr=lr)  # (1)
        if step % every == 0:
            params = combine(params, len(shard[0]))  # (2)
    return params


def _gradients(loss: Loss, params: Tensors, x: torch.Tensor, y: torch.Tensor) -> Tensors:
    leaves = [p.detach().requires_grad_() for p in params]
    return torch.autograd.grad(loss(leaves, x, y), leaves)


def layer_parts(params: Tensors, ranks: int) -> list[list[torch.Tensor]]:
    """The layers of a network in consecutive parts, one for each rank, as even as can be.

    Shapes: params w1, b1, w2, b2, ... -> of each rank some of the pairs
    (1) rank r holds the layers from floor(r · L / ranks) on, before those of rank r + 1
    Errors: ValueError if parameters are no pairs, or ranks is below 1 or above the number of layers L.
    Example: [len(part) for part in layer_parts([torch.ones(1)] * 6, 2)] == [2, 4]
    Asked: gfg-56.3
    Source: Dean et al., Large scale distributed deep networks (2012), section 3.
    """
    layers = len(params) // 2
    if len(params) % 2 or not 1 <= ranks <= layers:
        raise ValueError(
            f"layer_parts got {ranks} ranks for {len(params)} parameters, expected pairs of weights and biases, "
            "and at least one pair for each rank; take fewer ranks"
        )
    cuts = [2 * (r * layers // ranks) for r in range(ranks + 1)]  # (1)
    return [list(params[start:stop]) for start, stop in pairwise(cuts)]


def model_parallel(
    params: Tensors, x: torch.Tensor, y: torch.Tensor, *, ranks: int, lr: float, steps: int = 1
) -> list[list[torch.Tensor]]:
    """Descent of one network whose layers lie on several ranks: `network_loss` of tanh units.

    Shapes: params w1, b1, w2, b2, ..., x (n, d), y (n, out) -> of each rank the parameters that it holds
    (1) h = its layers of what the rank before sent, x on the first; sent to the rank after
    (2) dh, its parameters' gradients = backward of its layers at what the rank after sent, of the loss on the last;
        dh sent to the rank before
    (3) w = w - lr · dw on every rank
    Conventions: only the first rank has x, only the last has y, and no parameter leaves its rank; the ranks work one
        after the other.
    Errors: ValueError if the layers do not fit the ranks, x or y, or lr or steps are out of range; RuntimeError if a rank
        is lost.
    Example:
        params = [torch.zeros(1, 1), torch.zeros(1), torch.zeros(1, 1), torch.zeros(1)]
        first, second = model_parallel(params, torch.ones(1, 1), torch.ones(1, 1), ranks=2, lr=0.5)
        [p.item() for p in (*first, *second)] == [0.0, 0.0, 0.0, 1.0]
    Asked: gfg-56.2, gfg-56.3, gfg-56.4, gfg-56.11
    Source: Dean et al., Large scale distributed deep networks (2012), section 3.
    """
    parts = layer_parts(params, ranks)
    [(x, y)] = _checked("model_parallel", params, [(x, y)], network_loss, lr, steps)
    shares = [(_sent(part), x if r == 0 else None, y if r == ranks - 1 else None) for r, part in enumerate(parts)]
    return launch(_model_parallel_rank, shares, len(x), lr, steps, _part_gradients, device=params[0].device)


def _part_gradients(share: Part, cases: int) -> Tensors:
    """The gradients of the parameters of one part, by what its neighbours send."""
    (part, x, y), rank = share, distributed.get_rank()
    h = _received(part[0].new_empty(cases, part[0].shape[1]), rank - 1) if x is None else x.detach()
    leaves = [p.detach().requires_grad_() for p in part]
    wanted = leaves if x is not None else [*leaves, h.requires_grad_()]
    if y is None:
        out = tanh(mlp(h, leaves, tanh))  # (1)
        distributed.send(out.detach().contiguous(), rank + 1)
        dout = _received(torch.empty_like(out), rank + 1)
    else:
        out, dout = network_loss(leaves, h, y), None
    gradients = torch.autograd.grad(out, wanted, dout)  # (2)
    if x is None:
        distributed.send(gradients[-1].contiguous(), rank - 1)
    return gradients[: len(part)]


def _model_parallel_rank(
    share: Part, cases: int, lr: float, steps: int, gradients: Callable[[Part, int], Tensors]
) -> Tensors:
    """What one rank of `model_parallel` does; x is None behind the first part, y before the last."""
    part, x, y = share
    for _ in range(steps):
        part, _ = sgd(part, gradients((part, x, y), cases), lr=lr)  # (3)
    return part


def _received(buffer: torch.Tensor, source: int) -> torch.Tensor:
    distributed.recv(buffer, source)
    return buffer


def _sent(tensors: Tensors) -> list[torch.Tensor]:
    """Copies without graph or shared storage: a view would take all that it is a view of along."""
    return [t.detach().clone() for t in tensors]


def _checked(name: str, params: Tensors, shards: Sequence[Shard], loss: Loss, lr: float, steps: int) -> list[Any]:
    """The shards as they are sent, once all is found to be in order, the loss of one case of each included."""
    if not params or not shards:
        raise ValueError(f"{name} got {len(params)} parameters and {len(shards)} shards, expected at least one of each")
    require_floating(name, **{f"params[{k}]": p for k, p in enumerate(params)})
    for r, (x, y) in enumerate(shards):
        require_floating(name, x=x, y=y)
        if 0 in x.shape[:1] or x.shape[:1] != y.shape[:1] or x.dim() < 1:
            raise ValueError(
                f"{name} got a shard that does not fit: x {tuple(x.shape)}, y {tuple(y.shape)} (rank {r}), expected "
                "as many inputs as targets, at least one"
            )
        loss(params, x[:1], y[:1])
    if not 0 <= lr < float("inf") or steps < 0:
        raise ValueError(f"{name} got lr {lr} and steps {steps}, expected 0 <= lr < inf and steps >= 0")
    return [tuple(_sent(shard)) for shard in shards]
