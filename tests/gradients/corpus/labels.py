"""Is a label of the corpus true? Judged by autograd of the plain function, without any gradient checker."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from hypothesis import find, settings
from hypothesis.errors import NoSuchExample
from torch import Tensor

from tests.gradients.corpus.draw import turned
from tests.gradients.corpus.entry import Entry, Named

MARGIN = 1000  # rounding errors between two derivations of at most a few hundred operations
EXAMPLES = 300


def leaves(named: Named) -> Named:
    """The same tensors, layout kept, with floating-point and complex ones asking for their gradient."""
    return {
        name: x.detach().requires_grad_() if x.is_floating_point() or x.is_complex() else x for name, x in named.items()
    }


def flat(y: Any) -> Tensor:
    """One vector of all outputs."""
    return torch.cat([part.reshape(-1) for part in y]) if isinstance(y, tuple) else y


def drawn(y: Tensor, seed: int) -> Tensor:
    """A random cotangent."""
    return torch.randn(y.shape, generator=torch.Generator().manual_seed(seed), dtype=y.dtype)


def gradients(y: Tensor, wrt: Sequence[Tensor], dy: Tensor, *, again: bool = False) -> list[Tensor]:
    """One gradient per tensor, zeros where there is none."""
    if not y.requires_grad:
        return [torch.zeros_like(x) for x in wrt]
    found = torch.autograd.grad(y, wrt, dy, allow_unused=True, create_graph=again)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, wrt, strict=True)]


def first(function: Callable[..., Any], named: Named, dy: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
    """The value and its gradients under a random cotangent, or under a given one."""
    inputs = leaves(named)
    y = flat(function(*inputs.values()))
    wrt = [x for x in inputs.values() if x.requires_grad]
    return y.detach(), gradients(y, wrt, drawn(y, 1) if dy is None else dy)


def second(function: Callable[..., Any], named: Named) -> list[Tensor]:
    """The gradients of a random projection of the gradients, in the inputs and in the cotangent."""
    inputs = leaves(named)
    y = flat(function(*inputs.values()))
    dy = drawn(y, 1).requires_grad_()
    wrt = [x for x in inputs.values() if x.requires_grad]
    slopes = gradients(y, wrt, dy, again=True)
    kept = [(g, drawn(g, 2 + place)) for place, g in enumerate(slopes) if g.requires_grad]
    if not kept:
        return [torch.zeros_like(x) for x in (*wrt, dy)]
    total = sum((g * u.conj()).real.sum() if g.is_complex() else (g * u).sum() for g, u in kept)
    assert isinstance(total, Tensor)
    return gradients(total, [*wrt, dy], torch.ones_like(total))


def distance(found: Sequence[Tensor], wanted: Sequence[Tensor], floor: float = 0.0) -> float:
    """The largest difference of any tensor, relative to its size or a floor; infinite where one is not finite."""
    worst = 0.0
    for a, b in zip(found, wanted, strict=True):
        if not b.numel():
            continue
        if not torch.isfinite(a).all():
            return math.inf
        difference, size = float((a - b).norm()), max(floor, float(b.norm()))
        worst = max(worst, difference / size if size else (math.inf if difference else 0.0))
    return worst


def allowed(entry: Entry, dtype: torch.dtype) -> float:
    """How far two right derivations may lie apart."""
    return MARGIN * torch.finfo(dtype).eps + entry.spread


def apart(entry: Entry, named: Named, dy: Tensor | None = None, floor: float = 0.0) -> float:
    """The distance of the candidate's gradients from the truth's."""
    assert entry.truth is not None, f"{entry.name} has no truth"
    return distance(first(entry.make(), copied(named), dy)[1], first(entry.truth, copied(named), dy)[1], floor)


def copied(named: Named) -> Named:
    """Copies that keep gaps and expanded axes, so that a candidate may spoil them."""
    return {
        name: x if x.dim() and 0 in x.stride() else x.clone(memory_format=torch.preserve_format)
        for name, x in named.items()
    }


def cotangents(y: Tensor) -> list[Tensor]:
    """The cotangents that a special mistake may need: random, in another layout, zero, tiny."""
    dy = drawn(y, 1)
    return [dy, turned(dy), torch.zeros_like(dy), 1e-6 * dy]


def shows(entry: Entry, named: Named) -> bool:
    """Whether the mistake shows at these inputs under one of the cotangents.

    The floor is the cotangent's size: where the terms of a gradient of numbers near one cancel, their rounding stays.
    """
    dtype = next(x.dtype for x in named.values() if x.is_floating_point() or x.is_complex())
    y = first(entry.truth or entry.make(), copied(named))[0]
    if not y.numel():
        return False
    return any(apart(entry, named, dy, float(dy.norm())) > allowed(entry, dtype) for dy in cotangents(y))


def reached(entry: Entry, examples: int = EXAMPLES) -> Named | None:
    """Inputs that the entry's strategy draws and at which its gradient is not the truth's; None if there are none."""
    assert entry.strategy is not None
    patience = settings(max_examples=examples, derandomize=True, database=None, deadline=None)
    try:
        return find(entry.strategy(torch.float64), lambda named: shows(entry, named), settings=patience)
    except NoSuchExample:
        return None


def spoils(entry: Entry) -> bool:
    """Whether a backward edits a tensor of the caller, or says something else in a second call."""
    named = entry.default()
    inputs = leaves(named)
    before = [x.detach().clone() for x in inputs.values()]
    y = entry.make()(*inputs.values())
    dy = drawn(y, 1)
    given = dy.clone()
    calls = [gradients_again(y, list(inputs.values()), dy) for _ in range(3)]
    edited = any(not torch.equal(x, was) for x, was in zip((*inputs.values(), dy), (*before, given), strict=True))
    return edited or any(distance(call, calls[0]) > 0 for call in calls[1:])


def gradients_again(y: Tensor, wrt: Sequence[Tensor], dy: Tensor) -> list[Tensor]:
    """The gradients, with the graph kept for another call."""
    return [g.clone() for g in torch.autograd.grad(y, wrt, dy, retain_graph=True)]
