"""atelier validate FILE…: what YAML files are, and what is wrong with them. No studio is asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli import common, printing
from services.core.errors import Invalid

if TYPE_CHECKING:
    from services.specs.kinds import Read

COLUMNS = ("file", "kind", "ok")
WRONG = 2
_LEFT_OUT = frozenset({"node_modules", "__pycache__"})


def add_to(app: typer.Typer) -> None:
    """As a command of its own beside the nouns."""
    app.command()(validate)


def validate(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Files, folders or patterns; - reads standard input.")
    ],
) -> None:
    """Checks YAML files of any kind without a studio; exits with 2 when one is wrong.

    Paths in a file are looked up beside it. In a folder, files that are no kind of ours are passed over.
    """
    from services.specs.references import Checker

    checker = Checker()
    rows = [row for given in files for row in _checked(checker, given)]
    wrong = [row for row in rows if not row["ok"]]
    if common.chosen.is_document:
        printing.show(rows, COLUMNS)
    else:
        _told(rows)
        printing.note(f"{len(rows)} {'file' if len(rows) == 1 else 'files'}, {len(wrong)} wrong")
    if wrong:
        raise typer.Exit(WRONG)


def _checked(checker: Any, given: str) -> Iterator[dict[str, Any]]:
    """A row for each file that the word means. Raises Invalid when there is none."""
    if given == "-":
        from app.cli import reading

        yield _row("<stdin>", checker.source(*reading.source(given)))
        return
    path = Path(given)
    if path.is_dir():
        for file in _below(path):
            if not (found := checker.file(file)).is_foreign:
                yield _row(str(file), found)
        return
    for file in [path] if path.exists() else _matching(given):
        yield _row(str(file), checker.file(file))


def _below(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in _LEFT_OUT:
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)
        elif path.is_file() and (path.suffix in {".yml", ".yaml"} or path.name == "MLTable"):
            yield path


def _matching(pattern: str) -> list[Path]:
    anchor = Path(pattern).anchor
    root = Path(anchor) if anchor else Path()
    found = sorted(each for each in root.glob(pattern.removeprefix(anchor)) if each.is_file()) if pattern else []
    if not found:
        raise Invalid(f"File '{pattern}' was not found.")
    return found


def _row(file: str, found: "Read") -> dict[str, Any]:
    return {
        "file": file,
        "kind": found.kind.name if found.kind is not None else None,
        "ok": not found.problems,
        "problems": [{"line": each.line, "field": each.field, "message": each.message} for each in found.problems],
        "warnings": found.warnings,
    }


def _told(rows: list[dict[str, Any]]) -> None:
    """A line a file, and under it a line a problem that editors can follow: file:line: message."""
    for row in rows:
        print(f"{'ok   ' if row['ok'] else 'wrong'}  {row['file']}  ({row['kind'] or 'no known kind'})")
        for problem in row["problems"]:
            line = f":{problem['line']}" if problem["line"] else ""
            print(f"       {row['file']}{line}: {problem['message']}")
        for warning in row["warnings"]:
            print(f"       Note: {warning}")
