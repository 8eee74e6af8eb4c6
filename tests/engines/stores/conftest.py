"""Each server once for a run, a place of its own for each test."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.engines.stores.promises")

from tests.engines.stores import servers  # noqa: E402


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    with servers.s3() as url:
        yield url


@pytest.fixture(scope="session")
def azure_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.azure(tmp_path_factory.mktemp("azurite")) as url:
        yield url


@pytest.fixture(scope="session")
def google_url() -> Iterator[str]:
    with servers.google() as url:
        yield url


@pytest.fixture(scope="session")
def ssh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.Ssh]:
    with servers.ssh(tmp_path_factory.mktemp("ssh")) as server:
        yield server


@pytest.fixture
def corner() -> str:
    """A name that no other test has: stores are shared."""
    return f"corner-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    made.mkdir()
    return made
