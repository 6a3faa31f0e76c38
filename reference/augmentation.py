"""Image transformations that make new training examples from old ones.

An image is the last two axes: rows count down, columns to the right.

What is random stays outside: a caller draws the angle, the shift or the noise's generator and passes it in.
"""

from __future__ import annotations

import torch

from reference.checks import require_axis, require_dims, require_floating
from reference.differentiable import Differentiable

__all__ = [
    "add_noise",
    "brightness",
    "contrast",
    "crop",
    "flip",
    "rotate90",
    "shear",
    "standardise",
    "translate",
    "zoom",
]

Saved = tuple[torch.Tensor, ...]
IMAGE = (-2, -1)


def rotate90(x: torch.Tensor, quarter_turns: int) -> torch.Tensor:
    """Turn the image counter-clockwise by quarter turns: a permutation of its pixels.

    Shapes: x (..., H, W) -> y (..., H, W) after an even number of turns, (..., W, H) after an odd one.
    Forward:
        (1) one turn: y[i, j] = x[j, W - 1 - i]
    Backward:
        (2) dx = dy turned back
    Conventions: negative turns are clockwise; turns count modulo 4.
    Example: rotate90(torch.tensor([[1.0, 2.0]]), 1).tolist() == [[2.0], [1.0]]
    Asked: gfg-19.14, gfg-24.5, gfg-43.1, gfg-43.2, gfg-43.3, gfg-43.4
    Source: Shorten and Khoshgoftaar, A survey on image data augmentation for deep learning (2019).
    """
    _require_integers("rotate90", quarter_turns=quarter_turns)
    return _rotate90(x, quarter_turns=quarter_turns)


def flip(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Mirror the image: -1 swaps left and right, -2 swaps top and bottom.

    Shapes: x (..., H, W) -> y (..., H, W)
    Forward:
        (1) y[k] = x[n - 1 - k] along `dim`
    Backward:
        (2) dx[k] = dy[n - 1 - k]
    Example: flip(torch.tensor([[1.0, 2.0]]), -1).tolist() == [[2.0, 1.0]]
    Asked: gfg-19.14, gfg-24.5, gfg-43.1, gfg-43.2, gfg-43.3, gfg-43.6
    Source: Shorten and Khoshgoftaar, A survey on image data augmentation for deep learning (2019).
    """
    return _flip(x, axis=dim)


def crop(x: torch.Tensor, top: int, left: int, height: int, width: int) -> torch.Tensor:
    """Cut a rectangle out of the image.

    Shapes: x (..., H, W) -> y (..., height, width)
    Forward:
        (1) y[i, j] = x[top + i, left + j]
    Backward:
        (2) dx[top + i, left + j] = dy[i, j], 0 outside the rectangle
    Errors: ValueError if the rectangle is empty or leaves the image.
    Example: crop(torch.arange(9.0).reshape(3, 3), 1, 1, 2, 2).tolist() == [[4.0, 5.0], [7.0, 8.0]]
    Asked: gfg-43.3, gfg-43.5
    Source: Shorten and Khoshgoftaar, A survey on image data augmentation for deep learning (2019).
    """
    _require_integers("crop", top=top, left=left, height=height, width=width)
    return _crop(x, top=top, left=left, height=height, width=width)


def translate(x: torch.Tensor, dy: int, dx: int, wrap: bool = False) -> torch.Tensor:
    """Move the image down by `dy` and right by `dx` pixels.

    Shapes: x (..., H, W) -> y (..., H, W)
    Forward:
        (1) y[i, j] = x[i - dy, j - dx]; from outside the image 0, or with `wrap` the pixel at the opposite side
    Backward:
        (2) the gradient moved back by the same steps, under the same rule at the border
    Conventions: negative steps go up and left; without `wrap` what leaves the image is lost.
    Example: translate(torch.tensor([[1.0, 2.0]]), 0, 1).tolist() == [[0.0, 1.0]]
    Asked: gfg-24.5, gfg-40.5, gfg-40.6, gfg-43.1, gfg-43.2, gfg-43.3, gfg-43.8
    Source: Shorten and Khoshgoftaar, A survey on image data augmentation for deep learning (2019).
    """
    _require_integers("translate", dy=dy, dx=dx)
    return _translate(x, down=dy, right=dx, wrap=wrap)


def shear(x: torch.Tensor, by: float) -> torch.Tensor:
    """Slide row r to the right by `by`·r pixels, rounded to whole pixels: upright lines lean, rows stay rows.

    Shapes: x (..., H, W) -> y (..., H, W)
    Forward:
        (1) y[r, j] = x[r, j - s(r)] with s(r) = round(by·r); 0 from outside the image
    Backward:
        (2) dx[r, j] = dy[r, j + s(r)]; 0 from outside the image
    Conventions: the top row stays; halves round to even, so that -by undoes it where nothing left the image.
    Example: shear(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 1.0).tolist() == [[1.0, 2.0], [0.0, 3.0]]
    Asked: gfg-43.7
    Source: Shorten and Khoshgoftaar, A survey on image data augmentation for deep learning (2019).
    """
    if not abs(by) < float("inf"):
        raise ValueError(f"shear got no slope: by={by}, expected a finite number of pixels per row; pass for example 1")
    return _shear(x, by=by)


def zoom(x: torch.Tensor, factor: float) -> torch.Tensor:
    """Enlarge k times by repeating pixels (factor k), or shrink k times by averaging blocks (factor 1/k).

    Shapes: x (..., H, W) -> y (..., factor·H, factor·W)
    Forward:
        (1) factor k: y[i, j] = x[⌊i/k⌋, ⌊j/k⌋]
        (2) factor 1/k: y[i, j] = mean of the k·k block of x at (k·i, k·j)
    Backward:
        (3) factor k: dx[i, j] = sum of the k·k block of dy at (k·i, k·j)
        (4) factor 1/k: dx[i, j] = dy[⌊i/k⌋, ⌊j/k⌋] / k²
    Errors: ValueError if neither factor nor 1/factor is a whole number, or if k does not divide H and W when shrinking.
    Example: zoom(torch.tensor([[1.0, 2.0]]), 2).tolist() == [[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]
    Asked: gfg-43.3, gfg-43.5
    Source: Shorten and Khoshgoftaar, A survey on image data augmentation for deep learning (2019).
    """
    k, shrinks = _whole_factor(factor)
    return _zoom(x, k=k, shrinks=shrinks)


def add_noise(x: torch.Tensor, sd: float, generator: torch.Generator) -> torch.Tensor:
    """Add independent normal noise of standard deviation `sd` to every pixel.

    Shapes: x (...) -> y (...)
    Forward:
        (1) y = x + sd·n, n standard normal
    Backward:
        (2) dx = dy: the noise does not depend on x
    Units: `sd` in the units of x.
    Errors: ValueError if sd is negative or not a number; the generator lives on x's device.
    Example: add_noise(torch.ones(2), 0.0, torch.Generator()).tolist() == [1.0, 1.0]
    Asked: gfg-43.1, gfg-43.2, gfg-43.3, gfg-43.9
    Source: Shorten and Khoshgoftaar, A survey on image data augmentation for deep learning (2019).
    """
    require_floating("add_noise", x=x)
    if not sd >= 0:
        raise ValueError(f"add_noise got no standard deviation: sd={sd}, expected sd >= 0; pass the size of the noise")
    noise = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    return _shift(x, by=sd * noise)  # (1)


def brightness(x: torch.Tensor, shift: float) -> torch.Tensor:
    """Make every pixel brighter by the same amount.

    Shapes: x (...) -> y (...)
    Forward:
        (1) y = x + shift
    Backward:
        (2) dx = dy
    Conventions: nothing is clipped.
    Example: brightness(torch.tensor([1.0, 2.0]), 0.5).tolist() == [1.5, 2.5]
    Asked: gfg-43.10
    Source: Shorten and Khoshgoftaar, A survey on image data augmentation for deep learning (2019).
    """
    return _shift(x, by=shift)


def contrast(x: torch.Tensor, factor: float) -> torch.Tensor:
    """Stretch every image about its own mean brightness m.

    Shapes: x (..., H, W) -> y (..., H, W)
    Forward:
        (1) y = m + factor·(x - m), m the mean over the image
    Backward:
        (2) dx = factor·dy + (1 - factor)·(mean of dy over the image)
    Conventions: nothing is clipped; each (H, W) plane has its own mean; a negative factor gives the negative image.
    Example: contrast(torch.tensor([[1.0, 3.0]]), 2.0).tolist() == [[0.0, 4.0]]
    Asked: gfg-43.10
    Source: Shorten and Khoshgoftaar, A survey on image data augmentation for deep learning (2019).
    """
    return _contrast(x, factor=factor)


def standardise_forward(x: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """Bring every image to mean 0 and variance 1, so that brightness and contrast no longer show.

    Shapes: x (..., H, W) -> y (..., H, W)
    Forward:
        (1) m = mean of x, s² = mean of (x - m)², over the image
        (2) y = (x - m) / s
    Backward:
        (3) dx = (dy - mean(dy) - y·mean(dy·y)) / s
    Conventions: the divisor of the variance is H·W; an image of one colour gives 0, and 0 as its gradient.
    Example: standardise(torch.tensor([[1.0, 3.0]])).tolist() == [[-1.0, 1.0]]
    Asked: gfg-43.10
    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 12.2.1.1.
    """
    _require_images("standardise", x)
    require_axis("standardise", x, -2)
    require_axis("standardise", x, -1)
    flat = x.amax(IMAGE, keepdim=True) == x.amin(IMAGE, keepdim=True)  # (..., 1, 1)
    centred = (x - x.mean(IMAGE, keepdim=True)).masked_fill(flat, 0)
    s = centred.square().mean(IMAGE, keepdim=True).masked_fill(flat, torch.inf).sqrt()  # (1) (..., 1, 1)
    return centred / s, (centred, s)  # (2)


def standardise_backward(saved: Saved, dy: torch.Tensor) -> tuple[torch.Tensor]:
    centred, s = saved
    y = centred / s
    return ((dy - dy.mean(IMAGE, keepdim=True) - y * (dy * y).mean(IMAGE, keepdim=True)) / s,)  # (3)


def _rotate90_forward(x: torch.Tensor, *, quarter_turns: int) -> tuple[torch.Tensor, Saved]:
    _require_images("rotate90", x)
    return _turned(x, quarter_turns), ()


def _rotate90_backward(saved: Saved, dy: torch.Tensor, *, quarter_turns: int) -> tuple[torch.Tensor]:
    return (_turned(dy, -quarter_turns),)  # (2)


def _turned(x: torch.Tensor, quarter_turns: int) -> torch.Tensor:
    for _ in range(quarter_turns % 4):
        x = x.mT.flip(-2)  # (1)
    return x.clone()


def _flip_forward(x: torch.Tensor, *, axis: int) -> tuple[torch.Tensor, Saved]:
    require_floating("flip", x=x)
    require_axis("flip", x, axis)
    return x.flip(axis), ()  # (1)


def _flip_backward(saved: Saved, dy: torch.Tensor, *, axis: int) -> tuple[torch.Tensor]:
    return (dy.flip(axis),)  # (2)


def _crop_forward(x: torch.Tensor, *, top: int, left: int, height: int, width: int) -> tuple[torch.Tensor, Saved]:
    _require_images("crop", x)
    _require_inside(x, top, left, height, width)
    return x[..., top : top + height, left : left + width].clone(), (x,)  # (1) (..., height, width)


def _crop_backward(
    saved: Saved, dy: torch.Tensor, *, top: int, left: int, height: int, width: int
) -> tuple[torch.Tensor]:
    below, right = saved[0].shape[-2] - top - height, saved[0].shape[-1] - left - width
    return (torch.nn.functional.pad(dy, (left, right, top, below)),)  # (2) (..., H, W)


def _translate_forward(x: torch.Tensor, *, down: int, right: int, wrap: bool) -> tuple[torch.Tensor, Saved]:
    _require_images("translate", x)
    return _moved(_moved(x, down, -2, wrap), right, -1, wrap), ()  # (1)


def _translate_backward(saved: Saved, dy: torch.Tensor, *, down: int, right: int, wrap: bool) -> tuple[torch.Tensor]:
    return (_moved(_moved(dy, -down, -2, wrap), -right, -1, wrap),)  # (2)


def _moved(x: torch.Tensor, steps: int, dim: int, wrap: bool) -> torch.Tensor:
    """Equation (1) of `translate` along one axis."""
    n = x.shape[dim]
    source = torch.arange(n, device=x.device) - steps
    moved = x.index_select(dim, source % n) if n else x.clone()
    if wrap:
        return moved
    outside = (source < 0) | (source >= n)
    return moved.masked_fill(outside if dim == -1 else outside[:, None], 0)


def _shear_forward(x: torch.Tensor, *, by: float) -> tuple[torch.Tensor, Saved]:
    _require_images("shear", x)
    return _slid(x, by), ()  # (1)


def _shear_backward(saved: Saved, dy: torch.Tensor, *, by: float) -> tuple[torch.Tensor]:
    return (_slid(dy, -by),)  # (2)


def _slid(x: torch.Tensor, by: float) -> torch.Tensor:
    """Equation (1) of `shear`."""
    rows, columns = (torch.arange(n, device=x.device) for n in x.shape[-2:])
    steps = (rows.to(torch.float64) * by).round().long()  # (H,)
    source = columns - steps[:, None]  # (H, W)
    outside = (source < 0) | (source >= len(columns))
    return x.gather(-1, source.masked_fill(outside, 0).expand(x.shape)).masked_fill(outside, 0)


def _zoom_forward(x: torch.Tensor, *, k: int, shrinks: bool) -> tuple[torch.Tensor, Saved]:
    _require_images("zoom", x)
    if shrinks and (x.shape[-2] % k or x.shape[-1] % k):
        raise ValueError(
            f"zoom got an image without whole blocks: {tuple(x.shape)}, expected sides divisible by {k}; crop it first"
        )
    return (_blocks(x, k).mean((-3, -1)) if shrinks else _repeated(x, k)), ()  # (2), (1)


def _zoom_backward(saved: Saved, dy: torch.Tensor, *, k: int, shrinks: bool) -> tuple[torch.Tensor]:
    return ((_repeated(dy, k) / k**2 if shrinks else _blocks(dy, k).sum((-3, -1))),)  # (4), (3)


def _blocks(x: torch.Tensor, k: int) -> torch.Tensor:
    """(..., k·H, k·W) -> (..., H, k, W, k): axes -3 and -1 run inside a block."""
    return x.unflatten(-1, (x.shape[-1] // k, k)).unflatten(-3, (x.shape[-2] // k, k))


def _repeated(x: torch.Tensor, k: int) -> torch.Tensor:
    """(..., H, W) -> (..., k·H, k·W)"""
    return x.repeat_interleave(k, -2).repeat_interleave(k, -1)


def _shift_forward(x: torch.Tensor, *, by: float | torch.Tensor) -> tuple[torch.Tensor, Saved]:
    require_floating("brightness", x=x)
    return x + by, ()  # (1)


def _shift_backward(saved: Saved, dy: torch.Tensor, *, by: float | torch.Tensor) -> tuple[torch.Tensor]:
    return (dy,)  # (2)


def _contrast_forward(x: torch.Tensor, *, factor: float) -> tuple[torch.Tensor, Saved]:
    _require_images("contrast", x)
    m = x.mean(IMAGE, keepdim=True)  # (..., 1, 1)
    return m + factor * (x - m), ()  # (1)


def _contrast_backward(saved: Saved, dy: torch.Tensor, *, factor: float) -> tuple[torch.Tensor]:
    return (factor * dy + (1 - factor) * dy.mean(IMAGE, keepdim=True),)  # (2)


def _require_images(name: str, x: torch.Tensor) -> None:
    require_floating(name, x=x)
    require_dims(name, 2, x=x)


def _require_integers(name: str, **counts: int) -> None:
    for argument, count in counts.items():
        if not isinstance(count, int):
            raise ValueError(f"{name} got no whole number: {argument}={count!r}, expected an integer; round it first")


def _require_inside(x: torch.Tensor, top: int, left: int, height: int, width: int) -> None:
    rows, columns = x.shape[-2:]
    if not (0 <= top < top + height <= rows and 0 <= left < left + width <= columns):
        raise ValueError(
            f"crop got a rectangle outside the image: rows {top} to {top + height}, columns {left} to {left + width}, "
            f"expected them within {rows} x {columns} and not empty; move it or make it smaller"
        )


def _whole_factor(factor: float) -> tuple[int, bool]:
    """The whole k of factor k or 1/k, and whether the image shrinks."""
    if factor > 0:
        k, shrinks = (round(1 / factor), True) if factor < 1 else (round(factor), False)
        if factor == (1 / k if shrinks else k):
            return k, shrinks
    raise ValueError(f"zoom got no whole factor: {factor}, expected k or 1/k for an integer k >= 1; pass 2 or 0.5")


_rotate90 = Differentiable(_rotate90_forward, _rotate90_backward)
_flip = Differentiable(_flip_forward, _flip_backward)
_crop = Differentiable(_crop_forward, _crop_backward)
_translate = Differentiable(_translate_forward, _translate_backward)
_shear = Differentiable(_shear_forward, _shear_backward)
_zoom = Differentiable(_zoom_forward, _zoom_backward)
_shift = Differentiable(_shift_forward, _shift_backward)
_contrast = Differentiable(_contrast_forward, _contrast_backward)
standardise = Differentiable(standardise_forward, standardise_backward)
