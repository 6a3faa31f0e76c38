"""The blocks of a Transformer: compositions of attention, dense layers, layer normalisation and residual connections.

The parameters of a block are a mapping by name; d is the width, h the width of the hidden layer between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from reference.activations import relu
from reference.attention import causal_mask, multi_head_attention, sinusoidal_positions
from reference.layers import dense
from reference.normalization import layer_norm, residual

__all__ = ["decoder_block", "encoder_block", "transformer", "transformer_parameters"]

Parameters = Mapping[str, torch.Tensor]


def encoder_block(x: torch.Tensor, block: Parameters, *, heads: int, mask: torch.Tensor | None = None) -> torch.Tensor:
    """One block of the encoder: every place looks at all places, then at itself through a small net.

    Shapes: x (..., t, d) -> (..., t, d)
    (1) x = norm(x + attention(x, x, x))
    (2) x = norm(x + w2 · relu(w1 · x + b1) + b2)
    Conventions: normalised after the residual connection, as published.
    Example:
        block = transformer_parameters(4, 8, cross=False, generator=torch.Generator().manual_seed(0))
        encoder_block(torch.ones(3, 4, dtype=torch.float64), block, heads=2).shape == (3, 4)
    Asked: gfg-54.4, gfg-54.8, gfg-54.16, gfg-54.17, gfg-54.18, gfg-54.20, gfg-54.21
    Source: Vaswani et al., Attention is all you need (2017), section 3.1.
    """
    x = _attended(x, x, block, "self", heads, mask)  # (1)
    return _transformed(x, block)  # (2)


def decoder_block(x: torch.Tensor, memory: torch.Tensor, block: Parameters, *, heads: int) -> torch.Tensor:
    """One block of the decoder: a place looks back along its own sequence, then at the encoder's answer.

    Shapes: x (..., t, d), memory (..., s, d) -> (..., t, d)
    (1) x = norm(x + attention(x, x, x)), no place seeing a later one
    (2) x = norm(x + attention(x, memory, memory))
    (3) x = norm(x + w2 · relu(w1 · x + b1) + b2)
    Example:
        block = transformer_parameters(4, 8, cross=True, generator=torch.Generator().manual_seed(0))
        x, memory = torch.ones(2, 4, dtype=torch.float64), torch.ones(3, 4, dtype=torch.float64)
        decoder_block(x, memory, block, heads=2).shape == (2, 4)
    Asked: gfg-54.9, gfg-54.11
    Source: Vaswani et al., Attention is all you need (2017), section 3.1.
    """
    x = _attended(x, x, block, "self", heads, causal_mask(x.shape[-2], device=x.device))  # (1)
    x = _attended(x, memory, block, "cross", heads, None)  # (2)
    return _transformed(x, block)  # (3)


def transformer(
    x: torch.Tensor, y: torch.Tensor, encoder: Sequence[Parameters], decoder: Sequence[Parameters], *, heads: int
) -> torch.Tensor:
    """A small Transformer between two sequences of vectors.

    Shapes: x (..., s, d), y (..., t, d) -> (..., t, d)
    (1) positions are added to both sequences
    (2) the encoder's blocks turn x into a memory, which every block of the decoder reads
    Example:
        draws = torch.Generator().manual_seed(0)
        encoder, decoder = ([transformer_parameters(4, 8, cross=cross, generator=draws)] for cross in (False, True))
        x, y = torch.ones(3, 4, dtype=torch.float64), torch.ones(2, 4, dtype=torch.float64)
        transformer(x, y, encoder, decoder, heads=2).shape == (2, 4)
    Asked: gfg-54.1, gfg-54.7, gfg-54.8, gfg-54.9, gfg-54.13
    Source: Vaswani et al., Attention is all you need (2017), figure 1.
    """
    x, y = (
        side + sinusoidal_positions(*side.shape[-2:], dtype=side.dtype, device=side.device) for side in (x, y)
    )  # (1)
    for block in encoder:
        x = encoder_block(x, block, heads=heads)
    for block in decoder:
        y = decoder_block(y, x, block, heads=heads)  # (2)
    return y


def transformer_parameters(
    d: int, hidden: int, *, cross: bool, generator: torch.Generator, dtype: torch.dtype = torch.float64
) -> dict[str, torch.Tensor]:
    """The parameters that one block starts from; `cross` for a decoder's.

    Shapes: d, hidden -> weights of attention (d, d), w1 (hidden, d), b1 (hidden), w2 (d, hidden), b2 (d), gains (d), shifts (d)
    (1) w ~ N(0, 2 / (fan_in + fan_out)), every weight for itself
    (2) gains 1, shifts and biases 0
    Example: transformer_parameters(4, 8, cross=False, generator=torch.Generator())["w1"].shape == (8, 4)
    Asked: none
    Source: Vaswani et al., Attention is all you need (2017), section 3.1.
    """
    looks = ("self", "cross") if cross else ("self",)

    def weight(fan_out: int, fan_in: int) -> torch.Tensor:
        w = torch.randn(fan_out, fan_in, generator=generator, dtype=dtype, device=generator.device)
        return w * (2 / (fan_in + fan_out)) ** 0.5  # (1)

    block = {f"{look}_{part}": weight(d, d) for look in looks for part in ("query", "key", "value", "result")}
    block |= {"w1": weight(hidden, d), "w2": weight(d, hidden)}
    for name, size in (("b1", hidden), ("b2", d), *((f"{look}_shift", d) for look in (*looks, "net"))):
        block[name] = torch.zeros(size, dtype=dtype, device=generator.device)  # (2)
    return block | {f"{look}_gain": torch.ones(d, dtype=dtype, device=generator.device) for look in (*looks, "net")}


def _attended(
    x: torch.Tensor, seen: torch.Tensor, block: Parameters, look: str, heads: int, mask: torch.Tensor | None
) -> torch.Tensor:
    w = (block[f"{look}_query"], block[f"{look}_key"], block[f"{look}_value"], block[f"{look}_result"])
    answer = multi_head_attention(x, seen, seen, w, heads=heads, mask=mask)
    return layer_norm(residual(x, answer), block[f"{look}_gain"], block[f"{look}_shift"])


def _transformed(x: torch.Tensor, block: Parameters) -> torch.Tensor:
    answer = dense(relu(dense(x, block["w1"], block["b1"])), block["w2"], block["b2"])
    return layer_norm(residual(x, answer), block["net_gain"], block["net_shift"])
