"""Boxes and masks: how well a detection or a segmentation covers what it should.

A box is (left, top, right, bottom) with left <= right and top <= bottom, in units of length.
"""

from __future__ import annotations

import torch

from reference.checks import require_axis, require_broadcast, require_floating, require_values
from reference.differentiable import Differentiable

Saved = tuple[torch.Tensor, ...]

__all__ = ["box_area", "dice_loss", "intersection_over_union", "non_maximum_suppression"]


def box_area_forward(box: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """The area of a box: its width times its height.

    Shapes: box (..., 4) -> A (...)
    Forward:
        (1) A = (right - left) · (bottom - top)
    Backward:
        (2) dright = dA · (bottom - top) = -dleft
        (3) dbottom = dA · (right - left) = -dtop
    Units: the square of the unit of length.
    Errors: ValueError if the last axis is not 4 or a box is inside out.
    Example: box_area(torch.tensor([1.0, 1.0, 3.0, 4.0])).item() == 6.0
    Asked: gfg-45.4
    Source: Everingham et al., The Pascal visual object classes challenge (2010), section 4.2.
    """
    _check_boxes("box_area", box, least=1)
    return _area(box), (box,)  # (1)


def box_area_backward(saved: Saved, dA: torch.Tensor) -> tuple[torch.Tensor]:
    (box,) = saved
    return (_area_slope(box, dA),)  # (2) (3)


def intersection_over_union_forward(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """The area that each pair of boxes shares over the area that it covers: from 0 for strangers to 1 for twins.

    Shapes: a (..., n, 4), b (..., m, 4) -> y (..., n, m)
    Forward, with the sides s of the shared part across and down:
        (1) s = max(0, min(a's end, b's end) - max(a's start, b's start))
        (2) I = s_across · s_down, U = area a + area b - I
        (3) y = I / U
    Backward:
        (4) dI = dy · (U + I) / U², darea = -dy · I / U² for both areas
        (5) ds_across = dI · s_down where s_across > 0, and the reverse
        (6) ds goes to the smaller end and, negative, to the larger start, half to each of two equal ones
        (7) the areas hand on their gradient as `box_area` does; sums over m for a, over n for b
    Conventions: boxes that touch share nothing, at that kink the gradient of the shared part is 0; y is 0 and its
        gradient too where both boxes are empty.
    Errors: ValueError if the last axis is not 4 or a box is inside out.
    Example:
        a, b = torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[0.0, 0.0, 2.0, 1.0]])
        intersection_over_union(a, b).tolist() == [[0.5]]
    Asked: gfg-45.2, gfg-45.4
    Source: Everingham et al., The Pascal visual object classes challenge (2010), section 4.2.
    """
    _check_boxes("intersection_over_union", a)
    _check_boxes("intersection_over_union", b)
    require_broadcast("intersection_over_union", a.shape[:-2], b.shape[:-2])
    sides = _shared_sides(a.unsqueeze(-2), b.unsqueeze(-3))  # (1) (..., n, m, 2)
    shared, covered = _overlap(a, b, sides)  # (2) (..., n, m)
    return _ratio(shared, covered), (a, b, sides)  # (3)


def intersection_over_union_backward(saved: Saved, dy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    a, b, sides = saved
    shared, covered = _overlap(a, b, sides)
    dshared = _ratio(dy * (covered + shared), covered.square())  # (4)
    darea = -_ratio(dy * shared, covered.square())
    dsides = torch.where(sides > 0, dshared.unsqueeze(-1) * sides.flip(-1), 0.0)  # (5) (..., n, m, 2)
    slopes = []
    for box, other, axis in ((a.unsqueeze(-2), b.unsqueeze(-3), -2), (b.unsqueeze(-3), a.unsqueeze(-2), -3)):
        start = -dsides * _part(box[..., :2] - other[..., :2])  # (6)
        end = dsides * _part(other[..., 2:] - box[..., 2:])
        slopes.append((torch.cat([start, end], -1) + _area_slope(box, darea)).sum(axis))  # (7)
    return slopes[0].sum_to_size(a.shape), slopes[1].sum_to_size(b.shape)


box_area = Differentiable(box_area_forward, box_area_backward)
intersection_over_union = Differentiable(intersection_over_union_forward, intersection_over_union_backward)


def non_maximum_suppression(boxes: torch.Tensor, scores: torch.Tensor, *, threshold: float = 0.5) -> torch.Tensor:
    """The boxes to keep, best first: each is dropped that covers a better kept one by more than the threshold.

    Shapes: boxes (n, 4), scores (n) -> indices (k)
    (1) in falling order of the scores, keep i unless IoU(i, j) > threshold for a kept j
    Conventions: of equal scores the first box counts as better. Greedy, so on an accelerator it waits for each box.
    Errors: ValueError if the shapes do not fit or the threshold lies outside [0, 1].
    Example:
        boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.1], [5.0, 5.0, 6.0, 6.0]])
        non_maximum_suppression(boxes, torch.tensor([0.5, 0.9, 0.1])).tolist() == [1, 2]
    Asked: gfg-45.4
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
    Example: dice_loss(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0])).item() == 0.0
    Asked: gfg-45.3, gfg-45.5
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


def _area_slope(box: torch.Tensor, darea: torch.Tensor) -> torch.Tensor:
    """Equations (2) and (3) of `box_area`: darea (...) -> dbox (..., 4)."""
    ends = darea.unsqueeze(-1) * (box[..., 2:] - box[..., :2]).flip(-1)
    return torch.cat([-ends, ends], -1)


def _shared_sides(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Width and height of what two boxes share, 0 where they do not meet: (..., 4), (..., 4) -> (..., 2)."""
    return (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp_min(0)


def _overlap(a: torch.Tensor, b: torch.Tensor, sides: torch.Tensor) -> Saved:
    """The areas that each pair of boxes shares and covers: (..., n, m) each."""
    shared = sides.prod(-1)
    return shared, _area(a).unsqueeze(-1) + _area(b).unsqueeze(-2) - shared


def _ratio(part: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
    """part / whole, 0 where the whole is 0."""
    return torch.where(whole > 0, part / torch.where(whole > 0, whole, 1.0), 0.0)


def _part(lead: torch.Tensor) -> torch.Tensor:
    """How much of an extreme's gradient is handed to the one that leads: all if ahead, half at a tie, else nothing."""
    return (lead.sign() + 1) / 2


def _check_boxes(name: str, boxes: torch.Tensor, *, least: int = 2) -> None:
    require_floating(name, boxes=boxes)
    if boxes.dim() < least or boxes.shape[-1] != 4:
        form = "(..., 4)" if least == 1 else "(..., n, 4)"
        raise ValueError(f"{name} got boxes of another shape: {tuple(boxes.shape)}, expected {form}")
    require_values(name, "left <= right and top <= bottom", boxes[..., :2] <= boxes[..., 2:])
