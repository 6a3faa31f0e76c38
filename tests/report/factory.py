"""Synthetic results of a run, of any size and with any text, in the shape of results.json."""

from __future__ import annotations

import copy
import math
import random
from typing import Any

TOPICS = ("convolution", "initialization", "optimizers", "regularization", "attention", "losses")
QUESTIONS = {"gfg": 56, "ib": 36}
TITLES = {"gfg": "Fifty-six questions", "ib": "Thirty-six questions"}
GRADES = ("proved", "exhaustive", "property", "statistical", "empirical")

Result = dict[str, Any]


def fact(
    what: str = "the row sums differ from one by",
    measured: float | None = 0.4,
    allowed: float | None = 1.0,
    **changes: Any,
) -> Result:
    made = {
        "what": what,
        "measured": measured,
        "allowed": allowed,
        "outcome": "holds",
        "why": "6 roundings in float32",
        "method": "exact",
        "detail": {},
        "side": "",
    }
    return made | changes


def figure(points: int = 9, count: int = 1, **changes: Any) -> Result:
    x = [float(16 * 2**k) if points <= 12 else float(k) for k in range(points)]
    lines = []
    for s in range(count):
        y = [0.5 + (s + 1) * math.cos(k) / (k + 1) for k in range(points)]
        lines.append(
            {
                "name": f"line {s + 1}",
                "y": y,
                "low": [v - 1 / (k + 1) for k, v in enumerate(y)],
                "high": [v + 1 / (k + 1) for k, v in enumerate(y)],
            }
        )
    made = {
        "title": "share of units kept",
        "x_label": "samples",
        "y_label": "estimate",
        "x": x,
        "series": lines,
        "marks": [[0.5, "claimed"], [0.49, "smallest that still counts"], [0.51, "largest that still counts"]],
        "log_x": points <= 12,
        "log_y": False,
        "side": "",
    }
    return made | changes


def control(**changes: Any) -> Result:
    made = {
        "name": "forgets to divide",
        "turned": True,
        "verdict": "refuted",
        "why": "",
        "fact": {key: value for key, value in fact(measured=3.0, outcome="fails").items() if key != "side"},
        "false_alarm": 0.0,
    }
    return made | changes


def claim(statement_id: str = "gfg-1.1", name: str = "softmax_sums_to_one", **changes: Any) -> Result:
    made = {
        "id": f"{statement_id}:{name}",
        "name": name,
        "statement_id": statement_id,
        "also": [],
        "topic": "losses",
        "sentence": "Softmax turns any logits into a probability vector.",
        "reading": "as stated",
        "covers": "",
        "docstring": "Reading: for every finite z, `p >= 0` and the rows sum to one.\nWhy: each exp is positive.",
        "kind": "universal",
        "grade": "property",
        "subject": "reference",
        "needs": ["softmax"],
        "expect": "holds",
        "instead": "",
        "by": "",
        "boundary": "",
        "differs": "",
        "verdict": "holds",
        "status": "as-predicted",
        "problem": "",
        "facts": [fact()],
        "figures": [],
        "cases": 100,
        "samples": 0,
        "seen": {"z": "41 shapes up to (8, 16), entries from -10000 to 10000"},
        "counterexample": None,
        "controls": [control()],
        "false_alarm": 0.0,
        "detects": "",
        "seconds": 0.12,
        "reproduce": f"assay run {statement_id}:{name} --subject reference --seed 0 --device cpu",
    }
    return made | changes


def refuted(statement_id: str, name: str, **changes: Any) -> Result:
    made = claim(
        statement_id,
        name,
        verdict="refuted",
        expect="refuted",
        instead="It holds for odd kernels only.",
        by="odd_kernels_keep_the_size",
        facts=[fact("the sizes differ by", 1.0, 0.0, outcome="fails", why="equality is exact")],
        counterexample={
            "values": {"n": "3", "k": "2", "p": "(k - 1) // 2"},
            "fact": "the sizes differ by",
            "measured": 1.0,
            "allowed": 0.0,
        },
        controls=[control(name="odd kernels only", verdict="holds")],
    )
    return made | changes


def proved(statement_id: str, name: str, **changes: Any) -> Result:
    detail = {
        "engine": "z3 4.15.0",
        "obligation": "for all n ∈ ℤ, k ∈ ℤ: And(n >= k, k >= 1) ⟹ (n - k)/s + 1 >= 1",
        "confirmed_on": 412,
    }
    made = claim(
        statement_id,
        name,
        grade="proved",
        kind="formula",
        seen={},
        facts=[fact("the formula has a counterexample", 0.0, 0.0, method="proof", detail=detail, why="unsatisfiable")],
    )
    return made | changes


def statistical(statement_id: str, name: str, **changes: Any) -> Result:
    detail = {"n": 4096, "low": 0.495, "high": 0.507, "claimed": 0.5, "detects": 0.01, "looks": 5, "alpha": 2e-8}
    sampled = fact(
        "share of units kept", 0.007, 0.01, method="sampled", detail=detail, why="Clopper-Pearson interval, exact"
    )
    made = claim(
        statement_id,
        name,
        grade="statistical",
        kind="statistical",
        cases=1,
        samples=4096,
        seen={},
        facts=[sampled],
        figures=[figure()],
        false_alarm=2e-8,
        detects="share of units kept: 0.01",
    )
    return made | changes


def conditional(statement_id: str, name: str, **changes: Any) -> Result:
    facts = [fact(side="within"), fact(measured=4.0, outcome="fails", side="beyond")]
    made = claim(
        statement_id,
        name,
        verdict="conditional",
        expect="conditional",
        boundary="the kernel is odd",
        facts=facts,
        counterexample={"values": {"k": "2"}, "fact": facts[1]["what"], "measured": 4.0, "allowed": 1.0},
        grade="empirical",
        kind="tendency",
        figures=[figure(40, 3, log_x=False, marks=[])],
    )
    return made | changes


def statement(statement_id: str = "gfg-1.1", **changes: Any) -> Result:
    document, _, rest = statement_id.partition("-")
    made = {
        "id": statement_id,
        "document": document,
        "question": int(rest.split(".")[0]),
        "topic": "losses",
        "statement": "Softmax makes probabilities of scores.",
        "kind": "universal",
        "executable": True,
        "verdict": "undecided",
        "reason": "no claim yet",
        "correct": "",
        "readings": [],
        "claims": [],
        "related": [],
    }
    return made | changes


def results(statements: list[Result], claims: list[Result], **run: Any) -> Result:
    base = {
        "seed": 0,
        "device": "cpu",
        "subjects": ["reference", "torch"],
        "wall_seconds": 81.2,
        "false_alarm_bound": 4.2e-6,
        "environment": {"python": "3.11.2", "platform": "linux", "device_name": "x86_64", "torch": "2.13.0"},
        "partial": False,
        "started": "2026-01-02T03:04:05Z",
        "examples": 100,
        "total_claims": len(claims),
    }
    documents = {
        key: {
            "title": TITLES[key],
            "questions": {str(q): f"What is question {q} of this guide about?" for q in range(1, last + 1)},
        }
        for key, last in QUESTIONS.items()
    }
    return {"run": base | run, "documents": documents, "statements": statements, "claims": claims}


def decided(entry: Result, claims: list[Result], verdict: str, **changes: Any) -> Result:
    """A statement with its claims attached."""
    ids = [c["id"] for c in claims if c["subject"] == "reference"]
    readings = [{"reading": "as stated", "verdict": verdict if verdict != "ambiguous" else "holds", "claims": ids}]
    return entry | {"verdict": verdict, "reason": "", "claims": ids, "readings": readings} | changes


def synthetic(count: int = 800, executed: float = 0.5, seed: int = 7) -> Result:
    """A run with `count` statements over both documents, a share of them with claims on two subjects."""
    draw = random.Random(seed)
    slots = [(document, q) for document, last in QUESTIONS.items() for q in range(1, last + 1) if q % 17]
    statements: list[Result] = []
    claims: list[Result] = []
    numbers: dict[tuple[str, int], int] = {}
    for k in range(count):
        document, question = slots[k * len(slots) // count]
        numbers[document, question] = number = numbers.get((document, question), 0) + 1
        entry = statement(f"{document}-{question}.{number}", topic=draw.choice(TOPICS), statement=_sentence(draw))
        if statements:
            entry["related"] = [draw.choice(statements)["id"]]
        made = _executed(entry["id"], entry["topic"], k) if draw.random() < executed else []
        claims += made
        statements.append(_judged(entry, made, draw))
    return results(statements, claims)


def _sentence(draw: random.Random) -> str:
    words = (
        "weights",
        "dropout",
        "the learning rate",
        "a deeper net",
        "padding",
        "the gradient",
        "batch size",
        "softmax",
        "momentum",
        "a kernel",
    )
    verbs = ("keeps", "doubles", "shrinks", "preserves", "never changes", "speeds up", "regularises")
    first, then = (f"{draw.choice(words)} {draw.choice(verbs)} {draw.choice(words)}" for _ in range(2))
    return f"{first} when {then}.".capitalize()


def _executed(statement_id: str, topic: str, k: int) -> list[Result]:
    makers = (claim, proved, statistical, refuted, conditional)
    made = makers[k % len(makers)](statement_id, f"claim_number_{k}", topic=topic)
    other = copy.deepcopy(made) | {"subject": "torch", "reproduce": made["reproduce"].replace("reference", "torch")}
    if k % 7 == 0:
        other |= {
            "verdict": "unsupported",
            "status": "unsupported",
            "problem": "roles not offered: softmax",
            "facts": [],
            "controls": [],
        }
    return [made, other]


def _judged(entry: Result, claims: list[Result], draw: random.Random) -> Result:
    if not claims:
        return (
            entry
            if draw.random() < 0.7
            else entry
            | {"executable": False, "verdict": "not-executable", "reason": "a matter of history, nothing to run"}
        )
    verdict = claims[0]["verdict"]
    if verdict == "conditional":
        verdict = draw.choice(("conditional", "ambiguous"))
    correct = claims[0]["instead"] if verdict == "refuted" else ""
    reason = {"conditional": "holds where the kernel is odd", "ambiguous": "as stated: holds; strictly: refuted"}.get(
        verdict, ""
    )
    return decided(entry, claims, verdict, correct=correct, reason=reason)
