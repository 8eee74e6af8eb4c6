"""What every command takes: output, query, workspace, debug; and how answers and errors are printed."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.core import TyperGroup, TyperOption

from services.core.errors import Invalid

FORMATS = ("json", "jsonc", "yaml", "table", "tsv", "none")
# Taken anywhere on the line, as the cloud's command line does; the last three are accepted and mean nothing here.
_GLOBAL = {
    "--output": "output",
    "-o": "output",
    "--query": "query",
    "--workspace-name": "workspace",
    "--workspace": "workspace",
    "-w": "workspace",
    "--resource-group": "ignored",
    "-g": "ignored",
    "--subscription": "ignored",
}
_FLAGS = {"--debug": "debug", "--only-show-errors": "quiet", "--verbose": "ignored_flag"}


@dataclass
class Chosen:
    """The global options of this call."""

    output: str = ""
    query: str = ""
    workspace: str = ""
    debug: bool = False
    quiet: bool = False

    @property
    def format(self) -> str:
        return self.output or ("table" if sys.stdout.isatty() and not self.query else "json")


chosen = Chosen()


def taken(tree: TyperGroup, words: Sequence[str]) -> list[str]:
    """The words without the global options, with prefixes of long flags made whole. Raises Invalid."""
    known = _long_flags(tree, words)
    rest: list[str] = []
    todo = list(words)
    while todo:
        word = todo.pop(0)
        if word == "--":
            return [*rest, word, *todo]
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            name = _whole(name, known)
        if name in _GLOBAL:
            if not equals:
                if not todo:
                    raise Invalid(f"{name} needs a value.")
                value = todo.pop(0)
            _choose(_GLOBAL[name], value)
        elif name in _FLAGS:
            _choose(_FLAGS[name], "1")
        else:
            rest.append(f"{name}{equals}{value}")
            if not equals and todo and name in known.get("values", ()):
                rest.append(todo.pop(0))
    if chosen.output and chosen.output not in FORMATS:
        raise Invalid(
            f"{chosen.output!r} is no output format.", where="--output", hint=f"One of: {', '.join(FORMATS)}."
        )
    return rest


def show(value: Any, columns: Sequence[str] = ()) -> None:
    """One answer on standard output; `columns` are those of a table."""
    if chosen.query:
        value = _queried(value)
        columns = ()
    kind = chosen.format
    if kind == "none":
        return
    if kind in {"json", "jsonc"}:
        text = json.dumps(value, indent=2, ensure_ascii=False)
    elif kind == "yaml":
        import yaml

        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n")
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
    """What was wrong, on standard error; as a document too where JSON was asked for."""
    place = f"{where}: " if where else ""
    print(f"Error: {place}{message}" + (f" {hint}" if hint else ""), file=sys.stderr)
    for detail in list(details)[1:]:
        print(f"       {detail}", file=sys.stderr)
    if chosen.output in {"json", "jsonc"}:
        told = {"code": code, "message": message, "target": where, "hint": hint, "details": list(details)}
        print(json.dumps({"error": {key: value for key, value in told.items() if value}}, indent=2))


def home() -> Path:
    """Where the studio's files lie."""
    given = os.environ.get("ATELIER_HOME")
    if given:
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_data_dir("atelier"))


def configured() -> dict[str, Any]:
    """`config.toml` in the home."""
    import tomllib

    try:
        return tomllib.loads((home() / "config.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as cause:
        raise Invalid(f"{home() / 'config.toml'} cannot be read: {cause}") from cause


def workspace() -> str:
    """The workspace of this call: flag, ATELIER_WORKSPACE, then what was configured. Raises Invalid."""
    name = chosen.workspace or os.environ.get("ATELIER_WORKSPACE") or str(configured().get("workspace", ""))
    if not name:
        raise Invalid(
            "No workspace was named.",
            hint="Name one with --workspace-name, or choose one for good: atelier config set workspace=NAME",
        )
    return name


def _choose(field: str, value: str) -> None:
    if field in {"debug", "quiet"}:
        setattr(chosen, field, True)
    elif field in {"output", "query", "workspace"}:
        setattr(chosen, field, value)


def _long_flags(tree: TyperGroup, words: Sequence[str]) -> dict[str, set[str]]:
    """The long flags of the command that the words name, and those that take a value."""
    here: Any = tree
    for word in words:
        if word.startswith("-") or not isinstance(here, TyperGroup):
            continue
        following = here.commands.get(word)
        if following is None:
            break
        here = following
    flags, values = set[str](), set[str]()
    for parameter in here.params:
        options = {*parameter.opts, *parameter.secondary_opts}
        flags |= {option for option in options if option.startswith("--")}
        if isinstance(parameter, TyperOption) and not parameter.is_flag and not parameter.count:
            values |= options
    return {"flags": flags | {"--help"}, "values": values}


def _whole(name: str, known: Mapping[str, set[str]]) -> str:
    everything = {*known["flags"], *(flag for flag in (*_GLOBAL, *_FLAGS) if flag.startswith("--"))}
    if name in everything:
        return name
    found = sorted(flag for flag in everything if flag.startswith(name))
    meant = {_GLOBAL.get(flag, flag) for flag in found}
    if len(meant) > 1 and name != "--":
        raise Invalid(f"{name} could mean {', '.join(found)}.")
    return found[0] if found else name


def _queried(value: Any) -> Any:
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        return jmespath.search(chosen.query, value)
    except JMESPathError as cause:
        raise Invalid(f"--query is not right: {cause}") from cause


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
        return _aligned(
            [[name.replace("_", " ").capitalize() for name in names], *([_at(row, n) for n in names] for row in value)]
        )
    if isinstance(value, dict):
        shown = {key: each for key, each in value.items() if each not in (None, "", {}, [])}
        return _aligned([[key, _cell(each)] for key, each in shown.items()], head=False)
    if isinstance(value, list):
        return "\n".join(_cell(each) for each in value)
    return _cell(value)


def _at(row: Mapping[str, Any], name: str) -> str:
    here: Any = row
    for part in name.split("."):
        here = here.get(part) if isinstance(here, Mapping) else None
    return _cell(here)


def _aligned(rows: Sequence[Sequence[str]], *, head: bool = True) -> str:
    widths = [min(60, max(len(row[index]) for row in rows)) for index in range(len(rows[0]))]
    lines = [
        "  ".join(cell[:width].ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    if not head:
        lines = [f"{row[0].ljust(widths[0])}  {row[1]}".rstrip() for row in rows]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]] if head else lines)
