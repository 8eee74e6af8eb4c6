"""The web process on a real port of the stage, and everybody's token and cookie."""

import hashlib
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import streamlit as st
import uvicorn
from sqlmodel import select
from streamlit.runtime.runtime import Runtime

from app.auth import COOKIE
from app.gate import Gate
from app.server import application
from app.ui import mount
from services import assets, components, data, environments, jobs, models, sessions, uploads
from services.core.states import AssetKind, JobStatus
from services.core.times import now
from services.specs.code import Entry
from services.specs.components import component
from services.specs.data import DataAsset
from services.specs.environments import Environment
from services.specs.jobs import CommandJob
from services.specs.models import Model
from services.store.rows import Job, Principal, RoleAssignment, Session, Token
from tests.conftest import Stage, free_port, make_stage

HELLO: dict[str, Any] = {"command": "echo hello", "environment": {"image": "debian:12"}}
LOG = "user_logs/std_log.txt"
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # made once: every client would read all authorities otherwise


@dataclass
class House:
    """A stage with its web process listening; clients carry a person's token or cookie."""

    stage: Stage
    app: Gate
    port: int
    opened: list[httpx.Client] = field(default_factory=list)
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def anonymous(self, **headers: str) -> httpx.Client:
        client = httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, verify=PLAIN)
        self.opened.append(client)
        return client

    def bearer(self, name: str) -> httpx.Client:
        """As the command line calls."""
        return self.anonymous(Authorization=f"Bearer {self.token(name)}")

    def browser(self, name: str) -> httpx.Client:
        """As a page of the studio calls: with the cookie, and saying where it came from."""
        return self.anonymous(Cookie=f"{COOKIE}={self.cookie(name)}", Origin=self.url)

    def who(self, name: str) -> Principal:
        found: Principal = getattr(self.stage, name)
        return found

    def token(self, name: str) -> str:
        return api_token(self.stage, self.who(name))

    def cookie(self, name: str) -> str:
        """The last one given to that person is kept in `cookies`."""
        found = sessions.sign_in(self.stage.studio, sessions.issue_sign_in(self.stage.studio, self.who(name)))
        assert found is not None
        self.cookies[name] = found
        return found

    def grant(self, name: str, role: str) -> None:
        """Instead of what that person could do in the lab."""
        with self.stage.studio.database.session(write=True) as session:
            for row in _roles(session, self.who(name).id, self.stage.lab.id):
                session.delete(row)
            session.flush()
            if role:
                session.add(RoleAssignment(principal_id=self.who(name).id, role=role, scope=self.stage.lab.id))

    def disable(self, name: str) -> None:
        with self.stage.studio.database.session(write=True) as session:
            session.get_one(Principal, self.who(name).id).disabled_at = now()

    def sign_out(self, name: str) -> None:
        """Every session of that person, as another tab of theirs would."""
        with self.stage.studio.database.session(write=True) as session:
            session.delete(session.get_one(Session, sessions.sid(self.cookies[name])))

    def job(self, name: str = "j1", *, who: str = "ben", over: bool = True, log: bytes = b"one\ntwo\n") -> Job:
        """A job with a log; at its end unless told otherwise."""
        with self.stage.scope(self.who(who)) as scope:
            job = jobs.submit(scope, CommandJob.model_validate({**HELLO, "name": name}))
            if over:
                job.status, job.started_at, job.finished_at, job.collected_at = JobStatus.Completed, now(), now(), now()
            scope.session.add(job)
        self.write(job, LOG, log)
        return job

    def assets(self, workspace: str = "lab") -> None:
        """Version 1 of `j1` with the label `x`, of each kind of asset; they hold what a job's run would."""
        with self.stage.scope(workspace=workspace) as scope:
            definition = {"name": "j1", "image": "debian:12"}
            environments.create(scope, Environment.model_validate(definition))
            kinds: tuple[uploads.Kind, ...] = ("data", "code")
            for what in kinds:
                upload = uploads.begin(scope, what, [Entry(LOG, 4, hashlib.sha256(b"one\n").hexdigest())]).id
                landing = uploads.landing(scope, upload, LOG)
                with landing.open() as target:
                    target.write(b"one\n")
                landing.finish()
                uploads.seal(scope, upload)
            components.create(scope, component({**HELLO, "name": "j1", "code": f"azureml:{upload}"}))
            data.create(scope, DataAsset.model_validate({"name": "j1", "path": "./x"}), upload=upload)
            models.create(scope, Model(name="j1", path=f"azureml://uploads/{upload}/"))
            for kind in AssetKind:
                assets.set_label(scope, assets.get(scope, kind, "j1", "1"), "x")

    def write(self, job: Job, path: str, content: bytes) -> Path:
        """A file of the run."""
        target = self.stage.studio.folders.run(job.id) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return target

    def append(self, job: Job, content: bytes) -> None:
        """To its log, as a running job does."""
        with (self.stage.studio.folders.run(job.id) / LOG).open("ab") as log:
            log.write(content)

    def end(self, job: Job) -> None:
        with self.stage.scope() as scope:
            row = scope.session.get_one(Job, job.id)
            row.status, row.finished_at, row.collected_at = JobStatus.Completed, now(), now()


def api_token(stage: Stage, person: Principal) -> str:
    """As the command line has one."""
    token = Token(kind="api", secret_hash="", principal_id=person.id)
    secret = f"atl_{token.id}_{secrets.token_urlsafe(32)}"
    token.secret_hash = sessions.sid(secret)
    with stage.studio.database.session(write=True) as session:
        session.add(token)
    return secret


def announced(path: str, content: bytes = b"print(1)\n", **changes: object) -> dict[str, object]:
    """One file as it is announced before it is sent."""
    return {"path": path, "size": len(content), "sha256": hashlib.sha256(content).hexdigest(), **changes}


def _roles(session: Any, principal_id: str, scope: str) -> list[RoleAssignment]:
    wanted = select(RoleAssignment).where(RoleAssignment.principal_id == principal_id, RoleAssignment.scope == scope)
    return list(session.exec(wanted))


def raw(house: House, head: str, body: bytes = b"") -> int:
    """The status that is answered to exactly these bytes, which no client would tidy up."""
    with socket.create_connection(("127.0.0.1", house.port), timeout=20) as connection:
        connection.sendall(head.encode("latin-1") + body)
        line = connection.makefile("rb").readline()
    return int(line.split()[1])


def is_kept_out(answer: httpx.Response) -> bool:
    """Not let in: told so, or shown the way to the sign-in page."""
    sent_on = answer.status_code == 303 and answer.headers["location"].startswith("/auth/sign-in?next=")
    return answer.status_code in {401, 403} or sent_on


@contextmanager
def listening(app: Any, port: int) -> Iterator[None]:
    """The application on a real port, in a thread."""
    settings = uvicorn.Config(
        app,
        port=port,
        http="h11",
        loop="asyncio",
        ws="websockets-sansio",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started:
        assert thread.is_alive(), "the server ended"
        assert time.monotonic() < until, "the server did not start"
        time.sleep(0.01)
    yield
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive(), "the server did not stop"


@contextmanager
def opened(stage: Stage, *, screens: Any | None = None) -> Iterator[House]:
    house = House(stage, application(stage.studio, screens=screens), free_port())
    with listening(house.app, house.port):
        yield house
        for client in house.opened:
            client.close()


@pytest.fixture
def house(lite: Stage) -> Iterator[House]:
    with opened(lite) as made:
        yield made


@pytest.fixture
def houses(stage: Stage) -> Iterator[House]:
    """On both databases: for what one of them may see differently."""
    with opened(stage) as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One for the tests of a module that do not disturb each other."""
    stage = make_stage(tmp_path_factory.mktemp("shared") / "home")
    with opened(stage) as made:
        yield made
    stage.studio.close()


def eventually(is_so: Callable[[], bool], what: str) -> None:
    """Waits until it is so."""
    until = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < until, what
        time.sleep(0.02)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """With the real screens; they open the same home. Streamlit's runtime is one a process, so one at a time."""
    home = tmp_path_factory.mktemp("full") / "home"
    stage = make_stage(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATELIER_HOME", str(home))
        patch.setattr(Runtime, "_instance", None)
        st.cache_resource.clear()
        with opened(stage, screens=mount.application()) as made:
            assert made.browser("ada").get("/").status_code == 200  # the first call makes Streamlit's own routes
            yield made
        st.cache_resource.clear()
    stage.studio.close()


@pytest.fixture(scope="module")
def lab(full: House) -> House:
    """With a job and assets in it."""
    full.job("j1")
    full.assets()
    return full
