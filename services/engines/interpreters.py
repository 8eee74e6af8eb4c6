"""Pythons found on this host: Debian's, pyenv's, uv's and /usr/local's."""

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from services.core.errors import EngineError
from services.engines.containers import BuildFailed

# The tag of a base image is a version with the key of what it was made from; both may be named.
_ASKED = re.compile(r"\A3\.(?P<minor>\d{1,2})(?:\.\d+)?(?P<nearest>-nearest)?(?:-[0-9a-f]{16})?\Z", re.ASCII)
_MARKER = re.compile(r""";\s*python_version\s*(?P<compared>[<>]=?|==|!=)\s*["']3\.(?P<minor>\d+)["']\s*\Z""", re.ASCII)


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
    """The interpreter for `3.10`; for `3.10-nearest` another one where that is absent, with a note that says so.

    Raises BuildFailed naming those that are there.
    """
    known = {int(one.version.split(".")[1]): one for one in there}
    if not known:
        raise BuildFailed("No Python was found on this host to make a base image from.")
    asked = _ASKED.match(wanted)
    versions = ", ".join(known[minor].version for minor in sorted(known))
    if asked is None:
        raise BuildFailed(f"'{wanted[:40]}' is not a version of Python.", hint=f"On this host there are {versions}.")
    minor, version = int(asked["minor"]), f"3.{asked['minor']}"
    if minor in known:
        return known[minor], ""
    if not asked["nearest"]:
        raise BuildFailed(
            f"Python {version} was not found on this host.",
            hint=f"There are {versions}: name one of them, or install Python {version} (with pyenv or uv) "
            "and start the studio again.",
        )
    nearest = known[min(known, key=lambda other: (other < minor, abs(other - minor)))]
    return nearest, f"Python {version} is not on this host (there are {versions}); using {nearest.version}."


def left_out(requirements: Iterable[str], version: str) -> list[str]:
    """What a list holds for other Pythons than `version` only (`pandas~=1.5; python_version < "3.12"`), said."""
    said = []
    for requirement in requirements:
        marker = _MARKER.search(requirement)
        if marker is not None and not _holds(int(version.split(".")[1]), marker["compared"], int(marker["minor"])):
            said.append(f"Not for Python {version}, left out: {requirement}")
    return said


def _holds(minor: int, compared: str, limit: int) -> bool:
    return {
        "<": minor < limit,
        "<=": minor <= limit,
        ">": minor > limit,
        ">=": minor >= limit,
        "==": minor == limit,
        "!=": minor != limit,
    }[compared]


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
