"""What is being checked: a callable, a forward/backward pair, an `autograd.Function` or a module, with its named inputs."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from assay.errors import GradientInputError

Inputs = Mapping[str, Any] | Sequence[Any] | Tensor
DOUBLE = {torch.complex32: torch.complex128, torch.complex64: torch.complex128, torch.complex128: torch.complex128}


@dataclass(frozen=True)
class Target:
    """A function with named inputs; `wrt` are the positions that are differentiated.

    A module's parameters are inputs like any other: they follow the first `arguments` inputs under the name "parameter ...". Those
    that require no gradient are `frozen`.
    """

    label: str
    function: Callable[..., Any]
    names: tuple[str, ...]
    inputs: tuple[Any, ...]
    wrt: tuple[int, ...]
    backward: Callable[..., Any] | None = None
    hyper: Mapping[str, Any] = field(default_factory=dict)
    by_name: bool = False
    module: nn.Module | None = None
    buffers: Mapping[str, Tensor] = field(default_factory=dict)
    frozen: Mapping[str, Tensor] = field(default_factory=dict)
    arguments: int = 0
    cotangent: tuple[Tensor, ...] | None = None
    clones: bool = False
    seed: int | None = None

    def call(self, inputs: Sequence[Any]) -> Any:
        """Whatever the function returns at `inputs`; the random generator is set first when the function draws numbers."""
        if self.seed is not None:
            torch.manual_seed(self.seed)
        if self.clones:
            inputs = tuple(value.clone() if isinstance(value, Tensor) else value for value in inputs)
        if self.module is not None:
            state = {name.removeprefix("parameter "): value for name, value in self._parameters(inputs)}
            state.update(self.frozen)
            # The forward may write into its buffers (running statistics): every call gets them as they were.
            state.update({name: value.clone() for name, value in self.buffers.items()})
            given = tuple(inputs[: self.arguments])
            named = dict(zip(self.names, given, strict=False)) if self.by_name else {}
            return torch.func.functional_call(self.module, state, () if named else given, named | dict(self.hyper))
        if self.by_name:
            return self.function(**dict(zip(self.names, inputs, strict=True)), **self.hyper)
        return self.function(*inputs, **self.hyper)

    def _parameters(self, inputs: Sequence[Any]) -> list[tuple[str, Any]]:
        return list(zip(self.names[self.arguments :], inputs[self.arguments :], strict=True))

    def outputs(self, inputs: Sequence[Any]) -> tuple[Tensor, ...]:
        """The floating-point and complex tensors that the function returns, in order."""
        return self.tensors(self.call(inputs))

    def tensors(self, returned: Any) -> tuple[Tensor, ...]:
        """The differentiable part of what a call returned; raises GradientInputError when there is none."""
        if self.backward is not None:
            if not isinstance(returned, tuple) or len(returned) != 2:
                raise GradientInputError(
                    f"{self.label} does not return (output, saved): {_kind(returned)}, expected a pair, because a backward "
                    "was given; return what the backward needs as the second element"
                )
            returned = returned[0]
        found = tuple(value for value in leaves_of(returned) if isinstance(value, Tensor))
        kept = tuple(value for value in found if value.is_floating_point() or value.is_complex())
        if not kept:
            raise GradientInputError(
                f"{self.label} does not return a floating-point tensor: {_kind(returned)}, expected at least one; "
                "nothing can be differentiated"
            )
        return kept

    def at(self, inputs: Sequence[Any]) -> Target:
        return replace(self, inputs=tuple(inputs))

    def doubled(self) -> Target:
        """The same function on the same numbers in float64 (complex128)."""
        return self.converted(_double)

    def converted(self, change: Callable[[Any], Any]) -> Target:
        """The same function with every number that it is given, state included, put through `change`."""
        return replace(
            self,
            inputs=tuple(change(value) for value in self.inputs),
            buffers={name: change(value) for name, value in self.buffers.items()},
            frozen={name: change(value) for name, value in self.frozen.items()},
            cotangent=None if self.cotangent is None else tuple(change(value) for value in self.cotangent),
            hyper={name: change(value) for name, value in self.hyper.items()},
        )

    @property
    def narrow(self) -> bool:
        """Whether some differentiated input holds fewer digits than float64."""
        return any(self.inputs[k].dtype not in (torch.float64, torch.complex128) for k in self.wrt)


def _double(value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    if value.is_complex():
        return value.to(DOUBLE[value.dtype])
    return value.double() if value.is_floating_point() else value


def leaves_of(value: Any) -> list[Any]:
    """What nested tuples, lists and dicts hold, in order."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return [leaf for part in value for leaf in leaves_of(part)]
    return [value]


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of {str(value.dtype).removeprefix('torch.')}"
    return f"{type(value).__name__}"


def resolve(
    fn: Any,
    inputs: Inputs,
    *,
    wrt: Sequence[str | int] | str | int | None = None,
    backward: Callable[..., Any] | None = None,
    cotangent: Any = None,
    device: str | torch.device | None = None,
    hyper: Mapping[str, Any] | None = None,
) -> Target:
    """The target that `check_gradient` was asked about; raises GradientInputError with one sentence when it cannot be checked."""
    label, function, backward, module = _callable(fn, backward)
    names, values = named(signed(fn) if module is None else module.forward, inputs)
    values = tuple(_placed(value, device) for value in values)
    arguments, buffers, frozen = len(values), {}, {}
    given = names
    if module is not None:
        module = module if device is None else module.to(device)
        parameters = [(name, value.detach()) for name, value in module.named_parameters() if value.requires_grad]
        names += tuple(f"parameter {name}" for name, _ in parameters)
        values += tuple(value for _, value in parameters)
        buffers = {name: value.detach() for name, value in module.named_buffers()}
        frozen = {name: value.detach() for name, value in module.named_parameters() if not value.requires_grad}
    return Target(
        label=label,
        function=function,
        names=names,
        inputs=values,
        wrt=_positions(label, names, values, wrt),
        backward=backward,
        hyper=dict(hyper or {}),
        by_name=isinstance(inputs, Mapping) and _binds(function if module is None else module.forward, given),
        module=module,
        buffers=buffers,
        frozen=frozen,
        arguments=arguments,
        cotangent=None if cotangent is None else tuple(value.detach() for value in leaves_of(cotangent)),
    )


def _callable(
    fn: Any, backward: Callable[..., Any] | None
) -> tuple[str, Callable[..., Any], Callable[..., Any] | None, nn.Module | None]:
    label = getattr(fn, "__name__", None) or type(fn).__name__
    if isinstance(fn, nn.Module):
        return type(fn).__name__, fn, None, fn
    if isinstance(fn, type) and issubclass(fn, torch.autograd.Function):
        return label, fn.apply, None, None
    if isinstance(fn, type) and issubclass(fn, nn.Module):
        return _callable(fn(), None)
    if label == "apply" and isinstance(getattr(fn, "__self__", None), type):
        label = fn.__self__.__name__
    if backward is None and callable(getattr(fn, "forward", None)) and callable(getattr(fn, "backward", None)):
        return label, fn.forward, fn.backward, None
    if not callable(fn):
        raise GradientInputError(
            f"the target is not callable: {type(fn).__name__}, expected a function, an nn.Module, an autograd.Function or an "
            "object with forward and backward; give one of these"
        )
    return label, fn, backward, None


def named(function: Callable[..., Any], inputs: Inputs) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Names and values of the inputs; a tuple takes its names from the function's parameters where they can be read.

    Inputs by name come in the order of the parameters where all of them are parameters.
    """
    known = [name for name, parameter in parameters_of(function) if parameter.kind is not parameter.VAR_POSITIONAL]
    if isinstance(inputs, Mapping):
        ordered = sorted(inputs, key=known.index) if set(inputs) <= set(known) else list(inputs)
        return tuple(ordered), tuple(inputs[name] for name in ordered)
    values = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    known += [f"input {k}" for k in range(len(known), len(values))]
    return tuple(known[: len(values)]), values


def signed(fn: Any) -> Callable[..., Any]:
    """What carries the names of the inputs: of an autograd.Function its forward, whose context is no input."""
    owner = fn if isinstance(fn, type) else getattr(fn, "__self__", None)
    if not (isinstance(owner, type) and issubclass(owner, torch.autograd.Function)):
        forward = getattr(fn, "forward", None)
        return forward if callable(forward) else fn  # type: ignore[no-any-return]
    # With a setup_context of its own the forward has no context.
    if owner.setup_context is not torch.autograd.Function.setup_context:
        return owner.forward
    return functools.partial(owner.forward, None)


def parameters_of(function: Callable[..., Any]) -> list[tuple[str, inspect.Parameter]]:
    """The named parameters of a function in order; none where they cannot be read or their number is open."""
    try:
        found = list(inspect.signature(function).parameters.items())
    except (TypeError, ValueError):
        return []
    return [] if any(p.kind is p.VAR_POSITIONAL for _, p in found) else found


def _binds(function: Callable[..., Any], names: Sequence[str]) -> bool:
    """Whether every name is a parameter that can be passed by keyword; otherwise inputs are passed in order."""
    keywords = {name for name, p in parameters_of(function) if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    return bool(names) and set(names) <= keywords


def _placed(value: Any, device: str | torch.device | None) -> Any:
    if not isinstance(value, Tensor):
        return value
    value = value.detach()
    return value if device is None else value.to(device)


def _positions(
    label: str, names: tuple[str, ...], values: tuple[Any, ...], wrt: Sequence[str | int] | str | int | None
) -> tuple[int, ...]:
    smooth = [k for k, v in enumerate(values) if isinstance(v, Tensor) and (v.is_floating_point() or v.is_complex())]
    if wrt is not None:
        wanted = [wrt] if isinstance(wrt, (str, int)) else list(wrt)
        unknown = [
            name for name in wanted if name not in names and not (isinstance(name, int) and 0 <= name < len(names))
        ]
        if unknown:
            raise GradientInputError(
                f"{label} has no input {unknown[0]!r}, expected one of {', '.join(names)} (wrt); name an input that was given"
            )
        chosen = [names.index(name) if isinstance(name, str) else name for name in wanted]
        smooth = [k for k in chosen if k in smooth]
    if not smooth:
        kinds = ", ".join(f"{n} is {_kind(v)}" for n, v in zip(names, values, strict=True)) or "no inputs were given"
        raise GradientInputError(
            f"{label} has no differentiable input: {kinds}, expected at least one floating-point tensor; give one"
        )
    return tuple(smooth)
