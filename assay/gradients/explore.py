"""Exploration: Hypothesis searches inputs for a failing one and shrinks it; the smallest is checked, reported and repeatable."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import HypothesisException
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from assay.errors import GradientInputError
from assay.gradients.check import check_gradient
from assay.gradients.report import GradientReport

SHOWN = 60


class _Differs(AssertionError):
    """The signal to Hypothesis that an input fails."""


def explore_gradient(
    fn: Any,
    inputs_strategy: SearchStrategy[Any] | Mapping[str, Any],
    *,
    examples: int = 100,
    seed: int = 0,
    **options: Any,
) -> GradientReport:
    """Check the gradient of `fn` at drawn inputs and report on the smallest that fails, or on the last drawn when none does.

    `inputs_strategy` draws what `check_gradient` takes as inputs (a dict of names to tensors, or a tuple); a dict of strategies,
    one per input, is drawn together. `options` go to `check_gradient`. Raises GradientInputError when nothing drawn could
    be checked.
    """
    started = time.perf_counter()
    drawn = Drawn(fn, {"variations": "layouts", **options}, seed)
    strategy = _joined(inputs_strategy)

    @seeded(seed)
    @settings(
        max_examples=examples, database=None, deadline=None, phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck), derandomize=False, print_blob=False, report_multiple_bugs=False,
    )  # fmt: skip
    @given(strategy)
    def search(inputs: Any) -> None:
        drawn.check(inputs)

    try:
        search()
    except _Differs:
        pass
    except HypothesisException as error:
        raise GradientInputError(
            f"the strategy cannot be drawn from: {error}, expected inputs; mend the strategy"
        ) from error
    return drawn.report(examples, time.perf_counter() - started)


def _joined(strategy: SearchStrategy[Any] | Mapping[str, Any]) -> SearchStrategy[Any]:
    from hypothesis import strategies as st

    if not isinstance(strategy, Mapping):
        return strategy
    return st.fixed_dictionaries({k: v if isinstance(v, SearchStrategy) else st.just(v) for k, v in strategy.items()})


class Drawn:
    """The checks of one exploration: the last failing report (Hypothesis ends with the smallest), and a tally."""

    def __init__(self, fn: Any, options: Mapping[str, Any], seed: int) -> None:
        self.fn, self.options, self.seed = fn, dict(options), seed
        self.failing: tuple[GradientReport, Any] | None = None
        self.last: GradientReport | None = None
        self.tally: dict[str, int] = {}
        self.refused = ""

    def check(self, inputs: Any) -> None:
        """Check one drawn input; raises the signal when its gradient differs. Inputs that cannot be checked are counted."""
        try:
            report = check_gradient(self.fn, inputs, seed=self.seed, **self.options)
        except GradientInputError as error:
            self.refused = str(error)
            self.tally["refused"] = self.tally.get("refused", 0) + 1
            return
        self.tally[report.verdict] = self.tally.get(report.verdict, 0) + 1
        self.last = report
        if report.verdict == "differs":
            self.failing = (report, inputs)
            raise _Differs(report.explain())

    def report(self, examples: int, seconds: float) -> GradientReport:
        """The report of the smallest failing input with the line that repeats it; else that of the last, with the tally."""
        if self.failing is not None:
            report, inputs = self.failing
            example = written(inputs)
            line = f"check_gradient({report.target}, {example}, seed={self.seed})"
            return replace(report, example=example, line=line, seconds=seconds)
        if self.last is None:
            raise GradientInputError(
                f"no drawn input could be checked: {self.refused or 'nothing was drawn'}, expected at least one; mend the strategy"
            )
        counts = ", ".join(f"{count} {word}" for word, count in sorted(self.tally.items()))
        line = f"explore_gradient({self.last.target}, strategy, examples={examples}, seed={self.seed})"
        verdict = "agrees" if self.tally.get("agrees") else self.last.verdict
        return replace(self.last, verdict=verdict, line=f"{line}  # {counts}", seconds=seconds)


def written(inputs: Any) -> str:
    """Inputs as Python that makes them again: values of small tensors to the last digit, layout where it is unusual."""
    if isinstance(inputs, Mapping):
        return "{" + ", ".join(f"{name!r}: {written(value)}" for name, value in inputs.items()) + "}"
    if isinstance(inputs, (tuple, list)):
        return "(" + ", ".join(written(value) for value in inputs) + ("," if len(inputs) == 1 else "") + ")"
    if not isinstance(inputs, Tensor):
        return repr(inputs)
    dtype = str(inputs.dtype)
    if inputs.numel() > SHOWN:
        return f"torch.empty({tuple(inputs.shape)}, dtype={dtype})  # {inputs.numel()} numbers, not written out"
    text = f"torch.tensor({inputs.tolist()!r}, dtype={dtype})".replace("inf", "float('inf')").replace(
        "nan", "float('nan')"
    )
    if 0 in inputs.shape:
        text = f"torch.empty({tuple(inputs.shape)}, dtype={dtype})"
    if inputs.is_contiguous() or inputs.numel() == 0:
        return text
    if 0 in inputs.stride():
        index = tuple(slice(0, 1) if step == 0 else slice(None) for step in inputs.stride())
        return f"{written(inputs[index].contiguous())}.expand({tuple(inputs.shape)})"
    axes = sorted(range(inputs.dim()), key=lambda axis: -int(inputs.stride()[axis]))
    if inputs.permute(axes).is_contiguous():
        back = [axes.index(axis) for axis in range(inputs.dim())]
        return f"{written(inputs.permute(axes).contiguous())}.permute({back})"
    return f"torch.empty_strided({tuple(inputs.shape)}, {inputs.stride()}, dtype={dtype}).copy_({text})"
