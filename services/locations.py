"""Where the files of a URI lie: on this host, in a store elsewhere, or behind a URL. One answer for all who ask."""

import re
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session, col, select

from services import access, datastores, environments
from services.core.errors import Invalid, NotFound
from services.engines import files
from services.store.metrics import Run
from services.store.rows import Datastore, Experiment, Job
from services.studio import Scope, Studio, mlflow_workspace, run_root

ARTIFACTS = "artifacts"
_JOB = re.compile(r"\Aazureml://jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)(?:/paths/(?P<path>.*))?\Z", re.ASCII)
_RUN = re.compile(r"\Aruns:/{1,3}(?P<run>[^/]+)(?:/(?P<path>.*))?\Z", re.ASCII)
_KEPT = "mlflow-artifacts:/"


@dataclass(frozen=True)
class Location:
    """Exactly one of them: `local` on this host, `datastore` with a `path` in it, or an http(s) `url`."""

    local: Path | None = None
    datastore: Datastore | None = None
    path: str = ""
    url: str = ""


def located(scope: Scope, uri: str, *, where: str = "path") -> Location:
    """Raises NotFound or Invalid naming `where`; nothing is opened, so the files need not be there."""
    access.require(scope, "datastores/read")
    return at(scope.studio, scope.session, scope.workspace_id, uri, where=where)


def maker(scope: Scope, uri: str, *, where: str = "path") -> Job | None:
    """The job whose output or run a URI names; None for any other. Raises NotFound when there is no such job."""
    access.require(scope, "jobs/read")
    if (found := _JOB.match(uri)) is not None:
        return _job(scope.session, scope.workspace_id, found["job"], where)
    if (found := _RUN.match(uri)) is not None:
        job = _of_run(scope.session, scope.workspace_id, found["run"])
        if job is None:
            _root_of_run(scope.studio, scope.session, scope.workspace_id, found["run"], where)
        return job
    return None


def at(studio: Studio, session: Session, workspace_id: str, uri: str, *, where: str = "path") -> Location:
    """For the worker, who asks for a job that somebody was allowed to submit."""
    mapped = environments.image_map(studio).url(uri)
    if mapped != uri and ".." in mapped.split("/"):
        raise Invalid(f"'{uri[:200]}' leads out of what its address is mapped to.", where=where)
    if mapped.startswith(("http://", "https://")):
        return Location(url=mapped)
    if (found := _JOB.match(mapped)) is not None:
        return _of_job(studio, session, workspace_id, found, where)
    if (found := _RUN.match(mapped)) is not None:
        root = _root_of_run(studio, session, workspace_id, found["run"], where)
        return Location(files.inside(root, datastores.confined(found["path"] or "", field=where)))
    if mapped.startswith(_KEPT):
        return Location(_kept(studio, workspace_id, mapped, where))
    if mapped.startswith("azureml://"):
        return _in_datastore(studio, session, workspace_id, mapped, where)
    path = Path(mapped.removeprefix("file://"))
    if "://" in mapped or not path.is_absolute() or mapped == uri:
        raise Invalid(
            f"'{uri[:200]}' cannot be read from here.",
            where=where,
            hint="Upload it, name a datastore path or an http(s) URL, or map its URL in maps.yml.",
        )
    return Location(path)


def _in_datastore(studio: Studio, session: Session, workspace_id: str, uri: str, where: str) -> Location:
    name, path = datastores.parse(uri, field=where)
    store = session.exec(
        select(Datastore).where(Datastore.workspace_id == workspace_id, Datastore.name == name)
    ).one_or_none()
    if store is None:
        raise NotFound(f"Datastore '{name[:80]}' was not found.", where=where)
    if store.type == "folder":
        return Location(files.inside(datastores.folder(studio, store), path))
    return Location(datastore=store, path=path)


def _of_job(studio: Studio, session: Session, workspace_id: str, found: re.Match[str], where: str) -> Location:
    job, name = _job(session, workspace_id, found["job"], where), found["output"]
    inner = datastores.confined(found["path"] or "", field=where)
    declared = job.resolved.get("outputs", {}).get(name)
    if declared is None and name in {ARTIFACTS, "default"}:
        return Location(files.inside(_root(studio, session, job), inner))
    if declared is None:
        known = ", ".join([*job.resolved.get("outputs", {}), ARTIFACTS])
        raise NotFound(f"Job '{job.name}' has no output '{name[:80]}'.", where=where, hint=f"Its outputs: {known}.")
    uri = declared["path"] if not inner else f"{declared['path'].rstrip('/')}/{inner}"
    return _in_datastore(studio, session, workspace_id, uri, where)


def _job(session: Session, workspace_id: str, name: str, where: str) -> Job:
    row = session.exec(
        select(Job).where(Job.workspace_id == workspace_id, Job.name == name, col(Job.deleted_at).is_(None))
    ).one_or_none()
    if row is None:
        raise NotFound(f"Job '{name[:80]}' was not found.", where=where)
    return row


def _root_of_run(studio: Studio, session: Session, workspace_id: str, run: str, where: str) -> Path:
    """By MLflow's id or the job's name; runs that no job made have artifacts too."""
    job = _of_run(session, workspace_id, run)
    if job is not None:
        return _root(studio, session, job)
    row = session.get(Run, run)
    if row is None or row.workspace_id != workspace_id:
        raise NotFound(f"Run '{run[:80]}' was not found.", where=where)
    return run_root(studio, workspace_id, row.experiment_id, run)


def _of_run(session: Session, workspace_id: str, run: str) -> Job | None:
    return session.exec(
        select(Job).where(
            Job.workspace_id == workspace_id,
            (col(Job.run_id) == run) | (col(Job.name) == run),
            col(Job.deleted_at).is_(None),
        )
    ).first()


def _root(studio: Studio, session: Session, job: Job) -> Path:
    """Where a run's artifacts are kept once it is over. Raises NotFound before."""
    experiment = session.get(Experiment, job.experiment_id)
    if job.collected_at is None or experiment is None or not experiment.mlflow_id or not job.run_id:
        raise NotFound(f"Job '{job.name}' is not over: its artifacts are not kept yet.")
    return run_root(studio, job.workspace_id, experiment.mlflow_id, job.run_id)


def _kept(studio: Studio, workspace_id: str, uri: str, where: str) -> Path:
    """A file that MLflow keeps for this workspace; another workspace's is not found."""
    path = datastores.confined(uri.removeprefix(_KEPT), field=where)
    mine = f"workspaces/{mlflow_workspace(workspace_id)}"
    if path != mine and not path.startswith(f"{mine}/"):
        raise NotFound(f"'{uri[:200]}' was not found.", where=where)
    return files.inside(studio.folders.artifacts, path)
