"""What people write on a run in the studio is what MLflow's own client reads, and the other way round."""

import pytest

from services import run_marks
from services.reconcile.run_marks import RunMarks
from services.store import metrics as store
from tests.tracking.conftest import Notebook, Site

pytestmark = pytest.mark.slow


def marks(site: Site, run: str) -> run_marks.Marks:
    with site.stage.scope(write=False) as scope:
        return run_marks.of(scope, run)


def test_a_note_a_star_and_tags_go_both_ways(site: Site, notebook: Notebook, ben: dict[str, str]):
    run = notebook.run(
        """
        mlflow.set_experiment("marks")
        with mlflow.start_run(tags={"team": "vision", "old": "x"}, description="from the client") as run:
            mlflow.log_metric("loss", 0.5)
        answer = run.info.run_id
        """,
        ben,
    )
    site.eventually(lambda: marks(site, run).tags == {"team": "vision", "old": "x"}, "the tags are here")
    assert marks(site, run).note == "from the client"

    with site.stage.scope(site.stage.ben) as scope:
        run_marks.change(scope, run, tags={"team": "audio", "old": None}, note="from the *studio*", is_starred=True)
    RunMarks(site.stage.studio, lambda: site.tracking).look()
    read = f"answer = dict(MlflowClient().get_run('{run}').data.tags)"
    theirs = notebook.run(read, ben)
    assert (theirs["team"], theirs["mlflow.note.content"], theirs["atelier.starred"]) == (
        "audio",
        "from the *studio*",
        "true",
    )
    assert "old" not in theirs

    notebook.run(
        f"""
        MlflowClient().delete_tag("{run}", "team")
        MlflowClient().set_tag("{run}", "mlflow.note.content", "again from the client")
        """,
        ben,
    )
    site.eventually(lambda: marks(site, run).tags == {}, "the tag is gone here too")
    assert (marks(site, run).note, marks(site, run).is_starred) == ("again from the client", True)


def test_a_run_that_was_deleted_there_is_wished_for_no_more(site: Site, notebook: Notebook, ben: dict[str, str]):
    run = notebook.run(
        """
        mlflow.set_experiment("marks")
        with mlflow.start_run() as run:
            pass
        answer = run.info.run_id
        """,
        ben,
    )
    with site.stage.scope(site.stage.ben) as scope:
        run_marks.change(scope, run, tags={"team": "audio"})
    site.tracking.delete_run(f"ws-{site.stage.lab.id}", run)
    RunMarks(site.stage.studio, lambda: site.tracking).look()
    with site.stage.studio.database.session(write=False) as session:
        assert store.wished_tags(session, 10) == []
