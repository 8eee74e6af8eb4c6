"""Private engines and rigs: one of each for a file, so that a fault stays where it was made."""

from collections.abc import Iterator

import pytest

from tests.faults import private_engine
from tests.faults.private_engine import PrivateEngine
from tests.faults.rig import Rig, make_rig


@pytest.fixture(scope="module")
def engine() -> Iterator[PrivateEngine]:
    """An engine that may be killed."""
    if reason := private_engine.missing():
        pytest.skip(reason)
    made = PrivateEngine()
    made.start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def rig(engine: PrivateEngine, mlflow_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A studio on that engine, without any process yet."""
    made = make_rig(tmp_path_factory.mktemp("studio") / "home", engine, mlflow_server)
    yield made
    made.close()
