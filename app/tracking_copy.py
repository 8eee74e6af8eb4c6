"""The copy of what MLflow has acknowledged: runs, points, parameters and tags go on to the tee, experiments to rows."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlmodel import select

from services import experiments
from services.core.times import now
from services.metric_tee import Tee
from services.sessions import Bearer
from services.store.metrics import Point, Run
from services.store.rows import Experiment, Workspace
from services.studio import Scope, Studio

log = logging.getLogger("atelier.tracking")
PARENT = "mlflow.parentRunId"
# Those that touch the database at once; the others only hand over to the tee.
SLOW = ("experiments/create", "experiments/update", "experiments/delete", "experiments/restore")


@dataclass(frozen=True)
class Acknowledged:
    """One change that MLflow has made; `call` is the part of its address that names it, such as runs/log-batch."""

    call: str
    bearer: Bearer
    workspace: Workspace
    body: Mapping[str, Any]
    content: bytes


class Copy:
    """One for the process. Nothing that fails here fails the call: the comparison at a run's end repairs it."""

    def __init__(self, studio: Studio, tee: Tee) -> None:
        self.studio, self.tee = studio, tee

    def take(self, done: Acknowledged) -> None:
        try:
            self._taken(done)
        except Exception:
            log.exception("What %s changed could not be copied; the run's end repairs it", done.call)

    def _taken(self, done: Acknowledged) -> None:
        body, tee = done.body, self.tee
        run_id = str(body.get("run_id") or body.get("run_uuid") or "")
        match done.call:
            case "runs/log-metric":
                tee.points(run_id, [_point(body)])
            case "runs/log-batch":
                tee.points(run_id, [_point(metric) for metric in body.get("metrics") or []])
                tee.params(run_id, _pairs(body.get("params")))
                tee.tags(run_id, _pairs(body.get("tags")))
            case "runs/log-parameter":
                tee.params(run_id, _pairs([body]))
            case "runs/set-tag":
                tee.tags(run_id, _pairs([body]))
            case "runs/delete-tag":
                tee.untagged(run_id, str(body["key"]))
            case "runs/create":
                run = orjson.loads(done.content)["run"]
                tags = _pairs(run.get("data", {}).get("tags"))
                tee.run(as_row(done.workspace.id, run["info"], tags, done.bearer.job_id))
                tee.tags(run["info"]["run_id"], tags)
            case "runs/update":
                tee.run(as_row(done.workspace.id, orjson.loads(done.content)["run_info"], {}, None))
            case "runs/delete":
                tee.moved(run_id, "deleted")
            case "runs/restore":
                tee.moved(run_id, "active")
            case "experiments/create":
                self._experiment_made(done, str(body["name"]), str(orjson.loads(done.content)["experiment_id"]))
            case "experiments/update" | "experiments/delete" | "experiments/restore":
                self._experiment_changed(done)

    def _experiment_made(self, done: Acknowledged, name: str, mlflow_id: str) -> None:
        with self._scope(done) as scope:
            if _experiment(scope, mlflow_id) is None:
                row = experiments.ensure(scope, name)
                row.mlflow_id = mlflow_id
                scope.session.add(row)

    def _experiment_changed(self, done: Acknowledged) -> None:
        """A client deletes and restores; here that hides an experiment from lists and shows it again."""
        with self._scope(done) as scope:
            row = _experiment(scope, str(done.body["experiment_id"]))
            if row is None:
                return
            match done.call:
                case "experiments/update":
                    row.name = str(done.body.get("new_name") or row.name)
                case "experiments/delete":
                    row.archived_at = now()
                case _:
                    row.archived_at = None
            scope.session.add(row)

    def _scope(self, done: Acknowledged) -> Any:
        return self.studio.scope(done.bearer.principal, done.workspace.name, write=True)


def as_row(workspace_id: str, info: Mapping[str, Any], tags: Mapping[str, str], job_id: str | None) -> Run:
    """A run as MLflow's answers tell it."""
    return Run(
        run_id=str(info["run_id"]),
        workspace_id=workspace_id,
        experiment_id=str(info["experiment_id"]),
        job_id=job_id,
        parent_run_id=tags.get(PARENT),
        name=str(info.get("run_name") or ""),
        status=str(info.get("status") or "RUNNING"),
        start_time=_milliseconds(info.get("start_time")),
        end_time=_milliseconds(info.get("end_time")),
        user=str(info.get("user_id") or ""),
        lifecycle_stage=str(info.get("lifecycle_stage") or "active"),
    )


def _experiment(scope: Scope, mlflow_id: str) -> Experiment | None:
    return scope.session.exec(
        select(Experiment).where(Experiment.mlflow_id == mlflow_id, Experiment.workspace_id == scope.workspace_id)
    ).first()


def _point(metric: Mapping[str, Any]) -> Point:
    """MLflow writes NaN and infinities as words."""
    return Point(
        str(metric["key"]), float(metric["value"]), int(metric.get("timestamp") or 0), int(metric.get("step") or 0)
    )


def _pairs(given: Any) -> dict[str, str]:
    """PostgreSQL keeps no NUL; MLflow on SQLite does."""
    return {
        str(each["key"]).replace("\0", ""): str(each.get("value", "")).replace("\0", "") for each in given or [] if each
    }


def _milliseconds(value: Any) -> int | None:
    return None if value is None else int(value)
