"""Boxes and masks: how well a detection or a segmentation covers what it should.

A box is (left, top, right, bottom) with left <= right and top <= bottom, in units of length.
"""

from __future__ import annotations

import torch

from reference.checks import require_axis, require_broadcast, require_floating, require_values
from reference.differentiable import Differentiable

Saved = tuple[torch.Tensor, ...]

__all__ = ["dice_loss", "intersection_over_union", "non_maximum_suppression"]


def intersection_over_union(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The area that each pair of boxes shares over the area that it covers: from 0 for strangers to 1 for twins.

    Shapes: a (..., n, 4), b (..., m, 4) -> (..., n, m)
    (1) I = max(0, min(right) - max(left)) · max(0, min(bottom) - max(top))
    (2) IoU = I / (area a + area b - I)
    Conventions: boxes that touch share nothing; 0 where both boxes are empty.
    Errors: ValueError if the last axis is not 4 or a box is inside out.
    Source: Everingham et al., The Pascal visual object classes challenge (2010), section 4.2.
    """
    _check_boxes("intersection_over_union", a)
    _check_boxes("intersection_over_union", b)
    require_broadcast("intersection_over_union", a.shape[:-2], b.shape[:-2])
    first, second = a.unsqueeze(-2), b.unsqueeze(-3)
    sides = torch.minimum(first[..., 2:], second[..., 2:]) - torch.maximum(first[..., :2], second[..., :2])
    shared = sides.clamp_min(0).prod(-1)  # (1) (..., n, m)
    covered = _area(first) + _area(second) - shared
    return torch.where(covered > 0, shared / torch.where(covered > 0, covered, 1.0), 0.0)  # (2)


def non_maximum_suppression(boxes: torch.Tensor, scores: torch.Tensor, *, threshold: float = 0.5) -> torch.Tensor:
    """The boxes to keep, best first: each is dropped that covers a better kept one by more than the threshold.

    Shapes: boxes (n, 4), scores (n) -> indices (k)
    (1) in falling order of the scores, keep i unless IoU(i, j) > threshold for a kept j
    Conventions: of equal scores the first box counts as better. Greedy, so on an accelerator it waits for each box.
    Errors: ValueError if the shapes do not fit or the threshold lies outside [0, 1].
    Source: Girshick, Donahue, Darrell, Malik, Rich feature hierarchies (2014), section 2.2.
    """
    _check_boxes("non_maximum_suppression", boxes)
    if boxes.dim() != 2 or scores.shape != boxes.shape[:1]:
        raise ValueError(
            f"non_maximum_suppression got scores that do not fit: {tuple(scores.shape)}, boxes {tuple(boxes.shape)}, "
            "expected (n) and (n, 4)"
        )
    if not 0 <= threshold <= 1:
        raise ValueError(f"non_maximum_suppression got a threshold out of range: {threshold}, expected 0 <= it <= 1")
    overlap = intersection_over_union(boxes, boxes) > threshold
    order = scores.sort(descending=True, stable=True).indices
    kept: list[int] = []
    for i in order.tolist():
        if not bool(overlap[i, kept].any()):
            kept.append(i)  # (1)
    return torch.tensor(kept, dtype=torch.long, device=boxes.device)


def dice_loss_forward(p: torch.Tensor, y: torch.Tensor, *, smooth: float = 1.0) -> tuple[torch.Tensor, Saved]:
    """One minus the Dice coefficient of a predicted and a true mask: their overlap over their mean size.

    Shapes: p (..., n) of probabilities, y (..., n) -> L (...), masks flattened along the last axis
    Forward:
        (1) t = Σ p · y, u = Σ p + Σ y
        (2) L = 1 - (2t + smooth) / (u + smooth)
    Backward:
        (3) dp = dL · ((2t + smooth) / (u + smooth)² - 2y / (u + smooth)), dy with p in place of y
    Conventions: smooth makes two empty masks cost 0; values outside [0, 1] are refused on the CPU.
    Source: Milletari, Navab, Ahmadi, V-Net (2016), section 3.
    """
    require_floating("dice_loss", p=p, y=y)
    require_axis("dice_loss", p, -1)
    if p.shape != y.shape:
        raise ValueError(f"dice_loss got masks that differ: p {tuple(p.shape)}, y {tuple(y.shape)}, expected the same")
    if not smooth > 0:
        raise ValueError(f"dice_loss got smooth out of range: {smooth}, expected smooth > 0")
    require_values("dice_loss", "0 <= value <= 1", (p >= 0) & (p <= 1) & (y >= 0) & (y <= 1))
    t, u = (p * y).sum(-1), p.sum(-1) + y.sum(-1)  # (1)
    return 1 - (2 * t + smooth) / (u + smooth), (p, y, t, u)  # (2)


def dice_loss_backward(saved: Saved, dL: torch.Tensor, *, smooth: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    p, y, t, u = saved
    size = (u + smooth).unsqueeze(-1)
    overlap, dl = (2 * t + smooth).unsqueeze(-1) / size.square(), dL.unsqueeze(-1)
    return dl * (overlap - 2 * y / size), dl * (overlap - 2 * p / size)  # (3)


dice_loss = Differentiable(dice_loss_forward, dice_loss_backward)


def _area(box: torch.Tensor) -> torch.Tensor:
    return (box[..., 2:] - box[..., :2]).prod(-1)


def _check_boxes(name: str, boxes: torch.Tensor) -> None:
    require_floating(name, boxes=boxes)
    if boxes.dim() < 2 or boxes.shape[-1] != 4:
        raise ValueError(f"{name} got boxes of another shape: {tuple(boxes.shape)}, expected (..., n, 4)")
    require_values(name, "left <= right and top <= bottom", boxes[..., :2] <= boxes[..., 2:])
