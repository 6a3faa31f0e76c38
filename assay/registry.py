"""All claims of a package: found by walking its modules, checked for unique names, and chosen by id."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from assay.claim import Claim
from assay.errors import AssayError, ClaimError, UsageError


def module_names(folder: Path, package: str) -> list[str]:
    """The dotted names of every module below the claims folder, in order."""
    names = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        if parts[-1] != "__init__":
            names.append(".".join((package, *parts)))
    return names


def claims_in(module_name: str) -> list[Claim]:
    """The claims that a module defines itself, in the order of the file; a module that cannot be imported is one clear line."""
    try:
        module = importlib.import_module(module_name)
    except AssayError:
        raise
    except (Exception, SystemExit) as error:  # a script that ends with sys.exit() must not end the run in silence
        place = (
            f"{Path(error.filename).name}, line {error.lineno}: "
            if isinstance(error, SyntaxError) and error.filename
            else ""
        )
        raise ClaimError(
            f"claims module {module_name} cannot be imported: {type(error).__name__}: {place}{(str(error).splitlines() or ['no message'])[0]}; mend the file"
        ) from error
    return [
        value for value in vars(module).values() if isinstance(value, Claim) and value.check.__module__ == module_name
    ]


def load_claims(folder: Path, package: str) -> dict[str, Claim]:
    """Every claim by its id; a function name may be used once, because `by=` and reports name claims by it."""
    claims: dict[str, Claim] = {}
    names: dict[str, str] = {}
    for module_name in module_names(folder, package):
        for claim in claims_in(module_name):
            if claim.name in names:
                raise ClaimError(
                    f"claim {claim.id} has a name that {names[claim.name]} has already; choose another function name"
                )
            names[claim.name] = claim.id
            claims[claim.id] = claim
    for claim in claims.values():
        if claim.expect.by and claim.expect.by not in names:
            raise ClaimError(
                f"claim {claim.id} names a correction that does not exist: by={claim.expect.by!r}; nearest: {', '.join(nearest(claim.expect.by, names))}"
            )
    return claims


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """The names most like `word`; for a statement id those of the same question come first."""
    known, question = list(known), word.rpartition(".")[0]
    same = [name for name in known if question and name.startswith(f"{question}.")]
    found = get_close_matches(word, same, n=3, cutoff=0.4)
    return found or get_close_matches(word, list(known), n=3, cutoff=0.4) or ["none is near; see assay list"]


def choose(ids: Iterable[str], claims: dict[str, Claim], statements: Iterable[str]) -> list[str]:
    """The claim ids meant by `ids` (claim ids, function names, statement ids, questions like gfg-42), with the corrections they name."""
    known_statements = set(statements)
    chosen: dict[str, None] = {}
    for word in ids:
        found = [c.id for c in claims.values() if _means(word, c)]
        if not found and word not in known_statements:
            known = [*claims, *(c.name for c in claims.values()), *known_statements]
            raise UsageError(f"id {word} is unknown; nearest: {', '.join(nearest(word, known))}")
        if not found:
            raise UsageError(f"statement {word} has no claim yet; see assay show {word}")
        chosen.update(dict.fromkeys(found))
    return with_corrections(chosen, claims)


def with_corrections(ids: Iterable[str], claims: dict[str, Claim]) -> list[str]:
    """`ids` and every claim that one of them names as what is true instead."""
    by_name = {claim.name: claim for claim in claims.values()}
    chosen = dict.fromkeys(ids)
    for claim_id in list(chosen):
        correction = claims[claim_id].expect.by
        if correction:
            chosen[by_name[correction].id] = None
    return list(chosen)


def _means(word: str, claim: Claim) -> bool:
    return word in (claim.id, claim.name, *claim.statements) or any(
        sid.rpartition(".")[0] == word for sid in claim.statements
    )
