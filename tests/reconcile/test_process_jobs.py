"""Jobs where no container engine answers: plain processes, by the same worker and with the same results."""

from collections.abc import Iterator

import pytest

from app.worker import Worker, engine_for
from services import jobs
from services.engines.fake_tracking import FakeTracking
from services.engines.processes import ProcessEngine
from tests.conftest import Stage
from tests.reconcile.conftest import Bench, eventually, working

pytestmark = pytest.mark.slow


@pytest.fixture
def bench(lite: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    lite.studio.settings.stop_grace, lite.studio.settings.engine = 3, "process"
    engine, tracking = engine_for(lite.studio), FakeTracking()
    assert isinstance(engine, ProcessEngine)
    monkeypatch.setattr(Worker, "tracking", lambda self: tracking)
    lite.studio.say("gateway", {"url": "http://127.0.0.1:9"})
    made = Bench(lite, engine, tracking, Worker(lite.studio, engine))  # type: ignore[arg-type]
    thread = working(made.worker)
    yield made
    made.worker.stop()
    thread.join(timeout=30)
    for one in engine.found({}):
        engine.remove(one.id)


def test_a_job_runs_with_its_code_inputs_and_outputs(bench: Bench) -> None:
    snapshot = bench.code(
        {"go.py": b"import sys, os; print(sys.argv[1], os.environ['MLFLOW_RUN_ID'])", "notes": b"old"}
    )
    bench.store("raw").mkdir(parents=True)
    for name in ("c", "a", "b"):
        (bench.store("raw") / name).write_text(name)
    blob = "azureml://datastores/workspaceblobstore/paths"
    name = bench.submit_with(
        snapshot,
        "python go.py 7 && ls -U ${{inputs.raw}} && echo new >notes && echo 1 >outputs/a && echo 2 >${{outputs.o}}/b "
        "&& echo 3 >${{outputs.f}}",
        inputs={"raw": {"path": f"{blob}/raw"}},
        outputs={"o": {}, "f": {"type": "uri_file", "path": f"{blob}/f/one.csv"}},
    )
    job = bench.until(name, seconds=120)
    assert job.status == "Completed", job.message + bench.log(name)
    assert bench.log(name).splitlines() == [f"7 {name}", "a", "b", "c"]
    assert bench.read(name, "outputs/a") == b"1\n"
    assert bench.store(f"azureml/{name}/o/b").read_text() == "2\n"
    assert bench.store("f/one.csv").read_text() == "3\n"
    folder = bench.stage.studio.folders.snapshot(bench.stage.lab.id, snapshot)
    assert (folder / "notes").read_text() == "old"
    eventually(lambda: not bench.engine.found({}), "nothing is left")


def test_ends_are_told_apart(bench: Bench) -> None:
    failed = bench.until(bench.submit("echo why; exit 3"), seconds=120)
    assert (failed.status, failed.reason, failed.exit_code) == ("Failed", "UserError", 3)
    assert "why" in failed.message
    late = bench.until(bench.submit("sleep 600", limits={"timeout": 1}))
    assert (late.status, late.reason) == ("Failed", "Timeout")
    name = bench.submit("trap 'echo told; exit 0' TERM; echo ready; while :; do sleep 0.05; done")
    eventually(lambda: bench.job(name).status == "Running" and "ready" in bench.log(name), "it runs")
    with bench.stage.scope() as scope:
        jobs.cancel(scope, name)
    assert bench.until(name).status == "Canceled"
    assert {"ready", "told"} <= set(bench.log(name).splitlines())  # bash may add that its sleep was terminated


def test_an_image_that_needs_containers_is_refused_with_a_way_out(bench: Bench) -> None:
    job = bench.until(bench.submit("exit 0", environment={"image": "ubuntu:22.04"}), seconds=60)
    assert (job.status, job.reason) == ("Failed", "ImageNotFound")
    assert "plain processes" in job.message
