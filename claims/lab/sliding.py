"""Sliding windows written out independently: the formula of their number, and the dot products as explicit loops."""

from __future__ import annotations

import torch

from assay.decide.proofs import Term, floordiv
from assay.evidence import Evidence, close, equal


def window_count(n: Term, K: Term, s: Term, p: Term) -> Term:
    """⌊(n + 2p - K) / s⌋ + 1, on numbers or solver terms: the windows of K pixels, s apart, on n pixels padded by p."""
    return floordiv(n + 2 * p - K, s) + 1


def dot_products(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None, stride: int = 1) -> torch.Tensor:
    """x (C, H, W), w (F, C, A, B), b (F,) -> (F, I, J): at each position the sum of kernel times patch, no flip."""
    (height, width), (A, B) = x.shape[-2:], w.shape[-2:]
    rows, columns = range(0, height - A + 1, stride), range(0, width - B + 1, stride)
    patches = [[x[:, i : i + A, j : j + B] for j in columns] for i in rows]
    y = torch.stack([torch.stack([(w * patch).sum((1, 2, 3)) for patch in row], -1) for row in patches], -2)
    return y if b is None else y + b[:, None, None]


def matches_dot_products(
    y: torch.Tensor, x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None, *, stride: int = 1, what: str
) -> Evidence:
    """y is the sliding dot product up to the rounding of both sides.

    Each product passes one multiplication and at most as many additions as the sum has terms (one more with a bias), in
    any order, on either side: 2·(terms + 2) roundings on sums whose absolute terms add up to `scale`.
    """
    expected = dot_products(x, w, b, stride)
    if y.shape != expected.shape:
        return equal(tuple(y.shape), tuple(expected.shape), what=f"{what} (shape)")
    scale = dot_products(x.abs(), w.abs(), None if b is None else b.abs(), stride)
    return close(y, expected, operations=2 * (w[0].numel() + 2), scale=scale, what=what)
