"""The corpus is what it says: every label is checked against autograd of the plain function, by no gradient checker."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.gradients.corpus import ENTRIES, RIGHT, WRONG, Entry, Mistake, labels
from tests.gradients.corpus.hard_numbers import NEVER_WRONG

SPOILING = (Mistake.MUTATION, Mistake.NONDETERMINISTIC)
ALWAYS = [entry for entry in WRONG if entry.visible == "always" and entry.mistake not in SPOILING]
SPECIAL = [entry for entry in WRONG if entry.visible == "special"]
SECOND = [entry for entry in WRONG if entry.visible == "second"]
SPOILERS = [entry for entry in WRONG if entry.mistake in SPOILING]
AT_A_CORNER = frozenset({"kink", "unresolved"})  # two derivations may take different subgradients there
A_LOOK = 40


def each(entries: list[Entry]) -> pytest.MarkDecorator:
    """One test per entry, named after it."""
    return pytest.mark.parametrize("entry", entries, ids=lambda entry: entry.name)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def test_there_are_enough_of_each_sort() -> None:
    assert len(WRONG) >= 100
    assert len(RIGHT) >= 100
    assert len(SPECIAL) >= 30
    assert {entry.mistake for entry in WRONG} == set(Mistake)


def test_every_name_is_used_once() -> None:
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)


@pytest.mark.parametrize(
    "change", [{"visible": "sometimes"}, {"right": True}, {"visible": "special", "strategy": None}], ids=str
)
def test_a_label_that_contradicts_itself_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="sin"):
        replace(ALWAYS[0], **change)  # type: ignore[arg-type]


@each([entry for entry in ENTRIES if entry.mistake not in SPOILING])
def test_the_candidate_and_its_truth_are_the_same_function(entry: Entry) -> None:
    assert entry.truth is not None
    for dtype in entry.dtypes:
        y, _ = labels.first(entry.make(), entry.default(dtype))
        wanted, _ = labels.first(entry.truth, entry.default(dtype))
        assert labels.distance([y], [wanted.to(y.dtype)]) <= labels.allowed(entry, dtype)


@each([entry for entry in RIGHT if entry.strategy or not entry.verdicts & AT_A_CORNER or entry.verdicts == NEVER_WRONG])
def test_right_ones_are_right(entry: Entry) -> None:
    for dtype in entry.dtypes:
        assert labels.apart(entry, entry.default(dtype)) <= labels.allowed(entry, dtype)


@each(ALWAYS)
def test_wrong_ones_are_wrong_at_their_default_inputs(entry: Entry) -> None:
    for dtype in entry.dtypes:
        assert labels.apart(entry, entry.default(dtype)) > labels.allowed(entry, dtype)


@each(SPECIAL)
def test_special_ones_are_right_at_their_default_inputs(entry: Entry) -> None:
    assert labels.apart(entry, entry.default()) <= labels.allowed(entry, torch.float64)


@each(SPECIAL)
def test_special_ones_are_wrong_somewhere_in_their_strategy(entry: Entry) -> None:
    assert labels.reached(entry) is not None


@each([entry for entry in RIGHT if entry.strategy and not entry.verdicts & AT_A_CORNER])
def test_right_ones_are_right_wherever_their_strategy_goes(entry: Entry) -> None:
    assert labels.reached(entry, A_LOOK) is None


@each(SECOND)
def test_second_order_ones_are_right_once_and_wrong_twice(entry: Entry) -> None:
    assert entry.truth is not None
    assert labels.apart(entry, entry.default()) <= labels.allowed(entry, torch.float64)
    assert (
        labels.distance(labels.second(entry.make(), entry.default()), labels.second(entry.truth, entry.default()))
        > 1e-6
    )


@each([entry for entry in RIGHT if entry.order == 2])
def test_right_ones_of_order_two_are_right_twice(entry: Entry) -> None:
    assert entry.truth is not None
    found = labels.second(entry.make(), entry.default())
    # a second derivative loses as much again as a first one
    assert labels.distance(found, labels.second(entry.truth, entry.default())) <= 10 * labels.allowed(
        entry, torch.float64
    )


@each(SPOILERS)
def test_spoilers_spoil(entry: Entry) -> None:
    assert labels.spoils(entry)


@each([entry for entry in RIGHT if entry.name in ("sin", "tanh", "exp", "dense")])
def test_right_ones_spoil_nothing(entry: Entry) -> None:
    assert not labels.spoils(entry)
