"""Modular networks: several experts, and a gate that says how much each is listened to."""

from __future__ import annotations

import torch

from reference.activations import softmax
from reference.checks import require_dims, require_floating
from reference.differentiable import Differentiable

Saved = tuple[torch.Tensor, ...]

__all__ = ["mixture", "mixture_of_experts"]


def mixture_forward(gate: torch.Tensor, answers: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """The mean of the experts' answers, weighted case by case by a gate.

    Shapes: gate (..., n, k), answers (..., n, k, out) -> y (..., n, out)
    Forward:
        (1) y = Σ_j gate_j · answers_j
    Backward:
        (2) dgate_j = dy · answers_j, danswers_j = gate_j · dy
    Example: mixture(torch.tensor([[0.25, 0.75]]), torch.tensor([[[4.0], [8.0]]])).tolist() == [[7.0]]
    Asked: ib-7.21
    Source: Jacobs, Jordan, Nowlan, Hinton, Adaptive mixtures of local experts (1991).
    """
    require_floating("mixture", gate=gate, answers=answers)
    require_dims("mixture", 2, answers=answers)
    if gate.shape != answers.shape[:-1]:
        raise ValueError(
            f"mixture got a gate that does not fit: {tuple(gate.shape)}, expected {tuple(answers.shape[:-1])}, one weight "
            "for each answer"
        )
    return (gate.unsqueeze(-1) * answers).sum(-2), (gate, answers)  # (1)


def mixture_backward(saved: Saved, dy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    gate, answers = saved
    dy = dy.unsqueeze(-2)  # (..., n, 1, out)
    return (dy * answers).sum(-1), gate.unsqueeze(-1) * dy  # (2)


mixture = Differentiable(mixture_forward, mixture_backward)


def mixture_of_experts(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """A modular network's answer: experts mixed by a softmax gate.

    Shapes: logits (..., n, k), answers (..., n, k, out) -> y (..., n, out)
    (1) y = mixture(softmax(logits), answers)
    Example: mixture_of_experts(torch.zeros(1, 2), torch.tensor([[[4.0], [8.0]]])).tolist() == [[6.0]]
    Asked: ib-7.21, ib-7.22
    Source: Jacobs, Jordan, Nowlan, Hinton, Adaptive mixtures of local experts (1991).
    """
    return mixture(softmax(logits), answers)  # (1)
