"""Watch the calls of a subject's roles for what no claim may mistake for an answer.

A comparison such as `y == 0` or an argmax turns a NaN into a yes or a no before any evidence sees it; a role that wipes its input
makes both sides of an equation zero; a result in a coarser dtype widens the tolerance it is judged by.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch

Kind = Literal["nan", "input", "dtype"]


@dataclass(frozen=True)
class Fault:
    """What a role did that makes its result no answer; claims about divergence may use results with a NaN."""

    kind: Kind
    said: str


def watched(role: str, played: Callable[..., Any], faults: list[Fault]) -> Callable[..., Any]:
    """`played`, with what it does wrong added to `faults`; values that cannot be read, as under vmap, are left out."""

    @functools.wraps(played)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = list(_tensors((args, kwargs)))
        versions = [tensor._version for tensor in given]
        answer = played(*args, **kwargs)
        if any(tensor._version != version for tensor, version in zip(given, versions, strict=True)):
            faults.append(Fault("input", f"{role} changed its input"))
        got = [tensor for tensor in _tensors(answer) if tensor.is_floating_point()]
        coarser = _coarser(given, got)
        if coarser:
            faults.append(Fault("dtype", f"{role} returned {coarser}"))
        if _any_nan(got) and not _any_nan(given, or_infinite=True):
            faults.append(Fault("nan", f"{role} returned NaN for finite input"))
        return answer

    return call


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))


def _coarser(given: list[torch.Tensor], got: list[torch.Tensor]) -> str:
    """A dtype of the answer whose roundings are larger than any input's, and that input's, in words."""
    units = [torch.finfo(tensor.dtype).eps for tensor in given if tensor.is_floating_point()]
    for tensor in got:
        if units and torch.finfo(tensor.dtype).eps > max(units):
            return f"{tensor.dtype} for input of finer dtypes only".replace("torch.", "")
    return ""


def _any_nan(tensors: list[torch.Tensor], *, or_infinite: bool = False) -> bool:
    try:
        return any(bool((~tensor.isfinite() if or_infinite else tensor.isnan()).any()) for tensor in tensors)
    except RuntimeError:  # under vmap no single value exists to be read
        return False
