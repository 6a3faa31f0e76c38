"""Second order: the gradient is itself a function of inputs and cotangent, and has a gradient that can be checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from assay.errors import GradientInputError
from assay.gradients.analytic import Analytic
from assay.gradients.compare import Comparison
from assay.gradients.examination import Examination
from assay.gradients.records import Finding
from assay.gradients.sampling import Sampler
from assay.gradients.screen import signs
from assay.gradients.target import Target


def second_order(check: Examination) -> list[Finding]:
    """Compare the gradient of the gradient with the measured derivative of the gradient; a loud refusal is a note."""
    first = check.formula
    if first.target.backward is not None:
        return [Finding("second order", "note", "a forward/backward pair by itself has no second derivative")]
    if first.detached:
        return []
    target = _gradient_target(first, check.generator)
    try:
        analytic = Analytic(target)
        analytic.pull(signs(analytic.rows, check.generator).to(analytic.outputs[0].device))
    except GradientInputError as error:
        return [Finding("second order", "note", f"a second derivative is refused: {_reason(error)}")]
    if _refuses(analytic):
        return [
            Finding(
                "second order", "note", "a second derivative is refused: the backward is marked as differentiable once"
            )
        ]
    comparison = Comparison(Sampler(target, None), replace_kept(analytic), check.generator, check.probes)
    records = comparison.run(False)
    wrong = [record for record in records if record.wrong_count]
    if wrong:
        example = wrong[0].wrong[0] if wrong[0].wrong else None
        silent = " (it is silently zero)" if example is not None and example.analytic == 0 else ""
        return [
            Finding(
                "second order",
                "wrong",
                f"the second derivative with respect to {wrong[0].name} is wrong{silent}: {example}",
            )
        ]
    if any(record.unresolved for record in records):
        reasons = "; ".join(record.reason for record in records if record.unresolved)
        return [Finding("second order", "note", f"the second derivative could not be measured everywhere: {reasons}")]
    return [
        Finding("second order", "holds", "the second derivative agrees with the measured derivative of the gradient")
    ]


def replace_kept(analytic: Analytic) -> Analytic:
    """All gradients take part: one that asks for no further gradient claims that its derivative is zero."""
    analytic.kept = tuple(range(len(analytic.all_outputs)))
    analytic.outputs = analytic.all_outputs
    return analytic


def _refuses(analytic: Analytic) -> bool:
    """Whether the gradient's graph ends in a node that raises: autograd.grad passes it by in silence, backward() does not."""
    waiting = [value.grad_fn for value in analytic.all_outputs if value.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        if type(node).__name__ == "Error":
            return True
        fresh = {after for after, _ in node.next_functions if after is not None} - seen
        seen |= fresh
        waiting += fresh
    return False


def _gradient_target(first: Analytic, generator: torch.Generator) -> Target:
    """(inputs, cotangents) -> the gradients, as a target of its own."""
    inner = first.target
    w = signs(first.rows, generator).to(first.outputs[0].device)
    cotangents = tuple(value.detach() for value in first.cotangents(w))
    count = len(inner.inputs)

    def gradients(*values: Any) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            inputs = [
                value.detach().requires_grad_() if k in inner.wrt and not value.requires_grad else value
                for k, value in enumerate(values[:count])
            ]
            outputs = inner.outputs(inputs)
            kept = [outputs[k] for k in first.kept]
            wanted = [inputs[k] for k in inner.wrt]
            found = torch.autograd.grad(kept, wanted, values[count:], create_graph=True, allow_unused=True)
        return tuple(torch.zeros_like(x) if g is None else g for g, x in zip(found, wanted, strict=True))

    names = (*inner.names, *(f"cotangent {k}" for k in range(len(cotangents))))
    wrt = (*inner.wrt, *range(count, count + len(cotangents)))
    return replace(
        inner, label=f"the gradient of {inner.label}", function=gradients, names=names, inputs=(*inner.inputs, *cotangents),
        wrt=wrt, by_name=False, module=None, hyper={}, cotangent=None, clones=False, seed=None,
    )  # fmt: skip


def _reason(error: BaseException) -> str:
    return str(error).split(" raises ", 1)[-1].split(", expected a result")[0]
