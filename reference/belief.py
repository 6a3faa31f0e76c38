"""The deep belief network: restricted Boltzmann machines on top of each other, each learning the states of the one below.

Machines are those of `reference.boltzmann`; all carry the same leading axes, which are replicas that learn at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from reference.activations import sigmoid
from reference.boltzmann import (
    Machine,
    binary_states,
    contrastive_divergence,
    drawn,
    gibbs_step,
    log_probability,
)  # fmt: skip
from reference.layers import dense

__all__ = ["belief_log_probability", "belief_network", "dream", "fresh_machine", "recognise", "train_machine"]


def fresh_machine(
    visible: int,
    hidden: int,
    *,
    replicas: Sequence[int] = (),
    sd: float = 0.1,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
) -> Machine:
    """A restricted Boltzmann machine before training: small normal weights, no biases.

    Shapes: -> w (*replicas, hidden, visible), b (*replicas, visible), c (*replicas, hidden)
    (1) w ~ N(0, sd²), b = 0, c = 0
    Errors: ValueError if a layer has no unit or sd is not positive (equal hidden units would stay equal).
    Example: [tuple(t.shape) for t in fresh_machine(3, 2, generator=torch.Generator())] == [(2, 3), (3,), (2,)]
    Asked: none
    Source: Hinton, A practical guide to training restricted Boltzmann machines (2010), section 8.
    """
    if visible < 1 or hidden < 1 or not sd > 0:
        raise ValueError(
            f"fresh_machine got sizes out of range: {visible} visible, {hidden} hidden units, sd {sd}, expected at "
            "least one unit each and sd > 0"
        )
    device = generator.device
    w = sd * torch.randn(*replicas, hidden, visible, generator=generator, dtype=dtype, device=device)
    return w, w.new_zeros(*replicas, visible), w.new_zeros(*replicas, hidden)  # (1)


def train_machine(
    v: torch.Tensor,
    machine: Machine,
    *,
    below: Sequence[Machine] = (),
    updates: int,
    lr: float,
    steps: int = 1,
    generator: torch.Generator,
) -> Machine:
    """A machine after training by contrastive divergence on what the machines below make of the data.

    Shapes: v (..., n, d) of data, machine (w, b, c) -> machine
    (1) at each update the states of the units below are drawn anew, given the data
    (2) (w, b, c) += lr · contrastive divergence
    Errors: ValueError if updates is negative or lr is not positive.
    Example:
        w, b, c = torch.zeros(1, 2), torch.zeros(2), torch.zeros(1)
        train_machine(torch.ones(1, 2), (w, b, c), updates=0, lr=0.1, generator=torch.Generator())[0].tolist() == [[0.0, 0.0]]
    Asked: none
    Source: Hinton, Osindero, Teh, A fast learning algorithm for deep belief nets (2006), section 4.
    """
    if updates < 0 or not lr > 0:
        raise ValueError(
            f"train_machine got settings out of range: {updates} updates, lr {lr}, expected updates >= 0, lr > 0"
        )
    for _ in range(updates):
        states = recognise(v, below, generator=generator)  # (1)
        w, b, c = contrastive_divergence(states, machine, steps=steps, generator=generator)
        machine = machine[0] + lr * w, machine[1] + lr * b, machine[2] + lr * c  # (2)
    return machine


def belief_network(
    v: torch.Tensor,
    widths: Sequence[int],
    *,
    replicas: Sequence[int] = (),
    updates: int,
    lr: float,
    steps: int = 1,
    generator: torch.Generator,
) -> list[Machine]:
    """A deep belief network trained greedily, one layer after the other from the data upwards.

    Shapes: v (n, d) of data -> one machine for each width
    (1) each machine starts small, its visible units being the hidden ones of the machine below
    (2) it learns while all machines below stay as they are
    Errors: ValueError if there is no layer.
    Example:
        machines = belief_network(torch.ones(5, 4), [3, 2], updates=1, lr=0.1, generator=torch.Generator().manual_seed(0))
        [tuple(w.shape) for w, b, c in machines] == [(3, 4), (2, 3)]
    Asked: none
    Source: Hinton, Osindero, Teh, A fast learning algorithm for deep belief nets (2006), section 4.
    """
    if not widths:
        raise ValueError("belief_network got no layer: 0 widths, expected at least one")
    machines: list[Machine] = []
    for width in widths:
        visible = machines[-1][2].shape[-1] if machines else v.shape[-1]
        machine = fresh_machine(visible, width, replicas=replicas, generator=generator, dtype=v.dtype)  # (1)
        machines.append(
            train_machine(v, machine, below=machines, updates=updates, lr=lr, steps=steps, generator=generator)  # (2)
        )
    return machines


def recognise(v: torch.Tensor, machines: Sequence[Machine], *, generator: torch.Generator) -> torch.Tensor:
    """The states of the topmost hidden units that the data call up, drawn layer by layer.

    Shapes: v (..., n, d) -> (..., n, h)
    (1) h = 1 with probability sigmoid(w · v + c), then h takes the place of v
    Example:
        machine = torch.zeros(1, 2), torch.zeros(2), torch.tensor([1000.0])
        recognise(torch.ones(1, 2), [machine], generator=torch.Generator().manual_seed(0)).tolist() == [[1.0]]
    Asked: none
    Source: Hinton, Osindero, Teh, A fast learning algorithm for deep belief nets (2006), section 3.
    """
    for w, _, c in machines:
        v = drawn(sigmoid(dense(v, w, c)), generator)  # (1)
    return v


def dream(machines: Sequence[Machine], n: int, *, turns: int = 100, generator: torch.Generator) -> torch.Tensor:
    """What a deep belief network takes for data: the topmost machine is let run, its states are handed down.

    Shapes: -> v (..., n, d)
    (1) `turns` Gibbs steps of the topmost machine, from states of fair coins
    (2) downwards v = 1 with probability sigmoid(h · w + b), then v takes the place of h
    Errors: ValueError if there is no machine.
    Example:
        machine = torch.zeros(1, 2), torch.tensor([1000.0, -1000.0]), torch.zeros(1)
        dream([machine], 1, turns=1, generator=torch.Generator().manual_seed(0)).tolist() == [[1.0, 0.0]]
    Asked: none
    Source: Hinton, Osindero, Teh, A fast learning algorithm for deep belief nets (2006), section 3.
    """
    if not machines:
        raise ValueError("dream got no machine: 0, expected at least one")
    top = machines[-1][1]
    v = drawn(torch.full((*top.shape[:-1], n, top.shape[-1]), 0.5, dtype=top.dtype, device=top.device), generator)
    for _ in range(turns):
        v = gibbs_step(v, machines[-1], generator=generator)  # (1)
    for w, b, _ in reversed(machines[:-1]):
        v = drawn(sigmoid(dense(v, w.mT, b)), generator)  # (2)
    return v


def belief_log_probability(v: torch.Tensor, machines: Sequence[Machine]) -> torch.Tensor:
    """The exact logarithm of the probability that a deep belief network gives to data, all hidden states being summed up.

    Shapes: v (..., n, d) -> (..., n)
    (1) topmost machine: its own log p of its visible units
    (2) below: log p(v) = log Σ_h p(h) · p(v | h), log p(v | h) = a · v - Σ log(1 + exp(a)), a = h · w + b
    Units: nats.
    Errors: ValueError if there is no machine or a layer of more than 16 units.
    Example:
        w, b, c = torch.zeros(1, 1), torch.tensor([1000.0]), torch.zeros(1)
        belief_log_probability(torch.ones(1, 1), [(w, b, c)]).tolist() == [0.0]
    Asked: none
    Source: Hinton, Osindero, Teh, A fast learning algorithm for deep belief nets (2006), section 3.
    """
    if not machines:
        raise ValueError("belief_log_probability got no machine: 0, expected at least one")
    if len(machines) == 1:
        return log_probability(v, machines[0])  # (1)
    w, b, c = machines[0]
    h = binary_states(c.shape[-1], like=v)
    a = dense(h, w.mT, b)  # (..., 2^h, d)
    given = v @ a.mT - (a.clamp_min(0) + torch.log1p((-a.abs()).exp())).sum(-1).unsqueeze(-2)  # (..., n, 2^h)
    return torch.logsumexp(belief_log_probability(h, machines[1:]).unsqueeze(-2) + given, -1)  # (2)
