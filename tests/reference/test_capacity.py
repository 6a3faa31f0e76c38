"""Polynomials, linear regression, networks without activation, bias and variance, trees: against other ways to compute them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from assay.evidence import gamma
from reference import capacity
from reference.capacity import (
    bias_variance,
    collapsed_network,
    linear_network,
    linear_regression,
    polynomial,
    polynomial_fit,
)
from reference.differentiable import Differentiable
from reference.layers import dense
from reference.trees import Tree, decision_tree, tree_answers
from tests.reference.mutants import mutant
from tests.reference.protocol import DTYPES, Case, draw

F64 = torch.float64


def powers_summed(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    return sum(w[..., j : j + 1] * x**j for j in range(w.shape[-1]))  # type: ignore[return-value]


def composed(x: torch.Tensor, *params: torch.Tensor | None) -> torch.Tensor:
    for w, b in zip(params[::2], params[1::2], strict=True):
        x = torch.einsum("...nd,...od->...no", x, w)
        x = x if b is None else x + b[..., None, :]
    return x


X = draw(5, 3)
LAYERS = tuple(0.5 * draw(*shape, seed=k) for k, shape in enumerate([(4, 3), (4,), (2, 4), (2,), (3, 2), (3,)], 1))
SHORT = (LAYERS[0], None, *LAYERS[2:4])
REPLICAS = (0.5 * draw(2, 4, 3), 0.5 * draw(2, 4), *LAYERS[2:4])


def case(component: Differentiable, oracle: Callable[..., torch.Tensor], *inputs: torch.Tensor | None) -> Case:
    """No value inside exceeds what the same sums make of the sizes of all numbers; 3 + 4 + 2 products and three biases
    on the way to an output of the networks, or four powers and sums of the polynomials, are below 16 roundings."""
    sizes = oracle(*(t if t is None else t.abs() for t in inputs))
    return Case(component, inputs, oracle, roundings=16, scale=float(sizes.max()))


CASES = {
    "polynomial": case(polynomial, powers_summed, draw(5), draw(4, seed=1)),
    "polynomial, a constant": case(polynomial, powers_summed, draw(5), draw(1, seed=1)),
    "polynomial, replicas of w": case(polynomial, powers_summed, draw(5), draw(2, 4, seed=1)),
    "polynomial, replicas of x": case(polynomial, powers_summed, draw(2, 5), draw(4, seed=1)),
    "linear network": case(linear_network, composed, X, *LAYERS),
    "linear network, one layer": case(linear_network, composed, X, *LAYERS[:2]),
    "linear network, a bias left out": case(linear_network, composed, X, *SHORT),
    "linear network, replicas": case(linear_network, composed, X, *REPLICAS),
}


def test_a_constant_has_slope_zero_at_every_point() -> None:
    x = draw(5).requires_grad_()
    assert torch.autograd.grad(polynomial(x, draw(1)).sum(), x)[0].tolist() == [0.0] * 5


def test_a_network_without_activation_is_one_layer() -> None:
    """Both ways err by at most γ of all products and sums, on the network of absolute values."""
    w, b = collapsed_network(*LAYERS)
    assert b is not None
    allowed = 2 * gamma(3 + 4 + 2 + 3, F64) * composed(X.abs(), *(p.abs() for p in LAYERS))
    assert bool(((dense(X, w, b) - linear_network(X, *LAYERS)).abs() <= allowed).all())


def test_a_collapsed_network_keeps_a_bias_wherever_it_stands() -> None:
    w1, b1, w2, b2 = LAYERS[:4]
    w, b = collapsed_network(w1, None, w2, b2)
    assert torch.equal(w, dense(w1.mT, w2).mT)
    assert b is b2
    assert torch.equal(collapsed_network(w1, b1, w2, None)[1], dense(b1[None], w2)[0])
    assert collapsed_network(w1, None, w2, None)[1] is None
    assert collapsed_network(draw(5, 4, 3), draw(5, 4), w2, b2)[1].shape == (5, 2)


def test_a_polynomial_is_found_again_by_every_replica() -> None:
    x, w = torch.linspace(-1, 1, 9, dtype=F64), draw(6, 4)
    found = polynomial_fit(x, polynomial(x, w), degree=3)
    # Backward stable least squares errs by u·cond² at worst; 9 · 4 entries enter, and cond of these powers is below 10.
    assert float(torch.linalg.cond(torch.vander(x, 4))) < 10
    assert float((found - w).abs().max()) <= gamma(36 * 100, F64) * float(w.norm(dim=-1).max())


def normal_equations(residual: torch.Tensor, columns: torch.Tensor) -> float:
    """How far the residual is from a right angle with every column: zero at the least squares."""
    return float((columns.mT @ residual).abs().max() / (columns.norm() * residual.norm()))


def test_a_fit_leaves_a_residual_at_right_angles() -> None:
    x, y = torch.linspace(-1, 1, 30, dtype=F64), draw(30, seed=1)
    residual = y - polynomial(x, polynomial_fit(x, y, degree=4))
    at_right_angles = gamma(30 * 5 * 100, F64)  # 30 · 5 entries, and cond² below 100 as above would be below 10 000
    assert normal_equations(residual, capacity._powers(x, 4)) <= at_right_angles
    assert normal_equations(y - polynomial(x, polynomial_fit(x, y, degree=3)), capacity._powers(x, 4)) > 1e-3


def test_as_many_coefficients_as_points_go_through_every_point() -> None:
    x, y = torch.linspace(-1, 1, 6, dtype=F64), draw(6, seed=1)
    residual = y - polynomial(x, polynomial_fit(x, y, degree=5))
    condition = float(torch.linalg.cond(torch.vander(x)))
    assert float(residual.abs().max()) <= gamma(36 * condition, F64) * float(y.norm())


def test_linear_regression_agrees_with_a_column_of_ones() -> None:
    x, y = draw(3, 20, 4), draw(3, 20, 2, seed=1)
    w, b = linear_regression(x, y)
    design = torch.cat([x, torch.ones(3, 20, 1, dtype=F64)], -1)
    expected = torch.linalg.lstsq(design, y).solution.mT
    condition = float(torch.linalg.cond(design).max())
    allowed = gamma(100 * condition**2, F64) * float(y.norm(dim=(-2, -1)).max())  # 20 · 5 entries
    assert float((torch.cat([w, b.unsqueeze(-1)], -1) - expected).abs().max()) <= allowed


def test_linear_regression_of_equal_columns_is_the_one_of_least_norm() -> None:
    x = draw(20, 1)
    w, _ = linear_regression(torch.cat([x, x], -1), 2 * x + 1)
    assert torch.allclose(w, torch.ones(1, 2, dtype=F64), rtol=gamma(1000, F64), atol=0)


def test_the_parts_of_the_error_add_up() -> None:
    predictions, targets = draw(7, 5), draw(4, 5, seed=1)
    parts = bias_variance(predictions, targets)
    error = (predictions[:, None] - targets).pow(2).mean((0, 1))
    # Every mean sums at most 28 squares, or 7, of numbers below 3 that are first centred: below 40 roundings of 40.
    assert bool(((parts.bias**2 + parts.variance + parts.noise - error).abs() <= gamma(40, F64) * 40).all())


def test_the_parts_of_the_error_by_hand() -> None:
    predictions = torch.tensor([[1.0, 4.0], [3.0, 4.0]], dtype=F64)
    bias, variance, noise = bias_variance(predictions, torch.tensor([[0.0, 5.0], [2.0, 5.0]], dtype=F64))
    assert bias.tolist() == [1.0, -1.0]
    assert variance.tolist() == [1.0, 0.0]
    assert noise.tolist() == [1.0, 0.0]
    assert bias_variance(predictions, predictions[:1]).noise.tolist() == [0.0, 0.0]
    assert bias_variance(draw(3, 7, 5), draw(1, 5)).variance.shape == (3, 5)


# what is planted: the function, the right expression and the wrong one, and the test that must fail
PLANTED: dict[str, tuple[Callable[..., object], str, str, Callable[[], None]]] = {
    "variance divided by one less": (
        bias_variance,
        "predictions.var(-2, correction=0)",
        "predictions.var(-2, correction=1)",
        test_the_parts_of_the_error_add_up,
    ),
    "noise forgotten": (
        bias_variance,
        "targets.var(-2, correction=0)",
        "0 * targets[..., 0, :]",
        test_the_parts_of_the_error_add_up,
    ),
    "bias of the first model": (
        bias_variance,
        "predictions.mean(-2)",
        "predictions[..., 0, :]",
        test_the_parts_of_the_error_add_up,
    ),
    "spread in the place of variance": (
        bias_variance,
        "predictions.var(",
        "predictions.std(",
        test_the_parts_of_the_error_add_up,
    ),
    "a power too few": (
        polynomial_fit,
        "_powers(x, degree)",
        "_powers(x, degree - 1)",
        test_a_polynomial_is_found_again_by_every_replica,
    ),
    "powers of a point nearby": (
        polynomial_fit,
        "_powers(x, degree)",
        "_powers(x + 1e-9, degree)",
        test_a_polynomial_is_found_again_by_every_replica,
    ),
    "inputs not centred": (
        linear_regression,
        "x - at_x,",
        "x,",
        test_linear_regression_agrees_with_a_column_of_ones,
    ),
    "bias without the mean input": (
        linear_regression,
        "at_y - at_x @ w.mT",
        "at_y",
        test_linear_regression_agrees_with_a_column_of_ones,
    ),
    "a bias that skips the next layer": (
        collapsed_network,
        "dense_forward(b.unsqueeze(-2), next_w)[0].squeeze(-2)",
        "torch.zeros_like(next_b)",
        test_a_network_without_activation_is_one_layer,
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_mistake_is_caught(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function, right, wrong, check = PLANTED[what]
    monkeypatch.setitem(globals(), function.__name__, mutant(function, right, wrong))
    with pytest.raises((AssertionError, RuntimeError)):
        check()


CLOUD, CLASSES = draw(60, 3), (draw(60, 3)[:, 0] * draw(60, 3)[:, 1] > 0).long() + 2 * (draw(60, 3)[:, 2] > 1)
FRESH = draw(500, 3, seed=1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("depth", [1, 2, 5, 30])
def test_a_tree_answers_as_the_one_of_the_library(depth: int, dtype: torch.dtype) -> None:
    tree = decision_tree(CLOUD.to(dtype), CLASSES, depth=depth)
    library = DecisionTreeClassifier(max_depth=depth, random_state=0).fit(CLOUD.numpy(), CLASSES.numpy())
    assert tree.depth <= depth
    assert tree_answers(tree, FRESH.to(dtype)).dtype == dtype
    expected = torch.from_numpy(library.predict_proba(FRESH.numpy())).to(dtype)
    assert torch.equal(tree_answers(tree, FRESH.to(dtype)), expected)


def test_a_tree_of_numbers_answers_as_the_one_of_the_library() -> None:
    for y in (draw(60, seed=2), draw(60, 2, seed=2)):
        library = DecisionTreeRegressor(max_depth=3, random_state=0).fit(CLOUD.numpy(), y.numpy())
        expected = torch.from_numpy(library.predict(FRESH.numpy())).reshape(500, -1)
        assert torch.equal(tree_answers(decision_tree(CLOUD, y, depth=3), FRESH), expected)


def test_a_label_that_nobody_has_gets_no_share() -> None:
    tree = decision_tree(CLOUD, 3 * (CLOUD[:, 1] > 0).long(), depth=2)
    assert tree.attribute.tolist() == [1, -1, -1]
    assert torch.equal(tree_answers(tree, CLOUD).argmax(-1), 3 * (CLOUD[:, 1] > 0).long())
    assert tree_answers(tree, CLOUD)[:, 1:3].sum() == 0


def test_a_tree_of_one_class_is_a_leaf() -> None:
    tree = decision_tree(CLOUD, torch.ones(60, dtype=torch.long), depth=2)
    assert tree_answers(tree, CLOUD).tolist() == [[0.0, 1.0]] * 60


def test_a_tree_that_is_walked_wrongly_is_caught() -> None:
    tree = decision_tree(CLOUD, CLASSES, depth=3)
    wrong: dict[str, Tree] = {
        "sides exchanged": tree._replace(left=tree.right, right=tree.left),
        "stops a level early": tree._replace(depth=tree.depth - 1),
        "threshold moved": tree._replace(threshold=tree.threshold + 0.1),
    }
    sound = tree_answers(tree, FRESH)
    assert [name for name, other in wrong.items() if torch.equal(tree_answers(other, FRESH), sound)] == []


REFUSED = {
    "points that differ": (lambda: bias_variance(draw(3, 4), draw(1, 5)), "shapes that do not fit"),
    "no model": (lambda: bias_variance(draw(0, 4), draw(1, 4)), "r >= 1"),
    "no axis of models": (lambda: bias_variance(draw(4), draw(1, 4)), "at least 2 axes"),
    "replicas that do not fit": (lambda: bias_variance(draw(2, 3, 4), draw(3, 1, 4)), "broadcast"),
    "no coefficient": (lambda: polynomial(draw(3), draw(0)), "no coefficient"),
    "integer coefficients": (lambda: polynomial(draw(3), draw(2).long()), "w is torch.int64"),
    "a negative degree": (lambda: polynomial_fit(draw(3), draw(3), degree=-1), "degree >= 0"),
    "labels for other points": (lambda: polynomial_fit(draw(3), draw(4), degree=1), "do not fit"),
    "a label that is no number": (lambda: polynomial_fit(draw(3), draw(3) / 0 * 0, degree=1), "finite x and y"),
    "cases that differ": (lambda: linear_regression(draw(3, 2), draw(4, 1)), "cases that do not fit"),
    "no case": (lambda: linear_regression(draw(0, 2), draw(0, 1)), "n >= 1"),
    "an infinite input": (lambda: linear_regression(draw(3, 2) / 0, draw(3, 1)), "finite x and y"),
    "a weight without bias": (lambda: linear_network(X, LAYERS[0]), "pairs"),
    "no layer": (lambda: linear_network(X), "pairs"),
    "a bias without weight": (lambda: collapsed_network(None, LAYERS[1]), "a weight may not"),
    "layers that do not fit": (lambda: linear_network(X, *LAYERS[:2], *LAYERS[4:]), "features that do not fit"),
    "layers that cannot collapse": (lambda: collapsed_network(*LAYERS[:2], *LAYERS[4:]), "features that do not fit"),
    "a tree without depth": (lambda: decision_tree(CLOUD, CLASSES, depth=0), "depth >= 1"),
    "a tree of other cases": (lambda: decision_tree(CLOUD, CLASSES[1:], depth=1), "cases that do not fit"),
    "a tree of no case": (lambda: decision_tree(CLOUD[:0], CLASSES[:0], depth=1), "n >= 1"),
    "labels in a matrix": (lambda: decision_tree(CLOUD, CLASSES[:, None], depth=1), r"y \(n\) of integers"),
    "a single label": (lambda: decision_tree(CLOUD[:1], CLASSES[0], depth=1), "do not fit"),
    "a negative label": (lambda: decision_tree(CLOUD, CLASSES - 1, depth=1), "labels >= 0"),
    "an attribute beyond float32": (lambda: decision_tree(CLOUD * 1e39, CLASSES, depth=1), "finite in float32"),
    "fewer attributes": (lambda: tree_answers(decision_tree(CLOUD, CLASSES, depth=1), CLOUD[:, :2]), r"\(n, 3\)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_bad_input_is_refused(what: str) -> None:
    call, message = REFUSED[what]
    with pytest.raises(ValueError, match=message):
        call()
