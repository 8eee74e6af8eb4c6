"""What people write on runs: checked, kept as wishes, hidden or shown at once. On both databases."""

import pytest

from services import events, experiments, jobs, run_marks
from services.core import colors
from services.core.errors import Conflict, Denied, Invalid, NotFound
from services.specs.jobs import CommandJob
from services.store import metrics as store
from services.store.metrics import Run
from services.store.rows import Job, Principal
from tests.conftest import Stage

RUN = "a" * 32


def with_run(stage: Stage, run_id: str = RUN, **fields: object) -> str:
    """A run that a notebook logged."""
    with stage.scope() as scope:
        row = {"run_id": run_id, "workspace_id": stage.lab.id, "experiment_id": "1", "name": "one", **fields}
        store.save_run(scope.session, Run.model_validate(row))
        store.save_tags(scope.session, [(run_id, "team", "vision"), (run_id, "mlflow.user", "ben")])
    return run_id


def with_job(stage: Stage, name: str, run_id: str | None) -> str:
    with stage.scope() as scope:
        spec = {"command": "x", "environment": {"image": "python:3.11"}, "name": name, "tags": {"team": "vision"}}
        job = jobs.submit(scope, CommandJob.model_validate(spec))
        scope.session.get_one(Job, job.id).run_id = run_id
        experiments.get(scope, "Default").mlflow_id = "1"
    return name


def marks(stage: Stage, name: str = RUN) -> run_marks.Marks:
    with stage.scope(stage.cleo, write=False) as scope:
        return run_marks.of(scope, name)


def change(stage: Stage, name: str = RUN, who: Principal | None = None, **what: object) -> None:
    with stage.scope(who or stage.ben) as scope:
        run_marks.change(scope, name, **what)  # type: ignore[arg-type]


def wishes(stage: Stage) -> dict[str, str]:
    with stage.scope() as scope:
        return {tag.key: tag.wish for _, tag in store.wished_tags(scope.session, 100)}


def test_what_is_written_is_there_at_once_and_mlflow_is_to_be_told(stage: Stage):
    with_run(stage)
    change(stage, tags={"team": None, "data": "v2"}, note="**good**\n", is_starred=True, color="#AB00cd")
    assert marks(stage) == run_marks.Marks({"data": "v2"}, "**good**\n", is_starred=True, color="#ab00cd")
    assert wishes(stage) == {
        "team": "remove", "data": "set", "mlflow.note.content": "set", "atelier.starred": "set", "atelier.color": "set",
    }  # fmt: skip
    with stage.scope() as scope:
        (told,) = events.of(scope, "run", RUN)
        assert told.message == "Run got tag 'data', its note, its star, its colour set and tag 'team' removed"


def test_what_is_taken_back_falls_to_what_it_was_without(stage: Stage):
    with_run(stage)
    change(stage, note="x", is_starred=True, color="#000000")
    change(stage, note=" ", is_starred=False, color="")
    assert marks(stage) == run_marks.Marks({"team": "vision"}, "", is_starred=False, color=colors.of(RUN))


def test_what_mlflow_says_in_between_takes_no_wish_back(stage: Stage):
    with_run(stage)
    change(stage, tags={"team": "audio", "old": None}, note="mine")
    with stage.scope() as scope:
        store.save_tags(scope.session, [(RUN, "team", "vision"), (RUN, "old", "back"), (RUN, "free", "new")])
        store.remove_tag(scope.session, RUN, "mlflow.note.content")
        store.remove_tag(scope.session, RUN, "free")
    assert marks(stage) == run_marks.Marks({"team": "audio"}, "mine", color=colors.of(RUN))


def test_a_wish_that_changed_while_mlflow_was_told_stays_one(stage: Stage):
    with_run(stage)
    change(stage, tags={"team": "audio"})
    with stage.scope() as scope:
        ((_, told),) = store.wished_tags(scope.session, 10)
        scope.session.expunge(told)
    change(stage, tags={"team": "speech"})
    with stage.scope() as scope:
        store.granted(scope.session, told)
    assert wishes(stage) == {"team": "set"}
    assert marks(stage).tags == {"team": "speech"}


def test_a_job_and_its_run_have_one_star_and_the_same_tags(stage: Stage):
    with_run(stage)
    with_job(stage, "calm_otter", RUN)
    change(stage, "calm_otter", tags={"team": None, "seed": "1"}, is_starred=True)
    assert marks(stage, RUN) == marks(stage, "calm_otter") == run_marks.Marks({"seed": "1"}, "", True, colors.of(RUN))
    with stage.scope() as scope:
        job = jobs.get(scope, "calm_otter")
        assert (job.tags, job.starred) == ({"seed": "1"}, True)
        assert "tag 'seed', its star set" in events.of(scope, "job", "calm_otter")[-1].message


def test_a_job_without_a_run_has_tags_and_a_star_and_no_note_yet(stage: Stage):
    with_job(stage, "calm_otter", None)
    change(stage, "calm_otter", tags={"seed": "1"}, is_starred=True)
    assert marks(stage, "calm_otter") == run_marks.Marks({"seed": "1", "team": "vision"}, is_starred=True)
    with pytest.raises(Conflict, match="has no run yet"):
        change(stage, "calm_otter", note="x")


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ({"tags": {"mlflow.user": "eve"}}, "tags"),
        ({"tags": {"atelier.job": "other"}}, "tags"),
        ({"tags": {"<b>": "x"}}, "tags"),
        ({"tags": {"": "x"}}, "tags"),
        ({"tags": {"../x": "x"}}, "tags"),
        ({"tags": {"a//b": "x"}}, "tags"),
        ({"tags": {"k" * 251: "x"}}, "tags"),
        ({"tags": {"k": "x" * 8001}}, "k"),
        ({"tags": {f"k{at}": "x" for at in range(101)}}, "tags"),
        ({"note": "x" * 8001}, "note"),
        ({"color": "red"}, "color"),
        ({"color": "#12345"}, "color"),
        ({"color": "#123456;x"}, "color"),
    ],
)
def test_what_mlflow_would_refuse_is_refused_here(lite: Stage, what: dict[str, object], where: str):
    with_run(lite)
    with pytest.raises(Invalid) as refused:
        change(lite, **what)
    assert refused.value.where == where
    assert wishes(lite) == {}


def test_the_longest_that_is_allowed_is_kept(stage: Stage):
    with_run(stage)
    change(stage, tags={"k" * 250: "x" * 8000, "a b/c:d-é": ""}, note="é" * 8000)
    assert marks(stage).tags == {"k" * 250: "x" * 8000, "a b/c:d-é": "", "team": "vision"}


def test_readers_write_nothing_and_outsiders_see_nothing(stage: Stage):
    with_run(stage)
    with pytest.raises(Denied):
        change(stage, who=stage.cleo, is_starred=True)
    with pytest.raises(NotFound):
        change(stage, who=stage.dan, is_starred=True)
    with_run(stage, "b" * 32, workspace_id="other")
    with_run(stage, "c" * 32, lifecycle_stage="deleted")
    for name in ("b" * 32, "c" * 32, "nothing"):
        with pytest.raises(NotFound):
            change(stage, name, is_starred=True)
        with pytest.raises(NotFound):
            marks(stage, name)


def test_what_a_job_is_told_its_run_is_told_but_for_what_mlflow_would_refuse(stage: Stage):
    name = with_job(stage, "one", with_run(stage))
    with stage.scope() as scope:
        jobs.update_details(scope, name, tags={"data": "v2", "<odd>": "kept here"}, starred=True)
    assert wishes(stage) == {"team": "remove", "data": "set", "atelier.starred": "set"}
    with stage.scope() as scope:
        jobs.update_details(scope, name, display_name="other", starred=False)
        assert jobs.get(scope, name).tags == {"data": "v2", "<odd>": "kept here"}
    assert wishes(stage)["atelier.starred"] == "remove"
