"""What else must be true of a backward: the cotangent, unused outputs, subsets of inputs, batched and forward mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from assay.errors import GradientInputError
from assay.gradients.analytic import EXPECTED_FAILURES, Analytic
from assay.gradients.examination import Examination
from assay.gradients.flat import joined
from assay.gradients.modes import batched, first_line, forward
from assay.gradients.observe import reordered, spread
from assay.gradients.records import Finding
from assay.gradients.screen import signs

# Powers of two, because a linear backward then gives the same digits exactly; far enough to cross any clipping.
FACTORS = (-1.0, 2.0**20, 2.0**-20)
SUBSETS = 6


def further(check: Examination, modes: Sequence[str]) -> list[Finding]:
    """The findings on one target, apart from the comparison with the measured derivative."""
    analytic = check.analytic
    w = signs(analytic.rows, check.generator).to(analytic.outputs[0].device)
    gradients = analytic.pull(w)
    found = [*_cotangent(analytic, w, gradients), *_integers(analytic), *_recording(check)]
    if analytic.target.backward is None and not analytic.detached:
        found += [*_unused(analytic, w), *_subsets(analytic, w, gradients), _kept(analytic)]
        if "batched" in modes:
            found += batched(analytic, check.generator)
        if "forward" in modes:
            found += forward(analytic, w, gradients, check.generator)
    return found


def _names(analytic: Analytic) -> list[str]:
    return [analytic.target.names[k] for k in analytic.target.wrt]


def _cotangent(analytic: Analytic, w: Tensor, gradients: list[Tensor]) -> list[Finding]:
    """Linear in the cotangent, and a zero cotangent gives a zero gradient."""
    for factor in FACTORS:
        for name, scaled, plain in zip(_names(analytic), analytic.pull(w * factor), gradients, strict=True):
            if _usable(plain, factor) and spread((scaled / factor,), (plain,)) > reordered(analytic.outputs):
                sentence = (
                    f"the gradient of {name} is not linear in the cotangent: a cotangent times {factor:g} changes it by a "
                    f"relative {spread((scaled / factor,), (plain,)):.1e}, expected in proportion"
                )
                return [Finding("linearity", "wrong", sentence)]
    for name, nothing, plain in zip(_names(analytic), analytic.pull(torch.zeros_like(w)), gradients, strict=True):
        if bool(plain.isfinite().all()) and bool((nothing != 0).any()):
            worst = float(nothing[(nothing != 0).nonzero()[0, 0]])
            sentence = f"a zero cotangent gives a gradient of {name} that is not zero: {worst:g}, expected 0"
            return [Finding("zero cotangent", "wrong", sentence)]
    return [
        Finding(
            "linearity",
            "holds",
            "the gradient is linear in the cotangent (times -1, 2^20 and 2^-20); a zero cotangent gives zero",
        )
    ]


def _usable(gradient: Tensor, factor: float) -> bool:
    """Whether the factor neither overflows nor underflows the gradient in a dtype of few exponents."""
    sizes = gradient.abs()[gradient != 0]
    return bool(gradient.isfinite().all()) and sizes.numel() > 0 and float(sizes.max()) * max(factor, 1 / factor) < 1e30


def _integers(analytic: Analytic) -> list[Finding]:
    """A forward/backward pair returns None for inputs that are no differentiable tensors."""
    returned = analytic.returned
    if not isinstance(returned, (tuple, list)) or len(returned) < len(analytic.target.inputs):
        return []
    returned = returned[: len(analytic.target.inputs)]
    wrong = [
        name
        for name, value, gradient in zip(analytic.target.names, analytic.target.inputs, returned, strict=True)
        if gradient is not None
        and not (isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex()))
    ]
    if not wrong:
        return []
    return [
        Finding(
            "None",
            "wrong",
            f"the backward returns a gradient for {', '.join(wrong)}, expected None: it is not differentiable",
        )
    ]


def _recording(check: Examination) -> list[Finding]:
    """The function computes the same with and without gradient recording."""
    alone, recorded = check.observed_values, tuple(value.detach() for value in check.analytic.all_outputs)
    if [v.shape for v in alone] == [v.shape for v in recorded] and spread(alone, recorded) <= reordered(recorded):
        return [Finding("no_grad", "holds", "the output is the same under torch.no_grad")]
    return [
        Finding(
            "no_grad",
            "wrong",
            "the output under torch.no_grad differs from that with gradients recorded, expected the same",
        )
    ]


def _unused(analytic: Analytic, w: Tensor) -> list[Finding]:
    """With several outputs: one alone gives what it gives when the others have zero cotangents."""
    cotangents = analytic.cotangents(w)
    if len(cotangents) < 2:
        return []
    wanted = [analytic.leaves[k] for k in analytic.target.wrt]
    for number, (output, cotangent) in enumerate(zip(analytic.outputs, cotangents, strict=True)):
        zeros = [c if k == number else torch.zeros_like(c) for k, c in enumerate(cotangents)]
        together = analytic.pull_tensors(zeros)
        try:
            raw = torch.autograd.grad(output, wanted, cotangent, retain_graph=True, allow_unused=True)
        except EXPECTED_FAILURES as error:
            return [
                Finding(
                    "unused outputs",
                    "wrong",
                    f"the backward fails when only output {number} is used: {first_line(error)}",
                )
            ]
        for name, one, other in zip(_names(analytic), raw, together, strict=True):
            alone = torch.zeros_like(other) if one is None else joined([one])
            if spread((alone,), (other,)) > reordered(analytic.outputs):
                sentence = f"the gradient of {name} changes when the other outputs are not used (output {number} alone)"
                return [Finding("unused outputs", "wrong", f"{sentence}, expected as with zero cotangents")]
    return [Finding("unused outputs", "holds", "unused outputs count as zero cotangents")]


def _subsets(analytic: Analytic, w: Tensor, gradients: list[Tensor]) -> list[Finding]:
    """Each input alone asks for its gradient and gets the one it gets together with the others."""
    target = analytic.target
    if not 2 <= len(target.wrt) <= SUBSETS:
        return []
    for position, together in zip(target.wrt, gradients, strict=True):
        name = target.names[position]
        try:
            alone = Analytic(replace(target, wrt=(position,)))
            if alone.kept != analytic.kept:
                continue
            gradient = alone.pull(w)[0]
        except GradientInputError as error:
            return [Finding("subsets", "wrong", f"the backward fails when only {name} requires a gradient: {error}")]
        if spread((gradient,), (together,)) > reordered(analytic.outputs):
            sentence = f"the gradient of {name} is another one when only {name} requires a gradient"
            return [
                Finding(
                    "subsets",
                    "wrong",
                    f"{sentence}: relative difference {spread((gradient,), (together,)):.1e}, expected the same",
                )
            ]
    return [Finding("subsets", "holds", "each input alone gets the same gradient")]


def _kept(analytic: Analytic) -> Finding:
    """How many bytes the graph keeps between forward and backward."""
    sizes: dict[int, int] = {}

    def pack(value: Tensor) -> Tensor:
        sizes[value.data_ptr()] = value.numel() * value.element_size()
        return value

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value):
        try:
            analytic.target.outputs(analytic.leaves)
        except EXPECTED_FAILURES:
            return Finding("memory", "holds", "the memory kept for the backward could not be read")
    return Finding("memory", "holds", f"{sum(sizes.values())} bytes are kept between forward and backward")
