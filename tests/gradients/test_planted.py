"""Each planted mistake is found in the input where it was planted, and the same backward without it agrees."""

from __future__ import annotations

import pytest
import torch

from assay.gradients import check_gradient
from tests.gradients.corpus import WRONG, labels, planted
from tests.gradients.corpus.entry import Component
from tests.gradients.corpus.planted import Plant

SCALES = (1e-8, 1.0, 1e8)
FOUND_BY_FINDINGS = ("in-place edit", "non-deterministic", "zero second derivative")


ELSEWHERE = {
    "missing term": "layer norm: mean of the product forgotten",
    "swapped gates": "lstm cell: input and forget gate exchanged",
    "wrong axis": "softmax: sum along the other axis",
    "detached statistic": "layer norm: statistics detached",
    "off-by-one padding": "conv1d: padding off by one",
    "right only when square": "mean of squares: divided by the other axis",
    "right only for batch 1": "dense over leading axes: weights averaged over the batch",
    "one wrong entry in a million": "tanh: one entry of a million doubled",
    "hidden state of another step": "recurrence over time: this state for the last one",
}


def named(plants: list[Plant]) -> pytest.MarkDecorator:
    """One test per planted mistake."""
    return pytest.mark.parametrize("plant", plants, ids=lambda plant: plant.name)


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("sort", ELSEWHERE)
def test_sorts_that_need_their_own_function_are_in_the_corpus(sort: str) -> None:
    (entry,) = [entry for entry in WRONG if entry.name == ELSEWHERE[sort]]
    assert entry.mistake is not None


@named([plant for plant in planted.TABLE if plant.sort not in FOUND_BY_FINDINGS])
def test_the_mistake_is_really_there(plant: Plant) -> None:
    inputs = plant.component.inputs(torch.Generator().manual_seed(0), torch.float64)
    _, found = labels.first(plant.make(), inputs)
    _, wanted = labels.first(plant.component.forward, inputs)
    assert labels.distance(found, wanted) > 1e-9


@named(list(planted.TABLE))
def test_a_planted_mistake_is_found(plant: Plant) -> None:
    inputs = plant.component.inputs(torch.Generator().manual_seed(0), torch.float64)
    report = check_gradient(plant.make(), inputs, order=plant.order)
    assert report.verdict == "differs", report.explain()
    if plant.sort in FOUND_BY_FINDINGS:
        return
    wrong = {entry.name for entry in report.entries if entry.wrong_count}
    assert wrong
    if plant.place >= 0:
        assert wrong == {list(inputs)[plant.place]}
    if plant.words:
        assert any(word in report.explain() for word in plant.words), report.explain()


@pytest.mark.parametrize("c", SCALES)
@named([plant for plant in planted.TABLE if plant.sort in ("factor 1 + 1e-6", "sign", "zero", "transpose")])
def test_a_planted_mistake_is_found_at_any_scale(plant: Plant, c: float) -> None:
    inputs = plant.component.inputs(torch.Generator().manual_seed(0), torch.float64)
    assert check_gradient(plant.make(c), inputs, variations=False).verdict == "differs"


@pytest.mark.parametrize("c", SCALES)
@pytest.mark.parametrize("component", planted.RIGHT, ids=lambda component: component.name)
def test_without_the_mistake_it_agrees_at_any_scale(component: Component, c: float) -> None:
    for dtype in (torch.float64, torch.float32):
        inputs = component.inputs(torch.Generator().manual_seed(0), dtype)
        report = check_gradient(planted.scaled(component, component.backward, c), inputs)
        assert report.verdict == "agrees", report.explain()
