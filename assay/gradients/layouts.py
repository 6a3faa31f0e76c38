"""The same numbers in other layouts: strides of the cotangent and of the inputs, expanded ones among them, change no gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from assay.errors import GradientInputError
from assay.gradients.analytic import Analytic
from assay.gradients.examination import Examination
from assay.gradients.observe import spread
from assay.gradients.records import Finding
from assay.gradients.screen import scales, signs

# A mistake about strides reads other numbers; rounding moves last digits.
GROSS = 1e-3


def cotangent_layouts(analytic: Analytic, generator: torch.Generator) -> list[Finding]:
    """The same cotangent in other strides gives the same gradient; an expanded one too."""
    if analytic.target.cotangent is not None:
        return []
    cotangents = analytic.cotangents(signs(analytic.rows, generator).to(analytic.outputs[0].device))
    same = {
        "transposed in memory": [_transposed(c) for c in cotangents],
        "every second number": [_strided(c) for c in cotangents],
    }
    number = float(signs(1, generator))
    flat = [torch.full_like(c, number) for c in cotangents]
    pairs = [(name, cotangents, other) for name, other in same.items()]
    pairs.append(
        ("expanded from one number", tuple(flat), [c.new_full((), number).expand(c.shape) for c in cotangents])
    )
    for name, plain, other in pairs:
        finding = _same(
            analytic,
            analytic.pull_tensors(plain),
            f"a cotangent {name}",
            lambda other=other: analytic.pull_tensors(other),
        )
        if finding is not None:
            return [finding]
    sentence = (
        "the gradient is the same for a cotangent transposed in memory, of every second number, or expanded from one"
    )
    return [Finding("cotangent layouts", "holds", sentence)]


def _same(analytic: Analytic, plain: list[Tensor], what: str, pull: Any, only: int | None = None) -> Finding | None:
    """A finding when `pull()` gives other gradients than `plain`; `only` looks at one of them."""
    try:
        other = pull()
    except GradientInputError as error:
        return Finding("layouts", "wrong", f"{what} makes it fail: {error}")
    for number, (position, one, two) in enumerate(zip(analytic.target.wrt, plain, other, strict=True)):
        if only in (None, number) and _apart(one, two, analytic.target.inputs[position], analytic):
            sentence = f"the gradient of {analytic.target.names[position]} changes with the layout: {what} changes it by a relative"
            return Finding("layouts", "wrong", f"{sentence} {spread((one,), (two,)):.1e}, expected the same")
    return None


def _apart(one: Tensor, two: Tensor, value: Tensor, analytic: Analytic) -> bool:
    """Whether two gradients differ grossly: a mistake about strides reads other numbers, while rounding moves last digits.

    A gradient that cancels to zero is nothing but rounding; it is compared on the scale of the outputs over the inputs.
    """
    if one.numel() == 0:
        return False
    natural = max(float(y.detach().abs().nan_to_num(posinf=0.0).max()) for y in analytic.outputs if y.numel())
    natural /= float(scales(value).max())
    size = max(float(one.abs().nan_to_num(posinf=0.0).max()), GROSS * natural)
    return float((one - two).abs().nan_to_num(posinf=0.0).max()) > GROSS * size


def _transposed(value: Tensor) -> Tensor:
    """The same numbers, axes stored in reverse order."""
    axes = tuple(reversed(range(value.dim())))
    return value.permute(axes).contiguous().permute(axes) if value.dim() > 1 else _strided(value)


def _strided(value: Tensor) -> Tensor:
    """The same numbers, every second of a larger storage."""
    if value.dim() == 0:
        return value
    store = value.new_zeros((*value.shape[:-1], 2 * value.shape[-1]))
    store[..., ::2] = value
    return store[..., ::2]


def input_layouts(check: Examination) -> list[Finding]:
    """The same inputs in other strides give the same outputs and gradient; an input repeated by expanding is checked anew."""
    analytic, target = check.analytic, check.analytic.target
    w = signs(analytic.rows, check.generator).to(analytic.outputs[0].device)
    plain = analytic.pull(w)
    for what, change in (("transposed in memory", _transposed), ("every second number", _strided)):
        # A module owns its parameters and their layout; what comes in from outside can have any.
        given = target.arguments if target.module is not None else len(target.inputs)
        inputs = [change(value) if k in target.wrt and k < given else value for k, value in enumerate(target.inputs)]
        try:
            other = Analytic(target.at(inputs), keep_strides=True)
        except GradientInputError:
            continue
        if other.kept != analytic.kept or other.rows != analytic.rows:
            continue
        finding = _same(analytic, plain, f"an input {what}", lambda other=other: other.pull(w))
        if finding is not None:
            return [finding]
    return [
        Finding(
            "layouts", "holds", "the gradient is the same for inputs transposed in memory or of every second number"
        ),
        *_expanded(check),
    ]


def _expanded(check: Examination) -> list[Finding]:
    """Each input with its first axis expanded from one row: the gradient arrives at that row summed over the copies."""
    target, named = check.reference, []
    for position in target.wrt:
        value = target.inputs[position]
        if value.dim() == 0 or value.shape[0] < 2 or target.module is not None or position in check.projected:
            continue
        copied = list(target.inputs)
        copied[position] = value[:1].repeat(value.shape[0], *[1] * (value.dim() - 1))
        expanded = list(copied)
        expanded[position] = value[:1].expand(value.shape)
        try:
            plain, other = Analytic(target.at(copied)), Analytic(target.at(expanded), keep_strides=True)
            w = signs(plain.rows, check.generator).to(value.device)
            gradients = plain.pull(w)
        except GradientInputError:
            continue
        if plain.rows != other.rows:
            continue
        own = plain.target.wrt.index(position)
        finding = _same(
            plain, gradients, f"an expanded {target.names[position]}", lambda other=other, w=w: other.pull(w), own
        )
        if finding is not None:
            return [finding]
        named.append(target.names[position])
    if not named:
        return []
    return [
        Finding("expanded inputs", "holds", f"an expanded input gets the gradient of its copies: {', '.join(named)}")
    ]
