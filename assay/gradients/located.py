"""The record of an input too large for a table: its wrong entries by group testing, against one failing cotangent."""

from __future__ import annotations

from dataclasses import replace

import torch

from assay.gradients.field import Field, Measured
from assay.gradients.flat import coordinates, where
from assay.gradients.locate import search, wrong_in
from assay.gradients.records import Entry, InputEntries
from assay.gradients.sampling import Sampler
from assay.gradients.screen import Probe, Screen, roundoff

SHOWN = 20


def located(
    record: InputEntries, sampler: Sampler, screen: Screen, position: int, probes: list[Probe], outcomes: list[str]
) -> InputEntries:
    """The record with what the screen objected to located; `outcomes` are those of the probes."""
    bad = [number for number, outcome in enumerate(outcomes) if outcome == "fails"]
    if not bad:
        kinks = outcomes.count("kink")
        lost = outcomes.count("unresolved")
        return replace(
            record, kinks=kinks, unresolved=lost, reason="the bar of a random probe is too wide" if lost else ""
        )
    cotangent = bad[0] % screen.cotangents.shape[0]
    field = _field(sampler, screen, position, cotangent)
    result = search(field)
    sampler.forwards += field.forwards
    target = sampler.target
    entries = tuple(_entry(target.names[position], target.inputs[position], one) for one in result.wrong.values())
    bent = tuple(_entry(target.names[position], target.inputs[position], one) for one in result.kinks.values())
    if not entries and not bent:
        last = probes[bad[0]]
        entries = (Entry(record.name, " along a random direction", "<w, y>", last.analytic, last.measured, last.bar),)
    searched = screen.units[position].numel()  # entries of the gradient of <w, y>, not of the Jacobian
    count = searched if result.dense else max(len(entries), wrong_in(field, result, 0))
    return replace(
        record, method="located", checked=searched, wrong=entries[:SHOWN], wrong_count=count, worst=entries[0] if entries else None,
        kinks=len(bent), kink=bent[0] if bent else None,
    )  # fmt: skip


def _field(sampler: Sampler, screen: Screen, position: int, number: int) -> Field:
    """<w, y> for one cotangent as a function of one input."""
    target = sampler.target
    source = target.inputs[position].contiguous()
    moved = source.clone()
    inputs = (*target.inputs[:position], moved, *target.inputs[position + 1 :])
    w = screen.cotangents[number].to(source.device)
    base = sampler.base

    def along() -> float:
        return float((sampler.one(inputs) - base) @ w)

    seed = int(torch.randint(1 << 20, (1,), generator=screen.generator))
    gradient = screen.gradients[position][number].to(source.device)
    real = coordinates(source)
    return Field(
        [real.view(-1)], [coordinates(moved).view(-1)], [gradient], [tuple(real.shape)], along, seed,
        natural=float((base.nan_to_num() * w).norm()), unit=roundoff(source),
    )  # fmt: skip


def _entry(name: str, value: torch.Tensor, one: Measured) -> Entry:
    return Entry(name, where(one.start, value), "<w, y>", one.analytic, one.measured, one.bar)
