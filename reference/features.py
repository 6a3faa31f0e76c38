"""The body that a detector and a segmenter share: convolutions that turn a picture into a map of features."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch

from reference.activations import relu
from reference.convolution import conv2d
from reference.initialization import he_normal

__all__ = ["convolution_weights", "feature_map"]


def convolution_weights(
    channels: Sequence[int], *, size: int = 3, generator: torch.Generator, dtype: torch.dtype = torch.float64
) -> list[torch.Tensor]:
    """Weights and biases of convolutions one after the other: w1, b1, w2, b2, ...

    Shapes: -> w (channels[i + 1], channels[i], size, size), b (channels[i + 1]), for each i
    (1) w of He's variance 2 / fan-in, b = 0
    Example: [tuple(t.shape) for t in convolution_weights([1, 2], generator=torch.Generator())] == [(2, 1, 3, 3), (2,)]
    Asked: none
    Source: He, Zhang, Ren, Sun, Delving deep into rectifiers (2015), equation 10.
    """
    params: list[torch.Tensor] = []
    for before, after in itertools.pairwise(channels):
        w = he_normal((after, before, size, size), generator=generator, dtype=dtype)
        params += [w, w.new_zeros(after)]  # (1)
    return params


def feature_map(x: torch.Tensor, params: Sequence[torch.Tensor], *, strides: Sequence[int]) -> torch.Tensor:
    """Convolutions with a rectifier after each; the strides say how much each one shrinks the picture.

    Shapes: x (..., c, h, w), params w1, b1, ... -> (..., channels, h / s, w / s), s being the product of the strides
    (1) x = relu(conv2d(x, w, b)) with a border of zeros as wide as half the kernel
    Errors: ValueError if the number of strides is not that of the pairs of weights and biases.
    Example:
        params = convolution_weights([1, 2], generator=torch.Generator().manual_seed(0))
        feature_map(torch.ones(1, 4, 4, dtype=torch.float64), params, strides=[2]).shape == (2, 2, 2)
    Asked: gfg-36.2, gfg-36.3, gfg-45.7
    Source: LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition (1998).
    """
    if len(params) != 2 * len(strides):
        raise ValueError(
            f"feature_map got {len(params)} parameters, expected a pair for each of {len(strides)} strides"
        )
    for w, b, stride in zip(params[::2], params[1::2], strides, strict=True):
        x = relu(conv2d(x, w, b, stride=stride, padding=w.shape[-1] // 2))  # (1)
    return x
