"""An unmodified MLflow client on a user's own machine: all that it does every day works through the proxy."""

import threading

import psutil
import pytest

from services import experiments
from tests.tracking.conftest import LAB, Notebook, Site

pytestmark = pytest.mark.slow


def test_what_a_notebook_logs_is_read_back_as_it_was(notebook: Notebook, ben: dict[str, str]):
    said = notebook.run(
        """
        from mlflow.entities import Metric, Param, RunTag
        mlflow.set_experiment("iris")
        with mlflow.start_run(run_name="first", tags={"team": "x"}) as run:
            mlflow.log_param("depth", 3)
            mlflow.log_params({"rate": 0.1, "kind": "tree"})
            for step in range(5):
                mlflow.log_metric("loss", 1 / (step + 1), step=step)
            mlflow.log_metrics({"accuracy": 0.9, "f1": 0.8}, step=4)
            mlflow.set_tag("stage", "draft")
            MlflowClient().log_batch(
                run.info.run_id, [Metric("b", 1.5, 1000, 7)], [Param("p", "q")], [RunTag("t", "u")])
        found = mlflow.get_run(run.info.run_id)
        history = MlflowClient().get_metric_history(run.info.run_id, "loss")
        answer = {
            "metrics": found.data.metrics, "params": found.data.params, "tags": found.data.tags,
            "status": found.info.status, "name": found.info.run_name, "steps": [m.step for m in history],
        }
        """,
        ben,
    )
    assert said["metrics"] == {"loss": 0.2, "accuracy": 0.9, "f1": 0.8, "b": 1.5}
    assert said["params"] == {"depth": "3", "rate": "0.1", "kind": "tree", "p": "q"}
    assert (said["tags"]["team"], said["tags"]["stage"], said["tags"]["t"]) == ("x", "draft", "u")
    assert (said["status"], said["name"], said["steps"]) == ("FINISHED", "first", [0, 1, 2, 3, 4])


def test_runs_of_outside_clients_are_in_the_experiments_table(site: Site, notebook: Notebook, ben: dict[str, str]):
    run_id = notebook.run(
        """
        mlflow.set_experiment("outside")
        with mlflow.start_run(run_name="by hand") as run:
            mlflow.log_metric("loss", 0.25)
            mlflow.log_param("depth", 3)
        answer = run.info.run_id
        """,
        ben,
    )
    site.eventually(lambda: [row.status for row in site.runs("outside")] == ["Completed"], "the run is listed and over")
    (row,) = site.runs("outside", "metrics.loss", "params.depth")
    assert (row.run_id, row.job, row.name, row.status) == (run_id, "", "by hand", "Completed")
    assert row.cells == {"metrics.loss": 0.25, "params.depth": "3"}


def test_without_an_experiment_runs_land_in_the_workspaces_default_one(
    site: Site, notebook: Notebook, ben: dict[str, str]
):
    run_id = notebook.run("with mlflow.start_run() as run: mlflow.log_metric('m', 1)\nanswer = run.info.run_id", ben)
    site.eventually(lambda: run_id in {row.run_id for row in site.runs("Default")}, "the run is listed")


def test_a_run_that_a_client_deletes_is_hidden_until_it_is_restored(
    site: Site, notebook: Notebook, ben: dict[str, str]
):
    run_id = notebook.run(
        """
        mlflow.set_experiment("regrets")
        with mlflow.start_run() as run:
            mlflow.log_metric("m", 1)
        MlflowClient().delete_run(run.info.run_id)
        answer = run.info.run_id
        """,
        ben,
    )
    site.eventually(lambda: site.runs("regrets") == [], "the run is hidden")
    notebook.run(f"MlflowClient().restore_run('{run_id}')", ben)
    site.eventually(lambda: [row.run_id for row in site.runs("regrets")] == [run_id], "the run is back")
    (row,) = site.runs("regrets", "metrics.m")
    assert row.cells == {"metrics.m": 1.0}


def test_an_experiment_is_renamed_deleted_and_restored_by_its_client(
    site: Site, notebook: Notebook, ben: dict[str, str]
):
    def shown() -> set[str]:
        with site.stage.scope(write=False) as scope:
            return {each.experiment.name for each in experiments.listed(scope)}

    number = notebook.run("answer = mlflow.create_experiment('draft', tags={'a': 'b'})", ben)
    notebook.run(f"MlflowClient().rename_experiment('{number}', 'final')", ben)
    assert "final" in shown()
    assert "draft" not in shown()
    notebook.run(f"mlflow.delete_experiment('{number}')", ben)
    assert "final" not in shown()
    notebook.run(f"MlflowClient().restore_experiment('{number}')", ben)
    assert "final" in shown()


def test_artifacts_go_up_and_come_down(notebook: Notebook, ben: dict[str, str]):
    said = notebook.run(
        """
        mlflow.set_experiment("files")
        Path("notes.txt").write_text("well done")
        with mlflow.start_run() as run:
            mlflow.log_artifact("notes.txt", "docs")
            mlflow.log_dict({"a": [1, 2]}, "config.json")
            mlflow.log_text("grüße", "sub folder/ü ber.txt")
        base = f"runs:/{run.info.run_id}"
        answer = {
            "listed": sorted(each.path for each in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)),
            "deeper": [each.path for each in mlflow.artifacts.list_artifacts(f"{base}/docs")],
            "notes": Path(mlflow.artifacts.download_artifacts(f"{base}/docs/notes.txt")).read_text(),
            "config": mlflow.artifacts.load_dict(run.info.artifact_uri + "/config.json"),
            "odd": mlflow.artifacts.load_text(run.info.artifact_uri + "/sub folder/ü ber.txt"),
        }
        """,
        ben,
    )
    assert said == {
        "listed": ["config.json", "docs", "sub folder"],
        "deeper": ["docs/notes.txt"],
        "notes": "well done",
        "config": {"a": [1, 2]},
        "odd": "grüße",
    }


def test_200_megabytes_pass_through_and_the_web_process_does_not_grow(
    site: Site, notebook: Notebook, ben: dict[str, str]
):
    web = psutil.Process(site.web.pid)
    notebook.run("mlflow.set_experiment('large')", ben)
    before, largest = web.memory_info().rss, 0
    ended = notebook.start(
        """
        import hashlib
        block = os.urandom(1 << 20)
        with open("large.bin", "wb") as file:
            for _ in range(200):
                file.write(block)
        mlflow.set_experiment("large")
        with mlflow.start_run() as run:
            mlflow.log_artifact("large.bin")
        sent = hashlib.sha256(Path("large.bin").read_bytes()).hexdigest()
        os.remove("large.bin")
        back = Path(mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/large.bin"))
        answer = [sent, hashlib.sha256(back.read_bytes()).hexdigest(), back.stat().st_size]
        os.remove(back)
        """,
        ben,
    )
    watching = threading.Event()

    def watch() -> None:
        nonlocal largest
        while not watching.wait(0.02):
            largest = max(largest, web.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    said = ended()
    watching.set()
    watcher.join()
    assert "error" not in said, said
    sent, back, size = said["answer"]
    assert (sent, size) == (back, 200 << 20)
    assert largest - before < 60 << 20


def test_a_model_is_logged_registered_found_and_loaded(notebook: Notebook, ben: dict[str, str]):
    said = notebook.run(
        """
        class Doubled(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                return [2 * each for each in model_input]

        mlflow.set_experiment("models")
        with mlflow.start_run() as run:
            logged = mlflow.pyfunc.log_model(
                name="doubled", python_model=Doubled(), registered_model_name="doubled", pip_requirements=[])
            mlflow.log_metric("quality", 0.5, model_id=logged.model_id)
        client = MlflowClient()
        client.set_registered_model_alias("doubled", "champion", "1")
        client.set_model_version_tag("doubled", "1", "checked", "yes")
        client.update_registered_model("doubled", "twice as much")
        client.update_model_version("doubled", "1", "the first")
        found = mlflow.search_logged_models(
            experiment_ids=[run.info.experiment_id], filter_string="metrics.quality > 0.4", output_format="list")
        answer = {
            "predicted": mlflow.pyfunc.load_model("models:/doubled@champion").predict([1, 2]),
            "by version": mlflow.pyfunc.load_model("models:/doubled/1").predict([3]),
            "by run": mlflow.pyfunc.load_model(logged.model_uri).predict([4]),
            "logged": [each.name for each in found],
            "status": str(found[0].status),
            "versions": [v.version for v in client.search_model_versions("name='doubled'")],
            "registered": [m.name for m in client.search_registered_models() if m.name == "doubled"],
            "description": client.get_registered_model("doubled").description,
            "runs": len(mlflow.search_runs(experiment_names=["models"], filter_string="metrics.quality = 0.5")),
        }
        client.delete_registered_model_alias("doubled", "champion")
        client.delete_model_version("doubled", "1")
        client.delete_registered_model("doubled")
        answer["left"] = len([m for m in client.search_registered_models() if m.name == "doubled"])
        """,
        ben,
    )
    assert said == {
        "predicted": [2, 4],
        "by version": [6],
        "by run": [8],
        "logged": ["doubled"],
        "status": "READY",
        "versions": ["1"],
        "registered": ["doubled"],
        "description": "twice as much",
        "runs": 1,
        "left": 0,
    }


def test_mlflows_own_limits_are_named_and_nothing_is_half_written(site: Site, notebook: Notebook, ben: dict[str, str]):
    logged = "mlflow.set_experiment('limits')\nrun = mlflow.start_run(run_name='limits')\n"
    for cell, word in (
        ("mlflow.log_param('p', 'x' * 6001)", "6000"),
        ("mlflow.set_tag('t', 'x' * 8001)", "8000"),
        ("mlflow.log_metric('k' * 251, 1)", "250"),
    ):
        assert word in notebook.refused(logged + cell, ben)
    body = {"params": [{"key": f"p{at}", "value": "1"} for at in range(101)], "metrics": [], "tags": []}
    (run_id, *_) = [row.run_id for row in site.runs("limits")]
    refused = site.asked("POST", "/api/2.0/mlflow/runs/log-batch", json={"run_id": run_id, **body}, headers=LAB)
    assert refused.status_code == 400
    assert "100" in refused.json()["message"]
    assert all(row.cells == {"params.p0": None} for row in site.runs("limits", "params.p0"))


def test_with_one_workspace_none_needs_to_be_named(site: Site, notebook: Notebook, ben: dict[str, str]):
    unset = {**ben, "MLFLOW_WORKSPACE": ""}
    run_id = notebook.run(
        "mlflow.set_experiment('nameless')\nwith mlflow.start_run() as run: pass\nanswer = run.info.run_id", unset
    )
    site.eventually(lambda: [row.run_id for row in site.runs("nameless")] == [run_id], "the run is in lab")


def test_with_two_workspaces_the_client_is_told_to_name_one(site: Site, notebook: Notebook, ben: dict[str, str]):
    adas = {**ben, "MLFLOW_TRACKING_TOKEN": site.token("ada"), "MLFLOW_WORKSPACE": ""}
    said = notebook.refused("mlflow.search_experiments()", adas)
    assert "clinic" in said
    assert "lab" in said
    assert "MLFLOW_WORKSPACE=" in said


def test_an_experiments_name_that_the_studio_cannot_show_is_refused_at_once(notebook: Notebook, ben: dict[str, str]):
    assert "no '/'" in notebook.refused("mlflow.set_experiment('/Users/ben/iris')", ben)
    assert "cannot be chosen" in notebook.refused("mlflow.create_experiment('own', artifact_location='/etc')", ben)
