"""Generative models: closed forms against torch.distributions, losses against formulas, the machine by enumeration."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from assay.decide.trial import Trial
from assay.evidence import gamma
from reference import generative as ours
from tests.reference.protocol import Case, draw


def divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    law = torch.distributions.Normal(mean, (log_variance / 2).exp())
    standard = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return torch.distributions.kl_divergence(law, standard).sum(-1)


MOMENTS = (draw(4, 3), draw(4, 3, seed=1))
CASES = {
    "divergence": Case(ours.gaussian_divergence, MOMENTS, divergence, scale=20),
    "reparameterise": Case(
        ours.reparameterise, (*MOMENTS, draw(4, 3, seed=2)), lambda m, v, e: m + torch.sqrt(v.exp()) * e, scale=20
    ),
}


def test_the_divergence_of_almost_standard_laws_keeps_its_figures() -> None:
    tiny = torch.full((1,), 1e-5, dtype=torch.float64)
    found = ours.gaussian_divergence(torch.zeros(1, dtype=torch.float64), tiny)
    # v²/4 + v³/12: expm1 rounds at the size of v, so a figure of v²/4 is known to about u/v
    assert float(found) == pytest.approx(1e-10 / 4 + 1e-15 / 12, rel=1e-10)


def test_corruption_hits_the_share_and_only_that() -> None:
    def hit(n: int, g: torch.Generator) -> torch.Tensor:
        return ours.corrupt(torch.full((n,), 3.0, dtype=torch.float64), share=0.3, generator=g) == 0

    assert Trial(0).proportion(hit, 0.3, detects=0.01, what="share of zeros").outcome == "holds"
    assert Trial(0).proportion(lambda n, g: ~hit(n, g), 0.3, detects=0.01, what="share kept").outcome == "fails"
    x = ours.corrupt(draw(50), share=0.3, generator=torch.Generator().manual_seed(0))
    assert bool(((x == 0) | (x == draw(50))).all())


def test_adversarial_losses_are_their_formulas() -> None:
    real, fake = draw(6), draw(6, seed=1)
    d_real, d_fake = torch.sigmoid(real), torch.sigmoid(fake)
    expected = {
        "discriminator": (ours.discriminator_loss(real, fake), -(d_real.log().mean() + (1 - d_fake).log().mean())),
        "original": (ours.generator_loss(fake, form="original"), (1 - d_fake).log().mean()),
        "non-saturating": (ours.generator_loss(fake), -d_fake.log().mean()),
    }
    for found, formula in expected.values():
        assert float((found - formula).abs()) <= gamma(64, torch.float64) * 4  # logarithms below 4


def test_only_the_non_saturating_loss_has_a_gradient_while_the_discriminator_is_sure() -> None:
    fake = torch.tensor([-30.0], dtype=torch.float64)
    slope = {
        form: float(torch.func.grad(lambda z, form=form: ours.generator_loss(z, form=form))(fake).abs())
        for form in ("original", "non-saturating")
    }
    assert slope["original"] < 1e-12
    assert slope["non-saturating"] == pytest.approx(1.0, abs=1e-12)  # sigmoid(-30) = 9e-14


W, B, C = draw(2, 3), draw(3, seed=1), draw(2, seed=2)


def states(d: int) -> torch.Tensor:
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=d)), dtype=torch.float64)


def test_free_energy_sums_over_the_hidden_states() -> None:
    v, h = states(3), states(2)
    energies = -(v @ B)[:, None] - (h @ C)[None] - v @ W.T @ h.T
    expected = -torch.logsumexp(-energies, -1)
    assert float((ours.free_energy(v, W, B, C) - expected).abs().max()) <= gamma(64, torch.float64) * 20


def test_gibbs_steps_keep_the_law_of_the_machine() -> None:
    p = torch.softmax(-ours.free_energy(states(3), W, B, C), 0)

    def found(n: int, g: torch.Generator) -> torch.Tensor:
        start = states(3)[torch.multinomial(p, n, replacement=True, generator=g)]
        after = ours.gibbs_step(start, (W, B, C), generator=g)
        return (after == states(3)[5]).all(-1)

    assert Trial(0).proportion(found, float(p[5]), detects=0.02, what="probability of one state").outcome == "holds"
    assert Trial(0).proportion(found, float(p[2]), detects=0.02, what="probability of another").outcome == "fails"


def test_long_contrastive_divergence_is_the_gradient_of_the_likelihood() -> None:
    data = states(3)[[1, 1, 6, 7]]

    def likelihood(w: torch.Tensor) -> torch.Tensor:
        return -ours.free_energy(data, w, B, C).mean() - torch.logsumexp(-ours.free_energy(states(3), w, B, C), 0)

    exact = torch.func.grad(likelihood)(W)
    n = 100_000
    moved, _, _ = ours.contrastive_divergence(
        data.repeat(n // 4, 1), (W, B, C), steps=20, generator=torch.Generator().manual_seed(0)
    )
    # each entry is a mean of n numbers in [0, 1]: seven standard errors; after 20 steps the start is forgotten
    assert float((moved - exact).abs().max()) <= 7 * 0.5 / math.sqrt(n)


def test_contrastive_divergence_learns_more_than_independent_bits() -> None:
    machine, generator = (0.1 * W, 0 * B, 0 * C), torch.Generator().manual_seed(0)
    data = states(3)[[1, 1, 6, 7]].repeat(25, 1)
    for _ in range(1000):
        slopes = ours.contrastive_divergence(data, machine, generator=generator)
        machine = tuple(p + 0.1 * s for p, s in zip(machine, slopes, strict=True))  # type: ignore[assignment]
    log_z = torch.logsumexp(-ours.free_energy(states(3), *machine), 0)
    likelihood = -ours.free_energy(data, *machine).mean() - log_z
    p = data.mean(0)
    independent = (p * p.log() + (1 - p) * (1 - p).log()).sum()  # the best that no weights can do
    assert float(likelihood) > float(independent) + 0.1


REFUSED = {
    "moments that differ": (lambda: ours.gaussian_divergence(draw(3), draw(4)), "shapes that differ"),
    "noise that differs": (lambda: ours.reparameterise(draw(3), draw(3), draw(1)), "shapes that differ"),
    "share above one": (lambda: ours.corrupt(draw(3), share=1.5, generator=torch.Generator()), "0 <= share <= 1"),
    "unknown form": (lambda: ours.generator_loss(draw(3), form="best"), "one of original, non-saturating"),
    "states that are no bits": (lambda: ours.free_energy(draw(4, 3), W, B, C), "states 0 or 1"),
    "biases that do not fit": (lambda: ours.free_energy(states(3), W, C, B), "do not fit"),
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
