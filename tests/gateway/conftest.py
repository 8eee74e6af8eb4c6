"""A stand with a gateway, and models that are closed with it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.gateway.stand import Answering, Model, Stand


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.close()


@pytest.fixture
def stand_of(tmp_path: Path) -> Iterator[Callable[..., Stand]]:
    """With other limits."""
    made: list[Stand] = []

    def make(**fields: object) -> Stand:
        made.append(Stand(tmp_path, **fields))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def model() -> Iterator[Callable[..., Model]]:
    made: list[Model] = []

    def make(name: str = "blue", answering: Answering | None = None) -> Model:
        made.append(Model(name, answering))
        return made[-1]

    yield make
    for each in made:
        if not each._loop.loop.is_closed():
            each.close()
