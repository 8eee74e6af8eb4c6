"""The gateway as it runs: a process on a socket that stays open, a real database, callers who must not notice."""

import asyncio
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from app.gateway.address import VARIABLE
from services import sessions
from services.core.states import ReplicaState
from services.core.times import now
from services.store.serving import Deployment, Endpoint, Replica
from tests.conftest import Stage
from tests.gateway.rows import PRIMARY, SECONDARY, a_deployment, a_replica, a_token, an_endpoint, change, digest
from tests.gateway.stand import Asked, Model, ask, client, plain, request, until
from tests.serving.load import Answer, Load

Models = Callable[..., Model]
ROOM = {"request_settings": {"max_concurrent_requests_per_instance": 100, "request_timeout_ms": 30_000}}
RATE = 200.0


class Served:
    """What the supervisor does: a socket that outlives the processes that listen on it."""

    def __init__(self, stage: Stage, folder: Path) -> None:
        self.stage, self.log = stage, folder / "gateway.log"
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = int(self._socket.getsockname()[1])
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> subprocess.Popen[bytes]:
        settings = self.stage.studio.settings
        ours = {
            "ATELIER_HOME": str(settings.home),
            "ATELIER_DATABASE_URL": settings.database_url,
            "ATELIER_LOG_LEVEL": "DEBUG",
            VARIABLE: str(self._socket.fileno()),
        }
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "app.gateway"],
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **ours},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(self._socket.fileno(),),
            )
        self.processes.append(process)
        return process

    def listens(self, count: int = 1) -> None:
        """Waits until so many of its processes have begun to."""
        said = b"The gateway listens"
        until(lambda: self.log.read_bytes().count(said) >= count, f"none listens: {self.log.read_text()[-2000:]}")

    def load(self, key: str = PRIMARY, **fields: float) -> Load:
        url = f"http://127.0.0.1:{self.port}/lab/iris/score"
        return Load(url, {"Authorization": f"Bearer {key}"}, b"{}", rate=fields.get("rate", RATE))

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait(30)
        self._socket.close()


@contextmanager
def served(stage: Stage, folder: Path) -> Iterator[Served]:
    made = Served(stage, folder)
    try:
        made.start()
        made.listens()
        yield made
    finally:
        made.close()


@pytest.fixture
def gateway(lite: Stage, tmp_path: Path) -> Iterator[Served]:
    with served(lite, tmp_path) as made:
        yield made


def told(failed: list[Answer]) -> str:
    return f"{len(failed)} failed, such as {failed[:3]}"


def serves(port: int, key: str = PRIMARY) -> bool:
    return ask(port, key=key).code == 200


@pytest.mark.slow
def test_a_hundred_changes_of_traffic_and_twenty_swaps_fail_nobody(lite: Stage, gateway: Served, model: Models) -> None:
    """Under 200 requests a second: none fails, and each deployment gets what it was given, within three sigma."""
    models = {name: model(name) for name in ("blue", "green")}
    endpoint = an_endpoint(lite, traffic={"blue": 90, "green": 10})
    rows = {name: a_deployment(lite, endpoint, name, spec=ROOM) for name in models}
    replicas = {name: a_replica(lite, rows[name], models[name].port) for name in models}
    until(lambda: serves(gateway.port))
    given = [(time.monotonic(), 0.10)]
    with gateway.load().running() as load:
        load.until(50)
        for number in range(100):
            percent = (20, 10)[number % 2]
            change(lite, endpoint, traffic={"blue": 100 - percent, "green": percent})
            given.append((time.monotonic(), percent / 100))
            if number % 5 == 0:
                name = ("blue", "green")[number // 5 % 2]
                fresh = model(name)
                replica = a_replica(lite, rows[name], fresh.port)
                until(lambda fresh=fresh: fresh.asked, "the new instance is asked nothing")  # type: ignore[misc]
                change(lite, replicas[name], state=ReplicaState.Draining)
                until(lambda old=models[name]: old.open == 0, "the old instance is not let go")  # type: ignore[misc]
                models[name].close()
                models[name], replicas[name] = fresh, replica
            load.until(len(load.answers) + 10)
    assert not load.failed(), told(load.failed())
    assert len(load.answers) > 1000
    chances = [next(share for at, share in reversed(given) if at <= answer.sent) for answer in load.answers]
    due, sigma = sum(chances), math.sqrt(sum(share * (1 - share) for share in chances))
    assert abs(load.shares()["green"] - due) <= 3 * sigma


@pytest.mark.slow
def test_a_gateway_that_is_replaced_under_load_fails_nobody(lite: Stage, gateway: Served, model: Models) -> None:
    """The next one is started, then the old one told to end, as the supervisor does."""
    a_deployment(lite, an_endpoint(lite, traffic={"blue": 100}), ports=(model().port,), spec=ROOM)
    until(lambda: serves(gateway.port))
    with gateway.load().running() as load:
        for number in range(3):
            load.until(len(load.answers) + 100)
            old = gateway.processes[-1]
            gateway.start()
            gateway.listens(number + 2)
            old.send_signal(signal.SIGTERM)
            assert old.wait(30) == 0
        load.until(len(load.answers) + 100)
    assert not load.failed(), told(load.failed())


@pytest.mark.slow
def test_a_gateway_that_is_killed_fails_only_who_was_being_answered(
    lite: Stage, gateway: Served, model: Models
) -> None:
    a_deployment(lite, an_endpoint(lite, traffic={"blue": 100}), ports=(model().port,), spec=ROOM)
    until(lambda: serves(gateway.port))
    killed = []
    with gateway.load().running() as load:
        for number in range(2):
            load.until(len(load.answers) + 200)
            gateway.processes[-1].kill()
            killed.append(time.monotonic())
            gateway.processes[-1].wait(30)
            gateway.start()
            gateway.listens(number + 2)
        load.until(len(load.answers) + 200)
    strays = [one for one in load.failed() if not any(one.sent <= at + 0.05 and at <= one.ended for at in killed)]
    assert not strays, told(strays)
    assert len(load.failed()) <= 2 * load.connections


def test_one_that_ends_answers_what_it_has_and_what_still_comes(lite: Stage, gateway: Served, model: Models) -> None:
    go = threading.Event()

    async def waits(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked.body == b"slow" and not go.is_set():
            await asyncio.sleep(0.01)
        writer.write(plain(asked.body))

    blue = model(answering=waits)
    a_deployment(lite, an_endpoint(lite, traffic={"blue": 100}), ports=(blue.port,), spec=ROOM)
    until(lambda: serves(gateway.port))
    with client(gateway.port) as one, client(gateway.port) as other:
        assert other.ask().code == 200
        one.send(request(b"slow"))
        until(lambda: any(asked.body == b"slow" for asked in blue.asked))
        (process,) = gateway.processes
        process.send_signal(signal.SIGTERM)
        last = other.ask()
        assert (last.code, last.headers.get("connection")) in {(200, "close"), (200, None)}
        go.set()
        reply = one.reply()
        assert (reply.code, reply.body, reply.headers["connection"]) == (200, b"slow", "close")
    assert process.wait(30) == 0


@pytest.mark.slow
def test_keys_are_changed_and_the_other_one_never_fails(stage: Stage, tmp_path: Path, model: Models) -> None:
    """An old key is refused from the change on; tokens end by themselves; whoever has the other key sees nothing."""
    blue = model()
    endpoint = an_endpoint(stage, traffic={"blue": 100})
    a_deployment(stage, endpoint, ports=(blue.port,), spec=ROOM)
    with served(stage, tmp_path) as gateway:
        a_token(stage, endpoint, "short-lived", now() + timedelta(seconds=5))
        until(lambda: serves(gateway.port, "short-lived"))
        secondary, primary = gateway.load(SECONDARY, rate=50), gateway.load(PRIMARY, rate=50)
        with secondary.running(), primary.running():
            primary.until(50)
            change(stage, endpoint, key_hashes={"primary": digest("new"), "secondary": digest(SECONDARY)})
            changed = time.monotonic()
            until(lambda: serves(gateway.port, "new"))
            primary.until(len(primary.answers) + 100)
            until(lambda: not serves(gateway.port, "short-lived"), "the token never ends")
        assert not secondary.failed(), told(secondary.failed())
        refused = [answer.sent for answer in primary.answers if answer.code == 401]
        late = [answer for answer in primary.answers if answer.code == 200 and answer.sent > min(refused)]
        assert not late, told(late)
        assert {answer.code for answer in primary.answers if answer.ended < changed} == {200}
        change(stage, endpoint, key_hashes={"primary": digest(SECONDARY), "secondary": digest("new")})
        assert serves(gateway.port, SECONDARY)
        log = gateway.log.read_text()
        for process in gateway.processes:
            log += Path(f"/proc/{process.pid}/cmdline").read_text() + Path(f"/proc/{process.pid}/environ").read_text()
        assert not [key for key in (PRIMARY, SECONDARY, "short-lived", digest(PRIMARY)) if key in log]


def test_a_sleeping_deployment_is_woken_by_its_row(stage: Stage, tmp_path: Path, model: Models) -> None:
    row = a_deployment(stage, an_endpoint(stage, traffic={"blue": 100}), is_asleep=True)
    blue = model()

    def woken() -> bool:
        with stage.studio.database.session(write=False) as session:
            found = session.get(Deployment, row.id)
            return found is not None and found.woken_at is not None

    with served(stage, tmp_path) as gateway, client(gateway.port) as one:
        one.send(request())
        until(woken, "nobody is told to wake it")
        change(stage, row, is_asleep=False)
        a_replica(stage, row, blue.port)
        assert one.reply().code == 200


def test_what_is_deleted_is_gone_and_what_is_stopped_says_so(lite: Stage, gateway: Served, model: Models) -> None:
    endpoint = an_endpoint(lite, traffic={"blue": 100})
    row = a_deployment(lite, endpoint, ports=(model().port,))
    until(lambda: serves(gateway.port))
    change(lite, endpoint, desired="stop")
    until(lambda: ask(gateway.port).code == 503)
    change(lite, endpoint, desired="run")
    until(lambda: serves(gateway.port))
    change(lite, row, desired="delete")
    until(lambda: ask(gateway.port).code == 404)
    change(lite, endpoint, desired="delete")
    until(lambda: ask(gateway.port).code == 401)
    with lite.studio.database.session(write=False) as session:
        assert session.get(Endpoint, endpoint.id) is not None
        assert session.get(Replica, "none") is None


def test_numbers_are_read_with_a_token_of_somebody_who_may(lite: Stage, gateway: Served) -> None:
    with lite.studio.database.session(write=True) as session:
        ada, cleo = (sessions._issue(session, who.id, "api") for who in (lite.ada, lite.cleo))
    asks = {"method": "GET", "path": "/metrics", "body": b"", "host": "studio.example"}
    assert ask(gateway.port, key=ada, **asks).code == 200
    assert ask(gateway.port, key=cleo, **asks).code == 401, "a Reader of one workspace reads no others' numbers"
    assert ask(gateway.port, key="atl_x_y", **asks).code == 401
