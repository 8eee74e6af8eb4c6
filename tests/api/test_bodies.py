"""Bad bodies, bad queries, bugs: always a problem with words, never a 500 for what somebody sent."""

import gzip
import json
import logging
import socket
from typing import Any

import pytest

from app.api import bodies
from services import jobs
from tests.api.conftest import HELLO, House, eventually, raw

JOBS = "/api/v1/workspaces/lab/jobs"
JSON = {"Content-Type": "application/json"}
SPEC = json.dumps({"spec": HELLO})


def spec(**changes: Any) -> str:
    return json.dumps({"spec": {**HELLO, **changes}})


def written(text: str) -> str:
    """A submission with that as its display name, written as it is."""
    return '{"spec": {"command": "true", "environment": {"image": "debian:12"}, "display_name": ' + text + "}}"


BAD: dict[str, tuple[int, str, str]] = {
    "empty": (422, "", "not JSON"),
    "no JSON": (422, "command: echo", "not JSON"),
    "half of it": (422, SPEC[:-1], "not JSON"),
    "two documents": (422, SPEC + SPEC, "not JSON"),
    "a list": (422, "[]", "must be a mapping"),
    "a number": (422, "1", "must be a mapping"),
    "null": (422, "null", "must be a mapping"),
    "NaN": (422, written("NaN"), "NaN is not a JSON number"),
    "Infinity": (422, written("-Infinity"), "-Infinity is not a JSON number"),
    "a float beyond all": (422, '{"spec": {"inputs": {"x": 1e400}}}', "too large"),
    "a field twice": (422, '{"spec": {}, "spec": {}}', "'spec' is given twice"),
    "a field twice within": (422, '{"spec": {"a": 1, "a": 2}}', "'a' is given twice"),
    "half a surrogate pair, twice": (422, '{"\\ud800": 1, "\\ud800": 2}', "given twice"),
    "half a surrogate pair as a field": (422, '{"\\ud800": 1}', "surrogate"),
    "half a surrogate pair": (422, written('"\\ud800"'), "surrogate"),
    "NUL": (422, written('"a\\u0000b"'), "NUL"),
    "NUL in a field": (422, '{"a\\u0000": 1}', "NUL"),
    "2^63": (422, '{"spec": {"inputs": {"x": 9223372036854775808}}}', "64 bits"),
    "5,000 digits": (422, '{"spec": {"inputs": {"x": ' + "9" * 5000 + "}}}", "not JSON"),
    "65 levels": (422, '{"spec":' * 70 + "1" + "}" * 70, "nested too deeply"),
    "100,000 levels": (422, "[" * 100_000, "nested too deeply"),
    "an unknown field": (422, '{"spec": {}, "who": 1}', "Unknown field 'who'"),
    "an unknown field of the job": (422, spec(comand="x"), "Did you mean 'command'"),
    "the id is ours": (422, spec(id="x"), "Unknown field 'id'"),
    "the status is ours": (422, spec(status="Completed"), "Unknown field 'status'"),
    "who made it is ours": (422, spec(created_by="ada"), "Unknown field 'created_by'"),
    "no command": (422, '{"spec": {"environment": {"image": "a"}}}', "'command' is required"),
    "another kind of job": (422, spec(type="pipeline"), "'pipeline'"),
    "a kind that is no text": (422, spec(type=["x"]), "type"),
    "null is not absent": (422, '{"spec": null}', "spec must be a mapping"),
    "an unknown snapshot": (404, json.dumps({"spec": HELLO, "snapshot": "ab" * 32}), "was not found"),
    "a snapshot out of the folder": (404, json.dumps({"spec": HELLO, "snapshot": "../../etc"}), "was not found"),
    "an environment of nowhere": (404, spec(environment="azureml:nothing:1"), "was not found"),
    "a name with a line end": (422, spec(name="j\n"), "not a valid name"),
    "a name that leaves": (422, spec(name="../j"), "not a valid name"),
    "a display name that turns round": (422, spec(display_name="a\u202eb"), "U+202E"),
    "an experiment with a slash": (422, spec(experiment_name="a/b"), "experiment"),
    "a tag that is no text": (422, spec(tags={"a": ["x"]}), "tags"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_body_is_a_problem_with_words(shared: House, case: str):
    status, body, words = BAD[case]
    answer = shared.bearer("ben").post(JOBS, content=body.encode(), headers=JSON)
    told = answer.json()
    assert answer.status_code == status, told
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in told["detail"]
    assert told["status"] == status
    assert told["code"] in {"Invalid", "NotFound"}
    assert told["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text


def test_a_problem_says_where(shared: House):
    answer = shared.bearer("ben").post(JOBS, content=spec(limits={"timeout": -1}), headers=JSON).json()
    assert answer["where"] == "limits.timeout"
    answer = shared.bearer("ben").post(JOBS, content=b'{\n "a": oops}', headers=JSON).json()
    assert answer["where"] == "line 2, column 7"


def test_all_problems_are_listed(shared: House):
    answer = shared.bearer("ben").post(JOBS, content=spec(a=1, b=2, command=3), headers=JSON).json()
    assert len(answer["details"]) == 3


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json"]
)
def test_only_json_is_taken(shared: House, kind: str):
    headers = {"Content-Type": kind} if kind else {}
    answer = shared.bearer("ben").post(JOBS, content=SPEC.encode(), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "UnsupportedMediaType")


def test_what_is_not_utf_8_is_refused(shared: House):
    for body in (b'{"a": "\xff"}', SPEC.encode("utf-16"), SPEC.encode("utf-8-sig")):
        answer = shared.bearer("ben").post(JOBS, content=body, headers=JSON)
        assert answer.status_code == 422, body


def test_compressed_bodies_are_not_opened(shared: House):
    bomb = gzip.compress(b" " * (64 << 20))
    answer = shared.bearer("ben").post(JOBS, content=bomb, headers={**JSON, "Content-Encoding": "gzip"})
    assert answer.status_code == 415


def test_a_body_has_a_largest_size(shared: House):
    body = b'{"source": "' + b"x" * bodies.LARGEST + b'"}'
    answer = shared.bearer("ben").post(JOBS, content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (413, "TooLarge")


def test_a_large_body_is_read_to_its_end(shared: House):
    body = json.dumps({"spec": HELLO, "oops": ["x" * 100] * 10_000}).encode()
    answer = shared.bearer("ben").post(JOBS, content=body, headers=JSON)
    assert "Unknown field 'oops'" in answer.json()["detail"]


def test_a_body_that_never_ends_is_given_up(shared: House, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bodies, "SECONDS", 0.2)
    head = (
        f"POST {JOBS} HTTP/1.1\r\nHost: 127.0.0.1:{shared.port}\r\nAuthorization: Bearer {shared.token('ben')}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"
    )
    assert raw(shared, head) == 408


def test_a_sender_that_goes_away_is_no_bug(shared: House, caplog: pytest.LogCaptureFixture):
    head = (
        f"POST {JOBS} HTTP/1.1\r\nHost: 127.0.0.1:{shared.port}\r\nAuthorization: Bearer {shared.token('ben')}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    with socket.create_connection(("127.0.0.1", shared.port)) as line:
        line.sendall(head.encode())
    assert shared.bearer("ben").get(JOBS).status_code == 200
    assert "Traceback" not in caplog.text


def test_headers_have_a_largest_size(shared: House):
    client = shared.bearer("ben")
    answer = client.get(JOBS, headers={"X-Long": "x" * 40_000})
    assert (answer.status_code, answer.json()["code"]) == (431, "HeadersTooLarge")
    assert client.get(JOBS, headers={"X-Long": "x" * 8_000}).status_code == 200


QUERIES = {
    "limit=0": "limit",
    "limit=-1": "limit",
    "limit=1000000000": "limit",
    "limit=99999999999999999999999999": "limit",
    "limit=ten": "limit",
    "cursor=%21%21": "cursor",
    "cursor=b3g": "cursor",
    "cursor=" + "x" * 5000: "cursor",
    "order_by=spec": "order_by",
    "order_by=name;drop table job": "order_by",
    "order_by=--name": "order_by",
    "status=Completed' or 1=1 --": "status",
    "status=Completed&status=oops": "status",
    "include_archived=perhaps": "include_archived",
}


@pytest.mark.parametrize("query", QUERIES)
def test_a_bad_query_names_its_parameter(shared: House, query: str):
    answer = shared.bearer("ben").get(f"{JOBS}?{query}")
    assert (answer.status_code, answer.json()["where"]) == (422, QUERIES[query]), answer.json()


@pytest.mark.parametrize(
    "query",
    ["search=%27%20or%201%3D1--", "search=%25", "search=_", "search=%5C", "created_by=%27", "experiment_name=%22%3B"],
)
def test_a_filter_is_no_sql(houses: House, query: str):
    houses.job("plain")
    assert houses.bearer("ben").get(f"{JOBS}?{query}").json()["value"] == []


def test_two_hundred_parameters_are_only_many(shared: House):
    query = "&".join(f"created_by=p{number}" for number in range(200))
    assert shared.bearer("ben").get(f"{JOBS}?{query}&nonsense=1").json()["value"] == []


@pytest.mark.parametrize(
    "path", [f"{JOBS}/a%00b", f"{JOBS}?search=%00", f"{JOBS}?status=a%00", "/api/v1/workspaces/l%00ab/jobs"]
)
def test_nul_in_an_address_is_refused_on_both_databases(houses: House, path: str):
    answer = houses.bearer("ben").get(path)
    assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    "path",
    [
        f"{JOBS}/j1/log?offset=99999999999999999999",
        f"{JOBS}/j1/log?offset=-1",
        f"{JOBS}/j1/log?offset=9",
        f"{JOBS}/j1/log?offset=1e3",
        f"{JOBS}/j1/metrics/history?key=a&max_points=1",
        f"{JOBS}/j1/metrics/history",
        "/api/v1/workspaces/lab/experiments/Default/runs?offset=99999999999999999999",
        "/api/v1/workspaces/lab/experiments/Default/runs?limit=0",
        "/api/v1/workspaces/lab/experiments/Default/runs?order_by=x;y",
    ],
)
def test_numbers_out_of_range_are_refused(houses: House, path: str):
    houses.job("j1")
    assert houses.bearer("ben").get(path).status_code in {422, 200 if "order_by" in path else 422}


def test_text_of_all_kinds_comes_back_as_it_went_in(houses: House):
    text = "é ñ 漢字 🦊 \u2028 <b>&amp;</b> ' \" \\ ${{x}} %s {0}"
    client = houses.bearer("ben")
    sent = {"spec": {**HELLO, "name": "j", "description": text, "tags": {text: text}}}
    assert client.post(JOBS, json=sent).status_code == 201
    found = client.get(f"{JOBS}/j").json()
    assert (found["description"], found["tags"]) == (text, {text: text})


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/api/v2", f"{JOBS}/j/nothing"])
def test_nothing_there_is_a_problem_too(shared: House, path: str):
    answer = shared.bearer("ben").get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["code"] == "NotFound"


def test_a_method_that_is_not_taken_is_a_problem_too(shared: House):
    answer = shared.bearer("ben").request("PROPFIND", JOBS)
    assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")


def test_a_bug_is_told_with_an_id_and_explained_in_the_log_only(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a secret of the inside")

    monkeypatch.setattr(jobs, "listed", broken)
    with caplog.at_level(logging.ERROR, logger="atelier.web"):
        answer = house.bearer("ben").get(JOBS)
        told = answer.json()
        eventually(lambda: told["request_id"] in caplog.text, "the log does not name the request")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert set(told) == {"type", "title", "status", "code", "detail", "request_id"}
    assert "secret of the inside" not in answer.text
    assert "ZeroDivisionError: a secret of the inside" in caplog.text


def test_no_token_and_no_line_end_reaches_the_log(shared: House, caplog: pytest.LogCaptureFixture):
    token = shared.token("ben")
    with caplog.at_level(logging.INFO, logger="atelier.web"):
        shared.anonymous().get(f"/auth/sign-in?token={token}")
        shared.bearer("ben").get("/api/v1/x%0aGET /forged 200")

        def said() -> list[str]:
            return [record.getMessage() for record in caplog.records if record.name == "atelier.web"]

        eventually(lambda: len(said()) == 2, "a line is missing")  # an answer is there before its line
    assert not any(token in line or "\n" in line for line in said())
