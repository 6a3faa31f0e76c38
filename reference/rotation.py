"""Turning an image by any angle: every pixel of the result is a weighted mean of the four pixels around the place it came from."""

from __future__ import annotations

import math

import torch

from reference.checks import require_dims, require_floating
from reference.differentiable import Differentiable

Saved = tuple[torch.Tensor, ...]

__all__ = ["rotate"]


def rotate_forward(x: torch.Tensor, *, angle: float) -> tuple[torch.Tensor, Saved]:
    """Turn the image about its centre, anticlockwise.

    Shapes: x (..., H, W) -> y (..., H, W)
    Forward:
        (1) (u, v) = (i, j) - centre, turned back: (u cos a + v sin a, v cos a - u sin a) + centre, with a the angle
        (2) y[i, j] = Σ_k weight_k · x at the four pixels around that place, weighted by nearness along each axis
    Backward:
        (3) dx[m, n] = Σ weight_k · dy[i, j] over the places that took (m, n) with weight_k
    Conventions: bilinear; what lies outside the image counts as 0; a quarter turn of a square is rotate90.
    Units: the angle is in radians.
    Errors: ValueError if the image has fewer than two axes, is not floating or the angle is not finite.
    Example: rotate(torch.eye(3, dtype=torch.float64), angle=0.0).tolist() == torch.eye(3).tolist()
    Asked: gfg-43.3, gfg-43.4
    Source: Shorten and Khoshgoftaar, A survey on image data augmentation for deep learning (2019).
    """
    require_floating("rotate", x=x)
    require_dims("rotate", 2, x=x)
    if not math.isfinite(angle):
        raise ValueError(f"rotate got an angle that is not finite: {angle}, expected radians; pass a finite one")
    places, weights = _around(x, angle)
    pixels = x.flatten(-2)[..., places.flatten()].unflatten(-1, places.shape)  # (..., 4, H·W)
    return (weights * pixels).sum(-2).reshape(x.shape), (places, weights)  # (2)


def rotate_backward(saved: Saved, dy: torch.Tensor, *, angle: float) -> tuple[torch.Tensor]:
    places, weights = saved
    shares = (weights * dy.flatten(-2).unsqueeze(-2)).flatten(-2)  # (..., 4·H·W)
    dx = torch.zeros_like(dy.flatten(-2)).index_add(-1, places.flatten(), shares)  # (3)
    return (dx.reshape(dy.shape),)


rotate = Differentiable(rotate_forward, rotate_backward)


def _around(x: torch.Tensor, angle: float) -> tuple[torch.Tensor, torch.Tensor]:
    """The four pixels around the place that each pixel came from, and their weights: places and weights (4, H·W).

    Places are computed in float64: an error of u in one of size n is an error of n·u in the weights, which lie between 0 and 1.
    """
    height, width = x.shape[-2:]
    middle = (height - 1) / 2, (width - 1) / 2
    u = (torch.arange(height, dtype=torch.float64, device=x.device) - middle[0])[:, None]
    v = torch.arange(width, dtype=torch.float64, device=x.device) - middle[1]
    row = (math.cos(angle) * u + math.sin(angle) * v + middle[0]).flatten()  # (1)
    column = (math.cos(angle) * v - math.sin(angle) * u + middle[1]).flatten()
    places, weights = [], []
    for down in (0, 1):
        for across in (0, 1):
            m, n = row.floor() + down, column.floor() + across
            inside = (m >= 0) & (m < height) & (n >= 0) & (n < width)
            weights.append((1 - (row - m).abs()) * (1 - (column - n).abs()) * inside)
            places.append((m.clamp(0, height - 1) * width + n.clamp(0, width - 1)).long())
    return torch.stack(places), torch.stack(weights).to(x.dtype)
