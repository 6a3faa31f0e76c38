"""Convolution as a dense layer of shared weights, dense layers as convolutions, and networks of both."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, at_most, close, equal
from assay.sabotage import instead, scaled
from assay.strategies import sizes


def tied_matrix(w: torch.Tensor, n: int) -> torch.Tensor:
    """The matrix ((n - K + 1)², n²) whose row (i, j) holds the kernel w (K, K) in the window that begins at (i, j)."""
    K = w.shape[0]
    rows = torch.zeros(n - K + 1, n - K + 1, n, n, dtype=w.dtype, device=w.device)
    for i in range(n - K + 1):
        for j in range(n - K + 1):
            rows[i, j, i : i + K, j : j + K] = w
    return rows.flatten(2).flatten(0, 1)


def untied_matrix(w: torch.Tensor, n: int) -> torch.Tensor:
    """The same, but for one weight that goes its own way."""
    rows = tied_matrix(w, n)
    rows[-1, -1] *= 1.5
    return rows


@claim(
    "ib-7.10",
    "A convolution layer stands where a perceptron has full connection: a dense layer whose few weights are shared.",
    needs=["conv2d", "dense"],
    given={"n": sizes(4, 7), "K": sizes(2, 4)},
    setting={"matrix": tied_matrix},
    expect=HOLDS,
    sabotage={
        "unties one weight": {"matrix": instead(untied_matrix)},
        "turns the kernel": {"conv2d": lambda sound: lambda x, w: sound(x, w.mT)},
    },
)
def a_convolution_is_a_dense_layer_of_shared_weights(lib: Any, trial: Trial, n: int, K: int, matrix: Any) -> Evidence:
    """Reading: the layer equals a dense layer on the n² pixels, whose matrix has K² entries a row that are not zero and
    K² different ones in all: 9 instead of 576 for 3x3 on 6 x 6.
    Why: row (i, j) holds the kernel at the place of its window, and zeros elsewhere."""
    x, w = trial.normal(1, n, n, stream="x"), trial.normal(1, 1, K, K, stream="w")
    weights = matrix(w[0, 0], n)
    dense, scale = lib.dense(x.flatten(-2), weights), lib.dense(x.flatten(-2).abs(), weights.abs())
    # K·K products that are not zero: one product and at most K·K additions on the way of each, on both sides.
    same = close(lib.conv2d(x, w).flatten(-2), dense, operations=2 * (K * K + 1), scale=scale, what="layers differ by")
    shared = weights[weights != 0].unique().numel()
    return (
        same
        & equal(shared, K * K, what="different weights are not K·K")
        & equal(int((weights != 0).sum(-1).max()), K * K, what="weights of one output are not K·K")
    )


def _forgetful(sound: Any) -> Any:
    """Takes part of its last output into the next: a layer with a state."""
    kept: dict[torch.Size, torch.Tensor] = {}

    def play(x: torch.Tensor, w: torch.Tensor, **settings: Any) -> torch.Tensor:
        y = sound(x, w, **settings)
        before = kept.get(y.shape, torch.zeros_like(y))
        kept[y.shape] = y.detach()
        return y + 0.5 * before

    return play


@claim(
    "gfg-36.4",
    "Convolution, pooling and dense layers in a chain are a feedforward network: no result depends on an earlier one.",
    needs=["conv2d", "relu", "max_pool2d", "dense"],
    setting={"orders": ((0, 1, 2, 3, 4), (3, 1, 4, 0, 2))},
    expect=HOLDS,
    sabotage={
        "keeps a state between images": {"conv2d": _forgetful},
        "lets the images of a batch meet": {
            "max_pool2d": lambda sound: lambda x, **k: sound(x, **k) + 0.1 * sound(x, **k).mean(0, keepdim=True)
        },
    },
)
def layers_in_a_chain_keep_nothing_between_images(lib: Any, trial: Trial, orders: Any) -> Evidence:
    """Reading: in a chain of convolution, relu, pooling and dense layers an image's result does not depend, to the last
    bit, on images seen before or beside it. (Batch normalisation in training would let images of a batch meet.)
    Why: each layer computes from the one below and its own weights, and keeps nothing."""
    images = trial.normal(5, 2, 8, 8, stream="x")
    kernels = [trial.normal(*shape, stream=shape) for shape in ((3, 2, 3, 3), (4, 3, 3, 3))]
    head = trial.normal(2, 4, stream="head")

    def network(x: torch.Tensor) -> torch.Tensor:
        maps = lib.max_pool2d(lib.relu(lib.conv2d(x, kernels[0])), size=2)
        return lib.dense(lib.relu(lib.conv2d(maps, kernels[1])).flatten(-3), head)

    seen = [torch.stack([network(images[k : k + 1])[0] for k in order])[_inverse(order)] for order in orders]
    together = torch.cat([network(images[[k, k]])[:1] for k in range(5)])
    other = torch.cat([network(images[[k, (k + 1) % 5]])[:1] for k in range(5)])
    return equal(seen[0], seen[1], what="results that depend on the order of the images") & equal(
        together, other, what="results that depend on the image beside it"
    )


def _inverse(order: tuple[int, ...]) -> list[int]:
    return [order.index(k) for k in range(len(order))]


@claim(
    "gfg-36.9",
    "The closing prediction out of the extracted features can be made by a fully connected layer.",
    needs=["conv2d", "dense"],
    given={"C": sizes(1, 3), "H": sizes(2, 4), "W": sizes(2, 4)},
    setting={"flat": lambda maps: maps.flatten()},
    reading="such a layer can do it",
    expect=HOLDS,
    sabotage={
        "flattens pixels before channels": {"flat": instead(lambda maps: maps.movedim(0, -1).flatten())},
        "is off by one part in ten thousand": {"dense": scaled(1.0001)},
    },
)
def a_dense_head_is_a_convolution_as_large_as_the_map(
    lib: Any, trial: Trial, C: int, H: int, W: int, flat: Any
) -> Evidence:
    """Reading: a dense layer on all features of C maps of H x W gives the scores of ten classes, those of a convolution
    whose ten kernels are as large as the maps.
    Why: such a kernel has one window, and its dot product runs over the same C·H·W features."""
    maps, w = trial.normal(C, H, W, stream="x"), trial.normal(10, C, H, W, stream="w")
    scores = lib.dense(flat(maps)[None], w.flatten(1))[0]
    scale = (w * maps).abs().sum((1, 2, 3))
    # One product and at most C·H·W additions on the way of each term, on both sides.
    return close(
        scores,
        lib.conv2d(maps, w).flatten(),
        operations=2 * (C * H * W + 1),
        scale=scale,
        what="scores of the dense layer differ from the convolution's by",
    )


def _lines(n: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Every line across n x n pixels: images (2·n, 1, n, n), class 0 for lying and 1 for upright ones."""
    upright = torch.eye(n, dtype=torch.float64, device=device)[:, None].expand(n, n, n)
    return torch.cat([upright.mT, upright])[:, None], torch.arange(2, device=device).repeat_interleave(n)


def line_filters(device: torch.device) -> torch.Tensor:
    """Two 3x3 kernels (2, 1, 3, 3) that answer to a lying and to an upright line."""
    lying = torch.tensor([[-1.0, -1.0, -1.0], [2.0, 2.0, 2.0], [-1.0, -1.0, -1.0]], dtype=torch.float64, device=device)
    return torch.stack([lying, lying.mT])[:, None]


def _accuracy_without_dense(lib: Any, device: torch.device, filters: Any) -> float:
    """Share of lines told right by convolution, relu and the mean of each map, the larger mean being the answer.

    One layer of zeros lets a line at the border have windows about it."""
    images, labels = _lines(10, device)
    scores = lib.global_average_pool(lib.relu(lib.conv2d(images, filters(device), padding=1)))
    margin = scores[:, 1] - scores[:, 0]
    return float(((margin != 0) & ((margin > 0) == (labels == 1))).to(torch.float64).mean())


@claim(
    "gfg-36.9",
    "Without a fully connected layer at its end a convolutional network makes no prediction.",
    needs=["conv2d", "relu", "global_average_pool"],
    setting={"filters": line_filters},
    reading="every network ends in one",
    expect=REFUTED(
        instead="A network can end in the means of its maps, with no fully connected layer, and tell upright from lying "
        "lines.",
        by="a_network_without_a_dense_layer_tells_lines_apart",
    ),
    sabotage={
        "filters that answer to nothing": {"filters": instead(lambda device: 0 * line_filters(device))},
    },
)
def no_network_predicts_without_a_dense_layer(lib: Any, trial: Trial, filters: Any) -> Evidence:
    """Reading: convolution, relu and the mean of each map alone stay at chance on upright and lying lines.
    Why: it fails because each of two filters answers to one kind of line, wherever it lies."""
    return at_most(_accuracy_without_dense(lib, trial.device, filters), 0.5, what="accuracy")


@claim(
    "gfg-36.9",
    "Convolution, relu and the mean of each map tell upright from lying lines without a fully connected layer.",
    needs=["conv2d", "relu", "global_average_pool"],
    setting={"filters": line_filters},
    reading=CORRECTION,
    kind="existence",
    expect=HOLDS,
    sabotage={
        "filters that answer to nothing": {"filters": instead(lambda device: 0 * line_filters(device))},
        "leaves out the nonlinearity": {"relu": lambda sound: lambda z: z},
    },
)
def a_network_without_a_dense_layer_tells_lines_apart(lib: Any, trial: Trial, filters: Any) -> Evidence:
    """Reading: every line of 10 x 10 pixels is told right by the larger of two means.
    Why: the filter of the line's kind answers along it, and relu keeps its negative answers beside the line from paying
    that back."""
    return equal(_accuracy_without_dense(lib, trial.device, filters), 1.0, what="accuracy differs from one")
