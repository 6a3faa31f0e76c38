"""The subject `torch`: the same roles, played by torch.nn, torch.nn.functional, torch.nn.init and torch.optim.

Every public name (`__all__`) of a module here is a role, with the signature of the reference's role of that name.
"""

import sys

from assay.subject import Subject, public_roles

subject = Subject(
    "torch", public_roles(sys.modules[__name__]), about="torch's own layers, functions, initialisers and optimisers"
)
