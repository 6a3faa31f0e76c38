"""What a command line asks for: the target by name, its inputs by description or from beside it, and inputs like those."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor, nn

from assay.errors import UsageError
from assay.gradients.spec import described
from assay.gradients.target import parameters_of, signed


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
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"{where} cannot be imported: {_said(error)}, expected a module; mend it or name another"
        ) from error


def _said(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no message'])[0]}"


def _called(function: Callable[[], Any], what: str) -> Any:
    try:
        return function()
    except Exception as error:
        raise UsageError(f"{what} raises {_said(error)}, expected a result; mend it") from error


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
        made = _called(value, f"the function {value.__name__}")
        if isinstance(made, nn.Module) or (callable(made) and not isinstance(made, Tensor)):
            return made
    return value


def inputs_of(module: ModuleType, name: str, candidate: Any, texts: list[str], seed: int) -> Any:
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
            return _called(source, f"the function {beside}") if callable(source) else source
    wanted = ", ".join(_needed(candidate)) or "its inputs"
    raise UsageError(
        f"{name} has no inputs: expected {wanted} by --input name=dtype[shape], or a function {name}_inputs() or "
        "gradcheck_inputs() beside it; give them"
    )


def _needed(candidate: Any) -> list[str]:
    """The inputs that have no default; none where they cannot be read."""
    parameters = [p for _, p in parameters_of(signed(candidate))]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind in kinds]


def _demand(name: str, candidate: Any, given: Mapping[str, Any]) -> None:
    missing = [needed for needed in _needed(candidate) if needed not in given]
    if missing:
        raise UsageError(
            f"{name} needs an input that was not given: {missing[0]}, expected --input {missing[0]}=dtype[shape]; give it"
        )


def around(inputs: Any, seed: int) -> SearchStrategy[Any]:
    """Inputs like the given ones: axes of one size vary together from one up, values are redrawn; small ones come first."""
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
