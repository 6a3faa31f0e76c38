"""What a verdict costs: decisions, a proof, and a hundred trainings at once against one after another.

Run by `python3 -m nox -s benchmarks`; times are of this machine, so read the ratios within a group.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.config import load_config
from assay.decide.proofs import both, floordiv, proved
from assay.decide.trial import Trial
from assay.subject import load_subjects
from claims.lab import tasks
from claims.lab.training import fit, mlp, random_layers

SUBJECTS = load_subjects(load_config(Path(__file__).parent).subjects)
REPLICAS, STEPS = 100, 20


@pytest.mark.benchmark(group="one decision at the run's level")
@pytest.mark.parametrize("subject", SUBJECTS)
def test_he_variance_to_five_percent(benchmark: Callable[..., Any], subject: str) -> None:
    def decide() -> Any:
        def draw(n: int, g: torch.Generator) -> torch.Tensor:
            return SUBJECTS[subject].roles["he_normal"]((n, 64), generator=g)[:, 0]

        return Trial(1).variance(draw, 2 / 64, detects=0.05, what="variance")

    assert benchmark(decide).outcome == "holds"


@pytest.mark.benchmark(group="one proof")
def test_output_size_over_all_integers(benchmark: Callable[..., Any]) -> None:
    def prove() -> Any:
        return proved(
            lambda n, K, s: floordiv(n - K, s) * s <= n - K,
            over={"n": int, "K": int, "s": int},
            assuming=lambda n, K, s: both(n >= K, K >= 1, s >= 1),
            what="last window",
        )

    assert benchmark(prove).outcome == "holds"


@pytest.mark.benchmark(group="a hundred trainings")
@pytest.mark.parametrize("at_once", [REPLICAS, 1])
@pytest.mark.parametrize("subject", SUBJECTS)
def test_training(benchmark: Callable[..., Any], subject: str, at_once: int) -> None:
    """2-8-1 tanh nets on exclusive or, 20 steps of descent: all replicas in one batch, or one by one."""
    roles = SUBJECTS[subject].library(["dense", "tanh", "sgd"])
    x, y = tasks.xor()

    def train() -> torch.Tensor:
        g = torch.Generator().manual_seed(0)
        ends = []
        for _ in range(REPLICAS // at_once):
            start = random_layers([2, 8, 1], at_once, g)

            def loss(params: Any, step: int) -> torch.Tensor:
                return (mlp(roles, params, x, roles.tanh)[..., 0] - y).square().mean(-1)

            ends.append(loss(fit(loss, start, lambda p, s, t: roles.sgd(p, s, t, lr=0.5), STEPS), 0))
        return torch.cat(ends)

    assert benchmark.pedantic(train, rounds=3).shape == (REPLICAS,)
