"""Mini-batch descent between batch and stochastic descent, and what the three have in common."""

from __future__ import annotations

import itertools

import torch

from assay.claim import CORRECTION, HOLDS, REFUTED, claim
from assay.evidence import at_least, at_most, differs, equal, within
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
    return differs(few, single, by=1e-9, what="largest difference from the weights of single samples") & differs(
        few, whole, by=1e-9, what="largest difference from the weights of the whole set"
    )


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
    return differs(by_rule, w, by=1e-9, what="largest difference of the two rules' weights")


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
        what="largest difference of two combinations' weights",
    )


def earlier_of_two(sound):
    """Draws two orders and takes the one that begins earlier: a biased sampler."""
    return lambda n, size, *, generator: min(
        (sound(n, size, generator=generator) for _ in range(2)), key=lambda batches: int(batches[0].min())
    )


def in_order(sound):
    """Never shuffles."""
    return lambda n, size, *, generator=None: sound(n, size)


def drawn_with_replacement(sound):
    def batches(n, size, *, generator=None):
        drawn = generator is not None
        return list(torch.randint(n, (n,), generator=generator).split(size)) if drawn else sound(n, size)

    return batches


def first_batch_is_unbiased(lib, trial, n, size):
    """The gradient of an epoch's first batch, projected onto the full gradient, has the mean |g|², to a tenth of its spread.

    The samples stand in falling order of their projections, so that a draw that prefers early ones shows, always the first above all."""
    data = gaussian(1, n, 3, trial.generator("data"), noise=1.0)
    per_sample = data.sample_gradients(torch.ones(1, 3, dtype=torch.float64, device=trial.device))[0]
    full = per_sample.mean(0)
    per_sample = per_sample[(per_sample @ full).argsort(descending=True)]
    spread = float((per_sample @ full).std()) / size**0.5

    def draw(count, g):
        index = torch.stack([lib.epoch_batches(n, size, generator=g)[0] for _ in range(count)])
        return lib.mean_gradient(per_sample[index]) @ full

    what = "mean projection of a batch gradient on the full one"
    return trial.mean(draw, float(full.square().sum()), detects=spread / 10, spread=spread, what=what)


def cut_into_batches(lib, trial, n, size):
    """An epoch holds each of n samples once, in batches of `size`, of which the last may be shorter."""
    batches = lib.epoch_batches(n, size, generator=trial.generator("epoch"))
    used = sorted(torch.cat(list(batches)).tolist())
    sizes_of_batches = [len(range(start, min(n, start + size))) for start in range(0, n, size)]
    return equal([len(batch) for batch in batches], sizes_of_batches, what="sizes of the batches of an epoch") & equal(
        used, list(range(n)), what="samples of an epoch, each once"
    )


@claim(
    "gfg-25.8",
    "Mini-batch descent uses a small batch of samples for each gradient and update.",
    needs=["mean_gradient", "epoch_batches"],
    setting={"size": 5},
    expect=HOLDS,
    sabotage={
        "draws samples that agree with the mean more often": {"epoch_batches": earlier_of_two},
        "never shuffles": {"epoch_batches": in_order},
        "draws with replacement": {"epoch_batches": drawn_with_replacement},
        "adds up instead of averaging": {"mean_gradient": lambda sound: lambda g: sound(g) * g.shape[-2]},
        "drops the last, shorter batch": {
            "epoch_batches": lambda sound: (
                lambda n, size, *, generator: sound(n, size, generator=generator)[: n // size]
            )
        },
        "every batch is the whole set": {
            "epoch_batches": lambda sound: lambda n, size, *, generator: [torch.arange(n)] * (-(-n // size))
        },
    },
)
def a_mini_batch_gradient_is_unbiased(lib, trial, size):
    """Reading: an epoch of 32 samples in batches of 5 holds each sample once, in six batches of 5 and one of 2, and the projection
    of its first batch's gradient onto the full one has mean |g|², to a tenth of its spread.
    Why: in a random order each sample is as likely to be in the first batch as any other; a mean of unbiased gradients is unbiased."""
    return cut_into_batches(lib, trial, 32, size) & first_batch_is_unbiased(lib, trial, 32, size)


@claim(
    "gfg-25.10",
    "A mini-batch gradient is less noisy than that of a single sample: its variance falls as one over the batch size.",
    needs=["mean_gradient"],
    cases=[{"size": b} for b in (2, 5, 10, 20)],
    setting={"copies": False},
    reading="drawn with replacement",
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

    return trial.variance(draw, 4.0 / size, detects=0.05, what=f"variance of the mean of {size} gradients")


@claim(
    "gfg-25.10",
    "Drawn without replacement, the noise of a batch falls even faster.",
    needs=["mean_gradient"],
    cases=[{"size": b} for b in (2, 4, 7)],
    reading="drawn without replacement",
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

    return trial.prefers(pair, what="one pass of single samples ends nearer", most=128)


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
    return at_least(singles.std(0).max(), 1e-9, what="spread of single-sample gradients") & at_most(
        batch_spread, rounding, what="difference of batch gradients of two orders, against rounding"
    )


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

    return trial.prefers(pair, what="mini-batches end nearer at equal work", most=128)
