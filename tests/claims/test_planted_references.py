"""A reference with a textbook mistake in it must be noticed by a claim, by name: the run is then not as predicted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.config import load_config
from assay.execute import decide
from assay.measure import Conditions
from assay.registry import load_claims
from assay.subject import Subject, load_subjects
from claims.optimizers.minibatch import drawn_with_replacement
from claims.optimizers.momentum import only_the_first

CONFIG = load_config(Path(__file__).parent)
CLAIMS = load_claims(CONFIG.claims_folder, CONFIG.claims)
REFERENCE = load_subjects(CONFIG.subjects)["reference"]


def forgets_to_rescale(sound: Any) -> Any:
    return lambda x, p, *, generator, training=True: (
        sound(x, p, generator=generator, training=training) * ((1 - p) if training else 1)
    )


def wrong_fan(sound: Any) -> Any:
    return lambda shape, *, fan="in", **hyper: sound(shape, fan={"in": "out", "out": "in"}.get(fan, fan), **hyper)


def same_off_by_one(sound: Any) -> Any:
    def convolve(x: Any, w: Any, b: Any = None, *, padding: Any = 0, **hyper: Any) -> Any:
        wide = tuple((K - 1) // 2 + 1 for K in w.shape[2:])
        return sound(x, w, b, padding=wide if padding == "same" else padding, **hyper)

    return convolve


def sums(sound: Any) -> Any:
    return lambda per_sample: sound(per_sample) * per_sample.shape[-2]


def xavier_of_fan_in(sound: Any) -> Any:
    """The variance 1/fan_in: Xavier's for a square of side fan_in."""

    def draw(shape: tuple[int, ...], **hyper: Any) -> Any:
        out, fan_in = shape[:2]
        squares = [sound((fan_in, fan_in, *shape[2:]), **hyper) for _ in range(-(-out // fan_in))]
        return torch.cat(squares)[:out]

    return draw


PLANTED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "dropout forgets to rescale": ("dropout", forgets_to_rescale),
    "He takes the wrong fan": ("he_normal", wrong_fan),
    "same padding is off by one": ("conv2d", same_off_by_one),
    "a mini-batch gradient sums where it should average": ("mean_gradient", sums),
    "an output size that forgets the last window": ("conv_output_size", lambda sound: lambda *a, **h: sound(*a, **h) - 1),
    "momentum multiplies the gradient": ("momentum", lambda sound: lambda p, g, s, *, lr, beta: sound(p, [beta * x for x in g], s, lr=lr, beta=beta)),
    "momentum moves the first parameter only": ("momentum", only_the_first),
    "an epoch draws with replacement": ("epoch_batches", drawn_with_replacement),
    "average pooling adds up": ("average_pool2d", lambda sound: lambda x, *a, **h: sound(x, *a, **h) * 4),
    "Xavier forgets the fan-out": ("xavier_normal", xavier_of_fan_in),
}  # fmt: skip


@pytest.mark.parametrize("mistake", PLANTED)
def test_a_planted_mistake_is_named_by_a_claim(mistake: str) -> None:
    role, edit = PLANTED[mistake]
    planted = Subject("planted", {**REFERENCE.roles, role: edit(REFERENCE.roles[role])})
    concerned = [claim for claim in CLAIMS.values() if role in claim.needs]
    concerned.sort(
        key=lambda claim: (claim.kind == "tendency", claim.wants_trial and not claim.given and not claim.cases)
    )
    for claim in concerned:
        verdict = decide(claim, planted, Conditions(examples=30), {}, "claim", shrink=False).verdict
        if verdict != claim.expect.verdict:
            return
    pytest.fail(f"{mistake}: none of {len(concerned)} claims about {role} noticed")
