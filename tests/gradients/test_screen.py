"""The bands of a screen: every entry lies in one of them, however the quotient of its size and the largest rounds."""

from __future__ import annotations

import torch

from assay.gradients.screen import bands


def test_the_largest_entry_is_in_a_band_whatever_its_quotient_with_itself_rounds_to() -> None:
    """x · (1/x) is below 1 for about one number in seven; its logarithm rounded down would name a band before the first."""
    sizes = torch.rand(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for size in sizes:
        masks = bands(torch.stack([size, torch.zeros_like(size)]))
        assert [mask.tolist() for mask in masks] == [[True, False], [False, True]]


def test_every_entry_lies_in_exactly_one_band() -> None:
    exponents = 20 * torch.rand(500, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    masks = torch.stack(bands(10**exponents))
    assert bool((masks.sum(0) == 1).all())
