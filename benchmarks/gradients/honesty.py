"""Are the error bars of the measured derivatives honest? Every entry against a derivative to fifty digits.

    python -m benchmarks.gradients.honesty [--seeds 4]

The truth is a central difference at 60 digits with a step of 1e-20 of the input's scale, whose own error is below 1e-35
of the entry. Counted: how many true errors lie inside their bar (wanted: 99.9 %), and how far the bars lie above the
errors (wanted on smooth functions: the typical bar at most 30 times the root mean square error of its output).
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
import torch
from mpmath import mpf
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.gradients.bars import measured
from benchmarks.gradients.results import write

DIGITS, STEP = 60, mpf(10) ** -20
SCALES = (1e-8, 1e-4, 1.0, 1e4, 1e8)
CONDITIONS = (1.0, 1e2, 1e4, 1e6, 1e8, 1e10)
WIDE = 80
INSIDE, FACTOR = 0.999, 30.0
Exact = Callable[[list[Any]], list[Any]]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """A function twice: in torch and in numbers of any precision; `scale` is the size of its inputs."""

    name: str
    call: Callable[[Tensor], Tensor]
    exact: Exact
    inputs: Callable[[torch.Generator], Tensor]
    scale: float = 1.0
    smooth: bool = True


def around(
    size: int, low: float, high: float, c: float = 1.0, signed: bool = False
) -> Callable[[torch.Generator], Tensor]:
    """`size` numbers in c·[low, high), with alternating signs if asked."""

    def inputs(generator: torch.Generator) -> Tensor:
        x = low + (high - low) * torch.rand(size, generator=generator, dtype=torch.float64)
        return c * x * (1 - 2 * (torch.arange(size) % 2) if signed else 1)

    return inputs


def each(function: Callable[[Any], Any]) -> Exact:
    """A function of one number, entry by entry."""
    return lambda x: [function(value) for value in x]


def softmax(x: list[Any]) -> list[Any]:
    """exp x over its sum."""
    powers = [mpmath.exp(value) for value in x]
    return [power / mpmath.fsum(powers) for power in powers]


def standardised(x: list[Any]) -> list[Any]:
    """x less its mean, over the root of its variance + 1e-5."""
    mean = mpmath.fsum(x) / len(x)
    spread = mpmath.sqrt(mpmath.fsum((value - mean) ** 2 for value in x) / len(x) + mpf(1e-5))
    return [(value - mean) / spread for value in x]


ELEMENTWISE: tuple[tuple[str, Callable[[Tensor], Tensor], Callable[[Any], Any], bool], ...] = (
    ("sin", torch.sin, mpmath.sin, True),
    ("exp", torch.exp, mpmath.exp, True),
    ("tanh", torch.tanh, mpmath.tanh, True),
    ("log", torch.log, mpmath.log, False),
    ("root", torch.sqrt, mpmath.sqrt, False),
    ("cube", lambda x: x**3, lambda x: x**3, True),
    ("error function", torch.erf, mpmath.erf, True),
    ("bell", lambda x: 1 / (1 + x * x), lambda x: 1 / (1 + x * x), True),
    ("reciprocal", lambda x: 1 / x, lambda x: 1 / x, False),
)
ROWS: tuple[tuple[str, Callable[[Tensor], Tensor], Exact], ...] = (
    ("softmax", lambda x: x.softmax(-1), softmax),
    ("log-sum-exp", lambda x: x.logsumexp(-1), lambda x: [mpmath.log(mpmath.fsum(mpmath.exp(value) for value in x))]),
    ("standardised", lambda x: torch.nn.functional.layer_norm(x, x.shape), standardised),
    (
        "unit vector",
        lambda x: x / x.norm(),
        lambda x: [value / mpmath.sqrt(mpmath.fsum(v * v for v in x)) for value in x],
    ),
    ("product", lambda x: x.prod(), lambda x: [mpmath.fprod(x)]),
)


def inside(function: Callable[[Tensor], Tensor], c: float) -> Callable[[Tensor], Tensor]:
    """f(x / c)."""
    return lambda x: function(x / c)


def exactly_inside(function: Exact, c: float) -> Exact:
    """f(x / c) in numbers of any precision."""
    return lambda x: function([value / mpf(c) for value in x])


def outside(function: Callable[[Tensor], Tensor], c: float) -> Callable[[Tensor], Tensor]:
    """c·f(x)."""
    return lambda x: c * function(x)


def exactly_outside(function: Exact, c: float) -> Exact:
    """c·f(x) in numbers of any precision."""
    return lambda x: [mpf(c) * value for value in function(x)]


def scaled() -> Iterator[Case]:
    """The functions with inputs and outputs at every scale."""
    cases = [
        (name, call, each(exact), around(6, 0.4, 1.6, signed=signed), signed)
        for name, call, exact, signed in ELEMENTWISE
    ]
    cases += [(name, call, exact, around(8, 0.4, 1.6, signed=True), True) for name, call, exact in ROWS]
    for name, call, exact, _, signed in cases:
        size = 6 if name in {entry[0] for entry in ELEMENTWISE} else 8
        for c in SCALES:
            inputs = around(size, 0.4, 1.6, c, signed)
            yield Case(f"{name} of x / {c:g}", inside(call, c), exactly_inside(exact, c), inputs, c)
            if c != 1:
                yield Case(
                    f"{c:g} {name}", outside(call, c), exactly_outside(exact, c), around(size, 0.4, 1.6, 1.0, signed)
                )


def wide() -> Iterator[Case]:
    """Functions of so many numbers that most columns are measured by a single step; a product of them would leave the range."""
    for name, call, exact in ROWS[:-1]:
        for c in (1e-8, 1.0, 1e8):
            inputs = around(WIDE, 0.4, 1.6, c, True)
            yield Case(f"{name} of {WIDE} x / {c:g}", inside(call, c), exactly_inside(exact, c), inputs, c)


def conditioned() -> Iterator[Case]:
    """Functions of a given condition: a system as a function of its matrix, a form of stretched axes, a cancellation.

    (A system as a function of its right-hand side is left out: its rounding is one and the same wrong matrix at every
    point, so that what is measured is the exact derivative of another linear map, and no measurement can tell.)
    """
    basis = torch.linalg.qr(torch.cos(torch.outer(torch.arange(1.0, 4), torch.arange(1.0, 4)).double()))[0]
    for condition in CONDITIONS:
        a = basis * torch.logspace(0, -math.log10(condition), 3, dtype=torch.float64) @ basis.flip(0)
        rows = [[mpf(value) for value in row] for row in a.tolist()]
        scale = 1 / condition  # the distance to the next singular matrix
        yield Case(f"solve, condition {condition:g}", solve, exact_solve, near(a, scale), scale, smooth=condition < 1e3)
        yield Case(f"form, condition {condition:g}", form(a), exact_form(rows), around(3, 0.4, 1.6, signed=True))
        yield Case(
            f"cancellation, condition {condition:g}",
            cancelled(condition),
            each(mpmath.sin),
            around(6, 0.4, 1.6, signed=True),
            smooth=condition < 1e3,
        )


def near(a: Tensor, scale: float) -> Callable[[torch.Generator], Tensor]:
    """The matrix, flat, moved by a hundredth of its distance to the next singular one."""
    return lambda generator: (
        a.reshape(-1) + scale / 100 * torch.randn(a.numel(), generator=generator, dtype=torch.float64)
    )


def solve(a: Tensor) -> Tensor:
    """a⁻¹·(1, 2, 3) for a flat (3, 3) matrix."""
    return torch.linalg.solve(a.reshape(3, 3), torch.arange(1.0, 4, dtype=a.dtype))


def exact_solve(a: list[Any]) -> list[Any]:
    """The same in numbers of any precision."""
    return list(mpmath.lu_solve(mpmath.matrix([a[:3], a[3:6], a[6:]]), mpmath.matrix([1, 2, 3])))


def cancelled(k: float) -> Callable[[Tensor], Tensor]:
    """sin x with the last digits lost to a large constant."""
    return lambda x: (k + x.sin()) - k


def form(a: Tensor) -> Callable[[Tensor], Tensor]:
    """xᵀ·a·x."""
    return lambda x: x @ a @ x


def exact_form(rows: list[list[Any]]) -> Exact:
    """xᵀ·a·x in numbers of any precision."""
    return lambda x: [mpmath.fsum(x[i] * rows[i][j] * x[j] for i in range(len(x)) for j in range(len(x)))]


def truth(case: Case, x: Tensor) -> Array:
    """The Jacobian (m, n) at exactly these float64 inputs."""
    with mpmath.workdps(DIGITS):
        point = [mpf(value) for value in x.tolist()]
        columns = []
        for place in range(len(point)):
            step = STEP * mpf(case.scale)
            ends = [case.exact([*point[:place], point[place] + side * step, *point[place + 1 :]]) for side in (1, -1)]
            columns.append([float((up - down) / (2 * step)) for up, down in zip(*ends, strict=True)])
    return np.array(columns).T


def judged(case: Case, seeds: int) -> dict[str, Any]:
    """How the bars of one case did over some seeds."""
    within = total = unresolved = 0
    ratios: list[float] = []
    for seed in range(seeds):
        x = case.inputs(torch.Generator().manual_seed(seed))
        wanted = truth(case, x)
        found, bar = measured(case.call, x)
        known = np.isfinite(bar)
        error = np.abs(found - wanted)
        within += int((error <= bar)[known].sum())
        total += int(known.sum())
        unresolved += int((~known).sum())
        live = known & (wanted != 0)
        if live.any():
            size = math.sqrt(float(np.mean(error[live] ** 2)))
            ratios.append(float(np.median(bar[live])) / max(size, float(np.finfo(float).tiny)))
    return {
        "function": case.name,
        "entries": total,
        "inside": within,
        "without_bar": unresolved,
        "bar_over_error": float(np.median(ratios)) if ratios else None,
        "smooth": case.smooth,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and write it; 1 when the bars are not honest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    rows = [judged(case, asked.seeds) for case in (*scaled(), *wide(), *conditioned())]
    for row in rows:
        factor = "-" if row["bar_over_error"] is None else f"{row['bar_over_error']:.1f}"
        print(f"{row['function']:36} {row['inside']:5} of {row['entries']:5} inside, bar / error {factor:>8}")
    entries, inside_bar = sum(row["entries"] for row in rows), sum(row["inside"] for row in rows)
    factors = [row["bar_over_error"] for row in rows if row["smooth"] and row["bar_over_error"] is not None]
    share, typical = inside_bar / entries, float(np.median(factors))
    above = sum(factor > FACTOR for factor in factors)
    print(f"inside their bar: {inside_bar} of {entries} = {100 * share:.3f} % (wanted {100 * INSIDE} %)")
    print(
        f"bar / error on smooth functions: median {typical:.1f}, above {FACTOR:g} in {above} of {len(factors)} functions"
    )
    print(
        write(
            "honesty",
            rows,
            entries=entries,
            inside=inside_bar,
            share=share,
            median_bar_over_error=typical,
            above_30=above,
        )
    )
    return 0 if share >= INSIDE and typical <= FACTOR else 1


if __name__ == "__main__":
    sys.exit(main())
