"""Gradients that are right only as declared: on a manifold of matrices, or as a surrogate for another function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.gradients.corpus.draw import changed, fixed, joined, mixed
from tests.gradients.corpus.entry import Backward, Entry, Forward, Inputs, Mistake, classic

PAIR = mixed(a=(3, 3), b=(3, 3))
STEPS = fixed(x=[0.1, -0.4, 0.6, 1.1])


def symmetric(x: Tensor) -> Tensor:
    """The symmetric part."""
    return (x + x.mT) / 2


def made(base: Inputs, how: Callable[[Tensor], Tensor]) -> Inputs:
    """The inputs with the first one put on its manifold."""
    return changed(base, lambda named: {**named, "a": how(named["a"])})


def positive(a: Tensor) -> Tensor:
    """A symmetric positive-definite matrix from any small one."""
    return symmetric(a) + 6 * torch.eye(a.shape[-1], dtype=a.dtype)


SYMMETRIC = made(PAIR, symmetric)
POSITIVE = made(mixed(a=(3, 3)), positive)
LOWER = made(joined(mixed(a=(3, 3)), mixed(v=(3,))), torch.tril)


def declared(
    name: str,
    forward: Forward,
    backward: Backward,
    truth: Forward,
    inputs: Inputs,
    mistake: Mistake | None = None,
    **options: Any,
) -> Entry:
    """An entry with something declared to the checker; its truth is the function through the declaration."""
    return Entry(
        name, lambda: classic(forward, backward), inputs, mistake is None, mistake, truth=truth, options=options
    )


def inner(a: Tensor, b: Tensor) -> Tensor:
    """The sum of a·b."""
    return (a * b).sum()


def through(how: Callable[[Tensor], Tensor], forward: Forward) -> Forward:
    """The forward of the first input put on its manifold."""
    return lambda a, *others: forward(how(a), *others)


def rounded(x: Tensor) -> Tensor:
    """To the nearest half."""
    return torch.round(2 * x) / 2


def like(forward: Forward, slope: Forward) -> Forward:
    """The values of one function with the gradient of another."""
    return lambda x: slope(x) + (forward(x) - slope(x)).detach()


ENTRIES: tuple[Entry, ...] = (
    declared(
        "inner product with a symmetric matrix, declared",
        inner,
        lambda dy, y, a, b: (dy * symmetric(b), dy * a),
        through(symmetric, inner),
        SYMMETRIC,
        constraint={"a": "symmetric"},
    ),
    declared(
        "inner product with a symmetric matrix, declared: off-diagonal counted twice",
        inner,
        lambda dy, y, a, b: (dy * (b + b.mT - torch.diag(b.diagonal())), dy * a),
        through(symmetric, inner),
        SYMMETRIC,
        Mistake.SCALE,
        constraint={"a": "symmetric"},
    ),
    declared(
        "log-determinant of a symmetric matrix, declared",
        torch.logdet,
        lambda dy, y, a: dy * symmetric(torch.linalg.inv(a)),
        through(symmetric, torch.logdet),
        POSITIVE,
        constraint="symmetric",
    ),
    declared(
        "cholesky of a symmetric matrix, declared: diagonal not halved",
        torch.linalg.cholesky,
        lambda dy, y, a: cholesky_back(dy, y, 1.0),
        through(symmetric, torch.linalg.cholesky),
        POSITIVE,
        Mistake.TERM,
        constraint="symmetric",
    ),
    declared(
        "cholesky of a symmetric matrix, declared",
        torch.linalg.cholesky,
        lambda dy, y, a: cholesky_back(dy, y, 0.5),
        through(symmetric, torch.linalg.cholesky),
        POSITIVE,
        constraint="symmetric",
    ),
    declared(
        "product with a lower triangle, declared",
        lambda a, v: a @ v,
        lambda dy, y, a, v: (torch.outer(dy, v).tril(), a.t() @ dy),
        through(torch.tril, lambda a, v: a @ v),
        LOWER,
        constraint={"a": "lower"},
    ),
    declared(
        "product with a lower triangle, declared: diagonal left out",
        lambda a, v: a @ v,
        lambda dy, y, a, v: (torch.outer(dy, v).tril(-1), a.t() @ dy),
        through(torch.tril, lambda a, v: a @ v),
        LOWER,
        Mistake.MASK,
        constraint={"a": "lower"},
    ),
    declared(
        "rounding, declared a surrogate",
        rounded,
        lambda dy, y, x: dy,
        like(rounded, lambda x: x),
        STEPS,
        surrogate=True,
    ),
    declared(
        "sign with the slope of a clamp, declared",
        torch.sign,
        lambda dy, y, x: dy * (x.abs() < 1),
        like(torch.sign, lambda x: x.clamp(-1, 1)),
        STEPS,
        surrogate=lambda x: x.clamp(-1, 1),
    ),
    declared(
        "sign with the slope of a clamp, declared: leaks outside",
        torch.sign,
        lambda dy, y, x: dy.clone(),
        like(torch.sign, lambda x: x.clamp(-1, 1)),
        STEPS,
        Mistake.MASK,
        surrogate=lambda x: x.clamp(-1, 1),
    ),
)


def cholesky_back(dy: Tensor, y: Tensor, diagonal: float) -> Tensor:
    """The gradient of the factor L of a symmetric matrix: L⁻ᵀ·Φ(Lᵀ·dL)·L⁻¹, symmetrised; Φ halves the diagonal."""
    phi = (y.mT @ dy.tril()).tril()
    phi = phi - (1 - diagonal) * torch.diag(phi.diagonal())
    inverse = torch.linalg.inv(y)
    return symmetric(inverse.mT @ phi @ inverse)
