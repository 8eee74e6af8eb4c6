"""The files of runs and logged models at the source of a copy: on this machine, or given out by a server."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from services.core.errors import Invalid
from services.engines.mlflow_servers import FILES, PIECE, Entry, Json, Places, Server

Note = Callable[[str], None]


@dataclass(frozen=True)
class File:
    """One file to copy; `open` gives it in pieces."""

    path: str
    size: int | None
    open: Callable[[], AbstractContextManager[Iterator[bytes]]]


def of_run(source: Server, told: Json, note: Note) -> Iterator[File]:
    """Those of a run, wherever the source keeps them; `note` hears what is left out."""
    info = told["info"]
    run_id, uri = str(info["run_id"]), str(info.get("artifact_uri", ""))
    if source.places is not None and is_local(uri):
        return _local(source.places, note, uri, str(info["experiment_id"]), run_id, "artifacts")

    def listed(folder: str) -> Iterator[Entry]:
        return source.listed("artifacts/list", "path", run_id=run_id, **({"path": folder} if folder else {}))

    return _walked(source, uri, listed, "get-artifact", "path", run_uuid=run_id)


def of_model(source: Server, info: Json, note: Note) -> Iterator[File]:
    """Those of a logged model."""
    model_id, uri = str(info["model_id"]), str(info.get("artifact_uri", ""))
    if source.places is not None and is_local(uri):
        return _local(source.places, note, uri, str(info["experiment_id"]), "models", model_id, "artifacts")

    def listed(folder: str) -> Iterator[Entry]:
        asked = {"artifact_directory_path": folder} if folder else {}
        return source.listed(f"logged-models/{model_id}/artifacts/directories", "path", **asked)

    plain = f"ajax-api/2.0/mlflow/logged-models/{model_id}/artifacts/files"
    return _walked(source, uri, listed, plain, "artifact_file_path")


def _local(places: Places, note: Note, uri: str, *own: str) -> Iterator[File]:
    """Files on this machine; links are followed only to what lies in the source itself."""
    root = places.of(uri, *own)
    if root is None:
        if not _is_beside(uri, places):
            note(f"Files at {uri[:200]} were left out: --artifacts names the folder that they are in.")
        return
    for here, folders, files in os.walk(root):
        folders.sort()
        for name in sorted([*files, *(each for each in folders if (Path(here) / each).is_symlink())]):
            path = Path(here) / name
            inner = path.relative_to(root).as_posix()
            if not places.holds(path) or not path.is_file():
                note(f"'{inner}' in {'/'.join(own[:-1])} is a link, and was left out.")
                continue
            yield File(inner, path.stat().st_size, partial(_read, path))


def _walked(
    source: Server, uri: str, listed: Callable[[str], Iterator[Entry]], plain: str, parameter: str, **asked: str
) -> Iterator[File]:
    """Files of a server, folder after folder, by the way that it serves those of this URI."""
    root = served(uri)
    todo = [""]
    while todo:
        folder = todo.pop()
        for entry in listed(folder):
            path = entry["path"]
            if not _is_below(path, folder):
                raise Invalid(f"The source named a path outside of the folder: {path[:200]!r}.")
            if entry["is_dir"]:
                todo.append(path)
            elif root:
                yield File(path, entry["size"], partial(source.opened, f"{FILES}/{root}/{path}"))
            else:
                yield File(path, entry["size"], partial(source.opened, plain, **asked, **{parameter: path}))


def served(uri: str) -> str:
    """The path of files that a server hands out itself; empty for those that only its clients reach."""
    is_served = uri.startswith("mlflow-artifacts:/") and not uri.startswith("mlflow-artifacts://")
    return uri.removeprefix("mlflow-artifacts:").strip("/") if is_served else ""


def is_local(uri: str) -> bool:
    """Whether a source on this machine keeps it on this machine."""
    return "://" not in uri or uri.startswith(("file:", "mlflow-artifacts:"))


def _is_beside(uri: str, places: Places) -> bool:
    """Whether it would be found if it were there: a run without files has no folder."""
    path = uri.removeprefix("file://").removeprefix("file:")
    if uri.startswith("mlflow-artifacts:") or not path.startswith("/"):
        return True
    return places.holds(Path(path)) or not Path(path).exists()


def _is_below(path: str, folder: str) -> bool:
    parts = path.split("/")
    return bool(path) and ".." not in parts and parts[0] != "" and (not folder or path.startswith(f"{folder}/"))


@contextmanager
def _read(path: Path) -> Iterator[Iterator[bytes]]:
    with path.open("rb") as file:
        yield iter(partial(file.read, PIECE), b"")
