"""Who comes in and how far: workspaces are shut to each other, and what is not listed is not there."""

import uuid

import pytest

from tests.tracking.conftest import LAB, Notebook, Site

pytestmark = pytest.mark.slow
V2, V3 = "/api/2.0/mlflow", "/api/3.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture(scope="module")
def dans(notebook: Notebook, dan: dict[str, str]) -> dict[str, str]:
    """Something of every kind in Dan's workspace."""
    found: dict[str, str] = notebook.run(
        """
        class Same(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                return model_input

        mlflow.set_experiment("secret")
        with mlflow.start_run() as run:
            mlflow.log_metric("m", 1)
            mlflow.log_text("nobody else", "secret.txt")
            model = mlflow.pyfunc.log_model(
                name="same", python_model=Same(), registered_model_name="same", pip_requirements=[])
        answer = {
            "run": run.info.run_id, "experiment": run.info.experiment_id, "model": model.model_id,
            "root": run.info.artifact_uri.removeprefix("mlflow-artifacts:/"),
        }
        """,
        dan,
    )
    return found


def test_nothing_of_another_workspace_is_found(site: Site, dans: dict[str, str]):
    run, experiment, model, root = dans["run"], dans["experiment"], dans["model"], dans["root"]
    bare = "/".join(root.split("/")[2:])
    attempts = [
        ("GET", f"{V2}/runs/get?run_id={run}", None),
        ("GET", f"{V2}/experiments/get?experiment_id={experiment}", None),
        ("GET", f"{V2}/experiments/get-by-name?experiment_name=secret", None),
        ("GET", f"{V2}/metrics/get-history?run_id={run}&metric_key=m", None),
        ("GET", f"{V2}/artifacts/list?run_id={run}", None),
        ("GET", f"{V2}/logged-models/{model}", None),
        ("GET", f"{V2}/registered-models/get?name=same", None),
        ("GET", f"{V2}/model-versions/get?name=same&version=1", None),
        ("GET", f"{FILES}/{root}/secret.txt", None),
        ("GET", f"{FILES}/{bare}/secret.txt", None),
        ("GET", f"{FILES}?path={root}", None),
        ("PUT", f"{FILES}/{root}/secret.txt", None),
        ("DELETE", f"{FILES}/{root}/secret.txt", None),
        ("POST", f"{V2}/runs/create", {"experiment_id": experiment}),
        ("POST", f"{V2}/runs/update", {"run_id": run, "status": "FAILED"}),
        ("POST", f"{V2}/runs/delete", {"run_id": run}),
        ("POST", f"{V2}/runs/log-metric", {"run_id": run, "key": "m", "value": 2, "timestamp": 1, "step": 1}),
        ("POST", f"{V2}/experiments/delete", {"experiment_id": experiment}),
        ("DELETE", f"{V2}/logged-models/{model}", None),
        ("DELETE", f"{V2}/registered-models/delete", {"name": "same"}),
    ]
    for method, path, body in attempts:
        answer = site.asked(method, path, json=body, headers=LAB) if body else site.asked(method, path, headers=LAB)
        assert answer.status_code == 404, (method, path, answer.status_code, answer.text)
    searched = [
        (f"{V2}/runs/search", {"experiment_ids": [experiment]}),
        (f"{V2}/logged-models/search", {"experiment_ids": [experiment]}),
        (f"{V2}/experiments/search", {"max_results": 100, "filter": "name = 'secret'"}),
    ]
    for path, body in searched:
        answer = site.asked("POST", path, json=body, headers=LAB)
        assert not any(answer.json().values()), (path, answer.text)


def test_and_its_owner_still_has_it_all(site: Site, notebook: Notebook, dan: dict[str, str], dans: dict[str, str]):
    said = notebook.run(
        f"""
        found = mlflow.get_run("{dans["run"]}")
        text = mlflow.artifacts.load_text(found.info.artifact_uri + "/secret.txt")
        predicted = mlflow.pyfunc.load_model("models:/same/1").predict(["x"])
        answer = [found.info.status, found.data.metrics, text, predicted]
        """,
        dan,
    )
    assert said == ["FINISHED", {"m": 1.0}, "nobody else", ["x"]]


@pytest.mark.parametrize("who", ["clinic", "nowhere", "default", "ws-0000000000000000"])
def test_a_workspace_that_is_not_ones_own_is_not_found(site: Site, who: str):
    answer = site.asked(
        "POST", f"{V2}/experiments/search", json={"max_results": 5}, headers={"X-MLFLOW-WORKSPACE": who}
    )
    assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_a_reader_reads_and_changes_nothing(site: Site, notebook: Notebook, ben: dict[str, str]):
    run_id = notebook.run(
        """
        mlflow.set_experiment("read")
        with mlflow.start_run() as run:
            mlflow.log_text("x", "x.txt")
        answer = run.info.run_id
        """,
        ben,
    )
    cleos = {**ben, "MLFLOW_TRACKING_TOKEN": site.token("cleo")}
    assert notebook.run(f"answer = mlflow.get_run('{run_id}').info.run_id", cleos) == run_id
    assert "PERMISSION_DENIED" in notebook.refused(f"MlflowClient().set_tag('{run_id}', 'a', 'b')", cleos)
    assert "403" in notebook.refused(f"MlflowClient().log_text('{run_id}', 'y', 'x.txt')", cleos)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"{V3}/workspaces"),
        ("DELETE", f"{V3}/workspaces/lab"),
        ("GET", f"{V3}/gateway/secrets/list"),
        ("POST", f"{V3}/gateway/endpoints/create"),
        ("POST", f"{V3}/traces"),
        ("POST", f"{V3}/scorers/register"),
        ("POST", f"{V2}/artifacts/presigned-upload-url"),
        ("GET", "/ajax-api/2.0/mlflow/runs/get"),
        ("GET", "/graphql"),
        ("GET", "/get-artifact"),
        ("POST", "/"),
        ("DELETE", f"{V2}/runs/get"),
        ("GET", f"{FILES}/../../../etc/passwd"),
        ("GET", f"{FILES}/%2e%2e/%2e%2e/etc/passwd"),
        ("GET", f"{FILES}/..%252f..%252fetc/passwd"),
    ],
)
def test_what_is_not_listed_is_not_there_and_strangers_do_not_learn_even_that(site: Site, method: str, path: str):
    assert site.asked(method, path, token=None).status_code == 401
    assert site.asked(method, path, token=f"atl_{uuid.uuid4().hex[:16]}_x").status_code == 401
    assert site.asked(method, path).status_code == 404


def test_a_body_that_is_no_object_is_refused_in_mlflows_words(site: Site):
    for content in (b"[1]", b"{", b"\xff", b'"x"'):
        answer = site.asked("POST", f"{V2}/runs/set-tag", content=content, headers=LAB)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
