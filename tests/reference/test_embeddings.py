"""Losses of embeddings: against torch and the formulas of their papers, margins, kinks, bad input."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from assay.evidence import gamma
from reference.embeddings import margin_loss, margin_scores, triplet_loss, unit_length
from tests.reference.protocol import Case, draw

X, W, LABELS = draw(6, 4), draw(3, 4, seed=1), torch.tensor([0, 2, 1, 1, 0, 2])


def triplet(a: torch.Tensor, p: torch.Tensor, n: torch.Tensor, margin: float) -> torch.Tensor:
    def squared(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return ((x - y) ** 2).sum(-1)

    return functional.triplet_margin_with_distance_loss(
        a, p, n, distance_function=squared, margin=margin, reduction="none"
    )


def moved(c: torch.Tensor, form: str, margin: float) -> torch.Tensor:
    """The true class's cosine after the margin, by the addition theorem and the double angle in place of an angle."""
    if form == "CosFace":
        return c - margin
    if form == "ArcFace":
        return c * math.cos(margin) - (1 - c * c).sqrt() * math.sin(margin)
    assert margin == 2.0
    return torch.where(c >= 0, 2 * c * c - 1, 1 - 2 * c * c - 2)


def margins(
    x: torch.Tensor, w: torch.Tensor, labels: torch.Tensor, form: str, margin: float, scale: float = 16.0
) -> torch.Tensor:
    cosines = functional.normalize(x, dim=-1) @ functional.normalize(w, dim=-1).T
    chosen = functional.one_hot(labels, len(w)).to(x.dtype)
    return scale * (cosines + chosen * (moved(cosines, form, margin) - cosines))


# an anchor at 0 upon its positive, and a negative as far away as the margin wants it, 0.5² = 0.25: the loss is just 0
KINK = (torch.zeros(1, 4).double(), torch.zeros(1, 4).double(), torch.tensor([[0.5, 0.0, 0.0, 0.0]]).double())
# an angle is as exact as a rounding over its sine, above 1/8 for these; so is its slope
ANGLES = {"roundings": 512, "scale": 16.0}
CASES = {
    "unit length": Case(unit_length, (X,), lambda x: functional.normalize(x, dim=-1)),
    "triplet": Case(triplet_loss, (X, draw(6, 4, seed=2), draw(6, 4, seed=3)), triplet, {"margin": 0.2}, scale=100),
    "triplet, at the kink": Case(
        triplet_loss, (X, draw(6, 4, seed=2), draw(6, 4, seed=3)), triplet, {"margin": 0.25}, scale=100, kinks=KINK
    ),
    "CosFace": Case(margin_scores, (X, W, LABELS), margins, {"form": "CosFace", "margin": 0.3}, scale=16),
    "ArcFace": Case(margin_scores, (X, W, LABELS), margins, {"form": "ArcFace", "margin": 0.2}, **ANGLES),
    "SphereFace": Case(margin_scores, (X, W, LABELS), margins, {"form": "SphereFace", "margin": 2.0}, **ANGLES),
}


@pytest.mark.parametrize("size", [1e-200, 1e-5, 1e300])
def test_the_size_of_a_vector_does_not_matter(size: float) -> None:
    found = unit_length(size * X, eps=1e-250)
    assert float((found - unit_length(X)).abs().max()) <= gamma(16, torch.float64)


def test_a_vector_of_no_length_stays_finite() -> None:
    x = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    y = unit_length(x)
    assert not bool(y.detach().any())
    assert bool(torch.autograd.grad(y.sum(), x)[0].isfinite().all())


def test_a_triplet_far_enough_apart_costs_nothing_and_moves_nothing() -> None:
    a = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    near, far = torch.full((1, 2), 0.1, dtype=torch.float64), torch.full((1, 2), 3.0, dtype=torch.float64)
    l = triplet_loss(a, near, far)
    assert l.tolist() == [0.0]
    assert not bool(torch.autograd.grad(l.sum(), a)[0].any())


COS = functional.normalize(X, dim=-1) @ functional.normalize(W, dim=-1).T
TRUE = COS[torch.arange(6), LABELS]
FORMULAS = {
    ("CosFace", 0.3): TRUE - 0.3,
    ("ArcFace", 0.2): (TRUE.acos() + 0.2).cos(),
    ("SphereFace", 1.0): TRUE,
    ("SphereFace", 2.0): torch.where(TRUE >= 0, 2 * TRUE**2 - 1, 1 - 2 * TRUE**2 - 2),
}
SCALE = 16.0


@pytest.mark.parametrize(("form", "margin"), FORMULAS)
def test_only_the_true_class_has_to_win_by_a_margin(form: str, margin: float) -> None:
    scores = margin_scores(X, W, LABELS, form=form, margin=margin)
    expected = SCALE * COS.clone()
    expected[torch.arange(6), LABELS] = SCALE * FORMULAS[form, margin]
    # acos enlarges a rounding by 1/sin θ, at most 10 for these angles, and θ is at most three
    assert float((scores - expected).abs().max()) <= gamma(256, torch.float64) * SCALE * 10


@pytest.mark.parametrize(("form", "margin"), [("CosFace", 0.3), ("ArcFace", 0.3), ("SphereFace", 3.0)])
def test_the_true_score_never_rises_with_the_angle(form: str, margin: float) -> None:
    angle = torch.linspace(0.01, 3.13, 200, dtype=torch.float64)
    x = torch.stack([angle.cos(), angle.sin()], -1)
    w = torch.tensor([[1.0, 0.0], [0.0, -1.0]], dtype=torch.float64)
    labels = torch.zeros(200, dtype=torch.long)
    scores = margin_scores(x, w, labels, form=form, margin=margin)[:, 0]
    assert bool((scores.diff() < 0).all())
    assert bool((scores < margin_scores(x, w, labels, form="CosFace", margin=0.0)[:, 0]).all())


@pytest.mark.parametrize("form", ["CosFace", "ArcFace", "SphereFace"])
def test_the_gradient_of_the_margin_loss(form: str) -> None:
    x, w = X.clone().requires_grad_(), W.clone().requires_grad_()
    margin = 2.0 if form == "SphereFace" else 0.2
    assert torch.autograd.gradcheck(lambda x, w: margin_loss(x, w, LABELS, form=form, margin=margin), (x, w))


def test_a_larger_margin_costs_more() -> None:
    costs = [float(margin_loss(X, W, LABELS, form="ArcFace", margin=m).mean()) for m in (0.0, 0.2, 0.5)]
    assert costs == sorted(costs)
    assert costs[2] > costs[0] + 1
    assert costs[0] == pytest.approx(float(functional.cross_entropy(SCALE * COS, LABELS)), rel=1e-12)


REFUSED = {
    "unknown form": (lambda: margin_loss(X, W, LABELS, form="MoonFace", margin=0.1), "one of SphereFace"),
    "labels that do not fit": (lambda: margin_scores(X, W, LABELS[:2], form="CosFace", margin=0.1), "do not fit"),
    "class that is not there": (lambda: margin_scores(X, W[:2], LABELS, form="CosFace", margin=0.1), "0 <= label < 2"),
    "factor below one": (lambda: margin_scores(X, W, LABELS, form="SphereFace", margin=0.5), "out of range: 0.5"),
    "negative margin": (lambda: triplet_loss(X, X, X, margin=-1.0), "margin >= 0"),
    "NaN margin": (lambda: margin_scores(X, W, LABELS, form="CosFace", margin=math.nan), "out of range: nan"),
    "triplets that differ": (lambda: triplet_loss(X, X[:2], X), "shapes that differ"),
    "no entry": (lambda: unit_length(draw(3, 0)), "empty axis"),
    "integers": (lambda: unit_length(LABELS), "got integers"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
