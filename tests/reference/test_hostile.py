"""Inputs that people do not think of, in every component: finite where the mathematics is finite, refused in words where
there is nothing to compute, and never a silent wrong answer.

Large and tiny are 2^±400 times the case's numbers in float64, 2^±50 in float32: their squares are still numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
import torch

from assay.evidence import gamma
from reference.differentiable import Differentiable
from tests.reference.protocol import DTYPES, Case, draw
from tests.reference.registry import CASES, cases_of, components, fullest
from tests.reference.test_gradients import checked

POWER = {torch.float64: 400, torch.float32: 50}
Change = Callable[[torch.Tensor], torch.Tensor]
HOUSE = re.compile(r"^\S.*(: | got ).*, expected ", re.DOTALL)


def changed(case: Case, change: Change) -> Case:
    return case.within([t if t is None or not t.is_floating_point() else change(t) for t in case.inputs])


def single(case: Case) -> Case:
    """Every axis of every input has one entry."""
    return case.within([None if t is None else t[tuple(slice(0, 1) for _ in t.shape)] for t in case.inputs])


HOSTILE: dict[str, Callable[[Case], Case]] = {
    "large": lambda case: changed(case, lambda t: t * 2.0 ** POWER[t.dtype]),
    "tiny": lambda case: changed(case, lambda t: t * 2.0 ** -POWER[t.dtype]),
    "zeros": lambda case: changed(case, torch.zeros_like),
    "ties": lambda case: changed(case, lambda t: torch.full_like(t, 0.5)),
    "one-element axes": single,
    "one sample": lambda case: case.only(1),
    "empty batch": lambda case: case.only(0),
}
BEYOND = "its value is larger than every number of the dtype"
PROBABILITIES = "no probabilities"
CONSTANT = "a constant feature has no scale"
WINDOW = "the settings name a window or a rectangle larger than the image"
CORNERS = "a box has four corners, and an anchor an area"
CLASSES = "a label names a class that is not there any more"
GATES = "a state of one unit needs several rows of gates"
MEAN = "the mean of no case is no number"
LOG = "the slope by the target is the logarithm of 0"
# Where the outcome is not finite, and why. What is refused is refused with ValueError; what is not finite is not finite
# in the independent oracle either.
UNUSUAL: dict[str, dict[str, str]] = {
    "large": {
        "boltzmann.joint_energy": BEYOND,
        "capacity.linear_network": BEYOND,
        "capacity.polynomial": BEYOND,
        "detection.decode_boxes": BEYOND,
        "generative.gaussian_divergence": BEYOND,
        "generative.reparameterise": BEYOND,
        "transfer.correlation_alignment": BEYOND,
        "boxes.dice_loss": PROBABILITIES,
        "losses.binary_cross_entropy": PROBABILITIES,
        "losses.binary_cross_entropy_with_logits": PROBABILITIES,
        "losses.categorical_cross_entropy": PROBABILITIES,
        "losses.kl_divergence": PROBABILITIES,
    },
    "tiny": {},
    "zeros": {
        "detection.encode_boxes": CORNERS,
        "detection.decode_boxes": CORNERS,
        "losses.binary_cross_entropy": LOG,
        "losses.categorical_cross_entropy": LOG,
        "losses.kl_divergence": LOG,
        "normalization.min_max": CONSTANT,
        "normalization.mean_normalisation": CONSTANT,
        "normalization.z_score": CONSTANT,
        "radial.radial_basis": "a width of 0",
    },
    "ties": {
        "detection.encode_boxes": CORNERS,
        "detection.decode_boxes": CORNERS,
        "normalization.min_max": CONSTANT,
        "normalization.mean_normalisation": CONSTANT,
        "normalization.z_score": CONSTANT,
    },
    "one-element axes": {
        "augmentation.crop": WINDOW,
        "boxes.box_area": CORNERS,
        "boxes.intersection_over_union": CORNERS,
        "detection.encode_boxes": CORNERS,
        "detection.decode_boxes": CORNERS,
        "detection.detection_loss": CORNERS,
        "layers.embedding": CLASSES,
        "normalization.min_max": CONSTANT,
        "normalization.mean_normalisation": CONSTANT,
        "normalization.z_score": CONSTANT,
        "pooling.max_pool2d": WINDOW,
        "pooling.average_pool2d": WINDOW,
        "recurrent.lstm_states": GATES,
        "recurrent.gru": GATES,
        "segmentation.segmentation_loss": CLASSES,
        "transfer.class_prototypes": CLASSES,
        "transfer.correlation_alignment": "one case has no covariance",
    },
    "one sample": {
        "normalization.min_max": CONSTANT,
        "normalization.mean_normalisation": CONSTANT,
        "normalization.z_score": CONSTANT,
    },
    "empty batch": {
        "generative.discriminator_loss": MEAN,
        "generative.generator_loss": MEAN,
        "normalization.batch_norm": MEAN,
        "normalization.min_max": CONSTANT,
        "normalization.mean_normalisation": CONSTANT,
        "normalization.z_score": CONSTANT,
    },
}
CELLS = [(name, kind) for name in components() for kind in HOSTILE]


def results(f: Callable[..., torch.Tensor], case: Case) -> Iterator[torch.Tensor]:
    """The value and the gradients at a random cotangent."""
    tensors = [
        t.detach().clone().requires_grad_() if t is not None and t.is_floating_point() and k not in case.constant else t
        for k, t in enumerate(case.inputs)
    ]
    y = f(*tensors, **case.hyper)
    yield y.detach()
    leaves = [t for t in tensors if t is not None and t.requires_grad]
    yield from torch.autograd.grad(y, leaves, draw(*y.shape, seed=3, dtype=y.dtype))


def outcome(f: Callable[..., torch.Tensor], case: Case) -> str:
    """ "finite", "not finite", or the words of a refusal."""
    try:
        return "finite" if all(bool(t.isfinite().all()) for t in results(f, case)) else "not finite"
    except ValueError as refusal:
        return str(refusal)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("name", "kind"), CELLS)
def test_finite_where_the_mathematics_is_finite(name: str, kind: str, dtype: torch.dtype) -> None:
    case = fullest(components()[name])
    case = HOSTILE[kind](case.within(case.cast(dtype)))
    found = outcome(case.component, case)
    assert (found != "finite") == (name in UNUSUAL[kind])
    if found == "not finite":
        assert outcome(case.oracle, case) != "finite"
    elif found != "finite":
        assert HOUSE.match(found), found


def test_the_list_of_what_is_unusual_names_components() -> None:
    assert {name for names in UNUSUAL.values() for name in names} <= set(components())
    assert set(UNUSUAL) == set(HOSTILE)


def test_a_value_that_overflows_on_the_way_is_seen() -> None:
    """The root of a sum of squares of large numbers is finite, but not its squares."""
    naive = Differentiable(
        lambda x: ((x.square().sum(-1) * 2.0**400).sqrt(), (x,)), lambda saved, dy: (dy.unsqueeze(-1) * saved[0],)
    )
    case = Case(naive, (draw(3, 4),), lambda x: torch.linalg.vector_norm(x, dim=-1) * 2.0**200)
    assert outcome(naive, HOSTILE["large"](case)) == "not finite"
    assert outcome(case.oracle, HOSTILE["large"](case)) == "finite"


SMOOTH = [name for name in components() if all(case.kinks is None for case in cases_of(components()[name]).values())]
SINGULAR = {
    ("boxes.box_area", "zeros"): "a box without sides lies at the edge of the domain",
    ("boxes.box_area", "ties"): "a box without sides lies at the edge of the domain",
    ("embeddings.unit_length", "zeros"): "a vector of no length has no direction",
}


@pytest.mark.parametrize("kind", ["zeros", "ties"])
@pytest.mark.parametrize("name", SMOOTH)
def test_a_component_without_declared_kinks_has_none_at_zeros_and_ties(name: str, kind: str) -> None:
    case = HOSTILE[kind](fullest(components()[name]))
    if name not in UNUSUAL[kind]:
        report = checked(case, variations=False)
        assert report.verdict == ("unresolved" if (name, kind) in SINGULAR else "agrees"), report.explain()


def test_an_undeclared_kink_is_seen() -> None:
    case = CASES["activations: relu"]
    assert checked(HOSTILE["zeros"](case), variations=False).verdict == "kink"


LAYOUTS: dict[str, Change] = {
    "every second entry": lambda t: torch.stack([t, t], -1)[..., 0],
    "axes exchanged": lambda t: t.mT.contiguous().mT if t.dim() > 1 else t,
    "expanded": lambda t: t[:1].expand(t.shape) if t.dim() else t,
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", components())
def test_the_layout_in_memory_changes_nothing(name: str, layout: str) -> None:
    """Value and gradients are those of the same numbers lying side by side, up to another order of the sums."""
    case = fullest(components()[name])
    laid = changed(case, LAYOUTS[layout])
    whole = changed(laid, lambda t: t.clone(memory_format=torch.contiguous_format))
    try:
        expected = list(results(case.component, whole))
    except ValueError:  # the same sample over and over: features that are constant, boxes that are empty
        with pytest.raises(ValueError, match="expected"):
            list(results(case.component, laid))
        return
    for found, right in zip(results(case.component, laid), expected, strict=True):
        size = case.scale + float(right.abs().max())
        assert bool(((found - right).abs() <= gamma(4 * case.roundings, torch.float64) * size * right.numel()).all())


def replaced(case: Case, k: int, value: torch.Tensor) -> Case:
    return case.within([value if j == k else t for j, t in enumerate(case.inputs)])


def bad(case: Case) -> Iterator[tuple[str, Case]]:
    """Every input in turn with a dtype, a rank or a size that others do not fit."""
    for k, t in enumerate(case.inputs):
        if t is None:
            continue
        if t.is_floating_point():
            yield f"input {k} of integers", replaced(case, k, torch.ones_like(t).long())
            yield f"input {k} of complex numbers", replaced(case, k, t.to(torch.complex128))
        else:
            yield f"input {k} of reals", replaced(case, k, t.double())
        yield f"input {k} a number", replaced(case, k, t.flatten()[0])
        yield f"input {k} with one axis more", replaced(case, k, torch.stack([t, t, t]))
        yield f"input {k} longer", replaced(case, k, torch.cat([t, t[:1]]))
        yield f"input {k} wider", replaced(case, k, torch.cat([t, t[..., :1]], -1))
        if t.dim() > 1:
            yield f"input {k} with one axis less", replaced(case, k, t[0])


def attempted(case: Case) -> torch.Tensor | str:
    """The value, or the words of a refusal."""
    try:
        return case.component(*case.inputs, **case.hyper)
    except ValueError as refusal:
        return str(refusal)


BEYOND_THE_ORACLE = {"transfer.correlation_alignment": "takes leading axes, which torch.cov does not"}


@pytest.mark.parametrize("name", components())
def test_bad_input_is_refused_in_words_or_has_a_meaning(name: str) -> None:
    """Of another dtype: always refused. Of another shape: refused, or what the oracle says of it."""
    for words, case in bad(fullest(components()[name])):
        found = attempted(case)
        if isinstance(found, str):
            assert HOUSE.match(found), f"{words}: {found}"
            continue
        assert not words.endswith(("of integers", "of complex numbers", "of reals")), words
        if name in BEYOND_THE_ORACLE:
            continue
        expected = case.oracle(*case.inputs, **case.hyper)
        allowed = gamma(case.roundings, torch.float64) * (case.scale + expected.abs()) * max(1, found.numel())
        assert found.shape == expected.shape, words
        assert bool(((found - expected).abs() <= allowed).all()), words


@pytest.mark.parametrize("name", CASES)
def test_no_value_is_waited_for(name: str) -> None:
    """Tensors of the meta device have no values: whoever reads one, or makes a tensor elsewhere, fails.

    What `require_values` asks of values is asked on the CPU alone, where nothing has to be waited for; on an accelerator
    the component says in its conventions what it returns instead.
    """
    case = CASES[name]
    y, _ = case.component.forward(*case.inputs, **case.hyper)
    found, saved = case.component.forward(*[None if t is None else t.to("meta") for t in case.inputs], **case.hyper)
    assert found.shape == y.shape
    for dx in case.component.backward(saved, torch.empty_like(found), **case.hyper):
        assert dx is None or dx.device.type == "meta"


def test_a_value_that_is_waited_for_is_seen() -> None:
    for waits in (
        lambda z: z / float(z.max()),
        lambda z: z if z.sum() > 0 else -z,
        lambda z: z[z > 0],
        lambda z: z + torch.ones(3),
    ):
        with pytest.raises((RuntimeError, NotImplementedError)):
            waits(torch.empty(3, device="meta"))
