"""The command line: thin. Bad use gives one clear line and exit status 2."""

from __future__ import annotations

import json as jsons
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from assay.config import load_config
from assay.errors import AssayError, UsageError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Puts what people say about deep learning to the test.",
)
console = Console()
problems = Console(stderr=True)


@app.command()
def run(
    ids: Annotated[
        list[str] | None, typer.Argument(help="claim ids, claim names, statement ids or questions (gfg-42)")
    ] = None,
    keyword: Annotated[str, typer.Option("-k", help="pytest expression over claim names")] = "",
    topic: Annotated[list[str] | None, typer.Option("--topic", help="only claims of this topic")] = None,
    subject: Annotated[
        list[str] | None,
        typer.Option("--subject", help="subject under the claims; the first one decides the statements"),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    seed: Annotated[int, typer.Option(help="seed of the run")] = 0,
    examples: Annotated[int, typer.Option(help="examples of each property-tested claim", min=1)] = 100,
    record: Annotated[bool, typer.Option("--record", help="record the verdicts, to notice drift later")] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="folder of the results and the report: reports, or reports/selection for a few claims"),
    ] = None,
    workers: Annotated[int, typer.Option(help="processes; 0 for one a core", min=0)] = 0,
    memory: Annotated[int, typer.Option(help="MiB of data a process may hold; 0 for no limit", min=0)] = 6144,
) -> None:
    """Run claims and write results.json, junit.xml and index.html."""
    from assay.session import Request, run_claims

    request = Request(
        ids=ids or [], keyword=keyword, topics=topic or [], subjects=subject or ["reference", "torch"], device=device, seed=seed,
        examples=examples, record=record, out=out, workers=workers or os.cpu_count() or 1, memory=memory,
    )  # fmt: skip
    raise typer.Exit(run_claims(request, console))


@app.command("list")
def list_claims(topic: Annotated[str, typer.Option(help="only this topic")] = "") -> None:
    """List every claim with its statement and prediction."""
    from assay.catalogue import Catalogue

    catalogue = Catalogue.load(load_config())
    if topic and topic not in catalogue.topics():
        raise UsageError(f"topic {topic} is unknown; expected one of: {', '.join(sorted(catalogue.topics()))}")
    rows = [
        (claim.id, catalogue.ledger.topic_of(claim.statement_id), claim.expect.verdict, " ".join(claim.needs))
        for claim in catalogue.claims.values()
        if not topic or catalogue.ledger.topic_of(claim.statement_id) == topic
    ]
    if console.is_terminal:
        console.print(_table(rows))
    else:
        for row in rows:
            _say("  ".join(row))


def _table(rows: Sequence[tuple[str, ...]]) -> Table:
    """The rows under heads; what is too long for the terminal goes on in the next line."""
    table = Table(box=None)
    for head in ("claim", "topic", "predicted", "roles"):
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _say(line: str) -> None:
    """Print a line: a terminal that wraps it keeps its indent, in a pipe it stays one line."""
    text = line.lstrip()
    if console.is_terminal:
        console.print(Padding(Text(text), (0, 0, 0, len(line) - len(text)), expand=False))
    else:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


@app.command()
def show(
    word: Annotated[str, typer.Argument(help="a question (gfg-42), a statement id, a claim id or a claim name")],
) -> None:
    """Show a question with its statements, a statement with its claims, or a claim with its header."""
    from assay.catalogue import Catalogue

    for line in Catalogue.load(load_config()).describe(word):
        _say(line)


@app.command()
def gradcheck(
    target: Annotated[str, typer.Argument(help="pkg.module:name or file.py:name")],
    input: Annotated[list[str] | None, typer.Option(help="an input: x=float64[3,4]; repeat for each")] = None,
    explore: Annotated[
        bool, typer.Option("--explore", help="search shapes and values for the smallest failing input")
    ] = False,
    order: Annotated[int, typer.Option(min=1, max=2, help="2 checks the gradient's gradient too")] = 1,
    entries: Annotated[str | None, typer.Option(help="all: measure every entry")] = None,
    json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False,
    html: Annotated[Path | None, typer.Option(help="write the report as HTML to this file")] = None,
    seed: Annotated[int, typer.Option(help="seed of every random choice")] = 0,
    device: Annotated[str | None, typer.Option(help="cpu or cuda")] = None,
) -> None:
    """Check a gradient; exit status 0 agrees, 1 differs, 3 kink or unresolved, 2 bad use."""
    from assay.gradients.command import gradcheck_command

    raise typer.Exit(gradcheck_command(target, input, explore, order, entries, json, html, seed, device))


@app.command()
def diff(old: Path, new: Path) -> None:
    """Compare two runs (results.json or index.html): flipped verdicts first, then numbers, then environment."""
    from assay.report.diff import diff_files

    raise typer.Exit(diff_files(old, new, console))


@app.command()
def report(
    results: Annotated[Path, typer.Argument(help="results.json of a run")] = Path("reports/results.json"),
    out: Annotated[Path, typer.Option(help="file to write: .html, .md, .csv or .sarif")] = Path("reports/index.html"),
) -> None:
    """Make the page, a Markdown table, a CSV of the statements or SARIF from results.json."""
    from assay.report.export import sarif, statements_csv
    from assay.report.html import render
    from assay.report.markdown import verdict_table

    writers = {".html": render, ".md": verdict_table, ".csv": statements_csv, ".sarif": sarif}
    if out.suffix not in writers:
        raise UsageError(
            f"file {out} has an unknown kind: {out.suffix or 'none'}, expected one of {', '.join(writers)}"
        )
    text = writers[out.suffix](read_results(results))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"file {out} cannot be written: {error.strerror}; give another one with --out") from error
    console.print(f"wrote {out}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def components(
    out: Annotated[Path, typer.Option(help="folder of the pages")] = Path("docs/components"),
    subject: Annotated[
        list[str] | None,
        typer.Option("--subject", help="the first one's roles get a page, the others are shown beside"),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="exit 1 if a page was stale")] = False,
) -> None:
    """Write a page in Markdown for each role: equations, example, who plays it, what is asked about it."""
    from assay.report.components import load, pages, stale, write

    made = pages(load(subject or ["reference", "torch"], out))
    old = stale(made, out)
    write(made, out)
    for name in old if check else []:
        problems.print(f"{out / name} was stale and is written anew", markup=False, highlight=False, soft_wrap=True)
    console.print(f"{len(made)} pages in {out}, {len(old)} of them changed", highlight=False)
    raise typer.Exit(1 if check and old else 0)


def read_results(path: Path) -> dict[str, Any]:
    """The results of a run, checked against the schema."""
    from assay.report.schema import validate

    try:
        results: dict[str, Any] = jsons.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"results {path} cannot be read: {error}; run assay run first") from error
    validate(results)
    return results


def main() -> None:
    """Entry point: whatever Assay refuses is one line on stderr and exit status 2."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except AssayError as error:
        problems.print(f"assay: {error}", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the argument parser's own errors have no public base class
        _usage(error)


def _usage(error: Exception) -> None:
    """Errors of the argument parser are one line as well; anything else is a defect of ours and keeps its traceback."""
    message = getattr(error, "format_message", None)
    if message is None:
        raise error
    problems.print(f"assay: {message()}; see assay --help", markup=False, highlight=False, soft_wrap=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
