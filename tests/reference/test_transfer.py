"""Transfer: losses against their formulas; what a related task, a shared body, an embedding and an alignment are good for.

Thirty-two replicas differ in tasks, data and starts; medians over them are compared by their exact interval.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest
import torch
from torch.nn import functional

from assay.decide import intervals
from assay.evidence import gamma
from reference import transfer as ours
from reference.activations import linear, tanh
from reference.embeddings import triplet_loss
from reference.layers import dense, mlp
from reference.losses import binary_cross_entropy_with_logits, mean_squared_error
from tests.reference.protocol import Case, draw

LABELS = torch.tensor([[0, 2, 1, 1, 2], [2, 1, 0, 0, 0]])


def prototypes(x: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    return torch.stack(
        [torch.stack([a[l == c].mean(0) for c in range(classes)]) for a, l in zip(x, labels, strict=True)]
    )


def covariances(x: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.cov(each.T) for each in x])


def reversed_gradient(x: torch.Tensor, strength: float) -> torch.Tensor:
    return -strength * x + ((1 + strength) * x).detach()


def distances(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x * x).sum(-1, keepdim=True) + (y * y).sum(-1) - 2 * x @ y.mT


CASES = {
    "multi-task": Case(ours.multi_task_loss, (draw(4, 3), draw(3, seed=1)), lambda l, w: l @ w, scale=4),
    "prototypes": Case(ours.class_prototypes, (draw(2, 5, 4), LABELS), prototypes, {"classes": 3}, scale=4),
    "distances": Case(
        ours.squared_distances, (draw(2, 4, 3), draw(5, 3, seed=1)), distances, scale=32
    ),
    "alignment": Case(
        ours.correlation_alignment, (draw(2, 6, 3), 2 * draw(2, 4, 3, seed=1)),
        lambda s, t: (covariances(s) - covariances(t)).square().sum((-2, -1)) / 36, roundings=128, scale=16,
    ),
    "reversal": Case(ours.gradient_reversal, (draw(4, 3),), reversed_gradient, {"strength": 2.5}, stops=True),
    "reversal of strength -1": Case(ours.gradient_reversal, (draw(4, 3),), lambda x, strength: 1 * x, {"strength": -1.0}),
}  # fmt: skip

REPLICAS, CONFIDENCE = 32, 1e-3
Tensors = Sequence[torch.Tensor]


class Draws:
    """Normal tensors with the replicas in front, one after the other from one generator."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def __call__(self, *shape: int) -> torch.Tensor:
        return torch.randn(REPLICAS, *shape, generator=self.generator, dtype=torch.float64)

    def labels(self, n: int, classes: int) -> torch.Tensor:
        return torch.randint(classes, (REPLICAS, n), generator=self.generator)

    def layers(self, *widths: int) -> list[torch.Tensor]:
        pairs = [(self(b, a) / a**0.5, torch.zeros(REPLICAS, b).double()) for a, b in itertools.pairwise(widths)]
        return [p for pair in pairs for p in pair]


def gap(a: torch.Tensor, b: torch.Tensor) -> tuple[float, float]:
    """The interval of the median of a - b over the replicas."""
    return intervals.median(a - b, CONFIDENCE)


def squared(params: Tensors, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return mean_squared_error(mlp(x, params, tanh), y).mean((-2, -1))


def waves(x: torch.Tensor, directions: torch.Tensor, mix: torch.Tensor) -> torch.Tensor:
    """Targets that depend on x through few directions: x (R, n, 10) -> (R, n, out)."""
    return torch.sin(2 * x @ directions.mT) @ mix


@pytest.fixture(scope="module")
def transferred() -> dict[str, torch.Tensor]:
    """Errors on fresh cases, in units of the targets' variance, of nets that had 24 cases of the target task.

    Bodies come from a task with the same directions, from one with others, or from nowhere; held, or tuned too.
    """
    draws, found = Draws(0), {}
    own, others, mix = draws(2, 10), draws(2, 10), draws(2, 1)
    own, others = own / 10**0.5, others / 10**0.5
    x, fresh = draws(24, 10), draws(200, 10)
    y, truth = waves(x, own, mix), waves(fresh, own, mix)
    bodies = {"nowhere": draws.layers(10, 16)}
    for name, directions in (("related", own), ("unrelated", others)):
        many, answers = draws(200, 10), draws(2, 8)
        seen = waves(many, directions, answers)
        start, rates = draws.layers(10, 16, 8), ours.layer_rates(2, lr=1.0, body_lr=1.0)
        loss = lambda p, many=many, seen=seen: squared(p, many, seen)  # noqa: E731
        bodies[name] = ours.fine_tune(loss, start, rates=rates, updates=250)[:2]
    for (name, body), (mode, body_lr) in itertools.product(bodies.items(), (("held", 0.0), ("tuned", 0.02))):
        start = [*body, torch.zeros(REPLICAS, 1, 16).double(), torch.zeros(REPLICAS, 1).double()]
        rates = ours.layer_rates(2, lr=0.1, body_lr=body_lr)
        tuned = ours.fine_tune(lambda p: squared(p, x, y), start, rates=rates, updates=150)
        assert torch.equal(tuned[0], body[0]) == (mode == "held")
        found[f"{name}, {mode}"] = squared(tuned, fresh, truth) / truth.var((-2, -1))
    return found


@pytest.mark.parametrize("mode", ["held", "tuned"])
def test_features_of_a_related_task_help_and_others_do_not(transferred: dict[str, torch.Tensor], mode: str) -> None:
    related, unrelated, nowhere = (transferred[f"{name}, {mode}"] for name in ("related", "unrelated", "nowhere"))
    # errors are shares of the targets' variance: a tenth of it must be gained for the task to have been of use
    assert gap(nowhere, related)[0] > 0.1
    assert gap(unrelated, related)[0] > 0.1
    assert gap(nowhere, unrelated)[0] < 0.1


def test_a_body_shared_by_tasks_learns_what_none_learns_alone() -> None:
    draws, tasks, n = Draws(1), 8, 12
    directions, mix = (functional.normalize(draws(*shape), dim=-1) for shape in ((2, 16), (tasks, 2)))
    x, fresh = draws(tasks * n, 16), draws(200, 16)
    owner = torch.arange(tasks).repeat_interleave(n)
    y, truth = (cases @ directions.mT @ mix.mT for cases in (x, fresh))  # (R, cases, tasks)
    body, heads = draws.layers(16, 4), [draws.layers(4, 1) for _ in range(tasks)]

    def errors(params: Tensors, given: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        pairs = [params[k : k + 2] for k in range(2, len(params), 2)]
        answers = torch.cat(ours.shared_body(given, params[:2], pairs, linear), -1)
        return mean_squared_error(answers, wanted[..., : len(pairs)])

    def together(params: Tensors) -> torch.Tensor:
        own = errors(params, x, y).gather(-1, owner[:, None].expand(REPLICAS, -1, 1)).squeeze(-1)
        return ours.multi_task_loss(own.view(REPLICAS, tasks, n).mean(-1), torch.ones(tasks).double())

    def alone(params: Tensors) -> torch.Tensor:
        return errors(params, x[:, :n], y[:, :n]).mean((-2, -1))

    start = [*body, *(p for head in heads for p in head)]
    both = ours.fine_tune(together, start, rates=[0.06] * len(start), updates=200)
    single = ours.fine_tune(alone, start[:4], rates=[0.06] * 4, updates=200)
    shared, own = (errors(p, fresh, truth)[..., 0].mean(-1) / truth[..., 0].var(-1) for p in (both, single))
    # errors of single tasks have heavy tails: count the replicas in which sharing wins, fair coins being refuted
    assert intervals.proportion(int((shared < own).sum()), REPLICAS, 0.01)[0] > 0.5


def test_one_example_of_each_class_is_enough_for_a_trained_embedding() -> None:
    draws, wide, deep = Draws(2), 20, 3
    basis = torch.linalg.qr(draws(wide, wide)).Q

    def examples(centres: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Three directions tell the classes apart, the others hold noise."""
        told = centres.gather(1, labels.unsqueeze(-1).expand(*labels.shape, deep)) + 0.2 * draws(labels.shape[1], deep)
        return torch.cat([told, 1.5 * draws(labels.shape[1], wide - deep)], -1) @ basis

    known, new = 2 * draws(40, deep), 2 * draws(5, deep)
    anchor = draws.labels(300, 40)
    other = (anchor + 1 + draws.labels(300, 39)) % 40
    triplet = examples(known, anchor), examples(known, anchor), examples(known, other)
    once, asked = torch.arange(5).expand(REPLICAS, 5), draws.labels(200, 5)
    shots, questions = examples(new, once), examples(new, asked)

    def right(w: torch.Tensor) -> torch.Tensor:
        known_as = ours.class_prototypes(dense(shots, w), once, classes=5)
        return (ours.nearest_prototype(dense(questions, w), known_as) == asked).double().mean(-1)

    def loss(params: Tensors) -> torch.Tensor:
        return triplet_loss(*(dense(x, params[0]) for x in triplet), margin=1.0).mean(-1)

    start = draws(4, wide) / wide**0.5
    (trained,) = ours.fine_tune(loss, [start], rates=[0.02], updates=300)
    raw = torch.eye(wide).double().expand(REPLICAS, wide, wide)
    # training must turn more answers right than it turns wrong; an untaught map of fewer dimensions does the reverse
    assert gap(right(trained), right(raw))[0] > 0
    assert gap(right(start), right(raw))[1] < 0.0


def two_domains(draws: Draws, odd: Callable[[torch.Tensor], torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Cases (R, 200, 2) and labels of two domains: the first feature tells the label in both, the second in one only."""
    found: list[torch.Tensor] = []
    for source in (True, False):
        y = draws.labels(200, 2).double()
        sign, noise = 2 * y - 1, draws(200)
        second = 1.5 * sign + 0.5 * noise if source else odd(noise)
        found += [torch.stack([sign + 0.8 * draws(200), second], -1), y]
    return tuple(found)


def adapted(method: str) -> torch.Tensor:
    """The share of right answers in the target domain, of which no label was seen: (R)."""
    draws = Draws(3)
    odd = {"alignment": lambda e: 3 * e, "reversal": lambda e: 3 + e}[method.removesuffix(", off")]
    x, y, target, truth = two_domains(draws, odd)
    start = [*draws.layers(2, 2, 1), *draws.layers(2, 1)]
    zero, one = torch.zeros_like(y), torch.ones_like(y)

    def loss(params: Tensors) -> torch.Tensor:
        f, g = dense(x, *params[:2]), dense(target, *params[:2])
        cost = binary_cross_entropy_with_logits(dense(f, *params[2:4]).squeeze(-1), y).mean(-1)
        if method == "alignment":
            return cost + ours.correlation_alignment(f, g)
        if method == "reversal":
            here, there = (dense(ours.gradient_reversal(h, strength=5.0), *params[4:]).squeeze(-1) for h in (f, g))
            cost = cost + binary_cross_entropy_with_logits(here, zero).mean(-1)
            cost = cost + binary_cross_entropy_with_logits(there, one).mean(-1)
        return cost

    params = ours.fine_tune(loss, start, rates=[0.02] * 2 + [0.1] * 4, updates=200)
    answers = dense(dense(target, *params[:2]), *params[2:4]).squeeze(-1)
    return ((answers > 0) == truth.bool()).double().mean(-1)


@pytest.mark.parametrize("method", ["alignment", "reversal"])
def test_features_that_do_not_tell_the_domains_apart_serve_in_both(method: str) -> None:
    # of the two features only one is of use in the target domain: a twentieth more right answers must come of it
    assert gap(adapted(method), adapted(f"{method}, off"))[0] > 0.05


REFUSED = {
    "no head": (lambda: ours.layer_rates(2, lr=0.1, head=0), "head 0 of 2"),
    "negative rate": (lambda: ours.layer_rates(2, lr=0.1, body_lr=-1.0), "body_lr -1.0"),
    "too few rates": (lambda: ours.fine_tune(sum, [draw(1)], rates=[], updates=1), "0 rates for 1"),
    "updates below zero": (lambda: ours.fine_tune(sum, [draw(1)], rates=[0.1], updates=-1), "-1 updates"),
    "no task": (lambda: ours.shared_body(draw(2, 3), [draw(3, 3), draw(3)], [], tanh), r"heads of \[\]"),
    "weights that do not fit": (lambda: ours.multi_task_loss(draw(3), draw(1)), "for each of 3 tasks"),
    "no loss": (lambda: ours.multi_task_loss(draw(0), draw(0)), "empty axis"),
    "class without a case": (lambda: ours.class_prototypes(draw(2, 5, 4), LABELS, classes=4), "a case for each"),
    "labels that do not fit": (lambda: ours.class_prototypes(draw(5, 4), LABELS, classes=3), "do not fit"),
    "features that do not fit": (lambda: ours.squared_distances(draw(2, 3), draw(2, 4)), "do not fit"),
    "a single case": (lambda: ours.correlation_alignment(draw(1, 3), draw(4, 3)), "too few cases"),
    "integers": (lambda: ours.gradient_reversal(LABELS), "got integers"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()


def test_descent_is_the_plain_one() -> None:
    w = draw(3)
    (found,) = ours.fine_tune(lambda p: p[0] ** 2 / 2, [w], rates=[0.1], updates=10)
    assert float((found - 0.9**10 * w).abs().max()) <= gamma(64, torch.float64) * 4
