"""Losses that shape an embedding, as for faces: margins between classes on the sphere, and triplets."""

from __future__ import annotations

import torch

from reference.checks import require_axis, require_choice, require_dims, require_floating, require_values
from reference.differentiable import Differentiable
from reference.losses import cross_entropy

Saved = tuple[torch.Tensor, ...]

__all__ = ["margin_loss", "margin_scores", "triplet_loss", "unit_length"]


def unit_length_forward(x: torch.Tensor, *, eps: float = 1e-12) -> tuple[torch.Tensor, Saved]:
    """A vector divided by its Euclidean length.

    Shapes: x (..., d) -> y (..., d)
    Forward:
        (1) y = x / max(|x|, eps)
    Backward:
        (2) dx = (dy - y · Σ dy · y) / |x|
    Conventions: a vector shorter than eps is divided by eps, and its gradient too; squares are taken of x over its
        largest entry, so that |x| is finite wherever x is.
    Errors: ValueError if the vectors have no entry.
    Example: unit_length(torch.tensor([0.0, 2.0])).tolist() == [0.0, 1.0]
    Asked: none
    Source: Wang, Xiang, Cheng, Yuille, NormFace (2017), section 3.
    """
    require_floating("unit_length", x=x)
    require_dims("unit_length", 1, x=x)
    require_axis("unit_length", x, -1)
    largest = x.detach().abs().amax(-1, keepdim=True)
    size = torch.where(largest > 0, largest, 1.0)
    length = size * torch.linalg.vector_norm(x / size, dim=-1, keepdim=True)
    y = x / length.clamp_min(eps)  # (1)
    return y, (y, length)


def unit_length_backward(saved: Saved, dy: torch.Tensor, *, eps: float = 1e-12) -> tuple[torch.Tensor]:
    y, length = saved
    along = torch.where(length > eps, (dy * y).sum(-1, keepdim=True), 0.0)
    return ((dy - y * along) / length.clamp_min(eps),)  # (2)


def triplet_loss_forward(
    anchor: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor, *, margin: float = 0.2
) -> tuple[torch.Tensor, Saved]:
    """The triplet loss: the same face shall lie nearer than another one, by a margin in squared distance.

    Shapes: anchor (..., d), positive (..., d), negative (..., d) -> L (...)
    Forward:
        (1) L = max(0, |a - p|² - |a - n|² + margin)
    Backward, where L > 0, else 0:
        (2) da = 2·dL·(n - p), dp = 2·dL·(p - a), dn = 2·dL·(a - n)
    Conventions: the slope at the kink L = 0 is 0.
    Example: triplet_loss(torch.tensor([0.0]), torch.tensor([3.0]), torch.tensor([2.0]), margin=1.0).item() == 6.0
    Asked: gfg-55.11
    Source: Schroff, Kalenichenko, Philbin, FaceNet (2015), equation 3.
    """
    require_floating("triplet_loss", anchor=anchor, positive=positive, negative=negative)
    require_dims("triplet_loss", 1, anchor=anchor)
    if not anchor.shape == positive.shape == negative.shape:
        shapes = ", ".join(str(tuple(t.shape)) for t in (anchor, positive, negative))
        raise ValueError(f"triplet_loss got shapes that differ: {shapes}, expected the same for all three")
    if not margin >= 0:
        raise ValueError(f"triplet_loss got a margin out of range: {margin}, expected margin >= 0")
    l = (anchor - positive).square().sum(-1) - (anchor - negative).square().sum(-1) + margin
    return l.clamp_min(0), (anchor, positive, negative, l)  # (1)


def triplet_loss_backward(
    saved: Saved, dL: torch.Tensor, *, margin: float = 0.2
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    anchor, positive, negative, l = saved
    g = 2 * torch.where(l > 0, dL, torch.zeros_like(dL)).unsqueeze(-1)
    return g * (negative - positive), g * (positive - anchor), g * (anchor - negative)  # (2)


def margin_scores_forward(
    x: torch.Tensor, w: torch.Tensor, labels: torch.Tensor, *, form: str, margin: float, scale: float = 16.0
) -> tuple[torch.Tensor, Saved]:
    """Scores of classes by angle, the true class having to win by a margin.

    Shapes: x (n, d), w (c, d), labels (n) -> y (n, c)
    Forward, with u = x / |x|, m = margin, s = scale and θ the angle of the true class:
        (1) cos_j = u · w_j / |w_j|, y_j = s · cos_j for all wrong classes j
        (2) SphereFace: t = m · θ; ArcFace: t = θ + m
        (3) SphereFace, ArcFace: y = s · ψ(t), ψ(t) = (-1)^k · cos t - 2k for t in [kπ, (k + 1)π]
        (4) CosFace: y = s · (cos θ - m)
    Backward, with r = 1 for CosFace:
        (5) SphereFace: r = m · (-1)^k · sin t / sin θ; ArcFace: r = (-1)^k · sin t / sin θ
        (6) dcos_j = s · dy_j, times r for the true class
        (7) du = Σ_j dcos_j · w_j / |w_j|, d(w_j / |w_j|) = Σ dcos_j · u, then as in `unit_length`
    Conventions: in SphereFace the margin is a factor of at least 1, ψ continues the cosine downwards; in ArcFace an
        angle beyond π goes on falling in the same way. The true angle is kept sqrt(8 eps) away from 0 and π, where
        ArcFace has a cusp; labels get no gradient; a label without a class is refused on the CPU, and elsewhere no
        class gets a margin.
    Errors: ValueError if the form is unknown, the shapes do not fit or the margin is out of range.
    Example:
        x, w, labels = torch.tensor([[1.0, 0.0]]), torch.eye(2), torch.tensor([0])
        margin_scores(x, w, labels, form="CosFace", margin=0.5, scale=2.0).tolist() == [[1.0, 0.0]]
    Asked: none
    Source: Liu et al., SphereFace (2017); Wang et al., CosFace (2018); Deng et al., ArcFace (2019).
    """
    _check_margin(x, w, labels, form, margin)
    (u, (_, length)), (direction, (_, norm)) = unit_length_forward(x), unit_length_forward(w)
    cosines = u @ direction.mT  # (1) (n, c)
    if form == "CosFace":
        moved = cosines - margin  # (4)
    else:
        t = _moved(_angle(cosines), form, margin)  # (2)
        moved = _sign(t) * t.cos() - 2 * _turns(t)  # (3)
    y = scale * torch.where(_is_true(labels, w), moved, cosines)
    return y, (u, length, direction, norm, cosines, labels)


def margin_scores_backward(
    saved: Saved, dy: torch.Tensor, *, form: str, margin: float, scale: float = 16.0
) -> tuple[torch.Tensor, torch.Tensor, None]:
    u, length, direction, norm, cosines, labels = saved
    rate = torch.ones_like(cosines)
    if form != "CosFace":
        angle = _angle(cosines)
        t = _moved(angle, form, margin)
        rate = (margin if form == "SphereFace" else 1.0) * _sign(t) * t.sin() / angle.sin()  # (5)
    dcosines = scale * dy * torch.where(_is_true(labels, direction), rate, 1.0)  # (6)
    du, ddirection = dcosines @ direction, dcosines.mT @ u  # (7) (n, d), (c, d)
    return *unit_length_backward((u, length), du), *unit_length_backward((direction, norm), ddirection), None


unit_length = Differentiable(unit_length_forward, unit_length_backward)
triplet_loss = Differentiable(triplet_loss_forward, triplet_loss_backward)
margin_scores = Differentiable(margin_scores_forward, margin_scores_backward)


def margin_loss(
    x: torch.Tensor, w: torch.Tensor, labels: torch.Tensor, *, form: str, margin: float, scale: float = 16.0
) -> torch.Tensor:
    """What it costs to miss the true class by angle and margin.

    Shapes: x (n, d), w (c, d), labels (n) -> L (n)
    (1) L = cross-entropy of the scores that `margin_scores` gives
    Errors: those of `margin_scores`.
    Units: nats.
    Example:
        x, w, labels = torch.tensor([[1.0, 0.0]]), torch.eye(2), torch.tensor([0])
        margin_loss(x, w, labels, form="CosFace", margin=2.0, scale=1000.0).tolist() == [1000.0]
    Asked: none
    Source: Deng et al., ArcFace (2019), equation 3.
    """
    return cross_entropy(margin_scores(x, w, labels, form=form, margin=margin, scale=scale), labels)  # (1)


def _angle(cosine: torch.Tensor) -> torch.Tensor:
    """The angle of a cosine, kept a little away from 0 and π, where its slope is infinite."""
    inside = 1 - 4 * torch.finfo(cosine.dtype).eps
    return cosine.clamp(-inside, inside).acos()


def _moved(angle: torch.Tensor, form: str, margin: float) -> torch.Tensor:
    """Equation (2) of `margin_scores`."""
    return margin * angle if form == "SphereFace" else angle + margin


def _turns(t: torch.Tensor) -> torch.Tensor:
    """k, the number of half turns in an angle; constant under differentiation."""
    return (t.detach() / torch.pi).floor()


def _sign(t: torch.Tensor) -> torch.Tensor:
    """(-1)^k for the angle t in [kπ, (k + 1)π]."""
    return 1 - 2 * (_turns(t) % 2)


def _is_true(labels: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """Where the class is the true one: labels (n), w (c, d) -> (n, c)."""
    return labels.unsqueeze(-1) == torch.arange(w.shape[0], device=w.device)


def _check_margin(x: torch.Tensor, w: torch.Tensor, labels: torch.Tensor, form: str, margin: float) -> None:
    require_choice("margin_scores", "form", form, ("SphereFace", "CosFace", "ArcFace"))
    require_floating("margin_scores", x=x, w=w)
    if x.dim() != 2 or w.dim() != 2 or x.shape[1] != w.shape[1] or labels.shape != x.shape[:1]:
        raise ValueError(
            f"margin_scores got shapes that do not fit: x {tuple(x.shape)}, w {tuple(w.shape)}, labels "
            f"{tuple(labels.shape)}, expected (n, d), (c, d), (n)"
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ValueError(
            f"margin_scores got labels that are no integers: {labels.dtype}, expected classes; use .long()"
        )
    if not (margin >= 1 if form == "SphereFace" else margin >= 0):
        raise ValueError(f"margin_scores got a margin out of range: {margin}, expected at least 0 (SphereFace: 1)")
    require_values("margin_scores", f"0 <= label < {w.shape[0]}", (labels >= 0) & (labels < w.shape[0]))
