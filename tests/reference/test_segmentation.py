"""Labelling pixels: the head against torch's layers, the loss against its formula, and that a segmenter learns."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from assay.decide import intervals
from assay.evidence import gamma
from reference.boxes import dice_loss
from reference.features import convolution_weights, feature_map
from reference.optimization import adam
from reference.scenes import Scenes, draw_scenes
from reference.segmentation import segmentation_head, segmentation_loss
from tests.reference.protocol import Case, draw

LABELS = torch.randint(3, (2, 4, 5), generator=torch.Generator().manual_seed(0))


def loss(z: torch.Tensor, labels: torch.Tensor, balance: float = 1.0, smooth: float = 1.0) -> torch.Tensor:
    p, y = z.softmax(-3), functional.one_hot(labels, z.shape[-3]).movedim(-1, -3).to(z.dtype)
    pixels = -(y * z.log_softmax(-3)).sum(-3).mean((-2, -1))
    shared, sizes = (p * y).sum((-2, -1)), (p + y).sum((-2, -1))
    return pixels + balance * (1 - (2 * shared + smooth) / (sizes + smooth)).mean(-1)


CASES = {
    "loss": Case(segmentation_loss, (draw(2, 3, 4, 5), LABELS), loss, scale=4),
    "loss, regions above all": Case(
        segmentation_loss, (draw(2, 3, 4, 5), LABELS), loss, {"balance": 3.0, "smooth": 0.1}, scale=8
    ),
}


def test_the_head_is_a_mixture_spread_over_pixels() -> None:
    features, w1, b1 = draw(2, 3, 4, 5), draw(6, 3, 1, 1, seed=1), draw(6, seed=2)
    w2, b2 = draw(6, 2, 4, 4, seed=3), draw(2, seed=4)
    mixed = functional.relu(functional.conv2d(features, w1, b1))
    expected = functional.conv_transpose2d(mixed, w2, b2, stride=2, padding=1)
    found = segmentation_head(features, w1, b1, w2, b2)
    assert found.shape == (2, 2, 8, 10)
    assert float((found - expected).abs().max()) <= gamma(128, torch.float64) * 32


DTYPE = torch.float32


def scores(params: list[torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    return segmentation_head(feature_map(images, params[:6], strides=(1, 2, 1)), *params[6:])


def trained(updates: int, *, blind: bool = False) -> list[torch.Tensor]:
    """A segmenter after so many updates, each on 16 fresh scenes; a blind one gets the masks of other scenes."""
    generator = torch.Generator().manual_seed(0)
    params = convolution_weights((1, 8, 16, 16), generator=generator, dtype=DTYPE)
    params += convolution_weights((16, 8), size=1, generator=generator, dtype=DTYPE)
    spread, b = convolution_weights((8, 3), size=4, generator=generator, dtype=DTYPE)
    params, state = [*params, spread.transpose(0, 1).contiguous(), b], None
    for _ in range(updates):
        scenes = draw_scenes(16, generator=generator, dtype=DTYPE)
        masks = scenes.masks.roll(1, 0) if blind else scenes.masks
        leaves = [p.detach().requires_grad_() for p in params]
        cost = segmentation_loss(scores(leaves, scenes.images), masks).mean()
        params, state = adam(leaves, torch.autograd.grad(cost, leaves), state, lr=1e-2)
        params = [p.detach() for p in params]
    return params


def overlaps(params: list[torch.Tensor], scenes: Scenes) -> torch.Tensor:
    """The Dice coefficient of each scene's objects, of whichever class, with what is labelled so: the mean over both."""
    guess = scores(params, scenes.images).argmax(-3)
    each = [1 - dice_loss(*(masks.eq(k).flatten(1).double() for masks in (guess, scenes.masks))) for k in (1, 2)]
    return torch.stack(each).mean(0)


def test_a_segmenter_learns_to_label_rectangles_and_discs() -> None:
    scenes = draw_scenes(256, generator=torch.Generator().manual_seed(1), dtype=DTYPE)
    low, _ = intervals.bounded_mean(overlaps(trained(200), scenes), (0.0, 1.0), 1e-4)
    _, high = intervals.bounded_mean(overlaps(trained(60, blind=True), scenes), (0.0, 1.0), 1e-4)
    # chance is what the same net learns from masks of other scenes; the interval needs nothing but values in [0, 1]
    assert high < 0.6 < low


def test_no_picture_costs_nothing() -> None:
    assert segmentation_loss(draw(0, 3, 4, 5), LABELS[:0]).shape == (0,)


REFUSED = {
    "odd kernels": (
        lambda: segmentation_head(draw(1, 2, 3, 3), draw(2, 2, 1, 1), draw(2), draw(2, 3, 3, 3), draw(3)),
        "even s",
    ),
    "no kernels": (lambda: segmentation_head(draw(1, 2, 3, 3), draw(2, 2, 1, 1), draw(2), draw(3), draw(3)), "too few"),
    "masks that do not fit": (lambda: segmentation_loss(draw(3, 4, 5), LABELS), "labels that do not fit"),
    "no pixel": (lambda: segmentation_loss(draw(3, 0, 5), LABELS[0, :0]), "at least one pixel"),
    "class that is not there": (lambda: segmentation_loss(draw(2, 3, 4, 5), LABELS + 1), "0 <= label < 3"),
    "negative balance": (lambda: segmentation_loss(draw(2, 3, 4, 5), LABELS, balance=-1.0), "balance >= 0"),
    "no smoothing": (lambda: segmentation_loss(draw(2, 3, 4, 5), LABELS, smooth=0.0), "smooth > 0"),
    "integers": (lambda: segmentation_loss(LABELS, LABELS[0]), "got integers"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
