"""The gradient that the candidate computes: vector-Jacobian products in its own dtype, returned as flat float64."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from assay.errors import GradientInputError
from assay.gradients.flat import count, flat, joined, unflat
from assay.gradients.target import Target, parameters_of

EXPECTED_FAILURES = (
    RuntimeError,
    ValueError,
    TypeError,
    ArithmeticError,
    IndexError,
    AttributeError,
    NotImplementedError,
)

# How autograd refuses a gradient whose shape does not fit its input.
INVALID = re.compile(
    r"Function (\w+) returned an invalid gradient at index (\d+) - got (\[[\d, ]*\]) but expected shape compatible with (\[[\d, ]*\])"
)


class WrongShapeError(GradientInputError):
    """The backward returned a gradient of a shape that does not fit its input: a mistake of the backward, not of its user."""


class Analytic:
    """One forward pass of the target with its graph (or saved tensors) kept; `pull` maps a cotangent to gradients.

    `kept` are the outputs that the candidate differentiates; `raw` the last gradients as they came; `missing` the inputs that
    got no gradient; `failure` what the backward raised, if it did.
    """

    def __init__(self, target: Target, keep_strides: bool = False) -> None:
        self.target = target
        self.leaves = [_leaf(value, k in target.wrt, keep_strides) for k, value in enumerate(target.inputs)]
        self.raw: list[Any] = []
        self.returned: Any = None
        self.missing: set[int] = set()
        self.failure: str | None = None
        self.batched = True
        with torch.enable_grad():
            self.saved, self.all_outputs = self._forward()
        found = [k for k, value in enumerate(self.all_outputs) if value.requires_grad]
        self.kept = tuple(range(len(self.all_outputs))) if target.backward is not None or not found else tuple(found)
        self.detached = target.backward is None and not found
        self.outputs = tuple(self.all_outputs[k] for k in self.kept)

    def _forward(self) -> tuple[Any, tuple[Tensor, ...]]:
        leaves = self.leaves
        if self.target.backward is not None:
            leaves = [leaf.detach() if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        try:
            returned = self.target.call(leaves)
        except EXPECTED_FAILURES as error:
            if "leaf Variable" not in str(error):
                raise GradientInputError(_raised(self.target.label, error)) from error
            returned = self.target.call([leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves])
        outputs = self.target.tensors(returned)
        return (returned[1] if self.target.backward is not None else None), outputs

    @property
    def rows(self) -> int:
        """The number of real output coordinates that take a cotangent."""
        return 1 if self.target.cotangent is not None else sum(count(value) for value in self.outputs)

    def cotangents(self, w: Tensor) -> tuple[Tensor, ...]:
        """The flat cotangent w (m,) as tensors like the outputs; with a given cotangent w is its factor (1,)."""
        if self.target.cotangent is not None:
            w = joined(self.target.cotangent) * w
        parts = torch.split(w, [count(value) for value in self.outputs])
        return tuple(unflat(part, value) for part, value in zip(parts, self.outputs, strict=True))

    def pull(self, w: Tensor) -> list[Tensor]:
        """The gradients (n_i,) of <w, y> with respect to each differentiated input; zeros where there is none."""
        return self.pull_tensors(self.cotangents(w))

    def pull_tensors(self, cotangents: Sequence[Tensor | None]) -> list[Tensor]:
        """As `pull`, for cotangents shaped like the outputs (None: undefined)."""
        self.raw = self._raw(cotangents)
        result = []
        for position, gradient in zip(self.target.wrt, self.raw, strict=True):
            like = self.target.inputs[position]
            if gradient is None:
                self.missing.add(position)
            result.append(_fitted(gradient, like))
        return result

    def _raw(self, cotangents: Sequence[Tensor | None]) -> list[Any]:
        wanted = [self.leaves[k] for k in self.target.wrt]
        if self.detached:
            return [None] * len(wanted)
        if self.target.backward is not None:
            return self._called(cotangents)
        live = [(y, w) for y, w in zip(self.outputs, cotangents, strict=True)]
        try:
            return list(
                torch.autograd.grad(
                    [y for y, _ in live], wanted, [w for _, w in live], retain_graph=True, allow_unused=True
                )
            )
        except EXPECTED_FAILURES as error:
            refused = INVALID.search(str(error))
            if refused is not None:
                raise WrongShapeError(self._misshapen(*refused.groups())) from error
            raise GradientInputError(_raised(f"the backward of {self.target.label}", error)) from error

    def _misshapen(self, function: str, index: str, given: str, like: str) -> str:
        """A sentence on a gradient that autograd refused; it counts the inputs of the autograd.Function, which may be an inner one."""
        names, k = self.target.names, int(index)
        own = function.removesuffix("Backward") == self.target.label and k < len(names)
        which = f"the gradient of {names[k]}" if own else f"gradient number {k} of {function}"
        return f"{which} has the wrong shape: {given}, expected {like}"

    def _called(self, cotangents: Sequence[Tensor | None]) -> list[Any]:
        assert self.target.backward is not None
        dy = cotangents[0] if len(cotangents) == 1 else tuple(cotangents)
        if self.target.seed is not None:
            torch.manual_seed(self.target.seed)
        try:
            returned = self.target.backward(self.saved, dy, **self.target.hyper)
        except EXPECTED_FAILURES as error:
            raise GradientInputError(_raised(f"the backward of {self.target.label}", error)) from error
        self.returned = returned
        if isinstance(returned, dict):
            return [returned.get(self.target.names[k]) for k in self.target.wrt]
        return self._matched(list(returned) if isinstance(returned, (tuple, list)) else [returned])

    def _matched(self, gradients: list[Any]) -> list[Any]:
        """The returned gradients of the differentiated inputs: one per input, per tensor, or per parameter of the forward.

        Inputs that were left out (optional ones) have gradients of None.
        """
        target = self.target
        places = self._parameters(gradients)
        if places is not None:
            return [gradients[places[k]] for k in target.wrt]
        while len(gradients) > len(target.inputs) and gradients[-1] is None:
            gradients = gradients[:-1]
        tensors = [k for k, value in enumerate(target.inputs) if isinstance(value, Tensor)]
        if len(gradients) == len(target.inputs):
            return [gradients[k] for k in target.wrt]
        if len(gradients) == len(tensors):
            return [gradients[tensors.index(k)] for k in target.wrt]
        if len(gradients) == len(target.wrt):
            return gradients
        raise GradientInputError(
            f"the backward of {target.label} returns the wrong number of gradients: {len(gradients)}, expected "
            f"{len(tensors)} (one per tensor); return None where an input has no gradient"
        )

    def _parameters(self, gradients: list[Any]) -> list[int] | None:
        """Where each input stands among the forward's parameters, if there are more gradients than inputs and the rest are None."""
        target = self.target
        names = [name for name, _ in parameters_of(target.function)]
        if not target.by_name or not len(target.inputs) < len(gradients) <= len(names):
            return None
        places = [names.index(name) for name in target.names]
        given = [k for k in range(len(gradients)) if k in places]
        others = [gradient for k, gradient in enumerate(gradients) if k not in places]
        return places if len(given) == len(places) and all(gradient is None for gradient in others) else None

    def pull_rows(self, rows: Tensor) -> list[Tensor]:
        """`pull` for each row of rows (p, m): gradients (p, n_i), batched where the backward allows it."""
        batched = self._trusted(rows) if self.batched and rows.shape[0] > 2 else None
        if batched is None:
            single = [self.pull(row) for row in rows]
            return [torch.stack([gradients[k] for gradients in single]) for k in range(len(self.target.wrt))]
        return batched

    def batch(self, rows: Tensor) -> tuple[str, list[Tensor] | None]:
        """Batched vector-Jacobian products as PyTorch computes them, or (the reason, None) where it refuses."""
        if self.target.backward is not None or self.detached or self.target.cotangent is not None:
            return "it is called one cotangent at a time", None
        wanted = [self.leaves[k] for k in self.target.wrt]
        parts = torch.split(rows, [count(value) for value in self.outputs], dim=1)
        stacked = [_batch_of(part, value) for part, value in zip(parts, self.outputs, strict=True)]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                raw = torch.autograd.grad(
                    self.outputs, wanted, stacked, retain_graph=True, allow_unused=True, is_grads_batched=True
                )
            return "", [_rows_of(g, rows.shape[0], leaf) for g, leaf in zip(raw, wanted, strict=True)]
        except Exception as error:  # noqa: BLE001 - a backward that cannot be batched may raise anything
            return (str(error).strip().splitlines() or [type(error).__name__])[0], None

    def _trusted(self, rows: Tensor) -> list[Tensor] | None:
        """The batch, if its first and last row are what single calls give; otherwise None, from now on."""
        _, found = self.batch(rows)
        for k in (0, rows.shape[0] - 1):
            alone = self.pull(rows[k]) if found is not None else []
            for gradient, single in zip(found or [], alone, strict=True):
                size = float(single.abs().nan_to_num().max()) if single.numel() else 0.0
                # Sums in another order agree far better than this; a wrong batching rule does not.
                if not torch.allclose(gradient[k], single, rtol=0.0, atol=_loose(single) * size, equal_nan=True):
                    found = None
                    break
        self.batched = found is not None
        return found


def _loose(value: Tensor) -> float:
    return math.sqrt(torch.finfo(value.dtype).eps)


def _leaf(value: Any, wanted: bool, keep_strides: bool) -> Any:
    if not isinstance(value, Tensor):
        return value
    # An expanded input keeps its strides: to a copy of it the mistakes of expanded inputs do not happen.
    keep_strides = keep_strides or 0 in value.stride()
    leaf = value.detach() if keep_strides else value.detach().clone(memory_format=torch.preserve_format)
    return leaf.requires_grad_() if wanted else leaf


def _fitted(gradient: Any, like: Tensor) -> Tensor:
    """A gradient as (n,) float64: zeros for None; a wrong shape that broadcasts is expanded (a finding of its own names it)."""
    if gradient is None:
        return torch.zeros(count(like), dtype=torch.float64, device=like.device)
    gradient = gradient.detach()
    gradient = gradient.to_dense() if gradient.layout is not torch.strided else gradient
    if like.is_complex() and not gradient.is_complex():
        gradient = gradient.to(like.dtype)
    elif gradient.is_complex() and not like.is_complex():
        gradient = gradient.real
    if gradient.shape != like.shape:
        if gradient.numel() == like.numel():
            gradient = gradient.reshape(like.shape)
        else:
            try:
                gradient = gradient.expand(like.shape)
            except RuntimeError:
                return torch.full((count(like),), torch.nan, dtype=torch.float64, device=like.device)
    return flat(gradient)


def _batch_of(rows: Tensor, like: Tensor) -> Tensor:
    if like.is_complex():
        return torch.view_as_complex(rows.reshape(-1, *like.shape, 2).to(like.real.dtype).contiguous())
    return rows.reshape(-1, *like.shape).to(like.dtype)


def _rows_of(gradient: Tensor | None, rows: int, leaf: Tensor) -> Tensor:
    if gradient is None:
        return torch.zeros(rows, count(leaf), dtype=torch.float64, device=leaf.device)
    real = torch.view_as_real(gradient.resolve_conj()) if gradient.is_complex() else gradient
    return real.detach().reshape(rows, -1).to(torch.float64)


def _raised(subject: str, error: BaseException) -> str:
    first = (str(error).strip().splitlines() or [""])[0]
    return (
        f"{subject} raises {type(error).__name__}: {first}, expected a result; mend it, or give inputs that it accepts"
    )
