"""What one function of the corpus is: how to make it, its inputs, its truth, and what a checker should say of it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from hypothesis.strategies import SearchStrategy
from torch import Tensor

Named = dict[str, Tensor]
Inputs = Callable[[torch.Generator, torch.dtype], Named]
Strategy = Callable[[torch.dtype], SearchStrategy[Named]]
Forward = Callable[..., Tensor]
Backward = Callable[..., Any]

DOUBLE = (torch.float64,)
BOTH = (torch.float64, torch.float32)
NOTHING: Mapping[str, Any] = MappingProxyType({})


class Mistake(enum.Enum):
    """The kinds of mistake that reports in public trackers describe; each wrong entry is of one kind."""

    SCALE = "scale"
    SIGN = "sign"
    TRANSPOSE = "transpose"
    REDUCTION = "missing reduction"
    TERM = "missing term"
    STALE = "stale value"
    SWAP = "swapped operands"
    AXIS = "wrong axis"
    DETACHED = "detached part"
    SHIFT = "shifted by one"
    MUTATION = "in-place edit"
    ZERO = "zero gradient"
    MASK = "wrong mask"
    SECOND = "wrong second derivative"
    PRECISION = "float32 inside"
    SHAPE = "right only at some shapes"
    NONDETERMINISTIC = "differs from call to call"
    ONE_ENTRY = "one wrong entry"
    LAYOUT = "right only for contiguous tensors"
    VALUE = "right only at ordinary values"
    COTANGENT = "not linear in the cotangent"
    CONJUGATE = "missing conjugate"


@dataclass(frozen=True)
class Entry:
    """One function, wrong or right.

    `make()` gives a fresh callable; `inputs(generator, dtype)` the default inputs, named in the order of the
    callable's parameters. `truth` is a plain function of the same inputs, derived independently of the candidate's
    backward, whose autograd gradient is the right one (None: the note says why the label holds). `visible` says where
    a wrong entry shows; `order` is the highest derivative for which the label holds; `dtypes` are those in which it
    holds; `verdicts` are the words a checker may say of a right entry; `options` are declared to the checker.
    `spread` is how far, relatively, two right derivations may lie apart (condition, precision inside).
    """

    name: str
    make: Callable[[], Callable[..., Any]]
    inputs: Inputs
    right: bool
    mistake: Mistake | None = None
    visible: str = "always"
    order: int = 1
    note: str = ""
    truth: Callable[..., Any] | None = None
    strategy: Strategy | None = None
    dtypes: tuple[torch.dtype, ...] = BOTH
    verdicts: frozenset[str] = frozenset({"agrees"})
    options: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    spread: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an entry whose label contradicts itself."""
        if self.visible not in ("always", "special", "second"):
            raise ValueError(f"{self.name} has no such visibility: {self.visible}, expected always, special or second")
        if self.right == (self.mistake is not None):
            raise ValueError(f"{self.name}: a wrong entry names its mistake, a right one has none")
        if self.visible == "special" and self.strategy is None:
            raise ValueError(f"{self.name} shows only at special inputs and gives no strategy that reaches them")

    def default(self, dtype: torch.dtype = torch.float64, seed: int = 0) -> Named:
        """The default inputs in a dtype, the same for the same seed."""
        return self.inputs(torch.Generator().manual_seed(seed), dtype)


def classic(forward: Forward, backward: Backward) -> Callable[..., Tensor]:
    """An autograd.Function in the old style, with ctx in forward: torch.func refuses it.

    forward(*tensors) -> y; backward(dy, y, *tensors) -> a gradient, or a tuple of one per tensor.
    """

    class Candidate(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Tensor) -> Tensor:
            y = forward(*tensors)
            ctx.save_for_backward(y, *tensors)
            return y

        @staticmethod
        def backward(ctx: Any, dy: Tensor) -> Any:
            y, *tensors = ctx.saved_tensors
            return backward(dy, y, *tensors)

    return Candidate.apply  # type: ignore[no-any-return]


def modern(forward: Forward, backward: Backward) -> Callable[..., Tensor]:
    """An autograd.Function in the new style, with setup_context: torch.func can batch it."""

    class Candidate(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*tensors: Tensor) -> Tensor:
            return forward(*tensors)

        @staticmethod
        def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            ctx.save_for_backward(output, *inputs)

        @staticmethod
        def backward(ctx: Any, dy: Tensor) -> Any:
            y, *tensors = ctx.saved_tensors
            return backward(dy, y, *tensors)

    return Candidate.apply  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Component:
    """A forward with its right backward, from which right and wrong entries are made on the same inputs."""

    name: str
    forward: Forward
    backward: Backward
    inputs: Inputs
    strategy: Strategy | None = None
    style: Callable[[Forward, Backward], Callable[..., Tensor]] = classic
    order: int = 2
    verdicts: frozenset[str] = frozenset({"agrees"})

    def right(
        self, note: str = "its own backward by hand, against autograd of the plain forward", **more: Any
    ) -> Entry:
        """The entry whose backward is the right one."""
        return Entry(
            name=self.name,
            make=lambda: self.style(self.forward, self.backward),
            inputs=self.inputs,
            right=True,
            order=self.order,
            note=note,
            truth=self.forward,
            strategy=self.strategy,
            **{"verdicts": self.verdicts, **more},
        )

    def wrong(self, what: str, mistake: Mistake, backward: Backward, *, note: str = "", **more: Any) -> Entry:
        """An entry with this backward in place of the right one; `what` becomes part of its name."""
        return Entry(
            name=f"{self.name}: {what}",
            make=lambda: self.style(self.forward, backward),
            right=False,
            mistake=mistake,
            note=note,
            truth=self.forward,
            **{"inputs": self.inputs, "strategy": self.strategy, **more},
        )
