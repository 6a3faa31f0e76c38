"""Convolution, pooling, recurrence and attention: right backwards by hand, and the mistakes people make in them.

Kinds of report studied: recurrent backwards without the gradient from the future (an RNN of 2018), kernels not
turned, overlapping windows overwritten, masks that the backward forgets (Triton 7216), saved values overwritten.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tests.gradients.corpus.draw import exploring, fixed, mixed
from tests.gradients.corpus.entry import Component, Entry, Mistake, modern

STEPS = 4
BOOK = torch.tensor([0, 3, 3, 1, 0])


def correlate(x: Tensor, w: Tensor) -> Tensor:
    """x (b, c, n), w (o, c, k) -> (b, o, n): correlation that keeps the length for odd k."""
    if not w.shape[-1]:
        raise ValueError("the kernel has no width: 0, expected at least 1")
    return functional.conv1d(x, w, padding=w.shape[-1] // 2)


def correlate_back(dy: Tensor, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """dx: correlation with the kernel turned round; dw: correlation of x with dy."""
    size, pad = w.shape[-1], w.shape[-1] // 2
    dx = functional.conv1d(dy, w.flip(-1).transpose(0, 1), padding=size - 1 - pad)
    padded = functional.pad(x, (pad, pad))
    rows = [torch.einsum("bon,bcn->oc", dy, padded[..., k : k + dy.shape[-1]]) for k in range(size)]
    return dx, torch.stack(rows, -1)


def conv2d_back(dy: Tensor, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of an unpadded conv2d."""
    high, wide = w.shape[-2:]
    dx = functional.conv2d(dy, w.flip(-1, -2).transpose(0, 1), padding=(high - 1, wide - 1))
    rows, columns = dy.shape[-2:]
    places = [(i, j) for i in range(high) for j in range(wide)]
    dw = [torch.einsum("bomn,bcmn->oc", dy, x[..., i : i + rows, j : j + columns]) for i, j in places]
    return dx, torch.stack(dw, -1).reshape(w.shape)


def pool_back(dy: Tensor, x: Tensor, *, add: bool = True) -> Tensor:
    """The gradient of a maximum over windows of 3 at a stride of 1; `add=False` lets the last window win."""
    dx = torch.zeros_like(x)
    place = x.unfold(0, 3, 1).argmax(-1) + torch.arange(x.shape[0] - 2)
    return dx.index_add(0, place, dy) if add else dx.scatter(0, place, dy)


def recur(x: Tensor, u: Tensor, w: Tensor) -> Tensor:
    """x (t, n), u (m, n), w (m, m) -> h (t, m): h[t] = tanh(u·x[t] + w·h[t - 1])."""
    h = torch.zeros(u.shape[0], dtype=x.dtype)
    steps = []
    for row in x:
        h = torch.tanh(u @ row + w @ h)
        steps.append(h)
    return torch.stack(steps)


def recur_back(
    dy: Tensor, y: Tensor, x: Tensor, u: Tensor, w: Tensor, *, future: bool = True, late: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `recur`; `future=False` drops what later steps say, `late=1` reads h[t] for h[t - 1]."""
    past = torch.cat([torch.zeros_like(y[:1]), y])
    dh = torch.zeros_like(y[0])
    dx, du, dw = [], torch.zeros_like(u), torch.zeros_like(w)
    for step in range(x.shape[0] - 1, -1, -1):
        da = (dy[step] + (dh if future else 0)) * (1 - y[step] ** 2)
        dx.insert(0, u.t() @ da)
        du = du + torch.outer(da, x[step])
        dw = dw + torch.outer(da, past[step + late])
        dh = w.t() @ da
    return torch.stack(dx), du, dw


def gates(a: Tensor) -> tuple[Tensor, ...]:
    """a (4, m) -> input gate, forget gate, candidate, output gate."""
    i, f, g, o = a
    return i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()


def lstm(a: Tensor, c: Tensor) -> Tensor:
    """a (4, m), c (m) -> h (m) of one LSTM cell from its pre-activations and its cell state."""
    i, f, g, o = gates(a)
    return o * torch.tanh(f * c + i * g)


def lstm_back(dy: Tensor, y: Tensor, a: Tensor, c: Tensor, *, bend: bool = True) -> tuple[Tensor, Tensor]:
    """The gradients of `lstm`; `bend=False` forgets the slope of the tanh over the cell state."""
    i, f, g, o = gates(a)
    t = torch.tanh(f * c + i * g)
    dc = dy * o * (1 - t * t if bend else 1)
    rows = (dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dy * t * o * (1 - o))
    return torch.stack(rows), dc * f


def gru(z: Tensor, r: Tensor, n: Tensor, h: Tensor) -> Tensor:
    """One GRU step from its pre-activations."""
    return z.sigmoid() * h + (1 - z.sigmoid()) * torch.tanh(n + r.sigmoid() * h)


def gru_back(dy: Tensor, z: Tensor, r: Tensor, n: Tensor, h: Tensor, *, reset: bool = True) -> tuple[Tensor, ...]:
    """The gradients of `gru`; `reset=False` forgets the reset gate on the way to h."""
    s, q = z.sigmoid(), r.sigmoid()
    m = torch.tanh(n + q * h)
    dn = dy * (1 - s) * (1 - m * m)
    return dy * (h - m) * s * (1 - s), dn * h * q * (1 - q), dn, dy * s + (dn * q if reset else dn)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """q (n, d), k (m, d), v (m, e) -> (n, e): causal where the lengths agree."""
    return weights(q, k) @ v


def weights(q: Tensor, k: Tensor, *, causal: bool = True) -> Tensor:
    """The attention weights, each position seeing itself and what is before it."""
    s = q @ k.t() / q.shape[-1] ** 0.5
    hidden = torch.ones_like(s, dtype=torch.bool).triu(1) & causal
    return s.masked_fill(hidden, -torch.inf).softmax(-1)


def attend_back(
    dy: Tensor, q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True, whole: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `attend`; `whole=False` forgets the row sum of the softmax."""
    p = weights(q, k, causal=causal)
    dp = dy @ v.t()
    ds = p * (dp - (p * dp).sum(-1, keepdim=True) * whole) / q.shape[-1] ** 0.5
    return ds @ k, ds.t() @ q, p.t() @ dy


CONV1D = Component(
    "conv1d",
    correlate,
    lambda dy, y, x, w: correlate_back(dy, x, w),
    mixed(x=(2, 3, 5), w=(4, 3, 3)),
)
CONV2D = Component(
    "conv2d",
    functional.conv2d,
    lambda dy, y, x, w: conv2d_back(dy, x, w),
    mixed(x=(2, 2, 4, 4), w=(2, 2, 2, 2)),
    style=modern,
)
MEAN_POOL = Component(
    "average pool",
    lambda x: x.reshape(-1, 2).mean(-1) ** 2,
    lambda dy, y, x: (dy * x.reshape(-1, 2).mean(-1)).repeat_interleave(2),
    mixed(x=(6,)),
    exploring(x="n", divisible=2),
)
MAX_POOL = Component(
    "maximum over overlapping windows",
    lambda x: x.unfold(0, 3, 1).amax(-1),
    lambda dy, y, x: pool_back(dy, x),
    fixed(x=[0.1, 0.9, 0.4, 1.6, 0.2, -0.3]),
    order=1,
)
RNN = Component(
    "recurrence over time",
    recur,
    recur_back,
    mixed(x=(STEPS, 2), u=(3, 2), w=(3, 3)),
    exploring(x="tn", u="mn", w="mm"),
)
LSTM = Component("lstm cell", lstm, lstm_back, mixed(a=(4, 3), c=(3,)), style=modern)
GRU = Component(
    "gru step",
    gru,
    lambda dy, y, z, r, n, h: gru_back(dy, z, r, n, h),
    mixed(z=(3,), r=(3,), n=(3,), h=(3,)),
    exploring(z="n", r="n", n="n", h="n"),
)
ATTENTION = Component(
    "causal attention",
    attend,
    lambda dy, y, q, k, v: attend_back(dy, q, k, v),
    mixed(q=(4, 3), k=(4, 3), v=(4, 4)),
    exploring(q="nd", k="nd", v="ne"),
)
EMBEDDING = Component(
    "embedding",
    lambda w: w[BOOK] * torch.arange(1, 6, dtype=w.dtype)[:, None],
    lambda dy, y, w: torch.zeros_like(w).index_add(0, BOOK, dy * torch.arange(1, 6, dtype=w.dtype)[:, None]),
    mixed(w=(4, 2)),
)
RESIDUAL = Component(
    "residual block",
    lambda x, w: x + torch.tanh(x @ w),
    lambda dy, y, x, w: (dy + (dy * (1 - (y - x) ** 2)) @ w.t(), x.t() @ (dy * (1 - (y - x) ** 2))),
    mixed(x=(3, 4), w=(4, 4)),
    exploring(x="nm", w="mm"),
    modern,
)
TIED = Component(
    "weights used twice",
    lambda x, w: torch.tanh(x @ w) @ w.t(),
    lambda dy, y, x, w: tied_back(dy, x, w),
    mixed(x=(3, 4), w=(4, 2)),
    exploring(x="nm", w="mk"),
)
MIXER = Component(
    "two-layer perceptron",
    lambda x, v, w: torch.tanh(x @ v) @ w,
    lambda dy, y, x, v, w: perceptron_back(dy, x, v, w, torch.tanh(x @ v)),
    mixed(x=(3, 2), v=(2, 5), w=(5, 2)),
    exploring(x="nm", v="mk", w="ko"),
)


def tied_back(dy: Tensor, x: Tensor, w: Tensor, *, twice: bool = True) -> tuple[Tensor, Tensor]:
    """The gradients of `TIED`; `twice=False` counts the outer use of w alone."""
    h = torch.tanh(x @ w)
    da = (dy @ w) * (1 - h * h)
    return da @ w.t(), dy.t() @ h + (x.t() @ da if twice else 0)


def perceptron_back(dy: Tensor, x: Tensor, v: Tensor, w: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of `MIXER` from a hidden layer h."""
    da = (dy @ w.t()) * (1 - h * h)
    return da @ v.t(), x.t() @ da, h.t() @ dy


def turned_kernel(dy: Tensor, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """dx with the kernel not turned round."""
    return functional.conv1d(dy, w.transpose(0, 1), padding=w.shape[-1] // 2), correlate_back(dy, x, w)[1]


def moved(dx: Tensor) -> Tensor:
    """dx one place late along its last axis, as an off-by-one padding has it."""
    return functional.pad(dx, (1, 0))[..., :-1]


COMPONENTS = (CONV1D, CONV2D, MEAN_POOL, MAX_POOL, RNN, LSTM, GRU, ATTENTION, EMBEDDING, RESIDUAL, TIED, MIXER)

WRONG = (
    CONV1D.wrong("kernel not turned", Mistake.SHIFT, lambda dy, y, x, w: turned_kernel(dy, x, w)),
    CONV1D.wrong(
        "padding off by one",
        Mistake.SHIFT,
        lambda dy, y, x, w: (moved(correlate_back(dy, x, w)[0]), correlate_back(dy, x, w)[1]),
    ),
    CONV1D.wrong(
        "kernel gradient averaged over the batch",
        Mistake.REDUCTION,
        lambda dy, y, x, w: (correlate_back(dy, x, w)[0], correlate_back(dy, x, w)[1] / x.shape[0]),
    ),
    CONV2D.wrong(
        "kernel axes exchanged",
        Mistake.TRANSPOSE,
        lambda dy, y, x, w: (conv2d_back(dy, x, w)[0], conv2d_back(dy, x, w)[1].mT),
    ),
    CONV2D.wrong(
        "channels exchanged",
        Mistake.TRANSPOSE,
        lambda dy, y, x, w: (functional.conv2d(dy, w.flip(-1, -2), padding=1), conv2d_back(dy, x, w)[1]),
    ),
    MEAN_POOL.wrong(
        "not divided",
        Mistake.SCALE,
        lambda dy, y, x: (2 * dy * x.reshape(-1, 2).mean(-1)).repeat_interleave(2),
    ),
    MEAN_POOL.wrong(
        "tiled in place of repeated",
        Mistake.TRANSPOSE,
        lambda dy, y, x: (dy * x.reshape(-1, 2).mean(-1)).repeat(2),
    ),
    MAX_POOL.wrong("overwritten in place of added", Mistake.REDUCTION, lambda dy, y, x: pool_back(dy, x, add=False)),
    RNN.wrong("nothing from the future", Mistake.TERM, lambda dy, y, *x: recur_back(dy, y, *x, future=False)),
    RNN.wrong("this state for the last one", Mistake.STALE, lambda dy, y, *x: recur_back(dy, y, *x, late=1)),
    LSTM.wrong(
        "input and forget gate exchanged",
        Mistake.SWAP,
        lambda dy, y, a, c: (lstm_back(dy, y, a, c)[0][[1, 0, 2, 3]], lstm_back(dy, y, a, c)[1]),
    ),
    LSTM.wrong("slope over the cell forgotten", Mistake.TERM, lambda dy, y, a, c: lstm_back(dy, y, a, c, bend=False)),
    LSTM.wrong(
        "cell state not scaled by the forget gate",
        Mistake.TERM,
        lambda dy, y, a, c: (lstm_back(dy, y, a, c)[0], lstm_back(dy, y, a, c)[1] / a[1].sigmoid()),
    ),
    GRU.wrong("reset gate forgotten for the state", Mistake.TERM, lambda dy, y, *x: gru_back(dy, *x, reset=False)),
    GRU.wrong(
        "update gate negated",
        Mistake.SIGN,
        lambda dy, y, *x: (-gru_back(dy, *x)[0], *gru_back(dy, *x)[1:]),
    ),
    ATTENTION.wrong(
        "row sum of the softmax forgotten", Mistake.TERM, lambda dy, y, *x: attend_back(dy, *x, whole=False)
    ),
    ATTENTION.wrong("mask forgotten", Mistake.MASK, lambda dy, y, *x: attend_back(dy, *x, causal=False)),
    ATTENTION.wrong(
        "weights not transposed for the values",
        Mistake.TRANSPOSE,
        lambda dy, y, q, k, v: (*attend_back(dy, q, k, v)[:2], weights(q, k) @ dy),
    ),
    ATTENTION.wrong(
        "keys not scaled",
        Mistake.SCALE,
        lambda dy, y, q, k, v: (
            attend_back(dy, q, k, v)[0],
            attend_back(dy, q, k, v)[1] * q.shape[-1] ** 0.5,
            attend_back(dy, q, k, v)[2],
        ),
    ),
    EMBEDDING.wrong(
        "repeated rows overwritten",
        Mistake.REDUCTION,
        lambda dy, y, w: torch.zeros_like(w).index_copy(
            0, BOOK[[2, 3, 4]], (dy * torch.arange(1, 6, dtype=w.dtype)[:, None])[[2, 3, 4]]
        ),
    ),
    EMBEDDING.wrong(
        "first row taken for padding",
        Mistake.MASK,
        lambda dy, y, w: torch.zeros_like(w).index_add(
            0, BOOK[1:4], (dy * torch.arange(1, 6, dtype=w.dtype)[:, None])[1:4]
        ),
    ),
    RESIDUAL.wrong(
        "way past the block forgotten",
        Mistake.TERM,
        lambda dy, y, x, w: ((dy * (1 - (y - x) ** 2)) @ w.t(), x.t() @ (dy * (1 - (y - x) ** 2))),
    ),
    RESIDUAL.wrong(
        "slope from the sum in place of the branch",
        Mistake.STALE,
        lambda dy, y, x, w: (dy + (dy * (1 - y**2)) @ w.t(), x.t() @ (dy * (1 - (y - x) ** 2))),
    ),
    TIED.wrong("one use counted", Mistake.TERM, lambda dy, y, x, w: tied_back(dy, x, w, twice=False)),
    MIXER.wrong(
        "hidden layer overwritten before the backward",
        Mistake.STALE,
        lambda dy, y, x, v, w: perceptron_back(dy, x, v, w, torch.tanh(x @ v) / 2),
        note="as when a buffer is used again between forward and backward",
    ),
    MIXER.wrong(
        "hidden layer before its activation",
        Mistake.STALE,
        lambda dy, y, x, v, w: perceptron_back(dy, x, v, w, x @ v),
    ),
)

ENTRIES: tuple[Entry, ...] = (*(component.right() for component in COMPONENTS), *WRONG)
