"""Artifacts: the files of a job's run, read where they lie: the run folder while live, MLflow's root after."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from services import access, datastores, jobs
from services.core.errors import NotFound
from services.engines import files
from services.engines.files import File
from services.store.rows import Experiment, Job
from services.studio import Scope, Studio

LIVE = ("user_logs", "system_logs", "outputs", "logs")


def listed(scope: Scope, name: str, *, prefix: str = "") -> list[File]:
    """Files of the run below `prefix`, by path."""
    access.require(scope, "jobs/read")
    job = jobs.get(scope, name)
    found = {file.path: file for root in roots(scope, job) for file in _texts(_below(root, prefix))}
    return [found[path] for path in sorted(found)]


def opened(scope: Scope, name: str, path: str) -> tuple[BinaryIO, int]:
    """One file for reading, and its size. Raises NotFound, Invalid."""
    access.require(scope, "jobs/read")
    job = jobs.get(scope, name)
    for root in roots(scope, job):
        if _allowed(scope, job, root, path):
            try:
                return _opened(root, path)
            except NotFound:
                continue
    raise NotFound(f"Job '{name}' has no file '{path[:200]}'.")


def output(scope: Scope, name: str, output_name: str) -> list[File]:
    """Files of a named output; a single file is listed by its own name."""
    access.require(scope, "jobs/read")
    root, single = _output(scope, jobs.get(scope, name), output_name)
    found = _texts(files.walk(root))
    return [file for file in found if file.path == single] if single else found


def opened_output(scope: Scope, name: str, output_name: str, path: str) -> tuple[BinaryIO, int]:
    """One file of a named output, and its size."""
    access.require(scope, "jobs/read")
    root, single = _output(scope, jobs.get(scope, name), output_name)
    if single and path != single:
        raise NotFound(f"Output '{output_name}' has no file '{path[:200]}'.")
    return _opened(root, path)


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


def run_root(studio: Studio, workspace_id: str, experiment_id: str, run_id: str) -> Path:
    """MLflow's artifact folder of a run: `artifacts/workspaces/<workspace>/<experiment>/<run>/artifacts`."""
    name = mlflow_workspace(workspace_id)
    return studio.folders.artifacts / "workspaces" / name / experiment_id / run_id / "artifacts"


def mlflow_workspace(workspace_id: str) -> str:
    """A studio workspace's name in MLflow; by id, because names can be given again after a purge."""
    return f"ws-{workspace_id}"


def _opened(root: Path, path: str) -> tuple[BinaryIO, int]:
    """A path as it is listed; what is no text is looked for by how it is shown."""
    if "\ufffd" in path:
        path = next((file.path for file in files.walk(root) if _text(file.path) == path), path)
    return files.open_inside(root, path), files.size_inside(root, path)


def _texts(found: Iterable[File]) -> list[File]:
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


def _output(scope: Scope, job: Job, output_name: str) -> tuple[Path, str]:
    declared = job.resolved.get("outputs", {}).get(output_name)
    if declared is None:
        known = ", ".join(job.resolved.get("outputs", {})) or "none"
        raise NotFound(f"Job '{job.name}' has no output '{output_name[:80]}'.", hint=f"Its outputs: {known}.")
    store, path = datastores.parse(declared["path"])
    folder = datastores.folder(scope.studio, datastores.get(scope, store))
    if declared.get("type") == "uri_file":
        parent, _, name = path.rpartition("/")
        return files.inside(folder, parent), name
    return files.inside(folder, path), ""
