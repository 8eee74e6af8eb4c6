"""The engine killed, restarted, hung and emptied by somebody else; workers that get in each other's way."""

import random
import signal
import subprocess
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from services.core.states import JobStatus
from tests.faults.fault_proxy import FaultProxy
from tests.faults.rig import Rig, eventually

pytestmark = [pytest.mark.docker, pytest.mark.slow]
WAITS = "does not answer"


@pytest.fixture(autouse=True)
def nobody_stays(rig: Rig) -> Iterator[None]:
    """Whatever a test that failed has started must not meet the next one."""
    yield
    rig.end()
    if not rig.engine.answers():
        rig.engine.start()


@pytest.fixture
def worker(rig: Rig) -> Iterator[subprocess.Popen[bytes]]:
    process = rig.worker()
    yield process
    rig.stop(process)


@pytest.fixture
def live_restore(rig: Rig) -> Iterator[None]:
    """An engine whose containers outlive it."""
    rig.engine.live_restore = True
    rig.engine.restart()
    yield
    rig.engine.live_restore = False
    rig.engine.restart()


@pytest.fixture
def proxy(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """Between worker and engine."""
    made = FaultProxy(rig.engine.root / "proxy", rig.engine.socket)
    monkeypatch.setitem(rig.settings, "DOCKER_HOST", made.url)
    yield made
    made.close()
    (rig.engine.root / "proxy").unlink()


def test_two_workers_start_each_job_once(rig: Rig) -> None:
    names = [rig.submit(lines=3, pause=0.01) for _ in range(40)]
    workers = [rig.worker(), rig.worker()]
    for name in names:
        rig.until(name, seconds=180)
    assert [fault for name in names for fault in rig.faults(name, lines=3)] == []
    eventually(lambda: not rig.leftovers(), "nothing is left")
    for process in workers:
        rig.stop(process)


def test_a_worker_that_slept_beyond_its_lease_writes_nothing(rig: Rig) -> None:
    sleeper = rig.worker()
    name = rig.submit("trap '' TERM; while :; do sleep 0.1; done")
    rig.until(name, "Running")
    rig.cancel(name)
    rig.until(name, "CancelRequested")
    sleeper.send_signal(signal.SIGSTOP)
    other = rig.worker()
    assert rig.until(name, seconds=120).status == JobStatus.Canceled
    told = rig.told(name)
    sleeper.send_signal(signal.SIGCONT)
    eventually(lambda: _beats(rig, sleeper.pid), "the sleeper is awake")
    rig.stop(sleeper)
    assert rig.told(name) == told
    assert told.count("Finalizing") == told.count("Canceled") == 1
    rig.stop(other)


def _beats(rig: Rig, pid: int) -> bool:
    fact = rig.stage.studio.fact("worker")
    return fact is not None and fact.value["pid"] == pid


@pytest.mark.usefixtures("worker", "live_restore")
def test_jobs_outlive_an_engine_that_was_killed(rig: Rig) -> None:
    name = rig.submit(lines=400, pause=0.04)
    rig.until(name, "Running")
    rig.engine.kill()
    row = rig.until(name, "NotResponding")
    assert WAITS in row.reason
    rig.engine.start()
    rig.until(name)
    assert rig.faults(name, lines=400) == []


@pytest.mark.usefixtures("live_restore")
def test_a_worker_that_finds_no_engine_says_so_of_what_another_had_started(rig: Rig) -> None:
    first = rig.worker()
    name = rig.submit(lines=500, pause=0.04)
    rig.until(name, "Running")
    rig.engine.kill()
    first.kill()
    first.wait()
    second = rig.worker()
    rig.until(name, "NotResponding")
    rig.engine.start()
    rig.until(name)
    assert rig.faults(name, lines=500) == []
    rig.stop(second)


@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("way", ["kill", "stop"])
@pytest.mark.parametrize("waits", [False, True], ids=["at-once", "after-a-while"])
def test_an_engine_that_restarts_takes_its_jobs_with_it_and_says_so(rig: Rig, way: str, waits: bool) -> None:
    name = rig.submit(lines=2000, pause=0.04)
    rig.until(name, "Running")
    rig.engine.kill() if way == "kill" else rig.engine.stop()
    if waits:
        rig.until(name, "NotResponding")
    rig.engine.start()
    row = rig.until(name)
    assert (row.status, row.reason) == (JobStatus.Failed, "EngineRestarted"), row.message
    assert rig.faults(name, status="Failed") == []
    after = rig.submit()
    rig.until(after)
    assert rig.faults(after) == []


@pytest.mark.usefixtures("worker")
def test_a_job_waits_for_an_engine_that_is_down(rig: Rig) -> None:
    rig.until(rig.submit())
    rig.engine.stop()
    name = rig.submit()
    eventually(lambda: WAITS in rig.job(name).reason, "it says why it waits")
    assert rig.job(name).status in {JobStatus.Queued, JobStatus.Preparing}
    rig.engine.start()
    rig.until(name)
    assert rig.faults(name) == []


def test_while_the_engine_hangs_the_studio_answers_and_no_thread_piles_up(rig: Rig, proxy: FaultProxy) -> None:
    worker, web = rig.worker(), rig.web()
    process, threads = psutil.Process(worker.pid), []
    for _ in range(2):
        name = rig.submit(lines=600, pause=0.04)
        rig.until(name, "Running")
        proxy.hang()
        rig.until(name, "NotResponding")
        late = rig.submit()
        eventually(lambda late=late: WAITS in rig.job(late).reason, "it says why it waits")
        for path in ("/healthz", "/readyz"):
            httpx.get(f"http://127.0.0.1:{rig.port}{path}", timeout=2, trust_env=False)
        threads.append(process.num_threads())
        proxy.heal()
        for each, lines in ((name, 600), (late, 10)):
            rig.until(each)
            assert rig.faults(each, lines=lines) == []
    assert threads[1] <= threads[0] + 3
    rig.stop(web)
    rig.stop(worker)


def test_an_engine_whose_answers_get_lost_runs_each_job_once(rig: Rig, proxy: FaultProxy) -> None:
    worker = rig.worker()
    names = []
    for _ in range(8):
        names.append(rig.submit(lines=10, pause=0.02))
        time.sleep(random.uniform(0, 0.6))
        proxy.cut()
    for name in names:
        rig.until(name)
    assert [fault for name in names for fault in rig.faults(name)] == []
    eventually(lambda: not rig.leftovers(), "nothing is left")
    rig.stop(worker)


@pytest.mark.usefixtures("worker")
def test_an_engine_emptied_by_somebody_else_is_filled_again(rig: Rig) -> None:
    name = rig.submit(lines=60, pause=0.04)
    rig.until(name, "Running")
    _prune(rig)
    rig.until(name)
    assert rig.faults(name, lines=60) == []
    for holder in rig.engine.client.containers(all=True):
        rig.engine.client.remove_container(holder["Id"], force=True)
    _prune(rig)
    assert rig.engine.client.images() == []
    again = rig.submit()
    rig.until(again)
    assert rig.faults(again) == []


def test_an_image_that_was_pruned_just_before_the_start_is_made_again(rig: Rig) -> None:
    worker = rig.worker("after_starting")
    name = rig.submit()
    worker.wait(60)
    for holder in rig.engine.client.containers(all=True):
        rig.engine.client.remove_container(holder["Id"], force=True)
    _prune(rig)
    worker = rig.worker()
    rig.until(name)
    assert rig.faults(name) == []
    rig.stop(worker)


@pytest.mark.usefixtures("worker")
def test_a_container_removed_by_somebody_else_has_not_completed(rig: Rig) -> None:
    name = rig.submit("sleep 600")
    row = rig.until(name, "Running")
    rig.engine.client.remove_container(row.container_name, force=True)
    row = rig.until(name)
    assert row.status == JobStatus.Failed
    assert row.reason in {"ContainerLost", "KilledExternally"}  # whether its end could be asked for in between
    eventually(lambda: not rig.leftovers(), "nothing is left")


def test_a_container_that_ended_and_was_removed_while_no_worker_was_there_is_lost(rig: Rig) -> None:
    worker = rig.worker()
    name = rig.submit("sleep 600")
    row = rig.until(name, "Running")
    worker.kill()
    worker.wait()
    rig.engine.client.stop(row.container_name, timeout=0)
    rig.engine.client.prune_containers()
    worker = rig.worker()
    assert rig.until(name).reason == "ContainerLost"
    rig.stop(worker)


def _prune(rig: Rig) -> None:
    """As `docker system prune -af --volumes` does."""
    client = rig.engine.client
    client.prune_containers()
    client.prune_volumes()
    client.prune_networks()
    client.prune_images(filters={"dangling": False})
