"""No parameter of any address leads to a file that is not meant: each one, with every trick, however often encoded."""

import re
from collections.abc import Iterator

import pytest

from tests.api.conftest import House
from tests.api.decided import BROWSER_READS, READS, address
from tests.api.test_links import LEADING_OUT, encoded

pytestmark = pytest.mark.slow
CANARY = b"canary-of-the-host"
_PARAMETER = re.compile(r"\{([a-z]+)(?::path)?\}")
TEXTS = ("path", "name", "file", "with", "version")


@pytest.fixture(scope="module")
def lab(shared: House) -> House:
    """Files that must not be read lie at every level above those that may be."""
    studio, workspace = shared.stage.studio, shared.stage.lab.id
    studio.folders.token.write_bytes(CANARY)
    store = studio.folders.datastore(workspace, "workspaceblobstore")
    for folder in (store.parent, studio.folders.workspace(workspace), studio.folders.home):
        (folder / "token").write_bytes(CANARY)
    store.mkdir(parents=True, exist_ok=True)
    (store / "link").symlink_to(studio.folders.home)
    return shared


def tricked(door: str) -> Iterator[str]:
    """The door's address with one parameter at a time replaced."""
    path = door.split(" ", 1)[1]
    for found in _PARAMETER.finditer(path):
        for trick in LEADING_OUT:
            for times in range(4):
                before, after = path[: found.start()], path[found.end() :]
                yield address(before) + encoded(trick, times).replace("?", "%3F").replace("#", "%23") + address(after)
    for name in TEXTS:
        for trick in LEADING_OUT:
            yield f"{address(path)}?{name}={encoded(trick, 1)}"


@pytest.mark.parametrize("door", sorted(door for door in {**READS, **BROWSER_READS} if door.startswith("GET ")))
def test_no_parameter_leads_out(lab: House, door: str) -> None:
    client = lab.browser("ada") if door in BROWSER_READS else lab.bearer("ada")
    for at in tricked(door):
        answer = client.get(at)
        assert answer.status_code < 500, at
        for secret in (CANARY, b"root:x:", b"SQLite format"):
            assert secret not in answer.content, at
