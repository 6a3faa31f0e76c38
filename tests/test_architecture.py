"""The doors between the rooms: who may import whom. Every forbidden edge is printed."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("reference", "assay", "claims", "subjects")
STANDARD = {"reference": {"torch"}, "claims": {"assay", "torch", "sympy"}, "subjects": {"assay", "reference", "torch"}}
# What one module may import beyond its room, because its matter cannot be written without.
OF_ONE_MODULE = {
    "reference/trees.py": {"sklearn"},  # growing a decision tree is no arithmetic of tensors, and is done well there
    # processes: starting, ending, waiting for and talking to them
    "reference/ranks.py": {
        "atexit", "datetime", "io", "multiprocessing", "pickle", "signal", "subprocess", "time", "traceback",
    },
}  # fmt: skip
SMALL_STANDARD_LIBRARY = {
    "__future__", "collections", "dataclasses", "enum", "functools", "importlib", "itertools", "math", "pkgutil", "typing", "os", "sys",
    "tempfile", "contextlib",
}  # fmt: skip


def imports_of(source: str, package: str) -> set[tuple[str, int]]:
    """The top-level names that a module imports, with the line; relative imports stay inside their package."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {(alias.name, node.lineno) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((package if node.level else node.module or "", node.lineno))
    return found


def forbidden(room: str, source: str, module: str = "") -> list[str]:
    """The edges out of `room` that the architecture does not allow."""
    edges = []
    for name, line in sorted(imports_of(source, room)):
        top = name.partition(".")[0]
        if room == "assay":
            if top in ("reference", "claims", "subjects", "tests", "benchmarks"):
                edges.append(f"line {line}: assay -> {top}")
        elif top != room and top not in STANDARD[room] | SMALL_STANDARD_LIBRARY | OF_ONE_MODULE.get(module, set()):
            edges.append(f"line {line}: {room} -> {top}")
    return edges


@pytest.mark.parametrize("room", ROOMS)
def test_no_forbidden_import(room: str) -> None:
    edges = [
        f"{path.relative_to(ROOT)} {edge}"
        for path in sorted((ROOT / room).rglob("*.py"))
        for edge in forbidden(room, path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
    ]
    assert edges == [], "\n".join(edges)


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("claims", "from reference.softmax import softmax"),
        ("reference", "import assay"),
        ("reference", "import numpy as np"),
        ("reference", "from sklearn.tree import DecisionTreeClassifier"),
        ("assay", "from claims import lab"),
        ("assay", "import reference.layers"),
        ("subjects", "import claims.lab"),
    ],
)
def test_a_planted_edge_is_seen(room: str, source: str) -> None:
    assert forbidden(room, source)


def edges_within(package: str) -> dict[str, set[str]]:
    """Who imports whom inside a package, as dotted names; imports for type checkers and inside functions count too."""
    files = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: inner_imports(path.read_text(encoding="utf-8"), set(files)) - {name} for name, path in files.items()}


def inner_imports(source: str, modules: set[str]) -> set[str]:
    """Those of `modules` that a source imports: `from package import module` is an import of the module."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & modules or {node.module}
    return found & modules


def circle(edges: dict[str, set[str]]) -> list[str]:
    """The modules that lie on or behind a circle: what is left after taking away, again and again, whoever imports nothing left."""
    left = {name: set(targets) for name, targets in edges.items()}
    while free := [name for name, targets in left.items() if not targets & left.keys()]:
        for name in free:
            del left[name]
    return sorted(left)


def test_the_gradient_checker_has_no_circle_of_imports() -> None:
    edges = edges_within("assay/gradients")
    assert len(edges) > 20
    assert circle(edges) == []


def test_a_planted_circle_is_seen() -> None:
    modules = {"p", "p.one", "p.two", "p.three"}
    lazy = inner_imports("def f():\n    from p.one import g\n    return g", modules)
    assert lazy == {"p.one"}
    assert inner_imports("from p import two", modules) == {"p.two"}
    assert circle({"p.one": {"p.two"}, "p.two": lazy, "p.three": set()}) == ["p.one", "p.two"]
    assert circle({"p.one": {"p.two"}, "p.two": {"p.three"}, "p.three": set()}) == []


def test_no_room_is_called_utils() -> None:
    banned = {"utils", "helpers", "common"}
    assert [p for room in ROOMS for p in (ROOT / room).rglob("*") if p.stem in banned] == []


def test_modules_stay_small() -> None:
    """Never over 400 lines: a longer one holds two matters."""
    long = {
        str(p.relative_to(ROOT)): n
        for room in ROOMS
        for p in (ROOT / room).rglob("*.py")
        if (n := p.read_text().count("\n")) > 400
    }
    assert long == {}
