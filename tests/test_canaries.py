"""Secrets that nobody may find again: put in by every door, looked for wherever something is written (FAULTS C15)."""

import base64
import logging
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
import yaml
from sqlalchemy import text

from services import secrets
from services.engines.docker import DockerEngine
from services.store import migrate
from services.studio import Settings, Studio
from tests.api.conftest import House, opened
from tests.conftest import Stage, forget_install
from tests.launched import Launched

SECRET = base64.b64encode(b"canary/that+sings?" * 3).decode()
SIGNATURE = "sv=2024-01-01&sig=canary%2Fsignature%2Bsings%3D"
PASSWORD = "canary-pässword/with?all&sorts"
SPOKEN = (SECRET, "canary%2Fsignature%2Bsings%3D", "canary/signature+sings=", PASSWORD)
PATH = "/api/v1/workspaces/lab/datastores"


def shapes(secret: str) -> set[bytes]:
    """As it could lie about: plain, quoted for an address, escaped for JSON, in a basic authentication."""
    plain = secret.encode()
    return {
        plain,
        quote(secret, safe="").encode(),
        quote_plus(secret).encode(),
        secret.encode("unicode_escape"),
        base64.b64encode(plain).rstrip(b"="),
        base64.b64encode(f"reader:{secret}".encode()).rstrip(b"="),
    }


SHAPES = frozenset(shape for secret in SPOKEN for shape in shapes(secret))


def hits(content: bytes | str) -> set[bytes]:
    found = content.encode() if isinstance(content, str) else content
    return {shape for shape in SHAPES if shape in found}


def hits_below(folder: Path) -> dict[str, set[bytes]]:
    """In every file, whatever it is called."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert files, f"nothing was written to {folder}"
    return {str(path): found for path in files if (found := hits(path.read_bytes()))}


def blob(name: str, **credentials: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "azure_blob",
        "account_name": "nobody",
        "container_name": "data",
        "endpoint": "http://127.0.0.1:9/nobody",
        "credentials": credentials,
    }


def flows(house: House) -> Iterator[str]:
    """All answers to what people do with datastores, well and badly."""
    ben, cleo = house.bearer("ben"), house.bearer("cleo")
    spec = blob("one", account_key=SECRET)
    again = f"{PATH}/one/authentication"
    yield ben.post(PATH, json={"spec": spec}).text
    yield ben.post(PATH, json={"spec": spec}).text
    yield ben.post(PATH, json={"spec": blob("two", sas_token=SIGNATURE), "validate": True}).text
    yield ben.post(PATH, json={"spec": {"name": "site", "type": "http", "url": "http://127.0.0.1:9"}}).text
    yield ben.post(PATH, json={"spec": {**spec, "container_name": "other"}}).text
    yield ben.post(PATH, json={"spec": {**spec, "credentials": {"acount_key": SECRET}}}).text
    yield ben.post(PATH, json={"spec": {**spec, "credentials": SECRET}}).text
    yield ben.post(PATH, json={"spec": {**spec, "credentials": {"account_key": [SECRET]}}}).text
    yield ben.post(
        PATH, content=f'{{"spec": {{"credentials": "{SECRET}"', headers={"Content-Type": "application/json"}
    ).text
    yield cleo.post(PATH, json={"spec": spec}).text
    yield ben.put(again, json={"credentials": {"sas_token": SIGNATURE}}).text
    yield ben.put(again, json={"credentials": {"password": PASSWORD}}).text
    yield cleo.put(again, json={"credentials": {"account_key": SECRET}}).text
    for path in (PATH, f"{PATH}/one", f"{PATH}/one/files", f"{PATH}/two/files/a.txt", f"{PATH}/one/uses"):
        yield ben.get(path).text
    yield ben.post(f"{PATH}/one/test").text
    yield ben.delete(f"{PATH}/two").text


def dump(stage: Stage, target: Path) -> bytes:
    """The whole database, as an admin copies it."""
    if stage.studio.database.is_sqlite:
        return migrate.backup(stage.studio.database, target).read_bytes()
    program = max(Path("/usr/lib/postgresql").glob("*/bin/pg_dump"))
    url = stage.studio.settings.database_url
    return subprocess.run([str(program), url], check=True, capture_output=True).stdout


@pytest.mark.parametrize("secret", SPOKEN)
def test_the_search_finds_what_it_looks_for(tmp_path: Path, secret: str):
    for number, shape in enumerate(shapes(secret)):
        (tmp_path / str(number)).write_bytes(b"x" + shape + b"x")
    assert len(hits_below(tmp_path)) == len(shapes(secret))
    assert hits("canary") == set()


def test_no_answer_no_log_and_no_copy_of_the_database_holds_a_secret(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    with opened(stage) as house:
        assert [answer for answer in flows(house) if hits(answer)] == []
        secrets.rotate(stage.studio)
        assert hits(dump(stage, tmp_path / "backup.db")) == set()
        with stage.studio.database.session(write=True) as session:
            session.connection().execute(text("DROP TABLE secret"))
        broken = house.bearer("ben").post(PATH, json={"spec": blob("three", account_key=SECRET)})
        assert broken.status_code >= 500
        assert hits(broken.text) == set()
    assert caplog.records
    assert hits(caplog.text) == set()
    assert hits_below(stage.studio.folders.home) == {}


class Guarded(BaseHTTPRequestHandler):
    """A file for who knows the password."""

    def do_GET(self) -> None:
        wanted = base64.b64encode(f"reader:{PASSWORD}".encode()).decode()
        is_in = self.headers.get("Authorization") == f"Basic {wanted}"
        content = b"sings\n" if is_in else b""
        self.send_response(200 if is_in and self.path.endswith("/a.txt") else 404 if is_in else 401)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815 (the name that the library calls)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def guarded() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


def engine_facts(home: Path) -> str:
    """What the engine tells of everything that this install has started or built."""
    studio = Studio(Settings(home=home))
    engine = DockerEngine(install=studio.install, home=home)
    client, mine = engine.client, {"label": f"atelier.install={studio.install}"}
    told = [client.inspect_container(found["Id"]) for found in client.containers(all=True, filters=mine)]
    images = {found["Image"] for found in told}
    told += [client.history(image) for image in images]
    told += [client.inspect_image(image) for image in images]
    told += client.images(name=f"atelier/env-{studio.install}")
    studio.close()
    assert told
    return repr(told)


@pytest.mark.docker
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_job_that_reads_behind_a_password_tells_it_to_nobody(docker: None, python_image: str, tmp_path: Path):
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    variables = {"ATELIER_ENGINE": "docker", "ATELIER_WORKSPACE": "lab", "ATELIER_ALLOWED_URL_HOSTS": "127.0.0.1"}
    studio = Launched(home, {**variables, "ATELIER_LOG_LEVEL": "DEBUG"})
    said: list[str] = []
    try:
        with guarded() as url:
            studio.up()
            studio.ok("workspace", "create", "--name", "lab")
            site = {"name": "site", "type": "http", "url": url}
            job = {
                "command": "cat ${{inputs.song}}; env; sleep 2",
                "environment": {"image": "python:3.11"},
                "inputs": {"song": {"type": "uri_file", "path": "azureml://datastores/site/paths/a.txt"}},
            }
            files = {
                "site.yml": {**site, "credentials": {"username": "reader", "password": PASSWORD}},
                "blob.yml": blob("blob", account_key=SECRET),
                "wrong.yml": blob("wrong", acount_key=SECRET),
                "auth.yml": {"credentials": {"sas_token": SIGNATURE}},
                "job.yml": job,
            }
            for name, value in files.items():
                (work / name).write_text(yaml.safe_dump(value))
            for words in (
                ("datastore", "create", "-f", "site.yml"),
                ("datastore", "create", "-f", "blob.yml", "--validate"),
                ("datastore", "create", "-f", "wrong.yml", "--debug"),
                ("datastore", "update", "-n", "blob", "-f", "auth.yml"),
                ("datastore", "test", "-n", "blob"),
                ("datastore", "list", "-o", "json"),
                ("job", "create", "-f", "job.yml", "--name", "singer", "--stream"),
                ("job", "show", "--name", "singer", "-o", "json"),
                ("keys", "show"),
                ("keys", "rotate"),
                ("db", "backup"),
            ):
                one = studio.said(*words, cwd=work)
                said.append(one.out + one.err)
            assert "sings" in said[6]
            assert hits(engine_facts(home)) == set()
    finally:
        studio.close()
        found = hits_below(home)
        shown = hits(studio.output.read_bytes())
        studio_ = Studio(Settings(home=home))
        forget_install(DockerEngine(install=studio_.install, home=home))
        studio_.close()
    assert (home / "backups").is_dir()
    assert [text for text in said if hits(text)] == []
    assert (found, shown) == ({}, set())
