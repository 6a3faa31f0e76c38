"""Softmax and the normalisation layers: right backwards by hand, and the mistakes people make in them.

Kinds of report studied: fused norm kernels that drop a term or a block of rows (attorch 18, xformers 785), divisors n
and n - 1 confused, statistics treated as constants, eps left out; a cotangent of ones sees none of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tests.gradients.corpus.draw import exploring, mixed
from tests.gradients.corpus.entry import DOUBLE, Component, Entry, Mistake, modern

EPS = 1e-5
COLD = 0.5


def standardised(x: Tensor, axis: int | tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """x with mean 0 and variance 1 along an axis, and one over its deviation."""
    r = (x.var(axis, keepdim=True, correction=0) + EPS).rsqrt()
    return (x - x.mean(axis, keepdim=True)) * r, r


def standardised_back(dh: Tensor, x: Tensor, axis: int | tuple[int, ...]) -> Tensor:
    """The gradient of `standardised`: dx = r·(dh - mean dh - h·mean(dh·h))."""
    h, r = standardised(x, axis)
    return r * (dh - dh.mean(axis, keepdim=True) - h * (dh * h).mean(axis, keepdim=True))


def along_the_rest(axis: int, x: Tensor) -> tuple[int, ...]:
    """Every axis but one."""
    return tuple(place for place in range(x.dim()) if place != axis)


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Row sums of a·b, kept as a column."""
    return (a * b).sum(-1, keepdim=True)


def groups(x: Tensor) -> Tensor:
    """x (n, 4) as two groups of two channels (n, 2, 2)."""
    return x.reshape(x.shape[0], 2, 2)


SOFTMAX = Component(
    "softmax",
    lambda z: z.softmax(-1),
    lambda dy, y, z: y * (dy - inner(dy, y)),
    mixed(z=(3, 3)),
    exploring(z="nm", special=(0.0, 1.0, -1.0, 30.0)),
)
COLD_SOFTMAX = Component(
    "softmax at temperature 1/2",
    lambda z: (z / COLD).softmax(-1),
    lambda dy, y, z: y * (dy - inner(dy, y)) / COLD,
    mixed(z=(3, 4)),
    exploring(z="nm"),
    modern,
)
LOG_SOFTMAX = Component(
    "log-softmax",
    lambda z: z.log_softmax(-1),
    lambda dy, y, z: dy - y.exp() * dy.sum(-1, keepdim=True),
    mixed(z=(3, 4)),
    exploring(z="nm", special=(0.0, 1.0, -1.0, 30.0)),
    modern,
)
LAYER_NORM = Component(
    "layer norm",
    lambda x, g, b: g * standardised(x, -1)[0] + b,
    lambda dy, y, x, g, b: (standardised_back(dy * g, x, -1), (dy * standardised(x, -1)[0]).sum(0), dy.sum(0)),
    mixed(x=(3, 4), g=(4,), b=(4,)),
    exploring(x="nm", g="m", b="m"),
)
BATCH_NORM = Component(
    "batch norm",
    lambda x, g, b: g * standardised(x, 0)[0] + b,
    lambda dy, y, x, g, b: (standardised_back(dy * g, x, 0), (dy * standardised(x, 0)[0]).sum(0), dy.sum(0)),
    mixed(x=(5, 3), g=(3,), b=(3,)),
    exploring(x="nm", g="m", b="m", sizes=(2, 5)),
    modern,
)
IMAGE_NORM = Component(
    "batch norm of images",
    lambda x, g: g[:, None, None] * standardised(x, (0, 2, 3))[0],
    lambda dy, y, x, g: (
        standardised_back(dy * g[:, None, None], x, (0, 2, 3)),
        (dy * standardised(x, (0, 2, 3))[0]).sum((0, 2, 3)),
    ),
    mixed(x=(2, 3, 2, 2), g=(3,)),
)
RMS_NORM = Component(
    "rms norm",
    lambda x, g: g * x * (x.square().mean(-1, keepdim=True) + EPS).rsqrt(),
    lambda dy, y, x, g: rms_back(dy, x, g),
    mixed(x=(3, 4), g=(4,)),
    exploring(x="nm", g="m"),
)
GROUP_NORM = Component(
    "group norm",
    lambda x: standardised(groups(x), -1)[0].reshape(x.shape) * x,
    lambda dy, y, x: (
        dy * standardised(groups(x), -1)[0].reshape(x.shape)
        + standardised_back(groups(dy * x), groups(x), -1).reshape(x.shape)
    ),
    mixed(x=(3, 4)),
)
COSINE = Component(
    "cosine similarity",
    lambda a, b: (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1)),
    lambda dy, y, a, b: (cosine_back(dy, y, a, b), cosine_back(dy, y, b, a)),
    mixed(a=(3, 4), b=(3, 4)),
    exploring(a="nm", b="nm", low=0.3, special=(1.0, 2.0)),
)
WHITENED = Component(
    "covariance of rows",
    lambda x: (x - x.mean(0)).t() @ (x - x.mean(0)) / (x.shape[0] - 1),
    lambda dy, y, x: (x - x.mean(0)) @ (dy + dy.t()) / (x.shape[0] - 1),
    mixed(x=(5, 3)),
    exploring(x="nm", sizes=(2, 5)),
    modern,
)


def rms_back(dy: Tensor, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of `RMS_NORM`."""
    r = (x.square().mean(-1, keepdim=True) + EPS).rsqrt()
    dh = dy * g
    return r * (dh - x * r * r * (dh * x).mean(-1, keepdim=True)), (dy * x * r).sum(0)


def cosine_back(dy: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """The gradient of the cosine of a and b in a."""
    na, nb = a.norm(dim=-1, keepdim=True), b.norm(dim=-1, keepdim=True)
    return dy[..., None] * (b / nb - y[..., None] * a / na) / na


def layer_norm_without_eps(x: Tensor) -> Tensor:
    """x standardised along its rows, with no eps under the root."""
    return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True, correction=0)


def normal_back(dx: Tensor, dy: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A given dx beside the right gradients of scale and shift of a layer norm."""
    return dx, (dy * standardised(x, -1)[0]).sum(0), dy.sum(0)


def batch_back(dx: Tensor, dy: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A given dx beside the right gradients of scale and shift of a batch norm."""
    return dx, (dy * standardised(x, 0)[0]).sum(0), dy.sum(0)


def half_back(dh: Tensor, x: Tensor, axis: int, *, mean: bool, product: bool, divisor: float = 1.0) -> Tensor:
    """`standardised_back` with one of its two corrections left out or misdivided."""
    h, r = standardised(x, axis)
    dx = dh - mean * dh.mean(axis, keepdim=True) - product * h * (dh * h).mean(axis, keepdim=True) / divisor
    return r * dx


COMPONENTS = (
    SOFTMAX,
    COLD_SOFTMAX,
    LOG_SOFTMAX,
    LAYER_NORM,
    BATCH_NORM,
    IMAGE_NORM,
    RMS_NORM,
    GROUP_NORM,
    COSINE,
    WHITENED,
)

SOFTMAXES = (
    SOFTMAX.wrong("row sum forgotten", Mistake.TERM, lambda dy, y, z: y * dy),
    SOFTMAX.wrong("sum along the other axis", Mistake.AXIS, lambda dy, y, z: y * (dy - (dy * y).sum(0))),
    SOFTMAX.wrong("mean in place of the sum", Mistake.REDUCTION, lambda dy, y, z: y * (dy - (dy * y).mean(-1, True))),
    SOFTMAX.wrong("zero", Mistake.ZERO, lambda dy, y, z: torch.zeros_like(z), note="right under a cotangent of ones"),
    SOFTMAX.wrong("diagonal only", Mistake.TERM, lambda dy, y, z: dy * y * (1 - y)),
    COLD_SOFTMAX.wrong("temperature forgotten", Mistake.SCALE, lambda dy, y, z: y * (dy - inner(dy, y))),
    COLD_SOFTMAX.wrong("temperature upside down", Mistake.SCALE, lambda dy, y, z: y * (dy - inner(dy, y)) * COLD),
    LOG_SOFTMAX.wrong("cotangent taken for one-hot", Mistake.COTANGENT, lambda dy, y, z: dy - y.exp()),
    LOG_SOFTMAX.wrong("sum over the batch too", Mistake.AXIS, lambda dy, y, z: dy - y.exp() * dy.sum()),
)

NORMS = (
    LAYER_NORM.wrong(
        "mean of the product forgotten",
        Mistake.TERM,
        lambda dy, y, x, g, b: normal_back(half_back(dy * g, x, -1, mean=True, product=False), dy, x),
    ),
    LAYER_NORM.wrong(
        "mean forgotten",
        Mistake.TERM,
        lambda dy, y, x, g, b: normal_back(half_back(dy * g, x, -1, mean=False, product=True), dy, x),
    ),
    LAYER_NORM.wrong(
        "statistics detached",
        Mistake.DETACHED,
        lambda dy, y, x, g, b: normal_back(dy * g * standardised(x, -1)[1], dy, x),
    ),
    LAYER_NORM.wrong(
        "scale forgotten on the way to x",
        Mistake.TERM,
        lambda dy, y, x, g, b: normal_back(standardised_back(dy, x, -1), dy, x),
    ),
    LAYER_NORM.wrong(
        "eps left out for the scale",
        Mistake.TERM,
        lambda dy, y, x, g, b: (standardised_back(dy * g, x, -1), (dy * layer_norm_without_eps(x)).sum(0), dy.sum(0)),
        note="off by a relative 1e-5",
        dtypes=DOUBLE,
    ),
    LAYER_NORM.wrong(
        "scale from the input in place of the standardised",
        Mistake.STALE,
        lambda dy, y, x, g, b: (standardised_back(dy * g, x, -1), (dy * x).sum(0), dy.sum(0)),
    ),
    LAYER_NORM.wrong(
        "x left without gradient",
        Mistake.ZERO,
        lambda dy, y, x, g, b: normal_back(torch.zeros_like(x), dy, x),
    ),
    BATCH_NORM.wrong(
        "n - 1 in the backward",
        Mistake.SCALE,
        lambda dy, y, x, g, b: batch_back(
            half_back(dy * g, x, 0, mean=True, product=True, divisor=(x.shape[0] - 1) / x.shape[0]), dy, x
        ),
    ),
    BATCH_NORM.wrong(
        "evaluation formula in training",
        Mistake.DETACHED,
        lambda dy, y, x, g, b: batch_back(dy * g * standardised(x, 0)[1], dy, x),
    ),
    BATCH_NORM.wrong(
        "scale of the first channel for all",
        Mistake.AXIS,
        lambda dy, y, x, g, b: batch_back(standardised_back(dy * g[0], x, 0), dy, x),
    ),
    BATCH_NORM.wrong(
        "shift averaged",
        Mistake.REDUCTION,
        lambda dy, y, x, g, b: (standardised_back(dy * g, x, 0), (dy * standardised(x, 0)[0]).sum(0), dy.mean(0)),
    ),
    IMAGE_NORM.wrong(
        "means over the batch axis only",
        Mistake.AXIS,
        lambda dy, y, x, g: (
            standardised(x, (0, 2, 3))[1] * half_means(dy * g[:, None, None], standardised(x, (0, 2, 3))[0]),
            (dy * standardised(x, (0, 2, 3))[0]).sum((0, 2, 3)),
        ),
    ),
    IMAGE_NORM.wrong(
        "scale without the width",
        Mistake.REDUCTION,
        lambda dy, y, x, g: (
            standardised_back(dy * g[:, None, None], x, (0, 2, 3)),
            (dy * standardised(x, (0, 2, 3))[0]).sum((0, 2))[:, 0],
        ),
    ),
    RMS_NORM.wrong(
        "projection forgotten",
        Mistake.TERM,
        lambda dy, y, x, g: (dy * g * (x.square().mean(-1, keepdim=True) + EPS).rsqrt(), rms_back(dy, x, g)[1]),
    ),
    RMS_NORM.wrong(
        "scale applied after the sum",
        Mistake.TERM,
        lambda dy, y, x, g: (g * rms_back(dy, x, torch.ones_like(g))[0], rms_back(dy, x, g)[1]),
    ),
    GROUP_NORM.wrong(
        "one group over all channels",
        Mistake.AXIS,
        lambda dy, y, x: dy * standardised(groups(x), -1)[0].reshape(x.shape) + standardised_back(dy * x, x, -1),
    ),
    COSINE.wrong(
        "norms detached",
        Mistake.DETACHED,
        lambda dy, y, a, b: (
            dy[..., None] * b / (a.norm(dim=-1) * b.norm(dim=-1))[..., None],
            dy[..., None] * a / (a.norm(dim=-1) * b.norm(dim=-1))[..., None],
        ),
    ),
    COSINE.wrong(
        "second operand frozen",
        Mistake.ZERO,
        lambda dy, y, a, b: (cosine_back(dy, y, a, b), None),
    ),
    WHITENED.wrong(
        "cotangent taken for symmetric",
        Mistake.TERM,
        lambda dy, y, x: 2 * (x - x.mean(0)) @ dy / (x.shape[0] - 1),
    ),
    WHITENED.wrong(
        "divided by n",
        Mistake.SCALE,
        lambda dy, y, x: (x - x.mean(0)) @ (dy + dy.t()) / x.shape[0],
    ),
)


def half_means(dh: Tensor, h: Tensor) -> Tensor:
    """The corrections of a norm of images with its means taken over the batch axis alone."""
    return dh - dh.mean(0, keepdim=True) - h * (dh * h).mean(0, keepdim=True)


ENTRIES: tuple[Entry, ...] = (*(component.right() for component in COMPONENTS), *SOFTMAXES, *NORMS)
