"""Right functions that are hard to measure: scales, conditions, steepness, noise, saturation, edges of the domain.

Each truth is another formula for the same function, so that its autograd gradient takes another way.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

from tests.gradients.corpus.draw import changed, fixed, joined, mixed, uniform
from tests.gradients.corpus.entry import BOTH, DOUBLE, Entry, Forward, Inputs

X = mixed(x=(3, 4))
POSITIVE = uniform(0.3, 1.7, x=(3, 4))
AGREES = frozenset({"agrees"})
NEVER_WRONG = frozenset({"agrees", "unresolved"})
UNRESOLVED = frozenset({"unresolved"})
ROUNDING = 1e-15  # a few rounding errors of float64: a condition number multiplies them
EDGE = frozenset({"unresolved", "kink"})


def right(
    name: str,
    function: Forward,
    truth: Forward,
    inputs: Inputs = X,
    *,
    verdicts: frozenset[str] = AGREES,
    dtypes: tuple[torch.dtype, ...] = BOTH,
    order: int = 1,
    note: str = "",
    spread: float = 0.0,
) -> Entry:
    """A right entry whose truth is another formula."""
    return Entry(
        name,
        lambda: function,
        inputs,
        True,
        truth=truth,
        verdicts=verdicts,
        dtypes=dtypes,
        order=order,
        note=note,
        spread=spread,
    )


def times(base: Inputs, c: float) -> Inputs:
    """Inputs at another scale."""
    return changed(base, lambda named: {name: c * x for name, x in named.items()})


def scaled(c: float) -> Iterable[Entry]:
    """c·f and f(x / c) for one scale c."""
    yield right(f"{c:g} sin x", lambda x: c * x.sin(), lambda x: c * (x - math.pi / 2).cos())
    yield right(f"sin(x / {c:g})", lambda x: (x / c).sin(), lambda x: (x / c - math.pi / 2).cos(), times(X, c))
    yield right(f"softmax of x / {c:g}", lambda x: (x / c).softmax(-1), lambda x: softmax_by_hand(x / c), times(X, c))
    yield right(f"{c:g} x² of small numbers", lambda x: c * x * x, lambda x: c * x.abs() ** 2, times(X, 1e-3))


def softmax_by_hand(z: Tensor) -> Tensor:
    """exp z over its row sum."""
    return z.exp() / z.exp().sum(-1, keepdim=True)


SCALES = tuple(entry for c in (1e-8, 1e-4, 1e4, 1e8) for entry in scaled(c))
ROW_SCALES = (1e-8, 1.0, 1e8)


def rows(x: Tensor) -> Tensor:
    """A column of scales sixteen orders apart."""
    return torch.tensor(ROW_SCALES, dtype=x.dtype)[:, None]


STEEP = (
    right("rows sixteen orders apart", lambda x: x.tanh() * rows(x), lambda x: (1 - 2 / ((2 * x).exp() + 1)) * rows(x)),
    right(
        "one large and one small operand",
        lambda a, b: a * b,
        lambda a, b: (a.log() + b.log()).exp(),
        joined(times(uniform(0.3, 1.7, a=(4,)), 1e8), times(uniform(0.3, 1.7, b=(4,)), 1e-8)),
    ),
    right("exp at 30", torch.exp, lambda x: (x / 2).exp() ** 2, fixed(x=[29.0, 30.0, 31.0]), order=2),
    right("exp at -30", torch.exp, lambda x: (x / 2).exp() ** 2, fixed(x=[-29.0, -30.0, -31.0]), order=2),
    right("log at 1e-8", torch.log, lambda x: 2 * x.sqrt().log(), fixed(x=[1e-8, 3e-8, 1e-6])),
    right("reciprocal at 1e-3", lambda x: 1 / x, lambda x: (-x.log()).exp(), fixed(x=[1e-3, 2e-3, 0.5])),
    right("root at 1e-8", torch.sqrt, lambda x: (x.log() / 2).exp(), fixed(x=[1e-8, 4e-6, 1.0])),
    right("tangent near its pole", torch.tan, lambda x: x.sin() / x.cos(), fixed(x=[1.5, 1.55, -1.56])),
    right("tenth power", lambda x: x**10, lambda x: (x**5) ** 2, order=2),
    right("fiftieth power", lambda x: x**50, lambda x: (x**25) ** 2, uniform(0.8, 1.2, x=(3, 4))),
    right("inverse cube", lambda x: x**-3, lambda x: 1 / (x * x * x), order=2),
    right(
        "sin 100x",
        lambda x: (100 * x).sin(),
        lambda x: 2 * (50 * x).sin() * (50 * x).cos(),
        note="in float32 the argument alone is off by 100 rounding errors",
    ),
    right("sin 10,000x", lambda x: (1e4 * x).sin(), lambda x: 2 * (5e3 * x).sin() * (5e3 * x).cos(), dtypes=DOUBLE),
    right("arccosine near one", torch.acos, lambda x: torch.atan2((1 - x * x).sqrt(), x), fixed(x=[0.999, -0.99, 0.9])),
    right(
        "x·log x near zero",
        lambda x: torch.xlogy(x, x),
        lambda x: x * 2 * x.sqrt().log(),
        fixed(x=[1e-6, 1e-3, 0.5]),
    ),
    right(
        "inverse hyperbolic tangent near one",
        torch.atanh,
        lambda x: ((1 + x) / (1 - x)).log() / 2,
        fixed(x=[0.99, -0.9, 0.5]),
        dtypes=DOUBLE,
    ),
    right("log of gamma", torch.lgamma, lambda x: torch.lgamma(x + 1) - x.log(), fixed(x=[0.3, 1.7, 5.5])),
    right("error function", torch.erf, lambda x: 1 - torch.erfc(x), order=2),
)


def turned_basis(size: int) -> Tensor:
    """An orthogonal matrix: the eigenvectors of the second difference."""
    place = torch.arange(1, size + 1, dtype=torch.float64)
    return math.sqrt(2 / (size + 1)) * torch.sin(torch.outer(place, place) * math.pi / (size + 1))


def of_condition(condition: float) -> Inputs:
    """A (4, 4) matrix of a given condition number and a right-hand side."""

    def inputs(generator: torch.Generator, dtype: torch.dtype) -> dict[str, Tensor]:
        basis = turned_basis(4)
        values = torch.logspace(0, -math.log10(condition), 4, dtype=torch.float64)
        b = 1 + torch.rand(4, generator=generator, dtype=torch.float64)
        return {"a": (basis * values @ basis.flip(0)).to(dtype), "b": (basis[:, 3] + b * 1e-3).to(dtype)}

    return inputs


def only(name: str, base: Inputs) -> Inputs:
    """One of the named tensors."""
    return changed(base, lambda named: {name: named[name]})


def adjugate_solve(a: Tensor, b: Tensor) -> Tensor:
    """a⁻¹·b through the inverse."""
    return torch.linalg.inv(a) @ b


CONDITIONED = (
    *(
        right(
            f"solve at condition {condition:g}",
            torch.linalg.solve,
            adjugate_solve,
            of_condition(condition),
            verdicts=NEVER_WRONG if condition > 1e8 else AGREES,
            dtypes=DOUBLE if condition > 1e3 else BOTH,
            spread=condition * ROUNDING,
        )
        for condition in (1e2, 1e6, 1e10)
    ),
    *(
        right(
            f"log-determinant at condition {condition:g}",
            lambda a: torch.linalg.slogdet(a)[1],
            lambda a: torch.linalg.svdvals(a).log().sum(),
            only("a", of_condition(condition)),
            verdicts=NEVER_WRONG if condition > 1e8 else AGREES,
            dtypes=DOUBLE if condition > 1e3 else BOTH,
            spread=condition * ROUNDING,
        )
        for condition in (1e2, 1e6, 1e10)
    ),
    right(
        "quadratic form at condition 1e10",
        lambda x: ridge(x),
        lambda x: (x * x * torch.logspace(0, 10, 4, dtype=x.dtype)).sum(),
        mixed(x=(4,)),
    ),
    right(
        "least squares by the normal equations",
        lambda a, b: torch.linalg.solve(a.t() @ a, a.t() @ b),
        lambda a, b: torch.linalg.pinv(a) @ b,
        mixed(a=(5, 3), b=(5,)),
        dtypes=DOUBLE,
    ),
    right(
        "eigenvalues of a symmetric part",
        lambda x: torch.linalg.eigvalsh((x + x.mT) / 2 + torch.diag(torch.arange(3.0, dtype=x.dtype) * 9)),
        lambda x: torch.linalg.eigh((x + x.mT) / 2 + torch.diag(torch.arange(3.0, dtype=x.dtype) * 9))[0],
        mixed(x=(3, 3)),
    ),
    right(
        "cholesky of a gram matrix",
        lambda x: torch.linalg.cholesky(x @ x.mT + torch.eye(3, dtype=x.dtype)),
        lambda x: cholesky_by_hand(x @ x.mT + torch.eye(3, dtype=x.dtype)),
        mixed(x=(3, 4)),
        order=2,
    ),
)


def ridge(x: Tensor) -> Tensor:
    """xᵀ·D·x with D from 1 to 1e10."""
    return x @ torch.diag(torch.logspace(0, 10, 4, dtype=x.dtype)) @ x


def cholesky_by_hand(a: Tensor) -> Tensor:
    """The factor of a (3, 3) matrix, entry by entry."""
    p = a[0, 0].sqrt()
    q, r = a[1, 0] / p, a[2, 0] / p
    s = (a[1, 1] - q * q).sqrt()
    t = (a[2, 1] - q * r) / s
    u = (a[2, 2] - r * r - t * t).sqrt()
    zero = torch.zeros_like(p)
    return torch.stack([p, zero, zero, q, s, zero, r, t, u]).reshape(3, 3)


NOISY = (
    right(
        "1e16 + sin x",
        lambda x: 1e16 + x.sin(),
        lambda x: x.sin() + 1e16,
        verdicts=UNRESOLVED,
        dtypes=DOUBLE,
        note="the spacing of numbers at 1e16 is 2: not one digit of the slope can be measured",
    ),
    right(
        "1e8 + sin x",
        lambda x: 1e8 + x.sin(),
        lambda x: x.sin() + 1e8,
        verdicts=NEVER_WRONG,
        dtypes=DOUBLE,
        note="the spacing of numbers at 1e8 is 1.5e-8: about seven digits can be measured",
    ),
    right(
        "sum of 1e8 + sin x over a thousand",
        lambda x: (1e8 + x.sin()).sum(),
        lambda x: x.sin().sum() + 1e11,
        mixed(x=(1000,)),
        verdicts=NEVER_WRONG,
        dtypes=DOUBLE,
    ),
    right(
        "cancellation at ten thousand",
        lambda x: ((x + 1e4) - 1e4).sin(),
        lambda x: x.sin(),
        verdicts=NEVER_WRONG,
        dtypes=DOUBLE,
        spread=1e4 * ROUNDING,
    ),
    right(
        "sine in float32 inside",
        lambda x: x.float().sin().to(x.dtype),
        torch.sin,
        verdicts=NEVER_WRONG,
        spread=1e-6,
        note="piecewise constant below the spacing of float32; its own gradient is off by that too",
    ),
    right(
        "matrix product in float32 inside",
        lambda x, w: (x.float() @ w.float()).to(x.dtype),
        lambda x, w: x @ w,
        mixed(x=(3, 4), w=(4, 2)),
        verdicts=NEVER_WRONG,
        spread=1e-6,
    ),
    right(
        "tanh in bfloat16 inside",
        lambda x: x.bfloat16().tanh().to(x.dtype),
        torch.tanh,
        verdicts=NEVER_WRONG,
        spread=2**-6,
    ),
)

SATURATED = (
    right(
        "sigmoid at 40",
        torch.sigmoid,
        lambda x: (1 + (x / 2).tanh()) / 2,
        fixed(x=[40.0, -40.0, 0.5]),
        verdicts=NEVER_WRONG,
    ),
    right(
        "tanh at 10", torch.tanh, lambda x: 2 * (2 * x).sigmoid() - 1, fixed(x=[10.0, -10.0, 0.5]), verdicts=NEVER_WRONG
    ),
    right(
        "softmax of a clear winner",
        lambda z: z.softmax(-1),
        softmax_by_hand,
        fixed(z=[[30.0, 0.0, -1.0], [0.0, 25.0, 1.0]]),
        verdicts=NEVER_WRONG,
        spread=1e-3,
        note="1 - y is about 1e-13, so that its rounding in the gradient is a thousandth",
    ),
    right(
        "log-sum-exp at a thousand",
        lambda z: z.logsumexp(-1),
        lambda z: (z - 1000).exp().sum(-1).log() + 1000,
        fixed(z=[[1000.0, 1001.0, 999.0]]),
        verdicts=NEVER_WRONG,
        dtypes=DOUBLE,
    ),
    right(
        "softplus at 50",
        functional.softplus,
        lambda x: -functional.logsigmoid(-x),
        fixed(x=[50.0, -30.0, 1.0]),
        verdicts=NEVER_WRONG,
    ),
    right("floor between whole numbers", torch.floor, lambda x: 0 * x + x.detach().floor(), fixed(x=[0.3, -1.6, 2.5])),
    right("sign away from zero", torch.sign, lambda x: 0 * x + x.detach().sign()),
    right("nothing but a constant", lambda x: 0 * x + 3, lambda x: torch.full_like(x, 3) + 0 * x),
    right("x² at zero", lambda x: x * x, lambda x: x**2, fixed(x=[0.0, 0.0])),
    right("x³ at zero", lambda x: x**3, lambda x: x * x * x, fixed(x=[0.0, 0.0])),
    right("cosine at zero", torch.cos, lambda x: 1 - 2 * (x / 2).sin() ** 2, fixed(x=[0.0, 0.0])),
    right(
        "root at zero",
        torch.sqrt,
        lambda x: x.pow(0.5),
        fixed(x=[0.0, 1.0]),
        verdicts=EDGE,
        note="its slope there is infinite and one side lies outside the domain",
    ),
)

ENTRIES: tuple[Entry, ...] = (*SCALES, *STEEP, *CONDITIONED, *NOISY, *SATURATED)
