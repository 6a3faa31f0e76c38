"""Normalisation of signals inside a net, the residual connection, and scaling of data before it.

Below, n is the number of values that share a mean, x̂ the normalised input, s the standard deviation.
"""

from __future__ import annotations

import torch

from reference.checks import require_axis, require_dims, require_floating, require_values
from reference.differentiable import Differentiable

Saved = tuple[torch.Tensor, ...]
Triple = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Gradient = tuple[torch.Tensor]

__all__ = [
    "batch_norm", "batch_norm_evaluation", "layer_norm", "mean_normalisation", "min_max", "residual",
    "running_statistics", "z_score",
]  # fmt: skip


def batch_norm_forward(
    x: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor, *, eps: float = 1e-5
) -> tuple[torch.Tensor, Saved]:
    """Batch normalisation in training: every feature gets mean 0 and variance 1 over the batch, then a learnt scale.

    Shapes: x (n, d, ...), gain (d), shift (d) -> y (n, d, ...)
    Forward:
        (1) m = mean of x, v = mean of (x - m)², for each feature over the batch and all places
        (2) x̂ = (x - m) / √(v + eps)
        (3) y = gain · x̂ + shift
    Backward:
        (4) dgain = Σ dy · x̂, dshift = Σ dy
        (5) dx = gain / √(v + eps) · (dy - mean dy - x̂ · mean(dy · x̂))
    Conventions: the variance divides by the number of values, not by one less; features are axis 1; replicas by vmap.
    Example:
        batch_norm(torch.tensor([[1.0], [3.0]]), torch.ones(1), torch.zeros(1), eps=0.0).tolist() == [[-1.0], [1.0]]
    Asked: gfg-29.6, gfg-34.1, gfg-34.2, gfg-34.3, gfg-34.4, gfg-34.5, gfg-34.6, gfg-34.7, gfg-34.8, gfg-34.9, ib-20.6
    Source: Ioffe and Szegedy, Batch normalization (2015), algorithm 1.
    """
    _check_features("batch_norm", x, eps, gain=gain, shift=shift)
    if x.numel() == 0:
        raise ValueError(f"batch_norm got an empty batch: {tuple(x.shape)}, expected at least one value a feature")
    over = _all_but_features(x)
    centred = x - x.mean(over, keepdim=True)  # (1)
    scale = (centred.square().mean(over, keepdim=True) + eps).rsqrt()  # (1) (1, d, 1...)
    normal = centred * scale  # (2)
    return _along(gain, x) * normal + _along(shift, x), (normal, scale, gain)  # (3)


def batch_norm_backward(saved: Saved, dy: torch.Tensor, *, eps: float = 1e-5) -> Triple:
    normal, scale, gain = saved
    over = _all_but_features(dy)
    return (
        _along(gain, dy) * _normalised_slope(dy, normal, scale, over),  # (5)
        (dy * normal).sum(over),  # (4)
        dy.sum(over),  # (4)
    )


def batch_norm_evaluation_forward(
    x: torch.Tensor,
    gain: torch.Tensor,
    shift: torch.Tensor,
    mean: torch.Tensor,
    variance: torch.Tensor,
    *,
    eps: float = 1e-5,
) -> tuple[torch.Tensor, Saved]:
    """Batch normalisation in evaluation: with the statistics gathered in training, each case for itself.

    Shapes: x (n, d, ...), gain (d), shift (d), mean (d), variance (d) -> y (n, d, ...)
    Forward:
        (1) x̂ = (x - mean) / √(variance + eps)
        (2) y = gain · x̂ + shift
    Backward:
        (3) dx = gain / √(variance + eps) · dy, dmean = -Σ dx
        (4) dgain = Σ dy · x̂, dshift = Σ dy
        (5) dvariance = -½ · Σ dx · x̂ / √(variance + eps)
    Conventions: features are axis 1.
    Example:
        one, zero, mean, variance = torch.ones(1), torch.zeros(1), torch.tensor([1.0]), torch.tensor([4.0])
        batch_norm_evaluation(torch.tensor([[5.0]]), one, zero, mean, variance, eps=0.0).tolist() == [[2.0]]
    Asked: gfg-34.3
    Source: Ioffe and Szegedy, Batch normalization (2015), algorithm 2.
    """
    _check_features("batch_norm_evaluation", x, eps, gain=gain, shift=shift, mean=mean, variance=variance)
    require_values("batch_norm_evaluation", "variance >= 0", variance >= 0)
    scale = _along((variance + eps).rsqrt(), x)
    normal = (x - _along(mean, x)) * scale  # (1)
    return _along(gain, x) * normal + _along(shift, x), (normal, scale, gain)  # (2)


def batch_norm_evaluation_backward(saved: Saved, dy: torch.Tensor, *, eps: float = 1e-5) -> tuple[torch.Tensor, ...]:
    normal, scale, gain = saved
    over = _all_but_features(dy)
    dx = _along(gain, dy) * scale * dy  # (3)
    dvariance = -(dx * normal * scale).sum(over) / 2  # (5)
    return dx, (dy * normal).sum(over), dy.sum(over), -dx.sum(over), dvariance  # (3) (4)


def running_statistics(
    x: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor, *, rate: float = 0.1
) -> tuple[torch.Tensor, torch.Tensor]:
    """The statistics for evaluation after one more training batch: moving averages of each feature's mean and variance.

    Shapes: x (n, d, ...), mean (d), variance (d) -> mean (d), variance (d)
    (1) mean' = (1 - rate) · mean + rate · batch mean
    (2) variance' = (1 - rate) · variance + rate · Σ (x - batch mean)² / (N - 1)
    Conventions: N values a feature; unlike in training the batch variance here is the unbiased one. No gradient.
    Errors: ValueError if the shapes do not fit, a feature has fewer than two values or rate lies outside [0, 1].
    Example:
        x = torch.tensor([[1.0], [3.0]])
        [t.item() for t in running_statistics(x, torch.zeros(1), torch.ones(1), rate=0.5)] == [1.0, 1.5]
    Asked: gfg-34.3
    Source: Ioffe and Szegedy, Batch normalization (2015), algorithm 2, with moving averages as in section 3.1.
    """
    _check_features("running_statistics", x, 0.0, mean=mean, variance=variance)
    if not 0 <= rate <= 1:
        raise ValueError(f"running_statistics got a rate out of range: {rate}, expected 0 <= rate <= 1")
    if x.numel() < 2 * x.shape[1]:
        raise ValueError(
            f"running_statistics got too few values: shape {tuple(x.shape)}, expected two for each feature"
        )
    batch_variance, batch_mean = torch.var_mean(x.detach(), _all_but_features(x), correction=1)
    return mean + rate * (batch_mean - mean), variance + rate * (batch_variance - variance)  # (1) (2)


def layer_norm_forward(
    x: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor, *, eps: float = 1e-5
) -> tuple[torch.Tensor, Saved]:
    """Layer normalisation: every case gets mean 0 and variance 1 over its features, then a learnt scale.

    Shapes: x (..., d), gain (d), shift (d) -> y (..., d)
    Forward:
        (1) m = mean of x, v = mean of (x - m)², for each case over its d features
        (2) x̂ = (x - m) / √(v + eps)
        (3) y = gain · x̂ + shift
    Backward:
        (4) dgain = Σ dy · x̂, dshift = Σ dy over all cases
        (5) dx = (g - mean g - x̂ · mean(g · x̂)) / √(v + eps), g = gain · dy
    Conventions: the same in training and evaluation, and for a batch of one.
    Example: layer_norm(torch.tensor([[1.0, 3.0]]), torch.ones(2), torch.zeros(2), eps=0.0).tolist() == [[-1.0, 1.0]]
    Asked: gfg-29.6, gfg-54.18, gfg-54.19
    Source: Ba, Kiros, Hinton, Layer normalization (2016), equation 4.
    """
    require_dims("layer_norm", 1, x=x)
    _check_scales("layer_norm", x.shape[-1], eps, x=x, gain=gain, shift=shift)
    centred = x - x.mean(-1, keepdim=True)  # (1)
    scale = (centred.square().mean(-1, keepdim=True) + eps).rsqrt()  # (1) (..., 1)
    normal = centred * scale  # (2)
    return gain * normal + shift, (normal, scale, gain)  # (3)


def layer_norm_backward(saved: Saved, dy: torch.Tensor, *, eps: float = 1e-5) -> Triple:
    normal, scale, gain = saved
    dx = _normalised_slope(gain * dy, normal, scale, (-1,))  # (5)
    return dx, (dy * normal).sum_to_size(gain.shape), dy.sum_to_size(gain.shape)  # (4)


def residual_forward(x: torch.Tensor, branch: torch.Tensor) -> tuple[torch.Tensor, Saved]:
    """The residual connection: a branch of layers adds to its own input.

    Shapes: x (...), branch (...) -> y (...), all alike
    Forward:
        (1) y = x + branch
    Backward:
        (2) dx = dy, dbranch = dy
    Conventions: nothing broadcasts; the gradient reaches x undiminished, whatever the branch does.
    Example: residual(torch.tensor([1.0]), torch.tensor([2.0])).tolist() == [3.0]
    Asked: gfg-54.20, gfg-54.21
    Source: He, Zhang, Ren, Sun, Deep residual learning for image recognition (2016), equation 1.
    """
    require_floating("residual", x=x, branch=branch)
    if x.shape != branch.shape:
        raise ValueError(
            f"residual got shapes that differ: x {tuple(x.shape)}, branch {tuple(branch.shape)}, expected the same; "
            "project x first"
        )
    return x + branch, ()  # (1)


def residual_backward(saved: Saved, dy: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return dy, dy  # (2)


def min_max_forward(x: torch.Tensor, *, dim: int = 0) -> tuple[torch.Tensor, Saved]:
    """Min-max scaling: every feature fills the interval from 0 to 1.

    Shapes: x (..., n, ...) -> y (..., n, ...), cases along `dim`
    Forward:
        (1) r = max x - min x
        (2) y = (x - min x) / r
    Backward:
        (3) dx = dy / r, and in addition
        (4) at the smallest case Σ dy · (y - 1) / r, at the largest -Σ dy · y / r
    Conventions: of equal extremes the first counts; a constant feature is refused on the CPU and gives NaN elsewhere.
    Example: min_max(torch.tensor([2.0, 4.0, 6.0])).tolist() == [0.0, 0.5, 1.0]
    Asked: ib-11.7, ib-12.1, ib-12.2, ib-12.4, ib-12.5
    Source: Han, Kamber, Pei, Data Mining (2011), section 3.5.2.
    """
    low, high = _extremes("min_max", x, dim)
    y = (x - low) / (high - low)  # (1) (2)
    return y, (x, y)


def min_max_backward(saved: Saved, dy: torch.Tensor, *, dim: int = 0) -> Gradient:
    x, y = saved
    low, high, reach = _reach(x, dim)
    dlow, dhigh = (dy * (y - 1)).sum(dim, keepdim=True), -(dy * y).sum(dim, keepdim=True)
    return ((dy + low * dlow + high * dhigh) / reach,)  # (3) (4)


def mean_normalisation_forward(x: torch.Tensor, *, dim: int = 0) -> tuple[torch.Tensor, Saved]:
    """Mean normalisation: every feature gets mean 0 and range 1.

    Shapes: x (..., n, ...) -> y (..., n, ...), cases along `dim`
    Forward:
        (1) r = max x - min x
        (2) y = (x - mean x) / r
    Backward:
        (3) dx = (dy - mean dy) / r, and in addition
        (4) at the largest case -Σ dy · y / r, at the smallest Σ dy · y / r
    Conventions: of equal extremes the first counts; a constant feature is refused on the CPU and gives NaN elsewhere.
    Example: mean_normalisation(torch.tensor([2.0, 4.0, 6.0])).tolist() == [-0.5, 0.0, 0.5]
    Asked: ib-12.5, ib-12.6
    Source: Han, Kamber, Pei, Data Mining (2011), section 3.5.2, with the mean in place of the minimum.
    """
    low, high = _extremes("mean_normalisation", x, dim)
    y = (x - x.mean(dim, keepdim=True)) / (high - low)  # (1) (2)
    return y, (x, y)


def mean_normalisation_backward(saved: Saved, dy: torch.Tensor, *, dim: int = 0) -> Gradient:
    x, y = saved
    low, high, reach = _reach(x, dim)
    pull = (dy * y).sum(dim, keepdim=True)
    return ((dy - dy.mean(dim, keepdim=True) + (low - high) * pull) / reach,)  # (3) (4)


def z_score_forward(x: torch.Tensor, *, dim: int = 0, correction: int = 0) -> tuple[torch.Tensor, Saved]:
    """Standardisation: every feature gets mean 0 and standard deviation 1.

    Shapes: x (..., n, ...) -> y (..., n, ...), cases along `dim`
    Forward:
        (1) s = √(Σ (x - mean x)² / (n - correction))
        (2) y = (x - mean x) / s
    Backward:
        (3) dx = (dy - mean dy - y · Σ(dy · y) / (n - correction)) / s
    Conventions: correction 0 makes the variance of y exactly 1, correction 1 its unbiased estimate; a constant feature
        is refused on the CPU and gives NaN elsewhere.
    Example: z_score(torch.tensor([1.0, 3.0])).tolist() == [-1.0, 1.0]
    Asked: ib-11.1, ib-11.2, ib-11.3, ib-11.4, ib-11.5, ib-11.6, ib-11.7, ib-12.7, ib-12.9
    Source: Han, Kamber, Pei, Data Mining (2011), section 3.5.2.
    """
    require_floating("z_score", x=x)
    require_axis("z_score", x, dim)
    if not 0 <= correction < x.shape[dim]:
        raise ValueError(
            f"z_score got a correction out of range: {correction}, expected 0 <= correction < {x.shape[dim]}"
        )
    s = x.std(dim, correction=correction, keepdim=True)  # (1)
    require_values("z_score", "features that are not constant", s > 0)
    y = (x - x.mean(dim, keepdim=True)) / s  # (2)
    return y, (y, s)


def z_score_backward(saved: Saved, dy: torch.Tensor, *, dim: int = 0, correction: int = 0) -> Gradient:
    y, s = saved
    pull = (dy * y).sum(dim, keepdim=True) / (dy.shape[dim] - correction)
    return ((dy - dy.mean(dim, keepdim=True) - y * pull) / s,)  # (3)


def _normalised_slope(
    g: torch.Tensor, normal: torch.Tensor, scale: torch.Tensor, over: tuple[int, ...]
) -> torch.Tensor:
    """The gradient through x̂ = (x - m) · scale: what is left of g after its mean and its part along x̂."""
    return scale * (g - g.mean(over, keepdim=True) - normal * (g * normal).mean(over, keepdim=True))


def _all_but_features(x: torch.Tensor) -> tuple[int, ...]:
    return (0, *range(2, x.dim()))


def _along(feature: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """A tensor (d) seen along axis 1 of x."""
    return feature.reshape(-1, *[1] * (x.dim() - 2))


def _check_features(name: str, x: torch.Tensor, eps: float, **features: torch.Tensor) -> None:
    require_dims(name, 2, x=x)
    _check_scales(name, x.shape[1], eps, x=x, **features)


def _check_scales(name: str, d: int, eps: float, *, x: torch.Tensor, **features: torch.Tensor) -> None:
    require_floating(name, x=x, **features)
    for argument, feature in features.items():
        if feature.shape != (d,):
            raise ValueError(
                f"{name} got {argument} of another size: {tuple(feature.shape)}, expected one value for each of {d} "
                "features"
            )
    if not eps >= 0:
        raise ValueError(f"{name} got eps out of range: {eps}, expected eps >= 0")


def _extremes(name: str, x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The smallest and the largest case of every feature, which must differ."""
    require_floating(name, x=x)
    require_axis(name, x, dim)
    low, high = x.amin(dim, keepdim=True), x.amax(dim, keepdim=True)
    require_values(name, "features that are not constant", high > low)
    return low, high


def _reach(x: torch.Tensor, dim: int) -> Triple:
    """Where the first smallest and the first largest case stand (1 there, else 0), and the distance between the two."""
    smallest, largest = x == x.amin(dim, keepdim=True), x == x.amax(dim, keepdim=True)
    low, high = ((at & (at.cumsum(dim) == 1)).to(x.dtype) for at in (smallest, largest))
    return low, high, ((high - low) * x).sum(dim, keepdim=True)


batch_norm = Differentiable(batch_norm_forward, batch_norm_backward)
batch_norm_evaluation = Differentiable(batch_norm_evaluation_forward, batch_norm_evaluation_backward)
layer_norm = Differentiable(layer_norm_forward, layer_norm_backward)
residual = Differentiable(residual_forward, residual_backward)
min_max = Differentiable(min_max_forward, min_max_backward)
mean_normalisation = Differentiable(mean_normalisation_forward, mean_normalisation_backward)
z_score = Differentiable(z_score_forward, z_score_backward)
