"""Radial basis functions: units that answer to what lies near their centre."""

from __future__ import annotations

import torch

from reference.checks import require_broadcast, require_dims, require_floating, require_values
from reference.differentiable import Differentiable
from reference.layers import dense

Saved = tuple[torch.Tensor, ...]

__all__ = ["radial_basis", "radial_basis_network"]


def radial_basis_forward(x: torch.Tensor, centres: torch.Tensor, width: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """A layer of Gaussian radial basis functions.

    Shapes: x (..., n, d), centres (..., k, d), width (..., k) -> y (..., n, k)
    Forward, r_ij = x_i - c_j:
        (1) y_ij = exp(-|r_ij|² / (2·s_j²))
    Backward:
        (2) g_ij = dy_ij · y_ij / s_j²
        (3) dx_i = -Σ_j g_ij · r_ij, dc_j = Σ_i g_ij · r_ij
        (4) ds_j = Σ_i g_ij · |r_ij|² / s_j
    Conventions: s is the width, one for each centre; leading axes broadcast, and gradients are summed back over them.
    Example: radial_basis(torch.zeros(1, 2), torch.zeros(1, 2), torch.ones(1)).tolist() == [[1.0]]
    Asked: ib-7.6
    Source: Broomhead and Lowe, Multivariable functional interpolation and adaptive networks (1988).
    """
    _check(x, centres, width)
    r = x.unsqueeze(-2) - centres.unsqueeze(-3)  # (..., n, k, d)
    s = width.unsqueeze(-2)  # (..., 1, k)
    y = (-r.square().sum(-1) / (2 * s.square())).exp()  # (1)
    return y, (x, centres, width, r, y)


def radial_basis_backward(saved: Saved, dy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    x, centres, width, r, y = saved
    s = width.unsqueeze(-2)
    g = dy * y / s.square()  # (2) (..., n, k)
    pull = g.unsqueeze(-1) * r  # (..., n, k, d)
    ds = (g * r.square().sum(-1) / s).sum(-2)  # (4)
    return (
        -pull.sum(-2).sum_to_size(x.shape),  # (3)
        pull.sum(-3).sum_to_size(centres.shape),  # (3)
        ds.sum_to_size(width.shape),
    )


radial_basis = Differentiable(radial_basis_forward, radial_basis_backward)


def radial_basis_network(
    x: torch.Tensor, centres: torch.Tensor, width: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None
) -> torch.Tensor:
    """A radial basis function network: a weighted sum of bumps.

    Shapes: x (..., n, d), centres (..., k, d), width (..., k), w (..., out, k), b (..., out) -> y (..., n, out)
    (1) y = w · radial_basis(x) + b
    Example:
        origin, one = torch.zeros(1, 2), torch.ones(1)
        radial_basis_network(origin, origin, one, torch.tensor([[3.0]])).tolist() == [[3.0]]
    Asked: ib-7.6
    Source: Broomhead and Lowe, Multivariable functional interpolation and adaptive networks (1988).
    """
    return dense(radial_basis(x, centres, width), w, b)  # (1)


def _check(x: torch.Tensor, centres: torch.Tensor, width: torch.Tensor) -> None:
    require_floating("radial_basis", x=x, centres=centres, width=width)
    require_dims("radial_basis", 2, x=x, centres=centres)
    require_dims("radial_basis", 1, width=width)
    if x.shape[-1] != centres.shape[-1] or width.shape[-1] != centres.shape[-2]:
        raise ValueError(
            f"radial_basis got shapes that do not fit: x {tuple(x.shape)}, centres {tuple(centres.shape)}, "
            f"width {tuple(width.shape)}, expected (..., n, d), (..., k, d), (..., k)"
        )
    require_broadcast("radial_basis", x.shape[:-2], centres.shape[:-2], width.shape[:-1])
    require_values("radial_basis", "width > 0", width > 0)
