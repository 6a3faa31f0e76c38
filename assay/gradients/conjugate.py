"""Complex numbers: PyTorch's gradient is dL/dRe + i·dL/dIm, the conjugate Wirtinger derivative; a forgotten conjugate is named."""

from __future__ import annotations

import torch
from torch import Tensor

from assay.gradients.compare import Comparison
from assay.gradients.examination import Examination
from assay.gradients.flat import count
from assay.gradients.records import Finding
from assay.gradients.screen import signs

KIND = "conjugate convention"


def conjugate_convention(check: Examination) -> list[Finding]:
    """Whether gradients of complex functions follow the convention; nothing is said of real functions.

    A backward that forgets to conjugate its factor c returns c·dy for conj(c)·dy. Conjugated before and after, it is right.
    """
    comparison = check.comparison
    if comparison is None or not _complex(comparison):
        return []
    target = comparison.sampler.target
    failed = {probe.position for probe in comparison.failed}
    if not failed:
        sentence = "the gradient is dL/dRe + i dL/dIm (conjugate Wirtinger derivative)"
        return [Finding(KIND, "holds", sentence)]
    named = [target.names[position] for position in sorted(failed) if _conjugated(comparison, position)]
    if not named:
        return []
    sentence = f"the gradient of {', '.join(named)} forgets a conjugate: it is c·dy where conj(c)·dy belongs"
    return [Finding(KIND, "wrong", f"{sentence}, expected dL/dRe + i dL/dIm; conjugate what multiplies the cotangent")]


def _complex(comparison: Comparison) -> bool:
    values = [
        *comparison.analytic.outputs,
        *(comparison.analytic.target.inputs[k] for k in comparison.analytic.target.wrt),
    ]
    return any(value.is_complex() for value in values)


def _conjugated(comparison: Comparison, position: int) -> bool:
    """Whether the backward, conjugated before and after, agrees with the measured derivative along a random direction."""
    screen, analytic = comparison.screen, comparison.analytic
    i = analytic.target.wrt.index(position)
    outward = torch.cat([_flips(value) for value in analytic.outputs])
    inward = _flips(analytic.target.inputs[position])
    if analytic.target.cotangent is not None or outward.numel() != screen.cotangents.shape[1]:
        return False
    rows = [analytic.pull((w * outward).to(analytic.outputs[0].device))[i].cpu() * inward for w in screen.cotangents]
    direction = signs(inward.numel(), screen.generator) * screen.units[position]
    return all(probe.agrees for probe in screen.along(position, direction, torch.stack(rows)))


def _flips(value: Tensor) -> Tensor:
    """(n,) signs of the flat coordinates under conjugation."""
    flips = torch.ones(count(value), dtype=torch.float64)
    if value.is_complex():
        flips[1::2] = -1
    return flips
