"""J2: two hundred jobs submitted at once, to the end of the last; none lost, none left over, none failed."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker

from tests.benchmarks.metering import Cost, Meter
from tests.benchmarks.stack import Running, atelier, say, until

PEER = "the best loop of create, start, wait, remove"
UNIT = "wall"
ROUNDS = 1
BAR = 1.2
JOBS = 200
TRIAL = 24
SIDE_BY_SIDE = (2, 4, 8)


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with atelier() as studio:
        image = studio.warm()
        for _ in range(rounds):
            trials = {width: _looped(image, TRIAL, width).wall for width in SIDE_BY_SIDE}
            best = min(trials, key=lambda width: trials[width])
            say(f"   loops of {TRIAL}: {', '.join(f'{width} at once {wall:.1f} s' for width, wall in trials.items())}")
            yield _submitted(studio), _looped(image, JOBS, best)


def _submitted(studio: Running) -> Cost:
    meter = Meter(studio.pid)
    with ThreadPoolExecutor(16) as pool:
        names = list(pool.map(lambda number: studio.submit(f"echo line {number}"), range(JOBS)))
    say(f"   all submitted after {meter.read().wall:.1f} s")
    until(lambda: _under_way(studio) == 0, pause=0.5)
    cost = meter.read()
    _proved(studio, names)
    return cost


def _under_way(studio: Running) -> int:
    active = ["Queued", "Preparing", "Provisioning", "Starting", "Running", "Finalizing", "NotResponding"]
    return len(studio.client.get("/jobs", params={"status": active, "limit": 1}).raise_for_status().json()["value"])


def _proved(studio: Running, names: list[str]) -> None:
    """Each ran once and says so; nothing is left on the engine but the holder."""
    for number, name in enumerate(names):
        job = studio.job(name)
        assert job["status"] == "Completed", f"{name} is {job['status']}: {job['reason']} {job['message']}"
        assert studio.log(name) == f"line {number}\n".encode(), name
    mine = {"label": [f"atelier.install={studio.engine.install}", "atelier.kind=job"]}
    until(lambda: not studio.engine.client.containers(all=True, filters=mine), seconds=30)
    say(f"   {len(names)} jobs completed once each, nothing left over")


def _looped(image: str, count: int, width: int) -> Cost:
    client = docker.APIClient(version="auto", timeout=300)
    meter = Meter()
    with ThreadPoolExecutor(width) as pool:
        codes = list(pool.map(lambda number: _one(client, image, f"echo line {number}"), range(count)))
    assert codes == [0] * count
    return meter.read()


def _one(client: Any, image: str, command: str) -> int:
    made = client.create_container(image, ["sh", "-c", command])["Id"]
    client.start(made)
    code = client.wait(made)["StatusCode"]
    client.remove_container(made)
    time.sleep(0)
    return int(code)
