"""The gradient by other ways: in batches (`is_grads_batched`, `torch.func.vmap`) and in forward mode it is what reverse mode gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from assay.gradients.analytic import Analytic
from assay.gradients.flat import flat, joined, unflat
from assay.gradients.observe import reordered, spread
from assay.gradients.records import Finding
from assay.gradients.screen import signs

ROWS = 3


def batched(analytic: Analytic, generator: torch.Generator) -> list[Finding]:
    """Batches of cotangents give the rows that single calls give, through `is_grads_batched` and through `torch.func.vmap`."""
    rows = torch.stack([signs(analytic.rows, generator) for _ in range(ROWS)]).to(analytic.outputs[0].device)
    singles = [analytic.pull(row) for row in rows]
    ways: dict[str, Callable[[], tuple[str, list[Tensor] | None]]] = {
        "batched": lambda: analytic.batch(rows),
        "vmap": lambda: _mapped(analytic, rows),
    }
    return [_compared(kind, analytic, singles, *way()) for kind, way in ways.items()]


def _compared(
    kind: str, analytic: Analytic, singles: list[list[Tensor]], refused: str, found: list[Tensor] | None
) -> Finding:
    name_of = {"batched": "batched gradient (is_grads_batched)", "vmap": "gradient under torch.func.vmap"}[kind]
    if found is None:
        return Finding(kind, "note", f"the {name_of} is refused: {refused}")
    for k, position in enumerate(analytic.target.wrt):
        alone = torch.stack([single[k] for single in singles])
        if spread((found[k],), (alone,)) > reordered(analytic.outputs):
            name = analytic.target.names[position]
            return Finding(kind, "wrong", f"the {name_of} of {name} differs from the single one, expected the same")
    return Finding(kind, "holds", f"the {name_of} is the single one")


def _mapped(analytic: Analytic, rows: Tensor) -> tuple[str, list[Tensor] | None]:
    """The gradients of each row (p, n_i) by `torch.func.vmap` of `torch.func.vjp`, or (the reason, None) where it refuses."""
    target = analytic.target
    if target.cotangent is not None:
        return "it is called one cotangent at a time", None

    def function(*values: Tensor) -> tuple[Tensor, ...]:
        inputs = list(target.inputs)
        for position, value in zip(target.wrt, values, strict=True):
            inputs[position] = value
        outputs = target.outputs(inputs)
        return tuple(outputs[k] for k in analytic.kept)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pull = torch.func.vjp(function, *(target.inputs[k] for k in target.wrt))[1]
            found = torch.func.vmap(lambda w: tuple(flat(g) for g in pull(analytic.cotangents(w))))(rows)
        return "", [value.detach() for value in found]
    except Exception as error:  # noqa: BLE001 - a function that torch.func cannot transform may raise anything
        return first_line(error), None


def forward(analytic: Analytic, w: Tensor, gradients: list[Tensor], generator: torch.Generator) -> list[Finding]:
    """Forward mode agrees with reverse mode: <w, J v> = <g, v> for one random v per input."""
    target = analytic.target
    for position, gradient in zip(target.wrt, gradients, strict=True):
        value = target.inputs[position]
        v = signs(gradient.numel(), generator).to(gradient.device)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tangent = _pushed(target, position, v, analytic)
        except Exception as error:  # noqa: BLE001 - a function without forward mode refuses in its own way
            return [Finding("forward mode", "note", f"forward mode is refused: {first_line(error)}")]
        pushed, pulled = float(tangent @ w), float(gradient @ v)
        # Both are sums of products with random signs; they agree to the square root of the roundoff of their length.
        slack = reordered(analytic.outputs) * float((gradient * v).norm() + (tangent * w).norm())
        if value.numel() and not abs(pushed - pulled) <= slack:
            sentence = f"forward mode gives {pushed:.8g} where reverse mode gives {pulled:.8g} (along a random direction of {target.names[position]})"
            return [Finding("forward mode", "wrong", sentence)]
    return [Finding("forward mode", "holds", "forward mode agrees with reverse mode")]


def _pushed(target: Any, position: int, v: Tensor, analytic: Analytic) -> Tensor:
    with forward_ad.dual_level():
        inputs = list(target.inputs)
        inputs[position] = forward_ad.make_dual(inputs[position], unflat(v, inputs[position]))  # type: ignore[no-untyped-call]
        outputs = target.outputs(inputs)
        tangents = [forward_ad.unpack_dual(outputs[k]).tangent for k in analytic.kept]  # type: ignore[no-untyped-call]
        parts = [
            torch.zeros_like(flat(outputs[k].detach())) if t is None else flat(t)
            for k, t in zip(analytic.kept, tangents, strict=True)
        ]
        pushed = torch.cat(parts)
    if target.cotangent is not None:
        return (pushed * joined(target.cotangent)).sum().reshape(1)
    return pushed


def first_line(error: BaseException) -> str:
    """The first line of what an exception says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
