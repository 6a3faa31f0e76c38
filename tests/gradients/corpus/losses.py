"""Losses: right backwards by hand, and the mistakes people make in them.

Kinds of report studied: averages forgotten or taken twice, smoothing and class weights left out of the backward,
targets that were given no gradient, modulating factors treated as constants, ignored labels that still count.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tests.gradients.corpus.draw import exploring, fixed, joined, mixed, uniform, with_integers
from tests.gradients.corpus.entry import Component, Entry, Mistake, modern

SMOOTHING = 0.1
DELTA = 0.8
POSITIVES = 3.0
FOCUS = 2.0
MARGIN = 5.0
WEIGHTS = (0.5, 1.5, 2.0, 1.0)
IGNORED = -1


def chosen(z: Tensor, t: Tensor) -> Tensor:
    """One at each row's label, in the dtype of z; rows with an ignored label are zero."""
    return functional.one_hot(t.clamp(min=0), z.shape[-1]).to(z.dtype) * (t != IGNORED)[:, None]


def smooth(z: Tensor, t: Tensor) -> Tensor:
    """Smoothed targets."""
    return chosen(z, t) * (1 - SMOOTHING) + SMOOTHING / z.shape[-1]


def weights(z: Tensor, t: Tensor) -> Tensor:
    """The class weight of each row."""
    return torch.tensor(WEIGHTS, dtype=z.dtype)[t]


def counted(t: Tensor) -> Tensor:
    """How many labels count, at least one."""
    return (t != IGNORED).sum().clamp(min=1)


LABELS = joined(mixed(z=(3, 4)), fixed(t=[1, 2, 0]))
LABELLED = with_integers(exploring(z="nm"), 0, "z1", t="z0")
CROSS_ENTROPY = Component(
    "cross-entropy",
    lambda z, t: -(chosen(z, t) * z.log_softmax(-1)).sum() / counted(t),
    lambda dy, y, z, t: (dy * (z.softmax(-1) - chosen(z, t)) * (t != IGNORED)[:, None] / counted(t), None),
    LABELS,
    with_integers(exploring(z="nm"), IGNORED, "z1", t="z0"),
)
SMOOTHED = Component(
    "cross-entropy with smoothing",
    lambda z, t: -(smooth(z, t) * z.log_softmax(-1)).sum(-1).mean(),
    lambda dy, y, z, t: (dy * (z.softmax(-1) - smooth(z, t)) / z.shape[0], None),
    LABELS,
    LABELLED,
    modern,
)
WEIGHTED = Component(
    "cross-entropy with class weights",
    lambda z, t: -(weights(z, t) * (chosen(z, t) * z.log_softmax(-1)).sum(-1)).sum() / weights(z, t).sum(),
    lambda dy, y, z, t: (
        dy * weights(z, t)[:, None] * (z.softmax(-1) - chosen(z, t)) / weights(z, t).sum(),
        None,
    ),
    LABELS,
)
BINARY = Component(
    "binary cross-entropy with weighted positives",
    lambda z, t: (POSITIVES * t * functional.softplus(-z) + (1 - t) * functional.softplus(z)).mean(),
    lambda dy, y, z, t: (
        dy * (z.sigmoid() * (1 - t) - POSITIVES * t * (1 - z.sigmoid())) / z.numel(),
        dy * (POSITIVES * functional.softplus(-z) - functional.softplus(z)) / z.numel(),
    ),
    joined(mixed(z=(3, 4)), uniform(0.1, 0.9, t=(3, 4))),
    exploring(z="nm", t="nm"),
)
SQUARED = Component(
    "mean squared error",
    lambda x, t: ((x - t) ** 2).mean(),
    lambda dy, y, x, t: (2 * dy * (x - t) / x.numel(), -2 * dy * (x - t) / x.numel()),
    mixed(x=(3, 4), t=(3, 4)),
    exploring(x="nm", t="nm"),
    modern,
)
HUBER = Component(
    "huber",
    lambda x: torch.where(x.abs() < DELTA, x * x / 2, DELTA * (x.abs() - DELTA / 2)).sum(),
    lambda dy, y, x: dy * x.clamp(-DELTA, DELTA),
    fixed(x=[-1.5, -0.5, 0.3, 1.2]),
    exploring(x="n"),
    order=1,
)
DIVERGENCE = Component(
    "divergence of distributions",
    lambda p, q: (p * (p.log() - q.log())).sum() / p.shape[0],
    lambda dy, y, p, q: (dy * (p.log() - q.log() + 1) / p.shape[0], -dy * p / q / p.shape[0]),
    uniform(0.2, 1.0, p=(3, 4), q=(3, 4)),
    exploring(p="nm", q="nm", low=0.2, special=(1.0,)),
)
FOCAL = Component(
    "focal loss",
    lambda z: -((1 - z.sigmoid()) ** FOCUS) * functional.logsigmoid(z),
    lambda dy, y, z: dy * focal_slope(z),
    mixed(z=(6,)),
    exploring(z="n"),
)
TRIPLET = Component(
    "triplet",
    lambda a, p, n: ((a - p) ** 2 - (a - n) ** 2).sum(-1).add(MARGIN).clamp(min=0).mean(),
    lambda dy, y, a, p, n: triplet_back(dy, a, p, n),
    mixed(a=(3, 2), p=(3, 2), n=(3, 2)),
    order=1,
)


def focal_slope(z: Tensor) -> Tensor:
    """d/dz of -(1 - σ)²·log σ, with σ' = σ(1 - σ)."""
    s = z.sigmoid()
    return FOCUS * (1 - s) ** FOCUS * s * functional.logsigmoid(z) - (1 - s) ** (FOCUS + 1)


def triplet_back(dy: Tensor, a: Tensor, p: Tensor, n: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of the triplet loss."""
    active = ((((a - p) ** 2 - (a - n) ** 2).sum(-1) + MARGIN) > 0)[:, None]
    scale = 2 * dy * active / a.shape[0]
    return scale * (n - p), scale * (p - a), scale * (a - n)


COMPONENTS = (CROSS_ENTROPY, SMOOTHED, WEIGHTED, BINARY, SQUARED, HUBER, DIVERGENCE, FOCAL, TRIPLET)

WRONG = (
    CROSS_ENTROPY.wrong(
        "average forgotten",
        Mistake.SCALE,
        lambda dy, y, z, t: (dy * (z.softmax(-1) - chosen(z, t)), None),
    ),
    CROSS_ENTROPY.wrong(
        "label not subtracted",
        Mistake.TERM,
        lambda dy, y, z, t: (dy * z.softmax(-1) / t.numel(), None),
    ),
    CROSS_ENTROPY.wrong(
        "labels moved by one",
        Mistake.SHIFT,
        lambda dy, y, z, t: (dy * (z.softmax(-1) - chosen(z, t.roll(1))) / t.numel(), None),
    ),
    CROSS_ENTROPY.wrong(
        "cotangent forgotten",
        Mistake.COTANGENT,
        lambda dy, y, z, t: ((z.softmax(-1) - chosen(z, t)) / t.numel(), None),
        note="right when the loss is the last step, as it mostly is",
    ),
    SMOOTHED.wrong(
        "smoothing left out",
        Mistake.TERM,
        lambda dy, y, z, t: (dy * (z.softmax(-1) - chosen(z, t)) / z.shape[0], None),
    ),
    WEIGHTED.wrong(
        "divided by the batch",
        Mistake.SCALE,
        lambda dy, y, z, t: (dy * weights(z, t)[:, None] * (z.softmax(-1) - chosen(z, t)) / t.numel(), None),
    ),
    WEIGHTED.wrong(
        "weights left out",
        Mistake.TERM,
        lambda dy, y, z, t: (dy * (z.softmax(-1) - chosen(z, t)) / t.numel(), None),
    ),
    BINARY.wrong(
        "weight of positives left out",
        Mistake.TERM,
        lambda dy, y, z, t: (
            dy * (z.sigmoid() - t) / z.numel(),
            dy * (POSITIVES * functional.softplus(-z) - functional.softplus(z)) / z.numel(),
        ),
    ),
    BINARY.wrong(
        "soft target without gradient",
        Mistake.ZERO,
        lambda dy, y, z, t: (dy * (z.sigmoid() * (1 - t) - POSITIVES * t * (1 - z.sigmoid())) / z.numel(), None),
    ),
    SQUARED.wrong(
        "factor two forgotten",
        Mistake.SCALE,
        lambda dy, y, x, t: (dy * (x - t) / x.numel(), -dy * (x - t) / x.numel()),
    ),
    SQUARED.wrong(
        "target with the sign of the prediction",
        Mistake.SIGN,
        lambda dy, y, x, t: (2 * dy * (x - t) / x.numel(), 2 * dy * (x - t) / x.numel()),
    ),
    SQUARED.wrong(
        "averaged over the batch only",
        Mistake.REDUCTION,
        lambda dy, y, x, t: (2 * dy * (x - t) / x.shape[0], -2 * dy * (x - t) / x.shape[0]),
    ),
    HUBER.wrong(
        "far slope taken for one", Mistake.SCALE, lambda dy, y, x: dy * torch.where(x.abs() < DELTA, x, x.sign())
    ),
    HUBER.wrong("far side quadratic", Mistake.MASK, lambda dy, y, x: dy * x),
    DIVERGENCE.wrong(
        "one forgotten",
        Mistake.TERM,
        lambda dy, y, p, q: (dy * (p.log() - q.log()) / p.shape[0], -dy * p / q / p.shape[0]),
    ),
    DIVERGENCE.wrong(
        "averaged over all entries",
        Mistake.SCALE,
        lambda dy, y, p, q: (dy * (p.log() - q.log() + 1) / p.numel(), -dy * p / q / p.numel()),
    ),
    FOCAL.wrong(
        "modulating factor detached",
        Mistake.DETACHED,
        lambda dy, y, z: -dy * (1 - z.sigmoid()) ** (FOCUS + 1),
    ),
    TRIPLET.wrong(
        "negative forgotten for the anchor",
        Mistake.TERM,
        lambda dy, y, a, p, n: (2 * dy * (a - p) / a.shape[0], *triplet_back(dy, a, p, n)[1:]),
    ),
    TRIPLET.wrong(
        "positive and negative swapped",
        Mistake.SWAP,
        lambda dy, y, a, p, n: tuple(triplet_back(dy, a, p, n)[place] for place in (0, 2, 1)),
    ),
)

ENTRIES: tuple[Entry, ...] = (*(component.right() for component in COMPONENTS), *WRONG)
