"""Turning images by any angle: against torch's sampler, and what a turn leaves as it was."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import affine_grid, grid_sample

from reference.augmentation import rotate90
from reference.rotation import rotate
from tests.reference.protocol import Case, draw


def sampled(x: torch.Tensor, *, angle: float) -> torch.Tensor:
    """The same by torch's sampler, whose coordinates run from -1 to 1 along each axis, columns first."""
    height, width = x.shape[-2:]
    flat = x.reshape(-1, 1, height, width)
    stretch = (height - 1) / (width - 1)
    c, s = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[c, -s * stretch, 0], [s / stretch, c, 0]], dtype=x.dtype, device=x.device)
    grid = affine_grid(turn.expand(len(flat), 2, 3), list(flat.shape), align_corners=True)
    return grid_sample(flat, grid, mode="bilinear", padding_mode="zeros", align_corners=True).reshape(x.shape)


# In bfloat16 and float32 the sampler rounds its coordinates, so the oracle runs in float64; a coordinate of size n errs by n·u there.
CASES = {
    "a square": Case(rotate, (draw(2, 5, 5),), sampled, {"angle": 0.4}, roundings=256),
    "a wide image, clockwise": Case(rotate, (draw(2, 4, 6, seed=1),), sampled, {"angle": -1.1}, roundings=256),
}


@pytest.mark.parametrize("quarters", [0, 1, 2, 3, -1])
def test_quarter_turns_move_pixels_whole(quarters: int) -> None:
    x = draw(3, 6, 6)
    turned = rotate(x, angle=quarters * math.pi / 2)
    assert float((turned - rotate90(x, quarters)).abs().max()) <= 1e2 * torch.finfo(x.dtype).eps * float(x.abs().max())


def test_what_is_turned_out_of_sight_is_dark() -> None:
    corners = torch.zeros(5, 5, dtype=torch.float64)
    corners[0, 0] = corners[-1, -1] = 1
    assert float(rotate(corners, angle=math.pi / 4)[0, 0]) == 0
    assert float(rotate(torch.ones(5, 5, dtype=torch.float64), angle=0.3)[2, 2]) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize(
    ("x", "angle", "message"),
    [
        (torch.ones(3, dtype=torch.float64), 0.1, "rotate"),
        (torch.ones(3, 3, dtype=torch.int64), 0.1, "rotate"),
        (torch.ones(3, 3, dtype=torch.float64), math.inf, "not finite: inf"),
    ],
)
def test_bad_input_is_refused(x: torch.Tensor, angle: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rotate(x, angle=angle)
