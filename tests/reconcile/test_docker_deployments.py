"""Deployments that answer from real containers: our server on real images, and images with servers of their own."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from app.worker import Worker
from services import environments, secrets
from services.engines.docker import DockerEngine
from services.specs.environments import Environment
from services.store.serving import Replica
from tests.reconcile.conftest import Bench, eventually, working
from tests.reconcile.serving import Shop

pytestmark = pytest.mark.docker

SCORE = b"""
import json, os, time
def init():
    global seen
    folder = os.environ["AZUREML_MODEL_DIR"] if "AZUREML_MODEL_DIR" in os.environ else None
    seen = sorted(os.listdir(folder)) if folder else []
    print("init is over")
def run(raw):
    asked = json.loads(raw)
    if asked.get("sleep"):
        time.sleep(asked["sleep"])
    return {"seen": seen, "mode": os.environ.get("MODE"), "cwd": os.getcwd(), "key": len(os.environ.get("KEY", "")),
            "asked": asked}
"""


@pytest.fixture
def shop(bench: Bench) -> Shop:
    return Shop(bench)


def scripted(shop: Shop, name: str = "blue", script: bytes = SCORE, **fields: Any) -> str:
    """Of a script on a plain Python."""
    bench: Bench = shop.site  # type: ignore[assignment]
    return shop.deploy(name, server="script", snapshot_id=bench.code({"score.py": script}), **fields)


def asked(replica: Replica, body: object = None) -> Any:
    request = urllib.request.Request(
        f"http://{replica.host}:{replica.port}/score",
        json.dumps(body or {}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        return json.loads(answer.read())


def log_of(shop: Shop, replica: Replica) -> str:
    path = shop.stage.studio.folders.replica(replica.id) / "user_logs" / "std_log.txt"
    return path.read_text() if path.exists() else ""


def engine_of(shop: Shop) -> DockerEngine:
    found = shop.site.engine
    assert isinstance(found, DockerEngine)
    return found


def stored(shop: Shop, path: str, content: bytes) -> dict[str, Any]:
    """A model of one file in the workspace's own store."""
    bench: Bench = shop.site  # type: ignore[assignment]
    target: Path = bench.store(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    uri = f"azureml://datastores/workspaceblobstore/paths/{path}"
    return {"model": {"name": "iris", "version": "1", "path": uri, "type": "custom_model", "basename": target.name}}


def test_a_script_answers_with_its_model_and_its_variables(shop: Shop) -> None:
    with shop.stage.scope() as scope:
        secrets.put(scope, "user/key", "s3cret-value")
    variables = {"MODE": 'it\'s "quoted" $HOME', "KEY": "${{secrets.key}}"}
    model = stored(shop, "models/iris.pkl", b"weights")
    id_ = scripted(shop, resolved=model, spec={"environment_variables": variables})
    [one] = shop.until_ready(id_, seconds=120)
    answer = asked(one, {"x": 1})
    assert answer == {
        "seen": ["iris.pkl"],
        "mode": variables["MODE"],
        "cwd": "/var/azureml-app/src",
        "key": 12,
        "asked": {"x": 1},
    }
    facts = engine_of(shop).client.inspect_container(one.container_name)
    assert "s3cret" not in json.dumps(facts)
    assert not facts["HostConfig"]["PortBindings"]
    assert facts["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert facts["HostConfig"]["CapDrop"] == ["ALL"]
    eventually(lambda: "init is over" in log_of(shop, one), "it is in the log")


def test_two_replicas_cannot_reach_each_other(shop: Shop) -> None:
    script = b"""
import json, socket
def init(): pass
def run(raw):
    try:
        socket.create_connection(tuple(json.loads(raw)), timeout=2).close()
    except OSError as cause:
        return type(cause).__name__
    return "reached"
"""
    id_ = scripted(shop, script=script, instance_count=2)
    one, other = shop.until_ready(id_, 2, seconds=120)
    assert asked(one, ["127.0.0.1", one.port]) == "reached"
    assert asked(one, [other.host, other.port]) != "reached"


def test_a_script_that_cannot_be_imported_fails_with_the_clouds_word(shop: Shop) -> None:
    id_ = scripted(shop, script=b"import no_such_module\ndef init(): pass\ndef run(raw): pass\n")
    row = shop.until(id_, "Failed", seconds=120)
    assert row.reason == "UserScriptImportError"
    assert "no_such_module" in row.message


def test_an_update_that_fails_and_one_that_works_lose_no_request(shop: Shop) -> None:
    id_ = scripted(
        shop, spec={"request_settings": {"request_timeout_ms": 1000}, "environment_variables": {"MODE": "1"}}
    )
    [one] = shop.until_ready(id_, seconds=120)
    shop.until(id_, "Succeeded")
    bench: Bench = shop.site  # type: ignore[assignment]
    code = shop.row(id_).snapshot_id
    shop.change(id_, snapshot_id=bench.code({"score.py": b"def init(): raise ValueError('no')\ndef run(raw): pass\n"}))
    shop.update(id_)
    eventually(lambda: answered(shop, id_) == "1" and str(shop.row(id_).provisioning_state) == "Failed", "", 120)
    assert [each.id for each in shop.replicas(id_, "Ready")] == [one.id]
    shop.change(id_, snapshot_id=code)
    shop.update(id_, environment_variables={"MODE": "2"})
    eventually(lambda: answered(shop, id_) == "2", "the new one answers", 60)
    eventually(lambda: str(shop.row(id_).provisioning_state) == "Succeeded", "it says so")
    eventually(lambda: len(engine_of(shop).found({"atelier.deployment": id_})) == 1, "the old one is gone")


def answered(shop: Shop, id_: str) -> str:
    """What the last of the ready ones says; every one of them answers."""
    said = [asked(each)["mode"] for each in shop.replicas(id_, "Ready")]
    assert said, "there is always one that answers"
    return str(said[-1])


def test_a_killed_container_is_replaced(shop: Shop) -> None:
    id_ = scripted(shop)
    [one] = shop.until_ready(id_, seconds=120)
    shop.until(id_, "Succeeded")
    engine_of(shop).client.kill(one.container_name, "KILL")
    eventually(lambda: one.id not in [each.id for each in shop.replicas(id_, "Ready")], "it is noticed")
    [other] = shop.until_ready(id_)
    assert asked(other)["asked"] == {}
    [failed] = shop.replicas(id_, "Failed")
    assert "killed from outside" in failed.message


def test_memory_beyond_the_limit_is_named(shop: Shop) -> None:
    script = b"def init(): pass\ndef run(raw):\n    return len(bytearray(400 << 20))\n"
    id_ = scripted(shop, script=script, spec={"resources": {"limits": {"memory": "200Mi"}}})
    [one] = shop.until_ready(id_, seconds=120)
    shop.until(id_, "Succeeded")
    with pytest.raises((OSError, urllib.error.URLError)):
        asked(one)
    eventually(lambda: bool(shop.replicas(id_, "Failed")), "it is over")
    assert shop.replicas(id_, "Failed")[0].message.startswith("OutOfMemory")


def test_an_image_with_a_server_of_its_own(shop: Shop, python_image: str) -> None:
    serve = 'CMD ["sh", "-c", "echo mine; exec python3 -m http.server 8080"]'
    context = {"Dockerfile": f"FROM {python_image}\nWORKDIR /opt/mine\nRUN echo 42 >score\n{serve}\n".encode()}
    bench: Bench = shop.site  # type: ignore[assignment]
    route = {"path": "/score", "port": 8080}
    inference = {"liveness_route": route, "readiness_route": route, "scoring_route": route}
    spec = Environment.model_validate({"build": {"path": "."}, "inference_config": inference})
    sent = bench.code(context)
    with shop.stage.scope() as scope:
        environment = environments.resolve(scope, spec, context=sent).id
    id_ = shop.deploy(
        environment_id=environment, spec={"environment_variables": {"MODE": "x"}}, resolved={"script": ""}
    )
    [one] = shop.until_ready(id_, seconds=120)
    assert one.port == 8080
    with urllib.request.urlopen(f"http://{one.host}:{one.port}/score", timeout=20) as answer:
        assert answer.read() == b"42\n"
    eventually(lambda: "mine\n" in log_of(shop, one), "its output is its log")


def test_a_later_worker_adopts_the_container_that_serves(shop: Shop) -> None:
    id_ = scripted(shop)
    [one] = shop.until_ready(id_, seconds=120)
    shop.until(id_, "Succeeded")
    before = engine_of(shop).inspect(one.container_name)
    shop.site.worker.stop()
    eventually(lambda: shop.row(id_).lock_token == "", "it has given everything back")
    assert asked(one)["asked"] == {}, "it serves while no worker is here"
    later = Worker(shop.stage.studio, engine_of(shop))
    thread = working(later)
    shop.change(id_, instance_count=2)
    assert one.id in {each.id for each in shop.until_ready(id_, 2)}
    after = engine_of(shop).inspect(one.container_name)
    later.stop()
    thread.join(timeout=30)
    assert (after.id, after.started_at) == (before.id, before.started_at)


def test_a_deleted_endpoint_leaves_nothing_on_the_engine(shop: Shop) -> None:
    id_ = scripted(shop, spec={"request_settings": {"request_timeout_ms": 1}})
    [one] = shop.until_ready(id_, seconds=120)
    shop.wish(desired="delete")
    eventually(lambda: shop.endpoint_row() is None, "it is gone")
    assert engine_of(shop).found({"atelier.kind": "replica"}) == []
    assert not shop.stage.studio.folders.replica(one.id).exists()


CRASHES = (
    "deployment_claimed:2",
    "replica_added",
    "replica_created",
    "replica_started",
    "replica_ending",
    "replica_removed",
)


@pytest.mark.slow
def test_a_worker_that_is_killed_anywhere_leaves_one_container_that_serves(shop: Shop) -> None:
    """In the middle of a start, and in the middle of an update's end; the next worker goes on."""
    id_ = scripted(shop, spec={"request_settings": {"request_timeout_ms": 1}})
    shop.until_ready(id_, seconds=120)
    shop.until(id_, "Succeeded")
    shop.site.worker.stop()
    eventually(lambda: shop.row(id_).lock_token == "", "it has given everything back")
    for number, place in enumerate(CRASHES, 2):
        shop.update(id_, environment_variables={"MODE": str(number)})
        assert crashed(shop, place) == -signal.SIGKILL, f"nobody came by {place}"
        later = Worker(shop.stage.studio, engine_of(shop))
        thread = working(later)
        shop.until(id_, "Succeeded", seconds=120)
        eventually(lambda: len(engine_of(shop).found({"atelier.kind": "replica"})) == 1, f"one is left: {place}", 60)
        [one] = shop.until_ready(id_)
        assert asked(one)["mode"] == str(number)
        later.stop()
        thread.join(timeout=30)
        used = [each.container_name for each in shop.replicas(id_) if each.generation == number]
        assert len(used) == 1, f"{place}: a start that a crash broke is finished, not begun once more"


def crashed(shop: Shop, place: str) -> int:
    """How a worker of its own process ended that is to die there."""
    settings = {"ATELIER_HOME": str(shop.stage.studio.folders.home), "ATELIER_ENGINE": "docker"}
    environment = {**os.environ, **settings, "ATELIER_CRASH_AT": place}
    process = subprocess.Popen([sys.executable, "-m", "app.worker"], env=environment, cwd=Path(__file__).parents[2])
    try:
        return process.wait(timeout=60)
    finally:
        process.kill()


@pytest.mark.slow
def test_scikit_learn_serves_within_seconds_once_its_image_is_here(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    packages = {"dependencies": ["python=3.11", {"pip": ["scikit-learn", "numpy", "pandas"]}]}
    environment = shop.environment_of(image="python:3.11", conda_file=packages)
    script = b"""
import json
import numpy as np
from sklearn.linear_model import LogisticRegression
def init():
    global model
    model = LogisticRegression().fit(np.eye(4), [0, 1, 0, 1])
def run(raw):
    return model.predict(json.loads(raw)["data"]).tolist()
"""
    took = []
    for name in ("cold", "warm"):
        began = time.monotonic()
        id_ = scripted(shop, name, script=script + f"# {name}".encode(), environment_id=environment)
        [one] = shop.until_ready(id_, seconds=600)
        assert asked(one, {"data": [[1, 0, 0, 0]]}) == [0]
        took.append(time.monotonic() - began)
    with capsys.disabled():
        print(f"\ndeploy to first answer: cold {took[0]:.1f} s, warm {took[1]:.1f} s")
    assert took[1] < took[0]
