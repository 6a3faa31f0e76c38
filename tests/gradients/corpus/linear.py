"""Linear algebra: right backwards by hand, and the mistakes people make in them.

Kinds of report studied: transposes lost in products of square matrices, sums over the batch that became means or
the first sample, signs lost in solves and inverses.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tests.gradients.corpus.draw import exploring, mixed, quotient
from tests.gradients.corpus.entry import Component, Entry, Mistake, modern


def shifted(x: Tensor) -> Tensor:
    """A well-conditioned matrix made of any small square one: 4·I + x / 2."""
    return 4 * torch.eye(x.shape[-1], dtype=x.dtype) + x / 2


DENSE = Component(
    "dense",
    lambda x, w, b: x @ w.t() + b,
    lambda dy, y, x, w, b: (dy @ w, dy.t() @ x, dy.sum(0)),
    mixed(x=(4, 3), w=(5, 3), b=(5,)),
    exploring(x="nm", w="km", b="k"),
)
SQUARE_DENSE = Component(
    "square dense",
    lambda x, w: x @ w.t(),
    lambda dy, y, x, w: (dy @ w, dy.t() @ x),
    mixed(x=(4, 4), w=(4, 4)),
    exploring(x="nn", w="nn"),
    modern,
)
BILINEAR = Component(
    "bilinear form",
    lambda x, a, y: x @ a @ y,
    lambda dz, z, x, a, y: (dz * (a @ y), dz * torch.outer(x, y), dz * (x @ a)),
    mixed(x=(4,), a=(4, 4), y=(4,)),
    exploring(x="n", a="nm", y="m"),
)
QUADRATIC = Component(
    "quadratic form",
    lambda x, a: x @ a @ x,
    lambda dz, z, x, a: (dz * (a + a.t()) @ x, dz * torch.outer(x, x)),
    mixed(x=(4,), a=(4, 4)),
    exploring(x="n", a="nn"),
    modern,
)
SHARED = Component(
    "batched product with a shared matrix",
    lambda a, b: a @ b,
    lambda dy, y, a, b: (dy @ b.t(), torch.einsum("bij,bik->jk", a, dy)),
    mixed(a=(2, 3, 4), b=(4, 5)),
    exploring(a="bij", b="jk"),
)
CONTRACTION = Component(
    "contraction ij,kj->ik",
    lambda a, b: torch.einsum("ij,kj->ik", a, b),
    lambda dy, y, a, b: (dy @ b, dy.t() @ a),
    mixed(a=(3, 3), b=(3, 3)),
    exploring(a="ij", b="kj"),
)
TRACE = Component(
    "trace of a product",
    lambda a, b: (a @ b).trace(),
    lambda dy, y, a, b: (dy * b.t(), dy * a.t()),
    mixed(a=(3, 3), b=(3, 3)),
    exploring(a="nm", b="mn"),
    modern,
)
DETERMINANT = Component(
    "determinant",
    lambda x: torch.linalg.det(shifted(x)),
    lambda dy, y, x: dy * y * torch.linalg.inv(shifted(x)).t() / 2,
    mixed(x=(3, 3)),
    exploring(x="nn"),
)
LOGDET = Component(
    "log-determinant",
    lambda x: torch.logdet(shifted(x)),
    lambda dy, y, x: dy * torch.linalg.inv(shifted(x)).t() / 2,
    mixed(x=(3, 3)),
    exploring(x="nn"),
    modern,
)
INVERSE = Component(
    "inverse",
    lambda x: torch.linalg.inv(shifted(x)),
    lambda dy, y, x: -y.t() @ dy @ y.t() / 2,
    mixed(x=(3, 3)),
    exploring(x="nn"),
)
SOLVE = Component(
    "solve",
    lambda x, b: torch.linalg.solve(shifted(x), b),
    lambda dy, y, x, b: solve_backward(dy, y, x),
    mixed(x=(3, 3), b=(3, 2)),
    exploring(x="nn", b="nm"),
)
OUTER = Component(
    "outer product",
    torch.outer,
    lambda dy, y, a, b: (dy @ b, dy.t() @ a),
    mixed(a=(4,), b=(4,)),
    exploring(a="n", b="m"),
)
CROSS = Component(
    "cross product",
    lambda a, b: torch.linalg.cross(a, b),
    lambda dy, y, a, b: (torch.linalg.cross(b, dy), torch.linalg.cross(dy, a)),
    mixed(a=(2, 3), b=(2, 3)),
)
FROBENIUS = Component(
    "norm",
    torch.norm,
    lambda dy, y, x: dy * quotient(x, y),
    mixed(x=(3, 4)),
    exploring(x="nm", low=0.3, special=(1.0,)),
)
PROJECT = Component(
    "unit rows",
    lambda x: x / x.norm(dim=-1, keepdim=True),
    lambda dy, y, x: (dy - y * (dy * y).sum(-1, keepdim=True)) / x.norm(dim=-1, keepdim=True),
    mixed(x=(3, 4)),
    exploring(x="nm", low=0.3, special=(1.0,)),
    modern,
)


def solve_backward(dy: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of solve(4·I + x / 2, b)."""
    db = torch.linalg.solve(shifted(x).t(), dy)
    return -db @ y.t() / 2, db


COMPONENTS = (
    DENSE,
    SQUARE_DENSE,
    BILINEAR,
    QUADRATIC,
    SHARED,
    CONTRACTION,
    TRACE,
    DETERMINANT,
    LOGDET,
    INVERSE,
    SOLVE,
    OUTER,
    CROSS,
    FROBENIUS,
    PROJECT,
)

PRODUCTS = (
    SQUARE_DENSE.wrong("weight gradient transposed", Mistake.TRANSPOSE, lambda dy, y, x, w: (dy @ w, x.t() @ dy)),
    SQUARE_DENSE.wrong(
        "input gradient through the transpose", Mistake.TRANSPOSE, lambda dy, y, x, w: (dy @ w.t(), dy.t() @ x)
    ),
    DENSE.wrong(
        "bias averaged over the batch", Mistake.REDUCTION, lambda dy, y, x, w, b: (dy @ w, dy.t() @ x, dy.mean(0))
    ),
    DENSE.wrong("bias from the first sample", Mistake.REDUCTION, lambda dy, y, x, w, b: (dy @ w, dy.t() @ x, dy[0])),
    DENSE.wrong(
        "weights from the first sample",
        Mistake.REDUCTION,
        lambda dy, y, x, w, b: (dy @ w, torch.outer(dy[0], x[0]), dy.sum(0)),
    ),
    DENSE.wrong("last sample left out", Mistake.TERM, lambda dy, y, x, w, b: (dy @ w, dy[:-1].t() @ x[:-1], dy.sum(0))),
    DENSE.wrong("bias frozen", Mistake.ZERO, lambda dy, y, x, w, b: (dy @ w, dy.t() @ x, None)),
    BILINEAR.wrong(
        "matrix gradient transposed",
        Mistake.TRANSPOSE,
        lambda dz, z, x, a, y: (dz * (a @ y), dz * torch.outer(y, x), dz * (x @ a)),
    ),
    QUADRATIC.wrong(
        "matrix taken for symmetric", Mistake.TERM, lambda dz, z, x, a: (2 * dz * a @ x, dz * torch.outer(x, x))
    ),
    QUADRATIC.wrong("one side only", Mistake.TERM, lambda dz, z, x, a: (dz * a @ x, dz * torch.outer(x, x))),
    SHARED.wrong(
        "averaged over the batch",
        Mistake.REDUCTION,
        lambda dy, y, a, b: (dy @ b.t(), torch.einsum("bij,bik->jk", a, dy) / a.shape[0]),
    ),
    SHARED.wrong("first of the batch only", Mistake.REDUCTION, lambda dy, y, a, b: (dy @ b.t(), a[0].t() @ dy[0])),
    CONTRACTION.wrong("second gradient transposed", Mistake.TRANSPOSE, lambda dy, y, a, b: (dy @ b, a.t() @ dy)),
    TRACE.wrong("not transposed", Mistake.TRANSPOSE, lambda dy, y, a, b: (dy * b, dy * a)),
    DETERMINANT.wrong(
        "inverse not transposed", Mistake.TRANSPOSE, lambda dy, y, x: dy * y * torch.linalg.inv(shifted(x)) / 2
    ),
    LOGDET.wrong("inner slope forgotten", Mistake.SCALE, lambda dy, y, x: dy * torch.linalg.inv(shifted(x)).t()),
    INVERSE.wrong("sign lost", Mistake.SIGN, lambda dy, y, x: y.t() @ dy @ y.t() / 2),
    INVERSE.wrong("not transposed", Mistake.TRANSPOSE, lambda dy, y, x: -y @ dy @ y / 2),
    SOLVE.wrong(
        "matrix not transposed",
        Mistake.TRANSPOSE,
        lambda dy, y, x, b: (solve_backward(dy, y, x)[0], torch.linalg.solve(shifted(x), dy)),
    ),
    SOLVE.wrong(
        "sign lost", Mistake.SIGN, lambda dy, y, x, b: (-solve_backward(dy, y, x)[0], solve_backward(dy, y, x)[1])
    ),
    OUTER.wrong("operands swapped", Mistake.SWAP, lambda dy, y, a, b: (dy.t() @ b, dy @ a)),
    CROSS.wrong(
        "order turned", Mistake.SIGN, lambda dy, y, a, b: (torch.linalg.cross(dy, b), torch.linalg.cross(dy, a))
    ),
    FROBENIUS.wrong("divisor forgotten", Mistake.TERM, lambda dy, y, x: dy * x),
    PROJECT.wrong("projection forgotten", Mistake.TERM, lambda dy, y, x: dy / x.norm(dim=-1, keepdim=True)),
)

ENTRIES: tuple[Entry, ...] = (*(component.right() for component in COMPONENTS), *PRODUCTS)
