"""The proxy in front of MLflow: who may, in which workspace, on which run; and a copy of what was logged.

The client's word for the workspace never travels on; a job's name stands for its run; another workspace's run
is not found. Bodies of artifacts stream through, everything else is small.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

import anyio.to_thread
import httpx
import orjson
from sqlmodel import col, select
from starlette.responses import Response

from app.api.problems import of
from app.tracking_rules import Rule, is_plain, rule_for
from services import access, artifacts, experiments, workspaces
from services.core.errors import AtelierError, Denied, Invalid, NotFound, Unavailable
from services.engines.tracking import PREFIX, WORKSPACE_HEADER
from services.metric_tee import Tee
from services.sessions import Bearer
from services.store.metrics import Point, Run
from services.store.rows import Experiment, Job, Workspace
from services.studio import Studio

log = logging.getLogger("atelier.tracking")
AsgiScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
LARGEST = 64 << 20
WAIT_SECONDS = 10.0
FACT_SECONDS = 2.0
_RUN_FIELDS = ("run_id", "run_uuid", "source_run_id")
_FORWARDED = {b"content-type", b"accept", b"user-agent", b"range", b"content-encoding"}
_RETURNED = {"content-type", "content-length", "content-range", "content-disposition", "accept-ranges", "etag"}
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True)
class Asked:
    """One call: where it goes, for whom, with what."""

    rule: Rule
    path: str
    bearer: Bearer
    workspace: Workspace


class TrackingProxy:
    """One for the process; `tee` takes what was acknowledged."""

    def __init__(self, studio: Studio, tee: Tee) -> None:
        self.studio, self.tee = studio, tee
        self._url, self._url_at = "", 0.0
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(300, connect=2), trust_env=False, limits=httpx.Limits(max_connections=100)
        )
        self._owners: dict[str, str] = {}

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        try:
            answer = await self._answered(scope, receive, send)
        except AtelierError as error:
            answer = _refused(error, str(scope.get("atelier.request_id", "")))
        if answer is not None:
            await answer(scope, receive, send)

    async def close(self) -> None:
        await self._client.aclose()

    async def _answered(self, scope: AsgiScope, receive: Receive, send: Send) -> Response | None:
        path = scope["path"].removeprefix(PREFIX)
        raw = scope.get("raw_path", b"").decode("latin-1").partition("?")[0]
        rule = rule_for(scope["method"], path)
        if rule is None or not is_plain(raw or path):
            raise NotFound("MLflow's interface has nothing at this address here.")
        asked = await self._asked(scope, rule, path)
        if rule.artifact:
            await anyio.to_thread.run_sync(self._check_artifact, asked)
            await self._streamed(scope, receive, send, asked)
            return None
        query = await self._query(asked, scope.get("query_string", b"").decode("latin-1"))
        body = await self._body(asked, receive) if scope["method"] in {"POST", "PATCH", "DELETE"} else None
        if rule.owned:
            await anyio.to_thread.run_sync(self._check_owned, asked, body or {})
        self._check_create(asked, body)
        content = orjson.dumps(body) if body is not None else None
        answer = await self._forwarded(scope, asked, query, content)
        if answer.status_code == 200:
            await anyio.to_thread.run_sync(self._noted, asked, body or {}, answer.content)
        headers = {name: value for name, value in answer.headers.items() if name == "content-type"}
        return Response(answer.content, answer.status_code, headers)

    async def _asked(self, scope: AsgiScope, rule: Rule, path: str) -> Asked:
        bearer = scope["atelier.bearer"]
        wanted = next(
            (v.decode("latin-1") for k, v in scope["headers"] if k.lower() == WORKSPACE_HEADER.lower().encode()), ""
        )
        workspace = await anyio.to_thread.run_sync(self._workspace, bearer, wanted, rule)
        return Asked(rule, path, bearer, workspace)

    def _workspace(self, bearer: Bearer, wanted: str, rule: Rule) -> Workspace:
        """A token's own one; else the one named in the header; else the only one there is."""
        name = self._named(bearer, wanted)
        with self.studio.scope(bearer.principal, name) as scope:
            access.require(scope, rule.action)
            return workspaces.get(scope)

    def _named(self, bearer: Bearer, wanted: str) -> str:
        if bearer.workspace_id is not None:
            with self.studio.database.session(write=False) as session:
                row = session.get(Workspace, bearer.workspace_id)
            if row is None:
                raise NotFound("The workspace is not there any more.")
            return row.name
        if wanted and wanted != "default":
            return wanted
        with self.studio.scope(bearer.principal) as scope:
            mine = workspaces.listed(scope)
        if len(mine) != 1:
            names = ", ".join(row.name for row in mine[:10]) or "none"
            raise Invalid(
                f"Which workspace? You can open: {names}.", hint="Set MLFLOW_WORKSPACE=<name> before you start."
            )
        return mine[0].name

    async def _query(self, asked: Asked, text: str) -> str:
        pairs = parse_qsl(text, keep_blank_values=True)
        changed = [(key, await self._run_id(asked, value) if key in _RUN_FIELDS else value) for key, value in pairs]
        return urlencode(changed)

    async def _body(self, asked: Asked, receive: Receive) -> dict[str, Any]:
        received = bytearray()
        while True:
            message = await receive()
            received += message.get("body", b"")
            if len(received) > LARGEST:
                raise Invalid(f"The request is larger than {LARGEST} bytes.")
            if not message.get("more_body"):
                break
        if not received:
            return {}
        try:
            body = orjson.loads(received)
        except orjson.JSONDecodeError as cause:
            raise Invalid(f"The body is not JSON: {cause}.") from cause
        if not isinstance(body, dict):
            raise Invalid("The body must be a JSON object.")
        for field in _RUN_FIELDS:
            if isinstance(body.get(field), str):
                body[field] = await self._run_id(asked, body[field])
        return body

    async def _run_id(self, asked: Asked, value: str) -> str:
        """MLflow's id; a job's name is taken for its run, which may be about to be made."""
        if not value or (len(value) == 32 and set(value) <= _HEX):
            return value
        until = time.monotonic() + WAIT_SECONDS
        while True:
            found = await anyio.to_thread.run_sync(self._run_of, asked.workspace.id, value)
            if found is None:
                return value
            if found:
                return found
            if time.monotonic() > until:
                raise Unavailable(f"The run of job '{value[:80]}' is not there yet.")
            await asyncio.sleep(0.05)

    def _run_of(self, workspace_id: str, name: str) -> str | None:
        with self.studio.database.session(write=False) as session:
            row = session.exec(
                select(Job.run_id, Job.id).where(Job.workspace_id == workspace_id, Job.name == name)
            ).one_or_none()
        return None if row is None else (row[0] or "")

    def _check_owned(self, asked: Asked, body: Mapping[str, Any]) -> None:
        """A job's token changes its own run and those it made, nothing else."""
        if asked.bearer.kind != "job":
            return
        run_id = str(body.get("run_id") or body.get("run_uuid") or "")
        if not self._is_owned(asked, run_id):
            raise Denied("A job may only write to its own run.")

    def _is_owned(self, asked: Asked, run_id: str) -> bool:
        job_id = asked.bearer.job_id
        if self._owners.get(run_id) == job_id:
            return True
        with self.studio.database.session(write=False) as session:
            run = session.get(Run, run_id)
            job = session.get(Job, job_id)
        is_mine = (run is not None and run.job_id == job_id) or (job is not None and job.run_id == run_id)
        if is_mine and job_id:
            self._owners[run_id] = job_id
        return is_mine

    def _check_create(self, asked: Asked, body: dict[str, Any] | None) -> None:
        """Places for files are chosen here, never by a client."""
        if body and asked.path.endswith("/experiments/create") and body.get("artifact_location"):
            raise Invalid("The place for artifacts cannot be chosen.", where="artifact_location")

    def _check_artifact(self, asked: Asked) -> None:
        """Below the workspace's own root; with a job's token only its runs and models may be written."""
        _, _, rest = asked.path.partition("/artifacts/" if "/artifacts/" in asked.path else "/mpu/")
        parts = [part for part in rest.split("/") if part]
        if parts[:1] in (["create"], ["complete"], ["abort"]):
            parts = parts[1:]
        root = ["workspaces", artifacts.mlflow_workspace(asked.workspace.id)]
        if parts[:1] == ["workspaces"] and parts[:2] != root:
            raise NotFound("There is no such artifact.")
        inside = parts[2:] if parts[:2] == root else parts
        is_write = asked.rule.action.endswith(("/write", "/delete"))
        of_a_run = is_write and len(inside) > 1 and inside[1] != "models"
        if of_a_run and asked.bearer.kind == "job" and not self._is_owned(asked, inside[1]):
            raise Denied("A job may only write to its own run.")

    async def _forwarded(self, scope: AsgiScope, asked: Asked, query: str, content: bytes | None) -> httpx.Response:
        url = await self._target(scope, query)
        try:
            return await self._client.request(
                scope["method"], url, content=content, headers=_headers(scope, asked, has_body=content is not None)
            )
        except httpx.HTTPError as cause:
            raise Unavailable(f"Tracking does not answer: {type(cause).__name__}.") from cause

    async def _streamed(self, scope: AsgiScope, receive: Receive, send: Send, asked: Asked) -> None:
        url = await self._target(scope, scope.get("query_string", b"").decode("latin-1"))
        has_body = scope["method"] in {"PUT", "POST"}
        headers = _headers(scope, asked, has_body=False)
        length = _header(scope, "content-length")
        if has_body and length:
            headers["content-length"] = length
        request = self._client.build_request(
            scope["method"], url, headers=headers, content=_received(receive) if has_body else None
        )
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.HTTPError as cause:
            raise Unavailable(f"Tracking does not answer: {type(cause).__name__}.") from cause
        try:
            kept = [(k.encode(), v.encode()) for k, v in answer.headers.items() if k in _RETURNED]
            kept += [(b"x-content-type-options", b"nosniff")]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": kept})
            async for piece in answer.aiter_raw(1 << 20):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            await answer.aclose()

    async def _target(self, scope: AsgiScope, query: str) -> httpx.URL:
        at = time.monotonic()
        if at - self._url_at > FACT_SECONDS:
            fact = await anyio.to_thread.run_sync(self.studio.fact, "tracking")
            self._url, self._url_at = (str(fact.value["url"]) if fact else ""), at
        if not self._url:
            raise Unavailable("Tracking has not started yet.")
        raw = scope.get("raw_path", scope["path"].encode()).partition(b"?")[0]
        return httpx.URL(self._url).copy_with(raw_path=raw + (b"?" + query.encode() if query else b""))

    def _noted(self, asked: Asked, body: Mapping[str, Any], content: bytes) -> None:
        """What MLflow has acknowledged goes into our own tables too; nothing that fails here fails the call."""
        try:
            self._copied(asked, body, content)
        except Exception:
            log.exception("What %s logged could not be copied; the run's end repairs it", asked.path)

    def _copied(self, asked: Asked, body: Mapping[str, Any], content: bytes) -> None:
        run_id = str(body.get("run_id") or body.get("run_uuid") or "")
        match asked.path.rpartition("/mlflow/")[2]:
            case "runs/log-metric":
                self.tee.points(run_id, [_point(body)])
            case "runs/log-batch":
                self.tee.points(run_id, [_point(metric) for metric in body.get("metrics") or []])
                self.tee.params(run_id, {each["key"]: str(each["value"]) for each in body.get("params") or []})
                self.tee.tags(run_id, {each["key"]: str(each["value"]) for each in body.get("tags") or []})
            case "runs/log-parameter":
                self.tee.params(run_id, {str(body["key"]): str(body["value"])})
            case "runs/set-tag":
                self.tee.tags(run_id, {str(body["key"]): str(body["value"])})
            case "runs/create":
                self._created(asked, orjson.loads(content)["run"])
            case "runs/update":
                self.tee.run(_run(asked.workspace.id, orjson.loads(content)["run_info"], {}, None))
            case "runs/delete":
                self.tee.deleted(run_id)
            case "experiments/create":
                self._experiment(asked, str(body["name"]), str(orjson.loads(content)["experiment_id"]))

    def _created(self, asked: Asked, run: Mapping[str, Any]) -> None:
        tags = {tag["key"]: tag.get("value", "") for tag in run.get("data", {}).get("tags", [])}
        row = _run(asked.workspace.id, run["info"], tags, asked.bearer.job_id)
        if asked.bearer.job_id:
            self._owners[row.run_id] = asked.bearer.job_id
        self.tee.run(row)
        self.tee.tags(row.run_id, tags)

    def _experiment(self, asked: Asked, name: str, mlflow_id: str) -> None:
        with self.studio.scope(asked.bearer.principal, asked.workspace.name, write=True) as scope:
            row = experiments.ensure(scope, name)
            taken = scope.session.exec(
                select(Experiment.id).where(
                    col(Experiment.mlflow_id) == mlflow_id, Experiment.workspace_id == asked.workspace.id
                )
            ).first()
            if taken is None:
                row.mlflow_id = mlflow_id
                scope.session.add(row)


def _refused(error: AtelierError, request_id: str) -> Response:
    """In the words of an MLflow client, which reads `error_code` and `message`."""
    codes = {404: "RESOURCE_DOES_NOT_EXIST", 403: "PERMISSION_DENIED", 422: "INVALID_PARAMETER_VALUE"}
    if error.status in codes:
        status = 400 if error.status == 422 else error.status
        content = orjson.dumps({"error_code": codes[error.status], "message": str(error), "request_id": request_id})
        return Response(content, status, media_type="application/json")
    return of(error, request_id)


def _headers(scope: AsgiScope, asked: Asked, *, has_body: bool) -> dict[str, str]:
    kept = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"] if k.lower() in _FORWARDED}
    if has_body:
        kept["content-type"] = "application/json"
        kept.pop("content-encoding", None)
    kept["accept-encoding"] = "identity"
    kept[WORKSPACE_HEADER.lower()] = artifacts.mlflow_workspace(asked.workspace.id)
    return kept


def _header(scope: AsgiScope, name: str) -> str:
    wanted = name.lower().encode()
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == wanted), "")


async def _received(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise httpx.ReadError("the client went away")
        if piece := message.get("body", b""):
            yield piece
        if not message.get("more_body"):
            return


def _point(metric: Mapping[str, Any]) -> Point:
    return Point(
        str(metric["key"]), float(metric["value"]), int(metric.get("timestamp") or 0), int(metric.get("step") or 0)
    )


def _run(workspace_id: str, info: Mapping[str, Any], tags: Mapping[str, str], job_id: str | None) -> Run:
    return Run(
        run_id=str(info["run_id"]),
        workspace_id=workspace_id,
        experiment_id=str(info["experiment_id"]),
        job_id=job_id,
        parent_run_id=tags.get("mlflow.parentRunId"),
        name=str(info.get("run_name") or ""),
        status=str(info.get("status") or "RUNNING"),
        start_time=_milliseconds(info.get("start_time")),
        end_time=_milliseconds(info.get("end_time")),
        user=str(info.get("user_id") or ""),
        lifecycle_stage=str(info.get("lifecycle_stage") or "active"),
    )


def _milliseconds(value: Any) -> int | None:
    return None if value is None else int(value)
