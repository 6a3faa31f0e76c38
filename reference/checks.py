"""What every component asks of its input before any work; a refusal is a ValueError in the house form."""

from __future__ import annotations

import torch


def require_floating(name: str, **tensors: torch.Tensor | None) -> None:
    """Every tensor given by name has a real floating dtype; None stands for an optional tensor left out."""
    for argument, tensor in tensors.items():
        if tensor is not None and not tensor.is_floating_point():
            raise ValueError(
                f"{name} got integers: {argument} is {tensor.dtype}, expected a floating dtype; "
                "convert it with .to(...)"
            )


def require_dims(name: str, least: int, **tensors: torch.Tensor) -> None:
    """Every tensor given by name has at least `least` axes."""
    for argument, tensor in tensors.items():
        if tensor.dim() < least:
            raise ValueError(
                f"{name} got too few axes: {argument} has shape {tuple(tensor.shape)}, "
                f"expected at least {least} axes; add the missing axis"
            )


def require_axis(name: str, tensor: torch.Tensor, dim: int) -> None:
    """`dim` is an axis of the tensor and has at least one entry."""
    if not -tensor.dim() <= dim < tensor.dim():
        raise ValueError(
            f"{name} got an axis that is not there: dim={dim} of shape {tuple(tensor.shape)}, "
            f"expected -{tensor.dim()} <= dim < {tensor.dim()}"
        )
    if tensor.shape[dim] == 0:
        raise ValueError(
            f"{name} got an empty axis: dim={dim} of shape {tuple(tensor.shape)}, expected at least one entry"
        )


def require_broadcast(name: str, *shapes: torch.Size | tuple[int, ...]) -> torch.Size:
    """The common shape of all shapes."""
    try:
        return torch.broadcast_shapes(*shapes)
    except RuntimeError:
        shown = ", ".join(str(tuple(shape)) for shape in shapes)
        raise ValueError(f"{name} got shapes that do not fit: {shown}, expected shapes that broadcast") from None


def require_choice(name: str, argument: str, value: str, choices: tuple[str, ...]) -> None:
    """`value` is one of the words in `choices`."""
    if value not in choices:
        raise ValueError(f"{name} got an unknown {argument}: {value!r}, expected one of {', '.join(choices)}")


def require_values(name: str, what: str, right: torch.Tensor) -> None:
    """All entries of the boolean tensor `right` are true.

    Only values that can be read without waiting are looked at: on an accelerator and under vmap the check is left
    out, and the component says in its conventions what it returns there.
    """
    if right.device.type != "cpu":
        return
    try:
        wrong = int((~right).sum())
    except RuntimeError:  # under vmap no single value exists to be read
        return
    if wrong:
        raise ValueError(
            f"{name} got values out of range: {wrong} of {right.numel()}, expected {what}; mend them first"
        )
