"""A claim: an executable proposition about an implementation, with the header that says what is said, by whom and on what domain.

    @claim(
        "gfg-16.2", "Softmax turns any logits into a probability vector.",
        needs=["softmax"],
        given={"z": tensors(shapes(1, 2), reals(-1e4, 1e4))},
        expect=HOLDS,
        sabotage={"forgets to divide": {"softmax": lambda sound: lambda z: z.exp()}},
    )
    def softmax_is_a_distribution(lib, z):
        \"\"\"Reading: for every finite z, p >= 0 and the rows sum to one.\"\"\"

The decorated function becomes a `Claim`. A header that is not well formed is refused when its module is imported.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hypothesis.strategies import SearchStrategy

from assay.errors import ClaimError
from assay.evidence import Evidence

Verdict = Literal["holds", "refuted", "conditional", "inconclusive", "unsupported"]
Check = Callable[..., Evidence]
Edits = Mapping[
    str, Callable[..., Any]
]  # role, drawn value or setting -> its replacement made from the sound one; "where" -> a filter
Cases = Sequence[Mapping[str, Any]]

STATEMENT_ID = r"[a-z]+-\d+\.\d+"
CORRECTION = "what is true instead"
AS_STATED = "as stated"
DEFAULT_LIMIT = 120.0
KINDS = ("", "existence", "tendency", "comparative")


@dataclass(frozen=True)
class Expectation:
    """What the author predicts. The measured verdict never depends on it, except that a declared boundary is run on both sides."""

    verdict: Literal["holds", "refuted", "conditional"]
    instead: str = ""
    by: str = ""
    boundary: str = ""
    within: Edits = field(default_factory=dict)
    beyond: Edits = field(default_factory=dict)


HOLDS = Expectation("holds")


def REFUTED(*, instead: str, by: str = "") -> Expectation:  # noqa: N802 - reads as a constant beside HOLDS
    """False as the document says it; `instead` is the true sentence, `by` names the claim that shows it."""
    return Expectation("refuted", instead=instead, by=by)


def CONDITIONAL(  # noqa: N802 - reads as a constant beside HOLDS
    boundary: str, *, within: Edits | Callable[..., bool], beyond: Edits | None = None
) -> Expectation:
    """Holds within the boundary and is refuted beyond it; both sides are run.

    `within` is a predicate over the drawn values (beyond is then its complement), or edits of values and settings for each side.
    """
    if callable(within):
        inside = within
        return Expectation(
            "conditional", boundary=boundary, within={"where": inside}, beyond={"where": lambda **v: not inside(**v)}
        )
    return Expectation("conditional", boundary=boundary, within=within, beyond=beyond or {})


@dataclass(frozen=True)
class Claim:
    """One validated header and its check; see `claim` for the fields."""

    statement_id: str
    sentence: str
    check: Check
    needs: tuple[str, ...]
    expect: Expectation
    controls: Mapping[str, Edits]
    given: Mapping[str, SearchStrategy[Any]]
    cases: Cases
    setting: Mapping[str, Any]
    also: tuple[str, ...]
    reading: str
    covers: str
    kind: str
    exhaustive: bool
    limit: float
    differs: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.check.__name__

    @property
    def id(self) -> str:
        return f"{self.statement_id}:{self.name}"

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")

    @property
    def docstring(self) -> str:
        return inspect.cleandoc(self.check.__doc__ or "")

    @property
    def statements(self) -> tuple[str, ...]:
        return (self.statement_id, *self.also)

    @property
    def wants_trial(self) -> bool:
        return "trial" in inspect.signature(self.check).parameters


def claim(
    statement_id: str,
    sentence: str,
    *,
    needs: Iterable[str],
    expect: Expectation,
    sabotage: Mapping[str, Edits],
    given: Mapping[str, SearchStrategy[Any]] | None = None,
    cases: Iterable[Mapping[str, Any]] | None = None,
    setting: Mapping[str, Any] | None = None,
    also: Iterable[str] = (),
    reading: str = AS_STATED,
    covers: str = "",
    kind: str = "",
    exhaustive: bool = False,
    limit: float = DEFAULT_LIMIT,
    differs: Mapping[str, str] | None = None,
) -> Callable[[Check], Claim]:
    """Declare a claim about a statement.

    statement_id  the statement that it decides; `also` names further statements with the same meaning
    sentence      the claim in one sentence
    needs         the roles that the check may use through `lib`
    given         Hypothesis strategies of the drawn values (property-tested); or
    cases         dicts of values, from small to large; or neither (one run, or sampled through `trial`)
    exhaustive    the cases are the whole domain that the reading names, not a choice from it: this sets the grade
    setting       constants that a control or a boundary may change: sizes, rates, formulas
    expect        HOLDS, REFUTED(instead=, by=) or CONDITIONAL(boundary, within=, beyond=)
    sabotage      controls: name -> edits; each must turn the verdict round (for a refuted claim: the repair)
    reading       which reading of the statement this is; claims of different readings are not merged. CORRECTION: decides nothing
                  about the statement, shows what is true instead
    covers        the part of the statement's domain that this claim covers, in words, where several claims share a reading
    kind          overrides the kind that the header implies: "existence", "tendency", "comparative"
    limit         seconds after which the claim is reported as hung
    differs       subject name -> why this subject is known to differ from the textbook (reported, not failed)
    """

    for field_name, words in (("needs", needs), ("also", also)):
        if isinstance(words, str):  # a string is an iterable too, of letters
            raise ClaimError(
                f"claim {statement_id} has {field_name}={words!r}, expected a list of names; write {field_name}=[{words!r}]"
            )

    def decorate(check: Check) -> Claim:
        if isinstance(vars(sys.modules[check.__module__]).get(check.__name__), Claim):
            raise ClaimError(
                f"claim {statement_id} uses the name {check.__name__} again in {check.__module__}; choose another function name"
            )
        made = Claim(
            statement_id, sentence, check, tuple(needs), expect, dict(sabotage), dict(given or {}), tuple(cases or ()),
            dict(setting or {}), tuple(also), reading, covers, kind, exhaustive, limit, dict(differs or {}),
        )  # fmt: skip
        _validate(made, cases is not None)
        return made

    return decorate


def _validate(made: Claim, has_cases: bool) -> None:
    """Refuse a header that cannot work, with the id and what to write instead."""
    where = f"claim {made.statement_id} ({made.check.__name__})"
    for sid in made.statements:
        if not re.fullmatch(STATEMENT_ID, sid):
            raise ClaimError(
                f"{where} has a malformed statement id: {sid!r}, expected document-question.number; write for example 'gfg-16.2'"
            )
    if not made.sentence.rstrip().endswith((".", "?")):
        raise ClaimError(
            f"{where} has no sentence: {made.sentence!r}, expected one that ends with a full stop; write what is claimed"
        )
    if "Reading:" not in made.docstring:
        raise ClaimError(
            f"{where} has no reading; begin its docstring with 'Reading:' and the precise form of the claim"
        )
    if made.given and has_cases:
        raise ClaimError(
            f"{where} has both given and cases, expected one; draw values with given=, or list the whole domain with cases="
        )
    if made.exhaustive and not has_cases:
        raise ClaimError(
            f"{where} is exhaustive without cases; list the whole domain with cases=, or leave exhaustive out"
        )
    if has_cases and not made.cases:
        raise ClaimError(f"{where} has no cases: its domain is empty; list at least one case")
    if not isinstance(made.expect, Expectation):
        raise ClaimError(
            f"{where} has expect={made.expect!r}; write HOLDS, REFUTED(instead=..., by=...) or CONDITIONAL(boundary, within=...)"
        )
    if made.expect.verdict == "refuted" and not made.expect.instead:
        raise ClaimError(
            f"{where} is expected to be refuted but says nothing true; write REFUTED(instead='the correct statement', by='claim_name')"
        )
    _validate_words(made, where)
    _validate_parameters(made, where)
    _validate_edits(made, where)


def _validate_words(made: Claim, where: str) -> None:
    """Fields that are filled in and still say nothing, or not what the field is for."""
    expect = made.expect
    wrong = {
        f"limit={made.limit!r}, expected seconds above zero": not isinstance(made.limit, (int, float))
        or made.limit <= 0,
        f"kind={made.kind!r}, expected one of {', '.join(KINDS[1:])}, or none": made.kind not in KINDS,
        "an empty reading; leave it out, or say which reading it is": not made.reading.strip(),
        "CONDITIONAL without words; write CONDITIONAL('the kernel is odd', ...)": expect.verdict == "conditional"
        and not expect.boundary.strip(),
        "itself as its correction; by= names the claim that shows what is true": expect.by == made.name,
        "a statement twice; name it once": len(set(made.statements)) < len(made.statements),
    }
    for complaint, found in wrong.items():
        if found:
            raise ClaimError(f"{where} has {complaint}")


def _value_names(made: Claim) -> list[str]:
    drawn = list(made.given) or (list(made.cases[0]) if made.cases else [])
    return drawn + list(made.setting)


def _validate_parameters(made: Claim, where: str) -> None:
    parameters = list(inspect.signature(made.check).parameters)
    if parameters[:1] != ["lib"]:
        raise ClaimError(f"{where} takes {parameters}, expected lib first; write def {made.check.__name__}(lib, ...)")
    wanted = sorted(_value_names(made))
    got = sorted(p for p in parameters[1:] if p != "trial")
    if got != wanted:
        raise ClaimError(
            f"{where} takes the values {got}, expected {wanted} from given, cases and setting; make the two lists equal"
        )
    if any(sorted(case) != sorted(made.cases[0]) for case in made.cases):
        raise ClaimError(f"{where} has cases with different names, expected {sorted(made.cases[0])} in each")


def _validate_edits(made: Claim, where: str) -> None:
    if not made.controls:
        raise ClaimError(
            f"{where} has no control; add sabotage={{'what it does wrong': {{role or value: lambda sound: ...}}}}"
        )
    editable = {*made.needs, *_value_names(made), "where"}
    groups = {**made.controls, "within": made.expect.within, "beyond": made.expect.beyond}
    for name, edits in groups.items():
        if not edits and name in made.controls:
            raise ClaimError(f"{where} has an empty control: {name!r}; edit a role, a value or 'where'")
        for key, edit in edits.items():
            if key not in editable:
                raise ClaimError(
                    f"{where} edits {key!r} in {name!r}, expected one of {sorted(editable)}; declare it in needs, given, cases or setting"
                )
            if not callable(edit):
                raise ClaimError(
                    f"{where} edits {key!r} in {name!r} with {edit!r}, expected a function of the sound one; write lambda sound: ..."
                )
