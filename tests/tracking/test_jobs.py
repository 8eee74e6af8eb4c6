"""A job's side: plain MLflow code lands on the job's run, and its token opens nothing else."""

import threading

import pytest

from services.core.states import JobStatus
from services.core.times import now
from services.engines.fake_containers import FakeEngine
from services.reconcile.removals import Removals
from services.store.metrics import Run
from services.store.rows import Job
from tests.tracking.conftest import Notebook, Site

pytestmark = pytest.mark.slow
V2 = "/api/2.0/mlflow"


def test_logging_without_a_word_about_runs_lands_on_the_jobs_own(site: Site, notebook: Notebook):
    job = site.job(experiment_name="plain")
    notebook.run(
        "mlflow.log_param('depth', 3)\nmlflow.log_metric('loss', 0.5, step=2)\nmlflow.set_tag('a', 'b')", job.variables
    )
    site.eventually(lambda: [each.key for each in site.summary(job.name).metrics] == ["loss"], "the metric is there")
    found = site.summary(job.name)
    assert (found.metrics[0].last, found.metrics[0].last_step, found.params) == (0.5, 2, {"depth": "3"})
    site.eventually(lambda: site.summary(job.name).tags.get("a") == "b", "the tag is there")
    (row,) = site.runs("plain")
    assert (row.job, row.run_id) == (job.name, job.run_id)


def test_a_run_that_the_script_starts_is_the_jobs_and_nested_ones_hang_below_it(site: Site, notebook: Notebook):
    job = site.job(experiment_name="nested")
    children = notebook.run(
        """
        with mlflow.start_run() as run:
            mlflow.log_metric("outer", 1)
            answer = [run.info.run_id]
            for depth in (2, 3):
                with mlflow.start_run(nested=True, run_name=f"depth {depth}") as child:
                    mlflow.log_param("depth", depth)
                    mlflow.log_metric("inner", depth)
                    answer.append(child.info.run_id)
        """,
        job.variables,
    )
    assert children[0] == job.run_id
    site.eventually(
        lambda: [row.status for row in site.runs("nested") if not row.job] == ["Completed"] * 2,
        "both are listed and over",
    )
    with site.stage.studio.database.session(write=False) as session:
        rows = [session.get_one(Run, run_id) for run_id in children[1:]]
    assert {(row.parent_run_id, row.job_id, row.status) for row in rows} == {(job.run_id, job.id, "FINISHED")}
    job.ended()
    inner = {row.run_id: row.cells["metrics.inner"] for row in site.runs("nested", "metrics.inner")}
    assert inner == {job.run_id: None, children[1]: 2.0, children[2]: 3.0}


def test_autolog_logs_to_the_jobs_run_and_its_model_can_be_loaded(site: Site, notebook: Notebook):
    job = site.job(experiment_name="autolog")
    said = notebook.run(
        """
        from sklearn.datasets import load_iris
        from sklearn.linear_model import LogisticRegression
        mlflow.sklearn.autolog(log_datasets=False)
        features, labels = load_iris(return_X_y=True)
        LogisticRegression(max_iter=20).fit(features[:100], labels[:100])
        run = mlflow.last_active_run()
        model = mlflow.search_logged_models(output_format="list")[0]
        loaded = mlflow.pyfunc.load_model(model.model_uri)
        answer = [run.info.run_id, model.source_run_id, loaded.predict(features[:2]).tolist()]
        """,
        job.variables,
    )
    assert said == [job.run_id, job.run_id, [0, 0]]
    site.eventually(lambda: "max_iter" in site.summary(job.name).params, "the parameters are there")
    site.eventually(
        lambda: "training_score" in {each.key for each in site.summary(job.name).metrics}, "the metrics are there"
    )


def test_a_jobs_name_is_taken_wherever_a_run_is_meant(site: Site, notebook: Notebook, ben: dict[str, str]):
    job = site.job(experiment_name="names")
    notebook.run("mlflow.log_metric('m', 1)\nmlflow.log_text('hello', 'a.txt')", job.variables)
    said = notebook.run(
        f"""
        name = "{job.name}"
        client = MlflowClient()
        child = client.create_run(mlflow.get_run(name).info.experiment_id, tags={{"mlflow.parentRunId": name}})
        client.set_tag(name, "seen", "yes")
        answer = {{
            "id": mlflow.get_run(name).info.run_id,
            "history": [each.value for each in client.get_metric_history(name, "m")],
            "files": [each.path for each in client.list_artifacts(name)],
            "text": Path(mlflow.artifacts.download_artifacts(run_id=name, artifact_path="a.txt")).read_text(),
            "parent": mlflow.get_run(child.info.run_id).data.tags["mlflow.parentRunId"],
        }}
        """,
        ben,
    )
    assert said == {"id": job.run_id, "history": [1.0], "files": ["a.txt"], "text": "hello", "parent": job.run_id}


def test_a_jobs_token_changes_no_other_run_model_or_experiment(site: Site, notebook: Notebook, ben: dict[str, str]):
    mine, other = site.job(experiment_name="mine"), site.job(experiment_name="others")
    model_id, experiment_id = notebook.run(
        f"""
        model = mlflow.initialize_logged_model(name="theirs", source_run_id="{other.run_id}")
        answer = [model.model_id, model.experiment_id]
        """,
        ben,
    )
    run = {"run_id": other.run_id}
    metric = {"key": "m", "value": 1, "timestamp": 1, "step": 0}
    attempts = [
        ("POST", f"{V2}/runs/log-metric", {**run, **metric}),
        ("POST", f"{V2}/runs/log-metric", {"run_id": other.name, **metric}),
        ("POST", f"{V2}/runs/log-batch", {**run, "metrics": [metric]}),
        ("POST", f"{V2}/runs/update", {**run, "status": "FAILED"}),
        ("POST", f"{V2}/runs/set-tag", {**run, "key": "a", "value": "b"}),
        ("POST", f"{V2}/runs/delete", run),
        ("POST", f"{V2}/logged-models", {"experiment_id": experiment_id, "source_run_id": other.run_id}),
        ("PATCH", f"{V2}/logged-models/{model_id}", {"model_id": model_id, "status": "LOGGED_MODEL_READY"}),
        ("DELETE", f"{V2}/logged-models/{model_id}", None),
        ("POST", f"{V2}/experiments/delete", {"experiment_id": experiment_id}),
        ("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{experiment_id}/{other.run_id}/artifacts/x", None),
        ("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{experiment_id}/models/{model_id}/artifacts/x", None),
        ("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{experiment_id}/x", None),
    ]
    for method, path, body in attempts:
        answer = site.asked(method, path, token=mine.token, json=body)
        assert answer.status_code in {403, 409}, (method, path, body, answer.text)
    assert (
        site.asked("GET", f"{V2}/runs/get", token=mine.token, params=run).json()["run"]["data"].get("metrics") is None
    )
    own = site.asked("POST", f"{V2}/runs/log-metric", token=mine.token, json={"run_id": mine.name, **metric})
    assert own.status_code == 200


def test_a_field_in_camel_case_does_not_slip_past(site: Site):
    mine, other = site.job(), site.job()
    body = {"runId": other.run_id, "key": "a", "value": "b"}
    for more in ({}, {"run_id": mine.run_id}):
        answer = site.asked("POST", f"{V2}/runs/set-tag", token=mine.token, json={**body, **more})
        assert answer.status_code == 400
    answer = site.asked(
        "POST", f"{V2}/experiments/create", token=mine.token, json={"name": "x", "artifactLocation": "/"}
    )
    assert answer.status_code == 400


def test_a_jobs_token_opens_its_workspace_whatever_the_header_says(site: Site, notebook: Notebook):
    job = site.job("ada", "lab", experiment_name="headers")
    found = notebook.run(
        "answer = [mlflow.get_run(os.environ['MLFLOW_RUN_ID']).info.run_id]",
        {**job.variables, "MLFLOW_WORKSPACE": "clinic"},
    )
    assert found == [job.run_id]


def test_a_jobs_token_dies_with_its_run(site: Site):
    job = site.job()
    asked = lambda: site.asked("GET", f"{V2}/runs/get", token=job.token, params={"run_id": job.name}).status_code  # noqa: E731
    assert asked() == 200
    job.ended()
    site.eventually(lambda: asked() == 401, "the token is refused")


def test_the_run_of_a_job_is_not_deleted_behind_the_jobs_back(site: Site):
    job = site.job()
    answer = site.asked("POST", f"{V2}/runs/delete", json={"run_id": job.run_id})
    assert answer.status_code == 409
    assert job.name in answer.json()["message"]


def test_a_call_waits_for_the_run_of_a_job_that_has_just_started(site: Site):
    job = site.job()
    run_id = job.run_id
    with site.stage.studio.database.session(write=True) as session:
        session.get_one(Job, job.id).run_id = None

    def made() -> None:
        with site.stage.studio.database.session(write=True) as session:
            session.get_one(Job, job.id).run_id = run_id

    later = threading.Timer(0.5, made)
    later.start()
    answer = site.asked("GET", f"{V2}/runs/get", token=job.token, params={"run_id": job.name})
    later.join()
    assert answer.json()["run"]["info"]["run_id"] == run_id


def test_what_a_job_logged_goes_with_it_nested_runs_included(site: Site, notebook: Notebook):
    job = site.job(experiment_name="gone")
    child = notebook.run(
        """
        with mlflow.start_run():
            with mlflow.start_run(nested=True) as child:
                mlflow.log_metric("inner", 1)
                mlflow.log_text("x", "x.txt")
        answer = child.info.run_id
        """,
        job.variables,
    )
    site.eventually(lambda: len(site.runs("gone")) == 2, "both runs are listed")
    job.ended()
    with site.stage.studio.database.session(write=True) as session:
        row = session.get_one(Job, job.id)
        row.status, row.deleted_at, row.collected_at = JobStatus.Completed, now(), now()
        session.add(row)
    run_ids = (job.run_id, child)
    Removals(site.stage.studio, FakeEngine(), lambda: site.tracking).look()
    assert site.runs("gone") == []
    for run_id in run_ids:
        assert site.tracking.run(f"ws-{site.stage.lab.id}", run_id).lifecycle_stage == "deleted"
        assert site.stage.studio.history.counts(run_id) == {}
