"""Boxes and masks: against counted pixels, greedy suppression against its definition, Dice against its formula."""

from __future__ import annotations

import pytest
import torch

from assay.evidence import gamma
from reference.boxes import box_area, dice_loss, intersection_over_union, non_maximum_suppression
from tests.reference.protocol import Case, draw


def boxes(n: int, seed: int = 0) -> torch.Tensor:
    """Boxes with whole corners from 0 to 10."""
    corners = torch.randint(11, (n, 2, 2), generator=torch.Generator().manual_seed(seed))
    return torch.cat([corners.amin(1), corners.amax(1)], -1).to(torch.float64)


def pixels(box: torch.Tensor) -> torch.Tensor:
    at = torch.arange(10)
    across, down = ((at >= box[k]) & (at < box[k + 2]) for k in (0, 1))
    return down[:, None] & across


def test_iou_counts_pixels() -> None:
    a, b = boxes(30), boxes(20, seed=1)
    found = intersection_over_union(a, b)
    for i in range(30):
        for j in range(20):
            shared, covered = (pixels(a[i]) & pixels(b[j])).sum(), (pixels(a[i]) | pixels(b[j])).sum()
            expected = float(shared) / max(1, int(covered))
            assert float(found[i, j]) == expected


def test_iou_is_one_for_twins_and_zero_for_neighbours() -> None:
    a = torch.tensor([[0.0, 0.0, 2.0, 3.0], [2.0, 0.0, 4.0, 3.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)
    assert intersection_over_union(a, a).tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7, 1.0])
def test_suppression_keeps_what_no_better_kept_box_covers(threshold: float) -> None:
    a, scores = boxes(40), draw(40, seed=2)
    kept = non_maximum_suppression(a, scores, threshold=threshold)
    overlap = intersection_over_union(a, a) > threshold
    assert bool((scores[kept].diff() <= 0).all())
    assert not bool((overlap[kept][:, kept] & ~torch.eye(len(kept), dtype=torch.bool)).any())
    for i in set(range(40)) - set(kept.tolist()):
        assert any(bool(overlap[i, j]) and float(scores[j]) >= float(scores[i]) for j in kept.tolist())


def test_of_equal_scores_the_first_box_stays() -> None:
    twin = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 3, dtype=torch.float64)
    assert non_maximum_suppression(twin, torch.ones(3)).tolist() == [0]


P, Y = torch.sigmoid(draw(3, 6)), (draw(3, 6, seed=1) > 0).to(torch.float64) * 0.9 + 0.05


def dice(p: torch.Tensor, y: torch.Tensor, smooth: float) -> torch.Tensor:
    return 1 - (2 * (p * y).sum(-1) + smooth) / ((p + y).sum(-1) + smooth)


def crossing(n: int, seed: int) -> torch.Tensor:
    """Boxes whose centres lie near each other, so that most of them overlap."""
    centre, size = draw(n, 2, seed=seed), draw(n, 2, seed=seed + 1).abs() + 1
    return torch.cat([centre - size, centre + size], -1)


def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Strips of each axis, then their products: the measure of an interval as a length of clipped ends."""
    a, b = a.unsqueeze(-2), b.unsqueeze(-3)
    across, down = (
        torch.relu(torch.minimum(a[..., k + 2], b[..., k + 2]) - torch.maximum(a[..., k], b[..., k])) for k in (0, 1)
    )
    sizes = [(box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1]) for box in (a, b)]
    return across * down / (sizes[0] + sizes[1] - across * down)


TWIN = torch.tensor([[0.0, 0.0, 2.0, 4.0]], dtype=torch.float64)
TWINS = TWIN + torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [2.0, 0.0, 2.0, 0.0]], dtype=torch.float64)
CASES = {
    "area": Case(
        box_area, (crossing(4, 8),), lambda a: (a[..., 2] - a[..., 0]) * (a[..., 3] - a[..., 1]), roundings=8, scale=16
    ),
    "overlap": Case(intersection_over_union, (crossing(4, 2), crossing(3, 4)), overlap, scale=16),
    "overlap, twins and neighbours": Case(
        intersection_over_union, (crossing(4, 2), crossing(3, 4)), overlap, scale=16, kinks=(TWIN, TWINS)
    ),
    "overlap, many with one": Case(
        intersection_over_union, (crossing(6, 2).view(2, 3, 4), crossing(1, 5)), overlap, scale=16
    ),
    "dice": Case(dice_loss, (P, Y), dice, {"smooth": 1.0}, scale=2),
    "dice, hardly smoothed": Case(dice_loss, (P, Y), dice, {"smooth": 0.01}, scale=2),
}


def test_twins_pull_equally_and_strangers_not_at_all() -> None:
    twin = torch.tensor([[0.0, 0.0, 2.0, 4.0]], dtype=torch.float64)
    a, b = twin.clone().requires_grad_(), twin.clone().requires_grad_()
    slopes = torch.autograd.grad(intersection_over_union(a, b).sum(), (a, b))
    # at the top of a ridge the two one-sided slopes, 1/side and -1/side, have the mean 0
    assert all(not bool(slope.any()) for slope in slopes)
    far, touching = twin + 10, twin + torch.tensor([2.0, 0.0, 2.0, 0.0])
    for stranger in (far, touching):
        slopes = torch.autograd.grad(intersection_over_union(a, stranger).sum(), a)
        assert not bool(slopes[0].any())


def test_ascent_on_the_overlap_finds_the_box() -> None:
    goal = torch.tensor([[1.0, 2.0, 4.0, 5.0]], dtype=torch.float64)
    box = torch.tensor([[0.0, 0.0, 3.0, 4.0]], dtype=torch.float64)
    before = float(intersection_over_union(box, goal))
    for _ in range(200):
        box = box + 0.1 * torch.func.grad(lambda b: intersection_over_union(b, goal).sum())(box)
    # no slope exceeds 1/side (2/3 with margin), so each of four ends stays within a step, 0.1 · 2/3, of its ridge
    assert before < 0.3
    assert float(intersection_over_union(box, goal)) > 1 - 4 * (0.1 * 2 / 3) / 3


def test_dice_is_zero_for_the_right_mask_and_for_two_empty_ones() -> None:
    mask = (Y > 0.5).to(torch.float64)
    assert float(dice_loss(mask, mask).abs().max()) <= gamma(4, torch.float64)
    assert float(dice_loss(0 * mask, 0 * mask).abs().max()) == 0.0


REFUSED = {
    "boxes of another shape": (lambda: intersection_over_union(draw(3, 5), boxes(3)), "another shape"),
    "no box": (lambda: box_area(draw(3)), "another shape"),
    "box inside out": (lambda: intersection_over_union(-boxes(3), boxes(3)), "left <= right"),
    "scores that do not fit": (lambda: non_maximum_suppression(boxes(3), draw(4)), "scores that do not fit"),
    "threshold above one": (lambda: non_maximum_suppression(boxes(3), draw(3), threshold=2.0), "out of range: 2.0"),
    "masks that differ": (lambda: dice_loss(P, Y[:, :3]), "masks that differ"),
    "no smoothing": (lambda: dice_loss(P, Y, smooth=0.0), "smooth > 0"),
    "no probability": (lambda: dice_loss(2 * P, Y), "0 <= value <= 1"),
    "integer boxes": (lambda: intersection_over_union(boxes(3).long(), boxes(3)), "got integers"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
