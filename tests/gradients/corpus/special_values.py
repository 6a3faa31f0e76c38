"""Wrong gradients that show only at special values, shapes or layouts; each brings a strategy that reaches them.

Kinds of report studied: products and running products at zero (TensorFlow 3862, 119430), norms at zero (PyTorch
2421), gather at repeated indices (PyTorch 1631, MXNet 9172), kernels whose backward drops what a block size does not
divide (FlexAttention 153799, attorch 18, xformers 785), non-contiguous cotangents and inputs (flash-attention 355,
torch/nn 345, PyTorch 30303), parameters at their initial values (ones, zeros) that hide a factor.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tests.gradients.corpus.draw import exploring, fixed, joined, mixed, uniform
from tests.gradients.corpus.entry import Component, Entry, Forward, Inputs, Mistake, Named, Strategy
from tests.gradients.corpus.places import CUMPROD, PRODUCT

WIDE = (0.0, 1.0, -1.0, 800.0, -800.0)


def sinc(x: Tensor) -> Tensor:
    """sin(x) / x, one at zero."""
    return torch.sinc(x / torch.pi)


def sinc_slope(x: Tensor) -> Tensor:
    """d/dx sin(x) / x; the series -x/3 + x³/30 near zero, where its next term x⁵/840 is below 1e-18."""
    safe = torch.where(x.abs() < 1e-3, 1, x)
    return torch.where(x.abs() < 1e-3, -x / 3 + x**3 / 30, (safe * safe.cos() - safe.sin()) / safe**2)


def positive_first(base: Strategy) -> Strategy:
    """The drawn tensors, the first one made positive."""

    def positive(named: Named) -> Named:
        name = next(iter(named))
        return {**named, name: named[name].abs() + 0.3}

    return lambda dtype: base(dtype).map(positive)


SINC = Component("sin x / x", sinc, lambda dy, y, x: dy * sinc_slope(x), mixed(x=(3, 4)), exploring(x="nm"))
SATURATED = Component(
    "sigmoid far out",
    torch.sigmoid,
    lambda dy, y, x: dy * y * (1 - y),
    mixed(x=(3, 4)),
    exploring(x="nm", special=WIDE),
)
FAR_SOFTPLUS = Component(
    "softplus far out",
    lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    lambda dy, y, x: dy * torch.sigmoid(x),
    mixed(x=(3, 4)),
    exploring(x="nm", special=(0.0, 1.0, 800.0)),
)
LOG_COSH = Component(
    "log cosh",
    lambda x: x.abs() + torch.log1p(torch.exp(-2 * x.abs())),
    lambda dy, y, x: dy * torch.tanh(x),
    mixed(x=(3, 4)),
    exploring(x="nm", special=WIDE[1:]),
)
ROW_TOTAL = Component(
    "log-sum-exp far out",
    lambda x: x.logsumexp(-1),
    lambda dy, y, x: dy[..., None] * x.softmax(-1),
    mixed(x=(3, 4)),
    exploring(x="nm", special=WIDE),
)
SIGNED_SQUARE = Component(
    "x·|x|",
    lambda x: x * x.abs(),
    lambda dy, y, x: 2 * dy * x.abs(),
    uniform(0.3, 1.7, x=(3, 4)),
    exploring(x="nm", special=(1.0, -1.0)),
    order=1,
)
RECTIFIER = Component(
    "relu at its corner",
    lambda x: x.clamp(min=0),
    lambda dy, y, x: dy * (x > 0),
    mixed(x=(3, 4)),
    exploring(x="nm"),
    order=1,
    verdicts=frozenset({"agrees", "kink"}),
)
LARGEST = Component(
    "largest of rows with ties",
    lambda x: x.amax(-1),
    lambda dy, y, x: dy[..., None] * (x == y[..., None]) / (x == y[..., None]).sum(-1, keepdim=True),
    mixed(x=(3, 4)),
    exploring(x="nm"),
    order=1,
    verdicts=frozenset({"agrees", "kink"}),
)
BOX_COX = Component(
    "power transform",
    lambda x, p: box_cox(x, p),
    lambda dy, y, x, p: (dy * x ** (p - 1), (dy * box_cox_slope(x, p)).sum()),
    joined(uniform(0.5, 1.6, x=(4,)), fixed(p=0.5)),
    positive_first(exploring(x="n", p="", special=(0.0, 1.0))),
)


def box_cox(x: Tensor, p: Tensor) -> Tensor:
    """(x^p - 1) / p, log x at p = 0; the series near it, whose next term is (p·log x)³·log x / 24."""
    u = x.log()
    near = u * (1 + p * u / 2 * (1 + p * u / 3))
    safe = torch.where(p.abs() < 1e-5, 1, p)
    return torch.where(p.abs() < 1e-5, near, torch.expm1(safe * u) / safe)


def box_cox_slope(x: Tensor, p: Tensor) -> Tensor:
    """d/dp of `box_cox`."""
    u = x.log()
    safe = torch.where(p.abs() < 1e-5, 1, p)
    logged = torch.where(x == 0, 1, x).log()
    grown = torch.where(x == 0, 0, logged * torch.exp(safe * logged))
    far = (grown - torch.expm1(safe * u) / safe) / safe
    return torch.where(p.abs() < 1e-5, u * u / 2 * (1 + 2 * p * u / 3), far)


def positive_part(dy: Tensor, x: Tensor, at_zero: float) -> Tensor:
    """The gradient of relu with a given value at zero."""
    return dy * torch.where(x == 0, at_zero, (x > 0).to(x.dtype))


VALUES = (
    PRODUCT.wrong(
        "divides by its own entry", Mistake.VALUE, lambda dy, y, x: (dy * y)[..., None] / x, visible="special"
    ),
    PRODUCT.wrong(
        "division made safe by a zero",
        Mistake.VALUE,
        lambda dy, y, x: torch.nan_to_num((dy * y)[..., None] / x, 0.0, 0.0, 0.0),
        visible="special",
    ),
    CUMPROD.wrong(
        "divides by its own entry",
        Mistake.VALUE,
        lambda dy, y, x: (dy * y).flip(0).cumsum(0).flip(0) / x,
        visible="special",
    ),
    SINC.wrong(
        "not a number at zero",
        Mistake.VALUE,
        lambda dy, y, x: dy * (x * x.cos() - x.sin()) / (x * x),
        visible="special",
    ),
    SATURATED.wrong(
        "by exponentials that overflow",
        Mistake.VALUE,
        lambda dy, y, x: dy * torch.exp(-x) / (1 + torch.exp(-x)) ** 2,
        visible="special",
    ),
    FAR_SOFTPLUS.wrong(
        "by exponentials that overflow",
        Mistake.VALUE,
        lambda dy, y, x: dy * torch.exp(x) / (1 + torch.exp(x)),
        visible="special",
    ),
    LOG_COSH.wrong(
        "by exponentials that overflow",
        Mistake.VALUE,
        lambda dy, y, x: dy * (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x)),
        visible="special",
    ),
    ROW_TOTAL.wrong(
        "maximum not subtracted",
        Mistake.VALUE,
        lambda dy, y, x: dy[..., None] * x.exp() / x.exp().sum(-1, keepdim=True),
        visible="special",
    ),
    SIGNED_SQUARE.wrong("negative side", Mistake.VALUE, lambda dy, y, x: 2 * dy * x, visible="special"),
    RECTIFIER.wrong(
        "-1 at zero",
        Mistake.VALUE,
        lambda dy, y, x: positive_part(dy, x, -1.0),
        visible="special",
        note="outside of the slopes 0 and 1 on the two sides",
    ),
    RECTIFIER.wrong("2 at zero", Mistake.VALUE, lambda dy, y, x: positive_part(dy, x, 2.0), visible="special"),
    LARGEST.wrong(
        "ties counted twice",
        Mistake.VALUE,
        lambda dy, y, x: dy[..., None] * (x == y[..., None]) * (x == y[..., None]).sum(-1, keepdim=True),
        visible="special",
    ),
    BOX_COX.wrong(
        "exponent has no gradient at zero",
        Mistake.VALUE,
        lambda dy, y, x, p: (dy * x ** (p - 1), (dy * torch.where(p == 0, 0, box_cox_slope(x, p))).sum()),
        visible="special",
    ),
)

POINTS = exploring(x="nm")


def plain(name: str, candidate: Forward, truth: Forward, inputs: Inputs, strategy: Strategy) -> Entry:
    """A special entry without an autograd.Function."""
    return Entry(name, lambda: candidate, inputs, False, Mistake.VALUE, "special", truth=truth, strategy=strategy)


def exponential_of_symmetric(x: Tensor) -> Tensor:
    """The exponential of the symmetric part of x by its eigenvectors: no gradient where two eigenvalues meet."""
    size, vectors = torch.linalg.eigh((x + x.mT) / 2)
    return (vectors * size.exp()) @ vectors.mT


PLAIN = (
    plain(
        "squared norm through the norm",
        lambda x: torch.sqrt((x * x).sum(-1)) ** 2,
        lambda x: (x * x).sum(-1),
        mixed(x=(3, 4)),
        POINTS,
    ),
    plain(
        "sinc through where",
        lambda x: torch.where(x == 0, torch.ones_like(x), x.sin() / x),
        sinc,
        mixed(x=(3, 4)),
        POINTS,
    ),
    plain(
        "square through exp and log",
        lambda x: torch.exp(2 * torch.log(x.abs())),
        lambda x: x * x,
        mixed(x=(3, 4)),
        POINTS,
    ),
    plain(
        "angle through the quotient",
        lambda a, b: torch.atan(a / b) + torch.pi * (b < 0).to(b.dtype),
        lambda a, b: torch.pi / 2 - torch.atan(b / a),
        joined(uniform(0.3, 1.7, a=(4,)), mixed(b=(4,))),
        positive_first(exploring(a="n", b="n")),
    ),
    plain(
        "matrix exponential by eigenvectors",
        exponential_of_symmetric,
        lambda x: torch.linalg.matrix_exp((x + x.mT) / 2),
        mixed(x=(3, 3)),
        exploring(x="nn", sizes=(2, 4), special=(0.0,)),
    ),
    plain(
        "running product through logarithms",
        lambda x: torch.exp(torch.log(x.square()).cumsum(-1)),
        lambda x: x.square().cumprod(-1),
        mixed(x=(3, 4)),
        POINTS,
    ),
)

COMPONENTS = (SINC, SATURATED, FAR_SOFTPLUS, LOG_COSH, ROW_TOTAL, SIGNED_SQUARE, RECTIFIER, LARGEST, BOX_COX)
ENTRIES: tuple[Entry, ...] = (*(component.right() for component in COMPONENTS), *VALUES, *PLAIN)
