"""Initialisers: the weights a layer starts from. Each is a function of a shape and, where it draws, of a generator.

A shape is (out, in) for a dense layer and (out, in, *kernel) for a convolution; with k kernel entries,
fan_in = in · k and fan_out = out · k. Results are float64 unless asked otherwise and lie on the generator's device.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

__all__ = [
    "constant", "fans", "he_normal", "he_uniform", "normal", "orthogonal", "pretrained", "uniform", "xavier_normal",
    "xavier_uniform", "zeros",
]  # fmt: skip

Shape = Sequence[int]


def zeros(shape: Shape, *, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Every weight zero.

    Shapes: shape -> w shape
    (1) w = 0
    Errors: ValueError if a size is negative.
    Example: zeros((2,)).tolist() == [0.0, 0.0]
    Asked: gfg-32.2, gfg-32.3, gfg-32.4, gfg-32.5, ib-17.1, ib-17.2, ib-17.3, ib-17.4
    Source: gfg-32.2 asks what it does to a network.
    """
    return constant(shape, 0.0, dtype=dtype)  # (1)


def constant(shape: Shape, value: float, *, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Every weight the same number.

    Shapes: shape -> w shape
    (1) w = value
    Errors: ValueError if a size is negative or the value is not finite.
    Example: constant((2,), 0.5).tolist() == [0.5, 0.5]
    Asked: ib-17.5
    Source: ib-17.5 asks what it does to a network.
    """
    _check_sizes("constant", shape)
    if not math.isfinite(value):
        raise ValueError(f"constant got a value that is not finite: {value}, expected a number; pass a finite one")
    return torch.full(tuple(shape), value, dtype=dtype)  # (1)


def pretrained(shape: Shape, learned: torch.Tensor, *, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """The weights that training on another task has left.

    Shapes: shape, learned shape -> w shape
    (1) w = learned
    Conventions: a copy, so that training on does not change what was learned; no gradient leads back to it.
    Errors: ValueError if the shapes differ or a weight is not finite.
    Example: pretrained((2,), torch.tensor([0.5, -1.0])).tolist() == [0.5, -1.0]
    Asked: gfg-32.20
    Source: gfg-32.20 asks what it takes over.
    """
    _check_sizes("pretrained", shape)
    if tuple(learned.shape) != tuple(shape):
        raise ValueError(
            f"pretrained got weights of another shape: {tuple(learned.shape)}, expected {tuple(shape)}; "
            "take the weights of the same layer"
        )
    if not bool(learned.isfinite().all()):
        raise ValueError(
            "pretrained got weights that are not finite, expected numbers; the training before has diverged"
        )
    return learned.detach().to(dtype, copy=True)  # (1)


def normal(shape: Shape, *, sd: float, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Independent normal weights of mean zero.

    Shapes: shape -> w shape
    (1) w ~ N(0, sd²)
    Errors: ValueError if a size or sd is negative.
    Example: normal((2,), sd=0.0, generator=torch.Generator()).tolist() == [0.0, 0.0]
    Asked: gfg-32.1, gfg-32.6, gfg-32.7, gfg-32.8, gfg-32.9
    Source: LeCun, Bottou, Orr, Müller, Efficient BackProp (1998), section 4.6.
    """
    _check_sizes("normal", shape)
    _check_positive("normal", "sd", sd)
    return sd * torch.randn(tuple(shape), generator=generator, dtype=dtype, device=generator.device)  # (1)


def uniform(
    shape: Shape, *, bound: float, generator: torch.Generator, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    """Independent uniform weights between -bound and bound, whose variance is bound²/3.

    Shapes: shape -> w shape
    (1) w = bound · (2u - 1), u ~ U[0, 1)
    Errors: ValueError if a size or the bound is negative.
    Example: uniform((100,), bound=0.5, generator=torch.Generator().manual_seed(0)).abs().max().item() <= 0.5
    Asked: gfg-32.6
    Source: Glorot and Bengio (2010), equation 1.
    """
    _check_sizes("uniform", shape)
    _check_positive("uniform", "bound", bound)
    u = torch.rand(tuple(shape), generator=generator, dtype=dtype, device=generator.device)
    return bound * (2 * u - 1)  # (1)


def fans(shape: Shape) -> tuple[int, int]:
    """How many inputs each output unit has, and how many outputs each input unit has: (fan_in, fan_out).

    Shapes: shape (out, in, *kernel)
    (1) fan_in = in · k, fan_out = out · k, k the number of kernel entries
    Errors: ValueError if the shape has fewer than two axes or an empty one.
    Example: fans((8, 3, 5, 5)) == (75, 200)
    Asked: gfg-32.11
    Source: He, Zhang, Ren, Sun, Delving deep into rectifiers (2015), section 2.2.
    """
    _check_sizes("fans", shape)
    if len(shape) < 2 or min(shape) == 0:
        raise ValueError(
            f"fans got a shape without fans: {tuple(shape)}, expected (out, in, *kernel), every size positive"
        )
    entries = math.prod(shape[2:])
    return shape[1] * entries, shape[0] * entries  # (1)


def xavier_normal(shape: Shape, *, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Xavier (Glorot) weights from a normal distribution: the compromise between keeping activations and gradients.

    Shapes: shape (out, in, *kernel) -> w shape
    (1) w ~ N(0, 1/fan_avg), fan_avg = (fan_in + fan_out) / 2
    Errors: ValueError if the shape has no fans.
    Example: xavier_normal((3, 2), generator=torch.Generator().manual_seed(0)).shape == (3, 2)
    Asked: gfg-29.5, gfg-32.10, gfg-32.11, gfg-32.12
    Source: Glorot and Bengio, Understanding the difficulty of training deep feedforward networks (2010), equation 12.
    """
    return normal(shape, sd=math.sqrt(2 / sum(fans(shape))), generator=generator, dtype=dtype)  # (1)


def xavier_uniform(shape: Shape, *, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Xavier (Glorot) weights from a uniform distribution of the same variance.

    Shapes: shape (out, in, *kernel) -> w shape
    (1) w ~ U(-a, a), a = √(3/fan_avg) = √(6/(fan_in + fan_out))
    Errors: ValueError if the shape has no fans.
    Example: xavier_uniform((2, 4), generator=torch.Generator().manual_seed(0)).abs().max().item() <= 1.0
    Asked: gfg-29.5, gfg-32.12
    Source: Glorot and Bengio, Understanding the difficulty of training deep feedforward networks (2010), equation 16.
    """
    return uniform(shape, bound=math.sqrt(6 / sum(fans(shape))), generator=generator, dtype=dtype)  # (1)


def he_normal(
    shape: Shape,
    *,
    generator: torch.Generator,
    fan: str = "in",
    slope: float = 0.0,
    dtype: torch.dtype = torch.float64,
) -> torch.Tensor:
    """He (Kaiming) weights from a normal distribution: twice the variance, for units that silence half of their inputs.

    Shapes: shape (out, in, *kernel) -> w shape
    (1) w ~ N(0, 2 / ((1 + slope²) · n)), n = fan_in, fan_out or fan_avg, slope that of a leaky rectifier below zero
    Errors: ValueError if the shape has no fans, the fan is unknown or the slope is not finite.
    Example: he_normal((3, 2), generator=torch.Generator().manual_seed(0)).shape == (3, 2)
    Asked: gfg-29.5, gfg-32.14, gfg-32.15
    Source: He, Zhang, Ren, Sun, Delving deep into rectifiers (2015), equations 10, 14 and 15.
    """
    return normal(shape, sd=math.sqrt(_he_variance(shape, fan, slope)), generator=generator, dtype=dtype)  # (1)


def he_uniform(
    shape: Shape,
    *,
    generator: torch.Generator,
    fan: str = "in",
    slope: float = 0.0,
    dtype: torch.dtype = torch.float64,
) -> torch.Tensor:
    """He (Kaiming) weights from a uniform distribution of the same variance.

    Shapes: shape (out, in, *kernel) -> w shape
    (1) w ~ U(-a, a), a = √(3 · 2 / ((1 + slope²) · n)), n as in he_normal
    Errors: ValueError if the shape has no fans, the fan is unknown or the slope is not finite.
    Example: he_uniform((2, 6), generator=torch.Generator().manual_seed(0)).abs().max().item() <= 1.0
    Asked: gfg-29.5, gfg-32.15
    Source: He, Zhang, Ren, Sun, Delving deep into rectifiers (2015), equations 10, 14 and 15.
    """
    return uniform(shape, bound=math.sqrt(3 * _he_variance(shape, fan, slope)), generator=generator, dtype=dtype)  # (1)


def orthogonal(shape: Shape, *, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """A random matrix with orthonormal rows or columns, uniformly distributed (Haar measure) among all of them.

    Shapes: shape (out, in, *kernel) -> w shape, orthonormal as a matrix (out, in · k)
    (1) Q·R = G, G with independent normal entries and at least as many rows as columns
    (2) w = Q · sign(diag R)
    Conventions: orthonormal rows where out <= in · k, else columns; the sign in (2) undoes the convention of
        the decomposition, without which the result would not be uniform.
    Errors: ValueError if the shape has no fans.
    Example: orthogonal((1, 1), generator=torch.Generator().manual_seed(0)).abs().item() == 1.0
    Asked: gfg-32.16, gfg-32.17, gfg-32.18, gfg-32.19
    Source: Saxe, McClelland, Ganguli, Exact solutions to the nonlinear dynamics of learning (2014); Mezzadri, How to
        generate random matrices from the classical compact groups (2007).
    """
    fans(shape)
    rows, columns = shape[0], math.prod(shape[1:])
    tall = (max(rows, columns), min(rows, columns))
    q, r = torch.linalg.qr(normal(tall, sd=1.0, generator=generator, dtype=dtype))  # (1)
    w = q * torch.where(r.diagonal() < 0, -1.0, 1.0)  # (2) (tall)
    return (w if rows >= columns else w.mT).reshape(tuple(shape)).contiguous()


def _he_variance(shape: Shape, fan: str, slope: float) -> float:
    fan_in, fan_out = fans(shape)
    sizes = {"in": fan_in, "out": fan_out, "average": (fan_in + fan_out) / 2}
    if fan not in sizes:
        raise ValueError(f"he got an unknown fan: {fan!r}, expected one of {', '.join(sizes)}")
    if not math.isfinite(slope):
        raise ValueError(f"he got a slope that is not finite: {slope}, expected a number; pass a finite one")
    return 2 / ((1 + slope**2) * sizes[fan])


def _check_sizes(name: str, shape: Shape) -> None:
    wrong = [size for size in shape if not isinstance(size, int) or size < 0]
    if wrong:
        raise ValueError(f"{name} got sizes that are none: {wrong} in {tuple(shape)}, expected integers from 0 on")


def _check_positive(name: str, argument: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} got {argument} out of range: {value}, expected 0 <= {argument} < inf")
