"""The corpus that the gradient checker is judged by: wrong and right functions, each with its truth and its label."""

from __future__ import annotations

from tests.gradients.corpus import (
    declared,
    effects,
    elementwise,
    hard_numbers,
    hard_places,
    layers,
    linear,
    losses,
    normalised,
    places,
    second,
    special_shapes,
    special_values,
    spectral,
    stock,
)
from tests.gradients.corpus.entry import Component, Entry, Mistake

MODULES = (
    elementwise,
    linear,
    places,
    normalised,
    losses,
    layers,
    spectral,
    special_values,
    special_shapes,
    second,
    effects,
    hard_numbers,
    hard_places,
    declared,
    stock,
)
ENTRIES: tuple[Entry, ...] = tuple(entry for module in MODULES for entry in module.ENTRIES)
WRONG = tuple(entry for entry in ENTRIES if not entry.right)
RIGHT = tuple(entry for entry in ENTRIES if entry.right)

__all__ = ["ENTRIES", "MODULES", "RIGHT", "WRONG", "Component", "Entry", "Mistake"]
