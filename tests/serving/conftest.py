"""A studio as people start it, with an endpoint whose deployments run in real containers."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.engines.docker import DockerEngine
from services.studio import Settings, Studio
from tests.conftest import forget_install
from tests.launched import Launched
from tests.serving.load import Load

PATIENCE = 180.0
SCORE = """
import os, time
def init():
    if os.environ.get("BROKEN") == "init":
        raise RuntimeError("it cannot start")
def run(raw_data):
    mood = os.environ.get("MOOD", "")
    if mood == "crash":
        os._exit(1)
    if mood == "hang":
        time.sleep(3600)
    if mood == "fail":
        raise ValueError("it does not want to")
    return {"by": os.environ["WHO"], "answer": 43 if mood == "wrong" and "odd" in raw_data else 42}
"""


@dataclass
class Served:
    """`endpoint` has keys; `client` is the owner's, in the workspace `lab`."""

    studio: Launched
    client: httpx.Client
    engine: DockerEngine
    code: Path
    endpoint: str = "story"
    snapshot: str = ""
    key: str = field(default="", repr=False)

    @property
    def at(self) -> str:
        return f"/online-endpoints/{self.endpoint}"

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.client.request(method, path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def deploy(self, name: str, *, wait: bool = True, **fields: Any) -> dict[str, Any]:
        variables = {"WHO": name, **fields.pop("environment_variables", {})}
        file = self.code / f"{name}.yml"
        spec = {
            "name": name,
            "endpoint_name": self.endpoint,
            "model": {"path": "model"},
            "code_configuration": {"code": "src", "scoring_script": "score.py"},
            "environment": {"image": "python:3.11"},
            "environment_variables": variables,
            "request_settings": {"request_timeout_ms": 2000, "max_concurrent_requests_per_instance": 8},
            **fields,
        }
        file.write_text(json.dumps(spec))
        said = self.studio.said(
            "online-deployment", "create", "-f", str(file), "-o", "json", *([] if wait else ["--no-wait"])
        )
        assert said.code == 0, said.err
        found: dict[str, Any] = said.document
        return found

    def update(self, name: str, **fields: Any) -> None:
        self.ask("PATCH", f"{self.at}/deployments/{name}", {"spec": fields})

    def shown(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"{self.at}/deployments/{name}")
        return found

    def settled(self, name: str, state: str = "Succeeded") -> dict[str, Any]:
        self.until(lambda: self.shown(name)["provisioning_state"] in {"Succeeded", "Failed"}, f"{name} settles")
        found = self.shown(name)
        assert found["provisioning_state"] == state, found["message"]
        return found

    def traffic(self, **percent: int) -> None:
        self.ask("PATCH", self.at, {"traffic": percent})

    def mirror(self, **percent: int) -> None:
        self.ask("PATCH", self.at, {"mirror_traffic": percent})

    def load(
        self, body: bytes = b'{"data": 1}', *, rate: float = 200.0, headers: Mapping[str, str] | None = None
    ) -> Load:
        uri = self.ask("GET", self.at)["scoring_uri"]
        given = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **(headers or {})}
        return Load(uri, given, body, rate)

    def replicas(self, name: str) -> list[str]:
        """Ids of the containers that run for a deployment."""
        found = self.engine.found({"atelier.kind": "replica", "atelier.name": f"{self.endpoint}/{name}"})
        return [one.id for one in found if one.status == "running"]

    def kill(self, child: str) -> None:
        """-9, and waits until another has taken its place."""
        before = self.studio.children()[child]
        os.kill(before, signal.SIGKILL)
        self.until(lambda: self.studio.children().get(child) not in {None, before}, f"{child} comes back")
        self.until(self.is_open, "the studio answers")

    def answered(self) -> None:
        """Waits until a caller gets an answer: the first share of traffic arrives in a moment, not at once."""
        caller = self.load(rate=20)
        caller.connections = 1
        with caller.running():
            self.until(lambda: [each for each in caller.answers if each.code == 200], "somebody answers")

    def is_open(self) -> bool:
        try:
            return self.client.get(self.at).status_code == 200
        except httpx.TransportError:
            return False

    def until(self, is_so: Callable[[], object], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < until, what
            time.sleep(0.05)


@pytest.fixture(scope="module")
def served(docker: None, python_image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("serving")
    for name, text in (("src/score.py", SCORE), ("model/weights.json", "{}")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "home").mkdir()
    studio = Launched(folder / "home", {"ATELIER_ENGINE": "docker", "ATELIER_WORKSPACE": "lab"})
    opened = Studio(Settings(home=studio.home))
    try:
        studio.up()
        studio.ok("workspace", "create", "--name", "lab")
        engine = DockerEngine(install=opened.install, home=studio.home)
        token = (studio.home / "token").read_text().strip()
        url = f"http://127.0.0.1:{studio.port}/api/v1/workspaces/lab"
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as client:
            made = Served(studio, client, engine, folder)
            studio.ok("online-endpoint", "create", "--name", made.endpoint)
            made.key = studio.ok("online-endpoint", "get-credentials", "-n", made.endpoint)["primaryKey"]
            yield made
    finally:
        studio.close()
        forget_install(DockerEngine(install=opened.install, home=studio.home))
        opened.close()
