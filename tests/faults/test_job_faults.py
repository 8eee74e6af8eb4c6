"""Jobs that eat the machine, will not stop, or write what no terminal should see."""

import subprocess
from collections.abc import Iterator

import pytest

from services import logs
from services.core.states import JobStatus
from tests.faults.rig import Rig, eventually

pytestmark = [pytest.mark.docker, pytest.mark.slow]
EAT = "python3 -c \"x = b'x' * (1 << 30)\""
SMALL = {"resources": {"memory": "64m"}}


@pytest.fixture(scope="module", autouse=True)
def worker(rig: Rig) -> Iterator[subprocess.Popen[bytes]]:
    process = rig.worker()
    yield process
    rig.stop(process)


def test_a_job_that_takes_too_much_memory_is_told_so(rig: Rig) -> None:
    row = rig.until(rig.submit(EAT, **SMALL))
    assert (row.status, row.reason, row.exit_code) == (JobStatus.Failed, "OutOfMemory", 137)
    assert "0.0625 GiB limit" in row.message


def test_a_child_killed_for_memory_is_a_warning(rig: Rig) -> None:
    row = rig.until(rig.submit(f"{EAT} || true; echo went on", **SMALL))
    assert (row.status, row.exit_code) == (JobStatus.Completed, 0)
    assert "child process was killed for memory" in row.warning


def test_a_child_killed_for_memory_that_fails_the_job_says_both(rig: Rig) -> None:
    row = rig.until(rig.submit(f"{EAT} || exit 3", **SMALL))
    assert (row.status, row.reason, row.exit_code) == (JobStatus.Failed, "OutOfMemory", 3)
    assert "exit code 3" in row.message


def test_a_job_that_will_not_stop_is_killed_after_the_grace(rig: Rig) -> None:
    name = rig.submit("trap '' TERM; echo deaf; while :; do sleep 0.2; done")
    _until_it_said(rig, name, b"deaf")
    rig.cancel(name)
    assert rig.until(name, "CancelRequested").reason == "Stopping"
    row = rig.until(name)
    assert (row.status, row.exit_code) == (JobStatus.Canceled, 137)
    assert "SIGKILL" in row.message


def test_a_program_that_does_not_listen_for_signals_stops_at_once(rig: Rig) -> None:
    name = rig.submit("echo up; exec python3 -c 'import time; time.sleep(600)'")
    _until_it_said(rig, name, b"up")
    rig.cancel(name)
    row = rig.until(name)
    assert (row.status, row.exit_code) == (JobStatus.Canceled, 143)
    assert "SIGTERM" in row.message


def test_a_job_with_too_many_processes_fails_and_nobody_else_does(rig: Rig) -> None:
    bomb = rig.submit("sh -c 'while :; do sleep 60 & done'")
    row = rig.until(bomb)
    assert row.status == JobStatus.Failed
    assert "too many processes" in row.message
    after = rig.submit()
    rig.until(after)
    assert rig.faults(after) == []


def test_a_log_is_kept_byte_by_byte(rig: Rig) -> None:
    odd = r"\377\376 \000 \033[31mred\033[0m \033]52;c;eA==\007 10%%\r20%%\r \342\200\256bidi\n"
    line = 50_000_000
    name = rig.submit(f"head -c {line} /dev/zero | tr '\\0' x; echo; printf '{odd}'; printf 'no end'")
    row = rig.until(name)
    assert row.status == JobStatus.Completed, row.message
    expected = (
        b"x" * line + b"\n\xff\xfe \x00 \x1b[31mred\x1b[0m \x1b]52;c;eA==\x07 10%\r20%\r \xe2\x80\xaebidi\nno end"
    )
    assert rig.text(name) == expected
    assert _read_in_pieces(rig, name) == expected


def test_a_log_written_by_several_at_once_has_every_line(rig: Rig) -> None:
    one = 'i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo "$w $i"; done'  # a line a write, as the studio arranges it
    many = f"for w in 1 2 3 4; do ({one}) & done; wait"
    name = rig.submit(many)
    rig.until(name)
    lines = rig.text(name).decode().splitlines()
    assert sorted(lines) == sorted(f"{w} {i}" for w in range(1, 5) for i in range(1, 2001))


def _read_in_pieces(rig: Rig, name: str) -> bytes:
    pieces, offset = [], 0
    while True:
        with rig.stage.scope(write=False) as scope:
            piece = logs.read(scope, name, offset=offset)
        pieces.append(piece.data)
        offset = piece.offset
        if piece.ended:
            return b"".join(pieces)


def _until_it_said(rig: Rig, name: str, word: bytes) -> None:
    rig.until(name, "Running")
    eventually(lambda: word in rig.text(name), f"it says {word!r}")
