"""Where claims, subjects and the ledger are: by configured name, never by import. Read from [tool.assay] in pyproject.toml."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from assay.errors import UsageError


@dataclass(frozen=True)
class Config:
    """Names of the packages that hold claims and subjects; `root` is where pyproject.toml was found."""

    claims: str = "claims"
    subjects: str = "subjects"
    root: Path = Path()

    @property
    def claims_folder(self) -> Path:
        """The folder of the claims package."""
        spec = importlib.util.find_spec(self.claims)
        if spec is None or not spec.submodule_search_locations:
            raise UsageError(
                f"package {self.claims} was not found, expected a package of claims; set claims in [tool.assay] of pyproject.toml"
            )
        return Path(next(iter(spec.submodule_search_locations))).resolve()

    @property
    def ledger(self) -> Path:
        return self.claims_folder / "ledger.yaml"

    @property
    def record(self) -> Path:
        return self.claims_folder / "recorded.json"


def load_config(start: Path | None = None) -> Config:
    """The configuration of the nearest pyproject.toml with a [tool.assay] table, at or above `start`; else the defaults."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        path = folder / "pyproject.toml"
        if path.is_file():
            table = _table(path)
            if table is not None:
                if str(folder) not in sys.path:
                    sys.path.insert(0, str(folder))
                return Config(table.get("claims", "claims"), table.get("subjects", "subjects"), folder)
    return Config(root=here)


def _table(path: Path) -> dict[str, str] | None:
    try:
        table: dict[str, str] | None = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("assay")
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or not TOML
        raise UsageError(f"file {path} cannot be read: {error}; mend it") from error
    return table
