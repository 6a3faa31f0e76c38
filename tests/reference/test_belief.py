"""The deep belief network: probabilities by brute force, dreams by counting, and that it learns pictures."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from assay.decide import intervals
from assay.decide.trial import Trial
from assay.evidence import gamma
from reference import belief as ours
from reference.boltzmann import Machine, joint_energy, log_probability
from reference.scenes import bars_and_stripes
from tests.reference.protocol import draw


def states(d: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=d)), dtype=torch.float64)


LOWER: Machine = (draw(2, 3), draw(3, seed=1), draw(2, seed=2))
UPPER: Machine = (draw(4, 2, seed=3), draw(2, seed=4), draw(4, seed=5))


def test_probabilities_are_sums_over_both_hidden_layers() -> None:
    expected = torch.zeros(8, dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for h in states(2):
        on = torch.sigmoid(h @ LOWER[0] + LOWER[1])
        given = torch.where(states(3) == 1, on, 1 - on).prod(-1)
        for top in states(4):
            weight = torch.exp(-joint_energy(h[None], top[None], *UPPER))[0]
            expected, total = expected + weight * given, total + weight
    found = ours.belief_log_probability(states(3), [LOWER, UPPER]).exp()
    assert float((found - expected / total).abs().max()) <= gamma(512, torch.float64)
    assert float((found.sum() - 1).abs()) <= gamma(512, torch.float64)


def test_a_network_of_one_machine_is_that_machine() -> None:
    assert torch.equal(ours.belief_log_probability(states(3), [LOWER]), log_probability(states(3), LOWER))


def test_dreams_follow_the_probabilities() -> None:
    p = ours.belief_log_probability(states(3), [LOWER, UPPER]).exp()
    likely, other = int(p.argmax()), int(p.argsort()[3])

    def found(n: int, g: torch.Generator) -> torch.Tensor:
        return (ours.dream([LOWER, UPPER], n, turns=30, generator=g) == states(3)[likely]).all(-1)

    assert Trial(0).proportion(found, float(p[likely]), detects=0.02, what="share of a dream").outcome == "holds"
    assert Trial(0).proportion(found, float(p[other]), detects=0.02, what="share of another").outcome == "fails"


REPLICAS = 16
INDEPENDENT = -9 * math.log(2)  # each pixel is on in half the pictures: the best without ties
PERFECT = -math.log(14)
PICTURES = bars_and_stripes(3)


def likelihoods(data: torch.Tensor, updates: int) -> torch.Tensor:
    """The exact mean log probability of the pictures under nets trained on `data`: (REPLICAS)."""
    generator = torch.Generator().manual_seed(0)
    machines = ours.belief_network(data, [8, 6], replicas=(REPLICAS,), updates=updates, lr=0.5, generator=generator)
    return ours.belief_log_probability(PICTURES, machines).mean(-1)


def test_greedy_training_learns_the_pictures() -> None:
    gain = likelihoods(PICTURES, 500) - likelihoods(PICTURES, 0)
    low, _ = intervals.median(gain, 1e-4)
    # likelihoods are exact, replicas differ by seed alone: the exact interval of their median gain, in nats
    assert low > (PERFECT - INDEPENDENT) / 2


def test_pictures_whose_pixels_are_shuffled_teach_no_ties() -> None:
    order = torch.rand(140, 9, generator=torch.Generator().manual_seed(1)).argsort(0)
    shuffled = PICTURES.repeat(10, 1).gather(0, order)
    _, high = intervals.median(likelihoods(shuffled, 200) - INDEPENDENT, 1e-4)
    assert high < (PERFECT - INDEPENDENT) / 8


def test_machines_below_stay_as_they_are() -> None:
    generator = torch.Generator().manual_seed(0)
    alone = ours.belief_network(PICTURES, [4], updates=5, lr=0.1, generator=generator)
    generator.manual_seed(0)
    both = ours.belief_network(PICTURES, [4, 2], updates=5, lr=0.1, generator=generator)
    assert all(torch.equal(a, b) for a, b in zip(alone[0], both[0], strict=True))
    assert [tuple(p.shape) for p in both[1]] == [(2, 4), (4,), (2,)]


NONE = torch.Generator()
REFUSED = {
    "no layer": (lambda: ours.belief_network(PICTURES, [], updates=1, lr=0.1, generator=NONE), "no layer"),
    "no unit": (lambda: ours.fresh_machine(3, 0, generator=NONE), "0 hidden units"),
    "no spread": (lambda: ours.fresh_machine(3, 2, sd=0.0, generator=NONE), "sd 0.0"),
    "no dream": (lambda: ours.dream([], 3, generator=NONE), "no machine"),
    "no probability": (lambda: ours.belief_log_probability(states(3), []), "no machine"),
    "negative updates": (lambda: ours.train_machine(states(3), LOWER, updates=-1, lr=1.0, generator=NONE), "updates"),
    "no rate": (lambda: ours.train_machine(states(3), LOWER, updates=1, lr=0.0, generator=NONE), "lr 0.0"),
    "no bits": (lambda: ours.train_machine(draw(4, 3), LOWER, updates=1, lr=1.0, generator=NONE), "states 0 or 1"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
