"""The subject `torch`: the same roles, played by torch.nn, torch.nn.functional, torch.nn.init and torch.optim.

Every public name (`__all__`) of a module here is a role, with the signature of the reference's role of that name.
"""

import importlib
import pkgutil

from assay.subject import Subject


def _roles() -> dict[str, object]:
    modules = (importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__))
    return {name: getattr(module, name) for module in modules for name in module.__all__}


subject = Subject("torch", _roles(), about="torch's own layers, functions, initialisers and optimisers")
