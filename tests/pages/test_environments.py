"""The screens of environments: lists, the editor, a build that is watched, given up and explained, and the disk."""

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from services import assets, environments
from services.core.states import AssetKind, JobStatus
from services.specs.environments import Environment
from services.store.rows import Asset, Build, Job
from tests.conftest import Stage
from tests.pages.conftest import Opened, said
from tests.pages.seed import HOSTILE

CONDA = {"dependencies": ["python=3.11", "scikit-learn=1.2"]}


def made(house: Stage, **fields: Any) -> Asset:
    with house.scope() as scope:
        spec = Environment.model_validate({"name": "train", "image": "python:3.11", **fields})
        row = environments.create(scope, spec)
        scope.session.flush()
        scope.session.expunge(row)
    return row


def built(house: Stage, row: Asset, log: str = "", **facts: Any) -> Build:
    with house.scope() as scope:
        build = Build(workspace_id=house.lab.id, engine="docker", hash=row.hash, **facts)
        scope.session.add(build)
        scope.session.flush()
        scope.session.expunge(build)
    path = house.studio.folders.build_log(house.lab.id, build.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(log)
    return build


def press(test: AppTest, key: str) -> AppTest:
    return test.button(key=key).click().run()


def test_the_clouds_curated_ones_are_on_a_tab_of_their_own(house: Stage, opened: Opened):
    test = opened("environments", tab="curated")
    assert not test.exception
    assert "maps.yml can map" in said(test)


def test_a_curated_one_opens_the_editor_with_its_packages(house: Stage, opened: Opened):
    test = opened("environments", new="1", curated="sklearn-1.5")
    assert test.text_input(key="env_name").value == "sklearn-1.5"
    assert "scikit-learn~=1.5" in test.text_area(key="env_conda").value


def test_what_is_written_in_the_editor_is_reviewed_saved_and_built(house: Stage, opened: Opened):
    house.studio.say("engine", {"kind": "docker"})
    test = opened("environments", new="1")
    assert test.button(key="act_Save and Build").disabled, "it has no name yet"
    test.text_input(key="env_name").input("train").run()
    test.text_area(key="env_conda").input("dependencies: [six]").run()
    assert "name: train" in said(test)
    press(test, "act_Save and Build")
    with house.scope(write=False) as scope:
        row = environments.get(scope, "train")
        build = environments.build_of(scope, row)
    assert row.spec["conda_file"] == {"dependencies": ["six"]}
    assert build is not None
    assert build.status == "Queued"


def test_without_a_worker_it_is_saved_all_the_same(house: Stage, opened: Opened):
    test = opened("environments", new="1")
    test.text_input(key="env_name").input("train").run()
    press(test, "act_Save and Build")
    with house.scope(write=False) as scope:
        assert environments.build_of(scope, environments.get(scope, "train")) is None


def test_a_dockerfile_can_be_written_in_the_editor(house: Stage, opened: Opened):
    test = opened("environments", new="1")
    test.text_input(key="env_name").input("docker").run()
    test.button_group(key="env_source").set_value("docker").run()
    test.text_area(key="env_dockerfile").input("FROM python:3.11\nRUN true\n").run()
    press(test, "act_Save")
    with house.scope(write=False) as scope:
        row = environments.get(scope, "docker")
        assert environments.context_file(scope, row, "Dockerfile") == b"FROM python:3.11\nRUN true\n"


def test_a_file_of_the_context_is_changed_into_a_new_version(house: Stage, opened: Opened):
    house.studio.say("engine", {"kind": "docker"})
    test = opened("environments", new="1")
    test.text_input(key="env_name").input("docker").run()
    test.button_group(key="env_source").set_value("docker").run()
    press(test, "act_Save")
    test = opened("environment", name="docker", tab="context")
    assert test.button(key="act_Save and Build").disabled, "nothing was changed"
    test.text_area[0].input("FROM python:3.11\nRUN echo two\n").run()
    press(test, "act_Save and Build")
    with house.scope(write=False) as scope:
        assert [each.version for each in environments.versions(scope, "docker")] == ["2", "1"]
        newest = environments.get(scope, "docker")
        assert b"echo two" in environments.context_file(scope, newest, "Dockerfile")


def test_what_cannot_be_a_conda_file_is_said_and_nothing_is_saved(house: Stage, opened: Opened):
    test = opened("environments", new="1")
    test.text_input(key="env_name").input("train").run()
    test.text_area(key="env_conda").input("dependencies: [six").run()
    press(test, "act_Save")
    assert "conda file:" in said(test)
    with house.scope(write=False) as scope:
        assert environments.listed(scope).rows == []


@pytest.mark.parametrize("tab", ["", "context", "log", "packages", "consume", "jobs"])
def test_every_tab_opens_before_and_after_a_build(house: Stage, opened: Opened, tab: str):
    row = made(house, conda_file=CONDA, description=HOSTILE, tags={"<b>": HOSTILE})
    assert not opened("environment", name="train", tab=tab).exception
    built(house, row, f"{HOSTILE}\n", status="Succeeded", packages=["six==1.16.0"], digest="sha256:abc", size=5_000_000)
    test = opened("environment", name="train", tab=tab)
    assert not test.exception
    assert "<img src" not in "".join(str(each.proto.body) for each in test.get("html"))


def test_details_say_what_the_builder_is_told(house: Stage, opened: Opened):
    made(house, conda_file=CONDA)
    text = said(opened("environment", name="train"))
    assert "scikit-learn==1.2.*" in text
    assert "numpy&lt;2 was added" in text


def test_a_build_is_asked_for_and_given_up_by_buttons(house: Stage, opened: Opened):
    house.studio.say("engine", {"kind": "docker"})
    row = made(house)
    press(opened("environment", name="train"), "act_Build")
    test = opened("environment", name="train")
    press(test, "act_Cancel build")
    with house.scope(write=False) as scope:
        build = environments.build_of(scope, row)
    assert build is not None
    assert build.desired == "cancel"
    assert opened("environment", name="train").button(key="act_Cancel build").disabled


def test_a_failed_build_is_explained_with_the_line_in_its_place(house: Stage, opened: Opened):
    row = made(house)
    built(house, row, "one\ntwo\nERROR: No matching distribution found for nope\nend\n", status="Failed")
    test = opened("environment", name="train", tab="log")
    text = said(test)
    assert "could not be built: A package or version does not exist" in text
    assert "line 3 of the log" in text
    assert "→    3  ERROR: No matching distribution found for nope" in text


def test_jobs_that_used_it_are_listed(lived: Stage, opened: Opened):
    row = made(lived)
    with lived.scope() as scope:
        scope.session.add(
            Job(
                workspace_id=lived.lab.id,
                name="j-1",
                display_name="the one",
                experiment_id="x",
                experiment_name="x",
                environment_id=row.id,
                status=JobStatus.Completed,
            )
        )
    assert "the one" in said(opened("environment", name="train", tab="jobs"))


def test_room_is_made_only_after_it_was_said_what_goes(house: Stage, opened: Opened):
    row = made(house)
    build = built(house, row, status="Succeeded", image="atelier/env-x:1", size=5_000_000)
    assert opened("environments", tab="disk").button(key="act_Reclaim").disabled, "a version that is not archived"
    with house.scope() as scope:
        assets.archive(scope, AssetKind.environment, "train", "1")
    test = press(opened("environments", tab="disk"), "act_Reclaim")
    assert "1 images that nothing needs are removed; 5.0 MB come free" in said(test)
    with house.scope(write=False) as scope:
        assert scope.session.get_one(Build, build.id).desired == "build"


def test_who_only_looks_may_press_nothing(house: Stage, opened: Opened):
    made(house)
    test = opened("environment", house.cleo, name="train")
    for label in ("Build", "Archive", "Delete", "New version"):
        assert test.button(key=f"act_{label}").disabled
    assert opened("environments", house.cleo).button(key="act_New environment").disabled
