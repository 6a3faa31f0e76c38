"""Attention played by torch.nn.functional; torch has no additive attention and no sinusoidal positions."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["causal_mask", "multi_head_attention", "scaled_dot_product_attention"]


def scaled_dot_product_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None
) -> torch.Tensor:
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def multi_head_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    w: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
    *,
    heads: int,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """torch's mask is true where a query may not look, and its batch is one axis."""
    d, leading = q.shape[-1], q.shape[:-1]
    layer = torch.nn.MultiheadAttention(d, heads, bias=False, batch_first=True, dtype=q.dtype, device=q.device)
    parameters = {"in_proj_weight": torch.cat(w[:3]), "out_proj.weight": w[3]}
    sides = tuple(side.reshape(-1, *side.shape[-2:]) for side in (q, k, v))
    hidden = None if mask is None else ~mask
    y, _ = torch.func.functional_call(layer, parameters, sides, {"attn_mask": hidden, "need_weights": False})
    return y.reshape(*leading, d)


def causal_mask(t: int, *, device: torch.device | str = "cpu") -> torch.Tensor:
    return torch.nn.Transformer.generate_square_subsequent_mask(t, device=torch.device(device)) == 0
