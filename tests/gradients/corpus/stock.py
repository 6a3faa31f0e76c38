"""Right functions from the stock: norms, recurrence, attention, convolution, losses, next to their equations."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tests.gradients.corpus.draw import fixed, joined, mixed, uniform
from tests.gradients.corpus.entry import Entry
from tests.gradients.corpus.hard_numbers import right
from tests.gradients.corpus.normalised import standardised


def lstm_cell(x: Tensor, h: Tensor, c: Tensor, v: Tensor, w: Tensor) -> Tensor:
    """The stock cell: both of its states beside each other."""
    return torch.cat(torch.lstm_cell(x, (h, c), v, w), -1)


def lstm_by_hand(x: Tensor, h: Tensor, c: Tensor, v: Tensor, w: Tensor) -> Tensor:
    """i, f, g, o from one product; c' = f·c + i·g; h' = o·tanh c'."""
    i, f, g, o = (x @ v.t() + h @ w.t()).chunk(4, -1)
    cell = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return torch.cat([o.sigmoid() * cell.tanh(), cell], -1)


def gru_by_hand(x: Tensor, h: Tensor, v: Tensor, w: Tensor) -> Tensor:
    """r, z, n; h' = (1 - z)·n + z·h."""
    a, b = (x @ v.t()).chunk(3, -1), (h @ w.t()).chunk(3, -1)
    r, z = (a[0] + b[0]).sigmoid(), (a[1] + b[1]).sigmoid()
    return (1 - z) * (a[2] + r * b[2]).tanh() + z * h


def attention_by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q·kᵀ / √d)·v."""
    e = (q @ k.mT / q.shape[-1] ** 0.5).exp()
    return e / e.sum(-1, keepdim=True) @ v


def conv_by_hand(x: Tensor, w: Tensor) -> Tensor:
    """An unpadded convolution as one product with all patches."""
    patches = x.unfold(2, w.shape[2], 1).unfold(3, w.shape[3], 1)
    return torch.einsum("bcmnij,ocij->bomn", patches, w)


def transposed_by_hand(x: Tensor, w: Tensor) -> Tensor:
    """Each entry of x (b, c, n) adds its kernel w (c, o, k) at twice its place."""
    size = 2 * (x.shape[-1] - 1) + w.shape[-1]
    parts = [
        functional.pad(torch.einsum("bc,cok->bok", x[..., n], w), (2 * n, size - w.shape[-1] - 2 * n))
        for n in range(x.shape[-1])
    ]
    return torch.stack(parts).sum(0)


def attended(x: Tensor, w: Tensor) -> Tensor:
    """Self-attention in two heads from one projection w (3d, d)."""
    q, k, v = ((x @ part.t()).reshape(-1, 2, x.shape[-1] // 2).transpose(0, 1) for part in w.chunk(3))
    return functional.scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(x.shape)


def attended_by_hand(x: Tensor, w: Tensor) -> Tensor:
    """The same, head by head."""
    half = x.shape[-1] // 2
    q, k, v = (x @ part.t() for part in w.chunk(3))
    return torch.cat(
        [attention_by_hand(q[:, s : s + half], k[:, s : s + half], v[:, s : s + half]) for s in (0, half)], -1
    )


class Perceptron(torch.nn.Module):
    """tanh(x·vᵀ)·wᵀ with fixed weights."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        named = mixed(v=(5, 4), w=(2, 5))(torch.Generator().manual_seed(3), dtype)
        self.v = torch.nn.Parameter(named["v"])
        self.w = torch.nn.Parameter(named["w"])

    def forward(self, x: Tensor) -> Tensor:
        """x (n, 4) -> (n, 2)."""
        return torch.tanh(x @ self.v.to(x.dtype).t()) @ self.w.to(x.dtype).t()


def perceptron_by_hand(x: Tensor) -> Tensor:
    """The same weights through e²ˣ."""
    net = Perceptron()
    v, w = net.v.detach().to(x.dtype), net.w.detach().to(x.dtype)
    return (1 - 2 / ((2 * x @ v.t()).exp() + 1)) @ w.t()


X = mixed(x=(3, 4))
MEANS = (0.5, -1.0, 0.0, 2.0)
VARIANCES = (1.0, 0.25, 4.0, 0.5)
SCALED = mixed(x=(3, 4), g=(4,), b=(4,))
IMAGES = mixed(x=(2, 2, 4, 4), w=(3, 2, 3, 3))
ENTRIES: tuple[Entry, ...] = (
    right(
        "stock layer norm",
        lambda x, g, b: functional.layer_norm(x, (4,), g, b),
        lambda x, g, b: g * standardised(x, -1)[0] + b,
        SCALED,
        order=2,
    ),
    right(
        "stock batch norm",
        lambda x, g, b: functional.batch_norm(x, None, None, g.contiguous(), b, True),
        lambda x, g, b: g * standardised(x, 0)[0] + b,
        mixed(x=(5, 4), g=(4,), b=(4,)),
        note="contiguous(): in torch 2.13.0 its CPU backward misreads a scale whose numbers have gaps between them",
    ),
    right(
        "stock batch norm in evaluation",
        lambda x: functional.batch_norm(x, x.new_tensor(MEANS), x.new_tensor(VARIANCES)),
        lambda x: (x - x.new_tensor(MEANS)) / (x.new_tensor(VARIANCES) + 1e-5).sqrt(),
        X,
    ),
    right(
        "stock group norm",
        lambda x: functional.group_norm(x, 2),
        lambda x: standardised(x.reshape(3, 2, 4), -1)[0].reshape(3, 8),
        mixed(x=(3, 8)),
    ),
    right(
        "stock rms norm",
        lambda x, g: functional.rms_norm(x, (4,), g, 1e-5),
        lambda x, g: g * x / ((x * x).mean(-1, keepdim=True) + 1e-5).sqrt(),
        mixed(x=(3, 4), g=(4,)),
    ),
    right("stock lstm cell", lstm_cell, lstm_by_hand, mixed(x=(2, 3), h=(2, 2), c=(2, 2), v=(8, 3), w=(8, 2))),
    right(
        "stock gru cell",
        lambda x, h, v, w: torch.gru_cell(x, h, v, w),
        gru_by_hand,
        mixed(x=(2, 3), h=(2, 2), v=(6, 3), w=(6, 2)),
    ),
    right(
        "stock attention",
        functional.scaled_dot_product_attention,
        attention_by_hand,
        mixed(q=(3, 4), k=(5, 4), v=(5, 2)),
    ),
    right("self-attention in two heads", attended, attended_by_hand, mixed(x=(3, 4), w=(12, 4))),
    right("stock conv2d", functional.conv2d, conv_by_hand, IMAGES, order=2),
    right(
        "stock transposed convolution",
        lambda x, w: functional.conv_transpose1d(x, w, stride=2),
        transposed_by_hand,
        mixed(x=(2, 3, 4), w=(3, 2, 3)),
    ),
    right(
        "stock average pool", lambda x: functional.avg_pool1d(x[None], 2)[0], lambda x: (x[:, 0::2] + x[:, 1::2]) / 2, X
    ),
    right(
        "stock maximum pool",
        lambda x: functional.max_pool1d(x[None], 2)[0],
        lambda x: torch.maximum(x[:, 0::2], x[:, 1::2]),
        X,
    ),
    right(
        "linear interpolation",
        lambda x: functional.interpolate(x[None], 7, mode="linear", align_corners=True)[0],
        lambda x: torch.stack(
            [x[:, n // 2] if n % 2 == 0 else (x[:, n // 2] + x[:, n // 2 + 1]) / 2 for n in range(7)], -1
        ),
        X,
    ),
    right("stock gelu", functional.gelu, lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2, X, order=2),
    right("stock mish", functional.mish, lambda x: x * torch.tanh((1 + x.exp()).log()), X),
    right("gated linear unit", functional.glu, lambda x: x[:, :2] * x[:, 2:].sigmoid(), X),
    right(
        "stock cross-entropy",
        lambda z: functional.cross_entropy(z, torch.tensor([0, 2, 3])),
        lambda z: (z.exp().sum(-1).log() - z[torch.arange(3), [0, 2, 3]]).mean(),
        mixed(z=(3, 4)),
        order=2,
    ),
    right(
        "stock binary cross-entropy",
        lambda z, t: functional.binary_cross_entropy_with_logits(z, t),
        lambda z, t: ((1 + z.exp()).log() - t * z).mean(),
        joined(mixed(z=(3, 4)), uniform(0.1, 0.9, t=(3, 4))),
    ),
    right(
        "stock divergence",
        lambda p, q: functional.kl_div(q.log(), p, reduction="sum"),
        lambda p, q: (p * (p / q).log()).sum(),
        uniform(0.2, 1.0, p=(3, 4), q=(3, 4)),
    ),
    right(
        "stock cosine similarity",
        functional.cosine_similarity,
        lambda a, b: (a * b).sum(-1) / ((a * a).sum(-1) * (b * b).sum(-1)).sqrt(),
        mixed(a=(3, 4), b=(3, 4)),
        order=2,
    ),
    right(
        "pairwise distance",
        lambda a, b: torch.cdist(a, b),
        lambda a, b: ((a[:, None] - b) ** 2).sum(-1).sqrt(),
        mixed(a=(3, 4), b=(2, 4)),
    ),
    right(
        "stock leaky unit with trained slope",
        functional.prelu,
        lambda x, a: torch.where(x > 0, x, a * x),
        joined(X, fixed(a=[0.25])),
    ),
    right("a module with parameters", Perceptron(), perceptron_by_hand, X, order=2),
    right(
        "einsum of three",
        lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c),
        lambda a, b, c: a @ (b @ c),
        mixed(a=(2, 3), b=(3, 2), c=(2, 4)),
    ),
    right(
        "kronecker product",
        torch.kron,
        lambda a, b: (a[:, None, :, None] * b[None, :, None, :]).reshape(6, 6),
        mixed(a=(2, 3), b=(3, 2)),
    ),
)
