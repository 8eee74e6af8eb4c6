"""Two registries, one truth: what a client registers is here at once, what is made here is there for a client."""

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import httpx
import pytest

from services import assets, models, uploads
from services.core.errors import Conflict
from services.core.states import AssetKind, JobStatus
from services.core.times import now
from services.reconcile.registry import Registry
from services.reconcile.registry_plan import MARK
from services.specs.code import Entry
from services.specs.models import Model as Spec
from services.store.rows import Asset, Fact, Job
from tests.tracking.conftest import ROOT, Notebook, Site

pytestmark = pytest.mark.slow

MLMODEL = """
artifact_path: model
flavors:
  python_function:
    env: conda.yaml
    loader_module: stub
    code: code
    python_version: 3.11.9
mlflow_version: 2.9.2
signature:
  inputs: '[{"name": "x", "type": "double"}]'
  outputs: '[{"name": "y", "type": "double"}]'
utc_time_created: '2024-01-01 00:00:00.000000'
"""
STUB = """
class Stub:
    def predict(self, frame):
        return frame["x"] * 2


def _load_pyfunc(path):
    return Stub()
"""
LOGGED = """
import mlflow.pyfunc
class Double(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [2 * x for x in model_input["x"]]
"""


@pytest.fixture(scope="module", autouse=True)
def _one_home(site: Site, shared_folder: Path) -> None:
    """MLflow's artifacts lie in the studio's home, as the supervisor starts it."""
    folder = site.stage.studio.folders.artifacts
    if not folder.exists():
        folder.symlink_to(shared_folder / "mlflow" / "artifacts")


def nobody_leads(site: Site) -> None:
    with site.stage.studio.database.session(write=True) as session:
        fact = session.get(Fact, "registry")
        if fact is not None:
            session.delete(fact)


def look(site: Site) -> None:
    """What the worker does each second, with everything compared."""
    Registry(site.stage.studio, lambda: site.tracking, "test|1|1|x").look(full=True)


def uploaded(site: Site, files: dict[str, str]) -> str:
    """A folder sent as the command line sends it."""
    contents = {path: text.encode() for path, text in files.items()}
    entries = [Entry(path, len(text), hashlib.sha256(text).hexdigest()) for path, text in sorted(contents.items())]
    with site.stage.scope(site.stage.ben) as scope:
        state = uploads.begin(scope, "data", entries)
        landings = [] if state.complete else uploads.landings(scope, state.id)
    for landing in landings:
        path = next(path for path in contents if landing.target.as_posix().endswith(f"/files/{path}"))
        with landing.open() as target:
            target.write(contents[path])
        landing.finish()
    with site.stage.scope(site.stage.ben) as scope:
        state = uploads.seal(scope, state.id) if not state.complete else state
    return f"azureml://uploads/{state.id}"


def made(site: Site, name: str, **fields: Any) -> Asset:
    """A model that Ben makes here."""
    uri = uploaded(site, {"MLmodel": MLMODEL, "code/stub.py": STUB, "conda.yaml": "dependencies: []\n"})
    with site.stage.scope(site.stage.ben) as scope:
        return models.create(scope, Spec.model_validate({"name": name, "path": uri, **fields}))


def here(site: Site, name: str, version: str | None = None) -> dict[str, Any]:
    with site.stage.scope(write=False) as scope:
        row = models.get(scope, name, version)
        return {**models.as_json(scope, row), "stage": row.stage, "by": row.created_by}


def numbers(site: Site, name: str) -> list[str]:
    with site.stage.scope(write=False) as scope:
        return sorted(row.version for row in assets.versions(scope, AssetKind.model, name))


def test_what_is_made_here_is_loaded_by_a_client(site: Site, notebook: Notebook, ben: dict[str, str]):
    assert made(site, "made-here", description="two times", tags={"team": "x"}).type == "mlflow_model"
    with site.stage.scope(site.stage.ben) as scope:
        assets.set_label(scope, models.get(scope, "made-here"), "champion")
    look(site)
    look(site)
    said = notebook.run(
        """
        import pandas
        client = MlflowClient()
        version = client.get_model_version_by_alias("made-here", "champion")
        loaded = [mlflow.pyfunc.load_model(f"models:/made-here{end}") for end in ("/1", "@champion")]
        answer = {
            "name": version.name, "version": str(version.version), "tags": version.tags,
            "description": version.description,
            "predicted": [list(each.predict(pandas.DataFrame({"x": [1.0, 2.5]}))) for each in loaded],
        }
        """,
        ben,
    )
    assert said["predicted"] == [[2.0, 5.0], [2.0, 5.0]]
    assert (said["name"], said["version"], said["description"]) == ("made-here", "1", "two times")
    assert said["tags"]["team"] == "x"


def test_what_a_client_registers_is_here_at_once(site: Site, notebook: Notebook, ben: dict[str, str]):
    run = notebook.run(
        LOGGED
        + textwrap.dedent(
            """
            mlflow.set_experiment("registering")
            with mlflow.start_run() as run:
                mlflow.log_metric("loss", 0.25)
                mlflow.pyfunc.log_model(name="model", python_model=Double(), registered_model_name="by-client")
            answer = run.info.run_id
            """
        ),
        ben,
    )
    found = here(site, "by-client")
    assert (found["version"], found["type"], found["by"]) == ("1", "mlflow_model", "ben")
    assert "python_function" in found["flavors"]
    assert found["facts"]["files"] > 3
    with site.stage.scope(write=False) as scope:
        row = models.get(scope, "by-client")
        assert models.run_of(row) == run
        assert "MLmodel" in {file.path for file in models.contents(scope, row).listing().files}
    site.eventually(lambda: _metrics(site, "by-client") == {"loss": 0.25}, "the run's metrics are the model's")


def _metrics(site: Site, name: str) -> dict[str, float | None]:
    with site.stage.scope(write=False) as scope:
        return {each.key: each.last for each in models.recorded(scope, models.get(scope, name)).metrics}


def test_a_clients_words_labels_and_stages_are_ours_and_ours_are_theirs(
    site: Site, notebook: Notebook, ben: dict[str, str]
):
    made(site, "words", tags={"a": "1", "b": "1"})
    look(site)
    notebook.run(
        """
        client = MlflowClient()
        client.set_registered_model_alias("words", "champion", "1")
        client.update_model_version("words", "1", description="theirs")
        client.set_model_version_tag("words", "1", "c", "3")
        client.delete_model_version_tag("words", "1", "a")
        client.transition_model_version_stage("words", "1", "Staging")
        """,
        ben,
    )
    found = here(site, "words")
    assert (found["labels"], found["description"], found["stage"]) == (["champion"], "theirs", "Staging")
    assert found["tags"] == {"b": "1", "c": "3"}
    with site.stage.scope(site.stage.ben) as scope:
        row = models.get(scope, "words")
        assets.change(scope, row, description="ours", tags={"c": "4"}, stage="Production")
        assets.remove_label(scope, AssetKind.model, "words", "champion")
        assets.set_label(scope, row, "challenger")
    look(site)
    said = notebook.run(
        """
        client = MlflowClient()
        version = client.get_model_version("words", "1")
        aliases = client.get_registered_model("words").aliases
        answer = [version.description, version.current_stage, version.tags, list(aliases)]
        """,
        ben,
    )
    assert said[:2] == ["ours", "Production"]
    assert {key: value for key, value in said[2].items() if key != MARK} == {"c": "4"}
    assert said[3] == ["challenger"]


def test_both_count_on_together(site: Site, notebook: Notebook, ben: dict[str, str]):
    cell = """
    answer = str(MlflowClient().create_model_version("counted", "azureml://datastores/workspaceblobstore/paths/x").version)
    """
    made(site, "counted")
    look(site)
    assert notebook.run(cell, ben) == "2"
    assert made(site, "counted").version == "3"
    look(site)
    assert notebook.run(cell, ben) == "4"
    assert numbers(site, "counted") == ["1", "2", "3", "4"]


def test_a_client_waits_for_our_numbers(site: Site, notebook: Notebook, ben: dict[str, str]):
    """Between the row and MLflow's version: with a worker that comes late, ours keeps its number."""
    made(site, "patient")
    cell = """answer = str(MlflowClient().create_model_version("patient", "azureml://datastores/x/paths/x").version)"""
    made_version = notebook.start("MlflowClient().create_registered_model('patient')\n" + cell, ben)
    look(site)
    assert made_version()["answer"] == "2"
    assert numbers(site, "patient") == ["1", "2"]


def test_a_number_that_was_deleted_is_given_to_nobody(site: Site, notebook: Notebook, ben: dict[str, str]):
    made(site, "gone")
    made(site, "gone")
    look(site)
    notebook.run("MlflowClient().delete_model_version('gone', '2')", ben)
    assert numbers(site, "gone") == ["1"]
    assert made(site, "gone").version == "3"
    look(site)
    with site.stage.scope() as scope:
        assets.remove(scope, models.get(scope, "gone", "1"))
    registry = Registry(site.stage.studio, lambda: site.tracking, "test|1|1|x")
    registry.look(full=True)
    said = notebook.run(
        "answer = [str(each.version) for each in MlflowClient().search_model_versions(\"name='gone'\")]", ben
    )
    assert said == ["3"]
    assert numbers(site, "gone") == ["3"]


def test_a_written_number_ahead_of_mlflows_is_the_same_there(site: Site, notebook: Notebook, ben: dict[str, str]):
    made(site, "ahead", version="5")
    made(site, "ahead", version="20240101")
    made(site, "ahead", version="1.2")
    look(site)
    said = notebook.run(
        "answer = [str(each.version) for each in MlflowClient().search_model_versions(\"name='ahead'\")]", ben
    )
    assert said == ["5"]
    assert "too far ahead" in here(site, "ahead", "20240101")["facts"]["mlflow"]["why"]
    assert "no whole number" in here(site, "ahead", "1.2")["facts"]["mlflow"]["why"]


def test_what_something_uses_is_not_deleted_by_a_client(site: Site, notebook: Notebook, ben: dict[str, str]):
    row = made(site, "used")
    look(site)
    site.job(inputs={"m": {"type": "mlflow_model", "path": f"azureml:used:{row.version}"}})
    assert "is used by job" in notebook.refused("MlflowClient().delete_model_version('used', '1')", ben)
    assert "is used by job" in notebook.refused("MlflowClient().delete_registered_model('used')", ben)
    assert numbers(site, "used") == ["1"]


def test_a_client_moves_an_alias_and_deletes_the_model(site: Site, notebook: Notebook, ben: dict[str, str]):
    for version in (None, None, "1.5"):
        made(site, "dropped", **({"version": version} if version else {}))
    look(site)
    for version in ("1", "2"):
        notebook.run(f"MlflowClient().set_registered_model_alias('dropped', 'champion', '{version}')", ben)
        with site.stage.scope(write=False) as scope:
            assert models.get(scope, "dropped", label="champion").version == version
    notebook.run("MlflowClient().delete_registered_model('dropped')", ben)
    assert numbers(site, "dropped") == ["1.5"]
    look(site)
    assert numbers(site, "dropped") == ["1.5"]


def test_a_renamed_model_is_renamed_here(site: Site, notebook: Notebook, ben: dict[str, str]):
    made(site, "draft-name")
    look(site)
    notebook.run("MlflowClient().rename_registered_model('draft-name', 'final-name')", ben)
    assert numbers(site, "final-name") == ["1"]
    look(site)
    look(site)
    assert numbers(site, "final-name") == ["1"]
    assert here(site, "final-name")["archived"] is False


def test_what_a_client_deleted_unseen_is_archived_and_what_it_made_unseen_is_here(site: Site):
    """Past the proxy, as after a crash of the web process between MLflow's answer and ours."""
    made(site, "unseen")
    look(site)
    there = f"ws-{site.stage.lab.id}"
    second = site.tracking.register(
        there, "unseen", source="azureml://datastores/x/paths/y", run_id="", description="", tags={}
    )
    site.tracking.alias(there, "unseen", "champion", second.version)
    site.tracking.unregister(there, "unseen", "1")
    look(site)
    assert here(site, "unseen", "1")["archived"] is True
    found = here(site, "unseen", "2")
    assert (found["archived"], found["labels"]) == (False, ["champion"])


def test_a_number_that_a_client_got_at_the_same_moment_is_theirs(site: Site):
    made(site, "raced")
    there = f"ws-{site.stage.lab.id}"
    site.tracking.ensure_workspace(there)
    site.tracking.register(
        there, "raced", source="azureml://datastores/x/paths/y", run_id="", description="theirs", tags={}
    )
    for _ in range(3):
        look(site)
    assert here(site, "raced", "1")["description"] == "theirs"
    assert here(site, "raced", "2")["type"] == "mlflow_model"
    assert [each.version for each in site.tracking.versions(there, "raced")] == ["1", "2"]


def test_a_crash_between_both_registries_makes_nothing_twice(site: Site, tmp_path: Path):
    made(site, "crashed")
    nobody_leads(site)
    script = tmp_path / "once.py"
    script.write_text(
        "from services.studio import Settings, Studio\n"
        "from services.engines.tracking import HttpTracking\n"
        "from services.reconcile.registry import Registry\n"
        "studio = Studio(Settings())\n"
        "url = studio.fact('tracking').value['url']\n"
        "Registry(studio, lambda: HttpTracking(url), 'gone|1|1|x').look(full=True)\n"
    )
    variables = {**os.environ, "ATELIER_HOME": str(site.stage.studio.settings.home), "PYTHONPATH": str(ROOT)}
    variables["ATELIER_CRASH_AT"] = "after_model_registered"
    died = subprocess.run([sys.executable, str(script)], env=variables, check=False, timeout=120)
    assert died.returncode == -signal.SIGKILL
    there = f"ws-{site.stage.lab.id}"
    assert [each.version for each in site.tracking.versions(there, "crashed")] == ["1"]
    nobody_leads(site)
    look(site)
    look(site)
    assert [each.version for each in site.tracking.versions(there, "crashed")] == ["1"]
    assert here(site, "crashed")["facts"]["mlflow"]["version"] == "1"


def test_a_crash_before_a_clients_version_is_copied_is_repaired(site: Site):
    """The web process dies between MLflow's answer and ours."""
    body = {"name": "uncopied", "source": "azureml://datastores/workspaceblobstore/paths/x"}
    assert site.asked("POST", "/api/2.0/mlflow/registered-models/create", json={"name": "uncopied"}).status_code == 200
    site.restart(ATELIER_CRASH_AT="before_model_copied")
    with pytest.raises(httpx.HTTPError):
        site.asked("POST", "/api/2.0/mlflow/model-versions/create", json=body)
    site.restart()
    assert [each.version for each in site.tracking.versions(f"ws-{site.stage.lab.id}", "uncopied")] == ["1"]
    look(site)
    assert numbers(site, "uncopied") == ["1"]
    assert site.asked("POST", "/api/2.0/mlflow/model-versions/create", json=body).status_code == 200
    assert numbers(site, "uncopied") == ["1", "2"]


def test_a_model_of_a_jobs_run_is_loaded_and_knows_its_job(site: Site, notebook: Notebook, ben: dict[str, str]):
    job = site.job()
    notebook.run(
        LOGGED + "\nwith mlflow.start_run():\n    mlflow.log_metric('loss', 0.5)\n"
        "    mlflow.pyfunc.save_model('saved', python_model=Double())\n"
        "    mlflow.log_artifacts('saved', 'model')\n"
        "    mlflow.pyfunc.log_model(name='m', python_model=Double(), registered_model_name='by-job')\n",
        job.variables,
    )
    found = here(site, "by-job")
    assert (found["job_name"], found["by"], found["type"]) == (job.name, "ben", "mlflow_model")
    job.ended()
    with site.stage.studio.database.session(write=True) as session:
        row = session.get_one(Job, job.id)
        row.status, row.collected_at, row.finished_at = JobStatus.Completed, now(), now()
    with site.stage.scope(site.stage.ben) as scope:
        for name, path in (
            ("of-job", f"azureml://jobs/{job.name}/outputs/artifacts/paths/model"),
            ("of-run", f"runs:/{job.run_id}/model"),
        ):
            made_ = models.create(scope, Spec(name=name, path=path))
            assert (made_.type, made_.job_id) == ("mlflow_model", job.id)
    look(site)
    said = notebook.run(
        """
        import pandas
        frame = pandas.DataFrame({"x": [3]})
        answer = [mlflow.pyfunc.load_model(f"models:/{name}/1").predict(frame) for name in ("of-job", "of-run")]
        answer.append(MlflowClient().get_model_version("of-job", "1").run_id)
        """,
        ben,
    )
    assert said == [[6], [6], job.run_id]
    assert here(site, "of-job")["job_name"] == job.name
    notebook.run(f"mlflow.register_model('runs:/{job.run_id}/model', 'by-register', tags={{'team': 'x'}})", ben)
    found = here(site, "by-register")
    assert (found["job_name"], found["type"], found["tags"]) == (job.name, "mlflow_model", {"team": "x"})


def test_another_workspaces_models_are_not_there(
    site: Site, notebook: Notebook, ben: dict[str, str], dan: dict[str, str]
):
    row = made(site, "private")
    look(site)
    assert notebook.refused("mlflow.artifacts.download_artifacts('models:/private/1')", dan)
    inside = f"/api/2.0/mlflow-artifacts/artifacts/workspaces/ws-{site.stage.lab.id}/registered/{row.id}/MLmodel"
    assert site.asked("GET", inside).status_code == 200
    foreign = {"X-MLFLOW-WORKSPACE": "clinic"}
    assert site.asked("GET", inside, token=site.token("dan"), headers=foreign).status_code == 404
    assert site.asked("PUT", inside, content=b"x").status_code == 403
    for payload in ("..%2f..%2f..%2fatelier.db", "../../../atelier.db", "..%252f..%252fatelier.db", "code/..%2f..%2f"):
        up = inside.replace("MLmodel", payload)
        assert site.asked("GET", up).status_code in {400, 404}


def test_a_job_cannot_register_files_that_nobody_gave_it(site: Site):
    job = site.job()
    site.asked("POST", "/api/2.0/mlflow/registered-models/create", json={"name": "grabbed"})
    for source in ("azureml://datastores/workspaceblobstore/paths/secret", "azureml://jobs/other/outputs/artifacts"):
        body = {"name": "grabbed", "source": source}
        answer = site.asked("POST", "/api/2.0/mlflow/model-versions/create", token=job.token, json=body)
        assert answer.status_code == 403, answer.text
    assert site.tracking.versions(f"ws-{site.stage.lab.id}", "grabbed") == []


def test_a_version_that_is_used_cannot_be_deleted_here_either(site: Site):
    row = made(site, "kept")
    site.job(inputs={"m": {"type": "mlflow_model", "path": f"azureml:kept:{row.version}"}})
    with site.stage.scope() as scope, pytest.raises(Conflict, match="is used by job"):
        assets.remove(scope, models.get(scope, "kept"))
