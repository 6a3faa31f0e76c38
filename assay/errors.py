"""The exceptions of Assay. A message says: subject, what is wrong, measured, expected, where, what to do."""

from __future__ import annotations


class AssayError(Exception):
    """Anything that Assay refuses or cannot do. Shown as one line at the command line, exit status 2."""


class UsageError(AssayError):
    """A request that names something that does not exist: an id, a subject, a device, a file."""


class ClaimError(AssayError):
    """A claim's header or its evidence is not well formed; raised when the claim's module is imported."""


class LedgerError(AssayError):
    """The ledger of statements is not well formed."""


class SubjectError(AssayError):
    """A subject is not well formed, or a claim used a role that it did not declare."""


class GradientError(AssayError):
    """A gradient disagrees with the measured derivative, or could not be checked (`GradientReport.require`)."""


class GradientInputError(AssayError):
    """What was given to the gradient checker cannot be checked: not callable, no tensor, no differentiable input."""
