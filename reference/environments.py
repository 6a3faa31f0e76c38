"""Small worlds to act in: a grid with a goal, and a mass on a line. Many copies are acted in at once.

A world is what `reset`, `step` and `observe` do; states are tensors whose leading axes count copies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from reference.checks import require_floating, require_values

__all__ = ["episode_return", "grid_step", "grid_world", "mass_on_a_line", "mass_step"]

Policy = Callable[[torch.Tensor], torch.Tensor]
Outcome = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class World:
    """Where to begin, what an action does, what is seen of a state, and after how many steps an episode is cut.

    reset(shape, generator) -> states; step(states, actions) -> next states, rewards, done; observe(states) -> (..., d).
    """

    reset: Callable[[Sequence[int], torch.Generator], torch.Tensor]
    step: Callable[[torch.Tensor, torch.Tensor], Outcome]
    observe: Callable[[torch.Tensor], torch.Tensor]
    horizon: int


def grid_step(places: torch.Tensor, actions: torch.Tensor, *, side: int) -> Outcome:
    """One step on a square grid: up, right, down or left; a wall holds, and the last place is the goal.

    Shapes: places (...) of integers, row · side + column, actions (...) from 0 to 3 -> places, rewards, done, each (...)
    (1) row and column move by one and are held between 0 and side - 1
    (2) the reward is 1 on reaching the goal, which ends the episode, and 0 before
    Errors: ValueError if an action or a place does not exist.
    Example: [t.item() for t in grid_step(torch.tensor(7), torch.tensor(2), side=3)] == [7, 0.0, False]
    Asked: gfg-7.7
    Source: Sutton and Barto, Reinforcement Learning (2018), example 3.5.
    """
    require_values("grid_step", "actions from 0 to 3", (actions >= 0) & (actions <= 3))
    require_values("grid_step", f"places from 0 to {side * side - 1}", (places >= 0) & (places < side * side))
    down = (actions == 2).long() - (actions == 0).long()
    right = (actions == 1).long() - (actions == 3).long()
    row, column = places // side + down, places % side + right
    after = row.clamp(0, side - 1) * side + column.clamp(0, side - 1)  # (1)
    done = after == side * side - 1
    return after, done.to(torch.float64), done  # (2)


def grid_world(side: int, *, horizon: int = 20, dtype: torch.dtype = torch.float64) -> World:
    """A square grid, begun anywhere but on the goal and seen as a one-hot vector of the place.

    (1) an episode begins on each of the places before the goal with equal chance, and is cut after `horizon` steps
    Errors: ValueError unless side and horizon are at least 2 and 1.
    Example: grid_world(3).observe(torch.tensor([0, 8])).sum(-1).tolist() == [1.0, 1.0]
    Asked: gfg-7.7
    Source: Sutton and Barto, Reinforcement Learning (2018), example 3.5.
    """
    if side < 2 or horizon < 1:
        raise ValueError(
            f"grid_world got sizes out of range: side {side}, horizon {horizon}, expected at least 2 and 1"
        )

    def reset(shape: Sequence[int], generator: torch.Generator) -> torch.Tensor:
        return torch.randint(side * side - 1, tuple(shape), generator=generator, device=generator.device)  # (1)

    def observe(places: torch.Tensor) -> torch.Tensor:
        return (places.unsqueeze(-1) == torch.arange(side * side, device=places.device)).to(dtype)

    def step(places: torch.Tensor, actions: torch.Tensor) -> Outcome:
        after, rewards, done = grid_step(places, actions, side=side)
        return after, rewards.to(dtype), done

    return World(reset, step, observe, horizon)


def mass_step(states: torch.Tensor, force: torch.Tensor, *, time: float = 0.3) -> Outcome:
    """One step of a mass on a line that is pushed by a force between -1 and 1, and should come to rest at 0.

    Shapes: states (..., 2) of position x and speed v, force f (..., 1) -> states (..., 2), rewards (...), done (...)
    (1) v' = v + time · f, x' = x + time · v'
    (2) the reward is -(x'² + v'² / 10)
    Conventions: a force beyond -1 or 1 counts as that; the episode has no end of its own.
    Errors: ValueError if the last axes are not 2 and 1.
    Example: mass_step(torch.tensor([1.0, -1.0]), torch.tensor([1.0]), time=1.0)[0].tolist() == [1.0, 0.0]
    Asked: gfg-7.7
    Source: Lillicrap et al., Continuous control with deep reinforcement learning (2016), section 4.
    """
    require_floating("mass_step", states=states, force=force)
    if states.shape[-1:] != (2,) or force.shape != (*states.shape[:-1], 1):
        raise ValueError(
            f"mass_step got shapes that do not fit: states {tuple(states.shape)}, force {tuple(force.shape)}, expected "
            "(..., 2) and (..., 1)"
        )
    speed = states[..., 1] + time * force[..., 0].clamp(-1, 1)
    place = states[..., 0] + time * speed  # (1)
    rewards = -(place.square() + speed.square() / 10)  # (2)
    return torch.stack([place, speed], -1), rewards, torch.zeros_like(place, dtype=torch.bool)


def mass_on_a_line(*, horizon: int = 15, dtype: torch.dtype = torch.float64) -> World:
    """A mass on a line, begun at a random place and speed and seen as it is.

    (1) place and speed are at first uniform between -1 and 1; an episode is cut after `horizon` steps
    Errors: ValueError unless the horizon is at least 1.
    Example: mass_on_a_line().reset((4,), torch.Generator()).shape == (4, 2)
    Asked: gfg-7.7
    Source: Lillicrap et al., Continuous control with deep reinforcement learning (2016), section 4.
    """
    if horizon < 1:
        raise ValueError(f"mass_on_a_line got a horizon out of range: {horizon}, expected at least 1")

    def reset(shape: Sequence[int], generator: torch.Generator) -> torch.Tensor:
        u = torch.rand(*shape, 2, generator=generator, dtype=dtype, device=generator.device)
        return 2 * u - 1  # (1)

    return World(reset, mass_step, lambda states: states, horizon)


def episode_return(
    world: World, policy: Policy, *, shape: Sequence[int], discount: float = 1.0, generator: torch.Generator
) -> torch.Tensor:
    """What a policy earns in an episode, for many episodes at once.

    Shapes: policy of observations (*shape, d) -> actions; -> returns (*shape)
    (1) Σ_t discount^t · reward_t up to the end of the episode or the horizon
    Errors: ValueError if discount lies outside [0, 1].
    Example:
        upwards = lambda seen: seen.argmax(-1) * 0
        episode_return(grid_world(2), upwards, shape=(3,), generator=torch.Generator()).tolist() == [0, 0, 0]
    Asked: gfg-7.7
    Source: Sutton and Barto, Reinforcement Learning (2018), section 3.3.
    """
    if not 0 <= discount <= 1:
        raise ValueError(f"episode_return got a discount out of range: {discount}, expected 0 <= discount <= 1")
    states = world.reset(shape, generator)
    going, total = torch.ones(tuple(shape), dtype=torch.bool, device=states.device), torch.zeros(())
    for t in range(world.horizon):
        states, rewards, done = world.step(states, policy(world.observe(states)))
        total = total + torch.where(going, discount**t * rewards, 0.0)  # (1)
        going = going & ~done
    return total
