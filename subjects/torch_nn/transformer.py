"""The blocks of a Transformer played by torch.nn.TransformerEncoderLayer and TransformerDecoderLayer.

torch.nn.Transformer as a whole is no `transformer`: it adds no positions and normalises once more at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

__all__ = ["decoder_block", "encoder_block"]

Parameters = Mapping[str, torch.Tensor]
NAMES = {"self": "self_attn", "cross": "multihead_attn"}


def encoder_block(x: torch.Tensor, block: Parameters, *, heads: int, mask: torch.Tensor | None = None) -> torch.Tensor:
    """torch's mask is true where a place may not look."""
    layer = torch.nn.TransformerEncoderLayer(x.shape[-1], heads, **_options(x, block))
    hidden = None if mask is None else ~mask
    y = torch.func.functional_call(layer, _renamed(block, ("self",)), (_batch(x),), {"src_mask": hidden})
    return y.reshape(x.shape)


def decoder_block(x: torch.Tensor, memory: torch.Tensor, block: Parameters, *, heads: int) -> torch.Tensor:
    layer = torch.nn.TransformerDecoderLayer(x.shape[-1], heads, **_options(x, block))
    t = x.shape[-2]
    hidden = torch.ones(t, t, dtype=torch.bool, device=x.device).triu(1)
    sides = (_batch(x), _batch(memory))
    y = torch.func.functional_call(layer, _renamed(block, ("self", "cross")), sides, {"tgt_mask": hidden})
    return y.reshape(x.shape)


def _options(x: torch.Tensor, block: Parameters) -> dict[str, Any]:
    return {
        "dim_feedforward": block["w1"].shape[0], "dropout": 0.0, "batch_first": True, "dtype": x.dtype, "device": x.device,
    }  # fmt: skip


def _batch(x: torch.Tensor) -> torch.Tensor:
    """torch's batch is one axis."""
    return x.reshape(-1, *x.shape[-2:])


def _renamed(block: Parameters, looks: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """The block's parameters under torch's names; its attention has no bias, torch's gets zeros."""
    zeros = torch.zeros_like(block["b2"])
    renamed: dict[str, torch.Tensor] = {}
    for look in looks:
        attention = NAMES[look]
        renamed[f"{attention}.in_proj_weight"] = torch.cat(
            [block[f"{look}_{part}"] for part in ("query", "key", "value")]
        )
        renamed[f"{attention}.in_proj_bias"] = zeros.repeat(3)
        renamed[f"{attention}.out_proj.weight"] = block[f"{look}_result"]
        renamed[f"{attention}.out_proj.bias"] = zeros
    for k, look in enumerate((*looks, "net"), 1):
        renamed |= {f"norm{k}.weight": block[f"{look}_gain"], f"norm{k}.bias": block[f"{look}_shift"]}
    for k in (1, 2):
        renamed |= {f"linear{k}.weight": block[f"w{k}"], f"linear{k}.bias": block[f"b{k}"]}
    return renamed
