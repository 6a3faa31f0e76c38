"""Recurrent layers played by torch.nn.RNN, LSTM and GRU; the bias of the recurrent part is zero."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["gru", "lstm", "rnn"]


def _run(
    module: type[torch.nn.RNNBase], x: torch.Tensor, w: torch.Tensor, u: torch.Tensor, b: torch.Tensor, state: Any
) -> Any:
    layer = module(x.shape[-1], u.shape[-1], batch_first=True, dtype=x.dtype, device=x.device)
    parameters = {"weight_ih_l0": w, "weight_hh_l0": u, "bias_ih_l0": b, "bias_hh_l0": torch.zeros_like(b)}
    return torch.func.functional_call(layer, parameters, (x.reshape(-1, *x.shape[-2:]), state))


def _states(
    module: type[torch.nn.RNNBase], x: torch.Tensor, w: torch.Tensor, u: torch.Tensor, b: torch.Tensor, h0: torch.Tensor
) -> torch.Tensor:
    y, _ = _run(module, x, w, u, b, h0.reshape(1, -1, h0.shape[-1]))
    return y.reshape(*x.shape[:-1], -1)


def rnn(x: torch.Tensor, w: torch.Tensor, u: torch.Tensor, b: torch.Tensor, h0: torch.Tensor) -> torch.Tensor:
    return _states(torch.nn.RNN, x, w, u, b, h0)


def gru(
    x: torch.Tensor, w: torch.Tensor, u: torch.Tensor, b: torch.Tensor, h0: torch.Tensor, *, reset: str = "after"
) -> torch.Tensor:
    if reset != "after":
        raise ValueError(f"torch.nn.GRU has no such reset: {reset!r}, expected 'after'")
    return _states(torch.nn.GRU, x, w, u, b, h0)


def lstm(
    x: torch.Tensor, w: torch.Tensor, u: torch.Tensor, b: torch.Tensor, h0: torch.Tensor, c0: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    start = (h0.reshape(1, -1, h0.shape[-1]), c0.reshape(1, -1, c0.shape[-1]))
    y, (_, c) = _run(torch.nn.LSTM, x, w, u, b, start)
    return y.reshape(*x.shape[:-1], -1), c.reshape(c0.shape)
