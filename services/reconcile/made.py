"""Outputs that were given a name become assets when their job completes, in the transaction that completes it."""

import hashlib

from services import assets, lineage, models
from services.assets import Content
from services.core.errors import AtelierError
from services.core.states import AssetKind
from services.job_inputs import MODELS
from services.specs.jobs import CommandJob
from services.store.rows import Job, Workspace
from services.studio import Scope


def register(scope: Scope, job: Job) -> list[str]:
    """Sentences about what could not be registered: the job has completed all the same."""
    spec = CommandJob.model_validate(job.spec)
    scope.workspace = scope.session.get(Workspace, job.workspace_id)
    said: list[str] = []
    for name, output in spec.outputs.items():
        declared = job.resolved.get("outputs", {}).get(name)
        if output.name is None or declared is None:
            continue
        kind = AssetKind.model if output.type in MODELS else AssetKind.data
        digest = hashlib.sha256(f"{output.type}\0{declared['path']}\0{job.id}".encode()).hexdigest()
        content = Content(digest, type=output.type, path=declared["path"], job_id=job.id)
        try:
            version = output.version
            if kind is AssetKind.model:
                version = version or models.next_version(scope, output.name)
            made = assets.register(scope, kind, output.name, version, content, description=output.description)
            if kind is AssetKind.model:
                models.note_version(scope, made.name, made.version)
        except AtelierError as cause:
            said.append(f"Output '{name}' was not registered: {cause.message}")
            continue
        made.created_by = job.created_by
        lineage.record(scope, ("job", job.id), (str(kind), made.id), name)
    return said
