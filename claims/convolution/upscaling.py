"""Transposed convolution for super-resolution: it can interpolate, and it can learn to do better."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import HOLDS, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, close
from assay.sabotage import instead, scaled
from assay.strategies import normals
from claims.lab.training import fit

BILINEAR = (1.0, 3.0, 3.0, 1.0)
NEAREST = (0.0, 4.0, 4.0, 0.0)


def outer(weights: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """The kernel (1, 1, 4, 4) with entries weights[a] / 4 · weights[b] / 4."""
    w = torch.tensor(weights, dtype=dtype, device=device) / 4
    return torch.outer(w, w)[None, None]


def finer_rows(x: torch.Tensor) -> torch.Tensor:
    """Each row (..., W) read at the quarters between neighbouring pixels: (..., 2W - 2)."""
    left, right = x[..., :-1], x[..., 1:]
    return torch.stack([0.75 * left + 0.25 * right, 0.25 * left + 0.75 * right], -1).flatten(-2)


@claim(
    "gfg-44.7",
    "With fixed weights a transposed convolution of stride two is bilinear interpolation to twice the size.",
    needs=["conv_transpose2d"],
    given={"x": normals((2, 1, 5, 6))},
    setting={"weights": BILINEAR},
    reading="fixed weights",
    expect=HOLDS,
    sabotage={
        "every pixel repeated": {"weights": instead(NEAREST)},
        "near miss": {"conv_transpose2d": scaled(1.0001)},
    },
)
def a_transposed_convolution_can_interpolate(lib: Any, x: torch.Tensor, weights: tuple[float, ...]) -> Evidence:
    """Reading: with the kernel (1 3 3 1)/4 by (1 3 3 1)/4, stride 2 and padding 1, every pixel but the outermost is
    the bilinear value.
    Why: between two pixels the stamps overlap with weights 3/4 and 1/4; each side sums four products, twice rounded."""
    hyper = {"stride": 2, "padding": 1}
    w = outer(weights, x.dtype, x.device)
    y = lib.conv_transpose2d(x, w, **hyper)[..., 1:-1, 1:-1]
    expected, scale = (finer_rows(finer_rows(image).mT).mT for image in (x, x.abs()))
    return close(y, expected, operations=2 * (16 + 2), scale=scale, what="differs from bilinear interpolation by")


@claim(
    "gfg-44.7",
    "A learned transposed convolution doubles the size of smooth images with less error than bilinear interpolation.",
    needs=["conv_transpose2d", "adam"],
    setting={"steps": 40, "start": None},
    reading="learned weights",
    kind="comparative",
    expect=HOLDS,
    sabotage={
        "nothing is learned": {"steps": instead(0)},
        "every pixel repeated": {"steps": instead(0), "start": instead(NEAREST)},
    },
)
def learned_upscaling_beats_bilinear_interpolation(
    lib: Any, trial: Trial, steps: int, start: tuple[float, ...] | None
) -> Evidence:
    """Reading: one 4x4 kernel, trained from random weights by 40 steps of Adam on four images of 16x16 pixels and
    their 8x8 block means, has a smaller mean squared error on four fresh ones than the bilinear kernel.
    Why: bilinear interpolation is one of the kernels to choose from, and the block means are sharper than it
    assumes."""

    def pair(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        train, test = smooth_images(n, generator), smooth_images(n, generator)
        w = torch.randn(n, 1, 4, 4, generator=generator, device=generator.device) / 4
        if start is not None:
            w = outer(start, w.dtype, w.device).expand(w.shape)
        learned = fit(lambda p, _: error(lib, p[0], train), [w], lambda p, g, s: lib.adam(p, g, s, lr=0.1), steps)
        fixed = outer(BILINEAR, w.dtype, w.device).expand(w.shape)
        return error(lib, learned[0], test), error(lib, fixed, test)

    return trial.prefers(pair, what="the learned kernel errs less than bilinear interpolation")


def smooth_images(n: int, generator: torch.Generator) -> torch.Tensor:
    """Four images of variance one for each of n replicas, noise averaged four times over 3x3 pixels: (4, n, 16, 16)."""
    x = torch.randn(4, n, 16, 16, generator=generator, device=generator.device)
    for dim in (-1, -2) * 4:
        x = (x + x.roll(1, dim) + x.roll(-1, dim)) / 3
    return x / x.std((-2, -1), keepdim=True)


def error(lib: Any, w: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
    """Mean squared error, away from the border, of upscaling the 2x2 block means with each replica's kernel: (n,)."""
    coarse = torch.nn.functional.avg_pool2d(fine, 2)
    y = lib.conv_transpose2d(coarse, w, stride=2, padding=1, groups=w.shape[0])
    return (y - fine)[..., 2:-2, 2:-2].square().mean((0, 2, 3))
