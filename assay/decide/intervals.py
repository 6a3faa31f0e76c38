"""Confidence intervals that are valid at a fixed sample size and at any level, however small.

Each returns (low, high) that covers the true value with probability at least 1 - alpha: exactly, but for `mean`, whose values
have no bounds and whose level is therefore an approximation, on the safe side, for large samples.
"""

from __future__ import annotations

import math

import torch
from scipy import stats

Interval = tuple[float, float]

SMALLEST_TAIL = 1e-200  # a tail smaller than this is none: the steps grow without end
CONVERGED = 1e-9  # relative; the quantile only has to be right to far fewer digits than the estimate


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


def mean(sample: torch.Tensor, alpha: float, *, most_spread: float) -> Interval:
    """What two intervals at alpha / 2 have in common: Student's, widened for skewness, and the span of the values seen.

    The second decides where hardly anything varies, as under a control that switches the randomness off.
    """
    student, span = _student(sample, alpha / 2), _span(sample, alpha / 2, most_spread)
    return max(student[0], span[0]), min(student[1], span[1])


def _student(sample: torch.Tensor, alpha: float) -> Interval:
    """Student's t, widened for skewness; unbounded where the sample is too small for its skewness, or all alike.

    Far out in its tails, where alpha lies, the t of n values with skewness g exceeds x with the probability of Student's law times
    exp(g·x³ / (3·√n)) (Wang 2005, Limit theorems for self-normalized large deviation). Plain Student intervals of 256 exponential
    values miss six times as often as they say at alpha = 1e-4; these less often than they say.
    """
    n, centre, spread = sample.numel(), float(sample.mean()), float(sample.std())
    if spread == 0:
        return -math.inf, math.inf
    skewness = abs(float(((sample - centre) / spread).pow(3).mean()))
    half = _student_quantile(n, skewness, alpha / 2) * spread / math.sqrt(n)
    return centre - half, centre + half


def _span(sample: torch.Tensor, alpha: float, most_spread: float) -> Interval:
    """From the smallest to the largest value seen and beyond: exact for any law whose standard deviation is at most `most_spread`.

    The share q of the law outside the span of n values is at most a quantile of Beta(2, n - 1) (Wilks 1941), and pulls the mean
    away from that of the values inside by at most the standard deviation times √(q / (1 - q)).
    """
    q = float(stats.beta.isf(alpha, 2, sample.numel() - 1))
    reach = most_spread * math.sqrt(q / (1 - q))
    return float(sample.min()) - reach, float(sample.max()) + reach


def _student_quantile(n: int, skewness: float, tail: float) -> float:
    """The smallest x whose tail beyond, inflated by exp(skewness·x³ / (3·√n)), is at most `tail`: the limit of rising steps, or infinity."""
    x, exponent = 0.0, 0.0
    while exponent > math.log(SMALLEST_TAIL):
        following = float(stats.t.isf(tail * math.exp(exponent), n - 1))
        if following <= x * (1 + CONVERGED):
            return following
        x, exponent = following, -skewness * following**3 / (3 * math.sqrt(n))
    return math.inf


def bounded_mean(sample: torch.Tensor, bounds: Interval, alpha: float) -> Interval:
    """Empirical Bernstein: exact for any distribution on `bounds` (Maurer and Pontil 2009, theorem 4, two-sided)."""
    n, (low, high) = sample.numel(), bounds
    log = math.log(4 / alpha)
    half = math.sqrt(2 * float(sample.var()) * log / n) + 7 * (high - low) * log / (3 * (n - 1))
    return float(sample.mean()) - half, float(sample.mean()) + half


def median(sample: torch.Tensor, alpha: float) -> Interval:
    """Between two order statistics: exact for any continuous distribution, unbounded where the sample is too small for alpha."""
    n, ordered = sample.numel(), sample.sort().values
    beyond = int(
        stats.binom.ppf(alpha / 2, n, 0.5)
    )  # the most values for which P(fewer lie below the median) is at most alpha / 2
    return (float(ordered[beyond - 1]), float(ordered[n - beyond])) if beyond else (-math.inf, math.inf)


def distribution_distance(sample: torch.Tensor, cdf: torch.Tensor, alpha: float) -> Interval:
    """Dvoretzky-Kiefer-Wolfowitz: bounds the largest gap between the true distribution function and the claimed one.

    `cdf` (n,) is the claimed distribution function at the sorted sample (n,). Exact for any continuous distribution (Massart 1990).
    """
    n = sample.numel()
    steps = torch.arange(1, n + 1, dtype=torch.float64) / n
    gap = float(torch.maximum(steps - cdf, cdf - (steps - 1 / n)).max())
    half = math.sqrt(math.log(2 / alpha) / (2 * n))
    return max(0.0, gap - half), gap + half
