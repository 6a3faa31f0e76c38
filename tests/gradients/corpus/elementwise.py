"""Elementwise functions: right backwards by hand, and the mistakes people make in them.

Kinds of report studied: activation derivatives with a dropped factor or a parameter forgotten (micrograd-like
libraries, MXNet tanh and sqrt), clipped or reversed gradients left in place, values taken out of the graph.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from tests.gradients.corpus.draw import exploring, fixed, joined, mixed, uniform
from tests.gradients.corpus.entry import DOUBLE, Component, Entry, Mistake, classic, modern

BOTH_SIGNS = mixed(x=(3, 4))
POSITIVE = uniform(0.3, 1.7, x=(3, 4))
ANY = exploring(x="nm")
ABOVE = exploring(x="nm", low=0.3, special=(1.0, 2.0))
SLOPE = 0.1
WIDTH = 0.5
SHARPNESS = 2.0

SIN = Component("sin", torch.sin, lambda dy, y, x: dy * x.cos(), BOTH_SIGNS, ANY, modern)
TANH = Component("tanh", torch.tanh, lambda dy, y, x: dy * (1 - y * y), BOTH_SIGNS, ANY)
SIGMOID = Component("sigmoid", torch.sigmoid, lambda dy, y, x: dy * y * (1 - y), BOTH_SIGNS, ANY, modern)
EXP = Component("exp", torch.exp, lambda dy, y, x: dy * y, BOTH_SIGNS, ANY)
LOG = Component("log", torch.log, lambda dy, y, x: dy / x, POSITIVE, ABOVE)
SQRT = Component("sqrt", torch.sqrt, lambda dy, y, x: dy / (2 * y), POSITIVE, ABOVE, modern)
CUBE = Component("cube", lambda x: x**3, lambda dy, y, x: dy * 3 * x * x, BOTH_SIGNS, ANY)
DIVIDE = Component(
    "divide",
    lambda a, b: a / b,
    lambda dy, y, a, b: (dy / b, -dy * y / b),
    joined(mixed(a=(3, 4)), uniform(0.5, 1.5, b=(3, 4))),
    exploring(a="nm", b="nm", low=0.5, special=(1.0, 2.0)),
)
MULTIPLY = Component(
    "multiply",
    lambda a, b: a * b,
    lambda dy, y, a, b: (dy * b, dy * a),
    mixed(a=(3, 4), b=(3, 4)),
    exploring(a="nm", b="nm"),
    modern,
)
ANGLE = Component(
    "atan2",
    torch.atan2,
    lambda dy, y, a, b: (dy * b / (a * a + b * b), -dy * a / (a * a + b * b)),
    mixed(a=(5,), b=(5,)),
    exploring(a="n", b="n", low=0.3, special=(1.0,)),
)


def gaussian(x: torch.Tensor) -> torch.Tensor:
    """The density of the normal distribution."""
    return torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def gelu_slope(x: torch.Tensor) -> torch.Tensor:
    """d/dx of x·Φ(x)."""
    return (1 + torch.erf(x / math.sqrt(2))) / 2 + x * gaussian(x)


def gelu_slope_of_the_approximation(x: torch.Tensor) -> torch.Tensor:
    """d/dx of the tanh approximation of x·Φ(x), off by about 1e-3 from that of the exact one."""
    c = math.sqrt(2 / math.pi)
    t = torch.tanh(c * (x + 0.044715 * x**3))
    return (1 + t) / 2 + x * (1 - t * t) / 2 * c * (1 + 3 * 0.044715 * x * x)


GELU = Component("gelu", functional.gelu, lambda dy, y, x: dy * gelu_slope(x), BOTH_SIGNS, ANY)
SILU = Component(
    "silu",
    lambda x: x * x.sigmoid(),
    lambda dy, y, x: dy * (x.sigmoid() + y * (1 - x.sigmoid())),
    BOTH_SIGNS,
    ANY,
    modern,
)
SOFTPLUS = Component(
    "softplus of sharpness 2",
    lambda x: torch.log1p(torch.exp(SHARPNESS * x)) / SHARPNESS,
    lambda dy, y, x: dy * torch.sigmoid(SHARPNESS * x),
    BOTH_SIGNS,
    ANY,
)
SWISH = Component(
    "swish with a trained sharpness",
    lambda x, b: x * torch.sigmoid(b * x),
    lambda dy, y, x, b: (
        dy * (torch.sigmoid(b * x) + b * y * (1 - torch.sigmoid(b * x))),
        (dy * x * y * (1 - torch.sigmoid(b * x))).sum(0),
    ),
    mixed(x=(3, 4), b=(4,)),
    exploring(x="nm", b="m"),
)
ELU = Component(
    "elu",
    lambda x: torch.where(x > 0, x, WIDTH * torch.expm1(x)),
    lambda dy, y, x: torch.where(x > 0, dy, dy * (y + WIDTH)),
    BOTH_SIGNS,
    exploring(x="nm", special=(1.0, -1.0)),
    order=2,
)
LEAKY = Component(
    "leaky relu",
    lambda x: torch.where(x > 0, x, SLOPE * x),
    lambda dy, y, x: torch.where(x > 0, dy, SLOPE * dy),
    BOTH_SIGNS,
    ANY,
    modern,
    verdicts=frozenset({"agrees", "kink"}),
)
RELU = Component(
    "relu",
    lambda x: x.clamp(min=0),
    lambda dy, y, x: dy * (x > 0),
    BOTH_SIGNS,
    ANY,
    verdicts=frozenset({"agrees", "kink"}),
)
HARDTANH = Component(
    "hardtanh",
    lambda x: x.clamp(-1, 1),
    lambda dy, y, x: dy * (x.abs() < 1),
    fixed(x=[-1.6, -0.4, 0.7, 1.3]),
    ANY,
    verdicts=frozenset({"agrees", "kink"}),
)
IDENTITY = Component("identity", lambda x: x.clone(), lambda dy, y, x: dy, BOTH_SIGNS, ANY, modern)
ROTATION = Component(
    "rotary position",
    lambda x, p: torch.cat([x[0::2] * p.cos() - x[1::2] * p.sin(), x[0::2] * p.sin() + x[1::2] * p.cos()]),
    lambda dy, y, x, p: (
        torch.stack([dy[:3] * p.cos() + dy[3:] * p.sin(), dy[3:] * p.cos() - dy[:3] * p.sin()], 1).reshape(6),
        dy[3:] * y[:3] - dy[:3] * y[3:],
    ),
    mixed(x=(6,), p=(3,)),
)
DROPOUT = Component(
    "dropout with a given mask",
    lambda x, mask: x * mask / 0.8,
    lambda dy, y, x, mask: (dy * mask / 0.8, dy * x / 0.8),
    joined(BOTH_SIGNS, fixed(mask=[[1.0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 0, 1]])),
    exploring(x="nm", mask="nm"),
)

COMPONENTS = (
    SIN,
    TANH,
    SIGMOID,
    EXP,
    LOG,
    SQRT,
    CUBE,
    DIVIDE,
    MULTIPLY,
    ANGLE,
    GELU,
    SILU,
    SOFTPLUS,
    SWISH,
    ELU,
    LEAKY,
    RELU,
    HARDTANH,
    IDENTITY,
    ROTATION,
    DROPOUT,
)

FACTORS = (
    SIN.wrong("factor 1 + 1e-6", Mistake.SCALE, lambda dy, y, x: dy * x.cos() * (1 + 1e-6), dtypes=DOUBLE),
    TANH.wrong("factor 1 + 1e-8", Mistake.SCALE, lambda dy, y, x: dy * (1 - y * y) * (1 + 1e-8), dtypes=DOUBLE),
    SIGMOID.wrong("negated", Mistake.SIGN, lambda dy, y, x: -dy * y * (1 - y)),
    EXP.wrong("halved", Mistake.SCALE, lambda dy, y, x: dy * y / 2),
    SQRT.wrong("forgets the half", Mistake.SCALE, lambda dy, y, x: dy / y),
    IDENTITY.wrong("reversal left in place", Mistake.SIGN, lambda dy, y, x: -dy),
    SIN.wrong("zero", Mistake.ZERO, lambda dy, y, x: torch.zeros_like(x)),
    LOG.wrong("factor 0.999", Mistake.SCALE, lambda dy, y, x: 0.999 * dy / x),
    SOFTPLUS.wrong("chain rule twice", Mistake.SCALE, lambda dy, y, x: SHARPNESS * dy * torch.sigmoid(SHARPNESS * x)),
    DROPOUT.wrong("forgets to rescale", Mistake.SCALE, lambda dy, y, x, mask: (dy * mask, dy * x / 0.8)),
    DROPOUT.wrong("forgets the mask", Mistake.MASK, lambda dy, y, x, mask: (dy / 0.8, dy * x / 0.8)),
    ROTATION.wrong(
        "not turned back",
        Mistake.SIGN,
        lambda dy, y, x, p: (
            torch.stack([dy[:3] * p.cos() - dy[3:] * p.sin(), dy[3:] * p.cos() + dy[:3] * p.sin()], 1).reshape(6),
            dy[3:] * y[:3] - dy[:3] * y[3:],
        ),
    ),
)

TERMS = (
    TANH.wrong("forgets the square", Mistake.TERM, lambda dy, y, x: dy * (1 - y)),
    SIGMOID.wrong("forgets 1 - y", Mistake.TERM, lambda dy, y, x: dy * y),
    LOG.wrong("squares the divisor", Mistake.TERM, lambda dy, y, x: dy / (x * x)),
    GELU.wrong(
        "slope of the tanh approximation", Mistake.TERM, lambda dy, y, x: dy * gelu_slope_of_the_approximation(x)
    ),
    SILU.wrong("forgets the slope of the gate", Mistake.TERM, lambda dy, y, x: dy * x.sigmoid()),
    CUBE.wrong("exponent one too small", Mistake.TERM, lambda dy, y, x: dy * 3 * x),
    SWISH.wrong(
        "sharpness forgets a factor x",
        Mistake.TERM,
        lambda dy, y, x, b: (
            dy * (torch.sigmoid(b * x) + b * y * (1 - torch.sigmoid(b * x))),
            (dy * y * (1 - torch.sigmoid(b * x))).sum(0),
        ),
    ),
    SWISH.wrong(
        "sharpness averaged over the batch",
        Mistake.REDUCTION,
        lambda dy, y, x, b: (
            dy * (torch.sigmoid(b * x) + b * y * (1 - torch.sigmoid(b * x))),
            (dy * x * y * (1 - torch.sigmoid(b * x))).mean(0),
        ),
    ),
    DIVIDE.wrong("divisor not squared", Mistake.TERM, lambda dy, y, a, b: (dy / b, -dy * a / b)),
    ANGLE.wrong(
        "operands swapped", Mistake.SWAP, lambda dy, y, a, b: (-dy * a / (a * a + b * b), dy * b / (a * a + b * b))
    ),
    MULTIPLY.wrong("operands swapped", Mistake.SWAP, lambda dy, y, a, b: (dy * a, dy * b)),
    MULTIPLY.wrong("second gradient forgotten", Mistake.ZERO, lambda dy, y, a, b: (dy * b, None)),
    ELU.wrong("scale taken for one", Mistake.TERM, lambda dy, y, x: torch.where(x > 0, dy, dy * (y + 1))),
    LEAKY.wrong("branches exchanged", Mistake.MASK, lambda dy, y, x: torch.where(x > 0, SLOPE * dy, dy)),
    LEAKY.wrong("negative side cut", Mistake.MASK, lambda dy, y, x: dy * (x > 0)),
    HARDTANH.wrong("leaks outside the bounds", Mistake.MASK, lambda dy, y, x: dy),
    HARDTANH.wrong("upper bound only", Mistake.MASK, lambda dy, y, x: dy * (x < 1)),
)

COTANGENTS = (
    RELU.wrong("guided: cuts negative cotangents", Mistake.COTANGENT, lambda dy, y, x: dy * (x > 0) * (dy > 0)),
    SIN.wrong("cotangent clipped", Mistake.COTANGENT, lambda dy, y, x: dy.clamp(-0.1, 0.1) * x.cos()),
    EXP.wrong("cotangent normalised", Mistake.COTANGENT, lambda dy, y, x: dy / dy.norm() * y),
    SIGMOID.wrong("cotangent ignored", Mistake.COTANGENT, lambda dy, y, x: y * (1 - y) + 0 * dy),
    CUBE.wrong("cotangents mixed", Mistake.COTANGENT, lambda dy, y, x: dy.mean() * 3 * x * x),
    TANH.wrong(
        "cotangent through float32",
        Mistake.PRECISION,
        lambda dy, y, x: (dy.float() * (1 - y * y)).to(x.dtype),
        dtypes=DOUBLE,
    ),
    EXP.wrong("saved in float32", Mistake.PRECISION, lambda dy, y, x: dy * y.float().to(y.dtype), dtypes=DOUBLE),
)


def plain(
    name: str, mistake: Mistake, candidate: object, truth: object, inputs: object = BOTH_SIGNS, **more: object
) -> Entry:
    """A wrong entry without an autograd.Function: part of the function leaves the graph."""
    return Entry(name, lambda: candidate, inputs, False, mistake, truth=truth, **more)  # type: ignore[arg-type]


DETACHED = (
    plain("silu: gate detached", Mistake.DETACHED, lambda x: x * x.sigmoid().detach(), lambda x: x * x.sigmoid()),
    plain(
        "norm: divisor through item()", Mistake.DETACHED, lambda x: x / float(x.detach().norm()), lambda x: x / x.norm()
    ),
    plain(
        "centred: mean under no_grad",
        Mistake.DETACHED,
        lambda x: (x - mean_outside_the_graph(x)) ** 2,
        lambda x: (x - x.mean()) ** 2,
    ),
    plain(
        "product: factor through numpy",
        Mistake.DETACHED,
        lambda x: x * torch.from_numpy(x.detach().numpy().copy()).sin(),
        lambda x: x * x.sin(),
    ),
    plain("square: one factor from .data", Mistake.DETACHED, lambda x: x.data * x, lambda x: x * x),
    plain(
        "weighted sum: weights made anew",
        Mistake.DETACHED,
        lambda x: (x * torch.tensor(x.tolist(), dtype=x.dtype)).sum(0),
        lambda x: (x * x).sum(0),
    ),
    plain(
        "straight-through rounding, not declared",
        Mistake.ZERO,
        lambda x: x + (torch.round(x * 2) - x).detach(),
        lambda x: torch.round(x * 2),
        fixed(x=[0.1, -0.4, 0.6, 1.1]),
    ),
    plain(
        "max shift: through a detached maximum",
        Mistake.DETACHED,
        lambda x: x - x.amax(-1, keepdim=True).detach(),
        lambda x: x - x.amax(-1, keepdim=True),
    ),
)


def mean_outside_the_graph(x: torch.Tensor) -> torch.Tensor:
    """The mean as a constant."""
    with torch.no_grad():
        return x.mean()


def scaled(c: float, wrong: float) -> Entry:
    """c·sin with a gradient off by a factor: an absolute tolerance hides the small ones."""
    what = f"{c:g} sin"
    return Entry(
        f"{what}: factor {wrong:g}",
        lambda: classic(lambda x: c * x.sin(), lambda dy, y, x: wrong * c * dy * x.cos()),
        BOTH_SIGNS,
        False,
        Mistake.ZERO if wrong == 0 else Mistake.SCALE,
        truth=lambda x: c * x.sin(),
        note="gradients far below or above one, as losses of averages or sums have them",
    )


def one_wrong(name: str, size: tuple[int, ...], factor: float, dtypes: tuple[torch.dtype, ...]) -> Entry:
    """tanh of many numbers with the gradient of one of them, in the middle, off by a factor."""

    def backward(dy: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        dx = (dy * (1 - y * y)).reshape(-1)
        factors = torch.ones_like(dx)
        factors[dx.numel() // 2] = factor
        return (dx * factors).reshape(x.shape)

    return Entry(
        name,
        lambda: classic(torch.tanh, backward),
        mixed(x=size),
        False,
        Mistake.ONE_ENTRY,
        truth=torch.tanh,
        dtypes=dtypes,
    )


ONE_OF_MANY = (
    scaled(1e-6, 0.0),
    scaled(1e-8, 2.0),
    scaled(1e8, 1.001),
    scaled(1e-8, -1.0),
    one_wrong("tanh: one entry of a thousand by 1 + 1e-6", (10, 100), 1 + 1e-6, DOUBLE),
    one_wrong("tanh: one entry of ten thousand by 1.001", (100, 100), 1.001, DOUBLE),
    one_wrong("tanh: one entry of a thousand doubled", (10, 100), 2.0, (torch.float64, torch.float32)),
    one_wrong("tanh: one entry of a million doubled", (1000, 1000), 2.0, DOUBLE),
    Entry(
        "sin: zero at a hundred thousand numbers",
        lambda: classic(torch.sin, lambda dy, y, x: torch.zeros_like(x)),
        mixed(x=(100_000,)),
        False,
        Mistake.ZERO,
        truth=torch.sin,
        note="wide functions hide it in a single projection",
    ),
    Entry(
        "sin: negated at a hundred thousand numbers",
        lambda: classic(torch.sin, lambda dy, y, x: -dy * x.cos()),
        mixed(x=(100_000,)),
        False,
        Mistake.SIGN,
        truth=torch.sin,
    ),
    Entry(
        "sin: one entry is not a number",
        lambda: classic(torch.sin, lambda dy, y, x: dy * x.cos() + hole(x)),
        BOTH_SIGNS,
        False,
        Mistake.ONE_ENTRY,
        truth=torch.sin,
    ),
)


def hole(x: torch.Tensor) -> torch.Tensor:
    """Zeros with NaN in the second place."""
    h = torch.zeros_like(x).reshape(-1)
    h[1] = math.nan
    return h.reshape(x.shape)


ENTRIES = (
    *(component.right() for component in COMPONENTS),
    *FACTORS,
    *TERMS,
    *COTANGENTS,
    *DETACHED,
    *ONE_OF_MANY,
)
