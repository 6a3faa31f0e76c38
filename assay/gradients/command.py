"""The body of `assay gradcheck TARGET`: check, print, and say how it went by the exit code."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import nn

from assay.errors import AssayError, GradientInputError, UsageError
from assay.gradients.check import check_gradient
from assay.gradients.explore import explore_gradient
from assay.gradients.module import check_module
from assay.gradients.report import GradientReport
from assay.gradients.requested import around, found, inputs_of, instance
from assay.isolation import isolated

EXIT = {"agrees": 0, "differs": 1, "kink": 3, "unresolved": 3}
BAD_USE = 2
# A search for the smallest failing input, and a shorter one after a check that failed.
EXAMPLES, AFTERWARDS = 50, 25


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    target: str
    inputs: tuple[str, ...] = ()
    explore: bool = False
    order: int = 1
    entries: str | None = None
    seed: int = 0
    device: str | None = None

    @property
    def line(self) -> str:
        """The command that asks for the same."""
        words = ["assay", "gradcheck", self.target]
        words += [word for text in self.inputs for word in ("--input", text)]
        words += ["--explore"] if self.explore else []
        words += ["--order", str(self.order)] if self.order != 1 else []
        words += ["--entries", self.entries] if self.entries is not None else []
        words += ["--device", self.device] if self.device is not None else []
        return shlex.join([*words, "--seed", str(self.seed)])


def gradcheck_command(
    target: Annotated[str, typer.Argument(help="pkg.module:name or file.py:name")],
    input: Annotated[list[str] | None, typer.Option(help="an input: x=float64[3,4]; repeat for each")] = None,
    explore: Annotated[bool, typer.Option(help="search shapes and values for the smallest failing input")] = False,
    order: Annotated[int, typer.Option(min=1, max=2, help="2 checks the gradient's gradient too")] = 1,
    entries: Annotated[str | None, typer.Option(help="all: measure every entry")] = None,
    json: Annotated[bool, typer.Option(help="print the report as JSON")] = False,
    html: Annotated[Path | None, typer.Option(help="write the report as HTML to this file")] = None,
    seed: Annotated[int, typer.Option(help="seed of every random choice")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu or cuda")] = None,
) -> int:
    """Check a gradient; exit code 0 agrees, 1 differs, 3 kink or unresolved, 2 bad use with one line that says what."""
    try:
        report = checked(Request(target, tuple(input or ()), explore, order, entries, seed, device))
        if html is not None:
            report.to_html(html)
    except AssayError as error:
        typer.echo(f"gradcheck: {error}", err=True)
        return BAD_USE
    except OSError as error:
        typer.echo(
            f"gradcheck: the report cannot be written: {error}, expected a file that can be; name another", err=True
        )
        return BAD_USE
    typer.echo(report.to_json() if json else report.summary())
    return EXIT[report.verdict]


def checked(request: Request) -> GradientReport:
    """The report that was asked for; raises UsageError or GradientInputError with one sentence when there can be none."""
    if request.entries not in (None, "all"):
        raise UsageError(
            f"--entries is not known: {request.entries!r}, expected all; leave it out to check by the screen"
        )
    if request.device is not None and request.device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("the device cuda is not there, expected one that PyTorch finds; use --device cpu")
    with isolated(request.seed, request.device):
        module, name, value = found(request.target)
        candidate = instance(value)
        inputs = inputs_of(module, name, candidate, list(request.inputs), request.seed)
        return replace(_report(candidate, inputs, request), line=request.line)


def _report(candidate: Any, inputs: Any, request: Request) -> GradientReport:
    options: dict[str, Any] = {"seed": request.seed, "device": request.device, "order": request.order}
    if request.explore:
        return explore_gradient(candidate, around(inputs, request.seed), examples=EXAMPLES, **options)
    options["entries"] = request.entries
    if isinstance(candidate, nn.Module):
        return check_module(candidate, inputs, progress=sys.stderr.isatty(), **options)
    report = check_gradient(candidate, inputs, **options)
    if report.verdict != "differs":
        return report
    return _smaller(candidate, inputs, report, options)


def _smaller(candidate: Any, inputs: Any, report: GradientReport, options: dict[str, Any]) -> GradientReport:
    """The report with the smallest failing input that a short search finds; as it was when the search finds none."""
    try:
        smallest = explore_gradient(candidate, around(inputs, options["seed"]), examples=AFTERWARDS, **options)
    except GradientInputError:
        return report
    return replace(report, example=smallest.example) if smallest.verdict == "differs" else report
