"""`check_module`: the gradients of a whole nn.Module, of any size, with respect to its parameters and inputs."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from assay.errors import GradientInputError
from assay.gradients import numeric
from assay.gradients.analytic import EXPECTED_FAILURES
from assay.gradients.check import check_gradient, overall
from assay.gradients.flat import joined, where
from assay.gradients.locate import Field, Measured, Search, search
from assay.gradients.records import Entry, Finding, InputEntries
from assay.gradients.report import GradientReport
from assay.gradients.screen import roundoff, signs
from assay.gradients.spec import made
from assay.gradients.target import leaves_of

# Up to so many parameters a module is checked like any function; beyond, its loss is located on by group testing.
SMALL = 20_000
SHOWN = 20


def check_module(
    module: Any,
    inputs: Any,
    *,
    probes: int | None = None,
    loss: Callable[[Any], Tensor] | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    training: bool | None = None,
    progress: bool = False,
    **options: Any,
) -> GradientReport:
    """Check the gradients of `module` (an nn.Module, or a factory of one) with respect to parameters and inputs.

    `inputs`: tensors by name or in order, descriptions such as "float32[8,16]", or a factory. `loss` turns the output into what is
    differentiated (the output itself by default). `training` sets the mode; by default the module's own is checked, and
    the other one as a finding. Small modules go to `check_gradient` with the `options`.
    """
    module = module if isinstance(module, nn.Module) else module()
    if not isinstance(module, nn.Module):
        raise GradientInputError(
            f"the target is no module: {type(module).__name__}, expected an nn.Module or a factory of one; give one"
        )
    inputs = made(inputs, seed)
    checked = module if loss is None else WithLoss(module, loss)
    size = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    with mode(module, module.training if training is None else training):
        if size > SMALL:
            return _large(checked, inputs, seed, device, probes or 1, progress)
        report = check_gradient(checked, inputs, probes=probes, seed=seed, device=device, **options)
    report = replace(
        report, target=type(module).__name__, line=f"check_module({type(module).__name__}, inputs, seed={seed})"
    )
    if training is not None:
        return report
    with mode(module, not module.training):
        finding = _other_mode(
            checked, inputs, module.training, dict(probes=probes, seed=seed, device=device, **options)
        )
    findings = (*report.findings, finding)
    return replace(report, findings=findings, verdict=overall(report.entries, findings))


class WithLoss(nn.Module):
    """A module followed by a loss."""

    def __init__(self, module: nn.Module, loss: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.module, self.loss = module, loss

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        return self.loss(self.module(*inputs, **named))


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
    module: nn.Module, inputs: Any, seed: int, device: str | torch.device | None, probes: int, progress: bool
) -> GradientReport:
    """Group testing on the parameters of a large module: one random cotangent a probe, at most three copies of them."""
    started = time.perf_counter()
    module = module if device is None else module.to(device)
    records: list[InputEntries] = []
    findings: list[Finding] = []
    forwards = 0
    console = Console(stderr=True)
    for probe in range(probes):
        status = console.status(f"checking {type(module).__name__}") if progress else nullcontext()
        with status as line, torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            landscape = Landscape(module, inputs, seed + probe, device)

            def told(found: int, spent: int, line: Any = line) -> None:
                if line is not None:
                    line.update(f"{found} wrong entries found, {spent} forward evaluations")

            result = search(landscape.field, told)
        forwards += landscape.field.forwards
        records = landscape.records(result)
        findings = landscape.findings(result)
        if any(record.wrong_count for record in records):
            break
    return GradientReport(
        target=type(module).__name__, verdict=overall(records, findings), entries=tuple(records), findings=tuple(findings), guess="",
        seed=seed, line=f"check_module({type(module).__name__}, inputs, seed={seed})", forwards=forwards,
        seconds=time.perf_counter() - started,
    )  # fmt: skip


class Landscape:
    """<w, module(inputs)> as a function of the module's parameters, in float64, with the module's own gradient.

    A float64 module is perturbed in place and restored. A narrower one is measured on a float64 replica, or by itself where it
    does not run in float64.
    """

    def __init__(self, module: nn.Module, inputs: Any, seed: int, device: str | torch.device | None) -> None:
        self.label = type(module).__name__
        self.generator = torch.Generator().manual_seed(seed)
        arguments = (
            dict(inputs)
            if isinstance(inputs, Mapping)
            else dict(enumerate(inputs if isinstance(inputs, Sequence) else (inputs,)))
        )
        self.named = isinstance(inputs, Mapping)
        self.inputs = {
            k: v.detach().to(device) if isinstance(v, Tensor) and device is not None else v
            for k, v in arguments.items()
        }
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        if not self.parameters:
            raise GradientInputError(
                f"{self.label} has no parameter that requires a gradient, expected at least one; set requires_grad"
            )
        self.w: Tensor | None = None
        self.field: Field
        self.replica, self.arguments = self._measured(module)
        gradients = self._gradients(self.replica, self.arguments)
        self.precision = self._precision(module, gradients) if self.replica is not module else []
        tensors = [p.detach() for name, p in self.replica.named_parameters() if name in self.parameters]
        with torch.no_grad():
            self.base = self._outputs(self.replica, self.arguments)
        assert self.w is not None
        natural = float((self.base * self.w).norm())
        unit = max(roundoff(tensor) for tensor in tensors)
        self.field = Field(tensors, gradients, self._value, seed, natural=natural, unit=unit, own=unit)

    def _outputs(self, module: nn.Module, inputs: Mapping[Any, Any]) -> Tensor:
        state = {name: value.clone() for name, value in module.named_buffers()}
        torch.manual_seed(0)
        try:
            returned = module(**inputs) if self.named else module(*inputs.values())
        except EXPECTED_FAILURES as error:
            raise GradientInputError(
                f"{self.label} raises {type(error).__name__}: {error}, expected a result; give inputs that it accepts"
            ) from error
        finally:
            for name, value in module.named_buffers():
                value.copy_(state[name])
        found = [v for v in leaves_of(returned) if isinstance(v, Tensor) and (v.is_floating_point() or v.is_complex())]
        if not found:
            raise GradientInputError(
                f"{self.label} does not return a floating-point tensor, expected at least one; nothing can be differentiated"
            )
        return joined(found)

    def _gradients(self, module: nn.Module, inputs: Mapping[Any, Any]) -> list[Tensor]:
        parameters = [p for name, p in module.named_parameters() if name in self.parameters]
        outputs = self._outputs(module, inputs)
        if self.w is None:
            self.w = signs(outputs.numel(), self.generator).to(outputs.device)
        if not outputs.requires_grad:
            return [torch.zeros_like(p) for p in parameters]
        found = torch.autograd.grad((outputs * self.w).sum(), parameters, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g.contiguous() for g, p in zip(found, parameters, strict=True)]

    def _precision(self, module: nn.Module, wide: list[Tensor]) -> list[Finding]:
        """The module's gradient in its own dtype against that of its float64 replica.

        Rounding stays near the unit roundoff times the square root of the lengths summed over; the square root of the unit
        roundoff is far above that, and below the mistakes that a wrong narrow path makes.
        """
        found = []
        for (name, parameter), own, exact in zip(
            self.parameters.items(), self._gradients(module, self.inputs), wide, strict=True
        ):
            typical = float(torch.linalg.vector_norm(exact, dtype=torch.float64)) / max(1, exact.numel()) ** 0.5
            excess = (
                (own.to(exact.dtype) - exact).abs_().sub_(exact.abs().clamp_min_(typical), alpha=roundoff(own) ** 0.5)
            )
            count = int((excess > 0).sum())
            if count:
                place = int(excess.argmax())
                sentence = (
                    f"in {str(parameter.dtype).removeprefix('torch.')} the gradient of {name}{where(place, parameter)} is "
                    f"{float(own.view(-1)[place]):.8g}, in float64 {float(exact.view(-1)[place]):.8g} ({count} entries)"
                )
                found.append(Finding("precision", "wrong", sentence))
        return found

    def _measured(self, module: nn.Module) -> tuple[nn.Module, Mapping[Any, Any]]:
        if all(p.dtype == torch.float64 for p in self.parameters.values()):
            return module, self.inputs
        replica = copy.deepcopy(module).double()
        wide = {k: v.double() if isinstance(v, Tensor) and v.is_floating_point() else v for k, v in self.inputs.items()}
        try:
            with torch.no_grad():
                self._outputs(replica, wide)
        except GradientInputError:
            return copy.deepcopy(module), self.inputs
        return replica, wide

    def _value(self) -> float:
        with torch.no_grad():
            outputs = self._outputs(self.replica, self.arguments)
        assert self.w is not None
        return float((outputs - self.base) @ self.w)

    def records(self, result: Search) -> list[InputEntries]:
        """One record per parameter, with the wrong entries that were located in it."""
        places = [(self.field.place(one.start), one) for one in result.wrong]
        bent = [(self.field.place(one.start), one) for one in result.kinks]
        found = []
        for k, (name, parameter) in enumerate(self.parameters.items()):
            wrong = tuple(self._entry(name, parameter, at, one) for (which, at), one in places if which == k)
            kinks = tuple(self._entry(name, parameter, at, one) for (which, at), one in bent if which == k)
            count = parameter.numel() if result.dense and wrong else len(wrong)
            size = (
                float(torch.linalg.vector_norm(self.field.gradients[k], dtype=torch.float64))
                / max(1, parameter.numel()) ** 0.5
            )
            visible = 2 * numeric.MARGIN * result.last.bar / self.field.scales[k]
            found.append(
                InputEntries(
                    name=f"parameter {name}", shape=tuple(parameter.shape), dtype=str(parameter.dtype).removeprefix("torch."),
                    checked=parameter.numel(), method="located", resolution=visible / size if size > 0 else 0.0, wrong=wrong[:SHOWN],
                    wrong_count=count, worst=wrong[0] if wrong else None, kinks=len(kinks), kink=kinks[0] if kinks else None,
                )
            )  # fmt: skip
        return found

    def findings(self, result: Search) -> list[Finding]:
        """How the search ended, the rest clean under two seeds or not, and what the module's own dtype does."""
        return [*self.precision, self._ended(result)]

    def _ended(self, result: Search) -> Finding:
        if result.dense:
            return Finding(
                "location", "note", "more than half of a random sample of entries is wrong: the whole differs"
            )
        count = len(result.wrong)
        if result.complete:
            return Finding(
                "location", "holds", f"apart from {count} located entries the gradient agrees under two fresh seeds"
            )
        if count:
            return Finding("location", "note", f"more entries are wrong than the {count} that were located")
        off = f"{abs(result.last.analytic - result.last.measured):.2e} (bar {result.last.bar:.1e})"
        sentence = f"the gradient differs by {off} along random directions; no single entry could be located"
        return Finding("location", "wrong", sentence)

    def _entry(self, name: str, parameter: Tensor, at: int, one: Measured) -> Entry:
        return Entry(f"parameter {name}", where(at, parameter), "<w, y>", one.analytic, one.measured, one.bar)
