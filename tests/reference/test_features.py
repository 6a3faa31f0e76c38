"""The convolutional body: against torch's layers, and in replicas."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from assay.evidence import gamma
from reference.features import convolution_weights, feature_map
from tests.reference.protocol import draw


def weights(seed: int = 0) -> list[torch.Tensor]:
    return convolution_weights((2, 3, 4), generator=torch.Generator().manual_seed(seed))


def test_the_map_is_convolutions_and_rectifiers() -> None:
    x, (w1, b1, w2, b2) = draw(2, 2, 6, 8), weights()
    inner = functional.relu(functional.conv2d(x, w1, b1, padding=1))
    expected = functional.relu(functional.conv2d(inner, w2, b2, stride=2, padding=1))
    found = feature_map(x, [w1, b1, w2, b2], strides=(1, 2))
    assert found.shape == (2, 4, 3, 4)
    assert float((found - expected).abs().max()) <= gamma(128, torch.float64) * 32


def test_replicas_are_nets_of_their_own() -> None:
    x, pairs = draw(2, 2, 6, 8), [torch.stack(both) for both in zip(weights(), weights(1), strict=True)]
    together = torch.func.vmap(lambda *params: feature_map(x, params, strides=(1, 2)))(*pairs)
    for k in range(2):
        alone = feature_map(x, weights(k), strides=(1, 2))
        assert float((together[k] - alone).abs().max()) <= gamma(128, torch.float64) * 32


def test_weights_have_the_variance_of_he() -> None:
    w, b = convolution_weights((40, 60), generator=torch.Generator().manual_seed(0))
    n = w.numel()
    # a variance of n normal draws has the relative standard error sqrt(2/n); five of them
    assert float(w.var()) == pytest.approx(2 / 360, rel=5 * math.sqrt(2 / n))
    assert not bool(b.any())


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="a pair for each of 1 strides"):
        feature_map(draw(2, 2, 6, 8), weights(), strides=(1,))
