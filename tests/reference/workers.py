"""What ranks are told to do in the tests: a process must be able to import it, so it stands in a module of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import distributed

from reference.distributed import (
    Tensors,
    _all_reduced_average,
    _data_parallel_rank,
    _model_parallel_rank,
    _parameter_averaging_rank,
    _part_gradients,
)
from tests.reference.mutants import mutant


def greeting(share: int, word: str) -> tuple[int, int, str, int]:
    return distributed.get_rank(), distributed.get_world_size(), word, share


def doubled(x: torch.Tensor) -> torch.Tensor:
    return 2 * x


def raises_on_the_last(share: int) -> None:
    """The others wait for it in vain."""
    if distributed.get_rank() == distributed.get_world_size() - 1:
        raise ZeroDivisionError("no such number")
    distributed.barrier()


def ends_on_the_last(share: int) -> None:
    if distributed.get_rank() == distributed.get_world_size() - 1:
        os._exit(3)
    distributed.barrier()


def sleeps_on_the_last(share: int) -> int:
    if distributed.get_rank() == distributed.get_world_size() - 1:
        time.sleep(600)
    return share


def answers_with_a_function(share: int) -> Callable[[], int]:
    return lambda: share


def previous_average() -> Callable[[Tensors, int], Tensors]:
    """The average of the step before; of the first step its own."""
    last: list[Tensors] = []

    def combine(values: Tensors, size: int) -> Tensors:
        last.append(_all_reduced_average(values, size))
        return last.pop(0) if len(last) > 1 else last[0]

    return combine


AVERAGES: dict[str, Callable[[], Callable[..., Tensors]]] = {
    "none": lambda: _all_reduced_average,
    "sum in the place of the mean": lambda: mutant(_all_reduced_average, "part / total.to(part.dtype)", "part"),
    "sizes of the shards ignored": lambda: mutant(
        _all_reduced_average, "size * v", "total.to(v.dtype) / distributed.get_world_size() * v"
    ),
    "the first rank forgotten": lambda: mutant(
        _all_reduced_average, "size * v", "(size if distributed.get_rank() else 0) * v"
    ),
    "no talk at all": lambda: mutant(_all_reduced_average, "distributed.all_reduce(part)", "pass"),
    "what was learned one step before": previous_average,
}


def data_parallel_with(shard: Any, mistake: str, *further: Any) -> Tensors:
    return _data_parallel_rank(shard, *further, combine=AVERAGES[mistake]())


def parameter_averaging_with(shard: Any, mistake: str, *further: Any) -> Tensors:
    return _parameter_averaging_rank(shard, *further, combine=AVERAGES[mistake]())


PARTS: dict[str, tuple[str, str]] = {
    "none": ("tanh(mlp(h, leaves, tanh))", "tanh(mlp(h, leaves, tanh))"),
    "no activation between parts": ("tanh(mlp(h, leaves, tanh))", "mlp(h, leaves, tanh)"),
    "its own output as gradient": ("_received(torch", "out.detach() + 0 * _received(torch"),
    "half of the gradient sent back": ("gradients[-1].contiguous()", "0.5 * gradients[-1]"),
    "the gradient by a parameter left out": ("gradients[: len(part)]", "(*gradients[: len(part) - 1], 0 * part[-1])"),
}


def model_parallel_with(share: Any, mistake: str, *further: Any) -> Tensors:
    return _model_parallel_rank(share, *further, gradients=mutant(_part_gradients, *PARTS[mistake]))
