"""Image transformations for augmentation: which labels survive them."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import CONDITIONAL, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, equal
from assay.sabotage import identity

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


@claim(
    "gfg-43.5",
    "A cropped image has the label of the whole.",
    needs=["crop"],
    cases=[{"top": top, "left": left} for top in range(5) for left in range(5)],
    covers="labels",
    exhaustive=True,
    expect=CONDITIONAL("the crop holds what the label is about", within=lambda top, left: top <= 2 and 1 <= left <= 3),
    sabotage={
        "always round the object": {"crop": lambda sound: lambda x, top, left, *size: sound(x, 2, 2, *size)},
        "always from the corner": {"crop": lambda sound: lambda x, top, left, *size: sound(x, 0, 0, *size)},
    },
)
def a_crop_keeps_the_label(lib: Any, trial: Trial, top: int, left: int) -> Evidence:
    """Reading: an image of 8x8 pixels that shows an object of 2x2 pixels shows all of it in every crop of 4x4 pixels.
    Why: the object stands in rows 2 and 3, columns 3 and 4; nine of the 25 crops hold it."""
    x = torch.zeros(8, 8, dtype=torch.float64, device=trial.device)
    x[2:4, 3:5] = 1
    return equal(float(lib.crop(x, top, left, 4, 4).sum()), 4.0, what="the object is not whole in the crop")
