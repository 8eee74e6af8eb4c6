"""The proxy in front of MLflow: who may, in which workspace, on which run; and a copy of what was logged.

The client's word for the workspace is only a wish that its token must allow; a job's name stands for its run;
another workspace's run is not found. Bodies of artifacts stream through, everything else is small.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlencode

import anyio.to_thread
import httpx
import orjson
from sqlmodel import select
from starlette.responses import Response

from app import tracking_models
from app.api.problems import RETRY_SECONDS
from app.tracking_copy import PARENT, SLOW, Acknowledged, Copy, points_of
from app.tracking_rights import MOST_REMEMBERED, Asked, Rights
from app.tracking_rules import Rule, is_plain, rule_for
from services import access, workspaces
from services.core import names
from services.core.errors import AtelierError, Conflict, Invalid, NotFound, Unavailable
from services.engines.tracking import PREFIX, WORKSPACE_HEADER
from services.metric_tee import Tee
from services.sessions import Bearer
from services.store.metrics import Point
from services.store.rows import Experiment, Job, Workspace
from services.studio import Studio, mlflow_workspace

AsgiScope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
LARGEST = 64 << 20
WAIT_SECONDS = 10.0
FACT_SECONDS = 2.0
REMEMBERED_SECONDS = 0.8
_RUN_FIELDS = ("run_id", "run_uuid", "run_ids", "source_run_id")
_EXPERIMENT_FIELDS = ("experiment_id", "experiment_ids")
_FORWARDED = {b"content-type", b"accept", b"user-agent", b"range", b"content-encoding"}
_RETURNED = {"content-type", "content-length", "content-range", "content-disposition", "accept-ranges", "etag"}
_HEX = frozenset("0123456789abcdef")
_CODES = {
    404: "RESOURCE_DOES_NOT_EXIST",
    403: "PERMISSION_DENIED",
    409: "INVALID_STATE",
    422: "INVALID_PARAMETER_VALUE",
    503: "TEMPORARILY_UNAVAILABLE",
}


class TrackingProxy:
    """One for the process; `tee` takes what was acknowledged."""

    def __init__(self, studio: Studio, tee: Tee) -> None:
        self.studio, self.copy = studio, Copy(studio, tee)
        self._url, self._url_at = "", 0.0
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(300, connect=2), trust_env=False, limits=httpx.Limits(max_connections=100)
        )
        self._workspaces: dict[tuple[str, str, str], tuple[float, Workspace]] = {}
        self._ready: set[str] = set()
        self._defaults: dict[str, str] = {}
        self._rights = Rights(studio, self._ours)
        self._experiments: set[tuple[str, str]] = set()

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
        await self._ensure_workspace(asked)
        if rule.artifact:
            await self._rights.check_artifact(asked, scope.get("query_string", b"").decode("latin-1"))
            if (ours := await self._of_ours(scope, asked)) is not None:
                return ours
            await self._streamed(scope, receive, send, asked)
            return None
        query = await self._query(asked, scope.get("query_string", b"").decode("latin-1"))
        body = await self._body(asked, receive) if scope["method"] in {"POST", "PATCH", "DELETE"} else None
        await self._check(asked, body or {})
        points = points_of(asked.call, body or {})
        content = orjson.dumps(body) if body is not None else None
        answer = await self._forwarded(scope, asked, query, content)
        if answer.status_code == 200 and body is not None:
            await self._acknowledged(asked, body, answer.content, points)
        headers = {name: value for name, value in answer.headers.items() if name == "content-type"}
        told = answer.content
        if asked.call == tracking_models.DOWNLOAD and answer.status_code == 200:
            pairs = dict(parse_qsl(query))
            told = await anyio.to_thread.run_sync(tracking_models.address, self.studio, asked, told, pairs)
        return Response(told, answer.status_code, headers)

    async def _of_ours(self, scope: AsgiScope, asked: Asked) -> Response | None:
        """A registered model's files, where they lie outside of MLflow's own root."""
        query = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
        place = tracking_models.place_of(asked, query)
        if place is None:
            return None
        served = partial(tracking_models.served, lists=asked.path.endswith("/artifacts"), range=_header(scope, "range"))
        return await anyio.to_thread.run_sync(served, self.studio, asked, scope["method"], place)

    async def _asked(self, scope: AsgiScope, rule: Rule, path: str) -> Asked:
        """With the workspace that the token may open; an answer counts for as long as the gate's own."""
        bearer: Bearer = scope["atelier.bearer"]
        wanted = _header(scope, WORKSPACE_HEADER)
        key, at = (bearer.token_id, wanted, rule.action), time.monotonic()
        known = self._workspaces.get(key)
        if known is None or at - known[0] > REMEMBERED_SECONDS:
            if len(self._workspaces) > MOST_REMEMBERED:
                self._workspaces.clear()
            known = at, await anyio.to_thread.run_sync(self._workspace, bearer, wanted, rule)
            self._workspaces[key] = known
        return Asked(rule, path, bearer, known[1])

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
        if wanted:
            return wanted
        with self.studio.scope(bearer.principal) as scope:
            mine = workspaces.listed(scope)
        if len(mine) != 1:
            known = ", ".join(row.name for row in mine[:10]) or "none"
            raise Invalid(
                f"Which workspace? You can open: {known}.", hint="Set MLFLOW_WORKSPACE=<name> before you start."
            )
        return mine[0].name

    async def _ensure_workspace(self, asked: Asked) -> None:
        """MLflow's side of a workspace is made by whoever comes first: a job's start, or a client here."""
        name = mlflow_workspace(asked.workspace.id)
        if name in self._ready:
            return
        answer = await self._ours("POST", "/api/3.0/mlflow/workspaces", None, json={"name": name})
        if answer.status_code in {200, 201, 400, 409}:  # made just now, or there already
            self._ready.add(name)

    async def _query(self, asked: Asked, text: str) -> str:
        pairs = parse_qsl(text, keep_blank_values=True)
        return urlencode([(key, await self._named_id(asked, key, value)) for key, value in pairs])

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
        for field in body:
            if not field.islower():  # MLflow reads camelCase too, and would see what was not looked at here
                raise Invalid(f"'{field[:80]}' is not a field: they are written in small letters.")
        for field, value in body.items():
            if isinstance(value, str):
                body[field] = await self._named_id(asked, field, value)
            elif field == "experiment_ids" and isinstance(value, list):
                body[field] = [await self._named_id(asked, field, str(each)) for each in value]
        if asked.call == "runs/create":
            await self._name_parent(asked, body)
        return body

    async def _named_id(self, asked: Asked, field: str, value: str) -> str:
        """A job's name where a run is meant; "0", where an experiment is, means the workspace's default one."""
        if field in _RUN_FIELDS:
            return await self._run_id(asked, value)
        if field in _EXPERIMENT_FIELDS and value == "0":
            return await self._default_experiment(asked)
        return value

    async def _default_experiment(self, asked: Asked) -> str:
        """MLflow gives number 0 to no workspace but its own; clients use it when they have chosen nothing."""
        known = self._defaults.get(asked.workspace.id)
        if known is None:
            path = "/api/2.0/mlflow/experiments/"
            await self._ours("POST", f"{path}create", asked, json={"name": "Default"})  # there already: that is well
            answer = await self._ours("GET", f"{path}get-by-name?experiment_name=Default", asked)
            if answer.status_code != 200:
                raise Unavailable("The workspace's default experiment is not there yet.")
            known = self._defaults[asked.workspace.id] = str(answer.json()["experiment"]["experiment_id"])
        return known

    async def _name_parent(self, asked: Asked, body: Mapping[str, Any]) -> None:
        """`start_run(parent_run_id=job.name)` works as well."""
        for tag in body.get("tags") or []:
            if isinstance(tag, dict) and tag.get("key") == PARENT:
                tag["value"] = await self._run_id(asked, str(tag.get("value", "")))

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

    async def _check(self, asked: Asked, body: dict[str, Any]) -> None:
        """What MLflow would allow and the studio does not."""
        match asked.call:
            case "experiments/create" | "experiments/update":
                if body.get("artifact_location"):  # places for files are chosen here, never by a client
                    raise Invalid("The place for artifacts cannot be chosen.", where="artifact_location")
                names.checked_experiment(str(body.get("new_name") or body.get("name") or ""))
            case "runs/delete":
                await anyio.to_thread.run_sync(self._check_deletion, str(body.get("run_id") or ""))
        await self._rights.check(asked, body)
        if tracking_models.is_change(asked.call):
            await anyio.to_thread.run_sync(tracking_models.check, self.studio, asked, body)

    def _check_deletion(self, run_id: str) -> None:
        with self.studio.database.session(write=False) as session:
            name = session.exec(select(Job.name).where(Job.run_id == run_id)).first()
        if name is not None:
            raise Conflict(
                f"This is the run of job '{name}'.", hint=f"'atelier job delete --name {name}' deletes both."
            )

    async def _forwarded(self, scope: AsgiScope, asked: Asked, query: str, content: bytes | None) -> httpx.Response:
        url = await self._target(scope, query)
        try:
            return await self._client.request(
                scope["method"], url, content=content, headers=_headers(scope, asked, has_body=content is not None)
            )
        except httpx.HTTPError as cause:
            raise Unavailable(f"Tracking does not answer: {type(cause).__name__}.") from cause

    async def _ours(self, method: str, path: str, asked: Asked | None, **what: Any) -> httpx.Response:
        """A question of our own, in the workspace of the call that made us ask."""
        headers = {WORKSPACE_HEADER: mlflow_workspace(asked.workspace.id)} if asked else {}
        url = await self._base()
        try:
            return await self._client.request(method, f"{url}{PREFIX}{path}", headers=headers, **what)
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
        raw = scope.get("raw_path", scope["path"].encode()).partition(b"?")[0]
        return httpx.URL(await self._base()).copy_with(raw_path=raw + (b"?" + query.encode() if query else b""))

    async def _base(self) -> str:
        """Where MLflow listens now."""
        at = time.monotonic()
        if at - self._url_at > FACT_SECONDS:
            fact = await anyio.to_thread.run_sync(self.studio.fact, "tracking")
            self._url, self._url_at = (str(fact.value["url"]) if fact else ""), at
        if not self._url:
            raise Unavailable("Tracking has not started yet.")
        return self._url

    async def _acknowledged(
        self, asked: Asked, body: Mapping[str, Any], content: bytes, points: Sequence[Point]
    ) -> None:
        """What MLflow has changed is remembered: who made it, and what it was."""
        done = Acknowledged(asked.call, asked.bearer, asked.workspace, body, content, points)
        if asked.call == "runs/create":
            info = orjson.loads(content)["run"]["info"]
            if asked.bearer.job_id:
                self._rights.own(str(info["run_id"]), asked.bearer.job_id)
            await self._know_experiment(asked, str(info["experiment_id"]))
        if tracking_models.is_change(asked.call):
            url = await self._base()
            await anyio.to_thread.run_sync(tracking_models.follow, self.studio, asked, dict(body), url)
        elif asked.call in SLOW:
            await anyio.to_thread.run_sync(self.copy.take, done)
        else:
            self.copy.take(done)

    async def _know_experiment(self, asked: Asked, experiment_id: str) -> None:
        """MLflow makes a workspace's default experiment by itself; here it is made with its first run."""
        key = (asked.workspace.id, experiment_id)
        if key in self._experiments:
            return
        if not await anyio.to_thread.run_sync(self._has_experiment, *key):
            path = f"/api/2.0/mlflow/experiments/get?experiment_id={experiment_id}"
            answer = await self._ours("GET", path, asked)
            if answer.status_code != 200:
                return
            told = answer.json()["experiment"]
            done = Acknowledged("experiments/create", asked.bearer, asked.workspace, told, orjson.dumps(told))
            await anyio.to_thread.run_sync(self.copy.take, done)
        self._experiments.add(key)

    def _has_experiment(self, workspace_id: str, experiment_id: str) -> bool:
        with self.studio.database.session(write=False) as session:
            mine = (Experiment.workspace_id == workspace_id, Experiment.mlflow_id == experiment_id)
            return session.exec(select(Experiment.id).where(*mine)).first() is not None


def _refused(error: AtelierError, request_id: str) -> Response:
    """In the words of an MLflow client, which reads `error_code` and `message` and waits as long as it is told."""
    status = 400 if error.status == 422 else error.status
    code = _CODES.get(error.status, "INTERNAL_ERROR")
    content = orjson.dumps({"error_code": code, "message": str(error), "request_id": request_id})
    headers = {"Retry-After": RETRY_SECONDS} if status == 503 else None
    return Response(content, status, headers, media_type="application/json")


def _headers(scope: AsgiScope, asked: Asked, *, has_body: bool) -> dict[str, str]:
    kept = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"] if k.lower() in _FORWARDED}
    if has_body:
        kept["content-type"] = "application/json"
        kept.pop("content-encoding", None)
    kept["accept-encoding"] = "identity"
    kept[WORKSPACE_HEADER.lower()] = mlflow_workspace(asked.workspace.id)
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
