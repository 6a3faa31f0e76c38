"""`check_module`: the gradients of a whole nn.Module, of any size, with respect to its parameters and inputs."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from assay.errors import GradientInputError
from assay.gradients import numeric
from assay.gradients.analytic import EXPECTED_FAILURES
from assay.gradients.check import USUAL, check_gradient, overall
from assay.gradients.landscape import Landscape
from assay.gradients.locate import Progress, search
from assay.gradients.observe import reordered, spread
from assay.gradients.records import Finding
from assay.gradients.report import GradientReport
from assay.gradients.screen import FIRST
from assay.gradients.searched import ended, likeness, recorded
from assay.gradients.spec import made
from assay.gradients.target import Target, resolve
from assay.isolation import isolated

# Up to so many parameters a module is checked like any function; beyond, its wrong entries are located by group testing.
SMALL = 20_000


def check_module(
    module: Any,
    inputs: Any,
    *,
    probes: int | None = None,
    loss: Callable[[Any], Tensor] | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    training: bool | None = None,
    progress: bool | Console = False,
    **options: Any,
) -> GradientReport:
    """Check the gradients of `module` (an nn.Module, or a factory of one) with respect to parameters and inputs.

    `inputs`: tensors by name or in order, descriptions such as "float32[8,16]", or a factory. `loss` turns the output into what is
    differentiated (the output itself by default). `training` sets the mode; by default the module's own is checked, and
    the other one as a finding. `progress` shows on stderr, or on a rich console, how far the search of a large module has come. Small
    modules go to `check_gradient` with the `options`. Raises GradientInputError when there is nothing that can be checked.
    """
    with isolated(seed, device):
        module = module if isinstance(module, nn.Module) else module()
        if not isinstance(module, nn.Module):
            raise GradientInputError(
                f"the target is no module: {type(module).__name__}, expected an nn.Module or a factory of one; give one"
            )
        inputs = made(inputs, seed)
        checked = module if loss is None else WithLoss(module, loss)
        with mode(module, module.training if training is None else training):
            if sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad) > SMALL:
                target = replace(resolve(checked, inputs, device=device), label=type(module).__name__)
                return _large(target, module, seed, probes or 1, training is None, progress, ignored(options))
            options |= {"probes": probes, "seed": seed, "device": device}
            report = check_gradient(checked, inputs, **options)
        return _small(report, module, checked, inputs, training is None, options)


def _small(
    report: GradientReport,
    module: nn.Module,
    checked: nn.Module,
    inputs: Any,
    both_modes: bool,
    options: dict[str, Any],
) -> GradientReport:
    """The report under the module's name, with the other mode as a finding."""
    name = type(module).__name__
    report = replace(report, target=name, line=f"check_module({name}, inputs, seed={options['seed']})")
    if not both_modes or report.verdict == "differs":
        return report
    with mode(module, not module.training):
        finding = _other_mode(checked, inputs, module.training, options)
    findings = (*report.findings, finding)
    return replace(report, findings=findings, verdict=overall(report.entries, findings))


def ignored(options: dict[str, Any]) -> list[Finding]:
    """A note on options that only small modules have."""
    names = [
        name for name, value in options.items() if value is not None and value is not False and value != USUAL.get(name)
    ]
    if not names:
        return []
    sentence = (
        f"a module of more than {SMALL} parameters is searched by group testing, which does not know {', '.join(names)}"
    )
    return [Finding("options", "note", f"{sentence}; check a smaller one with them")]


class WithLoss(nn.Module):
    """A module followed by a loss: parameters, buffers and inputs are the module's own, under their own names."""

    def __init__(self, module: nn.Module, loss: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self._parameters, self._buffers, self._modules = module._parameters, module._buffers, module._modules

        @functools.wraps(module.forward)
        def forward(*inputs: Any, **named: Any) -> Tensor:
            return loss(module(*inputs, **named))

        self.forward = forward


@contextmanager
def mode(module: nn.Module, training: bool) -> Any:
    """The module in the given mode; every submodule gets its own mode back."""
    before = {part: part.training for part in module.modules()}
    module.train(training)
    try:
        yield
    finally:
        for part, was in before.items():
            part.training = was


def _other_mode(module: nn.Module, inputs: Any, training: bool, options: dict[str, Any]) -> Finding:
    word = "training" if training else "evaluation"
    try:
        report = check_gradient(module, inputs, variations=False, **options)
    except GradientInputError as error:
        return Finding(f"{word} mode", "note", f"in {word} mode: {error}")
    status = "wrong" if report.verdict == "differs" else "holds" if report.verdict == "agrees" else "note"
    return Finding(f"{word} mode", status, f"in {word} mode: {report.explain()}")  # type: ignore[arg-type]


def _large(
    target: Target,
    module: nn.Module,
    seed: int,
    probes: int,
    both_modes: bool,
    progress: bool | Console,
    notes: list[Finding],
) -> GradientReport:
    """Group testing on the inputs and parameters of a large module, one random cotangent a probe."""
    started, forwards = time.perf_counter(), 0
    with told(target.label, progress) as tell:
        for probe in range(probes):
            landscape = Landscape(target, seed + probe)
            result = search(landscape.field, tell)
            forwards += landscape.field.forwards
            records, findings = recorded(landscape, result), [*notes, *ended(landscape, result)]
            guess = likeness(landscape, result)
            del landscape
            wrong = any(record.wrong_count for record in records)
            if wrong:
                break
        if both_modes and not wrong:
            findings.append(_mode_of_large(target, module, seed))
    return GradientReport(
        target=target.label, verdict=overall(records, findings), entries=tuple(records), findings=tuple(findings), guess=guess,
        seed=seed, line=f"check_module({target.label}, inputs, seed={seed})", forwards=forwards, seconds=time.perf_counter() - started,
    )  # fmt: skip


@contextmanager
def told(label: str, progress: bool | Console) -> Iterator[Progress | None]:
    """A line on the console that says how far a search has come, while it runs."""
    if progress is False:
        yield None
        return
    console = Console(stderr=True) if progress is True else progress
    with console.status(f"checking {label}") as line:
        yield lambda found, forwards: line.update(
            f"checking {label}: {found} wrong entries found, {forwards} forward evaluations"
        )


def _mode_of_large(target: Target, module: nn.Module, seed: int) -> Finding:
    """The gradient in the other mode along one random direction, where the mode makes any difference."""
    word = "evaluation" if module.training else "training"
    seeded = replace(target, seed=seed)
    try:
        with torch.no_grad():
            here = seeded.outputs(target.inputs)
            with mode(module, not module.training):
                there = seeded.outputs(target.inputs)
        if [v.shape for v in here] == [v.shape for v in there] and spread(here, there) <= reordered(here):
            return Finding(f"{word} mode", "holds", f"in {word} mode the output is the same")
        with mode(module, not module.training):
            field = Landscape(target, seed).field
            whole = field.measure(0, field.size, 1, rows=numeric.ROWS, first=FIRST)
    except (GradientInputError, *EXPECTED_FAILURES) as error:
        return Finding(f"{word} mode", "note", f"in {word} mode: {error}")
    sentence = (
        f"gradient {whole.analytic:.10g}, measured {whole.measured:.10g} ± {whole.bar:.1e} along a random direction"
    )
    if whole.wrong and not whole.kink:
        return Finding(f"{word} mode", "wrong", f"in {word} mode the gradient differs: {sentence}")
    return Finding(f"{word} mode", "holds", f"in {word} mode the gradient agrees: {sentence}")
