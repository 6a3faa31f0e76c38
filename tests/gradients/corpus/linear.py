"""Linear algebra, indexing and reductions: right backwards by hand, and the mistakes people make in them.

Kinds of report studied: transposes lost in products of square matrices, gather and scatter that overwrite at
repeated indices (PyTorch 1631, MXNet 9172, Paddle 17662), shifted pads and slices, sums over the wrong axis.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tests.gradients.corpus.draw import ORDINARY, exploring, fixed, joined, mixed, uniform
from tests.gradients.corpus.entry import Component, Entry, Mistake, modern

PICKS = torch.tensor([0, 2, 2, 4])
TURN = (1, 2, 0)
HALVES = (0.5, -0.5)


def shifted(x: Tensor) -> Tensor:
    """A well-conditioned matrix made of any small square one: 4·I + x / 2."""
    return 4 * torch.eye(x.shape[-1], dtype=x.dtype) + x / 2


def gram(x: Tensor) -> Tensor:
    """A positive-definite matrix made of any matrix: x·xᵀ + I."""
    return x @ x.mT + torch.eye(x.shape[-2], dtype=x.dtype)


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
    "norm", torch.norm, lambda dy, y, x: dy * x / y, mixed(x=(3, 4)), exploring(x="nm", low=0.3, special=(1.0,))
)
PROJECT = Component(
    "unit rows",
    lambda x: x / x.norm(dim=-1, keepdim=True),
    lambda dy, y, x: (dy - y * (dy * y).sum(-1, keepdim=True)) / x.norm(dim=-1, keepdim=True),
    mixed(x=(3, 4)),
    exploring(x="nm", low=0.3, special=(1.0,)),
    modern,
)
CUMSUM = Component(
    "running sum", lambda x: x.cumsum(0), lambda dy, y, x: dy.flip(0).cumsum(0).flip(0), mixed(x=(5,)), exploring(x="n")
)
CUMPROD = Component(
    "running product",
    lambda x: x.cumprod(0),
    lambda dy, y, x: (dy * y).flip(0).cumsum(0).flip(0) / x,
    mixed(x=(5,)),
    exploring(x="n", low=0.3, special=(1.0,)),
)
ROLL = Component(
    "roll",
    lambda x: x.roll(1, 0) * x,
    lambda dy, y, x: dy * x.roll(1, 0) + (dy * x).roll(-1, 0),
    mixed(x=(5,)),
    exploring(x="n"),
)
TURNED = Component(
    "axes turned",
    lambda x: x.permute(TURN) ** 2,
    lambda dy, y, x: 2 * x * dy.permute(2, 0, 1),
    mixed(x=(3, 3, 3)),
    exploring(x="ijk"),
)
TRIANGLE = Component(
    "lower triangle times vector",
    lambda x, v: x.tril() @ v,
    lambda dy, y, x, v: (torch.outer(dy, v).tril(), x.tril().t() @ dy),
    mixed(x=(4, 4), v=(4,)),
    exploring(x="nn", v="n"),
    modern,
)
PICK = Component(
    "rows picked with repeats",
    lambda x: x[PICKS] ** 2,
    lambda dy, y, x: torch.zeros_like(x).index_add(0, PICKS, 2 * dy * x[PICKS]),
    mixed(x=(5, 2)),
)
PAD = Component(
    "pad and square",
    lambda x: torch.nn.functional.pad(x, (2, 1)) ** 2,
    lambda dy, y, x: 2 * x * dy[2:-1],
    mixed(x=(5,)),
    exploring(x="n"),
)
SLICE = Component(
    "inner part",
    lambda x: x[1:-2] ** 3,
    lambda dy, y, x: torch.nn.functional.pad(3 * dy * x[1:-2] ** 2, (1, 2)),
    mixed(x=(7,)),
)
OVERLAP = Component(
    "overlapping windows",
    lambda x: x.unfold(0, 3, 1) ** 2,
    lambda dy, y, x: windows_back(2 * dy * x.unfold(0, 3, 1), x),
    mixed(x=(6,)),
)
SELECT = Component(
    "where",
    lambda a, b: torch.where(b > 0, a * b, a - b),
    lambda dy, y, a, b: (torch.where(b > 0, dy * b, dy), torch.where(b > 0, dy * a, -dy)),
    mixed(a=(6,), b=(6,)),
)
MEAN = Component(
    "mean of rows",
    lambda x: x.mean(-1),
    lambda dy, y, x: (dy / x.shape[-1]).unsqueeze(-1).expand_as(x),
    mixed(x=(3, 4)),
    exploring(x="nm"),
    modern,
)
VARIANCE = Component(
    "variance",
    lambda x: x.var(-1),
    lambda dy, y, x: dy[..., None] * 2 * (x - x.mean(-1, keepdim=True)) / (x.shape[-1] - 1),
    mixed(x=(3, 4)),
    exploring(x="nm", sizes=(2, 5)),
)
DEVIATION = Component(
    "standard deviation",
    lambda x: x.std(-1),
    lambda dy, y, x: (dy / y)[..., None] * (x - x.mean(-1, keepdim=True)) / (x.shape[-1] - 1),
    mixed(x=(3, 4)),
)
PRODUCT = Component(
    "product of rows",
    lambda x: x.prod(-1),
    lambda dy, y, x: (dy * y)[..., None] / x,
    mixed(x=(3, 4)),
    exploring(x="nm", low=0.3, special=(1.0,)),
)
LARGEST = Component(
    "largest of rows",
    lambda x: x.amax(-1),
    lambda dy, y, x: dy[..., None] * one_hot(x.argmax(-1), x),
    mixed(x=(3, 4)),
    order=1,
)
LOGSUMEXP = Component(
    "log-sum-exp of rows",
    lambda x: x.logsumexp(-1),
    lambda dy, y, x: dy[..., None] * (x - y[..., None]).exp(),
    mixed(x=(4, 4)),
    exploring(x="nm"),
    modern,
)


def solve_backward(dy: Tensor, y: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of solve(4·I + x / 2, b)."""
    db = torch.linalg.solve(shifted(x).t(), dy)
    return -db @ y.t() / 2, db


def windows_back(dw: Tensor, x: Tensor) -> Tensor:
    """Add each window of dw (n - 2, 3) to the places it was cut from."""
    places = torch.arange(dw.shape[0])[:, None] + torch.arange(3)
    return torch.zeros_like(x).index_add(0, places.reshape(-1), dw.reshape(-1))


def one_hot(place: Tensor, x: Tensor) -> Tensor:
    """One at each row's place, zero elsewhere, in the dtype of x."""
    return torch.nn.functional.one_hot(place, x.shape[-1]).to(x.dtype)


def overwritten(dw: Tensor, x: Tensor) -> Tensor:
    """Write each window where it was cut from: the last one wins."""
    dx = torch.zeros_like(x)
    for place, row in enumerate(dw):
        dx[place : place + 3] = row
    return dx


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
    CUMSUM,
    CUMPROD,
    ROLL,
    TURNED,
    TRIANGLE,
    PICK,
    PAD,
    SLICE,
    OVERLAP,
    SELECT,
    MEAN,
    VARIANCE,
    DEVIATION,
    PRODUCT,
    LARGEST,
    LOGSUMEXP,
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

PLACES = (
    CUMSUM.wrong("not reversed", Mistake.AXIS, lambda dy, y, x: dy.cumsum(0)),
    CUMSUM.wrong("excludes its own place", Mistake.SHIFT, lambda dy, y, x: dy.flip(0).cumsum(0).flip(0) - dy),
    CUMPROD.wrong("not accumulated", Mistake.TERM, lambda dy, y, x: dy * y / x),
    ROLL.wrong("turned the same way", Mistake.SHIFT, lambda dy, y, x: dy * x.roll(1, 0) + (dy * x).roll(1, 0)),
    TURNED.wrong(
        "same turn in place of the opposite one", Mistake.TRANSPOSE, lambda dy, y, x: 2 * x * dy.permute(TURN)
    ),
    TRIANGLE.wrong("upper part not cut", Mistake.MASK, lambda dy, y, x, v: (torch.outer(dy, v), x.tril().t() @ dy)),
    TRIANGLE.wrong("diagonal cut", Mistake.MASK, lambda dy, y, x, v: (torch.outer(dy, v).tril(-1), x.tril().t() @ dy)),
    PICK.wrong(
        "repeats overwritten",
        Mistake.REDUCTION,
        lambda dy, y, x: torch.zeros_like(x).index_copy(0, PICKS[[0, 1, 3]], (2 * dy * x[PICKS])[[0, 1, 3]]),
    ),
    PAD.wrong("cut one place late", Mistake.SHIFT, lambda dy, y, x: 2 * x * dy[3:]),
    SLICE.wrong(
        "put back one place late",
        Mistake.SHIFT,
        lambda dy, y, x: torch.nn.functional.pad(3 * dy * x[1:-2] ** 2, (2, 1)),
    ),
    OVERLAP.wrong(
        "overwritten in place of added", Mistake.REDUCTION, lambda dy, y, x: overwritten(2 * dy * x.unfold(0, 3, 1), x)
    ),
    SELECT.wrong(
        "branches exchanged",
        Mistake.SWAP,
        lambda dy, y, a, b: (torch.where(b > 0, dy, dy * b), torch.where(b > 0, -dy, dy * a)),
    ),
    MEAN.wrong("not divided", Mistake.SCALE, lambda dy, y, x: dy.unsqueeze(-1).expand_as(x)),
    VARIANCE.wrong(
        "divided by n", Mistake.SCALE, lambda dy, y, x: dy[..., None] * 2 * (x - x.mean(-1, keepdim=True)) / x.shape[-1]
    ),
    VARIANCE.wrong("not centred", Mistake.TERM, lambda dy, y, x: dy[..., None] * 2 * x / (x.shape[-1] - 1)),
    DEVIATION.wrong(
        "slope of the root forgotten",
        Mistake.TERM,
        lambda dy, y, x: dy[..., None] * (x - x.mean(-1, keepdim=True)) / (x.shape[-1] - 1),
    ),
    PRODUCT.wrong("own factor kept", Mistake.TERM, lambda dy, y, x: (dy * y)[..., None].expand_as(x)),
    LARGEST.wrong("given to the smallest", Mistake.SWAP, lambda dy, y, x: dy[..., None] * one_hot(x.argmin(-1), x)),
    LARGEST.wrong("spread over the row", Mistake.MASK, lambda dy, y, x: (dy / x.shape[-1])[..., None].expand_as(x)),
    LOGSUMEXP.wrong("normalised along the other axis", Mistake.AXIS, lambda dy, y, x: dy[..., None] * x.softmax(0)),
    LOGSUMEXP.wrong("not normalised", Mistake.TERM, lambda dy, y, x: dy[..., None] * x.exp()),
)

ENTRIES: tuple[Entry, ...] = (*(component.right() for component in COMPONENTS), *PRODUCTS, *PLACES)
