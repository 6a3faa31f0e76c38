"""What the search of a large module found, as records, findings and a guess at the kind of mistake."""

from __future__ import annotations

from dataclasses import replace

from assay.gradients.diagnose import ratio_of
from assay.gradients.field import Measured, Region, along
from assay.gradients.flat import where
from assay.gradients.landscape import Landscape
from assay.gradients.locate import Search, wrong_in
from assay.gradients.records import Entry, Finding, InputEntries
from assay.gradients.table import NEEDED

SHOWN = 20
# So many wrong entries that share an index are no coincidence.
SHARED = 3


def recorded(landscape: Landscape, found: Search) -> list[InputEntries]:
    """One record per input and parameter, with the wrong entries that were located in it."""
    return [_record(landscape, found, k) for k in range(len(landscape.wrt))]


def _record(landscape: Landscape, found: Search, k: int) -> InputEntries:
    field, position = landscape.field, landscape.wrt[k]
    value, name = landscape.target.inputs[position], landscape.target.names[position]
    wrong, kinks = (tuple(_entries(landscape, k, part)) for part in (found.wrong, found.kinks))
    size = field.sources[k].numel()
    count = size if found.dense and wrong else wrong_in(field, found, k)
    bar = found.bars.get(k, found.last.bar)
    record = InputEntries(
        name=name, shape=tuple(value.shape), dtype=str(value.dtype).removeprefix("torch."), checked=size, method="located",
        resolution=field.resolution(k, bar), wrong=wrong[:SHOWN], wrong_count=count, worst=wrong[0] if wrong else None,
        kinks=len(kinks), kink=kinks[0] if kinks else None,
    )  # fmt: skip
    return _judged(landscape, record, k, bar)


def _judged(landscape: Landscape, record: InputEntries, k: int, bar: float) -> InputEntries:
    """The record, unresolved where an error of a tenth of the typical entry would not have shown."""
    field = landscape.field
    if record.wrong_count or record.checked == 0 or 0 < record.resolution <= NEEDED:
        return record
    if landscape.rounding(k):
        # Beside a gradient of zero an error is measured by the output's own size over the input's.
        return replace(record, resolution=field.visible(k, bar) * field.scales[k] / max(field.natural, 1e-300))
    reason = f"an error below {field.visible(k, bar):.1e} would not show, and the typical entry is {field.typical(k):.1e}: noise or ill-conditioning"
    return replace(record, unresolved=record.checked, reason=reason)


def _entries(landscape: Landscape, k: int, found: dict[int, Measured]) -> list[Entry]:
    low, high = landscape.field.span(k)
    position = landscape.wrt[k]
    value, name = landscape.target.inputs[position], landscape.target.names[position]
    return [
        Entry(name, where(start - low, value), "<w, y>", one.analytic, one.measured, one.bar)
        for start, one in found.items()
        if low <= start < high
    ]


def ended(landscape: Landscape, found: Search) -> list[Finding]:
    """How the search ended, the rest clean under two seeds or not, and what the module's own dtype does."""
    return [*landscape.notes, *landscape.precision, _ended(found)]


def _ended(found: Search) -> Finding:
    if found.dense:
        sentence = "more than half of a random sample of entries is wrong: the whole differs"
        return Finding("location", "note", sentence)
    count = len(found.wrong)
    if found.complete and not count:
        return Finding("location", "holds", "the gradient agrees along random directions of two seeds")
    if found.complete:
        sentence = f"apart from the {count} located entries and their like the gradient agrees under two fresh seeds"
        return Finding("location", "holds", sentence)
    if count:
        return Finding("location", "note", f"more entries are wrong than the {count} that were located")
    off = f"{abs(found.last.analytic - found.last.measured):.2e} (bar {found.last.bar:.1e})"
    sentence = f"the gradient differs by {off} along random directions; no single entry could be located"
    return Finding("location", "wrong", sentence)


def likeness(landscape: Landscape, found: Search) -> str:
    """What kind of mistake the wrong entries look like: one ratio, a whole parameter, a slice, an index that they share."""
    wrong = list(found.wrong.values())
    ratio = ratio_of([(one.analytic, one.measured, one.bar) for one in wrong])
    if found.dense:
        return ratio
    if found.regions:
        return "; ".join(_throughout(landscape, region) for region in found.regions)
    return _shared_index(landscape, found) or (f"in the wrong entries {ratio}" if ratio else "")


def _throughout(landscape: Landscape, region: Region) -> str:
    name = landscape.target.names[landscape.wrt[region.tensor]]
    if region.axis is None:
        return f"{name} is wrong throughout: every one of its entries that was drawn is"
    return f"{name} is wrong all along index {region.index} of axis {region.axis}: every one of the entries that were drawn there is"


def _shared_index(landscape: Landscape, found: Search) -> str:
    field = landscape.field
    for k, position in enumerate(landscape.wrt):
        low, high = field.span(k)
        places = [along(start - low, field.shapes[k]) for start in found.wrong if low <= start < high]
        if len(places) < SHARED:
            continue
        for axis, index in enumerate(places[0]):
            if field.shapes[k][axis] > 1 and all(place[axis] == index for place in places):
                name = landscape.target.names[position]
                return f"all wrong entries of {name} have index {index} along axis {axis}"
    return ""
