"""What docs/reference.md says, made from the code: commands, settings, routes, roles, errors."""

import sys
from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from typer.core import TyperGroup, TyperOption

from app import cli
from app.api import router
from app.cli.config import KEYS
from services import access
from services.core.errors import AtelierError
from services.studio import Settings

HEAD = """# Reference

Made from the code by `scripts/reference`; the tests fail when the two differ.
"""
CALLED = (
    "Besides: `--output/-o json|jsonc|yaml|table|tsv|none`, `--query` (JMESPath), `--workspace-name/-w`, `--debug`."
)
ONLY_VARIABLES = {"home": "where everything lies", "database_url": "PostgreSQL instead of SQLite"}


def text() -> str:
    parts = (_commands(), _settings(), _routes(), _roles(), _errors())
    return "\n".join([HEAD, *("\n".join(part) for part in parts)])


def _commands() -> Iterator[str]:
    yield "## Command line\n"
    yield f"`atelier NOUN VERB --flags`. {CALLED} Long flags may be shortened.\n"
    for path, command in commands(cli.tree()):
        yield f"### `{' '.join(path)}`\n\n{command.help}\n"
        rows = [_flag(each) for each in command.params if isinstance(each, TyperOption) and each.name != "help"]
        if rows:
            yield from _table(("Flag", "Meaning"), rows)


def commands(group: TyperGroup, path: tuple[str, ...] = ("atelier",)) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that name it."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def _flag(option: TyperOption) -> tuple[str, str]:
    return " ".join(f"`{each}`" for each in option.opts), option.help or ""


def _settings() -> Iterator[str]:
    yield "## Settings\n"
    yield "Flag, then environment, then `config.toml` in the home (`atelier config set KEY=VALUE`), then default.\n"
    rows = []
    for name, field in Settings.model_fields.items():
        default = "your account's data folder" if name == "home" else f"`{field.default}`" if field.default else ""
        meaning = (
            KEYS.get(name) or {"home": "where everything lies", "database_url": "PostgreSQL instead of SQLite"}[name]
        )
        rows.append((f"`ATELIER_{name.upper()}`", meaning, default))
    for name, meaning in (
        ("WORKSPACE", "the workspace of commands that name none"),
        ("ENDPOINT", "the studio's address, for the command line on another machine"),
        ("TOKEN", "who the command line is, when it is not the local owner"),
    ):
        rows.append((f"`ATELIER_{name}`", meaning, ""))
    yield from _table(("Setting", "Meaning", "Default"), rows)


def _routes() -> Iterator[str]:
    yield "## REST\n"
    yield "Bearer token, JSON, RFC 9457 problems, pages by `next_cursor`. The whole of it: `/api/v1/openapi.json`.\n"
    rows = [
        (str(what["method"]), f"`{what['path']}`", str(what["description"]).splitlines()[0]) for what in operations()
    ]
    yield from _table(("Method", "Path", "What"), rows)


def operations() -> list[dict[str, Any]]:
    """What OpenAPI says of every route, with its `method` and `path`."""
    app = FastAPI()
    app.include_router(router())
    paths = sorted(app.openapi()["paths"].items())
    return [{"method": method.upper(), "path": path, **what} for path, found in paths for method, what in found.items()]


def _roles() -> Iterator[str]:
    yield "## Roles\n"
    yield f"Action names are the cloud's; `…` stands for `{access.PREFIX.rstrip('/')}`.\n"
    rows = [(role.name, _actions(role.actions), _actions(role.not_actions)) for role in access.BUILT_IN.values()]
    yield from _table(("Role", "Actions", "NotActions"), rows)


def _actions(actions: Iterable[str]) -> str:
    return " ".join(f"`{each.replace(access.PREFIX, '…/')}`" for each in actions)


def _errors() -> Iterator[str]:
    yield "## Errors\n"
    rows = [
        (f"`{kind.code}`", (kind.__doc__ or "").splitlines()[0], str(kind.status), str(kind.exit_code))
        for kind in _kinds(AtelierError)
        if kind.__module__ == AtelierError.__module__
    ]
    yield from _table(("Code", "Means", "HTTP", "Exit"), rows)


def _kinds(kind: type[AtelierError]) -> Iterator[type[AtelierError]]:
    for below in kind.__subclasses__():
        yield below
        yield from _kinds(below)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        cells = (cell.replace("|", "\\|") for cell in row)
        yield f"| {' | '.join(cells)} |"
    yield ""


if __name__ == "__main__":
    sys.stdout.write(text())
