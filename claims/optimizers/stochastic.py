"""Stochastic gradient descent: every step uses one random sample."""

from __future__ import annotations

import math

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.evidence import at_least, at_most, close, equal
from assay.sabotage import instead, with_arguments
from assay.strategies import seeds, sizes
from claims.lab.regression import Regression, batch_descent, distance, gaussian, sampled_descent
from claims.optimizers.minibatch import drawn_with_replacement, earlier_of_two, first_batch_is_unbiased, in_order

MOST = 128  # paired seeds: enough for the sign test at the run's level, see assay/decide/trial.py


def zeros(trial, runs, d):
    return torch.zeros(runs, d, dtype=torch.float64, device=trial.device)


@claim(
    "ib-22.1",
    "Stochastic descent steps along the gradient of one sample drawn at random, which is the full gradient on average.",
    needs=["mean_gradient", "epoch_batches"],
    also=["gfg-25.6"],
    setting={"size": 1},
    expect=HOLDS,
    sabotage={
        "draws samples that agree with the mean more often": {"epoch_batches": earlier_of_two},
        "never shuffles": {"epoch_batches": in_order},
        "adds half as much again": {"mean_gradient": lambda sound: lambda g: sound(g) * 1.5},
    },
)
def one_random_sample_is_unbiased(lib, trial, size):
    """Reading: the gradient of the first sample of an epoch, projected onto the full gradient, has mean |g|², to a tenth of its spread.
    Why: with equal probabilities 1/n the expectation of g_i is the mean of all g_i."""
    return first_batch_is_unbiased(lib, trial, 30, size)


@claim(
    "ib-22.9",
    "Stochastic descent uses a single sample for each gradient.",
    needs=["epoch_batches", "mean_gradient"],
    also=["gfg-25.6"],
    given={"seed": seeds(), "n": sizes(2, 30)},
    setting={"size": 1},
    expect=HOLDS,
    sabotage={
        "takes two": {"size": instead(2)},
        "always the first sample": {
            "epoch_batches": lambda sound: lambda n, size, *, generator: [torch.zeros(1, dtype=torch.long)] * n
        },
        "draws with replacement": {"epoch_batches": drawn_with_replacement},
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
    order = sorted(torch.cat(list(batches)).tolist())
    return (
        equal(len(batches), n, what="steps in an epoch differ from n")
        & equal(order, list(range(n)), what="samples of an epoch, each once")
        & close(used, drawn, operations=1, what="step differs from its sample's gradient by")
    )


@claim(
    "ib-22.2",
    "Stochastic descent is much faster, since each step handles far less data.",
    needs=["epoch_batches"],
    also=["ib-22.10"],
    given={"n": sizes(2, 200)},
    setting={"size": 1},
    reading="the price of one step, in work and not in seconds",
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
    reading="the price of one epoch, in work and not in seconds",
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
    return at_most(spent, n - 1, what="sample gradients of an epoch")


@claim(
    "ib-22.10",
    "An epoch costs n sample gradients for every batch size.",
    needs=["epoch_batches"],
    given={"n": sizes(1, 60), "size": sizes(1, 80)},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "drops the last batch": {
            "epoch_batches": lambda sound: lambda n, size, *, generator: sound(n, size, generator=generator)[:-1]
        },
        "draws with replacement": {"epoch_batches": drawn_with_replacement},
    },
)
def an_epoch_costs_the_same_for_every_batch_size(lib, trial, n, size):
    """Reading: the batches of an epoch hold each index exactly once.
    Why: they cut one permutation of the indices into pieces."""
    batches = lib.epoch_batches(n, size, generator=trial.generator("order", n, size))
    index = torch.cat(list(batches) or [torch.empty(0, dtype=torch.long)])
    return equal(sorted(index.tolist()), list(range(n)), what="indices used in an epoch differ from 0..n-1")


@claim(
    "ib-22.17",
    "Batch descent gets near the optimum slowly, stochastic descent much faster.",
    needs=["mean_gradient", "sgd"],
    also=["ib-22.2"],
    reading="passes to a rough answer",
    setting={"n": 400},
    expect=HOLDS,
    sabotage={"a set of only twenty samples": {"n": instead(20)}},
)
def a_rough_answer_comes_sooner_by_single_samples(lib, trial, n):
    """Reading: after one pass over 400 samples the single-sample run at rate 0.02 is nearer to the optimum than the batch run at
    1/L, in paired runs. Passes are work, not seconds.
    Why: n cheap steps against one dear step for the same number of sample gradients; twenty such steps are too few."""

    def pair(runs, g):
        data = gaussian(runs, n, 10, g, noise=0.1)
        w = sampled_descent(lib, data, zeros(trial, runs, 10), rate=lambda step: 0.02, steps=n, size=1, generator=g)
        batch = batch_descent(lib, data, zeros(trial, runs, 10), lr=1 / data.curvature(), steps=1)
        return distance(w, data.minimiser()), distance(batch, data.minimiser())

    return trial.prefers(pair, what="single samples are nearer after one pass", most=MOST)


EXACT, PASSES, ROWS = 1e-6, 20, 50  # squared distance of an exact answer; passes that are run; samples


def scaled_gaussian(runs, g, *, noise, spread, n=ROWS, d=3):
    """Regressions of n samples in d dimensions whose columns have variances from 1 down to 1/spread."""
    plain = gaussian(runs, n, d, g, noise=noise)
    w = plain.minimiser()
    columns = torch.logspace(0, -0.5 * math.log10(spread), d, dtype=torch.float64, device=plain.x.device)
    x = plain.x * columns
    return Regression(x, (x @ w[..., None])[..., 0] + plain.y - (plain.x @ w[..., None])[..., 0])


def passes_to_exact(lib, trial, runs, g, noise):
    """Passes until each of `runs` runs is exact, PASSES + 1 if it never is: single samples at rate 0.05, batch steps at 1/L."""
    data = scaled_gaussian(runs, g, noise=noise, spread=1.0)
    best, lr = data.minimiser(), 1 / data.curvature()
    points = [zeros(trial, runs, 3), zeros(trial, runs, 3)]
    needed = [torch.full((runs,), float(PASSES + 1), dtype=torch.float64, device=trial.device) for _ in points]
    for done in range(1, PASSES + 1):
        points = [
            sampled_descent(lib, data, points[0], rate=lambda step: 0.05, steps=ROWS, size=1, generator=g),
            batch_descent(lib, data, points[1], lr=lr, steps=1),
        ]
        there = [distance(w, best) <= EXACT for w in points]
        needed = [torch.where(t & (n > done), float(done), n) for t, n in zip(there, needed, strict=True)]
    return needed


@claim(
    "ib-22.17",
    "Stochastic descent also reaches an exact answer in fewer passes.",
    needs=["mean_gradient", "sgd"],
    also=["ib-22.2"],
    reading="passes to an exact answer",
    setting={"noise": 1.0},
    expect=CONDITIONAL(
        "one weight vector fits all samples; where the samples disagree at the optimum, single samples at a fixed rate stay at a "
        "noise floor and batch descent arrives first",
        within={"noise": instead(0.0)},
        beyond={"noise": instead(1.0)},
    ),
    sabotage={
        "never moves": {"sgd": with_arguments(lr=0.0)},
        "samples that agree on both sides": {"noise": instead(0.0)},
    },
)
def an_exact_answer_comes_sooner_by_single_samples(lib, trial, noise):
    """Reading: single samples at a fixed rate need fewer passes over 50 samples than batch steps until the squared distance to
    the optimum is below 1e-6, in paired runs; what has not arrived after 20 passes counts as 21.
    Why the condition: where the samples disagree their gradients do not vanish at the optimum, only their mean does, and single
    samples never arrive; batch steps do after nine passes on average. Where they agree, 50 small steps a pass arrive after four."""
    return trial.prefers(
        lambda runs, g: passes_to_exact(lib, trial, runs, g, noise),
        what="single samples need fewer passes to an exact answer",
        most=MOST,
    )


@claim(
    "ib-22.17",
    "Where the samples disagree, batch descent reaches many digits; single samples at a fixed rate do not even keep them.",
    needs=["mean_gradient", "sgd"],
    reading=CORRECTION,
    cases=[{"spread": 1.0}, {"spread": 10.0}],
    setting={"noise": 1.0},
    expect=HOLDS,
    sabotage={"noise-free targets": {"noise": instead(0.0)}},
)
def batch_descent_reaches_many_digits_and_single_samples_do_not_keep_them(lib, trial, spread, noise):
    """Reading: on 20 regressions with columns of variances 1 to 1/spread, all alike or tenfold different, 60·spread batch steps at 1/L end within a squared
    distance of 1e-6 of the optimum; single samples at rate 0.05 that start in it are farther away after two passes.
    Why: a batch step leaves 1 - 1/κ of the slowest coordinate, with κ at most 5 times the spread on 50 rows, and
    exp(-2·60/5)·|w|² < 1e-6 for |w|² up to 10⁴; the gradient of one sample is e·x at the optimum, not zero."""
    g = trial.generator("digits")
    data = scaled_gaussian(20, g, noise=noise, spread=spread)
    best = data.minimiser()
    steps = int(60 * spread)
    batch = batch_descent(lib, data, zeros(trial, 20, 3), lr=1 / data.curvature(), steps=steps)
    left = sampled_descent(lib, data, best, rate=lambda step: 0.05, steps=2 * ROWS, size=1, generator=g)
    return at_most(distance(batch, best), EXACT, what="squared distance of batch descent") & at_least(
        distance(left, best), EXACT, what="squared distance of single samples"
    )


@claim(
    "ib-22.2",
    "A step of stochastic descent modifies the data.",
    needs=["epoch_batches", "mean_gradient", "sgd"],
    given={"seed": seeds(), "n": sizes(2, 8)},
    setting={"read": lambda x, index: x[:, index]},
    reading="the data are modified",
    expect=REFUTED(
        instead="Only the weights change: after an epoch inputs and targets are what they were, to the bit.",
        by="an_epoch_leaves_the_data_as_they_were",
    ),
    sabotage={
        "a reader that scales the rows in place": {"read": lambda sound: lambda x, index: scale_in_place(x, index)}
    },
)
def an_epoch_modifies_the_data(lib, trial, seed, n, read):
    """Reading: an epoch of single-sample descent changes at least one entry of the inputs or targets.
    Why it fails: a gradient is computed from the data and subtracted from the weights. The right word is used, or read."""
    return at_least(changed_entries(lib, trial, seed, n, read), 1, what="changed entries")


@claim(
    "ib-22.2",
    "Descent leaves the data as they were.",
    needs=["epoch_batches", "mean_gradient", "sgd"],
    given={"seed": seeds(), "n": sizes(2, 8)},
    setting={"read": lambda x, index: x[:, index]},
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={
        "a reader that scales the rows in place": {"read": lambda sound: lambda x, index: scale_in_place(x, index)}
    },
)
def an_epoch_leaves_the_data_as_they_were(lib, trial, seed, n, read):
    """Reading: after an epoch of single samples and one batch step every input and target is the same to the bit, and w has moved.
    Why: the update writes the weights only."""
    return at_most(changed_entries(lib, trial, seed, n, read), 0, what="changed entries")


def scale_in_place(x, index):
    """What a careless reader does: the rows are halved where they stand."""
    x[:, index] = x[:, index] / 2
    return x[:, index]


def changed_entries(lib, trial, seed, n, read):
    """Entries of inputs and targets that an epoch of single samples and one batch step have changed; all, if w has not moved."""
    data = gaussian(1, n, 3, trial.generator("data", seed), noise=1.0)
    before, w = torch.cat([data.x, data.y[..., None]], -1), zeros(trial, 1, 3)
    for size in (1, n):
        for index in lib.epoch_batches(n, size):
            batch = Regression(read(data.x, index), data.y[:, index])
            (w,), _ = lib.sgd([w], [lib.mean_gradient(batch.sample_gradients(w))], None, lr=0.05)
    after = torch.cat([data.x, data.y[..., None]], -1)
    return int((after != before).sum()) if bool((w != 0).any()) else before.numel()
