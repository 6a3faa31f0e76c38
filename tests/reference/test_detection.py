"""Finding objects: offsets against anchors, the loss against torch's, the assignment by loops, and that a detector learns."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from assay.decide import intervals
from assay.evidence import gamma
from reference import detection as ours
from reference.boxes import intersection_over_union
from reference.features import convolution_weights, feature_map
from reference.optimization import adam
from reference.scenes import Scenes, draw_scenes
from tests.reference.protocol import Case, draw


def boxes(*shape: int, seed: int = 0) -> torch.Tensor:
    """Boxes around points near the origin, with sides from 1 upwards."""
    middle, half = draw(*shape, 2, seed=seed), draw(*shape, 2, seed=seed + 1).abs() / 2 + 0.5
    return torch.cat([middle - half, middle + half], -1)


def encoded(box: torch.Tensor, anchor: torch.Tensor) -> torch.Tensor:
    (l, t, r, b), (al, at, ar, ab) = box.unbind(-1), anchor.unbind(-1)
    wide, high = ar - al, ab - at
    shifts = [((l + r) - (al + ar)) / (2 * wide), ((t + b) - (at + ab)) / (2 * high)]
    return torch.stack(torch.broadcast_tensors(*shifts, (r - l).log() - wide.log(), (b - t).log() - high.log()), -1)


def decoded(t: torch.Tensor, anchor: torch.Tensor) -> torch.Tensor:
    al, at, ar, ab = anchor.unbind(-1)
    wide, high = ar - al, ab - at
    x, y = al + wide * (t[..., 0] + 0.5), at + high * (t[..., 1] + 0.5)
    w, h = wide * t[..., 2].exp() / 2, high * t[..., 3].exp() / 2
    return torch.stack([x - w, y - h, x + w, y + h], -1)


LABELS = torch.tensor([[0, 2, 1, 0, 2], [0, 0, 0, 0, 0]])


def loss(
    offsets: torch.Tensor, scores: torch.Tensor, targets: torch.Tensor, labels: torch.Tensor, balance: float = 1.0
) -> torch.Tensor:
    each = []
    for o, s, t, l in zip(offsets, scores, targets, labels, strict=True):
        held = l > 0
        places = functional.smooth_l1_loss(o[held], t[held], reduction="sum") / max(1, int(held.sum()))
        each.append(functional.cross_entropy(s, l) + balance * places)
    return torch.stack(each)


ANSWERS = (2 * draw(2, 5, 4, seed=3), draw(2, 5, 3, seed=4), draw(2, 5, 4, seed=5), LABELS)
CASES = {
    "encode": Case(ours.encode_boxes, (boxes(5), boxes(5, seed=2)), encoded, scale=8),
    "encode, many against one": Case(ours.encode_boxes, (boxes(2, 3), boxes(1, seed=2)), encoded, scale=8),
    "decode": Case(ours.decode_boxes, (draw(5, 4), boxes(5, seed=2)), decoded, scale=32),
    "decode, one against many": Case(ours.decode_boxes, (draw(1, 4), boxes(2, 3, seed=2)), decoded, scale=32),
    "smooth L1": Case(
        ours.smooth_l1, (2 * draw(4, 3), draw(3, seed=1)),
        lambda a, b, beta: functional.smooth_l1_loss(*torch.broadcast_tensors(a, b), reduction="none", beta=beta),
        {"beta": 0.7}, scale=8,
    ),
    "loss": Case(ours.detection_loss, ANSWERS, loss, scale=32),
    "loss, classes above all": Case(ours.detection_loss, ANSWERS, loss, {"balance": 0.1}, scale=32),
}  # fmt: skip


def test_decoding_undoes_encoding() -> None:
    box, anchor = boxes(50), boxes(50, seed=2)
    back = ours.decode_boxes(ours.encode_boxes(box, anchor), anchor)
    assert float((back - box).abs().max()) <= gamma(32, torch.float64) * 8  # corners below 8


def test_anchors_stand_in_the_middle_of_their_cells() -> None:
    found = ours.anchor_boxes(2, 3, stride=4, sides=(2.0, 6.0), like=draw(1))
    expected = [[x - h, y - h, x + h, y + h] for y in (2.0, 6.0) for x in (2.0, 6.0, 10.0) for h in (1.0, 3.0)]
    assert found.tolist() == expected


@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_anchors_stand_for_what_they_cover_best(threshold: float) -> None:
    scenes = draw_scenes(20, generator=torch.Generator().manual_seed(0))
    anchors = ours.anchor_boxes(4, 4, stride=4, sides=(5.5,), like=scenes.images)
    targets, labels = ours.assign_anchors(anchors, scenes.boxes, scenes.labels, threshold=threshold)
    for i in range(20):
        overlap = intersection_over_union(anchors, scenes.boxes[i])
        stands = {m: int(row.argmax()) for m, row in enumerate(overlap) if float(row.max()) >= threshold}
        stands |= {int(overlap[:, k].argmax()): k for k in range(2)}
        assert labels[i].tolist() == [int(scenes.labels[i, stands[m]]) if m in stands else 0 for m in range(16)]
        for m, k in stands.items():
            assert torch.equal(targets[i, m], ours.encode_boxes(scenes.boxes[i, k], anchors[m]))
        assert not bool(targets[i][labels[i] == 0].any())


def test_the_head_answers_in_the_order_of_the_anchors() -> None:
    features, w, b = draw(2, 3, 4, 5), draw(2 * 7, 3, 1, 1, seed=1), draw(2 * 7, seed=2)
    offsets, scores = ours.detector_head(features, w, b, classes=3)
    assert (offsets.shape, scores.shape) == ((2, 40, 4), (2, 40, 3))
    row, column, kind = 2, 3, 1
    here = features[1, :, row, column] @ w[7:, :, 0, 0].T + b[7:]
    at = (row * 5 + column) * 2 + kind
    found = torch.cat([offsets[1, at], scores[1, at]])
    assert float((found - here).abs().max()) <= gamma(16, torch.float64) * 16


def test_the_surest_of_overlapping_answers_is_given() -> None:
    anchors = ours.anchor_boxes(1, 3, stride=1.0, sides=(2.0,), like=draw(1))
    scores = torch.tensor([[0.0, 5.0, 0.0], [0.0, 0.0, 9.0], [9.0, 0.0, 0.0]], dtype=torch.float64)
    found, label, sure = ours.detections(torch.zeros(3, 4, dtype=torch.float64), scores, anchors, threshold=0.3)
    assert found.tolist() == [anchors[1].tolist()]  # the first overlaps it by a third, the last says ground
    assert label.tolist() == [2]
    assert float(sure) == pytest.approx(1 / (1 + 2 * math.exp(-9)), rel=1e-12)
    assert [len(t) for t in ours.detections(draw(3, 4), -scores[:1].expand(3, 3), anchors, least=0.9)] == [0, 0, 0]


STRIDES = (1, 2, 2, 1)
DTYPE = torch.float32


def answers(params: list[torch.Tensor], images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    features = feature_map(images, params[:-2], strides=STRIDES)
    return ours.detector_head(features, params[-2], params[-1], classes=3)


def trained(updates: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """A detector after so many updates, each on 32 fresh scenes; and its anchors."""
    generator = torch.Generator().manual_seed(0)
    params = convolution_weights((1, 8, 16, 16, 24), generator=generator, dtype=DTYPE)
    params += convolution_weights((24, 7), size=1, generator=generator, dtype=DTYPE)
    anchors, state = ours.anchor_boxes(4, 4, stride=4, sides=(5.5,), like=params[0]), None
    for _ in range(updates):
        scenes = draw_scenes(32, generator=generator, dtype=DTYPE)
        leaves = [p.detach().requires_grad_() for p in params]
        targets, labels = ours.assign_anchors(anchors, scenes.boxes, scenes.labels)
        cost = ours.detection_loss(*answers(leaves, scenes.images), targets, labels).mean()
        params, state = adam(leaves, torch.autograd.grad(cost, leaves), state, lr=1e-2)
        params = [p.detach() for p in params]
    return params, anchors


def counted(params: list[torch.Tensor], anchors: torch.Tensor, scenes: Scenes) -> tuple[int, int]:
    """How many objects are found (half of their area and the right class), and how many answers are given."""
    found = given = 0
    for offsets, scores, box, label in zip(*answers(params, scenes.images), scenes.boxes, scenes.labels, strict=True):
        guess, kind, _ = ours.detections(offsets, scores, anchors)
        right = (intersection_over_union(box, guess) >= 0.5) & (label.unsqueeze(-1) == kind)
        found, given = found + int(right.any(-1).sum()), given + len(guess)
    return found, given


def test_a_detector_learns_to_find_rectangles_and_discs() -> None:
    scenes = draw_scenes(128, generator=torch.Generator().manual_seed(1), dtype=DTYPE)
    params, anchors = trained(300)
    found, given = counted(params, anchors, scenes)
    # chance: an answer with no look at the picture is in a right cell 2 times in 16, and has its class half of the time
    assert intervals.proportion(found, 256, 1e-4)[0] > 0.5
    assert intervals.proportion(found, given, 1e-4)[0] > 0.5
    untaught, given = counted(trained(0)[0], anchors, scenes)
    assert intervals.proportion(untaught, 256, 1e-4)[1] < 0.5


def test_replicas_learn_side_by_side() -> None:
    """Body, head, loss and backward under torch.func.vmap: each replica gets the gradient that it gets alone."""
    scenes, generator = draw_scenes(3, generator=torch.Generator().manual_seed(1)), torch.Generator().manual_seed(0)
    nets = [
        convolution_weights((1, 4, 4, 4, 4), generator=generator)
        + convolution_weights((4, 7), size=1, generator=generator)
        for _ in range(2)
    ]
    anchors = ours.anchor_boxes(4, 4, stride=4, sides=(5.5,), like=scenes.images)
    targets, labels = ours.assign_anchors(anchors, scenes.boxes, scenes.labels)

    def cost(params: list[torch.Tensor]) -> torch.Tensor:
        return ours.detection_loss(*answers(params, scenes.images), targets, labels).mean()

    slopes = torch.func.vmap(torch.func.grad(cost))([torch.stack(both) for both in zip(*nets, strict=True)])
    for k, net in enumerate(nets):
        for together, alone in zip(slopes, torch.func.grad(cost)(net), strict=True):
            # sums of at most 3 · 256 · 36 terms through five layers, no entry above a hundred
            assert float((together[k] - alone).abs().max()) <= gamma(5 * 3 * 256 * 36, torch.float64) * 100


SHAPES = (draw(2, 5, 4), draw(2, 5, 3), draw(2, 5, 4))
REFUSED = {
    "no box": (lambda: ours.encode_boxes(draw(3), boxes(3)), "another shape"),
    "empty anchor": (lambda: ours.decode_boxes(draw(4), torch.zeros(4).double()), "positive sides"),
    "boxes that do not fit": (lambda: ours.encode_boxes(boxes(3), boxes(2)), "do not fit"),
    "no cell": (lambda: ours.anchor_boxes(0, 1, stride=1.0, sides=(1.0,), like=draw(1)), "0 rows"),
    "no side": (lambda: ours.anchor_boxes(1, 1, stride=1.0, sides=(), like=draw(1)), r"sides \(\)"),
    "no beta": (lambda: ours.smooth_l1(draw(3), draw(3), beta=0.0), "beta > 0"),
    "labels that do not fit": (lambda: ours.detection_loss(*SHAPES, LABELS[:1]), "do not fit"),
    "class that is not there": (lambda: ours.detection_loss(*SHAPES, LABELS + 2), "0 <= label < 3"),
    "negative balance": (lambda: ours.detection_loss(*SHAPES, LABELS, balance=-1.0), "balance >= 0"),
    "kernels that do not fit": (
        lambda: ours.detector_head(draw(1, 2, 3, 3), draw(6, 2, 1, 1), draw(6), classes=3),
        "6",
    ),
    "labels of other boxes": (lambda: ours.assign_anchors(boxes(3), boxes(2, 4), LABELS), "labels that do not fit"),
    "nothing to assign": (lambda: ours.assign_anchors(boxes(3), boxes(2, 0), LABELS[:, :0]), "empty axis"),
    "integers": (lambda: ours.smooth_l1(LABELS, LABELS), "got integers"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
