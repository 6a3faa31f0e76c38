"""The restricted Boltzmann machine: energies and gradients by enumeration of all states, Gibbs steps by counting."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from assay.decide.trial import Trial
from assay.evidence import gamma
from reference import boltzmann as ours
from tests.reference.protocol import Case, draw

W, B, C = draw(2, 3), draw(3, seed=1), draw(2, seed=2)


def states(d: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=d)), dtype=torch.float64)


def energy(v: torch.Tensor, h: torch.Tensor, w: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    return (
        -torch.einsum("...nd,...d->...n", v, b)
        - torch.einsum("...nk,...k->...n", h, c)
        - torch.einsum("...nk,...kd,...nd->...n", h, w, v)
    )


def summed(v: torch.Tensor, w: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
    """The free energy as a sum over all states of the hidden units."""
    every = [energy(v, h.expand(*v.shape[:-1], -1), w, b, c) for h in states(w.shape[-2])]
    return -torch.logsumexp(-torch.stack(every), 0)


MACHINES = (draw(2, 4, 3, seed=3), draw(2, 3, seed=4), draw(2, 4, seed=5))
CASES = {
    "joint energy": Case(ours.joint_energy, (draw(5, 3, seed=6), draw(5, 2, seed=7), W, B, C), energy, scale=16),
    "joint energy, two machines": Case(
        ours.joint_energy, (draw(5, 3, seed=6), draw(2, 5, 4, seed=7), *MACHINES), energy, scale=16
    ),
    "free energy": Case(ours.free_energy, (draw(5, 3, seed=8), W, B, C), summed, scale=16),
    "free energy, two machines": Case(ours.free_energy, (draw(5, 3, seed=8), *MACHINES), summed, scale=16),
}


def test_free_energy_sums_over_the_hidden_states() -> None:
    found = ours.free_energy(states(3), W, B, C)
    assert float((found - summed(states(3), W, B, C)).abs().max()) <= gamma(64, torch.float64) * 20


def test_the_states_are_all_states() -> None:
    assert torch.equal(ours.binary_states(3, like=W), states(3))


def test_probabilities_are_shares_of_the_joint_states() -> None:
    pairs = torch.stack([-energy(states(3), h.expand(8, -1), W, B, C) for h in states(2)])  # (4, 8)
    expected = pairs.logsumexp(0) - pairs.flatten().logsumexp(0)
    found = ours.log_probability(states(3), (W, B, C))
    assert float((found - expected).abs().max()) <= gamma(64, torch.float64) * 20
    assert float((found.exp().sum() - 1).abs()) <= gamma(64, torch.float64) * 20


DATA = states(3)[[1, 1, 6, 7]]


def test_the_exact_gradient_is_the_slope_of_the_enumerated_likelihood() -> None:
    def likelihood(w: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        pairs = torch.stack([-energy(states(3), h.expand(8, -1), w, b, c) for h in states(2)])
        return (pairs.logsumexp(0) - pairs.flatten().logsumexp(0))[[1, 1, 6, 7]].mean()

    expected = torch.func.grad(likelihood, argnums=(0, 1, 2))(W, B, C)
    for found, slope in zip(ours.likelihood_gradient(DATA, (W, B, C)), expected, strict=True):
        assert float((found - slope).abs().max()) <= gamma(512, torch.float64)  # entries are means of shares


def test_replicas_learn_each_for_itself() -> None:
    together = ours.likelihood_gradient(DATA, MACHINES)
    for k in range(2):
        alone = ours.likelihood_gradient(DATA, (MACHINES[0][k], MACHINES[1][k], MACHINES[2][k]))
        for found, slope in zip(together, alone, strict=True):
            assert float((found[k] - slope).abs().max()) <= gamma(512, torch.float64)


def test_gibbs_steps_keep_the_law_of_the_machine() -> None:
    p = ours.log_probability(states(3), (W, B, C)).exp()

    def found(n: int, g: torch.Generator) -> torch.Tensor:
        start = states(3)[torch.multinomial(p, n, replacement=True, generator=g)]
        after = ours.gibbs_step(start, (W, B, C), generator=g)
        return (after == states(3)[5]).all(-1)

    assert Trial(0).proportion(found, float(p[5]), detects=0.02, what="probability of one state").outcome == "holds"
    assert Trial(0).proportion(found, float(p[2]), detects=0.02, what="probability of another").outcome == "fails"


def moved(steps: int) -> float:
    """The largest distance of contrastive divergence, over many cases, from the exact gradient."""
    generator = torch.Generator().manual_seed(0)
    found = ours.contrastive_divergence(DATA.repeat(CASES_EACH, 1), (W, B, C), steps=steps, generator=generator)
    exact = ours.likelihood_gradient(DATA, (W, B, C))
    return max(float((a - b).abs().max()) for a, b in zip(found, exact, strict=True))


CASES_EACH = 25_000


def test_long_contrastive_divergence_is_the_gradient_of_the_likelihood() -> None:
    # each entry is a mean of n numbers in [0, 1]: seven standard errors; after 20 steps the start is forgotten
    bar = 7 * 0.5 / math.sqrt(4 * CASES_EACH)
    assert moved(20) <= bar
    assert moved(1) > bar  # one step has a bias, and the bar sees it


REFUSED = {
    "states that are no bits": (lambda: ours.log_probability(draw(4, 3), (W, B, C)), "states 0 or 1"),
    "biases that do not fit": (lambda: ours.free_energy(states(3), W, C, B), "do not fit"),
    "hidden states that do not fit": (lambda: ours.joint_energy(states(3), states(3), W, B, C), "do not fit"),
    "integers": (lambda: ours.free_energy(states(3).long(), W, B, C), "got integers"),
    "no units": (lambda: ours.binary_states(0, like=W), "1 to 16"),
    "too many units": (lambda: ours.binary_states(17, like=W), "1 to 16"),
    "no step": (
        lambda: ours.contrastive_divergence(states(3), (W, B, C), steps=0, generator=torch.Generator()),
        "at least 1",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
