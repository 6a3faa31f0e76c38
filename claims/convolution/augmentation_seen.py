"""Image transformations: what a net sees of them, and what it knows without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, at_least, close, gamma
from assay.sabotage import identity, instead, scaled
from assay.strategies import choices, normals, reals, seeds, sizes

Prepare = Callable[[torch.Tensor], torch.Tensor]


@claim(
    "gfg-43.6",
    "To a kernel a mirrored image is what the image is to the mirrored kernel.",
    needs=["flip", "conv2d"],
    given={"x": normals((2, 5, 6)), "w": normals((3, 2, 3, 3))},
    setting={"mirrored": lambda w: w.flip(-1)},
    covers="to a kernel that is mirrored too",
    expect=HOLDS,
    sabotage={
        "the kernel stays as it is": {"mirrored": instead(lambda w: w)},
        "the kernel mirrored top to bottom": {"mirrored": instead(lambda w: w.flip(-2))},
    },
)
def a_mirrored_image_needs_mirrored_kernels(lib: Any, x: torch.Tensor, w: torch.Tensor, mirrored: Prepare) -> Evidence:
    """Reading: conv(flip x, w) = flip conv(x, flip w); if all kernels are their own mirror images, that is the mirrored
    answer.
    Why: both sum the same 18 products, in another order."""
    seen = lib.conv2d(lib.flip(x, -1), w)
    same = lib.flip(lib.conv2d(x, mirrored(w)), -1)
    scale = torch.nn.functional.conv2d(x.flip(-1).abs(), w.abs())
    return close(seen, same, operations=2 * (w[0].numel() + 1), scale=scale, what="the responses differ by")


@claim(
    "gfg-43.6",
    "A mirrored image shows a convolution something new: the answer is not the mirrored answer.",
    needs=["flip", "conv2d"],
    given={"x": normals((2, 5, 6)), "w": normals((3, 2, 3, 3))},
    covers="what a convolution shows of it",
    expect=CONDITIONAL(
        "not every kernel is its own mirror image (else the answer is the mirrored answer)",
        within={"w": lambda w: w},
        beyond={"w": lambda w: w + w.flip(-1)},
    ),
    sabotage={
        "symmetric kernels throughout": {"w": lambda w: w + w.flip(-1)},
        "the image is not mirrored": {"flip": identity()},
    },
)
def a_mirrored_image_is_new_to_a_convolution(lib: Any, x: torch.Tensor, w: torch.Tensor) -> Evidence:
    """Reading: conv(flip x, w) differs from flip conv(x, w) somewhere, by a hundredth of |w - flip w| or more.
    Why: flip conv(x, w) = conv(flip x, flip w), and conv(flip x, w - flip w) is 36 normal numbers with deviations up to
    |w - flip w| on random images; for kernels that equal their mirror images only rounding is left."""
    seen, answered = lib.conv2d(lib.flip(x, -1), w), lib.flip(lib.conv2d(x, w), -1)
    asymmetry = (w - w.flip(-1)).square().sum((1, 2, 3)).max().sqrt()
    rounding = gamma(2 * (w[0].numel() + 1), w.dtype) * torch.nn.functional.conv2d(x.abs(), w.abs()).max()
    return at_least(
        (seen - answered).abs().max(),
        0.01 * asymmetry + 2 * rounding,
        what="largest difference of the answers",
    )


def round_the_border(x: torch.Tensor) -> torch.Tensor:
    """One pixel of border, taken from the opposite side."""
    return torch.nn.functional.pad(x, (1, 1, 1, 1), mode="circular")


def zero_border(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.pad(x, (1, 1, 1, 1))


SHIFT_NET = {
    "x": normals((3, 1, 6, 6)),
    "w": normals((4, 1, 3, 3)),
    "v": normals((2, 4)),
    "dy": sizes(1, 5),
    "dx": sizes(0, 5),
}


@claim(
    "gfg-43.8",
    "Shifted images are new to a dense net, but not to a convolution round the border with global average pooling.",
    needs=["translate", "conv2d", "relu", "global_average_pool", "dense"],
    given=SHIFT_NET | {"u": normals((5, 36))},
    setting={"border": round_the_border},
    covers="as input of a dense and of a convolutional net",
    expect=HOLDS,
    sabotage={
        "zeros at the border": {"border": instead(zero_border)},
        "one corner of the map in place of its mean": {"global_average_pool": lambda sound: lambda z: z[..., 0, 0]},
        "nothing moves": {"translate": lambda sound: lambda x, *_, **__: x},
    },
)
def shifts_are_new_to_a_dense_net_only(
    lib: Any, x: torch.Tensor, w: torch.Tensor, v: torch.Tensor, u: torch.Tensor, dy: int, dx: int, border: Prepare
) -> Evidence:
    """Reading: outputs and kernel gradients of the convolutional net are the same for all circular shifts, up to
    rounding; the dense layer's outputs move by more than a tenth.
    Why: a shift only reorders the 36 responses that are averaged; each output sums 4 · 36 · 9 products."""
    moved = lib.translate(x, dy, dx, wrap=True)

    def outputs(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return lib.dense(lib.global_average_pool(lib.relu(lib.conv2d(border(x), w))), v)

    def with_gradient(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        kernels = w.detach().requires_grad_()
        y = outputs(x, kernels)
        return y.detach(), torch.autograd.grad(y.sum(), kernels)[0]

    (y, dw), (y_moved, dw_moved) = with_gradient(x), with_gradient(moved)
    terms = torch.nn.functional.conv2d(round_the_border(x.abs()), w.abs()).mean((-2, -1))  # (3, 4), absolute sums
    reach = x.abs().sum((-3, -2, -1)).max() * v.abs().sum() / 36 * len(x)
    operations = 2 * (w[0].numel() + 36 + v.shape[1] + 3)
    return (
        close(
            y_moved, y, operations=operations, scale=terms @ v.abs().mT, what="the convolutional net's outputs move by"
        )
        & close(dw_moved, dw, operations=operations + len(x), scale=reach, what="its kernel gradients move by")
        & at_least(
            (lib.dense(moved.flatten(1), u) - lib.dense(x.flatten(1), u)).abs().max(),
            0.1,
            what="largest change of the dense outputs",
        )
    )


@claim(
    "gfg-43.10",
    "Brightness adds the same number to every pixel, contrast stretches about the image's mean: both are a·x + b.",
    needs=["brightness", "contrast"],
    given={"x": normals((2, 4, 6)), "a": reals(0.2, 3.0), "b": reals(-2.0, 2.0)},
    covers="as an operation on pixels",
    expect=HOLDS,
    sabotage={
        "contrast without the mean": {"contrast": lambda sound: lambda x, factor: x * factor + 1},
        "brightness multiplied": {"brightness": lambda sound: lambda x, shift: x * (1.25 + shift)},
        "near miss": {"contrast": scaled(1.0001)},
    },
)
def brightness_and_contrast_are_affine(lib: Any, x: torch.Tensor, a: float, b: float) -> Evidence:
    """Reading: brightness(x, b) = x + b; contrast(x, a) = a·x + (1 - a)·m with m the mean of each image.
    Why: the mean of 24 pixels rounds 24 times, the rest fewer than eight."""
    m, size = x.mean((-2, -1), keepdim=True), x.abs().mean((-2, -1), keepdim=True)
    scale = (1 + a) * (x.abs() + size)
    return close(lib.brightness(x, b), x + b, operations=2, what="brightness differs from x + b by") & close(
        lib.contrast(x, a),
        a * x + (1 - a) * m,
        operations=2 * (24 + 4),
        scale=scale,
        what="contrast differs from a·x + b by",
    )


AFFINE = {
    "a": reals(1.2, 3.0),
    "b": reals(0.2, 1.0),
    "seed": seeds(),
    "standardised": choices(False, True),
    "clipped": choices(False, True),
}


@claim(
    "gfg-43.10",
    "A change of brightness and contrast shows a net something new.",
    needs=["dense", "tanh", "standardise"],
    given=AFFINE,
    covers="as input of a net",
    expect=CONDITIONAL(
        "images are not standardised one by one, or pixels were clipped to their range before",
        within=lambda a, b, seed, standardised, clipped: clipped or not standardised,
    ),
    sabotage={
        "standardising only subtracts the mean": {
            "standardise": lambda sound: lambda x: x - x.mean((-2, -1), keepdim=True)
        },
        "nothing changes": {"a": instead(1.0), "b": instead(0.0)},
    },
)
def brightness_and_contrast_show_something_new(
    lib: Any, trial: Trial, a: float, b: float, seed: int, standardised: bool, clipped: bool
) -> Evidence:
    """Reading: somewhere among 80 outputs of a random dense net for 20 images of pixels in [0, 1], a·x + b, clipped or
    not, gives another value than x, by a hundredth or more.
    Why: dividing by the image's own spread and subtracting its own mean takes a and b out again; what was clipped is
    lost."""
    draw = trial.generator("net", seed)
    x = torch.rand(20, 5, 6, generator=draw, dtype=torch.float64, device=draw.device)
    w1, w2 = (
        torch.randn(shape, generator=draw, dtype=torch.float64, device=draw.device) for shape in ((8, 30), (4, 8))
    )
    changed = (a * x + b).clamp(0, 1) if clipped else a * x + b

    def outputs(x: torch.Tensor) -> torch.Tensor:
        seen = lib.standardise(x) if standardised else x
        return lib.dense(lib.tanh(lib.dense(seen.flatten(1), w1 / 30**0.5)), w2)

    return at_least(
        (outputs(changed) - outputs(x)).abs().max(),
        0.01,
        what="largest change of an output",
    )


@claim(
    "gfg-43.10",
    (
        "Standardising each image by itself undoes any change of brightness and any positive change of contrast, unless"
        " pixels were clipped."
    ),
    needs=["standardise"],
    given={"x": normals((3, 5, 6)), "a": reals(0.3, 3.0), "b": reals(-2.0, 2.0)},
    setting={"clipped": False},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "the negative image": {"a": lambda a: -a},
        "clipped to [0, 1] after the change": {"clipped": instead(True)},
        "only the mean is taken out": {"standardise": lambda sound: lambda x: x - x.mean((-2, -1), keepdim=True)},
    },
)
def standardising_undoes_brightness_and_contrast(
    lib: Any, x: torch.Tensor, a: float, b: float, clipped: bool
) -> Evidence:
    """Reading: standardise(a·x + b) = standardise(x) for a > 0; a negative image would come back with its sign
    turned.
    Why: deviations and spread both scale by a. Each is a sum of 30 numbers no larger than the largest pixel, and is
    then divided by the spread."""
    after = a * x + b
    after = after.clamp(0, 1) if clipped else after
    y = lib.standardise(x)
    spread = x.std((-2, -1), correction=0, keepdim=True)
    largest = 1 + (x.abs().amax() + (abs(b) / abs(a))) / spread
    return close(
        lib.standardise(after),
        y,
        operations=2 * 30,
        scale=(1 + y.abs()) * largest,
        what="differs from the image itself by",
    )
