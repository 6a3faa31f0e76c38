"""Image transformations: forward against loops over pixels, backward against finite differences, planted mistakes."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from reference import augmentation
from reference.augmentation import (
    add_noise,
    brightness,
    contrast,
    crop,
    flip,
    rotate90,
    shear,
    standardise,
    translate,
    zoom,
)
from subjects.torch_nn import augmentation as torch_augmentation
from tests.reference.protocol import Case


def image(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def moved(x: torch.Tensor, source: object, rows: int | None = None, columns: int | None = None) -> torch.Tensor:
    """Pixel by pixel: y[i, j] = x at `source(i, j)`, 0 where that lies outside."""
    height, width = x.shape[-2:]
    y = x.new_zeros(*x.shape[:-2], rows or height, columns or width)
    for i in range(y.shape[-2]):
        for j in range(y.shape[-1]):
            a, b = source(i, j)
            if 0 <= a < height and 0 <= b < width:
                y[..., i, j] = x[..., a, b]
    return y


x = image(2, 3, 6, 8)
PIXELWISE = {
    "one turn": (lambda x: rotate90(x, 1), moved(x, lambda i, j: (j, 7 - i), 8, 6)),
    "two turns": (lambda x: rotate90(x, 2), moved(x, lambda i, j: (5 - i, 7 - j))),
    "one turn clockwise": (lambda x: rotate90(x, -1), moved(x, lambda i, j: (5 - j, i), 8, 6)),
    "left and right": (lambda x: flip(x, -1), moved(x, lambda i, j: (i, 7 - j))),
    "top and bottom": (lambda x: flip(x, -2), moved(x, lambda i, j: (5 - i, j))),
    "crop": (lambda x: crop(x, 1, 2, 4, 3), moved(x, lambda i, j: (i + 1, j + 2), 4, 3)),
    "down and left": (lambda x: translate(x, 2, -3), moved(x, lambda i, j: (i - 2, j + 3))),
    "out of sight": (lambda x: translate(x, 0, 9), torch.zeros_like(x)),
    "round the corner": (lambda x: translate(x, -1, 10, wrap=True), moved(x, lambda i, j: ((i + 1) % 6, (j - 10) % 8))),
    "shear": (lambda x: shear(x, -1), moved(x, lambda i, j: (i, j + i))),
    "half a pixel a row": (lambda x: shear(x, 0.5), moved(x, lambda i, j: (i, j - round(0.5 * i)))),
    "enlarge": (lambda x: zoom(x, 3), moved(x, lambda i, j: (i // 3, j // 3), 18, 24)),
}
SMOOTH = {
    "shrink": lambda x: zoom(x, 0.5),
    "brightness": lambda x: brightness(x, 0.3),
    "contrast": lambda x: contrast(x, 1.7),
    "standardise": standardise,
    "noise": lambda x: add_noise(x, 0.2, torch.Generator().manual_seed(3)),
}
EVERY = {name: transform for name, (transform, _) in PIXELWISE.items()} | SMOOTH


X = image(2, 4, 6, seed=5)


def slid(x: torch.Tensor, by: float) -> torch.Tensor:
    rows = [torch_augmentation.translate(x[..., r : r + 1, :], 0, round(by * r)) for r in range(x.shape[-2])]
    return torch.cat(rows, -2)


def stretched(x: torch.Tensor, factor: float) -> torch.Tensor:
    return torch.lerp(x.mean((-2, -1), keepdim=True).expand_as(x), x, factor)


CASES = {
    "rotate90": Case(augmentation._rotate90, (X,), torch_augmentation.rotate90, {"quarter_turns": 1}),
    "rotate90, back by two": Case(augmentation._rotate90, (X,), torch_augmentation.rotate90, {"quarter_turns": -2}),
    "flip": Case(augmentation._flip, (X,), lambda x, axis: torch_augmentation.flip(x, axis), {"axis": -1}),
    "crop": Case(augmentation._crop, (X,), torch_augmentation.crop, {"top": 1, "left": 2, "height": 2, "width": 3}),
    "translate": Case(
        augmentation._translate,
        (X,),
        lambda x, down, right, wrap: torch_augmentation.translate(x, down, right),
        {"down": 1, "right": -2, "wrap": False},
    ),
    "translate round the corner": Case(
        augmentation._translate,
        (X,),
        lambda x, down, right, wrap: x.roll((down, right), (-2, -1)),
        {"down": 1, "right": -2, "wrap": True},
    ),
    "shear": Case(augmentation._shear, (X,), slid, {"by": 1.0}),
    "zoom": Case(
        augmentation._zoom, (X,), lambda x, k, shrinks: torch_augmentation.zoom(x, k), {"k": 2, "shrinks": False}
    ),
    "zoom out": Case(
        augmentation._zoom, (X,), lambda x, k, shrinks: torch_augmentation.zoom(x, 1 / k), {"k": 2, "shrinks": True}
    ),
    "shift": Case(augmentation._shift, (X,), lambda x, by: x + by, {"by": 0.3}),
    "contrast": Case(augmentation._contrast, (X,), stretched, {"factor": 1.7}, scale=3.0),
    "standardise": Case(standardise, (X,), torch_augmentation.standardise, scale=3.0),
}


@pytest.mark.parametrize("name", PIXELWISE)
def test_moves_pixels_as_the_loops_do(name: str) -> None:
    transform, expected = PIXELWISE[name]
    assert torch.equal(transform(x), expected)
    assert torch.equal(transform(x.float()), expected.float())
    assert torch.equal(transform(x.mT.contiguous().mT), expected)
    assert transform(x[:0]).shape == expected[:0].shape


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_means_are_within_rounding(dtype: torch.dtype) -> None:
    x = image(4, 6, 8, dtype=dtype)
    exact = x.double()
    u = torch.finfo(dtype).eps / 2
    shrunk = torch.stack([exact[:, i::2, j::2] for i in (0, 1) for j in (0, 1)])
    assert bool(((zoom(x, 0.5) - shrunk.mean(0)).abs() <= 5 * u * shrunk.abs().mean(0)).all())
    m = exact.mean((-2, -1), keepdim=True)
    size = exact.abs().mean((-2, -1), keepdim=True)  # a mean of 48 pixels errs by at most 48·u of this, in any order
    stretched = m + 1.7 * (exact - m)
    rounding = u * (2.7 * 48 * size + 4 * stretched.abs() + 4 * 1.7 * exact.abs())
    assert bool(((contrast(x, 1.7) - stretched).abs() <= rounding).all())
    y, spread = standardise(x), exact.std((-2, -1), correction=0, keepdim=True)
    assert bool(((y - (exact - m) / spread).abs() <= u * (48 * (1 + y.abs()) * (size / spread + 2))).all())
    assert torch.equal(brightness(x, 0.25), x + 0.25)


@pytest.mark.parametrize("name", EVERY)
def test_images_under_vmap_are_the_single_ones(name: str) -> None:
    small = image(2, 4, 6, seed=5)
    fitted = EVERY[name] if name != "crop" else lambda x: crop(x, 1, 2, 2, 3)
    mapped = torch.vmap(fitted, randomness="error")(small) if name != "noise" else fitted(small)
    torch.testing.assert_close(mapped, fitted(small), rtol=1e-15 * 24, atol=1e-15)  # sums of 24 in another order


@pytest.mark.parametrize("name", torch_augmentation.__all__)
def test_torch_plays_the_same_role(name: str) -> None:
    arguments = {
        "rotate90": (3,), "flip": (-2,), "crop": (1, 2, 4, 3), "translate": (2, -3), "zoom": (0.5,), "standardise": (),
        "add_noise": (0.0, torch.Generator().manual_seed(0)),
    }[name]  # fmt: skip
    ours, theirs = getattr(augmentation, name)(x, *arguments), getattr(torch_augmentation, name)(x, *arguments)
    torch.testing.assert_close(ours, theirs, rtol=48e-15, atol=48e-15)  # sums of 48 in another order
    if name in ("translate", "zoom"):
        other = {"translate": (5, -9), "zoom": (2,)}[name]
        assert torch.equal(getattr(augmentation, name)(x, *other), getattr(torch_augmentation, name)(x, *other))


def test_an_image_of_one_colour_is_standardised_to_nothing() -> None:
    flat = torch.full((2, 5, 7), 0.1, dtype=torch.float64, requires_grad=True)
    y = standardise(flat)
    y.backward(image(2, 5, 7))
    assert torch.equal(y, torch.zeros(2, 5, 7, dtype=torch.float64))
    assert flat.grad is not None
    assert torch.equal(flat.grad, torch.zeros(2, 5, 7, dtype=torch.float64))


def test_noise_has_the_size_asked_for_and_repeats_with_its_generator() -> None:
    canvas = torch.zeros(400, 400, dtype=torch.float64)
    noise = add_noise(canvas, 0.2, torch.Generator().manual_seed(1))
    # seeded; n = 160,000: five standard errors of the mean are 5·0.2/√n, of the standard deviation 5·0.2/√(2n)
    assert abs(float(noise.mean())) < 5 * 0.2 / 400
    assert abs(float(noise.std()) - 0.2) < 5 * 0.2 / (400 * math.sqrt(2))
    assert torch.equal(noise, add_noise(canvas, 0.2, torch.Generator().manual_seed(1)))
    assert not torch.equal(noise, add_noise(canvas, 0.2, torch.Generator().manual_seed(2)))


REFUSED = {
    "half a turn of a quarter": lambda: rotate90(x, 0.5),
    "no rows": lambda: rotate90(x[0, 0, 0], 1),
    "no such axis": lambda: flip(x, 4),
    "rectangle too wide": lambda: crop(x, 0, 6, 2, 3),
    "rectangle above the image": lambda: crop(x, -1, 0, 2, 3),
    "empty rectangle": lambda: crop(x, 0, 0, 0, 3),
    "half a pixel": lambda: translate(x, 0.5, 0),
    "endless slope": lambda: shear(x, math.inf),
    "factor between": lambda: zoom(x, 1.5),
    "factor zero": lambda: zoom(x, 0),
    "factor not a number": lambda: zoom(x, math.nan),
    "blocks that do not fit": lambda: zoom(x, 1 / 3),
    "negative noise": lambda: add_noise(x, -0.1, torch.Generator()),
    "noise not a number": lambda: add_noise(x, math.nan, torch.Generator()),
    "integers": lambda: brightness(x.long(), 0.5),
    "contrast of integers": lambda: contrast(x.long(), 0.5),
    "no pixels": lambda: standardise(x[..., :0]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        REFUSED[name]()


def rolled_crop(saved: tuple[torch.Tensor, ...], dy: torch.Tensor, **hyper: int) -> tuple[torch.Tensor]:
    return (augmentation._crop_backward(saved, dy, **hyper)[0].roll(1, -1),)


WRONG = {
    "turned on instead of back": ("_rotate90", lambda s, dy, quarter_turns: (augmentation._turned(dy, quarter_turns),)),
    "gradient one pixel off": ("_crop", rolled_crop),
    "moved on instead of back": (
        "_translate",
        lambda s, dy, **hyper: (augmentation._translate_forward(dy, **hyper)[0],),
    ),
    "mean instead of sum": ("_zoom", lambda s, dy, k, shrinks: (augmentation._blocks(dy, k).mean((-3, -1)),)),
    "mean forgotten": ("_contrast", lambda s, dy, factor: (factor * dy,)),
    "variance held fixed": ("standardise", lambda s, dy: ((dy - dy.mean((-2, -1), keepdim=True)) / s[1],)),
    "near miss": ("_shear", lambda s, dy, by: (augmentation._slid(dy, -by) * 1.0001,)),
}
HYPER = {
    "_rotate90": {"quarter_turns": 1},
    "_crop": {"top": 1, "left": 2, "height": 2, "width": 2},
    "_shear": {"by": 1},
    "_translate": {"down": 1, "right": 2, "wrap": False},
    "_zoom": {"k": 2, "shrinks": False},
    "_contrast": {"factor": 1.7},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_backward_is_caught(name: str) -> None:
    component, backward = WRONG[name]
    small = image(2, 4, 4, seed=6).requires_grad_()
    wrong = replace(getattr(augmentation, component), backward=backward)
    hyper = HYPER.get(component, {})
    assert not torch.autograd.gradcheck(lambda t: wrong(t, **hyper), small, rtol=1e-5, raise_exception=False)
