"""Processes for the ranks of a distributed run: started once, kept, and given one task after the other.

A rank is a Python process that waits at the other end of a pipe. It ends when the pipe closes, so none outlives the process
that started it, however that one ends. The first trouble in a task ends all ranks, and the next task starts fresh ones.
"""

from __future__ import annotations

import atexit
import io
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple, NoReturn

import torch
import torch.distributed

__all__ = ["launch"]


class _Rank(NamedTuple):
    process: subprocess.Popen[bytes]
    line: Connection


class _Seat(NamedTuple):
    """Where a rank sits in a task: its number among how many, where they meet, how long they wait, on which device."""

    rank: int
    ranks: int
    store: str
    seconds: float
    device: str


_started: list[_Rank] = []


def launch(
    worker: Callable[..., Any],
    shares: Sequence[Any],
    *shared: Any,
    device: torch.device | str = "cpu",
    seconds: float = 60.0,
) -> list[Any]:
    """Run a worker in one process for each share, where torch.distributed joins the processes as ranks 0, 1, ...

    Shapes: a share for each rank -> an answer of each rank
    (1) answer_r = worker(share_r, *shared) on rank r
    Conventions: gloo joins ranks on the CPU, NCCL those on GPUs, one GPU for each; tensors are copied to the rank's device
        and the answers back to `device`. The worker is a function at the top of a module that can be imported. Processes
        are kept for the next launch; one launch at a time. Needs POSIX.
    Units: seconds from the launch to the last answer, the start of the processes included.
    Errors: ValueError if there is no share, a worker or share cannot be sent, or there are too few GPUs; RuntimeError that
        names the rank if one raises, ends or gives no answer in time.
    Example:
        import math
        launch(math.sqrt, [4.0, 9.0]) == [2.0, 3.0]
    Asked: gfg-56.1, gfg-56.2
    Source: Li et al., PyTorch Distributed: experiences on accelerating data parallel training (2020).
    """
    device = torch.device(device)
    name = getattr(worker, "__qualname__", repr(worker))
    _check(len(shares), device, seconds)
    tasks = [_packed(name, (worker, share, shared)) for share in shares]
    try:
        while len(_started) < len(shares):
            _started.append(_start())
        ranks = _started[: len(shares)]
        with tempfile.TemporaryDirectory() as folder:
            for k, (rank, task) in enumerate(zip(ranks, tasks, strict=True)):
                # Twice as long as the launch, so that it is the launch that notices and says who is silent.
                place = f"cuda:{k}" if device.type == "cuda" else device.type
                _send(rank, (_Seat(k, len(ranks), os.path.join(folder, "store"), 2 * seconds, place), task))
            answers = _gathered(name, ranks, seconds)
        return [_unpacked(answer, device) for answer in answers]  # (1)
    except BaseException:
        end_ranks()
        raise


def _check(ranks: int, device: torch.device, seconds: float) -> None:
    if ranks == 0:
        raise ValueError("launch got no share: 0, expected one for each rank, at least one")
    if not seconds > 0:
        raise ValueError(f"launch got a time out of range: {seconds} seconds, expected more than 0")
    if device.type == "cuda" and torch.cuda.device_count() < ranks:
        raise ValueError(
            f"launch got too few GPUs: {torch.cuda.device_count()} for {ranks} ranks, expected one for each; "
            "take fewer ranks or device='cpu'"
        )


def _packed(name: str, task: Any) -> bytes:
    buffer = io.BytesIO()
    try:
        torch.save(task, buffer)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"launch got what cannot be sent to another process: {error}, expected functions at the top of a module, "
            f"tensors and plain values (worker {name}); move the function there"
        ) from error
    return buffer.getvalue()


def _unpacked(task: bytes, device: torch.device | str) -> Any:
    return torch.load(io.BytesIO(task), map_location=device, weights_only=False)


def _start() -> _Rank:
    ours, theirs = Pipe()
    found = os.pathsep.join(path or os.getcwd() for path in sys.path)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", f"from reference.ranks import serve; serve({theirs.fileno()})"],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": found},
        )
    return _Rank(process, ours)


def _send(rank: _Rank, task: tuple[_Seat, bytes]) -> None:
    with suppress(BrokenPipeError):  # it ended while it waited; who asks it for the answer is told
        rank.line.send(task)


def _gathered(name: str, ranks: list[_Rank], seconds: float) -> list[bytes]:
    """The answers of all ranks, in their order; the first trouble ends the wait."""
    answers: dict[int, bytes] = {}
    end = time.monotonic() + seconds
    while len(answers) < len(ranks):
        lines = {rank.line: k for k, rank in enumerate(ranks) if k not in answers}
        ready = wait(list(lines), max(0.0, end - time.monotonic()))
        if not ready:
            silent = ", ".join(str(k) for k in lines.values())
            raise RuntimeError(
                f"launch got no answer from rank {silent} of {len(ranks)}: silent for {seconds:g} seconds, expected one "
                f"from each rank (worker {name}); see whether ranks wait for each other, or give it more seconds"
            )
        found = {lines[line]: _received(line) for line in ready}
        if any(kind != "answer" for kind, _ in found.values()):
            # A rank that ended makes the others raise: it closed its pipe before they could, and is the one to name.
            found |= {lines[line]: _received(line) for line in wait([line for line in lines if line not in ready], 0)}
            _lost(name, ranks, found)
        answers |= {k: answer for k, (_, answer) in found.items()}
    return [answers[k] for k in range(len(ranks))]


def _received(line: Connection) -> tuple[str, Any]:
    try:
        return line.recv()
    except (EOFError, ConnectionError):
        return "ended", None


def _lost(name: str, ranks: list[_Rank], found: dict[int, tuple[str, Any]]) -> NoReturn:
    kind, k = min(((kind, k) for k, (kind, _) in found.items() if kind != "answer"))  # "ended" before "raised"
    if kind == "ended":
        measured, story = f"its process ended with status {ranks[k].process.wait()}", ""
    else:
        measured, story = found[k][1]
    raise RuntimeError(
        f"launch lost rank {k} of {len(ranks)}: {measured}, expected an answer (worker {name}); "
        f"mend what it does there{story}"
    )


def end_ranks() -> None:
    """End all processes that were started; the next launch starts fresh ones."""
    while _started:
        rank = _started.pop()
        rank.process.kill()
        rank.process.wait()
        rank.line.close()


atexit.register(end_ranks)


def serve(descriptor: int) -> None:
    """The life of a rank: take a task, answer, and wait for the next until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started the ranks hears it too, and ends them
    torch.set_num_threads(1)
    line = Connection(descriptor)
    while True:
        try:
            seat, task = line.recv()
        except (EOFError, ConnectionError):
            return
        line.send(_answer(seat, task))
        with suppress(RuntimeError):  # another rank was lost, and the launch is about to end this one
            if torch.distributed.is_initialized():  # after the answer: this takes longer than a small task
                torch.distributed.barrier()  # lest the group be closed under a rank that still receives
                torch.distributed.destroy_process_group()


def _answer(seat: _Seat, task: bytes) -> tuple[str, Any]:
    try:
        if seat.device.startswith("cuda"):
            torch.cuda.set_device(seat.device)
        worker, share, shared = _unpacked(task, seat.device)
        torch.distributed.init_process_group(
            "nccl" if seat.device.startswith("cuda") else "gloo",
            init_method=f"file://{seat.store}",
            rank=seat.rank,
            world_size=seat.ranks,
            timeout=timedelta(seconds=seat.seconds),
            device_id=torch.device(seat.device) if seat.device.startswith("cuda") else None,
        )
        return "answer", _packed(worker.__qualname__, worker(share, *shared))
    except Exception as error:  # noqa: BLE001  whatever a worker raises is told to the one who launched it
        return "raised", (f"it raised {type(error).__name__}: {error}", f"\n{traceback.format_exc()}")
