"""A subject to copy: three roles written out as a student might. Rename the file and the subject, then replace and add functions.

A role has the name and the signature of the reference's component of that name (docs/components). What is not here is
counted as unsupported and not failed.
"""

from __future__ import annotations

import torch

from assay.subject import Subject


def relu(z: torch.Tensor) -> torch.Tensor:
    """z (...) -> y (...)"""
    return torch.where(z > 0, z, torch.zeros_like(z))


def dropout(x: torch.Tensor, p: float, *, generator: torch.Generator, training: bool = True) -> torch.Tensor:
    """x (...) -> y (...): each entry is zero with probability p, and what stays is enlarged to keep the mean."""
    if not training:
        return x
    kept = torch.rand(x.shape, generator=generator, dtype=torch.float64, device=generator.device) >= p
    return torch.where(kept, x / (1 - p), torch.zeros_like(x))


def max_norm(w: torch.Tensor, *, c: float) -> torch.Tensor:
    """w (..., out, in) -> y (..., out, in): rows longer than c are shortened to length c."""
    length = torch.linalg.vector_norm(w, dim=-1, keepdim=True)
    return torch.where(length > c, w * (c / length), w)


subject = Subject(
    "student_template",
    {"relu": relu, "dropout": dropout, "max_norm": max_norm},
    about="a template for code of your own",
)
