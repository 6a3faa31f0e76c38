"""Float32, bfloat16 and float16: the formula is judged in float64, the candidate's own dtype by its rounding.

The same function on the same numbers in float64 (its twin) has a derivative with twelve digits, and the candidate's formula
is compared with that. What the candidate computes in its own dtype may differ from its twin by rounding alone.
"""

from __future__ import annotations

import numpy as np
import torch

from assay.errors import GradientInputError
from assay.gradients.analytic import EXPECTED_FAILURES, Analytic
from assay.gradients.flat import count, flat, joined, where
from assay.gradients.records import Finding
from assay.gradients.screen import scales, signs
from assay.gradients.target import Target


def twin(target: Target, analytic: Analytic) -> tuple[Target, Analytic, list[Finding]]:
    """The reference target in float64, its analytic side, and a note when the function does not allow a twin."""
    if not target.narrow:
        return target, analytic, []
    wide = target.doubled()
    try:
        formula = Analytic(wide)
        formula.pull(torch.ones(formula.rows, dtype=torch.float64, device=formula.outputs[0].device))
    except (GradientInputError, *EXPECTED_FAILURES):
        return target, analytic, [_alone("does not run in float64")]
    if formula.kept != analytic.kept or not _alike(analytic, formula):
        return target, analytic, [_alone("computes something else in float64")]
    return wide, formula, []


def _alone(why: str) -> Finding:
    return Finding(
        "precision", "note", f"the function {why}; its derivative was measured in its own dtype, with wider bars"
    )


def _alike(analytic: Analytic, formula: Analytic) -> bool:
    """Whether the twin computes the same function: outputs agree to the square root of the candidate's unit roundoff."""
    if [value.shape for value in analytic.outputs] != [value.shape for value in formula.outputs]:
        return False
    own, wide = joined([v.detach() for v in analytic.outputs]), joined([v.detach() for v in formula.outputs])
    slack = _eps(analytic) ** 0.5
    size = float(wide.abs().nan_to_num(posinf=0.0).max()) if wide.numel() else 0.0
    return bool(((own - wide).abs().nan_to_num(nan=0.0) <= slack * max(size, 1e-30)).all())


def own_dtype(formula: Analytic, analytic: Analytic, generator: torch.Generator, tolerance: float) -> list[Finding]:
    """The candidate's gradient in its own dtype against `formula`, its float64 twin, entry by entry of <w, y> for two cotangents.

    Allowed: what moving inputs and cotangent by a few roundings does to the candidate's gradient (its rounding and its
    conditioning; the largest of four draws, tripled for their scatter), plus roundings of the sums: sqrt(m + n)·u of the input's
    largest entry, times by how much the forward itself exceeds one rounding (its internal amplification), doubled because
    signs are random.
    """
    u, findings = _eps(analytic) / 2, []
    amplification = _amplification(analytic, formula, u)
    for _ in range(2):
        w = signs(analytic.rows, generator).to(analytic.outputs[0].device)
        w = joined([part.detach() for part in analytic.cotangents(w)]) if analytic.target.cotangent is None else w
        narrow, wide = analytic.pull(w), formula.pull(w)
        spread = _jitter(analytic, w, generator, narrow)
        for k, position in enumerate(analytic.target.wrt):
            if wide[k].numel() == 0:
                continue
            sums = float(np.sqrt(analytic.rows + count(analytic.target.inputs[position])))
            largest = float(wide[k].abs().nan_to_num().max()) if wide[k].numel() else 0.0
            # A gradient can be the difference of terms as large as the outputs over the inputs (softmax of a clear winner).
            terms = _largest(analytic) / float(scales(analytic.target.inputs[position]).max())
            allowed = 3 * spread[k] + 2 * u * (sums * amplification * largest + 4 * terms) + tolerance * largest
            allowed = allowed + _smallest(analytic.target.inputs[position])
            error = (narrow[k] - wide[k]).abs()
            bad = ~(error <= allowed) & wide[k].isfinite()
            if bool(bad.any()):
                worst = int(
                    torch.where(bad, (error / allowed.clamp_min(1e-300)).nan_to_num(nan=torch.inf), 0.0).argmax()
                )
                findings.append(_finding(analytic, position, worst, narrow[k], wide[k], allowed, int(bad.sum())))
        if findings:
            break
    return findings


def _finding(
    analytic: Analytic,
    position: int,
    worst: int,
    own: torch.Tensor,
    wide: torch.Tensor,
    allowed: torch.Tensor,
    bad: int,
) -> Finding:
    value = analytic.target.inputs[position]
    dtype = str(value.dtype).removeprefix("torch.")
    place = f"{analytic.target.names[position]}{where(worst, value)}"
    sentence = (
        f"in {dtype} the gradient of {place} is {float(own[worst]):.8g}, in float64 {float(wide[worst]):.8g}, "
        f"rounding explains {float(allowed[worst]):.1e} ({bad} entries)"
    )
    return Finding("precision", "wrong", sentence)


def _jitter(
    analytic: Analytic, w: torch.Tensor, generator: torch.Generator, own: list[torch.Tensor]
) -> list[torch.Tensor]:
    """How far the candidate's gradient moves in its own dtype when inputs and cotangent move by a few roundings, (n_i,) each.

    The largest of four draws, plus the root mean square over the input, because one entry can stand still by chance.
    """
    found = [torch.zeros_like(gradient) for gradient in own]
    u = _eps(analytic) / 2
    for _ in range(4):
        inputs = list(analytic.target.inputs)
        for position in analytic.target.wrt:
            value = inputs[position]
            moves = signs(value.numel(), generator).reshape(value.shape).to(value.device)
            inputs[position] = (value.to(_wide(value)) * (1 + 4 * u * moves)).to(value.dtype)
        try:
            moved = Analytic(analytic.target.at(inputs)).pull(
                w * (1 + 4 * u * signs(w.numel(), generator).to(w.device))
            )
        except (GradientInputError, *EXPECTED_FAILURES):
            continue
        found = [
            torch.maximum(old, (new - g).abs().nan_to_num()) for old, new, g in zip(found, moved, own, strict=True)
        ]
    return [change + (change.square().mean().sqrt() if change.numel() else 0.0) for change in found]


def _wide(value: torch.Tensor) -> torch.dtype:
    return torch.complex128 if value.is_complex() else torch.float64


def _amplification(analytic: Analytic, formula: Analytic, u: float) -> float:
    own = joined([value.detach() for value in analytic.outputs])
    wide = flat(joined([value.detach() for value in formula.outputs]))
    size = float(wide.abs().nan_to_num(posinf=0.0).max()) if wide.numel() else 0.0
    error = float((own - wide).abs().nan_to_num(posinf=0.0).max()) if wide.numel() else 0.0
    return max(1.0, error / (u * size)) if size > 0 else 1.0


def _largest(analytic: Analytic) -> float:
    return max(
        (float(y.detach().abs().nan_to_num(posinf=0.0).max()) for y in analytic.outputs if y.numel()), default=0.0
    )


def _eps(analytic: Analytic) -> float:
    return max(float(torch.finfo(analytic.target.inputs[k].dtype).eps) for k in analytic.target.wrt)


def _smallest(value: torch.Tensor) -> float:
    return float(torch.finfo(value.dtype).tiny)
