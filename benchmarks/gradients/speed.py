"""How long a full check takes beside torch.autograd.gradcheck, on the same functions, interleaved in one run.

    python -m benchmarks.gradients.speed [--repeats 5] [--only WORD]

One thread, and the processor time of it, which other work on the machine does not count in (its caches it does share). Every round
runs every checker once on every function, in an order that turns by one each round, so that a slow spell of the machine meets
all of them. Ratios are of minima: the run least disturbed by other work.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.autograd import gradcheck

from assay.gradients import GradientReport, check_gradient
from benchmarks.gradients.functions import LARGE, TABLE, Function, Named
from benchmarks.gradients.results import write

MANY = 10_000
Said = tuple[str, float]
Checker = Callable[[Function, Named], Said]
TORCH_TOLERANCE = 1e-3


def slow(function: Function, inputs: Named) -> Said:
    """gradcheck with its defaults: what it says, and the relative error that it tolerates."""
    passed = gradcheck(function.call, tuple(inputs.values()), raise_exception=False)
    return ("agrees" if passed else "differs"), TORCH_TOLERANCE


def fast(function: Function, inputs: Named) -> Said:
    """gradcheck by one projection."""
    passed = gradcheck(function.call, tuple(inputs.values()), fast_mode=True, raise_exception=False)
    return ("agrees" if passed else "differs"), TORCH_TOLERANCE


def said(report: GradientReport) -> Said:
    """The verdict, and the smallest relative error of one entry that would have shown."""
    return report.verdict, max(entry.resolution for entry in report.entries)


def full(function: Function, inputs: Named) -> Said:
    """The screen over every entry, with random cotangents and the findings, at the given input."""
    return said(check_gradient(function.call, inputs, variations=False))


def varied(function: Function, inputs: Named) -> Said:
    """check_gradient with its defaults: the same, and again at dozens of other layouts, values and sizes."""
    return said(check_gradient(function.call, inputs))


def entries(function: Function, inputs: Named) -> Said:
    """Every entry measured by itself, with its bar, at the given input."""
    return said(check_gradient(function.call, inputs, entries="all", variations=False))


CHECKERS: dict[str, Checker] = {
    "gradcheck slow": slow,
    "gradcheck fast": fast,
    "assay": full,
    "assay varied": varied,
    "assay entries": entries,
}


@dataclass
class Runs:
    """The seconds of processor time of every run of one checker on one function, and what it said last."""

    seconds: list[float] = field(default_factory=list)
    said: Said = ("", math.nan)

    def once(self, checker: Checker, function: Function, warm: bool) -> None:
        """One run, inputs made outside of it."""
        inputs = function.inputs()
        started = time.process_time()
        self.said = checker(function, inputs)
        if warm:
            self.seconds.append(time.process_time() - started)


Measured = dict[tuple[str, str], Runs]


def measured(functions: Sequence[Function], repeats: int) -> Measured:
    """Every run, by function and checker; the first round warms up."""
    runs: Measured = {(function.name, name): Runs() for function in functions for name in CHECKERS}
    names = list(CHECKERS)
    for turn in range(repeats + 1):
        for function in functions:
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                runs[function.name, name].once(CHECKERS[name], function, warm=turn > 0)
    return runs


def mean(ratios: Sequence[float]) -> float:
    """The geometric mean."""
    return math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))


def rows(functions: Sequence[Function], runs: Measured) -> list[dict[str, Any]]:
    """One row per function: sizes, minima, medians, ratios of minima to slow gradcheck."""
    found: list[dict[str, Any]] = []
    for function in functions:
        least = {name: min(runs[function.name, name].seconds) for name in CHECKERS}
        found.append(
            {
                "function": function.name,
                "listed": function in TABLE,
                "inputs": function.sizes[0],
                "outputs": function.sizes[1],
                "minimum_s": least,
                "median_s": {name: statistics.median(runs[function.name, name].seconds) for name in CHECKERS},
                "verdict": {name: runs[function.name, name].said[0] for name in CHECKERS},
                "resolution": {name: runs[function.name, name].said[1] for name in CHECKERS},
                "faster_than_slow": {name: least["gradcheck slow"] / least[name] for name in CHECKERS},
            }
        )
    return found


def line(row: dict[str, Any]) -> str:
    """One line of the printed table."""
    least, median, ratio = row["minimum_s"], row["median_s"], row["faster_than_slow"]
    times = "  ".join(f"{1e3 * least[name]:8.1f} ({1e3 * median[name]:8.1f})" for name in CHECKERS)
    verdicts = row["verdict"]
    wrong = "".join(f"  {name}: {verdict}" for name, verdict in verdicts.items() if verdict != "agrees")
    sizes = f"{row['function']!s:32} {row['inputs']!s:>6} {row['outputs']!s:>5}"
    faster = " ".join(f"{ratio[name]:7.1f}" for name in ("assay", "assay varied", "assay entries"))
    return f"{sizes}  {times}  {faster}{wrong}"


def shown(means: dict[str, float]) -> str:
    """Ratios in one line."""
    return ", ".join(f"{name} {value:.1f}" for name, value in means.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    functions = [function for function in (*TABLE, *LARGE) if asked.only in function.name]
    found = rows(functions, measured(functions, asked.repeats))
    heads = "  ".join(f"{name:>19}" for name in CHECKERS)
    print("milliseconds: least (median); the last columns: times faster than slow gradcheck")
    print(f"{'function':32} {'in':>6} {'out':>5}  {heads}  {'full':>7} {'varied':>7} {'entries':>7}")
    print(*(line(row) for row in found), sep="\n")
    listed = [row for row in found if row["listed"]] or found
    means = {name: mean([row["faster_than_slow"][name] for row in listed]) for name in CHECKERS}
    many = [row for row in found if row["inputs"] >= MANY]
    large = {name: mean([row["faster_than_slow"][name] for row in many]) for name in CHECKERS} if many else {}
    print("times faster than slow gradcheck, geometric means of the table: " + shown(means))
    print(f"from {MANY:,} inputs on: " + shown(large))
    if not asked.only:
        print(
            write(
                "speed",
                found,
                repeats=asked.repeats,
                geometric_mean_faster_than_slow=means,
                from_10_000_inputs_on=large,
            )
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
