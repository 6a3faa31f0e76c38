"""The smallest planted relative error that each checker finds: in the whole backward, and in one entry of a thousand.

    python -m benchmarks.gradients.resolution

The errors tried lie half a decade apart, from 1 to 1e-12; a checker that finds one is taken to find all larger ones.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import gradcheck

from assay.gradients import check_gradient
from benchmarks.gradients.results import write

ERRORS = tuple(10.0 ** (-half / 2) for half in range(25))
Candidate = Callable[[Tensor], Tensor]
Forward = Callable[[Tensor], Tensor]


def layer_norm(x: Tensor) -> Tensor:
    """Rows of x standardised."""
    return torch.nn.functional.layer_norm(x, x.shape[-1:])


def dense(x: Tensor) -> Tensor:
    """tanh of x times a fixed matrix of cosines."""
    size = x.shape[-1]
    place = torch.arange(size, dtype=x.dtype)
    return torch.tanh(x @ torch.cos(torch.outer(place, place)) / size)


SMOOTH: dict[str, Forward] = {
    "sin": torch.sin,
    "tanh": torch.tanh,
    "exp": torch.exp,
    "sigmoid": torch.sigmoid,
    "1e-6 sin": lambda x: 1e-6 * x.sin(),
    "1e6 sin": lambda x: 1e6 * x.sin(),
    "softmax": lambda x: x.softmax(-1),
    "log-sum-exp": lambda x: x.logsumexp(-1),
    "layer norm": layer_norm,
    "dense and tanh": dense,
}
WHOLE, THOUSAND = (5, 8), (20, 50)
IN_ONE = ("sin", "tanh", "1e-6 sin", "softmax", "layer norm")


def planted(forward: Forward, error: float, one: bool) -> Candidate:
    """The forward with a backward times 1 + error: everywhere, or in one entry in the middle."""

    class Planted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return forward(x)

        @staticmethod
        def backward(ctx: Any, dy: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            with torch.enable_grad():
                again = x.detach().requires_grad_()
                (dx,) = torch.autograd.grad(forward(again), again, dy)
            wrong = torch.full_like(x, 0.0 if one else 1.0).reshape(-1)
            wrong[x.numel() // 2] = 1.0
            return dx * (1 + error * wrong.reshape(x.shape))

    return Planted.apply  # type: ignore[no-any-return]


def point(shape: tuple[int, ...]) -> Tensor:
    """Numbers of both signs around one half."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64) / 2


def assay_finds(candidate: Candidate, x: Tensor) -> bool:
    """Whether check_gradient calls it wrong."""
    return check_gradient(candidate, {"x": x}).verdict == "differs"


def slow_finds(candidate: Candidate, x: Tensor) -> bool:
    """Whether gradcheck does."""
    return not gradcheck(candidate, (x.clone().requires_grad_(),), raise_exception=False)


def fast_finds(candidate: Candidate, x: Tensor) -> bool:
    """Whether its fast mode does."""
    return not gradcheck(candidate, (x.clone().requires_grad_(),), fast_mode=True, raise_exception=False)


CHECKERS = {"assay": assay_finds, "gradcheck slow": slow_finds, "gradcheck fast": fast_finds}


def smallest(finds: Callable[[Candidate, Tensor], bool], forward: Forward, one: bool) -> float | None:
    """The smallest error found, by halving the list of errors; None if even a doubled gradient passes."""
    x = point(THOUSAND if one else WHOLE)
    found, missed = -1, len(ERRORS)
    while missed - found > 1:
        middle = (found + missed) // 2
        if finds(planted(forward, ERRORS[middle], one), x):
            found = middle
        else:
            missed = middle
    return ERRORS[found] if found >= 0 else None


def row(name: str, forward: Forward, one: bool) -> dict[str, Any]:
    """The smallest errors of all checkers on one function."""
    right = {
        checker: finds(planted(forward, 0.0, one), point(THOUSAND if one else WHOLE))
        for checker, finds in CHECKERS.items()
    }
    return {
        "function": name,
        "planted": "one entry of a thousand" if one else "whole backward",
        "smallest_found": {checker: smallest(finds, forward, one) for checker, finds in CHECKERS.items()},
        "false_alarm": right,
    }


def shown(error: float | None) -> str:
    """An error, or a dash where nothing was found."""
    return "-" if error is None else f"{error:.1e}"


def main() -> int:
    """Print the table and write it."""
    torch.set_num_threads(1)
    rows = [row(name, forward, False) for name, forward in SMOOTH.items()]
    rows += [row(name, SMOOTH[name], True) for name in IN_ONE]
    print(f"{'planted':24} {'function':16} " + " ".join(f"{name:>15}" for name in CHECKERS))
    for found in rows:
        alarms = "".join(f"  {name} rejects the right one" for name, alarm in found["false_alarm"].items() if alarm)
        errors = " ".join(f"{shown(found['smallest_found'][name]):>15}" for name in CHECKERS)
        print(f"{found['planted']:24} {found['function']:16} {errors}{alarms}")
    for planted_in in ("whole backward", "one entry of a thousand"):
        medians = {
            name: statistics.median(
                row["smallest_found"][name] or float("inf") for row in rows if row["planted"] == planted_in
            )
            for name in CHECKERS
        }
        print(f"median, {planted_in}: " + ", ".join(f"{name} {error:.1e}" for name, error in medians.items()))
    print(write("resolution", rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
