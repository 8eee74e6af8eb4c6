"""A job's inputs and outputs made ready: where they lie here, and what its command sees of them."""

import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import Session, select

from services import datastores, locations
from services.core.errors import Denied, EngineError, Invalid, NotFound, Unavailable
from services.engines import downloads, files
from services.engines.containers import Engine, Mount
from services.job_inputs import MODELS
from services.specs.jobs import CommandJob, Data, Output
from services.store.rows import Datastore, Job
from services.studio import Studio, mlflow_workspace

_PLACEHOLDER = re.compile(r"\$\{\{\s*(name|output_name|default_datastore)\s*\}\}")


@dataclass(frozen=True)
class Ready:
    """One input or output: `value` is what the command gets, `mount` how it is shown (None: not at all)."""

    value: str
    mount: Mount | None = None


@dataclass(frozen=True)
class Place:
    """Where an output goes: the datastore's URI, and its folder or file here, or None in a store elsewhere.

    `collected`: it is held in the run's folder until the job ends.
    """

    uri: str
    target: Path | None
    is_file: bool
    collected: bool

    @property
    def name(self) -> str:
        return self.uri.rpartition("/")[2]


def inputs(
    studio: Studio, session: Session, engine: Engine, job: Job, spec: CommandJob, inside: str, *, again: bool = True
) -> dict[str, Ready]:
    """Raises NotFound, Invalid or EngineError naming the input.

    `again` asks stores elsewhere what is new; without it what was fetched when the job was prepared is taken.
    """
    found = {}
    for name, data in spec.data().items():
        where = f"inputs.{name}.path"
        settled = job.resolved.get("assets", {}).get(name, {})
        path, type_ = settled.get("path", data.path), settled.get("type", data.type)
        if data.mode == "direct":
            found[name] = Ready(path)
            continue
        try:
            source = found_at(studio, session, job.workspace_id, path, type_, again=again)
        except (NotFound, Invalid, EngineError) as cause:
            raise type(cause)(cause.message, where=cause.where or where, hint=cause.hint) from cause
        try:
            if not source.exists():
                raise NotFound(f"Input '{name}': '{data.path[:200]}' is not there.", where=where)
            found[name] = _shown(studio, engine, job, name, data, source, inside)
        except OSError as cause:
            raise Invalid(f"Input '{name}': '{data.path[:200]}' cannot be read: {_why(cause)}.", where=where) from cause
    return found


def place_of(studio: Studio, session: Session, job: Job, name: str, output: Output) -> Place:
    """Where an output goes. The default is `<default datastore>/azureml/<job>/<output>/`."""
    is_file, where = output.type == "uri_file", f"outputs.{name}.path"
    usual = datastores.default(session, job.workspace_id).name
    default = f"azureml://datastores/{usual}/paths/azureml/{job.name}/{name}" + (f"/{name}" * is_file)
    values = {"name": job.name, "output_name": name, "default_datastore": usual}
    uri = _PLACEHOLDER.sub(lambda match: values[match[1]], output.path or default)
    store, path = datastores.parse(uri, field=where)
    row = session.exec(
        select(Datastore).where(Datastore.workspace_id == job.workspace_id, Datastore.name == store)
    ).one_or_none()
    if row is None:
        raise NotFound(f"Datastore '{store[:80]}' was not found.", where=where)
    if row.is_read_only:
        raise Invalid(f"Output '{name}': datastore '{store}' is for reading only.", where=where)
    if is_file and not path:
        raise Invalid("The path of a file names the file.", where=where)
    if row.type != "folder":
        return Place(uri, None, is_file, collected=True)
    folder = datastores.folder(studio, row).resolve()
    target = files.inside(folder, path)
    is_among = folder / datastores.UPLOADED in {target, *target.parents} or (target == folder and not is_file)
    if store == datastores.DEFAULT and is_among:
        raise Invalid(
            f"Output '{name}' would lie among versions of data, which never change.",
            where=where,
            hint="Give it a folder of its own, such as azureml://datastores/workspaceblobstore/paths/results/${{name}}.",
        )
    return Place(uri, target, is_file, collected=is_file or output.mode == "upload")


def outputs(studio: Studio, engine: Engine, job: Job, places: Mapping[str, Place], inside: str) -> dict[str, Ready]:
    """Folders exist before the command starts; of a file the folder exists and the file does not."""
    found = {}
    for name, place in places.items():
        source = held(studio, job, name) if place.collected or place.target is None else place.target
        try:
            source.mkdir(parents=True, exist_ok=True)
        except OSError as cause:
            where = f"outputs.{name}.path"
            raise Invalid(
                f"Output '{name}': no folder can be made of '{place.uri[:200]}': {_why(cause)}.", where=where
            ) from cause
        mount = Mount(source, f"{inside}/{name}")
        seen = engine.seen(mount)
        found[name] = Ready(f"{seen}/{place.name}" if place.is_file else seen, mount)
    return found


def declared(spec: CommandJob, places: Mapping[str, Place]) -> dict[str, Any]:
    """What the job's row says of its outputs: enough to collect them after a crash."""
    return {
        name: {
            "path": place.uri,
            "type": spec.outputs[name].type,
            "mode": spec.outputs[name].mode or "rw_mount",
            "collected": place.collected,
            "target": str(place.target or ""),
        }
        for name, place in places.items()
    }


def held(studio: Studio, job: Job, name: str) -> Path:
    """Where an output lies until the job's end, when it is not written in place."""
    return studio.folders.run(job.id) / "named" / name


def found_at(studio: Studio, session: Session, workspace_id: str, uri: str, type_: str, *, again: bool) -> Path:
    """Where the files of a URI lie here, fetched when they are elsewhere. Raises NotFound, Invalid or EngineError."""
    source = _source(studio, session, workspace_id, uri, type_, again=again)
    _require_visible(studio, workspace_id, source)
    return source


def _source(studio: Studio, session: Session, workspace_id: str, uri: str, type_: str, *, again: bool) -> Path:
    place = locations.at(studio, session, workspace_id, uri)
    cache = studio.folders.workspace(workspace_id) / "cache"
    if place.url:
        digest = hashlib.sha256(place.url.encode()).hexdigest()
        target = cache / "urls" / digest / downloads.name_of(place.url)
        allowed = [host.strip() for host in studio.settings.allowed_url_hosts.split(",") if host.strip()]
        fetched = downloads.fetch(place.url, target, allowed_hosts=allowed)
        return fetched if type_ == "uri_file" else fetched.parent
    if place.datastore is not None:
        return _fetched(studio, session, place.datastore, place.path, cache / "stores", again=again)
    if place.local is None:
        raise Invalid(f"'{uri[:200]}' cannot be read from here.")
    return place.local


def _fetched(studio: Studio, session: Session, row: Datastore, path: str, cache: Path, *, again: bool) -> Path:
    """A copy of what a store elsewhere holds, brought up to date when a job is prepared.

    What the store cannot do now fails the job: the store itself has been patient already.
    """
    folder = cache / hashlib.sha256(f"{row.id}\0{path}".encode()).hexdigest()
    if again or not folder.is_dir():
        try:
            with datastores.store_of(studio, session, row) as store:
                store.fetch(path, folder)
        except (Unavailable, Denied) as cause:
            raise EngineError(cause.message, hint=cause.hint) from cause
    single = folder / path.rpartition("/")[2]
    return single if path and single.is_file() and [*folder.iterdir()] == [single] else folder


def _require_visible(studio: Studio, workspace_id: str, source: Path) -> None:
    """Raises Invalid for system folders and for what is the studio's own or another workspace's."""
    resolved, home = files.of_no_system(source), studio.folders.home.resolve()
    mine = {
        studio.folders.workspace(workspace_id).resolve(),
        (studio.folders.artifacts / "workspaces" / mlflow_workspace(workspace_id)).resolve(),
    }
    holds_home = resolved in {home, *home.parents}
    if holds_home or (home in resolved.parents and mine.isdisjoint({resolved, *resolved.parents})):
        raise Invalid(f"'{source}' holds files of the studio itself.", hint="Map the URL to another folder.")


def _why(cause: OSError) -> str:
    return cause.strerror or "it holds something that is no file"


def _base_name(job: Job, name: str, data: Data) -> str:
    """Scripts of a deployment find its model under the base name of its path (SEMANTICS 42); empty for all else."""
    if job.deployment_id is None or data.type not in MODELS:
        return ""
    path = str(job.resolved.get("assets", {}).get(name, {}).get("path") or data.path)
    return path.rstrip("/").rpartition("/")[2]


def _shown(studio: Studio, engine: Engine, job: Job, name: str, data: Data, source: Path, inside: str) -> Ready:
    is_download = data.mode in {"download", "eval_download"}
    if is_download:
        copy = studio.folders.run(job.id) / "inputs" / name
        files.remove_tree(copy) if copy.is_dir() else None
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, symlinks=True)
        else:
            copy.mkdir()
            shutil.copyfile(source, copy / source.name)
            source = copy / source.name
        source = source if source.is_file() else copy
    below = source.name if source.is_file() else _base_name(job, name, data)
    target = f"{inside}/INPUT_{name}" + (f"/{below}" if below else "")
    mount = Mount(source, target, read_only=not is_download, sorted=not is_download)
    return Ready(engine.seen(mount), mount)
