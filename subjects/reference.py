"""The subject `reference`: our own components. Every public name (`__all__`) of a module of `reference/` is a role."""

import importlib
import pkgutil

import reference
from assay.subject import Subject


def _roles() -> dict[str, object]:
    modules = (importlib.import_module(f"reference.{info.name}") for info in pkgutil.iter_modules(reference.__path__))
    return {name: getattr(module, name) for module in modules for name in getattr(module, "__all__", ())}


subject = Subject("reference", _roles(), about="this repository's components, each backward derived by hand")
