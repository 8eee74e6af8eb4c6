"""The host's own pip and CA settings, handed to builds and jobs: behind a proxy or a mirror they work too."""

import configparser
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.engines.containers import Mount

CA = "/studio/ca.crt"
_CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_FILES = ("/etc/pip.conf", "~/.pip/pip.conf", "~/.config/pip/pip.conf")


@dataclass(frozen=True)
class PipSettings:
    """Environment for pip and uv, what must be mounted for it, and the local folders among that."""

    environment: Mapping[str, str]
    mounts: tuple[Mount, ...]

    @property
    def roots(self) -> tuple[Path, ...]:
        """Folders outside of the home that containers must be allowed to see."""
        return tuple(mount.source for mount in self.mounts if mount.target != CA)


def for_containers(home: Path) -> PipSettings:
    """Read anew each time: an admin's change counts from the next build on.

    The CA bundle is copied below `home`, because system folders are never shown to containers.
    """
    values = _values()
    environment: dict[str, str] = {name: os.environ[name] for name in _PROXIES if name in os.environ}
    mounts: list[Mount] = []
    for key, (pip, uv) in _KEYS.items():
        words = values.get(key, "").split()
        kept = [word for word in words if _usable(word)]
        if kept:
            environment[pip] = " ".join(kept)
            environment[uv] = (" " if key != "find-links" else ",").join(kept)
            mounts += [Mount(folder, str(folder), read_only=True) for folder in _needed(kept)]
    bundle = _bundle(values)
    if bundle is not None:
        copied = _copied(bundle, home)
        mounts.append(Mount(copied, CA, read_only=True))
        environment |= dict.fromkeys(_CA_VARIABLES, CA)
        environment["UV_SYSTEM_CERTS"] = "true"
    return PipSettings(environment, tuple({mount.target: mount for mount in mounts}.values()))


_KEYS = {
    "index-url": ("PIP_INDEX_URL", "UV_DEFAULT_INDEX"),
    "extra-index-url": ("PIP_EXTRA_INDEX_URL", "UV_INDEX"),
    "find-links": ("PIP_FIND_LINKS", "UV_FIND_LINKS"),
    "trusted-host": ("PIP_TRUSTED_HOST", "UV_INSECURE_HOST"),
}


def _values() -> dict[str, str]:
    """pip's settings: configuration files, then environment."""
    values: dict[str, str] = {}
    for name in (*_FILES, os.environ.get("PIP_CONFIG_FILE", "")):
        path = Path(name).expanduser()
        if name and path.is_file():
            parser = configparser.RawConfigParser()
            try:
                parser.read(path, encoding="utf-8")
            except configparser.Error:
                continue
            for section in ("global", "install"):
                if parser.has_section(section):
                    values |= dict(parser.items(section))
    for key in (*_KEYS, "cert"):
        variable = f"PIP_{key.upper().replace('-', '_')}"
        if variable in os.environ:
            values[key] = os.environ[variable]
    return values


def _bundle(values: Mapping[str, str]) -> Path | None:
    for text in (values.get("cert", ""), *(os.environ.get(name, "") for name in _CA_VARIABLES)):
        if text and Path(text).is_file():
            return Path(text)
    return None


def _copied(bundle: Path, home: Path) -> Path:
    target = home / "ca.crt"
    if not target.is_file() or target.stat().st_size != bundle.stat().st_size:
        part = home / f"ca.{os.getpid()}.part"
        shutil.copyfile(bundle, part)
        part.chmod(0o644)
        part.replace(target)
    return target


def _folder(word: str) -> Path | None:
    """The local folder behind `file:///x/simple` or `/x`."""
    path = Path(word.removeprefix("file://"))
    return path if path.is_absolute() and path.is_dir() else None


def _needed(words: list[str]) -> list[Path]:
    """The local folders behind these words; an index's pages link to the files beside it."""
    folders = [folder for folder in map(_folder, words) if folder is not None]
    return [folder.parent if folder.name == "simple" else folder for folder in folders]


def _usable(word: str) -> bool:
    """Local places count only where they exist."""
    return not (word.startswith(("file://", "/"))) or _folder(word) is not None
