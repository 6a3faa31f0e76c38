"""Seven mistakes that people make in a backward, planted in any component; or the reason why one cannot be made there.

Each is planted where it fits: in every gradient, every addition of the code, every saved tensor in turn. A plant that
leaves every gradient as it is, is no mistake and is not counted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from reference.differentiable import Differentiable
from tests.reference.protocol import Case, draw, leaves

Gradients = list[torch.Tensor | None]
Backward = Callable[..., Any]
# A gradient that moves by less than this, relatively, is the same: it is a thousand times the rounding of float64 here.
SAME = 1e-12


@dataclass(frozen=True)
class Mistake:
    """A component with a wrong backward, what is wrong in it, and the first input whose gradient is wrong."""

    words: str
    component: Differentiable
    place: int


@dataclass(frozen=True)
class Settled:
    """A case in float64 with everything that its backward is called with."""

    case: Case
    tensors: tuple[torch.Tensor | None, ...]
    saved: tuple[Any, ...]
    dy: torch.Tensor

    @property
    def right(self) -> Gradients:
        return self.gradients(self.case.component.backward, self.dy)

    def gradients(self, backward: Backward, dy: torch.Tensor) -> Gradients:
        return list(backward(self.saved, dy, **self.case.hyper))

    def first_wrong(self, backward: Backward) -> int | None:
        """The first input whose gradient this backward changes."""
        pairs = zip(self.right, self.gradients(backward, self.dy), strict=True)
        return next((k for k, (a, b) in enumerate(pairs) if a is not None and changed(a, b)), None)


def settled(case: Case, seed: int = 99) -> Settled:
    tensors = tuple(None if t is None else t.detach() for t in leaves(case))
    y, saved = case.component.forward(*tensors, **case.hyper)
    return Settled(case, tensors, saved, draw(*y.shape, seed=seed))


def changed(a: torch.Tensor, b: torch.Tensor | None) -> bool:
    if b is None or not bool(b.isfinite().all()):
        return b is None
    return a.numel() > 0 and float((a - b).abs().max()) > SAME * float(a.abs().max())


def replaced(component: Differentiable, k: int, change: Callable[..., torch.Tensor]) -> Backward:
    """A backward whose gradient k is `change(gradient, saved, dy, **hyper)`."""

    def backward(saved: Any, dy: torch.Tensor, **hyper: Any) -> Any:
        found = list(component.backward(saved, dy, **hyper))
        found[k] = change(found[k], saved, dy, **hyper)
        return tuple(found)

    return backward


def each_gradient(
    at: Settled, words: str, edit: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[tuple[str, Backward]]:
    """One plant for each gradient, which `edit` changes."""
    for k, dx in enumerate(at.right):
        if dx is not None:
            yield f"{words} in gradient {k}", replaced(at.case.component, k, lambda dx, *_, **__: edit(dx))


def factor(at: Settled) -> Iterator[tuple[str, Backward]]:
    yield from each_gradient(at, "a factor of 1.0001", lambda dx: dx * 1.0001)


def sign(at: Settled) -> Iterator[tuple[str, Backward]]:
    yield from each_gradient(at, "the wrong sign", lambda dx: -dx)


def zero(at: Settled) -> Iterator[tuple[str, Backward]]:
    yield from each_gradient(at, "zero", torch.zeros_like)


def transposed(at: Settled) -> Iterator[tuple[str, Backward]]:
    """A matrix is laid out in memory the other way round; a vector is read from its end."""
    yield from each_gradient(
        at, "transposed", lambda dx: dx.mT.reshape(dx.shape) if dx.dim() > 1 else dx.flip(-1) if dx.dim() else dx
    )
    yield from each_gradient(at, "read backwards", lambda dx: dx.flip(tuple(range(dx.dim()))))


def missing_sum(at: Settled) -> Iterator[tuple[str, Backward]]:
    """What all samples share gets the part of the first; what each sample has for itself is that of the first for all."""
    component = at.case.component
    parts = [at.gradients(component.backward, alone(at.dy, i)) for i in (0, 1)]
    for k, dx in enumerate(at.right):
        if dx is None:
            continue
        one, other = parts[0][k], parts[1][k]
        if axis(at.dy) is not None and one is not None and other is not None and bool((one * other).any()):
            yield f"the first sample's part for all in gradient {k}", replaced(component, k, first_part(component, k))
        else:
            yield f"the first sample's gradient for all in gradient {k}", replaced(component, k, first_for_all)


def first_part(component: Differentiable, k: int) -> Callable[..., torch.Tensor]:
    def change(dx: torch.Tensor, saved: Any, dy: torch.Tensor, **hyper: Any) -> torch.Tensor:
        return list(component.backward(saved, alone(dy, 0), **hyper))[k]

    return change


def first_for_all(dx: torch.Tensor, saved: Any, dy: torch.Tensor, **hyper: Any) -> torch.Tensor:
    k = axis(dx)
    return dx if k is None else dx.narrow(k, 0, 1).expand(dx.shape)


def axis(t: torch.Tensor) -> int | None:
    """The first axis with more than one entry."""
    return next((k for k, n in enumerate(t.shape) if n > 1), None)


def alone(dy: torch.Tensor, i: int) -> torch.Tensor:
    """The cotangent of one sample, zero for the others; itself where there is but one."""
    k = axis(dy)
    if k is None:
        return dy
    places = torch.arange(dy.shape[k]).reshape(-1, *[1] * (dy.dim() - k - 1))
    return dy * (places == i)


class Terms(TorchFunctionMode):
    """Notes where in the reference's code terms are added, and leaves one of them out at one place.

    Of a sum or difference of two, the first or the second; of a sum over an axis or a product of matrices, the last.
    """

    def __init__(self, place: Any = None, left_out: int = 0) -> None:
        super().__init__()
        self.place, self.left_out = place, left_out
        self.places: dict[Any, int] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, func.__name__.strip("_")
        y = func(*args, **kwargs)
        if name not in (*PAIRS, *SUMS) or not y.is_floating_point():
            return y
        here = calling()
        self.places[here] = 2 if name in PAIRS else 1
        if here != self.place:
            return y
        if name in SUMS:
            return func(*without_last(name, args, kwargs), **kwargs)
        a, b = (args[1], args[0]) if name.startswith("r") else args[:2]
        kept = a if self.left_out == 1 else b if name.endswith("add") else -b
        return kept * torch.ones_like(y)


PAIRS = ("add", "radd", "sub", "rsub")
SUMS = ("sum", "mean", "matmul", "einsum", "sum_to_size", "index_add", "scatter_add")


def without_last(name: str, args: Any, kwargs: Any) -> list[Any]:
    """The arguments of a sum with the last of the added terms set to zero."""
    at = max(k for k, a in enumerate(args) if isinstance(a, torch.Tensor) and a.is_floating_point())
    at = 0 if name in ("sum", "mean", "matmul", "sum_to_size") else at
    term, along = args[at], -1
    if name in ("sum", "mean"):
        dims = args[1] if len(args) > 1 else kwargs.get("dim", -1)
        along = dims if isinstance(dims, int) else dims[-1]
    elif name == "sum_to_size":
        along = 0
    elif name == "index_add":
        along = args[1]
    if term.dim() == 0:
        return [*args[:at], torch.zeros_like(term), *args[at + 1 :]]
    n = term.shape[along]
    last = torch.arange(n).reshape(-1, *[1] * (term.dim() - 1 - along % term.dim())) == n - 1
    return [*args[:at], torch.where(last, torch.zeros_like(term), term), *args[at + 1 :]]


def calling() -> tuple[str, int, int]:
    """Function, line and instruction of the reference that is running: the same in every turn of a loop."""
    frame: Any = sys._getframe(2)
    while not frame.f_globals["__name__"].startswith("reference."):
        frame = frame.f_back
    return frame.f_code.co_name, frame.f_lineno, frame.f_lasti


def missing_term(at: Settled) -> Iterator[tuple[str, Backward]]:
    with Terms() as terms:
        at.gradients(at.case.component.backward, at.dy)
    for number, (place, count) in enumerate(terms.places.items()):
        for left_out in range(count):
            words = f"term {left_out} missing in sum {number}, {place[0]}, line {place[1]}"
            yield words, without(at.case.component, place, left_out)


def without(component: Differentiable, place: Any, left_out: int) -> Backward:
    def backward(saved: Any, dy: torch.Tensor, **hyper: Any) -> Any:
        with Terms(place, left_out):
            return component.backward(saved, dy, **hyper)

    return backward


def other_inputs(at: Settled) -> Iterator[tuple[torch.Tensor | None, ...]]:
    """What an earlier call may have seen: the same numbers in reverse order, or smaller ones."""
    yield tuple(None if t is None else t.flatten().flip(0).reshape(t.shape) for t in at.tensors)
    yield tuple(t if t is None or not t.is_floating_point() else 0.9 * t for t in at.tensors)


def stale(at: Settled) -> Iterator[tuple[str, Backward]]:
    for inputs in other_inputs(at):
        try:
            _, before = at.case.component.forward(*inputs, **at.case.hyper)
        except ValueError:  # outside the domain of this component
            continue
        for i, old in enumerate(before):
            yield f"saved tensor {i} is that of an earlier call", outdated(at.case.component, i, old)


def outdated(component: Differentiable, i: int, old: Any) -> Backward:
    def backward(saved: Any, dy: torch.Tensor, **hyper: Any) -> Any:
        return component.backward((*saved[:i], old, *saved[i + 1 :]), dy, **hyper)

    return backward


KINDS: dict[str, tuple[Callable[[Settled], Iterator[tuple[str, Backward]]], str]] = {
    "factor 1.0001": (factor, "every gradient is zero"),
    "sign": (sign, "every gradient is zero"),
    "transposed": (transposed, "every gradient is the same in every order"),
    "missing sum": (missing_sum, "every gradient is the same for one sample and for all"),
    "missing term": (missing_term, "its backward adds nothing"),
    "stale value": (stale, "its backward uses no saved value"),
    "zero": (zero, "every gradient is zero"),
}


def planted(kind: str, case: Case, seed: int = 99) -> list[Mistake] | str:
    """The component's wrong versions of one kind; or in words why this mistake cannot be made in it."""
    plant, reason = KINDS[kind]
    at = settled(case, seed)
    wrong: dict[str, Mistake] = {}
    for words, backward in plant(at):
        place = at.first_wrong(backward)
        if words not in wrong and place is not None:
            wrong[words] = Mistake(words, replace(case.component, backward=backward), place)
    return list(wrong.values()) or f"not possible: {reason}"
