"""Image transformations for augmentation: what each does to the pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import HOLDS, claim
from assay.evidence import Evidence, at_least, close, equal
from assay.sabotage import ignoring, instead
from assay.strategies import choices, normals, sizes

IMAGES = normals((2, 4, 6))


def placed(x: torch.Tensor, source: Callable[[int, int], tuple[int, int]], height: int, width: int) -> torch.Tensor:
    """y[..., i, j] = x at source(i, j), and 0 where that lies outside x (..., H, W)."""
    y = x.new_zeros(*x.shape[:-2], height, width)
    for i in range(height):
        for j in range(width):
            a, b = source(i, j)
            if 0 <= a < x.shape[-2] and 0 <= b < x.shape[-1]:
                y[..., i, j] = x[..., a, b]
    return y


@claim(
    "gfg-43.4",
    "A quarter turn moves pixels and loses none; four of them are no turn at all.",
    needs=["rotate90"],
    given={"x": IMAGES},
    covers="quarter turns, as an operation on pixels",
    expect=HOLDS,
    sabotage={
        "half turns": {"rotate90": lambda sound: lambda x, quarter_turns: sound(x, 2 * quarter_turns)},
        "rows and columns exchanged instead": {"rotate90": lambda sound: lambda x, quarter_turns: x.mT},
        "turned the other way": {"rotate90": lambda sound: lambda x, quarter_turns: sound(x, -quarter_turns)},
    },
)
def four_quarter_turns_bring_an_image_back(lib: Any, x: torch.Tensor) -> Evidence:
    """Reading: one turn gives y[i, j] = x[j, W - 1 - i] to the last bit; the fourth turn gives back x, the second
    does not.
    Why: a turn is a permutation of the pixels of order four."""
    turns = [x]
    for _ in range(4):
        turns.append(lib.rotate90(turns[-1], 1))
    height, width = x.shape[-2:]
    expected = placed(x, lambda i, j: (j, width - 1 - i), width, height)
    if turns[1].shape != expected.shape:
        return equal(tuple(turns[1].shape), tuple(expected.shape), what="shape after one turn")
    return (
        equal(turns[1], expected, what="pixels in the wrong place after one turn")
        & equal(turns[4], x, what="pixels that four turns do not bring back")
        & at_least((turns[2] - x).abs().max(), 0.1, what="largest change by half a turn")
    )


@claim(
    "gfg-43.5",
    "A crop is the rectangle asked for, pixel by pixel.",
    needs=["crop"],
    given={"x": IMAGES, "top": sizes(0, 2), "left": sizes(0, 3), "height": sizes(1, 2), "width": sizes(1, 3)},
    covers="cropping, as an operation on pixels",
    expect=HOLDS,
    sabotage={
        "always from the corner": {"crop": lambda sound: lambda x, top, left, *size: sound(x, 0, 0, *size)},
        "one pixel to the right": {"crop": lambda sound: lambda x, *at: sound(x.roll(-1, -1), *at)},
    },
)
def a_crop_is_the_rectangle_asked_for(
    lib: Any, x: torch.Tensor, top: int, left: int, height: int, width: int
) -> Evidence:
    """Reading: y[i, j] = x[top + i, left + j] to the last bit, for height rows and width columns.
    Why: the definition, pixel by pixel."""
    y = lib.crop(x, top, left, height, width)
    expected = placed(x, lambda i, j: (top + i, left + j), height, width)
    return equal(y, expected, what="pixels that are not those of the rectangle")


@claim(
    "gfg-43.5",
    (
        "Enlarging repeats the pixels, and shrinking by the same factor brings the image back; shrinking first does not,"
        " unless each block has one colour."
    ),
    needs=["zoom"],
    given={"x": IMAGES},
    setting={"order": (2, 0.5)},
    covers="scaling, as an operation on pixels",
    expect=HOLDS,
    sabotage={
        "shrunk first": {"order": instead((0.5, 2))},
        "enlarged with zeros between the pixels": {
            "zoom": lambda sound: lambda x, factor: sound(x, factor) if factor < 1 else _sparse(sound(x, factor))
        },
        "mirrors the image each time": {"zoom": lambda sound: lambda x, factor: sound(x, factor).flip(-1)},
    },
)
def enlarging_loses_nothing(lib: Any, x: torch.Tensor, order: tuple[float, float]) -> Evidence:
    """Reading: factor 2 gives y[i, j] = x[⌊i/2⌋, ⌊j/2⌋] to the last bit, and the means of its blocks are the image again;
    the means first, and then repeated, differ from a random image.
    Why: the mean of four equal numbers, three additions and a division; of four different ones only the mean is kept."""
    back, other = (lib.zoom(lib.zoom(x, first), second) for first, second in (order, order[::-1]))
    enlarged = placed(x, lambda i, j: (i // 2, j // 2), 8, 12)
    return (
        equal(lib.zoom(x, 2), enlarged, what="pixels of the enlarged image in the wrong place")
        & close(back, x, operations=4, what="pixels differ from what comes back by")
        & at_least((other - x).abs().max(), 0.1, what="largest loss by shrinking first")
    )


def _sparse(x: torch.Tensor) -> torch.Tensor:
    """Only every other row is kept."""
    kept = torch.zeros_like(x)
    kept[..., ::2, :] = x[..., ::2, :]
    return kept


@claim(
    "gfg-43.6",
    "A reflection read twice is the image itself.",
    needs=["flip"],
    given={"x": IMAGES, "dim": choices(-1, -2)},
    covers="as an operation on pixels",
    expect=HOLDS,
    sabotage={
        "moved by one pixel instead": {"flip": lambda sound: lambda x, dim: x.roll(1, dim)},
        "the other axis": {"flip": lambda sound: lambda x, dim: sound(x, -3 - dim)},
    },
)
def a_reflection_undoes_itself(lib: Any, x: torch.Tensor, dim: int) -> Evidence:
    """Reading: y[k] = x[n - 1 - k] along the axis, to the last bit; the second reflection gives back x.
    Why: n - 1 - (n - 1 - k) = k."""
    height, width = x.shape[-2:]
    mirror = (lambda i, j: (i, width - 1 - j)) if dim == -1 else (lambda i, j: (height - 1 - i, j))
    once = lib.flip(x, dim)
    return equal(once, placed(x, mirror, height, width), what="pixels in the wrong place") & equal(
        lib.flip(once, dim), x, what="pixels that the second reflection does not bring back"
    )


@claim(
    "gfg-43.7",
    "Shearing is an image transformation: rows slide in proportion to their number from the top.",
    needs=["shear"],
    given={"x": normals((2, 4, 3)), "by": choices(1, 2, -1, -2)},
    reading="a misprint for shearing; of the printed name there is nothing to run",
    expect=HOLDS,
    sabotage={
        "nothing happens": {"shear": lambda sound: lambda x, by: x},
        "columns slide instead": {"shear": lambda sound: lambda x, by: sound(x.mT, by).mT},
        "a pixel less per row": {"shear": lambda sound: lambda x, by: sound(x, by - 1)},
    },
)
def shearing_slides_rows_in_proportion(lib: Any, x: torch.Tensor, by: int) -> Evidence:
    """Reading: y[r, c + by·r] = x[r, c] to the last bit; on a canvas wide enough, shear by -by brings the image back
    and no pixel is lost.
    Why: (x, y) -> (x + m·y, y) has determinant one and the inverse with -m."""
    canvas = torch.nn.functional.pad(x, (6, 6))
    y = lib.shear(canvas, by)
    expected = placed(canvas, lambda i, j: (i, j - by * i), *canvas.shape[-2:])
    return equal(y, expected, what="pixels in the wrong place") & equal(
        lib.shear(y, -by), canvas, what="pixels that the opposite shear does not bring back"
    )


@claim(
    "gfg-43.8",
    "A translation moves the image by whole pixels; what leaves it is lost, or comes in again at the other side.",
    needs=["translate"],
    given={
        "x": IMAGES,
        "dy": choices(1, 2, -1, -2, -3),
        "dx": choices(1, 2, 3, -1, -4),
        "wrap": choices(False, True),
    },
    covers="as an operation on pixels",
    expect=HOLDS,
    sabotage={
        "down and right exchanged": {"translate": lambda sound: lambda x, dy, dx, **hyper: sound(x, dx, dy, **hyper)},
        "never comes in again": {"translate": ignoring("wrap")},
    },
)
def a_translation_moves_whole_pixels(lib: Any, x: torch.Tensor, dy: int, dx: int, wrap: bool) -> Evidence:
    """Reading: y[i, j] = x[i - dy, j - dx] to the last bit; from outside 0, or with wrap the pixel at the other side.
    Why: the definition, pixel by pixel."""
    height, width = x.shape[-2:]
    inside = (lambda i, j: (i % height, j % width)) if wrap else (lambda i, j: (i, j))
    expected = placed(x, lambda i, j: inside(i - dy, j - dx), height, width)
    return equal(lib.translate(x, dy, dx, wrap=wrap), expected, what="pixels in the wrong place")
