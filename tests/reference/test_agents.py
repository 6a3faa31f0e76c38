"""Agents: memory by hand, and that both learn: returns of trained replicas beside those of a policy of chance."""

from __future__ import annotations

import itertools

import pytest
import torch

from assay.decide import intervals
from reference import agents as ours
from reference.environments import Policy, World, episode_return, grid_world, mass_on_a_line
from tests.reference.protocol import draw

REPLICAS = 32


def layers(*widths: int, seed: int = 0) -> list[torch.Tensor]:
    """Replicas of a net of rectifiers: weights of variance 2 / fan-in, no biases."""
    pairs = [
        (draw(REPLICAS, b, a, seed=seed + k) * (2 / a) ** 0.5, torch.zeros(REPLICAS, b, dtype=torch.float64))
        for k, (a, b) in enumerate(itertools.pairwise(widths))
    ]
    return [p for pair in pairs for p in pair]


def returns(world: World, policy: Policy, discount: float) -> torch.Tensor:
    """The mean return of each replica over a hundred episodes; the same starts for every policy."""
    generator = torch.Generator().manual_seed(1)
    return episode_return(world, policy, shape=(REPLICAS, 100), discount=discount, generator=generator).mean(-1)


GRID, LINE = grid_world(3, horizon=10), mass_on_a_line()


def test_deep_q_learning_earns_more_than_chance() -> None:
    start, chance = layers(9, 32, 4), torch.Generator().manual_seed(2)
    trained = ours.deep_q_learning(GRID, start, steps=600, eps=0.5, generator=torch.Generator().manual_seed(0))
    greedy, untaught = (
        returns(GRID, lambda seen, p=p: ours.action_values(p, seen).argmax(-1), 0.95) for p in (trained, start)
    )
    random = returns(GRID, lambda seen: torch.randint(4, seen.shape[:-1], generator=chance), 0.95)
    best = sum(0.95 ** (d - 1) for d in (4, 3, 2, 3, 2, 1, 2, 1)) / 8  # steps to the goal from each start
    # half of the way from chance to the best is asked
    assert intervals.median(greedy - random, 1e-3)[0] > (best - float(random.mean())) / 2
    assert intervals.median(untaught - random, 1e-3)[0] < 0


def test_a_deterministic_policy_gradient_earns_more_than_chance() -> None:
    actor, critic = ([*net[:-2], net[-2] / 10, net[-1]] for net in (layers(2, 32, 1), layers(3, 32, 1, seed=5)))
    chance = torch.Generator().manual_seed(2)
    generator = torch.Generator().manual_seed(0)
    trained, _ = ours.deterministic_policy_gradient(LINE, actor, critic, steps=300, generator=generator)
    taught, untaught = (
        returns(LINE, lambda seen, p=p: ours.deterministic_policy(p, seen), 1.0) for p in (trained, actor)
    )
    still = returns(LINE, lambda seen: torch.zeros(*seen.shape[:-1], 1, dtype=seen.dtype), 1.0)
    random = returns(
        LINE, lambda seen: 2 * torch.rand(*seen.shape[:-1], 1, generator=chance, dtype=seen.dtype) - 1, 1.0
    )
    # a return is minus a cost: nine tenths of what chance and what no force at all cost are asked to be saved
    assert intervals.median(taught - 0.1 * random, 1e-3)[0] > 0
    assert intervals.median(taught - 0.1 * still, 1e-3)[0] > 0
    assert intervals.median(untaught - 0.1 * random, 1e-3)[0] < 0


def test_a_target_net_that_never_follows_learns_no_way_longer_than_a_step() -> None:
    still = ours.deep_q_learning(
        GRID,
        layers(9, 32, 4),
        steps=500,
        eps=0.5,
        refresh=10_000,
        discount=0.0,
        generator=torch.Generator().manual_seed(0),
    )
    values = ours.action_values(still, torch.eye(9, dtype=torch.float64).expand(REPLICAS, 9, 9))
    # without a discounted future only the two places beside the goal are worth anything: the others say 0
    assert float(values[:, [5, 7]].amax(-1).mean()) > 0.5
    assert float(values[:, [0, 1, 3]].mean(0).abs().max()) < 0.2


def test_the_oldest_transition_makes_room() -> None:
    memory = None
    for step in range(5):
        memory = ours.remember(memory, [torch.tensor([step, 10 + step])], step=step, capacity=3)
    assert memory is not None
    assert memory[0].tolist() == [[3, 4, 2], [13, 14, 12]]


def test_only_what_was_remembered_is_recalled_and_all_of_it() -> None:
    memory = ours.remember(None, [torch.ones(2, dtype=torch.float64), torch.ones(2, 3)], step=0, capacity=4)
    memory = ours.remember(memory, [2 * part[:, 0] for part in memory], step=1, capacity=4)
    first, second = ours.recall(memory, 100, filled=2, generator=torch.Generator().manual_seed(0))
    assert (first.shape, second.shape) == ((2, 100), (2, 100, 3))
    assert torch.equal(first.float(), second[..., 0])  # the parts of a transition stay together
    # a value is missed by 100 draws of two with probability 2^-100
    assert all(set(row) == {1.0, 2.0} for row in first.tolist())


def test_the_same_seed_gives_the_same_agent() -> None:
    def trained(seed: int) -> list[torch.Tensor]:
        return ours.deep_q_learning(GRID, layers(9, 4), steps=10, generator=torch.Generator().manual_seed(seed))

    assert all(torch.equal(a, b) for a, b in zip(trained(0), trained(0), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(trained(0), trained(1), strict=True))


def test_agents_learn_in_the_dtype_of_their_world() -> None:
    values, actor, critic = ([p.float() for p in layers(*widths)] for widths in ((9, 4), (2, 1), (3, 1)))
    generator, dtype = torch.Generator().manual_seed(0), torch.float32
    trained = ours.deep_q_learning(grid_world(3, dtype=dtype), values, steps=3, generator=generator)
    world = mass_on_a_line(dtype=dtype)
    nets = ours.deterministic_policy_gradient(world, actor, critic, steps=3, generator=generator)
    assert {p.dtype for net in (trained, *nets) for p in net} == {dtype}


NONE, ITEM = torch.Generator(), [torch.ones(2)]
REFUSED = {
    "no step": (lambda: ours.deep_q_learning(GRID, layers(9, 4), steps=0, generator=NONE), "steps out of range: 0"),
    "never": (lambda: ours.deep_q_learning(GRID, layers(9, 4), steps=1, refresh=0, generator=NONE), "refresh"),
    "too curious": (lambda: ours.deep_q_learning(GRID, layers(9, 4), steps=1, eps=2.0, generator=NONE), "eps"),
    "no noise": (
        lambda: ours.deterministic_policy_gradient(
            LINE, layers(2, 1), layers(3, 1), steps=1, noise=-1.0, generator=NONE
        ),
        "noise >= 0",
    ),
    "no room": (lambda: ours.remember(None, ITEM, step=0, capacity=0), "capacity 0"),
    "items that do not fit": (lambda: ours.remember([draw(2, 3)], ITEM * 2, step=0, capacity=3), "2 items for 1 parts"),
    "nothing remembered": (lambda: ours.recall([draw(2, 3)], 1, filled=0, generator=NONE), "filled 0"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
