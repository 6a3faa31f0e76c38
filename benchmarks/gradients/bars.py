"""Measured derivatives with their bars, entry by entry, as the checker has them before it compares anything."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.gradients.examination import Examination
from assay.gradients.target import resolve

Array = NDArray[np.float64]


def measured(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Array, Array]:
    """The measured Jacobian (m, n) of a function at x and the bar of every entry."""
    target = resolve(function, {"x": x}, wrt=None, backward=None, cotangent=None, device=None, hyper={})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        check = Examination(target, 0)
        check.compare(every_entry=True)
    assert check.comparison is not None
    table = check.comparison.tables[0]
    return table.measured, table.bar
