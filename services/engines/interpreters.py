"""Pythons found on this host: Debian's, pyenv's, uv's and /usr/local's."""

import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from services.core.errors import EngineError


@dataclass(frozen=True)
class Interpreter:
    """A Python on this host. `origin` is debian or the folder that holds bin, lib and include."""

    version: str
    prefix: Path
    is_debian: bool = False


@lru_cache(maxsize=1)
def interpreters() -> tuple[Interpreter, ...]:
    """All that are there, oldest first, one for each major.minor."""
    found: dict[str, Interpreter] = {}
    for prefix in _prefixes():
        version = _version(prefix / "bin" / "python3")
        if version and version not in found and int(version.split(".")[1]) >= 7:
            found[version] = Interpreter(version, prefix, is_debian=prefix == Path("/usr"))
    return tuple(sorted(found.values(), key=lambda one: int(one.version.split(".")[1])))


def choose(wanted: str, there: Iterable[Interpreter]) -> tuple[Interpreter, str]:
    """The interpreter for `3.10`, and a note when it is another one. Raises EngineError when there is none."""
    known = {int(one.version.split(".")[1]): one for one in there}
    if not known:
        raise EngineError("No Python was found on this host to make a base image from.")
    minor = int(wanted.split(".")[1])
    if minor in known:
        return known[minor], ""
    nearest = min(known, key=lambda other: (other < minor, abs(other - minor)))
    versions = ", ".join(known[other].version for other in sorted(known))
    return known[
        nearest
    ], f"Python {wanted} is not on this host (there are {versions}); using {known[nearest].version}."


def _prefixes() -> list[Path]:
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    uv = Path("~/.local/share/uv/python").expanduser()
    return [
        Path("/usr"),
        *sorted(path for path in pyenv.glob("3.*") if path.is_dir()),
        *sorted(path for path in uv.glob("cpython-3*") if path.is_dir()),
        Path("/usr/local"),
    ]


@lru_cache(maxsize=64)
def _version(python: Path) -> str:
    if not python.exists():
        return ""
    code = "import sys; print('%d.%d' % sys.version_info[:2] if sys.implementation.name == 'cpython' else '')"
    try:
        return output([str(python), "-I", "-c", code]).strip()
    except EngineError:
        return ""


def output(command: list[str]) -> str:
    """What a program of this host prints. Raises EngineError when it is not here."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as cause:
        raise EngineError(
            f"'{command[0]}' is not on this host.",
            hint="Base images are made from Debian's packages; elsewhere name images of your own in maps.yml.",
        ) from cause
    return done.stdout
