"""MLflow, spoken to over its REST interface: runs are made and ended here, and read back to be compared.

A studio workspace is an MLflow workspace of its own; its name travels in a header that clients cannot set.
A long file, because it is the one door to MLflow: the protocol, its client, and what MLflow's answers mean.
"""

import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx

from services.core.errors import Conflict, EngineError, Invalid, NotFound, Unavailable

WORKSPACE_HEADER = "X-MLFLOW-WORKSPACE"
PREFIX = "/mlflow"
JOB_TAG = "atelier.job"
MODELS = "/api/2.0/mlflow/"
PROMPT = "mlflow.prompt.is_prompt"
SECONDS = 20
PAGE = 25_000


@dataclass(frozen=True)
class Logged:
    """One point as MLflow keeps it; `time` in milliseconds."""

    value: float
    time: int
    step: int


@dataclass(frozen=True)
class RunFacts:
    """A run as MLflow tells it. `metrics` are the latest values; times in milliseconds."""

    run_id: str
    experiment_id: str
    name: str
    status: str
    start_time: int | None
    end_time: int | None
    user: str = ""
    lifecycle_stage: str = "active"
    metrics: Mapping[str, Logged] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelVersion:
    """A version in MLflow's registry; `stage` is empty for None; times in milliseconds."""

    name: str
    version: str
    source: str = ""
    run_id: str = ""
    user: str = ""
    description: str = ""
    stage: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    created_at: int | None = None


class Tracking(Protocol):
    """`workspace` is MLflow's name of it. Every call raises Unavailable when MLflow is silent."""

    def answers(self) -> bool: ...

    def ensure_workspace(self, workspace: str) -> None: ...

    def ensure_experiment(self, workspace: str, name: str) -> str:
        """The experiment's id; one that was deleted is restored."""
        ...

    def ensure_run(
        self,
        workspace: str,
        experiment_id: str,
        *,
        job_id: str,
        name: str,
        user: str,
        start_time: int,
        tags: Mapping[str, str],
        is_new: bool = False,
    ) -> str:
        """The run of a job: found by its tag, else made; one that `is_new` is not looked for."""
        ...

    def end_run(self, workspace: str, run_id: str, status: str, end_time: int) -> None:
        """`status` is FINISHED, FAILED or KILLED; may be repeated."""
        ...

    def run(self, workspace: str, run_id: str) -> RunFacts:
        """Raises NotFound."""
        ...

    def children(self, workspace: str, experiment_id: str, run_id: str) -> list[RunFacts]:
        """Runs that name this one as their parent."""
        ...

    def history(self, workspace: str, run_id: str, key: str) -> list[Logged]:
        """Every point of one metric, in MLflow's order."""
        ...

    def log(self, workspace: str, run_id: str, points: Sequence[tuple[str, Logged]]) -> None:
        """At most 1,000 points with their keys, all or none. Raises NotFound, Invalid what MLflow does not take."""
        ...

    def delete_run(self, workspace: str, run_id: str) -> None:
        """No-op when it is gone."""
        ...

    def tag_run(self, workspace: str, run_id: str, key: str, value: str | None) -> None:
        """None takes the tag away; no-op when it is gone. Raises NotFound for setting one of a run that is gone."""
        ...

    def delete_workspace(self, workspace: str) -> None:
        """With all it holds; no-op when it is gone."""
        ...

    def aliases(self, workspace: str) -> dict[str, dict[str, str]]:
        """Of all registered models by name: which version each alias stands on. Prompts are none."""
        ...

    def aliases_of(self, workspace: str, name: str) -> dict[str, str] | None:
        """None when there is no such registered model, or it is a prompt."""
        ...

    def versions(self, workspace: str, name: str = "") -> list[ModelVersion]:
        """Those that are there, the lowest first; without a name those of all registered models, prompts too."""
        ...

    def download_uri(self, workspace: str, name: str, version: str) -> str:
        """Where a client reads its files. Raises NotFound."""
        ...

    def register(
        self, workspace: str, name: str, *, source: str, run_id: str, description: str, tags: Mapping[str, str]
    ) -> ModelVersion:
        """Makes a version; MLflow gives the number, above all that were ever given."""
        ...

    def unregister(self, workspace: str, name: str, version: str) -> None:
        """No-op when it is gone."""
        ...

    def describe(self, workspace: str, name: str, version: str, description: str) -> None: ...

    def move_stage(self, workspace: str, name: str, version: str, stage: str) -> None:
        """One of MLflow's stages; empty for None."""
        ...

    def tag(self, workspace: str, name: str, version: str, key: str, value: str | None) -> None:
        """None takes the tag away."""
        ...

    def alias(self, workspace: str, name: str, alias: str, version: str | None) -> None:
        """None takes the alias away."""
        ...


class HttpTracking:
    """A client of the tracking server at `url` (without the prefix)."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.Client(base_url=f"{self.url}{PREFIX}", timeout=SECONDS, trust_env=False)

    def answers(self) -> bool:
        try:
            return self._client.get("/health", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def ensure_workspace(self, workspace: str) -> None:
        try:
            self._asked("POST", "/api/3.0/mlflow/workspaces", workspace=None, json={"name": workspace})
        except Conflict:
            return

    def ensure_experiment(self, workspace: str, name: str) -> str:
        try:
            found = self._asked(
                "GET", "/api/2.0/mlflow/experiments/get-by-name", workspace, params={"experiment_name": name}
            )["experiment"]
        except NotFound:
            try:
                made = self._asked("POST", "/api/2.0/mlflow/experiments/create", workspace, json={"name": name})
            except Conflict:  # somebody was faster
                return self.ensure_experiment(workspace, name)
            return str(made["experiment_id"])
        if found["lifecycle_stage"] == "deleted":
            body = {"experiment_id": found["experiment_id"]}
            self._asked("POST", "/api/2.0/mlflow/experiments/restore", workspace, json=body)
        return str(found["experiment_id"])

    def ensure_run(
        self,
        workspace: str,
        experiment_id: str,
        *,
        job_id: str,
        name: str,
        user: str,
        start_time: int,
        tags: Mapping[str, str],
        is_new: bool = False,
    ) -> str:
        found = [] if is_new else self._search(workspace, experiment_id, f"tags.`{JOB_TAG}` = '{job_id}'")
        if found:
            return found[0].run_id
        body = {
            "experiment_id": experiment_id,
            "run_name": name,
            "user_id": user,
            "start_time": start_time,
            "tags": [
                {"key": key, "value": value}
                for key, value in {**tags, "mlflow.user": user, "mlflow.source.type": "JOB", JOB_TAG: job_id}.items()
                if value
            ],
        }
        made = self._asked("POST", "/api/2.0/mlflow/runs/create", workspace, json=body)
        return str(made["run"]["info"]["run_id"])

    def end_run(self, workspace: str, run_id: str, status: str, end_time: int) -> None:
        body = {"run_id": run_id, "status": status, "end_time": end_time}
        self._asked("POST", "/api/2.0/mlflow/runs/update", workspace, json=body)

    def run(self, workspace: str, run_id: str) -> RunFacts:
        return _facts(self._asked("GET", "/api/2.0/mlflow/runs/get", workspace, params={"run_id": run_id})["run"])

    def children(self, workspace: str, experiment_id: str, run_id: str) -> list[RunFacts]:
        return self._search(workspace, experiment_id, f"tags.mlflow.parentRunId = '{run_id}'")

    def history(self, workspace: str, run_id: str, key: str) -> list[Logged]:
        points: list[Logged] = []
        token = ""
        while True:
            params = {"run_id": run_id, "metric_key": key, "max_results": str(PAGE)}
            if token:
                params["page_token"] = token
            page = self._asked("GET", "/api/2.0/mlflow/metrics/get-history", workspace, params=params)
            points += [_logged(metric) for metric in page.get("metrics", [])]
            token = page.get("next_page_token", "")
            if not token:
                return points

    def log(self, workspace: str, run_id: str, points: Sequence[tuple[str, Logged]]) -> None:
        metrics = [
            {"key": key, "value": _told(point.value), "timestamp": point.time, "step": point.step}
            for key, point in points
        ]
        try:
            self._asked("POST", f"{MODELS}runs/log-batch", workspace, json={"run_id": run_id, "metrics": metrics})
        except Unavailable:
            raise
        except EngineError as cause:
            raise Invalid(str(cause), where="metrics") from cause

    def delete_run(self, workspace: str, run_id: str) -> None:
        try:
            self._asked("POST", "/api/2.0/mlflow/runs/delete", workspace, json={"run_id": run_id})
        except NotFound:
            return

    def tag_run(self, workspace: str, run_id: str, key: str, value: str | None) -> None:
        which = {"run_id": run_id, "key": key}
        if value is None:
            with suppress(NotFound):
                self._asked("POST", f"{MODELS}runs/delete-tag", workspace, json=which)
        else:
            self._asked("POST", f"{MODELS}runs/set-tag", workspace, json={**which, "value": value})

    def delete_workspace(self, workspace: str) -> None:
        path = f"/api/3.0/mlflow/workspaces/{workspace}"
        try:
            self._asked("DELETE", path, None, params={"mode": "CASCADE"})
        except NotFound:
            return

    def aliases(self, workspace: str) -> dict[str, dict[str, str]]:
        found = {}
        for model in self._pages(workspace, "registered-models/search", "registered_models"):
            if not _is_prompt(model):
                found[str(model["name"])] = _aliases(model)
        return found

    def aliases_of(self, workspace: str, name: str) -> dict[str, str] | None:
        try:
            model = self._asked("GET", f"{MODELS}registered-models/get", workspace, params={"name": name})
        except NotFound:
            return None
        return None if _is_prompt(model["registered_model"]) else _aliases(model["registered_model"])

    def versions(self, workspace: str, name: str = "") -> list[ModelVersion]:
        quote = '"' if "'" in name else "'"
        asked = {"filter": f"name={quote}{name}{quote}"} if name and quote not in name else {}
        found = [_version(each) for each in self._pages(workspace, "model-versions/search", "model_versions", **asked)]
        return sorted((each for each in found if not name or each.name == name), key=lambda each: int(each.version))

    def download_uri(self, workspace: str, name: str, version: str) -> str:
        asked = {"name": name, "version": version}
        answer = self._asked("GET", f"{MODELS}model-versions/get-download-uri", workspace, params=asked)
        return str(answer.get("artifact_uri", ""))

    def register(
        self, workspace: str, name: str, *, source: str, run_id: str, description: str, tags: Mapping[str, str]
    ) -> ModelVersion:
        if self.aliases_of(workspace, name) is None:
            with suppress(Conflict):  # somebody was faster
                self._asked("POST", f"{MODELS}registered-models/create", workspace, json={"name": name})
        body = {
            "name": name,
            "source": source,
            "description": description,
            "tags": [{"key": key, "value": value} for key, value in tags.items()],
            **({"run_id": run_id} if run_id else {}),
        }
        return _version(self._asked("POST", f"{MODELS}model-versions/create", workspace, json=body)["model_version"])

    def unregister(self, workspace: str, name: str, version: str) -> None:
        with suppress(NotFound):
            self._asked("DELETE", f"{MODELS}model-versions/delete", workspace, json={"name": name, "version": version})

    def describe(self, workspace: str, name: str, version: str, description: str) -> None:
        body = {"name": name, "version": version, "description": description}
        self._asked("PATCH", f"{MODELS}model-versions/update", workspace, json=body)

    def move_stage(self, workspace: str, name: str, version: str, stage: str) -> None:
        body = {"name": name, "version": version, "stage": stage or "None", "archive_existing_versions": False}
        self._asked("POST", f"{MODELS}model-versions/transition-stage", workspace, json=body)

    def tag(self, workspace: str, name: str, version: str, key: str, value: str | None) -> None:
        which = {"name": name, "version": version, "key": key}
        if value is None:
            with suppress(NotFound):
                self._asked("DELETE", f"{MODELS}model-versions/delete-tag", workspace, json=which)
        else:
            self._asked("POST", f"{MODELS}model-versions/set-tag", workspace, json={**which, "value": value})

    def alias(self, workspace: str, name: str, alias: str, version: str | None) -> None:
        which = {"name": name, "alias": alias}
        if version is None:
            with suppress(NotFound):
                self._asked("DELETE", f"{MODELS}registered-models/alias", workspace, json=which)
        else:
            self._asked("POST", f"{MODELS}registered-models/alias", workspace, json={**which, "version": version})

    def _pages(self, workspace: str, call: str, key: str, **asked: str) -> Iterator[Mapping[str, Any]]:
        token = ""
        while True:
            params = {**asked, "max_results": "1000", **({"page_token": token} if token else {})}
            page = self._asked("GET", f"{MODELS}{call}", workspace, params=params)
            yield from page.get(key, [])
            token = page.get("next_page_token", "")
            if not token:
                return

    def _search(self, workspace: str, experiment_id: str, condition: str) -> list[RunFacts]:
        found: list[RunFacts] = []
        token = ""
        while True:
            body: dict[str, Any] = {"experiment_ids": [experiment_id], "filter": condition, "max_results": 1000}
            body |= {"run_view_type": "ALL", **({"page_token": token} if token else {})}
            page = self._asked("POST", "/api/2.0/mlflow/runs/search", workspace, json=body)
            found += [_facts(run) for run in page.get("runs", [])]
            token = page.get("next_page_token", "")
            if not token:
                return found

    def _asked(self, method: str, path: str, workspace: str | None, **what: Any) -> Any:
        headers = {WORKSPACE_HEADER: workspace} if workspace else {}
        try:
            answer = self._client.request(method, path, headers=headers, **what)
        except httpx.HTTPError as cause:
            raise Unavailable(f"MLflow does not answer: {cause}.") from cause
        if answer.status_code < 300:
            return answer.json() if answer.content else {}
        raise _refusal(answer)


def command(home: Path, port: int) -> tuple[list[str], dict[str, str]]:
    """How to start the tracking server on loopback: its argv, and what to add to the environment."""
    artifacts = home / "artifacts"
    arguments = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}", "--artifacts-destination", str(artifacts)),
        *("--serve-artifacts", "--static-prefix", PREFIX, "--enable-workspaces"),
    ]
    settings = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_TRUNCATE_LONG_VALUES": "false",  # what is too long is refused, never cut in silence
        "MLFLOW_SERVER_ALLOWED_HOSTS": "127.0.0.1:*,localhost:*",
        "DO_NOT_TRACK": "true",
        "UVICORN_HTTP": "h11",
        "UVICORN_LOOP": "asyncio",
        # Read when its modules are imported: the process that prepares is the one that serves.
        "_MLFLOW_STATIC_PREFIX": PREFIX,
        "PATH": os.environ.get("PATH", os.defpath),
    }
    return arguments, settings


def _facts(run: Mapping[str, Any]) -> RunFacts:
    info, data = run["info"], run.get("data", {})
    return RunFacts(
        run_id=info["run_id"],
        experiment_id=str(info["experiment_id"]),
        name=info.get("run_name", ""),
        status=info.get("status", "RUNNING"),
        start_time=_whole(info.get("start_time")),
        end_time=_whole(info.get("end_time")),
        user=info.get("user_id", ""),
        lifecycle_stage=info.get("lifecycle_stage", "active"),
        metrics={metric["key"]: _logged(metric) for metric in data.get("metrics", [])},
        params={param["key"]: param.get("value", "") for param in data.get("params", [])},
        tags={tag["key"]: tag.get("value", "") for tag in data.get("tags", [])},
    )


def _told(value: float) -> float | str:
    """JSON has no word for these; MLflow has."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _logged(metric: Mapping[str, Any]) -> Logged:
    """MLflow writes NaN and infinities as words."""
    return Logged(float(metric.get("value", 0.0)), int(metric.get("timestamp", 0)), int(metric.get("step", 0)))


def _version(told: Mapping[str, Any]) -> ModelVersion:
    stage = str(told.get("current_stage") or "None")
    return ModelVersion(
        name=str(told["name"]),
        version=str(told["version"]),
        source=str(told.get("source") or ""),
        run_id=str(told.get("run_id") or ""),
        user=str(told.get("user_id") or ""),
        description=str(told.get("description") or ""),
        stage="" if stage == "None" else stage,
        tags={tag["key"]: tag.get("value", "") for tag in told.get("tags", [])},
        created_at=_whole(told.get("creation_timestamp")),
    )


def _is_prompt(model: Mapping[str, Any]) -> bool:
    return any(tag["key"] == PROMPT for tag in model.get("tags", []))


def _aliases(model: Mapping[str, Any]) -> dict[str, str]:
    return {str(each["alias"]): str(each["version"]) for each in model.get("aliases", [])}


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _refusal(answer: httpx.Response) -> EngineError | NotFound | Conflict:
    try:
        said = answer.json()
        code, message = str(said.get("error_code", "")), str(said.get("message", ""))[:500]
    except ValueError:
        code, message = "", answer.text[:200]
    if code == "RESOURCE_DOES_NOT_EXIST" or answer.status_code == 404:
        return NotFound(message or "MLflow does not know it.")
    if code == "RESOURCE_ALREADY_EXISTS" or answer.status_code == 409:
        return Conflict(message or "It exists already.")
    if answer.status_code in {429, 502, 503, 504}:
        return Unavailable(f"MLflow does not answer: {message}")
    return EngineError(f"MLflow refused ({answer.status_code}): {message}")
