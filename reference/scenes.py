"""Synthetic pictures: bars and stripes, and scenes of bright rectangles and discs with their boxes and masks."""

from __future__ import annotations

import torch

__all__ = ["bars_and_stripes"]


def bars_and_stripes(side: int, *, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Every picture that consists of whole rows or of whole columns, once each: -> (2^(side + 1) - 2, side²).

    Errors: ValueError unless 1 <= side <= 8.
    Source: MacKay, Information Theory, Inference, and Learning Algorithms (2003), section 43.
    """
    if not 1 <= side <= 8:
        raise ValueError(f"bars_and_stripes got a side out of range: {side}, expected 1 to 8")
    numbers = torch.arange(2**side).unsqueeze(-1)
    rows = (numbers >> torch.arange(side - 1, -1, -1) & 1).to(dtype)  # (2^side, side)
    pictures = rows.unsqueeze(-1).expand(-1, side, side)
    mixed = pictures.mT[1:-1]  # empty and full pictures are bars and stripes at once
    return torch.cat([pictures, mixed]).reshape(-1, side * side)
