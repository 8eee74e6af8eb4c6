"""Role × verb, through REST: what each role may do to a workspace of its own, against a plain reading of its table."""

import pytest

from services import access, jobs, workspaces
from services.access import BUILT_IN
from services.core.states import JobStatus
from services.core.times import now
from services.specs.jobs import CommandJob
from services.specs.workspaces import Workspace
from services.store.rows import RoleAssignment
from tests.api.conftest import HELLO, House
from tests.api.decided import (
    BATCH,
    BATCHES,
    COMPONENT,
    DATA,
    DATA_VERSION,
    DATASTORE,
    DEPLOYMENT,
    JOB,
    LINEAGE,
    MODEL,
    ONLINE,
    PERSONAL,
    READS,
    SECRETS,
    UPLOADS,
    VERSION,
    WRITES,
    asked,
    asset_reads,
    asset_writes,
)
from tests.test_roles import WORKSPACE, may

LAB = "/api/v1/workspaces/{ws}"


def of_asset(noun: str, action: str) -> dict[str, str]:
    """What all kinds of assets have in common; what takes one away comes last."""
    writes = {
        door: f"{action}/{'delete' if door.startswith('DELETE') and '/labels/' not in door else 'write'}"
        for door in asset_writes(noun)
    }
    return {**dict.fromkeys(asset_reads(noun), f"{action}/read"), **writes}


NEEDS = {
    f"POST {LAB}/runs/{{run}}/metrics:batch": "experiments/runs/write",
    f"GET {LAB}/metrics:check": "experiments/runs/read",
    f"POST {LAB}/metrics:rebuild": "experiments/runs/write",
    f"PATCH {LAB}": "write",
    f"POST {LAB}/recover": "write",
    f"POST {LAB}/jobs": "jobs/write",
    f"PATCH {JOB}": "jobs/write",
    f"POST {JOB}/cancel": "jobs/cancel/action",
    f"POST {JOB}/archive": "jobs/write",
    f"POST {JOB}/restore": "jobs/write",
    f"POST {UPLOADS}": "metadata/snapshots/write",
    f"PUT {UPLOADS}/{{upload}}/content": "metadata/snapshots/write",
    f"POST {UPLOADS}/{{upload}}/seal": "metadata/snapshots/write",
    f"POST {UPLOADS}/{{upload}}/unpack": "metadata/snapshots/write",
    f"POST {LAB}/environments": "environments/write",
    f"POST {VERSION}/build": "environments/build/action",
    f"GET {LAB}/jobs": "jobs/read",
    f"GET {JOB}": "jobs/read",
    f"GET {JOB}/events": "jobs/read",
    f"GET {JOB}/metrics": "jobs/read",
    f"GET {JOB}/metrics/history": "jobs/read",
    f"GET {JOB}/log": "jobs/read",
    f"GET {JOB}/files": "jobs/read",
    f"GET {JOB}/files/{{path:path}}": "jobs/read",
    f"GET {JOB}/outputs/{{output}}/files": "jobs/read",
    f"GET {JOB}/outputs/{{output}}/files/{{path:path}}": "jobs/read",
    f"POST {JOB}/links": "jobs/read",
    f"GET {VERSION}/build-log": "environments/read",
    f"GET {LAB}/runs": "experiments/runs/read",
    f"GET {LAB}/runs/{{name}}": "experiments/runs/read",
    f"GET {LAB}/runs/{{name}}/history": "experiments/runs/read",
    f"GET {LAB}/runs:groups": "experiments/runs/read",
    f"GET {LAB}/runs:export": "experiments/runs/read",
    f"GET {LAB}/runs:keys": "experiments/runs/read",
    f"GET {LAB}/runs:directions": "experiments/runs/read",
    f"PATCH {LAB}/runs/{{name}}": "experiments/runs/write",
    f"PUT {LAB}/runs:directions": "experiments/runs/write",
    f"GET {LAB}/runs:compare": "experiments/runs/read",
    f"GET {LAB}/runs:significance": "experiments/runs/read",
    f"GET {LAB}/runs/{{name}}/changes": "experiments/runs/read",
    f"GET {LAB}/experiments": "experiments/read",
    f"GET {LAB}/experiments/{{name}}": "experiments/read",
    f"GET {LAB}/experiments/{{name}}/runs": "experiments/read",
    f"GET {LAB}/computes": "computes/read",
    f"GET {LAB}/views": "experiments/runs/read",
    f"GET {LAB}/views/{{view}}": "experiments/runs/read",
    f"POST {LAB}/views": "experiments/runs/read",
    f"PATCH {LAB}/views/{{view}}": "experiments/runs/read",
    f"DELETE {LAB}/views/{{view}}": "experiments/runs/read",
    f"POST {LAB}/boards": "experiments/runs/read",
    f"GET {LAB}/boards/{{board}}": "experiments/runs/read",
    f"POST {DATA}": "datasets/versions/write",
    f"GET {DATA_VERSION}/files": "datasets/versions/read",
    f"GET {DATA_VERSION}/files/{{path:path}}": "datasets/versions/read",
    f"POST {DATA_VERSION}/links": "datasets/versions/read",
    f"GET {DATA_VERSION}/preview": "datasets/versions/read",
    f"GET {DATA_VERSION}/profile": "datasets/versions/read",
    f"POST {DATA_VERSION}/profile": "datasets/versions/read",
    f"GET {DATA_VERSION}/diff": "datasets/versions/read",
    f"POST {DATA_VERSION}/diff": "datasets/versions/read",
    f"POST {LAB}/models": "models/write",
    f"POST {MODEL}/versions/{{version}}/approve": "models/approve/action",
    f"GET {MODEL}/compare": "models/read",
    f"GET {MODEL}/versions/{{version}}/files": "models/read",
    f"GET {MODEL}/versions/{{version}}/files/{{path:path}}": "models/read",
    f"GET {LAB}/datastores": "datastores/read",
    f"GET {DATASTORE}": "datastores/read",
    f"GET {DATASTORE}/files": "datastores/read",
    f"GET {DATASTORE}/files/{{path:path}}": "datastores/read",
    f"GET {DATASTORE}/uses": "datastores/read",
    f"POST {LAB}/datastores": "datastores/write",
    f"PATCH {DATASTORE}": "datastores/write",
    f"PUT {DATASTORE}/authentication": "datastores/write",
    f"POST {DATASTORE}/test": "datastores/write",
    f"POST {DATASTORE}/default": "datastores/write",
    f"DELETE {DATASTORE}": "datastores/delete",
    f"GET {LAB}/environments/curated": "environments/read",
    f"GET {LAB}/environments/disk": "environments/read",
    f"GET {LAB}/environments/jobs/{{job}}/packages": "jobs/read",
    f"GET {VERSION}/context": "environments/read",
    f"GET {VERSION}/context/{{path:path}}": "environments/read",
    f"GET {VERSION}/diagnosis": "environments/read",
    f"GET {VERSION}/packages": "environments/read",
    f"POST {VERSION}/build/cancel": "environments/build/action",
    f"POST {LAB}/environments/prune": "environments/build/action",
    f"POST {LAB}/components": "components/write",
    f"POST {COMPONENT}/jobs": "jobs/write",
    f"GET {COMPONENT}/code": "components/read",
    f"GET {COMPONENT}/code/{{path:path}}": "components/read",
    f"GET {LINEAGE}/{{kind}}/{{id:path}}": "jobs/read",
    f"GET {LINEAGE}/jobs/{{name}}/compare/{{other}}": "jobs/read",
    f"GET {LAB}/online-endpoints": "onlineEndpoints/read",
    f"GET {ONLINE}": "onlineEndpoints/read",
    f"GET {ONLINE}/events": "onlineEndpoints/read",
    f"POST {LAB}/online-endpoints": "onlineEndpoints/write",
    f"PATCH {ONLINE}": "onlineEndpoints/write",
    f"POST {ONLINE}/start": "onlineEndpoints/write",
    f"POST {ONLINE}/stop": "onlineEndpoints/write",
    f"POST {ONLINE}/list-keys": "onlineEndpoints/listKeys/action",
    f"POST {ONLINE}/regenerate-keys": "onlineEndpoints/regenerateKeys/action",
    f"POST {ONLINE}/token": "onlineEndpoints/token/action",
    f"POST {ONLINE}/invoke": "onlineEndpoints/score/action",
    f"GET {ONLINE}/swagger.json": "onlineEndpoints/score/action",
    f"DELETE {ONLINE}": "onlineEndpoints/delete",
    f"GET {ONLINE}/deployments": "onlineEndpoints/deployments/read",
    f"GET {DEPLOYMENT}": "onlineEndpoints/deployments/read",
    f"GET {DEPLOYMENT}/replicas": "onlineEndpoints/deployments/read",
    f"GET {DEPLOYMENT}/events": "onlineEndpoints/deployments/read",
    f"GET {DEPLOYMENT}/logs": "onlineEndpoints/deployments/read",
    f"POST {ONLINE}/deployments": "onlineEndpoints/deployments/write",
    f"PUT {DEPLOYMENT}": "onlineEndpoints/deployments/write",
    f"PATCH {DEPLOYMENT}": "onlineEndpoints/deployments/write",
    f"POST {DEPLOYMENT}/scale": "onlineEndpoints/deployments/write",
    f"DELETE {DEPLOYMENT}": "onlineEndpoints/deployments/delete",
    f"GET {SECRETS}": "metadata/secrets/read",
    f"PUT {SECRETS}/{{name}}": "metadata/secrets/write",
    f"DELETE {SECRETS}/{{name}}": "metadata/secrets/write",
    f"GET {ONLINE}/rollouts": "onlineEndpoints/read",
    f"GET {ONLINE}/rollouts/{{rollout}}": "onlineEndpoints/read",
    f"GET {ONLINE}/alerts": "onlineEndpoints/read",
    f"GET {ONLINE}/requests": "onlineEndpoints/read",
    f"GET {ONLINE}/metrics": "onlineEndpoints/read",
    f"GET {ONLINE}/summary": "onlineEndpoints/read",
    f"GET {ONLINE}/agreement": "onlineEndpoints/read",
    f"GET {ONLINE}/deployments/{{deployment}}/samples": "onlineEndpoints/read",
    f"POST {ONLINE}/rollouts": "onlineEndpoints/write",
    f"POST {ONLINE}/rollouts/promote": "onlineEndpoints/write",
    f"POST {ONLINE}/rollouts/cancel": "onlineEndpoints/write",
    f"POST {ONLINE}/rollback": "onlineEndpoints/write",
    f"PUT {ONLINE}/alerts": "onlineEndpoints/write",
    f"GET {BATCHES}": "batchEndpoints/read",
    f"GET {BATCH}": "batchEndpoints/read",
    f"GET {BATCH}/jobs": "jobs/read",
    f"GET {BATCH}/deployments": "batchEndpoints/deployments/read",
    f"GET {BATCH}/deployments/{{deployment}}": "batchEndpoints/deployments/read",
    f"POST {BATCHES}": "batchEndpoints/write",
    f"PATCH {BATCH}": "batchEndpoints/write",
    f"POST {BATCH}/invoke": "batchEndpoints/score/action",
    f"POST {BATCH}/deployments": "batchEndpoints/deployments/write",
    f"PUT {BATCH}/deployments/{{deployment}}": "batchEndpoints/deployments/write",
    f"PATCH {BATCH}/deployments/{{deployment}}": "batchEndpoints/deployments/write",
    f"DELETE {BATCH}/deployments/{{deployment}}": "batchEndpoints/deployments/delete",
    f"DELETE {BATCH}": "batchEndpoints/delete",
    **of_asset("components", "components"),
    **of_asset("models", "models"),
    **of_asset("data", "datasets/versions"),
    **of_asset("environments", "environments"),
    # Last, in this order: nothing is there after them.
    f"DELETE {JOB}": "jobs/delete",
    f"DELETE {LAB}": "delete",
    f"POST {LAB}/purge": "delete",
}
EVERY_MEMBER = {f"GET {LAB}"}


def test_every_route_of_a_workspace_is_in_the_table():
    assert set(NEEDS) | EVERY_MEMBER == set(READS) | set(PERSONAL) | set(WRITES)


@pytest.mark.parametrize("role", BUILT_IN)
def test_a_role_may_do_what_its_table_says(shared: House, role: str):
    name = "w-" + role.replace(" ", "-")
    stage = shared.stage
    with stage.scope(workspace=None) as scope:
        own = workspaces.create(scope, Workspace(name=name))
        scope.session.add(RoleAssignment(principal_id=stage.ben.id, role=role, scope=own.id))
    with stage.scope(workspace=name) as scope:
        job = jobs.submit(scope, CommandJob.model_validate({**HELLO, "name": "j1"}))
        job.status, job.collected_at = JobStatus.Completed, now()
    shared.assets(name)
    ben = shared.bearer("ben")
    for door in [*EVERY_MEMBER, *NEEDS]:
        allowed = door in EVERY_MEMBER or may([BUILT_IN[role]], WORKSPACE + NEEDS[door])
        body = {"path": "x"} if door.endswith("/links") else {**PERSONAL, **WRITES}.get(door)
        answer = asked(ben, door.replace("{ws}", name), body, READS.get(door, ""))
        assert (answer.status_code != 403) is allowed, f"{role}: {door} {answer.status_code}"
        assert answer.status_code < 500, f"{role}: {door} {answer.text}"
        if not allowed:
            assert answer.json()["code"] == "Denied"
            assert "An Owner" in answer.json()["hint"]


def test_a_role_counts_in_its_own_workspace_only(shared: House):
    """Ben owns one and works in another: owning does not travel."""
    stage = shared.stage
    with stage.scope(workspace=None) as scope:
        own = workspaces.create(scope, Workspace(name="bens"))
        scope.session.add(RoleAssignment(principal_id=stage.ben.id, role="Owner", scope=own.id))
    ben = shared.bearer("ben")
    assert ben.patch("/api/v1/workspaces/bens", json={"description": "mine"}).status_code == 200
    assert ben.patch("/api/v1/workspaces/lab", json={"description": "mine"}).status_code == 403
    assert ben.post("/api/v1/workspaces", json={"name": "more"}).status_code == 403


def test_a_role_that_is_taken_away_is_gone_at_the_next_call(house: House):
    ben = house.bearer("ben")
    assert ben.post("/api/v1/workspaces/lab/jobs", json={"spec": HELLO}).status_code == 201
    house.grant("ben", "Reader")
    assert ben.post("/api/v1/workspaces/lab/jobs", json={"spec": HELLO}).status_code == 403
    assert ben.get("/api/v1/workspaces/lab/jobs").status_code == 200
    house.grant("ben", "")
    assert ben.get("/api/v1/workspaces/lab/jobs").status_code == 404


def test_the_rule_that_every_member_sees_the_workspace_itself():
    assert all(access.allowed({role}, "workspaces/read") for role in BUILT_IN)
