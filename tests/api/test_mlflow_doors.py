"""MLflow's interface behind the proxy: what is let through, for whom; everything else is not there."""

import pytest

from app import tracking_rules
from services.engines.tracking import WORKSPACE_HEADER
from tests.api.conftest import House, is_kept_out

# Of MLflow's interface: a call for every rule and method that is let through.
LET_THROUGH = """
GET /health
GET /version
GET /api/2.0/mlflow/server-info
GET /api/2.0/mlflow/experiments/get-by-name?experiment_name=x
GET /api/2.0/mlflow/experiments/search
POST /api/2.0/mlflow/experiments/search
POST /api/2.0/mlflow/experiments/create
POST /api/2.0/mlflow/experiments/update
POST /api/2.0/mlflow/experiments/delete
GET /api/2.0/mlflow/runs/get?run_id=0
POST /api/2.0/mlflow/runs/search
GET /api/2.0/mlflow/metrics/get-history
GET /api/2.0/mlflow/artifacts/list
POST /api/2.0/mlflow/runs/create
POST /api/2.0/mlflow/runs/log-batch
POST /api/2.0/mlflow/runs/log-parameter
POST /api/2.0/mlflow/runs/delete
POST /api/2.0/mlflow/logged-models/search
GET /api/2.0/mlflow/logged-models/m-1
POST /api/2.0/mlflow/logged-models
POST /api/2.0/mlflow/logged-models/m-1/params
PATCH /api/2.0/mlflow/logged-models/m-1
DELETE /api/2.0/mlflow/logged-models/m-1
GET /api/2.0/mlflow/registered-models/search
POST /api/2.0/mlflow/registered-models/get-latest-versions
GET /api/2.0/mlflow/registered-models/get
POST /api/2.0/mlflow/registered-models/create
POST /api/2.0/mlflow/model-versions/transition-stage
PATCH /api/2.0/mlflow/registered-models/update
DELETE /api/2.0/mlflow/registered-models/alias
DELETE /api/2.0/mlflow/registered-models/delete
GET /api/2.0/mlflow-artifacts/artifacts
HEAD /api/2.0/mlflow-artifacts/artifacts/0/a/artifacts/x
PUT /api/2.0/mlflow-artifacts/artifacts/0/a/artifacts/x
DELETE /api/2.0/mlflow-artifacts/artifacts/0/a/artifacts/x
POST /api/2.0/mlflow-artifacts/mpu/create/0/a/artifacts/x
"""
# And what is not: interface families, old and new, that never had a check of their own.
NOT_LET_THROUGH = """
POST /
GET /graphql
POST /graphql
GET /ajax-api/2.0/mlflow/experiments/search
POST /ajax-api/2.0/mlflow/runs/search
GET /ajax-api/2.0/mlflow/get-artifact?path=x&run_uuid=x
POST /ajax-api/2.0/mlflow/upload-artifact?path=x&run_uuid=x
GET /get-artifact?path=x&run_uuid=x
GET /model-versions/get-artifact?path=x&name=x&version=1
POST /ajax-api/3.0/jobs
GET /ajax-api/3.0/jobs/1
POST /api/3.0/jobs
POST /v1/traces
GET /api/3.0/mlflow/traces
POST /api/3.0/mlflow/traces
GET /api/2.0/mlflow/traces/1/info
POST /api/2.0/mlflow/users/create
POST /api/2.0/mlflow/experiments/permissions/create
GET /api/3.0/mlflow/workspaces
GET /api/2.0/mlflow/workspaces/lab
POST /api/3.0/mlflow/workspaces
DELETE /api/3.0/mlflow/workspaces/lab
POST /api/3.0/mlflow/datasets/create
POST /api/3.0/mlflow/scorers/register
POST /api/2.0/mlflow/gateway-proxy
GET /api/2.0/mlflow/gateway-proxy
POST /gateway/chat/invocations
POST /api/2.0/mlflow/registry-webhooks
GET /static-files/index.html
GET /metrics
GET /docs
GET /openapi.json
TRACE /api/2.0/mlflow/runs/get
"""


def lines(text: str) -> list[tuple[str, str]]:
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in text.split("\n") if line]


@pytest.mark.parametrize(
    ("method", "path"), lines(LET_THROUGH) + lines(NOT_LET_THROUGH), ids=lambda part: part.partition("?")[0]
)
def test_mlflow_asks_for_a_token_whatever_the_address(lab: House, method: str, path: str):
    assert is_kept_out(lab.anonymous().request(method, f"/mlflow{path}"))
    assert is_kept_out(lab.browser("ada").request(method, f"/mlflow{path}"))


@pytest.mark.parametrize(("method", "path"), lines(LET_THROUGH), ids=lambda part: part.partition("?")[0])
def test_mlflow_by_role(lab: House, method: str, path: str):
    """Tracking is not started: what is allowed gets as far as to be told so."""
    [rule] = {tracking_rules.rule_for(method, path.partition("?")[0])}
    assert rule is not None
    in_lab = {WORKSPACE_HEADER: "lab"}
    is_read = rule.action.endswith("/read")
    outside = lab.bearer("dan").request(method, f"/mlflow{path}", headers=in_lab)
    reader = lab.bearer("cleo").request(method, f"/mlflow{path}", headers=in_lab)
    owner = lab.bearer("ada").request(method, f"/mlflow{path}", headers=in_lab)
    assert (outside.status_code, reader.status_code, owner.status_code) == (404, 503 if is_read else 403, 503)


def test_every_rule_of_mlflow_is_tried():
    tried = {(method, tracking_rules.rule_for(method, path.partition("?")[0])) for method, path in lines(LET_THROUGH)}
    every = {(method, rule) for rule in tracking_rules.RULES for method in rule.methods}
    assert not [f"{method} {rule.path.pattern}" for method, rule in every - tried if method != "HEAD"]


@pytest.mark.parametrize(("method", "path"), lines(NOT_LET_THROUGH), ids=lambda part: part.partition("?")[0])
def test_the_rest_of_mlflow_is_not_there(lab: House, method: str, path: str):
    answer = lab.bearer("ada").request(method, f"/mlflow{path}", headers={WORKSPACE_HEADER: "lab"})
    assert answer.status_code == 404
