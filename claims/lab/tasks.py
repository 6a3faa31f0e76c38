"""Small synthetic tasks. Each takes a generator and gives inputs x and labels y on the generator's device, in float64."""

from __future__ import annotations

import torch


def xor() -> tuple[torch.Tensor, torch.Tensor]:
    """The four corners of the square: x (4, 2) in {0, 1}, y (4,) = exclusive or."""
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    return x, torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=torch.float64)


def moons(n: int, generator: torch.Generator, *, noise: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    """Two interleaving half circles: x (n, 2), y (n,) in {0, 1}."""
    angle = torch.rand(n, generator=generator, dtype=torch.float64, device=generator.device) * torch.pi
    y = torch.randint(2, (n,), generator=generator, device=generator.device).to(torch.float64)
    x = torch.stack([torch.cos(angle) * (1 - 2 * y) + y, torch.sin(angle) * (1 - 2 * y) + 0.5 * y], -1)
    return x + noise * _normal(x.shape, generator), y


def xor_clouds(
    shape: tuple[int, ...], generator: torch.Generator, *, flipped: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Uniform points on [-1, 1]², class 1 where the signs differ; a share `flipped` of labels is wrong: x (*shape, 2), y (*shape)."""
    x = torch.rand(*shape, 2, generator=generator, dtype=torch.float64, device=generator.device) * 2 - 1
    return x, flip((x[..., 0] * x[..., 1] < 0).to(torch.float64), flipped, generator)


def halfspace(
    shape: tuple[int, ...], d: int, generator: torch.Generator, *, flipped: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Gaussian points in d dimensions, class 1 where the first coordinate is positive: x (*shape, d), y (*shape)."""
    x = _normal((*shape, d), generator)
    return x, flip((x[..., 0] > 0).to(torch.float64), flipped, generator)


def flip(y: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Labels 0/1 of which each is turned round with probability `share`."""
    wrong = torch.rand(y.shape, generator=generator, dtype=torch.float64, device=generator.device) < share
    return torch.where(wrong, 1 - y, y)


def bars(
    shape: tuple[int, ...], size: int, generator: torch.Generator, *, noise: float = 0.3
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise images with one bar of length size/2: x (*shape, 1, size, size), y (*shape) = 1 for vertical, 0 for horizontal."""
    n = torch.Size(shape).numel()
    device, long = generator.device, max(2, size // 2)
    y = torch.randint(2, (n,), generator=generator, device=device)
    line = torch.randint(size, (n, 1, 1), generator=generator, device=device)
    start = torch.randint(size - long + 1, (n, 1, 1), generator=generator, device=device)
    at = torch.arange(size, device=device)
    along, across = (at >= start) & (at < start + long), at == line
    upright = along.mT & across
    image = torch.where(y.bool()[:, None, None], upright, upright.mT).to(torch.float64)
    image = image + noise * _normal(image.shape, generator)
    return image.reshape(*shape, 1, size, size), y.reshape(shape).to(torch.float64)


def _normal(shape: torch.Size | tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64, device=generator.device)
