"""What convolution and pooling share: sizes, padding, the windows of an image, and their adjoint."""

from __future__ import annotations

import torch
from torch.nn.functional import pad

Size = int | tuple[int, int]
Padding = Size | str


def pair(value: Size, what: str, *, least: int) -> tuple[int, int]:
    """(rows, columns) from one number for both or a pair, each at least `least`."""
    both = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(both) != 2 or any(isinstance(v, bool) or not isinstance(v, int) or v < least for v in both):
        raise ValueError(
            f"{what} is not usable: {value!r}, expected an integer of at least {least}, or two: (rows, columns)"
        )
    return both


def sides(padding: int | str, n: int, size: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Zeros (before, after) one axis of length n. `same` asks for ⌈n/stride⌉ outputs and puts an odd zero behind.

    Source: Dumoulin and Visin 2016, relationships 1 to 7.
    """
    if padding == "valid":
        return 0, 0
    if padding == "same":
        total = max((-(-n // stride) - 1) * stride + dilation * (size - 1) + 1 - n, 0)
        return total // 2, total - total // 2
    if isinstance(padding, bool) or not isinstance(padding, int) or padding < 0:
        raise ValueError(f"padding is not usable: {padding!r}, expected an integer of at least 0, 'same' or 'valid'")
    return padding, padding


def count(n: int, size: int, stride: int, dilation: int = 1) -> int:
    """How many windows fit into an axis of length n (its padding included); at least one, else ValueError."""
    reach = dilation * (size - 1) + 1
    if n < reach:
        raise ValueError(
            f"kernel is larger than the padded input: {reach}, expected at most {n}; pad more or shrink the kernel"
        )
    return (n - reach) // stride + 1


def windows(x: torch.Tensor, size: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> torch.Tensor:
    """x (..., H, W) -> (..., I, J, A, B) with entry x[..., s·i + d·a, t·j + e·b]; a view, nothing is copied."""
    (rows, columns), (d, e) = size, dilation
    cut = x.unfold(-2, d * (rows - 1) + 1, stride[0])  # (..., I, W, reach)
    cut = cut.unfold(-2, e * (columns - 1) + 1, stride[1])  # (..., I, J, reach, reach)
    return cut[..., ::d, ::e]


def stretched(x: torch.Tensor, stride: tuple[int, int]) -> torch.Tensor:
    """x (..., I, J) -> (..., (I-1)·s + 1, (J-1)·t + 1): stride - 1 zeros between neighbours."""
    (s, t), (i, j) = stride, x.shape[-2:]
    x = pad(x.unsqueeze(-1), (0, t - 1)).flatten(-2)[..., : (j - 1) * t + 1]
    return pad(x.unsqueeze(-2), (0, 0, 0, s - 1)).flatten(-3, -2)[..., : (i - 1) * s + 1, :]


def correlated(
    x: torch.Tensor, w: torch.Tensor, stride: tuple[int, int], dilation: tuple[int, int], groups: int
) -> torch.Tensor:
    """x (..., C, H, W), w (F, C/groups, A, B) -> y (..., F, I, J).

    y[gf, i, j] = Σ_cab w[gf, c, a, b] · x[gc, s·i + d·a, t·j + e·b].
    """
    patches = windows(x, w.shape[-2:], stride, dilation).unflatten(-5, (groups, w.shape[1]))  # (..., g, c, I, J, A, B)
    kernels = w.unflatten(0, (groups, w.shape[0] // groups))  # (g, f, c, A, B)
    return torch.einsum("...gcijab,gfcab->...gfij", patches, kernels).flatten(-4, -3)


def spread(
    y: torch.Tensor,
    w: torch.Tensor,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    full: tuple[int, int],
) -> torch.Tensor:
    """The adjoint of `correlated`: y (..., F, I, J), w (F, C/groups, A, B) -> x (..., C, *full).

    x[gc, u, v] = Σ_fab w[gf, c, a, b] · y[gf, i, j] over s·i + d·a = u and t·j + e·b = v: correlate y, with stride - 1
    zeros put between its entries and a border as wide as the kernel's reach, with the flipped kernel.
    """
    y = stretched(y, stride)
    border = [e * (k - 1) for e, k in zip(dilation, w.shape[-2:], strict=True)]
    behind = [whole - n for whole, n in zip(full, y.shape[-2:], strict=True)]  # the border and what no window reached
    y = pad(y, (border[1], behind[1], border[0], behind[0]))
    parts = (groups, w.shape[0] // groups)
    patches = windows(y, w.shape[-2:], (1, 1), dilation).unflatten(-5, parts)  # (..., g, f, U, V, A, B)
    kernels = w.flip(-2, -1).unflatten(0, parts)  # (g, f, c, A, B)
    return torch.einsum("...gfuvab,gfcab->...gcuv", patches, kernels).flatten(-4, -3)


def kernel_slope(
    x: torch.Tensor, dy: torch.Tensor, w: torch.Tensor, stride: tuple[int, int], dilation: tuple[int, int], groups: int
) -> torch.Tensor:
    """dw[gf, c, a, b] = Σ_nij dy[n, gf, i, j] · x[n, gc, s·i + d·a, t·j + e·b], shaped as w (F, C/groups, A, B)."""
    patches = windows(x, w.shape[-2:], stride, dilation).unflatten(-5, (groups, w.shape[1]))  # (..., g, c, I, J, A, B)
    patches = patches[..., : dy.shape[-2], : dy.shape[-1], :, :]
    slopes = dy.unflatten(-3, (groups, w.shape[0] // groups))  # (..., g, f, I, J)
    return torch.einsum("...gfij,...gcijab->gfcab", slopes, patches).flatten(0, 1)
