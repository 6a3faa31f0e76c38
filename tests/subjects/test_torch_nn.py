"""torch under the reference's roles: the two agree within rounding at every role that torch plays, or differ in a way that stands here."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from assay.evidence import gamma
from subjects.reference import subject as reference
from subjects.torch_nn import subject as by_torch
from tests.reference.protocol import DTYPES, draw

X, Y, W, B = draw(5, 4), draw(5, 3, seed=1), draw(3, 4, seed=2), draw(3, seed=3)
P, Q = torch.softmax(draw(5, 4, seed=4), -1), torch.softmax(draw(5, 4, seed=5), -1)
IMAGE, KERNEL = draw(2, 2, 6, 5), draw(4, 2, 3, 2, seed=6)
SEQUENCE, STATE = draw(2, 3, 4), draw(2, 5, seed=7)
ONES, ZEROS = torch.ones(4, dtype=torch.float64), torch.zeros(4, dtype=torch.float64)
LABELS = torch.tensor([0, 3, 1, 1, 2])
MASK = torch.tensor([[1, 0, 1], [0, 0, 1], [1, 1, 1]], dtype=torch.bool)
STEP = ([X, B], [draw(5, 4, seed=8), draw(3, seed=9)])
HEADS = tuple(draw(4, 4, seed=10 + k) for k in range(4))


def recurrent(gates: int) -> tuple[torch.Tensor, ...]:
    return SEQUENCE, draw(5 * gates, 4, seed=14), draw(5 * gates, 5, seed=15), draw(5 * gates, seed=16), STATE


def block(cross: bool) -> dict[str, torch.Tensor]:
    return reference.roles["transformer_parameters"](4, 7, cross=cross, generator=torch.Generator().manual_seed(0))


ENTRIES = (
    "elu hardtanh heaviside leaky_relu linear relu sigmoid softsign tanh log_softmax maxout softmax "
    "l1_penalty l2_penalty unit_length standardise generator_loss mean_gradient"
)
COMPARISONS = "binary_cross_entropy categorical_cross_entropy kl_divergence mean_squared_error"

# role -> the calls on which reference and torch are compared: positional arguments, then named ones
CALLS: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    **{name: [((X,), {})] for name in ENTRIES.split()},
    **{name: [((P, Q), {"reduction": how}) for how in ("none", "mean", "sum")] for name in COMPARISONS.split()},
    "binary_cross_entropy_with_logits": [((X, P), {}), ((X, P), {"reduction": "mean"})],
    "cross_entropy": [((X, LABELS), {}), ((X, LABELS), {"reduction": "mean"})],
    "dense": [((X, W, B), {}), ((X, draw(6, 3, 4)), {}), ((draw(6, 5, 4), W, draw(6, 3)), {})],
    "embedding": [((LABELS, X), {})],
    "mlp": [((X, [W, B, draw(2, 3, seed=17), draw(2, seed=18)], torch.tanh), {})],
    "perceptron": [((X, W, B), {}), ((0 * X, W, 0 * B), {})],
    "conv1d": [((draw(2, 4, 7), draw(6, 2, 3), draw(6)), {"stride": 2, "padding": "same", "groups": 2})],
    "conv2d": [((IMAGE, KERNEL, draw(4)), {"stride": (2, 1), "padding": 1}), ((IMAGE, KERNEL), {"padding": "same"})],
    "conv_output_size": [((11, 3), {"stride": 2, "padding": p, "dilation": 2}) for p in (0, 2, "same", "valid")],
    "conv_transpose2d": [((draw(2, 4, 3, 3), KERNEL, draw(2)), {"stride": 2, "padding": 1, "output_padding": 1})],
    "max_pool2d": [((IMAGE,), {"size": 2}), ((IMAGE,), {"size": 3, "stride": 1, "padding": 1})],
    "average_pool2d": [((IMAGE,), {"size": 2}), ((IMAGE,), {"size": 3, "padding": 1, "count_padding": False})],
    "global_average_pool": [((IMAGE,), {})],
    "crop": [((IMAGE, 1, 2, 3, 2), {})],
    "flip": [((IMAGE, -1), {})],
    "rotate90": [((IMAGE, 3), {})],
    "translate": [((IMAGE, 1, -2), {}), ((IMAGE, 9, 9), {}), ((IMAGE, 1, -2, True), {})],
    "zoom": [((draw(2, 4, 6), 2), {}), ((draw(2, 4, 6), 0.5), {})],
    "constant": [(((2, 3), 0.5), {})],
    "zeros": [(((2, 3),), {})],
    "batch_norm": [((X, ONES, ZEROS), {})],
    "batch_norm_evaluation": [((X, ONES, ZEROS, X[0], X[1].square()), {})],
    "running_statistics": [((X, X[0], X[1].square()), {"rate": 0.3})],
    "layer_norm": [((X, X[0], X[1]), {})],
    "residual": [((X, P), {})],
    "rnn": [(recurrent(1), {})],
    "gru": [(recurrent(3), {"reset": "after"})],
    "lstm": [((*recurrent(4), draw(2, 5, seed=19)), {})],
    "causal_mask": [((4,), {})],
    "scaled_dot_product_attention": [((SEQUENCE,) * 3, {}), ((*(SEQUENCE,) * 3, MASK), {})],
    "multi_head_attention": [
        ((*(SEQUENCE,) * 3, HEADS), {"heads": 2}),
        ((*(SEQUENCE,) * 3, HEADS), {"heads": 4, "mask": MASK}),
    ],
    "encoder_block": [
        ((SEQUENCE, block(False)), {"heads": 2}),
        ((SEQUENCE[0], block(False)), {"heads": 1, "mask": MASK}),
    ],
    "decoder_block": [((SEQUENCE, draw(2, 6, 4), block(True)), {"heads": 2})],
    "autoencoder": [((X, [draw(2, 4), draw(2)], [draw(4, 2), draw(4)], torch.tanh), {})],
    "gaussian_divergence": [((X, P), {})],
    "reparameterise": [((X, P, draw(5, 4, seed=20)), {})],
    "discriminator_loss": [((X, Y), {})],
    "triplet_loss": [((X, P, Q), {}), ((X, Q, P), {"margin": 3.0})],
    "mixture": [((draw(2, 5, 3), draw(2, 5, 3, 4)), {})],
    "mixture_of_experts": [((draw(2, 5, 3), draw(2, 5, 3, 4)), {})],
    "linear_network": [((X, W, B, draw(2, 3), None), {}), ((X, W, None), {})],
    "collapsed_network": [((W, B, draw(2, 3), None), {}), ((draw(2, 3, 4), None, draw(2, 2, 3), None), {})],
    "linear_regression": [((X, Y), {}), ((draw(2, 3, 4), draw(2, 3, 1)), {})],
    "polynomial_fit": [((draw(2, 9), draw(2, 9, seed=1)), {"degree": 2})],
    "smooth_l1": [((X, P), {}), ((X, P[0]), {"beta": 0.3})],
    "chosen_values": [((X, LABELS), {})],
    "temporal_difference_loss": [((X, LABELS, draw(5)), {})],
    "squared_distances": [((X, P), {})],
    "radial_basis": [((X, W, P[0, :3]), {}), ((draw(2, 5, 4), draw(2, 3, 4), P[:2, :3]), {})],
    "radial_basis_network": [((X, W, P[0, :3], draw(2, 3), draw(2)), {})],
    "sgd": [(STEP, {"lr": 0.1})],
    "momentum": [(STEP, {"lr": 0.1, "beta": 0.9})],
    "nesterov": [(STEP, {"lr": 0.1, "beta": 0.9})],
    "adam": [(STEP, {"lr": 0.1})],
    "clip_by_value": [((STEP[1], 0.5), {})],
    "exponential_decay": [((7,), {"lr": 0.1, "factor": 0.9})],
    "step_decay": [((7,), {"lr": 0.1, "factor": 0.5, "every": 3})],
    "soft_threshold": [((X,), {"t": 0.5})],
    "ridge": [((draw(9, 4), draw(9)), {"penalty": 0.5})],
}
DIFFERENT = {
    "clip_by_norm": "torch divides by the norm plus 1e-6",
    "max_norm": "torch divides by the length plus 1e-7",
}
ROUNDINGS = (
    512  # more than any role here makes in a row; its numbers and the sums of their absolute terms stay below SCALE
)
SCALE = 1000.0


def draws(role: Any) -> bool:
    """Whether a role takes a generator: two implementations need not draw the same numbers."""
    try:
        return "generator" in inspect.signature(role).parameters
    except ValueError:  # a builtin of torch without a signature
        return False


def numbers(value: Any, dtype: torch.dtype) -> Iterator[torch.Tensor]:
    """The tensors and numbers of an answer, nested as it may be, in float64; what is kept for the next step is no answer."""
    if isinstance(value, torch.Tensor):
        assert not value.is_floating_point() or value.dtype == dtype
        yield value.double()
    elif isinstance(value, list | tuple):
        for part in value:
            yield from numbers(part, dtype)
    elif isinstance(value, int | float):
        yield torch.tensor(float(value), dtype=torch.float64)


def cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: cast(part, dtype) for key, part in value.items()}
    return type(value)(cast(part, dtype) for part in value) if isinstance(value, list | tuple) else value


def distance(role: str, arguments: tuple[Any, ...], named: dict[str, Any], dtype: torch.dtype) -> float:
    """The largest difference between reference and torch; optimisers are compared in what they return first, not in their state."""
    options = {"dtype": dtype} if role in ("constant", "zeros") else {}
    answers = [subject.roles[role](*cast(arguments, dtype), **named, **options) for subject in (reference, by_torch)]
    if role in ("sgd", "momentum", "nesterov", "adam"):
        answers = [answer[0] for answer in answers]
    pairs = list(zip(*(numbers(answer, dtype) for answer in answers), strict=True))
    assert pairs
    assert all(mine.shape == other.shape for mine, other in pairs)
    return max(float((mine - other).abs().max()) for mine, other in pairs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("role", CALLS)
def test_reference_and_torch_agree(role: str, dtype: torch.dtype) -> None:
    for arguments, named in CALLS[role]:
        assert distance(role, arguments, named, dtype) <= gamma(ROUNDINGS, dtype) * SCALE


def test_every_role_that_draws_nothing_is_compared() -> None:
    fixed = {name for name, role in by_torch.roles.items() if not draws(role)}
    assert fixed == set(CALLS) | set(DIFFERENT)


def test_a_small_difference_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = by_torch.roles["triplet_loss"]
    monkeypatch.setitem(by_torch.roles, "triplet_loss", lambda *t, **named: sound(*t, **named) * (1 + 1e-8))  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        test_reference_and_torch_agree("triplet_loss", torch.float64)


def test_torch_clips_and_renorms_a_little_too_short() -> None:
    grads = [torch.tensor([3.0, 4.0], dtype=torch.float64)]
    assert float(reference.roles["clip_by_norm"](grads, 1.0)[0].norm()) == pytest.approx(1, rel=1e-15)
    assert float(by_torch.roles["clip_by_norm"](grads, 1.0)[0].norm()) == pytest.approx(5 / (5 + 1e-6), rel=1e-15)
    row = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
    assert float(reference.roles["max_norm"](row, c=1.0).norm()) == pytest.approx(1, rel=1e-15)
    assert float(by_torch.roles["max_norm"](row, c=1.0).norm()) == pytest.approx(5 / (5 + 1e-7), rel=1e-15)


def test_torch_s_own_triplet_loss_measures_plain_distances() -> None:
    a, p, n = (torch.tensor([value], dtype=torch.float64) for value in ([0.0, 0.0], [3.0, 0.0], [2.0, 0.0]))
    assert float(reference.roles["triplet_loss"](a, p, n, margin=1.0)) == 9 - 4 + 1
    assert float(torch.nn.TripletMarginLoss(margin=1.0)(a, p, n)) == pytest.approx(3 - 2 + 1, abs=1e-5)  # it adds 1e-6


def test_torch_refuses_a_triplet_margin_of_zero() -> None:
    reference.roles["triplet_loss"](X, P, Q, margin=0.0)
    with pytest.raises(ValueError, match="margin"):
        by_torch.roles["triplet_loss"](X, P, Q, margin=0.0)


def test_torch_has_only_the_later_reset() -> None:
    with pytest.raises(ValueError, match="no such reset"):
        by_torch.roles["gru"](*recurrent(3), reset="before")
