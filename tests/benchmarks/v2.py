"""V2: what a request costs on its way: the gateway's processor time with keys, split, log and metrics on, against the
bare hop of HAProxy (of an asyncio echo where that is not installed), to the same two servers, in turns.

    CALLERS, ONCE: how many connections are kept open, and requests of each measurement; costs are of a thousand
"""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import uvloop

from tests.benchmarks.metering import Cost, Meter
from tests.benchmarks.stack import started, until
from tests.conftest import free_port, make_stage
from tests.gateway.rows import a_deployment, an_endpoint
from tests.gateway.stand import ask, request

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
PEER = "HAProxy's bare hop" if HAPROXY else "a bare asyncio hop"
UNIT = "cpu"
ROUNDS = 5
BAR = 1.3
CALLERS, ONCE = 8, 20_000
BODY = b'{"data": [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]]}'
CONFIG = """
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend scoring
  bind 127.0.0.1:{port}
  default_backend models
backend models
{servers}
"""


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with tempfile.TemporaryDirectory(prefix="atelier-v2-") as name, ExitStack() as stack:
        folder = Path(name)
        models = (free_port(), free_port())
        for port in models:
            stack.enter_context(
                started([sys.executable, "-m", "tests.benchmarks.echo", str(port)], folder / f"model-{port}")
            )
        stage = make_stage(folder / "home")
        endpoint = an_endpoint(stage, traffic={"blue": 90, "green": 10})
        for deployment, port in zip(("blue", "green"), models, strict=True):
            settings = {"max_concurrent_requests_per_instance": 1000}
            a_deployment(stage, endpoint, deployment, ports=(port,), spec={"request_settings": settings})
        stage.studio.close()
        ours, theirs = free_port(), free_port()
        gateway = stack.enter_context(
            started(
                [sys.executable, "-m", "app.gateway"],
                folder / "gateway",
                ATELIER_HOME=str(folder / "home"),
                ATELIER_GATEWAY_PORT=str(ours),
            )
        )
        peer = stack.enter_context(started(_peer(folder, theirs, models), folder / "peer"))
        for port in (ours, theirs):
            until(lambda port=port: _answers(port), pause=0.1)  # type: ignore[misc]
        for at in range(rounds + 1):
            measured = []
            for port, process in ((ours, gateway.pid), (theirs, peer.pid)):
                meter = Meter(process)
                uvloop.run(_load(port, ONCE // 10 if at == 0 else ONCE))
                measured.append(meter.read().per(ONCE // 1000))
            if at:  # the first warms both up
                yield measured[0], measured[1]


def _peer(folder: Path, port: int, models: tuple[int, int]) -> list[str]:
    if HAPROXY is None:
        return [sys.executable, "-m", "tests.benchmarks.echo", str(port), str(models[0])]
    shares = zip(models, (90, 10), strict=True)
    servers = "\n".join(f"  server m{model} 127.0.0.1:{model} weight {weight}" for model, weight in shares)
    config = folder / "haproxy.cfg"
    config.write_text(CONFIG.format(port=port, servers=servers))
    return [HAPROXY, "-db", "-f", str(config)]


def _answers(port: int) -> bool:
    try:
        return ask(port, BODY).code == 200
    except OSError:
        return False


async def _load(port: int, count: int) -> None:
    loop = asyncio.get_running_loop()
    left = [count]
    callers = [(await loop.create_connection(lambda: _Asker(left), "127.0.0.1", port))[1] for _ in range(CALLERS)]
    await asyncio.gather(*(caller.done for caller in callers))


class _Asker(asyncio.Protocol):
    """One request after the other, as long as there are any left."""

    def __init__(self, left: list[int]) -> None:
        self.left, self.request = left, request(BODY, {"User-Agent": "bench", "Accept": "*/*"})
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 200") or not data.endswith(b"]"):
            self.done.set_exception(AssertionError(data))
            return
        self._ask()

    def connection_lost(self, cause: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(cause or EOFError("the hop has closed the connection"))

    def _ask(self) -> None:
        if self.left[0] <= 0:
            self.done.set_result(None)
            self.transport.close()  # type: ignore[attr-defined]
            return
        self.left[0] -= 1
        self.transport.write(self.request)  # type: ignore[attr-defined]
