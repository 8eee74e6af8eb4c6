"""Online deployments on both databases: what they are made of, what of them may change, when they may go."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services import assets, deployments, endpoints, environments, lineage, models, secrets, uploads, workspaces
from services.core.errors import Conflict, Denied, Invalid, NotFound
from services.core.states import AssetKind, ProvisioningState, ReplicaState
from services.specs.code import Entry
from services.specs.deployments import OnlineDeployment
from services.specs.endpoints import OnlineEndpoint
from services.specs.environments import Environment
from services.specs.models import Model
from services.specs.workspaces import Workspace
from services.store.rows import Asset, RoleAssignment
from services.store.serving import Deployment, Replica
from services.studio import Scope
from tests.conftest import Stage

MLMODEL = b"flavors:\n  sklearn:\n    sklearn_version: 1.5.0\n"
CONDA = b"dependencies:\n- python=3.11\n- pip\n- pip:\n  - mlflow\n  - scikit-learn==1.5.0\n"
MLFLOW = {"model/MLmodel": MLMODEL, "model/conda.yaml": CONDA, "model/model.pkl": b"x"}
SCRIPT = {"score.py": b"def init(): ...\ndef run(data): return data\n"}
CODE = {"code": "../onlinescoring/", "scoring_script": "score.py"}
IMAGE = {"image": "python:3.11"}
BROUGHT = {"image": "mine:1", "inference_config": {"scoring_route": {"path": "/v1", "port": 8080}}}


def sent(stage: Stage, kind: uploads.Kind, contents: Mapping[str, bytes]) -> str:
    """The id of an upload."""
    entries = [Entry(path, len(content), hashlib.sha256(content).hexdigest()) for path, content in contents.items()]
    with stage.scope() as scope:
        begun = uploads.begin(scope, kind, entries)
        for path, content in contents.items() if not begun.complete else ():
            landing = uploads.landing(scope, begun.id, path)
            with landing.open() as target:
                target.write(content)
            landing.finish()
        if not begun.complete:
            uploads.seal(scope, begun.id)
    return begun.id


def mlflow(stage: Stage, **files: bytes) -> dict[str, Any]:
    """A model of MLflow that was sent with its folder's name."""
    return {"path": f"azureml://uploads/{sent(stage, 'data', {**MLFLOW, **files})}/model"}


def custom(stage: Stage) -> dict[str, Any]:
    return {"path": f"azureml://uploads/{sent(stage, 'data', {'model.pkl': b'x'})}/model.pkl"}


def made(stage: Stage, spec: Mapping[str, Any], name: str = "blue", **sent_: Any) -> Deployment:
    """Behind the endpoint `iris`, which is made when needed."""
    with stage.scope(stage.ben) as scope:
        if not endpoints.listed(scope).rows:
            endpoints.create(scope, OnlineEndpoint(name="iris"))
    with stage.scope(stage.ben) as scope:
        return deployments.create(scope, "iris", OnlineDeployment.model_validate({"name": name, **spec}), **sent_)


def scripted(stage: Stage, **spec: Any) -> Deployment:
    """With a script, and so with an environment."""
    what = {"model": custom(stage), "code_configuration": CODE, "environment": IMAGE, **spec}
    return made(stage, what, snapshot=sent(stage, "code", SCRIPT), code_name="onlinescoring")


def up(stage: Stage, row: Deployment) -> None:
    """As if the worker had brought it up."""
    with stage.scope() as scope:
        found = scope.session.get_one(Deployment, row.id)
        found.provisioning_state, found.serving_generation = ProvisioningState.Succeeded, found.generation
        found.image, found.digest, found.build_id = "image:1", "sha256:1", "b1"
        scope.session.add(found)


def changed(stage: Stage, changes: Mapping[str, Any], **sent_: Any) -> Deployment:
    with stage.scope(stage.ben) as scope:
        return deployments.change(scope, "iris", "blue", changes, **sent_)


def environment_of(stage: Stage, row: Deployment) -> Mapping[str, Any]:
    with stage.scope() as scope:
        return dict(scope.session.get_one(Asset, row.environment_id).spec)


def test_a_model_of_mlflow_brings_all_it_needs(stage: Stage) -> None:
    row = made(stage, {"model": mlflow(stage)})
    assert (row.provisioning_state, row.desired, row.generation, row.serving_generation) == ("Creating", "run", 1, 0)
    assert row.resolved["server"] == "mlflow"
    assert (row.resolved["model"]["type"], row.resolved["model"]["basename"]) == ("mlflow_model", "model")
    definition = environment_of(stage, row)
    assert definition["image"] == deployments.BASE
    assert "mlflow" in str(definition["conda_file"]["dependencies"])


def test_requirements_stand_in_for_a_conda_file(stage: Stage) -> None:
    files = {"m/MLmodel": MLMODEL, "m/requirements.txt": b"# pinned\nmlflow==2.14\n\nnumpy\n"}
    files["m/python_env.yaml"] = b"python: 3.10.4\ndependencies: [-r requirements.txt]\n"
    row = made(stage, {"model": {"path": f"azureml://uploads/{sent(stage, 'data', files)}/m"}})
    dependencies = environment_of(stage, row)["conda_file"]["dependencies"]
    assert dependencies == ["python=3.10", "pip", {"pip": ["mlflow==2.14", "numpy"]}]


def test_what_the_census_deploys_without_code(lite: Stage, census: Path) -> None:
    root = census / "endpoints/online/ncd/sklearn-diabetes"
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    at = f"azureml://uploads/{sent(lite, 'data', files)}/model"
    model = {"name": "mir-sample-sklearn-ncd-model", "version": 2, "path": at, "type": "mlflow_model"}
    first = made(lite, {"model": model})
    assert first.resolved["server"] == "mlflow", "though its conda.yaml lists the cloud's own server"
    assert "scikit-learn==1.7.0" in str(environment_of(lite, first)), "of conda.yaml, not of requirements.txt"
    assert made(lite, {"model": model}, "green").model_id == first.model_id
    assert first.resolved["model"]["name"] == "mir-sample-sklearn-ncd-model"


def test_a_script_with_its_folder_environment_and_model(stage: Stage) -> None:
    row = scripted(stage)
    resolved = row.resolved
    assert (resolved["server"], resolved["code_name"], resolved["script"]) == ("script", "onlinescoring", "score.py")
    assert (resolved["model"]["name"], resolved["model"]["basename"]) == ("azureml_anonymous", "model.pkl")
    assert row.snapshot_id is not None


@pytest.mark.parametrize(
    ("given", "code", "kept"),
    [
        ("", "../../model-1/onlinescoring/", "onlinescoring"),
        ("scoring", "../x", "scoring"),
        ("", ".", "code"),
        ("../up", "x", "code"),
        ("", "..", "code"),
        ("a b", "x", "code"),
    ],
)
def test_code_is_found_under_the_name_of_its_folder(lite: Stage, given: str, code: str, kept: str) -> None:
    what = {"model": custom(lite), "environment": IMAGE, "code_configuration": {**CODE, "code": code}}
    row = made(lite, what, snapshot=sent(lite, "code", SCRIPT), code_name=given)
    assert row.resolved["code_name"] == kept


def test_the_clouds_own_server_is_honoured_where_it_is_listed(lite: Stage) -> None:
    conda = {"dependencies": ["python=3.10", {"pip": ["azureml-inference-server-http"]}]}
    assert scripted(lite, environment={**IMAGE, "conda_file": conda}).resolved["server"] == "azureml"


def test_an_image_may_bring_its_server_and_no_model(stage: Stage) -> None:
    row = made(stage, {"environment": BROUGHT})
    assert (row.resolved["server"], row.resolved["model"], row.model_id) == ("custom", None, None)
    assert environment_of(stage, row)["inference_config"] == BROUGHT["inference_config"]


def test_a_registered_environment_keeps_how_it_serves(stage: Stage) -> None:
    with stage.scope() as scope:
        environments.create(scope, Environment.model_validate({"name": "served", **BROUGHT}))
    assert made(stage, {"environment": "azureml:served@latest"}).resolved["server"] == "custom"


def test_models_by_reference_name_and_content(stage: Stage) -> None:
    path = custom(stage)["path"]
    with stage.scope() as scope:
        first = models.create(scope, Model(name="iris", path=path))
    spec = {"code_configuration": CODE, "environment": IMAGE}
    snapshot = sent(stage, "code", SCRIPT)
    by_reference = made(stage, {**spec, "model": "azureml:iris@latest"}, "one", snapshot=snapshot)
    by_name = made(stage, {**spec, "model": {"name": "iris", "path": path}}, "two", snapshot=snapshot)
    assert by_reference.model_id == by_name.model_id == first.id, "the same files make no new version"
    other = f"azureml://uploads/{sent(stage, 'data', {'model.pkl': b'y'})}/model.pkl"
    newer = made(stage, {**spec, "model": {"name": "iris", "path": other}}, "three", snapshot=snapshot)
    assert newer.resolved["model"]["version"] == "2"
    loose = [
        made(stage, {**spec, "model": {"path": path}}, name, snapshot=snapshot).model_id for name in ("four", "five")
    ]
    assert loose[0] == loose[1] != first.id
    with stage.scope() as scope:
        assert [each.name for each in assets.listed(scope, AssetKind.model).rows] == ["iris"]


@pytest.mark.parametrize(
    ("spec", "where", "said"),
    [
        ({}, "model", "needs a model"),
        ({"environment": IMAGE}, "model", "needs a model"),
        ({"model": "CUSTOM"}, "environment", "Only an mlflow_model"),
        ({"model": "CUSTOM", "environment": IMAGE}, "code_configuration", "Nothing says how a custom_model is asked"),
        ({"model": "MLFLOW", "code_configuration": CODE}, "environment", "A scoring script needs an environment"),
        ({"model": "CUSTOM", "code_configuration": CODE}, "environment", "A scoring script needs an environment"),
        (
            {"model": "CUSTOM", "environment": IMAGE, "code_configuration": {**CODE, "scoring_script": "other.py"}},
            "code_configuration.scoring_script",
            "holds no file 'other.py'",
        ),
        (
            {"model": "CUSTOM", "environment": IMAGE, "code_configuration": {**CODE, "scoring_script": "../score.py"}},
            "code_configuration.scoring_script",
            "holds no file",
        ),
        ({"model": {"path": "./model"}}, "model.path", "must be uploaded first"),
        ({"model": {"path": "azureml://uploads/00/model"}}, "model.path", "holds no 'model'"),
        ({"model": "azureml:nobody:1"}, "model", "'nobody' was not found"),
        ({"model": "MLFLOW", "environment": "azureml:nowhere:1"}, "environment", "was not found"),
        (
            {"model": "MLFLOW", "environment_variables": {"A": "${{secrets.none}}"}},
            "environment_variables",
            "no secret",
        ),
        ({"model": "MLFLOW", "name": None}, "name", "needs a name"),
    ],
)
def test_what_cannot_run_is_refused_with_its_place(lite: Stage, spec: dict[str, Any], where: str, said: str) -> None:
    if spec.get("model") in ("CUSTOM", "MLFLOW"):
        spec = {**spec, "model": custom(lite) if spec["model"] == "CUSTOM" else mlflow(lite)}
    with pytest.raises((Invalid, NotFound)) as raised:
        made(lite, spec, snapshot=sent(lite, "code", SCRIPT))
    assert raised.value.where == where
    assert said in str(raised.value)
    with lite.scope() as scope:
        assert deployments.listed(scope, "iris") == []


def test_code_must_have_been_sent(lite: Stage) -> None:
    with pytest.raises(Invalid, match="must be uploaded first"):
        made(lite, {"model": custom(lite), "environment": IMAGE, "code_configuration": CODE})


def test_a_model_without_requirements_says_so(lite: Stage) -> None:
    at = sent(lite, "data", {"m/MLmodel": MLMODEL})
    with pytest.raises(Invalid, match=r"neither conda\.yaml nor requirements\.txt"):
        made(lite, {"model": {"path": f"azureml://uploads/{at}/m"}})


@pytest.mark.parametrize(
    ("collector", "said"),
    [
        ({"collections": {"inputs": {}}}, "inputs"),
        ({"collections": {"model_inputs": {"enabled": "perhaps"}}}, "enabled"),
        ({"collections": {"model_inputs": {}}, "sampling_rate": 2}, "sampling_rate"),
        ({"collections": {"model_inputs": {}}, "rolling_rate": "week"}, "rolling_rate"),
        ({"collections": {"model_inputs": {}}, "drop": ["a"]}, "drop"),
        ({}, "collections"),
    ],
)
def test_what_is_collected_is_checked(collector: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        OnlineDeployment.model_validate({"data_collector": collector})


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "scoring_route"),
        ({"scoring_rout": {"path": "/v1", "port": 1}}, "scoring_rout"),
        ({"scoring_route": {"path": "v1", "port": 1}}, "path"),
        ({"scoring_route": {"path": "/v1", "port": 70000}}, "port"),
    ],
)
def test_how_an_image_serves_is_checked(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        OnlineDeployment.model_validate({"environment": {"image": "mine:1", "inference_config": config}})


def test_a_size_of_the_cloud_that_nobody_knows_is_taken(lite: Stage) -> None:
    row = made(lite, {"model": mlflow(lite), "instance_type": "Standard_Z99", "type": "kubernetes"})
    with lite.scope() as scope:
        shown = deployments.as_json(scope, row)
    assert (shown["instance_type"], shown["type"]) == ("Standard_Z99", "kubernetes")


def test_names_are_unique_in_their_endpoint(stage: Stage) -> None:
    made(stage, {"model": mlflow(stage)})
    with pytest.raises(Conflict, match="has a deployment 'blue' already"):
        made(stage, {"model": mlflow(stage)}, "Blue")
    with stage.scope() as scope:
        assert deployments.get(scope, "IRIS", "BLUE").name == "blue"
        with pytest.raises(NotFound, match="Did you mean 'blue'"):
            deployments.get(scope, "iris", "bleu")


@pytest.mark.parametrize(
    "changes",
    [
        {"environment_variables": {"WORKER_COUNT": 2}},
        {"model_mount_path": "/models"},
        {"instance_type": "Standard_DS3_v2"},
        {"environment": {"image": "python:3.12"}},
        {"code_configuration": {"scoring_script": "other.py"}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_runs_is_changed_by_new_replicas_beside_the_old(lite: Stage, changes: dict[str, Any]) -> None:
    files = {**SCRIPT, "other.py": b"x"}
    what = {"model": custom(lite), "code_configuration": CODE, "environment": IMAGE}
    row = made(lite, what, snapshot=sent(lite, "code", files), code_name="onlinescoring")
    up(lite, row)
    row = changed(lite, changes)
    assert (row.generation, row.serving_generation, row.provisioning_state) == (2, 1, "Updating")
    assert (row.build_id, row.image, row.digest) == (None, "", "")
    assert row.snapshot_id is not None
    assert row.resolved["code_name"] == "onlinescoring", "what is not sent again stays"


@pytest.mark.parametrize(
    "changes",
    [
        {"description": "x"},
        {"tags": {"a": "1"}},
        {"request_settings": {"request_timeout_ms": 9000}},
        {"liveness_probe": {"period": 3}},
        {"instance_count": 4},
        {"scale_settings": {"type": "target_utilization", "min_instances": 2, "max_instances": 3}},
        {"data_collector": {"collections": {"model_inputs": {"enabled": True}}}},
        {"app_insights_enabled": True},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_all_else_holds_at_once(lite: Stage, changes: dict[str, Any]) -> None:
    row = made(lite, {"model": mlflow(lite)})
    up(lite, row)
    row = changed(lite, changes)
    assert (row.generation, row.provisioning_state, row.image) == (1, "Succeeded", "image:1")


def test_code_that_is_sent_again_is_new_code(stage: Stage) -> None:
    row = scripted(stage)
    up(stage, row)
    other = sent(stage, "code", {"score.py": b"# better\n"})
    assert changed(stage, {}, snapshot=row.snapshot_id).generation == 1
    row = changed(stage, {}, snapshot=other, code_name="onlinescoring")
    assert (row.snapshot_id, row.generation) == (other, 2)


def test_the_same_file_again_changes_nothing_and_a_failed_one_is_tried_again(stage: Stage) -> None:
    spec = {"model": mlflow(stage)}
    row = made(stage, spec)
    up(stage, row)
    same = OnlineDeployment.model_validate({"name": "blue", "endpoint_name": "iris", **spec})
    with stage.scope(stage.ben) as scope:
        row = deployments.update(scope, "iris", "blue", same)
        assert (row.generation, row.provisioning_state) == (1, "Succeeded")
        row.provisioning_state, row.message, row.failures = ProvisioningState.Failed, "It ended.", 3
        scope.session.add(row)
    with stage.scope(stage.ben) as scope:
        row = deployments.update(scope, "iris", "blue", same)
        assert (row.generation, row.provisioning_state, row.message, row.failures) == (2, "Updating", "", 0)


def test_an_update_of_what_never_answered_is_still_creating(lite: Stage) -> None:
    made(lite, {"model": mlflow(lite)})
    row = changed(lite, {"environment_variables": {"A": "1"}})
    assert (row.generation, row.provisioning_state) == (2, "Creating")


def test_a_field_is_changed_taken_away_or_refused(lite: Stage) -> None:
    made(lite, {"model": mlflow(lite), "environment_variables": {"A": "1", "B": "2"}})
    assert changed(lite, {"environment_variables": {"A": None, "C": "3"}}).spec["environment_variables"] == {
        "B": "2",
        "C": "3",
    }
    with pytest.raises(Invalid, match="Did you mean 'instance_count'"):
        changed(lite, {"instance_cuont": 2})
    with pytest.raises(Invalid, match="not of 'blue'"):
        changed(lite, {"name": "green"})


def test_a_build_context_stays_until_another_is_sent(lite: Stage) -> None:
    context = sent(lite, "context", {"Dockerfile": b"FROM python:3.11\n"})
    what = {"model": custom(lite), "code_configuration": CODE, "environment": {"build": {"path": ""}}}
    row = made(lite, what, snapshot=sent(lite, "code", SCRIPT), context=context)
    up(lite, row)
    assert changed(lite, {"description": "x"}).generation == 1
    other = sent(lite, "context", {"Dockerfile": b"FROM python:3.12\n"})
    assert changed(lite, {}, context=other).generation == 2


def test_it_is_scaled_by_hand(stage: Stage) -> None:
    row = made(stage, {"model": mlflow(stage)})
    up(stage, row)
    with stage.scope(stage.ben) as scope:
        row = deployments.scale(scope, "iris", "blue", 3)
        assert (row.instance_count, row.generation, row.provisioning_state) == (3, 1, "Succeeded")
        assert deployments.events(scope, row)[-1].message == "Deployment 'blue' went from 1 instance to 3 instances"
        for count in (0, -1, 1001, True):
            with pytest.raises(Invalid, match="1 to 1000"):
                deployments.scale(scope, "iris", "blue", count)
    assert changed(stage, {"description": "x"}).instance_count == 3


def test_who_scales_by_itself_is_not_scaled_by_hand(lite: Stage) -> None:
    settings = {"type": "target_utilization", "min_instances": 0, "max_instances": 4}
    row = made(lite, {"model": mlflow(lite), "scale_settings": settings, "instance_count": 9})
    assert row.instance_count == 4
    with lite.scope() as scope, pytest.raises(Conflict, match="scales by itself"):
        deployments.scale(scope, "iris", "blue", 2)


def test_it_goes_when_it_has_no_traffic(stage: Stage) -> None:
    row = made(stage, {"model": mlflow(stage)})
    up(stage, row)
    up(stage, made(stage, {"model": mlflow(stage)}, "green"))
    with stage.scope(stage.ben) as scope:
        endpoints.update(scope, "iris", traffic={"blue": 100}, mirror_traffic={"green": 10})
        with pytest.raises(Conflict, match="gets 100 % of the traffic") as raised:
            deployments.delete(scope, "iris", "blue")
        assert 'atelier online-endpoint update --name iris --traffic "blue=0' in str(raised.value.hint)
    with stage.scope(stage.ben) as scope:
        assert deployments.delete(scope, "iris", "green").desired == "delete"
        place = endpoints.get(scope, "iris")
        assert (place.traffic, place.mirror_traffic) == ({"blue": 100}, {})
        with pytest.raises(Conflict, match="is being deleted"):
            deployments.scale(scope, "iris", "green", 2)
    with stage.scope(stage.ben) as scope:
        endpoints.set_traffic(scope, "iris", {"blue": 0})
        row = deployments.delete(scope, "iris", "blue")
        assert (row.desired, row.provisioning_state) == ("delete", "Deleting")
        assert endpoints.get(scope, "iris").traffic == {}
    with pytest.raises(Conflict, match="is being deleted"):
        made(stage, {"model": mlflow(stage)})


def test_what_it_runs_is_in_use_and_in_its_lineage(stage: Stage) -> None:
    path = mlflow(stage)["path"]
    with stage.scope() as scope:
        model = models.create(scope, Model(name="iris", path=path))
        environments.create(scope, Environment.model_validate({"name": "env", **IMAGE}))
    row = made(stage, {"model": "azureml:iris:1", "environment": "azureml:env:1"})
    with stage.scope() as scope:
        found = lineage.around(scope, "deployment", "iris/blue")
        assert {(node.kind, node.label) for node in found.nodes} == {
            ("deployment", "blue"),
            ("model", "iris"),
            ("environment", "env"),
        }
        down = lineage.around(scope, "model", "iris:1")
        assert [node.name for node in down.nodes if node.kind == "deployment"] == ["iris/blue"]
        for kind, name in ((AssetKind.model, "iris"), (AssetKind.environment, "env")):
            with pytest.raises(Conflict, match="is used by deployment iris/blue"):
                assets.remove(scope, assets.get(scope, kind, name, "1"))
    changed(stage, {"model": mlflow(stage, **{"model/more": b"x"})})
    with stage.scope() as scope:
        assert assets.uses(scope, assets.get(scope, AssetKind.model, "iris", "1")) == []
        sources = lineage.around(scope, "deployment", row.id, direction="up")
        assert model.id not in {node.id for node in sources.nodes}


def test_secrets_are_referred_to_and_never_shown(stage: Stage) -> None:
    with stage.scope() as scope:
        secrets.keep(scope, "door", "open-sesame")
    variables = {"DOOR": "${{secrets.door}}", "API_TOKEN": "abcdef-123456", "LEVEL": "debug"}
    row = made(stage, {"model": mlflow(stage), "environment_variables": variables})
    with stage.scope(stage.ben) as scope:
        shown = deployments.as_json(scope, row)["environment_variables"]
        assert shown == {"DOOR": "${{secrets.door}}", "API_TOKEN": "***", "LEVEL": "debug"}
    with stage.scope(stage.cleo) as scope:
        shown = deployments.as_json(scope, row)["environment_variables"]
        assert shown == {"DOOR": "${{secrets.door}}", "API_TOKEN": "***", "LEVEL": "***"}
    with stage.scope() as scope:
        replica = Replica(workspace_id=row.workspace_id, deployment_id=row.id, generation=1, ordinal=0)
        scope.session.add(replica)
        written(scope, replica, "user_logs/std_log.txt", "said open-sesame\nsaid abcdef-123456\nsaid debug\n")
        assert deployments.logs(scope, row) == "said ***\nsaid ***\nsaid debug\n"


def written(scope: Scope, replica: Replica, path: str, text: str) -> None:
    file = scope.studio.folders.replica(replica.id) / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_logs_are_of_the_newest_that_lives(stage: Stage) -> None:
    row = made(stage, {"model": mlflow(stage)})
    with stage.scope() as scope, pytest.raises(NotFound, match="has had no container yet"):
        deployments.logs(scope, row)
    with stage.scope() as scope:
        states = (ReplicaState.Gone, ReplicaState.Ready, ReplicaState.Failed)
        rows = [
            Replica(
                workspace_id=row.workspace_id, deployment_id=row.id, generation=1, ordinal=0, attempt=n, state=state
            )
            for n, state in enumerate(states)
        ]
        for each in rows:
            scope.session.add(each)
            scope.session.flush()
            written(scope, each, "user_logs/std_log.txt", f"one\ntwo\n{each.state}\n")
        written(scope, rows[1], "system_logs/storage-initializer.txt", "copied\n")
        assert deployments.logs(scope, row, tail=2) == "two\nReady\n"
        assert deployments.logs(scope, row, replica=rows[2].id, tail=1) == "Failed\n"
        assert deployments.logs(scope, row, container="storage-initializer") == "copied\n"
        assert deployments.logs(scope, row, container="storage-initializer", replica=rows[0].id) == ""
        assert deployments.as_json(scope, row)["replicas"] == {"wanted": 1, "ready": 1}
        with pytest.raises(Invalid, match="inference-server, storage-initializer"):
            deployments.logs(scope, row, container="../../master.key")
        with pytest.raises(NotFound):
            deployments.logs(scope, row, replica="../..")
        with pytest.raises(Invalid, match="lines"):
            deployments.logs(scope, row, tail=0)


def test_readers_look_and_nobody_else_sees_it(stage: Stage) -> None:
    row = made(stage, {"model": mlflow(stage)})
    with stage.scope(stage.cleo) as scope:
        assert [each.name for each in deployments.listed(scope, "iris")] == ["blue"]
        assert deployments.replicas(scope, row) == []
        for ask in (
            lambda: deployments.create(scope, "iris", OnlineDeployment(name="green")),
            lambda: deployments.change(scope, "iris", "blue", {}),
            lambda: deployments.update(scope, "iris", "blue", OnlineDeployment()),
            lambda: deployments.scale(scope, "iris", "blue", 2),
            lambda: deployments.delete(scope, "iris", "blue"),
        ):
            with pytest.raises(Denied):
                ask()
    with stage.scope(workspace=None) as scope:
        other = workspaces.create(scope, Workspace(name="other"))
        scope.session.add(RoleAssignment(principal_id=stage.dan.id, role="Owner", scope=other.id))
    with stage.scope(stage.dan, "other") as scope:
        for ask in (
            lambda: deployments.get(scope, "iris", "blue"),
            lambda: deployments.listed(scope, "iris"),
            lambda: deployments.logs(scope, row),
            lambda: deployments.replicas(scope, row),
            lambda: deployments.events(scope, row),
            lambda: deployments.as_json(scope, row),
            lambda: lineage.around(scope, "deployment", row.id),
        ):
            with pytest.raises(NotFound):
                ask()


def test_another_workspaces_model_is_not_found(stage: Stage) -> None:
    with stage.scope(workspace=None) as scope:
        workspaces.create(scope, Workspace(name="other"))
    path = mlflow(stage)["path"]
    with stage.scope() as scope:
        models.create(scope, Model(name="theirs", path=path))
    for model in ("azureml:theirs:1", {"path": path}):
        with stage.scope(workspace="other") as scope:
            if not endpoints.listed(scope).rows:
                endpoints.create(scope, OnlineEndpoint(name="iris"))
            spec = OnlineDeployment.model_validate({"name": "blue", "model": model})
            with pytest.raises(NotFound):
                deployments.create(scope, "iris", spec)


def test_it_is_shown_as_the_cloud_shows_it(lite: Stage) -> None:
    row = scripted(lite, instance_type="Standard_DS3_v2", request_settings={"request_timeout_ms": 3000})
    with lite.scope() as scope:
        shown = deployments.as_json(scope, row)
    assert shown["endpoint_name"] == "iris"
    assert shown["code_configuration"] == {"code": f"azureml:{row.snapshot_id}", "scoring_script": "score.py"}
    assert shown["environment"] == IMAGE
    assert shown["request_settings"]["request_timeout_ms"] == 3000
    assert (shown["scale_settings"], shown["egress_public_network_access"]) == ({"type": "default"}, "enabled")
    assert (shown["provisioning_state"], shown["message"], shown["reason"], shown["server"]) == (
        "Creating",
        "",
        "",
        "script",
    )
