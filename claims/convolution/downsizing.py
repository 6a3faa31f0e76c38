"""When pooling makes a map smaller, and when it does not."""

from __future__ import annotations

import itertools
from typing import Any

import torch

from assay.claim import CONDITIONAL, claim
from assay.decide.proofs import Term, both, either, negation, proved
from assay.decide.trial import Trial
from assay.evidence import Evidence, fact
from assay.sabotage import instead, with_arguments
from claims.convolution.sizes import LAYER, every_layer
from claims.lab.sliding import window_count


def takes_away(n: Term, K: Term, s: Term, p: Term) -> Term:
    """The zeros do not make up for the window, or the windows stand apart on a map of at least three pixels a side."""
    return either(2 * p <= K - 2, both(s >= 2, n >= 3))


def makes_up(n: Term, K: Term, s: Term, p: Term) -> Term:
    return negation(takes_away(n, K, s, p))


@claim(
    "gfg-36.8",
    "In a pooling layer the spatial size of the maps becomes smaller.",
    needs=["max_pool2d", "average_pool2d"],
    setting={"layers": every_layer},
    expect=CONDITIONAL(
        "the stride is at least 2 on a map of at least 3 pixels a side, or twice the padding is at most the window's "
        "side less 2",
        within={"layers": instead(takes_away)},
        beyond={"layers": instead(makes_up)},
    ),
    sabotage={
        "allows every pooling layer": {"layers": instead(every_layer)},
        "looks at usual pooling only": {"layers": instead(takes_away)},
        "drops a row and a column whatever the window": {"average_pool2d": lambda sound: lambda x, **_: x[..., 1:, 1:]},
        "puts its windows one pixel apart": {"max_pool2d": with_arguments(stride=1)},
    },
)
def pooling_makes_maps_smaller(lib: Any, trial: Trial, layers: Any) -> Evidence:
    """Reading: n pixels a side, window K, stride s and padding p give ⌊(n + 2p - K)/s⌋ + 1 < n, with padding of at most
    half the window (not pooling to a size asked for).
    Why: windows 2 or more apart halve the size at least; a 3x3 window with stride 1 and padding 1, or a window of one
    pixel, keeps it, and a 2x2 window with stride 1 and padding 1 enlarges it."""

    def smaller(n: Term, K: Term, s: Term, p: Term) -> Term:
        return window_count(n, K, s, p) < n

    def considered(n: Term, K: Term, s: Term, p: Term) -> Term:
        return both(n >= 1, K >= 1, s >= 1, p >= 0, 2 * p <= K, n + 2 * p >= K, layers(n, K, s, p))

    unlike = sum(
        _pooled(pool, *layer, trial.device) != (window_count(*layer),) * 2
        for pool in (lib.max_pool2d, lib.average_pool2d)
        for layer in itertools.product((3, 7, 8), (1, 2, 3), (1, 2, 3), (0, 1))
        if 2 * layer[3] <= layer[1]
    )
    return proved(smaller, LAYER, assuming=considered, what="pooling does not make the map smaller") & fact(
        "pooled maps whose size is not that of the formula", unlike, 0
    )


def _pooled(pool: Any, n: int, K: int, s: int, p: int, device: torch.device) -> tuple[int, ...]:
    """(rows, columns) of a pooled map of n x n pixels."""
    return tuple(pool(torch.ones(1, n, n, device=device), size=K, stride=s, padding=p).shape[-2:])
