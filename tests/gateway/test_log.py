"""What is left of a request: its line in the log, numbers for Prometheus, what is captured; never a key."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from services.engines.routes import Capture
from tests.gateway.rows import PRIMARY
from tests.gateway.stand import Asked, Model, Stand, a_target, ask, client, plain, request, until

Models = Callable[..., Model]


def test_a_request_is_written_down_with_all_that_is_known_of_it(stand: Stand, model: Models) -> None:
    stand.apply(a_target(blue := model()))
    headers = {"User-Agent": "curl/8", "x-request-id": "r-1", "x-ms-client-request-id": "c-1"}
    reply = ask(stand.port, b'{"a": 1}', headers)
    (record,) = stand.records()
    assert (record.workspace_id, record.endpoint_id, record.endpoint) == ("lab-id", "iris-id", "iris")
    assert (record.deployment_id, record.deployment, record.replica_id) == ("blue-id", "blue", blue.backend.id)
    assert (record.method, record.path, record.protocol) == ("POST", "/lab/iris/score", "HTTP/1.1")
    assert (record.code, record.model_code, record.reason) == (200, 200, "")
    assert (record.request_size, record.response_size) == (8, len(reply.body))
    assert (record.user_agent, record.request_id, record.client_request_id) == ("curl/8", "r-1", "c-1")
    assert record.total_ms >= record.request_ms >= 0


def test_refused_requests_are_written_down_too(stand: Stand, model: Models) -> None:
    stand.apply(a_target(model(), max_body=100))
    assert ask(stand.port, key="wrong").code == 401
    assert ask(stand.port, bytes(101)).code == 413
    assert ask(stand.port, headers={"azureml-model-deployment": "none"}).code == 404
    assert sorted(record.code for record in stand.records(3)) == [401, 404, 413]
    assert {record.deployment_id for record in stand.records(3)} == {""}


def test_a_try_is_marked_as_one_and_not_mirrored(stand: Stand, model: Models) -> None:
    blue, green = model("blue"), model("green")
    stand.apply(a_target(blue), a_target(green), mirror={"green": 100})
    assert ask(stand.port, headers={"x-atelier-test": "true"}).code == 200
    assert stand.records(1, "test")[0].deployment == "blue"
    assert "x-atelier-test" not in blue.asked[0].headers
    assert green.asked == []


def test_busy_deployments_are_told_while_nothing_is_answered(stand: Stand, model: Models) -> None:
    async def never(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        raise EOFError

    stand.apply(a_target(model(answering=never), max_concurrent=1, queue_ms=20_000))
    with client(stand.port) as one, client(stand.port) as other:
        one.send(request())
        other.send(request())
        until(lambda: stand.requests.window("blue-id", 60).in_flight == 1)
        until(lambda: stand.requests.window("blue-id", 60).max_queued == 1)
    until(lambda: stand.requests.window("blue-id", 60).in_flight == 0, "it is busy for ever")


def test_numbers_for_prometheus(stand: Stand, model: Models) -> None:
    stand.apply(a_target(model("blue")), a_target(model("green")), mirror={"green": 100})
    for key in (PRIMARY, PRIMARY, "wrong"):
        ask(stand.port, b"12345", key=key)
    stand.records(2, "mirror")
    reply = ask(stand.port, b"", method="GET", path="/metrics", key=None)
    assert reply.headers["content-type"] == "text/plain; version=0.0.4"
    lines = dict(line.rsplit(" ", 1) for line in reply.body.decode().splitlines() if not line.startswith("#"))
    blue = 'workspace="lab",endpoint="iris",deployment="blue"'
    assert lines[f'atelier_scoring_requests_total{{{blue},code="2xx"}}'] == "2"
    assert lines['atelier_scoring_requests_total{workspace="lab",endpoint="iris",deployment="",code="401"}'] == "1"
    assert lines[f"atelier_scoring_request_bytes_total{{{blue}}}"] == "10"
    assert lines[f'atelier_scoring_request_duration_seconds_bucket{{{blue},le="+Inf"}}'] == "2"
    assert lines[f"atelier_scoring_request_duration_seconds_count{{{blue}}}"] == "2"
    assert lines[f"atelier_scoring_in_flight{{{blue}}}"] == lines[f"atelier_scoring_queued{{{blue}}}"] == "0"
    assert lines[f"atelier_scoring_mirrored_total{{{blue.replace('blue', 'green')}}}"] == "2"
    assert PRIMARY not in reply.body.decode()


async def _knows_one(secret: str) -> bool:
    return secret == "atl_reader"


def test_numbers_are_not_for_everybody(stand_of: Callable[..., Stand], model: Models) -> None:
    """By another name a page of any site could read them; behind a proxy everybody comes from this machine."""
    stand = stand_of(options={"may_read_metrics": _knows_one})
    stand.apply(a_target(model()))
    asks = {"method": "GET", "path": "/metrics", "body": b""}
    for host, code in (("127.0.0.1:8510", 200), ("localhost", 200), ("[::1]:8510", 200), ("rebound.example", 401)):
        assert ask(stand.port, key=None, host=host, **asks).code == code
    assert ask(stand.port, key="atl_reader", host="studio.example", **asks).code == 200
    assert ask(stand.port, key="atl_other", host="studio.example", **asks).code == 401
    assert ask(stand.port, key=PRIMARY, host="studio.example", **asks).code == 401


def test_behind_a_proxy_numbers_need_a_token(stand_of: Callable[..., Stand]) -> None:
    stand = stand_of(options={"may_read_metrics": _knows_one, "trusts_loopback": False})
    asks = {"method": "GET", "path": "/metrics", "body": b""}
    assert ask(stand.port, key=None, **asks).code == 401
    assert ask(stand.port, key="atl_reader", **asks).code == 200


def test_it_says_that_it_is_well(stand: Stand) -> None:
    reply = ask(stand.port, b"", method="GET", path="/healthz", key=None)
    assert (reply.code, reply.document) == (200, {"status": "ok"})
    assert ask(stand.port, path="/healthz", key=None).code == 405
    with client(stand.port) as one:
        one.send(request(b"", key=None, method="HEAD", path="/healthz") + b"")
        assert one.socket.recv(1 << 16).endswith(b"\r\n\r\n")


def test_what_is_captured_is_what_was_asked_and_answered(stand: Stand, model: Models, tmp_path: Path) -> None:
    folder = tmp_path / "store" / "modelDataCollector" / "iris" / "blue"
    capture = Capture({"model_inputs": 1.0, "model_outputs": 1.0, "request": 0.0}, str(folder))

    async def says(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"[0.5]"))

    stand.apply(a_target(model(answering=says), capture=capture))
    with client(stand.port) as one:
        for number in range(3):
            assert one.ask(b'{"x": %d}' % number, {"x-request-id": f"r-{number}"}).code == 200
    lines: dict[str, list[dict[str, object]]] = {}

    def found() -> int:
        lines.clear()
        for path in folder.rglob("*.jsonl"):
            lines.setdefault(path.relative_to(folder).parts[0], []).extend(
                orjson.loads(line) for line in path.read_bytes().splitlines()
            )
        return sum(map(len, lines.values()))

    until(lambda: found() == 6)
    assert [line["data"] for line in lines["model_inputs"]] == [{"x": 0}, {"x": 1}, {"x": 2}]
    assert [line["data"] for line in lines["model_outputs"]] == [[0.5]] * 3
    assert [line["correlationid"] for line in lines["model_inputs"]] == ["r-0", "r-1", "r-2"]
    assert "request" not in lines


def test_a_share_of_requests_is_captured(stand: Stand, model: Models, tmp_path: Path) -> None:
    folder = tmp_path / "store" / "modelDataCollector" / "iris" / "blue"
    stand.apply(a_target(model(), capture=Capture({"model_inputs": 0.5}, str(folder))))
    with client(stand.port) as one:
        assert {one.ask().code for _ in range(200)} == {200}
    stand.call(stand.router.ledger.flush)

    def count() -> int:
        return sum(len(path.read_bytes().splitlines()) for path in folder.rglob("*.jsonl"))

    until(lambda: len(stand.records(200)) == 200 and count() > 0)
    assert 50 < count() < 150


def test_keys_are_in_no_log(stand: Stand, model: Models, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    stand.apply(a_target(model()))
    assert ask(stand.port).code == 200
    assert ask(stand.port, headers={"Authorization": f"Bearer {PRIMARY}"}).code == 400
    assert ask(stand.port, key=f"{PRIMARY}x").code == 401
    stand.records(2)
    assert PRIMARY not in caplog.text
    stand.requests.close()
    assert not any(PRIMARY.encode() in path.read_bytes() for path in stand.folder.glob("requests.db*"))
