"""MLflow in and out: what was recorded elsewhere is the same here, however often it is asked for, and goes back."""

import json
import os
import signal
import sqlite3
import subprocess
import textwrap
import uuid
from pathlib import Path
from typing import Any

import pytest

from services.core.errors import Invalid
from services.engines import mlflow_servers
from tests.launched import PROGRAM, Said
from tests.tracking.conftest import ROOT, Notebook, Site

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# What somebody logs: two experiments, nested runs, odd numbers, files, a logged model and a registered one.
RECORDED = """
    from mlflow.entities import Metric, Param, RunTag
    client = MlflowClient()
    iris = client.create_experiment(os.environ["EXPERIMENT"], tags={"team": "vision", "mlflow.note.content": "# Iris"})
    client.create_experiment(os.environ["EXPERIMENT"] + "/empty")
    first = client.create_run(iris, start_time=1_700_000_000_000, tags={"mlflow.user": "maria"}, run_name="first")
    me = first.info.run_id
    points = [Metric("loss", 1 / (step + 1), 1_700_000_000_000 + step, step) for step in range(2345)]
    client.log_batch(me, metrics=points[:1000]), client.log_batch(me, metrics=points[1000:2000])
    odd = [float("nan"), float("inf"), float("-inf"), -0.0, 5e-324, 1.5]
    points += [Metric("odd/süß", value, 1_700_000_000_000 + at, 7) for at, value in enumerate(odd)]
    points += [Metric("late", 1.0, 1_700_000_000_009, 3), Metric("late", 2.0, 1_700_000_000_001, -3)]
    client.log_batch(me, metrics=points[2000:])
    client.log_batch(me, params=[Param(f"p{each}", "x" * each) for each in range(1, 130)])
    client.log_batch(me, tags=[RunTag("b", "<img src=x onerror=alert(1)>"), RunTag("mlflow.note.content", "# Note")])
    here = Path(os.environ["FILES"]); here.mkdir()
    (here / "a.txt").write_text("one"); (here / "empty").write_text("")
    (here / "deep" / "er").mkdir(parents=True); (here / "deep" / "er" / "b & ü.bin").write_bytes(bytes(3_000_000))
    client.log_artifacts(me, str(here), "model")
    client.set_terminated(me, "FINISHED", 1_700_000_100_000)
    child = client.create_run(iris, start_time=1_600_000_000_000, tags={"mlflow.parentRunId": me}, run_name="child")
    client.log_metric(child.info.run_id, "acc", 0.5, 1, 0)
    client.set_terminated(child.info.run_id, "FAILED", 1_700_000_200_000)
    gone = client.create_run(iris, run_name="gone")
    client.delete_run(gone.info.run_id)
    going = client.create_run(iris, start_time=1_700_000_300_000, run_name="going")
    model = client.create_logged_model(iris, name="net", source_run_id=me, params={"depth": "3"}, tags={"kind": "cnn"})
    (here / "MLmodel").write_text("flavors: {}")
    client.log_model_artifacts(model.model_id, str(here))
    client.finalize_logged_model(model.model_id, "READY")
    name = os.environ["MODEL"]
    client.create_registered_model(name, {"owner": "maria"}, "What it is.")
    root = client.get_run(me).info.artifact_uri
    for at in range(3):
        client.create_model_version(name, f"{root}/model", me, {"at": str(at)}, description=f"number {at}")
    client.delete_model_version(name, "2")
    client.create_model_version(name, f"models:/{model.model_id}", me, model_id=model.model_id)
    client.set_registered_model_alias(name, "champion", "3")
    answer = {"first": me, "going": going.info.run_id}
"""
# Everything of it that must survive, by names instead of ids.
READ = """
    import hashlib
    client = MlflowClient()
    ours = ("atelier.", "mlflow.parentRunId", "mlflow.modelVersions")
    def tags(found):
        return {key: value for key, value in found.items() if not key.startswith(ours)}
    def hashes(root):
        found = [each for each in root.rglob("*") if each.is_file() and each.name != "registered_model_meta"]
        return {str(each.relative_to(root)): hashlib.sha256(each.read_bytes()).hexdigest() for each in found}
    def files(listed, load):
        found, todo = {}, [""]
        while todo:
            for each in listed(todo.pop()):
                if each.is_dir: todo.append(each.path)
                else: found[each.path] = hashlib.sha256(Path(load(each.path)).read_bytes()).hexdigest()
        return found
    largest = 1.7976931348623157e308
    def point(m):
        value = "nan" if m.value != m.value else repr(max(-largest, min(largest, m.value)) + 0.0)
        return m.step, m.timestamp, value
    def of_run(run):
        me, data = run.info.run_id, run.data
        parent = data.tags.get("mlflow.parentRunId")
        history = {key: sorted(point(each) for each in client.get_metric_history(me, key)) for key in data.metrics}
        return {
            "status": run.info.status, "start": run.info.start_time, "end": run.info.end_time, "user": run.info.user_id,
            "params": data.params, "tags": tags(data.tags), "history": history,
            "parent": parent and client.get_run(parent).info.run_name,
            "files": files(
                lambda at: client.list_artifacts(me, at or None), lambda at: client.download_artifacts(me, at)),
            "outputs": len(run.outputs.model_outputs if run.outputs else []),
        }
    answer = {"experiments": {}, "models": {}, "logged": {}}
    for experiment in client.search_experiments():
        if not experiment.name.startswith(os.environ["EXPERIMENT"]): continue
        runs = client.search_runs([experiment.experiment_id])
        answer["experiments"][experiment.name.replace("/", "-")] = {
            "tags": {key: value for key, value in experiment.tags.items() if not key.startswith("mlflow.experiment")},
            "runs": {run.info.run_name: of_run(run) for run in runs},
        }
        for model in client.search_logged_models([experiment.experiment_id]):
            answer["logged"][model.name] = [
                str(model.status), model.params, tags(model.tags), client.get_run(model.source_run_id).info.run_name,
                hashes(Path(mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{model.model_id}"))),
            ]
    model = client.get_registered_model(os.environ["MODEL"])
    found = sorted(client.search_model_versions(f"name='{model.name}'"), key=lambda each: int(each.version))
    numbers = {str(each.version): at for at, each in enumerate(found)}
    answer["models"] = {
        "what": [model.description, tags(model.tags)],
        "aliases": {alias: numbers[str(version)] for alias, version in model.aliases.items()},
        "versions": [[each.description or "", tags(each.tags), each.current_stage,
                      client.get_run(each.run_id).info.run_name,
                      hashes(Path(mlflow.artifacts.download_artifacts(
                          artifact_uri=client.get_model_version_download_uri(model.name, each.version))))]
                     for each in found],
    }
"""


class Elsewhere:
    """A place where MLflow has recorded something before anybody knew of the studio."""

    def __init__(self, notebook: Notebook, site: Site, folder: Path, kind: str) -> None:
        self.notebook, self.site, self.folder = notebook, site, folder
        self.experiment, self.model = f"x{uuid.uuid4().hex[:8]}", f"m{uuid.uuid4().hex[:8]}"
        self.path = folder / ("mlruns" if kind == "folder" else "mlflow.db")
        self.uri = str(self.path) if kind == "folder" else f"sqlite:///{self.path}"
        self.names = {"EXPERIMENT": self.experiment, "MODEL": self.model, "FILES": str(folder / "files")}

    def record(self) -> dict[str, str]:
        at = {**self.names, "MLFLOW_TRACKING_URI": self.uri, "MLFLOW_ALLOW_FILE_STORE": "true"}
        before = f"os.chdir({str(self.folder)!r})\n"
        found: dict[str, str] = self.notebook.run(before + textwrap.dedent(RECORDED), at)
        return found

    def move(self) -> None:
        """To where nothing that was written of paths is true any more."""
        moved = self.folder.with_name(f"{self.folder.name}-moved")
        self.folder.rename(moved)
        self.uri, self.path = self.uri.replace(str(self.folder), str(moved)), moved / self.path.name
        self.folder = moved

    def read(self, **where: str) -> Any:
        """What is found here, or where the variables lead."""
        at = {"MLFLOW_TRACKING_URI": self.uri, "MLFLOW_ALLOW_FILE_STORE": "true", **self.names, **where}
        return self.notebook.run(f"os.chdir({str(self.folder)!r})\n" + textwrap.dedent(READ), at)

    def content(self) -> dict[str, str]:
        """Every file of the place, and when it was last written."""
        files = [each for each in self.path.parent.rglob("*") if each.is_file() or each.is_symlink()]
        return {str(each): f"{each.stat().st_mtime_ns} {each.stat().st_size}" for each in files}


def command(site: Site, *words: str, **variables: str) -> "subprocess.Popen[bytes]":
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("ATELIER_", "MLFLOW_"))}
    environment |= {"PYTHONPATH": str(ROOT), "ATELIER_ENDPOINT": site.url, "ATELIER_TOKEN": site.token("ben")}
    environment |= {"ATELIER_WORKSPACE": "lab", **variables}
    return subprocess.Popen(
        [*PROGRAM, *words], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def said(site: Site, *words: str, **variables: str) -> Said:
    process = command(site, *words, "-o", "json", **variables)
    out, err = process.communicate(timeout=280)
    return Said(process.returncode, out.decode(), err.decode())


@pytest.fixture(params=["folder", "database"])
def elsewhere(request: pytest.FixtureRequest, notebook: Notebook, site: Site, tmp_path: Path) -> Elsewhere:
    return Elsewhere(notebook, site, tmp_path, request.param)


def test_what_was_recorded_is_the_same_here_and_the_source_is_left_alone(elsewhere: Elsewhere, ben: dict[str, str]):
    """Wherever it has been moved since."""
    elsewhere.record()
    there = elsewhere.read()
    elsewhere.move()
    before = elsewhere.content()

    first = said(elsewhere.site, "import", "mlflow", "--from", elsewhere.uri)

    assert first.code == 0, first.err
    report = first.document
    assert (report["runs_made"], report["runs_skipped"], report["failed"]) == (3, 0, [])
    assert report["versions_made"] == 3
    assert report["points"] == 2345 + 6 + 2 + 1
    assert elsewhere.content() == before
    here = elsewhere.read(**ben)
    for part in there:
        assert here[part] == there[part]

    again = said(elsewhere.site, "import", "mlflow", "--from", elsewhere.uri).document
    assert [again[key] for key in ("runs_made", "runs_continued", "points", "files", "logged_models")] == [0] * 5
    assert (again["runs_skipped"], again["versions_made"], again["versions_skipped"]) == (3, 0, 3)
    assert elsewhere.content() == before


def test_a_server_is_copied_and_goes_back_into_a_folder(notebook: Notebook, site: Site, tmp_path: Path):
    elsewhere = Elsewhere(notebook, site, tmp_path, "database")
    with mlflow_servers.made(tmp_path / "live", ("-m", "mlflow")) as live:
        elsewhere.uri = live.url
        elsewhere.record()
        there = elsewhere.read()
        imported = said(site, "import", "mlflow", "--from", live.url, "--experiment", elsewhere.experiment)
        assert imported.code == 0, imported.err
        back = said(site, "export", "mlflow", "--to", live.url, "--experiment", elsewhere.experiment).document
        assert (back["runs_made"], back["runs_skipped"], back["points"]) == (0, 3, 0)

    out = ("export", "mlflow", "--to", str(tmp_path / "out"), "--experiment", elsewhere.experiment)
    first, again = said(site, *out), said(site, *out)

    assert first.code == 0, first.err
    assert (first.document["runs_made"], again.document["runs_skipped"], again.document["points"]) == (3, 3, 0)
    with mlflow_servers.made(tmp_path / "out", ("-m", "mlflow")) as taken:
        found = elsewhere.read(MLFLOW_TRACKING_URI=taken.url)
    there["experiments"].pop(f"{elsewhere.experiment}-empty")
    for part in there:
        assert found[part] == there[part]


MANY = """
    from mlflow.entities import Metric
    client = MlflowClient()
    experiment = client.create_experiment(os.environ["EXPERIMENT"])
    for number in range(20):
        run = client.create_run(experiment, run_name=f"run {number}")
        points = [Metric("loss", number + 1 / (1 + at), at, at) for at in range(1500)]
        for some in (points[:1000], points[1000:]):
            client.log_batch(run.info.run_id, metrics=some)
        client.set_terminated(run.info.run_id)
"""
COUNT = """
    client = MlflowClient()
    experiment = client.get_experiment_by_name(os.environ["EXPERIMENT"])
    runs = client.search_runs([experiment.experiment_id])
    answer = {run.info.run_name: [len(client.get_metric_history(run.info.run_id, "loss")), run.info.status]
              for run in runs}, len(runs)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_what_was_cut_short_goes_on_where_it_stopped(
    notebook: Notebook, site: Site, tmp_path: Path, ben: dict[str, str], number: signal.Signals
):
    elsewhere = Elsewhere(notebook, site, tmp_path, "database")
    notebook.run(MANY, {**elsewhere.names, "MLFLOW_TRACKING_URI": elsewhere.uri})

    process = command(site, "import", "mlflow", "--from", elsewhere.uri, "-o", "json")
    site.eventually(lambda: len(site.runs(elsewhere.experiment)) >= 3, "some runs are there")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    if number == signal.SIGINT:
        assert process.returncode == 130, err
        assert json.loads(out)["is_interrupted"] is True
        assert b"goes on from here" in err
    else:
        assert process.returncode == -signal.SIGKILL
    done = said(site, "import", "mlflow", "--from", elsewhere.uri).document
    assert done["runs_skipped"] >= 2
    assert 0 < done["runs_made"] < 20
    found, count = notebook.run(COUNT, {**elsewhere.names, **ben})
    assert count == 20
    assert found == {f"run {number}": [1500, "FINISHED"] for number in range(20)}


HOSTILE = """
    client = MlflowClient()
    run = client.create_run(client.create_experiment(os.environ["EXPERIMENT"]), run_name="odd")
    root = Path(client.get_run(run.info.run_id).info.artifact_uri.removeprefix("file://"))
    root.mkdir(parents=True, exist_ok=True)
    for name in ("plain.txt", "c#.txt", "a?b", "..%2f..%2fup", "<img src=x onerror=alert(1)>", "two\\nlines"):
        (root / name).write_text(name)
    (root / "secret").symlink_to("/etc/passwd")
    (root / "etc").symlink_to("/etc")
    (root / "within").symlink_to(root / "plain.txt")
    client.set_terminated(run.info.run_id)
    answer = run.info.run_id
"""
FOUND = """
    client = MlflowClient()
    [run] = client.search_runs([client.get_experiment_by_name(os.environ["EXPERIMENT"]).experiment_id])
    answer = sorted(each.path for each in client.list_artifacts(run.info.run_id))
"""


def test_odd_names_and_links_that_lead_out_are_told_and_the_rest_is_copied(
    notebook: Notebook, site: Site, tmp_path: Path, ben: dict[str, str]
):
    elsewhere = Elsewhere(notebook, site, tmp_path, "folder")
    notebook.run(HOSTILE, {**elsewhere.names, "MLFLOW_TRACKING_URI": elsewhere.uri, "MLFLOW_ALLOW_FILE_STORE": "true"})

    done = said(site, "import", "mlflow", "--from", elsewhere.uri)

    assert done.code == 1
    report = done.document
    assert {each["what"].partition("file ")[2] for each in report["failed"]} >= {"c#.txt", "a?b", "..%2f..%2fup"}
    assert sorted(note.split("'")[1] for note in report["notes"] if "is a link" in note) == ["etc", "secret"]
    found = notebook.run(FOUND, {**elsewhere.names, **ben})
    assert {"plain.txt", "within", "<img src=x onerror=alert(1)>"} <= set(found)
    assert not {"secret", "etc", "up", "..%2f..%2fup"} & set(found)


OLD = """
    import sqlalchemy
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base
    engine = sqlalchemy.create_engine(os.environ["URI"])
    Base.metadata.create_all(engine)
    config = _get_alembic_config(os.environ["URI"])
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "3500859a5d39")
    with engine.begin() as connection:
        for said in (
            "INSERT INTO experiments (experiment_id, name, lifecycle_stage, artifact_location)"
            f" VALUES (1, '{os.environ['EXPERIMENT']}', 'active', '/nowhere')",
            "INSERT INTO runs (run_uuid, name, status, start_time, lifecycle_stage,"
            " experiment_id, user_id, artifact_uri)"
            f" VALUES ('{'a' * 32}', 'old', 'FINISHED', 5, 'active', 1, 'me', '/nowhere')",
            f"INSERT INTO params VALUES ('lr', '0.1', '{'a' * 32}')",
        ):
            connection.execute(sqlalchemy.text(said))
"""


def test_a_database_of_an_older_mlflow_is_upgraded_as_a_copy(
    notebook: Notebook, site: Site, tmp_path: Path, ben: dict[str, str]
):
    elsewhere = Elsewhere(notebook, site, tmp_path, "database")
    notebook.run(OLD, {**elsewhere.names, "URI": elsewhere.uri})
    before = elsewhere.content()

    done = said(site, "import", "mlflow", "--from", str(elsewhere.path))

    assert (done.code, done.document["runs_made"]) == (0, 1), done.err
    assert elsewhere.content() == before
    assert notebook.run(FOUND.replace("sorted", "run.data.params, sorted"), {**elsewhere.names, **ben}) == [
        {"lr": "0.1"},
        [],
    ]


def test_what_is_no_source_is_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("no database, but longer than a head of one")
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (x)").connection.close()
    (tmp_path / "mlruns" / "0" / "run" / "params").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").touch()
    (tmp_path / "mlruns" / "0" / "run" / "params" / "secret").symlink_to("/etc/passwd")
    for name, why in (
        ("nothing", "There is no folder or file"),
        ("empty", "no folder of MLflow's"),
        ("text", "no SQLite database"),
        ("other.db", "no database of MLflow's"),
        ("mlruns", "leads out of the folder"),
    ):
        with pytest.raises(Invalid, match=why), mlflow_servers.opened(str(tmp_path / name), ("-m", "mlflow")):
            pass
    with pytest.raises(Invalid, match="not read directly"), mlflow_servers.opened("postgresql://host/x", ()):
        pass
