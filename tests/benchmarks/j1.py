"""J1: from the submission to the first line of the log that the REST route gives; the image is there already.

The first job of a person in a workspace: its network and holder are made on the way.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import closing

from tests.benchmarks.metering import Cost, Meter
from tests.benchmarks.stack import Running, atelier, until

PEER = "docker run --rm, to its first line"
UNIT = "wall"
ROUNDS = 7
BAR = 1.2
COMMAND = "echo hello"
POLL_SECONDS = 0.01


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with atelier() as studio:
        image = studio.warm()
        for number in range(rounds):
            fresh = studio.inside(f"first-{number}")
            with closing(fresh.client):
                yield ours(fresh), theirs(image)


def ours(studio: Running) -> Cost:
    """The processor's seconds are those of all the studio's processes, the engine's not counted."""
    meter = Meter(studio.pid)
    name = studio.submit(COMMAND)
    until(lambda: studio.log(name) != b"", pause=POLL_SECONDS)
    cost = meter.read()
    studio.ended(name)
    time.sleep(0.5)
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
