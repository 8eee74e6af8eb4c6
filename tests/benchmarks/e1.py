"""E1: the first scikit-learn environment of a home, downloads included, beside the classic builder with pip."""

import secrets
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from services.engines.containers import BuildWish
from services.engines.docker import DockerEngine
from tests.benchmarks.metering import Cost, Meter
from tests.conftest import forget_install

PEER = "classic docker build with pip, without its cache"
UNIT = "wall"
ROUNDS = 3
BAR = 0.6
BASE = "atelier/python:3.11"
PACKAGES = ("scikit-learn", "pandas", "mlflow-skinny")


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    for _ in range(rounds):
        with engine() as fresh:
            yield ours(fresh, PACKAGES), theirs(fresh, PACKAGES)


@contextmanager
def engine() -> Iterator[DockerEngine]:
    """Of an install and a home of its own, with the base image there already."""
    with tempfile.TemporaryDirectory() as folder:
        made = DockerEngine(install=secrets.token_hex(4), home=Path(folder))
        with closing(made.client):
            made.build(BuildWish(hash="base", base=BASE), made.home / "log")
            try:
                yield made
            finally:
                forget_install(made)


def ours(engine: DockerEngine, packages: tuple[str, ...]) -> Cost:
    wish = BuildWish(hash=secrets.token_hex(32), base=BASE, requirements=packages)
    meter = Meter()
    engine.build(wish, engine.home / "log")
    return meter.read()


def theirs(engine: DockerEngine, packages: tuple[str, ...]) -> Cost:
    """The marker keeps the builder from finding the step of another round."""
    folder = engine.home / "workspaces" / secrets.token_hex(4)
    folder.mkdir(parents=True)
    install = f"ENV ROUND={secrets.token_hex(4)}\nRUN pip install --no-cache-dir {' '.join(packages)}\n"
    (folder / "Dockerfile").write_text(f"FROM python:3.11\n{install}")
    wish = BuildWish(hash=secrets.token_hex(32), base="", context=folder, froms={"python:3.11": BASE})
    meter = Meter()
    engine.build(wish, engine.home / "log")
    return meter.read()
