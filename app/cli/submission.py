"""From a YAML file on this machine to a job in the studio: read, checked, its files sent, submitted."""

import secrets
from pathlib import Path
from typing import Any

from app.cli import reading, upload
from app.cli.client import Client, in_workspace
from services.engines import git
from services.specs import local, overrides
from services.specs.local import LocalJob


def submitted(client: Client, file: str, settings: list[str], name: str) -> dict[str, Any]:
    """The job as the studio answers it. Nothing is sent before the file is right."""
    job = _read(file, settings, name)
    uris = {key: upload.data(client, path, what=key) for key, path in job.inputs.items()}
    body: dict[str, Any] = {
        "source": job.source,
        "git": _git(job),
        **upload.folders(client, job.code, job.context),
    }
    spec = local.with_uploads(job.spec, uris)
    body["spec"] = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    body["spec"].setdefault("experiment_name", _experiment())
    answer: dict[str, Any] = client.ask(
        "POST", in_workspace("/jobs"), json=body, headers={"Idempotency-Key": secrets.token_hex(16)}
    )
    return answer


def _read(file: str, settings: list[str], name: str) -> LocalJob:
    written, base = reading.source(file)
    value = overrides.apply(dict(written.value), settings)
    if name:
        value["name"] = name
    return local.job(written, base, value)


def _git(job: LocalJob) -> dict[str, str]:
    return git.facts(job.code) if job.code is not None else {}


def _experiment() -> str:
    """As in the cloud: the folder that the job was submitted from."""
    return Path.cwd().name or "Default"
