"""A gateway and models around it, in threads of the test: real sockets, tables written by hand."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import orjson
import uvloop

from app.gateway.limits import Limits
from app.gateway.router import Router
from services.core.names import folded
from services.engines.routes import Backend, Route, Table, Target
from services.store.requests import Record, Requests
from tests.gateway.rows import PRIMARY, SECONDARY, digest

Result = TypeVar("Result")
PATIENCE = 90.0


@dataclass(frozen=True)
class Asked:
    """A request as a model got it."""

    line: str
    headers: Mapping[str, str]
    head: bytes
    body: bytes


@dataclass(frozen=True)
class Reply:
    """`rest` is what came after the answer, `is_cut` whether the connection broke before it was whole."""

    code: int
    headers: Mapping[str, str]
    body: bytes
    rest: bytes = b""
    is_cut: bool = False

    @property
    def document(self) -> Any:
        return orjson.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.document["error"]["message"])


def until(is_so: Callable[[], object], what: str = "it did not come true") -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.005)


class Loop:
    """A loop in a thread."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, awaited: Awaitable[Result]) -> Result:
        async def waited() -> Result:
            return await awaited

        return asyncio.run_coroutine_threadsafe(waited(), self.loop).result(PATIENCE)

    def call(self, function: Callable[[], Result]) -> Result:
        done: Future[Result] = Future()
        self.loop.call_soon_threadsafe(lambda: done.set_result(function()))
        return done.result(PATIENCE)

    def close(self) -> None:
        async def cancelled() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.run(cancelled())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(PATIENCE)
        self.loop.close()


Answering = Callable[[Asked, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def plain(body: bytes, *, status: str = "200 OK", headers: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


class Model:
    """A server that answers as `answering` says: by default with its name and the body that it was sent."""

    def __init__(self, name: str = "blue", answering: Answering | None = None) -> None:
        self.name, self.answering = name, answering
        self.asked: list[Asked] = []
        self.connections = self.open = 0
        self._loop = Loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server = self._loop.run(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 28))
        self.port = int(self._server.sockets[0].getsockname()[1])

    @property
    def backend(self) -> Backend:
        return Backend(f"{self.name}-{self.port}", "127.0.0.1", self.port)

    def close(self) -> None:
        """As a process that is killed: nobody listens, and connections break."""

        def broken() -> None:
            self._server.close()
            for writer in self._writers:
                writer.transport.abort()

        self._loop.call(broken)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self._writers.add(writer)
        try:
            while True:
                asked = await _asked(reader)
                self.asked.append(asked)
                if self.answering is not None:
                    await self.answering(asked, reader, writer)
                else:
                    writer.write(plain(orjson.dumps({"model": self.name, "body": asked.body.decode("latin-1")})))
                await writer.drain()
        except (EOFError, OSError, asyncio.IncompleteReadError):
            return
        finally:
            self.open -= 1
            self._writers.discard(writer)
            writer.close()


async def _asked(reader: asyncio.StreamReader) -> Asked:
    head = await reader.readuntil(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines if each)}
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readuntil(b"\r\n")
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(line, headers, head, body)


@dataclass
class Stand:
    """The gateway. `targets` are of the endpoint lab/iris; `apply` makes the table of it anew."""

    folder: Path
    limits: Limits = field(default_factory=Limits)
    options: Mapping[str, Any] = field(default_factory=dict)
    woken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._loop = Loop()
        self.requests = Requests(self.folder / "requests.db")
        self.router = self._loop.call(
            lambda: Router(self._loop.loop, self.requests, limits=self.limits, wake=self.woken.append, **self.options)
        )
        self._server = self._loop.run(self._loop.loop.create_server(self.router.caller, "127.0.0.1", 0))
        self.port = int(self._server.sockets[0].getsockname()[1])

    def apply(self, *targets: Target, **fields: Any) -> None:
        self.apply_all(a_route(*targets, **fields))

    def apply_all(self, *routes: Route) -> None:
        self.router.apply(Table({(folded(each.workspace), folded(each.name)): each for each in routes}))

    def records(self, count: int = 1, kind: str = "live") -> list[Record]:
        """At least so many of the log, in the order in which they were written."""

        def found() -> list[Record]:
            listed = self.requests.listed("iris-id", limit=10_000)
            return [record for record in reversed(listed) if record.kind == kind]

        until(lambda: len(found()) >= count, f"{len(found())} of {count} records")
        return found()

    def call(self, function: Callable[[], Result]) -> Result:
        return self._loop.call(function)

    def run(self, awaited: Awaitable[Result]) -> Result:
        return self._loop.run(awaited)

    def close(self) -> None:
        self._loop.call(self._server.close)
        for caller in self._loop.call(lambda: list(self.router.callers)):
            self._loop.call(caller.transport.abort)
        self._loop.call(self.router.ledger.close)
        self._loop.close()


def a_route(*targets: Target, **fields: Any) -> Route:
    """All traffic to the first, where nothing else is said."""
    plainly: dict[str, Any] = {
        "id": "iris-id",
        "workspace_id": "lab-id",
        "workspace": "lab",
        "name": "iris",
        "key_hashes": (bytes.fromhex(digest(PRIMARY)), bytes.fromhex(digest(SECONDARY))),
        "tokens": {},
        "traffic": {targets[0].name: 100} if targets else {},
        "mirror": {},
        "targets": {each.name: each for each in targets},
    }
    return Route(**{**plainly, **fields})


def a_target(*models: Model | Backend, name: str = "", **fields: Any) -> Target:
    """A deployment of these models, with room for many requests."""
    first = models[0].name if models and isinstance(models[0], Model) else "blue"
    backends = [each.backend if isinstance(each, Model) else each for each in models]
    plainly: dict[str, Any] = {"max_concurrent": 100, "timeout_ms": 10_000}
    return Target(id=f"{name or first}-id", name=name or first, backends=backends, **{**plainly, **fields})


def request(
    body: bytes = b"{}",
    headers: Mapping[str, str] | None = None,
    *,
    key: str | None = PRIMARY,
    method: str = "POST",
    path: str = "/lab/iris/score",
    host: str = "127.0.0.1",
) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Content-Type: application/json"]
    lines += [f"Authorization: Bearer {key}"] if key is not None else []
    lines += [f"Content-Length: {len(body)}"] if body or method == "POST" else []
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Client:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._kept = bytearray()

    def send(self, data: bytes) -> "Client":
        self.socket.sendall(data)
        return self

    def ask(self, *args: Any, **fields: Any) -> Reply:
        return self.send(request(*args, **fields)).reply()

    def reply(self) -> Reply:
        """The next answer that is not 100."""
        head = self._until(b"\r\n\r\n")
        if not head.endswith(b"\r\n\r\n"):
            return Reply(0, {}, head, is_cut=True)
        status, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines if each)}
        code = int(status.split()[1])
        if code == 100:
            return Reply(100, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return self._chunked(code, headers)
        if code in {204, 304}:
            return Reply(code, headers, b"", bytes(self._kept))
        if "content-length" not in headers:
            body = self._rest()
            return Reply(code, headers, body or b"", is_cut=body is None)
        size = int(headers["content-length"])
        body = self._exactly(size)
        return Reply(code, headers, body, bytes(self._kept), is_cut=len(body) < size)

    def is_ended(self) -> bool:
        """Waits for the end; whether it was in order."""
        return self._rest() is not None

    def close(self) -> None:
        self.socket.close()

    def _chunked(self, code: int, headers: Mapping[str, str]) -> Reply:
        body = b""
        while True:
            line = self._until(b"\r\n")
            if not line.endswith(b"\r\n"):
                return Reply(code, headers, body, is_cut=True)
            size = int(line, 16)
            piece = self._exactly(size + 2)
            body += piece[:size]
            if len(piece) < size + 2:
                return Reply(code, headers, body, is_cut=True)
            if size == 0:
                return Reply(code, headers, body, bytes(self._kept))

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._kept:
            if not self._more():
                break
        at = self._kept.find(mark)
        at = len(self._kept) if at < 0 else at + len(mark)
        return self._taken(at)

    def _exactly(self, size: int) -> bytes:
        while len(self._kept) < size and self._more():
            pass
        return self._taken(size)

    def _taken(self, size: int) -> bytes:
        found = bytes(self._kept[:size])
        del self._kept[:size]
        return found

    def _rest(self) -> bytes | None:
        """Up to the end; None when that was a reset."""
        try:
            while True:
                more = self.socket.recv(1 << 16)
                if not more:
                    return self._taken(len(self._kept))
                self._kept += more
        except ConnectionError:
            return None

    def _more(self) -> bool:
        try:
            more = self.socket.recv(1 << 20)
        except ConnectionError:
            return False
        self._kept += more
        return bool(more)


@contextmanager
def client(port: int) -> Iterator[Client]:
    made = Client(port)
    try:
        yield made
    finally:
        made.close()


def ask(port: int, *args: Any, **fields: Any) -> Reply:
    """Over a connection of its own."""
    with client(port) as one:
        return one.ask(*args, **fields)


def codes(replies: Sequence[Reply]) -> list[int]:
    return [each.code for each in replies]
