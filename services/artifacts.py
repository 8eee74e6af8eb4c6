"""Artifacts: the files of a job's run, read where they lie: the run folder while live, MLflow's root after."""

import os
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from services import access, datastores, jobs
from services.core.errors import NotFound
from services.core.paging import MOST
from services.core.times import now
from services.engines import files
from services.engines.files import File
from services.store.rows import Datastore, Experiment, Job
from services.studio import Scope, run_root

LIVE = ("user_logs", "system_logs", "outputs", "logs")


def listed(scope: Scope, name: str, *, prefix: str = "") -> list[File]:
    """Files of the run below `prefix`, by path."""
    access.require(scope, "jobs/read")
    job = jobs.get(scope, name)
    found = {file.path: file for root in roots(scope, job) for file in texts(_below(root, prefix))}
    return [found[path] for path in sorted(found)]


def opened(scope: Scope, name: str, path: str) -> tuple[BinaryIO, int]:
    """One file for reading, and its size. Raises NotFound, Invalid."""
    access.require(scope, "jobs/read")
    job = jobs.get(scope, name)
    for root in roots(scope, job):
        if _allowed(scope, job, root, path):
            try:
                return opened_below(root, path)
            except NotFound:
                continue
    raise NotFound(f"Job '{name}' has no file '{path[:200]}'.")


def output(scope: Scope, name: str, output_name: str) -> list[File]:
    """Files of a named output; a single file is listed by its own name."""
    access.require(scope, "jobs/read")
    store, path, is_file = _output(scope, jobs.get(scope, name), output_name)
    if store.type != "folder":
        return _in_store(scope, store, path, is_file=is_file)
    folder, single = _within(scope, store, path, is_file=is_file)
    found = texts(files.walk(folder))
    return [file for file in found if file.path == single] if single else found


def opened_output(scope: Scope, name: str, output_name: str, path: str) -> tuple[BinaryIO, int]:
    """One file of a named output, and its size."""
    access.require(scope, "jobs/read")
    store, root, is_file = _output(scope, jobs.get(scope, name), output_name)
    if is_file and path != root.rpartition("/")[2]:
        raise NotFound(f"Output '{output_name}' has no file '{path[:200]}'.")
    if store.type != "folder":
        inner = root if is_file else f"{root}/{datastores.confined(path)}".strip("/")
        return datastores.file(datastores.opened(scope, store), inner)
    folder, _ = _within(scope, store, root, is_file=is_file)
    return opened_below(folder, path)


def snapshot(scope: Scope, name: str) -> list[File]:
    """The code that the job ran."""
    access.require(scope, "jobs/read")
    job = jobs.get(scope, name)
    if job.snapshot_id is None:
        return []
    return list(files.walk(scope.studio.folders.snapshot(job.workspace_id, job.snapshot_id)))


def opened_snapshot(scope: Scope, name: str, path: str) -> tuple[BinaryIO, int]:
    access.require(scope, "jobs/read")
    job = jobs.get(scope, name)
    if job.snapshot_id is None:
        raise NotFound(f"Job '{name}' has no code.")
    root = scope.studio.folders.snapshot(job.workspace_id, job.snapshot_id)
    return files.open_inside(root, path), files.size_inside(root, path)


def roots(scope: Scope, job: Job) -> list[Path]:
    """Where the run's files may lie, most recent first; no permission of its own."""
    experiment = scope.session.get(Experiment, job.experiment_id)
    found = [scope.studio.folders.run(job.id)]
    if experiment is not None and experiment.mlflow_id and job.run_id:
        found.append(run_root(scope.studio, job.workspace_id, experiment.mlflow_id, job.run_id))
    return found


def opened_below(root: Path, path: str) -> tuple[BinaryIO, int]:
    """A path as it is listed; what is no text is looked for by how it is shown."""
    if "\ufffd" in path:
        path = next((file.path for file in files.walk(root) if _text(file.path) == path), path)
    return files.open_inside(root, path), files.size_inside(root, path)


def texts(found: Iterable[File]) -> list[File]:
    """Jobs may give their files names that no page, link or JSON can carry."""
    return [replace(file, path=_text(file.path)) for file in found]


def _text(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "replace")


def _below(root: Path, prefix: str) -> list[File]:
    found = []
    for file in files.walk(root):
        if root.parent.name == "runs" and file.path.split("/", 1)[0] not in LIVE:
            continue
        if file.path.startswith(prefix):
            found.append(file)
    return found


def _allowed(scope: Scope, job: Job, root: Path, path: str) -> bool:
    return root != scope.studio.folders.run(job.id) or path.split("/", 1)[0] in LIVE


def _output(scope: Scope, job: Job, output_name: str) -> tuple[Datastore, str, bool]:
    """The datastore, the path there, and whether that is a single file."""
    declared = job.resolved.get("outputs", {}).get(output_name)
    if declared is None:
        known = ", ".join(job.resolved.get("outputs", {})) or "none"
        raise NotFound(f"Job '{job.name}' has no output '{output_name[:80]}'.", hint=f"Its outputs: {known}.")
    store, path = datastores.parse(declared["path"])
    return datastores.get(scope, store), path, declared.get("type") == "uri_file"


def _within(scope: Scope, store: Datastore, path: str, *, is_file: bool) -> tuple[Path, str]:
    folder = datastores.folder(scope.studio, store)
    parent, _, name = path.rpartition("/")
    return (files.inside(folder, parent), name) if is_file else (files.inside(folder, path), "")


def _in_store(scope: Scope, store: Datastore, path: str, *, is_file: bool) -> list[File]:
    with datastores.opened(scope, store) as opened_:
        if is_file:
            entry = opened_.stat(path)
            return [File(path.rpartition("/")[2], entry.size, (entry.modified or now()).timestamp())]
        found = islice(opened_.list(path, limit=MOST), MOST)
        return [
            File(each.path.removeprefix(f"{path}/"), each.size, (each.modified or now()).timestamp()) for each in found
        ]
