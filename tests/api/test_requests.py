"""The request log over HTTP: rows, files, columns, and a stream for a table that is live."""

import csv
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from app import request_stream
from services import endpoints
from services.specs.endpoints import OnlineEndpoint
from services.store.requests import Compared, Diff, Record, Sample
from services.store.serving import Deployment, Endpoint
from tests.api.conftest import House, eventually

HERE, SCREEN = "/api/v1/workspaces/lab/online-endpoints/credit", "/files/requests/lab/credit"
AT = 1_767_225_600.0


@pytest.fixture
def served(house: House) -> Endpoint:
    """`credit` with a deployment `blue` of the id `blue-id`."""
    with house.stage.scope() as scope:
        row = endpoints.create(scope, OnlineEndpoint(name="credit"))
        names = {"id": "blue-id", "kind": "online", "name": "blue", "folded": "blue"}
        scope.session.add(Deployment(workspace_id=row.workspace_id, endpoint_id=row.id, **names))
        scope.session.flush()
        scope.session.expunge_all()
    return row


def record(row: Endpoint, at: float | None = None, **changes: Any) -> Record:
    return Record(time.time() if at is None else at, row.workspace_id, row.id, row.name, "blue-id", "blue", **changes)


@contextmanager
def following(client: httpx.Client, address: str, **headers: str) -> Iterator[list[tuple[str, int, Any]]]:
    """What an EventSource has heard: kind, id and data of each event."""
    heard: list[tuple[str, int, Any]] = []
    with client.stream("GET", address, headers=headers, timeout=60) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        threading.Thread(target=_read, args=(answer, heard), daemon=True).start()
        yield heard


def _read(answer: httpx.Response, heard: list[tuple[str, int, Any]]) -> None:
    kind, at = "message", -1
    try:
        for line in answer.iter_lines():
            name, _, value = line.partition(": ")
            if name == "event":
                kind = value
            elif name == "id":
                at = int(value)
            elif name == "data":
                heard.append((kind, at, json.loads(value)))
                kind = "message"
    except (httpx.HTTPError, httpx.StreamError):
        return


def told(heard: list[tuple[str, int, Any]]) -> list[str]:
    return [row["XRequestId"] for kind, _, content in heard if kind == "message" for row in content["rows"]]


def test_the_log_is_read_by_page_and_narrowed(house: House, served: Endpoint):
    codes = [200, 424, 500, 200]
    house.stage.studio.requests.write([record(served, AT + at, code=code) for at, code in enumerate(codes)])
    client = house.bearer("cleo")

    first = client.get(f"{HERE}/requests", params={"limit": 3}).json()
    rest = client.get(f"{HERE}/requests", params={"limit": 3, "before": first["next"]}).json()
    failed = client.get(f"{HERE}/requests", params={"code": ["424", "5xx"]}).json()
    late = client.get(f"{HERE}/requests", params={"since": "2026-01-01T00:00:03Z"}).json()

    assert [each["Id"] for each in first["value"]] == [4, 3, 2]
    assert ([each["Id"] for each in rest["value"]], rest["next"]) == ([1], None)
    assert [each["ResponseCode"] for each in failed["value"]] == [500, 424]
    assert [each["Id"] for each in late["value"]] == [4]


def test_the_log_is_downloaded_as_a_table(house: House, served: Endpoint):
    house.stage.studio.requests.write([record(served, AT, request_id="r1", user_agent="=1+1")])

    answer = house.bearer("cleo").get(f"{HERE}/requests", params={"format": "csv"})

    assert answer.headers["content-type"].startswith("text/csv")
    assert "requests.csv" in answer.headers["content-disposition"]
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["XRequestId"], row["UserAgent"], row["ResponseCode"]) == ("r1", "'=1+1", "200")


def test_metrics_are_columns_with_null_where_nothing_was_answered(house: House, served: Endpoint):
    now = int(time.time())
    house.stage.studio.requests.write([record(served, now - 30.0, code=code, total_ms=20) for code in (200, 503)])

    found = house.bearer("cleo").get(f"{HERE}/metrics", params={"since": now - 60, "until": now, "step": 10}).json()

    blue = found["deployments"]["blue"]
    assert blue["step"] == 10
    assert len(blue["at"]) == len(blue["requests"]) == len(blue["p99"]) == len(blue["classes"]["5xx"])
    assert (sum(blue["requests"]), sum(blue["errors"]), sum(blue["classes"]["5xx"])) == (2, 1, 1)
    assert blue["p95"].count(None) == len(blue["at"]) - 1
    assert [each for each in blue["p95"] if each is not None] == [pytest.approx(20, rel=0.02)]
    assert found["total"]["requests"] == blue["requests"]


def test_the_summary_the_agreement_and_what_replicas_use(house: House, served: Endpoint):
    now = time.time()
    log = house.stage.studio.requests
    log.write(
        [record(served, now, code=200, total_ms=8)],
        [Compared(served.id, "blue", "green", Diff(1.0, b"\xff", b"1", b"2", now))],
    )
    log.sample([Sample(now, "blue-id", "r1", 12.5, 1 << 20)])
    client = house.bearer("cleo")

    (summary,) = client.get(f"{HERE}/summary").json()["value"]
    (agreement,) = client.get(f"{HERE}/agreement", params={"live": "blue", "shadow": "green"}).json()["value"]
    (used,) = client.get(f"{HERE}/deployments/blue/samples", params={"since": now - 60}).json()["value"]

    assert (summary["deployment"], summary["requests"], summary["rpm"]) == ("blue", 1, 1.0)
    assert (agreement["total"], agreement["percent"], agreement["worst"][0]["live"]) == (1, 0.0, "1")
    assert (used["replica"], used["cpu"], used["memory"]) == ("r1", [12.5], [1 << 20])
    assert client.get(f"{HERE}/agreement", params={"live": "red"}).json() == {"value": []}


@pytest.mark.parametrize(
    ("path", "params", "where"),
    [
        ("requests", {"since": "yesterday"}, "since"),
        ("requests", {"since": "nan"}, "since"),
        ("requests", {"code": "9xx"}, "code"),
        ("metrics", {"since": ""}, "since"),
        ("metrics", {"since": "1e99"}, "since"),
        ("metrics", {"since": 5, "until": 1}, "until"),
        ("deployments/blue/samples", {"since": ""}, "since"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_by_name(
    house: House, served: Endpoint, path: str, params: dict[str, Any], where: str
):
    answer = house.bearer("cleo").get(f"{HERE}/{path}", params=params)
    assert (answer.status_code, answer.json()["where"]) == (422, where)


def test_a_table_follows_the_log_from_where_it_was_opened(house: House, served: Endpoint):
    log = house.stage.studio.requests
    log.write([record(served, request_id="old")])

    with following(house.browser("cleo"), SCREEN) as heard:
        log.write([record(served, request_id="one"), record(served, request_id="two", code=424)])
        eventually(lambda: told(heard) == ["one", "two"], "the new ones did not come")
        log.write([record(served, request_id="three")])
        eventually(lambda: told(heard) == ["one", "two", "three"], "the third one did not come")

    assert heard[-1][1] == 4
    assert heard[0][2]["is_cut"] is False


def test_a_stream_that_comes_back_misses_nothing(house: House, served: Endpoint):
    house.stage.studio.requests.write([record(served, request_id=f"r{at}") for at in range(5)])

    with following(house.browser("cleo"), SCREEN, **{"Last-Event-ID": "2"}) as heard:
        eventually(lambda: told(heard) == ["r2", "r3", "r4"], "those after the second did not come")
    with following(house.browser("cleo"), f"{SCREEN}?after=3") as heard:
        eventually(lambda: told(heard) == ["r3", "r4"], "those after the third did not come")


def test_of_very_many_the_newest_are_told_and_that_there_were_more(house: House, served: Endpoint):
    house.stage.studio.requests.write([record(served, request_id=f"r{at}") for at in range(request_stream.MOST + 5)])

    with following(house.browser("cleo"), f"{SCREEN}?after=0") as heard:
        eventually(lambda: bool(heard), "nothing came")

    assert heard[0][2]["is_cut"] is True
    assert told(heard) == [f"r{at}" for at in range(5, request_stream.MOST + 5)]


@pytest.mark.parametrize(
    "shut",
    [lambda house: house.sign_out("cleo"), lambda house: house.disable("cleo"), lambda house: house.grant("cleo", "")],
    ids=["signed out", "disabled", "no role"],
)
def test_a_stream_ends_when_who_follows_may_no_longer(house: House, served: Endpoint, shut: Callable[[House], None]):
    with following(house.browser("cleo"), SCREEN) as heard:
        shut(house)
        eventually(lambda: bool(heard), "the stream did not end")
        house.stage.studio.requests.write([record(served, request_id="secret")])
    assert heard[0][0] == "gone"
    assert told(heard) == []


def test_a_token_does_not_open_the_stream_of_the_screen(house: House, served: Endpoint):
    assert house.bearer("cleo").get(SCREEN).status_code in {401, 403}
    assert house.browser("dan").get(SCREEN).status_code == 404
