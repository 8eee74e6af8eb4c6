"""Every engine keeps the promises of the protocol; below, what only Docker promises."""

from collections.abc import Iterator
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


class TestFake(Promises):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Bench:
        return Bench(FakeEngine(), tmp_path, "any")


class TestProcesses(RealPromises):
    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Bench]:
        engine = ProcessEngine(install="here", home=tmp_path)
        yield Bench(engine, tmp_path, "/usr")
        for one in engine.found({}):
            engine.remove(one.id)

    def again(self, bench: Bench) -> Engine:
        return ProcessEngine(install="here", home=bench.home)

    def stranger(self, bench: Bench) -> Engine:
        return ProcessEngine(install="elsewhere", home=bench.home)


@pytest.mark.docker
class TestDocker(RealPromises):
    @pytest.fixture
    def bench(self, docker_engine: DockerEngine, python_image: str) -> Bench:
        return Bench(docker_engine, docker_engine.home, python_image)

    def again(self, bench: Bench) -> Engine:
        return DockerEngine(install=bench.engine.install, home=bench.home)  # type: ignore[attr-defined]

    def stranger(self, bench: Bench) -> Engine:
        return DockerEngine(install="elsewhere", home=bench.home)
