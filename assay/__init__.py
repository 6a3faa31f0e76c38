"""Assay puts what people say about deep learning to the test, and checks gradients.

The public names; each is imported when it is first used, so that `import assay` and the pytest plugin stay light. What a
claim is written with is in `assay.claim`, `assay.evidence`, `assay.strategies` and `assay.decide.proofs`.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Evidence": "evidence",
    "Subject": "subject",
    "AssayError": "errors",
    "check_gradient": "gradients",
    "explore_gradient": "gradients",
    "check_module": "gradients",
    "assert_gradients": "gradients",
    "GradientReport": "gradients",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module assay has no attribute {name!r}, expected one of {', '.join(__all__)}")
    return getattr(import_module(f"assay.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
