"""Where the numbers of a benchmark go: a JSON file with what they were measured on."""

from __future__ import annotations

import datetime
import json
import platform
from pathlib import Path
from typing import Any

import torch

FOLDER = Path(__file__).resolve().parent.parent / "results"


def write(name: str, rows: Any, **summary: Any) -> Path:
    """Write benchmarks/results/gradients-<name>.json."""
    path = FOLDER / f"gradients-{name}.json"
    FOLDER.mkdir(exist_ok=True)
    measured = {
        "benchmark": f"gradients-{name}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": platform.machine(),
        "threads": torch.get_num_threads(),
        **summary,
        "rows": rows,
    }
    path.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    return path
