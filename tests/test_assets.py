"""What holds for assets of every kind: versions that never change, labels that move, references, uses."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from services import assets, jobs, lineage, workspaces
from services.assets import AssetQuery, Content
from services.core.errors import Conflict, Denied, Invalid, NotFound
from services.core.states import AssetKind
from services.specs.jobs import CommandJob
from services.specs.workspaces import Workspace as WorkspaceSpec
from services.store.rows import Asset
from services.studio import Scope
from tests.conftest import Stage

KINDS = list(AssetKind)


def made(
    scope: Scope,
    name: str = "iris",
    version: str | None = None,
    *,
    content: str = "a",
    kind: AssetKind = AssetKind.data,
) -> Asset:
    type_ = "uri_folder" if kind is AssetKind.data else ""
    return assets.register(scope, kind, name, version, Content(content * 64, type=type_, path="https://x.org/a"))


@pytest.mark.parametrize("kind", KINDS)
def test_versions_count_up_by_themselves(stage: Stage, kind: AssetKind) -> None:
    with stage.scope() as scope:
        assert [made(scope, content=text, kind=kind).version for text in "abc"] == ["1", "2", "3"]
        assert made(scope, version="9", kind=kind).version == "9"
        assert made(scope, version="v1", kind=kind).version == "v1"
        assert made(scope, kind=kind).version == "10"


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_version_with_the_same_content_is_a_no_op_and_with_another_a_conflict(
    stage: Stage, kind: AssetKind
) -> None:
    with stage.scope() as scope:
        first = made(scope, version="1", kind=kind)
        assert made(scope, version="1", kind=kind).id == first.id
        with pytest.raises(Conflict, match="another content"):
            made(scope, version="1", content="b", kind=kind)
        assert len(assets.versions(scope, kind, "iris")) == 1


def test_what_is_no_content_may_change_when_it_is_sent_again(stage: Stage) -> None:
    content = Content("a" * 64, type="uri_file", path="https://x.org/a")
    with stage.scope() as scope:
        assets.register(scope, AssetKind.data, "iris", "1", content, description="old", tags={"a": "1"})
        again = assets.register(scope, AssetKind.data, "iris", "1", content, description="new", tags={"b": "2"})
        assert (again.description, again.tags) == ("new", {"b": "2"})
        assert assets.register(scope, AssetKind.data, "iris", "1", content).description == "new"


def test_a_data_asset_keeps_its_type_over_versions(stage: Stage) -> None:
    with stage.scope() as scope:
        made(scope)
        with pytest.raises(Conflict, match="uri_folder"):
            assets.register(scope, AssetKind.data, "iris", None, Content("b" * 64, type="mltable"))


def test_latest_is_the_version_created_last_whatever_its_name(stage: Stage) -> None:
    with stage.scope() as scope:
        made(scope, version="9")
    with stage.scope() as scope:
        made(scope, version="2", content="b")
        assert assets.get(scope, AssetKind.data, "iris").version == "2"
        assert assets.resolve(scope, AssetKind.data, "azureml:iris@latest").version == "2"
        assert [row.version for row in assets.listed(scope, AssetKind.data).rows] == ["2"]
        assets.archive(scope, AssetKind.data, "iris", "2")
        assert assets.get(scope, AssetKind.data, "iris").version == "9"
        assert assets.get(scope, AssetKind.data, "iris", "2").archived_at is not None


@pytest.mark.parametrize(
    "reference",
    [
        "azureml:iris:1",
        "azureml:iris@latest",
        "azureml:iris",
        "azureml:iris@champion",
        "azureml://subscriptions/s/resourceGroups/r/providers/Microsoft.MachineLearningServices/workspaces/lab/data/iris/versions/1",
        "azureml:/subscriptions/s/resourceGroups/r/workspaces/lab/data/iris/versions/1",
        "/subscriptions/s/resourceGroups/r/providers/Microsoft.MachineLearningServices/workspaces/lab/data/iris/versions/1",
        "azureml://subscriptions/s/resourcegroups/r/workspaces/LAB/data/iris/labels/latest",
    ],
)
def test_a_reference_in_any_form_finds_it(stage: Stage, reference: str) -> None:
    with stage.scope() as scope:
        row = made(scope)
        assets.set_label(scope, row, "champion")
        assert assets.resolve(scope, AssetKind.data, reference).id == row.id


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("azureml:nothing:1", "was not found"),
        ("azureml:iris:7", "has no version '7'"),
        ("azureml:iris@best", "has no label 'best'"),
        ("azureml://registries/azureml/data/iris/versions/1", "registry"),
        ("azureml://subscriptions/s/resourcegroups/r/workspaces/other/data/iris/versions/1", "not in this workspace"),
    ],
)
def test_a_reference_to_nothing_says_where_and_what_there_is(stage: Stage, reference: str, says: str) -> None:
    with stage.scope() as scope:
        made(scope)
        with pytest.raises(NotFound, match=says) as refused:
            assets.resolve(scope, AssetKind.data, reference, where="inputs.x.path")
        assert refused.value.where == "inputs.x.path"


@pytest.mark.parametrize("reference", ["", "azureml:", "azureml:a:b:c", "azureml:../x", "azureml:a@b c", "a b", "ａ:1"])
def test_what_is_no_reference_is_refused(stage: Stage, reference: str) -> None:
    with stage.scope() as scope, pytest.raises(Invalid):
        assets.resolve(scope, AssetKind.data, reference)


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".a", "a b", "a\n", "ａ", "x" * 256])
def test_names_are_of_letters_digits_and_a_few_signs(stage: Stage, name: str) -> None:
    with stage.scope() as scope, pytest.raises(Invalid):
        made(scope, name)


@pytest.mark.parametrize("version", ["../1", "a/b", "latest", " 1", "1\n", "x" * 256])
def test_versions_are_names_too(stage: Stage, version: str) -> None:
    with stage.scope() as scope, pytest.raises(Invalid):
        made(scope, version=version)


def test_a_label_stands_on_one_version_and_moves(stage: Stage) -> None:
    with stage.scope() as scope:
        one, two = made(scope), made(scope, content="b")
        assets.set_label(scope, one, "champion")
        assets.set_label(scope, two, "champion")
        assert (assets.labels_of(scope, one), assets.labels_of(scope, two)) == ([], ["champion"])
        assets.remove_label(scope, AssetKind.data, "iris", "champion")
        with pytest.raises(NotFound):
            assets.remove_label(scope, AssetKind.data, "iris", "champion")
        with pytest.raises(Invalid, match="created last"):
            assets.set_label(scope, one, "latest")


def test_what_a_job_used_is_not_deleted_and_says_by_whom(stage: Stage) -> None:
    spec = CommandJob.model_validate({"command": "x", "environment": {"image": "python:3.11"}})
    with stage.scope() as scope:
        row = made(scope)
        job = jobs.submit(scope, spec)
        lineage.record(scope, (str(row.kind), row.id), ("job", job.id), "raw")
        lineage.record(scope, (str(row.kind), row.id), ("job", job.id), "raw")
        assert [(use.kind, use.name, use.role) for use in assets.uses(scope, row)] == [("job", job.name, "raw")]
        with pytest.raises(Conflict, match=job.name):
            assets.remove(scope, row)
        environment = assets.get_by_id(scope, str(job.environment_id))
        assert [use.name for use in assets.uses(scope, environment)] == [job.name]


def test_what_nobody_uses_goes_and_its_number_is_not_given_again_to_something_else(stage: Stage) -> None:
    with stage.scope() as scope:
        row = made(scope)
        assets.remove(scope, row)
        with pytest.raises(NotFound):
            assets.get(scope, AssetKind.data, "iris")


def test_lists_search_narrow_sort_and_page(stage: Stage) -> None:
    with stage.scope() as scope:
        for number in range(7):
            made(scope, f"set{number}", content=str(number))
        first = assets.register(
            scope, AssetKind.data, "other", None, Content("f" * 64, type="uri_file"), tags={"team": "ml"}
        )
        first.description = "about SETs"
        names = [row.name for row in assets.listed(scope, AssetKind.data, AssetQuery(search="set")).rows]
        assert names == ["other", *(f"set{number}" for number in range(7))]
        assert [row.name for row in assets.listed(scope, AssetKind.data, AssetQuery(tag="team=ml")).rows] == ["other"]
        assert [row.name for row in assets.listed(scope, AssetKind.data, AssetQuery(type="uri_file")).rows] == ["other"]
        page = assets.listed(scope, AssetKind.data, AssetQuery(limit=5, order_by="-name"))
        rest = assets.listed(scope, AssetKind.data, AssetQuery(limit=5, order_by="-name", cursor=page.next_cursor))
        assert [row.name for row in page.rows + rest.rows] == [
            *(f"set{number}" for number in range(6, -1, -1)),
            "other",
        ]
        assert assets.counted(scope, AssetKind.data, AssetQuery(search="set", limit=2)) == 8
        with pytest.raises(Invalid, match="sorted by"):
            assets.listed(scope, AssetKind.data, AssetQuery(order_by="hash"))


def test_another_workspaces_asset_is_not_found(stage: Stage) -> None:
    with stage.scope() as scope:
        row = made(scope)
    with stage.scope(workspace=None) as scope:
        workspaces.create(scope, WorkspaceSpec(name="other"))
    with stage.scope(workspace="other") as scope:
        with pytest.raises(NotFound):
            assets.get(scope, AssetKind.data, "iris")
        with pytest.raises(NotFound):
            assets.get_by_id(scope, row.id)
        assert assets.listed(scope, AssetKind.data).rows == []


def test_a_reader_reads_and_changes_nothing(stage: Stage) -> None:
    with stage.scope() as scope:
        made(scope)
    with stage.scope(stage.cleo) as scope:
        row = assets.get(scope, AssetKind.data, "iris")
        for refused in (
            lambda: made(scope, "more"),
            lambda: assets.change(scope, row, description="x"),
            lambda: assets.archive(scope, AssetKind.data, "iris"),
            lambda: assets.set_label(scope, row, "x"),
            lambda: assets.remove(scope, row),
        ):
            with pytest.raises(Denied):
                refused()


def test_versions_that_are_made_at_once_get_numbers_of_their_own(stage: Stage) -> None:
    gate = threading.Barrier(6)

    def make(number: int) -> str:
        gate.wait()
        with stage.scope() as scope:
            return made(scope, content=str(number)).version

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(make, range(6))) == ["1", "2", "3", "4", "5", "6"]
