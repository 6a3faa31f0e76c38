"""Finding objects: anchors on a grid, offsets of boxes against them, a head that predicts both, its loss, its answer.

n counts boxes, m anchors, k objects on a picture, c classes; class 0 is the ground on which nothing is.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from reference.activations import softmax
from reference.boxes import intersection_over_union, non_maximum_suppression
from reference.checks import require_axis, require_broadcast, require_floating, require_values
from reference.convolution import conv2d
from reference.differentiable import Differentiable
from reference.losses import cross_entropy_backward, cross_entropy_forward

Saved = tuple[torch.Tensor, ...]

__all__ = [
    "anchor_boxes", "assign_anchors", "decode_boxes", "detection_loss", "detections", "detector_head", "encode_boxes",
    "smooth_l1",
]  # fmt: skip


def anchor_boxes(rows: int, columns: int, *, stride: float, sides: Sequence[float], like: torch.Tensor) -> torch.Tensor:
    """Square boxes around the middle of each cell of a grid, one for each side.

    Shapes: rows, columns, a sides -> anchors (rows · columns · a, 4)
    (1) the middle of cell (i, j) is ((j + ½) · stride, (i + ½) · stride); sides vary fastest, then columns, then rows
    Errors: ValueError if the grid is empty, there is no side, or stride or a side is not positive.
    Example: anchor_boxes(1, 1, stride=4.0, sides=[2.0], like=torch.zeros(1)).tolist() == [[1.0, 1.0, 3.0, 3.0]]
    Asked: gfg-45.4
    Source: Ren, He, Girshick, Sun, Faster R-CNN (2015), section 3.1.
    """
    if rows < 1 or columns < 1 or not sides or not min(stride, *sides) > 0:
        raise ValueError(
            f"anchor_boxes got a grid out of range: {rows} rows, {columns} columns, stride {stride}, sides {sides}, "
            "expected at least one of each, all positive"
        )
    down, across = ((torch.arange(k, device=like.device, dtype=like.dtype) + 0.5) * stride for k in (rows, columns))
    middle = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1).view(-1, 1, 2)  # (1)
    half = torch.tensor(list(sides), device=like.device, dtype=like.dtype).view(1, -1, 1) / 2
    return torch.cat([middle - half, middle + half], -1).view(-1, 4)


def encode_boxes_forward(boxes: torch.Tensor, anchors: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """Where boxes lie as seen from their anchors: shifts in units of the anchor's sides and logarithms of sizes.

    Shapes: boxes (..., 4), anchors (..., 4) -> t (..., 4), along the last axis (across, down, width, height)
    Forward, with middle c and sides s of the box, c' and s' of the anchor:
        (1) t_shift = (c - c') / s'
        (2) t_size = log(s / s')
    Backward:
        (3) dc = dt_shift / s' = -dc'
        (4) ds = dt_size / s, ds' = -(dt_shift · t_shift + dt_size) / s'
        (5) an end gets dc/2 + ds, a start dc/2 - ds
    Conventions: an empty box has a logarithm of minus infinity; leading axes broadcast.
    Errors: ValueError if the last axis is not 4 or an anchor is empty.
    Example:
        anchor = torch.tensor([0.0, 0.0, 2.0, 2.0])
        encode_boxes(anchor + 1, anchor).tolist() == [0.5, 0.5, 0.0, 0.0]
    Asked: gfg-45.4
    Source: Girshick, Donahue, Darrell, Malik, Rich feature hierarchies (2014), appendix C.
    """
    _check_pairs("encode_boxes", boxes, anchors)
    (c, s), (c0, s0) = _middle_and_sides(boxes), _middle_and_sides(anchors)
    return torch.cat([(c - c0) / s0, (s / s0).log()], -1), (boxes, anchors)  # (1) (2)


def encode_boxes_backward(saved: Saved, dt: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    boxes, anchors = saved
    (c, s), (c0, s0) = _middle_and_sides(boxes), _middle_and_sides(anchors)
    dshift, dsize = dt[..., :2], dt[..., 2:]
    dc = dshift / s0  # (3)
    ds, ds0 = dsize / s, -(dshift * (c - c0) / s0 + dsize) / s0  # (4)
    return _ends(dc, ds).sum_to_size(boxes.shape), _ends(-dc, ds0).sum_to_size(anchors.shape)


def decode_boxes_forward(t: torch.Tensor, anchors: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """The boxes that offsets against anchors mean: the inverse of `encode_boxes`.

    Shapes: t (..., 4), anchors (..., 4) -> boxes (..., 4)
    Forward, with middle c' and sides s' of the anchor:
        (1) c = c' + s' · t_shift, s = s' · exp(t_size)
        (2) start = c - s / 2, end = c + s / 2
    Backward:
        (3) dc = dstart + dend, ds = (dend - dstart) / 2
        (4) dt_shift = dc · s', dt_size = ds · s
        (5) dc' = dc, ds' = dc · t_shift + ds · exp(t_size), handed on to the anchor's corners as in `encode_boxes`
    Conventions: every offset gives a box that is no way inside out; leading axes broadcast.
    Errors: ValueError if the last axis is not 4 or an anchor is empty.
    Example: decode_boxes(torch.zeros(4), torch.tensor([0.0, 0.0, 2.0, 2.0])).tolist() == [0.0, 0.0, 2.0, 2.0]
    Asked: gfg-45.4
    Source: Girshick, Donahue, Darrell, Malik, Rich feature hierarchies (2014), appendix C.
    """
    _check_pairs("decode_boxes", t, anchors)
    c0, s0 = _middle_and_sides(anchors)
    c, s = c0 + s0 * t[..., :2], s0 * t[..., 2:].exp()  # (1)
    return torch.cat([c - s / 2, c + s / 2], -1), (t, anchors)  # (2)


def decode_boxes_backward(saved: Saved, dboxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    t, anchors = saved
    (_, s0), growth = _middle_and_sides(anchors), t[..., 2:].exp()
    dc, ds = dboxes[..., :2] + dboxes[..., 2:], (dboxes[..., 2:] - dboxes[..., :2]) / 2  # (3)
    dt = torch.cat([dc * s0, ds * s0 * growth], -1)  # (4)
    danchors = _ends(dc, dc * t[..., :2] + ds * growth)  # (5)
    return dt.sum_to_size(t.shape), danchors.sum_to_size(anchors.shape)


def smooth_l1_forward(y_hat: torch.Tensor, y: torch.Tensor, *, beta: float = 1.0) -> tuple[torch.Tensor, Saved]:
    """An error that counts by its square while small and by its size when large.

    Shapes: y_hat (...), y (...) -> L (...)
    Forward, with r = y_hat - y:
        (1) L = r² / (2 · beta) where |r| < beta, else |r| - beta / 2
    Backward:
        (2) dy_hat = dL · r / beta, held between -dL and dL; dy = -dy_hat
    Conventions: its slope is continuous; y_hat and y broadcast.
    Errors: ValueError if the shapes do not broadcast or beta is not positive.
    Example: smooth_l1(torch.tensor([0.5, 3.0]), torch.zeros(2)).tolist() == [0.125, 2.5]
    Asked: none
    Source: Girshick, Fast R-CNN (2015), equation 3.
    """
    require_floating("smooth_l1", y_hat=y_hat, y=y)
    require_broadcast("smooth_l1", y_hat.shape, y.shape)
    if not beta > 0:
        raise ValueError(f"smooth_l1 got beta out of range: {beta}, expected beta > 0")
    r = y_hat - y
    return torch.where(r.abs() < beta, r.square() / (2 * beta), r.abs() - beta / 2), (y_hat, y)  # (1)


def smooth_l1_backward(saved: Saved, dL: torch.Tensor, *, beta: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    y_hat, y = saved
    slope = dL * ((y_hat - y) / beta).clamp(-1, 1)  # (2)
    return slope.sum_to_size(y_hat.shape), -slope.sum_to_size(y.shape)


def detection_loss_forward(
    offsets: torch.Tensor, scores: torch.Tensor, targets: torch.Tensor, labels: torch.Tensor, *, balance: float = 1.0
) -> tuple[torch.Tensor, Saved]:
    """What a detector's answer costs: wrong classes on all anchors, wrong offsets on those that hold an object.

    Shapes: offsets (..., m, 4), scores (..., m, c), targets (..., m, 4), labels (..., m) -> L (...)
    Forward, P being the number of anchors with a label above 0, at least 1:
        (1) classes = mean over the m anchors of the cross-entropy of the scores
        (2) places = Σ smooth_l1(offsets, targets) / P over the anchors with a label above 0
        (3) L = classes + balance · places
    Backward:
        (4) dscores = dL / m · (softmax(scores) - one-hot(label))
        (5) doffsets = balance · dL / P · (offsets - targets held between -1 and 1) where the label is above 0, else 0;
            dtargets = -doffsets
    Conventions: class 0 is the ground; labels get no gradient.
    Units: nats for the classes.
    Errors: ValueError if the shapes do not fit, a label has no class or balance is negative.
    Example:
        offsets, scores, labels = torch.zeros(1, 4), torch.tensor([[0.0, 1000.0]]), torch.tensor([1])
        detection_loss(offsets, scores, offsets, labels).item() == 0.0
    Asked: gfg-45.2, gfg-45.4, gfg-45.6
    Source: Ren, He, Girshick, Sun, Faster R-CNN (2015), equation 1.
    """
    _check_loss(offsets, scores, targets, labels, balance)
    classes, (q, _) = cross_entropy_forward(scores, labels)  # (..., m)
    places, _ = smooth_l1_forward(offsets, targets)  # (..., m, 4)
    share = _object_share(labels, offsets)
    total = classes.mean(-1) + balance * (share * places).sum((-2, -1))  # (1) (2) (3)
    return total, (offsets, targets, q, labels)


def detection_loss_backward(
    saved: Saved, dL: torch.Tensor, *, balance: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, None]:
    offsets, targets, q, labels = saved
    each = (dL / labels.shape[-1]).unsqueeze(-1).expand(labels.shape)
    dscores, _ = cross_entropy_backward((q, labels), each)  # (4)
    dplaces = balance * dL[..., None, None] * _object_share(labels, offsets)
    doffsets, dtargets = smooth_l1_backward((offsets, targets), dplaces.expand(offsets.shape))  # (5)
    return doffsets, dscores, dtargets, None


encode_boxes = Differentiable(encode_boxes_forward, encode_boxes_backward)
decode_boxes = Differentiable(decode_boxes_forward, decode_boxes_backward)
smooth_l1 = Differentiable(smooth_l1_forward, smooth_l1_backward)
detection_loss = Differentiable(detection_loss_forward, detection_loss_backward)


def assign_anchors(
    anchors: torch.Tensor, boxes: torch.Tensor, labels: torch.Tensor, *, threshold: float = 0.5
) -> tuple[torch.Tensor, torch.Tensor]:
    """What each anchor should answer: the offsets and the class of the object that it stands for.

    Shapes: anchors (m, 4), boxes (..., k, 4), labels (..., k) -> targets (..., m, 4), labels (..., m)
    (1) an anchor stands for the box that it overlaps most, if the overlap reaches the threshold
    (2) the anchor that overlaps a box most stands for this box, whatever the overlap
    (3) label 0 and offsets 0 for anchors that stand for none
    Errors: ValueError if the shapes do not fit or there is no box.
    Example:
        anchors = torch.tensor([[0.0, 0.0, 2.0, 2.0], [8.0, 8.0, 9.0, 9.0]])
        assign_anchors(anchors, anchors[:1], torch.tensor([1]))[1].tolist() == [1, 0]
    Asked: gfg-45.2, gfg-45.4
    Source: Ren, He, Girshick, Sun, Faster R-CNN (2015), section 3.1.2.
    """
    require_axis("assign_anchors", boxes, -2)
    if labels.shape != boxes.shape[:-1]:
        raise ValueError(
            f"assign_anchors got labels that do not fit: {tuple(labels.shape)}, expected {tuple(boxes.shape[:-1])}"
        )
    overlap = intersection_over_union(anchors, boxes)  # (..., m, k)
    best, which = overlap.max(-1)  # (1) (..., m)
    places = torch.arange(len(anchors), device=boxes.device).unsqueeze(-1)
    chief = overlap.argmax(-2).unsqueeze(-2) == places  # (2) (..., m, k)
    which = torch.where(chief.any(-1), chief.to(torch.uint8).argmax(-1), which)
    stands = (best >= threshold) | chief.any(-1)
    chosen = boxes.gather(-2, which.unsqueeze(-1).expand(*which.shape, 4))
    targets = torch.where(stands.unsqueeze(-1), encode_boxes(chosen, anchors), 0.0)  # (3)
    return targets, torch.where(stands, labels.gather(-1, which), 0)


def detector_head(
    features: torch.Tensor, w: torch.Tensor, b: torch.Tensor, *, classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Offsets and class scores for every anchor, from a map of features by a convolution of kernel 1.

    Shapes: features (..., f, rows, columns), w (a · (4 + c), f, 1, 1), b (a · (4 + c)) -> offsets (..., m, 4), scores
        (..., m, c), with a anchors in each cell and m = rows · columns · a, in the order of `anchor_boxes`
    (1) y = conv2d(features, w, b), whose channels answer for the anchors of a cell one after the other
    (2) of each anchor's 4 + c answers the first 4 are offsets, the others scores
    Errors: ValueError if the rows of w are not a multiple of 4 + classes.
    Example:
        features, w, b = torch.ones(1, 2, 2), torch.zeros(6, 1, 1, 1), torch.zeros(6)
        [tuple(answer.shape) for answer in detector_head(features, w, b, classes=2)] == [(4, 4), (4, 2)]
    Asked: gfg-45.2, gfg-45.4, gfg-45.6, gfg-45.7, ib-2.5
    Source: Ren, He, Girshick, Sun, Faster R-CNN (2015), section 3.1.
    """
    if classes < 2 or w.shape[0] == 0 or w.shape[0] % (4 + classes):
        raise ValueError(
            f"detector_head got kernels that do not fit: {w.shape[0]}, expected a multiple of 4 + {classes} classes, "
            "the ground being one of at least two"
        )
    answers = conv2d(features, w, b).flatten(-2).mT  # (1) (..., cells, a · (4 + c))
    each = answers.reshape(*answers.shape[:-2], -1, 4 + classes)  # (..., m, 4 + c)
    return each[..., :4], each[..., 4:]  # (2)


def detections(
    offsets: torch.Tensor, scores: torch.Tensor, anchors: torch.Tensor, *, least: float = 0.5, threshold: float = 0.3
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What a detector has found on one picture, surest first: boxes (j, 4), their classes (j), their probabilities (j).

    Shapes: offsets (m, 4), scores (m, c), anchors (m, 4)
    (1) an anchor speaks up where the likeliest class other than the ground has a probability of at least `least`
    (2) of boxes that overlap by more than the threshold the surest stays, whatever the classes
    Example:
        offsets, scores, anchors = torch.zeros(1, 4), torch.tensor([[0.0, 1000.0]]), torch.tensor([[0.0, 0.0, 2.0, 2.0]])
        [found.tolist() for found in detections(offsets, scores, anchors)] == [[[0.0, 0.0, 2.0, 2.0]], [1], [1.0]]
    Asked: gfg-45.2, gfg-45.4, ib-2.5
    Source: Girshick, Donahue, Darrell, Malik, Rich feature hierarchies (2014), section 2.2.
    """
    sure, label = softmax(scores)[:, 1:].max(-1)  # (m)
    speaks = sure >= least  # (1)
    boxes, sure, label = decode_boxes(offsets[speaks], anchors[speaks]), sure[speaks], label[speaks] + 1
    kept = non_maximum_suppression(boxes, sure, threshold=threshold)  # (2)
    return boxes[kept], label[kept], sure[kept]


def _middle_and_sides(box: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return (box[..., :2] + box[..., 2:]) / 2, box[..., 2:] - box[..., :2]


def _ends(dc: torch.Tensor, ds: torch.Tensor) -> torch.Tensor:
    """Equation (5) of `encode_boxes`: the gradient by middle and sides as one by the corners."""
    return torch.cat([dc / 2 - ds, dc / 2 + ds], -1)  # (5)


def _object_share(labels: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """1 / P for anchors that hold one of P objects, 0 for the others: (..., m, 1)."""
    holds = (labels > 0).to(offsets.dtype)
    return (holds / holds.sum(-1, keepdim=True).clamp_min(1)).unsqueeze(-1)


def _check_pairs(name: str, boxes: torch.Tensor, anchors: torch.Tensor) -> None:
    require_floating(name, boxes=boxes, anchors=anchors)
    if not boxes.dim() or not anchors.dim() or boxes.shape[-1] != 4 or anchors.shape[-1] != 4:
        raise ValueError(
            f"{name} got boxes of another shape: {tuple(boxes.shape)} and {tuple(anchors.shape)}, expected (..., 4)"
        )
    require_broadcast(name, boxes.shape, anchors.shape)
    require_values(name, "anchors of positive sides", anchors[..., :2] < anchors[..., 2:])


def _check_loss(
    offsets: torch.Tensor, scores: torch.Tensor, targets: torch.Tensor, labels: torch.Tensor, balance: float
) -> None:
    require_floating("detection_loss", offsets=offsets, scores=scores, targets=targets)
    if offsets.shape != targets.shape or offsets.shape != (*labels.shape, 4) or scores.shape[:-1] != labels.shape:
        shapes = ", ".join(str(tuple(t.shape)) for t in (offsets, scores, targets, labels))
        raise ValueError(
            f"detection_loss got shapes that do not fit: {shapes}, expected (..., m, 4), (..., m, c), (..., m, 4), (..., m)"
        )
    require_axis("detection_loss", labels, -1)
    if not balance >= 0:
        raise ValueError(f"detection_loss got balance out of range: {balance}, expected balance >= 0")
