"""What shows on the first calls: mutation, determinism, random numbers, and the shape, dtype and device of the gradient."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from assay.errors import GradientInputError
from assay.gradients.analytic import EXPECTED_FAILURES, Analytic, _raised
from assay.gradients.flat import joined
from assay.gradients.records import Finding
from assay.gradients.screen import signs
from assay.gradients.target import Target, leaves_of

# Two runs that sum in another order differ by roundings; the square root of the unit roundoff is far above those, and far
# below any difference that random numbers or stale state make.
REORDERED = 0.5
# Saved tensors are looked for in so many nodes of the graph.
NODES = 200
HELD = {
    "mutation": "inputs, saved tensors and the incoming cotangent are left alone",
    "determinism": "two calls of forward and backward give the same",
    "shape": "every gradient has the shape of its input",
    "dtype": "every gradient has the dtype of its input",
    "device": "every gradient is on the device of its input",
}


def observe(target: Target, generator: torch.Generator) -> tuple[Target, Analytic, list[Finding], tuple[Tensor, ...]]:
    """Call the function and its backward twice: the target (told to clone or seed where needed), a graph, findings, values."""
    target, findings, values = _forward_twice(target)
    analytic = Analytic(target)
    findings += _backward_twice(analytic, generator)
    return target, analytic, findings + _held(findings), values


def _held(findings: list[Finding]) -> list[Finding]:
    """A line for everything that was looked at and found in order."""
    faults = {finding.kind for finding in findings if finding.kind != "randomness"}
    return [Finding(kind, "holds", sentence) for kind, sentence in HELD.items() if kind not in faults]


def _forward_twice(target: Target) -> tuple[Target, list[Finding], tuple[Tensor, ...]]:
    before = [value.clone() if isinstance(value, Tensor) else value for value in target.inputs]
    state = torch.get_rng_state()
    first = _values(target)
    drew = not torch.equal(state, torch.get_rng_state())
    changed = [
        target.names[k]
        for k, (old, new) in enumerate(zip(before, target.inputs, strict=True))
        if isinstance(new, Tensor) and not equal(old, new)
    ]
    findings = []
    if changed:
        target = replace(target, inputs=tuple(before), clones=True)
        sentence = f"the forward changes its input {', '.join(changed)} in place"
        findings.append(Finding("mutation", "wrong", f"{sentence}, expected it untouched; work on a copy"))
    if drew:
        target = replace(target, seed=torch.initial_seed() % (1 << 31))
        first = _values(target)
        findings.append(
            Finding("randomness", "note", "the function draws random numbers; every call was given the same seed")
        )
    apart = spread(first, _values(target))
    if apart > reordered(first):
        raise GradientInputError(
            f"{target.label} changes its output from call to call: relative spread {apart:.1e}, expected the same for the same "
            "input; give it a fixed torch.Generator or switch the randomness off"
        )
    if apart > 0:
        findings.append(
            Finding("determinism", "note", f"the forward is not deterministic: relative spread {apart:.1e}")
        )
    return target, findings, first


def _values(target: Target) -> tuple[Tensor, ...]:
    try:
        with torch.no_grad():
            return tuple(value.detach().clone() for value in target.outputs(target.inputs))
    except EXPECTED_FAILURES as error:
        raise GradientInputError(_raised(target.label, error)) from error


def _backward_twice(analytic: Analytic, generator: torch.Generator) -> list[Finding]:
    """Findings on the backward's own conduct, from two pulls of one random cotangent."""
    w = signs(analytic.rows, generator).to(analytic.outputs[0].device)
    cotangents = analytic.cotangents(w)
    before = [value.clone() for value in cotangents]
    kept = [leaf.detach().clone() if isinstance(leaf, Tensor) else leaf for leaf in analytic.leaves]
    saved = [(value, value.detach().clone()) for value in _saved(analytic)]
    first = [gradient.clone() for gradient in analytic.pull_tensors(cotangents)]
    findings = _conduct(analytic, before, list(cotangents), kept)
    if not findings and any(not equal(old, new.detach()) for new, old in saved):
        sentence = "the backward changes a tensor that the forward saved, expected it untouched; clone it"
        findings.append(Finding("mutation", "wrong", sentence))
    try:
        second = analytic.pull_tensors([value.clone() for value in before])
    except GradientInputError as error:
        if "second time" not in str(error):
            return [*findings, Finding("determinism", "wrong", f"a second call of the backward fails: {error}")]
        return findings
    for name, one, two in zip([analytic.target.names[k] for k in analytic.target.wrt], first, second, strict=True):
        apart = spread((one,), (two,))
        if apart > reordered(analytic.outputs):
            sentence = (
                f"two calls of the backward with the same cotangent give gradients of {name} that differ by {apart:.1e}"
            )
            findings.append(
                Finding(
                    "determinism", "wrong", f"{sentence}, expected the same; it changes what it saved, or is random"
                )
            )
        elif apart > 0:
            findings.append(
                Finding(
                    "determinism", "note", f"the gradient of {name} is not deterministic: relative spread {apart:.1e}"
                )
            )
    return findings


def _saved(analytic: Analytic) -> list[Tensor]:
    """The tensors that a pair's forward, or the autograd.Functions of the graph, saved for the backward."""
    found = [value for value in leaves_of(analytic.saved) if isinstance(value, Tensor)]
    waiting = [value.grad_fn for value in analytic.outputs if value.grad_fn is not None]
    seen = set(waiting)
    while waiting and len(seen) <= NODES:
        node = waiting.pop()
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            found += [value for value in node.saved_tensors if value is not None]
        fresh = {after for after, _ in node.next_functions if after is not None} - seen
        seen |= fresh
        waiting += fresh
    return found


def _conduct(analytic: Analytic, before: list[Tensor], after: list[Tensor], kept: list[Any]) -> list[Finding]:
    findings = []
    if any(not equal(old, new) for old, new in zip(before, after, strict=True)):
        findings.append(
            Finding(
                "mutation",
                "wrong",
                "the backward changes the incoming cotangent in place, expected it untouched; clone it",
            )
        )
    for name, old, new in zip(analytic.target.names, kept, analytic.leaves, strict=True):
        if isinstance(new, Tensor) and not equal(old, new.detach()):
            findings.append(
                Finding(
                    "mutation",
                    "wrong",
                    f"the backward changes the input {name} in place, expected it untouched; clone it",
                )
            )
    return findings + forms(analytic)


def forms(analytic: Analytic) -> list[Finding]:
    """Shape, dtype and device of each raw gradient against its input."""
    findings = []
    for position, gradient in zip(analytic.target.wrt, analytic.raw, strict=True):
        like, name = analytic.target.inputs[position], analytic.target.names[position]
        if not isinstance(gradient, Tensor):
            continue
        for kind, got, wanted in (
            ("shape", tuple(gradient.shape), tuple(like.shape)),
            ("dtype", gradient.dtype, like.dtype),
            ("device", gradient.device, like.device),
        ):
            if got != wanted:
                sentence = f"the gradient of {name} has the wrong {kind}: {got}, expected {wanted}"
                findings.append(Finding(kind, "wrong", sentence.replace("torch.", "")))
    return findings


def equal(one: Any, other: Any) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())


def spread(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> float:
    """The largest difference relative to the largest value."""
    a, b = joined(one), joined(other)
    if a.shape != b.shape:
        return float("inf")
    if a.numel() == 0:
        return 0.0
    size = float(a.abs().nan_to_num(posinf=0.0).max())
    change = float((a - b).abs().nan_to_num(nan=0.0, posinf=0.0).max())
    return change / size if size > 0 else float(change > 0)


def reordered(values: tuple[Tensor, ...]) -> float:
    return float(max(torch.finfo(value.dtype).eps for value in values) ** REORDERED)
