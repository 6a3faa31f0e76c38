"""Attention and the Transformer's blocks: against torch, masks, positions, bad input."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from assay.evidence import gamma
from reference import attention as ours
from reference import transformer
from subjects.torch_nn import attention as theirs
from tests.reference.protocol import Case, draw

Q, K, V = draw(2, 3, 4), draw(2, 5, 4, seed=1), draw(2, 5, 2, seed=2)
MASK = torch.tensor([[1, 0, 1, 1, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 1]], dtype=torch.bool)


def dot_product(q: Any, k: Any, v: Any, mask: Any = None) -> torch.Tensor:
    z = torch.einsum("...td,...sd->...ts", q, k) / math.sqrt(q.shape[-1])
    return torch.softmax(z if mask is None else z.masked_fill(~mask, -math.inf), -1) @ v


def additive(q: Any, k: Any, v: Any, w: Any, u: Any, p: Any, mask: Any = None) -> torch.Tensor:
    pairs = torch.tanh(torch.einsum("...td,hd->...th", q, w)[..., :, None, :] + (k @ u.T)[..., None, :, :])
    z = (pairs * p).sum(-1)
    return torch.softmax(z if mask is None else z.masked_fill(~mask, -math.inf), -1) @ v


SCORER = (draw(3, 4, seed=3), draw(3, 4, seed=4), draw(3, seed=5))


def placed(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """The same by looking the places up."""
    return x + torch.nn.functional.embedding(torch.arange(x.shape[-2], device=x.device), table)


CASES = {
    "dot product": Case(ours.scaled_dot_product_attention, (Q, K, V), dot_product, scale=10),
    "dot product, masked": Case(ours.scaled_dot_product_attention, (Q, K, V, MASK), dot_product, scale=10),
    "dot product, shared keys": Case(ours.scaled_dot_product_attention, (Q, K[0], V[0]), dot_product, scale=10),
    "additive": Case(ours.additive_attention, (Q, K, V, *SCORER), additive, scale=10),
    "additive, masked": Case(ours.additive_attention, (Q, K, V, *SCORER, MASK), additive, scale=10),
    "learned positions": Case(
        ours.learned_positions, (draw(2, 3, 4, seed=7), draw(5, 4, seed=8)), placed, samples=(0,)
    ),
}


def test_a_query_that_may_look_nowhere_answers_zero_and_moves_nothing() -> None:
    blind = MASK.clone()
    blind[1] = False
    q, k, v = (t.clone().requires_grad_() for t in (Q, K, V))
    y = ours.scaled_dot_product_attention(q, k, v, blind)
    assert not bool(y[:, 1].any())
    for slope in torch.autograd.grad(y.sum(), (q, k, v)):
        assert bool(slope.isfinite().all())
    assert not bool(torch.autograd.grad(ours.scaled_dot_product_attention(q, k, v, blind)[:, 1].sum(), q)[0].any())


def test_huge_scores_pick_one_value() -> None:
    y = ours.scaled_dot_product_attention(1e150 * torch.ones(1, 1, dtype=torch.float64), 1e150 * draw(3, 1), draw(3, 2))
    assert torch.equal(y[0], draw(3, 2)[draw(3, 1).argmax()])


@pytest.mark.parametrize("mask", [None, MASK])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_multi_head_attention_follows_torch(heads: int, mask: torch.Tensor | None) -> None:
    w = tuple(draw(4, 4, seed=10 + k) for k in range(4))
    values = draw(2, 5, 4, seed=6)
    mine = ours.multi_head_attention(Q, K, values, w, heads=heads, mask=mask)
    other = theirs.multi_head_attention(Q, K, values, w, heads=heads, mask=mask)
    assert float((mine - other).abs().max()) <= gamma(128, torch.float64) * 1000  # sums of 16 products of three numbers


def test_a_causal_mask_hides_the_future() -> None:
    assert ours.causal_mask(3).tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert torch.equal(ours.causal_mask(6), theirs.causal_mask(6))


def test_positions_differ_and_a_shift_is_a_rotation() -> None:
    p = ours.sinusoidal_positions(50, 8)
    assert p[0].tolist() == [0.0, 1.0] * 4
    assert float((p.square().sum(-1) - 4).abs().max()) <= gamma(32, torch.float64) * 4
    assert float(torch.pdist(p).min()) > 0.1
    assert float(p[3, 2]) == pytest.approx(math.sin(3 / 10000 ** (2 / 8)), rel=1e-15)  # two roundings
    products = p @ p.T
    for shift in (1, 7):
        along = products.diagonal(shift)
        assert float((along - along[0]).abs().max()) <= gamma(64 * 50, torch.float64) * 4  # angles up to 50


def block(d: int, cross: bool, seed: int = 0) -> dict[str, torch.Tensor]:
    return transformer.transformer_parameters(d, 7, cross=cross, generator=torch.Generator().manual_seed(seed))


def in_torch(parameters: dict[str, torch.Tensor], looks: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """A block's parameters under the names of torch.nn's layers."""
    names = {"self": "self_attn", "cross": "multihead_attn"}
    renamed: dict[str, torch.Tensor] = {}
    for look in looks:
        renamed[f"{names[look]}.in_proj_weight"] = torch.cat(
            [parameters[f"{look}_{p}"] for p in ("query", "key", "value")]
        )
        renamed[f"{names[look]}.in_proj_bias"] = torch.zeros(12, dtype=torch.float64)
        renamed[f"{names[look]}.out_proj.weight"] = parameters[f"{look}_result"]
        renamed[f"{names[look]}.out_proj.bias"] = torch.zeros(4, dtype=torch.float64)
    for k, look in enumerate((*looks, "net"), 1):
        renamed |= {f"norm{k}.weight": parameters[f"{look}_gain"], f"norm{k}.bias": parameters[f"{look}_shift"]}
    for k in (1, 2):
        renamed |= {f"linear{k}.weight": parameters[f"w{k}"], f"linear{k}.bias": parameters[f"b{k}"]}
    return renamed


OPTIONS: dict[str, Any] = {"dim_feedforward": 7, "dropout": 0.0, "batch_first": True, "dtype": torch.float64}


def test_the_encoder_block_follows_torch() -> None:
    x, parameters = draw(2, 5, 4), block(4, cross=False)
    layer = torch.nn.TransformerEncoderLayer(4, 2, **OPTIONS)
    expected = torch.func.functional_call(layer, in_torch(parameters, ("self",)), (x,))
    mine = transformer.encoder_block(x, parameters, heads=2)
    assert (
        float((mine - expected).abs().max()) <= gamma(1000, torch.float64) * 10
    )  # a thousand roundings in a row at most


def test_the_decoder_block_follows_torch_and_sees_no_future() -> None:
    x, memory, parameters = draw(2, 3, 4), draw(2, 5, 4, seed=1), block(4, cross=True)
    layer = torch.nn.TransformerDecoderLayer(4, 2, **OPTIONS)
    hidden = ~ours.causal_mask(3)
    expected = torch.func.functional_call(
        layer, in_torch(parameters, ("self", "cross")), (x, memory), {"tgt_mask": hidden}
    )
    mine = transformer.decoder_block(x, memory, parameters, heads=2)
    assert float((mine - expected).abs().max()) <= gamma(1000, torch.float64) * 10
    later = x.clone()
    later[:, -1] += 1
    changed = transformer.decoder_block(later, memory, parameters, heads=2)
    assert float((changed - mine)[:, :-1].abs().max()) <= gamma(1000, torch.float64) * 10
    assert float((changed - mine)[:, -1].abs().max()) > 0.1


def test_a_small_transformer_has_right_gradients() -> None:
    x, y = draw(3, 4), draw(2, 4, seed=1)
    encoder, decoder = [block(4, cross=False)], [block(4, cross=True, seed=1)]
    leaf = encoder[0]["self_query"].requires_grad_()

    def run(w: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return transformer.transformer(x, y, [encoder[0] | {"self_query": w}], decoder, heads=2)

    assert torch.autograd.gradcheck(run, (leaf, x.clone().requires_grad_()), eps=1e-6, atol=1e-7, rtol=1e-5)


REFUSED = {
    "features that do not fit": (lambda: ours.scaled_dot_product_attention(Q, K[..., :2], V), "features that do not"),
    "values that do not fit": (lambda: ours.scaled_dot_product_attention(Q, K, V[:, :2]), "keys and values"),
    "no key": (lambda: ours.scaled_dot_product_attention(Q, K[:, :0], V[:, :0]), "one or more keys"),
    "batches that do not fit": (lambda: ours.scaled_dot_product_attention(draw(3, 3, 4), K, V), "do not fit"),
    "mask of numbers": (lambda: ours.scaled_dot_product_attention(Q, K, V, MASK.double()), "expected booleans"),
    "mask of another shape": (
        lambda: ours.scaled_dot_product_attention(Q, K, V, MASK.expand(7, 1, 3, 5)),
        "another shape",
    ),
    "integers": (lambda: ours.scaled_dot_product_attention(Q.long(), K, V), "got integers"),
    "scorer that does not fit": (
        lambda: ours.additive_attention(Q, K, V, *SCORER[:2], draw(4)),
        "shapes that do not fit",
    ),
    "heads that do not divide": (lambda: ours.multi_head_attention(Q, K, V, (SCORER[0],) * 4, heads=3), "divisor of 4"),
    "odd width": (lambda: ours.sinusoidal_positions(3, 5), "d even"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()


def test_a_sequence_longer_than_the_table_is_refused() -> None:
    for x, table in ((draw(6, 4), draw(5, 4)), (draw(3, 3), draw(5, 4)), (draw(3, 4), draw(4))):
        with pytest.raises(ValueError, match="learned_positions got sizes that do not fit"):
            ours.learned_positions(x, table)
