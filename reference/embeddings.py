"""Losses that shape an embedding, as for faces: margins between classes on the sphere, and triplets."""

from __future__ import annotations

import torch

from reference.checks import require_choice, require_dims, require_floating, require_values
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
    Conventions: a vector shorter than eps is divided by eps, and its gradient too.
    Source: Wang, Xiang, Cheng, Yuille, NormFace (2017), section 3.
    """
    require_floating("unit_length", x=x)
    require_dims("unit_length", 1, x=x)
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
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


unit_length = Differentiable(unit_length_forward, unit_length_backward)
triplet_loss = Differentiable(triplet_loss_forward, triplet_loss_backward)


def margin_scores(
    x: torch.Tensor, w: torch.Tensor, labels: torch.Tensor, *, form: str, margin: float, scale: float = 16.0
) -> torch.Tensor:
    """Scores of classes by angle, the true class having to win by a margin.

    Shapes: x (n, d), w (c, d), labels (n) -> (n, c)
    (1) cos θ_j = (x / |x|) · (w_j / |w_j|), scores s · cos θ_j for all wrong classes j
    (2) SphereFace: s · ψ(margin · θ_y) for the true class y, ψ(t) = (-1)^k · cos t - 2k for t in [kπ, (k + 1)π]
    (3) CosFace: s · (cos θ_y - margin)
    (4) ArcFace: s · cos(θ_y + margin)
    Conventions: in (2) the margin is a factor of at least 1, ψ continues the cosine downwards; in (4) an angle beyond π
        goes on falling in the same way.
    Errors: ValueError if the form is unknown, the shapes do not fit or the margin is out of range.
    Source: Liu et al., SphereFace (2017); Wang et al., CosFace (2018); Deng et al., ArcFace (2019).
    """
    require_choice("margin_scores", "form", form, ("SphereFace", "CosFace", "ArcFace"))
    require_floating("margin_scores", x=x, w=w)
    if x.dim() != 2 or w.dim() != 2 or x.shape[1] != w.shape[1] or labels.shape != x.shape[:1]:
        raise ValueError(
            f"margin_scores got shapes that do not fit: x {tuple(x.shape)}, w {tuple(w.shape)}, labels "
            f"{tuple(labels.shape)}, expected (n, d), (c, d), (n)"
        )
    if not (margin >= 1 if form == "SphereFace" else margin >= 0):
        raise ValueError(f"margin_scores got a margin out of range: {margin}, expected at least 0 (SphereFace: 1)")
    require_values("margin_scores", f"0 <= label < {w.shape[0]}", (labels >= 0) & (labels < w.shape[0]))
    cosines = unit_length(x) @ unit_length(w).mT  # (1)
    true = cosines.gather(-1, labels.long().unsqueeze(-1))
    if form == "CosFace":
        moved = true - margin  # (3)
    else:
        angle = _angle(true)
        moved = _falling_cosine(margin * angle if form == "SphereFace" else angle + margin)  # (2) (4)
    return scale * torch.where(labels.unsqueeze(-1) == torch.arange(w.shape[0], device=w.device), moved, cosines)


def margin_loss(
    x: torch.Tensor, w: torch.Tensor, labels: torch.Tensor, *, form: str, margin: float, scale: float = 16.0
) -> torch.Tensor:
    """The cross-entropy of `margin_scores`: x (n, d), w (c, d), labels (n) -> (n).

    Units: nats.
    Source: Deng et al., ArcFace (2019), equation 3.
    """
    return cross_entropy(margin_scores(x, w, labels, form=form, margin=margin, scale=scale), labels)


def _angle(cosine: torch.Tensor) -> torch.Tensor:
    """The angle of a cosine, kept a little away from 0 and π, where its slope is infinite."""
    inside = 1 - 4 * torch.finfo(cosine.dtype).eps
    return cosine.clamp(-inside, inside).acos()


def _falling_cosine(t: torch.Tensor) -> torch.Tensor:
    """The cosine up to π, continued so that it goes on falling: (-1)^k · cos t - 2k on [kπ, (k + 1)π]."""
    k = (t.detach() / torch.pi).floor()
    return (1 - 2 * (k % 2)) * t.cos() - 2 * k
