"""The regularisation roles played by torch.nn.functional, torch.renorm and torch.linalg. torch has no classic
dropout.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

__all__ = ["dropout", "dropout_mask", "l1_penalty", "l2_penalty", "max_norm", "ridge", "soft_threshold"]


def dropout(x: torch.Tensor, p: float, *, generator: torch.Generator, training: bool = True) -> torch.Tensor:
    """torch.nn.functional.dropout draws from torch's own generator; it is seeded from `generator`, then put back."""
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    devices = [x.device] if x.is_cuda else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        return functional.dropout(x, p, training)


def dropout_mask(
    shape: Sequence[int], p: float, generator: torch.Generator, *, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    """Where torch's dropout leaves a one other than zero."""
    ones = torch.ones(tuple(shape), dtype=dtype, device=generator.device)
    return (dropout(ones, p, generator=generator) != 0).to(dtype)


def l1_penalty(w: torch.Tensor, *, batch_dims: int = 0) -> torch.Tensor:
    return _summed(functional.l1_loss(w, torch.zeros_like(w), reduction="none"), batch_dims)


def l2_penalty(w: torch.Tensor, *, batch_dims: int = 0) -> torch.Tensor:
    return _summed(functional.mse_loss(w, torch.zeros_like(w), reduction="none"), batch_dims)


def _summed(terms: torch.Tensor, batch_dims: int) -> torch.Tensor:
    """The sum over all but the leading axes; over no axis, each term itself."""
    return terms.unsqueeze(-1).sum(tuple(range(batch_dims, terms.dim() + 1)))


def soft_threshold(w: torch.Tensor, *, t: float) -> torch.Tensor:
    return functional.softshrink(w, t)


def max_norm(w: torch.Tensor, *, c: float) -> torch.Tensor:
    """torch.renorm over the rows; it divides by the length plus 1e-7, so long rows end a little below c."""
    return torch.renorm(w.reshape(-1, w.shape[-1]), 2, 0, c).reshape(w.shape)


def ridge(x: torch.Tensor, y: torch.Tensor, *, penalty: float) -> torch.Tensor:
    """torch.linalg.lstsq of the data with one sample √penalty·e_k of target 0 added for each weight."""
    d = x.shape[-1]
    added = (penalty**0.5 * torch.eye(d, dtype=x.dtype, device=x.device)).expand(*x.shape[:-2], d, d)
    targets = torch.cat([y, y.new_zeros(*y.shape[:-1], d)], -1)
    return torch.linalg.lstsq(torch.cat([x, added], -2), targets.unsqueeze(-1)).solution[..., 0]
