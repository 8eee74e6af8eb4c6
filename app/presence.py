"""What a studio says of itself in its home (`studio.json`): where it listens, and whether it still lives."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from app.orphan import VARIABLE

_FILE = "studio.json"


def running(home: Path) -> dict[str, Any]:
    """What the studio on this home says of itself; empty when there is none."""
    try:
        said: dict[str, Any] = json.loads((home / _FILE).read_text(encoding="utf-8"))
        process = psutil.Process(int(said["pid"]))
        return said if process.status() != psutil.STATUS_ZOMBIE and _is_same(process, said) else {}
    except (OSError, ValueError, KeyError, psutil.Error):
        return {}


def left_behind(home: Path) -> list[psutil.Process]:
    """Children of a supervisor that was killed, and that have not noticed yet."""
    try:
        said = json.loads((home / _FILE).read_text(encoding="utf-8"))
        numbers = {int(pid) for pid in said.get("children", {}).values()}
    except (OSError, ValueError, AttributeError):
        return []
    return [process for number in numbers if (process := _child_of(number, said.get("pid"))) is not None]


def say(home: Path, **facts: Any) -> None:
    """Writes it down for this process, for this user's eyes only."""
    _write(home / _FILE, {"pid": os.getpid(), "command": psutil.Process().cmdline(), **facts})


def add(home: Path, **facts: Any) -> None:
    """Changes some of it, where there is something to change."""
    path = home / _FILE
    if path.exists():
        _write(path, {**json.loads(path.read_text(encoding="utf-8")), **facts})


def forget(home: Path) -> None:
    (home / _FILE).unlink(missing_ok=True)


def _is_same(process: psutil.Process, said: Mapping[str, Any]) -> bool:
    """Numbers of processes are used again; the time of birth would not do, as it moves with the clock."""
    return process.cmdline() == said.get("command")


def _child_of(number: int, supervisor: object) -> psutil.Process | None:
    try:
        process = psutil.Process(number)
        is_ours = process.environ().get(VARIABLE) == str(supervisor)
    except psutil.Error:
        return None
    return process if is_ours and process.status() != psutil.STATUS_ZOMBIE else None


def _write(path: Path, value: Mapping[str, Any]) -> None:
    part = path.with_suffix(".part")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(value, file)
    part.replace(path)
