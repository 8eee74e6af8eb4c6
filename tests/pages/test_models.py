"""The screens of models: the list, the wizard with its four origins, and all that one model shows and can do."""

import hashlib
import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from services import jobs, lineage, models, uploads
from services.core.states import JobStatus
from services.core.times import now
from services.reconcile.registry_plan import MARK
from services.specs.code import Entry
from services.specs.jobs import CommandJob
from services.specs.models import Model as Spec
from services.store.rows import Asset, Experiment, Job
from tests.conftest import Stage
from tests.pages.conftest import Opened, said

MLMODEL = """
flavors:
  python_function: {loader_module: os, python_version: 3.11.9}
  sklearn: {sklearn_version: 1.5.0, pickled_model: model.pkl}
mlflow_version: 2.9.2
saved_input_example_info: {artifact_path: input_example.json}
signature:
  inputs: >
    [{"name": "petal <b>", "type": "double"},
     {"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 4]}}]
  outputs: '[{"type": "long", "required": false}]'
  params: '[{"name": "t", "type": "double", "default": 0.5, "shape": null}]'
"""


def html(test: AppTest) -> str:
    return "".join(str(element.proto.body) for element in test.get("html"))


def upload(stage: Stage, contents: dict[str, bytes]) -> str:
    entries = [Entry(path, len(content), hashlib.sha256(content).hexdigest()) for path, content in contents.items()]
    with stage.scope() as scope:
        begun = uploads.begin(scope, "data", entries)
        for path, content in contents.items() if not begun.complete else ():
            landing = uploads.landing(scope, begun.id, path)
            with landing.open() as target:
                target.write(content)
            landing.finish()
        if not begun.complete:
            uploads.seal(scope, begun.id)
    return f"azureml://uploads/{begun.id}/"


def model(stage: Stage, content: bytes = b"x", /, **fields: Any) -> Asset:
    path = upload(
        stage, {"MLmodel": MLMODEL.encode(), "model.pkl": content, "notes/<i>.txt": b"<script>alert(1)</script>"}
    )
    with stage.scope() as scope:
        return models.create(scope, Spec.model_validate({"name": "iris", "path": path, **fields}))


@pytest.fixture
def trained(house: Stage) -> Job:
    """A job that is over and has left a model among its artifacts."""
    with house.scope() as scope:
        spec = CommandJob.model_validate({"name": "trained", "command": "x", "environment": {"image": "debian:12"}})
        job = jobs.submit(scope, spec)
        job.status, job.started_at, job.finished_at, job.collected_at = JobStatus.Completed, now(), now(), now()
        job.run_id = "ab" * 16
        scope.session.get_one(Experiment, job.experiment_id).mlflow_id = "7"
        scope.session.add(job)
    root = house.studio.folders.artifacts / "workspaces" / f"ws-{job.workspace_id}" / "7" / ("ab" * 16) / "artifacts"
    for path, text in (
        ("outputs/model/MLmodel", MLMODEL),
        ("outputs/plots/a.txt", "x"),
        ("user_logs/std_log.txt", "x"),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return job


def test_a_list_shows_the_latest_of_each(house: Stage, opened: Opened) -> None:
    model(house)
    model(house, b"y", stage="Production")
    test = opened("models")
    assert not test.exception
    shown = json.dumps([str(each.proto) for each in test.get("bidi_component")])
    assert "iris" in shown or "iris" in said(test)


@pytest.mark.parametrize("tab", ["details", "versions", "artifacts", "endpoints", "jobs", "data", "compare"])
@pytest.mark.parametrize("who", ["ada", "cleo"])
def test_every_tab_opens_with_one_version_and_with_two(house: Stage, opened: Opened, tab: str, who: str) -> None:
    model(house)
    for _ in range(2):
        test = opened("model", getattr(house, who), name="iris", tab=tab)
        assert not test.exception
        assert "This page could not be shown" not in said(test)
        model(house, b"y")


def test_details_say_what_the_files_say_and_trust_nothing(house: Stage, opened: Opened) -> None:
    model(house, description="petals", tags={"team": "x"})
    words = said(opened("model", name="iris"))
    for word in ("sklearn_version", "1.5.0", "petal &lt;b&gt;", "float32", "= 0.5", "input_example.json", "team: x"):
        assert word in words, word
    assert "On its way" in words
    assert "<script>" not in words


def test_a_file_is_shown_as_text(house: Stage, opened: Opened) -> None:
    model(house)
    assert "sklearn_version: 1.5.0" in said(opened("model", name="iris", tab="artifacts"))
    assert "<script>alert(1)</script>" not in html(opened("model", name="iris", tab="artifacts", file="notes/<i>.txt"))
    words = said(opened("model", name="iris", tab="artifacts", file="../../../atelier.db"))
    assert "SQLite" not in words


def test_versions_beside_each_other_say_what_differs(house: Stage, opened: Opened) -> None:
    model(house)
    model(house, b"longer")
    words = said(opened("model", name="iris", tab="compare", **{"with": "1,2"}))
    assert "<b>model.pkl</b>" in words
    assert "all alike" in words


def test_an_approval_is_shown_and_can_be_withdrawn(house: Stage, opened: Opened) -> None:
    model(house)
    test = opened("model", name="iris")
    test.button(key="act_Approve").click().run()
    assert [each.key for each in test.text_area] == ["approval_note"]
    with house.scope() as scope:
        models.approve(scope, models.get(scope, "iris"), "read <b>and</b> tried")
    assert "read &lt;b&gt;and&lt;/b&gt; tried" in said(opened("model", name="iris"))
    opened("model", name="iris").button(key="act_Withdraw approval").click().run()
    with house.scope() as scope:
        assert "approval" not in models.get(scope, "iris").facts


def test_a_reader_sees_why_nothing_can_be_changed(house: Stage, opened: Opened) -> None:
    model(house)
    test = opened("model", house.cleo, name="iris")
    assert all(each.disabled for each in test.button if (each.key or "").startswith("act_"))


def test_what_is_used_says_so_instead_of_asking(house: Stage, opened: Opened) -> None:
    row = model(house)
    with house.scope() as scope:
        spec = CommandJob.model_validate({"name": "reader", "command": "x", "environment": {"image": "debian:12"}})
        lineage.record(scope, ("model", row.id), ("job", jobs.submit(scope, spec).id), "m")
    test = opened("model", name="iris")
    test.button(key="act_Delete").click().run()
    assert "cannot be deleted" in said(test)
    assert "reader" in said(opened("model", name="iris", tab="jobs"))


def test_an_unused_version_asks_for_its_name(house: Stage, opened: Opened) -> None:
    model(house)
    test = opened("model", name="iris")
    test.button(key="act_Delete").click().run()
    assert "iris:1" in said(test)
    assert test.button(key="_confirm_do").disabled


def test_a_jobs_output_is_registered_from_its_page(house: Stage, opened: Opened, trained: Job) -> None:
    assert "/new_model?ws=lab&amp;job=trained" in said(opened("job", job="trained"))
    test = opened("new_model", job="trained")
    assert "What is there" in said(test)
    assert "sklearn" in said(test), "the folder with an MLmodel comes first"
    test.text_input(key="model_name").input("petals").run()
    test.button(key="act_Register").click().run()
    assert not test.exception
    with house.scope() as scope:
        made = models.get(scope, "petals")
        assert (made.type, made.job_id, made.version) == ("mlflow_model", trained.id, "1")
    words = said(opened("model", name="petals"))
    assert "job=trained" in words


def test_a_datastores_path_and_a_uri_are_looked_at_before(house: Stage, opened: Opened) -> None:
    folder = house.studio.folders.datastore(house.lab.id, "workspaceblobstore") / "models" / "iris"
    folder.mkdir(parents=True)
    (folder / "weights.onnx").write_bytes(b"no onnx")
    test = opened("new_model", origin="datastore")
    test.text_input(key="model_path").input("models/iris").run()
    assert "ONNX" in said(test)
    test = opened("new_model", origin="uri", path="runs:/nobody/model")
    assert "was not found" in said(test)
    assert test.button(key="act_Register").disabled


def test_a_mismatch_of_types_is_said_politely(house: Stage, opened: Opened) -> None:
    folder = house.studio.folders.datastore(house.lab.id, "workspaceblobstore") / "m"
    folder.mkdir(parents=True)
    (folder / "x.bin").write_bytes(b"x")
    test = opened("new_model", origin="datastore")
    test.text_input(key="model_path").input("m").run()
    test.text_input(key="model_name").input("odd").run()
    test.selectbox(key="model_type:custom_model").select("mlflow_model").run()
    test.button(key="act_Register").click().run()
    assert "a file named MLmodel" in said(test)


def test_a_mark_of_ours_is_no_tag(house: Stage, opened: Opened) -> None:
    row = model(house)
    assert MARK not in said(opened("model", name=row.name))


def test_a_password_in_an_address_is_not_shown(house: Stage, opened: Opened) -> None:
    with house.scope() as scope:
        path = "https://ada:s3cret-word@example.com/iris.onnx?sig=s3cret-word"
        models.create(scope, Spec(name="signed", path=path))
    for tab in ("details", "versions", "artifacts", "compare"):
        assert "s3cret-word" not in said(opened("model", name="signed", tab=tab))
