"""What a job's inputs name: assets, uploads, other jobs' outputs, or URIs; settled once, when it is submitted."""

import hashlib
from dataclasses import dataclass
from typing import Any

from services import access, assets, lineage, locations, uploads
from services.assets import Content
from services.core import refs
from services.core.states import AssetKind
from services.specs.jobs import CommandJob, Data
from services.store.rows import Asset, Job
from services.studio import Scope

ANONYMOUS = "azureml_anonymous"
MODELS = frozenset({"custom_model", "mlflow_model", "triton_model"})
_UPLOAD = "azureml://uploads/"


@dataclass(frozen=True)
class Settled:
    """One input: where its data lies, and what it is in the lineage; `name` is empty for what nobody named."""

    path: str
    type: str
    source: lineage.End
    name: str = ""
    version: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "type": self.type,
            "kind": self.source[0],
            "id": self.source[1],
            "name": self.name,
            "version": self.version,
        }


def settle(scope: Scope, spec: CommandJob) -> dict[str, Settled]:
    """Of each input with a path; versions are chosen here, so that a job is what it was when it was sent.

    Raises NotFound or Invalid naming the input.
    """
    access.require(scope, "jobs/write")
    return {name: _settled(scope, f"inputs.{name}.path", data) for name, data in spec.data().items()}


def record(scope: Scope, job: Job, settled: dict[str, Settled]) -> None:
    """Which of them this job read. Raises NotFound when one was deleted meanwhile, or the environment was."""
    access.require(scope, "jobs/write")
    ids = {each.source[1] for each in settled.values() if each.source[0] in AssetKind.__members__}
    for key in sorted({*ids, *([job.environment_id] if job.environment_id else [])}):
        assets.hold(scope, scope.session.get_one(Asset, key))
    job.resolved = {**job.resolved, "assets": {name: each.as_json() for name, each in settled.items()}}
    for name, each in settled.items():
        lineage.record(scope, each.source, ("job", job.id), name)


def with_paths(spec: CommandJob, settled: dict[str, Settled]) -> CommandJob:
    """The job as it is kept: an upload has gone by then, the rest stays as it was written."""
    changed = {
        name: data.model_copy(update={"path": settled[name].path})
        for name, data in spec.data().items()
        if data.path.startswith(_UPLOAD)
    }
    return spec.model_copy(update={"inputs": {**spec.inputs, **changed}}) if changed else spec


def _settled(scope: Scope, where: str, data: Data) -> Settled:
    kind = AssetKind.model if data.type in MODELS else AssetKind.data
    if data.path.startswith(_UPLOAD):
        uri = uploads.data_uri(scope, data.path, field=where)
        digest = hashlib.sha256(f"{data.type}\0{uri}".encode()).hexdigest()
        return _of(assets.anonymous(scope, kind, ANONYMOUS, Content(digest, type=data.type, path=uri)))
    if refs.is_reference(data.path):
        return _of(assets.resolve(scope, kind, data.path, where=where))
    maker = locations.maker(scope, data.path, where=where)
    if maker is not None:
        return Settled(data.path, data.type, ("job", maker.id), maker.name)
    return Settled(data.path, data.type, ("uri", data.path))


def _of(asset: Asset) -> Settled:
    name = "" if asset.is_anonymous else asset.name
    return Settled(asset.path, asset.type, (str(asset.kind), asset.id), name, asset.version)
