"""Rows as the cloud's CLI prints them."""

import re
from collections.abc import Mapping
from typing import Any

from services import jobs
from services.core import times
from services.store.rows import Event, Job, Workspace

_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|CREDENTIAL|CONNECTION_STRING", re.ASCII)


def job(row: Job, workspace: Workspace, base_url: str) -> dict[str, Any]:
    """Values of variables whose names say that they are secret are masked."""
    spec: Mapping[str, Any] = row.spec
    ended = jobs.end_of(row)
    variables = spec.get("environment_variables") or {}
    return {
        "name": row.name,
        "display_name": row.display_name,
        "description": row.description,
        "experiment_name": row.experiment_name,
        "type": row.type,
        "status": str(row.status),
        "reason": row.reason,
        "message": row.message,
        "warning": row.warning,
        "command": spec.get("command", ""),
        "code": f"azureml:{row.snapshot_id}" if row.snapshot_id else None,
        "environment": spec.get("environment"),
        "environment_variables": {
            name: "***" if _SECRET.search(name.upper()) else value for name, value in variables.items()
        },
        "inputs": spec.get("inputs") or {},
        "outputs": _outputs(row),
        "compute": row.compute or "local",
        "limits": spec.get("limits") or {},
        "resources": spec.get("resources") or {},
        "tags": row.tags,
        "properties": row.properties,
        "creation_context": {"created_at": times.iso(row.created_at), "created_by": row.created_by},
        "start_time": times.iso(row.started_at),
        "end_time": times.iso(ended),
        "duration": times.seconds(row.started_at, ended),
        "exit_code": row.exit_code,
        "run_id": row.run_id,
        "image": row.resolved.get("image"),
        "digest": row.resolved.get("digest"),
        "git": row.git,
        "archived": row.archived_at is not None,
        "parent_job_name": spec.get("parent_job_name"),
        "revision": row.revision,
        "id": f"/workspaces/{workspace.name}/jobs/{row.name}",
        "services": {
            "Studio": {"type": "Studio", "endpoint": f"{base_url}/job?ws={workspace.name}&job={row.name}"},
            "Tracking": {"type": "Tracking", "endpoint": f"{base_url}/mlflow"},
        },
    }


def event(row: Event) -> dict[str, Any]:
    return {
        "at": times.iso(row.at),
        "by": row.principal,
        "kind": row.kind,
        "name": row.name,
        "message": row.message,
        "reason": row.reason,
        "request_id": row.request_id,
    }


def _outputs(row: Job) -> dict[str, Any]:
    declared: Mapping[str, Any] = row.spec.get("outputs") or {}
    resolved: Mapping[str, Any] = row.resolved.get("outputs") or {}
    shown = ("type", "mode", "path")
    return {
        name: {
            **(declared.get(name) or {}),
            **{key: (resolved.get(name) or {}).get(key) for key in shown if name in resolved},
        }
        for name in {**declared, **resolved}
    }
