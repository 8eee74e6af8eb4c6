"""Workspaces: created by one field, deleted softly, recovered, given up for purging."""

import pytest

from services import jobs, workspaces
from services.core.errors import Conflict, Denied, Invalid, NotFound
from services.specs.jobs import CommandJob
from services.specs.workspaces import Workspace as Spec
from services.specs.workspaces import WorkspaceUpdate
from tests.conftest import Stage


def test_one_field_is_enough_and_four_datastores_come_with_it(stage: Stage):
    from services import datastores

    with stage.scope(workspace=None) as s:
        made = workspaces.create(s, Spec(name="vision"))
    with stage.scope(workspace="vision", write=False) as s:
        stores = datastores.listed(s)
    assert made.display_name == "vision"
    assert [store.name for store in stores] == sorted(datastores.BUILT_IN)
    assert [store.name for store in stores if store.is_default] == ["workspaceblobstore"]
    assert all(datastores.folder(stage.studio, store).is_dir() for store in stores)


def test_a_name_is_taken_whatever_its_case(stage: Stage):
    with stage.scope(workspace=None) as s, pytest.raises(Conflict, match="exists already"):
        workspaces.create(s, Spec(name="LAB"))


@pytest.mark.parametrize("name", ["a", "-lab", "lab/../x", "ｌab", "lab\n", "x" * 64, "static"])
def test_bad_names_are_refused(lite: Stage, name: str):
    with lite.scope(workspace=None) as s, pytest.raises(Invalid):
        workspaces.create(s, Spec(name=name))


def test_a_workspace_of_others_is_not_found(stage: Stage):
    with pytest.raises(NotFound), stage.scope(stage.dan, write=False):
        pass
    with pytest.raises(NotFound), stage.scope(stage.ada, "nowhere", write=False):
        pass


def test_those_without_a_role_see_only_theirs(stage: Stage):
    with stage.scope(workspace=None) as s:
        workspaces.create(s, Spec(name="hidden"))
    with stage.scope(stage.cleo, write=False) as s:
        assert [row.name for row in workspaces.listed(s)] == ["lab"]
    with stage.scope(stage.ada, write=False) as s:
        assert [row.name for row in workspaces.listed(s)] == ["hidden", "lab"]


def test_a_data_scientist_may_not_change_the_workspace(stage: Stage):
    with stage.scope(stage.ben) as s, pytest.raises(Denied, match="workspaces/write"):
        workspaces.update(s, WorkspaceUpdate(description="mine now"))


def test_update_changes_only_what_was_given(stage: Stage):
    with stage.scope() as s:
        workspaces.update(s, WorkspaceUpdate(display_name="The lab", tags={"cost": "42"}))
    with stage.scope() as s:
        row = workspaces.update(s, WorkspaceUpdate(description="where we work"))
    assert (row.display_name, row.description, row.tags) == ("The lab", "where we work", {"cost": "42"})


def test_deleting_cancels_jobs_and_recovering_brings_it_back(stage: Stage):
    with stage.scope() as s:
        jobs.submit(s, CommandJob(name="one", command="true", environment={"image": "python:3.11"}))
    with stage.scope() as s:
        workspaces.delete(s)
    with pytest.raises(NotFound), stage.scope(write=False):
        pass
    with stage.scope(deleted=True) as s:
        assert jobs.get(s, "one").desired == "cancel"
        workspaces.recover(s)
    with stage.scope(write=False) as s:
        assert workspaces.get(s).deleted_at is None


def test_only_a_deleted_one_is_purged_and_its_name_waits_for_it(stage: Stage):
    with stage.scope() as s, pytest.raises(Conflict, match="must be deleted"):
        workspaces.purge(s)
    with stage.scope() as s:
        workspaces.delete(s)
    with stage.scope(workspace=None) as s, pytest.raises(Conflict, match="can still be recovered"):
        workspaces.create(s, Spec(name="lab"))
    with stage.scope(deleted=True) as s:
        workspaces.purge(s)
    with stage.scope(deleted=True) as s, pytest.raises(Conflict, match="being purged"):
        workspaces.recover(s)
