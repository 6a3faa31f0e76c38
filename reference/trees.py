"""Decision trees: grown by scikit-learn, kept as tensors, and asked here."""

from __future__ import annotations

from typing import NamedTuple

import torch

from reference.checks import require_floating, require_values

__all__ = ["decision_tree", "tree_answers"]


class Tree(NamedTuple):
    """A binary tree of m nodes, the root first; a case goes left where its attribute is <= the threshold.

    attribute, left, right (m) of integers, -1 at a leaf; threshold (m); value (m, k), the answer of each node; depth, the
    longest way down; width, the number of attributes that a case has.
    """

    attribute: torch.Tensor
    threshold: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    value: torch.Tensor
    depth: int
    width: int


def decision_tree(x: torch.Tensor, y: torch.Tensor, *, depth: int) -> Tree:
    """A decision tree of at most the given depth: of classes if y holds integers, of numbers if it holds reals.

    Shapes: x (n, d), y (n) of labels or (n, k) of numbers -> a tree of m <= 2^(depth + 1) - 1 nodes
    (1) each node takes the attribute and the threshold that lower most the Gini impurity of the labels, or the squared
        distance of the numbers from their mean, in its two halves
    (2) a leaf answers with the shares of the labels 0 .. max, or with the mean of the numbers, of the cases that reach it
    Conventions: greedy, without pruning; attributes are rounded to float32; which of equally good splits is taken is
        arbitrary but always the same; the growing happens on the CPU, the tree comes back on the device of x.
    Errors: ValueError if the cases differ, there are none, depth < 1, a label is negative or a value not finite.
    Example:
        tree = decision_tree(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1]), depth=2)
        tree.threshold[0].item() == 0.5 and tree.depth == 1
    Asked: ib-28.6, ib-28.7, ib-28.8, ib-28.9
    Source: Breiman, Friedman, Olshen, Stone, Classification and Regression Trees (1984); scikit-learn grows it.
    """
    _check(x, y, depth)
    # Loading scikit-learn takes a second or two, and whoever never grows a tree should not wait for it.
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    kind = DecisionTreeRegressor if y.is_floating_point() else DecisionTreeClassifier
    labels = y.detach().cpu().to(torch.float64 if y.is_floating_point() else torch.long)
    grown = kind(max_depth=depth, random_state=0).fit(x.detach().cpu().to(torch.float32).numpy(), labels.numpy())  # (1)
    found = torch.from_numpy(grown.tree_.value.copy())  # (m, k, 1) of numbers, (m, 1, labels seen) of classes
    value = found[..., 0]
    if not y.is_floating_point():
        value = found.new_zeros(len(found), int(y.max()) + 1)
        value[:, torch.from_numpy(grown.classes_).long()] = found[:, 0]  # (2)
    columns = (grown.tree_.feature, grown.tree_.threshold, grown.tree_.children_left, grown.tree_.children_right)
    attribute, threshold, left, right = (torch.from_numpy(c.copy()).to(x.device) for c in columns)
    return Tree(attribute.clamp_min(-1), threshold, left, right, value.to(x), grown.get_depth(), x.shape[1])


def _check(x: torch.Tensor, y: torch.Tensor, depth: int) -> None:
    require_floating("decision_tree", x=x)
    axes = 2 if y.is_floating_point() else 1
    if x.dim() != 2 or 0 in x.shape or x.shape[:1] != y.shape[:1] or y.dim() > axes:
        raise ValueError(
            f"decision_tree got cases that do not fit: x {tuple(x.shape)}, y {tuple(y.shape)} {y.dtype}, expected "
            "x (n, d) with n >= 1 and d >= 1, and y (n) of integers or (n, k) of reals"
        )
    if depth < 1:
        raise ValueError(f"decision_tree got a depth out of range: {depth}, expected depth >= 1")
    require_values("decision_tree", "x that is finite in float32", x.to(torch.float32).isfinite())
    require_values("decision_tree", "finite numbers, or labels >= 0", y.isfinite() & (y.is_floating_point() | (y >= 0)))


def tree_answers(tree: Tree, x: torch.Tensor) -> torch.Tensor:
    """What a decision tree answers: for each case the value of the leaf that it reaches.

    Shapes: x (n, d) -> y (n, k), shares of k classes or k numbers
    (1) from the root on, go left where x[attribute] <= threshold, else right, and stay at a leaf
    Conventions: attributes are rounded to float32, as when the tree was grown; no gradient reaches x.
    Errors: ValueError if x has another number of attributes than the cases of which the tree was grown.
    Example:
        tree = decision_tree(torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1]), depth=1)
        tree_answers(tree, torch.tensor([[9.0]])).tolist() == [[0.0, 1.0]]
    Asked: ib-28.7
    Source: Breiman, Friedman, Olshen, Stone, Classification and Regression Trees (1984).
    """
    require_floating("tree_answers", x=x)
    if x.dim() != 2 or x.shape[1] != tree.width:
        raise ValueError(
            f"tree_answers got cases that do not fit: x {tuple(x.shape)}, expected (n, {tree.width}), "
            "as wide as the cases of which the tree was grown"
        )
    rounded = x.detach().to(torch.float32).to(tree.threshold.dtype)
    at = torch.zeros(len(x), dtype=torch.long, device=x.device)
    for _ in range(tree.depth):
        asked = rounded.gather(1, tree.attribute[at].clamp_min(0).unsqueeze(1)).squeeze(1)
        down = torch.where(asked <= tree.threshold[at], tree.left[at], tree.right[at])
        at = torch.where(tree.attribute[at] < 0, at, down)  # (1)
    return tree.value[at]
