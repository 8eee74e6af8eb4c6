"""Every engine keeps the promises of the protocol; below, what only Docker promises."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from services.engines.containers import BuildWish, Engine
from services.engines.docker import DockerEngine
from services.engines.fake_containers import FakeEngine
from services.engines.processes import ProcessEngine
from tests.engines.suite import Bench, Promises, RealPromises

PACKAGE, MISSING = "six", "no-such-package-as-this"


@pytest.fixture
def buildable() -> BuildWish:
    return BuildWish(hash="0" * 64, base="atelier/python:3.11", requirements=(PACKAGE,))


@pytest.fixture
def broken() -> BuildWish:
    return BuildWish(hash="1" * 64, base="atelier/python:3.11", requirements=(MISSING,))


class Silence:
    """An index that takes a question and never answers; `asked` says that it was asked."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("0.0.0.0", 0))
        self.port = self._socket.getsockname()[1]
        self.asked = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def wish(self, host: str) -> BuildWish:
        options = (f"--index-url http://{host}:{self.port}/simple",)
        return BuildWish(hash="2" * 64, base="atelier/python:3.11", requirements=("six",), pip_options=options)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _listen(self) -> None:
        held = []
        with suppress(OSError):
            while True:
                held.append(self._socket.accept())
                self.asked.set()
        for connection, _ in held:
            connection.close()


@pytest.fixture
def silence() -> Iterator[Silence]:
    made = Silence()
    yield made
    made.close()


class Asked:
    """A build is under way once the index was asked."""

    @pytest.fixture(autouse=True)
    def _silence(self, silence: Silence) -> None:
        self.silence = silence

    def until_building(self, bench: Bench, wish: BuildWish, log: Path) -> None:
        assert self.silence.asked.wait(60)


class TestFake(Promises):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return Bench(FakeEngine(), tmp_path, "any")

    @pytest.fixture
    def endless(self, bench: Bench) -> BuildWish:
        bench.engine.long_builds.add("2" * 64)  # type: ignore[attr-defined]
        return BuildWish(hash="2" * 64, base="any")


class TestProcesses(Asked, RealPromises):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Bench]:
        engine = ProcessEngine(install="here", home=tmp_path)
        yield Bench(engine, tmp_path, "/usr")
        for one in engine.found({}):
            engine.remove(one.id)

    @pytest.fixture
    def endless(self, silence: Silence) -> BuildWish:
        return silence.wish("127.0.0.1")

    def again(self, bench: Bench) -> Engine:
        return ProcessEngine(install="here", home=bench.home)

    def stranger(self, bench: Bench) -> Engine:
        return ProcessEngine(install="elsewhere", home=bench.home)


@pytest.mark.docker
class TestDocker(Asked, RealPromises):
    @pytest.fixture
    def bench(self, docker_engine: DockerEngine, python_image: str) -> Bench:
        return Bench(docker_engine, docker_engine.home, python_image)

    @pytest.fixture
    def endless(self, bench: Bench, silence: Silence) -> BuildWish:
        return silence.wish(bench.engine.info().gateway or "127.0.0.1")

    def again(self, bench: Bench) -> Engine:
        return DockerEngine(install=bench.engine.install, home=bench.home)  # type: ignore[attr-defined]

    def stranger(self, bench: Bench) -> Engine:
        return DockerEngine(install="elsewhere", home=bench.home)

    @pytest.mark.parametrize("profile", ["compat", "strict"])
    def test_where_containers_are_out_of_reach_their_port_is_published_on_this_host_alone(
        self, bench: Bench, docker_engine: DockerEngine, profile: str
    ) -> None:
        docker_engine._publishes = True
        serve = 'exec python3 -m http.server "$ATELIER_PORT"'
        id_ = bench.started(serve, name="rep-8", port=5001, profile=profile)
        host, port = docker_engine.address(id_)
        assert (host, port != 5001) == ("127.0.0.1", True)
        bench.until(lambda: self.answers(host, port), "it listens")

    def test_an_image_runs_its_own_command_and_its_output_is_kept(
        self, bench: Bench, docker_engine: DockerEngine
    ) -> None:
        context = bench.folder("context")
        (context / "Dockerfile").write_text(f'FROM {bench.image}\nENTRYPOINT ["python3", "-c"]\nCMD ["print(6 * 7)"]\n')
        wish = BuildWish(hash="3" * 64, base="", context=context, froms={bench.image: bench.image})
        made = docker_engine.build(wish, bench.home / "log")
        found = bench.end_of(self.run_own(bench, made.reference))
        assert bench.engine.output(found.id, 10) == "42\n"

    @staticmethod
    def run_own(bench: Bench, image: str) -> str:
        id_ = bench.engine.create(bench.wish(name="rep-9", image=image, command=(), port=5001))
        bench.engine.start(id_)
        return id_
