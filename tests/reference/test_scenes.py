"""Synthetic pictures: bars and stripes by their definition."""

from __future__ import annotations

import itertools

import pytest

from reference import scenes as ours


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_bars_and_stripes_are_all_of_them_once(side: int) -> None:
    found = {tuple(row) for row in ours.bars_and_stripes(side).tolist()}
    rows = list(itertools.product([0.0, 1.0], repeat=side))
    bars = {tuple(pixel for pixel in row for _ in range(side)) for row in rows}
    stripes = {row * side for row in rows}
    assert found == bars | stripes
    assert len(ours.bars_and_stripes(side)) == len(found)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 8"):
        ours.bars_and_stripes(9)
