"""Put checkers before the corpus: what each says of an entry, and how long it takes."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from assay import gradients
from tests.gradients.corpus.entry import Entry, Named

EXAMPLES = 100


@dataclass(frozen=True)
class Outcome:
    """What one checker said of one entry: a verdict, or `raised` with the exception in `detail`."""

    entry: Entry
    verdict: str
    detail: str
    seconds: float

    @property
    def found(self) -> bool:
        """Whether the gradient was called wrong."""
        return self.verdict == "differs"

    @property
    def expected(self) -> bool:
        """Whether the verdict is one of those that the entry allows."""
        return self.found != self.entry.right and (not self.entry.right or self.verdict in self.entry.verdicts)


Judge = Callable[[Entry, torch.dtype], tuple[str, str]]


def judged(judge: Judge, entry: Entry, dtype: torch.dtype) -> Outcome:
    """Run a judge on an entry; an exception is an outcome, not the end of the table."""
    started = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            verdict, detail = judge(entry, dtype)
    except Exception as problem:  # noqa: BLE001  a checker that falls over an entry has missed it
        verdict, detail = "raised", f"{type(problem).__name__}: {problem}"
    return Outcome(entry, verdict, detail, time.process_time() - started)


def assay_check(order: int) -> Judge:
    """check_gradient at the default inputs."""

    def judge(entry: Entry, dtype: torch.dtype) -> tuple[str, str]:
        report = gradients.check_gradient(entry.make(), entry.default(dtype), order=order, **entry.options)
        return report.verdict, report.explain()

    return judge


def assay_explore(entry: Entry, dtype: torch.dtype) -> tuple[str, str]:
    """explore_gradient over the entry's strategy."""
    if entry.strategy is None:
        raise ValueError(f"{entry.name} has no strategy to explore")
    report = gradients.explore_gradient(entry.make(), entry.strategy(dtype), examples=EXAMPLES, **entry.options)
    return report.verdict, report.explain()


def ready(named: Named) -> tuple[Tensor, ...]:
    """The tensors as gradcheck wants them: floating-point ones ask for their gradient."""
    return tuple(x.requires_grad_(x.is_floating_point() or x.is_complex()) for x in named.values())


def torch_check(*, fast: bool, order: int, loose: bool = False) -> Judge:
    """torch.autograd.gradcheck with its defaults, or with the step and tolerances people loosen for float32."""
    more = {"eps": 1e-2, "atol": 1e-2, "rtol": 1e-2} if loose else {}

    def judge(entry: Entry, dtype: torch.dtype) -> tuple[str, str]:
        function, tensors = entry.make(), ready(entry.default(dtype))
        passed = torch.autograd.gradcheck(function, tensors, fast_mode=fast, raise_exception=False, **more)
        if passed and order == 2:
            passed = torch.autograd.gradgradcheck(function, tensors, fast_mode=fast, raise_exception=False, **more)
        return ("agrees" if passed else "differs"), ""

    return judge
