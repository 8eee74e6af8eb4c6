"""What git knows of a folder: commit, branch, whether it is dirty, where it came from."""

import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

SECONDS = 5


def facts(folder: Path) -> dict[str, str]:
    """`commit`, `branch`, `dirty` ("True" or "False"), `repository`; empty outside of git or without it."""
    where = folder if folder.is_dir() else folder.parent
    commit = _ask(where, "rev-parse", "HEAD")
    if not commit:
        return {}
    return {
        "commit": commit,
        "branch": _ask(where, "rev-parse", "--abbrev-ref", "HEAD"),
        "dirty": str(bool(_ask(where, "status", "--porcelain", "--", "."))),
        "repository": without_credentials(_ask(where, "config", "--get", "remote.origin.url")),
    }


def without_credentials(url: str) -> str:
    """The URL without user, password and query."""
    parts = urlsplit(url)
    if not parts.scheme or not parts.netloc:
        return url
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _ask(where: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(where), *arguments], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
