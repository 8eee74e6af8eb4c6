"""How a job ended, said by the facts in their order."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.core.states import JobStatus
from services.engines.containers import Found
from services.reconcile.classify import Asked, verdict

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ASKED = Asked(started_at=T0, memory=2 << 30, timeout=3600)


def ended(code: int | None = 0, **facts: object) -> Found:
    found = Found("id", "job-x-1", {}, "exited", exit_code=code, started_at=T0, finished_at=T0 + timedelta(minutes=5))
    return replace(found, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "asked", "status", "reason", "said"),
    [
        (ended(0), ASKED, "Completed", "", ""),
        (ended(3), ASKED, "Failed", "UserError", "exit code 3"),
        (ended(127), ASKED, "Failed", "UserError", "not found"),
        (ended(137), ASKED, "Failed", "KilledExternally", "outside the studio"),
        (ended(143), ASKED, "Failed", "KilledExternally", "outside the studio"),
        (ended(137, oom_killed=True), ASKED, "Failed", "OutOfMemory", "2 GiB"),
        (ended(1, oom_killed=True), ASKED, "Failed", "OutOfMemory", "exit code 1"),
        (ended(255), ASKED, "Failed", "UserError", "255"),
        (None, ASKED, "Failed", "ContainerLost", "gone"),
        (ended(None, status="dead"), ASKED, "Failed", "ContainerLost", "gone"),
        (ended(137), replace(ASKED, timed_out=True), "Failed", "Timeout", "limits.timeout = 3600 s"),
        (ended(0), replace(ASKED, timed_out=True), "Failed", "Timeout", "3600"),
        (
            ended(127, error='exec: "x": executable file not found in $PATH', started_at=None, status="created"),
            ASKED,
            "Failed",
            "StartError",
            "command was not found",
        ),
    ],
)
def test_the_first_fact_that_holds_counts(
    found: Found | None, asked: Asked, status: str, reason: str, said: str
) -> None:
    ending = verdict(found, asked)
    assert (str(ending.status), ending.reason) == (status, reason)
    assert said in ending.message


def test_a_child_killed_for_memory_is_a_warning() -> None:
    ending = verdict(ended(0, oom_killed=True), ASKED)
    assert ending.status == JobStatus.Completed
    assert "child process" in ending.warning


def test_a_cancel_wins_over_everything_and_says_how_it_was_stopped() -> None:
    asked = replace(ASKED, cancel_requested_at=T0 + timedelta(minutes=4, seconds=58), canceled_by="ada", timed_out=True)
    ending = verdict(ended(137, oom_killed=True), asked)
    assert ending.status == JobStatus.Canceled
    assert "ada" in ending.message
    assert "SIGKILL after 2 s" in ending.message


def test_a_cancel_before_the_start_says_so() -> None:
    ending = verdict(None, replace(ASKED, cancel_requested_at=T0, canceled_by="ben"))
    assert "before it started" in ending.message


@pytest.mark.parametrize("code", [255, 143, 137])
def test_a_restart_of_the_engine_is_told_apart_from_a_kill(code: int) -> None:
    restarted = replace(ASKED, engine_started_at=T0 + timedelta(minutes=5, seconds=1))
    assert verdict(ended(code), restarted).reason == "EngineRestarted"
    earlier = replace(ASKED, engine_started_at=T0 - timedelta(hours=1))
    assert verdict(ended(code), earlier).reason != "EngineRestarted"


def test_a_kill_long_before_a_restart_stays_a_kill() -> None:
    later = replace(ASKED, engine_started_at=T0 + timedelta(hours=2))
    assert verdict(ended(137), later).reason == "KilledExternally"


def test_the_last_lines_of_the_log_come_with_a_users_error() -> None:
    ending = verdict(ended(1), replace(ASKED, log_tail=("Traceback", "ValueError: no data")))
    assert ending.message.endswith("ValueError: no data")


@pytest.mark.parametrize(
    "line",
    [
        "sh: 1: Cannot fork",
        "bash: fork: Resource temporarily unavailable",
        "RuntimeError: can't start new thread",
        "BlockingIOError: [Errno 11] Resource temporarily unavailable",
    ],
)
def test_too_many_processes_are_named(line: str) -> None:
    assert "too many processes" in verdict(ended(2), replace(ASKED, log_tail=(line,))).message
    assert "too many processes" not in verdict(ended(2), replace(ASKED, log_tail=("Traceback",))).message
