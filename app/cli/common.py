"""What every command takes: output, query, workspace, debug; where the home is, and what was configured."""

import os
import sys
from collections.abc import Sequence, Set
from dataclasses import dataclass, fields
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
_SHORT = ("-o", "-w", "-g")
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

    @property
    def is_document(self) -> bool:
        """Somebody reads standard output with a program."""
        return bool(self.output or self.query)

    @property
    def is_for_people(self) -> bool:
        """Lines are wanted, and not the whole document."""
        return self.format in {"table", "tsv"} and not self.query

    def forget(self) -> None:
        for each in fields(self):
            setattr(self, each.name, each.default)


chosen = Chosen()


def taken(tree: TyperGroup, words: Sequence[str]) -> list[str]:
    """The words without the global options, with prefixes of long flags made whole. Raises Invalid.

    A repeatable flag takes several words at once, as in the cloud: `--set a=1 b=2`.
    """
    chosen.forget()
    known = _flags_of(tree, words)
    rest: list[str] = []
    todo = list(words)
    while todo:
        word = todo.pop(0)
        if word == "--":
            return [*rest, word, *todo]
        name, equals, value = _split(word)
        if name.startswith("--"):
            name = _whole(name, known.names)
        if name in _GLOBAL:
            if not equals:
                if not todo:
                    raise Invalid(f"{name} needs a value.")
                value = todo.pop(0)
            _choose(_GLOBAL[name], value)
        elif name in _FLAGS:
            _choose(_FLAGS[name], "1")
        elif not equals and todo and name in known.values:
            rest += [name, todo.pop(0)]
            while name in known.repeated and todo and "=" in todo[0] and not todo[0].startswith("-"):
                rest += [name, todo.pop(0)]
        else:
            rest.append(f"{name}{equals}{value}")
    if chosen.output and chosen.output not in FORMATS:
        wrong, chosen.output = chosen.output, ""
        raise Invalid(f"'{wrong}' is no output format.", where="--output", hint=f"One of: {', '.join(FORMATS)}.")
    return rest


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
        raise Invalid(f"'{home() / 'config.toml'}' cannot be read: {cause}") from cause


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


@dataclass(frozen=True)
class _Flags:
    """Of one command: all long ones, those that take a value, and of these those that may be repeated."""

    names: frozenset[str]
    values: frozenset[str]
    repeated: frozenset[str]


def _flags_of(tree: TyperGroup, words: Sequence[str]) -> _Flags:
    """Those of the command that the words name."""
    here: Any = tree
    is_value = False
    for word in words:
        if not is_value and not word.startswith("-") and isinstance(here, TyperGroup):
            following = here.commands.get(word)
            if following is None:
                break
            here = following
        is_value = not is_value and word in _GLOBAL
    options = [each for each in here.params if isinstance(each, TyperOption)]
    valued = [each for each in options if not each.is_flag and not each.count]
    return _Flags(
        frozenset({"--help", *(name for each in options for name in each.opts if name.startswith("--"))}),
        frozenset(name for each in valued for name in each.opts),
        frozenset(name for each in valued if each.multiple for name in each.opts),
    )


def _split(word: str) -> tuple[str, str, str]:
    """`--name=value`, and `-ojson` of the global ones."""
    if word[:2] in _SHORT and len(word) > 2:
        return word[:2], "=", word[2:].removeprefix("=")
    return word.partition("=")


def _whole(name: str, known: Set[str]) -> str:
    everything = {*known, *(flag for flag in (*_GLOBAL, *_FLAGS) if flag.startswith("--"))}
    if name in everything:
        return name
    found = sorted(flag for flag in everything if flag.startswith(name))
    meant = {_GLOBAL.get(flag, flag) for flag in found}
    if len(meant) > 1 and name != "--":
        raise Invalid(f"{name} could mean {', '.join(found)}.")
    return found[0] if found else name
