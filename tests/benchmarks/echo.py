"""The least that answers HTTP: what stands behind the hops of V2, and the hop itself where HAProxy is not installed.

    python -m tests.benchmarks.echo PORT [PORT OF ANOTHER]

Answers every request with a few numbers; with a second port it passes what comes on to it, and the answers back.
"""

import asyncio
import sys
from collections import deque

import uvloop

ANSWER = b"[0.1,0.7,0.2]"
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)


class Echo(asyncio.Protocol):
    """Reads no more than it must: a request of the benchmark comes in one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(WHOLE)  # type: ignore[attr-defined]


class Hop(asyncio.Protocol):
    """Passes bytes on over one connection for each of its own."""

    def __init__(self, port: int) -> None:
        self.port, self.waiting = port, deque[bytes]()
        self.onward: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.task = asyncio.ensure_future(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self.onward, _ = await loop.create_connection(lambda: Back(self.transport), "127.0.0.1", self.port)
        self.onward.writelines(self.waiting)

    def data_received(self, data: bytes) -> None:
        if self.onward is None:
            self.waiting.append(data)
        else:
            self.onward.write(data)

    def connection_lost(self, cause: Exception | None) -> None:
        if self.onward is not None:
            self.onward.close()


class Back(asyncio.Protocol):
    def __init__(self, caller: asyncio.BaseTransport) -> None:
        self.caller = caller

    def data_received(self, data: bytes) -> None:
        self.caller.write(data)  # type: ignore[attr-defined]


async def main(port: int, onward: int | None) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo if onward is None else lambda: Hop(onward), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(*(int(each) for each in sys.argv[1:]), *([None] if len(sys.argv) < 3 else [])))
