"""Initialisers: fans, exact bounds, moments by sequential decisions, orthogonality, planted mistakes, bad input."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from assay.decide.trial import Trial
from assay.evidence import gamma
from reference import initialization as ours
from subjects.torch_nn import initialization as theirs

SHAPE = (12, 20)  # fan_in 20, fan_out 12, their mean 16
VARIANCE: dict[str, tuple[Callable[..., torch.Tensor], dict[str, Any], float]] = {
    "normal": (ours.normal, {"sd": 0.3}, 0.09),
    "xavier": (ours.xavier_normal, {}, 1 / 16),
    "he, fan-in": (ours.he_normal, {}, 2 / 20),
    "he, fan-out": (ours.he_normal, {"fan": "out"}, 2 / 12),
    "he, average": (ours.he_normal, {"fan": "average"}, 2 / 16),
    "he, leaky": (ours.he_normal, {"slope": 0.5}, 2 / 20 / 1.25),
}
BOUND: dict[str, tuple[Callable[..., torch.Tensor], dict[str, Any], float]] = {
    "uniform": (ours.uniform, {"bound": 0.3}, 0.3),
    "xavier": (ours.xavier_uniform, {}, math.sqrt(3 / 16)),
    "he, fan-in": (ours.he_uniform, {}, math.sqrt(6 / 20)),
    "he, fan-out": (ours.he_uniform, {"fan": "out"}, math.sqrt(6 / 12)),
    "he, average": (ours.he_uniform, {"fan": "average"}, math.sqrt(6 / 16)),
    "he, leaky": (ours.he_uniform, {"slope": 0.5}, math.sqrt(6 / 20 / 1.25)),
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def entries(initialise: Callable[..., torch.Tensor], options: dict[str, Any]) -> Callable[..., torch.Tensor]:
    def draw(n: int, g: torch.Generator) -> torch.Tensor:
        matrices = math.ceil(n / math.prod(SHAPE))
        return torch.cat([initialise(SHAPE, generator=g, **options).flatten() for _ in range(matrices)])[:n]

    return draw


@pytest.mark.parametrize("name", VARIANCE)
def test_normal_weights_have_the_variance_of_their_rule(name: str) -> None:
    initialise, options, variance = VARIANCE[name]
    draw = entries(initialise, options)
    found = Trial(0).variance(draw, variance, detects=0.05, what="variance") & Trial(1).distribution(
        draw, lambda w: torch.special.ndtr(w / variance**0.5), detects=0.02, what="distance to the normal law"
    )
    assert found.outcome == "holds"


@pytest.mark.parametrize("name", VARIANCE)
def test_five_per_cent_too_much_variance_is_seen(name: str) -> None:
    initialise, options, variance = VARIANCE[name]
    draw = entries(lambda *a, **k: initialise(*a, **k) * 1.05**0.5, options)
    assert Trial(0).variance(draw, variance, detects=0.05, what="variance").outcome == "fails"


@pytest.mark.parametrize("name", BOUND)
def test_uniform_weights_fill_their_interval(name: str) -> None:
    initialise, options, bound = BOUND[name]
    draw = entries(initialise, options)
    found = Trial(0).distribution(draw, lambda w: (w / bound + 1).clamp(0, 2) / 2, detects=0.02, what="distance")
    assert found.outcome == "holds"
    assert float(draw(10_000, generator()).abs().max()) <= bound * (1 + gamma(4, torch.float64))


@pytest.mark.parametrize("name", BOUND)
def test_an_interval_five_per_cent_too_wide_is_seen(name: str) -> None:
    initialise, options, bound = BOUND[name]
    draw = entries(lambda *a, **k: initialise(*a, **k) * 1.05, options)
    found = Trial(0).distribution(draw, lambda w: (w / bound + 1).clamp(0, 2) / 2, detects=0.02, what="distance")
    assert found.outcome == "fails"


@pytest.mark.parametrize("shape", [SHAPE, (8, 4, 3, 5)])
@pytest.mark.parametrize("name", ["xavier_normal", "xavier_uniform", "he_normal", "he_uniform"])
def test_the_same_generator_gives_the_weights_of_torch(name: str, shape: tuple[int, ...]) -> None:
    for options in [{}] if "xavier" in name else [{}, {"fan": "out"}, {"fan": "average"}, {"slope": 0.5}]:
        mine = getattr(ours, name)(shape, generator=generator(), **options)
        other = getattr(theirs, name)(shape, generator=generator(), **options)
        assert float((mine - other).abs().max()) <= gamma(8, torch.float64) * float(other.abs().max())


def test_fans_count_kernel_entries() -> None:
    assert ours.fans((6, 4)) == (4, 6)
    assert ours.fans((8, 4, 3, 5)) == (60, 120)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (4, 2, 3), (1, 1)])
def test_orthogonal_weights_are_orthonormal_along_their_shorter_side(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    w = ours.orthogonal(shape, generator=generator(), dtype=dtype).flatten(1)
    gram = w @ w.mT if w.shape[0] <= w.shape[1] else w.mT @ w
    assert w.dtype == dtype
    allowed = gamma(8 * w.numel(), dtype)  # Householder's bound, a small multiple of rows · columns roundings
    assert float((gram - torch.eye(gram.shape[0], dtype=dtype)).abs().max()) <= allowed


def test_orthogonal_weights_are_drawn_evenly_from_both_halves() -> None:
    def positive(n: int, g: torch.Generator) -> torch.Tensor:
        return torch.stack([ours.orthogonal((2, 2), generator=g)[0, 0] > 0 for _ in range(n)])

    assert Trial(0).proportion(positive, 0.5, detects=0.1, what="share of positive first entries").outcome == "holds"

    def unsigned(n: int, g: torch.Generator) -> torch.Tensor:
        return torch.stack([torch.linalg.qr(ours.normal((2, 2), sd=1.0, generator=g)).Q[0, 0] > 0 for _ in range(n)])

    assert Trial(0).proportion(unsigned, 0.5, detects=0.1, what="share of positive first entries").outcome == "fails"


def test_zeros_and_constants() -> None:
    assert not bool(ours.zeros((2, 3)).any())
    assert ours.constant((2, 2), 0.25, dtype=torch.float32).tolist() == [[0.25, 0.25], [0.25, 0.25]]


@pytest.mark.parametrize("name", ["normal", "uniform", "xavier_normal", "he_normal", "orthogonal"])
def test_a_seed_gives_its_weights_and_another_seed_others(name: str) -> None:
    options = {"normal": {"sd": 1.0}, "uniform": {"bound": 1.0}}.get(name, {})
    first, again, other = (getattr(ours, name)(SHAPE, generator=generator(s), **options) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "negative size": (lambda: ours.zeros((2, -1)), "sizes that are none"),
    "size that is no integer": (lambda: ours.normal((2.0, 3), sd=1.0, generator=generator()), "sizes that are none"),
    "no fans": (lambda: ours.xavier_normal((3,), generator=generator()), "without fans"),
    "empty fan": (lambda: ours.he_normal((3, 0), generator=generator()), "without fans"),
    "vector": (lambda: ours.orthogonal((3,), generator=generator()), "without fans"),
    "negative spread": (lambda: ours.normal((3,), sd=-1.0, generator=generator()), "0 <= sd"),
    "NaN bound": (lambda: ours.uniform((3,), bound=math.nan, generator=generator()), "0 <= bound"),
    "infinite constant": (lambda: ours.constant((3,), math.inf), "not finite"),
    "unknown fan": (lambda: ours.he_normal(SHAPE, fan="mean", generator=generator()), "one of in, out, average"),
    "infinite slope": (
        lambda: ours.he_uniform(SHAPE, slope=math.inf, generator=generator()),
        "slope that is not finite",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()


def test_pretrained_weights_are_a_copy_of_what_was_learned() -> None:
    learned = torch.randn(2, 3, generator=generator(), dtype=torch.float32, requires_grad=True)
    w = ours.pretrained((2, 3), learned)
    assert w.dtype == torch.float64
    assert not w.requires_grad
    assert torch.equal(w, learned.detach().double())
    same = ours.pretrained((2, 3), learned, dtype=torch.float32)
    same += 1
    assert not torch.equal(same, learned.detach())
    for wrong, message in ((torch.ones(3, 2), "another shape"), (torch.full((2, 3), torch.nan), "not finite")):
        with pytest.raises(ValueError, match=message):
            ours.pretrained((2, 3), wrong)
