"""The gradient checker: is a hand-written backward right, and if not, where, by how much, and what does it look like?"""

from assay.gradients.check import check_gradient
from assay.gradients.explore import explore_gradient
from assay.gradients.module import check_module
from assay.gradients.records import Entry, Finding, InputEntries
from assay.gradients.report import GradientReport
from assay.gradients.testing import assert_gradients

__all__ = [
    "Entry",
    "Finding",
    "GradientReport",
    "InputEntries",
    "assert_gradients",
    "check_gradient",
    "check_module",
    "explore_gradient",
]
