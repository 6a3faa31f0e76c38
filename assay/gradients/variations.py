"""Automatic variation at the given input: other layouts, special values and sizes, each named in its finding."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from assay.errors import GradientInputError
from assay.gradients.analytic import EXPECTED_FAILURES, Analytic
from assay.gradients.compare import Comparison
from assay.gradients.constraints import projections
from assay.gradients.examination import Examination
from assay.gradients.flat import flat, unflat
from assay.gradients.layouts import cotangent_layouts, input_layouts
from assay.gradients.records import Entry, Finding
from assay.gradients.sampling import Sampler
from assay.gradients.screen import scales, signs
from assay.gradients.special import Change, sizes, values
from assay.gradients.target import Target

# Inputs of so many numbers are varied in so many ways: a variation costs as much as the check itself.
VARIATIONS = ((128, 1000), (1000, 8), (10_000, 3))
# Varied inputs lie at the edge of many functions; only an error above this share of the gradient is held against it there.
GROSS = 1e-3
# Beside: so small a part of the input's scale that a smooth gradient hardly changes.
BESIDE = 1e-7
# A step of a thousandth of the inputs' usual size, at which two slopes of a smooth function agree to a tenth.
ORDINARY, ROUGHLY = 1e-3, 0.1


def varied(check: Examination, layouts_only: bool = False) -> list[Finding]:
    """Findings from changed layouts (against the gradient already found) and changed inputs (against new measurements).

    What the function warns of at inputs that nobody asked for is no news to its author.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _varied(check, layouts_only)


def _varied(check: Examination, layouts_only: bool) -> list[Finding]:
    found = [*cotangent_layouts(check.analytic, check.generator), *input_layouts(check)]
    target = check.reference
    if (
        layouts_only
        or not allowed(target)
        or target.module is not None
        or check.constraint is not None
        or check.surrogate
    ):
        return found
    return found + _changed(check)


def _changed(check: Examination) -> list[Finding]:
    """Findings from changed values and sizes: the first wrong one ends it; a last one names the changes that were compared."""
    target = check.reference
    names: list[str] = []
    notes: list[Finding] = []
    choices = [*values(target, check.generator), *sizes(target)]
    for change in choices[:: -(-len(choices) // allowed(target))]:
        finding = _compared(check, change, target.at(change.inputs))
        if finding is None:
            continue
        if finding.status == "wrong":
            return [*notes[:1], finding]
        names.append(change.name)
        if finding.status == "note":
            notes.append(finding)
    counted = "no change of values and sizes could be compared"
    if names:
        counted = (
            f"the gradient was compared under {len(names)} changes of values and sizes: {', '.join(_grouped(names))}"
        )
    return [*notes[:1], Finding("variations", "holds", counted)]


def _grouped(names: list[str]) -> list[str]:
    """Changes with the same beginning ("with one entry of x set to ...") written once."""
    groups: dict[str, list[str]] = {}
    for name in names:
        head, _, last = name.rpartition(" ")
        groups.setdefault(head, []).append(last)
    return [f"{head} {' or '.join(tails)}" for head, tails in groups.items()]


def allowed(target: Target) -> int:
    """How many variations an input of this size is worth."""
    size = sum(target.inputs[k].numel() for k in target.wrt)
    return next((count for limit, count in VARIATIONS if size <= limit), 0)


def _compared(check: Examination, change: Change, target: Target) -> Finding | None:
    """A finding for one varied target, None where the function does not accept it or cannot be measured there."""
    name = change.name
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
    gross = [entry for entry in shown if _gross(entry, check) and not (change.far and _fine(check, comparison, entry))]
    if gross and _steady(analytic, check.generator):
        return Finding("variations", "wrong", f"{name} the gradient differs: {gross[0]}")
    broken = [entry for entry in shown if not math.isfinite(entry.analytic)]
    return Finding(
        "variations",
        "note" if broken else "holds",
        f"{name} the gradient is not finite: {broken[0]}" if broken else name,
    )


def _fine(check: Examination, comparison: Comparison, entry: Entry) -> bool:
    """Whether small steps of ordinary size fail to show the error: beside one huge or tiny entry steps are of another order.

    That entry and the others are moved apart, because only some of them may be resolved.
    """
    assert check.comparison is not None
    target = comparison.sampler.target
    position = target.names.index(entry.input)
    unit = check.comparison.screen.units[position]
    direction = signs(unit.numel(), check.generator) * unit
    far = flat(target.inputs[position]).cpu() != flat(check.reference.inputs[position]).cpu()
    return not any(_shown(comparison, position, direction * part) for part in (far, ~far))


def _shown(comparison: Comparison, position: int, direction: Tensor) -> bool:
    """Whether two small steps give one slope that is not zero and that the gradient denies."""
    value = comparison.sampler.target.inputs[position]
    point, w = flat(value), comparison.screen.cotangents[0].to(value.device)
    slopes = []
    for step in (ORDINARY, ORDINARY / 4):
        move = step * direction.to(value.device)
        ahead, behind = comparison.sampler.at(position, torch.stack([point + move, point - move]))
        slopes.append(float((ahead - behind) @ w) / (2 * step))
    claimed = float(comparison.screen.gradients[position][0] @ direction)
    agree = slopes[0] != 0 and abs(slopes[0] - slopes[1]) <= ROUGHLY * abs(slopes[0])
    return agree and abs(claimed - slopes[1]) > ROUGHLY * max(abs(claimed), abs(slopes[1]))


def _steady(analytic: Analytic, generator: torch.Generator) -> bool:
    """Whether the gradient is the same at two points beside this one: at ties and near poles it is not, and proves nothing."""
    w = signs(analytic.rows, generator).to(analytic.outputs[0].device)
    found = []
    for _ in range(2):
        inputs = list(analytic.target.inputs)
        for position in analytic.target.wrt:
            value = inputs[position]
            moves = signs(scales(value).numel(), generator).to(value.device) * scales(value)
            inputs[position] = unflat(flat(value) + BESIDE * moves, value)
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
