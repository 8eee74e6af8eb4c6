"""What a job leaves behind, taken over without trust; every step can be repeated after a crash."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from services import datastores
from services.core import failpoints
from services.core.errors import AtelierError, Invalid, NotFound, Unavailable
from services.core.times import now
from services.engines import files
from services.engines.files import remove_tree
from services.engines.stores import Store
from services.reconcile.data import held
from services.reconcile.launch import LIVE
from services.store.rows import Job, Workspace
from services.studio import SYSTEM, Studio

NAMED = 5
PATIENCE = timedelta(minutes=5)


def outputs(studio: Studio, job: Job) -> list[str]:
    """Moves outputs that were held back to their datastore; sentences about what was left.

    Raises Unavailable while a store elsewhere may still come back.
    """
    said: list[str] = []
    for name, declared in job.resolved.get("outputs", {}).items():
        source = held(studio, job, name)
        if not declared.get("collected") or not source.is_dir():
            continue
        if declared["target"]:
            taken = _taken(source, Path(declared["target"]), is_file=declared["type"] == "uri_file")
            failpoints.reach("output_collected")
            said += _left(f"output '{name}'", taken.refused)
        else:
            said += _sent(studio, job, name, declared, source)
    return said


def _taken(source: Path, target: Path, *, is_file: bool) -> files.Collected:
    return files.collect(source, target.parent, only=target.name) if is_file else files.collect(source, target)


def _sent(studio: Studio, job: Job, name: str, declared: dict[str, Any], source: Path) -> list[str]:
    """To a store elsewhere; what it does not take is kept in the workspace, and the row says where."""
    datastore, path = datastores.parse(declared["path"])
    is_file = declared["type"] == "uri_file"
    try:
        with studio.scope(SYSTEM) as scope:
            scope.workspace = scope.session.get(Workspace, job.workspace_id)
            store = datastores.opened(scope, datastores.get(scope, datastore))
        with store:
            refused = _stored(store, source, path, is_file=is_file)
    except AtelierError as cause:
        if isinstance(cause, Unavailable) and now() < (job.finished_at or now()) + PATIENCE:
            raise
        kept = f"azureml/{job.name}/{name}" + (f"/{path.rpartition('/')[2]}" if is_file else "")
        target = studio.folders.datastore(job.workspace_id, datastores.DEFAULT) / kept
        uri = f"azureml://datastores/{datastores.DEFAULT}/paths/{kept}"
        _remember(studio, job, name, {**declared, "path": uri, "target": str(target)})
        taken = _taken(source, target, is_file=is_file)
        return [f"Output '{name}' was kept at {uri}: {cause.message}", *_left(f"output '{name}'", taken.refused)]
    remove_tree(source)
    return _left(f"output '{name}'", refused)


def _remember(studio: Studio, job: Job, name: str, declared: dict[str, Any]) -> None:
    """Before anything moves: after a crash the rest goes the same way."""
    job.resolved = {**job.resolved, "outputs": {**job.resolved["outputs"], name: declared}}
    with studio.scope(SYSTEM, write=True) as scope:
        row = scope.session.get(Job, job.id)
        if row is not None:
            row.resolved = job.resolved
            scope.session.add(row)


def _stored(store: Store, source: Path, path: str, *, is_file: bool) -> list[tuple[str, str]]:
    if not is_file:
        return store.push(source, path).refused
    name = path.rpartition("/")[2]
    try:
        with files.open_inside(source, name) as stream:
            store.write(path, stream, files.size_inside(source, name))
    except (NotFound, Invalid) as cause:
        return [(name, f"cannot be read ({cause.message})")]
    return []


def run_files(studio: Studio, job: Job, root: Path) -> list[str]:
    """Moves logs and artifacts into the run's artifact folder."""
    run = studio.folders.run(job.id)
    said: list[str] = []
    for name in LIVE:
        if (run / name).is_dir():
            said += _left(name, files.collect(run / name, (root / name).resolve()).refused)
    return said


def _left(where: str, refused: Sequence[tuple[str, str]]) -> list[str]:
    said = [f"{path} in {where} was left: it {reason}." for path, reason in refused[:NAMED]]
    more = len(refused) - NAMED
    return [*said, f"{more} more in {where} were left."] if more > 0 else said
