"""Components: registered as people write them, shared by content, and used as jobs; on both databases."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from services import assets, components, environments, lineage, uploads
from services.core.errors import Conflict, Denied, Invalid, NotFound
from services.core.states import AssetKind
from services.specs import expressions, local_components, source
from services.specs.code import Entry
from services.specs.components import component
from services.specs.environments import Environment
from services.store.rows import Asset
from services.studio import Scope
from tests.conftest import Stage

TRAIN: dict[str, Any] = {
    "name": "train",
    "command": (
        "python train.py --data ${{inputs.data}} $[[--epochs ${{inputs.epochs}}]] $[[--rate ${{inputs.rate}}]] "
        "$[[--base ${{inputs.base}}]] --out ${{outputs.model}}"
    ),
    "environment": {"image": "debian:12"},
    "inputs": {
        "data": {"type": "uri_folder"},
        "epochs": {"type": "integer", "optional": True, "min": 1, "max": 100},
        "rate": {"type": "number", "default": 0.01, "optional": True},
        "base": {"type": "mlflow_model", "optional": True},
        "kind": {"type": "string", "default": "svc", "enum": ["svc", "forest"]},
    },
    "outputs": {"model": {"type": "mlflow_model"}},
}
DATA = {"path": "azureml://datastores/workspaceblobstore/paths/iris"}


def made(scope: Scope, **changes: Any) -> Asset:
    return components.create(scope, component({**TRAIN, **changes}))


def uploaded(scope: Scope, **files: str) -> str:
    """A snapshot of these files, as a client sends one."""
    contents = {name.replace("_py", ".py"): text.encode() for name, text in files.items()}
    entries = [Entry(path, len(text), hashlib.sha256(text).hexdigest()) for path, text in contents.items()]
    state = uploads.begin(scope, "code", entries)
    for landing in uploads.landings(scope, state.id):
        with landing.open() as file:
            file.write(contents[landing.target.name])
        landing.finish()
    uploads.seal(scope, state.id)
    return state.id


def test_versions_count_up_and_the_same_content_is_no_news(stage: Stage):
    with stage.scope() as scope:
        first, other = made(scope), made(scope, command="echo ${{inputs.kind}}")
        assert (first.version, other.version, first.type) == ("1", "2", "command")
        assert made(scope, version="1").id == first.id
        with pytest.raises(Conflict):
            made(scope, version="1", command="echo")
        assert components.get(scope, "train").id == other.id
        assert [row.version for row in components.versions(scope, "train")] == ["2", "1"]
        assert [row.name for row in components.listed(scope).rows] == ["train"]


def test_what_makes_a_component_another_one(stage: Stage):
    with stage.scope() as scope:
        code, more = uploaded(scope, train_py="print(1)"), uploaded(scope, train_py="print(2)")
        rows = [
            made(scope),
            made(scope, code=f"azureml:{code}"),
            made(scope, code=f"azureml:{more}"),
            made(scope, environment={"image": "debian:13"}),
        ]
        assert len({row.hash for row in rows}) == len(rows)
        described = components.create(
            scope, component({**TRAIN, "version": "1", "description": "new", "tags": {"a": 1}})
        )
        assert (described.id, described.description, described.tags) == (rows[0].id, "new", {"a": "1"})


def test_a_registered_environment_is_pinned_and_is_where_the_component_comes_from(stage: Stage):
    with stage.scope() as scope:
        environment = environments.create(scope, Environment(name="sk", image="debian:12"))
        row = made(scope, environment="azureml:sk@latest")
        environments.create(scope, Environment(name="sk", image="debian:13"))
        assert row.spec["environment"] == "azureml:sk:1"
        found = components.environment_of(scope, row)
        assert found is not None
        assert found.id == environment.id
        graph = lineage.around(scope, "component", row.id, direction="up")
        assert [node.label for node in graph.nodes] == ["train", "sk"]
        with pytest.raises(Conflict, match="component train:1"):
            assets.remove(scope, environment)


def test_code_is_kept_with_the_component(stage: Stage):
    with stage.scope() as scope:
        row = made(scope, code=f"azureml:{uploaded(scope, train_py='print(1)')}")
        assert [file.path for file in components.code(scope, row)] == ["train.py"]
        opened, size = components.opened_code(scope, row, "train.py")
        with opened:
            assert (opened.read(), size) == (b"print(1)", 8)
        for path in ("../x", "/etc/passwd", "a/../../x"):
            with pytest.raises(Invalid):
                components.opened_code(scope, row, path)
        with pytest.raises(NotFound):
            components.opened_code(scope, made(scope), "train.py")


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"code": "./src"}, "code"),
        ({"additional_includes": ["../shared"]}, "additional_includes"),
        ({"environment": {"build": {"path": "./docker"}}}, "environment.build.path"),
        ({"name": "Train"}, "name"),
        ({"name": "a.b"}, "name"),
        ({"name": None}, "name"),
    ],
)
def test_what_was_not_sent_or_has_no_name_is_refused(lite: Stage, changes: dict[str, Any], where: str):
    with lite.scope() as scope:
        with pytest.raises(Invalid) as told:
            made(scope, **changes)
        assert told.value.where == where


@pytest.mark.parametrize(
    "changes",
    [{"code": "azureml:" + "ab" * 32}, {"environment": "azureml:nobody:1"}, {"code": "azureml:../../etc"}],
)
def test_what_is_not_there_is_not_found(lite: Stage, changes: dict[str, Any]):
    with lite.scope() as scope, pytest.raises(NotFound):
        made(scope, **changes)


def test_a_reader_registers_nothing(lite: Stage):
    with lite.scope(lite.cleo) as scope, pytest.raises(Denied):
        made(scope)


def test_pipelines_pin_their_steps_and_anonymous_ones_are_shared(stage: Stage):
    with stage.scope() as scope:
        inline = components.resolve(scope, component({**TRAIN, "name": None}))
        assert components.resolve(scope, component({**TRAIN, "name": None})).id == inline.id
        assert (inline.name, inline.is_anonymous) == (components.ANONYMOUS, True)
        step = made(scope)
        steps = {
            "one": {"component": "azureml:train@latest", "inputs": {"data": "${{parent.inputs.data}}"}},
            "two": {"component": f"azureml:{assets.named(inline)}"},
            "three": {"command": "echo", "environment": {"image": "debian:12"}},
        }
        written = {"name": "all", "type": "pipeline", "inputs": {"data": {"type": "uri_folder"}}, "jobs": steps}
        row = components.create(scope, component(written))
        assert (row.type, row.snapshot_id) == ("pipeline", None)
        assert row.spec["jobs"]["one"]["component"] == "azureml:train:1"
        above = lineage.around(scope, "component", row.id, direction="up", levels=1)
        assert {node.id for node in above.nodes} >= {step.id, inline.id}
        with pytest.raises(NotFound, match="nobody"):
            components.create(scope, component({**written, "jobs": {"one": {"component": "azureml:nobody:1"}}}))


def test_a_component_comes_back_from_what_is_shown_of_it(stage: Stage):
    with stage.scope() as scope:
        rows = [
            made(scope, code=f"azureml:{uploaded(scope, train_py='print(1)')}"),
            made(scope, name="other", environment={"image": "debian:12", "conda_file": {"dependencies": ["pip"]}}),
        ]
        for row in rows:
            text = source.dump(components.as_json(row))
            again = components.create(scope, component(source.load(text).value))
            assert again.id == row.id


def command(scope: Scope, row: Asset, inputs: dict[str, Any]) -> str:
    """As the shell gets it."""
    job = components.job_of(scope, row, {"data": DATA, **inputs})
    places = {name: f"/in/{name}" for name in job.data()}
    return expressions.render(job.command, inputs={**job.literals(), **places}, outputs={"model": "/out"})


def test_an_optional_input_is_left_out_unless_it_has_a_value_or_a_default(lite: Stage):
    with lite.scope() as scope:
        row = made(scope)
        assert command(scope, row, {}).split() == [
            "python",
            "train.py",
            "--data",
            "/in/data",
            "--rate",
            "0.01",
            "--out",
            "/out",
        ]
        assert "--epochs 5 --rate 0.5" in command(scope, row, {"epochs": "5", "rate": 0.5})
        assert "--base /in/base" in command(scope, row, {"base": "azureml:m:1"})
        assert components.job_of(scope, row, {"data": DATA}).inputs["kind"] == "svc"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "'data' needs a value"),
        ({"data": DATA, "epochs": 0}, "less than min 1"),
        ({"data": DATA, "epochs": 101}, "more than max 100"),
        ({"data": DATA, "epochs": "many"}, "not of the type integer"),
        ({"data": DATA, "epochs": True}, "not of the type integer"),
        ({"data": DATA, "epochs": {"path": "x"}}, "is a integer, not data"),
        ({"data": DATA, "kind": "tree"}, "is none of"),
        ({"data": DATA, "wrong": 1}, "no input 'wrong'"),
    ],
)
def test_values_are_held_against_the_interface(lite: Stage, inputs: dict[str, Any], said: str):
    with lite.scope() as scope:
        row = made(scope)
        with pytest.raises(Invalid, match=said):
            components.job_of(scope, row, inputs)


def test_an_output_that_is_not_there_is_refused(lite: Stage):
    with lite.scope() as scope:
        row = made(scope)
        with pytest.raises(Invalid, match="no output 'wrong'"):
            components.job_of(scope, row, {"data": DATA}, {"wrong": {}})
        job = components.job_of(scope, row, {"data": DATA}, {"model": {"name": "m"}})
        assert (job.outputs["model"].type, job.outputs["model"].name) == ("mlflow_model", "m")


def test_a_job_of_a_component_has_its_code_environment_and_origin(stage: Stage):
    with stage.scope() as scope:
        row = made(scope, code=f"azureml:{uploaded(scope, train_py='print(1)')}")
        job = components.use(scope, row, {"data": DATA}, more={"experiment_name": "tries", "display_name": "first"})
        environment = components.environment_of(scope, row)
        assert environment is not None
        assert (job.snapshot_id, job.environment_id) == (row.snapshot_id, environment.id)
        assert (job.experiment_name, job.display_name) == ("tries", "first")
        assert [(each.name, role) for each, role in lineage.used_by(scope, row)] == [(job.name, "component")]
        with pytest.raises(Conflict, match=f"job {job.name}"):
            assets.remove(scope, row)


def test_a_pipeline_component_runs_with_pipelines_only(lite: Stage):
    steps = {"one": {"command": "echo", "environment": {"image": "debian:12"}}}
    with lite.scope() as scope:
        row = components.create(scope, component({"name": "all", "type": "pipeline", "jobs": steps}))
        with pytest.raises(Conflict, match="step of a pipeline"):
            components.use(scope, row, {})


def test_p20_registers_unmodified_and_its_optional_inputs_come_and_go(lite: Stage, census: Path):
    file = census / "assets" / "component" / "train.yml"
    read = local_components.component(source.load_file(file), file.parent)
    with lite.scope() as scope:
        uploaded(scope, train_py=(census / "assets/component/train_src/train.py").read_text())
        row = components.create(scope, component(read.written))
        assert (row.name, row.version, row.type) == ("train_data_component_cli", "1", "command")
        words = {
            epochs: components.job_of(scope, row, {"training_data": DATA, "max_epocs": epochs}).command.split()
            for epochs in (None, 7)
        }
    start = ["python", "train.py", "--training_data", "${{inputs.training_data}}"]
    rest = ["--learning_rate", "${{inputs.learning_rate}}", "--learning_rate_schedule"]
    rest += ["${{inputs.learning_rate_schedule}}", "--model_output", "${{outputs.model_output}}"]
    assert words[None] == [*start, *rest]
    assert words[7] == [*start, "--max_epocs", "${{inputs.max_epocs}}", *rest]
    assert AssetKind(row.kind) is AssetKind.component
