"""How answers and errors are printed: json, yaml, table and tsv on standard output, words to people beside it."""

import json
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from app.cli.common import chosen
from services.core.errors import Invalid

_LONGEST, _SHORTEST = 60, 8
_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*')
_KEY, _TEXT, _OTHER, _PLAIN = "\033[34m", "\033[32m", "\033[36m", "\033[0m"


def show(value: Any, columns: Sequence[str] = ()) -> None:
    """One answer on standard output; `columns` are those of a table."""
    if chosen.query:
        value = _queried(value)
        columns = ()
    kind = chosen.format
    if kind == "none":
        return
    if kind in {"json", "jsonc"}:
        text = json.dumps(value, indent=2, ensure_ascii=not _speaks_unicode())
        text = _coloured(text) if kind == "jsonc" else text
    elif kind == "yaml":
        import yaml

        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=_speaks_unicode()).rstrip("\n")
        text = text.removesuffix("\n...")
    elif kind == "tsv":
        text = "\n".join("\t".join(row) for row in _tabbed(value))
    else:
        text = _table(value, columns)
    if text:
        print(text)


def note(text: str) -> None:
    """For the person at the keyboard; never on standard output."""
    if not chosen.quiet:
        print(text, file=sys.stderr)


def fail(
    message: str,
    *,
    code: str,
    where: str | None = None,
    hint: str | None = None,
    details: Sequence[str] = (),
) -> None:
    """What was wrong, on standard error; as a document too, with every detail, where JSON was asked for."""
    place = f"{where}: " if where else ""
    print(f"Error: {place}{message}" + (f" {hint}" if hint else ""), file=sys.stderr)
    if chosen.output not in {"json", "jsonc"}:
        for detail in list(details)[1:]:
            print(f"       {detail}", file=sys.stderr)
    else:
        told = {"code": code, "message": message, "target": where, "hint": hint, "details": list(details)}
        print(json.dumps({"error": {key: value for key, value in told.items() if value}}, indent=2))


def confirm(question: str) -> None:
    """Raises Invalid where nobody can be asked; leaves with 1 when the answer is no."""
    import typer

    if not sys.stdin.isatty():
        raise Invalid("Nobody can be asked here.", hint="Say --yes when it is meant.")
    if not typer.confirm(question, err=True):
        note("Nothing was done.")
        raise typer.Exit(1)


def _queried(value: Any) -> Any:
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        return jmespath.search(chosen.query, value)
    except JMESPathError as cause:
        raise Invalid(f"This is no JMESPath: {str(cause).splitlines()[0].rstrip(':')}.", where="--query") from cause


def _tabbed(value: Any) -> list[list[str]]:
    rows = value if isinstance(value, list) else [value]
    return [[_cell(cell) for cell in _cells(row)] for row in rows if row is not None]


def _cells(row: Any) -> list[Any]:
    if isinstance(row, dict):
        return list(row.values())
    return row if isinstance(row, list) else [row]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value).replace("\t", " ").replace("\n", " ")


def _table(value: Any, columns: Sequence[str]) -> str:
    if isinstance(value, list) and all(isinstance(row, dict) for row in value):
        if not value:
            return "Nothing here yet."
        names = list(columns) or [key for key in value[0] if not isinstance(value[0][key], dict | list)]
        titles = [name if _is_whole(name, value[0]) else _title(name) for name in names]
        return _aligned([titles, *([_at(row, name) for name in names] for row in value)])
    if isinstance(value, dict):
        shown = {key: each for key, each in value.items() if each not in (None, "", {}, [])}
        return _aligned([[key, _cell(each)] for key, each in shown.items()], head=False)
    if isinstance(value, list):
        return "\n".join(_cell(each) for each in value)
    return _cell(value)


def _is_whole(name: str, row: Mapping[str, Any]) -> bool:
    """Whether a dot in a column's name is part of a key, as in metrics.loss, and no way down."""
    return "." in name and name in row


def _title(name: str) -> str:
    return name.rpartition(".")[2].replace("_", " ").capitalize()


def _at(row: Mapping[str, Any], name: str) -> str:
    if _is_whole(name, row):
        return _cell(row[name])
    here: Any = row
    for part in name.split("."):
        here = here.get(part) if isinstance(here, Mapping) else None
    return _cell(here)


def _aligned(rows: Sequence[Sequence[str]], *, head: bool = True) -> str:
    """On a terminal columns are narrowed, and the last ones left out, until a line fits; a cut ends in '…'."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    if not head:
        return "\n".join(f"{row[0].ljust(widths[0])}  {row[1]}".rstrip() for row in rows)
    if sys.stdout.isatty():
        widths = _fitting(widths, shutil.get_terminal_size().columns)
    lines = ["  ".join(map(_cut, row, widths)).rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def _fitting(widths: Sequence[int], line: int) -> list[int]:
    """Names come first in every table: the first column gives way last."""
    kept = [min(_LONGEST, width) for width in widths]
    while len(kept) > 1 and kept[0] + sum(2 + min(_SHORTEST, width) for width in kept[1:]) > line:
        kept.pop()
    while sum(kept) + 2 * (len(kept) - 1) > line:
        widest = max(range(1, len(kept)), key=kept.__getitem__, default=0)
        kept[widest] -= 1
    return kept


def _cut(cell: str, width: int) -> str:
    return cell.ljust(width) if len(cell) <= width else f"{cell[: width - 1]}…"


def _speaks_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf8")


def _coloured(text: str) -> str:
    """On a terminal, unless NO_COLOR is set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text

    def painted(found: re.Match[str]) -> str:
        colour = _OTHER if found[1] is None else _KEY if found[2] else _TEXT
        return f"{colour}{found[1] or found[0]}{_PLAIN}{found[2] or ''}"

    return _TOKEN.sub(painted, text)
