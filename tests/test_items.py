"""The limit of a claim: nothing that a subject or Hypothesis catches."""

import signal
import time
from typing import Any

import pytest

from assay.claim import HOLDS, claim
from assay.evidence import Evidence, equal
from assay.execute import execute
from assay.items import TimeLimit, _time_limit
from assay.measure import Conditions
from assay.strategies import sizes
from assay.subject import Subject


def patient(x: int) -> int:
    """Twice x, some minutes later; whatever wakes it is ignored."""
    try:
        time.sleep(300)
    except Exception:  # noqa: BLE001 - what careless code does
        return 0
    return x + x


def test_a_subject_that_catches_everything_is_ended_in_time() -> None:
    def even(lib: Any, x: int) -> Evidence:
        """Reading: 2x mod 2 = 0."""
        return equal(lib.double(x) % 2, 0, what="remainder")

    broken = {"adds one": {"double": lambda sound: lambda x: sound(x) + 1}}
    made = claim("gfg-1.1", "It is so.", needs=["double"], given={"x": sizes(0, 9)}, expect=HOLDS, sabotage=broken)(
        even
    )
    before, started = signal.getsignal(signal.SIGALRM), time.perf_counter()
    with pytest.raises(TimeLimit), _time_limit(0.3, in_worker=False):
        execute(made, Subject("patient", {"double": patient}), Conditions())
    signal.signal(signal.SIGALRM, before)
    assert time.perf_counter() - started < 60
