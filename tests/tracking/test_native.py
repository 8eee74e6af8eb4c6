"""Many points at once: through MLflow's own door, and through ours, which leaves the very same behind."""

import base64
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from services.reconcile.metrics import Metrics
from services.store.metrics import Metric, key_names, metrics_of
from tests.conftest import make_stage
from tests.tracking.conftest import Running, Site, as_stored, close_site, make_site, points

pytestmark = pytest.mark.slow
Row = dict[str, Any]
ODD = ("NaN", "Infinity", "-Infinity", 0.0, -0.0, 1.7976931348623157e308, 5e-324)


@pytest.fixture(scope="module")
def native(tmp_path_factory: pytest.TempPathFactory, mlflow_server: str, shared_folder: Path) -> Iterator[Site]:
    """A studio whose admin has opened the native door."""
    stage = make_stage(tmp_path_factory.mktemp("native") / "home")
    stage.studio.folders.mlflow.symlink_to(shared_folder / "mlflow" / "mlflow.db")
    made = make_site(stage, mlflow_server, ATELIER_NATIVE_METRICS="true")
    yield made
    close_site(made)


def sent(site: Site, run: str, body: Row, *, token: str = "") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token or site.token('ben')}"}
    url = f"{site.url}/api/v1/workspaces/lab/runs/{run}/metrics:batch"
    return httpx.post(url, json=body, headers=headers, timeout=120, trust_env=False)


def logged(site: Site, run: str, body: Row) -> Row:
    answer = sent(site, run, body)
    assert answer.status_code == 200, answer.text
    found: Row = answer.json()
    return found


def at_random(rng: random.Random, count: int, keys: int = 3) -> list[Row]:
    """Few steps and times, so that equal ones, duplicates and ties are common; odd values too."""
    return [
        {
            "key": f"val/a b:c.{rng.randrange(keys)}",
            "value": rng.choice(ODD) if rng.random() < 0.3 else round(rng.uniform(-2, 2), 1),
            "step": rng.choice((0, 0, 1, 2, 7, -3, 2**40)),
            "timestamp": rng.choice((0, 5, 6, 1_700_000_000_000)),
        }
        for _ in range(count)
    ]


def columns(rows: list[Row]) -> Row:
    names = sorted({row["key"] for row in rows})
    packed = {
        "key": np.array([names.index(row["key"]) for row in rows], "<u4"),
        "value": np.array([float(row["value"]) for row in rows], "<f8"),
        "step": np.array([row["step"] for row in rows], "<i8"),
        "timestamp": np.array([row["timestamp"] for row in rows], "<i8"),
    }
    return {"keys": names} | {name: base64.b64encode(each.tobytes()).decode() for name, each in packed.items()}


def pieces(rng: random.Random, rows: list[Row]) -> Iterator[list[Row]]:
    while rows:
        cut = rng.randint(1, len(rows))
        yield rows[:cut]
        rows = rows[cut:]


def tables(site: Site, run_id: str) -> tuple[list[Any], list[Any]]:
    """What lies in MLflow's own tables, all of it."""
    with closing(sqlite3.connect(site.stage.studio.folders.mlflow)) as connection:
        both = [
            connection.execute(
                f"SELECT key, step, timestamp, value, is_nan, typeof(value) FROM {table} WHERE run_uuid = ?",  # noqa: S608 (two names of ours)
                (run_id,),
            ).fetchall()
            for table in ("metrics", "latest_metrics")
        ]
    return sorted(both[0]), sorted(both[1])


def by_mlflow(site: Site, run_id: str, rows: list[Row]) -> None:
    body = {"run_id": run_id, "metrics": rows}
    site.asked(
        "POST", "/api/2.0/mlflow/runs/log-batch", json=body, headers={"X-MLFLOW-WORKSPACE": "lab"}
    ).raise_for_status()


def test_what_we_write_is_row_for_row_what_mlflow_would_have_written(native: Site):
    """Fifty random series, each sent to two runs: through MLflow's door, and through ours in other pieces."""
    rng = random.Random(4)
    theirs, ours = native.job(), native.job()
    for _ in range(20):
        rows = at_random(rng, rng.choice((1, 20, 200)), keys=50)
        for some in pieces(rng, rows):
            by_mlflow(native, theirs.run_id, some)
        for some in pieces(rng, rows):
            answer = logged(native, ours.name, columns(some) if rng.random() < 0.5 else {"metrics": some})
            assert answer["door"] == "native"
    for table, same in zip(tables(native, ours.run_id), tables(native, theirs.run_id), strict=True):
        assert table == same
    assert len(tables(native, ours.run_id)[1]) == 50


def test_a_client_of_mlflow_reads_what_came_by_our_door(native: Site):
    job = native.job()
    rows = [{"key": "loss", "value": at / 7, "step": at, "timestamp": 1000 + at} for at in range(25_000)]
    assert logged(native, job.run_id, columns(rows)) == {"run_id": job.run_id, "logged": 25_000, "door": "native"}
    native.eventually(lambda: len(job.line("loss").step) == 25_000, "the points come in")
    job.ended()
    assert as_stored(job.line("loss")) == points(job, "loss")
    found = native.asked("GET", f"/api/2.0/mlflow/runs/get?run_id={job.run_id}", headers={"X-MLFLOW-WORKSPACE": "lab"})
    (latest,) = found.json()["run"]["data"]["metrics"]
    assert (latest["value"], latest["step"]) == (24_999 / 7, 24_999)


def test_a_crash_between_the_two_is_mended_when_the_run_ends(native: Site):
    """MLflow has the points, and the web process dies before its tick: nothing of them is here."""
    job = native.job()
    rows = [{"key": "loss", "value": at * 1.0, "step": at, "timestamp": at} for at in range(30_000)]
    logged(native, job.name, columns(rows))
    native.restart()
    job.ended()
    assert as_stored(job.line("loss")) == points(job, "loss")
    assert [each.count for each in native.summary(job.name).metrics] == [30_000]


def test_without_the_setting_the_points_go_through_mlflows_own_door(site: Site):
    rng = random.Random(1)
    rows = at_random(rng, 2500)
    job = site.job()
    assert logged(site, job.name, {"metrics": rows}) == {"run_id": job.run_id, "logged": 2500, "door": "mlflow"}
    site.eventually(lambda: sum(each.count for each in site.summary(job.name).metrics) == 2500, "the points come in")
    job.ended()
    for key in {row["key"] for row in rows}:
        assert as_stored(job.line(key)) == points(job, key)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"metrics": [{"key": "a", "value": None}]}, "number"),
        ({"metrics": [{"key": "a", "value": True}]}, "number"),
        ({"metrics": [{"key": "a", "value": "1"}]}, "number"),
        ({"metrics": [{"key": "a/../b", "value": 1}]}, "path"),
        ({"metrics": [{"key": "", "value": 1}]}, "path"),
        ({"metrics": [{"key": "<b>", "value": 1}]}, "no name"),
        ({"metrics": [{"key": "x" * 251, "value": 1}]}, "250"),
        ({"metrics": [{"key": "a", "value": 1, "step": 1.5}]}, "whole"),
        ({"metrics": [{"key": "a", "value": 1, "step": 2**63}]}, "64 bits"),
        ({"metrics": [{"key": "a", "value": 1, "timestamp": -1}]}, "below 0"),
        ({"metrics": []}, "1 to"),
        ({"metrics": [{"key": "a", "value": 1, "model": "m"}]}, "A point has"),
        ({"keys": ["a"], "key": [1], "value": [1]}, "places"),
        ({"keys": ["a"], "key": [0, 0], "value": [1]}, "entries"),
        ({"keys": ["a"], "key": [0], "value": "AAA="}, "bytes"),
        ({"keys": ["a", "a"], "key": [0], "value": [1]}, "once"),
        ({}, "either"),
    ],
)
@pytest.mark.parametrize("door", ["native", "site"])
def test_what_mlflow_would_refuse_is_refused_before_anything_is_written(
    request: pytest.FixtureRequest, door: str, body: Row, word: str
):
    there: Site = request.getfixturevalue(door)
    job = refusing(there)
    answer = sent(there, job.name, body)
    assert answer.status_code == 422, answer.text
    assert word in answer.json()["detail"] or word in answer.json().get("title", ""), answer.text
    assert not there.tracking.run(f"ws-{there.stage.lab.id}", job.run_id).metrics


_REFUSING: dict[str, Running] = {}


def refusing(site: Site) -> Running:
    if site.url not in _REFUSING:
        _REFUSING[site.url] = site.job()
    return _REFUSING[site.url]


def test_only_who_may_write_runs_logs_and_a_job_to_its_own_alone(native: Site):
    mine, other = native.job(), native.job()
    body = {"metrics": [{"key": "loss", "value": 1.0}]}
    assert sent(native, mine.name, body, token=mine.token).status_code == 200
    assert sent(native, other.name, body, token=mine.token).status_code == 403
    assert sent(native, "nowhere", body).status_code == 404
    assert sent(native, mine.name, body, token=native.token("cleo")).status_code == 403
    assert sent(native, mine.name, body, token=native.token("dan")).status_code == 404
    headers = {"Authorization": f"Bearer {mine.token}"}
    elsewhere = httpx.get(f"{native.url}/api/v1/workspaces/lab/jobs", headers=headers, trust_env=False)
    assert elsewhere.status_code == 401


def test_tables_of_another_revision_are_left_alone(native: Site, tmp_path: Path):
    """Points go through MLflow's door, and nothing of ours touches the file."""
    folders = native.stage.studio.folders
    there, strange = folders.mlflow.readlink(), tmp_path / "strange.db"
    with closing(sqlite3.connect(strange)) as connection, connection:
        connection.execute("CREATE TABLE alembic_version (version_num)")
        connection.execute("INSERT INTO alembic_version VALUES ('feedbeef')")
    folders.mlflow.unlink()
    folders.mlflow.symlink_to(strange)
    try:
        job = native.job()
        assert logged(native, job.name, {"metrics": [{"key": "a", "value": 1}]})["door"] == "mlflow"
    finally:
        folders.mlflow.unlink()
        folders.mlflow.symlink_to(there)


def test_mlflows_own_database_is_analysed(native: Site):
    Metrics(native.stage.studio).look()
    with closing(sqlite3.connect(native.stage.studio.folders.mlflow)) as connection:
        known = {row[0] for row in connection.execute("SELECT DISTINCT tbl FROM sqlite_stat1")}
    assert {"metrics", "latest_metrics", "runs"} <= known


def test_summaries_are_what_mlflow_finds_itself(native: Site):
    """The latest value of every metric of every run, of many random logs, as MLflow's own search answers them."""
    jobs = [native.job(experiment_name="searched") for _ in range(6)]
    for seed, job in enumerate(jobs):
        rng = random.Random(seed)
        for some in pieces(rng, at_random(rng, 600, keys=100)):
            if rng.random() < 0.5:
                by_mlflow(native, job.run_id, some)
            else:
                logged(native, job.name, {"metrics": some})
        job.ended()
    experiment = native.tracking.ensure_experiment(f"ws-{native.stage.lab.id}", "searched")
    answer = native.asked(
        "POST",
        "/api/2.0/mlflow/runs/search",
        json={"experiment_ids": [experiment], "max_results": 1000},
        headers={"X-MLFLOW-WORKSPACE": "lab"},
    )
    theirs = {
        (run["info"]["run_id"], each["key"]): (
            stored(float(each["value"])),
            each.get("step", 0),
            each.get("timestamp", 0),
        )
        for run in answer.json()["runs"]
        for each in run["data"].get("metrics", [])
    }
    assert ours(native, [job.run_id for job in jobs]) == theirs
    assert len(theirs) > 500


def ours(site: Site, run_ids: list[str]) -> dict[tuple[str, str], tuple[str, int | None, int | None]]:
    with site.stage.studio.database.session(write=False) as session:
        rows = metrics_of(session, run_ids)
        names = key_names(session, {row.key_id for row in rows})
        return {(row.run_id, names[row.key_id]): (last(row), row.last_step, row.last_time) for row in rows}


def last(row: Metric) -> str:
    return stored(float("nan") if row.last_nan or row.last is None else row.last)


def stored(value: float) -> str:
    """As MLflow keeps it."""
    return repr(float(np.nan_to_num(value, nan=np.nan)) + 0.0)
