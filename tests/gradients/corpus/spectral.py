"""Complex functions: the conjugate Wirtinger convention, right and wrong.

Kinds of report studied: products whose backward forgets the conjugate (TensorFlow 4859), transforms scaled twice,
real parts dropped (FluxML 151, Reactant 2294).
"""

from __future__ import annotations

import torch
from torch import Tensor

from tests.gradients.corpus.draw import magnitudes, mixed, quotient
from tests.gradients.corpus.entry import Component, Entry, Inputs, Mistake, Named, modern


def complexes(**shapes: tuple[int, ...]) -> Inputs:
    """Complex numbers with both parts of both signs."""

    def inputs(generator: torch.Generator, dtype: torch.dtype) -> Named:
        real = mixed(**shapes)(generator, dtype)
        return {
            name: torch.complex(x, magnitudes(tuple(x.shape), generator, dtype, 0.3, 1.7)) for name, x in real.items()
        }

    return inputs


def scale(y: Tensor) -> int:
    """How many numbers the transform runs over."""
    return y.shape[-1]


TIMES = Component(
    "complex product",
    lambda a, b: a * b,
    lambda dy, y, a, b: (dy * b.conj(), dy * a.conj()),
    complexes(a=(4,), b=(4,)),
    style=modern,
)
POWER = Component("complex cube", lambda z: z**3, lambda dy, y, z: dy * 3 * (z * z).conj(), complexes(z=(4,)))
MODULUS = Component("modulus squared", lambda z: z.real**2 + z.imag**2, lambda dy, y, z: 2 * dy * z, complexes(z=(4,)))
LENGTH = Component("modulus", torch.abs, lambda dy, y, z: dy * quotient(z, y), complexes(z=(4,)), style=modern)
MATRIX = Component(
    "complex matrix product",
    lambda a, b: a @ b,
    lambda dy, y, a, b: (dy @ b.mH, a.mH @ dy),
    complexes(a=(3, 3), b=(3, 3)),
)
FOURIER = Component(
    "fourier transform",
    lambda z: torch.fft.fft(z) ** 2,
    lambda dy, y, z: torch.fft.ifft(dy * 2 * torch.fft.fft(z).conj()) * scale(y),
    complexes(z=(5,)),
)
SPECTRUM = Component(
    "power spectrum of real numbers",
    lambda x: torch.fft.fft(x.to(torch.complex128)).abs() ** 2,
    lambda dy, y, x: (2 * scale(y) * torch.fft.ifft(dy * torch.fft.fft(x))).real.to(x.dtype),
    mixed(x=(5,)),
)

COMPONENTS = (TIMES, POWER, MODULUS, LENGTH, MATRIX, FOURIER, SPECTRUM)

WRONG = (
    TIMES.wrong("conjugates forgotten", Mistake.CONJUGATE, lambda dy, y, a, b: (dy * b, dy * a)),
    TIMES.wrong(
        "imaginary part dropped", Mistake.TERM, lambda dy, y, a, b: ((dy * b.conj()).real + 0j * dy, dy * a.conj())
    ),
    POWER.wrong("conjugate forgotten", Mistake.CONJUGATE, lambda dy, y, z: dy * 3 * z * z),
    MODULUS.wrong("conjugated once too often", Mistake.CONJUGATE, lambda dy, y, z: 2 * dy * z.conj()),
    MODULUS.wrong("half of the convention", Mistake.SCALE, lambda dy, y, z: dy * z),
    LENGTH.wrong("divisor squared", Mistake.TERM, lambda dy, y, z: dy * z / (y * y)),
    MATRIX.wrong("transposed but not conjugated", Mistake.CONJUGATE, lambda dy, y, a, b: (dy @ b.mT, a.mT @ dy)),
    FOURIER.wrong("length forgotten", Mistake.SCALE, lambda dy, y, z: torch.fft.ifft(dy * 2 * torch.fft.fft(z).conj())),
    FOURIER.wrong(
        "forward transform again", Mistake.CONJUGATE, lambda dy, y, z: torch.fft.fft(dy * 2 * torch.fft.fft(z).conj())
    ),
    SPECTRUM.wrong(
        "one of two sides",
        Mistake.SCALE,
        lambda dy, y, x: (scale(y) * torch.fft.ifft(dy * torch.fft.fft(x))).real.to(x.dtype),
    ),
)

ENTRIES: tuple[Entry, ...] = (*(component.right() for component in COMPONENTS), *WRONG)
