"""What sets batch, mini-batch and stochastic descent apart: not the rate, but the samples that make a gradient."""

from __future__ import annotations

import itertools

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.evidence import all_of, at_most, close, diverges, equal, within
from assay.sabotage import instead
from assay.strategies import seeds, sizes
from claims.lab.regression import batch_descent, distance, gaussian, sampled_descent
from claims.optimizers.minibatch import epochs


def first_updates(lib, data, size, lr, count):
    """The weights (1, d) after the first `count` updates from zero with batches of `size` in the order of the rows."""
    w, batches = torch.zeros_like(data.x[:, 0]), lib.epoch_batches(data.y.shape[1], size)
    for index in itertools.islice(itertools.cycle(batches), count):
        (w,), _ = lib.sgd([w], [lib.mean_gradient(data.rows(index).sample_gradients(w))], None, lr=lr)
    return w


@claim(
    "gfg-25.1",
    "The learning rate is what tells the variants of gradient descent apart.",
    needs=["sgd", "mean_gradient", "epoch_batches"],
    given={"seed": seeds(), "n": sizes(9, 30)},
    setting={"same": False},
    reading="apart by the step size",
    expect=REFUTED(
        instead="At one and the same rate the variants go different ways, because different samples make their gradients; "
        "the rate is a free setting of each, though single samples bear only smaller ones.",
        by="one_small_rate_serves_all_but_single_samples_bear_no_large_one",
    ),
    sabotage={"identical samples": {"same": instead(True)}},
)
def the_variants_differ_in_their_learning_rate(lib, trial, seed, n, same):
    """Reading: at the one rate 0.05, four updates with batches of n, 4 and 1 lead to the same weights.
    Why it fails: the same rate multiplies gradients of different samples. If all samples are one, so are the gradients.
    Allowance for that case: four updates, each with at most n roundings of the mean and ten of residual and step, on steps
    no longer than 0.05·|y|·|x| each."""
    data = gaussian(1, n, 3, trial.generator("data", seed), noise=1.0)
    data = data.rows(torch.zeros(n, dtype=torch.long, device=trial.device)) if same else data
    whole, few, single = (first_updates(lib, data, size, 0.05, 4) for size in (n, 4, 1))
    way = 4 * 0.05 * (data.y.abs().max() * data.x.abs().amax((0, 1)))[None]
    return all_of(
        [
            close(
                w, whole, operations=4 * (n + 10), scale=way, what=f"batches of {name} lead away from batch descent by"
            )
            for name, w in (("four", few), ("one", single))
        ]
    )


@claim(
    "gfg-25.1",
    "The variants of gradient descent differ in how many samples make a gradient, and so in how they update.",
    needs=["sgd", "mean_gradient", "epoch_batches"],
    given={"seed": seeds(), "n": sizes(9, 30)},
    reading="apart by the way of updating",
    expect=HOLDS,
    sabotage={
        "the last batch is dropped": {
            "epoch_batches": lambda sound: lambda n, size, *, generator=None: sound(n, size)[:-1] or sound(n, 1)
        }
    },
)
def the_variants_differ_in_the_samples_of_a_gradient(lib, trial, seed, n):
    """Reading: with one rate, sizes n, 4 and 1 make 1, ⌈n/4⌉ and n updates an epoch; size n is batch descent up to rounding.
    Why: the batch size is the only thing in which they differ."""
    data = gaussian(1, n, 3, trial.generator("data", seed), noise=1.0)
    counts = tuple(epochs(lib, data, "sgd", size, count=1)[1] for size in (n, 4, 1))
    whole, _ = epochs(lib, data, "sgd", n, count=4)
    return equal(counts, (1, -(-n // 4), n), what="updates in an epoch differ") & within(
        whole,
        batch_descent(lib, data, torch.zeros_like(whole), lr=0.05, steps=4),
        1e-14 * (1 + data.y.abs().max()),
        what="size n differs from batch descent by",
        why="four steps, each with one rounding of lr·g more",
    )


@claim(
    "gfg-25.1",
    "One small rate serves all variants, but a rate that suits the whole set can be too large for single samples.",
    needs=["sgd", "mean_gradient"],
    reading=CORRECTION,
    setting={"small": 0.05, "large": 0.7},
    expect=HOLDS,
    kind="existence",
    sabotage={
        "the large rate is small": {"large": instead(0.1)},
        "the small rate is large": {"small": instead(0.7)},
    },
)
def one_small_rate_serves_all_but_single_samples_bear_no_large_one(lib, trial, small, large):
    """Reading: on 20 regressions with 200 samples in 10 dimensions and 150 updates each, batches of 200, 10 and 1 at the rate
    0.05 all end within a hundredth of the squared distance of the start; at 0.7 batch descent does, single samples go beyond the start.
    Why: along Gaussian rows single samples contract in mean square only for rates below 2/(d + 2) = 0.17, batch descent below
    2/L, where L, the largest of the curvatures, is about (1 + √(d/n))² = 1.5, so that 2/L = 1.3. At 0.05 the noise of 0.1
    leaves 0.05·0.01·10/(2 - 0.05·12) = 0.004 on average, of a start at about |w*|² = 10."""
    g = trial.generator("runs")
    data = gaussian(20, 200, 10, g, noise=0.1)
    start, best = torch.zeros_like(data.x[:, 0]), data.minimiser()

    def left(size, lr):
        if size == 200:
            end = batch_descent(lib, data, start, lr=lr, steps=150)
        else:
            end = sampled_descent(lib, data, start, rate=lambda step: lr, steps=150, size=size, generator=g)
        return distance(end, best) / distance(start, best)

    near = all_of(
        [at_most(left(size, small), 0.01, what=f"{small:g}: share left by batches of {size}") for size in (200, 10, 1)]
        + [at_most(left(200, large), 0.01, what="large rate: share left by batch descent")]
    )  # fmt: skip
    return near & diverges(left(1, large), beyond=1.0, what="large rate: distance of single samples over the start's")
