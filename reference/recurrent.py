"""Recurrent layers, with back-propagation through time written out.

A sequence x (..., T, d) has its steps along the last axis but one; all leading axes are cases. w maps the input, u the
previous state; the gates of a layer stand below each other in w, u and b. Replicas of the weights by vmap.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from reference.activations import sigmoid_forward
from reference.checks import require_choice, require_dims, require_floating
from reference.differentiable import Differentiable

Saved = tuple[torch.Tensor, ...]
Gradients = tuple[torch.Tensor, ...]
Layer = Callable[[torch.Tensor], torch.Tensor]

__all__ = ["bidirectional", "gru", "lstm", "lstm_states", "rnn", "sequence_to_sequence"]


def rnn_forward(
    x: torch.Tensor, w: torch.Tensor, u: torch.Tensor, b: torch.Tensor, h0: torch.Tensor, *, window: int | None = None
) -> tuple[torch.Tensor, Saved]:
    """The simple recurrent layer: a dense layer of the input and of its own previous answer.

    Shapes: x (..., T, d), w (h, d), u (h, h), b (h), h0 (..., h) -> y (..., T, h), the states after each step
    Forward:
        (1) h_t = tanh(w · x_t + u · h_{t-1} + b)
    Backward, from the last step to the first (back-propagation through time):
        (2) da_t = (dy_t + uᵀ · da_{t+1}) · (1 - h_t²)
        (3) dx_t = wᵀ · da_t, dh0 = uᵀ · da_1
        (4) dw = Σ da_t · x_tᵀ, du = Σ da_t · h_{t-1}ᵀ, db = Σ da_t
    Conventions: with a window k the sequence is cut into pieces of k steps and no gradient crosses a cut (truncated
        back-propagation); the values do.
    Example:
        x, h0 = torch.tensor([[1000.0], [0.0]]), torch.zeros(1)
        rnn(x, torch.ones(1, 1), torch.full((1, 1), 1000.0), torch.zeros(1), h0).tolist() == [[1.0], [1.0]]
    Asked: gfg-5.3, gfg-26.2, gfg-30.5, gfg-32.19, gfg-46.1, gfg-46.3, gfg-46.4, gfg-46.5, gfg-46.6, gfg-46.7, gfg-46.8,
        gfg-46.9, gfg-46.10, gfg-46.11, gfg-46.12, gfg-46.13, gfg-47.1, gfg-47.2, gfg-47.3, gfg-47.4, gfg-47.5,
        gfg-47.6, gfg-47.7, gfg-47.9, gfg-47.10, gfg-48.5, ib-7.15, ib-7.16, ib-7.17, ib-7.18, ib-7.19, ib-7.20,
        ib-30.1, ib-30.2, ib-30.3
    Source: Elman, Finding structure in time (1990); Werbos, Backpropagation through time (1990).
    """
    _check("rnn", 1, x, w, u, b, h0, window)
    h, states = h0, []
    for from_input in (x @ w.mT + b).unbind(-2):
        h = torch.tanh(from_input + h @ u.mT)  # (1) (..., h)
        states.append(h)
    y = torch.stack(states, -2)
    return y, (x, w, u, h0, y)


def rnn_backward(saved: Saved, dy: torch.Tensor, *, window: int | None = None) -> Gradients:
    x, w, u, h0, y = saved
    dh, slopes = torch.zeros_like(h0), []
    for t in reversed(range(x.shape[-2])):
        da = (dy[..., t, :] + dh) * (1 - y[..., t, :].square())  # (2)
        dh = _carried(da @ u, t, window)  # (..., h)
        slopes.append(da)
    da = torch.stack(slopes[::-1], -2)  # (..., T, h)
    return da @ w, _outer(da, x), _outer(da, _shifted(h0, y)), _total(da), dh  # (3) (4)


def lstm_states_forward(
    x: torch.Tensor,
    w: torch.Tensor,
    u: torch.Tensor,
    b: torch.Tensor,
    h0: torch.Tensor,
    c0: torch.Tensor,
    *,
    window: int | None = None,
) -> tuple[torch.Tensor, Saved]:
    """Long short-term memory: a cell that gates decide what to keep, what to take in and what to show of.

    Shapes: x (..., T, d), w (4h, d), u (4h, h), b (4h), h0 (..., h), c0 (..., h) -> y (..., T, 2h), h_t beside c_t
    Forward, i, f, g, o being the four parts of w · x_t + u · h_{t-1} + b:
        (1) i = sigmoid(i), f = sigmoid(f), g = tanh(g), o = sigmoid(o)
        (2) c_t = f · c_{t-1} + i · g
        (3) h_t = o · tanh(c_t)
    Backward, from the last step to the first, a being the four parts:
        (4) dc_t = [from y and step t+1] + dh_t · o · (1 - tanh²(c_t))
        (5) da = (dc_t · g · i·(1 - i), dc_t · c_{t-1} · f·(1 - f), dc_t · i · (1 - g²), dh_t · tanh(c_t) · o·(1 - o))
        (6) to step t-1: dc_{t-1} = dc_t · f, dh_{t-1} = uᵀ · da
        (7) dx_t = wᵀ · da_t, dw = Σ da_t · x_tᵀ, du = Σ da_t · h_{t-1}ᵀ, db = Σ da_t
    Conventions: gates in the order input, forget, cell, output; no peepholes; window as in rnn.
    Example:
        w, u, b = torch.zeros(4, 1), torch.zeros(4, 1), torch.zeros(4)
        lstm_states(torch.zeros(2, 1), w, u, b, torch.zeros(1), torch.ones(1))[:, 1].tolist() == [0.5, 0.25]
    Asked: gfg-48.6, gfg-48.9
    Source: Hochreiter and Schmidhuber (1997), with the forget gate of Gers, Schmidhuber, Cummins (2000).
    """
    _check("lstm", 4, x, w, u, b, h0, window)
    _check("lstm", 4, x, w, u, b, c0, window)
    h, c, states, gates = h0, c0, [], []
    for from_input in (x @ w.mT + b).unbind(-2):
        i, f, g, o = (from_input + h @ u.mT).chunk(4, -1)
        i, f, g, o = _sigmoid(i), _sigmoid(f), torch.tanh(g), _sigmoid(o)  # (1)
        c = f * c + i * g  # (2)
        h = o * torch.tanh(c)  # (3)
        states.append(torch.cat([h, c], -1))
        gates.append(torch.cat([i, f, g, o], -1))
    y = torch.stack(states, -2)
    return y, (x, w, u, h0, c0, y, torch.stack(gates, -2))


def lstm_states_backward(saved: Saved, dy: torch.Tensor, *, window: int | None = None) -> Gradients:
    x, w, u, h0, c0, y, gates = saved
    h, c = y.chunk(2, -1)
    before = _shifted(c0, c)
    dh, dc, slopes = torch.zeros_like(h0), torch.zeros_like(c0), []
    for t in reversed(range(x.shape[-2])):
        i, f, g, o = gates[..., t, :].chunk(4, -1)
        dh_y, dc_y = dy[..., t, :].chunk(2, -1)
        shown, dh = torch.tanh(c[..., t, :]), dh_y + dh
        dc = dc_y + dc + dh * o * (1 - shown.square())  # (4)
        inner = (dc * g * i * (1 - i), dc * before[..., t, :] * f * (1 - f), dc * i * (1 - g.square()))
        da = torch.cat([*inner, dh * shown * o * (1 - o)], -1)  # (5) (..., 4h)
        dh, dc = _carried(da @ u, t, window), _carried(dc * f, t, window)  # (6)
        slopes.append(da)
    da = torch.stack(slopes[::-1], -2)
    return da @ w, _outer(da, x), _outer(da, _shifted(h0, h)), _total(da), dh, dc  # (7)


def gru_forward(
    x: torch.Tensor,
    w: torch.Tensor,
    u: torch.Tensor,
    b: torch.Tensor,
    h0: torch.Tensor,
    *,
    reset: str = "after",
    window: int | None = None,
) -> tuple[torch.Tensor, Saved]:
    """The gated recurrent unit: a state that moves towards a candidate as far as the update gate lets it.

    Shapes: x (..., T, d), w (3h, d), u (3h, h), b (3h), h0 (..., h) -> y (..., T, h), the states after each step
    Forward, r, z, n being the three parts of w, u and b:
        (1) r = sigmoid(w_r · x + u_r · h + b_r), z = sigmoid(w_z · x + u_z · h + b_z)
        (2) n = tanh(w_n · x + b_n + r · (u_n · h)) if reset is "after", tanh(w_n · x + b_n + u_n · (r · h)) if "before"
        (3) h' = (1 - z) · n + z · h
    Backward, from the last step to the first, k being what reaches the candidate from the past, q what u_n multiplies:
        (4) da_n = dh' · (1 - z) · (1 - n²), da_z = dh' · (h - n) · z·(1 - z)
        (5) after: dk = da_n · r, dr = da_n · (u_n · h), q = h; before: dk = da_n, dr = u_nᵀ·da_n · h, q = r · h
        (6) da_r = dr · r·(1 - r), dh = dh' · z + u_rᵀ·da_r + u_zᵀ·da_z + u_nᵀ·dk [· r if before]
        (7) dx_t = wᵀ · da_t, dw = Σ da_t · x_tᵀ, db = Σ da_t, du by (da_r, da_z) · hᵀ and dk · qᵀ
    Conventions: gates in the order reset, update, candidate; z keeps the old state; window as in rnn.
    Example:
        w, u, b = torch.zeros(3, 1), torch.zeros(3, 1), torch.zeros(3)
        gru(torch.zeros(2, 1), w, u, b, torch.ones(1)).tolist() == [[0.5], [0.25]]
    Asked: gfg-26.2, gfg-49.2, gfg-49.3, gfg-49.4, gfg-49.5, gfg-49.6, gfg-49.7, gfg-49.8, gfg-49.9, gfg-49.10,
        gfg-49.11, gfg-49.12, gfg-49.13, gfg-49.14, gfg-49.16
    Source: Cho et al., Learning phrase representations (2014): reset before; the variant of common libraries: after.
    """
    require_choice("gru", "reset", reset, ("after", "before"))
    _check("gru", 3, x, w, u, b, h0, window)
    u_gates, u_n = u[: -u.shape[1]], u[-u.shape[1] :]
    h, states, gates = h0, [], []
    for from_input in (x @ w.mT + b).unbind(-2):
        to_r, to_z, to_n = from_input.chunk(3, -1)
        r, z = _sigmoid(torch.cat([to_r, to_z], -1) + h @ u_gates.mT).chunk(2, -1)  # (1)
        n = torch.tanh(to_n + (r * (h @ u_n.mT) if reset == "after" else (r * h) @ u_n.mT))  # (2)
        h = (1 - z) * n + z * h  # (3)
        states.append(h)
        gates.append(torch.cat([r, z, n], -1))
    y = torch.stack(states, -2)
    return y, (x, w, u, h0, y, torch.stack(gates, -2))


def gru_backward(saved: Saved, dy: torch.Tensor, *, reset: str = "after", window: int | None = None) -> Gradients:
    x, w, u, h0, y, gates = saved
    before, u_gates, u_n = _shifted(h0, y), u[: -u.shape[1]], u[-u.shape[1] :]
    dh, slopes, to_candidate, multiplied = torch.zeros_like(h0), [], [], []
    for t in reversed(range(x.shape[-2])):
        h, (r, z, n) = before[..., t, :], gates[..., t, :].chunk(3, -1)
        dh = dy[..., t, :] + dh
        da_n, da_z = dh * (1 - z) * (1 - n.square()), dh * (h - n) * z * (1 - z)  # (4)
        back = da_n @ u_n  # (..., h)
        if reset == "after":
            dk, dr, q, past = da_n * r, da_n * (h @ u_n.mT), h, (da_n * r) @ u_n  # (5)
        else:
            dk, dr, q, past = da_n, back * h, r * h, back * r  # (5)
        da_gates = torch.cat([dr * r * (1 - r), da_z], -1)
        dh = _carried(dh * z + da_gates @ u_gates + past, t, window)  # (6)
        slopes.append(torch.cat([da_gates, da_n], -1))
        to_candidate.append(dk)
        multiplied.append(q)
    da, dk, q = (torch.stack(parts[::-1], -2) for parts in (slopes, to_candidate, multiplied))
    du = torch.cat([_outer(da[..., : -u.shape[1]], before), _outer(dk, q)])
    return da @ w, _outer(da, x), du, _total(da), dh  # (7)


rnn = Differentiable(rnn_forward, rnn_backward)
lstm_states = Differentiable(lstm_states_forward, lstm_states_backward)
gru = Differentiable(gru_forward, gru_backward)


def lstm(
    x: torch.Tensor,
    w: torch.Tensor,
    u: torch.Tensor,
    b: torch.Tensor,
    h0: torch.Tensor,
    c0: torch.Tensor,
    *,
    window: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Long short-term memory as a layer: what it shows after each step, and its cell after the last.

    Shapes: as in `lstm_states`, but -> y (..., T, h), c (..., h)
    (1) y_t and c_t are the two halves of what `lstm_states` gives for step t, c that of the last step
    Conventions: those of `lstm_states`.
    Example:
        w, u, b = torch.zeros(4, 1), torch.zeros(4, 1), torch.zeros(4)
        lstm(torch.zeros(2, 1), w, u, b, torch.zeros(1), torch.ones(1))[1].tolist() == [0.25]
    Asked: gfg-26.2, gfg-48.2, gfg-48.3, gfg-48.4, gfg-48.5, gfg-48.6, gfg-48.7, gfg-48.8, gfg-48.9, gfg-48.10,
        gfg-48.11, gfg-48.12, gfg-48.13, gfg-48.14, gfg-48.15, gfg-48.16, gfg-48.17, gfg-48.18
    Source: Hochreiter and Schmidhuber (1997), with the forget gate of Gers, Schmidhuber, Cummins (2000).
    """
    h, c = lstm_states(x, w, u, b, h0, c0, window=window).chunk(2, -1)  # (1)
    return h, c[..., -1, :]


def bidirectional(forwards: Layer, backwards: Layer, x: torch.Tensor) -> torch.Tensor:
    """Two layers over one sequence, the second from its end to its start.

    Shapes: x (..., T, d) -> y (..., T, h1 + h2), for layers of h1 and h2 units
    (1) y_t = (forwards(x_1 ... x_t), backwards(x_T ... x_t))
    Example:
        running = lambda x: x.cumsum(-2)
        bidirectional(running, running, torch.tensor([[1.0], [2.0]])).tolist() == [[1.0, 3.0], [3.0, 2.0]]
    Asked: none
    Source: Schuster and Paliwal, Bidirectional recurrent neural networks (1997).
    """
    return torch.cat([forwards(x), backwards(x.flip(-2)).flip(-2)], -1)  # (1)


def sequence_to_sequence(
    encode: Layer, decode: Callable[[torch.Tensor, torch.Tensor], torch.Tensor], x: torch.Tensor, y: torch.Tensor
) -> torch.Tensor:
    """A decoder that starts from the encoder's last state.

    Shapes: x (..., T, d), y (..., S, e) -> (..., S, h)
    (1) context = encode(x)_T
    (2) decode(y, context)
    Conventions: y are the decoder's inputs, in training the targets shifted by one (teacher forcing).
    Example:
        running = lambda x: x.cumsum(-2)
        shifted = lambda y, context: y + context
        sequence_to_sequence(running, shifted, torch.tensor([[1.0], [2.0]]), torch.zeros(3, 1)).tolist() == [[3.0]] * 3
    Asked: gfg-50.1, gfg-50.3, gfg-50.4, gfg-50.5, gfg-50.6, ib-7.23, ib-7.24
    Source: Sutskever, Vinyals, Le, Sequence to sequence learning with neural networks (2014).
    """
    return decode(y, encode(x)[..., -1, :])  # (1) (2)


def _sigmoid(z: torch.Tensor) -> torch.Tensor:
    return sigmoid_forward(z)[0]


def _carried(slope: torch.Tensor, t: int, window: int | None) -> torch.Tensor:
    """The gradient that step t hands to step t-1: none across a cut."""
    return torch.zeros_like(slope) if window and t and t % window == 0 else slope


def _shifted(first: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """The state before each step: (..., h) and (..., T, h) -> (..., T, h)."""
    return torch.cat([first.unsqueeze(-2), states[..., :-1, :]], -2)


def _outer(da: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Σ da · xᵀ over all cases and steps: (..., T, a), (..., T, d) -> (a, d)."""
    return da.reshape(-1, da.shape[-1]).mT @ x.reshape(-1, x.shape[-1])


def _total(da: torch.Tensor) -> torch.Tensor:
    return da.reshape(-1, da.shape[-1]).sum(0)


def _check(
    name: str,
    gates: int,
    x: torch.Tensor,
    w: torch.Tensor,
    u: torch.Tensor,
    b: torch.Tensor,
    state: torch.Tensor,
    window: int | None,
) -> None:
    require_floating(name, x=x, w=w, u=u, b=b, state=state)
    require_dims(name, 2, x=x, w=w, u=u)
    h, d = u.shape[-1], x.shape[-1]
    wanted = {"w": (gates * h, d), "u": (gates * h, h), "b": (gates * h,), "state": (*x.shape[:-2], h)}
    for argument, tensor in (("w", w), ("u", u), ("b", b), ("state", state)):
        if tuple(tensor.shape) != wanted[argument]:
            raise ValueError(
                f"{name} got {argument} of another shape: {tuple(tensor.shape)}, expected {wanted[argument]}"
            )
    if x.shape[-2] == 0:
        raise ValueError(f"{name} got an empty sequence: x {tuple(x.shape)}, expected at least one step")
    if window is not None and window < 1:
        raise ValueError(f"{name} got a window without steps: {window}, expected at least 1, or None for no cut")
