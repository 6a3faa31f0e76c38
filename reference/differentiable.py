"""How a component becomes callable under autograd: two pure functions, written once, joined here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

Saved = tuple[torch.Tensor, ...]
Forward = Callable[..., tuple[torch.Tensor, Saved]]
Backward = Callable[..., tuple[torch.Tensor | None, ...]]


@dataclass(frozen=True)
class Differentiable:
    """A component: `forward(*tensors, **hyper) -> (y, saved)` and `backward(saved, dy, **hyper) -> one gradient per tensor`.

    Calling it runs the forward and registers the backward with autograd; it also works under `torch.func` (grad, vmap, jacrev).
    `saved` may hold inputs, `y` itself and further tensors. A second derivative is right: it differentiates the backward's own
    formulas, with `saved` recomputed from the inputs so that nothing in it is silently constant.
    """

    forward: Forward
    backward: Backward

    def __call__(self, *tensors: torch.Tensor, **hyper: Any) -> torch.Tensor:
        if not any(isinstance(t, torch.Tensor) for t in tensors):
            raise ValueError(
                f"{self.name} got no tensor: {[type(t).__name__ for t in tensors]}, expected tensors first"
            )
        return _Bridge.apply(_Call(self, hyper), *tensors)[0]

    @property
    def name(self) -> str:
        return self.forward.__name__.removesuffix("_forward")

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self.forward.__doc__


@dataclass
class _Call:
    """One call: the component, its hyper-parameters, and where each saved tensor comes from (input, y, or computed)."""

    component: Differentiable
    hyper: dict[str, Any]
    layout: list[tuple[str, int]] = field(default_factory=list)


class _Bridge(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(call: _Call, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y, saved = call.component.forward(*tensors, **call.hyper)
        y = y.clone() if any(y is t for t in tensors) else y
        call.layout.clear()
        computed: list[torch.Tensor] = []
        for tensor in saved:
            inputs = [k for k, t in enumerate(tensors) if t is tensor]
            if inputs:
                call.layout.append(("input", inputs[0]))
            elif tensor is y:
                call.layout.append(("y", 0))
            else:
                call.layout.append(("computed", len(computed)))
                computed.append(tensor)
        return (y, *computed)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[torch.Tensor, ...]) -> None:
        call, *tensors = inputs
        ctx.call, ctx.count = call, len(tensors)
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*tensors, *output)

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor, *_: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        call: _Call = ctx.call
        tensors, (y, *computed) = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        if torch.is_grad_enabled():
            _, saved = call.component.forward(*tensors, **call.hyper)
        else:
            found = {"input": tensors, "y": (y,), "computed": computed}
            saved = tuple(found[place][k] for place, k in call.layout)
        return (None, *call.component.backward(saved, dy, **call.hyper))
