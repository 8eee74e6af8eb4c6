"""Who is told: a web server that keeps what is posted to it, and a mail server that keeps what it is sent."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hook:
    """Answers with each of `answers` in turn, then with 200; `location` is where a redirect leads."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    location: str = ""
    got: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    stall: threading.Event = field(default_factory=threading.Event)
    is_stalling: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/s3cret?token=t0ken"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def hook(*answers: int) -> Iterator[Hook]:
    kept = Hook(answers=list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.got.append(json.loads(body))
            kept.paths.append(self.path)
            kept.hosts.append(self.headers["Host"])
            if kept.is_stalling:
                kept.stall.wait(30)
                self.close_connection = True
                return
            status = kept.answers.pop(0) if kept.answers else 200
            self.send_response(status)
            if kept.location:
                self.send_header("Location", kept.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield kept
    kept.stall.set()
    server.shutdown()
    server.server_close()
    thread.join(10)


@dataclass
class Letterbox:
    """A server of mail; `refused` are the first words of commands that it does not take, with what it says."""

    port: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    letters: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(line: str) -> None:
            writer.write(f"{line}\r\n".encode())

        say("220 here")
        while line := (await reader.readline()).decode().strip():
            self.said.append(line)
            word = line.partition(" ")[0].upper()
            if word in self.refused:
                say(self.refused[word])
            elif word == "EHLO":
                say("250-here")
                say("250 AUTH PLAIN")
            elif word == "AUTH":
                say("235 known")
            elif word == "DATA":
                say("354 go on")
                letter = await reader.readuntil(b"\r\n.\r\n")
                self.letters.append(letter.decode())
                say("250 kept")
            elif word == "QUIT":
                say("221 bye")
                break
            else:
                say("250 fine")
        await writer.drain()
        writer.close()


@contextmanager
def letterbox(**refused: str) -> Iterator[Letterbox]:
    kept = Letterbox(refused=refused)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(kept.answer, "127.0.0.1", 0))
    kept.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield kept

    async def end() -> None:
        server.close()
        await server.wait_closed()

    asyncio.run_coroutine_threadsafe(end(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
