"""The subject `reference`: our own components. Every public name (`__all__`) of a module of `reference/` is a role."""

import reference
from assay.subject import Subject, public_roles

subject = Subject(
    "reference", public_roles(reference), about="this repository's components, each backward derived by hand"
)
