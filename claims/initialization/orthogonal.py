"""Orthogonal matrices: what the words mean, and weights drawn from them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch

from assay.claim import HOLDS, REFUTED, claim
from assay.decide.trial import Draw
from assay.evidence import Evidence, close, differs, equal
from assay.sabotage import instead
from assay.strategies import seeds, sizes

ORTHONORMAL = "Columns are orthonormal if the squares of each add up to one (its length is one) and every two have dot product zero."


def dot(x: tuple[int, int], y: tuple[int, int]) -> int:
    return x[0] * y[0] + x[1] * y[1]


def roundings(q: torch.Tensor) -> int:
    """Householder QR leaves QᵀQ - I within a small multiple of rows · columns roundings (Higham 2002, section 19.3)."""
    return 8 * q.shape[-2] * q.shape[-1]


def length_one(sound: Any) -> Any:
    """Columns of length one in independent directions."""
    return lambda shape, *, generator: torch.nn.functional.normalize(gaussian(sound)(shape, generator=generator), dim=0)


def _generator(seed: int, device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(seed)


def gaussian(sound: Any) -> Any:
    """Independent normal entries of variance 1/n: orthogonal only on average."""
    return lambda shape, *, generator: torch.randn(
        shape, generator=generator, dtype=torch.float64, device=generator.device
    ).div(shape[1] ** 0.5)


@claim(
    "gfg-32.16",
    "Orthogonal initialisation gives a square matrix whose columns are orthonormal and which keeps every length.",
    needs=["orthogonal"],
    given={"n": sizes(2, 24), "seed": seeds()},
    expect=HOLDS,
    sabotage={
        "normal entries of variance 1/n": {"orthogonal": gaussian},
        "one per mille too long": {
            "orthogonal": lambda sound: lambda shape, *, generator: 1.001 * sound(shape, generator=generator)
        },
    },
)
def orthogonal_weights_keep_every_length(lib: Any, trial: Any, n: int, seed: int) -> Evidence:
    """Reading: QᵀQ = I, all singular values are 1, and |Q5·Q4·Q3·Q2·Q1·x| = |x| for every x.
    Why: |Qx|² = xᵀQᵀQx = |x|², and lengths kept by each layer are kept by the stack."""
    generator = _generator(seed, trial.device)
    x = torch.randn(n, generator=generator, dtype=torch.float64, device=trial.device)
    y, layers = x, 5
    for _ in range(layers):
        q = lib.orthogonal((n, n), generator=generator)
        y = q @ y
    eye = torch.eye(n, dtype=torch.float64, device=trial.device)
    singular = torch.linalg.svdvals(q)
    return (
        close(q.mT @ q, eye, operations=roundings(q), scale=1.0, what="QᵀQ differs from the identity by")
        & close(
            singular, torch.ones_like(singular), operations=2 * roundings(q), what="a singular value differs from 1 by"
        )
        & close(y.norm(), x.norm(), operations=layers * 2 * roundings(q), what="the length after five layers is off by")
    )


def signed_by(signs: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A control: the Q of a normal matrix whose columns get signs that depend on the diagonal of R."""

    def draw(shape: tuple[int, int], *, generator: torch.Generator) -> torch.Tensor:
        x = torch.randn(shape, generator=generator, dtype=torch.float64, device=generator.device)
        q, r = torch.linalg.qr(x)
        return q * signs(r.diagonal().sign())

    return instead(draw)


@claim(
    "gfg-32.16",
    "The orthogonal matrix is drawn at random, without a preferred direction.",
    needs=["orthogonal"],
    expect=HOLDS,
    sabotage={
        "keeps the signs that the decomposition prefers": {"orthogonal": signed_by(torch.ones_like)},
        "mends the sign of the first column only": {
            "orthogonal": signed_by(lambda sign: torch.cat([sign[:1], torch.ones_like(sign[1:])]))
        },
        "always a rotation": {
            "orthogonal": lambda sound: lambda shape, *, generator: rotation(sound(shape, generator=generator))
        },
        "always the identity": {
            "orthogonal": lambda sound: (
                lambda shape, *, generator: torch.eye(shape[0], dtype=torch.float64, device=generator.device)
            )
        },
    },
)
def a_random_orthogonal_matrix_prefers_no_direction(lib: Any, trial: Any) -> Evidence:
    """Reading: each diagonal entry of a 3x3 draw is uniform on [-1, 1], rotations and reflections are equally frequent, and
    two seeds give two matrices.
    Why: each column is then uniform on the sphere, where each coordinate is uniform in three dimensions (Archimedes)."""

    def entry(k: int) -> Draw:
        return lambda n, g: torch.stack([lib.orthogonal((3, 3), generator=g)[k, k] for _ in range(n)])

    def rotates(n: int, g: torch.Generator) -> torch.Tensor:
        return torch.stack([lib.orthogonal((3, 3), generator=g) for _ in range(n)]).det() > 0

    one, other = (lib.orthogonal((3, 3), generator=trial.generator(name)) for name in ("one", "other"))
    facts = differs(one, other, by=1e-3, what="largest difference of two seeds' weights")
    for k in range(3):
        facts &= trial.distribution(
            entry(k),
            lambda t: (1 + t) / 2,
            detects=0.1,
            what=f"distribution of entry {k + 1} of the diagonal is off by",
        )
    return facts & trial.proportion(rotates, 0.5, detects=0.1, what="share of rotations")


def rotation(q: torch.Tensor) -> torch.Tensor:
    """The last column of a reflection turned round."""
    return torch.cat([q[:, :-1], q[:, -1:] * q.det().sign()], -1)


@claim(
    "gfg-32.17",
    "A square matrix with orthonormal columns is orthogonal: its transpose inverts it, its rows are orthonormal.",
    needs=["orthogonal"],
    given={"n": sizes(1, 10), "seed": seeds()},
    setting={"extra_rows": 0},
    expect=HOLDS,
    sabotage={
        "three more rows than columns": {"extra_rows": instead(3)},
        "columns of length one, not perpendicular": {"orthogonal": length_one},
    },
)
def orthonormal_columns_make_a_square_matrix_orthogonal(
    lib: Any, trial: Any, n: int, seed: int, extra_rows: int
) -> Evidence:
    """Reading: for square Q, QᵀQ = I comes with QQᵀ = I, Q⁻¹ = Qᵀ and |det Q| = 1.
    Why: a left inverse of a square matrix is its right inverse; det(QᵀQ) = det² = 1."""
    q = lib.orthogonal((n + extra_rows, n), generator=_generator(seed, trial.device))
    eye = torch.eye(n + extra_rows, dtype=torch.float64, device=trial.device)
    k = roundings(q)
    facts = close(q.mT @ q, eye[:n, :n], operations=k, scale=1.0, what="columns differ from orthonormal by")
    facts &= close(q @ q.mT, eye, operations=k, scale=1.0, what="rows differ from orthonormal by")
    if not extra_rows:
        facts &= close(q.det().abs(), 1.0, operations=n * k, what="size of the determinant differs from 1 by")
        facts &= close(q.inverse(), q.mT, operations=4 * n * k, scale=1.0, what="inverse differs from transpose by")
    return facts


@claim(
    "gfg-32.18",
    "In orthonormal columns the root of the square of every entry is one.",
    needs=["orthogonal"],
    setting={"sum_the_column": False},
    reading="entry by entry, as written",
    expect=REFUTED(
        instead=ORTHONORMAL,
        by="orthonormal_means_length_one_and_perpendicular",
    ),
    sabotage={"sum the squares of the column first": {"sum_the_column": instead(True)}},
)
def every_entry_of_an_orthonormal_column_has_size_one(lib: Any, trial: Any, sum_the_column: bool) -> Evidence:
    """Reading: √(w²) = 1 for each entry w, since no sum over the column is mentioned.
    Why not: √(w²) = |w|, and only the squares of a whole column add up to one."""
    q = lib.orthogonal((4, 4), generator=trial.generator("matrix"))
    sizes_of = q.square().sum(0).sqrt() if sum_the_column else q.square().sqrt()
    return close(
        sizes_of, torch.ones_like(sizes_of), operations=roundings(q), what="a normalised size differs from 1 by"
    )


@claim(
    "gfg-32.18",
    "Columns of length one are orthonormal, whatever their dot products.",
    needs=[],
    cases=[
        {"first": first, "second": second, "length": length}
        for length, columns in ((5, ((5, 0), (0, 5), (3, 4), (-4, 3))), (13, ((5, 12), (-12, 5))))
        for first, second in itertools.permutations(columns, 2)
    ],
    reading="length one is enough",
    exhaustive=True,
    expect=REFUTED(
        instead=ORTHONORMAL,
        by="orthonormal_means_length_one_and_perpendicular",
    ),
    sabotage={"demand dot product zero as well": {"where": lambda first, second, length: dot(first, second) == 0}},
)
def columns_of_length_one_are_orthonormal(
    lib: Any, first: tuple[int, int], second: tuple[int, int], length: int
) -> Evidence:
    """Reading: whole numbers over a common length: if both columns have length one, their Gram matrix is the identity.
    Why not: (1, 0) and (3/5, 4/5) have length one and dot product 3/5."""
    gram = (dot(first, first), dot(first, second), dot(second, second))
    return equal(
        gram, (length**2, 0, length**2), what="Gram matrix (times the squared length) differs from the identity"
    )


@claim(
    "gfg-32.18",
    "Columns are orthonormal when each has length one and every two have dot product zero.",
    needs=["orthogonal"],
    given={"n": sizes(2, 10), "seed": seeds()},
    setting={"divide_by_length": True},
    reading="length one and dot products zero",
    expect=HOLDS,
    sabotage={
        "perpendicular columns of length two": {
            "orthogonal": lambda sound: lambda shape, *, generator: 2 * sound(shape, generator=generator)
        },
        "columns of length one, not perpendicular": {
            "orthogonal": lambda sound: (
                lambda shape, *, generator: torch.nn.functional.normalize(
                    gaussian(sound)(shape, generator=generator), dim=0
                )
            )
        },
        "leaves the columns at their drawn length": {"divide_by_length": instead(False)},
    },
)
def orthonormal_means_length_one_and_perpendicular(
    lib: Any, trial: Any, n: int, seed: int, divide_by_length: bool
) -> Evidence:
    """Reading: lengths one and dot products zero together are QᵀQ = I, and any two columns can be made so.
    Why: entry (i, j) of QᵀQ is the dot product of columns i and j; Gram and Schmidt's steps make others into such."""
    q = lib.orthogonal((n, n), generator=_generator(seed, trial.device))
    gram = q.mT @ q
    lengths, dots = gram.diagonal().sqrt(), gram - gram.diagonal().diag()
    x = torch.randn(n, 2, generator=_generator(seed, trial.device), dtype=torch.float64, device=trial.device)
    first = x[:, 0] / x[:, 0].norm() if divide_by_length else x[:, 0]
    rest = x[:, 1] - (first @ x[:, 1]) * first
    made = torch.stack([first, rest / rest.norm()], -1)
    cancelled = float(
        x[:, 1].norm() / rest.norm()
    )  # a rest much shorter than its column has lost that many of its figures
    return (
        close(lengths, torch.ones_like(lengths), operations=roundings(q), what="a column's length differs from 1 by")
        & close(
            dots, torch.zeros_like(dots), operations=roundings(q), scale=1.0, what="a dot product differs from 0 by"
        )
        & close(
            made.mT @ made,
            torch.eye(2, dtype=torch.float64, device=trial.device),
            operations=8 * n * (1 + cancelled),
            scale=1.0,
            what="the Gram matrix of the made columns is off by",
        )
    )
