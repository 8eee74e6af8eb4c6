"""J3: a log followed while it is written: a client's processor time for a thousand lines, and how late a line comes."""

import json
import statistics
import time
from collections.abc import Iterator

import docker

from tests.benchmarks.metering import Cost, Meter
from tests.benchmarks.stack import Running, atelier, say, until

PEER = "logs(follow=True) of the engine's SDK"
UNIT = "cpu"
ROUNDS = 3
BAR = 0.1
LINES, A_SECOND = 10_000, 1_000
COMMAND = (
    "python3 -u -c 'import time\n"
    f"start = time.time()\nfor number in range({LINES}):\n"
    f"    time.sleep(max(0, start + number / {A_SECOND} - time.time()))\n"
    '    print(f"{time.time():.3f} line {number} of a log such as training writes")\''
)
Pieces = list[tuple[float, bytes]]


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with atelier() as studio:
        image = studio.warm()
        for _ in range(rounds):
            yield _ours(studio), _theirs(image)


def _ours(studio: Running) -> Cost:
    name = studio.submit(COMMAND)
    until(lambda: studio.log(name) != b"")
    server, meter = Meter(studio.pid), Meter()
    pieces = _streamed(studio, name)
    cost = meter.read()
    _told("ours", pieces)
    say(f"   the studio's own processes: {server.read().cpu / LINES * 1e6:.1f} µs a line")
    studio.ended(name)
    return cost.per(LINES // 1000)


def _streamed(studio: Running, name: str) -> Pieces:
    pieces: Pieces = []
    with studio.client.stream("GET", f"/jobs/{name}/log", headers={"Accept": "text/event-stream"}) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: "):
                pieces.append((time.time(), json.loads(line[6:]).encode()))
    return pieces


def _theirs(image: str) -> Cost:
    client = docker.APIClient(version="auto", timeout=300)
    made = client.create_container(image, ["sh", "-c", COMMAND])["Id"]
    client.start(made)
    meter = Meter()
    pieces = [(time.time(), piece) for piece in client.logs(made, stream=True, follow=True)]
    cost = meter.read()
    client.remove_container(made, force=True)
    _told("theirs", pieces)
    return cost.per(LINES // 1000)


def _told(whose: str, pieces: Pieces) -> None:
    """Every line came, and how long after it was printed."""
    delays = []
    for at, piece in pieces:
        delays += [at - float(line.split()[0]) for line in piece.splitlines() if line.strip()]
    assert len(delays) == LINES, f"{len(delays)} lines came"
    middle, latest = statistics.median(delays), max(delays)
    say(f"   {whose}: a line comes {middle:.2f} s after it was printed, {latest:.2f} at the latest")
