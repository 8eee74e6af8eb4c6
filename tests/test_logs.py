"""Logs: byte offsets without gap or double, cut at line ends while growing, secrets never shown."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import jobs, logs
from services.core.errors import Invalid, NotFound
from services.core.states import JobStatus
from services.core.times import now
from services.specs.jobs import CommandJob
from tests.conftest import Stage

SECRET = b"hunter2-hunter2"


def job_with_log(stage: Stage, text: bytes, *, over: bool = False, **spec: object) -> Path:
    with stage.scope() as s:
        job = jobs.submit(
            s, CommandJob.model_validate({"name": "j", "command": "true", "environment": {"image": "a"}, **spec})
        )
        if over:
            job.status, job.collected_at = JobStatus.Completed, now()
            s.session.add(job)
    path = stage.studio.folders.run(job.id) / "user_logs" / "std_log.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return path


def test_a_growing_log_is_cut_at_the_last_line_end(lite: Stage):
    path = job_with_log(lite, b"one\ntwo\nthr")
    with lite.scope(write=False) as s:
        first = logs.read(s, "j")
    path.write_bytes(b"one\ntwo\nthree\n")
    with lite.scope(write=False) as s:
        second = logs.read(s, "j", offset=first.offset)
    assert (first.data, first.ended) == (b"one\ntwo\n", False)
    assert second.data == b"three\n"


def test_an_ended_log_is_read_to_its_last_byte(lite: Stage):
    job_with_log(lite, b"one\nno newline", over=True)
    with lite.scope(write=False) as s:
        chunk = logs.read(s, "j")
    assert (chunk.data, chunk.ended) == (b"one\nno newline", True)


def test_a_line_longer_than_a_chunk_still_moves_on(lite: Stage):
    job_with_log(lite, b"x" * 100)
    with lite.scope(write=False) as s:
        assert logs.read(s, "j", limit=10).data == b"x" * 10


def test_a_log_that_is_not_there_yet_is_empty_and_an_unknown_file_is_not_found(lite: Stage):
    job_with_log(lite, b"").unlink()
    with lite.scope(write=False) as s:
        assert logs.read(s, "j") == logs.Chunk(b"", 0, ended=False)
        with pytest.raises(NotFound):
            logs.read(s, "j", file="outputs/none.txt")
        with pytest.raises(NotFound):
            logs.read(s, "unknown")


def test_an_offset_beyond_the_end_is_refused(lite: Stage):
    job_with_log(lite, b"abc\n")
    with lite.scope(write=False) as s, pytest.raises(Invalid, match="outside"):
        logs.read(s, "j", offset=99)


@pytest.mark.parametrize(
    "file", ["../../master.key", "/etc/passwd", "user_logs/../../token", "changes/x", "user_logs\0"]
)
def test_only_files_of_the_run_are_read(lite: Stage, file: str):
    job_with_log(lite, b"abc\n")
    with lite.scope(write=False) as s, pytest.raises((Invalid, NotFound)):
        logs.read(s, "j", file=file)


def test_a_link_to_somewhere_else_is_not_followed(lite: Stage):
    path = job_with_log(lite, b"abc\n")
    (path.parent / "link.txt").symlink_to("/etc/passwd")
    with lite.scope(write=False) as s, pytest.raises(Invalid, match="regular"):
        logs.read(s, "j", file="user_logs/link.txt")


def test_secret_variables_are_never_shown(lite: Stage):
    job_with_log(
        lite, b"password is " + SECRET + b"!\n", over=True, environment_variables={"DB_PASSWORD": SECRET.decode()}
    )
    with lite.scope(write=False) as s:
        assert logs.read(s, "j").data == b"password is ***!\n"
        assert logs.tail(s, "j") == ["password is ***!"]


@given(
    before=st.binary(max_size=40).filter(lambda raw: b"hunter" not in raw),
    after=st.binary(max_size=40).filter(lambda raw: b"hunter" not in raw),
    cuts=st.lists(st.integers(0, 95), max_size=4),
)
def test_a_secret_split_anywhere_leaks_no_piece(before: bytes, after: bytes, cuts: list[int]):
    raw = before + SECRET + after
    edges = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    shown = b"".join(logs.redacted(raw, [SECRET], left, right) for left, right in itertools.pairwise(edges))
    assert b"hunter" not in shown
    assert (
        shown.replace(b"***", b"") == before.replace(b"***", b"") + after.replace(b"***", b"") or b"*" in before + after
    )
