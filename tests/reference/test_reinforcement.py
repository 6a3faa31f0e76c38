"""Value learning: targets on a chain whose values are known, exploration by counting, bad input."""

from __future__ import annotations

import pytest
import torch

from assay.decide.trial import Trial
from assay.evidence import gamma
from reference import reinforcement as ours
from tests.reference.protocol import Case, draw

Q, ACTIONS = draw(5, 3), torch.tensor([0, 2, 1, 1, 2])
CASES = {
    "chosen values": Case(ours.chosen_values, (Q, ACTIONS), lambda q, a: q[torch.arange(len(a)), a]),
    "actor loss": Case(ours.actor_loss, (Q,), lambda q: -q.sum(-1) / q.shape[-1], scale=4),
}


LENGTH, DISCOUNT = 6, 0.9


def chain() -> tuple[torch.Tensor, ...]:
    """A corridor of six places; action 1 goes on, 0 goes back; reaching the end pays 1 and is final."""
    place = torch.arange(LENGTH).repeat_interleave(2)
    action = torch.tensor([0, 1]).repeat(LENGTH)
    after = (place + 2 * action - 1).clamp(0)
    done = after == LENGTH
    return place, action, done.to(torch.float64), after.clamp(max=LENGTH - 1), done


def test_repeated_targets_find_the_values_of_a_chain() -> None:
    place, action, reward, after, done = chain()
    q = torch.zeros(LENGTH, 2, dtype=torch.float64)
    for _ in range(LENGTH + 1):
        targets = ours.bellman_target(reward, q[after], done, discount=DISCOUNT)
        q = torch.zeros_like(q).index_put((place, action), targets)
    on = DISCOUNT ** torch.arange(LENGTH - 1, -1, -1, dtype=torch.float64)
    assert float((q[:, 1] - on).abs().max()) <= gamma(4 * LENGTH, torch.float64)
    assert q.argmax(-1).tolist() == [1] * LENGTH


def test_descent_on_the_loss_finds_them_too() -> None:
    place, action, reward, after, done = chain()
    q = torch.zeros(LENGTH, 2, dtype=torch.float64)
    for _ in range(100):
        leaf = q.clone().requires_grad_()
        targets = ours.bellman_target(reward, leaf[after], done, discount=DISCOUNT)
        (slope,) = torch.autograd.grad(ours.temporal_difference_loss(leaf[place], action, targets), leaf)
        q = q - 0.5 * LENGTH * 2 * 0.5 * slope  # halves the distance to every target
    on = DISCOUNT ** torch.arange(LENGTH - 1, -1, -1, dtype=torch.float64)
    # each sweep leaves at most (1 + discount)/2 of the error
    assert float((q[:, 1] - on).abs().max()) <= ((1 + DISCOUNT) / 2) ** 100


def test_a_given_next_value_is_taken_as_it_is_and_gets_no_gradient() -> None:
    value = draw(4).requires_grad_()
    done = torch.tensor([False, True, False, False])
    target = ours.bellman_target(torch.ones(4, dtype=torch.float64), value, done, discount=0.5)
    assert not target.requires_grad
    assert torch.equal(target, torch.where(done, 1.0, 1 + 0.5 * value.detach()))


def test_exploration_takes_any_action_with_its_share() -> None:
    q = torch.tensor([0.1, 0.9, 0.3, 0.2], dtype=torch.float64)

    def best(n: int, g: torch.Generator) -> torch.Tensor:
        return ours.epsilon_greedy(q.expand(n, 4), eps=0.2, generator=g) == 1

    assert Trial(0).proportion(best, 0.85, detects=0.01, what="share of the best action").outcome == "holds"
    assert Trial(0).proportion(best, 0.8, detects=0.01, what="share of the best action").outcome == "fails"
    greedy = ours.epsilon_greedy(draw(50, 4), eps=0.0, generator=torch.Generator().manual_seed(0))
    assert torch.equal(greedy, draw(50, 4).argmax(-1))


def test_a_target_net_follows_slowly() -> None:
    targets, online = [draw(3), draw(2, 2)], [draw(3, seed=1), draw(2, 2, seed=1)]
    for _ in range(50):
        targets = ours.soft_update(targets, online, rate=0.1)
    for first, now, goal in zip([draw(3), draw(2, 2)], targets, online, strict=True):
        expected = goal + 0.9**50 * (first - goal)
        assert float((now - expected).abs().max()) <= gamma(200, torch.float64) * 8


def test_the_actor_climbs_towards_the_best_action() -> None:
    action = torch.tensor([2.0], dtype=torch.float64)
    for _ in range(100):
        action = action - 0.1 * torch.func.grad(lambda a: ours.actor_loss(-((a - 0.5) ** 2)))(action)
    assert float((action - 0.5).abs()) <= 1.5 * 0.8**100 + gamma(
        400, torch.float64
    )  # each step leaves 0.8 of the error


NO = torch.zeros(5, dtype=torch.bool)
REFUSED = {
    "discount above one": (lambda: ours.bellman_target(draw(5), Q, NO, discount=1.1), "0 <= discount <= 1"),
    "done as numbers": (lambda: ours.bellman_target(draw(5), Q, draw(5)), "expected booleans"),
    "rewards that do not fit": (lambda: ours.bellman_target(draw(4), Q, NO), "do not fit"),
    "action that is not there": (lambda: ours.chosen_values(Q, ACTIONS + 1), "0 <= action < 3"),
    "actions that do not fit": (lambda: ours.chosen_values(Q, ACTIONS[:2]), "actions that do not fit"),
    "no value": (lambda: ours.actor_loss(draw(0)), "empty axis"),
    "eps above one": (lambda: ours.epsilon_greedy(Q, eps=2.0, generator=torch.Generator()), "0 <= eps <= 1"),
    "rate above one": (lambda: ours.soft_update([Q], [Q], rate=2.0), "0 <= rate <= 1"),
    "parameters that do not match": (lambda: ours.soft_update([Q], [Q, Q], rate=0.1), "do not match"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
