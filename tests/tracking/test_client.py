"""An unmodified MLflow client on a user's own machine: all that it does every day works through the proxy."""

import pytest

from tests.tracking.conftest import Notebook, Site

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
    site.eventually(lambda: bool(site.runs("outside", metrics=["loss"])), "the run is listed")
    (row,) = site.runs("outside", metrics=["loss"], params=["depth"])
    assert (row.run_id, row.job, row.name, row.status) == (run_id, "", "by hand", "FINISHED")
    assert (row.metrics, row.params) == ({"loss": 0.25}, {"depth": "3"})
