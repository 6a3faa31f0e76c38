"""Activations: one non-linearity each, forward and backward. Most act entry by entry.

Below, z is the input, y the output, dy the gradient of the loss by y and dz the gradient by z.
"""

from __future__ import annotations

import torch

from reference.checks import require_axis, require_floating
from reference.differentiable import Differentiable

Saved = tuple[torch.Tensor, ...]
Gradient = tuple[torch.Tensor]

__all__ = [
    "elu", "hardtanh", "heaviside", "leaky_relu", "linear", "log_softmax", "maxout", "relu", "sigmoid", "softmax",
    "softsign", "tanh",
]  # fmt: skip


def heaviside_forward(z: torch.Tensor, *, at_zero: float = 1.0) -> tuple[torch.Tensor, Saved]:
    """The threshold unit: fires from zero on.

    Shapes: z (...) -> y (...)
    Forward:
        (1) y = 1 where z > 0, 0 where z < 0, at_zero where z = 0
    Backward:
        (2) dz = 0
    Conventions: fires at zero unless told otherwise; the slope at the jump is taken as 0 too; NaN stays NaN.
    Example: heaviside(torch.tensor([-2.0, 0.0, 0.5])).tolist() == [0.0, 1.0, 1.0]
    Asked: gfg-8.4, gfg-8.6, ib-1.5, ib-24.6
    Source: Rosenblatt, The perceptron, Psychological Review 65 (1958).
    """
    require_floating("heaviside", z=z)
    y = torch.where(z == 0, at_zero, (z > 0).to(z.dtype))  # (1)
    return torch.where(z.isnan(), z, y), (z,)


def heaviside_backward(saved: Saved, dy: torch.Tensor, *, at_zero: float = 1.0) -> Gradient:
    return (torch.zeros_like(dy),)  # (2)


def linear_forward(z: torch.Tensor, *, slope: float = 1.0) -> tuple[torch.Tensor, Saved]:
    """The linear activation, by default the identity.

    Shapes: z (...) -> y (...)
    Forward:
        (1) y = slope · z
    Backward:
        (2) dz = slope · dy
    Example: linear(torch.tensor([-2.0, 3.0]), slope=0.5).tolist() == [-1.0, 1.5]
    Asked: gfg-15.4, ib-27.1, ib-27.2, ib-27.3, ib-27.4, ib-28.3, ib-28.4
    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 6.2.2.
    """
    require_floating("linear", z=z)
    return slope * z, ()  # (1)


def linear_backward(saved: Saved, dy: torch.Tensor, *, slope: float = 1.0) -> Gradient:
    return (slope * dy,)  # (2)


def sigmoid_forward(z: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """The logistic sigmoid, a soft threshold from 0 to 1.

    Shapes: z (...) -> y (...)
    Forward:
        (1) y = 1 / (1 + exp(-z)), computed as exp(min(z, 0)) / (exp(min(z, 0)) + exp(-max(z, 0)))
    Backward:
        (2) dz = dy · y · (1 - y)
    Conventions: neither exponential in (1) can overflow, and small y keep their relative accuracy.
    Example: sigmoid(torch.tensor([-800.0, 0.0, 800.0])).tolist() == [0.0, 0.5, 1.0]
    Asked: gfg-16.1, gfg-16.2, gfg-16.7, gfg-32.12, ib-36.1, ib-36.8, ib-36.9, ib-36.10
    Source: Bishop, Pattern Recognition and Machine Learning (2006), section 4.2.
    """
    require_floating("sigmoid", z=z)
    zero = torch.zeros((), dtype=z.dtype, device=z.device)
    up, down = (
        torch.minimum(z, zero).exp(),
        (-torch.maximum(z, zero)).exp(),
    )  # minimum shares a tie's slope, so (1) is smooth at 0
    y = up / (up + down)  # (1)
    return y, (y, down / (up + down))


def sigmoid_backward(saved: Saved, dy: torch.Tensor) -> Gradient:
    y, rest = saved  # rest = 1 - y without cancellation
    return (dy * y * rest,)  # (2)


def tanh_forward(z: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """The hyperbolic tangent, a soft threshold from -1 to 1.

    Shapes: z (...) -> y (...)
    Forward:
        (1) y = (exp(z) - exp(-z)) / (exp(z) + exp(-z))
    Backward:
        (2) dz = dy · (1 - y²) = dy · (1 - y) · (1 + y)
    Conventions: the elementary function of the mathematics library is (1) without its overflow.
    Example: tanh(torch.tensor([-400.0, 0.0, 400.0])).tolist() == [-1.0, 0.0, 1.0]
    Asked: gfg-16.9, gfg-16.10, gfg-32.12, ib-36.3, ib-36.10, ib-36.11, ib-36.12, ib-36.13
    Source: LeCun, Bottou, Orr, Müller, Efficient BackProp (1998), section 4.4.
    """
    require_floating("tanh", z=z)
    y = torch.tanh(z)  # (1)
    return y, (y,)


def tanh_backward(saved: Saved, dy: torch.Tensor) -> Gradient:
    (y,) = saved
    return (dy * (1 - y) * (1 + y),)  # (2)


def softsign_forward(z: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """Softsign, a threshold from -1 to 1 with slowly decaying tails.

    Shapes: z (...) -> y (...)
    Forward:
        (1) y = z / (1 + |z|)
    Backward:
        (2) dz = dy / (1 + |z|)²
    Example: softsign(torch.tensor([-1.0, 3.0])).tolist() == [-0.5, 0.75]
    Asked: ib-36.18
    Source: Glorot and Bengio, Understanding the difficulty of training deep feedforward networks (2010), section 3.3.
    """
    require_floating("softsign", z=z)
    return z / (1 + z.abs()), (z,)  # (1)


def softsign_backward(saved: Saved, dy: torch.Tensor) -> Gradient:
    (z,) = saved
    return (dy / (1 + z.abs()).square(),)  # (2)


def relu_forward(z: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """The rectified linear unit.

    Shapes: z (...) -> y (...)
    Forward:
        (1) y = max(z, 0)
    Backward:
        (2) dz = dy where z > 0, else 0
    Conventions: the slope at the kink z = 0 is 0.
    Example: relu(torch.tensor([-3.0, 0.0, 0.5])).tolist() == [0.0, 0.0, 0.5]
    Asked: gfg-15.6, gfg-15.8, gfg-15.9, gfg-15.10, gfg-15.11, gfg-16.5, gfg-19.9, gfg-29.7, gfg-32.15, ib-36.6,
        ib-36.19, ib-36.20
    Source: Nair and Hinton, Rectified linear units improve restricted Boltzmann machines (2010).
    """
    require_floating("relu", z=z)
    return z.clamp_min(0), (z,)  # (1)


def relu_backward(saved: Saved, dy: torch.Tensor) -> Gradient:
    (z,) = saved
    return (torch.where(z > 0, dy, torch.zeros_like(dy)),)  # (2)


def leaky_relu_forward(z: torch.Tensor, *, slope: float = 0.01) -> tuple[torch.Tensor, Saved]:
    """The leaky rectifier, which keeps a small slope below zero.

    Shapes: z (...) -> y (...)
    Forward:
        (1) y = z where z > 0, else slope · z
    Backward:
        (2) dz = dy where z > 0, else slope · dy
    Conventions: at the kink z = 0 the slope is that of the negative side.
    Example: leaky_relu(torch.tensor([-2.0, 3.0]), slope=0.5).tolist() == [-1.0, 3.0]
    Asked: gfg-16.8, gfg-32.15, ib-36.2
    Source: Maas, Hannun, Ng, Rectifier nonlinearities improve neural network acoustic models (2013).
    """
    require_floating("leaky_relu", z=z)
    return torch.where(z > 0, z, slope * z), (z,)  # (1)


def leaky_relu_backward(saved: Saved, dy: torch.Tensor, *, slope: float = 0.01) -> Gradient:
    (z,) = saved
    return (torch.where(z > 0, dy, slope * dy),)  # (2)


def elu_forward(z: torch.Tensor, *, alpha: float = 1.0) -> tuple[torch.Tensor, Saved]:
    """The exponential linear unit, which saturates at -alpha.

    Shapes: z (...) -> y (...)
    Forward:
        (1) y = z where z > 0, else alpha · (exp(z) - 1)
    Backward:
        (2) dz = dy where z > 0, else alpha · exp(z) · dy
    Conventions: smooth for alpha = 1; for other alpha the slope at the kink z = 0 is alpha.
    Example: elu(torch.tensor([-1000.0, 3.0])).tolist() == [-1.0, 3.0]
    Asked: ib-36.5, ib-36.21, ib-36.22
    Source: Clevert, Unterthiner, Hochreiter, Fast and accurate deep network learning by ELUs (2016).
    """
    require_floating("elu", z=z)
    below = alpha * torch.expm1(z.clamp_max(0))  # clamped, so that the unused branch stays finite
    return torch.where(z > 0, z, below), (z,)  # (1)


def elu_backward(saved: Saved, dy: torch.Tensor, *, alpha: float = 1.0) -> Gradient:
    (z,) = saved
    return (torch.where(z > 0, dy, alpha * z.clamp_max(0).exp() * dy),)  # (2)


def hardtanh_forward(z: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """The hard tanh: linear between -1 and 1, constant outside.

    Shapes: z (...) -> y (...)
    Forward:
        (1) y = min(max(z, -1), 1)
    Backward:
        (2) dz = dy where |z| < 1, else 0
    Conventions: the slope at the two kinks is 0.
    Example: hardtanh(torch.tensor([-3.0, 0.5, 3.0])).tolist() == [-1.0, 0.5, 1.0]
    Asked: gfg-15.8, gfg-15.9, gfg-15.10
    Source: Collobert, Large scale machine learning (thesis, 2004).
    """
    require_floating("hardtanh", z=z)
    return z.clamp(-1, 1), (z,)  # (1)


def hardtanh_backward(saved: Saved, dy: torch.Tensor) -> Gradient:
    (z,) = saved
    return (torch.where(z.abs() < 1, dy, torch.zeros_like(dy)),)  # (2)


def softmax_forward(z: torch.Tensor, *, dim: int = -1) -> tuple[torch.Tensor, Saved]:
    """Softmax turns logits along one axis into a probability vector.

    Shapes: z (..., c, ...) -> y (..., c, ...), the axis `dim` of length c
    Forward:
        (1) e = exp(z - max z)
        (2) y = e / Σ e
    Backward:
        (3) dz = y · (dy - Σ dy · y)
    Conventions: the shift in (1) changes nothing in (2) and prevents overflow; sums run along `dim`.
    Example: softmax(torch.tensor([1000.0, 1000.0])).tolist() == [0.5, 0.5]
    Asked: gfg-16.3, gfg-16.4, gfg-16.7, gfg-32.12, ib-36.14, ib-36.15, ib-36.16
    Source: Bridle, Probabilistic interpretation of feedforward classification network outputs (1990).
    """
    require_floating("softmax", z=z)
    require_axis("softmax", z, dim)
    e = (z - z.detach().amax(dim, keepdim=True)).exp()  # (1)
    y = e / e.sum(dim, keepdim=True)  # (2)
    return y, (y,)


def softmax_backward(saved: Saved, dy: torch.Tensor, *, dim: int = -1) -> Gradient:
    (y,) = saved
    return (y * (dy - (dy * y).sum(dim, keepdim=True)),)  # (3)


def log_softmax_forward(z: torch.Tensor, *, dim: int = -1) -> tuple[torch.Tensor, Saved]:
    """The logarithm of softmax, finite where softmax itself underflows to zero.

    Shapes: z (..., c, ...) -> y (..., c, ...), the axis `dim` of length c
    Forward:
        (1) s = z - max z
        (2) y = s - log Σ exp(s)
    Backward:
        (3) dz = dy - exp(y) · Σ dy
    Conventions: sums run along `dim`.
    Example: log_softmax(torch.tensor([0.0, 1000.0])).tolist() == [-1000.0, 0.0]
    Asked: none
    Source: Goodfellow, Bengio, Courville, Deep Learning (2016), section 6.2.2.3.
    """
    require_floating("log_softmax", z=z)
    require_axis("log_softmax", z, dim)
    s = z - z.detach().amax(dim, keepdim=True)  # (1)
    y = s - s.exp().sum(dim, keepdim=True).log()  # (2)
    return y, (y,)


def log_softmax_backward(saved: Saved, dy: torch.Tensor, *, dim: int = -1) -> Gradient:
    (y,) = saved
    return (dy - y.exp() * dy.sum(dim, keepdim=True),)  # (3)


def maxout_forward(z: torch.Tensor, *, dim: int = -1) -> tuple[torch.Tensor, Saved]:
    """Maxout: the largest of k affine pieces, given along one axis.

    Shapes: z (..., k, ...) -> y (...), the axis `dim` of length k is gone
    Forward:
        (1) y = max z along `dim`
    Backward:
        (2) dz = dy at the first piece that reaches the maximum, 0 at the others
    Conventions: a tie goes to the first piece.
    Example: maxout(torch.tensor([[1.0, 4.0, -2.0]])).tolist() == [4.0]
    Asked: ib-36.4
    Source: Goodfellow, Warde-Farley, Mirza, Courville, Bengio, Maxout networks (2013).
    """
    require_floating("maxout", z=z)
    require_axis("maxout", z, dim)
    return z.amax(dim), (z,)  # (1)


def maxout_backward(saved: Saved, dy: torch.Tensor, *, dim: int = -1) -> Gradient:
    (z,) = saved
    largest = z == z.amax(dim, keepdim=True)
    first = largest & (largest.cumsum(dim) == 1)  # the index that argmax gives for a tie is not specified
    return (torch.where(first, dy.unsqueeze(dim), torch.zeros((), dtype=dy.dtype, device=dy.device)),)  # (2)


heaviside = Differentiable(heaviside_forward, heaviside_backward)
linear = Differentiable(linear_forward, linear_backward)
sigmoid = Differentiable(sigmoid_forward, sigmoid_backward)
tanh = Differentiable(tanh_forward, tanh_backward)
softsign = Differentiable(softsign_forward, softsign_backward)
relu = Differentiable(relu_forward, relu_backward)
leaky_relu = Differentiable(leaky_relu_forward, leaky_relu_backward)
elu = Differentiable(elu_forward, elu_backward)
hardtanh = Differentiable(hardtanh_forward, hardtanh_backward)
softmax = Differentiable(softmax_forward, softmax_backward)
log_softmax = Differentiable(log_softmax_forward, log_softmax_backward)
maxout = Differentiable(maxout_forward, maxout_backward)
