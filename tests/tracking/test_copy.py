"""The tee: what passes the proxy is in the studio's own tables and columns, exactly as MLflow has it."""

import json

import numpy as np
import pytest

from services import metric_healing
from tests.tracking.conftest import LAB, Notebook, Site, as_stored, points

pytestmark = pytest.mark.slow
ODD = (
    (1.0, 0, 100), (float("nan"), 1, 100), (float("inf"), 2, 100), (float("-inf"), 3, 100), (-0.0, 4, 100),
    (1e308, 5, 100), (5e-324, 6, 100), (0.5, -3, 100), (0.25, 2**62, 100), (0.75, 2**62, 100), (0.7, 2**62, 99),
    (2.0, 1, 50), (3.0, 1, 100), (3.0, 1, 100),
)  # fmt: skip


def test_odd_values_and_odd_orders_end_as_mlflow_has_them(site: Site, notebook: Notebook):
    job = site.job()
    notebook.run(
        f"""
        from mlflow.entities import Metric
        import json
        odd = json.loads('{json.dumps(ODD)}')
        run_id = mlflow.active_run().info.run_id if mlflow.active_run() else mlflow.start_run().info.run_id
        MlflowClient().log_batch(run_id, [Metric("batch", value, time, step) for value, step, time in odd])
        for value, step, time in odd:
            MlflowClient().log_metric(run_id, "single", value, timestamp=time, step=step)
        """,
        job.variables,
    )
    site.eventually(
        lambda: [each.count for each in site.summary(job.name).metrics] == [len(ODD)] * 2, "all points are there"
    )
    live = job.line("batch")
    assert len(live.value) == len(ODD)
    assert np.isnan(live.value).sum() == 1
    assert np.isinf(live.value).sum() == 2
    job.ended()
    for key in ("batch", "single"):
        assert as_stored(job.line(key)) == points(job, key)
    for each in site.summary(job.name).metrics:
        assert (each.count, each.last, each.last_step) == (len(ODD) - 1, 0.75, 2**62)
        assert (each.min, each.max) == (float("-inf"), float("inf"))


@pytest.mark.parametrize("last", ["nan", "-1.0"])
def test_not_a_number_as_the_latest_counts_as_zero_as_in_mlflow(site: Site, notebook: Notebook, last: str):
    job = site.job()
    notebook.run(
        f"""
        run_id = mlflow.start_run().info.run_id
        for value in (float("{last}"), -0.5, float("nan")):
            MlflowClient().log_metric(run_id, "m", value, timestamp=7, step=7)
        """,
        job.variables,
    )
    site.eventually(lambda: [each.count for each in site.summary(job.name).metrics] == [3], "all points are there")
    theirs = site.tracking.run(f"ws-{site.stage.lab.id}", job.run_id).metrics["m"].value
    (ours,) = site.summary(job.name).metrics
    assert (ours.last is None) == bool(np.isnan(theirs))


@pytest.mark.parametrize("step", [2**63, -(2**63) - 1, 1.5, "x", True, [1]])
def test_a_step_that_mlflow_would_take_for_0_is_refused(site: Site, step: object):
    job = site.job()
    log = {"key": "m", "timestamp": 1, "value": 1, "step": step}
    for path, body in (("log-metric", log), ("log-batch", {"metrics": [log]})):
        answer = site.asked("POST", f"/api/2.0/mlflow/runs/{path}", token=job.token, json={"run_id": job.name, **body})
        assert answer.status_code == 400, answer.text
        assert "whole number" in answer.json()["message"]
    assert points(job, "m") == []


def test_a_batch_that_is_sent_twice_counts_once_in_the_end(site: Site):
    job = site.job()
    batch = [{"key": "m", "value": step, "timestamp": 1, "step": step} for step in range(10)]
    for _ in range(2):
        body = {"run_id": job.name, "metrics": batch}
        assert site.asked("POST", "/api/2.0/mlflow/runs/log-batch", token=job.token, json=body).status_code == 200
    site.eventually(lambda: [each.count for each in site.summary(job.name).metrics] == [20], "the points are there")
    job.ended()
    assert [each.count for each in site.summary(job.name).metrics] == [10]
    assert job.line("m").value.tolist() == list(range(10))


def test_a_point_that_comes_after_the_end_is_compared_once_more(site: Site):
    job = site.job()
    point = {"run_id": job.run_id, "key": "m", "timestamp": 1}
    paths = ("POST", "/api/2.0/mlflow/runs/log-metric")
    assert site.asked(*paths, token=job.token, json={**point, "value": 1, "step": 1}).status_code == 200
    job.ended()
    for _ in range(2):
        assert site.asked(*paths, json={**point, "value": 2, "step": 0}, headers=LAB).status_code == 200
    site.eventually(lambda: [each.count for each in site.summary(job.name).metrics] == [3], "it is there")
    while metric_healing.check(site.stage.studio, site.tracking, since=0):
        pass
    assert job.line("m").step.tolist() == [0, 1]
    assert [(each.count, each.last) for each in site.summary(job.name).metrics] == [(2, 1.0)]


def test_10000_keys(site: Site, notebook: Notebook):
    job = site.job()
    notebook.run(
        """
        from mlflow.entities import Metric
        run_id = mlflow.start_run().info.run_id
        for start in range(0, 10_000, 1000):
            MlflowClient().log_batch(run_id, [Metric(f"k{at:05}", at, 1, 0) for at in range(start, start + 1000)])
        """,
        job.variables,
    )
    site.eventually(lambda: len(site.summary(job.name).metrics) == 10_000, "all keys are there")
    job.ended()
    found = site.summary(job.name).metrics
    assert [(each.key, each.last, each.count) for each in found[::999]] == [
        (f"k{at:05}", float(at), 1) for at in range(0, 10_000, 999)
    ]
    assert job.line("k04321").value.tolist() == [4321.0]


def test_100000_points_keep_their_extremes_in_a_chart_of_a_thousand(site: Site, notebook: Notebook):
    job = site.job()
    notebook.run(
        """
        from mlflow.entities import Metric
        run_id = mlflow.start_run().info.run_id
        for start in range(0, 100_000, 1000):
            MlflowClient().log_batch(run_id, [
                Metric("loss", 9e9 if at == 54_321 else -9e9 if at == 7 else at % 100, at, at)
                for at in range(start, start + 1000)])
        """,
        job.variables,
    )
    site.eventually(lambda: [each.count for each in site.summary(job.name).metrics] == [100_000], "all are there")
    for _ in ("live", "ended"):
        drawn = job.line("loss", max_points=1000)
        assert len(drawn.value) <= 1000
        assert (drawn.value.min(), drawn.value.max()) == (-9e9, 9e9)
        assert (drawn.step[0], drawn.step[-1]) == (0, 99_999)
        assert job.line("loss", start=54_321, end=54_322).value.tolist() == [9e9, 22.0]
        job.ended()
    assert [each.count for each in site.summary(job.name).metrics] == [100_000]
