"""J1: from the submission to the first line of the log that the REST route gives; the image is there already.

The first job of a person in a workspace: its network and holder are made on the way.
"""

import subprocess
from collections.abc import Iterator
from contextlib import closing

from tests.benchmarks.metering import Cost, Meter
from tests.benchmarks.stack import Running, atelier, until

PEER = "docker run --rm, to its first line"
UNIT = "wall"
ROUNDS = 7
BAR = 1.2
COMMAND = "echo hello"
LOGS = "runs/*/user_logs/std_log.txt"


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with atelier() as studio:
        image = studio.warm()
        for number in range(rounds):
            fresh = studio.inside(f"first-{number}")
            with closing(fresh.client):
                yield ours(fresh), theirs(image)


def ours(studio: Running) -> Cost:
    """The processor's seconds are those of all the studio's processes, the engine's not counted.

    The file is watched, because questions one after the other would keep a core busy; then the route is asked.
    """
    meter = Meter(studio.pid)
    name = studio.submit(COMMAND)
    until(lambda: any(path.stat().st_size for path in studio.home.glob(LOGS)), pause=0.002)
    assert studio.log(name) == b"hello\n"
    cost = meter.read()
    studio.ended(name)
    until(lambda: not list(studio.home.glob(LOGS)))
    return cost


def theirs(image: str) -> Cost:
    meter = Meter()
    process = subprocess.Popen(["docker", "run", "--rm", image, "sh", "-c", COMMAND], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"hello\n"
    wall = meter.read().wall
    process.wait()
    process.stdout.close()
    return Cost(wall, meter.read().cpu)
