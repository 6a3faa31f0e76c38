"""Wrong entries planted in the gradient of one large layer: are they located exactly, with how many forwards, in how much memory?

    python -m benchmarks.gradients.location [--large]

Every row runs in a process of its own that has checked a small layer before; its peak of resident memory less what it held then is what the
check took. `copies` is that over the bytes of the parameters in float64, the precision that they are measured in, the module's own
included; tables and blocks take SCRATCH bytes whatever the size.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from assay.gradients import check_module
from benchmarks.gradients.results import write

ROWS = [(10**6, 1, "float64"), (10**6, 1, "float32"), (10**6, 5, "float64"), (10**6, 20, "float64")]
ROWS += [(10**7, 1, "float64"), (10**7, 1, "float32"), (10**7, 5, "float64")]
LARGE = [(10**8, 1, "float64"), (10**8, 1, "float32")]
ERROR = 1e-3
SCRATCH = 8 << 20


class Product(torch.autograd.Function):
    """x Wᵀ with wrong entries in the gradient of W."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, wrong: list[tuple[int, int]]) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.wrong = wrong
        return x @ w.T

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        x, w = ctx.saved_tensors
        dw = dy.T @ x
        for row, column in ctx.wrong:
            dw[row, column] *= 1 + ERROR
        return dy @ w, dw, None


class Layer(torch.nn.Module):
    """tanh(x Wᵀ + b), W (size, size) of N numbers."""

    def __init__(self, size: int, wrong: list[tuple[int, int]], dtype: torch.dtype) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        weight = torch.empty(size, size, dtype=dtype).normal_(0, size**-0.5, generator=generator)
        self.weight = torch.nn.Parameter(weight)
        self.bias = torch.nn.Parameter(torch.zeros(size, dtype=dtype))
        self.wrong = wrong

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(Product.apply(x, self.weight, self.wrong) + self.bias)


def planted(size: int, count: int) -> list[tuple[int, int]]:
    """`count` different places, drawn at random."""
    places = torch.randperm(size, generator=torch.Generator().manual_seed(count))[:count].tolist()
    columns = torch.randint(size, (count,), generator=torch.Generator().manual_seed(size)).tolist()
    return list(zip(places, columns, strict=True))


def resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def peak_resident() -> int:
    """The most bytes of memory that this program held; getrusage would count the process that started it too."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def measured(entries: int, count: int, dtype: str) -> dict[str, Any]:
    """One row: plant, search, compare."""
    torch.set_num_threads(1)
    size = math.isqrt(entries - 1) + 1
    wrong = planted(size, count)
    check_module(Layer(500, [(3, 4)], getattr(torch, dtype)), (f"{dtype}[2,500]",))
    before = resident()
    module = Layer(size, wrong, getattr(torch, dtype))
    started = time.perf_counter()
    report = check_module(module, (f"{dtype}[2,{size}]",))
    seconds = time.perf_counter() - started
    peak = peak_resident()
    found = {entry.index for record in report.entries for entry in record.wrong}
    doubles = 8 * sum(parameter.numel() for parameter in module.parameters())
    return {
        "entries": size * size,
        "wrong": count,
        "dtype": dtype,
        "exact": found == {f"[{row}, {column}]" for row, column in wrong},
        "forwards": report.forwards,
        "bound": math.floor(20 * count * math.log2(size * size / count + 1) + 200),
        "copies": round(max(0, peak - before - SCRATCH) / doubles, 2),
        "seconds": round(seconds, 1),
    }


def in_a_process(entries: int, count: int, dtype: str) -> dict[str, Any]:
    """The row, measured where nothing else has used memory."""
    command = [sys.executable, "-m", "benchmarks.gradients.location", "--row", str(entries), str(count), dtype]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main(arguments: list[str]) -> int:
    """Print the table and write it; 1 when a row is not exact or takes more than was promised."""
    if "--row" in arguments:
        entries, count, dtype = arguments[arguments.index("--row") + 1 :]
        print(json.dumps(measured(int(entries), int(count), dtype)))
        return 0
    rows = []
    print(f"{'N':>11} {'k':>3} {'dtype':8} {'exact':6} {'forwards':>8} {'bound':>6} {'copies':>6} {'seconds':>8}")
    for place in ROWS + (LARGE if "--large" in arguments else []):
        row = in_a_process(*place)
        rows.append(row)
        print(
            f"{row['entries']:>11} {row['wrong']:>3} {row['dtype']:8} {row['exact']!s:6} {row['forwards']:>8} "
            f"{row['bound']:>6} {row['copies']:>6} {row['seconds']:>8}",
            flush=True,
        )
    print(write("location", rows, planted_relative_error=ERROR, scratch_bytes=SCRATCH))
    return 0 if all(row["exact"] and row["forwards"] <= row["bound"] and row["copies"] <= 3 for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
