"""Base images made from this host's own packages and interpreters: no registry, no network.

`atelier/python:X.Y` holds Debian's base programs, Python and pip; further interpreters found on the host
(pyenv, uv, /usr/local) are put under /opt/python/X.Y.
"""

import hashlib
import io
import json
import os
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

from services.core.errors import EngineError
from services.engines.interpreters import Interpreter, interpreters, output

REPOSITORY = "atelier/python"
LABEL = "atelier.base"
# Anything that shell scripts and pip expect of an image.
PACKAGES = (
    *("base-files", "bash", "coreutils", "dash", "debianutils", "findutils", "grep", "gzip", "hostname", "mawk"),
    *("procps", "sed", "tar", "util-linux", "ca-certificates", "libc-bin", "media-types", "tzdata", "openssl", "git"),
    *("libbz2-1.0", "libexpat1", "libffi8", "libgomp1", "liblzma5", "libncursesw6", "libreadline8", "libsqlite3-0"),
    *("libssl3", "libstdc++6", "libuuid1", "zlib1g"),
)
_FOLDERS = {"/tmp": 0o1777, "/var/tmp": 0o1777, "/root": 0o700, "/home": 0o755, "/run": 0o755}  # noqa: S108
_TEXTS = {
    "/etc/passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n",
    "/etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_EXTRAS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/os-release",
    "/usr/bin/awk",
    "/etc/alternatives/awk",
    "/usr/bin/which",
)
PYTHON_PACKAGES = ("python3", "python3-distutils", "libpython3.11-stdlib", "python3-minimal")
_LEFT_OUT = re.compile(
    r"\A/usr/share/(?:doc|man|info|locale|lintian|bash-completion|doc-base|perl5|perl)/|/__pycache__/|EXTERNALLY-MANAGED\Z"
    r"|\A/usr/share/git-core/contrib|\A/usr/lib/x86_64-linux-gnu/perl|\A/usr/(?:s?bin|lib)/(?:systemd|dpkg|apt)"
)
_SPARE = re.compile(
    r"/(?:test|tests|idlelib|tkinter|turtledemo|ensurepip|__pycache__)/|/config-[^/]*/|\.a\Z|/lib2to3/tests/"
)


def key_of(interpreter: Interpreter) -> str:
    """Changes when the host's packages or the interpreter do."""
    facts = [interpreter.version, str(interpreter.prefix), _installed_versions(), "layout 4"]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def changes(interpreter: Interpreter) -> list[str]:
    """What the image says of itself: programs that packages bring along are found where pip puts them."""
    own = [] if interpreter.is_debian else [f"/opt/python/{interpreter.version}/bin"]
    path = ":".join(["/usr/local/sbin", "/usr/local/bin", *own, "/usr/sbin", "/usr/bin", "/sbin", "/bin"])
    return [f"ENV PATH={path}", "ENV LANG=C.UTF-8", 'CMD ["python3"]']


def write(interpreter: Interpreter, target: Path, say: Callable[[str], None] = lambda line: None) -> None:
    """The image's files as a tar. Raises EngineError where there is no dpkg to ask."""
    say(f"Making {REPOSITORY}:{interpreter.version} from this host's own packages")
    with tarfile.open(target, "w") as tar:
        layer = _Layer(tar)
        for link in ("bin", "lib", "lib64", "sbin"):
            if Path("/", link).is_symlink():
                layer.add(f"/{link}")
        for folder, mode in _FOLDERS.items():
            layer.folder(folder, mode)
        for path, text in _TEXTS.items():
            layer.text(path, text)
        for path in (*_files([*PACKAGES, *(PYTHON_PACKAGES if interpreter.is_debian else ())]), *_EXTRAS):
            layer.add(path)
        if interpreter.is_debian:
            site = Path("/usr/local/lib") / f"python{interpreter.version}" / "dist-packages"
            _add_pip(layer, interpreter, site, "/usr/bin/python3")
            layer.symlink("/usr/local/bin/python", "/usr/bin/python3")
        else:
            _add_interpreter(layer, interpreter)


class _Layer:
    """A tar being written; the first of two entries with one name counts, engines refuse the second."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self.tar = tar
        self.seen: set[str] = set()

    def add(self, source: str, inside: str | None = None) -> None:
        """A file, link or folder of this host, at its own real place or at `inside`."""
        folder, _, name = (inside or source).rpartition("/")
        arcname = f"{folder if inside else os.path.realpath(folder or '/')}/{name}".lstrip("/")
        if not os.path.lexists(source) or not self._is_new(arcname):
            return
        info = self.tar.gettarinfo(source, arcname=arcname)
        if info is None or not (info.isfile() or info.issym() or info.isdir() or info.islnk()):
            return
        info.uid = info.gid = 0
        info.uname = info.gname = "root"
        if not (info.isreg() or info.islnk()):
            self.tar.addfile(info)
            return
        info.type, info.size = tarfile.REGTYPE, Path(source).stat().st_size
        info.mode &= 0o755  # no setuid programs
        with Path(source).open("rb") as file:
            self.tar.addfile(info, file)

    def folder(self, name: str, mode: int) -> None:
        info = tarfile.TarInfo(name.lstrip("/"))
        info.type, info.mode = tarfile.DIRTYPE, mode
        if self._is_new(info.name):
            self.tar.addfile(info)

    def text(self, name: str, content: str | bytes, *, mode: int = 0o644) -> None:
        raw = content.encode() if isinstance(content, str) else content
        info = tarfile.TarInfo(name.lstrip("/"))
        info.size, info.mode = len(raw), mode
        if self._is_new(info.name):
            self.tar.addfile(info, io.BytesIO(raw))

    def symlink(self, name: str, target: str) -> None:
        info = tarfile.TarInfo(name.lstrip("/"))
        info.type, info.linkname = tarfile.SYMTYPE, target
        if self._is_new(info.name):
            self.tar.addfile(info)

    def _is_new(self, name: str) -> bool:
        is_new = name not in self.seen
        self.seen.add(name)
        return is_new


def _add_interpreter(layer: _Layer, interpreter: Interpreter) -> None:
    home = f"/opt/python/{interpreter.version}"
    libraries: set[str] = set()
    for part in ("bin", "lib", "include"):
        root = interpreter.prefix / part
        for folder, _, names in os.walk(root):
            for name in names:
                source = f"{folder}/{name}"
                inside = f"{home}/{part}/{Path(source).relative_to(root)}"
                if _SPARE.search(inside) or "/site-packages/" in inside or _names_the_host(source):
                    continue
                layer.add(source, inside)
                if name.endswith(".so") or name == f"python{interpreter.version}":
                    libraries.add(source)
    for library in _needed(libraries):
        layer.add(library)
    # The image has no loader cache; /usr/lib is looked into without one.
    for shared in sorted((interpreter.prefix / "lib").glob("libpython*.so*")):
        layer.symlink(f"/usr/lib/{shared.name}", f"{home}/lib/{shared.name}")
    site = Path(home) / "lib" / f"python{interpreter.version}" / "site-packages"
    _add_pip(layer, interpreter, site, f"{home}/bin/python3")
    for name in ("python3", "python", f"python{interpreter.version}"):
        layer.symlink(f"/usr/local/bin/{name}", f"{home}/bin/python{interpreter.version}")


@lru_cache(maxsize=1)
def _installed_versions() -> str:
    try:
        text = output(["dpkg-query", "-W", "-f", "${Package}=${Version}\n", *PACKAGES, *PYTHON_PACKAGES])
    except EngineError:
        text = ""
    return hashlib.sha256(text.encode()).hexdigest()


def _files(packages: Iterable[str]) -> list[str]:
    """Every file of the packages and of what they depend on, that is installed here."""
    installed = _dependencies()
    wanted, todo = set[str](), [name for name in packages if name in installed]
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted.add(name)
            todo += [
                other
                for other in installed[name]
                if other in installed and other not in {"perl-base", "perl", "dpkg", "debconf", "systemd", "apt"}
            ]
    lines = output(["dpkg", "-L", *sorted(wanted)]).splitlines()
    return [line for line in lines if line.startswith("/") and not _LEFT_OUT.search(line)]


@lru_cache(maxsize=1)
def _dependencies() -> dict[str, list[str]]:
    lines = output(
        ["dpkg-query", "-W", "-f", "${Package}\t${db:Status-Abbrev}\t${Depends}, ${Pre-Depends}\n"]
    ).splitlines()
    found = {}
    for line in lines:
        name, status, depends = line.split("\t")
        if status.startswith("ii"):
            found[name] = [
                option.split()[0].split(":")[0]
                for group in depends.split(",")
                for option in group.split("|")
                if option.strip()
            ]
    return found


def _needed(libraries: Iterable[str]) -> set[str]:
    try:
        text = output(["ldd", *sorted(libraries)])
    except EngineError:
        return set()
    return {found for found in re.findall(r"=> (/\S+)", text) if not found.startswith(("/root", "/home"))}


def _names_the_host(source: str) -> bool:
    """pip's scripts start with the host's path of their interpreter and would not run."""
    if "/bin/" not in source or Path(source).is_symlink():
        return False
    with Path(source).open("rb") as file:
        return file.read(2) == b"#!"


def _add_pip(layer: _Layer, interpreter: Interpreter, site: Path, python: str) -> None:
    """pip itself, from the wheel that every interpreter brings: a newer one's would not run on an older."""
    for wheel in _wheels(interpreter):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if not name.endswith("/"):
                    layer.text(f"{site}/{name}", archive.read(name))
    script = f"#!{python}\nimport sys\nfrom pip._internal.cli.main import main\nsys.exit(main())\n"
    for name in ("pip", "pip3"):
        layer.text(f"/usr/local/bin/{name}", script, mode=0o755)


def _wheels(interpreter: Interpreter) -> list[Path]:
    """Its own pip, else the newest interpreter's."""
    places = [_bundled(interpreter), Path("/usr/share/python-wheels")]
    places += [_bundled(one) for one in reversed(interpreters())]
    return next((found[-1:] for place in places if (found := sorted(place.glob("pip-*.whl")))), [])


def _bundled(one: Interpreter) -> Path:
    return one.prefix / "lib" / f"python{one.version}" / "ensurepip" / "_bundled"
