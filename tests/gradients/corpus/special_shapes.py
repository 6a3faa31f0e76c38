"""Wrong gradients that show only at some shapes, layouts or parameter values; each brings a strategy to reach them.

Kinds of report studied: tails that a block size does not divide (FlexAttention 153799, attorch 18), columns past a
block (xformers 785), batch sizes above one, non-contiguous cotangents and inputs (flash-attention 355, torch/nn 345,
PyTorch 30303), repeated indices (PyTorch 1631, MXNet 9172), and initial values (ones, zeros) that hide a factor.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from tests.gradients.corpus.draw import changed, exploring, fixed, joined, mixed, with_integers
from tests.gradients.corpus.entry import Component, Entry, Mistake, Strategy
from tests.gradients.corpus.layers import CONV1D, RNN, correlate_back, recur_back
from tests.gradients.corpus.linear import DENSE, QUADRATIC
from tests.gradients.corpus.losses import CROSS_ENTROPY, chosen
from tests.gradients.corpus.normalised import LAYER_NORM, normal_back, standardised_back

BLOCK = 4
TINY = 1e-3
EVERY_LAYOUT = ("contiguous", "turned", "widened")


def misread(x: Tensor) -> Tensor:
    """The memory of x in order, as a kernel reads it that ignores strides; zeros past its end."""
    memory = torch.as_strided(x, (x.untyped_storage().nbytes() // x.element_size(),), (1,), 0)[x.storage_offset() :]
    return functional.pad(memory, (0, max(0, x.numel() - memory.numel())))[: x.numel()].reshape(x.shape)


def whole_blocks(x: Tensor) -> Tensor:
    """x (..., n) with everything past the last whole block set to zero."""
    kept = x.shape[-1] // BLOCK * BLOCK
    return functional.pad(x[..., :kept], (0, x.shape[-1] - kept))


def first_block(x: Tensor) -> Tensor:
    """x (..., n) with everything past the first block set to zero."""
    return functional.pad(x[..., :BLOCK], (0, max(0, x.shape[-1] - BLOCK)))


def maybe_one_row(name: str, base: Strategy) -> Strategy:
    """The drawn tensors, the named one cut to its first row when its first number is below zero."""

    def cut(x: Tensor) -> Tensor:
        return x[:1] if x.reshape(-1)[0] < 0 else x

    return lambda dtype: base(dtype).map(lambda named: {**named, name: cut(named[name])})


LENGTHS = exploring(x="nm", sizes=(1, 9))
LAYOUTS = exploring(x="nm", layouts=EVERY_LAYOUT)
CUBE = Component("cube of rows", lambda x: x**3, lambda dy, y, x: 3 * dy * x * x, mixed(x=(2, 8)), LENGTHS)
SINE = Component("sine in any layout", torch.sin, lambda dy, y, x: dy * x.cos(), mixed(x=(3, 4)), LAYOUTS)
IMAGE = Component(
    "tanh of images",
    torch.tanh,
    lambda dy, y, x: dy * (1 - y * y),
    mixed(x=(2, 3, 2, 2)),
    exploring(x="nchw", layouts=("contiguous", "turned"), sizes=(1, 3)),
)
MOMENT = Component(
    "rows times their means",
    lambda x: x * x.mean(-1, keepdim=True),
    lambda dy, y, x: dy * x.mean(-1, keepdim=True) + (dy * x).mean(-1, keepdim=True),
    mixed(x=(3, 4)),
    exploring(x="nm"),
)
GATED = Component(
    "scale broadcast over rows or entries",
    lambda x, s: x * s,
    lambda dy, y, x, s: (dy * s, (dy * x).sum_to_size(s.shape)),
    mixed(x=(3, 4), s=(3, 4)),
    maybe_one_row("s", exploring(x="nm", s="nm")),
)
CHANNELS = Component(
    "scale of channels",
    lambda x, g: x * g[:, None],
    lambda dy, y, x, g: (dy * g[:, None], (dy * x).sum((0, 2))),
    mixed(x=(3, 1, 4), g=(1,)),
    exploring(x="ncl", g="c"),
)
GATHER = Component(
    "gather",
    lambda x, t: x[t] ** 2,
    lambda dy, y, x, t: (torch.zeros_like(x).index_add(0, t, 2 * dy * x[t]), None),
    joined(mixed(x=(4, 2)), fixed(t=[2, 0, 3, 1])),
    with_integers(exploring(x="nm", sizes=(2, 5)), 0, "x0", t="x0"),
)
BATCHED_DENSE = Component(
    "dense over leading axes",
    lambda x, w: torch.tanh(x @ w),
    lambda dy, y, x, w: ((dy * (1 - y * y)) @ w.t(), torch.einsum("blm,blk->mk", x, dy * (1 - y * y))),
    mixed(x=(1, 3, 4), w=(4, 2)),
    exploring(x="blm", w="mk"),
)
POOLED = Component(
    "attention with its values averaged",
    lambda q, k: torch.tanh(q @ k.t()).mean(-1),
    lambda dy, y, q, k: pooled_back(dy, q, k, k.shape[0]),
    mixed(q=(3, 2), k=(3, 2)),
    exploring(q="nd", k="md"),
)
SCALED = Component(
    "layer scale",
    lambda x, a: x + a * torch.tanh(x),
    lambda dy, y, x, a: (dy + dy * a * (1 - torch.tanh(x) ** 2), (dy * torch.tanh(x)).sum(0)),
    joined(mixed(x=(3, 4)), fixed(a=[0.0] * 4)),
    exploring(x="nm", a="m"),
)
MASKED = Component(
    "masked softmax-free pooling",
    lambda x, m: (x.exp() * m).sum(-1),
    lambda dy, y, x, m: (dy[..., None] * x.exp() * m, dy[..., None] * x.exp()),
    joined(mixed(x=(3, 4)), fixed(m=[[1.0] * 4] * 3)),
    exploring(x="nm", m="nm"),
)
STATE = Component(
    "recurrence from a given state",
    lambda h, w, u: torch.tanh(w @ h + u),
    lambda dy, y, h, w, u: (w.t() @ (dy * (1 - y * y)), torch.outer(dy * (1 - y * y), h), dy * (1 - y * y)),
    joined(fixed(h=[0.0] * 3), mixed(w=(3, 3), u=(3,))),
    exploring(h="n", w="nn", u="n"),
)


def rows_of(which: Component) -> Component:
    """The component with its default scale at the usual initial value of one."""
    inputs = changed(which.inputs, lambda named: {**named, "g": torch.ones_like(named["g"])})
    return Component(f"{which.name} at initial scale", which.forward, which.backward, inputs, which.strategy)


FRESH_NORM = rows_of(LAYER_NORM)
SYMMETRIC = Component(
    "quadratic form at a symmetric matrix",
    QUADRATIC.forward,
    QUADRATIC.backward,
    changed(QUADRATIC.inputs, lambda named: {**named, "a": named["a"] + named["a"].t()}),
    QUADRATIC.strategy,
)
KERNEL = Component(
    "conv1d of any kernel",
    CONV1D.forward,
    CONV1D.backward,
    CONV1D.inputs,
    exploring(x="bcn", w="ock", sizes=(1, 4)),
)
SQUARE_MEAN = Component(
    "mean of squares",
    lambda x: x.square().mean(-1),
    lambda dy, y, x: 2 * x * dy[:, None] / x.shape[-1],
    mixed(x=(4, 4)),
    exploring(x="nm"),
)
REAL_TIMES = Component(
    "complex product of real numbers",
    lambda a, b: a * b,
    lambda dy, y, a, b: (dy * b.conj(), dy * a.conj()),
    changed(mixed(a=(4,), b=(4,)), lambda named: {name: torch.complex(x, 0 * x) for name, x in named.items()}),
    lambda dtype: exploring(a="n", b="n")(dtype).map(
        lambda named: {name: torch.complex(x, x.flip(0)) for name, x in named.items()}
    ),
)


def pooled_back(dy: Tensor, q: Tensor, k: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The gradients of `POOLED`, averaged over `count`."""
    ds = dy[:, None] / count * (1 - torch.tanh(q @ k.t()) ** 2)
    return ds @ k, ds.t() @ q


def guessed(dy: Tensor, w: Tensor) -> Tensor:
    """dx of a dense layer whose weight layout is guessed from its shape: wrong when it is square."""
    return dy @ w.t() if w.shape[1] == dy.shape[-1] else dy @ w


def written(t: Tensor, rows: Tensor, x: Tensor) -> Tensor:
    """Each row written to its place: the last of equal places wins."""
    dx = torch.zeros_like(x)
    for place, row in zip(t.tolist(), rows, strict=True):
        dx[place] = row
    return dx


def counted_once(dx: Tensor, x: Tensor) -> Tensor:
    """dx with its rows past the first set to zero where x is an expanded row."""
    keep = torch.ones(x.shape[0], 1, dtype=x.dtype)
    keep[1:] = float(x.stride(0) != 0)
    return dx * keep


def even_kernel(dy: Tensor, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of conv1d with the padding of the forward in the backward: one place off for an even kernel."""
    dx = functional.conv1d(dy, w.flip(-1).transpose(0, 1), padding=w.shape[-1] // 2)
    return dx[..., : x.shape[-1]], correlate_back(dy, x, w)[1]


COMPONENTS = (
    CUBE,
    SINE,
    IMAGE,
    MOMENT,
    GATED,
    CHANNELS,
    GATHER,
    BATCHED_DENSE,
    POOLED,
    SCALED,
    MASKED,
    STATE,
    FRESH_NORM,
    SYMMETRIC,
    KERNEL,
    SQUARE_MEAN,
    REAL_TIMES,
)

SHAPES = (
    CUBE.wrong("tail past the last whole block", Mistake.SHAPE, lambda dy, y, x: whole_blocks(3 * dy * x * x)),
    CUBE.wrong(
        "columns past the first block",
        Mistake.SHAPE,
        lambda dy, y, x: first_block(3 * dy * x * x),
        inputs=mixed(x=(2, 4)),
    ),
    CUBE.wrong(
        "rows past the first block",
        Mistake.SHAPE,
        lambda dy, y, x: first_block((3 * dy * x * x).t()).t(),
    ),
    MOMENT.wrong(
        "a single column squeezed away",
        Mistake.SHAPE,
        lambda dy, y, x: dy * x.mean(-1, keepdim=True) + (dy * x).squeeze().mean(-1, keepdim=True),
    ),
    GATED.wrong(
        "averaged where it was broadcast",
        Mistake.REDUCTION,
        lambda dy, y, x, s: (dy * s, (dy * x).sum_to_size(s.shape) * (s.shape[0] / x.shape[0])),
    ),
    CHANNELS.wrong(
        "scale of the first channel for all",
        Mistake.SHAPE,
        lambda dy, y, x, g: (dy * g[0], (dy * x).sum((0, 2))),
    ),
    CHANNELS.wrong(
        "scale summed over the channels",
        Mistake.SHAPE,
        lambda dy, y, x, g: (dy * g[:, None], (dy * x).sum().expand_as(g)),
    ),
    BATCHED_DENSE.wrong(
        "weights from the first of the batch",
        Mistake.SHAPE,
        lambda dy, y, x, w: ((dy * (1 - y * y)) @ w.t(), x[0].t() @ (dy * (1 - y * y))[0]),
    ),
    BATCHED_DENSE.wrong(
        "weights averaged over the batch",
        Mistake.SHAPE,
        lambda dy, y, x, w: (
            (dy * (1 - y * y)) @ w.t(),
            torch.einsum("blm,blk->mk", x, dy * (1 - y * y)) / x.shape[0],
        ),
    ),
    POOLED.wrong(
        "number of queries for number of keys", Mistake.SHAPE, lambda dy, y, q, k: pooled_back(dy, q, k, q.shape[0])
    ),
    SQUARE_MEAN.wrong(
        "divided by the other axis",
        Mistake.SHAPE,
        lambda dy, y, x: 2 * x * dy[:, None] / x.shape[0],
        note="right when square",
    ),
    DENSE.wrong(
        "weight layout guessed from its shape",
        Mistake.SHAPE,
        lambda dy, y, x, w, b: (guessed(dy, w), dy.t() @ x, dy.sum(0)),
        note="wrong when square",
    ),
    KERNEL.wrong("padding of the forward", Mistake.SHAPE, lambda dy, y, x, w: even_kernel(dy, x, w)),
    RNN.wrong(
        "nothing from the future, at one step",
        Mistake.SHAPE,
        lambda dy, y, *x: recur_back(dy, y, *x, future=False),
        inputs=mixed(x=(1, 2), u=(3, 2), w=(3, 3)),
    ),
    GATHER.wrong("repeats overwritten", Mistake.REDUCTION, lambda dy, y, x, t: (written(t, 2 * dy * x[t], x), None)),
    CROSS_ENTROPY.wrong(
        "ignored labels counted",
        Mistake.SCALE,
        lambda dy, y, z, t: (dy * (z.softmax(-1) - chosen(z, t)) * (t >= 0)[:, None] / t.numel(), None),
    ),
    CROSS_ENTROPY.wrong(
        "ignored labels pulled down",
        Mistake.MASK,
        lambda dy, y, z, t: (dy * (z.softmax(-1) - chosen(z, t)) / (t >= 0).sum().clamp(min=1), None),
    ),
)

PARAMETERS = (
    SCALED.wrong(
        "branch forgotten, scale zero",
        Mistake.TERM,
        lambda dy, y, x, a: (dy, (dy * torch.tanh(x)).sum(0)),
    ),
    MASKED.wrong(
        "mask forgotten, mask all ones",
        Mistake.MASK,
        lambda dy, y, x, m: (dy[..., None] * x.exp(), dy[..., None] * x.exp()),
    ),
    STATE.wrong(
        "weights transposed, state zero",
        Mistake.TRANSPOSE,
        lambda dy, y, h, w, u: (w.t() @ (dy * (1 - y * y)), torch.outer(h, dy * (1 - y * y)), dy * (1 - y * y)),
    ),
    FRESH_NORM.wrong(
        "scale forgotten",
        Mistake.TERM,
        lambda dy, y, x, g, b: normal_back(standardised_back(dy, x, -1), dy, x),
    ),
    SYMMETRIC.wrong(
        "matrix taken for symmetric",
        Mistake.TERM,
        lambda dz, z, x, a: (2 * dz * a @ x, dz * torch.outer(x, x)),
    ),
    REAL_TIMES.wrong("conjugates forgotten", Mistake.CONJUGATE, lambda dy, y, a, b: (dy * b, dy * a)),
)

LAYOUT = (
    SINE.wrong("strides of the cotangent ignored", Mistake.LAYOUT, lambda dy, y, x: misread(dy) * x.cos()),
    SINE.wrong("strides of the input ignored", Mistake.LAYOUT, lambda dy, y, x: dy * misread(x).cos()),
    IMAGE.wrong("strides of the output ignored", Mistake.LAYOUT, lambda dy, y, x: dy * (1 - misread(y) ** 2)),
    SINE.wrong(
        "expanded rows counted once",
        Mistake.LAYOUT,
        lambda dy, y, x: counted_once(dy * x.cos(), x),
        strategy=exploring(x="nm", layouts=("contiguous", "repeated")),
    ),
    SINE.wrong(
        "small cotangents dropped",
        Mistake.COTANGENT,
        lambda dy, y, x: torch.where(dy.abs() < TINY, 0, dy) * x.cos(),
    ),
    SINE.wrong(
        "cotangent divided by its largest entry",
        Mistake.COTANGENT,
        lambda dy, y, x: dy / dy.abs().max() * x.cos() * dy.abs().max(),
        note="not a number at a cotangent of zeros",
    ),
)

WRONG = tuple(replace(entry, visible="special") for entry in (*SHAPES, *PARAMETERS, *LAYOUT))
ENTRIES: tuple[Entry, ...] = (*(component.right() for component in COMPONENTS), *WRONG)
