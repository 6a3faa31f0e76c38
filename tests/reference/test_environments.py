"""Small worlds: steps against walls and the laws of motion, returns against sums by hand."""

from __future__ import annotations

import pytest
import torch

from assay.evidence import gamma
from reference import environments as ours


def test_walls_hold_and_the_goal_ends() -> None:
    places, actions = torch.arange(8).repeat_interleave(4), torch.arange(4).repeat(8)
    after, rewards, done = ours.grid_step(places, actions, side=3)
    moves = {0: (-1, 0), 1: (0, 1), 2: (1, 0), 3: (0, -1)}
    for place, action, next_place, reward, end in zip(
        places.tolist(), actions.tolist(), after, rewards, done, strict=True
    ):
        row, column = place // 3 + moves[action][0], place % 3 + moves[action][1]
        inside = 0 <= row < 3 and 0 <= column < 3
        assert int(next_place) == (3 * row + column if inside else place)
        assert (float(reward), bool(end)) == ((1.0, True) if int(next_place) == 8 else (0.0, False))


def test_an_episode_earns_the_discounted_reward_of_the_way() -> None:
    world, generator = ours.grid_world(3, horizon=4), torch.Generator().manual_seed(0)

    def diagonal(seen: torch.Tensor) -> torch.Tensor:
        """Right as far as it goes, then down."""
        return torch.where(seen.argmax(-1) % 3 < 2, 1, 2)

    starts = world.reset((50,), torch.Generator().manual_seed(0))
    steps = (2 - starts // 3) + (2 - starts % 3)
    found = ours.episode_return(world, diagonal, shape=(50,), discount=0.5, generator=generator)
    assert torch.equal(found, 0.5 ** (steps - 1).to(torch.float64))
    short = ours.episode_return(
        ours.grid_world(3, horizon=1), diagonal, shape=(50,), generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(short > 0, steps == 1)


def test_episodes_begin_on_every_place_but_the_goal() -> None:
    starts = ours.grid_world(2).reset((200,), torch.Generator().manual_seed(0))
    assert sorted(set(starts.tolist())) == [0, 1, 2]


def test_a_mass_moves_by_its_speed_and_its_speed_by_the_force() -> None:
    states, force = torch.tensor([[1.0, -0.5], [0.0, 1.0]]).double(), torch.tensor([[0.5], [-3.0]]).double()
    after, rewards, done = ours.mass_step(states, force, time=0.3)
    expected = torch.tensor([[1.0 - 0.3 * 0.35, -0.35], [0.3 * 0.7, 0.7]], dtype=torch.float64)
    assert float((after - expected).abs().max()) <= gamma(8, torch.float64) * 2
    cost = expected[:, 0] ** 2 + expected[:, 1] ** 2 / 10
    assert float((rewards + cost).abs().max()) <= gamma(16, torch.float64) * 2
    assert not bool(done.any())


def test_masses_begin_anywhere_in_the_square() -> None:
    starts = ours.mass_on_a_line().reset((500,), torch.Generator().manual_seed(0))
    assert bool((starts.abs() <= 1).all())
    # each corner region of a sixteenth is missed by 500 uniform draws with probability exp(-32)
    assert all(
        bool(((starts * torch.tensor(corner)) > 0.5).all(-1).any()) for corner in ((1, 1), (1, -1), (-1, 1), (-1, -1))
    )


PLACE, STATE = torch.tensor([0]), torch.zeros(3, 2).double()
REFUSED = {
    "no such action": (lambda: ours.grid_step(PLACE, PLACE + 4, side=3), "actions from 0 to 3"),
    "no such place": (lambda: ours.grid_step(PLACE + 9, PLACE, side=3), "places from 0 to 8"),
    "a grid of one": (lambda: ours.grid_world(1), "side 1"),
    "no time": (lambda: ours.grid_world(3, horizon=0), "horizon 0"),
    "no time for a mass": (lambda: ours.mass_on_a_line(horizon=0), "out of range: 0"),
    "force that does not fit": (lambda: ours.mass_step(STATE, STATE), "do not fit"),
    "integers": (lambda: ours.mass_step(STATE.long(), STATE[:, :1]), "got integers"),
    "discount above one": (
        lambda: ours.episode_return(ours.grid_world(2), lambda s: s, shape=(1,), discount=2.0, generator=torch.Generator()),
        "out of range: 2.0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
