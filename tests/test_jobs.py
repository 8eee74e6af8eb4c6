"""Jobs: submitted as wishes, found again, canceled, archived; one writer of their status."""

import pytest

from services import events, jobs
from services.core.errors import Conflict, Denied, Invalid, NotFound
from services.core.states import JobStatus
from services.jobs import JobQuery
from services.specs.jobs import CommandJob
from services.studio import SYSTEM
from tests.conftest import Stage


def hello(**changes: object) -> CommandJob:
    return CommandJob.model_validate({"command": "echo hello", "environment": {"image": "python:3.11"}, **changes})


def test_a_submitted_job_is_queued_with_its_experiment_and_environment(stage: Stage):
    with stage.scope(stage.ben) as s:
        job = jobs.submit(s, hello(experiment_name="greetings", tags={"a": "b"}))
    assert job.status is JobStatus.Queued
    assert (job.experiment_name, job.created_by, job.tags) == ("greetings", "ben", {"a": "b"})
    with stage.scope(write=False) as s:
        assert [event.message for event in events.of(s, "job", job.name)] == [f"Job '{job.name}' was submitted"]


def test_a_name_is_used_once(stage: Stage):
    with stage.scope() as s:
        jobs.submit(s, hello(name="once"))
    with stage.scope() as s, pytest.raises(Conflict, match="exists already"):
        jobs.submit(s, hello(name="once"))


def test_a_reader_may_look_but_not_submit_or_cancel(stage: Stage):
    with stage.scope() as s:
        jobs.submit(s, hello(name="seen"))
    with stage.scope(stage.cleo) as s:
        assert jobs.get(s, "seen").name == "seen"
        with pytest.raises(Denied):
            jobs.submit(s, hello())
        with pytest.raises(Denied):
            jobs.cancel(s, "seen")


def test_lists_are_cut_into_pages_in_order(stage: Stage):
    with stage.scope() as s:
        for index in range(5):
            jobs.submit(s, hello(name=f"job-{index}"))
    seen, cursor = [], ""
    with stage.scope(write=False) as s:
        while True:
            page = jobs.listed(s, JobQuery(order_by="name", limit=2, cursor=cursor))
            seen += [job.name for job in page.rows]
            if not (cursor := page.next_cursor):
                break
    assert seen == [f"job-{index}" for index in range(5)]


def test_lists_are_filtered(stage: Stage):
    with stage.scope() as s:
        jobs.submit(s, hello(name="alpha", experiment_name="one"))
        jobs.submit(s, hello(name="beta", experiment_name="two", display_name="100% better"))
        jobs.archive(s, "alpha")
    with stage.scope(write=False) as s:
        assert [job.name for job in jobs.listed(s).rows] == ["beta"]
        assert [job.name for job in jobs.listed(s, JobQuery(search="100%")).rows] == ["beta"]
        assert [job.name for job in jobs.listed(s, JobQuery(search="%")).rows] == ["beta"]
        assert jobs.listed(s, JobQuery(search="_lph_")).rows == []
        assert jobs.counted(s, JobQuery(include_archived=True)) == {"Queued": 2}
        with pytest.raises(Invalid, match="not a status"):
            jobs.listed(s, JobQuery(status=("Running' or 1=1",)))
        with pytest.raises(Invalid, match="sorted"):
            jobs.listed(s, JobQuery(order_by="spec"))
        with pytest.raises(Invalid, match="cursor"):
            jobs.listed(s, JobQuery(cursor="nonsense!"))


def test_jobs_of_another_workspace_are_not_found(stage: Stage):
    from services import workspaces
    from services.specs.workspaces import Workspace as Spec

    with stage.scope(workspace=None) as s:
        workspaces.create(s, Spec(name="other"))
    with stage.scope(workspace="other") as s:
        jobs.submit(s, hello(name="theirs"))
    with stage.scope(write=False) as s, pytest.raises(NotFound):
        jobs.get(s, "theirs")


def test_advance_is_a_compare_and_set_on_status_and_lock(stage: Stage):
    with stage.scope() as s:
        jobs.submit(s, hello(name="raced"))
    with stage.studio.scope(SYSTEM, "lab", write=True) as s:
        mine = jobs.get(s, "raced")
        s.session.expunge(mine)
    with stage.studio.scope(SYSTEM, "lab", write=True) as s:
        assert jobs.advance(s, jobs.get(s, "raced"), JobStatus.Preparing, lock_token="theirs")
    with stage.studio.scope(SYSTEM, "lab", write=True) as s:
        assert not jobs.advance(s, mine, JobStatus.Preparing, lock_token="mine")
        assert jobs.get(s, "raced").lock_token == "theirs"


def test_a_status_moves_only_as_the_table_says(lite: Stage):
    with lite.scope() as s:
        job = jobs.submit(s, hello())
        with pytest.raises(Conflict, match="cannot go from"):
            jobs.advance(s, job, JobStatus.Completed)


def test_canceling_is_a_wish_and_an_ended_job_cannot_be_canceled(stage: Stage):
    with stage.scope() as s:
        jobs.submit(s, hello(name="stop"))
        assert jobs.cancel(s, "stop").desired == "cancel"
        assert jobs.cancel(s, "stop").canceled_by == "ada"
        jobs.advance(s, jobs.get(s, "stop"), JobStatus.Canceled)
        with pytest.raises(Conflict, match="is Canceled"):
            jobs.cancel(s, "stop")


def test_only_an_ended_job_is_deleted(stage: Stage):
    with stage.scope() as s:
        jobs.submit(s, hello(name="gone"))
        with pytest.raises(Conflict, match="Cancel it first"):
            jobs.delete(s, "gone")
        jobs.advance(s, jobs.get(s, "gone"), JobStatus.Canceled)
        jobs.delete(s, "gone")
    with stage.scope(write=False) as s, pytest.raises(NotFound):
        jobs.get(s, "gone")


def test_an_unknown_environment_says_how_to_find_one(stage: Stage):
    with stage.scope() as s, pytest.raises(NotFound, match="environment list"):
        jobs.submit(s, hello(environment="azureml:nothing-like-it:1"))
