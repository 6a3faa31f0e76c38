"""What kernels learn: the feature that the task asks for, the filter that made the data, and classes from features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from assay.claim import HOLDS, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, at_most, curve
from assay.sabotage import instead
from claims.lab import tasks
from claims.lab.convolving import convolved, random_kernels, right, trained
from claims.lab.training import Parameters, fit

Labels = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
SOBEL = ((1.0, 0.0, -1.0), (2.0, 0.0, -2.0), (1.0, 0.0, -1.0))
CLASSIFIER = ["conv2d", "relu", "max_pool2d", "dense", "binary_cross_entropy_with_logits", "adam"]


def as_they_are(y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return y


def by_chance(y: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Labels (R, n) that have nothing to do with the images."""
    return torch.randint(2, y.shape, generator=generator, device=y.device).to(y.dtype)


def detector(lib: Any, params: Parameters, x: torch.Tensor) -> torch.Tensor:
    """Filters, rectified, the strongest response of each, and a weighted sum of these: x (R, n, 1, H, W) -> scores
    (R, n)."""
    w, v, b = params
    z = lib.relu(convolved(lib, x, w))
    strongest = lib.max_pool2d(z, size=z.shape[-1]).flatten(2)  # (R, n, filters)
    return lib.dense(strongest, v, b)[..., 0]


def new_detector(replicas: int, filters: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Random 3x3 filters whose responses all count for the class at first: w (R, F, 1, 3, 3), v (R, 1, F), b (R, 1)."""
    w = random_kernels(replicas, filters, 1, 3, generator, dtype=torch.float32)
    signs = 1 - 2 * (torch.arange(filters, device=w.device) % 2).to(w.dtype)
    return [w, signs.expand(replicas, 1, filters), torch.zeros(replicas, 1, device=w.device)]


@claim(
    "ib-7.13",
    "Trained through a task's loss alone, filters become selective for the feature that the task is about.",
    needs=CLASSIFIER,
    setting={"labels": as_they_are},
    kind="existence",
    expect=HOLDS,
    sabotage={
        "labels by chance": {"labels": instead(by_chance)},
        "the task is about lying bars": {"labels": instead(lambda y, generator: 1 - y)},
    },
)
def a_filter_learns_the_feature_of_its_task(lib: Any, trial: Trial, labels: Labels) -> Evidence:
    """Reading: of nets with eight 3x3 filters, told only which of 40 noisy images of 6x6 pixels have an upright and
    which a lying bar, most are right on more than nine of ten fresh images, and the filter that speaks loudest for
    "upright" answers more strongly to a clean upright bar than to a lying one.
    Why: the loss falls only if the strongest responses tell the two apart."""

    def selective(n: int, generator: torch.Generator) -> torch.Tensor:
        (x, y), (x_fresh, y_fresh) = (
            _labelled(tasks.bars((n, count), 6, generator, noise=0.1), labels, generator) for count in (40, 100)
        )
        params = trained(lib, lambda p, x: detector(lib, p, x), new_detector(n, 8, generator), x, y, steps=20, lr=0.2)
        return (right(detector(lib, params, x_fresh), y_fresh) > 0.9) & _prefers_upright(lib, params)

    return trial.often(
        selective, floor=0.5, detects=0.4, what="nets that are right and look for upright bars", most=256
    )


def _labelled(
    drawn: tuple[torch.Tensor, torch.Tensor], labels: Labels, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = drawn
    return x.float(), labels(y.float(), generator)


def _prefers_upright(lib: Any, params: Parameters) -> torch.Tensor:
    """Whether each replica's filter with the largest weight in the score answers more to an upright bar: (R,)."""
    w, v, _ = params
    upright = torch.zeros(6, 6, device=w.device)
    upright[2:5, 3] = 1
    loudest = v[:, 0].argmax(-1, keepdim=True)  # (R, 1)
    lying, standing = (
        convolved(lib, bar.expand(len(w), 1, 1, 6, 6), w).relu().amax((1, 3, 4)).gather(1, loudest)[:, 0]
        for bar in (upright.mT, upright)
    )
    return standing > lying


@claim(
    "gfg-36.7",
    "Gradient descent turns the values of a kernel into those of the pattern detector that explains the examples.",
    needs=["conv2d", "sgd"],
    setting={"lr": 0.3, "turned": lambda w: w},
    kind="existence",
    expect=HOLDS,
    sabotage={
        "the kernel stays as it was": {"lr": instead(0.0)},
        "the examples were made with the flipped kernel": {"turned": instead(lambda w: w.flip(-1, -2))},
    },
)
def descent_finds_the_kernel_behind_the_examples(
    lib: Any, trial: Trial, lr: float, turned: Callable[[torch.Tensor], torch.Tensor]
) -> Evidence:
    """Reading: from eight random starts, given noise images and their responses to an edge filter (Sobel), 60 steps
    of descent on the mean squared error bring every weight to within a thousandth of the filter's.
    Why: for white noise the loss is close to the squared distance of the kernels, so each step leaves about
    (1 - 2·lr)² = 0.16 of it."""
    x = trial.normal(8, 16, 1, 8, 8, stream="images")
    sobel = torch.tensor(SOBEL, dtype=x.dtype, device=x.device).expand(8, 1, 1, 3, 3)
    responses = convolved(lib, x, turned(sobel))
    start = random_kernels(8, 1, 1, 3, trial.generator("kernels"))

    def loss(params: Parameters, step: int) -> torch.Tensor:
        return (convolved(lib, x, params[0]) - responses).square().mean((1, 2, 3, 4))

    kernels: list[Parameters] = [[start]]
    for _ in range(6):
        kernels.append(fit(loss, kernels[-1], lambda p, g, s: lib.sgd(p, g, s, lr=lr), 10))
    errors = torch.stack([(w - sobel).abs().amax((1, 2, 3, 4)) for (w,) in kernels])  # (7, 8)
    series = {"worst start": errors.amax(1).tolist(), "best start": errors.amin(1).tolist()}
    figure = curve(
        "Finding a Sobel kernel",
        range(0, 61, 10),
        series,
        x_label="steps",
        y_label="largest error of a weight",
        log_y=True,
    )
    return at_most(errors[-1], 1e-3, what="largest error of a weight").with_figure(figure)


def stripes(
    replicas: int, n: int, generator: torch.Generator, *, noise: float = 0.3
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images full of stripes two pixels wide, upright (1) or lying (0), shifted at random: (R, n, 1, 8, 8), (R, n)."""
    device = generator.device
    y = torch.randint(2, (replicas, n), generator=generator, device=device)
    phase = torch.randint(4, (replicas, n, 1), generator=generator, device=device)
    wave = 1.0 - (torch.arange(8, device=device) + phase) // 2 % 2 * 2  # (R, n, 8)
    upright = wave[..., None, :].expand(replicas, n, 8, 8)
    x = torch.where(y[..., None, None] > 0, upright, upright.mT)[:, :, None]
    return x + noise * torch.randn(x.shape, generator=generator, device=device), y.float()


@claim(
    "gfg-36.3",
    "A small convolutional net tells images apart by the features that its kernels found.",
    also=["gfg-36.6"],
    needs=CLASSIFIER,
    setting={"labels": as_they_are},
    reading="there are such nets",
    kind="existence",
    expect=HOLDS,
    sabotage={
        "labels by chance": {"labels": instead(by_chance)},
        "the features do not reach the classifier": {
            "max_pool2d": lambda sound: lambda z, *, size: sound(z * 0, size=size)
        },
    },
)
def a_small_convolutional_net_classifies(lib: Any, trial: Trial, labels: Labels) -> Evidence:
    """Reading: of nets of convolution, pooling and a dense layer, trained on 32 images of upright or lying stripes at
    random places, most are right on more than 95 of 100 fresh images.
    Why: one filter for each direction is enough; the place does not matter to the strongest response. A net is counted
    as right or not, so that the interval is exact; accuracies pile up at 1 and are far from normal."""

    def classifies(n: int, generator: torch.Generator) -> torch.Tensor:
        (x, y), (x_fresh, y_fresh) = stripes(n, 32, generator), stripes(n, 100, generator)

        def net(params: Parameters, images: torch.Tensor) -> torch.Tensor:
            return detector(lib, params, images)

        params = trained(lib, net, new_detector(n, 4, generator), x, labels(y, generator), steps=25, lr=0.1)
        return right(net(params, x_fresh), y_fresh) > 0.95

    return trial.often(
        classifies, floor=0.5, detects=0.4, what="nets that are right on more than 95 of 100 images", most=256
    )
