"""Automatic variation at the given input: other layouts, cotangents, special values and sizes, each named in its finding."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from assay.errors import GradientInputError
from assay.gradients.analytic import EXPECTED_FAILURES, Analytic
from assay.gradients.compare import Comparison
from assay.gradients.constraints import projections
from assay.gradients.examination import Examination
from assay.gradients.observe import spread
from assay.gradients.records import Entry, Finding
from assay.gradients.sampling import Sampler
from assay.gradients.screen import scales, signs
from assay.gradients.target import Target

Varied = Iterator[tuple[str, list[Any]]]
# Inputs of so many numbers are varied in so many ways: a variation costs as much as the check itself.
VARIATIONS = ((128, 1000), (1000, 8), (10_000, 3))
# Varied inputs lie at the edge of many functions; only an error above this share of the gradient is held against it there.
GROSS = 1e-3
# Beside: so small a part of the input's scale that a smooth gradient hardly changes.
BESIDE = 1e-7


def varied(check: Examination, layouts_only: bool = False) -> list[Finding]:
    """Findings from changed layouts (against the gradient already found) and changed inputs (against new measurements).

    What the function warns of at inputs that nobody asked for is no news to its author.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _varied(check, layouts_only)


def _varied(check: Examination, layouts_only: bool) -> list[Finding]:
    found = [*_cotangent_layouts(check.analytic, check.generator), *_input_layouts(check)]
    target = check.reference
    if (
        layouts_only
        or not _allowed(target)
        or target.module is not None
        or check.constraint is not None
        or check.surrogate
    ):
        return found
    count = 0
    choices = [*_values(target, check.generator), *_sizes(target)]
    for name, inputs in choices[:: -(-len(choices) // _allowed(target))]:
        finding = _compared(check, name, target.at(inputs))
        count += finding is not None
        if finding is not None and finding.status == "wrong":
            return [*found, finding]
        if finding is not None and finding.status == "note" and not any(one.status == "note" for one in found):
            found.append(finding)
    return [
        *found,
        Finding("variations", "holds", f"the gradient was compared under {count} changes of values and sizes"),
    ]


def _allowed(target: Target) -> int:
    """How many variations an input of this size is worth."""
    size = sum(target.inputs[k].numel() for k in target.wrt)
    return next((count for limit, count in VARIATIONS if size <= limit), 0)


def _cotangent_layouts(analytic: Analytic, generator: torch.Generator) -> list[Finding]:
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
    return [Finding("cotangent layouts", "holds", "strides of the cotangent make no difference")]


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


def _input_layouts(check: Examination) -> list[Finding]:
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
    return [Finding("layouts", "holds", "strides of the inputs make no difference"), *_expanded(check)]


def _expanded(check: Examination) -> list[Finding]:
    """Each input with its first axis expanded from one row: the gradient arrives at that row summed over the copies."""
    target = check.reference
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
    return []


def _values(target: Target, generator: torch.Generator) -> Varied:
    """One entry of one input at a time becomes special: 0, ±1, equal to its neighbour, very large, very small."""
    for position in target.wrt:
        value, name = target.inputs[position], target.names[position]
        if value.numel() == 0:
            continue
        place = int(torch.randint(value.numel(), (1,), generator=generator))
        for special in (0.0, 1.0, -1.0, 30.0, -30.0):
            yield (
                f"with one entry of {name} set to {special:g}",
                _with(target, position, _placed(value, place, special)),
            )
        if value.numel() > 1:
            neighbour = value.reshape(-1)[(place + 1) % value.numel()]
            yield f"with two entries of {name} equal", _with(target, position, _placed(value, place, neighbour))
    for position, value in enumerate(target.inputs):
        if isinstance(value, Tensor) and value.dtype in (torch.int64, torch.int32) and value.numel() > 1:
            yield (
                f"with all entries of {target.names[position]} the same",
                _with(target, position, value.reshape(-1)[:1].expand(value.shape).clone()),
            )


def _with(target: Target, position: int, value: Tensor) -> list[Any]:
    inputs = list(target.inputs)
    inputs[position] = value
    return inputs


def _placed(value: Tensor, place: int, special: Any) -> Tensor:
    changed = value.clone(memory_format=torch.contiguous_format)
    changed.view(-1)[place] = special
    return changed


def _sizes(target: Target) -> Varied:
    """All axes of one size become one long, empty, or one longer; then each first and each last axis by itself."""
    shapes = {k: tuple(v.shape) for k, v in enumerate(target.inputs) if isinstance(v, Tensor)}
    groups: list[tuple[str, set[tuple[int, int]]]] = []
    for size in sorted({n for shape in shapes.values() for n in shape if n > 1}):
        every = {(k, axis) for k, shape in shapes.items() for axis, n in enumerate(shape) if n == size}
        first = {(k, axis) for k, axis in every if axis == 0}
        groups.append((f"axes of {size}", every))
        if first and first != every:
            groups.append((f"first axes of {size}", first))
            groups.append((f"other axes of {size}", every - first))
    for label, axes in groups:
        for wanted, word in ((1, "cut to one"), (0, "cut to zero"), (None, "one longer")):
            inputs = list(target.inputs)
            for k, axis in axes:
                inputs[k] = _resized(inputs[k], axis, wanted)
            yield f"with {label} {word}", inputs


def _resized(value: Tensor, axis: int, wanted: int | None) -> Tensor:
    if wanted is not None:
        return value.narrow(axis, 0, wanted).clone()
    extra = value.narrow(axis, 0, 1)
    # The added slice differs from the one that it continues, so that it makes no tie.
    return torch.cat([value, extra * 0.75 + 0.125 if value.is_floating_point() else extra], axis)


def _compared(check: Examination, name: str, target: Target) -> Finding | None:
    """A finding for one varied target, None where the function does not accept it or cannot be measured there."""
    try:
        with torch.no_grad():
            values = target.outputs(target.inputs)
        if not all(bool(value.isfinite().all()) for value in values) or any(value.numel() == 0 for value in values):
            return None if any(value.numel() for value in values) else _empty(target, name)
        analytic = Analytic(target)
        if analytic.kept != check.formula.kept:
            return None
    except (GradientInputError, *EXPECTED_FAILURES):
        return None
    try:
        comparison = Comparison(
            Sampler(check.measured.at(target.inputs), analytic.kept), analytic, check.generator, 1, projections(check.constraint, target), check.tolerance
        )  # fmt: skip
        records = comparison.run(False)
    except GradientInputError as error:
        return Finding("variations", "note", f"{name}, {error}")
    shown = [entry for record in records for entry in record.wrong]
    gross = [entry for entry in shown if _gross(entry, check)]
    if gross and _steady(analytic, check.generator):
        return Finding("variations", "wrong", f"{name} the gradient differs: {gross[0]}")
    broken = [entry for entry in shown if not math.isfinite(entry.analytic)]
    return Finding(
        "variations",
        "note" if broken else "holds",
        f"{name} the gradient is not finite: {broken[0]}" if broken else name,
    )


def _steady(analytic: Analytic, generator: torch.Generator) -> bool:
    """Whether the gradient is the same at two points beside this one: at ties and near poles it is not, and proves nothing."""
    w = signs(analytic.rows, generator).to(analytic.outputs[0].device)
    found = []
    for _ in range(2):
        inputs = list(analytic.target.inputs)
        for position in analytic.target.wrt:
            value = inputs[position]
            moves = signs(value.numel(), generator).reshape(value.shape).to(value.device)
            inputs[position] = value + BESIDE * moves * float(scales(value).max())
        try:
            found.append(Analytic(analytic.target.at(inputs)).pull(w))
        except GradientInputError:
            return False
    change = sum(float((one - two).square().sum()) for one, two in zip(*found, strict=True))
    return change <= GROSS * sum(float(one.square().sum()) for one in found[0])


def _gross(entry: Entry, check: Examination) -> bool:
    """Whether the error is a share of the entry and of the input's typical gradient at the inputs that were given."""
    if not (math.isfinite(entry.analytic) and math.isfinite(entry.measured)):
        return False
    assert check.comparison is not None
    target = check.comparison.sampler.target
    usual = float(check.comparison.screen.gradients[target.names.index(entry.input)].abs().nan_to_num().max())
    error = abs(entry.analytic - entry.measured)
    if entry.slopes is not None:
        error = max(min(entry.slopes) - entry.analytic, entry.analytic - max(entry.slopes))
    return error > max(GROSS * max(abs(entry.analytic), abs(entry.measured), GROSS * usual), 5 * entry.bar)


def _empty(target: Target, name: str) -> Finding | None:
    """With empty outputs the backward has to run and give zeros."""
    try:
        analytic = Analytic(target)
        gradients = analytic.pull(torch.zeros(analytic.rows, dtype=torch.float64, device=analytic.outputs[0].device))
    except GradientInputError as error:
        return Finding("variations", "note", f"{name}, {error}")
    if all(bool((gradient == 0).all()) for gradient in gradients):
        return Finding("variations", "holds", name)
    return Finding("variations", "wrong", f"{name} the gradient of an empty output is not zero")
