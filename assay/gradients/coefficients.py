"""Random coefficients for directions of any length that take no memory: windows of one short table, a factor for each block."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from assay.gradients.screen import signs

# Half a megabyte: a block, its window of the table and what is computed from them stay in the second-level cache.
BLOCK = 1 << 16


class Coefficients:
    """(size,) coefficients drawn from `seed`, ± in [1/4, 1]: products of two draws in ± [1/2, 1].

    Block b is the window of the table that starts at a random place, times a random factor. Two coordinates of one block have independent
    coefficients; two of different blocks have independent factors, so equal errors cancel nowhere but by chance.
    """

    def __init__(self, size: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        blocks = -(-size // BLOCK)
        self.tables = {torch.device("cpu"): signs(2 * BLOCK, generator)}
        self.factors = signs(blocks, generator)
        self.starts = torch.randint(BLOCK, (blocks,), generator=generator)

    def pieces(self, low: int, high: int, device: torch.device) -> Iterator[tuple[int, int, Tensor, float]]:
        """[low, high) block by block: (first, past the last, window, factor); the coefficients are window · factor."""
        table = self._table(device)
        while low < high:
            block, inside = divmod(low, BLOCK)
            end = min(high, (block + 1) * BLOCK)
            first = int(self.starts[block]) + inside
            yield low, end, table[first : first + end - low], float(self.factors[block])
            low = end

    def at(self, places: Tensor) -> Tensor:
        """The coefficients of the coordinates `places` (n,) int64, on the CPU."""
        block = places // BLOCK
        return self._table(torch.device("cpu"))[self.starts[block] + places % BLOCK] * self.factors[block]

    def _table(self, device: torch.device) -> Tensor:
        if device not in self.tables:
            self.tables[device] = self.tables[torch.device("cpu")].to(device)
        return self.tables[device]
