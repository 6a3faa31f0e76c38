"""Steps on several ranks against one process within the rounding; planted mistakes; what is lost is named, nothing hangs."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from assay.evidence import gamma
from reference import ranks
from reference.distributed import (
    Shard,
    Tensors,
    data_parallel,
    layer_parts,
    model_parallel,
    network_loss,
    parameter_averaging,
    weighted_average,
)
from reference.optimization import sgd
from reference.ranks import launch
from tests.reference import workers
from tests.reference.mutants import mutant
from tests.reference.protocol import draw

F64 = torch.float64
PARAMS = [draw(4, 3), draw(4, seed=1), draw(3, 4, seed=2), draw(3, seed=3), draw(2, 3, seed=4), draw(2, seed=5)]
X, Y = draw(11, 3, seed=6), draw(11, 2, seed=7)
LR = 0.1
SPLITS = {"two ranks": (4, 7), "two ranks, one case": (1, 10), "three ranks": (2, 3, 6)}


@pytest.fixture(scope="module", autouse=True)
def _no_rank_is_left_to_the_next_module() -> Iterator[None]:
    yield
    ranks.end_ranks()


def shards(sizes: tuple[int, ...]) -> list[Shard]:
    return list(zip(X.split(sizes), Y.split(sizes), strict=True))


def in_one_process(params: Tensors, x: torch.Tensor = X, y: torch.Tensor = Y, steps: int = 1) -> Tensors:
    for _ in range(steps):
        leaves = [p.detach().requires_grad_() for p in params]
        params, _ = sgd(leaves, torch.autograd.grad(network_loss(leaves, x, y), leaves), lr=LR)
    return [p.detach() for p in params]


def allowed(params: Tensors) -> list[torch.Tensor]:
    """How far two ways to compute one step may lie apart, for each entry of each parameter.

    H bounds a layer's output, as |tanh a| <= |a|; its error is below c·u·H after c roundings, as tanh has slopes up to one.
    D bounds the loss's gradient by a layer's sums: going back through w and through the slope 1 - t², which errs by at most
    2·c·u·H, so that D's relative error stays below the number of roundings so far if D takes the factor 1 + 2·H along.
    Those are at most, there and back: every width of the net, and 6 for each layer; then n cases, the average over up to
    3 ranks (each a product, sums, a quotient), the rate and the difference: 11 + 3 + 5. Both ways err by this: factor 2.
    """
    sizes = [p.abs() for p in params]
    H = [X.abs()]
    for w, b in zip(sizes[::2], sizes[1::2], strict=True):
        H.append(H[-1] @ w.mT + b)
    D = 2 / Y.numel() * (H[-1] + Y.abs())
    slopes: list[torch.Tensor] = []
    for w, h in zip(reversed(sizes[::2]), reversed(H[:-1]), strict=True):
        slopes = [D.mT @ h, D.sum(0), *slopes]
        D = (D @ w) * (1 + 2 * h)
    roundings = 2 * (3 + 4 + 3 + 6 * 3) + 11 + 3 + 5
    return [2 * gamma(roundings, F64) * (w + LR * g) for w, g in zip(sizes, slopes, strict=True)]


def agree(found: Tensors, expected: Tensors, within: Tensors) -> bool:
    pairs = zip(found, expected, within, strict=True)
    return all(bool(((a - b).abs() <= most).all()) for a, b, most in pairs)


def same(replicas: list[Tensors]) -> bool:
    return all(torch.equal(a, b) for other in replicas for a, b in zip(replicas[0], other, strict=True))


@pytest.mark.parametrize("split", SPLITS)
def test_a_data_parallel_step_is_the_step_of_all_cases(split: str) -> None:
    found = data_parallel(PARAMS, shards(SPLITS[split]), lr=LR)
    assert len(found) == len(SPLITS[split])
    assert same(found)
    assert agree(found[0], in_one_process(PARAMS), allowed(PARAMS))


def test_several_steps_are_one_step_after_the_other() -> None:
    params: Tensors = PARAMS
    for _ in range(3):
        params = data_parallel(params, shards((4, 7)), lr=LR)[0]
    assert same([params, *data_parallel(PARAMS, shards((4, 7)), lr=LR, steps=3)])
    assert same([PARAMS, *data_parallel(PARAMS, shards((4, 7)), lr=LR, steps=0)])


@pytest.mark.parametrize("split", SPLITS)
def test_averaging_at_every_step_is_the_data_parallel_step(split: str) -> None:
    found = parameter_averaging(PARAMS, shards(SPLITS[split]), lr=LR, steps=1, every=1)
    assert same(found)
    assert agree(found[0], in_one_process(PARAMS), allowed(PARAMS))


def locally(sizes: tuple[int, ...], steps: int) -> list[Tensors]:
    return [in_one_process(PARAMS, x, y, steps) for x, y in shards(sizes)]


def test_averaging_every_third_step_is_the_average_of_what_each_learned_alone() -> None:
    found = parameter_averaging(PARAMS, shards((2, 3, 6)), lr=LR, steps=3, every=3)
    alone = locally((2, 3, 6), 3)
    expected = weighted_average(alone, (2, 3, 6))
    # A product, two sums in any order and a quotient, on both sides.
    sizes = weighted_average([[w.abs() for w in rank] for rank in alone], (2, 3, 6))
    assert agree(found[0], expected, [2 * gamma(4, F64) * size for size in sizes])
    assert same(found)
    at_every_step = data_parallel(PARAMS, shards((2, 3, 6)), lr=LR, steps=3)[0]
    assert not agree(found[0], at_every_step, [1e6 * most for most in allowed(PARAMS)])


def test_ranks_differ_after_their_last_average() -> None:
    found = parameter_averaging(PARAMS, shards((4, 7)), lr=LR, steps=2, every=3)
    assert [same([a, b]) for a, b in zip(found, locally((4, 7), 2), strict=True)] == [True, True]
    assert not same(found)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_network_on_several_ranks_steps_as_the_one_on_one(count: int) -> None:
    found = model_parallel(PARAMS, X, Y, ranks=count, lr=LR)
    assert [len(part) for part in found] == {1: [6], 2: [2, 4], 3: [2, 2, 2]}[count]
    assert agree([p for part in found for p in part], in_one_process(PARAMS), allowed(PARAMS))


def test_several_steps_of_a_split_network_are_one_step_after_the_other() -> None:
    params: Tensors = PARAMS
    for _ in range(3):
        params = [p for part in model_parallel(params, X, Y, ranks=2, lr=LR) for p in part]
    assert same([params, [p for part in model_parallel(PARAMS, X, Y, ranks=2, lr=LR, steps=3) for p in part]])


SETTINGS: dict[str, tuple[Any, ...]] = {
    "data_parallel": (PARAMS, network_loss, LR, 1),
    "parameter_averaging": (PARAMS, network_loss, LR, 1, 1),
}


def one_step_is_right(worker: Any, mistake: str, settings: tuple[Any, ...]) -> bool:
    found = launch(worker, shards((4, 7)), mistake, *settings)
    return all(agree(rank, in_one_process(PARAMS), allowed(PARAMS)) for rank in found)


@pytest.mark.parametrize("step", SETTINGS)
@pytest.mark.parametrize("mistake", [name for name in workers.AVERAGES if "before" not in name])
def test_a_wrong_average_is_caught(step: str, mistake: str) -> None:
    worker = {"data_parallel": workers.data_parallel_with, "parameter_averaging": workers.parameter_averaging_with}[
        step
    ]
    assert one_step_is_right(worker, mistake, SETTINGS[step]) == (mistake == "none")


def test_a_stale_gradient_is_caught() -> None:
    """It shows in the second step only, which starts where the first one ended."""
    first = in_one_process(PARAMS)
    for mistake in ("none", "what was learned one step before"):
        found = launch(workers.data_parallel_with, shards((4, 7)), mistake, PARAMS, network_loss, LR, 2)[0]
        onward = data_parallel(data_parallel(PARAMS, shards((4, 7)), lr=LR)[0], shards((4, 7)), lr=LR)[0]
        assert same([found, onward]) == (mistake == "none")
        assert agree(found, in_one_process(first), [1e6 * most for most in allowed(first)]) == (mistake == "none")


@pytest.mark.parametrize("mistake", workers.PARTS)
def test_a_wrong_part_is_caught(mistake: str) -> None:
    shares = [(PARAMS[:2], X, None), (PARAMS[2:], None, Y)]
    found = launch(workers.model_parallel_with, shares, mistake, len(X), LR, 1)
    right = agree([p for part in found for p in part], in_one_process(PARAMS), allowed(PARAMS))
    assert right == (mistake == "none")


def test_the_average_by_hand() -> None:
    one, other = [torch.tensor([1.0, 2.0])], [torch.tensor([5.0, 2.0])]
    assert weighted_average([one, other], [3, 1])[0].tolist() == [2.0, 2.0]
    assert weighted_average([one], [7])[0].tolist() == [1.0, 2.0]


def test_the_average_of_gradients_over_shards_is_the_gradient_of_all() -> None:
    gradients = [[(p - q) / LR for p, q in zip(PARAMS, rank, strict=True)] for rank in locally((4, 7), 1)]
    averaged = weighted_average(gradients, (4, 7))
    stepped = [p - LR * g for p, g in zip(PARAMS, averaged, strict=True)]
    # The way through the difference of two parameters costs some ten roundings more: the allowance twice over has them.
    assert agree(stepped, in_one_process(PARAMS), [2 * most for most in allowed(PARAMS)])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("n * v", "v"), (".sum(0) / total", ".sum(0)"), ("/ total", "/ len(sizes)"), (".sum(0)", "[1:].sum(0)")],
)
def test_a_wrong_average_by_hand_is_caught(right: str, wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "weighted_average", mutant(weighted_average, right, wrong))
    for check in (test_the_average_by_hand, test_the_average_of_gradients_over_shards_is_the_gradient_of_all):
        with pytest.raises(AssertionError):
            check()


def test_layers_are_split_as_evenly_as_can_be() -> None:
    layers = [torch.tensor(k) for k in range(14)]
    assert [[int(p) for p in part] for part in layer_parts(layers[:4], 2)] == [[0, 1], [2, 3]]
    assert [len(part) for part in layer_parts(layers, 3)] == [4, 4, 6]


def test_ranks_know_who_they_are_and_answers_keep_their_order() -> None:
    assert launch(workers.greeting, [10, 20, 30], "hello") == [(r, 3, "hello", 10 * (r + 1)) for r in range(3)]
    assert launch(workers.greeting, [10], "alone") == [(0, 1, "alone", 10)]


def test_tensors_come_back_as_they_are() -> None:
    sent = [torch.arange(3), draw(2, 2).to(torch.bfloat16), torch.empty(0, 4)]
    found = launch(workers.doubled, sent)
    assert [(f.dtype, f.shape, f.device) for f in found] == [(s.dtype, s.shape, s.device) for s in sent]
    assert all(torch.equal(f, 2 * s) for f, s in zip(found, sent, strict=True))


LOST = {
    "raises": (
        workers.raises_on_the_last,
        "lost rank 1 of 2: it raised ZeroDivisionError: no such number, expected an",
    ),
    "ends": (workers.ends_on_the_last, "lost rank 1 of 2: its process ended with status 3, expected an answer"),
    "sleeps": (workers.sleeps_on_the_last, "no answer from rank 1 of 2: silent for 2 seconds, expected one"),
}


@pytest.mark.parametrize("what", LOST)
def test_a_lost_rank_is_named_and_none_is_left_over(what: str) -> None:
    worker, message = LOST[what]
    launch(workers.greeting, [1, 2], "up and running")  # lest the two seconds be over before the start is
    started = [rank.process for rank in ranks._started]
    with pytest.raises(RuntimeError, match=message):
        launch(worker, [1, 2], seconds=2.0 if what == "sleeps" else 60.0)
    assert all(process.poll() is not None for process in started)
    assert ranks._started == []


def test_an_answer_that_cannot_be_sent_is_told() -> None:
    with pytest.raises(RuntimeError, match="lost rank 0 of 1: it raised ValueError: launch got what cannot be sent"):
        launch(workers.answers_with_a_function, [1])


def test_a_rank_that_ended_while_it_waited_is_named_too() -> None:
    launch(workers.greeting, [1], "up and running")
    ranks._started[0].process.kill()
    ranks._started[0].process.wait()
    with pytest.raises(RuntimeError, match="lost rank 0 of 1: its process ended with status -9"):
        launch(workers.greeting, [1], "anyone there")


def test_ranks_end_with_the_process_that_started_them_even_if_it_is_killed() -> None:
    """Ranks share its output, which is at an end only once the last of them is."""
    code = (
        "import os, signal; from reference.ranks import launch; from tests.reference.workers import greeting; "
        "print(launch(greeting, [7], 'hello'), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stdout, found.stderr) == (-9, "[(0, 1, 'hello', 7)]\n", "")


TWO = shards((4, 7))
REFUSED = {
    "no share": (lambda: launch(workers.greeting, []), "no share"),
    "no time": (lambda: launch(workers.greeting, [1], seconds=0.0), "out of range: 0.0 seconds"),
    "a worker that cannot be found": (lambda: launch(lambda share: share, [1]), "cannot be sent to another process"),
    "a loss that cannot be found": (
        lambda: data_parallel(PARAMS, TWO, lr=LR, loss=lambda p, x, y: p[0].sum()),
        "cannot be sent to another process",
    ),
    "no shard": (lambda: data_parallel(PARAMS, [], lr=LR), "0 shards"),
    "no parameter": (lambda: data_parallel([], TWO, lr=LR), "0 parameters"),
    "integer parameters": (
        lambda: data_parallel([p.long() for p in PARAMS], TWO, lr=LR),
        r"params\[0\] is torch.int64",
    ),
    "a shard without cases": (lambda: data_parallel(PARAMS, shards((0, 11)), lr=LR), r"does not fit.*\(rank 0\)"),
    "fewer targets than cases": (lambda: data_parallel(PARAMS, [TWO[0], (X, Y[1:])], lr=LR), r"\(rank 1\)"),
    "cases that do not fit the net": (lambda: data_parallel(PARAMS, [(Y, Y)], lr=LR), "features that do not fit"),
    "a rate that is no number": (lambda: data_parallel(PARAMS, TWO, lr=float("nan")), "lr nan"),
    "steps below zero": (lambda: data_parallel(PARAMS, TWO, lr=LR, steps=-1), "steps -1"),
    "averages at no step": (lambda: parameter_averaging(PARAMS, TWO, lr=LR, steps=1, every=0), "every >= 1"),
    "more ranks than layers": (lambda: model_parallel(PARAMS, X, Y, ranks=4, lr=LR), "take fewer ranks"),
    "no rank": (lambda: layer_parts(PARAMS, 0), "0 ranks"),
    "a bias without weights": (lambda: layer_parts(PARAMS[1:], 1), "pairs of weights and biases"),
    "a size too many": (lambda: weighted_average([PARAMS], [1, 2]), "ranks that do not fit"),
    "a rank without cases": (lambda: weighted_average([PARAMS, PARAMS], [1, 0]), "size >= 1"),
    "ranks of other shapes": (lambda: weighted_average([PARAMS, PARAMS[::-1]], [1, 1]), "same shapes"),
    "an average of nobody": (lambda: weighted_average([], []), "0 with sizes"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused_before_any_process_starts(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "_start", None)
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without GPU")
def test_too_few_gpus_are_refused() -> None:
    with pytest.raises(ValueError, match="too few GPUs: 0 for 2 ranks"):
        launch(workers.greeting, [1, 2], "hello", device="cuda")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_ranks_on_gpus_step_as_one_process() -> None:
    count = min(2, torch.cuda.device_count())
    moved = [(x.cuda(), y.cuda()) for x, y in shards((4, 7) if count == 2 else (11,))]
    found = data_parallel([p.cuda() for p in PARAMS], moved, lr=LR)
    assert agree([p.cpu() for p in found[-1]], in_one_process(PARAMS), allowed(PARAMS))
