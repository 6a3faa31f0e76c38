"""Linear and polynomial models played by torch.linalg, linear networks by torch.nn.functional; torch grows no trees."""

from __future__ import annotations

import torch

from subjects.torch_nn.layers import dense

__all__ = ["collapsed_network", "linear_network", "linear_regression", "polynomial_fit"]

Optional = torch.Tensor | None


def linear_network(x: torch.Tensor, *params: Optional) -> torch.Tensor:
    for w, b in zip(params[::2], params[1::2], strict=True):
        x = dense(x, w, b)
    return x


def collapsed_network(*params: Optional) -> tuple[torch.Tensor, Optional]:
    """The answers at the origin and at the unit vectors tell a linear map apart from all others."""
    units = torch.eye(params[0].shape[-1], dtype=params[0].dtype, device=params[0].device)
    w = linear_network(units, *(None if k % 2 else p for k, p in enumerate(params))).mT
    biased = any(b is not None for b in params[1::2])
    return w, linear_network(torch.zeros_like(units[:1]), *params)[..., 0, :] if biased else None


def linear_regression(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    mean_x, mean_y = x.mean(-2, keepdim=True), y.mean(-2, keepdim=True)
    w = _least_squares(x - mean_x, y - mean_y).mT
    return w, (mean_y - mean_x @ w.mT)[..., 0, :]


def polynomial_fit(x: torch.Tensor, y: torch.Tensor, *, degree: int) -> torch.Tensor:
    return _least_squares(torch.linalg.vander(x, N=degree + 1), y.unsqueeze(-1))[..., 0]


def _least_squares(a: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Of several solutions the one of least norm; on CUDA torch has only a driver that wants full rank."""
    return torch.linalg.lstsq(a, y, driver=None if a.is_cuda else "gelsd").solution
