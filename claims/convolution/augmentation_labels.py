"""Image transformations for augmentation: which labels survive them."""

from __future__ import annotations

import math
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


def enlarged(rows: tuple[str, ...], device: torch.device) -> torch.Tensor:
    """A digit of 3x5 pixels in a dark margin, each pixel four by four: (28, 28)."""
    image = torch.nn.functional.pad(drawn(rows, device), (2, 2, 1, 1))
    return image.repeat_interleave(4, 0).repeat_interleave(4, 1)


@claim(
    "gfg-43.4",
    "A turned image belongs to the class that it belonged to.",
    needs=["rotate"],
    cases=[{"digit": digit, "degrees": degrees} for degrees in (10, 20, 30, 180) for digit in DIGITS],
    covers="labels",
    exhaustive=True,
    expect=CONDITIONAL(
        "the turn is small (here up to 30 degrees), or the class looks the same after it (half a turn makes a 6 a 9)",
        within=lambda digit, degrees: degrees <= 30 or digit == "zero",
    ),
    sabotage={
        "six times the angle": {"rotate": lambda sound: lambda x, angle: sound(x, angle=6 * angle)},
        "no turn at all": {"rotate": identity()},
    },
)
def a_turned_image_keeps_its_class(lib: Any, trial: Trial, digit: str, degrees: int) -> Evidence:
    """Reading: turned by 10, 20, 30 or 180 degrees, each digit is nearest to its own class, of zero, six and nine drawn on
    12x20 pixels.
    Why: a small turn changes few pixels, fewer than tell two digits apart; half a turn maps zero onto itself and six onto
    nine, pixel by pixel."""
    pictures = {name: enlarged(rows, trial.device) for name, rows in DIGITS.items()}
    turned = lib.rotate(pictures[digit], angle=math.radians(degrees))
    closest = min(pictures, key=lambda name: float((pictures[name] - turned).abs().sum()))
    return equal(closest, digit, what="the turned digit belongs to another class")


@claim(
    "gfg-43.6",
    "A mirrored image belongs to the class that it belonged to.",
    needs=["flip"],
    cases=[
        {"task": task, "arrow": arrow, "dim": dim}
        for task in ("upright or lying", "four ways")
        for arrow in ARROWS
        for dim in (-1, -2)
    ],
    covers="labels",
    exhaustive=True,
    expect=CONDITIONAL(
        "the task does not tell an arrow from its mirror image",
        within=lambda task, arrow, dim: task == "upright or lying",
    ),
    sabotage={
        "a quarter turn instead": {"flip": lambda sound: lambda x, dim: x.rot90()},
        "nothing happens": {"flip": identity()},
    },
)
def a_mirrored_image_keeps_its_class(lib: Any, trial: Trial, task: str, arrow: str, dim: int) -> Evidence:
    """Reading: mirrored left to right or top to bottom, each of four arrows is nearest to an arrow of its own class: the
    same arrow, or one that is upright (lying) too.
    Why: the mirror image of an arrow to the left is one to the right, of an arrow up one up or down."""
    classes = {name: name if task == "four ways" else str(name in ("up", "down")) for name in ARROWS}
    mirrored = lib.flip(drawn(ARROWS[arrow], trial.device), dim)
    return equal(classes[nearest(mirrored, ARROWS)], classes[arrow], what="the mirrored arrow belongs to another class")


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
    covers="labels of crops",
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
    "gfg-43.5",
    "A scaled image has the label of the original.",
    needs=["zoom"],
    cases=[
        {"asked": asked, "bar": bar, "factor": factor}
        for asked in ("direction", "size")
        for bar in ("lying bar", "standing bar")
        for factor in (2, 3)
    ],
    covers="labels of scaled images",
    exhaustive=True,
    expect=CONDITIONAL(
        "the task does not ask for the size of what is scaled", within=lambda asked, bar, factor: asked == "direction"
    ),
    sabotage={
        "never scales": {"zoom": identity()},
        "rows and columns exchanged": {"zoom": lambda sound: lambda x, factor: sound(x, factor).mT},
    },
)
def a_scaled_image_keeps_its_label(lib: Any, trial: Trial, asked: str, bar: str, factor: int) -> Evidence:
    """Reading: a bar of two pixels, enlarged two or three times, is lying or standing as before; asked for its size, fewer
    than four pixels or more, it is as before.
    Why: both sides grow by the same factor, and the number of pixels by its square."""
    height, width = SHAPES[bar]
    x = torch.zeros(4, 4, dtype=torch.float64, device=trial.device)
    x[1 : 1 + height, 1 : 1 + width] = 1

    def label(image: torch.Tensor) -> str:
        if asked == "size":
            return "small" if float(image.sum()) < 4 else "large"
        return "lying" if int(image.amax(0).sum()) > int(image.amax(1).sum()) else "standing"

    return equal(label(lib.zoom(x, factor)), label(x), what="the scaled image has another label")


@claim(
    "gfg-43.8",
    "A shifted image belongs to the class that it belonged to.",
    needs=["translate"],
    cases=[{"asked": asked, "dx": dx} for asked in ("shape", "side") for dx in (1, 2, 3, 4, 5, 6, -1, -2, -3)],
    covers="labels",
    exhaustive=True,
    expect=CONDITIONAL(
        "the task does not ask for the place, and nothing of the object leaves the image",
        within=lambda asked, dx: asked == "shape" and -1 <= dx <= 5,
    ),
    sabotage={
        "never moves": {"translate": identity()},
        "twice as far": {"translate": lambda sound: lambda x, dy, dx: sound(x, dy, 2 * dx)},
    },
)
def a_shifted_image_keeps_its_class(lib: Any, trial: Trial, asked: str, dx: int) -> Evidence:
    """Reading: a square of 2x2 pixels, moved on 8x8 pixels by one to three to the left or one to six to the right, is still
    a square; standing on the left and asked for its side of the image, it is still on the left.
    Why: a shift changes only where things are, but what passes the border is lost: the square stands in columns 1 and
    2, and has room for one step to the left and five to the right."""
    x = torch.zeros(8, 8, dtype=torch.float64, device=trial.device)
    x[2:4, 1:3] = 1
    moved = lib.translate(x, 0, dx)

    def label(image: torch.Tensor) -> str:
        if asked == "shape":
            return seen(image)
        return "left" if float(image[:, :4].sum()) > float(image[:, 4:].sum()) else "right"

    return equal(label(moved), label(x), what="the shifted image belongs to another class")


def departures(image: torch.Tensor) -> torch.Tensor:
    """How far each pixel lies from the image's mean, in units of their spread."""
    return (image - image.mean()) / image.std(correction=0)


@claim(
    "gfg-43.10",
    "A picture of another brightness and contrast has the label of the original.",
    needs=["brightness", "contrast"],
    cases=[{"asked": asked, "digit": digit} for asked in ("digit", "time of day") for digit in DIGITS],
    covers="labels",
    exhaustive=True,
    expect=CONDITIONAL("the task does not ask how bright the scene is", within=lambda asked, digit: asked == "digit"),
    sabotage={
        "nothing changes": {"brightness": identity(), "contrast": identity()},
        "the negative image": {"contrast": lambda sound: lambda x, factor: sound(x, -factor)},
    },
)
def a_brighter_image_keeps_its_label(lib: Any, trial: Trial, asked: str, digit: str) -> Evidence:
    """Reading: a faint digit at night, pixels of 0.2 and 0.3, made brighter by 0.6 and half as strong again in contrast, is
    still that digit, of zero, six and nine; asked for the time, it is still night.
    Why: digits are told by how pixels depart from the mean, which a change of brightness leaves alone and a positive
    change of contrast only stretches; day and night (means of 0.8 and 0.2) are told by the mean."""
    x = 0.2 + 0.1 * drawn(DIGITS[digit], trial.device)
    changed = lib.contrast(lib.brightness(x, 0.6), 1.5)

    def label(image: torch.Tensor) -> str:
        if asked == "time of day":
            return "day" if float(image.mean()) > 0.5 else "night"
        pictures = {name: departures(drawn(rows, trial.device)) for name, rows in DIGITS.items()}
        return min(pictures, key=lambda name: float((departures(image) - pictures[name]).square().sum()))

    return equal(label(changed), label(x), what="the changed image has another label")


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
    Why: any two of the digits differ in two pixels, which noise of 0.1 moves by half their way once in a million times
    at most, and noise of 2 more often than one time in three."""
    pictures = torch.stack([drawn(rows, trial.device) for rows in DIGITS.values()])  # (3, 5, 3)
    own = list(DIGITS).index(digit)

    def kept(n: int, g: torch.Generator) -> torch.Tensor:
        noisy = lib.add_noise(pictures[own].expand(n, -1, -1), sd, g)
        return (noisy[:, None] - pictures).abs().sum((-1, -2)).argmin(-1) == own

    return trial.often(kept, floor=0.9, detects=0.08, what="share of noisy pictures that keep their class")
