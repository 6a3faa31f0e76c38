"""Convolutions: forward against torch and a loop, backward against derivatives, sizes, adjoints, bad input."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from claims.lab.sliding import dot_products
from reference import convolution
from reference.convolution import conv1d, conv2d, conv_output_size, conv_transpose2d, receptive_field
from subjects.torch_nn import convolution as by_torch
from tests.reference.protocol import Case, check_backward, draw

X, W, B = draw(2, 4, 5, 4), draw(2, 4, 2, 3, seed=1), draw(2, seed=2)
SCALE = 24 * 3.5**2  # at most 24 products of numbers below three and a half


def case(component: Any, *tensors: torch.Tensor | None, **hyper: Any) -> Case:
    return Case(component, tensors, getattr(by_torch, component.name), hyper, scale=SCALE, samples=(0,))


CASES = {
    "conv2d": case(conv2d, X, W, B),
    "conv2d without bias": case(conv2d, X, W, None),
    "conv2d of one image": case(conv2d, X[0], W, B, padding=1),
    "conv2d with strides that leave a rest": case(conv2d, X, W, B, stride=(3, 2), padding=(0, 1)),
    "conv2d dilated": case(conv2d, draw(4, 5, 6), W, B, dilation=(1, 2), padding=1),
    "conv2d in groups": case(conv2d, X, draw(4, 2, 2, 3), draw(4), groups=2, stride=2),
    "conv2d depthwise": case(conv2d, X, draw(4, 1, 2, 2), None, groups=4),
    "conv2d same, even kernel": case(conv2d, X, draw(1, 4, 2, 3), None, padding="same"),
    "conv2d same, with stride": case(conv2d, X, W, B, padding="same", stride=2),
    "conv2d over a grid of images": case(conv2d, draw(2, 1, 2, 3, 3), draw(2, 2, 2, 2), None),
    "conv1d": case(conv1d, draw(2, 2, 7), draw(3, 2, 3), draw(3), stride=2, padding=1),
    "conv1d dilated, same": case(conv1d, draw(2, 2, 6), draw(2, 1, 3), None, dilation=2, padding="same", groups=2),
    "conv_transpose2d": case(conv_transpose2d, draw(2, 2, 3, 2), W, draw(4)),
    "conv_transpose2d with stride": case(
        conv_transpose2d, draw(2, 2, 3, 2), W, None, stride=(2, 3), padding=1, output_padding=(1, 2)
    ),
    "conv_transpose2d in groups, dilated": case(
        conv_transpose2d, draw(4, 2, 2), draw(4, 1, 2, 2), draw(2), groups=2, dilation=2, output_padding=1
    ),
}


MISTAKES: dict[str, Callable[..., Any]] = {
    "kernel not flipped for dx": lambda backward: (
        lambda saved, dy, **hyper: (
            backward((saved[0], saved[1].flip(-2, -1), *saved[2:]), dy, **hyper)[0],
            *backward(saved, dy, **hyper)[1:],
        )
    ),
    "dw of the first image only": lambda backward: (
        lambda saved, dy, **hyper: (
            backward(saved, dy, **hyper)[0],
            backward((saved[0][:1], *saved[1:]), dy[:1], **hyper)[1],
            backward(saved, dy, **hyper)[2],
        )
    ),
    "dw with rows and columns exchanged": lambda backward: (
        lambda saved, dy, **hyper: (
            backward(saved, dy, **hyper)[0],
            backward(saved, dy, **hyper)[1].mT.reshape(saved[1].shape),
            backward(saved, dy, **hyper)[2],
        )
    ),
    "db a mean where it should be a sum": lambda backward: (
        lambda saved, dy, **hyper: (
            *backward(saved, dy, **hyper)[:2],
            backward(saved, dy, **hyper)[2] / dy[:, 0].numel(),
        )
    ),
    "stride forgotten": lambda backward: (
        lambda saved, dy, *, stride, **hyper: backward(saved, dy.repeat(1, 1, 3, 3)[..., :4, :4], stride=1, **hyper)
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_of_a_convolution_is_caught(mistake: str) -> None:
    sound = case(conv2d, X, W, B, stride=(3, 2), padding=(0, 1))
    wrong = replace(sound, component=replace(conv2d, backward=MISTAKES[mistake](conv2d.backward)))
    check_backward(sound)
    with pytest.raises(AssertionError):
        check_backward(wrong)


def whole(*shape: int, seed: int = 0) -> torch.Tensor:
    """Whole numbers below 15: their sums of products are exact in float64, so that equal means to the last bit."""
    return draw(*shape, seed=seed).mul(4).round()


def test_the_loop_over_positions_gives_the_same() -> None:
    x, w, b = whole(3, 6, 5), whole(2, 3, 3, 2, seed=1), whole(2, seed=2)
    assert torch.equal(conv2d(x, w, b, stride=2), dot_products(x, w, b, stride=2))


LAYERS = list(itertools.product((1, 4, 5, 9), (1, 2, 3), (1, 2, 3), (0, 1, "same", "valid"), (1, 2)))


def fits(n: int, size: int, padding: int | str, dilation: int) -> bool:
    return padding == "same" or n + 2 * (padding if isinstance(padding, int) else 0) >= dilation * (size - 1) + 1


@pytest.mark.parametrize(
    ("n", "size", "stride", "padding", "dilation"), [a for a in LAYERS if fits(a[0], a[1], *a[3:])]
)
def test_the_predicted_size_is_the_size(n: int, size: int, stride: int, padding: int | str, dilation: int) -> None:
    y = conv1d(torch.zeros(1, n), torch.zeros(1, 1, size), stride=stride, padding=padding, dilation=dilation)
    assert y.shape[-1] == conv_output_size(n, size, stride, padding, dilation)
    assert y.shape[-1] == by_torch.conv_output_size(n, size, stride, padding, dilation)


@pytest.mark.parametrize("layer", [a for a in LAYERS if not fits(a[0], a[1], *a[3:])])
def test_a_layer_without_a_window_has_no_size(layer: Any) -> None:
    with pytest.raises(ValueError, match="larger than the padded input"):
        conv_output_size(*layer)


@pytest.mark.parametrize("layers", [[], [(3, 1)], [(3, 2), (3, 1)], [(2, 2, 1), (3, 1, 2), (2, 3)], [(1, 4), (5, 1)]])
def test_the_receptive_field_is_what_one_output_sees(layers: list[tuple[int, ...]]) -> None:
    x = torch.ones(1, 60, dtype=torch.float64, requires_grad=True)
    y = x
    for size, stride, *dilation in layers:
        kernel = torch.ones(1, 1, size, dtype=torch.float64)
        y = conv1d(y, kernel, stride=stride, dilation=dilation[0] if dilation else 1)
    (dx,) = torch.autograd.grad(y[0, 0], x)
    seen = dx[0].nonzero().flatten()
    assert int(seen.max() - seen.min()) + 1 == receptive_field(layers)


@pytest.mark.parametrize(("stride", "padding", "rest"), [(1, 0, 0), (2, 1, 0), (2, 0, 1), (3, 1, 2)])
def test_the_transpose_is_the_adjoint(stride: int, padding: int, rest: int) -> None:
    """<conv(x), y> = <x, transpose(y)> for all x and y, with the kernels read in the other direction."""
    w = whole(3, 2, 3, 3)
    n = 3 * stride + 3 - 2 * padding + rest
    x, y = whole(2, n, n, seed=3), whole(3, 4, 4, seed=4)
    there = conv2d(x, w, stride=stride, padding=padding)
    back = conv_transpose2d(y, w, stride=stride, padding=padding, output_padding=rest)
    assert there.shape == y.shape
    assert back.shape == x.shape
    assert torch.equal((there * y).sum(), (x * back).sum())


def test_replicas_under_vmap_are_the_single_ones() -> None:
    x, w = whole(3, 2, 1, 5, 5), whole(3, 2, 1, 3, 3, seed=1)
    slope = torch.func.grad(lambda w, x: conv2d(x, w, padding=1).square().sum())
    assert torch.equal(torch.func.vmap(slope)(w, x), torch.stack([slope(w[k], x[k]) for k in range(3)]))


def test_an_empty_batch_stays_empty_and_has_zero_slopes() -> None:
    w, b = W.clone().requires_grad_(), B.clone().requires_grad_()
    y = conv2d(torch.empty(0, 4, 5, 4, dtype=torch.float64), w, b)
    assert y.shape == (0, 2, 4, 2)
    dw, db = torch.autograd.grad(y.sum(), (w, b))
    assert not dw.any()
    assert not db.any()


def test_large_and_tiny_values_keep_their_relative_accuracy() -> None:
    x, w = draw(1, 4, 4).abs(), draw(1, 1, 2, 2).abs()
    small = conv2d(x, w)
    for size in (2.0**-500, 2.0**500):
        assert torch.equal(conv2d(x * size, w), small * size)


BAD = {
    "x of too few axes": (lambda: conv2d(draw(4, 4), W), "too few axes"),
    "w of the wrong rank": (lambda: conv2d(X, draw(2, 4, 2)), "wrong rank"),
    "channels that do not fit": (lambda: conv2d(draw(3, 5, 5), W), "wrong channels"),
    "groups that do not divide": (lambda: conv2d(X, W, groups=3), "cannot form groups"),
    "a bias that does not fit": (lambda: conv2d(X, W, draw(3)), "b of the wrong shape"),
    "an empty kernel": (lambda: conv2d(X, torch.zeros(2, 4, 0, 3, dtype=torch.float64)), "empty kernel"),
    "stride 0": (lambda: conv2d(X, W, stride=0), "stride"),
    "half a stride": (lambda: conv2d(X, W, stride=1.5), "stride"),
    "dilation 0": (lambda: conv2d(X, W, dilation=0), "dilation"),
    "negative padding": (lambda: conv2d(X, W, padding=-1), "padding"),
    "an unknown padding": (lambda: conv2d(X, W, padding="full"), "'same' or 'valid'"),
    "a kernel larger than the image": (lambda: conv2d(X, draw(2, 4, 6, 2)), "larger than the padded input"),
    "integers": (lambda: conv2d(X.long(), W), "integers"),
    "mixed dtypes": (lambda: conv2d(X, W.float()), "mixed dtypes"),
    "conv1d of too few axes": (lambda: conv1d(draw(4), draw(1, 1, 2)), "too few axes"),
    "conv1d with channels that do not fit": (lambda: conv1d(draw(3, 5), draw(1, 2, 2)), "wrong channels"),
    "an output padding that is too large": (lambda: conv_transpose2d(draw(2, 3, 3), W, output_padding=1), "too large"),
    "padding that leaves nothing": (lambda: conv_transpose2d(draw(2, 1, 1), W, padding=1), "leaves no output"),
    "an empty image": (lambda: conv_transpose2d(torch.zeros(2, 0, 3, dtype=torch.float64), W), "empty image"),
    "transposed channels that do not fit": (lambda: conv_transpose2d(draw(3, 3, 3), W), "wrong channels"),
    "a size of 0": (lambda: conv_output_size(5, 0), "kernel size"),
    "a stride of 0": (lambda: conv_output_size(5, 3, 0), "stride"),
    "no layer": (lambda: receptive_field([(3,)]), "expected"),
    "a layer of size 0": (lambda: receptive_field([(0, 1)]), "at least 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name: str) -> None:
    call, words = BAD[name]
    with pytest.raises(ValueError, match=words):
        call()


def test_every_public_name_is_there() -> None:
    assert sorted(convolution.__all__) == [
        "conv1d",
        "conv2d",
        "conv_output_size",
        "conv_transpose2d",
        "receptive_field",
    ]
