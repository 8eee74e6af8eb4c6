"""Build contexts: packed without following links, with `FROM` lines as the image map wants them."""

import io
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from docker.utils import exclude_paths

from services.core.errors import Invalid
from services.engines.pip_settings import CA, PipSettings

DOCKERFILE = ".atelier.Dockerfile"
_CA_FILE = ".atelier-ca.crt"
_FROM = re.compile(
    r"\A(?P<head>\s*FROM\s+(?:--platform=\S+\s+)?)(?P<image>\S+)(?P<tail>.*)\Z", re.IGNORECASE | re.DOTALL
)
_COPY_FROM = re.compile(r"(?P<head>\A\s*(?:COPY|ADD)\b.*?--from=)(?P<image>\S+)", re.IGNORECASE | re.DOTALL)
_ALIAS = re.compile(r"\s+AS\s+(?P<alias>\S+)", re.IGNORECASE)
_ARG = re.compile(r"\A\s*ARG\s+(?P<name>\w+)=(?P<value>\S+)", re.IGNORECASE)
_USED = re.compile(r"\$\{?(?P<name>\w+)(?::?-(?P<default>[^}]*))?\}?")
# Known to every builder, and no trace of them in the image: they are not declared by ARG lines of ours.
_PREDEFINED = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


def images(dockerfile: str) -> list[str]:
    """The references that `FROM` and `COPY --from` name, without stages and `scratch`."""
    found: list[str] = []
    _rewritten(dockerfile, lambda image: found.append(image) or image)  # type: ignore[func-returns-value]
    return list(dict.fromkeys(found))


def rewritten(dockerfile: str, froms: Mapping[str, str]) -> str:
    """The same file with its images replaced."""
    return _rewritten(dockerfile, lambda image: froms.get(image, image))


def build_arguments(settings: PipSettings) -> Mapping[str, str]:
    return {name: value for name, value in settings.environment.items() if name in _PREDEFINED}


@contextmanager
def packed(
    context: Path, dockerfile: str, froms: Mapping[str, str], settings: PipSettings, scratch: Path
) -> Iterator[IO[bytes]]:
    """The context as a tar. pip's settings and the CA enter each stage as ARG and COPY, and leave with it."""
    text = (context / dockerfile).read_text(encoding="utf-8", errors="replace")
    certificate = next((mount.source for mount in settings.mounts if mount.target == CA), None)
    ready = _with_settings(rewritten(text, froms), settings, certificate is not None)
    with tempfile.TemporaryFile(dir=scratch) as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name in sorted(exclude_paths(str(context), _ignored(context), dockerfile=dockerfile)):
                _add(tar, context / name, name)
            _text(tar, DOCKERFILE, ready.encode())
            if certificate is not None:
                _text(tar, _CA_FILE, certificate.read_bytes())
        archive.seek(0)
        yield archive


def _rewritten(dockerfile: str, use: Callable[[str], str]) -> str:
    stages: set[str] = set()
    arguments: dict[str, str] = {}
    lines = []
    for line in _logical_lines(dockerfile):
        if argument := _ARG.match(line):
            arguments.setdefault(argument["name"], argument["value"].strip("\"'"))
        if found := _FROM.match(line):
            image = _USED.sub(lambda used: arguments.get(used["name"], used["default"] or ""), found["image"])
            if not image:
                raise Invalid(f"'{line.strip()[:120]}' names no image.", where="Dockerfile")
            if image.casefold() not in stages and image != "scratch":
                line = f"{found['head']}{use(image)}{found['tail']}"
            if alias := _ALIAS.search(found["tail"]):
                stages.add(alias["alias"].casefold())
        elif (
            (found := _COPY_FROM.match(line))
            and not found["image"].isdecimal()
            and found["image"].casefold() not in stages
        ):
            line = line.replace(f"--from={found['image']}", f"--from={use(found['image'])}", 1)
        lines.append(line)
    return "\n".join(lines) + "\n"


def _logical_lines(text: str) -> Iterator[str]:
    """Lines with their continuations."""
    held = ""
    for line in text.splitlines():
        held += line
        if line.rstrip().endswith("\\") and not line.lstrip().startswith("#"):
            held += "\n"
            continue
        yield held
        held = ""
    if held:
        yield held


def _with_settings(dockerfile: str, settings: PipSettings, has_certificate: bool) -> str:
    """ARG values last for their stage only and are in no layer's environment."""
    wanted = {
        name: value
        for name, value in settings.environment.items()
        if name not in _PREDEFINED
        and (name.startswith("PIP_") or has_certificate)
        and "file://" not in value
        and not value.startswith("/opt")
    }
    extra = [f"ARG {name}={_quoted(value)}" for name, value in wanted.items()]
    if has_certificate:
        extra.insert(0, f"COPY {_CA_FILE} {CA}")
    lines = []
    for line in _logical_lines(dockerfile):
        lines.append(line)
        if _FROM.match(line) and "scratch" not in line.split():
            lines += extra
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'


def _ignored(context: Path) -> list[str]:
    path = context / ".dockerignore"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    info = tar.gettarinfo(str(path), arcname=name)
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    if info.isreg():
        with path.open("rb") as file:
            tar.addfile(info, file)
    elif info.isdir() or info.issym():
        tar.addfile(info)


def _text(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    tar.addfile(info, io.BytesIO(content))
