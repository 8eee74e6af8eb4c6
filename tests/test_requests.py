"""Requests: who may read the log of an endpoint, and what its deployments come to; captures as data assets."""

import json
import time
from collections.abc import Callable

import pytest

from services import captures, data, endpoints, requests, routing, workspaces
from services.core.errors import Invalid, NotFound
from services.engines.captures import Captured, Captures
from services.requests import RequestQuery
from services.specs.data import DataAsset
from services.specs.endpoints import OnlineEndpoint
from services.specs.workspaces import Workspace
from services.store.requests import Compared, Diff, Gauge, Record, Sample
from services.store.serving import Deployment, Endpoint
from services.studio import Scope
from tests.conftest import Stage

QUESTIONS: list[Callable[[Scope], object]] = [
    lambda scope: requests.listed(scope, "credit"),
    lambda scope: requests.exported(scope, "credit"),
    lambda scope: requests.fresh(scope, "credit", 0),
    lambda scope: requests.newest(scope, "credit"),
    lambda scope: requests.summary(scope, "credit"),
    lambda scope: requests.series(scope, "credit", since=0),
    lambda scope: requests.agreement(scope, "credit", "blue", "green"),
    lambda scope: requests.pairs(scope, "credit"),
    lambda scope: requests.samples(scope, "credit", "blue", since=0),
]


def endpoint(stage: Stage, **spec: object) -> tuple[Endpoint, Deployment]:
    """`credit` with a deployment `blue`."""
    with stage.scope() as scope:
        row = endpoints.create(scope, OnlineEndpoint(name="credit"))
        names = {"kind": "online", "name": "blue", "folded": "blue", "created_by": "ben"}
        blue = Deployment(workspace_id=row.workspace_id, endpoint_id=row.id, spec=spec, **names)
        scope.session.add(blue)
        scope.session.flush()
        scope.session.expunge_all()
    return row, blue


def record(row: Endpoint, blue: Deployment | None, **changes: object) -> Record:
    chosen = (blue.id, blue.name) if blue is not None else ("", "")
    return Record(changes.pop("at", time.time()), row.workspace_id, row.id, row.name, *chosen, **changes)


def test_a_line_of_the_log_has_the_columns_of_the_cloud(stage: Stage):
    row, blue = endpoint(stage)
    stage.studio.requests.write(
        [record(row, blue, at=1_767_225_600.25, code=424, reason="Model Error", model_code=500, total_ms=12.34567)]
    )

    with stage.scope(stage.cleo) as scope:
        (line,) = [requests.as_json(each) for each in requests.listed(scope, "credit")]

    assert line["TimeGenerated"] == "2026-01-01T00:00:00.250Z"
    assert (line["EndpointName"], line["DeploymentName"], line["Method"], line["Path"]) == (
        "credit",
        "blue",
        "POST",
        "/score",
    )
    assert (line["ResponseCode"], line["ModelStatusCode"], line["TotalDurationMs"]) == (424, 500, 12.346)
    assert {"XRequestId", "XMSClientRequestId", "UserAgent", "RequestPayloadSize", "Protocol"} <= line.keys()


@pytest.mark.parametrize("question", QUESTIONS)
def test_nobody_reads_the_log_of_an_endpoint_of_another_workspace(lite: Stage, question: Callable[[Scope], object]):
    row, blue = endpoint(lite)
    lite.studio.requests.write([record(row, blue)])
    with lite.scope(lite.cleo) as scope:
        question(scope)

    with lite.scope(workspace=None) as scope:
        workspaces.create(scope, Workspace(name="other"))
    with lite.scope(workspace="other") as scope, pytest.raises(NotFound):
        question(scope)


@pytest.mark.parametrize(
    ("query", "where"),
    [
        (RequestQuery(codes=("6xx",)), "code"),
        (RequestQuery(codes=("1 OR 1",)), "code"),
        (RequestQuery(limit=0), "limit"),
        (RequestQuery(limit=1001), "limit"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(lite: Stage, query: RequestQuery, where: str):
    endpoint(lite)
    with lite.scope() as scope, pytest.raises(Invalid) as refused:
        requests.listed(scope, "credit", query)
    assert refused.value.where == where


@pytest.mark.parametrize("span", [{"since": 10, "until": 5}, {"since": 0, "step_s": 0}])
def test_a_series_needs_a_span_and_a_step(lite: Stage, span: dict):
    endpoint(lite)
    with lite.scope() as scope, pytest.raises(Invalid):
        requests.series(scope, "credit", **span)


def test_the_summary_says_how_each_deployment_does_now(stage: Stage):
    row, blue = endpoint(stage)
    place = (row.workspace_id, row.id, row.name, blue.id, blue.name)
    stage.studio.requests.write(
        [record(row, blue, code=code, total_ms=10) for code in (200, 200, 200, 424)],
        gauges=[Gauge(time.time(), *place, in_flight=2)],
    )

    with stage.scope(stage.cleo) as scope:
        (summary,) = requests.summary(scope, "credit")

    assert (summary.deployment, summary.window.requests, summary.window.error_rate) == ("blue", 4, 0.25)
    assert summary.window.p95 == pytest.approx(10, rel=0.02)
    assert summary.window.rpm == 4
    assert summary.window.in_flight == 2
    assert summary.window.classes["424"] == 1


def test_the_series_of_an_endpoint_holds_what_reached_no_deployment(stage: Stage):
    row, blue = endpoint(stage)
    now = time.time()
    stage.studio.requests.write([record(row, blue), record(row, blue), record(row, None, code=401)])

    with stage.scope(stage.cleo) as scope:
        found = requests.series(scope, "credit", since=now - 3600)

    assert found.total.requests.sum() == 3
    assert found.total.classes["4xx"].sum() == 1
    assert found.deployments["blue"].requests.sum() == 2
    assert 1 < len(found.total.at) <= 302


def test_the_agreement_of_a_shadow_and_what_replicas_use_are_read_by_name(lite: Stage):
    row, blue = endpoint(lite)
    now = time.time()
    lite.studio.requests.write([], [Compared(row.id, "blue", "green", Diff(0.5, b"{}", b"1", b"2", now))])
    lite.studio.requests.sample([Sample(now, blue.id, "r1", 50.0, 100), Sample(now, blue.id, "r2", 20.0, 100)])

    with lite.scope(lite.cleo) as scope:
        assert requests.pairs(scope, "credit") == [("blue", "green")]
        assert requests.agreement(scope, "credit", "blue", "green").percent == 0
        assert list(requests.samples(scope, "credit", "blue", since=now - 60, until=now + 1)) == ["r1", "r2"]
        with pytest.raises(NotFound, match="no deployment 'red'"):
            requests.samples(scope, "credit", "red", since=0)


def test_an_export_goes_through_all_pages_and_calculates_nothing(lite: Stage, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(requests, "MOST", 7)
    row, blue = endpoint(lite)
    lite.studio.requests.write([record(row, blue, request_id=f"r{number}") for number in range(30)])
    lite.studio.requests.write([record(row, blue, user_agent="=cmd()")])

    with lite.scope(lite.cleo) as scope:
        pieces = requests.exported(scope, "credit", RequestQuery(limit=1))
    lines = b"".join(pieces).decode().splitlines()

    assert len(lines) == 32
    assert lines[0].startswith("TimeGenerated,Method,Path,EndpointName")
    assert "'=cmd()" in lines[1]


COLLECTED = {
    "data_collector": {
        "collections": {
            "model_inputs": {"enabled": "True"},
            "model_outputs": {"enabled": "true", "data": {"name": "answers", "version": 3}},
            "request": {"enabled": "False"},
            "of_a_script": {"enabled": "True"},
        }
    }
}


def test_what_is_captured_becomes_data_assets_once(stage: Stage):
    _, blue = endpoint(stage, **COLLECTED)

    assert captures.register(stage.studio, blue.id) == []
    assert captures.register(stage.studio, blue.id) == []

    with stage.scope(stage.cleo) as scope:
        inputs, answers = data.get(scope, "credit-blue-model_inputs"), data.get(scope, "answers", "3")
        assert (inputs.version, inputs.type, inputs.created_by) == ("1", "uri_folder", "ben")
        assert inputs.path == (
            "azureml://datastores/workspaceblobstore/paths/modelDataCollector/credit/blue/model_inputs"
        )
        assert answers.path.endswith("/credit/blue/model_outputs")
        for missing in ("credit-blue-request", "credit-blue-of_a_script"):
            with pytest.raises(NotFound):
                data.get(scope, missing)


def test_what_the_gateway_captures_is_read_as_data(lite: Stage):
    _, blue = endpoint(lite, **COLLECTED)
    captures.register(lite.studio, blue.id)
    target = routing.table(lite.studio).routes["lab", "credit"].targets["blue"]
    assert target.capture is not None

    Captures().write(target.capture, "model_inputs", [Captured(time.time(), "r1", b'[{"age": 31}]')])

    with lite.scope(lite.cleo) as scope:
        contents = data.contents(scope, data.get(scope, "credit-blue-model_inputs"))
    (file,) = contents.listing(most=10).files
    opened, _ = contents.opened(file.path)
    with opened:
        assert json.loads(opened.read())["data"] == [{"age": 31}]


def test_a_name_that_is_taken_is_said_and_stops_nothing(lite: Stage):
    with lite.scope() as scope:
        taken = DataAsset(name="answers", version="3", path="https://example.com/x", type="uri_folder")
        data.create(scope, taken)
    _, blue = endpoint(lite, **COLLECTED)

    (said,) = captures.register(lite.studio, blue.id)

    assert "not the data asset 'answers'" in said
    with lite.scope() as scope:
        assert data.get(scope, "credit-blue-model_inputs")


@pytest.mark.parametrize(
    "written", [None, {}, {"collections": None}, {"collections": {"request": None}}, {"collections": []}]
)
def test_a_collector_without_collections_captures_nothing(lite: Stage, written: object):
    _, blue = endpoint(lite, data_collector=written)
    assert captures.register(lite.studio, blue.id) == []
