"""The screens of components: the list, what one shows, and the job that is made of one."""

import hashlib
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from app.ui import component_forms
from services import assets, components, jobs, uploads
from services.core.errors import Invalid, NotFound
from services.core.states import AssetKind
from services.specs.code import Entry
from services.specs.components import component
from services.store.rows import Asset
from tests.conftest import Stage
from tests.pages import seed
from tests.pages.conftest import Opened, said

TRAIN: dict[str, Any] = {
    "name": "train",
    "display_name": "Train it",
    "command": "python train.py --kind ${{inputs.kind}} $[[--epochs ${{inputs.epochs}}]] --data ${{inputs.table}}",
    "environment": {"image": "debian:12"},
    "inputs": {
        "table": {"type": "uri_file"},
        "kind": {"type": "string", "default": "svc", "enum": ["svc", "forest"]},
        "epochs": {"type": "integer", "optional": True, "min": 1, "max": 9},
        "rate": {"type": "number", "default": 0.1},
        "shuffle": {"type": "boolean", "default": True},
        "note": {"type": "string", "optional": True, "description": seed.HOSTILE},
    },
    "outputs": {"model": {"type": "uri_folder"}},
}


def uploaded(stage: Stage, contents: dict[str, str]) -> str:
    entries = [Entry(path, len(text), hashlib.sha256(text.encode()).hexdigest()) for path, text in contents.items()]
    with stage.scope() as scope:
        state = uploads.begin(scope, "code", entries)
        for path, text in contents.items():
            landing = uploads.landing(scope, state.id, path)
            with landing.open() as target:
                target.write(text.encode())
            landing.finish()
        uploads.seal(scope, state.id)
    return state.id


def made(stage: Stage, **changes: Any) -> Asset:
    with stage.scope() as scope:
        return components.create(scope, component({**TRAIN, **changes}))


def labels(test: AppTest) -> dict[str, Any]:
    return {button.label: button for button in test.button}


def filled(test: AppTest, opener: str, sender: str, **values: Any) -> AppTest:
    """All at once: a dialog is drawn in the run in which it was asked for, and only then."""
    buttons = labels(test)
    if sender not in buttons:
        for key, value in values.items():
            test.session_state[key] = value
        buttons[opener].click().run()
        buttons = labels(test)
    for kind in ("text_input", "text_area", "number_input", "selectbox"):
        for box in test.get(kind):
            if box.key in values:
                box.set_value(values[box.key])
    buttons[opener].click()
    buttons[sender].click()
    return test.run()


def test_the_list_shows_what_there_is_and_whose(house: Stage, opened: Opened) -> None:
    assert "atelier component create -f component.yml" in said(opened("components"))
    made(house)
    test = opened("components", house.ben)
    assert not test.exception
    assert "No components yet" not in said(test)
    assert "No components match" in said(opened("components", house.ben, mine="1"))
    assert "No components match" not in said(opened("components", house.ada, mine="1"))


@pytest.mark.parametrize("tab", ["", "code", "environment", "jobs", "yaml"])
def test_every_tab_opens_for_every_kind(house: Stage, opened: Opened, tab: str) -> None:
    snapshot = uploaded(house, {"train.py": seed.CODE, "lib/x.py": "X = 1\n"})
    made(house, code=f"azureml:{snapshot}", description=seed.HOSTILE, tags={"<b>": "x"})
    made(house, name="bare")
    steps = {"one": {"component": "azureml:train:1", "inputs": {"table": {"path": "azureml:iris:1"}}}}
    with house.scope() as scope:
        components.create(scope, component({"name": "all", "type": "pipeline", "jobs": steps}))
    for name in ("train", "bare", "all"):
        test = opened("component", name=name, tab=tab)
        assert not test.exception
        assert "This page could not be shown" not in said(test)
        assert "<img" not in "\n".join(str(element.proto.body) for element in test.get("html"))


def test_the_interface_is_a_table(house: Stage, opened: Opened) -> None:
    made(house)
    words = said(opened("component", name="train"))
    for word in ("epochs", "integer", "1 … 9", "svc, forest", "uri_folder", "Required"):
        assert word in words
    assert "has no version" in said(opened("component", name="train", version="9"))


def test_a_job_is_made_by_filling_the_form(house: Stage, opened: Opened) -> None:
    row = made(house)
    test = opened("component", house.ben, name="train")
    labels(test)["Use in a job"].click().run()
    boxes = {box.key: box for kind in ("text_input", "number_input", "selectbox") for box in test.get(kind)}
    assert boxes["use_in_kind"].options == ["svc", "forest"]
    assert (boxes["use_in_epochs"].min, boxes["use_in_epochs"].max) == (1, 9)
    assert (boxes["use_in_rate"].value, boxes["use_in_shuffle"].value) == (0.1, "true")
    filled(test, "Use in a job", "Submit", use_display="by hand", use_in_epochs=3)
    assert "table&#x27; needs a value" in said(test)
    with house.scope() as scope:
        assert jobs.listed(scope).rows == []
        job = components.use(scope, row, {"table": "azureml://datastores/workspaceblobstore/paths/x.csv"})
        assert job.spec["inputs"]["shuffle"] is True


def test_a_component_without_data_is_submitted_by_the_form(house: Stage, opened: Opened) -> None:
    inputs = {name: each for name, each in TRAIN["inputs"].items() if name != "table"}
    made(house, name="free", inputs=inputs, command="echo $[[--epochs ${{inputs.epochs}}]] ${{inputs.shuffle}}")
    test = opened("component", house.ben, name="free")
    filled(test, "Use in a job", "Submit", use_in_epochs=3)
    with house.scope() as scope:
        (job,) = jobs.listed(scope).rows
        assert job.spec["inputs"] == {"kind": "svc", "epochs": 3, "rate": 0.1, "shuffle": True}
        assert job.spec["command"] == "echo --epochs ${{inputs.epochs}} ${{inputs.shuffle}}"


def test_only_commands_offer_a_job_and_readers_see_why_not(house: Stage, opened: Opened) -> None:
    made(house)
    steps = {"one": {"command": "echo", "environment": {"image": "debian:12"}}}
    with house.scope() as scope:
        components.create(scope, component({"name": "all", "type": "pipeline", "jobs": steps}))
    button = labels(opened("component", house.cleo, name="train"))["Use in a job"]
    assert button.disabled
    assert "jobs/write" in button.help
    test = opened("component", name="all")
    assert "Use in a job" not in labels(test)
    assert "runs as a step of a pipeline" in said(test)


def test_one_from_text_is_registered(house: Stage, opened: Opened) -> None:
    test = opened("components", house.ben)
    written = "name: typed\ncommand: echo\nenvironment: {image: 'debian:12'}\n"
    way = component_forms.TEXT
    filled(test, "New component", "Create", component_way=way, component_yaml=f"{written}colour: red\n")
    assert "Unknown field &#x27;colour&#x27;" in said(test)
    filled(test, "New component", "Create", component_way=way, component_yaml=written)
    with house.scope() as scope:
        assert components.get(scope, "typed").created_by == "ben"


FOLDER = {
    "part/train.yml": (
        "name: sent\ncommand: python train.py\ncode: ./src\nenvironment: ./env.yml\nadditional_includes: [../shared]\n"
    ),
    "part/env.yml": "image: debian:12\nconda_file: ./conda.yml\n",
    "part/conda.yml": "dependencies: [pip]\n",
    "part/src/train.py": "print(1)\n",
    "shared/tool.py": "TOOL = 1\n",
    "part/all.yml": "name: all\ntype: pipeline\njobs:\n  one: {component: ./train.yml}\n",
    "part/up.yml": "name: up\ncommand: echo\ncode: ../../..\nenvironment: {image: 'debian:12'}\n",
    "part/home.yml": "name: home\ncommand: echo\ncode: ~/x\nenvironment: {image: 'debian:12'}\n",
    "part/etc.yml": "name: etc\ncommand: echo\ncode: /etc\nenvironment: {image: 'debian:12'}\n",
    "part/conda-up.yml": "name: c\ncommand: echo\nenvironment: {image: 'debian:12', conda_file: ../../../../x.yml}\n",
    "part/include-up.yml": "name: i\ncommand: echo\nadditional_includes: [/etc/hosts]\nenvironment: azureml:x:1\n",
    "part/environment-up.yml": "name: e\ncommand: echo\nenvironment: file:/etc/passwd\n",
}


@pytest.fixture
def root(house: Stage, opened: Opened) -> Any:
    """A folder as a browser sends it, and the reader that a page gives it to."""
    opened("components")
    snapshot = uploaded(house, FOLDER)
    return house.studio.folders.snapshot(house.lab.id, snapshot)


def test_a_folder_that_was_sent_is_read_as_the_command_line_reads_it(root: Any) -> None:
    read = component_forms._read(root, "part/train.yml")
    assert [entry.path for entry in read.code[0].entries] == ["train.py", "shared/tool.py"]
    assert read.written["environment"]["conda_file"] == {"dependencies": ["pip"]}
    pipeline = component_forms._read(root, "part/all.yml")
    assert list(pipeline.parts) == [("jobs", "one", "component")]


@pytest.mark.parametrize("name", ["up", "home", "etc", "conda-up", "include-up", "environment-up"])
def test_no_path_of_it_leads_out_of_what_was_sent(root: Any, name: str) -> None:
    with pytest.raises(Invalid) as told:
        component_forms._read(root, f"part/{name}.yml")
    assert "leads out of the folder" in told.value.message or "was not found" in told.value.message
    assert str(root) not in f"{told.value.message}{told.value.where}"


@pytest.mark.parametrize("name", ["../x.yml", "/etc/passwd", "nothing.yml"])
def test_no_other_file_is_chosen(root: Any, name: str) -> None:
    with pytest.raises((Invalid, NotFound)):
        component_forms._read(root, name)


def test_it_is_archived_and_comes_back(house: Stage, opened: Opened) -> None:
    made(house)
    test = opened("component", house.ben, name="train")
    labels(test)["Archive"].click().run()
    with house.scope() as scope:
        assert components.get(scope, "train").archived_at is not None
    assert "archived" in said(opened("component", name="train"))


def test_what_is_used_cannot_be_deleted_and_says_by_what(house: Stage, opened: Opened) -> None:
    row = made(house, inputs={}, command="echo")
    with house.scope() as scope:
        job = components.use(scope, row, {})
    test = opened("component", house.ben, name="train")
    labels(test)["Delete"].click().run()
    assert job.name in said(test)
    with house.scope() as scope:
        assert assets.get(scope, AssetKind.component, "train").id == row.id
