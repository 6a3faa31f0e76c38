"""The subject `reference`: our own components, forward and hand-derived backward."""

from assay.subject import Subject

subject = Subject("reference", {}, about="this repository's components, each backward derived by hand")
