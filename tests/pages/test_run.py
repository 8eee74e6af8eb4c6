"""The page of one run: what it logged, and what people write on it."""

from pathlib import Path

import orjson
import pytest
from streamlit.testing.v1 import AppTest

from app.ui import run_metrics
from services import run_files, run_marks
from services.metric_tee import Tee
from services.metrics import MetricSummary
from services.store import metrics as store
from services.store.metrics import Point, Run
from services.store.rows import Experiment
from services.studio import run_root
from tests.conftest import Stage
from tests.pages.conftest import Opened, said
from tests.pages.seed import HOSTILE

RUN, CHILD, GRANDCHILD, OTHER = "a" * 32, "b" * 32, "c" * 32, "d" * 32
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)


def put(stage: Stage, path: str, content: bytes, run_id: str = RUN) -> Path:
    target = run_root(stage.studio, stage.lab.id, "1", run_id) / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return target


@pytest.fixture
def logged(house: Stage) -> Stage:
    """A script's run with a child and a grandchild, pictures, a table, and names that try to break out."""
    with house.scope() as scope:
        scope.session.add(Experiment(workspace_id=house.lab.id, name="digits", mlflow_id="1", created_by="ben"))
        for run_id, name, parent in ((RUN, HOSTILE, None), (CHILD, "trial 1", RUN), (GRANDCHILD, "fold 1", CHILD)):
            fields = {"name": name, "parent_run_id": parent, "status": "FINISHED", "user": "ben", "start_time": 1000}
            row = {"run_id": run_id, "workspace_id": house.lab.id, "experiment_id": "1", "end_time": 61_000, **fields}
            store.save_run(scope.session, Run.model_validate(row))
        keys = store.ensure_keys(scope.session, ["rate", "p/<b>"])
        store.save_params(scope.session, [(RUN, keys["rate"], "0.1"), (RUN, keys["p/<b>"], HOSTILE)])
        told = orjson.dumps([{"path": "eval.json", "type": "table"}]).decode()
        source = {"mlflow.source.name": "/home/ben/train.py", "mlflow.source.type": "LOCAL", "team": HOSTILE}
        tags = {**source, run_files.LOGGED_TABLES: told}
        store.save_tags(scope.session, [(RUN, key, value) for key, value in tags.items()])
        parents = ((CHILD, RUN), (GRANDCHILD, CHILD))
        store.save_tags(scope.session, [(run_id, "mlflow.parentRunId", parent) for run_id, parent in parents])
    tee = Tee(house.studio)
    for run_id in (RUN, CHILD, GRANDCHILD):
        values = [Point("val/accuracy", 0.5 + step / 10, 1000 + step, step) for step in range(3)]
        tee.points(run_id, [*values, Point("loss", 0.25, 1000, 0), Point("system/cpu", 5.0, 1000, 0)])
    tee.close()
    for step in (1, 5):
        put(house, f"images/digits+step+{step}+timestamp+{step}+0b1c6a2e-1111-4222-8333-444455556666.png", PIXEL)
    put(house, "eval.json", orjson.dumps({"columns": ["a", HOSTILE], "data": [[1.5, HOSTILE], [None, True]]}))
    put(house, "notes/README.md", HOSTILE.encode())
    return house


def test_the_overview_says_what_the_run_is_and_what_it_logged(logged: Stage, opened: Opened):
    screen = opened("run", run=RUN)
    assert not screen.exception
    text = said(screen)
    for words in ("val/accuracy", "0.7", "rate", "0.1", "train.py", "digits", "Completed", "1m 00s"):
        assert words in text
    assert "system/cpu" not in text
    labels = ["Overview", "Metrics", "Images", "Tables", "Artifacts", "System metrics", "Children"]
    assert [tab.label for tab in screen.tabs] == labels


def test_a_metric_is_best_by_its_direction(logged: Stage, opened: Opened):
    text = said(opened("run", run=RUN))
    rows = {line.split("</td>")[0]: line for line in text.replace("<tr><td>", "\n").splitlines()}
    assert "<b>0.7</b>" in rows["val/accuracy"]
    assert "<b>0.25</b>" in rows["loss"]
    assert '</td><td class="at-num">2</td><td class="at-num">3</td>' in rows["val/accuracy"]


def test_the_other_tabs_show_what_there_is(logged: Stage, opened: Opened):
    assert "digits" in said(opened("run", run=RUN, tab="images"))
    assert "step=1" in said(opened("run", run=RUN, tab="images", step="3")).replace("step+", "step=").replace(
        "step%2B", "step="
    )
    tables = said(opened("run", run=RUN, tab="tables"))
    assert ">1.5</td>" in tables
    assert "2 rows, 2 columns" in tables
    files = said(opened("run", run=RUN, tab="artifacts"))
    assert "README.md" in files
    children = said(opened("run", run=RUN, tab="children"))
    assert children.index("trial 1") < children.index("fold 1")


@pytest.mark.parametrize("tab", ["", "metrics", "images", "tables", "artifacts", "monitoring", "children"])
def test_hostile_names_stay_text(logged: Stage, opened: Opened, tab: str):
    change(logged, tags={"x": HOSTILE}, note=f"# Hello {HOSTILE}\n\n![spy](http://example.com/x.png)")
    screen = opened("run", run=RUN, tab=tab)
    assert not screen.exception
    assert "<img src=x" not in "\n".join(str(each.proto.body) for each in screen.get("html"))
    assert not any(each.proto.allow_html for each in screen.markdown)


def saved(screen: AppTest, opener: str) -> None:
    """At once: a dialog is drawn in the run in which it was asked for, and only then."""
    screen.button(key=opener).click()
    next(each for each in screen.button if each.label == "Save").click().run()


def change(stage: Stage, name: str = RUN, **what: object) -> None:
    with stage.scope() as scope:
        run_marks.change(scope, name, **what)  # type: ignore[arg-type]


def test_a_star_a_note_and_tags_are_written_and_mlflow_is_to_be_told(logged: Stage, opened: Opened):
    screen = opened("run", who=logged.ben, run=RUN)
    screen.button(key="act_star").click().run()
    screen.button(key="act_note").click().run()
    screen.text_area(key="note_text").set_value("**Better** than the last one.")
    saved(screen, "act_note")
    screen.button(key="act_tags").click().run()
    screen.text_input(key="tag_new").set_value("data")
    screen.text_input(key="tag_new_value").set_value("v2")
    screen.checkbox(key="tag_gone:0").check()
    saved(screen, "act_tags")
    assert not screen.exception
    with logged.scope() as scope:
        marks = run_marks.of(scope, RUN)
        assert (marks.is_starred, marks.note, marks.tags) == (True, "**Better** than the last one.", {"data": "v2"})
        wished = {tag.key: tag.wish for _, tag in store.wished_tags(scope.session, 10)}
    assert wished == {"data": "set", "team": "remove", run_marks.NOTE: "set", run_marks.STARRED: "set"}
    assert "**Better** than the last one." in [each.value for each in screen.markdown]


def test_a_refused_tag_says_why(logged: Stage, opened: Opened):
    screen = opened("run", who=logged.ben, run=RUN)
    screen.button(key="act_tags").click().run()
    screen.text_input(key="tag_new").set_value("mlflow.user")
    saved(screen, "act_tags")
    assert "are not written by hand" in said(screen)


def test_a_reader_sees_all_and_changes_nothing(logged: Stage, opened: Opened):
    screen = opened("run", who=logged.cleo, run=RUN)
    assert all(screen.button(key=key).disabled for key in ("act_star", "act_note", "act_tags", "act_color"))


def test_another_workspaces_run_is_not_found(logged: Stage, opened: Opened):
    with logged.scope() as scope:
        store.save_run(scope.session, Run(run_id=OTHER, workspace_id="other", experiment_id="1", name="secret"))
    text = said(opened("run", run=OTHER))
    assert "was not found" in text
    assert "secret" not in text


def test_a_metric_logged_once_is_a_number_and_the_others_are_lines_by_their_prefix():
    once, twice = (MetricSummary(key, 1.0, 0, 1.0, 1.0, count) for key, count in (("loss", 1), ("val/loss", 2)))
    board = run_metrics.of_metrics([twice, once])
    assert [(section.title, [tile.type for tile in section.tiles]) for section in board.sections] == [
        ("Metrics", ["scalar"]),
        ("val", ["line"]),
    ]


def test_a_job_shows_what_its_run_logged_and_what_is_nested_in_it(lived: Stage, opened: Opened):
    with lived.scope() as scope:
        job = store.named(scope.session, lived.lab.id, f"{2:032x}")[1]
        assert job is not None
        assert job.run_id is not None
        scope.session.get_one(Experiment, job.experiment_id).mlflow_id = "1"
        for run_id, name in ((job.run_id, job.name), (CHILD, "trial 1")):
            fields = {"run_id": run_id, "workspace_id": lived.lab.id, "experiment_id": "1", "job_id": job.id}
            store.save_run(scope.session, Run.model_validate({**fields, "name": name}))
        store.save_tags(
            scope.session, [(CHILD, "mlflow.parentRunId", job.run_id), (job.run_id, run_marks.NOTE, "*so*")]
        )
        name, run_id = job.name, job.run_id
    assert "Images" not in [tab.label for tab in opened("job", job=name).tabs]
    put(lived, "epoch_3.png", PIXEL, run_id)
    screen = opened("job", job=name)
    assert [tab.label for tab in screen.tabs][:4] == ["Overview", "Metrics", "Images", "Children"]
    assert "*so*" in [each.value for each in screen.markdown]
    assert "trial 1" in said(opened("job", job=name, tab="children"))
    assert "epoch_*.png" in said(opened("job", job=name, tab="images"))
    change(lived, name, tags={"model": None, "data": "v2"})
    shown = said(opened("job", job=name))
    assert "data: v2" in shown
    assert "model: svc" not in shown


def test_a_jobs_own_run_is_shown_on_the_jobs_page(lived: Stage, opened: Opened):
    with lived.scope() as scope:
        job = store.named(scope.session, lived.lab.id, f"{2:032x}")[1]
        assert job is not None
        scope.session.get_one(Experiment, job.experiment_id).mlflow_id = "1"
        run = {"run_id": job.run_id, "workspace_id": lived.lab.id, "experiment_id": "1", "job_id": job.id}
        store.save_run(scope.session, Run.model_validate(run))
        name, run_id = job.name, job.run_id
    screen = opened("run", run=run_id)
    assert screen.query_params["job"] == name
    assert name in said(screen)
