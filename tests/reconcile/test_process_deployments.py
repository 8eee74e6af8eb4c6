"""A deployment where no container engine answers: plain processes, each on a port of its own."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from app.worker import Worker, engine_for
from services.engines.fake_tracking import FakeTracking
from services.engines.processes import ProcessEngine
from services.store.serving import Replica
from tests.conftest import Stage
from tests.reconcile.conftest import Bench, eventually, working
from tests.reconcile.serving import Shop

pytestmark = pytest.mark.slow

SCORE = b"""
import os
def init():
    global seen
    seen = open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "iris.txt")).read()
def run(raw):
    return seen
"""


@pytest.fixture
def shop(lite: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    lite.studio.settings.stop_grace, lite.studio.settings.engine = 3, "process"
    engine = engine_for(lite.studio)
    assert isinstance(engine, ProcessEngine)
    monkeypatch.setattr(Worker, "tracking", lambda self: FakeTracking())
    worker = Worker(lite.studio, engine)
    thread = working(worker)
    yield Shop(Bench(lite, engine, FakeTracking(), worker))  # type: ignore[arg-type]
    worker.stop()
    thread.join(timeout=30)
    for one in engine.found({}):
        engine.remove(one.id)


def asked(replica: Replica) -> Any:
    with urllib.request.urlopen(f"http://{replica.host}:{replica.port}/score", b"{}", timeout=20) as answer:
        return json.loads(answer.read())


def test_two_replicas_answer_on_ports_of_their_own_and_leave_nothing(shop: Shop) -> None:
    bench: Bench = shop.site  # type: ignore[assignment]
    model = bench.store("models/iris.txt")
    model.parent.mkdir(parents=True)
    model.write_text("flowers")
    uri = "azureml://datastores/workspaceblobstore/paths/models/iris.txt"
    resolved = {"model": {"name": "iris", "version": "1", "path": uri, "type": "custom_model", "basename": "iris.txt"}}
    id_ = shop.deploy(
        server="script",
        snapshot_id=bench.code({"score.py": SCORE}),
        resolved=resolved,
        instance_count=2,
        spec={"request_settings": {"request_timeout_ms": 1}},
    )
    replicas = shop.until_ready(id_, 2, seconds=180)
    assert {asked(each) for each in replicas} == {"flowers"}
    assert len({each.port for each in replicas}) == 2
    shop.wish(desired="delete")
    eventually(lambda: shop.endpoint_row() is None, "it is gone", 60)
    assert shop.site.engine.found({}) == []
    assert model.read_text() == "flowers", "what was linked to is not what is removed"
