"""Build contexts: packed without following links, with images as the image map wants them."""

import io
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from docker.utils import exclude_paths

from services.engines import dockerfiles
from services.engines.files import open_inside
from services.engines.pip_settings import CA, PipSettings

DOCKERFILE = ".atelier.Dockerfile"
_CA_FILE = ".atelier-ca.crt"
# Known to every builder, and no trace of them in the image: they are not declared by ARG lines of ours.
_PREDEFINED = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


def build_arguments(settings: PipSettings) -> Mapping[str, str]:
    return {name: value for name, value in settings.environment.items() if name in _PREDEFINED}


@contextmanager
def packed(
    context: Path, dockerfile: str, froms: Mapping[str, str], settings: PipSettings, scratch: Path
) -> Iterator[IO[bytes]]:
    """The context as a tar. pip's settings and the CA enter each stage as ARG and COPY, and leave with it."""
    with open_inside(context, dockerfile) as file:
        text = file.read().decode("utf-8", "replace")
    certificate = next((mount.source for mount in settings.mounts if mount.target == CA), None)
    ready = _with_settings(dockerfiles.rewritten(text, froms), settings, certificate is not None)
    with tempfile.TemporaryFile(dir=scratch) as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name in sorted(exclude_paths(str(context), _ignored(context), dockerfile=dockerfile)):
                _add(tar, context / name, name)
            _text(tar, DOCKERFILE, ready.encode())
            if certificate is not None:
                _text(tar, _CA_FILE, certificate.read_bytes())
        archive.seek(0)
        yield archive


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
    for line in dockerfiles.logical_lines(dockerfile):
        lines.append(line)
        if dockerfiles.starts_a_stage(line):
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
