"""Stochastic gradient descent: every step uses one random sample."""

from __future__ import annotations

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.evidence import at_most, close, equal
from assay.sabotage import instead
from assay.strategies import seeds, sizes
from claims.lab.regression import batch_descent, distance, gaussian, sampled_descent

MOST = 128  # paired seeds: enough for the sign test at the run's level, see assay/decide/trial.py


def zeros(trial, runs, d):
    return torch.zeros(runs, d, dtype=torch.float64, device=trial.device)


@claim(
    "ib-22.1",
    "Stochastic descent steps along the gradient of one sample drawn at random, which is the full gradient on average.",
    needs=["mean_gradient"],
    also=["gfg-25.6"],
    setting={"weights": torch.ones_like},
    expect=HOLDS,
    sabotage={
        "draws samples that agree with the mean three times as often": {
            "weights": instead(lambda p: 0.5 + (p > p.median()).to(p.dtype))
        },
        "adds half as much again": {"mean_gradient": lambda sound: lambda g: sound(g) * 1.5},
    },
)
def one_random_sample_is_unbiased(lib, trial, weights):
    """Reading: the projection of a random sample's gradient onto the full gradient has mean |g|², to a twentieth of its spread.
    Why: with equal probabilities 1/n the expectation of g_i is the mean of all g_i."""
    data = gaussian(1, 30, 3, trial.generator("data"), noise=1.0)
    per_sample = data.sample_gradients(torch.ones(1, 3, dtype=torch.float64, device=trial.device))
    full = per_sample.mean(-2)
    along = (per_sample * full).sum(-1)[0]
    spread = float(along.std())

    def draw(n, g):
        index = torch.multinomial(weights(along), n, replacement=True, generator=g)
        return (lib.mean_gradient(per_sample[0, index][:, None]) * full).sum(-1)

    return trial.mean(
        draw,
        float(full.square().sum()),
        detects=spread / 20,
        spread=spread,
        what="mean projection of one sample's gradient differs from |g|²",
    )


@claim(
    "ib-22.9",
    "Stochastic descent uses a single sample for each gradient.",
    needs=["epoch_batches", "mean_gradient"],
    given={"seed": seeds(), "n": sizes(2, 30)},
    setting={"size": 1},
    expect=HOLDS,
    sabotage={
        "takes two": {"size": instead(2)},
        "takes the whole set": {
            "epoch_batches": lambda sound: lambda n, size, *, generator=None: sound(n, n, generator=generator)
        },
    },
)
def each_stochastic_step_uses_one_sample(lib, trial, seed, n, size):
    """Reading: an epoch of batch size one is n steps, each along the gradient of exactly one sample, each sample once.
    Why: batches of one cut the shuffled indices into n pieces."""
    g = torch.randn(n, 3, generator=trial.generator("gradients", seed), dtype=torch.float64, device=trial.device)
    batches = lib.epoch_batches(n, size, generator=trial.generator("order", seed))
    used = torch.stack([lib.mean_gradient(g[index]) for index in batches])
    drawn = g[torch.cat(list(batches))][: len(batches)]
    return equal(len(batches), n, what="steps in an epoch differ from n") & close(
        used, drawn, operations=1, what="step differs from its sample's gradient by"
    )


@claim(
    "ib-22.2",
    "Stochastic descent is much faster, since each step handles far less data.",
    needs=["epoch_batches"],
    also=["ib-22.10"],
    given={"n": sizes(2, 200)},
    setting={"size": 1},
    reading="the price of one step",
    expect=HOLDS,
    kind="comparative",
    sabotage={"uses half of the set": {"size": instead(100)}},
)
def one_stochastic_step_costs_an_nth(lib, n, size):
    """Reading: a step of size one needs one sample gradient, a batch step n: n times as many.
    Why: the price of a gradient is the number of samples in it."""
    one, all_ = lib.epoch_batches(n, size)[0].numel(), lib.epoch_batches(n, n)[0].numel()
    return equal(all_, n * one, what="sample gradients of a batch step differ from n single ones")


@claim(
    "ib-22.2",
    "An epoch of stochastic descent costs less than one of batch descent.",
    needs=["epoch_batches"],
    also=["ib-22.10"],
    given={"n": sizes(2, 200)},
    setting={"size": 1},
    reading="the price of one epoch",
    kind="comparative",
    expect=REFUTED(
        instead="An epoch needs one gradient per sample whatever the batch size; only a single step is cheaper.",
        by="an_epoch_costs_the_same_for_every_batch_size",
    ),
    sabotage={
        "an epoch cut short after half of its steps": {
            "epoch_batches": lambda sound: lambda n, size, *, generator=None: sound(n, size)[: max(1, n // 2)]
        }
    },
)
def a_stochastic_epoch_costs_less(lib, n, size):
    """Reading: the sample gradients of an epoch of size one number fewer than n.
    Why it fails: each of the n samples is used once in an epoch, alone or together."""
    spent = sum(index.numel() for index in lib.epoch_batches(n, size))
    return at_most(spent, n - 1, what="sample gradients of an epoch exceed n - 1 by")


@claim(
    "ib-22.10",
    "An epoch costs n sample gradients for every batch size.",
    needs=["epoch_batches"],
    given={"n": sizes(1, 60), "size": sizes(1, 80)},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "drops the last batch": {"epoch_batches": lambda sound: lambda n, size, *, generator=None: sound(n, size)[:-1]}
    },
)
def an_epoch_costs_the_same_for_every_batch_size(lib, n, size):
    """Reading: the batches of an epoch hold each index exactly once.
    Why: they cut one permutation of the indices into pieces."""
    index = torch.cat(list(lib.epoch_batches(n, size)) or [torch.empty(0, dtype=torch.long)])
    return equal(sorted(index.tolist()), list(range(n)), what="indices used in an epoch differ from 0..n-1")


@claim(
    "ib-22.17",
    "Batch descent gets near the optimum slowly, stochastic descent much faster.",
    needs=["mean_gradient", "sgd"],
    also=["ib-22.2"],
    reading="passes to a rough answer",
    setting={"rate": 0.02},
    expect=HOLDS,
    sabotage={"stochastic steps a thousand times too small": {"rate": instead(2e-5)}},
)
def a_rough_answer_comes_sooner_by_single_samples(lib, trial, rate):
    """Reading: after one pass over 400 samples the single-sample run is nearer to the optimum than the batch run, in paired runs.
    Why: n cheap steps against one dear step for the same number of sample gradients."""

    def pair(runs, g):
        data = gaussian(runs, 400, 10, g, noise=0.1)
        w = sampled_descent(lib, data, zeros(trial, runs, 10), rate=lambda step: rate, steps=400, size=1, generator=g)
        batch = batch_descent(lib, data, zeros(trial, runs, 10), lr=1 / data.curvature(), steps=1)
        return distance(w, data.minimiser()), distance(batch, data.minimiser())

    return trial.prefers(pair, what="win rate of single samples after one pass falls short of one half by", most=MOST)


@claim(
    "ib-22.17",
    "Stochastic descent also reaches an exact answer in fewer passes.",
    needs=["mean_gradient", "sgd"],
    also=["ib-22.2"],
    reading="passes to an exact answer",
    setting={"noise": 1.0},
    expect=REFUTED(
        instead="To many digits batch descent needs fewer passes: single samples of constant rate stop at a noise floor.",
        by="to_many_digits_batch_descent_is_sooner",
    ),
    sabotage={"noise-free targets, on which all samples agree": {"noise": instead(0.0)}},
)
def an_exact_answer_comes_sooner_by_single_samples(lib, trial, noise):
    """Reading: after 10 passes over 100 samples the single-sample run is nearer to the optimum than 10 batch steps, in paired runs.
    Why it fails: at the optimum the samples' gradients do not vanish, only their mean does."""
    return trial.prefers(
        ten_passes(lib, trial, noise),
        what="win rate of single samples after ten passes falls short of one half by",
        most=MOST,
    )


def ten_passes(lib, trial, noise, swap=False):
    """Distances after 10 passes: single samples first, batch second; the other way round if `swap`."""

    def pair(runs, g):
        data = gaussian(runs, 100, 3, g, noise=noise)
        w = sampled_descent(lib, data, zeros(trial, runs, 3), rate=lambda step: 0.05, steps=1000, size=1, generator=g)
        batch = batch_descent(lib, data, zeros(trial, runs, 3), lr=1 / data.curvature(), steps=10)
        sides = distance(w, data.minimiser()), distance(batch, data.minimiser())
        return sides[::-1] if swap else sides

    return pair


@claim(
    "ib-22.17",
    "To many digits batch descent needs fewer passes.",
    needs=["mean_gradient", "sgd"],
    reading=CORRECTION,
    setting={"noise": 1.0},
    expect=HOLDS,
    sabotage={"noise-free targets": {"noise": instead(0.0)}},
)
def to_many_digits_batch_descent_is_sooner(lib, trial, noise):
    """Reading: the opposite comparison to the refuted one holds on the same runs.
    Why: batch descent contracts by a constant factor each pass, without a floor."""
    return trial.prefers(
        ten_passes(lib, trial, noise, swap=True), what="win rate of batch descent falls short of one half by", most=MOST
    )
