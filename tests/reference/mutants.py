"""Functions with a planted mistake: one expression of the source replaced, so that a check can be seen to fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def mutant(function: Callable[..., Any], right: str, wrong: str) -> Callable[..., Any]:
    """The function with one expression of its source, which must occur there once, replaced by another."""
    source = inspect.getsource(function)
    assert source.count(right) == 1, f"{right!r} occurs {source.count(right)} times in {function.__name__}, expected 1"
    scope = dict(vars(inspect.getmodule(function)))
    exec(source.replace(right, wrong), scope)
    return scope[function.__name__]  # type: ignore[no-any-return]
