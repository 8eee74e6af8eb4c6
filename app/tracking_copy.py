"""The copy of what MLflow has acknowledged: runs, points, parameters and tags go on to the tee, experiments to rows."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from sqlmodel import select

from services import experiments
from services.core.errors import Invalid
from services.core.times import now
from services.metric_tee import Tee
from services.sessions import Bearer
from services.store import metrics as store
from services.store.metrics import Point, Run
from services.store.rows import Experiment, Workspace
from services.studio import Scope, Studio

log = logging.getLogger("atelier.tracking")
PARENT = "mlflow.parentRunId"
LARGEST = 2**63 - 1
NOBODY = ("", "unknown")  # what clients say when they do not look who runs them
# Those that touch the database at once, rare and not to be lost by a crash; the others only hand over to the tee.
SLOW = ("runs/create", "experiments/create", "experiments/update", "experiments/delete", "experiments/restore")


@dataclass(frozen=True)
class Acknowledged:
    """One change that MLflow has made; `call` is the part of its address that names it, such as runs/log-batch."""

    call: str
    bearer: Bearer
    workspace: Workspace
    body: Mapping[str, Any]
    content: bytes
    points: Sequence[Point] = ()


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
                tee.points(run_id, done.points)
            case "runs/log-batch":
                tee.points(run_id, done.points)
                tee.params(run_id, _pairs(body.get("params")))
                tee.tags(run_id, _pairs(body.get("tags")))
            case "runs/log-parameter":
                tee.params(run_id, _pairs([body]))
            case "runs/set-tag":
                tee.tags(run_id, _pairs([body]))
            case "runs/delete-tag":
                tee.untagged(run_id, str(body["key"]))
            case "runs/create":
                self._run_made(done)
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

    def _run_made(self, done: Acknowledged) -> None:
        run = orjson.loads(done.content)["run"]
        tags = _pairs(run.get("data", {}).get("tags"))
        row = as_row(done.workspace.id, run["info"], tags, done.bearer.job_id)
        if row.user in NOBODY:
            row.user = done.bearer.principal.name
        with self.studio.database.session(write=True) as session:
            store.save_run(session, row)
            store.save_tags(session, [(row.run_id, key, value) for key, value in tags.items()])

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


def points_of(call: str, body: Mapping[str, Any]) -> list[Point]:
    """What a call logs. Raises Invalid for what MLflow would take for a 0 without a word."""
    match call:
        case "runs/log-metric":
            return [_point(body)]
        case "runs/log-batch":
            return [_point(metric) for metric in body.get("metrics") or []]
    return []


def _point(metric: Mapping[str, Any]) -> Point:
    """MLflow writes NaN and infinities as words."""
    try:
        key, value = metric["key"], float(metric["value"])
    except (KeyError, TypeError, ValueError) as cause:
        raise Invalid("A metric has a key, and a value that is a number.", where="metrics") from cause
    time, step = metric.get("timestamp"), metric.get("step")
    if type(time) is not int or not -LARGEST <= time <= LARGEST:
        time = _integer(time, "timestamp")
    if type(step) is not int or not -LARGEST <= step <= LARGEST:
        step = _integer(step, "step")
    return Point(key, value, time, step)


def _integer(given: Any, field: str) -> int:
    """For what is not plainly one: absent is 0, and a string of digits counts (as it does for MLflow)."""
    if given is None:
        return 0
    if isinstance(given, str) and given.removeprefix("-").isdecimal() and -LARGEST <= int(given) <= LARGEST:
        return int(given)
    raise Invalid(f"'{str(given)[:40]}' is not a whole number of at most {LARGEST}.", where=field)


def _pairs(given: Any) -> dict[str, str]:
    """PostgreSQL keeps no NUL; MLflow on SQLite does."""
    return {
        str(each["key"]).replace("\0", ""): str(each.get("value", "")).replace("\0", "") for each in given or [] if each
    }


def _milliseconds(value: Any) -> int | None:
    return None if value is None else int(value)
