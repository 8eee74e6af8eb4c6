"""Callers of an endpoint: so many requests a second over kept connections, and what became of each."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """`code` is 0 when the connection broke before the answer was whole; times in seconds on the monotonic clock."""

    code: int
    deployment: str
    body: bytes
    sent: float
    ended: float
    error: str = ""


@dataclass
class Load:
    """`rate` requests a second, shared out among `connections` that are kept; a closed one is opened anew."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    rate: float = 200.0
    connections: int = 16
    answers: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        lines = [f"POST {parts.path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        self._request = "\r\n".join([*lines, "", ""]).encode() + self.body
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator["Load"]:
        thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join(60)
            assert not thread.is_alive(), "a caller waits for ever"

    def until(self, count: int) -> None:
        """Waits until so many have been answered."""
        deadline = time.monotonic() + 120
        while len(self.answers) < count:
            assert time.monotonic() < deadline, f"{len(self.answers)} of {count} answers"
            time.sleep(0.02)

    def failed(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.code != 200]

    def shares(self) -> Counter[str]:
        return Counter(answer.deployment for answer in self.answers if answer.code == 200)

    async def _run(self) -> None:
        gap = self.connections / self.rate
        await asyncio.gather(*(self._caller(gap, gap * each / self.connections) for each in range(self.connections)))

    async def _caller(self, gap: float, first: float) -> None:
        await asyncio.sleep(first)
        due, reader, writer = time.monotonic(), None, None
        while not self._stop.is_set():
            if writer is None or reader is None or reader.at_eof() or writer.is_closing():
                reader, writer = await self._connected()
            keeps = await self._ask(reader, writer)
            if not keeps:
                writer.close()
                writer = None
            due += gap
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        if writer is not None:
            writer.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A gateway that starts anew has its socket open all the time: nobody is refused for long."""
        for _ in range(100):
            try:
                return await asyncio.open_connection(self._host, self._port)
            except OSError:
                await asyncio.sleep(0.05)
        raise AssertionError(f"nobody listens at {self._host}:{self._port}")

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        sent = time.monotonic()
        try:
            writer.write(self._request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            status, *lines = head.split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await _body(reader, headers)
        except (OSError, EOFError, asyncio.IncompleteReadError) as cause:
            self.answers.append(Answer(0, "", b"", sent, time.monotonic(), repr(cause)))
            return False
        deployment = headers.get("azureml-model-deployment", "")
        self.answers.append(Answer(int(status.split()[1]), deployment, body, sent, time.monotonic()))
        return headers.get("connection", "").lower() != "close"


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    pieces = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        pieces += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return pieces
