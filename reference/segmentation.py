"""Labelling every pixel: a head that scores the classes of each pixel, and the loss that teaches it."""

from __future__ import annotations

import torch

from reference.activations import relu, softmax_backward
from reference.boxes import dice_loss_backward, dice_loss_forward
from reference.checks import require_dims, require_floating
from reference.convolution import conv2d, conv_transpose2d
from reference.differentiable import Differentiable
from reference.losses import cross_entropy_backward, cross_entropy_forward

Saved = tuple[torch.Tensor, ...]

__all__ = ["segmentation_head", "segmentation_loss"]


def segmentation_head(
    features: torch.Tensor, w1: torch.Tensor, b1: torch.Tensor, w2: torch.Tensor, b2: torch.Tensor
) -> torch.Tensor:
    """A score for every class of every pixel, from a map of features that is s times smaller than the picture.

    Shapes: features (..., f, h, w), w1 (k, f, 1, 1), b1 (k), w2 (k, c, 2s, 2s), b2 (c) -> z (..., c, s·h, s·w)
    (1) k features are mixed at each place by a convolution of kernel 1, with a rectifier after it
    (2) a transposed convolution of stride s spreads each over 2s by 2s pixels, of which s/2 are cut at each edge
    Errors: ValueError unless the kernels of w2 are square with a side that is a multiple of 4.
    Example:
        features, w1, b1 = torch.ones(1, 3, 3), torch.ones(1, 1, 1, 1), torch.zeros(1)
        segmentation_head(features, w1, b1, torch.ones(1, 2, 4, 4), torch.zeros(2)).shape == (2, 6, 6)
    Asked: gfg-45.3, gfg-45.5, gfg-45.6, gfg-45.8
    Source: Long, Shelhamer, Darrell, Fully convolutional networks for semantic segmentation (2015), section 3.
    """
    require_dims("segmentation_head", 4, w2=w2)
    side = w2.shape[-1]
    if side == 0 or side % 4 or w2.shape[-2] != side:
        raise ValueError(
            f"segmentation_head got kernels that do not fit: {tuple(w2.shape)}, expected (k, c, 2s, 2s) with an even s"
        )
    mixed = relu(conv2d(features, w1, b1))  # (1) (..., k, h, w)
    return conv_transpose2d(mixed, w2, b2, stride=side // 2, padding=side // 4)  # (2)


def segmentation_loss_forward(
    z: torch.Tensor, labels: torch.Tensor, *, balance: float = 1.0, smooth: float = 1.0
) -> tuple[torch.Tensor, Saved]:
    """What wrong labels of pixels cost: the cross-entropy of each, and the overlap of each class that is missed.

    Shapes: z (..., c, h, w), labels (..., h, w) of integers -> L (...)
    Forward, with p = softmax(z) over the classes, y the one-hot labels and n = h · w:
        (1) pixels = mean over the n pixels of the cross-entropy
        (2) regions = mean over the c classes of dice_loss(p, y)
        (3) L = pixels + balance · regions
    Backward:
        (4) dp = balance · dL / c · the gradient of `dice_loss`
        (5) dz = p · (dp - Σ p · dp) + dL / n · (p - y)
    Conventions: labels get no gradient.
    Errors: ValueError if the shapes do not fit, a label has no class, balance is negative or smooth not positive.
    Example: segmentation_loss(torch.tensor([[[1000.0]], [[0.0]]]), torch.tensor([[0]])).item() == 0.0
    Asked: gfg-45.5, gfg-45.6
    Source: Milletari, Navab, Ahmadi, V-Net (2016), section 3.
    """
    _check("segmentation_loss", z, labels, balance)
    rows, flat = z.flatten(-2).mT, labels.flatten(-2)  # (..., n, c), (..., n)
    pixels, (q, _) = cross_entropy_forward(rows, flat)
    regions, _ = dice_loss_forward(q.exp().mT, _one_hot(flat, q), smooth=smooth)  # (..., c)
    return pixels.mean(-1) + balance * regions.mean(-1), (q, labels)  # (1) (2) (3)


def segmentation_loss_backward(
    saved: Saved, dL: torch.Tensor, *, balance: float = 1.0, smooth: float = 1.0
) -> tuple[torch.Tensor, None]:
    q, labels = saved
    flat, p = labels.flatten(-2), q.exp().mT  # (..., n), (..., c, n)
    y, (n, c) = _one_hot(flat, q), q.shape[-2:]
    overlap, sizes = (p * y).sum(-1), p.sum(-1) + y.sum(-1)
    each = (balance * dL / c).unsqueeze(-1).expand(overlap.shape)
    dp, _ = dice_loss_backward((p, y, overlap, sizes), each, smooth=smooth)  # (4)
    (regions,) = softmax_backward((p,), dp, dim=-2)
    pixels, _ = cross_entropy_backward((q, flat), (dL / n).unsqueeze(-1).expand(flat.shape))
    return (regions + pixels.mT).reshape(*labels.shape[:-2], c, *labels.shape[-2:]), None  # (5)


segmentation_loss = Differentiable(segmentation_loss_forward, segmentation_loss_backward)


def _one_hot(flat: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """flat (..., n), q (..., n, c) -> (..., c, n)."""
    return (flat.unsqueeze(-2) == torch.arange(q.shape[-1], device=q.device).unsqueeze(-1)).to(q.dtype)


def _check(name: str, z: torch.Tensor, labels: torch.Tensor, balance: float) -> None:
    require_floating(name, z=z)
    require_dims(name, 3, z=z)
    if labels.shape != (*z.shape[:-3], *z.shape[-2:]) or 0 in labels.shape[-2:]:
        raise ValueError(
            f"{name} got labels that do not fit: z {tuple(z.shape)}, labels {tuple(labels.shape)}, expected (..., c, h, w) "
            "and (..., h, w) with at least one pixel"
        )
    if not balance >= 0:
        raise ValueError(f"{name} got balance out of range: {balance}, expected balance >= 0")
