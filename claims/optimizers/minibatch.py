"""Mini-batch descent between batch and stochastic descent, and what the three have in common."""

from __future__ import annotations

import itertools

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.evidence import at_least, at_most, curve, differs, equal, within
from assay.sabotage import instead
from assay.strategies import seeds, sizes
from claims.lab.regression import batch_descent, distance, gaussian, sampled_descent

RULES = {"sgd": {"lr": 0.05}, "momentum": {"lr": 0.05, "beta": 0.9}, "adam": {"lr": 0.05}}


def epochs(lib, data, rule, size, g=None, count=3):
    """`count` epochs of one update rule with one batch size: the final weights (1, d) and the number of updates."""
    w, state, updates = torch.zeros_like(data.x[:, 0]), None, 0
    for _ in range(count):
        for index in lib.epoch_batches(data.y.shape[1], size, generator=g):
            (w,), state = getattr(lib, rule)(
                [w], [lib.mean_gradient(data.rows(index).sample_gradients(w))], state, **RULES[rule]
            )
            updates += 1
    return w, updates


@claim(
    "gfg-17.6",
    "Mini-batch descent is an algorithm of its own: it leads elsewhere than single samples and than the whole set.",
    needs=["sgd", "mean_gradient", "epoch_batches"],
    setting={"size": 4},
    reading="a way of its own to run through the data",
    expect=HOLDS,
    sabotage={"batches of one sample": {"size": instead(1)}, "batches of the whole set": {"size": instead(16)}},
)
def mini_batch_descent_goes_its_own_way(lib, trial, size):
    """Reading: three epochs of plain descent over the same 16 samples in the same order, with batches of 4, end farther than
    1e-9 from where batches of 1 and of 16 end.
    Why: they make 12 updates, not 48 or 3, and each follows another mean gradient. Rounding is below 1e-13."""
    data = gaussian(1, 16, 3, trial.generator("data"), noise=1.0)
    few, single, whole = (epochs(lib, data, "sgd", k)[0] for k in (size, 1, 16))
    return differs(
        few, single, by=1e-9, what="batches lead to the weights of single samples, short of 1e-9 by"
    ) & differs(few, whole, by=1e-9, what="batches lead to the weights of the whole set, short of 1e-9 by")


@claim(
    "gfg-17.6",
    "Mini-batch descent has an update rule of its own beside that of stochastic descent.",
    needs=["sgd", "momentum", "mean_gradient", "epoch_batches"],
    setting={"rule": "sgd", "size": 4},
    reading="an update rule beside stochastic descent",
    expect=REFUTED(
        instead="The batch size says how many samples a gradient averages, the update rule what is done with it: the two are chosen independently.",
        by="batch_size_and_update_rule_are_independent",
    ),
    sabotage={"momentum, which is another rule": {"rule": instead("momentum")}},
)
def mini_batches_have_an_update_rule_of_their_own(lib, trial, rule, size):
    """Reading: on batches of 4, the updates of mini-batch descent, w less the rate times the batch's mean gradient, written out,
    leave w somewhere else than the rule of stochastic descent does, fed with the same gradients.
    Why it fails: that rule is given a gradient and not told how many samples it came from."""
    data = gaussian(1, 16, 3, trial.generator("data"), noise=1.0)
    w = torch.zeros_like(data.x[:, 0])
    for index in lib.epoch_batches(16, size):
        w = w - RULES["sgd"]["lr"] * lib.mean_gradient(data.rows(index).sample_gradients(w))
    by_rule, _ = epochs(lib, data, rule, size, count=1)
    return differs(by_rule, w, by=1e-9, what="the two rules lead to weights closer than 1e-9, by")


@claim(
    "gfg-17.6",
    "Batch size and update rule are independent choices.",
    needs=["sgd", "momentum", "adam", "mean_gradient", "epoch_batches"],
    cases=[{"one": a, "other": b} for a, b in itertools.combinations(list(itertools.product(RULES, (1, 4, 16))), 2)],
    reading=CORRECTION,
    exhaustive=True,
    expect=HOLDS,
    sabotage={
        "Adam is plain descent": {
            "adam": lambda sound: lambda p, g, s, *, lr: ([w - lr * x for w, x in zip(p, g, strict=True)], None)
        }
    },
)
def batch_size_and_update_rule_are_independent(lib, trial, one, other):
    """Reading: all nine combinations of three rules with three sizes run and lead to nine different weight vectors.
    Why: the rule sees only a gradient, not how many samples it came from."""
    data = gaussian(1, 16, 3, trial.generator("data"), noise=1.0)
    return differs(
        epochs(lib, data, *one)[0],
        epochs(lib, data, *other)[0],
        by=1e-9,
        what="two combinations lead to weights closer than 1e-9, by",
    )


@claim(
    "gfg-25.8",
    "Mini-batch descent uses a small batch of samples for each gradient and update.",
    needs=["mean_gradient", "epoch_batches"],
    setting={"size": 5, "weights": torch.ones_like},
    expect=HOLDS,
    sabotage={
        "draws samples that agree with the mean three times as often": {
            "weights": instead(lambda p: 0.5 + (p > p.median()).to(p.dtype))
        },
        "adds up instead of averaging": {"mean_gradient": lambda sound: lambda g: sound(g) * g.shape[-2]},
        "drops the last, shorter batch": {
            "epoch_batches": lambda sound: lambda n, size, *, generator=None: sound(n, size)[: n // size]
        },
    },
)
def a_mini_batch_gradient_is_unbiased(lib, trial, size, weights):
    """Reading: an epoch of n = 32 with batches of 5 makes 7 updates, and the projection of a batch gradient onto the full one has
    mean |g|², to a twentieth of its spread.
    Why: a mean of unbiased gradients is unbiased."""
    data = gaussian(1, 32, 3, trial.generator("data"), noise=1.0)
    per_sample = data.sample_gradients(torch.ones(1, 3, dtype=torch.float64, device=trial.device))
    full = per_sample.mean(-2)
    along = (per_sample * full).sum(-1)[0]
    spread = float(along.std()) / size**0.5

    def draw(n, g):
        index = torch.multinomial(weights(along), n * size, replacement=True, generator=g).reshape(n, size)
        return (lib.mean_gradient(per_sample[0, index]) * full).sum(-1)

    unbiased = trial.mean(
        draw,
        float(full.square().sum()),
        detects=spread / 20,
        spread=spread,
        what="mean projection of a batch gradient differs from |g|²",
    )
    return unbiased & equal(len(lib.epoch_batches(32, size)), 7, what="updates in an epoch of 32 in batches of 5")


@claim(
    "gfg-25.10",
    "A mini-batch gradient is less noisy than that of a single sample: its variance falls as one over the batch size.",
    needs=["mean_gradient"],
    cases=[{"size": b} for b in (2, 5, 10, 20)],
    setting={"copies": False},
    expect=HOLDS,
    sabotage={
        "a batch of copies of one sample": {"copies": instead(True)},
        "adds up instead of averaging": {"mean_gradient": lambda sound: lambda g: sound(g) * g.shape[-2]},
    },
)
def the_noise_of_a_batch_falls_as_one_over_its_size(lib, trial, size, copies):
    """Reading: the variance of the mean of B gradients drawn with replacement is σ²/B, to five percent, for Gaussian gradients.
    Why: variances of independent terms add, and the mean divides by B²."""

    def draw(n, g):
        gradients = 1.0 + 2.0 * torch.randn(
            n, 1 if copies else size, 1, generator=g, dtype=torch.float64, device=trial.device
        )
        return lib.mean_gradient(gradients.expand(n, size, 1))[:, 0]

    figure = curve("variance of a batch gradient in units of one sample's", [1, 2, 5, 10, 20, 40], {"1/B": [1 / b for b in (1, 2, 5, 10, 20, 40)]},
                   x_label="batch size B", y_label="variance / σ²", log_x=True, log_y=True)  # fmt: skip
    return trial.variance(
        draw, 4.0 / size, detects=0.05, what=f"variance of the mean of {size} gradients differs from σ²/{size}"
    ).with_figure(figure)


@claim(
    "gfg-25.10",
    "Drawn without replacement, the noise of a batch falls even faster.",
    needs=["mean_gradient"],
    cases=[{"size": b} for b in (2, 4, 7)],
    reading=CORRECTION,
    expect=HOLDS,
    sabotage={"the mean of one sample less": {"mean_gradient": lambda sound: lambda g: sound(g[..., 1:, :])}},
)
def without_replacement_the_noise_falls_faster(lib, trial, size):
    """Reading: over all subsets of size B of N = 8 fixed gradients the variance of the mean is σ²/B·(N - B)/(N - 1).
    Why: samples that cannot repeat repel one another. All subsets are counted, so the formula holds up to rounding."""
    g = torch.randn(8, 1, generator=trial.generator("g"), dtype=torch.float64, device=trial.device)
    subsets = torch.tensor(list(itertools.combinations(range(8), size)), device=trial.device)
    means = lib.mean_gradient(g[subsets])
    expected = g.var(correction=0) / size * (8 - size) / 7
    margin = len(subsets) * 2.0**-52 * float(g.square().max())
    return within(
        means.var(correction=0),
        expected,
        margin,
        what="variance over all subsets differs from the formula by",
        why="one rounding per subset",
    )


@claim(
    "gfg-25.7",
    "Stochastic descent may need fewer passes than batch descent.",
    needs=["mean_gradient", "sgd"],
    reading="quicker, in work and not in seconds",
    setting={"n": 1000},
    expect=HOLDS,
    sabotage={"a set of only twenty samples": {"n": instead(20)}},
)
def single_samples_may_need_fewer_passes(lib, trial, n):
    """Reading: there is a task, 1000 samples in 10 dimensions, on which one pass of single samples at rate 0.02 beats one batch
    step at 1/L, in paired runs of equal work. Sample gradients are counted; small steps lose seconds on vector hardware.
    Why: 1000 rough steps bring the point further than one exact step; twenty do not."""

    def pair(runs, g):
        data = gaussian(runs, n, 10, g, noise=0.1)
        start = torch.zeros(runs, 10, dtype=torch.float64, device=trial.device)
        w = sampled_descent(lib, data, start, rate=lambda step: 0.02, steps=n, size=1, generator=g)
        batch = batch_descent(lib, data, start, lr=1 / data.curvature(), steps=1)
        return distance(w, data.minimiser()), distance(batch, data.minimiser())

    return trial.prefers(pair, what="win rate of one pass of single samples falls short of one half by", most=128)


@claim(
    "gfg-25.7",
    "The steps of stochastic descent are noisier than those of batch descent.",
    needs=["mean_gradient"],
    reading="noisier",
    given={"seed": seeds(), "n": sizes(3, 20)},
    setting={"same": False},
    expect=HOLDS,
    sabotage={"identical samples": {"same": instead(True)}},
)
def single_sample_steps_are_noisier(lib, trial, seed, n, same):
    """Reading: over all choices of the sample, the single-sample gradient has positive variance; the batch gradient has one value.
    Why: different samples pull in different directions; only their mean is the full gradient."""
    g = torch.randn(n, 3, generator=trial.generator("g", seed), dtype=torch.float64, device=trial.device)
    g = g[:1].expand(n, 3) if same else g
    singles = torch.stack([lib.mean_gradient(g[k : k + 1]) for k in range(n)])
    order = torch.randperm(n, generator=trial.generator("order", seed), device=trial.device)
    batch_spread = (lib.mean_gradient(g) - lib.mean_gradient(g[order])).abs().max()
    rounding = n * 2.0**-52 * float(g.abs().max())
    return at_least(
        singles.std(0).max(), 1e-9, what="spread of single-sample gradients falls short of 1e-9 by"
    ) & at_most(batch_spread, rounding, what="batch gradients of two orders differ beyond rounding by")


@claim(
    "gfg-25.9",
    "Mini-batch descent can reach a good loss with less work than batch descent.",
    needs=["mean_gradient", "sgd"],
    setting={"n": 2000, "size": 20},
    reading="work, not seconds",
    expect=HOLDS,
    sabotage={"a set of only twenty samples": {"n": instead(20)}, "batches of the whole set": {"size": instead(2000)}},
)
def mini_batches_can_need_less_work(lib, trial, n, size):
    """Reading: two passes in batches of 20 at rate 0.1 end nearer to the optimum than two batch steps, in paired runs of equal work.
    Why: equal numbers of sample gradients buy n/20 times as many steps. Work is counted, not timed."""

    def pair(runs, g):
        data = gaussian(runs, n, 10, g, noise=0.1)
        start = torch.zeros(runs, 10, dtype=torch.float64, device=trial.device)
        w = sampled_descent(lib, data, start, rate=lambda step: 0.1, steps=2 * n // size, size=size, generator=g)
        batch = batch_descent(lib, data, start, lr=1 / data.curvature(), steps=2)
        return distance(w, data.minimiser()), distance(batch, data.minimiser())

    return trial.prefers(pair, what="win rate of mini-batches at equal work falls short of one half by", most=128)
