"""The batched convolutional laboratory: replicas do not touch each other, and the counts are right."""

from __future__ import annotations

import torch

from assay.subject import Library
from claims.lab.convolving import convolved, random_kernels, right, shifted, trained
from subjects.torch_nn import subject

lib = Library("torch", dict(subject.roles))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_each_replica_has_its_own_kernels_and_images() -> None:
    g = generator()
    x = torch.randn(3, 2, 2, 5, 6, generator=g, dtype=torch.float64)
    w, b = random_kernels(3, 4, 2, 3, g), torch.randn(3, 4, generator=g, dtype=torch.float64)
    together = convolved(lib, x, w, b, stride=2, padding=1)
    alone = torch.stack(
        [torch.nn.functional.conv2d(*replica, stride=2, padding=1) for replica in zip(x, w, b, strict=True)]
    )
    # both sum 18 products and a bias of size one in float64, in another order
    torch.testing.assert_close(together, alone, rtol=0, atol=40 * 18 * torch.finfo(torch.float64).eps)


def test_each_image_moves_by_its_own_steps() -> None:
    x = torch.randn(2, 3, 4, 5, generator=generator())
    down, right_ = torch.tensor([[0, 1, -1], [2, 0, 5]]), torch.tensor([[0, -2, 1], [0, 4, 6]])
    moved = shifted(x, down, right_)
    for r in range(2):
        for k in range(3):
            assert torch.equal(moved[r, k], x[r, k].roll((int(down[r, k]), int(right_[r, k])), (-2, -1)))


def test_training_alone_or_among_others_is_the_same() -> None:
    g = generator()
    x, y = torch.randn(3, 8, 1, 4, 4, generator=g, dtype=torch.float64), torch.randint(2, (3, 8), generator=g).double()
    w = random_kernels(3, 1, 1, 4, g)

    def net(params, images):  # type: ignore[no-untyped-def]
        return convolved(lib, images, params[0])[..., 0, 0, 0]

    (together,) = trained(lib, net, [w], x, y, steps=5, lr=0.1)
    for r in range(3):
        (alone,) = trained(lib, net, [w[r : r + 1]], x[r : r + 1], y[r : r + 1], steps=5, lr=0.1)
        # Adam's steps follow the relative error of a gradient: 8·16 products of size one that cancel to 1e-3 or more, in
        # another order, err by 128·eps/1e-3 of it, in each of five steps of 0.1
        rounding = 5 * 0.1 * 128 * torch.finfo(torch.float64).eps / 1e-3
        torch.testing.assert_close(together[r], alone[0], rtol=0, atol=rounding)
    assert float((together - w).abs().min()) > 0.01


def test_right_counts_signs() -> None:
    scores, labels = torch.tensor([[1.0, -1.0, 2.0, -3.0]]), torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    assert right(scores, labels).tolist() == [0.5]
