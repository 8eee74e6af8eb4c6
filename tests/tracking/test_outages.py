"""MLflow goes away, the web process dies: a client waits and goes on, and what was acknowledged is in both places."""

import signal

import pytest

from services import metric_healing
from services.store import metrics as store
from tests.tracking.conftest import LAB, Notebook, Running, Site, as_stored, points

pytestmark = pytest.mark.slow
V2 = "/api/2.0/mlflow"
LOG = """
for step in range({count}):
    mlflow.log_metric("loss", step * 0.5, step=step)
"""


def complete(job: Running, count: int) -> None:
    """The run's end brings both sides in line: every point once, in MLflow and in the studio."""
    job.ended()
    line = job.line("loss")
    assert line.step.tolist() == list(range(count))
    assert as_stored(line) == points(job, "loss")
    (summary,) = job.site.summary(job.name).metrics
    assert (summary.count, summary.last, summary.last_step) == (count, (count - 1) * 0.5, count - 1)


def test_without_mlflow_callers_are_asked_to_come_back(site: Site):
    job = site.job()
    site.wire.cut()
    for answer in (
        site.asked("GET", f"{V2}/runs/get", params={"run_id": job.run_id}, headers=LAB),
        site.asked("PUT", f"/api/2.0/mlflow-artifacts/artifacts/1/{job.run_id}/artifacts/x", content=b"x", headers=LAB),
    ):
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"


def test_a_script_that_logs_while_mlflow_is_away_loses_nothing(site: Site, notebook: Notebook):
    job = site.job()
    ended = notebook.start(LOG.format(count=60), job.variables)
    site.eventually(lambda: bool(site.summary(job.name).metrics), "the first points are there")
    site.wire.cut()
    refused = site.asked("GET", f"{V2}/runs/get", params={"run_id": job.run_id}, headers=LAB)
    assert refused.status_code == 503
    site.wire.mend()
    assert "error" not in ended()
    complete(job, 60)


def test_a_file_that_is_sent_while_mlflow_is_away_arrives_whole(site: Site, notebook: Notebook):
    job = site.job()
    notebook.run("mlflow.log_metric('m', 1)", job.variables)
    site.wire.cut()
    ended = notebook.start(
        """
        Path("half.bin").write_bytes(bytes(range(256)) * 40000)
        mlflow.log_artifact("half.bin")
        back = mlflow.artifacts.download_artifacts(run_id=mlflow.active_run().info.run_id, artifact_path="half.bin")
        answer = Path(back).read_bytes() == bytes(range(256)) * 40000
        """,
        job.variables,
    )
    site.eventually(lambda: site.wire.refused > 0, "the client is turned away")
    site.wire.mend()
    assert ended().get("answer") is True


def test_a_script_that_logs_while_the_web_process_is_killed_loses_nothing(site: Site, notebook: Notebook):
    job = site.job()
    ended = notebook.start(LOG.format(count=60), job.variables)
    site.eventually(lambda: bool(site.summary(job.name).metrics), "the first points are there")
    site.restart()
    assert "error" not in ended()
    complete(job, 60)


def test_what_mlflow_had_acknowledged_when_the_web_process_died_is_read_again(site: Site, notebook: Notebook):
    job = site.job()
    notebook.run(LOG.format(count=20), job.variables)
    site.restart()
    complete(job, 20)


def test_a_death_between_the_columns_and_the_summary_leaves_neither_wrong(site: Site, notebook: Notebook):
    job = site.job()
    site.restart(ATELIER_CRASH_AT="history_appended")
    ended = notebook.start(LOG.format(count=20), job.variables)
    assert site.web.wait(60) == -signal.SIGKILL
    site.restart()
    assert "error" not in ended()
    complete(job, 20)


def test_points_that_are_lost_without_a_crash_are_missed_and_read_again(site: Site, notebook: Notebook):
    job = site.job()
    notebook.run(LOG.format(count=5), job.variables)
    site.eventually(lambda: [each.count for each in site.summary(job.name).metrics] == [5], "all points are there")
    site.stage.studio.history.drop(job.run_id)
    with site.stage.studio.database.session(write=True) as session:
        store.replace(session, job.run_id, [])
    complete(job, 5)


def test_a_run_of_an_outside_client_is_made_whole_after_a_crash(site: Site, notebook: Notebook, ben: dict[str, str]):
    run_id = notebook.run(
        "mlflow.set_experiment('crashed')\nwith mlflow.start_run() as run:\n"
        + LOG.format(count=20).replace("\n", "\n    ")
        + "\nanswer = run.info.run_id",
        ben,
    )
    site.restart()
    metric_healing.refresh(site.stage.studio, site.tracking)
    while metric_healing.check(site.stage.studio, site.tracking):
        pass
    (row,) = site.runs("crashed", "metrics.loss")
    assert (row.run_id, row.status, row.cells) == (run_id, "Completed", {"metrics.loss": 9.5})
    with site.stage.studio.database.session(write=False) as session:
        number = store.key_ids(session, ["loss"])["loss"]
        assert [each.n for each in store.metrics_of(session, [run_id])] == [20]
    assert site.stage.studio.history.series(run_id, number).step.tolist() == list(range(20))
