"""Agents that learn by acting: deep Q-learning, and deep deterministic policy gradients; many at once, as replicas.

R counts replicas: every net is a list w1 (R, h, d), b1 (R, h), ..., every replica acts in a copy of the world of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from reference.activations import relu, tanh
from reference.environments import World
from reference.layers import mlp
from reference.optimization import adam
from reference.reinforcement import actor_loss, bellman_target, epsilon_greedy, soft_update, temporal_difference_loss

Tensors = Sequence[torch.Tensor]
Net = list[torch.Tensor]

__all__ = [
    "action_values", "deep_q_learning", "deterministic_policy", "deterministic_policy_gradient", "recall", "remember",
]  # fmt: skip


def action_values(params: Tensors, seen: torch.Tensor) -> torch.Tensor:
    """The value of every action, as a net of rectifiers estimates it.

    Shapes: seen (R, n, d), params w1 (R, h, d), b1 (R, h), ... -> q (R, n, a)
    (1) q = mlp(seen) with relu
    Errors: ValueError if the parameters do not come in pairs.
    Example: action_values([torch.ones(1, 2, 3), torch.zeros(1, 2)], torch.ones(1, 5, 3)).shape == (1, 5, 2)
    Asked: gfg-4.5
    Source: Mnih et al., Human-level control through deep reinforcement learning (2015), methods.
    """
    return mlp(seen, params, relu)  # (1)


def deterministic_policy(params: Tensors, seen: torch.Tensor) -> torch.Tensor:
    """The action that an actor takes, each of its numbers between -1 and 1.

    Shapes: seen (R, n, d), params w1 (R, h, d), b1 (R, h), ... -> action (R, n, a)
    (1) action = tanh(mlp(seen)) with relu inside
    Errors: ValueError if the parameters do not come in pairs.
    Example: deterministic_policy([torch.zeros(1, 1, 3), torch.zeros(1, 1)], torch.ones(1, 5, 3)).abs().max() == 0
    Asked: gfg-7.7
    Source: Lillicrap et al., Continuous control with deep reinforcement learning (2016), section 7.
    """
    return tanh(mlp(seen, params, relu))  # (1)


def remember(memory: Tensors | None, items: Tensors, *, step: int, capacity: int) -> list[torch.Tensor]:
    """The memory of past transitions with one more, which takes the place of the oldest when it is full.

    Shapes: items (R, ...) each -> memory (R, capacity, ...) each; None is an empty memory
    (1) memory[:, step mod capacity] = item
    Errors: ValueError unless capacity >= 1, step >= 0 and there is an item for each part of the memory.
    Example: remember(None, [torch.ones(1)], step=0, capacity=2)[0].tolist() == [[1.0, 0.0]]
    Asked: gfg-7.7
    Source: Lin, Self-improving reactive agents based on reinforcement learning, planning and teaching (1992).
    """
    if capacity < 1 or step < 0 or (memory is not None and len(memory) != len(items)):
        parts = "none" if memory is None else len(memory)
        raise ValueError(
            f"remember got settings out of range: capacity {capacity}, step {step}, {len(items)} items for {parts} parts, "
            "expected at least 1, at least 0 and an item for each"
        )
    if memory is None:
        memory = [item.new_zeros(item.shape[0], capacity, *item.shape[1:]) for item in items]
    at = torch.tensor([step % capacity], device=items[0].device)
    pairs = zip(memory, items, strict=True)
    return [part.index_copy(1, at, item.unsqueeze(1)) for part, item in pairs]  # (1)


def recall(memory: Tensors, n: int, *, filled: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Past transitions, drawn with replacement and for each replica by itself.

    Shapes: memory (R, capacity, ...) each -> (R, n, ...) each
    (1) n places among the first min(filled, capacity), all equally likely
    Errors: ValueError unless n and filled are at least 1.
    Example: recall([torch.ones(2, 4)], 3, filled=1, generator=torch.Generator())[0].shape == (2, 3)
    Asked: gfg-7.7
    Source: Mnih et al., Human-level control through deep reinforcement learning (2015), algorithm 1.
    """
    if n < 1 or filled < 1:
        raise ValueError(f"recall got counts out of range: n {n}, filled {filled}, expected at least 1 each")
    replicas, capacity = memory[0].shape[:2]
    device = memory[0].device
    at = torch.randint(min(filled, capacity), (replicas, n), generator=generator, device=generator.device).to(device)
    rows = torch.arange(replicas, device=device).unsqueeze(-1)
    return [part[rows, at] for part in memory]  # (1)


def deep_q_learning(
    world: World,
    params: Tensors,
    *,
    steps: int,
    eps: float = 0.3,
    lr: float = 5e-3,
    discount: float = 0.95,
    batch: int = 32,
    capacity: int = 1000,
    refresh: int = 10,
    generator: torch.Generator,
) -> Net:
    """A net of action values after so many steps in the world, with a memory and a target net (DQN).

    Shapes: params w1 (R, h, d), b1 (R, h), ... -> the same
    (1) act by `epsilon_greedy`, remember, go on or begin anew at the end of an episode and after the horizon
    (2) recall a batch, descend on `temporal_difference_loss` against the target net's values by Adam
    (3) every `refresh` steps the target net takes over the parameters
    Errors: ValueError unless steps and refresh are at least 1, and as the parts of it.
    Example:
        net = [torch.zeros(1, 4, 4).double(), torch.zeros(1, 4).double()]
        len(deep_q_learning(grid_world(2), net, steps=2, generator=torch.Generator())) == 2
    Asked: gfg-4.5, gfg-7.7
    Source: Mnih et al., Human-level control through deep reinforcement learning (2015), algorithm 1.
    """
    _check_counts("deep_q_learning", steps=steps, refresh=refresh)
    online, target, state, memory = list(params), list(params), None, None
    acting = _Acting(world, online[0].shape[0], generator)
    for step in range(steps):
        values = action_values(online, acting.seen.unsqueeze(1)).squeeze(1)
        items = acting.take(epsilon_greedy(values, eps=eps, generator=generator))  # (1)
        memory = remember(memory, items, step=step, capacity=capacity)
        seen, actions, rewards, after, done = recall(memory, batch, filled=step + 1, generator=generator)
        goal = bellman_target(rewards, action_values(target, after), done, discount=discount)
        online, state = _descended(partial(_value_error, seen, actions, goal), online, state, lr)  # (2)
        target = online if step % refresh == refresh - 1 else target  # (3)
    return online


def deterministic_policy_gradient(
    world: World,
    actor: Tensors,
    critic: Tensors,
    *,
    steps: int,
    noise: float = 0.3,
    lr: float = 1e-2,
    discount: float = 0.95,
    batch: int = 32,
    capacity: int = 1000,
    rate: float = 0.05,
    generator: torch.Generator,
) -> tuple[Net, Net]:
    """An actor and its critic after so many steps in the world (DDPG).

    Shapes: actor of observations (R, n, d) -> (R, n, a), critic of both (R, n, d + a) -> (R, n, 1); -> the same nets
    (1) act by the actor with normal noise of the given size, remember, go on or begin anew as in `deep_q_learning`
    (2) recall a batch, descend with the critic on `temporal_difference_loss` against both target nets, by Adam
    (3) descend with the actor on `actor_loss`, through the critic's value of its actions, by Adam
    (4) both target nets follow by `soft_update`
    Conventions: the last layers should start small, for a tanh far from 0 hands hardly any gradient back to the actor.
    Errors: ValueError unless steps is at least 1 and noise at least 0, and as the parts of it.
    Example:
        actor, critic = ([torch.zeros(1, 1, d).double(), torch.zeros(1, 1).double()] for d in (2, 3))
        world, generator = mass_on_a_line(), torch.Generator()
        len(deterministic_policy_gradient(world, actor, critic, steps=2, generator=generator)) == 2
    Asked: gfg-7.7
    Source: Lillicrap et al., Continuous control with deep reinforcement learning (2016), algorithm 1.
    """
    _check_counts("deterministic_policy_gradient", steps=steps)
    if not noise >= 0:
        raise ValueError(f"deterministic_policy_gradient got noise out of range: {noise}, expected noise >= 0")
    nets, targets, memory = [list(actor), list(critic)], [list(actor), list(critic)], None
    states: list[object] = [None, None]
    acting = _Acting(world, actor[0].shape[0], generator)
    for step in range(steps):
        action = deterministic_policy(nets[0], acting.seen.unsqueeze(1)).squeeze(1)
        wander = torch.randn(action.shape, generator=generator, dtype=action.dtype, device=generator.device)
        items = acting.take((action + noise * wander).clamp(-1, 1))  # (1)
        memory = remember(memory, items, step=step, capacity=capacity)
        seen, actions, rewards, after, done = recall(memory, batch, filled=step + 1, generator=generator)
        goal = bellman_target(rewards, _judged(targets[1], after, targets[0]), done, discount=discount)
        nets[1], states[1] = _descended(partial(_critic_error, seen, actions, goal), nets[1], states[1], lr)  # (2)
        nets[0], states[0] = _descended(partial(_actor_error, seen, nets[1]), nets[0], states[0], lr)  # (3)
        targets = [soft_update(old, new, rate=rate) for old, new in zip(targets, nets, strict=True)]  # (4)
    return nets[0], nets[1]


class _Acting:
    """One running episode for each replica."""

    def __init__(self, world: World, replicas: int, generator: torch.Generator) -> None:
        self.world, self.replicas, self.generator = world, replicas, generator
        self.states = world.reset((replicas,), generator)
        self.age = torch.zeros(replicas, dtype=torch.long, device=self.states.device)

    @property
    def seen(self) -> torch.Tensor:
        return self.world.observe(self.states)

    def take(self, actions: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The transition (seen, action, reward, seen next, done) of each replica, after which the world has moved."""
        seen = self.seen
        after, rewards, done = self.world.step(self.states, actions)
        self.age = self.age + 1
        over = done | (self.age >= self.world.horizon)
        fresh = self.world.reset((self.replicas,), self.generator)
        self.states = torch.where(over.view(-1, *[1] * (after.dim() - 1)), fresh, after)
        self.age = torch.where(over, 0, self.age)
        return seen, actions, rewards, self.world.observe(after), done


def _judged(critic: Tensors, seen: torch.Tensor, actor: Tensors) -> torch.Tensor:
    """The critic's value of the actor's actions: (R, n)."""
    return mlp(torch.cat([seen, deterministic_policy(actor, seen)], -1), critic, relu).squeeze(-1)


def _value_error(seen: torch.Tensor, actions: torch.Tensor, goal: torch.Tensor, params: Net) -> torch.Tensor:
    return temporal_difference_loss(action_values(params, seen), actions, goal)


def _critic_error(seen: torch.Tensor, actions: torch.Tensor, goal: torch.Tensor, critic: Net) -> torch.Tensor:
    """The critic has one value for each case, that of the action taken."""
    values = mlp(torch.cat([seen, actions], -1), critic, relu)
    return temporal_difference_loss(values, torch.zeros_like(goal, dtype=torch.long), goal)


def _actor_error(seen: torch.Tensor, critic: Net, actor: Net) -> torch.Tensor:
    return actor_loss(_judged(critic, seen, actor))


def _descended(loss: Callable[[Net], torch.Tensor], params: Net, state: object, lr: float) -> tuple[Net, object]:
    """One step of Adam on the sum of the replicas' losses, so that each follows its own gradient."""
    leaves = [p.detach().requires_grad_() for p in params]
    slopes = torch.autograd.grad(loss(leaves).sum(), leaves)
    moved, state = adam(params, slopes, state, lr=lr)  # type: ignore[arg-type]
    return moved, state


def _check_counts(name: str, **counts: int) -> None:
    for what, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} got {what} out of range: {count}, expected at least 1")
