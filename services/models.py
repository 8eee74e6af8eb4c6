"""Models: what a training job left behind, under a name and a version; read for facts, never loaded.

MLflow's registry has the same names and versions: `services/reconcile/registry.py` keeps both equal.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from sqlmodel import col, select

from services import access, assets, data, lineage, locations, metrics, uploads
from services.assets import Content
from services.core.errors import AtelierError, Invalid, NotFound
from services.core.states import AssetKind
from services.core.times import iso, now
from services.engines import mlmodel
from services.engines.contents import Contents
from services.engines.files import File
from services.events import emit
from services.metrics import Recorded
from services.specs.models import Model as Spec
from services.store import metrics as store
from services.store.metrics import Run
from services.store.rows import Asset, Edge, Fact, Job
from services.studio import Scope

CUSTOM, MLFLOW, TRITON = "custom_model", "mlflow_model", "triton_model"
TYPES = (CUSTOM, MLFLOW, TRITON)
REGISTRY = "registry"
ANONYMOUS = "azureml_anonymous"
_UPLOAD = "azureml://uploads/"
_SENT = re.compile(r"/LocalUpload/(?P<hash>[0-9a-f]{64})(?:/[^/]*)?\Z")
_NOTE = 2000


@dataclass(frozen=True)
class Compared:
    """One version beside others: what its run recorded, and its files, where they can be read."""

    asset: Asset
    recorded: Recorded
    contents: Contents | None


def create(scope: Scope, spec: Spec) -> Asset:
    """A version; its number is the next one that neither side has given before, when none is named.

    The type is what the files say unless one was written. Raises Invalid when both disagree, NotFound for files or
    a job that are not there, Conflict when the version exists with another content.
    """
    access.require(scope, "models/write")
    if not spec.name:
        raise Invalid("A model needs a name.", where="name")
    content, maker = _content(scope, spec)
    version = spec.version or next_version(scope, spec.name)
    content = replace(content, hash=_hash(scope, spec.name, version, content))
    row = assets.register(
        scope,
        AssetKind.model,
        spec.name,
        version,
        content,
        description=spec.description,
        tags=spec.tags,
        properties=spec.properties,
    )
    if spec.stage is not None:
        row.stage = spec.stage
    note_version(scope, row.name, row.version)
    if maker is not None:
        lineage.record(scope, ("job", maker.id), (str(AssetKind.model), row.id), _role(content.path))
    scope.session.add(row)
    return row


def anonymous(scope: Scope, spec: Spec) -> Asset:
    """A model that only what is written beside it names, kept by where its files are. Raises as `create`."""
    access.require(scope, "models/read")
    content, maker = _content(scope, spec)
    row = assets.anonymous(scope, AssetKind.model, ANONYMOUS, content, description=spec.description or "")
    if maker is not None:
        lineage.record(scope, ("job", maker.id), (str(AssetKind.model), row.id), _role(content.path))
    return row


def get(scope: Scope, name: str, version: str | None = None, *, label: str | None = None) -> Asset:
    """One version; the latest when neither version nor label is named."""
    access.require(scope, "models/read")
    return assets.get(scope, AssetKind.model, name, version, label=label)


def next_version(scope: Scope, name: str) -> str:
    """The number after the highest that was ever given: MLflow gives none twice, so nobody may."""
    access.require(scope, "models/read")
    assets._alone(scope, AssetKind.model, name)
    known = scope.session.exec(
        select(Asset.version).where(
            Asset.workspace_id == scope.workspace_id, Asset.kind == AssetKind.model, Asset.name == name
        )
    )
    highest = max((assets.number(version) for version in known), default=0)
    fact = scope.session.get(Fact, _counter(scope, name))
    return str(1 + max(highest, int(fact.value["highest"]) if fact else 0))


def note_version(scope: Scope, name: str, version: str) -> None:
    """Remembers a number as given, so that it stays given when the version goes."""
    access.require(scope, "models/write")
    if not assets.number(version):
        return
    fact = scope.session.get(Fact, _counter(scope, name)) or Fact(name=_counter(scope, name), value={"highest": 0})
    if int(version) > int(fact.value["highest"]):
        fact.value = {"highest": int(version)}
        scope.session.add(fact)
        scope.session.flush()


def contents(scope: Scope, asset: Asset) -> Contents:
    """Its files, to be listed and opened after this transaction; nothing is asked of a server here.

    Raises NotFound for what is gone, Invalid for a place that nothing here can read.
    """
    access.require(scope, "models/read")
    found = data.contents(scope, asset)
    is_file = PurePosixPath(found.folder).suffix.lower() in mlmodel.FORMATS
    if not found.single and is_file:  # a store elsewhere is not asked what it is
        folder, _, name = found.folder.rpartition("/")
        return Contents(found.store, folder, name)
    return found


def described(scope: Scope, path: str) -> dict[str, Any]:
    """What the files at a URI say, where they lie on this host; nothing of others.

    Raises NotFound for what is not there, Invalid for what is no place or is not for this workspace to see.
    """
    access.require(scope, "models/read")
    root = _local(scope, path)
    return mlmodel.described(root) if root is not None else {}


def seen(scope: Scope, path: str) -> dict[str, Any]:
    """The same for a place as it is given when a model is created: an upload, or any URI. Raises as `create`."""
    access.require(scope, "models/read")
    uri = uploads.data_uri(scope, path, field="path") if path.startswith(_UPLOAD) else path
    locations.maker(scope, uri)
    return described(scope, uri)


def approve(scope: Scope, asset: Asset, note: str, *, withdraw: bool = False) -> Asset:
    """Says that this version may be used, by whom and why; or takes that back."""
    access.require(scope, "models/approve/action")
    assets.hold(scope, asset)
    if len(note) > _NOTE:
        raise Invalid(f"A note has at most {_NOTE} characters.", where="note")
    facts = {key: value for key, value in asset.facts.items() if key != "approval"}
    if not withdraw:
        facts["approval"] = {"by": scope.principal.name, "at": iso(now()), "note": note}
    asset.facts, asset.updated_at = facts, now()
    scope.session.add(asset)
    past = "was withdrawn" if withdraw else "was given"
    emit(scope, AssetKind.model, asset.name, f"Approval of model '{assets.named(asset)}' {past}")
    return asset


def maker(scope: Scope, asset: Asset) -> Job | None:
    """The job whose run or output it is, while that is there."""
    access.require(scope, "models/read")
    job = scope.session.get(Job, asset.job_id) if asset.job_id else None
    return job if job is not None and job.deleted_at is None and job.workspace_id == scope.workspace_id else None


def recorded(scope: Scope, asset: Asset) -> Recorded:
    """Metrics and parameters of the run that made it, a job's or a notebook's; empty where there is none."""
    access.require(scope, "models/read")
    job = maker(scope, asset)
    if job is not None:
        return metrics.summary(scope, job.name)
    run = scope.session.get(Run, run_id) if (run_id := run_of(asset)) else None
    if run is None or run.workspace_id != scope.workspace_id:
        return Recorded()
    rows, params = store.metrics_of(scope.session, [run.run_id]), store.params_of(scope.session, [run.run_id])
    names = store.key_names(scope.session, [*(row.key_id for row in rows), *(row.key_id for row in params)])
    return Recorded(
        sorted((metrics._summarised(names[row.key_id], row) for row in rows), key=lambda each: each.key),
        dict(sorted((names[row.key_id], row.value) for row in params)),
        {},
    )


def sources(scope: Scope, asset: Asset) -> list[Asset]:
    """The data, models and environments that the job which made it has read."""
    access.require(scope, "models/read")
    if asset.job_id is None:
        return []
    return list(
        scope.session.exec(
            select(Asset)
            .join(Edge, col(Edge.source_id) == Asset.id)
            .where(
                Edge.workspace_id == scope.workspace_id,
                Edge.target_kind == "job",
                Edge.target_id == asset.job_id,
                col(Edge.source_kind).in_([str(kind) for kind in AssetKind]),
            )
            .order_by(col(Asset.name))
            .distinct()
        )
    )


def compare(scope: Scope, name: str, versions: Sequence[str]) -> list[Compared]:
    """Versions of one model beside each other, in the order asked for."""
    access.require(scope, "models/read")
    found = []
    for version in versions:
        asset = get(scope, name, version)
        try:
            there = contents(scope, asset)
        except (Invalid, NotFound):
            there = None
        found.append(Compared(asset, recorded(scope, asset), there))
    return found


def sizes(compared: Compared) -> dict[str, int]:
    """Its files by path, in bytes; asks the store, so outside of a transaction."""
    try:
        return {file.path: file.size for file in compared.contents.listing().files} if compared.contents else {}
    except AtelierError:
        return {}


def content_hash(asset: Asset) -> str:
    """SHA-256 of all of its files, where they were sent as one upload; empty where nobody has read them all."""
    found = _SENT.search(asset.path)
    return found["hash"] if found else ""


def run_of(asset: Asset) -> str:
    """MLflow's id of the run that made it, where it is known."""
    return str(asset.facts.get(REGISTRY, {}).get("run_id") or asset.facts.get("run_id") or "")


def as_json(scope: Scope, asset: Asset) -> dict[str, Any]:
    """As the cloud's CLI prints it, with what was found out in `facts`."""
    access.require(scope, "models/read")
    job = maker(scope, asset)
    facts = {key: value for key, value in asset.facts.items() if key not in {REGISTRY, "flavors", "approval"}}
    return assets.as_json(
        asset,
        path=asset.path,
        flavors=asset.facts.get("flavors") or {},
        stage=asset.stage or None,
        job_name=job.name if job else None,
        labels=assets.labels_of(scope, asset),
        facts={
            **facts,
            "sha256": content_hash(asset) or None,
            "approval": asset.facts.get("approval"),
            "mlflow": {key: asset.facts.get(REGISTRY, {}).get(key) for key in ("version", "why")},
        },
    )


def _content(scope: Scope, spec: Spec) -> tuple[Content, Job | None]:
    """What the files at its path are, and the job that made them."""
    path = uploads.data_uri(scope, spec.path, field="path") if spec.path.startswith(_UPLOAD) else spec.path
    maker = locations.maker(scope, path) or _job(scope, spec.job_name)
    root = _local(scope, path)
    type_ = _type(spec, _found(root, path) if root is not None else None)
    facts = mlmodel.described(root) if root is not None else {}
    return Content(_hash_of(type_, path), type=type_, path=path, facts=facts, job_id=maker.id if maker else None), maker


def _local(scope: Scope, path: str) -> Path | None:
    root = locations.located(scope, path).local
    if root is not None:
        seen = Asset(workspace_id=scope.workspace_id, kind=AssetKind.model, name=path, version="", hash="", path=path)
        try:
            data.contents(scope, seen)
        except NotFound as cause:
            raise NotFound(f"'{path[:200]}' holds no file.", where="path") from cause
    return root


def _found(root: Path, path: str) -> list[File]:
    found = mlmodel.listed(root)
    if not found:
        raise NotFound(f"'{path[:200]}' holds no file.", where="path")
    return found


def _type(spec: Spec, found: Sequence[File] | None) -> str:
    is_said = "type" in spec.model_fields_set
    if found is None:
        return spec.type
    if not is_said and mlmodel.is_mlflow(found):
        return MLFLOW
    if spec.type == MLFLOW and not mlmodel.is_mlflow(found):
        raise Invalid(
            "An mlflow_model is a folder with a file named MLmodel, and there is none here.",
            where="type",
            hint="Name the folder that holds it, or write the type custom_model.",
        )
    if spec.type == TRITON and not mlmodel.is_triton(found):
        raise Invalid(
            "A triton_model is a folder with <model>/config.pbtxt or <model>/<number>/…, and this is not.",
            where="type",
            hint="Name the folder above the models, or write the type custom_model.",
        )
    return spec.type


def _job(scope: Scope, name: str | None) -> Job | None:
    if not name:
        return None
    return scope.session.exec(
        select(Job).where(Job.workspace_id == scope.workspace_id, Job.name == name, col(Job.deleted_at).is_(None))
    ).one_or_none()


def _role(path: str) -> str:
    """The name of the job's output, or `artifacts`."""
    _, found, rest = path.partition("/outputs/")
    return PurePosixPath(rest).parts[0] if path.startswith("azureml://jobs/") and found and rest else "artifacts"


def _hash(scope: Scope, name: str, version: str, content: Content) -> str:
    """What is there already keeps its own."""
    known = assets._found(scope, AssetKind.model, name, version)
    return (
        known.hash if known is not None and (known.type, known.path) == (content.type, content.path) else content.hash
    )


def _hash_of(type_: str, path: str) -> str:
    """Of where the files are, which names uploads by their content."""
    return hashlib.sha256(f"{type_}\0{path}".encode()).hexdigest()


def _counter(scope: Scope, name: str) -> str:
    return f"model-versions/{scope.workspace_id}/{name}"
