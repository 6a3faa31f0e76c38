"""What a convolutional net owes to the grid, and which of its layers it can do without."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, close
from assay.sabotage import instead
from assay.strategies import normals, seeds
from claims.convolution.learned_features import (
    CLASSIFIER,
    Labels,
    as_they_are,
    by_chance,
    detector,
    new_detector,
    stripes,
)
from claims.lab import tasks
from claims.lab.convolving import convolved, random_kernels, right, trained
from claims.lab.training import Parameters, random_layers

Order = Callable[[torch.Generator], torch.Tensor]


def as_on_the_grid(generator: torch.Generator) -> torch.Tensor:
    return torch.arange(64, device=generator.device)


def shuffled_once(generator: torch.Generator) -> torch.Tensor:
    """One order of the 64 pixels for all images."""
    return torch.randperm(64, generator=generator, device=generator.device)


@claim(
    "gfg-36.5",
    "On images a convolutional net learns more from few examples than a dense net.",
    needs=CLASSIFIER,
    setting={"order": as_on_the_grid, "asked": "direction"},
    kind="comparative",
    expect=CONDITIONAL(
        "the answer does not depend on the place (the direction of a bar, not its side of the image)",
        within={"asked": instead("direction")},
        beyond={"asked": instead("side")},
    ),
    sabotage={
        "the same pixels in another order": {"order": instead(shuffled_once)},
        "kernels that see one pixel": {
            "conv2d": lambda sound: lambda x, w, *b, **hyper: sound(x, w[..., 1:2, 1:2], *b, **hyper)
        },
    },
)
def a_convolutional_net_learns_more_from_images(lib: Any, trial: Trial, order: Order, asked: str) -> Evidence:
    """Reading: after 30 steps of Adam on 32 noisy bars, upright or lying, four 3x3 filters and the strongest response of
    each make fewer errors on 50 fresh images than a dense net of 16 hidden units; with the pixels of all images in one
    other order they do not, nor if the half in which the bar lies is asked for.
    Why: kernels look at neighbours at all places alike. In another order neighbours mean nothing, and the strongest
    response forgets the place."""

    def pair(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = order(generator)
        (x, y), (x_fresh, y_fresh) = (_bars(n, count, asked, pixels, generator) for count in (32, 50))

        def errors(net: Any, start: Parameters) -> torch.Tensor:
            return 1 - right(net(trained(lib, net, start, x, y, steps=30, lr=0.1), x_fresh), y_fresh)

        dense = random_layers([64, 16, 1], n, generator, gain=2**0.5, dtype=torch.float32)
        filters = new_detector(n, 4, generator)
        return errors(lambda p, z: detector(lib, p, z), filters), errors(lambda p, z: _dense_net(lib, p, z), dense)

    return trial.prefers(pair, what="the convolutional net errs less than the dense net", most=256)


def _bars(
    n: int, count: int, asked: str, pixels: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy bars (n, count, 1, 8, 8), their pixels in the given order, and whether each is upright, or is mostly in the
    left half: (n, count)."""
    x, upright = tasks.bars((n, count), 8, generator, noise=0.0)
    left = x[..., :4].sum((-3, -2, -1)) > x[..., 4:].sum((-3, -2, -1))
    x = x + 0.1 * torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    y = upright if asked == "direction" else left
    return x.float().flatten(-2)[..., pixels].unflatten(-1, (8, 8)), y.float()


def _dense_net(lib: Any, params: Parameters, x: torch.Tensor) -> torch.Tensor:
    w1, b1, w2, b2 = params
    return lib.dense(lib.relu(lib.dense(x.flatten(2), w1, b1)), w2, b2)[..., 0]


@claim(
    "gfg-36.5",
    "To a dense layer the order of the pixels is nothing, if its weights are put in the same order.",
    needs=["dense"],
    given={"x": normals((3, 1, 4, 5)), "w": normals((2, 20)), "seed": seeds()},
    setting={"reordered": True},
    expect=HOLDS,
    sabotage={
        "the weights are not put in order": {"reordered": instead(False)},
        "a dense layer that looks at neighbours": {"dense": lambda sound: lambda x, w: sound(x + x.roll(1, -1), w)},
    },
)
def a_dense_layer_is_indifferent_to_the_order_of_pixels(
    lib: Any, trial: Trial, x: torch.Tensor, w: torch.Tensor, seed: int, reordered: bool
) -> Evidence:
    """Reading: with the columns of its weights in the same order as the pixels, a dense layer gives the same outputs
    for any order.
    Why: a sum does not depend on the order of its 20 terms, but for rounding."""
    order = torch.randperm(20, generator=trial.generator("order", seed), device=x.device)
    pixels = x.flatten(1)
    moved = lib.dense(pixels[:, order], w[:, order] if reordered else w)
    scale = pixels.abs() @ w.abs().mT
    return close(moved, lib.dense(pixels, w), operations=2 * 21, scale=scale, what="the outputs differ by")


def votes(lib: Any, params: Parameters, x: torch.Tensor, size: int) -> torch.Tensor:
    """Two convolutions of stride two, one vote at each place that is left, and their mean: x (R, n, 1, 8, 8) -> (R, n).

    The vote is a 1x1 convolution: no weight belongs to a place, as those of a dense layer do."""
    hyper = {"stride": 2, "padding": size // 2}
    w1, b1, w2, b2, w3, b3 = params
    z = lib.relu(convolved(lib, x, w1, b1, **hyper))  # (R, n, 4, 4, 4)
    z = lib.relu(convolved(lib, z, w2, b2, **hyper))  # (R, n, 4, 2, 2)
    return convolved(lib, z, w3, b3)[..., 0, :, :].mean((-2, -1))


def all_convolutional_accuracy(
    lib: Any, n: int, generator: torch.Generator, *, size: int, labels: Labels = as_they_are
) -> torch.Tensor:
    """Share of right answers on 100 fresh images of stripes after training on 64: (n,)."""
    (x, y), (x_fresh, y_fresh) = stripes(n, 64, generator), stripes(n, 100, generator)
    start: list[torch.Tensor] = []
    for filters, channels, side in ((4, 1, size), (4, 4, size), (1, 4, 1)):
        w = random_kernels(n, filters, channels, side, generator, dtype=torch.float32)
        start += [w, w.new_zeros(n, filters)]

    def net(params: Parameters, images: torch.Tensor) -> torch.Tensor:
        return votes(lib, params, images, size)

    params = trained(lib, net, start, x, labels(y, generator), steps=30, lr=0.05)
    return right(net(params, x_fresh), y_fresh)


ALL_CONVOLUTIONAL = ["conv2d", "relu", "binary_cross_entropy_with_logits", "adam"]


@claim(
    "gfg-36.6",
    "A net of convolutions needs pooling layers and dense layers too.",
    needs=ALL_CONVOLUTIONAL,
    setting={"size": 3},
    reading="all three are needed",
    expect=REFUTED(
        instead=(
            "Many nets have all three, but convolutions with a stride can do the work of pooling, and the mean of the "
            "last map that of the dense layers."
        ),
        by="convolutions_alone_classify",
    ),
    sabotage={"kernels that see one pixel": {"size": instead(1)}},
)
def a_convolutional_net_needs_all_three_kinds_of_layer(lib: Any, trial: Trial, size: int) -> Evidence:
    """Reading: of nets of two 3x3 convolutions of stride two and a 1x1 convolution, with the mean of its map as the score,
    most are wrong on a tenth or more of fresh images of stripes.
    Why: it is refuted, since nine of ten such nets are wrong on fewer."""
    return trial.often(
        lambda n, g: all_convolutional_accuracy(lib, n, g, size=size) <= 0.9,
        floor=0.5,
        detects=0.4,
        what="nets that are wrong on a tenth or more",
        most=256,
    )


@claim(
    "gfg-36.6",
    "Convolutions, some with a stride, and the mean of the last map classify images without pooling or dense layers.",
    needs=ALL_CONVOLUTIONAL,
    setting={"size": 3, "labels": as_they_are},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "kernels that see one pixel": {"size": instead(1)},
        "labels by chance": {"labels": instead(by_chance)},
    },
)
def convolutions_alone_classify(lib: Any, trial: Trial, size: int, labels: Labels) -> Evidence:
    """Reading: of nets of two 3x3 convolutions of stride two and a 1x1 convolution, with the mean of its map as the score,
    most are right on more than nine of ten fresh images of stripes.
    Why: stripes show in every 3x3 patch; later layers only collect the votes. A net is counted as right or not, so that
    the interval is exact; accuracies pile up at 1 and are far from normal."""
    return trial.often(
        lambda n, g: all_convolutional_accuracy(lib, n, g, size=size, labels=labels) > 0.9,
        floor=0.5,
        detects=0.4,
        what="nets that are right on more than nine of ten images",
        most=256,
    )
