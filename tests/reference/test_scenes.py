"""Synthetic pictures: bars and stripes by their definition, scenes pixel by pixel."""

from __future__ import annotations

import itertools

import pytest
import torch

from reference import scenes as ours


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_bars_and_stripes_are_all_of_them_once(side: int) -> None:
    found = {tuple(row) for row in ours.bars_and_stripes(side).tolist()}
    rows = list(itertools.product([0.0, 1.0], repeat=side))
    bars = {tuple(pixel for pixel in row for _ in range(side)) for row in rows}
    stripes = {row * side for row in rows}
    assert found == bars | stripes
    assert len(ours.bars_and_stripes(side)) == len(found)


SCENES = ours.draw_scenes(200, size=16, objects=3, noise=0.0, generator=torch.Generator().manual_seed(0))


def test_boxes_fit_their_objects_and_masks_show_them() -> None:
    for image, boxes, labels, mask in zip(SCENES.images, SCENES.boxes, SCENES.labels, SCENES.masks, strict=True):
        assert torch.equal(image[0] > 0, mask > 0)
        covered = torch.zeros(16, 16, dtype=torch.bool)
        for (left, top, right, bottom), label in zip(boxes.long().tolist(), labels.tolist(), strict=True):
            part = mask[top:bottom, left:right]
            assert set(part.flatten().tolist()) <= {0, label}
            assert all(bool(part.any(axis).all()) for axis in (0, 1))  # no row and no column is to spare
            assert bool(part.all()) == (label == 1)  # a disc leaves its corners free
            assert label == 1 or (right - left == bottom - top and torch.equal(part, part.mT))
            covered[top:bottom, left:right] = True
        assert not bool(mask[~covered].any())


def test_objects_lie_in_quarters_of_their_own() -> None:
    quarter = (SCENES.boxes[..., :2] >= 8).long() @ torch.tensor([1, 2])
    assert torch.equal(quarter, (SCENES.boxes[..., 2:] > 8).long() @ torch.tensor([1, 2]))
    assert all(len(set(row)) == 3 for row in quarter.tolist())


def test_noise_is_added_with_its_size() -> None:
    noisy = ours.draw_scenes(200, size=16, objects=3, noise=0.5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(noisy.masks, SCENES.masks)
    grain = noisy.images - SCENES.images
    n = grain.numel()
    # relative standard errors sqrt(1/2n) of a standard deviation; five of them
    assert float(grain.std()) == pytest.approx(0.5, rel=5 / (2 * n) ** 0.5)


REFUSED = {
    "too long a side": (lambda: ours.bars_and_stripes(9), "1 to 8"),
    "odd size": (lambda: ours.draw_scenes(1, size=13, generator=torch.Generator()), "size 13"),
    "small size": (lambda: ours.draw_scenes(1, size=8, generator=torch.Generator()), "at least 10"),
    "too many objects": (lambda: ours.draw_scenes(1, objects=5, generator=torch.Generator()), "objects 5"),
    "negative noise": (lambda: ours.draw_scenes(1, noise=-0.1, generator=torch.Generator()), "noise -0.1"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
