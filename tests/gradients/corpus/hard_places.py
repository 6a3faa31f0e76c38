"""Right functions at awkward places: kinks, near kinks, edits in place, layouts, sizes, integers, several outputs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tests.gradients.corpus.draw import changed, fixed, joined, mixed, repeated, turned, widened
from tests.gradients.corpus.entry import DOUBLE, Entry, Inputs
from tests.gradients.corpus.hard_numbers import NEVER_WRONG, right

X = mixed(x=(3, 4))
KINK = frozenset({"kink"})
KINK_OR_NOT = frozenset({"agrees", "kink", "unresolved"})


def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return x.clamp(min=0)


def size_by_sign(x: Tensor) -> Tensor:
    """|x| as x times its sign."""
    return x * x.detach().sign()


KINKS = (
    right("relu at zero", torch.relu, relu, fixed(x=[0.0, 1.0, -1.0]), verdicts=KINK),
    right("|x| at zero", torch.abs, size_by_sign, fixed(x=[0.0, 1.0, -1.0]), verdicts=KINK),
    right(
        "leaky relu at zero",
        lambda x: functional.leaky_relu(x, 0.1),
        lambda x: torch.where(x > 0, x, 0.1 * x),
        fixed(x=[0.0, 1.0, -1.0]),
        verdicts=KINK,
    ),
    right(
        "clamp at its bound",
        lambda x: x.clamp(-1, 1),
        functional.hardtanh,
        fixed(x=[1.5, 0.5, -1.0]),
        verdicts=KINK_OR_NOT,
    ),
    right(
        "largest of equal numbers",
        lambda x: x.amax(-1),
        lambda x: x.amax(-1),
        fixed(x=[[1.0, 1.0, 0.0]]),
        verdicts=KINK,
        note="the even share is a subgradient: between 0 and 1 for each of the two",
    ),
    right(
        "sum of |x| with zeros",
        lambda x: x.abs().sum(-1),
        lambda x: size_by_sign(x).sum(-1),
        fixed(x=[[0.0, 2.0], [1.0, 0.0]]),
        verdicts=KINK,
    ),
    right("hinge at its margin", lambda x: (1 - x).clamp(min=0), lambda x: torch.relu(1 - x), fixed(x=[0.0, 0.5, 2.0])),
    right(
        "median of an odd row",
        lambda x: x.median(-1).values,
        lambda x: x.sort(-1).values[..., 1],
        fixed(x=[[0.3, -0.7, 1.2], [2.0, 1.0, 0.0]]),
    ),
    right("relu a thousandth from zero", torch.relu, relu, fixed(x=[1e-3, -1e-3, 2e-3])),
    right("|x| a thousandth from zero", torch.abs, size_by_sign, fixed(x=[1e-3, -1e-3])),
    right("relu a millionth from zero", torch.relu, relu, fixed(x=[1e-6, -1e-6]), verdicts=KINK_OR_NOT),
    right(
        "largest by a ten-thousandth",
        lambda x: x.amax(-1),
        lambda x: x.sort(-1).values[..., -1],
        fixed(x=[[1.0, 1.0001, 0.0]]),
    ),
    right("clamp a thousandth inside", lambda x: x.clamp(-1, 1), functional.hardtanh, fixed(x=[0.999, -1.001])),
    right(
        "smooth on both sides: relu squared at zero",
        lambda x: torch.relu(x) ** 2,
        lambda x: relu(x) * x,
        fixed(x=[0.0, 1.0, -1.0]),
        verdicts=KINK_OR_NOT,
    ),
    right(
        "huber at the change of its branches",
        lambda x: functional.huber_loss(x, torch.zeros_like(x), delta=0.5),
        lambda x: torch.where(x.abs() < 0.5, x * x / 2, 0.5 * (x.abs() - 0.25)).mean(),
        fixed(x=[0.5, -0.5, 1.0]),
        verdicts=KINK_OR_NOT,
    ),
    right("sorted numbers", lambda x: x.sort(-1).values, lambda x: x.gather(-1, x.argsort(-1))),
)


def multiplied_in_place(x: Tensor) -> Tensor:
    """x·(1 + x) with one edit of a copy."""
    y = x.clone()
    y.mul_(1 + x)
    return y


def assembled(x: Tensor) -> Tensor:
    """x² written part by part into zeros."""
    y = torch.zeros_like(x)
    y[0] = x[0] ** 2
    y[1:] = x[1:] ** 2
    return y


def accumulated(x: Tensor) -> Tensor:
    """The running sum of x along its last axis, by additions in place."""
    y = x.clone()
    for place in range(1, x.shape[-1]):
        y[..., place] += y[..., place - 1].clone()
    return y


IN_PLACE = (
    right("product edited in place", multiplied_in_place, lambda x: x + x * x),
    right("output assembled part by part", assembled, lambda x: x * x),
    right("running sum in place", accumulated, lambda x: x.cumsum(-1)),
    right("masked fill", lambda x: (x * x).masked_fill(x > 0, 0.0), lambda x: torch.where(x > 0, 0, x * x)),
)


def laid_out(how: object, base: Inputs = X) -> Inputs:
    """The inputs in another layout."""
    return changed(base, lambda named: {name: how(x) for name, x in named.items()})  # type: ignore[operator]


LAYOUTS = (
    right("turned output", lambda x: x.sin().t(), lambda x: x.t().sin()),
    right("every second output", lambda x: x.sin()[:, ::2], lambda x: x[:, ::2].sin()),
    right(
        "expanded output", lambda x: x.sin()[:, None, :].expand(3, 2, 4), lambda x: x.sin()[:, None, :].repeat(1, 2, 1)
    ),
    right("turned input", torch.tanh, lambda x: x.sinh() / x.cosh(), laid_out(turned)),
    right("input with gaps", torch.tanh, lambda x: x.sinh() / x.cosh(), laid_out(widened)),
    right("expanded input", torch.tanh, lambda x: x.sinh() / x.cosh(), laid_out(repeated)),
    right(
        "expanded scalar",
        lambda x: x.exp(),
        lambda x: (x / 2).exp() ** 2,
        changed(fixed(x=0.7), lambda named: {"x": named["x"].expand(2, 3)}),
    ),
    right(
        "channels-last images",
        lambda x: x.tanh(),
        lambda x: x.sinh() / x.cosh(),
        changed(mixed(x=(2, 3, 2, 2)), lambda named: {"x": named["x"].to(memory_format=torch.channels_last)}),
    ),
    right("windows that share memory", lambda x: x.unfold(-1, 2, 1).prod(-1), lambda x: x[..., :-1] * x[..., 1:]),
)

SIZES = (
    right("no rows", lambda x: x.sin(), lambda x: x.sin(), mixed(x=(0, 3)), note="nothing to be wrong"),
    right("sum over no columns", lambda x: x.sum(-1), lambda x: x @ x.new_ones(0), mixed(x=(3, 0))),
    right("one number", torch.sin, lambda x: (x - torch.pi / 2).cos(), mixed(x=(1,))),
    right("a scalar", lambda x: x**3, lambda x: x * x * x, fixed(x=0.7)),
    right("one row", lambda x: x.softmax(-1), lambda x: x.exp() / x.exp().sum(-1, keepdim=True), mixed(x=(1, 4))),
    right("one column", lambda x: x.softmax(-1), lambda x: x / x, mixed(x=(4, 1)), verdicts=NEVER_WRONG),
    right(
        "inner product of ten thousand", lambda a, b: a @ b, lambda a, b: (a * b).sum(), mixed(a=(10_000,), b=(10_000,))
    ),
    right("mean of a hundred thousand", lambda x: (x * x).mean(), lambda x: (x @ x) / x.numel(), mixed(x=(100_000,))),
    right("wide matrix product", lambda x, w: x @ w, lambda x, w: (w.t() @ x.t()).t(), mixed(x=(4, 300), w=(300, 4))),
    right("norm of a thousand", lambda x: x.norm(), lambda x: (x @ x).sqrt(), mixed(x=(1000,))),
)

TOKENS = fixed(t=[2, 0, 2, 1])
KINDS = (
    right(
        "an input that is not used",
        lambda x, u: x.sin(),
        lambda x, u: (x - torch.pi / 2).cos() + 0 * u,
        mixed(x=(3,), u=(3,)),
    ),
    right(
        "embedding of integers",
        lambda t, w: functional.embedding(t, w),
        lambda t, w: functional.one_hot(t, 3).to(w.dtype) @ w,
        joined(TOKENS, mixed(w=(3, 2))),
    ),
    right(
        "choice by a mask",
        lambda x, m: x * m,
        lambda x, m: torch.where(m, x, 0),
        joined(mixed(x=(4,)), fixed(m=[True, False, True, True])),
    ),
    right("two outputs", lambda x: (x.sin(), x.cos()), lambda x: ((x - torch.pi / 2).cos(), (x + torch.pi / 2).sin())),
    right(
        "quotient and remainder",
        lambda x: (torch.frac(x), x * x),
        lambda x: (x - x.detach().trunc(), x**2),
        fixed(x=[0.3, 1.6, -2.4]),
    ),
    right(
        "real part of a complex product",
        lambda x: torch.view_as_real(torch.polar(x.exp(), x)),
        lambda x: torch.stack([x.exp() * x.cos(), x.exp() * x.sin()], -1),
    ),
    right(
        "inverse transform of a transform",
        lambda x: torch.fft.irfft(torch.fft.rfft(x), x.shape[-1]),
        lambda x: x * 1,
        X,
    ),
    right(
        "determinant of a triangle",
        lambda x: torch.linalg.det(x.tril()),
        lambda x: x.diagonal().prod(),
        mixed(x=(3, 3)),
        dtypes=DOUBLE,
    ),
)

ENTRIES: tuple[Entry, ...] = (*KINKS, *IN_PLACE, *LAYOUTS, *SIZES, *KINDS)
