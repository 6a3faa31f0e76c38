"""Sums, picks, pads and reductions: right backwards by hand, and the mistakes people make in them.

Kinds of report studied: gather and scatter that overwrite at repeated indices (PyTorch 1631, MXNet 9172, Paddle
17662), shifted pads and slices, running sums not reversed, reductions over the wrong axis or with the wrong divisor.
"""

from __future__ import annotations

import torch
from torch import Tensor

from tests.gradients.corpus.draw import exploring, mixed, quotient
from tests.gradients.corpus.entry import Component, Entry, Mistake, modern

PICKS = torch.tensor([0, 2, 2, 4])
TURN = (1, 2, 0)

CUMSUM = Component(
    "running sum", lambda x: x.cumsum(0), lambda dy, y, x: dy.flip(0).cumsum(0).flip(0), mixed(x=(5,)), exploring(x="n")
)
CUMPROD = Component(
    "running product",
    lambda x: x.cumprod(0),
    lambda dy, y, x: without_own_factor(x).cumprod(-1).triu() @ dy,
    mixed(x=(5,)),
    exploring(x="n"),
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
    lambda dy, y, x: put_back(3 * dy * x[1:-2] ** 2, x),
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
    lambda dy, y, x: quotient(dy, y)[..., None] * (x - x.mean(-1, keepdim=True)) / (x.shape[-1] - 1),
    mixed(x=(3, 4)),
)
PRODUCT = Component(
    "product of rows",
    lambda x: x.prod(-1),
    lambda dy, y, x: dy[..., None] * without_own_factor(x).prod(-1),
    mixed(x=(3, 4)),
    exploring(x="nm"),
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


def without_own_factor(x: Tensor) -> Tensor:
    """x (..., n) as n rows (..., n, n), row i with a one in place of x[i]: products of the others need no division."""
    size = x.shape[-1]
    return torch.where(torch.eye(size, dtype=torch.bool), 1, x[..., None, :].expand(*x.shape[:-1], size, size))


def put_back(dy: Tensor, x: Tensor) -> Tensor:
    """Zeros like x with dy in the places 1 to n - 2."""
    dx = torch.zeros_like(x)
    dx[1:-2] = dy
    return dx


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

ENTRIES: tuple[Entry, ...] = (*(component.right() for component in COMPONENTS), *PLACES)
