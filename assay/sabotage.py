"""Reusable breakers: edits that a control applies to a role or to a value. Each takes the sound one and gives the broken one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Role = Callable[..., Any]


def instead(value: Any) -> Callable[[Any], Any]:
    """Put `value` in place of a setting or a drawn value."""
    return lambda sound: value


def scaled(factor: float) -> Callable[[Role], Role]:
    """The role's result times `factor`: the near miss, the forgotten factor, the wrong sign."""
    return lambda sound: lambda *args, **kwargs: sound(*args, **kwargs) * factor


def with_arguments(**changed: Any) -> Callable[[Role], Role]:
    """The role called with some keyword arguments fixed: the ignored or confused hyper-parameter."""
    return lambda sound: lambda *args, **kwargs: sound(*args, **(kwargs | changed))


def ignoring(*names: str) -> Callable[[Role], Role]:
    """The role called without some keyword arguments, so that their defaults apply."""
    return lambda sound: lambda *args, **kwargs: sound(*args, **{k: v for k, v in kwargs.items() if k not in names})


def identity() -> Callable[[Role], Role]:
    """The role returns its first argument: vacuity."""
    return lambda sound: lambda x, *args, **kwargs: x
