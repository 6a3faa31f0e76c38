"""Attention: every query takes a weighted mean of values, weighted by how well it fits their keys.

t counts queries, s keys; a mask (t, s) is true where a query may look. A query that may look nowhere answers 0.
"""

from __future__ import annotations

import math

import torch

from reference.checks import require_broadcast, require_dims, require_floating
from reference.differentiable import Differentiable
from reference.layers import dense

Saved = tuple[torch.Tensor, ...]
Gradients = tuple[torch.Tensor | None, ...]

__all__ = [
    "additive_attention", "causal_mask", "learned_positions", "multi_head_attention", "scaled_dot_product_attention",
    "sinusoidal_positions",
]  # fmt: skip


def scaled_dot_product_attention_forward(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, Saved]:
    """Scaled dot-product attention.

    Shapes: q (..., t, d), k (..., s, d), v (..., s, e), mask (..., t, s) of booleans or None -> y (..., t, e)
    Forward:
        (1) z = q · kᵀ / √d
        (2) a = softmax of z along s over the keys that the mask shows
        (3) y = a · v
    Backward:
        (4) dv = aᵀ · dy, da = dy · vᵀ
        (5) dz = a · (da - Σ da · a along s)
        (6) dq = dz · k / √d, dk = dzᵀ · q / √d
    Conventions: leading axes broadcast, and gradients are summed back over them; the mask gets none.
    Example:
        q, k, v = torch.zeros(1, 2), torch.ones(2, 2), torch.tensor([[1.0], [3.0]])
        scaled_dot_product_attention(q, k, v).tolist() == [[2.0]]
    Asked: gfg-53.2, gfg-53.3, gfg-53.4, gfg-53.5, gfg-53.6, gfg-53.7, gfg-54.1, gfg-54.3, gfg-54.4, gfg-54.5, gfg-54.6
    Source: Vaswani et al., Attention is all you need (2017), equation 1.
    """
    _check("scaled_dot_product_attention", q, k, v, mask)
    if q.shape[-1] != k.shape[-1]:
        raise ValueError(
            f"scaled_dot_product_attention got features that do not fit: q {tuple(q.shape)}, k {tuple(k.shape)}, "
            "expected the same last axis"
        )
    a = _weights(q @ k.mT / math.sqrt(q.shape[-1]), mask)  # (1) (2) (..., t, s)
    return a @ v, (q, k, v, a, *(() if mask is None else (mask,)))  # (3)


def scaled_dot_product_attention_backward(saved: Saved, dy: torch.Tensor) -> Gradients:
    q, k, v, a, *mask = saved
    dv, da = a.mT @ dy, dy @ v.mT  # (4)
    dz = _through_softmax(a, da) / math.sqrt(q.shape[-1])  # (5) (..., t, s)
    dq, dk = dz @ k, dz.mT @ q  # (6)
    return (dq.sum_to_size(q.shape), dk.sum_to_size(k.shape), dv.sum_to_size(v.shape), *[None for _ in mask or [0]])


def additive_attention_forward(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    w: torch.Tensor,
    u: torch.Tensor,
    p: torch.Tensor,
    mask: torch.Tensor | None = None,
) -> tuple[torch.Tensor, Saved]:
    """Additive attention: a small net of one hidden layer scores each pair of query and key.

    Shapes: q (..., t, d), k (..., s, c), v (..., s, e), w (h, d), u (h, c), p (h), mask (..., t, s) -> y (..., t, e)
    Forward:
        (1) r_ij = tanh(w · q_i + u · k_j), z_ij = p · r_ij
        (2) a = softmax of z along s over the keys that the mask shows
        (3) y = a · v
    Backward:
        (4) dv = aᵀ · dy, da = dy · vᵀ
        (5) dz = a · (da - Σ da · a along s)
        (6) dp = Σ dz_ij · r_ij, g_ij = dz_ij · p · (1 - r_ij²)
        (7) dq_i = wᵀ · Σ_j g_ij, dk_j = uᵀ · Σ_i g_ij, dw = Σ g_ij · q_iᵀ, du = Σ g_ij · k_jᵀ
    Conventions: leading axes of q, k and v are equal; the mask gets no gradient.
    Example:
        q, k, v = torch.zeros(1, 2), torch.ones(2, 2), torch.tensor([[1.0], [3.0]])
        w, u, p = torch.ones(4, 2), torch.ones(4, 2), torch.ones(4)
        additive_attention(q, k, v, w, u, p).tolist() == [[2.0]]
    Asked: gfg-53.1, gfg-53.2, gfg-53.3, gfg-53.4, gfg-53.5, gfg-53.6, gfg-53.7
    Source: Bahdanau, Cho, Bengio, Neural machine translation by jointly learning to align and translate (2015).
    """
    _check("additive_attention", q, k, v, mask)
    _check_scorer(q, k, w, u, p)
    r = torch.tanh((q @ w.mT).unsqueeze(-2) + (k @ u.mT).unsqueeze(-3))  # (1) (..., t, s, h)
    a = _weights(r @ p, mask)  # (2) (..., t, s)
    return a @ v, (q, k, v, w, u, p, r, a, *(() if mask is None else (mask,)))  # (3)


def additive_attention_backward(saved: Saved, dy: torch.Tensor) -> Gradients:
    q, k, v, w, u, p, r, a, *mask = saved
    dv, da = a.mT @ dy, dy @ v.mT  # (4)
    dz = _through_softmax(a, da).unsqueeze(-1)  # (5) (..., t, s, 1)
    dp = (dz * r).reshape(-1, p.numel()).sum(0)  # (6)
    g = dz * p * (1 - r.square())  # (6) (..., t, s, h)
    by_query, by_key = g.sum(-2), g.sum(-3)  # (..., t, h), (..., s, h)
    dw = by_query.reshape(-1, p.numel()).mT @ q.reshape(-1, q.shape[-1])  # (7)
    du = by_key.reshape(-1, p.numel()).mT @ k.reshape(-1, k.shape[-1])  # (7)
    return by_query @ w, by_key @ u, dv, dw, du, dp, *[None for _ in mask or [0]]  # (7)


scaled_dot_product_attention = Differentiable(
    scaled_dot_product_attention_forward, scaled_dot_product_attention_backward
)
additive_attention = Differentiable(additive_attention_forward, additive_attention_backward)


def multi_head_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    w: tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor],
    *,
    heads: int,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Attention by several heads, each in its own projection of queries, keys and values.

    Shapes: q (..., t, d), k (..., s, d), v (..., s, d), w four of (d, d): for q, k, v and the result -> y (..., t, d)
    (1) q, k, v projected by w[0], w[1], w[2] and cut into `heads` parts of d/heads features
    (2) scaled dot-product attention in each part
    (3) y = w[3] · the parts side by side
    Errors: ValueError if heads does not divide d.
    Example:
        x, one = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.eye(2)
        multi_head_attention(x, x, x, (0 * one, one, one, one), heads=2).tolist() == [[2.0, 3.0], [2.0, 3.0]]
    Asked: gfg-54.10, gfg-54.11, gfg-54.12
    Source: Vaswani et al., Attention is all you need (2017), section 3.2.2.
    """
    d = q.shape[-1]
    if heads < 1 or d % heads:
        raise ValueError(f"multi_head_attention cannot cut {d} features into {heads} heads, expected a divisor of {d}")
    parts = [
        dense(side, weight).unflatten(-1, (heads, d // heads)).transpose(-2, -3)  # (1) (..., heads, t, d/heads)
        for side, weight in zip((q, k, v), w[:3], strict=True)
    ]
    seen = scaled_dot_product_attention(*parts, *(() if mask is None else (mask.unsqueeze(-3),)))  # (2)
    return dense(seen.transpose(-2, -3).flatten(-2), w[3])  # (3)


def causal_mask(t: int, *, device: torch.device | str = "cpu") -> torch.Tensor:
    """The mask that shows each step itself and what came before.

    Shapes: t -> mask (t, t) of booleans
    (1) mask_ij = (j <= i)
    Example: causal_mask(2).tolist() == [[True, False], [True, True]]
    Asked: gfg-54.9
    Source: Vaswani et al., Attention is all you need (2017), section 3.2.3.
    """
    return torch.ones(t, t, dtype=torch.bool, device=device).tril()  # (1)


def learned_positions_forward(x: torch.Tensor, table: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """Add to each vector the one that training has found for its place.

    Shapes: x (..., t, d), table (n, d) with n >= t -> y (..., t, d)
    Forward:
        (1) y_i = x_i + table_i
    Backward:
        (2) dx = dy, dtable_i = Σ dy_i over all sequences, 0 for places that no sequence reaches
    Errors: ValueError if a sequence is longer than the table or the widths differ.
    Example:
        table = torch.tensor([[1.0], [2.0], [3.0]])
        learned_positions(torch.zeros(2, 1), table).tolist() == [[1.0], [2.0]]
    Asked: gfg-54.14
    Source: Gehring et al., Convolutional sequence to sequence learning (2017), section 3.1.
    """
    require_floating("learned_positions", x=x, table=table)
    require_dims("learned_positions", 2, x=x)
    if table.dim() != 2 or x.shape[-1] != table.shape[-1] or x.shape[-2] > table.shape[0]:
        raise ValueError(
            f"learned_positions got sizes that do not fit: x {tuple(x.shape)}, table {tuple(table.shape)}, expected a table of at "
            "least as many places, as wide as x; lengthen the table or shorten the sequence"
        )
    return x + table[: x.shape[-2]], (table,)  # (1)


def learned_positions_backward(saved: Saved, dy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    (table,) = saved
    dtable = dy.reshape(-1, *dy.shape[-2:]).sum(0)
    return dy, torch.nn.functional.pad(dtable, (0, 0, 0, table.shape[0] - dy.shape[-2]))  # (2)


learned_positions = Differentiable(learned_positions_forward, learned_positions_backward)


def sinusoidal_positions(
    t: int, d: int, *, base: float = 10000.0, dtype: torch.dtype = torch.float64, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Fixed vectors that tell the places 0, ..., t - 1 apart: sines and cosines of falling frequency.

    Shapes: t, d -> p (t, d)
    (1) p_ij = sin(i / base^(j/d)) for even j, cos(i / base^((j-1)/d)) for odd j
    Conventions: a shift of the place rotates each pair (j, j + 1), so it is a linear map.
    Errors: ValueError if d is odd or a size is negative.
    Example: sinusoidal_positions(1, 4).tolist() == [[0.0, 1.0, 0.0, 1.0]]
    Asked: gfg-54.13, gfg-54.14, gfg-54.15
    Source: Vaswani et al., Attention is all you need (2017), section 3.5.
    """
    if t < 0 or d < 0 or d % 2:
        raise ValueError(f"sinusoidal_positions got sizes out of range: t={t}, d={d}, expected t >= 0 and d even")
    place = torch.arange(t, dtype=dtype, device=device).unsqueeze(-1)
    angle = place * base ** (-torch.arange(0, d, 2, dtype=dtype, device=device) / d)  # (t, d/2)
    return torch.stack([angle.sin(), angle.cos()], -1).flatten(-2)  # (1)


def _weights(z: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Softmax along the last axis over what the mask shows; zeros where it shows nothing."""
    if mask is None:
        e = (z - z.detach().amax(-1, keepdim=True)).exp()
        return e / e.sum(-1, keepdim=True)
    hidden = torch.where(mask, z, -math.inf)
    top = hidden.detach().amax(-1, keepdim=True)
    e = torch.where(mask, z - torch.where(top.isinf(), 0.0, top), -math.inf).exp()
    total = e.sum(-1, keepdim=True)
    return e / torch.where(total == 0, 1.0, total)


def _through_softmax(a: torch.Tensor, da: torch.Tensor) -> torch.Tensor:
    return a * (da - (da * a).sum(-1, keepdim=True))


def _check(name: str, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor | None) -> None:
    require_floating(name, q=q, k=k, v=v)
    require_dims(name, 2, q=q, k=k, v=v)
    if k.shape[-2] != v.shape[-2] or k.shape[-2] == 0:
        raise ValueError(
            f"{name} got keys and values that do not fit: k {tuple(k.shape)}, v {tuple(v.shape)}, "
            "expected one value for each of one or more keys"
        )
    leading = require_broadcast(name, q.shape[:-2], k.shape[:-2], v.shape[:-2])
    if mask is None:
        return
    if mask.dtype != torch.bool:
        raise ValueError(f"{name} got a mask of {mask.dtype}, expected booleans: true where a query may look")
    pairs = (*leading, q.shape[-2], k.shape[-2])
    if require_broadcast(name, mask.shape, pairs) != pairs:
        raise ValueError(
            f"{name} got a mask of another shape: {tuple(mask.shape)}, expected one that spreads to {pairs}"
        )


def _check_scorer(q: torch.Tensor, k: torch.Tensor, w: torch.Tensor, u: torch.Tensor, p: torch.Tensor) -> None:
    require_floating("additive_attention", w=w, u=u, p=p)
    h = p.shape[-1] if p.dim() else 0
    if p.shape != (h,) or w.shape != (h, q.shape[-1]) or u.shape != (h, k.shape[-1]) or q.shape[:-2] != k.shape[:-2]:
        raise ValueError(
            f"additive_attention got shapes that do not fit: q {tuple(q.shape)}, k {tuple(k.shape)}, w {tuple(w.shape)}, "
            f"u {tuple(u.shape)}, p {tuple(p.shape)}, expected (..., t, d), (..., s, c), (h, d), (h, c), (h)"
        )
