"""Image transformations for augmentation: which labels survive them."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import CONDITIONAL, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, equal
from assay.sabotage import identity, instead

DIGITS = {
    "zero": ("###", "#.#", "#.#", "#.#", "###"),
    "six": ("###", "#..", "###", "#.#", "###"),
    "nine": ("###", "#.#", "###", "..#", "###"),
}
ARROWS = {
    "up": (".##.", "####", ".##.", ".##."),
    "down": (".##.", ".##.", "####", ".##."),
    "left": (".#..", "####", "####", ".#.."),
    "right": ("..#.", "####", "####", "..#."),
}


def drawn(rows: tuple[str, ...], device: torch.device) -> torch.Tensor:
    """An image (H, W) of 0 and 1 from rows of text."""
    return torch.tensor([[float(mark == "#") for mark in row] for row in rows], dtype=torch.float64, device=device)


def nearest(image: torch.Tensor, classes: dict[str, tuple[str, ...]]) -> str:
    """The class whose image differs least from `image`."""
    return min(classes, key=lambda name: float((drawn(classes[name], image.device) - image).abs().sum()))


@claim(
    "gfg-43.4",
    "A turned image belongs to the class that it belonged to.",
    needs=["rotate90"],
    cases=[{"digit": digit} for digit in DIGITS],
    covers="labels",
    exhaustive=True,
    expect=CONDITIONAL(
        "the labelled class looks the same after the turn (half a turn makes a 6 a 9)",
        within=lambda digit: digit == "zero",
    ),
    sabotage={
        "a full turn instead of half": {"rotate90": lambda sound: lambda x, quarter_turns: sound(x, 2 * quarter_turns)},
        "one colour for another": {"rotate90": lambda sound: lambda x, quarter_turns: 1 - sound(x, quarter_turns)},
    },
)
def a_turned_image_keeps_its_class(lib: Any, trial: Trial, digit: str) -> Evidence:
    """Reading: after half a turn each digit is nearest to its own class, of zero, six and nine.
    Why: drawn on 3x5 pixels, half a turn maps zero onto itself and six onto nine, pixel by pixel."""
    turned = lib.rotate90(drawn(DIGITS[digit], trial.device), 2)
    return equal(nearest(turned, DIGITS), digit, what="the turned digit belongs to another class")


@claim(
    "gfg-43.6",
    "A mirrored image belongs to the class that it belonged to.",
    needs=["flip"],
    cases=[{"arrow": arrow} for arrow in ARROWS],
    covers="labels",
    exhaustive=True,
    expect=CONDITIONAL("the task does not tell left from right", within=lambda arrow: arrow in ("up", "down")),
    sabotage={
        "top and bottom exchanged": {"flip": lambda sound: lambda x, dim: sound(x, -2)},
        "nothing happens": {"flip": identity()},
    },
)
def a_mirrored_image_keeps_its_class(lib: Any, trial: Trial, arrow: str) -> Evidence:
    """Reading: mirrored left to right, each of four arrows is nearest to its own class.
    Why: an upright arrow is its own mirror image; an arrow to the left becomes one to the right."""
    mirrored = lib.flip(drawn(ARROWS[arrow], trial.device), -1)
    return equal(nearest(mirrored, ARROWS), arrow, what="the mirrored arrow belongs to another class")


SHAPES = {"nothing": (0, 0), "dot": (1, 1), "lying bar": (1, 2), "standing bar": (2, 1), "square": (2, 2)}


def seen(image: torch.Tensor) -> str:
    """The shape whose picture, at the best of its places, differs least from `image` (H, W): what a viewer would say."""

    def distance(height: int, width: int) -> float:
        pictures = []
        for top in range(image.shape[0] - height + 1):
            for left in range(image.shape[1] - width + 1):
                picture = torch.zeros_like(image)
                picture[top : top + height, left : left + width] = 1
                pictures.append(picture)
        return float((torch.stack(pictures) - image).abs().sum((-1, -2)).min())

    return min(SHAPES, key=lambda name: distance(*SHAPES[name]))


@claim(
    "gfg-43.5",
    "A cropped image has the label of the whole.",
    needs=["crop"],
    cases=[{"top": top, "left": left} for top in range(5) for left in range(5)],
    covers="labels",
    exhaustive=True,
    expect=CONDITIONAL(
        "the crop holds the whole of what the label is about (half a square looks like a bar)",
        within=lambda top, left: top <= 2 and 1 <= left <= 3,
    ),
    sabotage={
        "always round the object": {"crop": lambda sound: lambda x, top, left, *size: sound(x, 2, 2, *size)},
        "always from the corner": {"crop": lambda sound: lambda x, top, left, *size: sound(x, 0, 0, *size)},
    },
)
def a_crop_keeps_the_label(lib: Any, trial: Trial, top: int, left: int) -> Evidence:
    """Reading: of the shapes nothing, dot, lying bar, standing bar and square, every crop of 4x4 pixels out of 8x8 that
    show a square of 2x2 pixels is nearest to the square.
    Why: the square stands in rows 2 and 3, columns 3 and 4; nine of the 25 crops hold all of it, the others show a
    bar, a dot or nothing of it."""
    x = torch.zeros(8, 8, dtype=torch.float64, device=trial.device)
    x[2:4, 3:5] = 1
    return equal(seen(lib.crop(x, top, left, 4, 4)), "square", what="the crop shows another shape")


@claim(
    "gfg-43.8",
    "A shifted image belongs to the class that it belonged to.",
    needs=["translate"],
    cases=[{"asked": asked, "dx": dx} for asked in ("shape", "side") for dx in (1, 2, 3, -1, -2, -3)],
    covers="labels",
    exhaustive=True,
    expect=CONDITIONAL("the task does not ask for the place", within=lambda asked, dx: asked == "shape"),
    sabotage={
        "never moves": {"translate": identity()},
        "loses what leaves the image": {"translate": lambda sound: lambda x, dy, dx, wrap: sound(x, dy, 8 * dx)},
    },
)
def a_shifted_image_keeps_its_class(lib: Any, trial: Trial, asked: str, dx: int) -> Evidence:
    """Reading: a dot, moved sideways round the border of 8x8 pixels, is still a dot; a dot on the left, asked for its
    side of the image, is still on the left.
    Why: a shift keeps what the pixels form, and changes where."""
    x = torch.zeros(8, 8, dtype=torch.float64, device=trial.device)
    x[3, 2] = 1
    moved = lib.translate(x, 0, dx, wrap=True)

    def label(image: torch.Tensor) -> str:
        if asked == "shape":
            return seen(image)
        return "left" if float(image[:, :4].sum()) > float(image[:, 4:].sum()) else "right"

    return equal(label(moved), label(x), what="the shifted image belongs to another class")


@claim(
    "gfg-43.9",
    "A noisy image belongs to the class that it belonged to.",
    needs=["add_noise"],
    cases=[{"digit": digit} for digit in DIGITS],
    setting={"sd": 0.1},
    covers="labels",
    expect=CONDITIONAL(
        "the noise is weak against what tells the classes apart: pixels of 0 and 1 with noise of 0.1, not of 2",
        within={"sd": instead(0.1)},
        beyond={"sd": instead(2.0)},
    ),
    sabotage={
        "forty times the noise": {"add_noise": lambda sound: lambda x, sd, generator: sound(x, 40 * sd, generator)},
        "no noise": {"add_noise": identity()},
    },
)
def a_noisy_image_keeps_its_class(lib: Any, trial: Trial, digit: str, sd: float) -> Evidence:
    """Reading: of zero, six and nine on 3x5 pixels, more than nine tenths of the noisy pictures of each digit are nearest
    to their own class.
    Why: two of the digits differ in one pixel or two, which noise of 0.1 moves by half its way once in a million times
    at most, and noise of 2 more often than one time in three."""
    pictures = torch.stack([drawn(rows, trial.device) for rows in DIGITS.values()])  # (3, 5, 3)
    own = list(DIGITS).index(digit)

    def kept(n: int, g: torch.Generator) -> torch.Tensor:
        noisy = lib.add_noise(pictures[own].expand(n, -1, -1), sd, g)
        return (noisy[:, None] - pictures).abs().sum((-1, -2)).argmin(-1) == own

    return trial.often(kept, floor=0.9, detects=0.08, what="share of noisy pictures that keep their class")
