"""`atelier up` and what it keeps running: crashes, stops, second starts, and the doctor's word on it."""

import json
import os
import signal
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from app import supervisor
from tests.conftest import free_port
from tests.launched import Launched

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PLAIN = {"ATELIER_ENGINE": "process"}
HELLO = "command: {}\nenvironment:\n  image: python:3.11\n"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launched]:
    """One that runs, with the workspace lab."""
    made = Launched(tmp_path_factory.mktemp("up") / "home", PLAIN | {"ATELIER_WORKSPACE": "lab"})
    made.up()
    made.ok("workspace", "create", "-n", "lab")
    yield made
    made.close()


def submitted(studio: Launched, folder: Path, command: str) -> str:
    (folder / "job.yml").write_text(HELLO.format(command))
    name: str = studio.ok("job", "create", "-f", str(folder / "job.yml"))["name"]
    return name


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_start_says_where_how_and_lets_the_owner_in_once(studio: Launched) -> None:
    assert f"Atelier: http://127.0.0.1:{studio.port}" in studio.output.read_text()
    studio.until(lambda: "jobs run as plain processes" in studio.output.read_text(), "it does not say how jobs run")
    (link,) = studio.links()
    with httpx.Client(trust_env=False) as somebody:
        assert "set-cookie" in _followed(somebody, link).headers
    with httpx.Client(trust_env=False) as somebody_else:
        assert "set-cookie" not in _followed(somebody_else, link).headers


def _followed(client: httpx.Client, link: str) -> httpx.Response:
    """The page of the link may ask for a click first, so that a preview does not use it up."""
    page = client.get(link)
    if page.status_code == 200:
        page = client.post(
            link.partition("?")[0],
            data={"token": link.partition("token=")[2]},
            headers={"Origin": link[: link.index("/auth")]},
        )
    return page


@pytest.mark.parametrize("name", ["web", "worker", "tracking", "gateway"])
def test_a_child_that_falls_over_is_started_again(studio: Launched, name: str) -> None:
    before = studio.children()[name]
    os.kill(before, signal.SIGKILL)
    studio.until(lambda: studio.children().get(name, before) != before, "it was not started again")
    studio.until(lambda: studio.status()["status"] == "ready", "not ready again")
    with sqlite3.connect(studio.home / "atelier.db") as database:
        rows = database.execute("SELECT message FROM event WHERE kind = 'process' AND name = ?", (name,)).fetchall()
    assert any(f"The {name} process ended (signal SIGKILL) and is started again in 0.5 s" in row[0] for row in rows)


def test_a_second_start_says_where_the_first_is(studio: Launched) -> None:
    for words in (["up", "--no-browser"], ["up", "--detach", "--no-browser", "--port", str(free_port())]):
        said = studio.said(*words)
        assert said.code == 5
        assert f"A studio runs already on this home: http://127.0.0.1:{studio.port}." in said.err


def test_a_taken_port_says_by_whom(studio: Launched, tmp_path: Path) -> None:
    other = Launched(tmp_path / "other", PLAIN)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        said = other.said("up", "--no-browser", "--port", str(port))
    assert said.code == 5
    assert f"Port {port} is taken by '" in said.err
    assert f"(process {os.getpid()})" in said.err
    assert not (tmp_path / "other" / "studio.json").exists()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--host", "0.0.0.0"], 4, "The studio does not listen on 0.0.0.0"),
        (["--port", "70000"], 2, "port: "),
        (["--port", "many"], 2, "valid integer"),
    ],
)
def test_an_address_that_cannot_be_is_refused(tmp_path: Path, words: list[str], code: int, told: str) -> None:
    said = Launched(tmp_path / "home", PLAIN).said("up", "--no-browser", *words)
    assert (said.code, told in said.err) == (code, True)


def test_the_doctor_finds_the_studio_well(studio: Launched) -> None:
    said = studio.said("doctor", "-o", "json")
    rows = {row["check"]: row for row in said.document}
    assert said.code == 0, said.out
    assert {"Python", "Home", "Disk", "Memory", "Clock", "Engine", "Port", "Database", "Tracking"} <= rows.keys()
    assert rows["Engine"]["found"] == "plain processes, as configured"
    assert rows["Tracking"]["state"] == "ok"
    assert all(row["remedy"] for row in said.document if row["state"] != "ok")


def test_the_doctor_finds_what_is_wrong(tmp_path: Path) -> None:
    ill = Launched(tmp_path / "home", PLAIN)
    ill.home.mkdir()
    (ill.home / "token").write_text("secret")
    (ill.home / "token").chmod(0o644)
    (ill.home / "atelier.db").write_bytes(b"this is no database" * 1000)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ill.variables = {**PLAIN, "ATELIER_PORT": str(port)}
        said = ill.said("doctor", "-o", "json")
    problems = {row["check"]: row for row in said.document if row["state"] == "problem"}
    assert said.code == 1
    assert problems.keys() == {"Home", "Port", "Database"}
    assert "chmod go-rwx" in problems["Home"]["remedy"]
    assert str(port) in problems["Port"]["found"]


def test_the_database_is_looked_at_and_copied(studio: Launched, tmp_path: Path) -> None:
    assert studio.ok("db", "check") == {"status": "ok", "problems": []}
    copied = studio.ok("db", "backup", str(tmp_path / "copy.db"))
    with sqlite3.connect(copied["path"]) as copy:
        assert copy.execute("SELECT name FROM workspace").fetchall() == [("lab",)]
    assert studio.said("db", "backup", str(tmp_path / "copy.db")).code == 5
    assert studio.ok("db", "backup")["path"].startswith(str(studio.home / "backups"))
    assert studio.ok("db", "upgrade")["revision"]


def test_a_broken_database_is_named(tmp_path: Path) -> None:
    ill = Launched(tmp_path / "home", PLAIN)
    ill.home.mkdir()
    (ill.home / "atelier.db").write_bytes(b"this is no database" * 1000)
    for words in (["db", "check"], ["db", "upgrade"]):
        said = ill.said(*words)
        assert said.code == 6
        assert said.err.startswith("Error: The database cannot be used: file is not a database.")
    assert "The database cannot be copied: file is not a database." in ill.said("db", "backup").err


def test_a_second_home_on_another_port_works_beside(studio: Launched, tmp_path: Path) -> None:
    other = Launched(tmp_path / "second", PLAIN)
    said = other.said("up", "--detach", "--no-browser", "--port", str(other.port))
    try:
        assert said.code == 0, said.err
        assert f"Atelier: http://127.0.0.1:{other.port}\n" in said.out
        assert other.ok("workspace", "list") == []
        assert studio.status()["status"] == other.status()["status"] == "ready"
    finally:
        assert other.said("down").code == 0
    assert not (other.home / "studio.json").exists()
    assert studio.status()["status"] == "ready"


def test_the_gateway_listens_where_the_studio_says_and_comes_back_there(studio: Launched) -> None:
    """Killed or renewed: the socket stays open, and whoever asks meanwhile is answered by the next process."""
    url = studio.status()["scoring"]
    with httpx.Client(trust_env=False, timeout=60) as client:
        for number in (signal.SIGKILL, signal.SIGUSR1):
            before = studio.children()["gateway"]
            assert studio.process is not None
            os.kill(before if number is signal.SIGKILL else studio.process.pid, number)
            assert client.get(f"{url}/healthz", headers={"Connection": "close"}).json() == {"status": "ok"}
            studio.until(lambda before=before: studio.children().get("gateway", before) != before, "no new one")
            studio.until(lambda before=before: not is_alive(before), "the old one stays")
    assert studio.status()["scoring"] == url
    assert studio.status()["parts"]["gateway"] == "ready"


def test_a_taken_port_of_the_gateway_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        other = Launched(tmp_path / "other", PLAIN | {"ATELIER_GATEWAY_PORT": str(port)})
        said = other.said("up", "--no-browser", "--port", str(other.port))
    assert said.code == 5
    assert f"Port {port} is taken by '" in said.err
    same = Launched(tmp_path / "same", PLAIN | {"ATELIER_GATEWAY_PORT": str(other.port)})
    assert "cannot be the studio's and the gateway's" in same.said("up", "--no-browser", "--port", str(other.port)).err


def test_a_gateway_for_the_network_needs_a_proxy(tmp_path: Path) -> None:
    said = Launched(tmp_path / "home", PLAIN | {"ATELIER_GATEWAY_HOST": "0.0.0.0"}).said("up", "--no-browser")
    assert (said.code, "The gateway does not listen on 0.0.0.0" in said.err) == (4, True)


def test_the_order_of_a_stop_takes_fifteen_seconds_at_most() -> None:
    assert list(supervisor.STOP_SECONDS) == ["web", "worker", "tracking"]
    assert sum(supervisor.STOP_SECONDS.values()) < 15
    assert supervisor.DRAIN_SECONDS < 15


def test_a_running_job_outlives_the_studio_and_is_found_again(studio: Launched, tmp_path: Path) -> None:
    """Stopped in order and in time; the job's process goes on, its lines and its exit code are those it had."""
    gate = tmp_path / "gate"
    job = submitted(studio, tmp_path, f"'echo before; until [ -e {gate} ]; do sleep 0.1; done; echo after; exit 7'")
    studio.until(lambda: studio.ok("job", "show", "-n", job)["status"] == "Running", "the job does not run")
    children = studio.children()
    assert studio.signal(signal.SIGTERM) == 0
    assert not any(map(is_alive, children.values()))
    assert not (studio.home / "studio.json").exists()
    gate.touch()
    studio.up()
    followed = studio.said("job", "stream", "-n", job)
    assert followed.code == 1
    assert "before\nafter\n" in followed.out
    found = studio.ok("job", "show", "-n", job)
    assert (found["status"], found["exit_code"]) == ("Failed", 7)


def test_after_a_kill_the_children_leave_and_the_next_start_works(studio: Launched, tmp_path: Path) -> None:
    children = studio.children()
    studio.signal(signal.SIGKILL)
    assert json.loads((studio.home / "studio.json").read_text())["children"] == children
    assert studio.said("status").code == 1
    assert studio.said("job", "list").code == 6
    studio.up()
    assert not any(map(is_alive, children.values()))
    job = submitted(studio, tmp_path, "echo again")
    assert studio.said("job", "stream", "-n", job).code == 0


@pytest.mark.postgres
def test_a_studio_on_postgresql_runs_a_job(new_postgres: object, tmp_path: Path) -> None:
    assert callable(new_postgres)
    studio = Launched(tmp_path / "home", PLAIN | {"ATELIER_DATABASE_URL": new_postgres(), "ATELIER_WORKSPACE": "lab"})
    try:
        studio.up()
        studio.ok("workspace", "create", "-n", "lab")
        job = submitted(studio, tmp_path, "echo from PostgreSQL")
        followed = studio.said("job", "stream", "-n", job)
        assert (followed.code, "from PostgreSQL\n" in followed.out) == (0, True)
        assert not (studio.home / "atelier.db").exists()
        assert studio.ok("db", "check")["status"] == "ok"
    finally:
        studio.close()
