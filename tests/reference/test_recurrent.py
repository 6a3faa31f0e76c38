"""Recurrent layers: against torch.nn and cells written out, truncation, both directions, bad input."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from assay.evidence import gamma
from reference import recurrent as ours
from subjects.torch_nn import recurrent as theirs
from tests.reference.protocol import Case, draw

STEPS, D, H = 4, 2, 3


def inputs(gates: int, states: int = 1) -> tuple[torch.Tensor, ...]:
    weights = (draw(gates * H, D, seed=1), draw(gates * H, H, seed=2), draw(gates * H, seed=3))
    return (draw(2, STEPS, D), *(0.7 * w for w in weights), *(draw(2, H, seed=4 + k) for k in range(states)))


def rnn_with_cuts(x: Any, w: Any, u: Any, b: Any, h0: Any, window: int) -> torch.Tensor:
    h, states = h0, []
    for t in range(x.shape[-2]):
        h = torch.tanh(x[..., t, :] @ w.T + (h.detach() if t and t % window == 0 else h) @ u.T + b)
        states.append(h)
    return torch.stack(states, -2)


def gru_with_reset_before(x: Any, w: Any, u: Any, b: Any, h0: Any, reset: str) -> torch.Tensor:
    h, states = h0, []
    for t in range(x.shape[-2]):
        a = x[..., t, :] @ w.T + b
        r = torch.sigmoid(a[..., :H] + h @ u[:H].T)
        z = torch.sigmoid(a[..., H : 2 * H] + h @ u[H : 2 * H].T)
        n = torch.tanh(a[..., 2 * H :] + (r * h) @ u[2 * H :].T)
        h = n + z * (h - n)
        states.append(h)
    return torch.stack(states, -2)


def lstm_states(x: Any, w: Any, u: Any, b: Any, h0: Any, c0: Any) -> torch.Tensor:
    states = []
    for t in range(x.shape[-2]):
        a = (x[..., t, :] @ w.T + h0 @ u.T + b).unflatten(-1, (4, H))
        c0 = torch.sigmoid(a[..., 1, :]) * c0 + torch.sigmoid(a[..., 0, :]) * torch.tanh(a[..., 2, :])
        h0 = torch.sigmoid(a[..., 3, :]) * torch.tanh(c0)
        states.append(torch.cat([h0, c0], -1))
    return torch.stack(states, -2)


# About 30 roundings a step, on states below 1 and cells below 4, which a step can enlarge by at most the norm of u, 3.
DEEP = {"roundings": 30 * STEPS, "scale": 3.0**STEPS}
CASES = {
    "rnn": Case(ours.rnn, inputs(1), theirs.rnn, **DEEP),
    "lstm": Case(ours.lstm_states, inputs(4, 2), lstm_states, **DEEP),
    "gru, reset after": Case(ours.gru, inputs(3), theirs.gru, {"reset": "after"}, **DEEP),
    "gru, reset before": Case(ours.gru, inputs(3), gru_with_reset_before, {"reset": "before"}, **DEEP),
    "rnn, cut every two steps": Case(ours.rnn, inputs(1), rnn_with_cuts, {"window": 2}, stops=True, **DEEP),
    "rnn, cut every three steps": Case(ours.rnn, inputs(1), rnn_with_cuts, {"window": 3}, stops=True, **DEEP),
}


def test_a_window_changes_the_gradient_but_not_the_value() -> None:
    x, w, u, b, h0 = (t.requires_grad_() for t in inputs(1))
    full, cut = ours.rnn(x, w, u, b, h0), ours.rnn(x, w, u, b, h0, window=2)
    assert torch.equal(full, cut)
    (a,), (c,) = (torch.autograd.grad(y[..., -1, :].sum(), x) for y in (full, cut))
    assert torch.equal(a[:, 2:], c[:, 2:])
    assert not bool(c[:, :2].any())
    assert bool((a[:, :2] != 0).all())


def test_a_window_cuts_the_lstm_and_the_gru_too() -> None:
    for layer, tensors in ((ours.lstm_states, inputs(4, 2)), (ours.gru, inputs(3))):
        x = tensors[0].clone().requires_grad_()
        y = layer(x, *tensors[1:], window=2)
        (dx,) = torch.autograd.grad(y[..., -1, :].sum(), x)
        assert not bool(dx[:, :2].any())
        assert bool((dx[:, 2:] != 0).all())


def test_lstm_follows_torch() -> None:
    for mine, other in zip(ours.lstm(*inputs(4, 2)), theirs.lstm(*inputs(4, 2)), strict=True):
        assert float((mine - other).abs().max()) <= gamma(30 * STEPS, torch.float64) * 3.0**STEPS


def test_the_second_direction_reads_from_the_end() -> None:
    x, w, u, b, h0 = inputs(1)

    def layer(x: torch.Tensor) -> torch.Tensor:
        return ours.rnn(x, w, u, b, h0)

    y = ours.bidirectional(layer, layer, x)
    assert y.shape == (2, STEPS, 2 * H)
    assert torch.equal(y[..., :H], layer(x))
    changed = x.clone()
    changed[:, -1] += 1
    difference = (ours.bidirectional(layer, layer, changed) - y).abs()
    assert not bool(difference[:, :-1, :H].any())
    assert bool((difference[..., H:] > 0).all())


def test_the_decoder_starts_from_the_last_state_of_the_encoder() -> None:
    x, w, u, b, h0 = inputs(1)
    targets = draw(2, 3, D, seed=9)
    y = ours.sequence_to_sequence(lambda x: ours.rnn(x, w, u, b, h0), lambda y, h: ours.rnn(y, w, u, b, h), x, targets)
    assert torch.equal(y, ours.rnn(torch.cat([x, targets], -2), w, u, b, h0)[:, STEPS:])


def test_replicas_are_one_call_under_vmap() -> None:
    x, w, u, b, h0 = (torch.stack([t, 2 * t]) for t in inputs(1))
    slopes = torch.func.vmap(torch.func.grad(lambda u, *rest: ours.rnn(rest[0], rest[1], u, *rest[2:]).sum()))(
        u, x, w, b, h0
    )
    alone = torch.func.grad(lambda u: ours.rnn(x[1], w[1], u, b[1], h0[1]).sum())(u[1])
    assert float((slopes[1] - alone).abs().max()) <= gamma(60 * STEPS, torch.float64) * 8 * 3.0**STEPS


X, W, U, B, H0 = inputs(1)
REFUSED = {
    "weights of another size": (lambda: ours.rnn(X, W[:, :1], U, B, H0), r"w of another shape: \(3, 1\)"),
    "recurrent weights of another size": (lambda: ours.gru(X, W, U, B, H0), "w of another shape"),
    "state of another batch": (lambda: ours.rnn(X, W, U, B, H0[0]), "state of another shape"),
    "no step": (lambda: ours.rnn(X[:, :0], W, U, B, H0), "at least one step"),
    "no sequence": (lambda: ours.rnn(X[0, 0], W, U, B, H0), "at least 2 axes"),
    "integers": (lambda: ours.rnn(X.long(), W, U, B, H0), "got integers"),
    "no window": (lambda: ours.rnn(X, W, U, B, H0, window=0), "without steps: 0"),
    "unknown reset": (lambda: ours.gru(*inputs(3), reset="never"), "one of after, before"),
    "one state for an LSTM": (lambda: ours.lstm(*inputs(4), inputs(4)[-1][:1]), "state of another shape"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
