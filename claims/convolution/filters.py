"""What filters detect, and what training makes of them."""

from __future__ import annotations

from typing import Any

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.decide.trial import Trial
from assay.evidence import Evidence, at_least, at_most, close, curve, equal, fact, gamma
from assay.sabotage import instead
from assay.strategies import sizes
from claims.lab.sliding import dot_products
from claims.lab.training import gradients


def upright_edge(device: torch.device) -> torch.Tensor:
    """Sobel's kernel (3, 3) for edges between left and right."""
    return torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]], dtype=torch.float64, device=device)


def edge_filters(device: torch.device) -> torch.Tensor:
    """Sobel's kernels (2, 3, 3) for edges between left and right, and between top and bottom."""
    return torch.stack([upright_edge(device), upright_edge(device).mT])


@claim(
    "gfg-36.2",
    "Two filters that run over an image find its edges: one the upright edges, the other the lying ones.",
    needs=["conv2d"],
    cases=[{"edge": at, "lying": lying} for at in range(1, 16) for lying in (False, True)],
    setting={"kernels": edge_filters},
    covers="edges",
    exhaustive=True,
    expect=HOLDS,
    sabotage={
        "exchanges the filters": {"kernels": instead(lambda device: edge_filters(device).flip(0))},
        "blurs": {"kernels": instead(lambda device: torch.full((2, 3, 3), 1 / 9, dtype=torch.float64, device=device))},
    },
)
def two_filters_find_upright_and_lying_edges(lib: Any, trial: Trial, edge: int, lying: bool, kernels: Any) -> Evidence:
    """Reading: on a step of height 1, upright or lying, at any place of 16 x 16 pixels, the Sobel kernel of its direction
    gives 4 in the windows across it and exactly zero in all others, the other Sobel kernel zero everywhere.
    Why: a kernel's weights add up to zero along each line across its edge, so that even areas and steps the other way
    cancel; those on the bright side add up to 4."""
    upright = (torch.arange(16, device=trial.device) >= edge).to(torch.float64).expand(1, 16, 16)
    answers = lib.conv2d(upright.mT if lying else upright, kernels(trial.device)[:, None])
    first = torch.arange(14, device=trial.device)  # a window covers columns first to first + 2
    across = (4.0 * ((first < edge) & (edge <= first + 2)).to(torch.float64)).expand(14, 14)
    expected = torch.stack([0 * across, across.mT] if lying else [across, 0 * across])
    return equal(answers, expected, what="answers that differ from 4 at the edge and 0 elsewhere")


def board(device: torch.device) -> torch.Tensor:
    """A patch (4, 4) of a checkerboard of +1 and -1."""
    at = torch.arange(4, device=device)
    return (1 - 2 * ((at[:, None] + at) % 2)).to(torch.float64)


def _textures(device: torch.device) -> dict[str, torch.Tensor]:
    """Periodic textures (4, 4) of +1 and -1, with even areas and stripes of both widths."""
    at = torch.arange(4, device=device)
    wide, narrow = (1 - 2 * (at // 2 % 2)).to(torch.float64), (1 - 2 * (at % 2)).to(torch.float64)
    even = torch.ones(4, 4, dtype=torch.float64, device=device)
    return {
        "board": board(device), "even": even, "upright stripes": even * narrow, "lying stripes": even * narrow[:, None],
        "wide upright stripes": even * wide, "wide board": wide * wide[:, None],
    }  # fmt: skip


@claim(
    "gfg-36.2",
    "A filter that runs over an image finds a texture.",
    needs=["conv2d"],
    setting={"kernel": board},
    covers="textures",
    kind="existence",
    expect=HOLDS,
    sabotage={
        "looks for even areas": {
            "kernel": instead(lambda device: torch.ones(4, 4, dtype=torch.float64, device=device))
        },
        "answers to everything": {"conv2d": lambda sound: lambda x, w: sound(x, w).abs() + 8},
    },
)
def a_filter_tells_its_texture_from_five_others(lib: Any, trial: Trial, kernel: Any) -> Evidence:
    """Reading: a kernel equal to a patch of a checkerboard answers with 16 on that texture, and with 0 on five others.
    Why: the dot product of two patches of signs counts agreement less disagreement, which is zero for these five."""
    w = kernel(trial.device)[None, None]
    answers = {
        name: lib.conv2d(patch.repeat(2, 2)[None], w)[0].abs().max() for name, patch in _textures(trial.device).items()
    }
    others = torch.stack([answer for name, answer in answers.items() if name != "board"])
    return equal(answers["board"], 16.0, what="answer on its own texture differs from 16") & equal(
        others, torch.zeros_like(others), what="other textures that it answers to"
    )


@claim(
    "gfg-38.4",
    "In training the kernel's values move by a slope that adds up, over all positions, upstream slope times patch.",
    needs=["conv2d"],
    given={"C": sizes(1, 2), "n": sizes(4, 7), "K": sizes(2, 3)},
    reading="training moves the kernel downhill",
    covers="the slope",
    expect=HOLDS,
    sabotage={
        "stops the slope": {"conv2d": lambda sound: lambda x, w: sound(x, w.detach()) + 0 * w.sum()},
        "is off by one part in ten thousand": {"conv2d": lambda sound: lambda x, w: sound(x, w * 1.0001)},
    },
)
def the_slope_of_a_kernel_adds_upstream_times_patch(lib: Any, trial: Trial, C: int, n: int, K: int) -> Evidence:
    """Reading: dL/dw[f, c, a, b] = Σ_ij dL/dy[f, i, j] · x[c, i + a, j + b], for any upstream slope.
    Why: y is linear in w, with the patch as its coefficients; the sum is a sliding dot product too, of x with dL/dy."""
    x, dy = trial.normal(C, n, n, stream="x"), trial.normal(2, n - K + 1, n - K + 1, stream="dy")
    w = trial.normal(2, C, K, K, stream="w").requires_grad_()
    (dw,) = torch.autograd.grad(lib.conv2d(x, w), w, dy)
    channels = [channel[None] for channel in x]
    expected = torch.stack([dot_products(channel, dy[:, None]) for channel in channels], 1)  # (2, C, K, K)
    scale = torch.stack([dot_products(channel.abs(), dy[:, None].abs()) for channel in channels], 1)
    # One product and at most (n - K + 1)² additions on the way of each term, on both sides.
    return close(dw, expected, operations=2 * (dy[0].numel() + 1), scale=scale, what="slope of the kernel differs by")


IMAGES, STARTS, STEPS = 24, 128, 160


def _planted(lib: Any, trial: Trial) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images x (IMAGES, 1, 6, 6) of pixels from 0.25 to 1.25, maps y (IMAGES, 1, 4, 4) of a planted filter, and standard normal starts w
    (STARTS, 1, 3, 3)."""
    generator = trial.generator("images")
    x = 0.25 + torch.rand(IMAGES, 1, 6, 6, generator=generator, dtype=torch.float64, device=trial.device)
    y = lib.conv2d(x, trial.normal(1, 1, 3, 3, stream="planted").abs()).detach()
    return x, y, trial.normal(STARTS, 1, 3, 3, stream="starts")


def _losses_in_training(lib: Any, trial: Trial, activation: Any) -> torch.Tensor:
    """The loss of every start before the first and after each step of descent: (STEPS + 1, STARTS)."""
    x, y, w = _planted(lib, trial)

    def loss(params: Any, step: int) -> torch.Tensor:
        return (activation(lib.conv2d(x, params[0])) - y).square().mean((0, 2, 3))

    # The loss is quadratic in nine weights; its largest curvature is at most the trace 2·mean(|patch|²) of them all.
    lr = float(1 / (2 * x.square().unfold(-2, 3, 1).unfold(-2, 3, 1).sum((-2, -1)).mean()))
    seen, params, state = [], [w], None
    for step in range(STEPS):
        losses, slopes = gradients(loss, params, step)
        seen.append(losses)
        params, state = lib.sgd(params, slopes, state, lr=lr)
    return torch.stack([*seen, loss(params, STEPS).detach()])


def _spread_of_starts(losses: torch.Tensor, title: str) -> Any:
    """The best, the middle and the worst start, as a share of the loss before training."""
    shares = (losses / losses[0])[::10]
    ranks = {"best start": 0.0, "median": 0.5, "worst start": 1.0}
    series = {name: shares.quantile(rank, dim=1).clamp_min(1e-12).tolist() for name, rank in ranks.items()}
    steps = list(range(0, STEPS + 1, 10))
    return curve(title, steps, series, x_label="step", y_label="share of the first loss", log_y=True)


@claim(
    "gfg-38.4",
    "Descent along the kernel's slope lowers the loss until a planted filter is found.",
    needs=["conv2d", "sgd"],
    reading="training moves the kernel downhill",
    covers="the descent",
    kind="existence",
    expect=HOLDS,
    sabotage={
        "freezes the kernel": {"sgd": lambda sound: lambda params, slopes, state, *, lr: (params, state)},
        "climbs": {
            "sgd": lambda sound: (
                lambda params, slopes, state, *, lr: sound(params, [-g for g in slopes], state, lr=lr / 99)
            )
        },
    },
)
def descent_of_a_kernel_lowers_the_loss(lib: Any, trial: Trial) -> Evidence:
    """Reading: the loss of a kernel that is to give a planted one's maps falls in every step, by 95 % in 160.
    Why: the loss is a convex quadratic of the weights, and the rate is below one over its largest curvature."""
    losses = _losses_in_training(lib, trial, lambda z: z)
    rises = (losses[1:] - losses[:-1]).clamp_min(0)
    # Two losses, each the sum of 16 squares an image of differences that ten roundings made.
    floor = gamma(2 * (16 * IMAGES + 2 * 10), losses.dtype) * losses[0].max()
    return (
        at_most(rises, floor, what="rise of the loss in a step")
        & at_most(losses[-1] / losses[0], 0.05, what="share of the loss that is left")
    ).with_figure(_spread_of_starts(losses, "Loss of a kernel that is to become a planted one"))


@claim(
    "gfg-38.4",
    "Training gives the kernel that extracts what is most relevant.",
    needs=["conv2d", "relu", "sgd"],
    reading="training finds the best kernel",
    expect=REFUTED(
        instead="Descent lowers the loss while the slope is not zero; behind a relu a kernel whose answers are all "
        "negative has slope zero and stays as it started, so that the end depends on the start.",
        by="where_training_of_a_kernel_ends_depends_on_its_start",
    ),
    sabotage={"leaves out the nonlinearity": {"relu": lambda sound: lambda z: z}},
)
def training_finds_the_best_kernel(lib: Any, trial: Trial) -> Evidence:
    """Reading: behind a relu, too, every start ends below five per cent of its loss; the planted filter has loss zero.
    Why: it fails because a kernel with negative answers everywhere has slope zero and never moves."""
    losses = _losses_in_training(lib, trial, lib.relu)
    left = at_most(losses[-1] / losses[0], 0.05, what="share of the loss that is left")
    return left.with_figure(_spread_of_starts(losses, "Loss of a kernel behind a relu"))


@claim(
    "gfg-38.4",
    "Where the training of a kernel behind a relu ends depends on its start.",
    needs=["conv2d", "relu", "sgd"],
    reading=CORRECTION,
    kind="existence",
    expect=HOLDS,
    sabotage={
        "leaves out the nonlinearity": {"relu": lambda sound: lambda z: z},
        "freezes the kernel": {"sgd": lambda sound: lambda params, slopes, state, *, lr: (params, state)},
    },
)
def where_training_of_a_kernel_ends_depends_on_its_start(lib: Any, trial: Trial) -> Evidence:
    """Reading: of 128 starts those whose answers are all negative keep their loss to the last bit, all others lower it,
    and some to below five per cent.
    Why: on pixels of mean 0.75 and deviation 0.29 a kernel gives negative answers everywhere, and has slope zero behind
    a relu, when its weights add up to less than about -1.1 times their length: 17 % of normal starts, counted, and none
    of 128 with probability 4e-11."""
    losses = _losses_in_training(lib, trial, lib.relu)
    x, _, w = _planted(lib, trial)
    negative = (lib.conv2d(x, w) <= 0).all(-1).all(-1).all(0)  # (STARTS,)
    return (
        at_least(int(negative.sum()), 1, what="starts with negative answers only")
        & equal(losses[-1, negative], losses[0, negative], what="starts with negative answers only whose loss changes")
        & fact("other starts whose loss does not fall", int((losses[-1] >= losses[0])[~negative].sum()), 0)
        & at_most((losses[-1] / losses[0]).min(), 0.05, what="share of its loss that the best start keeps")
    )
