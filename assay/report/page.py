"""What stands on the page, computed from results.json: counts, indexes, the run's gaps, a view of each statement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.report.words import VERDICTS

Result = Mapping[str, Any]
TROUBLE = ("surprising", "toothless", "error")


@dataclass(frozen=True)
class Evidence:
    """One claim on the deciding subject, and the same claim on the others."""

    claim: Result
    others: tuple[Result, ...]
    home: bool  # shown in full here; elsewhere only a line that leads here


@dataclass(frozen=True)
class Entry:
    """One statement with its claims, and what the filters need to know about it."""

    statement: Result
    evidence: tuple[Evidence, ...]

    @property
    def grades(self) -> list[str]:
        return sorted({e.claim["grade"] for e in self.evidence})

    @property
    def subjects(self) -> list[str]:
        """The subjects that it was decided on; 'differs' if two of them came out differently."""
        runs = [run for e in self.evidence for run in (e.claim, *e.others) if run["verdict"] != "unsupported"]
        names = sorted({run["subject"] for run in runs})
        differs = any(o["verdict"] not in (e.claim["verdict"], "unsupported") for e in self.evidence for o in e.others)
        return [*names, "*differs"] if differs else names


@dataclass(frozen=True)
class Question:
    number: str
    title: str
    entries: list[Entry]


@dataclass(frozen=True)
class Document:
    key: str
    title: str
    questions: list[Question]

    @property
    def entries(self) -> list[Entry]:
        return [entry for question in self.questions for entry in question.entries]


@dataclass(frozen=True)
class Page:
    """Everything that the template prints."""

    run: Result
    documents: list[Document]
    topics: dict[str, list[Entry]]
    claims: list[Result]
    links: dict[str, str] = field(default_factory=dict)  # statement id -> its sentence

    @property
    def entries(self) -> list[Entry]:
        return [entry for document in self.documents for entry in document.entries]

    @property
    def executed(self) -> int:
        return sum(bool(entry.evidence) for entry in self.entries)

    @property
    def controls(self) -> int:
        """How many controls ran on the deciding subject, where they must turn the verdict."""
        return sum(len(e.claim["controls"]) for entry in self.entries for e in entry.evidence if e.home)

    @property
    def turned(self) -> int:
        return sum(k["turned"] for entry in self.entries for e in entry.evidence if e.home for k in e.claim["controls"])

    @property
    def trouble(self) -> list[Result]:
        """Claims that make the run fail; a known difference of another subject is reported, not failed."""
        return [c for c in self.claims if c["status"] in TROUBLE and not c["differs"]]


def build(results: Result) -> Page:
    """The page of a results document."""
    runs: dict[str, list[Result]] = {}
    for claim in results["claims"]:
        runs.setdefault(claim["id"], []).append(claim)
    entries = [_entry(statement, runs, results["run"]["subjects"][0]) for statement in results["statements"]]
    topics: dict[str, list[Entry]] = {}
    for entry in entries:
        topics.setdefault(entry.statement["topic"], []).append(entry)
    links = {entry.statement["id"]: entry.statement["statement"] for entry in entries}
    return Page(
        results["run"], _documents(results, entries), dict(sorted(topics.items())), list(results["claims"]), links
    )


def _entry(statement: Result, runs: Mapping[str, list[Result]], deciding: str) -> Entry:
    evidence = []
    for claim_id in statement["claims"]:
        main = next((run for run in runs[claim_id] if run["subject"] == deciding), runs[claim_id][0])
        others = tuple(run for run in runs[claim_id] if run is not main)
        evidence.append(Evidence(main, others, main["statement_id"] == statement["id"]))
    evidence.sort(key=lambda e: (e.claim["reading"] == "what is true instead", not e.home))
    return Entry(statement, tuple(evidence))


def _documents(results: Result, entries: list[Entry]) -> list[Document]:
    """All documents with all their questions, also those that nothing was found to say about."""
    titles: dict[str, Mapping[str, Any]] = {str(key): value for key, value in results["documents"].items()}
    for entry in entries:
        titles.setdefault(entry.statement["document"], {"title": entry.statement["document"], "questions": {}})
    made = []
    for key, document in titles.items():
        mine: dict[str, list[Entry]] = {str(number): [] for number in document["questions"]}
        for entry in entries:
            if entry.statement["document"] == key:
                mine.setdefault(str(entry.statement["question"]), []).append(entry)
        names = {str(number): title for number, title in document["questions"].items()}
        questions = [Question(number, names.get(number, ""), mine[number]) for number in sorted(mine, key=int)]
        made.append(Document(key, document["title"], questions))
    return made


def count(entries: list[Entry]) -> dict[str, int]:
    """Statements by verdict, in the report's order, zeros included."""
    counted = Counter(entry.statement["verdict"] for entry in entries)
    return {verdict: counted[verdict] for verdict in VERDICTS}


def unchecked(page: Page) -> list[str]:
    """What this run did not check, in sentences computed from its results."""
    said = _not_run(page)
    open_ones = [e for e in page.entries if e.statement["verdict"] == "undecided" and not e.statement.get("not_run")]
    waiting = Counter(e.statement["topic"] for e in open_ones if not e.evidence)
    if waiting:
        listed = ", ".join(f"{topic} {n}" for topic, n in waiting.most_common())
        said.append(f"{waiting.total()} executable statements have no claim yet ({listed}).")
    undecided = sum(bool(e.evidence) for e in open_ones)
    if undecided:
        said.append(f"{undecided} statements have claims, but the evidence did not decide.")
    never = count(page.entries)["not-executable"]
    if never:
        said.append(f"{never} statements have nothing to run; each gives its reason.")
    return said + _limits(page)


def _not_run(page: Page) -> list[str]:
    """A run that ended early, or that was limited to some claims."""
    run, said = page.run, []
    if run["partial"]:
        total = run.get("total_claims") or "an unknown number of"
        said.append(f"The run ended early: {len(page.claims)} of {total} results are there, the rest is missing.")
    if run.get("total_claims") and run.get("selected_claims", 0) < run.get("known_claims", 0):
        said.append(f"This run was limited to {run['selected_claims']} of {run['known_claims']} claims.")
    waiting = sum(bool(e.statement.get("not_run")) for e in page.entries)
    if waiting:
        said.append(f"{waiting} statements have claims that were not run, and are undecided here.")
    return said


def _limits(page: Page) -> list[str]:
    said = []
    properties = sum(c["grade"] == "property" and c["verdict"] != "unsupported" for c in page.claims)
    if properties:
        examples = page.run.get("examples")
        drawn = f"{examples} drawn inputs each" if examples else "drawn inputs"
        said.append(f"{properties} results are property tests on {drawn}: what no drawn input showed is not excluded.")
    for subject in page.run["subjects"]:
        missing = len({c["id"] for c in page.claims if c["subject"] == subject and c["verdict"] == "unsupported"})
        if missing:
            said.append(f"{missing} claims could not be put to {subject}, which does not offer what they need.")
    other = "a GPU" if page.run["device"] == "cpu" else "the CPU"
    said.append(
        f"Everything ran on {page.run['device']} with the one seed {page.run['seed']}; nothing was run on {other}."
    )
    return said
