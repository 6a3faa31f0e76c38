"""<w, module(inputs)> as a function of a large module's inputs and parameters, in few copies of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from assay.errors import GradientInputError
from assay.gradients.analytic import EXPECTED_FAILURES
from assay.gradients.coefficients import BLOCK
from assay.gradients.field import Field, norm
from assay.gradients.flat import coordinates, joined, where
from assay.gradients.records import Finding
from assay.gradients.screen import roundoff, signs
from assay.gradients.target import Target

# Gradients below so many roundings of the output may be rounding; whether they are, a moved input tells.
NEAR_ZERO = 1e5
MOVE = 1e-9


class Landscape:
    """The function that is searched: a float64 replica of the module's state, with the gradient that its backward gives there.

    Copies of the parameters, beside the module's own: the replica and its gradient in float64. The module itself is never changed. Where
    the module does not run in float64 the replica has the module's own dtype.
    """

    def __init__(self, target: Target, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.target = replace(target, seed=seed % (1 << 31))
        self.wrt = target.wrt
        with torch.no_grad():
            own = self.outputs(self.target)
        if bool(own.isnan().any()):
            raise GradientInputError(
                f"{target.label} returns NaN: {int(own.isnan().sum())} of {own.numel()} outputs, expected numbers; check it at an "
                "input inside its domain"
            )
        self.w = signs(own.numel(), self.generator).to(own.device)
        self.moved, self.notes = self._replica(own)
        gradients = self._gradients(self.moved)
        self.precision: list[Finding] = []
        if roundoff(self.moved.inputs[self.wrt[0]]) < self._own_roundoff():
            # The replica makes room for the gradient in the module's own dtype, and is made anew.
            self.moved = replace(self.moved, inputs=())
            self.precision = self._precision(self._gradients(self._leaves(self.target)), gradients)
            self.moved = _wide(self.target)
        with torch.no_grad():
            self.base = self.outputs(self.moved)
        self.field = self._field(gradients, seed)

    def outputs(self, target: Target) -> Tensor:
        """The outputs of a target at its inputs, flat: (m,)."""
        try:
            return joined(target.outputs(target.inputs))
        except EXPECTED_FAILURES as error:
            first = (str(error).strip().splitlines() or [""])[0]
            raise GradientInputError(
                f"{target.label} raises {type(error).__name__}: {first}, expected a result; give inputs that it accepts"
            ) from error

    def _own_roundoff(self) -> float:
        return max(roundoff(self.target.inputs[k]) for k in self.wrt)

    def _replica(self, own: Tensor) -> tuple[Target, list[Finding]]:
        """The target at float64 copies, and a note where it runs in its own dtype alone or computes something else."""
        if self.target.narrow:
            wide = _wide(self.target)
            try:
                with torch.no_grad():
                    values = self.outputs(wide)
                if _alike(values, own, self._own_roundoff() ** 0.5):
                    return wide, []
                why = "computes something else in float64"
            except GradientInputError:
                why = "does not run in float64"
            sentence = f"the module {why}; its derivative was measured in its own dtype, with wider bars"
            return self._leaves(self.target, copies=True), [Finding("precision", "note", sentence)]
        return self._leaves(self.target, copies=True), []

    def _leaves(self, target: Target, copies: bool = False) -> Target:
        """The target with inputs of its own that no graph knows."""
        return target.at(
            [
                v.detach().clone(memory_format=torch.contiguous_format) if copies and k in self.wrt else v
                for k, v in enumerate(target.inputs)
            ]
        )

    def _gradients(self, target: Target, positions: Sequence[int] | None = None) -> list[Tensor]:
        """The gradients of <w, y> at a target's inputs, flat real tensors (n_k,) in its dtype."""
        positions = self.wrt if positions is None else positions
        inputs = [
            v.detach().requires_grad_(k in positions) if k in self.wrt else v for k, v in enumerate(target.inputs)
        ]
        wanted = [inputs[k] for k in positions]
        with torch.enable_grad():
            outputs = self.outputs(target.at(inputs))
            found: Sequence[Tensor | None] = [None] * len(wanted)
            if outputs.requires_grad:
                found = torch.autograd.grad((outputs * self.w).sum(), wanted, allow_unused=True)
        return [
            coordinates(torch.zeros_like(x) if g is None else g.detach()).reshape(-1)
            for g, x in zip(found, wanted, strict=True)
        ]

    def _precision(self, own: list[Tensor], wide: list[Tensor]) -> list[Finding]:
        """The module's gradient in its own dtype against that of its float64 replica.

        Rounding stays near the unit roundoff times the square root of the lengths summed over; the square root of the unit
        roundoff is far above that, and below the mistakes that a wrong narrow path makes.
        """
        findings = []
        for position, narrow, exact in zip(self.wrt, own, wide, strict=True):
            value, name = self.target.inputs[position], self.target.names[position]
            count, worst = _excess(narrow, exact, roundoff(value) ** 0.5)
            if count:
                sentence = (
                    f"in {str(value.dtype).removeprefix('torch.')} the gradient of {name}{where(worst, value)} is "
                    f"{float(narrow[worst]):.8g}, in float64 {float(exact[worst]):.8g} ({count} entries)"
                )
                findings.append(Finding("precision", "wrong", sentence))
        return findings

    def _field(self, gradients: list[Tensor], seed: int) -> Field:
        sources = [coordinates(self.target.inputs[k].detach()) for k in self.wrt]
        moved = [coordinates(self.moved.inputs[k]) for k in self.wrt]
        return Field(
            [source.reshape(-1) for source in sources],
            [value.view(-1) for value in moved],
            gradients,
            [tuple(value.shape) for value in moved],
            self._value,
            seed,
            natural=float((self.base.nan_to_num() * self.w).norm()),
            unit=max(roundoff(value) for value in moved),
            own=max(roundoff(value) for value in moved),
        )

    def _value(self) -> float:
        with torch.no_grad():
            return float((self.outputs(self.moved) - self.base) @ self.w)

    def rounding(self, k: int) -> bool:
        """Whether the gradient of the k-th tensor is nothing but rounding errors around zero.

        A derivative hardly changes when its tensor moves by a billionth; a sum of rounding errors is another one.
        """
        gradient, value = self.field.gradients[k], self.moved.inputs[self.wrt[k]]
        size = norm(gradient)
        if not size * self.field.scales[k] <= NEAR_ZERO * self.field.unit * self.field.natural:
            return False
        if size == 0:
            return True
        moves = signs(value.numel(), self.generator).reshape(value.shape).to(value.device)
        inputs = list(self.moved.inputs)
        inputs[self.wrt[k]] = value * (1 + MOVE * moves)
        (again,) = self._gradients(self.moved.at(inputs), [self.wrt[k]])
        return bool((again - gradient).norm() > 0.1 * size)


def _alike(wide: Tensor, own: Tensor, share: float) -> bool:
    """Whether two outputs are the same up to a share of the largest."""
    if wide.shape != own.shape or wide.numel() == 0:
        return wide.shape == own.shape
    size = float(wide.abs().nan_to_num(posinf=0.0).max())
    return bool((wide - own).abs().nan_to_num(nan=0.0).max() <= share * size)


def _wide(target: Target) -> Target:
    """The target at float64 copies of what is differentiated."""
    wide = target.doubled()
    pairs = zip(wide.inputs, target.inputs, strict=True)
    return wide.at(
        [
            v.clone(memory_format=torch.contiguous_format) if k in target.wrt and v is old else v
            for k, (v, old) in enumerate(pairs)
        ]
    )


def _blocks(size: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK) for start in range(0, size, BLOCK))


def _excess(narrow: Tensor, exact: Tensor, share: float) -> tuple[int, int]:
    """How many entries differ by more than a share of themselves or of the typical entry, and the place of the worst."""
    typical = norm(exact) / max(1, exact.numel()) ** 0.5
    count, worst, largest = 0, 0, 0.0
    for part in _blocks(exact.numel()):
        allowed = share * exact[part].abs().clamp_min(typical)
        excess = (narrow[part].to(exact.dtype) - exact[part]).abs_().sub_(allowed)
        # A gradient that is not a number is no rounding.
        excess = torch.where(excess.isnan() & ~exact[part].isnan(), torch.inf, excess)
        count += int((excess > 0).sum())
        if excess.numel() and float(excess.max()) > largest:
            largest, worst = float(excess.max()), part.start + int(excess.argmax())
    return count, worst
