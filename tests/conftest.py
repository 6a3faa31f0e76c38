"""What every test starts from: one thread a worker, so that two share two cores, and random numbers that no other test has moved."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

from assay.isolation import isolated

torch.set_num_threads(1)
settings.register_profile("repeatable", derandomize=True, database=None)
settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def same_start() -> Iterator[None]:
    """A test that draws without a seed of its own draws the same numbers alone, in parallel and in any order."""
    with isolated(0):
        yield
