"""What a job's token may touch: its own run, those it made, the models and the files of both."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import anyio.to_thread
import httpx

from app.tracking_rules import Rule, is_plain
from services.core.errors import Denied, NotFound
from services.sessions import Bearer
from services.store.metrics import Run
from services.store.rows import Job, Workspace
from services.studio import Studio, mlflow_workspace

MOST_REMEMBERED = 10_000


@dataclass(frozen=True)
class Asked:
    """One call: where it goes, for whom. `call` is the part of the address after `/mlflow/`."""

    rule: Rule
    path: str
    bearer: Bearer
    workspace: Workspace

    @property
    def call(self) -> str:
        return self.path.rpartition("/mlflow/")[2]

    @property
    def is_jobs(self) -> bool:
        return self.bearer.kind == "job"


class Rights:
    """`ask` puts a question of our own to MLflow."""

    def __init__(self, studio: Studio, ask: Callable[..., Awaitable[httpx.Response]]) -> None:
        self.studio, self._ask = studio, ask
        self._owners: dict[str, str] = {}

    async def check(self, asked: Asked, body: dict[str, Any]) -> None:
        """A job's token changes its own run, those it made and the models of both, nothing else."""
        if not asked.is_jobs or not asked.rule.owned:
            return
        match asked.rule.owned:
            case "model":
                owned = await self._owns_model(asked, asked.call.split("/")[1])
            case "run" if asked.call == "logged-models":  # without a run it belongs to the job's
                body["source_run_id"] = body.get("source_run_id") or await self._own_run(asked)
                owned = await self._owns_run(asked, str(body["source_run_id"]))
            case "run":
                owned = await self._owns_run(asked, str(body.get("run_id") or body.get("run_uuid") or ""))
            case _:
                owned = False
        if not owned:
            raise Denied("A job may only change its own run.")

    async def check_artifact(self, asked: Asked, query_string: str) -> None:
        """Below the workspace's own root; with a job's token only its runs and models may be written."""
        _, _, rest = asked.path.partition("/artifacts/" if "/artifacts/" in asked.path else "/mpu/")
        query = dict(parse_qsl(query_string))
        if not is_plain(query.get("path", "")):
            raise NotFound("There is no such artifact.")
        root = ["workspaces", mlflow_workspace(asked.workspace.id)]
        for path in (rest, query.get("path", "")):
            parts = [part for part in path.split("/") if part]
            if parts[:1] == ["workspaces"] and parts[:2] != root:
                raise NotFound("There is no such artifact.")
        if asked.is_jobs and asked.rule.action.endswith(("/write", "/delete")):
            await self._check_place(asked, [part for part in rest.split("/") if part], root)

    def own(self, thing: str, job_id: str) -> None:
        """Notes a run or a model that the job has just made."""
        if len(self._owners) > MOST_REMEMBERED:
            self._owners.clear()
        self._owners[thing] = job_id

    async def _owns_run(self, asked: Asked, run_id: str) -> bool:
        job_id = asked.bearer.job_id or ""
        if self._owners.get(run_id) == job_id:
            return True
        is_mine = await anyio.to_thread.run_sync(self._is_run_of, run_id, job_id)
        if is_mine:
            self.own(run_id, job_id)
        return is_mine

    def _is_run_of(self, run_id: str, job_id: str) -> bool:
        with self.studio.database.session(write=False) as session:
            run = session.get(Run, run_id)
            job = session.get(Job, job_id)
        return (run is not None and run.job_id == job_id) or (job is not None and bool(run_id) and job.run_id == run_id)

    async def _owns_model(self, asked: Asked, model_id: str) -> bool:
        job_id = asked.bearer.job_id or ""
        if self._owners.get(model_id) == job_id:
            return True
        answer = await self._ask("GET", f"/api/2.0/mlflow/logged-models/{model_id}", asked)
        if answer.status_code != 200:
            return False
        is_mine = await self._owns_run(asked, str(answer.json()["model"]["info"].get("source_run_id") or ""))
        if is_mine:
            self.own(model_id, job_id)
        return is_mine

    async def _own_run(self, asked: Asked) -> str:
        def run_id() -> str:
            with self.studio.database.session(write=False) as session:
                job = session.get(Job, asked.bearer.job_id)
            return job.run_id or "" if job is not None else ""

        return await anyio.to_thread.run_sync(run_id)

    async def _check_place(self, asked: Asked, parts: list[str], root: list[str]) -> None:
        """`<experiment>/<run>/artifacts/…` or `<experiment>/models/<model>/artifacts/…`."""
        inside = parts[1:] if parts[:1] in (["create"], ["complete"], ["abort"]) else parts
        match inside[2:] if inside[:2] == root else inside:
            case [_, "models", model_id, "artifacts", *_]:
                owned = await self._owns_model(asked, model_id)
            case [_, run_id, "artifacts", *_]:
                owned = await self._owns_run(asked, run_id)
            case _:
                owned = False
        if not owned:
            raise Denied("A job may only write the files of its own run.")
