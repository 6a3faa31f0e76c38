"""What max-norm limits, and when: the weights into each neuron, once the projection is done."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, at_least, at_most, unit_roundoff, within
from assay.sabotage import identity, instead
from assay.strategies import normals, probabilities
from claims.lab.training import gradients


def _over_columns(sound: Any) -> Any:
    """Limits the weights out of each input instead of those into each neuron."""
    return lambda w, *, c: sound(w.mT, c=c).mT


def _as_a_whole(sound: Any) -> Any:
    """Limits all weights of a layer together."""
    return lambda w, *, c: sound(w.reshape(1, -1), c=c).reshape(w.shape)


def _lengths(w: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(w, dim=-1)


@claim(
    "gfg-19.13",
    "After the projection of max-norm, the weights into each neuron are at most c long, and so is each single weight.",
    reading="after each projected update",
    needs=["max_norm"],
    given={"w": normals((7, 4), 3.0), "c": probabilities(0.5, 3.0)},
    expect=HOLDS,
    sabotage={
        "limits the weights out of each input": {"max_norm": _over_columns},
        "does nothing": {"max_norm": identity()},
        "ends a thousandth too long": {"max_norm": lambda sound: lambda w, *, c: sound(w, c=1.001 * c)},
        "turns long rows round": {
            "max_norm": lambda sound: lambda w, *, c: torch.where(_lengths(w).unsqueeze(-1) > c, -1, 1) * sound(w, c=c)
        },
    },
)
def max_norm_bounds_the_weights_into_each_neuron(lib: Any, w: torch.Tensor, c: float) -> Evidence:
    """Reading: a row longer than c keeps its direction and comes out c long, up to a millionth of c; a row within c is
    untouched. So every row of the projected matrix has Euclidean length <= c, up to rounding, and each entry is <= c.

    Why: a longer row is divided by its length and multiplied by c; an entry is never larger than its row's length. The
    millionth leaves room for implementations that add as much as 1e-7 to the length before they divide by it: such a
    row is longer than c >= 0.5, so that this changes it by at most 2e-7 of c.
    """
    y = lib.max_norm(w, c=c)
    ceiling = c * (
        1 + 12 * unit_roundoff(w.dtype)
    )  # four squares, three sums, root, division, product, and measuring it again
    rows = at_most(_lengths(y), ceiling, what="length of the weights into a neuron, against c")
    entries = at_most(y.abs(), ceiling, what="size of a single weight, against c")
    length = _lengths(w).unsqueeze(-1)
    margin = torch.where(length <= c * (1 - 12 * unit_roundoff(w.dtype)), 0.0, 1e-6 * c)
    shortened = within(
        y, torch.where(length <= c, w, c * w / length), margin, what="a row within c changes, or a longer one is not its "
        "c/length, by", why="nothing for a row within c, else a millionth of c",
    )  # fmt: skip
    return rows & entries & shortened


@claim(
    "gfg-19.13",
    "Under max-norm the weights into a neuron never exceed c.",
    reading="at every moment",
    needs=["max_norm", "dense", "mean_squared_error", "sgd"],
    setting={"projected": False},
    expect=REFUTED(
        instead="Max-norm limits the length of the weights into each neuron at the moment of its projection; a "
        "gradient step in between can carry them over the limit, so the projection has to follow each update.",
        by="max_norm_bounds_the_weights_into_each_neuron",
    ),
    sabotage={"projects again after the update": {"projected": instead(True)}},
)
def max_norm_still_holds_after_a_gradient_step(lib: Any, trial: Trial, projected: bool) -> Evidence:
    """Reading: one step of gradient descent from projected weights (c = 2), towards larger targets, leaves each row
    within c, before the projection follows.

    Why not: the gradient knows nothing of the limit. Whoever asks for the weights between update and projection sees
    what the projection is there to undo.
    """
    x, targets = trial.normal(1, 50, 6, stream="x"), trial.normal(1, 3, 6, stream="w") * 20
    y = lib.dense(x, targets)
    w = lib.max_norm(trial.normal(1, 3, 6, stream="start") * 3, c=2.0)
    _, slopes = gradients(lambda p, _: lib.mean_squared_error(lib.dense(x, p[0]), y).mean((-1, -2)), [w])
    (after,), _ = lib.sgd([w], slopes, None, lr=0.5)
    after = lib.max_norm(after, c=2.0) if projected else after
    ceiling = 2.0 * (
        1 + 26 * unit_roundoff(w.dtype)
    )  # six squares, five sums, root, division, product, and measuring it again
    return at_most(_lengths(after), ceiling, what="length of the weights into a neuron after the step")


@claim(
    "gfg-19.13",
    "Max-norm limits the weights of a layer together.",
    reading="the weights of a layer together",
    needs=["max_norm"],
    given={"w": normals((6, 4), 3.0), "c": probabilities(0.5, 3.0)},
    expect=REFUTED(
        instead="The limit of max-norm is each neuron's own: the matrix of n neurons can be √n times as long.",
        by="max_norm_does_not_bound_the_whole_matrix",
    ),
    sabotage={"limits the matrix as a whole": {"max_norm": _as_a_whole}},
)
def max_norm_bounds_the_weights_of_a_layer_together(lib: Any, w: torch.Tensor, c: float) -> Evidence:
    """Reading: the projected matrix of six neurons has a Frobenius norm of at most c.

    Why not: the squares of rows of length c add up. With the repair: 24 squares, 23 sums, root, division and product,
    and measuring it again.
    """
    whole = torch.linalg.matrix_norm(lib.max_norm(w, c=c))
    return at_most(whole, c * (1 + 60 * unit_roundoff(w.dtype)), what="length of the matrix, against c")


@claim(
    "gfg-19.13",
    "The limit of max-norm is each neuron's own: the whole matrix can be √n times as long for n neurons.",
    reading=CORRECTION,
    needs=["max_norm"],
    given={"w": normals((6, 4), 3.0)},
    setting={"c": 1.0},
    expect=HOLDS,
    sabotage={"limits the matrix as a whole": {"max_norm": _as_a_whole}},
)
def max_norm_does_not_bound_the_whole_matrix(lib: Any, w: torch.Tensor, c: float) -> Evidence:
    """Reading: six long rows end with a Frobenius norm above 2c, and at most √6·c.

    Why: the squares of six rows of length c add up to 6c².
    """
    long = w / _lengths(w).unsqueeze(-1) * 5.0
    whole = torch.linalg.matrix_norm(lib.max_norm(long, c=c))
    return at_least(whole, 2 * c, what="length of the matrix, against 2c") & at_most(
        whole, 6**0.5 * c * (1 + 60 * unit_roundoff(w.dtype)), what="length of the matrix, against √6·c"
    )
