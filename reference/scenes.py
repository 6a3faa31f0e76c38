"""Synthetic pictures: bars and stripes, and scenes of bright rectangles and discs with their boxes and masks."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["bars_and_stripes", "draw_scenes"]

SMALLEST = 4  # pixels: a disc of this diameter is the smallest that differs from a square, by its four corners


@dataclass(frozen=True)
class Scenes:
    """Pictures and what is on them: images (n, 1, s, s), boxes (n, k, 4), labels (n, k), masks (n, s, s).

    A label is 1 for a rectangle and 2 for a disc; a mask holds the label of each pixel, 0 where there is nothing. Boxes
    are (left, top, right, bottom) in pixels, pixel (i, j) reaching from j to j + 1 across and from i to i + 1 down.
    """

    images: torch.Tensor
    boxes: torch.Tensor
    labels: torch.Tensor
    masks: torch.Tensor


def bars_and_stripes(side: int, *, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Every picture that consists of whole rows or of whole columns, once each.

    Shapes: side -> pictures (2^(side + 1) - 2, side²) of zeros and ones
    (1) each of the 2^side choices of rows is a picture, and so is its transpose
    (2) the empty and the full picture are both at once and counted once
    Errors: ValueError unless 1 <= side <= 8.
    Example: bars_and_stripes(2).shape == (6, 4)
    Asked: none
    Source: MacKay, Information Theory, Inference, and Learning Algorithms (2003), section 43.
    """
    if not 1 <= side <= 8:
        raise ValueError(f"bars_and_stripes got a side out of range: {side}, expected 1 to 8")
    numbers = torch.arange(2**side).unsqueeze(-1)
    rows = (numbers >> torch.arange(side - 1, -1, -1) & 1).to(dtype)  # (2^side, side)
    pictures = rows.unsqueeze(-1).expand(-1, side, side)  # (1)
    mixed = pictures.mT[1:-1]  # (2)
    return torch.cat([pictures, mixed]).reshape(-1, side * side)


def draw_scenes(
    n: int,
    *,
    size: int = 16,
    objects: int = 2,
    noise: float = 0.1,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
) -> Scenes:
    """Scenes of bright rectangles and discs on a dark ground, each object in a quarter of its own.

    Shapes: -> images (n, 1, size, size), boxes (n, objects, 4), labels (n, objects), masks (n, size, size)
    (1) sides are whole numbers from 4 to size/2 - 1, places are whole numbers within the quarter, all equally likely
    (2) image = 1 on objects, 0 elsewhere, plus normal noise of the given standard deviation
    Errors: ValueError unless size is even and at least 10, 1 <= objects <= 4 and noise >= 0.
    Example: draw_scenes(3, generator=torch.Generator().manual_seed(0)).images.shape == (3, 1, 16, 16)
    Asked: gfg-45.2, gfg-45.3, gfg-45.4, gfg-45.5, gfg-45.6
    Source: made for this reference; the task is that of Everingham et al., The Pascal visual object classes (2010).
    """
    if size < 2 * SMALLEST + 2 or size % 2 or not 1 <= objects <= 4 or not noise >= 0:
        raise ValueError(
            f"draw_scenes got settings out of range: size {size}, objects {objects}, noise {noise}, expected an even "
            f"size of at least {2 * SMALLEST + 2}, 1 to 4 objects and noise >= 0"
        )
    labels = torch.randint(1, 3, (n, objects), generator=generator, device=generator.device)
    boxes = _places(n, size // 2, labels, generator).to(dtype)
    masks = _painted(boxes, labels, size)
    grain = torch.randn(masks.shape, generator=generator, dtype=dtype, device=generator.device)
    return Scenes(((masks > 0).to(dtype) + noise * grain).unsqueeze(1), boxes, labels, masks)  # (2)


def _places(n: int, half: int, labels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A box for each object (n, objects, 4), as wide as high where it holds a disc."""
    device, objects = labels.device, labels.shape[-1]
    quarter = torch.rand(n, 4, generator=generator, device=device).argsort(-1)[:, :objects]
    corner = torch.stack([quarter % 2, quarter // 2], -1) * half  # (n, objects, 2)
    sides = torch.randint(SMALLEST, half, (n, objects, 2), generator=generator, device=device)  # (1)
    sides = torch.where(labels.unsqueeze(-1) == 2, sides[..., :1], sides)
    room = (half - sides + 1) * torch.rand(sides.shape, generator=generator, device=device)
    start = corner + room.long()
    return torch.cat([start, start + sides], -1)


def _painted(boxes: torch.Tensor, labels: torch.Tensor, size: int) -> torch.Tensor:
    """The label of the object that covers each pixel's middle: boxes (n, k, 4), labels (n, k) -> (n, size, size)."""
    middle = torch.arange(size, dtype=boxes.dtype, device=boxes.device) + 0.5
    centre, half = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]) / 2  # (n, k, 2)
    away = (middle - centre.unsqueeze(-1)) / half.unsqueeze(-1)  # (n, k, 2, size), 1 at the edge of the box
    across, down = away[:, :, 0].unsqueeze(-2), away[:, :, 1].unsqueeze(-1)
    in_box = (across.abs() <= 1) & (down.abs() <= 1)  # (n, k, size, size)
    is_disc = (labels == 2)[..., None, None]
    covered = in_box & (~is_disc | (across.square() + down.square() <= 1))
    return (covered * labels[..., None, None]).sum(1)
