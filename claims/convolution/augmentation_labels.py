"""Image transformations for augmentation: which labels survive them."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, equal
from assay.sabotage import instead

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
CORNERS = [{"top": top, "left": left} for top in range(5) for left in range(5)]
KEEPS_LABELS = "an operation that keeps every label"


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
    reading=KEEPS_LABELS,
    expect=REFUTED(
        instead="Rotation keeps the labels of tasks in which direction means nothing; half a turn makes a 6 a 9.",
        by="a_symmetric_shape_keeps_its_class_when_turned_or_mirrored",
    ),
    sabotage={"only digits that look the same upside down": {"where": lambda digit: digit == "zero"}},
)
def a_turned_image_keeps_its_class(lib: Any, trial: Trial, digit: str) -> Evidence:
    """Reading: after half a turn each digit is nearest to its own class, of zero, six and nine.
    Why: drawn on 3x5 pixels, half a turn maps six onto nine pixel by pixel."""
    turned = lib.rotate90(drawn(DIGITS[digit], trial.device), 2)
    return equal(nearest(turned, DIGITS), digit, what="the turned digit belongs to another class")


@claim(
    "gfg-43.4",
    "A turn or a reflection keeps the class of shapes that look the same after it.",
    also=["gfg-43.6"],
    needs=["rotate90", "flip"],
    setting={"digit": "zero", "arrows": ("up", "down")},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "a six": {"digit": instead("six")},
        "an arrow to the side": {"arrows": instead(("left", "right"))},
    },
)
def a_symmetric_shape_keeps_its_class_when_turned_or_mirrored(
    lib: Any, trial: Trial, digit: str, arrows: tuple[str, ...]
) -> Evidence:
    """Reading: half a turn maps zero to itself, a reflection left to right maps upright arrows to themselves.
    Why: each is unchanged pixel by pixel."""
    turned = lib.rotate90(drawn(DIGITS[digit], trial.device), 2)
    mirrored = [nearest(lib.flip(drawn(ARROWS[name], trial.device), -1), ARROWS) for name in arrows]
    return equal(nearest(turned, DIGITS), digit, what="the turned digit belongs to another class") & equal(
        mirrored, list(arrows), what="mirrored arrows belong to other classes"
    )


@claim(
    "gfg-43.5",
    "A cropped image has the label of the whole.",
    needs=["crop"],
    cases=CORNERS,
    reading=KEEPS_LABELS,
    expect=REFUTED(
        instead="A crop keeps the label only if it keeps what the label is about.",
        by="a_crop_that_holds_the_object_keeps_the_label",
    ),
    sabotage={"only crops that hold the object": {"where": lambda top, left: top <= 2 and 1 <= left <= 3}},
)
def a_crop_keeps_the_label(lib: Any, trial: Trial, top: int, left: int) -> Evidence:
    """Reading: an image of 8x8 pixels that shows an object of 2x2 pixels still shows it in every crop of 4x4 pixels.
    Why: the object stands at row 2, column 3; nine of the 25 crops show it whole."""
    return _shows_the_object(lib, trial, top, left)


def _shows_the_object(lib: Any, trial: Trial, top: int, left: int) -> Evidence:
    x = torch.zeros(8, 8, dtype=torch.float64, device=trial.device)
    x[2:4, 3:5] = 1
    return equal(float(lib.crop(x, top, left, 4, 4).sum()), 4.0, what="the object is not whole in the crop")


@claim(
    "gfg-43.5",
    "A crop that holds the object keeps the label.",
    needs=["crop"],
    cases=[place for place in CORNERS if place["top"] <= 2 and 1 <= place["left"] <= 3],
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "three rows further down": {"top": lambda top: min(top + 3, 4)},
        "always from the corner": {"crop": lambda sound: lambda x, top, left, *size: sound(x, 0, 0, *size)},
    },
)
def a_crop_that_holds_the_object_keeps_the_label(lib: Any, trial: Trial, top: int, left: int) -> Evidence:
    """Reading: every crop of 4x4 pixels that begins in rows 0 to 2 and columns 1 to 3 shows the whole object.
    Why: the object fills rows 2 and 3, columns 3 and 4."""
    return _shows_the_object(lib, trial, top, left)


@claim(
    "gfg-43.6",
    "A mirrored image belongs to the class that it belonged to.",
    needs=["flip"],
    cases=[{"arrow": arrow} for arrow in ARROWS],
    reading=KEEPS_LABELS,
    expect=REFUTED(
        instead="A reflection keeps the labels of tasks that do not tell left from right.",
        by="a_symmetric_shape_keeps_its_class_when_turned_or_mirrored",
    ),
    sabotage={"only upright arrows": {"where": lambda arrow: arrow in ("up", "down")}},
)
def a_mirrored_image_keeps_its_class(lib: Any, trial: Trial, arrow: str) -> Evidence:
    """Reading: mirrored left to right, each of four arrows is nearest to its own class.
    Why: an arrow to the left becomes one to the right."""
    mirrored = lib.flip(drawn(ARROWS[arrow], trial.device), -1)
    return equal(nearest(mirrored, ARROWS), arrow, what="the mirrored arrow belongs to another class")
