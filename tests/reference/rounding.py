"""How far rounding may carry the value and the gradients of a component: a running error bound, derived from the rounding model.

Every operation of a component returns its exact value times 1 + δ, |δ| <= k·u, with k the roundings
that the standard model of floating-point arithmetic gives it. To first order an entry g of a result is then off by at
most u · Σ |∂g/∂v| · k·|v| over all intermediate values v; for sums and products of matrices |v| is the sum of the sizes of
the terms. The derivatives ∂g/∂v are taken by autograd through the component's own formulas, in float64.
Source: Higham, Accuracy and Stability of Numerical Algorithms (2002), sections 2.2, 3.1 and 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from tests.reference.protocol import Case, draw, leaves, wrt

# Views, copies, choices and changes of sign round nothing.
EXACT = {
    "__get__", "__getitem__", "abs", "amax", "amin", "argmax", "arange", "broadcast_tensors", "cat", "clamp", "clamp_max",
    "clamp_min", "clone", "contiguous", "detach", "dim", "expand", "expand_as", "eye", "flatten", "flip", "floor",
    "full_like", "gather", "index_select", "masked_fill", "maximum", "minimum", "mT", "movedim", "neg", "new_ones",
    "new_zeros", "numel", "ones_like", "pad", "permute", "repeat", "repeat_interleave", "reshape", "roll", "scatter",
    "select", "sign", "size", "sort", "split", "squeeze", "stack", "tile", "to", "transpose", "tril", "unbind",
    "unflatten", "unfold", "unsqueeze", "where", "zeros_like", "chunk", "narrow", "view", "as_strided", "new_tensor",
    "diagonal", "relu",
}  # fmt: skip
# Correctly rounded arithmetic: one rounding. Library functions: at most one unit in the last place, two roundings.
ROUNDED = {
    "add": 1, "sub": 1, "rsub": 1, "mul": 1, "div": 1, "true_divide": 1, "sqrt": 1, "square": 1, "reciprocal": 1,
    "rsqrt": 2, "exp": 2, "expm1": 2, "log": 2, "log1p": 2, "tanh": 2, "sin": 2, "cos": 2, "acos": 2, "sigmoid": 2,
    "pow": 2, "softplus": 4, "xlogy": 3, "special_xlog1py": 3, "sinh": 2, "cosh": 2, "erf": 2, "addcmul": 2, "lerp": 3,
}  # fmt: skip
# Sums of products: as many roundings as terms, of the sizes of the terms.
SUMMED = {
    "sum", "mean", "matmul", "bmm", "mm", "einsum", "sum_to_size", "index_add", "scatter_add", "cumsum", "dot", "prod",
    "mv", "tensordot", "outer", "logsumexp",
}  # fmt: skip
Size = Callable[..., torch.Tensor]


def absolute(value: Any) -> Any:
    """The same arguments with every floating tensor replaced by its sizes."""
    if isinstance(value, torch.Tensor):
        return value.detach().abs() if value.is_floating_point() else value
    return type(value)(absolute(v) for v in value) if isinstance(value, tuple | list) else value


def ones(value: Any) -> Any:
    """The same arguments with every floating tensor replaced by ones: a sum of products of these counts its terms."""
    if isinstance(value, torch.Tensor):
        return torch.ones_like(value) if value.is_floating_point() else value
    return type(value)(ones(v) for v in value) if isinstance(value, tuple | list) else value


def deviation(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """The roundings of a standard deviation of n values: n of a mean of their squares, whose own mean is off by n too."""
    s = torch.std(x, *args, **kwargs)
    return (2 * s + x.abs().amax()) * (x.numel() / s.numel() + 2)


def length(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """The roundings of a Euclidean length of n values: n of the sum of squares, of which a root keeps half, and two."""
    r = torch.linalg.vector_norm(x, *args, **kwargs)
    return r * (x.numel() / max(1, r.numel()) / 2 + 2)


def solution(A: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Elimination with pivoting: |A⁻¹| · |L|·|U| · |x| times 3d, and |L|·|U| is at most d times |A| here (theorem 9.4)."""
    d = A.shape[-1]
    return 3 * d * d * (torch.linalg.inv(A).abs() @ A.abs() @ torch.linalg.solve(A, b).abs())


OWN: dict[str, Size] = {"std": deviation, "linalg_vector_norm": length, "linalg_solve": solution}


def summed(func: Callable[..., torch.Tensor], name: str, args: Any, kwargs: Any) -> torch.Tensor:
    """The roundings of a sum of products: its number of terms times the sum of their sizes."""
    terms = func(*ones(args), **kwargs)
    if name == "mean":
        terms = torch.full_like(terms, args[0].numel() / max(1, terms.numel()) + 1)
    return terms * func(*absolute(args), **kwargs)


class Rounded(TorchFunctionMode):
    """Notes every rounded value of a computation with the size of its rounding in units of u."""

    def __init__(self) -> None:
        super().__init__()
        self.values: list[tuple[torch.Tensor, torch.Tensor]] = []
        self.names: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        y = func(*args, **kwargs)
        name = func.__name__.strip("_")
        self.names.add(name)
        if isinstance(y, torch.Tensor) and y.requires_grad and name not in EXACT and func.__name__ not in EXACT:
            with torch.no_grad():
                self.values.append((y, self.size(func, name, args, kwargs, y)))
        return y

    def size(self, func: Any, name: str, args: Any, kwargs: Any, y: torch.Tensor) -> torch.Tensor:
        name = name.removeprefix("r") if name in ("radd", "rmul", "rtruediv", "rpow") else name
        name = {"truediv": "div"}.get(name, name)
        if name in OWN:
            return OWN[name](*args, **kwargs)
        if name in SUMMED:
            return summed(func, name, args, kwargs)
        if name not in ROUNDED:
            raise KeyError(f"the roundings of {name} are not known; add them to tests/reference/rounding.py")
        numbers = [abs(a) for a in args if isinstance(a, float)]  # a setting is rounded to the dtype too
        added = sum(numbers) if name in ("add", "sub") else len(numbers) * y.abs()
        return ROUNDED[name] * y.abs() + added


def bounds(found: list[torch.Tensor], rounded: Rounded) -> list[torch.Tensor]:
    """For each result, by how many u an entry may be off: Σ |∂g/∂v| · k·|v| over all rounded values v."""
    flat = torch.cat([g.reshape(-1) for g in found])
    total = torch.zeros_like(flat)
    if rounded.values and flat.requires_grad and flat.numel():
        values, sizes = zip(*rounded.values, strict=True)
        each = torch.eye(flat.numel(), dtype=flat.dtype, device=flat.device)
        rows = torch.autograd.grad(flat, values, each, is_grads_batched=True, allow_unused=True)
        for row, size in zip(rows, sizes, strict=True):
            if row is not None:
                total = total + (row.abs() * size).reshape(len(flat), -1).sum(1)
    parts = total.detach().split([g.numel() for g in found])
    return [part.reshape(g.shape) for part, g in zip(parts, found, strict=True)]


def closeness(found: tuple[float, float]) -> float:
    """An error in units of its bound; an error where none is allowed is infinitely far outside."""
    error, bound = found
    return error / bound if bound > 0 else math.inf if error > 0 else 0.0


def worst(
    found: Sequence[torch.Tensor], exact: Sequence[torch.Tensor], units: Sequence[torch.Tensor], dtype: torch.dtype
) -> tuple[float, float]:
    """The entry that comes closest to its bound: its error and its bound, relative to the largest entry beside it.

    Twice the first-order bound is allowed, for the products of roundings that the first order leaves out.
    """
    pairs = [(0.0, 0.0)]
    for value, right, bound in zip(found, exact, units, strict=True):
        size = float(right.abs().max()) if bool(right.any()) else 1.0
        errors = (value.to(torch.float64) - right).abs().flatten() / size
        allowed = torch.finfo(dtype).eps * bound.flatten() / size  # eps is 2u
        pairs += zip(errors.tolist(), allowed.tolist(), strict=True)
    return max(pairs, key=closeness)


def loosest(exact: Sequence[torch.Tensor], units: Sequence[torch.Tensor], dtype: torch.dtype) -> float:
    """The widest bound relative to the largest entry beside it."""
    shares = [float(b.max()) / float(e.abs().max()) for e, b in zip(exact, units, strict=True) if bool(e.any())]
    return torch.finfo(dtype).eps * max(shares, default=0.0)


@dataclass(frozen=True)
class Precision:
    """What a computation in a narrow dtype gave: the error closest to its bound, that bound, and the widest bound."""

    error: float
    bound: float
    loosest: float

    @property
    def inside(self) -> bool:
        return self.error <= self.bound


def forward_precision(case: Case, dtype: torch.dtype) -> Precision:
    """The forward in `dtype` against the oracle in float64 at the same numbers."""
    case = case.within(case.cast(dtype))
    y = case.component(*case.cast(dtype), **case.hyper).detach()
    exact = [case.oracle(*case.cast(torch.float64), **case.hyper).detach()]
    tensors = leaves(case)
    with Rounded() as rounded:
        wide, _ = case.component.forward(*tensors, **case.hyper)
    units = bounds([wide], rounded)
    return Precision(*worst([y], exact, units, dtype), loosest(exact, units, dtype))


def gradients(case: Case, tensors: Sequence[torch.Tensor | None], dy: torch.Tensor) -> list[torch.Tensor]:
    """What the hand-made backward gives, without what it leaves out."""
    _, saved = case.component.forward(*tensors, **case.hyper)
    return [dx for dx in case.component.backward(saved, dy, **case.hyper) if dx is not None]


def backward_precision(case: Case, dtype: torch.dtype, *, at_kinks: bool = False) -> Precision:
    """The hand-made backward in `dtype` against autograd's derivative of the oracle in float64, at the same numbers.

    At kinks, where autograd may choose another subgradient, against the hand-made backward itself in float64.
    """
    case = case.within(case.cast(dtype))
    tensors = leaves(case)
    y = case.oracle(*tensors, **case.hyper)
    dy = draw(*y.shape, seed=99).to(dtype)
    slope = dy.to(torch.float64).requires_grad_()
    with Rounded() as rounded:
        wide = gradients(case, tensors, slope)
    exact = wide if at_kinks else list(torch.autograd.grad(y, wrt(tensors), dy.to(y.dtype)))
    units, found = bounds(wide, rounded), gradients(case, case.cast(dtype), dy)
    exact = [right.detach() for right in exact]
    return Precision(*worst(found, exact, units, dtype), loosest(exact, units, dtype))
