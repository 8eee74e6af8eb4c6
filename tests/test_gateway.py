"""The jobs' own door: one run's token opens one run's tracking, while it runs, and nothing else is there."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from sqlmodel import select
from starlette.responses import JSONResponse
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from app.job_gateway import JobGate
from app.server import application
from services import jobs, sessions
from services.specs.jobs import CommandJob
from services.store.rows import Job, Principal, RoleAssignment
from tests.api.conftest import PLAIN, api_token, listening
from tests.api.test_walk import doors
from tests.conftest import Stage, free_port

BATCH = "/api/v1/workspaces/{ws}/runs/{run}/metrics:batch"
RUN = "/mlflow/api/2.0/mlflow/runs/get"


@pytest.fixture
def job(lite: Stage) -> Job:
    with lite.scope(lite.ben) as scope:
        spec = {"name": "j1", "command": "true", "environment": {"image": "a"}}
        return jobs.submit(scope, CommandJob.model_validate(spec))


@pytest.fixture
def token(lite: Stage, job: Job) -> str:
    return issued(lite, job)


def issued(stage: Stage, job: Job) -> str:
    with stage.studio.database.session(write=True) as session:
        return sessions.issue_job_token(session, principal_id=stage.ben.id, workspace_id=stage.lab.id, job_id=job.id)


@pytest.fixture
def door(lite: Stage) -> Iterator[str]:
    """With a proxy behind it that only says whom it was called by."""

    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        bearer = scope["atelier.bearer"]
        await JSONResponse({"job": bearer.job_id, "who": bearer.principal.name})(scope, receive, send)

    port = free_port()
    with listening(JobGate(proxy, proxy, lite.studio), port):
        yield f"http://127.0.0.1:{port}"


def got(door: str, path: str, token: str = "", method: str = "GET") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.request(method, door + path, headers=headers, trust_env=False, verify=PLAIN)


def test_a_running_job_reaches_its_tracking(door: str, token: str, job: Job):
    assert got(door, RUN, token).json() == {"job": job.id, "who": "ben"}


@pytest.mark.parametrize("secret", ["", "nonsense", "atl_0000000000000000_" + "a" * 43])
def test_nobody_else_comes_in(door: str, secret: str):
    answer = got(door, RUN, secret)
    assert (answer.status_code, answer.json()["code"]) == (401, "Unauthorized")


def test_a_persons_token_is_no_jobs(door: str, lite: Stage):
    assert got(door, RUN, api_token(lite, lite.ada)).status_code == 401
    assert got(door, RUN, sessions.issue_sign_in(lite.studio, lite.ada)).status_code == 401


def test_the_door_serves_tracking_and_nothing_of_the_studio(door: str, token: str, lite: Stage):
    everything = {each.path for each in doors(application(lite.studio).app) if each.path not in {"/mlflow", "/mlflow/"}}
    others = {
        "/",
        "/mlflow",
        "/mlflowx/",
        "/MLFLOW/x",
        "//mlflow/x",
        "/healthz",
        "/metrics",
        "/static/x",
        "/auth/sign-in",
    }
    for path in sorted(everything | others):
        for method in ("GET", "POST"):
            assert got(door, path, method=method).status_code == 401, path
            if (method, path) != ("POST", BATCH):
                assert got(door, path, token, method).status_code == 404, path


def test_many_points_at_once_come_in_by_this_door_too(door: str, token: str):
    assert got(door, BATCH, token, "POST").status_code == 200
    assert got(door, BATCH, token, "GET").status_code == 404
    assert got(door, f"{BATCH}/x", token, "POST").status_code == 404


def test_no_websocket_opens_here(door: str, token: str):
    for headers in ({}, {"Authorization": f"Bearer {token}"}):
        with pytest.raises(InvalidStatus):
            connect(door.replace("http", "ws") + RUN, additional_headers=headers, proxy=None)


def test_a_new_attempt_ends_the_token_of_the_last(door: str, token: str, lite: Stage, job: Job):
    second = issued(lite, job)
    assert got(door, RUN, token).status_code == 401
    assert got(door, RUN, second).status_code == 200


def test_the_token_ends_with_the_run(door: str, token: str, lite: Stage, job: Job):
    other = issued(lite, Job(id="other", workspace_id=lite.lab.id, name="j2", experiment_id="", experiment_name=""))
    with lite.studio.database.session(write=True) as session:
        sessions.revoke_job_tokens(session, job.id)
    assert got(door, RUN, token).status_code == 401
    assert got(door, RUN, other).status_code == 200


def test_the_token_ends_with_its_person(door: str, token: str, lite: Stage):
    with lite.studio.database.session(write=True) as session:
        session.get_one(Principal, lite.ben.id).disabled_at = lite.ben.created_at
    assert got(door, RUN, token).status_code == 401


@pytest.fixture
def public(lite: Stage) -> Iterator[str]:
    """The studio's own port."""
    port = free_port()
    with listening(application(lite.studio), port):
        yield f"http://127.0.0.1:{port}"


def test_at_the_public_port_it_opens_tracking_only(public: str, token: str):
    for path in (
        "/api/v1/whoami",
        "/api/v1/workspaces",
        "/api/v1/workspaces/lab/jobs",
        "/metrics",
        "/api/v1/openapi.json",
    ):
        assert got(public, path, token).status_code == 401, path
    for path in ("/", "/files/log/lab/j1", "/_stcore/health"):
        assert got(public, path, token).status_code in {303, 401}, path
    assert got(public, RUN + "?run_id=" + "0" * 32, token).status_code != 401


def test_it_is_worth_what_its_person_may_do_now(public: str, token: str, lite: Stage):
    """Job identity is the submitter's, in that workspace."""
    with lite.studio.database.session(write=True) as session:
        for row in session.exec(select(RoleAssignment).where(RoleAssignment.principal_id == lite.ben.id)):
            session.delete(row)
    answer = got(public, "/mlflow/api/2.0/mlflow/experiments/search?max_results=1", token)
    assert answer.status_code == 404
