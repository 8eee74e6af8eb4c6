"""A job's log over HTTP: by offset, as a stream that goes on where it was cut, ended with the session."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx
import pytest
from sqlmodel import select

from services import sessions
from services.core.times import now
from services.store.rows import Token
from tests.api.conftest import LOG, House, eventually

REST, SCREEN = "/api/v1/workspaces/lab/jobs/j1/log", "/files/log/lab/j1"
STREAM = {"Accept": "text/event-stream"}


@dataclass
class Heard:
    """What an EventSource has heard so far."""

    events: list[tuple[str, int, str]] = field(default_factory=list)
    is_over: bool = False

    @property
    def text(self) -> str:
        return "".join(data for kind, _, data in self.events if kind == "message")

    @property
    def last(self) -> tuple[str, int, str]:
        return self.events[-1] if self.events else ("", -1, "")


@contextmanager
def listening_to(client: httpx.Client, address: str, **headers: str) -> Iterator[Heard]:
    """Reads the stream in a thread, until it ends or the block does."""
    heard = Heard()
    with client.stream("GET", address, headers={**STREAM, **headers}, timeout=60) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        reader = threading.Thread(target=_read, args=(answer, heard), daemon=True)
        reader.start()
        yield heard


def _read(answer: httpx.Response, heard: Heard) -> None:
    kind, at = "message", -1
    try:
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            match name:
                case "event":
                    kind = value
                case "id":
                    at = int(value)
                case "data":
                    heard.events.append((kind, at, json.loads(value)))
                    kind = "message"
    except httpx.HTTPError:
        return
    heard.is_over = True


def test_a_log_is_read_by_offset_without_gap_or_double(house: House):
    job = house.job("j1", over=False, log=b"one\ntwo\nthr")
    client = house.bearer("cleo")
    first = client.get(REST)
    assert (first.content, first.headers["x-log-offset"], first.headers["x-log-end"]) == (b"one\ntwo\n", "8", "false")
    house.write(job, LOG, b"one\ntwo\nthree")
    house.end(job)
    second = client.get(REST, params={"offset": 8})
    assert (second.content, second.headers["x-log-offset"], second.headers["x-log-end"]) == (b"three", "13", "true")


def test_a_log_before_its_first_line_is_empty(house: House):
    job = house.job("j1", over=False)
    (house.stage.studio.folders.run(job.id) / LOG).unlink()
    answer = house.bearer("cleo").get(REST)
    assert (answer.status_code, answer.content, answer.headers["x-log-end"]) == (200, b"", "false")


@pytest.mark.parametrize("who", ["a token", "a cookie"])
def test_a_stream_follows_to_the_end(house: House, who: str):
    job = house.job("j1", over=False, log=b"one\n")
    client, address = (house.bearer("cleo"), REST) if who == "a token" else (house.browser("cleo"), SCREEN)
    with listening_to(client, address) as heard:
        eventually(lambda: heard.text == "one\n", "the first line did not come")
        house.append(job, b"two\nhalf")
        eventually(lambda: heard.text == "one\ntwo\n", "the second line did not come")
        house.append(job, b" a line")
        house.end(job)
        eventually(lambda: heard.is_over, "the stream did not end")
    assert (heard.text, heard.last) == ("one\ntwo\nhalf a line", ("end", 19, ""))


def test_every_event_names_the_offset_after_it(house: House):
    house.job("j1", log="é\n🦊\n".encode())
    with listening_to(house.bearer("cleo"), REST) as heard:
        eventually(lambda: heard.is_over, "the stream did not end")
    assert heard.events == [("message", 8, "é\n🦊\n"), ("end", 8, "")]


def test_a_stream_goes_on_after_the_last_event_that_was_seen(house: House):
    house.job("j1", log=b"one\ntwo\nthree\n")
    for address in (REST, f"{REST}?offset=4", f"{REST}?offset=0"):
        with listening_to(house.bearer("cleo"), address, **{"Last-Event-ID": "8"}) as heard:
            eventually(lambda heard=heard: heard.is_over, "the stream did not end")  # type: ignore[misc]
        assert heard.text == "three\n"
    with listening_to(house.browser("cleo"), f"{SCREEN}?offset=4") as heard:
        eventually(lambda: heard.is_over, "the stream did not end")
    assert heard.text == "two\nthree\n"


@pytest.mark.parametrize("last", ["x", "-1", "9" * 5000, "1e3", ""])
def test_a_last_event_that_is_nonsense_counts_for_nothing(house: House, last: str):
    house.job("j1")
    headers = {"Last-Event-ID": last} if last else {}
    with listening_to(house.bearer("cleo"), f"{REST}?offset=4", **headers) as heard:
        eventually(lambda: heard.is_over, "the stream did not end")
    assert heard.text == "two\n"


def test_an_offset_beyond_the_end_is_told_in_the_stream(house: House):
    house.job("j1")
    with listening_to(house.bearer("cleo"), REST, **{"Last-Event-ID": "999"}) as heard:
        eventually(lambda: heard.is_over, "the stream did not end")
    assert heard.last[0] == "gone"


def test_long_lines_and_odd_bytes_come_whole(house: House):
    """More than one chunk of it, without a line end, with characters that a cut could halve."""
    text = "漢" * 900_000
    house.job("j1", log=text.encode() + b"\xff\n")
    with listening_to(house.bearer("cleo"), REST) as heard:
        eventually(lambda: heard.is_over, "the stream did not end")
    assert heard.text == text + "\ufffd\n"
    assert heard.last == ("end", 2_700_002, "")


def test_secrets_do_not_leave_in_a_log(house: House):
    token = house.token("ben")
    house.job("j1", log=f"token {token}\n".encode())
    assert house.bearer("cleo").get(REST).content == b"token ***\n"


@pytest.mark.parametrize("file", ["../../../atelier.db", "/etc/passwd", "user_logs/../../../token", "outputs", "x\\y"])
def test_only_files_of_the_run_are_logs(house: House, file: str):
    house.job("j1")
    for client, address in ((house.bearer("cleo"), REST), (house.browser("cleo"), SCREEN)):
        assert client.get(address, params={"file": file}, headers=STREAM).status_code in {404, 422}


Ended = Callable[[House], None]


def revoke_tokens(house: House) -> None:
    with house.stage.studio.database.session(write=True) as session:
        for token in session.exec(select(Token).where(Token.principal_id == house.stage.cleo.id)):
            token.revoked_at = now()
            session.add(token)


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ("a cookie", lambda house: house.sign_out("cleo")),
        ("a cookie", lambda house: house.disable("cleo")),
        ("a cookie", lambda house: house.grant("cleo", "")),
        ("a token", lambda house: house.disable("cleo")),
        ("a token", lambda house: house.grant("cleo", "AzureML Compute Operator")),
        ("a token", revoke_tokens),
    ],
    ids=["signed out", "disabled", "no role", "disabled token", "other role", "revoked token"],
)
def test_a_stream_ends_with_the_right_to_it(house: House, how: str, end: Ended):
    house.job("j1", over=False, log=b"one\n")
    client, address = (house.bearer("cleo"), REST) if how == "a token" else (house.browser("cleo"), SCREEN)
    with listening_to(client, address) as heard:
        eventually(lambda: heard.text == "one\n", "the first line did not come")
        end(house)
        eventually(lambda: heard.is_over, "the stream goes on")
    assert heard.last[0] == "gone"


def test_signing_out_ends_the_streams_of_that_session_only(house: House):
    job = house.job("j1", over=False, log=b"one\n")
    leaving, staying = house.browser("cleo"), house.browser("cleo")
    with listening_to(leaving, SCREEN) as first, listening_to(staying, SCREEN) as second:
        eventually(lambda: first.text == second.text == "one\n", "the first line did not come")
        assert leaving.post("/auth/sign-out").status_code == 303
        eventually(lambda: first.is_over, "the stream goes on")
        house.append(job, b"two\n")
        eventually(lambda: second.text == "one\ntwo\n", "the other stream has ended too")
    assert "two" not in first.text


def test_looking_at_a_log_does_not_keep_a_session_young(house: House):
    """A tab that is left open must not make its session last for ever."""
    house.job("j1", over=False, log=b"one\n")
    client = house.browser("cleo")
    with listening_to(client, SCREEN) as heard:
        eventually(lambda: heard.text == "one\n", "the first line did not come")
        with house.stage.studio.database.session(write=True) as session:
            row = session.get_one(sessions.Session, sessions.sid(house.cookies["cleo"]))
            row.seen_at -= sessions.IDLE
        eventually(lambda: heard.is_over, "the stream goes on")
    assert heard.last[0] == "gone"
