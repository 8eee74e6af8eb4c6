"""Servers that mean harm: what they leave is not followed, what drips holds up nobody, and they can be ended."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.core.errors import NotFound
from services.engines.containers import Container
from services.reconcile import serving_logs
from services.reconcile.probes import answers
from services.reconcile.serving_launch import LOG, SETUP, Asked
from services.specs.deployments import Probe
from tests.reconcile.conftest import Site, eventually
from tests.reconcile.serving import Server, Shop


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def shop(site: Site, server: Server) -> Shop:
    site.engine.reached_at = lambda wish: ("127.0.0.1", server.server_port)
    return Shop(site)


@contextmanager
def saying(say: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """A server at a port that treats its callers as `say` does, until the event is set."""
    listening, over = socket.create_server(("127.0.0.1", 0)), threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                caller, _ = listening.accept()
            except OSError:
                return
            with caller:
                try:
                    say(caller, over)
                except OSError:
                    continue

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listening.getsockname()[1])
    over.set()
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(10)


def asked(port: int, **fields: object) -> str | None:
    return answers("127.0.0.1", port, Asked(port, "/live"), Probe.model_validate({"timeout": 1, **fields}))


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 " + b"O" * 500])
def test_an_answer_that_drips_holds_a_probe_no_longer_than_its_time(begin: bytes) -> None:
    """Each byte comes well within the time that one may take; all of them would take for ever."""

    def drip(caller: socket.socket, over: threading.Event) -> None:
        caller.sendall(begin)
        while not over.wait(0.2):
            caller.sendall(b"x")

    with saying(drip) as port:
        began = time.monotonic()
        assert asked(port) == "no answer in 1 s"
        assert time.monotonic() - began < 30, "and not for as long as it drips"


@pytest.mark.parametrize("said", [b"", b"garbage\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\0" * 5000, b"HTTP/1.1 503 \r\n"])
def test_what_is_no_good_answer_fails_a_probe(said: bytes) -> None:
    def say(caller: socket.socket, over: threading.Event) -> None:
        caller.recv(4096)
        caller.sendall(said)

    with saying(say) as port:
        assert asked(port)


def test_of_a_good_answer_the_first_line_is_enough() -> None:
    """Whatever follows it, however much."""

    def say(caller: socket.socket, over: threading.Event) -> None:
        caller.recv(4096)
        caller.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not over.is_set():
            caller.sendall(b"y" * 65536)

    with saying(say) as port:
        assert asked(port) is None


@pytest.mark.parametrize(("path", "method"), [("/a b", "GET"), ("/\r\nX: y", "GET"), ("/é", "GET"), ("/", "GE\r\nT")])
def test_a_path_or_method_that_is_none_fails_the_probe_alone(path: str, method: str) -> None:
    with saying(lambda caller, over: None) as port:
        assert answers("127.0.0.1", port, Asked(port, path, method), Probe(timeout=1))


@pytest.mark.parametrize("put", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo, lambda path: path.mkdir()])
def test_one_that_spoils_its_log_is_ended_all_the_same(shop: Shop, put: Callable[[Path], None]) -> None:
    engine = shop.site.engine

    def spoilt(wish: Container) -> None:
        logs, system = (
            next(each.source for each in wish.mounts if each.target == f"/studio/{name}")
            for name in ("user_logs", "system_logs")
        )
        put(logs / "std_log.txt")
        (system / "lifecycle").unlink(missing_ok=True)
        engine.said[wish.name] = "all is well\n"

    engine.fate = spoilt
    id_ = shop.deploy(server="script")
    shop.until(id_, "Succeeded")
    [wish] = engine.created
    engine.said[engine.inspect(wish.name).id] = engine.said[wish.name] = "all is well\n"
    shop.wish(desired="delete")
    eventually(lambda: shop.endpoint_row() is None, "all of it is gone")
    with pytest.raises(NotFound):
        engine.inspect(wish.name)


def test_values_of_variables_that_are_secret_by_name_do_not_stand_in_what_is_said_of_a_failure(shop: Shop) -> None:
    def ended(wish: Container) -> int:
        log = next(each.source for each in wish.mounts if each.target == "/studio/user_logs") / "std_log.txt"
        log.write_text("ATELIER-FAILURE UserScriptImportError: cannot sign in with s3cret-value\n")
        return 3

    shop.site.engine.fate = ended
    id_ = shop.deploy(server="script", spec={"environment_variables": {"DB_PASSWORD": "s3cret-value"}})
    assert shop.until(id_, "Failed").message == "cannot sign in with ***"
    assert "s3cret" not in str(shop.events()) + str([each.message for each in shop.replicas(id_)])


def test_what_is_told_before_a_start_follows_no_link_and_waits_for_no_pipe(tmp_path: Path) -> None:
    place, precious = tmp_path / SETUP, tmp_path / "precious"
    place.parent.mkdir()
    precious.write_text("mine")
    place.symlink_to(precious)
    serving_logs.note(place, "the model comes\n")
    assert precious.read_text() == "mine"
    place.unlink()
    os.mkfifo(place)
    serving_logs.note(place, "the model comes\n")
    place.unlink()
    serving_logs.note(place, "the model comes\n")
    serving_logs.note(place, "it is here\n")
    assert place.read_text() == "the model comes\nit is here\n"


def test_a_folder_where_the_log_should_be_is_no_log(tmp_path: Path) -> None:
    (tmp_path / LOG).mkdir(parents=True)
    assert serving_logs.tail(tmp_path) == b""
    assert not serving_logs.bound(tmp_path, limit=1)
