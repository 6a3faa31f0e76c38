"""Convolution as networks use it (sliding dot products, no flip), its transpose, and the arithmetic of its sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import pad

from reference.checks import require_floating
from reference.differentiable import Differentiable, Saved
from reference.windows import Padding, Size, correlated, count, kernel_slope, pair, sides, spread

__all__ = ["conv1d", "conv2d", "conv_output_size", "conv_transpose2d", "receptive_field"]

Optional = torch.Tensor | None
Gradients = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]


def conv_output_size(n: int, size: int, stride: int = 1, padding: int | str = 0, dilation: int = 1) -> int:
    """How many window positions a convolution or pooling has along an axis of n pixels.

    (1) o = ⌊(n + before + after - d·(K - 1) - 1) / s⌋ + 1
    Conventions: `padding` p puts p zeros on each side; `same` gives ⌈n/s⌉, `valid` pads nothing.
    Errors: ValueError for a size, stride or dilation below 1, and where no window fits.
    Example: conv_output_size(28, 3, stride=3, padding=1) == 10
    Asked: gfg-39.2, gfg-41.1, gfg-41.5, gfg-41.8, gfg-42.1, gfg-42.2, gfg-42.3, gfg-42.5, gfg-42.6, gfg-42.7, gfg-42.8,
        gfg-42.9, gfg-42.10, gfg-42.11
    Source: Dumoulin and Visin 2016, relationship 15.
    """
    asked = {"input size": (n, 0), "kernel size": (size, 1), "stride": (stride, 1), "dilation": (dilation, 1)}
    for what, (value, least) in asked.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(
                f"conv_output_size got an unusable {what}: {value!r}, expected an integer of at least {least}"
            )
    return count(n + sum(sides(padding, n, size, stride, dilation)), size, stride, dilation)  # (1)


def receptive_field(layers: Sequence[tuple[int, ...]]) -> int:
    """How many input pixels along one axis reach one output of a stack of layers, each (size, stride[, dilation]).

    (1) r = 1 + Σ_l d_l·(K_l - 1)·Π_{m<l} s_m
    Conventions: the first layer is the one next to the input; no layers see one pixel.
    Units: pixels.
    Errors: ValueError for a layer of another length, or with a number below 1.
    Example: receptive_field([(3, 1), (3, 1)]) == 5
    Asked: none
    Source: Araujo, Norris and Sim 2019, equation 2.
    """
    field, step = 1, 1
    for layer in layers:
        if len(layer) not in (2, 3) or any(value < 1 for value in layer):
            raise ValueError(
                f"receptive_field got a layer {layer!r}, expected (size, stride[, dilation]), each at least 1"
            )
        size, stride, dilation = (*layer, 1)[:3]
        field += dilation * (size - 1) * step  # (1)
        step *= stride
    return field


def _check(
    name: str, x: torch.Tensor, w: torch.Tensor, b: Optional, groups: int, *, axes: int = 2, transposed: bool = False
) -> None:
    """Refuse tensors that no convolution over `axes` axes accepts."""
    require_floating(name, x=x, w=w, b=b)
    if x.dim() < axes + 1:
        raise ValueError(f"{name} got x of too few axes: {tuple(x.shape)}, expected (..., channels, {axes} lengths)")
    if w.dim() != axes + 2:
        raise ValueError(f"{name} got w of the wrong rank: {tuple(w.shape)}, expected {axes + 2} axes")
    if 0 in w.shape:
        raise ValueError(f"{name} got an empty kernel: shape {tuple(w.shape)}, expected every length at least 1")
    channels = x.shape[-axes - 1]
    if groups < 1 or channels % groups or w.shape[0] % groups:
        raise ValueError(
            f"{name} cannot form groups: {groups}, expected a divisor of x's {channels} and w's {w.shape[0]} channels"
        )
    wanted = w.shape[0] if transposed else w.shape[1] * groups
    if channels != wanted:
        raise ValueError(
            f"{name} got x with the wrong channels: {channels}, expected {wanted} (w {tuple(w.shape)}, groups {groups})"
        )
    out = w.shape[1] * groups if transposed else w.shape[0]
    if b is not None and tuple(b.shape) != (out,):
        raise ValueError(
            f"{name} got b of the wrong shape: {tuple(b.shape)}, expected ({out},), one per output channel"
        )
    if any(tensor is not None and tensor.dtype != x.dtype for tensor in (w, b)):
        raise ValueError(f"{name} got mixed dtypes: {x.dtype} and {w.dtype}, expected one for x, w and b; convert them")


def _zeros(
    x: torch.Tensor, w: torch.Tensor, stride: tuple[int, int], padding: Padding, dilation: tuple[int, int]
) -> tuple[int, ...]:
    """(left, right, top, bottom), the order in which torch pads; checks that a window fits on both axes."""
    amounts = (padding, padding) if isinstance(padding, str) else pair(padding, "padding", least=0)
    zeros: list[int] = []
    for p, n, size, s, d in zip(amounts, x.shape[-2:], w.shape[-2:], stride, dilation, strict=True):
        before, after = sides(p, n, size, s, d)
        count(n + before + after, size, s, d)
        zeros = [before, after, *zeros]
    return tuple(zeros)


def conv2d_forward(
    x: torch.Tensor,
    w: torch.Tensor,
    b: Optional = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> tuple[torch.Tensor, Saved]:
    """Slide each kernel over the image and take the dot product with the patch beneath it.

    Shapes: x (..., C, H, W), w (F, C/groups, A, B), b (F,) or None -> y (..., F, I, J),
        I = conv_output_size(H, A, s, p, d) and J = conv_output_size(W, B, t, q, e)
    Forward:
        (1) x̃ = x with p rows and q columns of zeros on each side
        (2) y[f, i, j] = b[f] + Σ_cab w[f, c, a, b] · x̃[c, s·i + d·a, t·j + e·b], c over the channels of f's group
    Backward:
        (3) db[f] = Σ_ij dy[f, i, j], summed over the leading axes too
        (4) dw[f, c, a, b] = Σ_ij dy[f, i, j] · x̃[c, s·i + d·a, t·j + e·b], summed over the leading axes too
        (5) dx̃[c, u, v] = Σ w[f, c, a, b] · dy[f, i, j] over all f, a, b, i, j with s·i + d·a = u, t·j + e·b = v;
            dx is dx̃ without its border
    Conventions: no flip (in mathematics: cross-correlation); sizes are (rows, columns); rows and columns behind the
        last window get no gradient; `same` gives ⌈n/stride⌉ outputs, an odd zero at bottom and right;
        `valid` pads nothing.
    Errors: ValueError for wrong rank, channels, groups, dtype, stride or dilation below 1, a kernel over the image.
    Example: conv2d(torch.ones(1, 3, 3), torch.ones(1, 1, 2, 2)).tolist() == [[[4.0, 4.0], [4.0, 4.0]]]
    Asked: gfg-36.2, gfg-36.3, gfg-36.4, gfg-36.5, gfg-36.6, gfg-36.7, gfg-36.9, gfg-37.2, gfg-37.3, gfg-37.5, gfg-37.6,
        gfg-37.7, gfg-38.1, gfg-38.4, gfg-38.5, gfg-39.1, gfg-39.3, gfg-39.4, gfg-39.5, gfg-41.1, gfg-41.2, gfg-41.3,
        gfg-41.5, gfg-41.6, gfg-41.7, gfg-41.8, gfg-41.9, gfg-41.10, gfg-44.2, ib-7.10, ib-7.11, ib-7.12, ib-7.13
    Source: Goodfellow, Bengio and Courville 2016, equation 9.6; Dumoulin and Visin 2016.
    """
    _check("conv2d", x, w, b, groups)
    steps, gaps = pair(stride, "stride", least=1), pair(dilation, "dilation", least=1)
    bordered = pad(x, _zeros(x, w, steps, padding, gaps))  # (1) (..., C, H + 2p, W + 2q)
    y = correlated(bordered, w, steps, gaps, groups)  # (2) (..., F, I, J)
    return (y, (x, w)) if b is None else (y + b[:, None, None], (x, w, b))


def conv2d_backward(
    saved: Saved, dy: torch.Tensor, *, stride: Size = 1, padding: Padding = 0, dilation: Size = 1, groups: int = 1
) -> Gradients:
    """Equations (3) to (5): dy (..., F, I, J) -> dx (..., C, H, W), dw (F, C/groups, A, B), db (F,) or None."""
    x, w, *b = saved
    steps, gaps = pair(stride, "stride", least=1), pair(dilation, "dilation", least=1)
    zeros = _zeros(x, w, steps, padding, gaps)
    bordered = pad(x, zeros)  # (..., C, H + 2p, W + 2q)
    db = _over_all_but_channels(dy) if b else None  # (3) (F,)
    dw = kernel_slope(bordered, dy, w, steps, gaps, groups)  # (4) (F, C/groups, A, B)
    dx = spread(dy, w, steps, gaps, groups, bordered.shape[-2:])  # (5) (..., C, H + 2p, W + 2q)
    (left, _, top, _), (height, width) = zeros, x.shape[-2:]
    return dx[..., top : top + height, left : left + width], dw, db


def _over_all_but_channels(dy: torch.Tensor) -> torch.Tensor:
    """Sum (..., F, I, J) to (F,)."""
    return dy.sum([axis for axis in range(dy.dim()) if axis != dy.dim() - 3])


def conv1d_forward(
    x: torch.Tensor,
    w: torch.Tensor,
    b: Optional = None,
    *,
    stride: int = 1,
    padding: int | str = 0,
    dilation: int = 1,
    groups: int = 1,
) -> tuple[torch.Tensor, Saved]:
    """Slide each kernel along a sequence and take the dot product with the stretch beneath it.

    Shapes: x (..., C, L), w (F, C/groups, A), b (F,) or None -> y (..., F, I), I = conv_output_size(L, A, s, p, d)
    Forward:
        (1) y[f, i] = b[f] + Σ_ca w[f, c, a] · x̃[c, s·i + d·a], x̃ = x with p zeros on each side
    Backward:
        (2) db[f] = Σ_i dy[f, i], summed over the leading axes too
        (3) dw[f, c, a] = Σ_i dy[f, i] · x̃[c, s·i + d·a], summed over the leading axes too
        (4) dx̃[c, u] = Σ w[f, c, a] · dy[f, i] over all f, a, i with s·i + d·a = u; dx is dx̃ without its border
    Conventions: those of `conv2d`, of which this is the case of a single row.
    Errors: those of `conv2d`.
    Example: conv1d(torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[[-1.0, 1.0]]])).tolist() == [[1.0, 2.0]]
    Asked: ib-7.11, ib-7.12
    Source: Dumoulin and Visin 2016.
    """
    _check("conv1d", x, w, b, groups, axes=1)
    hyper = _one_row(stride, padding, dilation, groups)
    y, _ = conv2d_forward(x.unsqueeze(-2), w.unsqueeze(-2), b, **hyper)  # (1) (..., F, 1, I)
    return y.squeeze(-2), (x, w) if b is None else (x, w, b)


def conv1d_backward(
    saved: Saved, dy: torch.Tensor, *, stride: int = 1, padding: int | str = 0, dilation: int = 1, groups: int = 1
) -> Gradients:
    """Equations (2) to (4): dy (..., F, I) -> dx (..., C, L), dw (F, C/groups, A), db (F,) or None."""
    x, w, *b = saved
    hyper = _one_row(stride, padding, dilation, groups)
    row = (x.unsqueeze(-2), w.unsqueeze(-2), *b)
    dx, dw, db = conv2d_backward(row, dy.unsqueeze(-2), **hyper)  # (2), (3), (4)
    return dx.squeeze(-2), dw.squeeze(-2), db


def _one_row(stride: int, padding: int | str, dilation: int, groups: int) -> dict[str, Any]:
    """The hyper-parameters of a sequence, for an image of one row."""
    amounts = padding if isinstance(padding, str) else (0, padding)
    return {"stride": (1, stride), "padding": amounts, "dilation": (1, dilation), "groups": groups}


def conv_transpose2d_forward(
    x: torch.Tensor,
    w: torch.Tensor,
    b: Optional = None,
    *,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> tuple[torch.Tensor, Saved]:
    """Lay a copy of the kernel, weighted by each pixel, onto a larger image: the transpose of the linear map `conv2d`.

    Shapes: x (..., C, H, W), w (C, F/groups, A, B), b (F,) or None -> y (..., F, I, J),
        I = (H - 1)·s - 2p + d·(A - 1) + 1 + output padding, and J alike
    Forward:
        (1) ỹ[f, u, v] = Σ w[c, f, a, b] · x[c, i, j] over all c, a, b, i, j with s·i + d·a = u, t·j + e·b = v
        (2) y = b + ỹ without p rows and q columns on each side
    Backward:
        (3) dỹ = dy with p rows and q columns of zeros on each side
        (4) db[f] = Σ_ij dy[f, i, j], summed over the leading axes too
        (5) dw[c, f, a, b] = Σ_ij x[c, i, j] · dỹ[f, s·i + d·a, t·j + e·b], summed over the leading axes too
        (6) dx[c, i, j] = Σ_fab w[c, f, a, b] · dỹ[f, s·i + d·a, t·j + e·b]
    Conventions: it restores the size that `conv2d` with the same settings took away, not the values; the output padding
        (smaller than stride or dilation) says which of the sizes that gave the same result is meant, and adds rows at
        the bottom and columns at the right.
    Errors: ValueError as in `conv2d`, for an output padding that is too large, and for padding that leaves nothing.
    Example:
        x = torch.tensor([[[1.0, 2.0]]])
        conv_transpose2d(x, torch.ones(1, 1, 1, 2), stride=(1, 2)).tolist() == [[[1.0, 1.0, 2.0, 2.0]]]
    Asked: gfg-44.1, gfg-44.3, gfg-44.4, gfg-44.5, gfg-44.7
    Source: Dumoulin and Visin 2016, relationships 8 to 14.
    """
    _check("conv_transpose2d", x, w, b, groups, transposed=True)
    steps, gaps = pair(stride, "stride", least=1), pair(dilation, "dilation", least=1)
    full, crop = _transposed_sizes(x, w, steps, gaps, padding, output_padding)
    y = spread(x, w, steps, gaps, groups, full)  # (1) (..., F, I + 2p, J + 2q)
    y = y[..., crop[0] : full[0] - crop[0], crop[1] : full[1] - crop[1]]  # (2) (..., F, I, J)
    return (y, (x, w)) if b is None else (y + b[:, None, None], (x, w, b))


def _transposed_sizes(
    x: torch.Tensor,
    w: torch.Tensor,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: Size,
    output_padding: Size,
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The size (rows, columns) before cropping, and what is cropped on each side."""
    crop, extra = pair(padding, "padding", least=0), pair(output_padding, "output_padding", least=0)
    if 0 in x.shape[-2:]:
        raise ValueError(
            f"conv_transpose2d got an empty image: {tuple(x.shape[-2:])}, expected at least 1 row and column"
        )
    if any(more >= max(s, d) for more, s, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError(f"output_padding is too large: {extra}, expected below stride {stride} or dilation {dilation}")
    steps = zip(x.shape[-2:], w.shape[-2:], stride, dilation, extra, strict=True)
    rows, columns = ((n - 1) * s + d * (size - 1) + 1 + more for n, size, s, d, more in steps)
    if rows <= 2 * crop[0] or columns <= 2 * crop[1]:
        raise ValueError(f"padding leaves no output: {crop} from {(rows, columns)}, expected less than half; pad less")
    return (rows, columns), crop


def conv_transpose2d_backward(
    saved: Saved,
    dy: torch.Tensor,
    *,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Gradients:
    """Equations (3) to (6): dy (..., F, I, J) -> dx (..., C, H, W), dw (C, F/groups, A, B), db (F,) or None."""
    x, w, *b = saved
    steps, gaps = pair(stride, "stride", least=1), pair(dilation, "dilation", least=1)
    p, q = pair(padding, "padding", least=0)
    bordered = pad(dy, (q, q, p, p))  # (3) (..., F, I + 2p, J + 2q)
    db = _over_all_but_channels(dy) if b else None  # (4) (F,)
    dw = kernel_slope(bordered, x, w, steps, gaps, groups)  # (5) (C, F/groups, A, B)
    dx = correlated(bordered, w, steps, gaps, groups)  # (6) the output padding can make room for one more
    return dx[..., : x.shape[-2], : x.shape[-1]], dw, db


conv1d = Differentiable(conv1d_forward, conv1d_backward)
conv2d = Differentiable(conv2d_forward, conv2d_backward)
conv_transpose2d = Differentiable(conv_transpose2d_forward, conv_transpose2d_backward)
