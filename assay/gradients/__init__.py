"""The gradient checker: is a hand-written backward right, and if not, where, by how much, and what does it look like?"""

from assay.gradients.check import check_gradient
from assay.gradients.report import Entry, Finding, GradientReport, InputEntries

__all__ = ["Entry", "Finding", "GradientReport", "InputEntries", "check_gradient"]
