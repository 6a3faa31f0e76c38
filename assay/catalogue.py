"""All claims and all statements of a project: chosen for a run, and described in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from assay.claim import Claim
from assay.config import Config
from assay.errors import ClaimError, UsageError
from assay.ledger import Ledger, Statement, load_ledger
from assay.registry import choose, load_claims, nearest, with_corrections
from assay.results import load_record


@dataclass(frozen=True)
class Catalogue:
    """All claims and all statements; `record` holds the verdicts of an earlier run by claim id and subject."""

    claims: dict[str, Claim]
    ledger: Ledger
    record: Mapping[str, str]

    @classmethod
    def load(cls, config: Config) -> Catalogue:
        claims, ledger = load_claims(config.claims_folder, config.claims), load_ledger(config.ledger)
        for claim in claims.values():
            for sid in claim.statements:
                ledger.topic_of(sid)
                if not ledger.statements[sid].executable:
                    raise ClaimError(
                        f"claim {claim.id} decides {sid}, which is not executable: {ledger.statements[sid].reason}; mend the ledger or the claim"
                    )
        return cls(claims, ledger, load_record(config.record))

    def topics(self) -> set[str]:
        return {statement.topic for statement in self.ledger.statements.values()}

    def select(self, words: list[str], topics: Iterable[str]) -> list[str]:
        """The claim ids that these words and topics mean, corrections included; all without words."""
        ids = choose(words, self.claims, self.ledger.statements) if words else list(self.claims)
        for topic in topics:
            if topic not in self.topics():
                raise UsageError(f"topic {topic} is unknown; nearest: {', '.join(nearest(topic, self.topics()))}")
        if topics:
            ids = [cid for cid in ids if self._topics_of(self.claims[cid]) & set(topics)]
        return with_corrections(ids, self.claims)

    def _topics_of(self, claim: Claim) -> set[str]:
        return {self.ledger.topic_of(sid) for sid in claim.statements}

    def describe(self, word: str) -> Iterator[str]:
        """Lines about a question and its statements, a statement and its claims, or the claims of this id or name."""
        statements = self.ledger.statements
        asked = [s for s in statements.values() if s.id.rpartition(".")[0] == word]
        if asked:
            yield f"{word}: {self._question(asked[0])}"
            for statement in asked:
                yield from self._stated(statement)
                yield from (f"  {self._in_short(claim)}" for claim in self._about(statement.id))
            return
        if word in statements:
            yield from self._stated(statements[word])
        claims = self._about(word) or [c for c in self.claims.values() if word in (c.id, c.name)]
        if not claims and word not in statements:
            choose([word], self.claims, statements)  # says which ids are near
        for claim in claims:
            yield ""
            yield from self._in_full(claim)

    def _about(self, statement_id: str) -> list[Claim]:
        return [claim for claim in self.claims.values() if statement_id in claim.statements]

    def _question(self, statement: Statement) -> str:
        document = self.ledger.documents.get(statement.document, {})
        titles = {str(number): title for number, title in document.get("questions", {}).items()}
        return str(titles.get(str(statement.question), statement.document))

    def _stated(self, statement: Statement) -> Iterator[str]:
        yield f"{statement.id} ({statement.topic}, {statement.kind}): {statement.statement}"
        if not statement.executable:
            yield f"  not executable: {statement.reason}"
        elif not self._about(statement.id):
            yield "  undecided: no claim yet"

    def _in_short(self, claim: Claim) -> str:
        return f"{claim.id}: {self._recorded(claim) or 'not recorded'}"

    def _recorded(self, claim: Claim) -> str:
        found = [
            (key.rpartition(" on ")[2], verdict)
            for key, verdict in self.record.items()
            if key.startswith(f"{claim.id} on ")
        ]
        return ", ".join(f"{verdict} on {subject}" for subject, verdict in found)

    def _in_full(self, claim: Claim) -> Iterator[str]:
        expect = claim.expect
        yield claim.id
        yield f"  {claim.sentence}"
        yield f"  predicted: {expect.verdict}; roles: {', '.join(claim.needs) or 'none'}"
        labelled = {
            "recorded": self._recorded(claim), "reading": claim.reading, "covers": claim.covers, "condition": expect.boundary,
            "instead": expect.instead, "shown by": expect.by, "controls": "; ".join(claim.controls),
        }  # fmt: skip
        yield from (f"  {label}: {text}" for label, text in labelled.items() if text)
        yield from (f"  {line.strip()}" for line in claim.docstring.splitlines() if line.strip())
