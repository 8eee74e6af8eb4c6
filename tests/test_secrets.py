"""Secrets: put, used, replaced, removed, purged; moved to another master key, killed half-way, and never lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlmodel import select

from services import secrets, workspaces
from services.core.errors import Denied, EngineError, NotFound
from services.core.times import now
from services.engines.vault import KeyFile
from services.specs.workspaces import Workspace as WorkspaceSpec
from services.store.rows import Secret
from tests.conftest import Stage


def put(stage: Stage, name: str = "door", value: str = "sesame") -> Secret:
    with stage.scope() as scope:
        return secrets.put(scope, name, value)


def revealed(stage: Stage, name: str = "door") -> str:
    with stage.scope(write=False) as scope:
        return secrets.reveal(scope, name)


def rows(stage: Stage) -> list[Secret]:
    with stage.studio.database.session(write=False) as session:
        return list(session.exec(select(Secret).order_by(Secret.name, Secret.version)))  # type: ignore[arg-type]


def key(stage: Stage) -> Path:
    return stage.studio.folders.home / "master.key"


def test_a_secret_comes_back_as_it_was_put(stage: Stage):
    for value in ("sesame", "", "ü\n" * 5000):
        put(stage, "door", value)
        assert revealed(stage) == value


def test_the_last_version_counts_and_the_ones_before_are_given_up(stage: Stage):
    assert [put(stage, value=value).version for value in ("one", "two")] == [1, 2]
    assert revealed(stage) == "two"
    assert [row.deleted_at is None for row in rows(stage)] == [False, True]


def test_what_is_kept_shows_nothing(stage: Stage):
    row = put(stage, value="sesame-canary")
    assert b"canary" not in row.sealed + row.wrapped
    assert "canary" not in repr(row)


def test_a_removed_secret_opens_nothing_until_it_is_recovered(stage: Stage):
    put(stage)
    with stage.scope() as scope:
        secrets.remove(scope, "door")
    with pytest.raises(NotFound):
        revealed(stage)
    with stage.scope() as scope, pytest.raises(NotFound):
        secrets.remove(scope, "door")
    with stage.scope() as scope:
        secrets.recover(scope, "door")
    assert revealed(stage) == "sesame"


def test_a_purged_secret_is_gone(stage: Stage):
    put(stage)
    with stage.scope() as scope:
        secrets.purge(scope, "door")
        with pytest.raises(NotFound):
            secrets.recover(scope, "door")
    assert rows(stage) == []


def test_what_was_removed_long_ago_goes_when_the_next_is_put(stage: Stage):
    put(stage, "old")
    with stage.scope() as scope:
        secrets.remove(scope, "old")
        row = scope.session.exec(select(Secret)).one()
        row.deleted_at = now() - secrets.KEPT * 2
    put(stage, "new")
    assert [row.name for row in rows(stage)] == ["new"]


def test_only_who_may_read_secrets_sees_one(stage: Stage):
    put(stage)
    with stage.scope(stage.cleo) as scope:
        for ask in (secrets.reveal, secrets.remove, secrets.purge):
            with pytest.raises(Denied):
                ask(scope, "door")
        with pytest.raises(Denied):
            secrets.put(scope, "door", "x")


def test_another_workspace_has_secrets_of_its_own(stage: Stage):
    put(stage)
    with stage.scope(workspace=None) as scope:
        workspaces.create(scope, WorkspaceSpec(name="den"))
    with stage.scope(workspace="den") as scope:
        with pytest.raises(NotFound):
            secrets.reveal(scope, "door")
        secrets.put(scope, "door", "theirs")
    assert revealed(stage) == "sesame"


def test_sealed_values_that_were_swapped_in_the_tables_open_nothing(stage: Stage):
    put(stage, "one")
    put(stage, "two")
    with stage.studio.database.session(write=True) as session:
        one, two = session.exec(select(Secret).order_by(Secret.name)).all()  # type: ignore[arg-type]
        one.wrapped, two.wrapped, one.sealed, two.sealed = two.wrapped, one.wrapped, two.sealed, one.sealed
        session.add_all([one, two])
    for name in ("one", "two"):
        with pytest.raises(EngineError):
            revealed(stage, name)
    assert secrets.checked(stage.studio).unopened == 2


def test_a_missing_master_key_is_named_and_none_is_made_in_its_place(stage: Stage):
    put(stage)
    kept = key(stage).read_text()
    key(stage).unlink()
    for ask in (revealed, put, lambda stage: secrets.rotate(stage.studio), lambda stage: secrets.checked(stage.studio)):
        with pytest.raises(EngineError, match=r"master\.key' is missing"):
            ask(stage)
    assert not key(stage).exists()
    key(stage).write_text(kept)
    assert revealed(stage) == "sesame"


def test_a_wrong_master_key_is_named_and_destroys_nothing(stage: Stage, tmp_path: Path):
    put(stage)
    kept, before = key(stage).read_text(), rows(stage)
    KeyFile(tmp_path / "other").make()
    key(stage).write_text((tmp_path / "other").read_text())
    for ask in (revealed, put, lambda stage: secrets.rotate(stage.studio), lambda stage: secrets.checked(stage.studio)):
        with pytest.raises(EngineError, match="not the one that this studio's secrets"):
            ask(stage)
    assert rows(stage) == before
    key(stage).write_text(kept)
    assert revealed(stage) == "sesame"


def test_rotation_moves_every_secret_and_leaves_the_values(stage: Stage):
    for place in range(5):
        put(stage, f"s{place}", f"v{place}")
    before, first = rows(stage), key(stage).read_text()
    assert secrets.rotate(stage.studio) == 5
    after = rows(stage)
    assert [row.sealed for row in after] == [row.sealed for row in before]
    assert {row.key_version for row in after} == {2}
    assert first.split()[1] not in key(stage).read_text()
    assert [revealed(stage, f"s{place}") for place in range(5)] == [f"v{place}" for place in range(5)]
    found = secrets.checked(stage.studio)
    assert (found.version, found.secrets, found.unopened) == (2, {2: 5}, 0)


def test_rotation_without_a_secret_makes_a_key_all_the_same(stage: Stage):
    assert (secrets.checked(stage.studio).version, secrets.rotate(stage.studio)) == (0, 0)
    put(stage)
    assert rows(stage)[0].key_version == 2


def test_a_secret_that_does_not_open_stops_rotation_and_keeps_the_old_key(stage: Stage):
    put(stage, "good")
    put(stage, "spoilt")
    with stage.studio.database.session(write=True) as session:
        row = session.exec(select(Secret).where(Secret.name == "spoilt")).one()
        row.wrapped = bytes(len(row.wrapped))
    with pytest.raises(EngineError):
        secrets.rotate(stage.studio)
    assert revealed(stage, "good") == "sesame"
    with stage.scope() as scope:
        secrets.purge(scope, "spoilt")
    secrets.rotate(stage.studio)
    assert revealed(stage, "good") == "sesame"
    assert set(KeyFile(key(stage)).read().keys) == {2}


@pytest.mark.parametrize(
    "place",
    [
        "master_key_written:1",
        "secrets_rewrapped:1",
        "secrets_rewrapped:2",
        "old_master_key_unneeded",
        "master_key_written:2",
    ],
)
def test_a_rotation_that_was_killed_is_finished_by_the_next(stage: Stage, place: str, monkeypatch: pytest.MonkeyPatch):
    for number in range(secrets.BATCH + 1):
        put(stage, f"s{number}", f"v{number}")
    script = (
        "import sys; from pathlib import Path\n"
        "from services import secrets; from services.studio import Settings, Studio\n"
        "secrets.rotate(Studio(Settings(home=Path(sys.argv[1]), database_url=sys.argv[2])))"
    )
    url = "" if stage.studio.database.is_sqlite else stage.studio.settings.database_url
    killed = subprocess.run(
        [sys.executable, "-c", script, str(stage.studio.folders.home), url],
        env={**os.environ, "ATELIER_CRASH_AT": place},
    )
    assert killed.returncode == -signal.SIGKILL
    values = [f"v{number}" for number in range(secrets.BATCH + 1)]
    assert [revealed(stage, f"s{number}") for number in range(secrets.BATCH + 1)] == values
    put(stage, "meanwhile", "new")
    secrets.rotate(stage.studio)
    assert [revealed(stage, f"s{number}") for number in range(secrets.BATCH + 1)] == values
    assert revealed(stage, "meanwhile") == "new"
    assert {row.key_version for row in rows(stage)} == {KeyFile(key(stage)).read().current} == {2}
    assert len(KeyFile(key(stage)).read().keys) == 1
