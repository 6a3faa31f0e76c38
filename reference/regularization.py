"""Regularisers: dropout and its mask, penalties on the weights, max-norm, ridge regression, early stopping.

Below, dy is the gradient of the loss by the result y and dx, dw those by the inputs. Random masks are drawn from a
passed generator, outside of what is differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from reference.checks import require_broadcast, require_dims, require_floating
from reference.differentiable import Differentiable

__all__ = [
    "dropout", "dropout_classic", "dropout_mask", "early_stopping", "l1_penalty", "l2_penalty", "masked", "max_norm",
    "ridge", "soft_threshold",
]  # fmt: skip

Saved = tuple[torch.Tensor, ...]
Gradient = tuple[torch.Tensor]


def dropout_mask(
    shape: Sequence[int], p: float, generator: torch.Generator, *, dtype: torch.dtype = torch.float64
) -> torch.Tensor:
    """Which units stay: each entry is, independently of all others, 0 with probability p and else 1.

    Shapes: -> m (*shape), on the generator's device.
    (1) m = 1 where u >= p, else 0, with u uniform on [0, 1)
    Conventions: u is drawn in float64 for every dtype, so one seed gives one mask.
    Errors: ValueError if p lies outside [0, 1).
    Example: dropout_mask((1, 3), 0.0, torch.Generator()).tolist() == [[1.0, 1.0, 1.0]]
    Asked: gfg-19.8, gfg-19.11, gfg-35.3, gfg-35.5
    Source: Srivastava et al., Dropout, JMLR 15 (2014), section 4.
    """
    _check_p("dropout_mask", p)
    u = torch.rand(tuple(shape), generator=generator, dtype=torch.float64, device=generator.device)
    return (u >= p).to(dtype)  # (1)


def masked_forward(x: torch.Tensor, m: torch.Tensor, *, keep: float = 1.0) -> tuple[torch.Tensor, Saved]:
    """A layer with some of its units removed and the others raised to make up for them.

    Shapes: x (...), m (...) of 0 and 1 -> y (...)
    Forward:
        (1) y = m · x / keep
    Backward:
        (2) dx = m · dy / keep
    Conventions: x and m broadcast, so that a mask can serve a whole batch; m is given, not learned, and gets no
        gradient.
    Errors: ValueError unless 0 < keep <= 1 and the shapes broadcast.
    Example: masked(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 0.0]), keep=0.5).tolist() == [4.0, 0.0]
    Asked: gfg-35.2, gfg-35.5
    Source: Srivastava et al., Dropout, JMLR 15 (2014), section 10.
    """
    require_floating("masked", x=x, m=m)
    if not 0 < keep <= 1:
        raise ValueError(f"masked got a keep probability out of range: {keep}, expected 0 < keep <= 1")
    require_broadcast("masked", x.shape, m.shape)
    return m * x / keep, (x, m)  # (1)


def masked_backward(saved: Saved, dy: torch.Tensor, *, keep: float = 1.0) -> tuple[torch.Tensor, None]:
    x, m = saved
    return (m * dy / keep).sum_to_size(x.shape), None  # (2)


masked = Differentiable(masked_forward, masked_backward)


def dropout(x: torch.Tensor, p: float, *, generator: torch.Generator, training: bool = True) -> torch.Tensor:
    """Inverted dropout: in training a unit is zeroed with probability p, else divided by 1 - p; evaluation changes
    nothing.

    Shapes: x (...) -> y (...)
    (1) training: y = m · x / (1 - p), with a fresh mask m at every call
    (2) evaluation: y = x
    Conventions: p is the probability of dropping, not of keeping; the mean of y over masks is x.
    Errors: ValueError if p lies outside [0, 1) or x is not floating.
    Example: set(dropout(torch.ones(100), 0.5, generator=torch.Generator().manual_seed(0)).tolist()) == {0.0, 2.0}
    Asked: gfg-19.5, gfg-19.8, gfg-19.9, gfg-19.10, gfg-19.11, gfg-19.12, gfg-35.1, gfg-35.2, gfg-35.3, gfg-35.4,
        gfg-35.5, gfg-35.6, gfg-35.7, gfg-35.8, gfg-35.9, ib-34.1, ib-34.2, ib-34.3, ib-34.4, ib-34.5, ib-34.6
    Source: Srivastava et al., Dropout, JMLR 15 (2014), section 10.
    """
    _check_dropout("dropout", x, p)
    if not training:
        return x  # (2)
    return masked(x, dropout_mask(x.shape, p, generator, dtype=x.dtype), keep=1 - p)  # (1)


def dropout_classic(x: torch.Tensor, p: float, *, generator: torch.Generator, training: bool = True) -> torch.Tensor:
    """Dropout as first published: in training a unit is zeroed with probability p, in evaluation all are multiplied
    by 1 - p.

    Shapes: x (...) -> y (...)
    (1) training: y = m · x, with a fresh mask m at every call
    (2) evaluation: y = (1 - p) · x
    Conventions: p is the probability of dropping, not of keeping; the mean of (1) over masks is (2).
    Errors: ValueError if p lies outside [0, 1) or x is not floating.
    Example: dropout_classic(torch.ones(1), 0.25, generator=torch.Generator(), training=False).tolist() == [0.75]
    Asked: gfg-19.12, gfg-35.7, gfg-35.8, gfg-35.9
    Source: Srivastava et al., Dropout, JMLR 15 (2014), section 4 and figure 2.
    """
    _check_dropout("dropout_classic", x, p)
    if not training:
        return (1 - p) * x  # (2)
    return masked(x, dropout_mask(x.shape, p, generator, dtype=x.dtype))  # (1)


def l1_penalty_forward(w: torch.Tensor, *, batch_dims: int = 0) -> tuple[torch.Tensor, Saved]:
    """The L1 penalty: the sum of the sizes of the weights.

    Shapes: w (*batch, ...) -> y (*batch), with `batch_dims` leading axes kept (replicas)
    Forward:
        (1) y = Σ |w|
    Backward:
        (2) dw = dy · sign(w)
    Conventions: at the kink w = 0 the slope is 0, one of the subgradients in [-1, 1].
    Errors: ValueError if w has fewer axes than batch_dims.
    Example: l1_penalty(torch.tensor([-1.0, 2.0])).item() == 3.0
    Asked: gfg-19.5, gfg-19.6
    Source: Tibshirani, Regression shrinkage and selection via the lasso (1996).
    """
    _check_batch("l1_penalty", w, batch_dims)
    return w.abs().unsqueeze(-1).sum(tuple(range(batch_dims, w.dim() + 1))), (w,)  # (1)


def l1_penalty_backward(saved: Saved, dy: torch.Tensor, *, batch_dims: int = 0) -> Gradient:
    (w,) = saved
    return (_beside(dy, w) * w.sign(),)  # (2)


l1_penalty = Differentiable(l1_penalty_forward, l1_penalty_backward)


def l2_penalty_forward(w: torch.Tensor, *, batch_dims: int = 0) -> tuple[torch.Tensor, Saved]:
    """The L2 penalty: the sum of the squares of the weights.

    Shapes: w (*batch, ...) -> y (*batch), with `batch_dims` leading axes kept (replicas)
    Forward:
        (1) y = Σ w²
    Backward:
        (2) dw = dy · 2w
    Conventions: no factor one half, so the slope is 2w.
    Errors: ValueError if w has fewer axes than batch_dims.
    Example: l2_penalty(torch.tensor([-1.0, 2.0])).item() == 5.0
    Asked: gfg-19.5, gfg-19.7, gfg-24.4, ib-13.3, ib-20.7
    Source: Krogh and Hertz, A simple weight decay can improve generalization (1991), without their factor one half.
    """
    _check_batch("l2_penalty", w, batch_dims)
    return w.square().unsqueeze(-1).sum(tuple(range(batch_dims, w.dim() + 1))), (w,)  # (1)


def l2_penalty_backward(saved: Saved, dy: torch.Tensor, *, batch_dims: int = 0) -> Gradient:
    (w,) = saved
    return (_beside(dy, w) * 2 * w,)  # (2)


l2_penalty = Differentiable(l2_penalty_forward, l2_penalty_backward)


def soft_threshold_forward(w: torch.Tensor, *, t: float) -> tuple[torch.Tensor, Saved]:
    """Soft thresholding, the proximal step of the L1 penalty: shrinks every weight by t and stops at zero.

    Shapes: w (...) -> y (...)
    Forward:
        (1) y = w - t where w > t, w + t where w < -t, else 0: the minimiser of (y - w)²/2 + t·|y|
    Backward:
        (2) dw = dy where |w| > t, else 0
    Conventions: at the kinks |w| = t the slope is 0.
    Errors: ValueError if t is negative or not a number.
    Example: soft_threshold(torch.tensor([-3.0, 0.5, 2.0]), t=1.0).tolist() == [-2.0, 0.0, 1.0]
    Asked: gfg-19.6
    Source: Donoho and Johnstone, Ideal spatial adaptation by wavelet shrinkage (1994).
    """
    require_floating("soft_threshold", w=w)
    if not t >= 0:
        raise ValueError(f"soft_threshold got a negative threshold: t={t}, expected t >= 0")
    return torch.where(w > t, w - t, torch.where(w < -t, w + t, torch.zeros_like(w))), (w,)  # (1)


def soft_threshold_backward(saved: Saved, dy: torch.Tensor, *, t: float) -> Gradient:
    (w,) = saved
    return (torch.where(w.abs() > t, dy, torch.zeros_like(dy)),)  # (2)


soft_threshold = Differentiable(soft_threshold_forward, soft_threshold_backward)


def max_norm_forward(w: torch.Tensor, *, c: float) -> tuple[torch.Tensor, Saved]:
    """Max-norm: a row of weights that is longer than c is shortened to length c.

    Shapes: w (..., out, in) -> y (..., out, in); a row holds the weights into one neuron
    Forward:
        (1) r = |row| = m · |row / m|, with m the largest size in the row, so that no square overflows
        (2) y = w where r <= c, else c · w / r
    Backward:
        (3) dw = dy where r <= c, else (c / r) · (dy - u · Σ u · dy) with u = w / r
    Conventions: the norm is Euclidean; a row of length exactly c is left as it is.
    Errors: ValueError if c is not positive.
    Example: max_norm(torch.tensor([[3.0, 4.0]]), c=2.5).tolist() == [[1.5, 2.0]]
    Asked: gfg-19.5, gfg-19.13
    Source: Srebro and Shraibman, Rank, trace-norm and max-norm (2005); Srivastava et al., Dropout (2014), section 5.1.
    """
    require_floating("max_norm", w=w)
    require_dims("max_norm", 1, w=w)
    if not c > 0:
        raise ValueError(f"max_norm got a bound that is not positive: c={c}, expected c > 0")
    r = _length(w)  # (1) (..., out, 1)
    return torch.where(r <= c, w, w / r * c), (w, r)  # (2)


def max_norm_backward(saved: Saved, dy: torch.Tensor, *, c: float) -> Gradient:
    w, r = saved
    u = w / torch.where(r > 0, r, 1.0)
    across = dy - u * (u * dy).sum(-1, keepdim=True)
    return (torch.where(r <= c, dy, across * c / r),)  # (3)


max_norm = Differentiable(max_norm_forward, max_norm_backward)


def ridge_forward(x: torch.Tensor, y: torch.Tensor, *, penalty: float) -> tuple[torch.Tensor, Saved]:
    """Ridge regression: the weights that minimise |x·w - y|² + penalty·|w|², in closed form.

    Shapes: x (..., n, d), y (..., n) -> w (..., d)
    Forward:
        (1) A = xᵀ·x + penalty·I
        (2) w = A⁻¹ · xᵀ · y
    Backward, for the gradient dw by the solution:
        (3) u = A⁻¹ · dw
        (4) dx = (y - x·w)·uᵀ - (x·u)·wᵀ
        (5) dy = x·u
    Conventions: sums over the samples, not means; no intercept; penalty 0 is least squares and needs n >= d.
    Errors: ValueError if the shapes do not fit, the penalty is negative, or it is 0 and n < d.
    Example: ridge(torch.tensor([[1.0]]), torch.tensor([2.0]), penalty=1.0).tolist() == [1.0]
    Asked: gfg-19.7, gfg-24.4
    Source: Hoerl and Kennard, Ridge regression (1970).
    """
    _check_ridge(x, y, penalty)
    A = x.mT @ x + penalty * torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)  # (1) (..., d, d)
    w = torch.linalg.solve(A, (x.mT @ y.unsqueeze(-1)))[..., 0]  # (2) (..., d)
    return w, (x, y, A, w)


def ridge_backward(saved: Saved, dw: torch.Tensor, *, penalty: float) -> tuple[torch.Tensor, torch.Tensor]:
    x, y, A, w = saved
    u = torch.linalg.solve(A, dw.unsqueeze(-1))  # (3) (..., d, 1)
    rest = y.unsqueeze(-1) - x @ w.unsqueeze(-1)  # (..., n, 1)
    dx = rest @ u.mT - (x @ u) @ w.unsqueeze(-2)  # (4) (..., n, d)
    return dx, (x @ u)[..., 0]  # (5)


ridge = Differentiable(ridge_forward, ridge_backward)


def early_stopping(losses: Sequence[float], *, patience: int, least_gain: float = 0.0) -> tuple[int, int]:
    """When training stops and which weights are kept, judged by the validation loss after each epoch.

    Units: epochs, counted from 0; returns (stopped, best).
    (1) an epoch is the best so far if its loss is below the best one before by more than least_gain; epoch 0 is
    (2) training stops after the first `patience` epochs in a row without a new best, or with the curve
    Conventions: of equal losses the earlier is kept; the weights to keep are those of `best`, not of `stopped`.
    Errors: ValueError if there is no loss, a loss is not a number, patience is below 1 or least_gain is negative.
    Example: early_stopping([3.0, 1.0, 2.0, 2.0, 0.5], patience=2) == (3, 1)
    Asked: gfg-18.7, gfg-19.16, gfg-20.12
    Source: Prechelt, Early stopping - but when? (1998), criterion UP with single epochs.
    """
    if not losses or any(math.isnan(loss) for loss in losses):
        raise ValueError(
            f"early_stopping got no usable curve: {list(losses)[:8]}, expected at least one loss and no NaN"
        )
    if patience < 1 or not least_gain >= 0:
        raise ValueError(
            f"early_stopping got patience={patience}, least_gain={least_gain}, expected patience >= 1 and least_gain "
            f">= 0"
        )
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best] - least_gain:  # (1)
            best = epoch
        if epoch - best >= patience:  # (2)
            return epoch, best
    return len(losses) - 1, best


def _length(w: torch.Tensor) -> torch.Tensor:
    """The Euclidean length of each row (..., 1), free of overflow: equation (1) of max_norm."""
    m = w.detach().abs().amax(-1, keepdim=True) if w.shape[-1] else w.new_ones(*w.shape[:-1], 1)
    m = torch.where(m > 0, m, 1.0)
    return m * (w / m).square().sum(-1, keepdim=True).sqrt()


def _beside(dy: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    """dy (*batch) with axes of length one added up to w's."""
    return dy.reshape(*dy.shape, *[1] * (w.dim() - dy.dim()))


def _check_p(name: str, p: float) -> None:
    if not 0 <= p < 1:
        raise ValueError(f"{name} got a probability of dropping out of range: p={p}, expected 0 <= p < 1")


def _check_dropout(name: str, x: torch.Tensor, p: float) -> None:
    require_floating(name, x=x)
    _check_p(name, p)


def _check_batch(name: str, w: torch.Tensor, batch_dims: int) -> None:
    require_floating(name, w=w)
    if not 0 <= batch_dims <= w.dim():
        raise ValueError(
            f"{name} got batch_dims={batch_dims} for shape {tuple(w.shape)}, expected 0 <= batch_dims <= {w.dim()}"
        )


def _check_ridge(x: torch.Tensor, y: torch.Tensor, penalty: float) -> None:
    require_floating("ridge", x=x, y=y)
    require_dims("ridge", 2, x=x)
    if y.shape != x.shape[:-1]:
        raise ValueError(
            f"ridge got targets that do not fit: y {tuple(y.shape)}, expected {tuple(x.shape[:-1])}, one for each row "
            f"of x"
        )
    if not penalty >= 0 or (penalty == 0 and x.shape[-2] < x.shape[-1]):
        raise ValueError(
            f"ridge has no unique solution: penalty={penalty} with {x.shape[-2]} samples of {x.shape[-1]} features; "
            f"expected penalty > 0, or penalty = 0 and at least as many samples as features"
        )
