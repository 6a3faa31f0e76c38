"""Does any verdict depend on the seed? Every sampled claim under 200 seeds; the last result is kept in results/seeds.json.

    python -m benchmarks.seeds [--first 1] [--last 200] [--subject reference] [--workers 2] [ID ...]

Every claim that draws from `trial` is run, whether or not its evidence spends false-alarm probability. Only the claim is run, not its
controls: the question is whether the verdict flips. Results are kept per claim as they come, so an interrupted run goes on where it
stopped, and with a larger --last it adds the missing seeds; a claim that has changed is run again.
"""

from __future__ import annotations

import argparse
import ast
import functools
import hashlib
import inspect
import json
import multiprocessing
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

from assay.claim import Claim
from assay.config import load_config
from assay.execute import decide
from assay.measure import Conditions
from assay.registry import choose, load_claims
from assay.subject import load_subjects

RESULT = Path(__file__).parent / "results" / "seeds.json"


def fingerprint(claim: Claim) -> str:
    """Changes when the claim changes, or anything of its module that it uses; comments and layout do not count."""
    module = ast.parse(inspect.getsource(inspect.getmodule(claim.check)))
    defined = {name: node for node in module.body for name in _names_bound_by(node)}
    used, waiting = set[ast.stmt](), [defined[claim.check.__name__]]
    while waiting:
        node = waiting.pop()
        used.add(node)
        names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)} & defined.keys()
        waiting += [defined[name] for name in names if defined[name] not in used]
    source = "\n".join(ast.unparse(node) for node in module.body if node in used)
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _names_bound_by(node: ast.stmt) -> list[str]:
    """What a statement of a module defines: functions, classes, constants; imports are left to the modules behind them."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)]


def verdicts(task: tuple[str, str, int, int, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """The verdicts of one claim over the seeds, added to those already known, and the seeds of all but the commonest."""
    torch.set_num_threads(1)
    claim_id, subject, first, last, known = task
    config = load_config()
    claim = load_claims(config.claims_folder, config.claims)[claim_id]
    played = load_subjects(config.subjects)[subject]
    started, seeds = time.perf_counter(), known.get("seeds", 0)
    found = {seed: known["differ"].get(str(seed), known["verdict"]) for seed in range(first, first + seeds)}
    for seed in range(first + seeds, last + 1):
        found[seed] = decide(claim, played, Conditions(seed=seed, examples=10), {}, "claim", shrink=False).verdict
    commonest = Counter(found.values()).most_common(1)[0][0]
    return claim_id, {
        "verdict": commonest,
        "seeds": len(found),
        "differ": {str(seed): verdict for seed, verdict in found.items() if verdict != commonest},
        "seconds": round(known.get("seconds", 0.0) + time.perf_counter() - started, 1),
        "source": fingerprint(claim),
    }


@functools.cache
def seconds_of_last_run() -> dict[str, float]:
    """How long each claim took in the last `assay run`, if its results are still there."""
    path = Path("reports/results.json")
    return {c["id"]: c["seconds"] for c in json.loads(path.read_text())["claims"]} if path.is_file() else {}


def sampled(claim: Claim, subject: Any) -> bool:
    """Whether the claim's evidence depends on the run's seed through `trial`."""
    return claim.wants_trial and not subject.missing(claim.needs) and not claim.given


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ids", nargs="*")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--last", type=int, default=200)
    parser.add_argument("--subject", default="reference")
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    config = load_config()
    claims, subject = load_claims(config.claims_folder, config.claims), load_subjects(config.subjects)[asked.subject]
    ids = choose(asked.ids, claims, []) if asked.ids else list(claims)
    kept = json.loads(RESULT.read_text()) if RESULT.is_file() else {}
    same_run = kept.get("seeds", [None])[0] == asked.first and kept.get("subject") == asked.subject
    done = {
        cid: found
        for cid, found in kept.get("claims", {}).items()
        if same_run and cid in claims and found["source"] == fingerprint(claims[cid])
    }
    todo = [
        (cid, asked.subject, asked.first, asked.last, done.get(cid, {}))
        for cid in ids
        if sampled(claims[cid], subject) and done.get(cid, {}).get("seeds", 0) <= asked.last - asked.first
    ]
    todo.sort(
        key=lambda task: seconds_of_last_run().get(task[0], 0.0)
    )  # an interrupted sweep has then covered the most claims
    with multiprocessing.get_context("spawn").Pool(asked.workers) as pool:
        for count, (claim_id, found) in enumerate(pool.imap_unordered(verdicts, todo), 1):
            done[claim_id] = found
            print(
                f"{count}/{len(todo)} {claim_id}: {found['verdict']}, {len(found['differ'])} differ, {found['seconds']} s",
                flush=True,
            )
            result = {
                "seeds": [asked.first, asked.last],
                "subject": asked.subject,
                "torch": torch.__version__,
                "claims": dict(sorted(done.items())),
            }
            RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    differ = {cid: found["differ"] for cid, found in done.items() if found["differ"]}
    print(f"{len(done)} sampled claims, seeds {asked.first} to {asked.last}: {len(differ)} with a verdict that differs")
    for claim_id, odd in differ.items():
        print(f"  {claim_id}: {odd}")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
