"""The body of `assay gradcheck TARGET`: find the target and its inputs, check, print, and say how it went by the exit code."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import torch
import typer
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn

from assay.errors import AssayError, GradientInputError, UsageError
from assay.gradients.check import check_gradient
from assay.gradients.explore import explore_gradient
from assay.gradients.module import check_module
from assay.gradients.report import GradientReport
from assay.gradients.spec import described

EXIT = {"agrees": 0, "differs": 1, "kink": 3, "unresolved": 3}
BAD_USE = 2


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
        report = _checked(target, input or [], explore, order, entries, seed, device)
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


def _checked(
    target: str,
    described_inputs: list[str],
    explore: bool,
    order: int,
    entries: str | None,
    seed: int,
    device: str | None,
) -> GradientReport:
    if entries not in (None, "all"):
        raise UsageError(f"--entries is not known: {entries!r}, expected all; leave it out to check by the screen")
    if device is not None and device.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("the device cuda is not there, expected one that PyTorch finds; use --device cpu")
    module, name, value = found(target)
    candidate = instance(value)
    inputs = _inputs(module, name, candidate, described_inputs, seed)
    if explore:
        report = explore_gradient(candidate, _around(inputs, seed), examples=50, seed=seed, order=order, device=device)
    elif isinstance(candidate, nn.Module):
        report = check_module(candidate, inputs, seed=seed, device=device, order=order, entries=entries)
    else:
        report = check_gradient(candidate, inputs, seed=seed, device=device, order=order, entries=entries)  # type: ignore[arg-type]
        if report.verdict == "differs" and any(entry.wrong_count for entry in report.entries):
            report = _smaller(candidate, inputs, report, seed, order, device)
    return report


def _smaller(
    candidate: Any, inputs: Any, report: GradientReport, seed: int, order: int, device: str | None
) -> GradientReport:
    """The report with the smallest failing input that a short search finds; as it was when the search finds none."""
    from dataclasses import replace

    try:
        smallest = explore_gradient(
            candidate, _around(inputs, seed), examples=25, seed=seed, order=order, device=device
        )
    except GradientInputError:
        return report
    return replace(report, example=smallest.example) if smallest.verdict == "differs" else report


def found(target: str) -> tuple[ModuleType, str, Any]:
    """The module, the name and the object of "pkg.module:name" or "file.py:name"."""
    where, colon, name = target.rpartition(":")
    if not colon or not where or not name:
        raise UsageError(f"the target cannot be read: {target!r}, expected pkg.module:name or file.py:name; write one")
    module = _loaded(where)
    value: Any = module
    for part in name.split("."):
        if not hasattr(value, part):
            names = ", ".join(
                sorted(key for key, v in vars(module).items() if callable(v) and not key.startswith("_"))[:12]
            )
            raise UsageError(f"{where} has no {name!r}, expected one of: {names or 'nothing callable'}; name one")
        value = getattr(value, part)
    return module, name, value


def _loaded(where: str) -> ModuleType:
    try:
        if where.endswith(".py"):
            path = Path(where)
            if not path.is_file():
                raise UsageError(f"the file {where} is not there, expected a Python file; check the path")
            spec = importlib.util.spec_from_file_location(path.stem, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules.setdefault(path.stem, module)
            spec.loader.exec_module(module)
            return module
        if "" not in sys.path:
            sys.path.insert(0, "")
        return importlib.import_module(where)
    except (ImportError, SyntaxError) as error:
        raise UsageError(f"{where} cannot be imported: {error}, expected a module; mend it or name another") from error


def instance(value: Any) -> Any:
    """What is checked: classes and factories of modules are called, other things stay as they are."""
    if inspect.isclass(value) and issubclass(value, nn.Module):
        try:
            return value()
        except TypeError as error:
            raise UsageError(
                f"the module {value.__name__} needs arguments: {error}, expected none; name a function that makes it"
            ) from error
    if inspect.isfunction(value) and not inspect.signature(value).parameters:
        made = value()
        if isinstance(made, nn.Module) or (callable(made) and not isinstance(made, Tensor)):
            return made
    return value


def _inputs(module: ModuleType, name: str, candidate: Any, texts: list[str], seed: int) -> Any:
    """Inputs from --input, or from `<name>_inputs` or `gradcheck_inputs` beside the target (a function, or the inputs)."""
    if texts:
        generator = torch.Generator().manual_seed(seed)
        pairs = [text.partition("=") for text in texts]
        wrong = [text for text, (_, equals, _) in zip(texts, pairs, strict=True) if not equals]
        if wrong:
            raise UsageError(
                f"the input cannot be read: {wrong[0]!r}, expected name=dtype[shape], such as x=float64[3,4]; write it so"
            )
        given = {key: described(text, generator) for key, _, text in pairs}
        _demand(name, candidate, given)
        return given
    for beside in (f"{name}_inputs", "gradcheck_inputs"):
        source = getattr(module, beside, None)
        if source is not None:
            return source() if callable(source) else source
    wanted = ", ".join(_needed(candidate)) or "its inputs"
    raise UsageError(
        f"{name} has no inputs: expected {wanted} by --input name=dtype[shape], or a function {name}_inputs() or "
        "gradcheck_inputs() beside it; give them"
    )


def _needed(candidate: Any) -> list[str]:
    function = candidate.forward if hasattr(candidate, "forward") else candidate
    if inspect.isclass(candidate) and issubclass(candidate, torch.autograd.Function):
        return list(inspect.signature(candidate.forward).parameters)[1:]
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind in kinds]


def _demand(name: str, candidate: Any, given: Mapping[str, Any]) -> None:
    missing = [needed for needed in _needed(candidate) if needed not in given]
    if missing and len(given) < len(_needed(candidate)):
        raise UsageError(
            f"{name} needs an input that was not given: {missing[0]}, expected --input {missing[0]}=dtype[shape]; give it"
        )


def _around(inputs: Any, seed: int) -> SearchStrategy[Any]:
    """Inputs like the given ones: axes of one size vary together from one up, values are redrawn; small ones come first."""
    from hypothesis import strategies as st

    named: Callable[[Any], Any] = (
        (lambda values: dict(zip(inputs, values, strict=True))) if isinstance(inputs, Mapping) else tuple
    )
    values = (
        list(inputs.values())
        if isinstance(inputs, Mapping)
        else list(inputs if isinstance(inputs, (tuple, list)) else (inputs,))
    )
    sizes = sorted({n for value in values if isinstance(value, Tensor) for n in value.shape})

    @st.composite
    def drawn(draw: st.DrawFn) -> Any:
        length = {n: draw(st.integers(1, max(1, min(n, 4)))) for n in sizes}
        generator = torch.Generator().manual_seed(seed + draw(st.integers(0, 7)))
        return named([_redrawn(value, length, generator) for value in values])

    return drawn()


def _redrawn(value: Any, length: Mapping[int, int], generator: torch.Generator) -> Any:
    if not isinstance(value, Tensor):
        return value
    shape = [length[n] for n in value.shape]
    if not (value.is_floating_point() or value.is_complex()):
        return value[tuple(slice(0, n) for n in shape)].clone()
    wide = torch.complex128 if value.is_complex() else torch.float64
    fresh = torch.randn(shape, dtype=wide, generator=generator).to(value.dtype)
    return fresh.abs() if not value.is_complex() and value.numel() and bool((value > 0).all()) else fresh
