"""Does stochastic descent settle, and where: falling rates, wells, escapes, the order of the samples."""

from __future__ import annotations

import torch

from assay.claim import CONDITIONAL, CORRECTION, HOLDS, REFUTED, claim
from assay.evidence import at_least, at_most
from assay.sabotage import instead
from claims.lab.regression import batch_descent, distance, gaussian, sampled_descent
from claims.optimizers.minibatch import in_order
from claims.optimizers.stochastic import scaled_gaussian

MOST = 128


def well_slope(w):
    """The slope of w⁴ - 4w² + 0.7w, whose deeper well lies at -1.46 and whose shallower one at 1.37."""
    return 4 * w**3 - 8 * w + 0.7


def bowl_slope(w):
    """The slope of (w + 1.46)², with the same deepest point and no other."""
    return 2 * (w + 1.4564)


def wander(lib, trial, runs, g, *, slope, noise, rate, steps, start, beta=0.0):
    """Descent along a slope with Gaussian gradient noise, for `runs` points at once: (R,)."""
    w, state = torch.full((runs,), start, dtype=torch.float64, device=trial.device), None
    for step in range(steps):
        gradient = slope(w) + noise * torch.randn(runs, generator=g, dtype=torch.float64, device=trial.device)
        (w,), state = lib.momentum([w], [gradient], state, lr=rate(step), beta=beta)
    return w


@claim(
    "ib-22.7",
    "Stochastic descent with falling steps settles at the global minimum.",
    needs=["momentum"],
    setting={"slope": well_slope, "rate": lambda t: 1 / (t + 20)},
    expect=CONDITIONAL(
        "the loss is convex and smooth and has a lowest point, the rates lie below two over its curvature and fall to zero, and "
        "their sum is unbounded, "
        "here as 1/(t + 20); with two wells runs can end in the shallower one",
        within={"slope": instead(bowl_slope)},
        beyond={"slope": instead(well_slope)},
    ),
    sabotage={
        "the rate does not fall": {"rate": instead(lambda t: 0.05)},
        "rates that do not fall to zero": {"rate": instead(lambda t: 0.05 + 0.05 / (t + 1))},
        "rates whose sum is bounded": {"rate": instead(lambda t: 0.4 * 0.5**t)},
        "no step at all": {"momentum": lambda sound: lambda p, g, s, *, lr, beta: sound(p, g, s, lr=0.0, beta=beta)},
    },
)
def falling_steps_settle_at_the_global_minimum(lib, trial, slope, rate):
    """Reading: from w = 1.6, with gradient noise one and rates 1/(t + 20), more than nine of ten runs end within a tenth of -1.46.
    Margin: on the bowl of curvature 2 rates 1/t leave a spread of √(1/(3·1520)) = 0.015; the fixed rate 0.05 keeps up one of
    √(0.05/(2·1.9)) = 0.11, with which six of ten runs end within a tenth.
    Why the condition: noise and rates that shrink together cannot carry the point over the barrier between two wells."""

    def there(n, g):
        w = wander(lib, trial, n, g, slope=slope, noise=1.0, rate=rate, steps=1500, start=1.6)
        return (w + 1.4564).abs() < 0.1

    return trial.often(
        there,
        floor=0.9,
        detects=0.08,
        what="share of runs at the global minimum",
        most=4096,
    )


@claim(
    "ib-22.16",
    "Batch descent hardly leaves a shallow minimum; stochastic descent has a better chance.",
    needs=["momentum"],
    setting={"noise": 4.0},
    expect=CONDITIONAL(
        "the noise of the gradient is large against the well, here a deviation of 4 and not of 3 within 2000 steps of rate 0.05",
        within={"noise": instead(4.0)},
        beyond={"noise": instead(3.0)},
    ),
    kind="comparative",
    sabotage={"no noise in the gradient": {"noise": instead(0.0)}},
)
def noise_helps_out_of_a_shallow_minimum(lib, trial, noise):
    """Reading: from w = 1.3 in the shallower well, 2000 steps of rate 0.05: batch descent stays; of the noisy runs more than one in
    twenty ends in the deeper well.
    Why: with a constant rate the noise can add up to a climb over the barrier; without noise every step goes down. The chance of
    a climb falls exponentially with barrier/(rate·noise²): of runs at deviation 4 one in ten leaves, at 3 one in three thousand."""
    still = wander(
        lib, trial, 1, trial.generator("still"), slope=well_slope, noise=0.0, rate=lambda t: 0.05, steps=2000, start=1.3
    )

    def leaves(n, g):
        return wander(lib, trial, n, g, slope=well_slope, noise=noise, rate=lambda t: 0.05, steps=2000, start=1.3) < 0

    stays = at_least(still, 0, what="place where batch descent ends")
    return stays & trial.often(
        leaves,
        floor=0.05,
        detects=0.05,
        what="share of noisy runs that leave",
        most=8192,
    )


@claim(
    "ib-22.11",
    "For large training sets choose stochastic descent and avoid batch descent.",
    needs=["mean_gradient", "sgd"],
    cases=[{"spread": 1.0, "passes": 1}, {"spread": 100.0, "passes": 5}, {"spread": 1.0, "passes": 5}],
    setting={"n": 1000},
    expect=CONDITIONAL(
        "the passes over the large set are few against its condition number: of 1000 samples one where that is about 1, five "
        "where it is about 100, but not five where it is about 1",
        within=lambda spread, passes, n: passes == 1 or spread == 100,
    ),
    sabotage={
        "so few samples that n times the rate is 0.4": {"n": instead(20)},
    },
)
def large_sets_favour_stochastic_descent(lib, trial, n, spread, passes):
    """Reading: at equal passes over n samples, whose five columns have variances from 1 down to 1/spread, single samples of rate
    0.02 end nearer to the optimum than batch steps, in paired runs.
    Why the condition: on 1000 samples one pass is 1000 steps against one. Where all columns count alike five batch steps leave
    about 0.25¹⁰ of the start, which is less than the floor 0.02·0.01·5/(2 - 0.02·7) = 0.0005 over which single samples of a fixed
    rate bounce. Along a column of variance 1/100 they leave 0.99¹⁰, and 5000 single samples (1 - 0.02/100)¹⁰⁰⁰⁰ = 0.14."""

    def pair(runs, g):
        data = scaled_gaussian(runs, g, noise=0.1, spread=spread, n=n, d=5)
        start = torch.zeros(runs, 5, dtype=torch.float64, device=trial.device)
        w = sampled_descent(lib, data, start, rate=lambda step: 0.02, steps=n * passes, size=1, generator=g)
        batch = batch_descent(lib, data, start, lr=1 / data.curvature(), steps=passes)
        return distance(w, data.minimiser()), distance(batch, data.minimiser())

    return trial.prefers(pair, what="single samples end nearer", most=MOST)


def sorted_classes(trial, runs, g, n=20):
    """Noisy two-class data of `runs` replicas, rows sorted by class, with a column of ones: x (R, n, 3), y (R, n)."""
    y = (torch.arange(n, device=trial.device) >= n // 2).to(torch.float64).expand(runs, n)
    x = torch.randn(runs, n, 2, generator=g, dtype=torch.float64, device=trial.device) + (2 * y - 1)[..., None] * 0.5
    return torch.cat([x, torch.ones_like(x[..., :1])], -1), y


def logistic_loss(x, y, w):
    z = (x @ w[..., None])[..., 0]
    return (torch.nn.functional.softplus(z) - y * z).mean(-1)


def run_epochs(lib, trial, x, y, g, *, shuffled, epochs, lr):
    """Single-sample logistic regression in the order of the rows, or in each replica's own new order each epoch: w (R, 3).

    Replicas must not share an order: the win of one would then say something about the others."""
    runs, n, d = x.shape
    w, every = torch.zeros(runs, d, dtype=torch.float64, device=trial.device), torch.arange(runs, device=trial.device)
    drawn = range(runs) if shuffled else range(1)
    for _ in range(epochs):
        orders = [torch.cat(list(lib.epoch_batches(n, 1, generator=g if shuffled else None))) for _ in drawn]
        for index in torch.stack(orders).expand(runs, n).to(trial.device).T:
            row, label = x[every, index], y[every, index]
            slope = (torch.sigmoid((row * w).sum(-1)) - label)[..., None] * row
            (w,), _ = lib.sgd([w], [slope], None, lr=lr)
    return w


@claim(
    "ib-22.18",
    "Stochastic descent wants the training set shuffled for each epoch.",
    needs=["epoch_batches", "sgd"],
    cases=[{"sort": True}, {"sort": False}],
    setting={"passes": 20, "lr": 0.1},
    reading="shuffling ends lower",
    expect=CONDITIONAL(
        "the epochs are many, here 20 and not one, and the rate is large enough to matter, here 0.1 and not 0.02",
        within={"passes": instead(20)},
        beyond={"passes": instead(1)},
    ),
    sabotage={
        "a rate of 0.02": {"lr": instead(0.02)},
        "never shuffles": {"epoch_batches": in_order},
    },
)
def shuffling_beats_the_sorted_order(lib, trial, sort, passes, lr):
    """Reading: with an intercept, on 20 samples, 20 epochs shuffled anew end at a lower loss than 20 in one fixed order, whether
    that order is sorted by class or random itself, in paired runs.
    Why: a fixed order leans towards the samples that stand last, in every epoch alike; new orders average the lean away. After one
    epoch, or at a low rate, it is small against the way that descent has still to go."""

    def pair(runs, g):
        x, y = sorted_classes(trial, runs, g)
        if not sort:
            order = torch.rand(y.shape, generator=g, device=trial.device).argsort(-1)
            x, y = x.gather(1, order[..., None].expand_as(x)), y.gather(1, order)
        shuffled, plain = (run_epochs(lib, trial, x, y, g, shuffled=s, epochs=passes, lr=lr) for s in (True, False))
        return logistic_loss(x, y, shuffled), logistic_loss(x, y, plain)

    return trial.prefers(pair, what="shuffled epochs end at the lower loss", most=512)


@claim(
    "ib-22.18",
    "Without shuffling stochastic descent does not work.",
    needs=["epoch_batches", "sgd"],
    reading="shuffling is necessary",
    setting={"noise": 0.0},
    expect=REFUTED(
        instead="Shuffling helps over many epochs, but where one weight vector fits all data exactly even a fixed order converges.",
        by="a_fixed_order_converges_on_consistent_data",
    ),
    sabotage={"targets that no weight vector fits": {"noise": instead(1.0)}},
)
def a_fixed_order_does_not_converge(lib, trial, noise):
    """Reading: single samples in a fixed order, 30 epochs of rate 0.1, end further than 1e-3 from the optimum.
    Why it fails: each step projects towards the solution that all samples share."""
    return at_least(fixed_order_end(lib, trial, noise), 1e-3, what="squared distance")


@claim(
    "ib-22.18",
    "On consistent data a fixed order converges.",
    needs=["epoch_batches", "sgd"],
    reading=CORRECTION,
    setting={"noise": 0.0},
    expect=HOLDS,
    sabotage={"noisy targets": {"noise": instead(1.0)}},
)
def a_fixed_order_converges_on_consistent_data(lib, trial, noise):
    """Reading: single samples in a fixed order, 30 epochs of rate 0.1, end within 1e-6 of the solution, in squared distance.
    Why: with noise-free targets every sample's gradient vanishes there; 3000 contracting steps leave far less than 1e-6."""
    return at_most(fixed_order_end(lib, trial, noise), 1e-6, what="squared distance")


def fixed_order_end(lib, trial, noise):
    """Largest squared distance to the optimum over 20 data sets after 30 epochs in the order of the rows."""
    data = gaussian(20, 100, 3, trial.generator("fixed"), noise=noise)
    w = torch.zeros(20, 3, dtype=torch.float64, device=trial.device)
    for _ in range(30):
        for index in lib.epoch_batches(100, 1):
            (w,), _ = lib.sgd([w], [data.rows(index).sample_gradients(w)[:, 0]], None, lr=0.1)
    end = distance(w, data.minimiser())
    return end.max() if noise == 0 else end.min()
