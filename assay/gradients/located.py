"""The record of an input too large for a table: its wrong entries by group testing, against one failing cotangent."""

from __future__ import annotations

from dataclasses import replace

import torch

from assay.gradients.flat import where
from assay.gradients.locate import Field, Measured, search
from assay.gradients.records import Entry, InputEntries
from assay.gradients.sampling import Sampler
from assay.gradients.screen import Probe, Screen

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
    entries = tuple(_entry(target.names[position], target.inputs[position], one) for one in result.wrong)
    bent = tuple(_entry(target.names[position], target.inputs[position], one) for one in result.kinks)
    if not entries and not bent:
        last = probes[bad[0]]
        entries = (Entry(record.name, " along a random direction", "<w, y>", last.analytic, last.measured, last.bar),)
    count = record.checked if result.dense else len(entries)
    return replace(
        record, method="located", wrong=entries[:SHOWN], wrong_count=count, worst=entries[0] if entries else None,
        kinks=len(bent), kink=bent[0] if bent else None,
    )  # fmt: skip


def _field(sampler: Sampler, screen: Screen, position: int, number: int) -> Field:
    target = sampler.target
    value = target.inputs[position].clone(memory_format=torch.contiguous_format)
    inputs = list(target.inputs)
    inputs[position] = value
    real = torch.view_as_real(value) if value.is_complex() else value
    w = screen.cotangents[number].to(value.device)
    gradient = screen.gradients[position][number].clone().to(value.device)
    base = sampler.base

    def along() -> float:
        return float(((sampler.one(tuple(inputs)) - base) * w).sum())

    seed = int(torch.randint(1 << 20, (1,), generator=screen.generator))
    return Field([real.view(-1)], [gradient], along, seed, natural=float((base.nan_to_num() * w).norm()))


def _entry(name: str, value: torch.Tensor, one: Measured) -> Entry:
    return Entry(name, where(one.start, value), "<w, y>", one.analytic, one.measured, one.bar)
