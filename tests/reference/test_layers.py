"""Dense layer, embedding, mixture, radial basis, perceptron: against plain formulas, replicas, bad input."""

from __future__ import annotations

import pytest
import torch

from reference.layers import dense, embedding, mlp
from reference.modular import mixture, mixture_of_experts
from reference.perceptron import perceptron, perceptron_rule
from reference.radial import radial_basis, radial_basis_network
from tests.reference.protocol import Case, draw


def summed(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
    y = torch.einsum("...nd,...od->...no", x, w)
    return y if b is None else y + b[..., None, :]


def looked_up(labels: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels, table.shape[0]).to(table.dtype) @ table


def bumps(x: torch.Tensor, centres: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    squares = (x[..., :, None, :] - centres[..., None, :, :]).pow(2).sum(-1)
    return torch.exp(-squares / (2 * width[..., None, :] ** 2))


def mixed(gate: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    return torch.einsum("...nk,...nko->...no", gate, answers)


LABELS = torch.tensor([[3, 0, 3], [1, 1, 3]])
WIDTH = draw(4, seed=7).abs() + 0.5
X, W, B = draw(5, 3), draw(4, 3, seed=1), draw(4, seed=2)
SCALE = 20.0  # the sum of the sizes of three products of numbers below three, and a bias
CASES = {
    "one": Case(dense, (X, W, B), summed, scale=SCALE),
    "without bias": Case(dense, (X, W, None), summed, scale=SCALE),
    "replicas of the weights": Case(dense, (X, draw(2, 4, 3), draw(2, 4)), summed, scale=SCALE),
    "replicas of the data": Case(dense, (draw(2, 5, 3), W, B), summed, scale=SCALE),
    "a weight shared by two biases": Case(dense, (X, W, draw(2, 4)), summed, scale=SCALE),
    "embedding": Case(embedding, (LABELS, draw(4, 2)), looked_up),
    "radial basis": Case(radial_basis, (X, W, WIDTH), bumps, roundings=256, scale=SCALE),
    "radial basis, replicas": Case(radial_basis, (X, draw(2, 4, 3), WIDTH), bumps, roundings=256, scale=SCALE),
    "mixture": Case(mixture, (draw(5, 2), draw(5, 2, 3)), mixed, scale=SCALE),
    "a grid of replicas": Case(dense, (draw(2, 1, 5, 3), draw(3, 4, 3), None), summed, scale=SCALE),
}


def test_an_empty_batch_has_zero_gradients() -> None:
    w, b = W.clone().requires_grad_(), B.clone().requires_grad_()
    y = dense(torch.empty(0, 3, dtype=torch.float64), w, b)
    assert y.shape == (0, 4)
    dw, db = torch.autograd.grad(y.sum(), (w, b))
    assert not bool(dw.any())
    assert not bool(db.any())


def test_a_multilayer_perceptron_is_its_layers() -> None:
    params = [W, B, draw(2, 4, seed=3), draw(2, seed=4)]
    assert torch.equal(mlp(X, params, torch.tanh), dense(torch.tanh(dense(X, W, B)), *params[2:]))
    assert torch.equal(mlp(X, params[:2], torch.tanh), dense(X, W, B))
    with pytest.raises(ValueError, match="got 3 parameters"):
        mlp(X, params[:3], torch.tanh)


def test_a_radial_basis_network_is_a_sum_of_bumps() -> None:
    weights = draw(2, 4, seed=5)
    assert torch.equal(radial_basis_network(X, W, WIDTH, weights), radial_basis(X, W, WIDTH) @ weights.mT)
    assert radial_basis(W, W, WIDTH).diagonal().tolist() == [1.0] * 4


def test_a_gate_that_is_sure_picks_one_expert() -> None:
    answers = draw(5, 2, 3)
    logits = torch.tensor([[1000.0, 0.0]] * 5, dtype=torch.float64)
    assert torch.equal(mixture_of_experts(logits, answers), answers[:, 0])


def test_the_perceptron_learns_and_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0], [-1.0, 1.0]], dtype=torch.float64)
    y = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    w, b = perceptron_rule(x, y, torch.zeros(1, 2, dtype=torch.float64), torch.zeros(1, dtype=torch.float64), lr=0.5)
    # fires at 0: e = -1 gives w = (-0.5, -1), b = -0.5; then 0.5 - 1 - 0.5 < 0: e = 1 gives w = (-1, -0.5), b = 0
    assert w.tolist() == [[-1.0, -0.5]]
    assert b.tolist() == [0.0]


def test_the_perceptron_converges_on_separable_classes() -> None:
    x = draw(40, 2)
    x = x[(x[:, 0] - x[:, 1]).abs() > 0.3]
    y = (x[:, :1] - x[:, 1:] > 0).to(torch.float64)
    w, b = torch.zeros(3, 1, 2, dtype=torch.float64), torch.zeros(3, 1, dtype=torch.float64)
    # Novikoff: at most (R/margin)² mistakes, R² = 1 + max|x|² < 17 and the margin 0.3/√2, so 380, and so many passes
    for _ in range(380):
        w, b = perceptron_rule(x, y, w, b)
        if bool((perceptron(x, w, b) == y).all()):
            break
    assert bool((perceptron(x, w, b) == y).all())


FURTHER_REFUSED = {
    "label that the table lacks": (lambda: embedding(LABELS, draw(3, 2)), "0 <= label < 3"),
    "labels that are no integers": (lambda: embedding(LABELS.double(), draw(4, 2)), "no integers"),
    "table that is a vector": (lambda: embedding(LABELS, draw(4)), "another shape"),
    "centres that do not fit": (lambda: radial_basis(X, draw(4, 2), WIDTH), "do not fit"),
    "width of zero": (lambda: radial_basis(X, W, 0 * WIDTH), "width > 0"),
    "gate that does not fit": (lambda: mixture(draw(5, 3), draw(5, 2, 3)), "gate that does not fit"),
    "labels of a perceptron": (lambda: perceptron_rule(X, draw(5, 4), W, B), "labels 0 or 1"),
    "rate of a perceptron": (lambda: perceptron_rule(X, draw(5, 4), W, B, lr=0.0), "lr > 0"),
    "cases without labels": (lambda: perceptron_rule(X, draw(4, 4), W, B), "labels that do not fit"),
}


@pytest.mark.parametrize("what", FURTHER_REFUSED)
def test_further_bad_input_is_refused(what: str) -> None:
    call, message = FURTHER_REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()


REFUSED = {
    "features that do not fit": ((X, draw(4, 2), B), "features that do not fit"),
    "bias that does not fit": ((X, W, draw(3)), "bias that does not fit"),
    "scalar bias": ((X, W, draw()), "bias that does not fit"),
    "a single input without cases": ((draw(3), W, B), "at least 2 axes"),
    "integers": ((X, W.long(), B), "w is torch.int64"),
    "replicas that do not fit": ((draw(2, 5, 3), draw(3, 4, 3), None), "do not fit"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    tensors, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        dense(*tensors)


def test_no_tensor_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="got no tensor"):
        dense(1.0, 2.0)  # type: ignore[arg-type]
