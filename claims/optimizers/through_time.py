"""One descent step of a recurrent net: the gradients of all times are summed before the weights move."""

from __future__ import annotations

import torch

from assay.claim import HOLDS, claim
from assay.evidence import all_of, close, equal
from assay.sabotage import instead
from assay.strategies import normals, sizes


def recurrent_loss(lib, x, y, weights):
    """Half the squared error of a linear read-out of h_t =
    tanh(x_t·wxᵀ + h_{t-1}·whᵀ), with weights given for each time."""
    h, loss = torch.zeros_like(x[0]), 0.0
    for x_t, y_t, (wx, wh) in zip(x, y, weights, strict=True):
        h = lib.tanh(lib.dense(x_t, wx, None) + lib.dense(h, wh, None))
        loss = loss + (h - y_t).square().sum() / 2
    return loss


@claim(
    "gfg-47.7",
    "After backpropagation through time, descent moves the weights once, by "
    "the rate times the sum of the gradients of all times.",
    needs=["sgd", "dense", "tanh"],
    given={"times": sizes(2, 5), "start": normals([2, 3, 3], scale=0.7)},
    setting={"inside": False},
    expect=HOLDS,
    sabotage={
        "an update inside the loop over times": {"inside": instead(True)},
        "steps one percent too long": {
            "sgd": lambda sound: lambda params, grads, state, *, lr: sound(params, grads, state, lr=lr * 1.01)
        },
        "averages over two times": {
            "sgd": lambda sound: lambda params, grads, state, *, lr: sound(params, [g / 2 for g in grads], state, lr=lr)
        },
        "climbs instead of descending": {
            "sgd": lambda sound: lambda params, grads, state, *, lr: sound(params, [-g for g in grads], state, lr=lr)
        },
    },
)
def a_recurrent_net_moves_by_the_sum_over_times(lib, trial, times, start, inside):
    """Reading: with one copy of the weights per time step, w' = w -
    lr·Σ_t ∂L/∂w_t; the pass through the sequence uses one w throughout.
    Why: the weights are shared, so by the chain rule the gradient is the sum over the copies.
    A step after each time would take the later gradients at other weights."""
    cases, units, lr = 2, 3, 0.5
    x, y = trial.normal(2, times, cases, units)
    before = [w.clone() for w in start]
    moved = before
    for seen in range(1, times + 1) if inside else [times]:
        shared = [w.clone().requires_grad_() for w in moved]
        loss = recurrent_loss(lib, x[:seen], y[:seen], [shared] * seen)
        if inside and seen > 1:
            loss = loss - recurrent_loss(lib, x[: seen - 1], y[: seen - 1], [shared] * (seen - 1))
        moved, _ = lib.sgd(moved, torch.autograd.grad(loss, shared), None, lr=lr)
    untouched = all_of([equal(w, b, what="a role changed its input") for w, b in zip(start, before, strict=True)])

    copies = [[w.clone().requires_grad_() for w in before] for _ in range(times)]
    flat = torch.autograd.grad(recurrent_loss(lib, x, y, copies), [w for copy in copies for w in copy])
    parts = [torch.stack(flat[k::2]) for k in range(2)]
    # both sides add the same times·cases·units products in another order; each term passed at most times·(2·units + 4)
    # operations
    operations = times * cases * units + times * (2 * units + 4)
    for m, b, part in zip(moved, before, parts, strict=True):
        scale = b.abs() + lr * part.abs().sum(0) * units
        expected = b - lr * part.sum(0)
        untouched &= close(m, expected, operations=operations, scale=scale, what="the update differs from the sum by")
    return untouched
