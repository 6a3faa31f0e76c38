"""Global state that foreign code may use or change: seeded on the way in, put back on the way out."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def isolated(seed: int, device: str | torch.device | None = None) -> Iterator[None]:
    """The generators of torch, numpy and Python start at `seed`; they, the default dtype, gradient mode and folder are put back.

    Without this a result would depend on what ran before in the same process.
    """
    dtype, folder, python, numbers = torch.get_default_dtype(), os.getcwd(), random.getstate(), np.random.get_state()
    gradients, here = torch.is_grad_enabled(), [torch.cuda.current_device()] if str(device).startswith("cuda") else []
    try:
        with torch.random.fork_rng(here):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # its seeds have 32 bits
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numbers)
        torch.set_grad_enabled(gradients)
        torch.set_default_dtype(dtype)
        os.chdir(folder)
