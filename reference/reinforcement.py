"""Value learning: what deep Q-learning and deep deterministic policy gradients need beside their nets.

n counts transitions (state, action, reward, next state, done), a actions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from reference.checks import require_axis, require_floating, require_values
from reference.differentiable import Differentiable
from reference.losses import mean_squared_error

Saved = tuple[torch.Tensor, ...]

__all__ = ["actor_loss", "bellman_target", "chosen_values", "epsilon_greedy", "soft_update", "temporal_difference_loss"]


def bellman_target(
    rewards: torch.Tensor, next_values: torch.Tensor, done: torch.Tensor, *, discount: float = 0.99
) -> torch.Tensor:
    """What the value of an action should be: the reward, and the discounted value of the best that can follow.

    Shapes: rewards (n), next_values (n, a) or (n), done (n) of booleans -> (n)
    (1) target = r + discount · max_a Q(s', a), without the second term where the episode is done
    Conventions: next_values (n) is the value of the action that an actor chose; no gradient reaches it.
    Errors: ValueError if the shapes do not fit or discount lies outside [0, 1].
    Example:
        rewards, next_values, done = torch.tensor([1.0]), torch.tensor([[2.0, 4.0]]), torch.tensor([False])
        bellman_target(rewards, next_values, done, discount=0.5).tolist() == [3.0]
    Asked: gfg-4.5, gfg-7.7
    Source: Watkins and Dayan, Q-learning (1992); Mnih et al., Human-level control (2015), equation 1.
    """
    require_floating("bellman_target", rewards=rewards, next_values=next_values)
    if not 0 <= discount <= 1:
        raise ValueError(f"bellman_target got a discount out of range: {discount}, expected 0 <= discount <= 1")
    if done.dtype != torch.bool:
        raise ValueError(f"bellman_target got done as {done.dtype}, expected booleans; write done.bool()")
    best = next_values.amax(-1) if next_values.dim() > rewards.dim() else next_values
    if not rewards.shape == best.shape == done.shape:
        raise ValueError(
            f"bellman_target got shapes that do not fit: rewards {tuple(rewards.shape)}, next_values "
            f"{tuple(next_values.shape)}, done {tuple(done.shape)}, expected (n), (n, a) or (n), (n)"
        )
    return rewards + discount * torch.where(done, 0.0, best.detach())  # (1)


def chosen_values_forward(q: torch.Tensor, actions: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """The values of the actions that were taken.

    Shapes: q (..., a), actions (...) of integers -> y (...)
    Forward:
        (1) y = q[action]
    Backward:
        (2) dq = dy at the action, 0 elsewhere
    Conventions: an action that does not exist is refused on the CPU and gives NaN elsewhere.
    Example: chosen_values(torch.tensor([[1.0, 5.0]]), torch.tensor([1])).tolist() == [5.0]
    Asked: gfg-4.5
    Source: Mnih et al., Human-level control through deep reinforcement learning (2015), methods.
    """
    require_floating("chosen_values", q=q)
    if q.dim() == 0 or actions.shape != q.shape[:-1] or actions.is_floating_point() or actions.dtype == torch.bool:
        raise ValueError(
            f"chosen_values got actions that do not fit: {actions.dtype} {tuple(actions.shape)}, expected integers of "
            f"shape {tuple(q.shape[:-1])}"
        )
    exists = (actions >= 0) & (actions < q.shape[-1])
    require_values("chosen_values", f"0 <= action < {q.shape[-1]}", exists)
    y = q.gather(-1, actions.long().clamp(0, q.shape[-1] - 1).unsqueeze(-1)).squeeze(-1)
    return torch.where(exists, y, torch.nan), (q, actions)  # (1)


def chosen_values_backward(saved: Saved, dy: torch.Tensor) -> tuple[torch.Tensor, None]:
    q, actions = saved
    taken = actions.unsqueeze(-1) == torch.arange(q.shape[-1], device=q.device)
    return dy.unsqueeze(-1) * taken.to(q.dtype), None  # (2)


chosen_values = Differentiable(chosen_values_forward, chosen_values_backward)


def temporal_difference_loss(q: torch.Tensor, actions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The mean squared distance of the values of the taken actions from their targets.

    Shapes: q (..., n, a), actions (..., n), targets (..., n) -> L (...)
    (1) L = mean (q[action] - target)² over the n cases, no gradient through the target
    Example: temporal_difference_loss(torch.tensor([[1.0, 5.0]]), torch.tensor([1]), torch.tensor([3.0])).item() == 4.0
    Asked: gfg-4.5, gfg-4.6
    Source: Mnih et al., Human-level control through deep reinforcement learning (2015), equation 2.
    """
    return mean_squared_error(chosen_values(q, actions), targets.detach()).mean(-1)  # (1)


def actor_loss_forward(values: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """What a deterministic policy minimises: minus the mean value that the critic gives to its actions.

    Shapes: values (..., n) -> L (...)
    Forward:
        (1) L = -mean Q(s, policy(s)) over the n states
    Backward:
        (2) dQ = -dL / n, which goes on through the critic's action into the policy
    Example: actor_loss(torch.tensor([1.0, 3.0])).item() == -2.0
    Asked: gfg-7.7
    Source: Lillicrap et al., Continuous control with deep reinforcement learning (2016), equation 6.
    """
    require_floating("actor_loss", values=values)
    require_axis("actor_loss", values, -1)
    return -values.mean(-1), (values,)  # (1)


def actor_loss_backward(saved: Saved, dL: torch.Tensor) -> tuple[torch.Tensor]:
    (values,) = saved
    return ((-dL / values.shape[-1]).unsqueeze(-1).expand(values.shape),)  # (2)


actor_loss = Differentiable(actor_loss_forward, actor_loss_backward)


def epsilon_greedy(q: torch.Tensor, *, eps: float, generator: torch.Generator) -> torch.Tensor:
    """An action for each case: the best one, or with probability eps any one.

    Shapes: q (..., a) -> (...) of integers
    (1) argmax q with probability 1 - eps, else uniform over all actions, the best one included
    Errors: ValueError if eps lies outside [0, 1].
    Example: epsilon_greedy(torch.tensor([[1.0, 5.0]]), eps=0.0, generator=torch.Generator()).tolist() == [1]
    Asked: gfg-4.5
    Source: Sutton and Barto, Reinforcement Learning (2018), section 2.2.
    """
    require_floating("epsilon_greedy", q=q)
    if not 0 <= eps <= 1:
        raise ValueError(f"epsilon_greedy got eps out of range: {eps}, expected 0 <= eps <= 1")
    cases, device = q.shape[:-1], generator.device
    explores = torch.rand(cases, generator=generator, dtype=torch.float64, device=device) < eps
    anything = torch.randint(q.shape[-1], cases, generator=generator, device=device)
    return torch.where(explores, anything, q.argmax(-1))  # (1)


def soft_update(targets: Sequence[torch.Tensor], online: Sequence[torch.Tensor], *, rate: float) -> list[torch.Tensor]:
    """The parameters of a target net that follows the online net slowly.

    Shapes: (...), (...) -> (...), for each pair of the two sequences
    (1) target' = (1 - rate) · target + rate · online
    Errors: ValueError if the sequences do not match or rate lies outside [0, 1].
    Example: soft_update([torch.tensor([0.0])], [torch.tensor([4.0])], rate=0.25)[0].tolist() == [1.0]
    Asked: none
    Source: Lillicrap et al., Continuous control with deep reinforcement learning (2016), algorithm 1.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"soft_update got a rate out of range: {rate}, expected 0 <= rate <= 1")
    if [t.shape for t in targets] != [p.shape for p in online]:
        raise ValueError(f"soft_update got {len(targets)} and {len(online)} parameters that do not match pair by pair")
    return [t + rate * (p.detach() - t) for t, p in zip(targets, online, strict=True)]  # (1)
