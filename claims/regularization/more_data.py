"""Augmentation as regularisation: what varied copies of the training data are worth, and noise as a ridge penalty."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy
import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.proofs import identity
from assay.decide.trial import Trial
from assay.evidence import Evidence, at_most, equal
from assay.sabotage import instead
from assay.strategies import normals, seeds, sizes

Pair = tuple[torch.Tensor, torch.Tensor]
Draws = Callable[[int, torch.Generator], Pair]
SHIFTS = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]


def _normal(*shape: int, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64, device=generator.device)


def _patterns(templates: torch.Tensor, n: int, g: torch.Generator) -> Pair:
    """Noisy images of one of two templates (R, 2, 8, 8), all in the same place: x (R, n, 8, 8), y (R, n) = ±1 for
    which.
    """
    which = torch.randint(2, (len(templates), n), generator=g, device=g.device)
    clean = templates[torch.arange(len(templates), device=g.device).unsqueeze(-1), which]
    return clean + 0.4 * _normal(*clean.shape, generator=g), 2.0 * which.to(torch.float64) - 1


def _images(lib: Any, templates: torch.Tensor, n: int, g: torch.Generator, *, by_place: bool) -> tuple[Pair, Pair]:
    """Patterns moved to one of nine places, and the same before they are moved. The label is which of two patterns it
    is; or, of one pattern, whether it was moved up or down.
    """
    still = _patterns(templates[:, :1].expand_as(templates) if by_place else templates, n, g)
    if not by_place:
        return _shifted_at_random(lib, still, 1, g, SHIFTS), still
    (up, y), (down, _) = (_shifted_at_random(lib, still, 1, g, shifts) for shifts in (SHIFTS[:3], SHIFTS[6:]))
    return (torch.where((y > 0)[..., None, None], down, up), y), still


def _fitted_error(lib: Any, train: Pair, test: Pair, penalty: float) -> torch.Tensor:
    """Mean squared test error of ridge regression of the labels on the pixels (R,)."""
    (x, y), (fresh, labels) = train, test
    w = lib.ridge(x.flatten(2), y, penalty=penalty)
    return ((fresh.flatten(2) @ w.unsqueeze(-1))[..., 0] - labels).square().mean(-1)


def _shifted_at_random(lib: Any, train: Pair, copies: int, g: torch.Generator, shifts: list[tuple[int, int]]) -> Pair:
    """`copies` variants of each image of x (R, n, 8, 8), each moved by one of `shifts`, with the image's label."""
    x, y = train
    moved = torch.stack([lib.translate(x, *shift, wrap=True) for shift in shifts], 2)  # (R, n, shifts, 8, 8)
    which = torch.randint(len(shifts), (*y.shape, copies), generator=g, device=g.device)
    chosen = moved.gather(2, which[..., None, None].expand(-1, -1, -1, *x.shape[-2:]))
    return chosen.flatten(1, 2), y.repeat_interleave(copies, 1)


def _shifts_against_none(
    lib: Any, *, by_place: bool, points: int, shifts: list[tuple[int, int]], from_the_middle: bool = False
) -> Draws:
    """Test errors (R,) of the fit to nine randomly shifted variants of each point, and of the fit to the points; shifted
    from where the point's pattern stands, or from where it stood before it was moved to one of the nine places.
    """

    def pair(n: int, g: torch.Generator) -> Pair:
        templates = _normal(n, 2, 8, 8, generator=g)
        train, still = _images(lib, templates, points, g, by_place=by_place)
        test, _ = _images(lib, templates, 200, g, by_place=by_place)
        varied = _shifted_at_random(lib, still if from_the_middle else train, 9, g, shifts)
        return _fitted_error(lib, varied, test, 5.0 * 9), _fitted_error(lib, train, test, 5.0)

    return pair


ROUNDING = 1e-6  # of errors of size one: far above what rounding changes, far below what a shift does


@claim(
    "gfg-43.1",
    "Small random variations of the training data make a model generalise better.",
    needs=["translate", "ridge"],
    setting={"by_place": False, "shifts": SHIFTS},
    expect=CONDITIONAL(
        "the variation leaves the right answer as it is: on 20 images, shifts by a pixel help to tell two patterns "
        "apart, wherever they stand, and do harm where the answer is the place of the pattern",
        within={"by_place": instead(False)},
        beyond={"by_place": instead(True)},
    ),
    sabotage={"shifts by nothing": {"shifts": instead([(0, 0)])}},
)
def small_variations_improve_generalisation(
    lib: Any, trial: Trial, by_place: bool, shifts: list[tuple[int, int]]
) -> Evidence:
    """Reading: a linear classifier of 8×8 images fitted to nine randomly shifted variants of each of 20 points has the
    lower test error; the penalty grows with the number of rows, so that it weighs the same.

    Why: the shifted variants stand for the variation that test images have; if they carry wrong labels, the fit
    averages over both.
    """
    pair = _shifts_against_none(lib, by_place=by_place, points=20, shifts=shifts)
    return trial.prefers(pair, margin=ROUNDING, what="test error: with random shifts lower than without")


@claim(
    "gfg-43.1",
    "Small random variations that leave the answer as it is make a model generalise better.",
    needs=["translate", "ridge"],
    setting={"from_the_middle": True, "shifts": SHIFTS},
    expect=CONDITIONAL(
        "the varied data are such as new data can be: on 100 images with patterns in nine places, shifts to any of the "
        "nine help; shifts by a pixel from wherever the pattern stands, which reach places that no new image shows, do "
        "harm",
        within={"from_the_middle": instead(True)},
        beyond={"from_the_middle": instead(False)},
    ),
    sabotage={"all varied images show the middle": {"shifts": instead([(0, 0)])}},
)
def harmless_variations_improve_generalisation(
    lib: Any, trial: Trial, from_the_middle: bool, shifts: list[tuple[int, int]]
) -> Evidence:
    """Reading: as above, for 100 images of patterns that are to be told apart wherever they stand.

    Why: the fit spreads its 64 weights over the places that it is shown. On few images even shifts that leave the range
    help, see above; 100 show each of the two patterns in its nine places about five times.
    """
    pair = _shifts_against_none(lib, by_place=False, points=100, shifts=shifts, from_the_middle=from_the_middle)
    return trial.prefers(pair, margin=ROUNDING, what="test error: with random shifts lower than without")


@claim(
    "gfg-43.1",
    "Shifts do harm where the answer is the place of the pattern, and where they reach places that no new image shows "
    "and samples are plenty.",
    reading=CORRECTION,
    needs=["translate", "ridge"],
    cases=[{"by_place": True, "points": 20}, {"by_place": False, "points": 100}],
    expect=HOLDS,
    sabotage={"20 patterns, wherever they stand": {"by_place": instead(False), "points": instead(20)}},
)
def shifts_can_do_harm(lib: Any, trial: Trial, by_place: bool, points: int) -> Evidence:
    """Reading: the beyond side of either claim above with the sides exchanged: without shifts the test error is lower.

    Why: see there.
    """
    pair = _shifts_against_none(lib, by_place=by_place, points=points, shifts=SHIFTS)

    def exchanged(n: int, g: torch.Generator) -> Pair:
        shifted, plain = pair(n, g)
        return plain, shifted

    return trial.prefers(exchanged, margin=ROUNDING, what="test error: without shifts lower than with them")


@claim(
    "gfg-43.2",
    "Augmentation puts altered copies into the training set, which then holds more distinct samples.",
    reading="the number of distinct samples grows",
    needs=["add_noise"],
    given={"x": normals((5, 4)), "copies": sizes(1, 6), "seed": seeds()},
    expect=HOLDS,
    sabotage={
        "the copies are not altered": {
            "add_noise": lambda sound: lambda x, sd, generator: x + 0 * sound(x, sd, generator)
        },
        "every copy is altered alike": {
            "add_noise": lambda sound: lambda x, sd, generator: sound(x, sd, torch.Generator(x.device).manual_seed(1))
        },
        "the originals are thrown away": {"copies": lambda copies: copies - 1},
    },
)
def altered_copies_enlarge_the_training_set(lib: Any, x: torch.Tensor, copies: int, seed: int) -> Evidence:
    """Reading: 5 samples and `copies` noisy copies of each are 5·(copies + 1) distinct rows, at least 10.

    Why: continuous noise never repeats. What the new rows are worth is another question.
    """
    generator = torch.Generator(x.device).manual_seed(seed)
    everything = torch.cat([x, *(lib.add_noise(x, 0.1, generator) for _ in range(copies))])
    rows = len(everything.unique(dim=0))
    grown = equal(rows, 5 * (copies + 1), what="number of distinct samples")
    return grown & at_most(10, rows, what="ten, against the distinct samples")


@claim(
    "gfg-43.2",
    "Altered copies do as much for the model as the same number of new samples.",
    reading="the copies are as good as new samples",
    needs=["add_noise", "ridge"],
    setting={"samples": 20, "fresh_instead": False},
    expect=REFUTED(
        instead="Noisy copies repeat the label errors of their originals: ten times as many new samples leave a lower "
        "error.",
        by="altered_copies_are_no_new_samples",
    ),
    sabotage={
        "the copies are new samples": {"fresh_instead": instead(True)},
        "a thousand originals, which leave nothing to gain": {"samples": instead(1000)},
    },
)
def altered_copies_are_as_good_as_new_samples(lib: Any, trial: Trial, samples: int, fresh_instead: bool) -> Evidence:
    """Reading: least squares on 20 samples and 9 noisy copies of each has at most 0.1 more excess test error than on
    200 samples.

    Why not: with noise variance 0.25 and 15 weights 200 samples leave 0.25·15/184 = 0.02. 20 samples leave
    0.25·15/(20 - 16) = 0.9; the copies act as a ridge of 20·0.1² = 0.2 on them, too weak to take off more than a fifth.
    """

    def pair(n: int, g: torch.Generator) -> Pair:
        copied, fresh = _excess(lib, n, samples, g)
        return (fresh if fresh_instead else copied), fresh + 0.1

    return trial.prefers(pair, what="excess test error: copies at most 0.1 above new samples", most=256)


@claim(
    "gfg-43.2",
    "Ten times as many new samples are worth more than nine noisy copies of each sample.",
    reading=CORRECTION,
    needs=["add_noise", "ridge"],
    setting={"samples": 20},
    expect=HOLDS,
    sabotage={"a thousand originals, which leave nothing to gain": {"samples": instead(1000)}},
)
def altered_copies_are_no_new_samples(lib: Any, trial: Trial, samples: int) -> Evidence:
    """Reading: 200 new samples give an excess test error lower by 0.1 than 20 samples and nine noisy copies of each.

    Why: the copies repeat the same 20 label errors. How much of the gain of new samples copies bring depends on what is
    altered, and by how much.
    """

    def pair(n: int, g: torch.Generator) -> Pair:
        copied, fresh = _excess(lib, n, samples, g)
        return fresh, copied

    return trial.prefers(pair, margin=0.1, what="excess test error: new samples better than copies by 0.1", most=256)


def _excess(lib: Any, replicas: int, samples: int, g: torch.Generator) -> Pair:
    """Squared distance (R,) from the true weights: of the fit to samples and nine copies each, to ten times the
    samples.
    """
    w = _normal(replicas, 15, generator=g)
    x = _normal(replicas, 10 * samples, 15, generator=g)
    y = (x @ w.unsqueeze(-1))[..., 0] + 0.5 * _normal(replicas, 10 * samples, generator=g)
    few, labels = x[:, :samples], y[:, :samples]
    copies = torch.cat([few, *(lib.add_noise(few, 0.1, g) for _ in range(9))], 1)
    fits = ((copies, labels.repeat(1, 10)), (x, y))
    copied, fresh = ((lib.ridge(rows, targets, penalty=0.0) - w).square().sum(-1) for rows, targets in fits)
    return copied, fresh


def _expected(loss: sympy.Expr, noise: tuple[sympy.Symbol, ...], sd: sympy.Symbol) -> sympy.Expr:
    """The expectation of a quadratic in independent noise of mean 0 and variance sd²: n -> 0, n² -> sd², n·m -> 0."""
    terms = sympy.Poly(sympy.expand(loss), *noise).terms()
    moments = {0: sympy.Integer(1), 1: sympy.Integer(0), 2: sd**2}
    return sum((c * sympy.prod([moments[power] for power in powers]) for powers, c in terms), sympy.Integer(0))


@claim(
    "gfg-43.9",
    "Adding noise to the inputs is an augmentation; for a linear model it acts as an L2 penalty.",
    needs=["add_noise"],
    setting={"penalty": lambda s, w: s**2 * sum(v**2 for v in w)},
    covers="as a penalty on a linear model, on average",
    expect=HOLDS,
    sabotage={
        "the penalty is L1": {"penalty": instead(lambda s, w: s**2 * sum(abs(v) for v in w))},
        "the standard deviation is not squared": {"penalty": instead(lambda s, w: s * sum(v**2 for v in w))},
        "the noise is a tenth larger": {
            "add_noise": lambda sound: lambda x, sd, generator: sound(x, 1.1 * sd, generator)
        },
    },
)
def noise_on_the_inputs_is_an_l2_penalty(lib: Any, trial: Trial, penalty: Callable[[Any, Any], Any]) -> Evidence:
    """Reading: E (w·(x + n) - y)² = (w·x - y)² + s²·|w|² for noise n of standard deviation s, as formula and measured
    to 3 percent.

    Why: the noise has mean 0, so the cross term vanishes and w·n has the variance s²·|w|².
    """
    s, y, *rest = sympy.symbols("s y w1 w2 x1 x2 n1 n2", real=True)
    w, x, noise = rest[:2], rest[2:4], tuple(rest[4:])
    plain = sum(a * b for a, b in zip(w, x, strict=True)) - y
    noisy = plain + sum(a * b for a, b in zip(w, noise, strict=True))
    proof = identity(
        _expected(noisy**2, noise, s),
        sympy.expand(plain**2) + penalty(s, w),
        what="expected loss under noise minus loss minus penalty",
    )
    weights = torch.tensor([0.8, -0.5, 1.1], dtype=torch.float64, device=trial.device)
    point = torch.tensor([0.3, 0.7, -0.4], dtype=torch.float64, device=trial.device)
    residual = float(point @ weights) - 0.2

    def rise(n: int, g: torch.Generator) -> torch.Tensor:
        return (lib.add_noise(point.expand(n, 3), 0.6, g) @ weights - 0.2).square() - residual**2

    claimed = float(penalty(0.6, weights.tolist()))
    return proof & trial.mean(
        rise, claimed, detects=0.03 * claimed, spread=1.5 * claimed, what="rise of the mean squared error under noise"
    )


@claim(
    "gfg-43.9",
    "A linear fit to many noisy copies is the ridge fit to the originals.",
    needs=["add_noise", "ridge"],
    setting={"strength": lambda n, sd: n * sd**2},
    covers="in a linear fit to noisy copies",
    expect=HOLDS,
    sabotage={
        "no penalty": {"strength": instead(lambda n, sd: 0.0)},
        "forgets the number of samples": {"strength": instead(lambda n, sd: sd**2)},
        "adds no noise": {"add_noise": lambda sound: lambda x, sd, generator: x + 0 * sound(x, sd, generator)},
    },
)
def a_fit_to_noisy_copies_is_the_ridge_fit(lib: Any, trial: Trial, strength: Callable[[int, float], float]) -> Evidence:
    """Reading: for 50 samples of 10 features and 400 copies with noise 0.7, the fit to all copies is five times
    nearer to ridge than to plain least squares.

    Why: the copies' mean xᵀx is that of the originals plus n·s²·I, their mean xᵀy the same; both scatter by 1/√400 =
    1/20.
    """
    x = trial.normal(50, 10, stream="x")
    y = x @ trial.normal(10, stream="w") + 0.5 * trial.normal(50, stream="noise")
    generator = trial.generator("copies")
    copies = torch.cat([lib.add_noise(x, 0.7, generator) for _ in range(400)])
    fitted = lib.ridge(copies, y.repeat(400), penalty=0.0)
    held, free = lib.ridge(x, y, penalty=strength(50, 0.7)), lib.ridge(x, y, penalty=0.0)
    return at_most(
        torch.linalg.vector_norm(fitted - held), 0.2 * float(torch.linalg.vector_norm(fitted - free)),
        what="distance of the fit to noisy copies from ridge",
    )  # fmt: skip
