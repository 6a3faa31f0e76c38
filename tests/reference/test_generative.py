"""Generative models: closed forms against torch.distributions, corruption by counting, losses against formulas."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from assay.decide.trial import Trial
from assay.evidence import gamma
from reference import generative as ours
from tests.reference.protocol import Case, draw


def divergence(mean: torch.Tensor, log_variance: torch.Tensor) -> torch.Tensor:
    law = torch.distributions.Normal(mean, (log_variance / 2).exp())
    standard = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    return torch.distributions.kl_divergence(law, standard).sum(-1)


def discriminator(real: torch.Tensor, fake: torch.Tensor) -> torch.Tensor:
    on_real = functional.binary_cross_entropy_with_logits(real, torch.ones_like(real))
    return on_real + functional.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))


def generator(fake: torch.Tensor, form: str) -> torch.Tensor:
    return {"original": functional.logsigmoid(-fake).mean(), "non-saturating": -functional.logsigmoid(fake).mean()}[
        form
    ]


MOMENTS = (draw(4, 3), draw(4, 3, seed=1))
LOGITS = 3 * draw(4, 2, seed=4)
CASES = {
    "divergence": Case(ours.gaussian_divergence, MOMENTS, divergence, scale=20),
    "reparameterise": Case(
        ours.reparameterise, (*MOMENTS, draw(4, 3, seed=2)), lambda m, v, e: m + torch.sqrt(v.exp()) * e, scale=20
    ),
    "discriminator": Case(ours.discriminator_loss, (3 * draw(5), LOGITS), discriminator, scale=4),
    "generator, original": Case(ours.generator_loss, (LOGITS,), generator, {"form": "original"}, scale=4),
    "generator, non-saturating": Case(ours.generator_loss, (LOGITS,), generator, {"form": "non-saturating"}, scale=4),
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


def test_an_autoencoder_of_the_leading_directions_gives_back_what_lies_in_their_plane() -> None:
    """Data of rank 2 in 5 dimensions: two singular directions as encoder and decoder lose nothing but roundings."""
    x = draw(7, 2) @ draw(2, 5, seed=1)
    directions = torch.linalg.svd(x, full_matrices=False).Vh[:2]  # (2, 5)
    zeros = torch.zeros(5, dtype=torch.float64)
    code, y = ours.autoencoder(x, [directions, zeros[:2]], [directions.T, zeros], torch.tanh)
    assert code.shape == (7, 2)
    # sums of 5 and of 2 products; the decomposition adds errors of some dozen roundings of the largest singular value
    assert float((y - x).abs().max()) <= gamma(100, torch.float64) * float(torch.linalg.matrix_norm(x, 2))
    _, poorer = ours.autoencoder(x, [directions[:1], zeros[:1]], [directions[:1].T, zeros], torch.tanh)
    lost = torch.linalg.svdvals(x)[1]
    assert float((poorer - x).norm()) == pytest.approx(float(lost), rel=gamma(1000, torch.float64))


REFUSED = {
    "a decoder that leads elsewhere": (
        lambda: ours.autoencoder(draw(3, 4), [draw(2, 4), draw(2)], [draw(3, 2), draw(3)], torch.tanh),
        "does not lead back",
    ),
    "moments that differ": (lambda: ours.gaussian_divergence(draw(3), draw(4)), "shapes that differ"),
    "noise that differs": (lambda: ours.reparameterise(draw(3), draw(3), draw(1)), "shapes that differ"),
    "share above one": (lambda: ours.corrupt(draw(3), share=1.5, generator=torch.Generator()), "0 <= share <= 1"),
    "unknown form": (lambda: ours.generator_loss(draw(3), form="best"), "one of original, non-saturating"),
    "integer logits": (lambda: ours.discriminator_loss(torch.ones(3).long(), draw(3)), "got integers"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
