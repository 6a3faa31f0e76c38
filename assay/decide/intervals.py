"""Confidence intervals that are valid at a fixed sample size and at any level, however small.

Each returns (low, high) that covers the true value with probability at least 1 - alpha. Exact where the name says so;
`mean` of unbounded values is Student's, exact for Gaussian samples and asymptotic otherwise.
"""

from __future__ import annotations

import math

import torch
from scipy import stats

Interval = tuple[float, float]


def proportion(successes: int, n: int, alpha: float) -> Interval:
    """Clopper-Pearson: exact for a binomial count (Clopper and Pearson 1934)."""
    low = stats.beta.ppf(alpha / 2, successes, n - successes + 1) if successes > 0 else 0.0
    high = stats.beta.isf(alpha / 2, successes + 1, n - successes) if successes < n else 1.0
    return float(low), float(high)


def gaussian_variance(sample: torch.Tensor, alpha: float) -> Interval:
    """Chi-square: exact for the variance of a Gaussian sample of unknown mean."""
    n = sample.numel()
    squares = float((sample - sample.mean()).square().sum())
    return float(squares / stats.chi2.isf(alpha / 2, n - 1)), float(squares / stats.chi2.ppf(alpha / 2, n - 1))


def mean(sample: torch.Tensor, alpha: float) -> Interval:
    """Student's t: exact for the mean of a Gaussian sample."""
    n = sample.numel()
    centre, spread = float(sample.mean()), float(sample.std())
    half = float(stats.t.isf(alpha / 2, n - 1)) * spread / math.sqrt(n)
    return centre - half, centre + half


def bounded_mean(sample: torch.Tensor, bounds: Interval, alpha: float) -> Interval:
    """Empirical Bernstein: exact for any distribution on `bounds` (Maurer and Pontil 2009, theorem 4, two-sided)."""
    n, (low, high) = sample.numel(), bounds
    log = math.log(4 / alpha)
    half = math.sqrt(2 * float(sample.var()) * log / n) + 7 * (high - low) * log / (3 * (n - 1))
    return float(sample.mean()) - half, float(sample.mean()) + half


def distribution_distance(sample: torch.Tensor, cdf: torch.Tensor, alpha: float) -> Interval:
    """Dvoretzky-Kiefer-Wolfowitz: bounds the largest gap between the true distribution function and the claimed one.

    `cdf` (n,) is the claimed distribution function at the sorted sample (n,). Exact for any continuous distribution (Massart 1990).
    """
    n = sample.numel()
    steps = torch.arange(1, n + 1, dtype=torch.float64) / n
    gap = float(torch.maximum(steps - cdf, cdf - (steps - 1 / n)).max())
    half = math.sqrt(math.log(2 / alpha) / (2 * n))
    return max(0.0, gap - half), gap + half
