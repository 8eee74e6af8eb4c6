"""`atelier model`: from a folder, a file, a job's output; shown as it was written, downloaded as it was sent."""

from pathlib import Path

import yaml

from tests.cli.conftest import Terminal

MLMODEL = "flavors:\n  python_function:\n    loader_module: os\nmlflow_version: 2.9.2\n"


def folder(name: str = "model") -> Path:
    """A model as MLflow saves one."""
    made = Path(name)
    (made / "data").mkdir(parents=True)
    (made / "MLmodel").write_text(MLMODEL)
    (made / "data" / "weights.pkl").write_bytes(b"not a pickle")
    return made


def test_a_folder_is_sent_and_its_type_told_from_it(terminal: Terminal) -> None:
    folder()
    made = terminal.ok("model", "create", "--name", "sent", "--path", "model", "--tags", "team=x")
    assert (made["version"], made["type"], made["tags"]) == ("1", "mlflow_model", {"team": "x"})
    assert made["path"].endswith("/model"), "its base name is what a container shows"
    assert made["facts"]["files"] == 2
    again = terminal.ok("model", "create", "--name", "sent", "--path", "model", "--version", "1")
    assert again["version"] == "1"
    assert terminal.ok("model", "create", "--name", "sent", "--path", "model")["version"] == "2"


def test_a_type_that_the_files_do_not_bear_out_is_refused(terminal: Terminal) -> None:
    Path("weights.pkl").write_bytes(b"x")
    said = terminal.run("model", "create", "--name", "odd", "--path", "weights.pkl", "--type", "mlflow_model")
    assert said.code == 2
    assert "a file named MLmodel" in said.err
    said = terminal.run("model", "create", "--name", "odd", "--path", "weights.pkl", "--type", "triton_model")
    assert said.code == 2
    assert terminal.ok("model", "create", "--name", "odd", "--path", "weights.pkl")["type"] == "custom_model"


def test_a_file_names_the_folder_beside_it_and_flags_win(terminal: Terminal) -> None:
    Path("deep").mkdir()
    folder("deep/model")
    Path("deep/model.yml").write_text(
        "$schema: https://azuremlschemas.azureedge.net/latest/model.schema.json\n"
        "name: filed\npath: ./model\nversion: 3\n"
    )
    made = terminal.ok(
        "model", "create", "-f", "deep/model.yml", "--set", "description=from a file", "--set", "tags.a=1"
    )
    assert (made["name"], made["version"], made["description"], made["tags"]) == (
        "filed",
        "3",
        "from a file",
        {"a": "1"},
    )
    assert (
        terminal.ok("model", "create", "-f", "deep/model.yml", "--version", "4", "--name", "flagged")["version"] == "4"
    )
    shown = terminal.run("model", "show", "--name", "filed", "--label", "latest", "--query", "version", "-o", "tsv")
    assert shown.out.strip() == "3"


def test_what_is_shown_creates_an_equal_one(terminal: Terminal) -> None:
    folder()
    first = terminal.ok("model", "create", "--name", "round", "--path", "model", "--stage", "Production")
    said = terminal.run("model", "show", "--name", "round", "-o", "yaml")
    Path("shown.yml").write_text(said.out)
    assert yaml.safe_load(said.out)["stage"] == "Production"
    again = terminal.ok("model", "create", "-f", "shown.yml")
    assert (again["version"], again["id"]) == (first["version"], first["id"])
    other = terminal.ok("model", "create", "-f", "shown.yml", "--name", "elsewhere")
    for key in ("type", "path", "tags", "stage", "flavors", "description"):
        assert other[key] == first[key], key


def test_versions_labels_archives_and_deletion(terminal: Terminal) -> None:
    folder()
    for _ in range(2):
        terminal.ok("model", "create", "--name", "moved", "--path", "model")
    assert [row["version"] for row in terminal.ok("model", "list", "--name", "moved")] == ["2", "1"]
    terminal.ok("model", "label", "--name", "moved", "--version", "1", "--label", "champion")
    assert terminal.ok("model", "show", "--name", "moved", "--label", "champion")["version"] == "1"
    refused = terminal.run("model", "delete", "--name", "moved", "--version", "1", "--yes")
    assert (refused.code, "label champion" in refused.err) == (5, True)
    terminal.ok("model", "unlabel", "--name", "moved", "--label", "champion")
    terminal.ok("model", "delete", "--name", "moved", "--version", "2", "--yes")
    assert terminal.ok("model", "create", "--name", "moved", "--path", "model")["version"] == "3", "2 was given before"
    terminal.ok("model", "archive", "--name", "moved")
    assert "moved" not in {row["name"] for row in terminal.ok("model", "list")}
    assert terminal.ok("model", "show", "--name", "moved", "--version", "1")["archived"] is True
    terminal.ok("model", "restore", "--name", "moved", "--version", "1")
    changed = terminal.ok("model", "update", "--name", "moved", "--version", "1", "--set", "stage=Staging")
    assert changed["stage"] == "Staging"


def test_files_come_down_as_they_went_up(terminal: Terminal) -> None:
    folder()
    terminal.ok("model", "create", "--name", "down", "--path", "model")
    assert terminal.run("model", "download", "--name", "down", "-p", "got").code == 0
    assert Path("got/down/MLmodel").read_text() == MLMODEL
    assert Path("got/down/data/weights.pkl").read_bytes() == b"not a pickle"


def test_approval_says_who_and_why_and_can_be_withdrawn(terminal: Terminal) -> None:
    folder()
    terminal.ok("model", "create", "--name", "asked", "--path", "model")
    approved = terminal.ok("model", "approve", "--name", "asked", "--note", "reviewed on Tuesday")
    assert approved["facts"]["approval"]["by"] == "ben"
    assert approved["facts"]["approval"]["note"] == "reviewed on Tuesday"
    withdrawn = terminal.ok("model", "approve", "--name", "asked", "--withdraw")
    assert withdrawn["facts"]["approval"] is None
    terminal.sit("cleo")
    assert terminal.run("model", "approve", "--name", "asked").code == 4


def test_a_jobs_output_becomes_a_model_that_knows_its_job(terminal: Terminal) -> None:
    job = terminal.house.job("trained")
    with terminal.house.stage.scope() as scope:
        from services.store.rows import Experiment, Job

        row = scope.session.get_one(Job, job.id)
        row.run_id = "ab" * 16
        scope.session.get_one(Experiment, row.experiment_id).mlflow_id = "7"
    root = terminal.house.stage.studio.folders.artifacts / "workspaces" / f"ws-{job.workspace_id}" / "7"
    kept = root / ("ab" * 16) / "artifacts" / "outputs" / "model"
    kept.mkdir(parents=True)
    (kept / "MLmodel").write_text(MLMODEL)
    for name, path in (
        ("of-job", "azureml://jobs/trained/outputs/artifacts/paths/outputs/model/"),
        ("of-run", "runs:/trained/outputs/model"),
    ):
        made = terminal.ok("model", "create", "--name", name, "--path", path)
        assert (made["job_name"], made["type"], made["path"]) == ("trained", "mlflow_model", path)
    said = terminal.run(
        "model", "create", "--name", "none", "--path", "azureml://jobs/trained/outputs/artifacts/paths/x"
    )
    assert (said.code, "holds no file" in said.err) == (3, True)


def test_what_is_no_place_is_refused_with_a_sentence(terminal: Terminal) -> None:
    for path, code in (
        ("azureml://jobs/nobody/outputs/artifacts/paths/x", 3),
        ("azureml://datastores/nowhere/paths/x", 3),
        ("azureml://datastores/workspaceblobstore/paths/../../../x", 2),
        ("runs:/nobody/model", 3),
        ("mlflow-artifacts:/workspaces/ws-other/1/x", 3),
        ("s3://bucket/key", 2),
        ("missing-folder", 2),
    ):
        said = terminal.run("model", "create", "--name", "odd-place", "--path", path)
        assert said.code == code, (path, said.err)
        assert "Traceback" not in said.err


def test_models_of_the_examples_are_registered_unmodified(terminal: Terminal, census: Path) -> None:
    file = census / "endpoints" / "online" / "managed" / "inference-schema" / "model.yml"
    made = terminal.ok("model", "create", "-f", str(file))
    assert (made["name"], made["version"], made["type"]) == ("azureml-infschema", "1", "custom_model")
    assert made["path"].endswith("/models")
    folder_ = census / "assets" / "model" / "mlflow-model"
    made = terminal.ok("model", "create", "--name", "heart", "--path", str(folder_), "--type", "mlflow_model")
    assert made["flavors"]["sklearn"]["sklearn_version"] == "0.24.1"
    assert [each["name"] for each in made["facts"]["signature"]["inputs"]][:2] == ["sepal_length", "sepal_width"]
    assert (
        terminal.run("model", "show", "-n", "heart", "--version", "1", "--query", "name", "-o", "tsv").out == "heart\n"
    )
