"""How a server's end is told, and what becomes of its log."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.core.states import ReplicaState
from services.engines.containers import Found
from services.reconcile import serving_logs
from services.reconcile.serving_ends import Ended, verdict
from services.reconcile.serving_launch import LOG
from services.store.serving import Replica

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def told(found: Found | None, *, state: ReplicaState = ReplicaState.Ready, message: str = "", **facts: Any) -> Ended:
    row = Replica(workspace_id="w", deployment_id="d", generation=1, ordinal=0, state=state, message=message)
    row.started_at = AT
    usual = {"tail": [], "memory": 2 << 30, "server": "script", "engine_started_at": None}
    return verdict(row, found, **{**usual, **facts})


def ended(code: int, **facts: Any) -> Found:
    return Found("c", "rep-1", {}, "exited", exit_code=code, started_at=AT, **facts)


def test_one_that_somebody_removed_counts_for_nothing() -> None:
    assert told(None).state == ReplicaState.Gone


def test_a_restart_of_the_engine_is_nobodys_fault() -> None:
    restarted = AT + timedelta(seconds=5)
    assert told(ended(255), engine_started_at=restarted).message == "EngineRestarted: The engine restarted."
    assert told(ended(137), engine_started_at=AT - timedelta(days=1)).state == ReplicaState.Failed


def test_one_that_did_not_answer_keeps_what_was_said_of_it() -> None:
    assert told(ended(0), state=ReplicaState.Unhealthy, message="Unhealthy: deaf").message == "Unhealthy: deaf"


def test_memory_is_named_with_its_limit() -> None:
    assert "more than the 2 GiB" in told(ended(137, oom_killed=True)).message


def test_the_last_word_of_the_server_counts() -> None:
    tail = ["ATELIER-FAILURE UserScriptInitFailed: old", "x", "ATELIER-FAILURE ModelLoadFailed: no MLmodel", "y"]
    assert told(ended(3), tail=tail) == Ended(ReplicaState.Failed, "ModelLoadFailed: no MLmodel", 3)


def test_without_one_the_end_of_the_log_is_shown() -> None:
    said = told(ended(9), tail=[f"line {number}" for number in range(20)]).message
    assert said.splitlines()[0] == "Exited: The server ended (exit code 9)."
    assert said.splitlines()[1:] == [f"line {number}" for number in range(12, 20)]


def test_the_clouds_server_says_by_its_code_that_init_failed() -> None:
    assert told(ended(3), server="azureml").message.startswith("UserScriptInitFailed")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "user_logs").mkdir()
    return tmp_path


def test_a_log_that_is_full_is_begun_anew_and_the_old_one_kept(root: Path) -> None:
    with (root / LOG).open("ab") as server:
        server.write(b"a" * 100)
        server.flush()
        assert not serving_logs.bound(root, limit=100)
        server.write(b"b" * 10)
        server.flush()
        assert serving_logs.bound(root, limit=100)
        server.write(b"after")
        server.flush()
    assert (root / LOG).read_bytes() == b"after"
    assert (root / serving_logs.KEPT).read_bytes() == b"a" * 90 + b"b" * 10


def test_what_a_container_puts_in_the_place_of_its_log_is_not_followed(root: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"x" * 1000)
    (root / LOG).symlink_to(precious)
    assert not serving_logs.bound(root, limit=1)
    assert serving_logs.tail(root) == b""
    with pytest.raises(OSError, match="symbolic"):
        serving_logs.append(root, "more")
    assert precious.read_bytes() == b"x" * 1000
    (root / LOG).unlink()
    os.mkfifo(root / LOG)
    assert not serving_logs.bound(root, limit=1)


def test_output_is_written_once(root: Path) -> None:
    lines = [f"{number} {'x' * 50}\n" for number in range(3000)]
    for end in (1, 2, 500, 500, 2000, 3000):
        serving_logs.append(root, "".join(lines[max(0, end - 1600) : end]))
    assert (root / LOG).read_text() == "".join(lines)
