"""A home as full as a busy team's: thousands of runs with parameters and metrics, and long lines to compare.

    python -m tests.benchmarks.ten_thousand --runs 10000 --params 30 --metrics 50 --home DIR

Made, never committed. Metrics come in by the native door and the tee, as they do from `metrics:batch`; run rows and
parameters, of which MLflow takes fifty a second, are written into its tables as it would, and given to the tee. What
was made once is kept below ATELIER_BENCH_CACHE (or the temporary folder) and taken again by who asks for the same.
"""

import argparse
import hashlib
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import numpy as np
from filelock import FileLock
from sqlmodel import select

from services import experiments
from services.engines import tracking
from services.engines.native_metrics import NativeMetrics
from services.metric_tee import Tee
from services.specs.metric_batches import MetricBatch
from services.store.metrics import Run, checked, key_ids
from services.store.rows import Principal, Workspace
from services.studio import Settings, Studio, mlflow_workspace
from tests.benchmarks.metering import Meter
from tests.benchmarks.stack import answers, say, started, until
from tests.conftest import free_port, make_stage

BEGAN = 1_700_000_000_000
TEAMS = ("vision", "speech", "search", "ads")
# As many points of a run come in by one tick.
TICK = 1_100
LISTED, CHARTED = "listed", "charted"


@dataclass(frozen=True)
class Size:
    """`charted` runs have one line of `steps` points; as many again are still running."""

    runs: int = 10_000
    params: int = 30
    metrics: int = 50
    charted: int = 200
    steps: int = 10_000

    def __str__(self) -> str:
        return "-".join(map(str, asdict(self).values()))


@dataclass
class Full:
    """The home, opened, with an MLflow server on the same database, which is analysed; `ada` owns the workspace."""

    home: Path
    studio: Studio
    ada: Principal
    lab: Workspace
    server: int
    client: httpx.Client

    @property
    def header(self) -> dict[str, str]:
        return {tracking.WORKSPACE_HEADER: mlflow_workspace(self.lab.id)}

    def key(self, name: str) -> int:
        with self.studio.database.session(write=False) as session:
            return key_ids(session, [name])[name]

    def experiment(self, name: str) -> str:
        """MLflow's number of it."""
        with self.studio.scope(self.ada, self.lab.name) as scope:
            return str(experiments.get(scope, name).mlflow_id)


def charted(size: Size, *, live: bool = False) -> list[str]:
    return [_run_id("live" if live else "ended", at) for at in range(size.charted)]


@contextmanager
def opened(size: Size) -> Iterator[Full]:
    """Made where it is not there yet."""
    cache = Path(os.environ.get("ATELIER_BENCH_CACHE") or tempfile.gettempdir())
    cache.mkdir(parents=True, exist_ok=True)
    home = cache / f"atelier-bench-{size}-v1"
    with FileLock(f"{home}.lock"):
        if not home.exists():
            part = home.with_suffix(f".{os.getpid()}.part")
            make(part, size)
            part.rename(home)
    with serving(home) as (pid, url):
        studio = Studio(Settings(home=home))
        with studio.database.session(write=False) as session:
            ada = session.exec(select(Principal).where(Principal.name == "ada")).one()
            lab = session.exec(select(Workspace).where(Workspace.name == "lab")).one()
            session.expunge_all()
        NativeMetrics(studio.folders.mlflow).analyse()
        try:
            with httpx.Client(base_url=f"{url}{tracking.PREFIX}", timeout=600, trust_env=False) as client:
                yield Full(home, studio, ada, lab, pid, client)
        finally:
            studio.close()


def make(home: Path, size: Size) -> None:
    """Everything, and says what it cost."""
    stage = make_stage(home)
    meter, tee = Meter(), Tee(stage.studio)
    numbers = {name: _experiment(stage.studio, stage.ada, name) for name in (LISTED, CHARTED)}
    with serving(home) as (_, url):
        server = tracking.HttpTracking(url)
        server.ensure_workspace(mlflow_workspace(stage.lab.id))
        for name in numbers:
            numbers[name] = server.ensure_experiment(mlflow_workspace(stage.lab.id), name)
    for name, number in numbers.items():
        with stage.scope() as scope:
            experiments.get(scope, name).mlflow_id = number
    native = NativeMetrics(stage.studio.folders.mlflow)
    _list(stage.lab.id, tee, native, size, numbers[LISTED])
    for live in (False, True):
        _chart(stage.studio, stage.lab.id, tee, native, size, numbers[CHARTED], live=live)
    tee.close()
    with stage.studio.database.session(write=True) as session:
        for at in range(size.runs):
            checked(session, _run_id("listed", at))
    cost = meter.read()
    say(f"{size}: metrics by the native door and the tee, {cost.cpu:.0f} CPU-s, {cost.wall:.0f} s on the clock")
    stage.studio.close()


@contextmanager
def serving(home: Path) -> Iterator[tuple[int, str]]:
    """MLflow on the home, as the studio starts it: process and address."""
    port = free_port()
    arguments, settings = tracking.command(home, port)
    with started(arguments, home / "mlflow-server", **settings) as process:
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{url}{tracking.PREFIX}/health"), pause=0.2)
        yield process.pid, url


def _experiment(studio: Studio, ada: Principal, name: str) -> str:
    with studio.scope(ada, "lab", write=True) as scope:
        return experiments.ensure(scope, name).name


def _run_id(kind: str, at: int) -> str:
    return hashlib.blake2b(f"{kind}-{at}".encode(), digest_size=16).hexdigest()


def _list(workspace_id: str, tee: Tee, native: NativeMetrics, size: Size, experiment: str) -> None:
    rng = random.Random(5)
    names = tuple(f"{'val' if at % 2 else 'train'}/metric_{at:02d}" for at in range(size.metrics))
    for start in range(0, size.runs, 1000):
        batch = range(start, min(start + 1000, size.runs))
        rows = [_row(workspace_id, experiment, "listed", at) for at in batch]
        params = {row.run_id: _params(rng, size) for row in rows}
        tags = {
            row.run_id: {"mlflow.runName": row.name, "mlflow.user": row.user, "team": rng.choice(TEAMS)} for row in rows
        }
        _write(native.path, rows, params, tags)
        for row in rows:
            one = np.zeros(size.metrics, np.int64)
            values = np.array([rng.gauss(0, 1) for _ in names])
            points = MetricBatch(names, np.arange(size.metrics), one, one + BEGAN, values)
            _log(tee, native, row.run_id, points)
            tee.run(row)
            tee.params(row.run_id, params[row.run_id])
            tee.tags(row.run_id, tags[row.run_id])
        tee.flush()


def _chart(
    studio: Studio, workspace_id: str, tee: Tee, native: NativeMetrics, size: Size, experiment: str, *, live: bool
) -> None:
    """Noisy lines with one spike each, which a sampling of every so-many-th point does not see."""
    rng = np.random.default_rng(5)
    kind = "live" if live else "ended"
    rows = [_row(workspace_id, experiment, kind, at, "RUNNING" if live else "FINISHED") for at in range(size.charted)]
    _write(native.path, rows, {}, {row.run_id: {"mlflow.runName": row.name} for row in rows})
    steps = np.arange(size.steps)
    for row in rows:
        values = np.exp(-steps / size.steps * 3) + rng.normal(0, 0.02, size.steps)
        values[rng.integers(size.steps, size=2)] = 9.0, -9.0
        points = MetricBatch(("loss",), np.zeros(size.steps, np.int64), steps, BEGAN + steps * 1000, values)
        tee.run(row)
        for start in range(0, size.steps, TICK):
            _log(tee, native, row.run_id, points[start : start + TICK])
            tee.flush()
        if not live:
            studio.history.finish(row.run_id)


def _log(tee: Tee, native: NativeMetrics, run_id: str, points: MetricBatch) -> None:
    """As `metrics:batch` does it."""
    for part in native.log(
        run_id, points.names, key=points.key, step=points.step, time=points.time, value=points.value
    ):
        tee.batch(run_id, points[part])


def _row(workspace_id: str, experiment: str, kind: str, at: int, status: str = "FINISHED") -> Run:
    return Run(
        run_id=_run_id(kind, at),
        workspace_id=workspace_id,
        experiment_id=experiment,
        name=f"{kind}-{at}",
        status=status,
        start_time=BEGAN + at * 60_000,
        end_time=None if status == "RUNNING" else BEGAN + at * 60_000 + 5_000,
        user="ada",
    )


def _params(rng: random.Random, size: Size) -> dict[str, str]:
    kinds = (lambda: f"{10 ** rng.uniform(-5, -1):.6f}", lambda: rng.choice(("adam", "sgd", "lion")))
    return {f"param_{at:02d}": kinds[at % 2]() for at in range(size.params)}


def _write(path: Path, rows: list[Run], params: dict[str, dict[str, str]], tags: dict[str, dict[str, str]]) -> None:
    """What MLflow leaves behind for a run that was made, given parameters and ended."""
    with closing(sqlite3.connect(path, timeout=60)) as connection, connection:
        connection.executemany(
            "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
            " end_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
            " VALUES (?, ?, 'UNKNOWN', '', '', ?, ?, ?, ?, '', 'active', ?, ?)",
            [
                (
                    *(each.run_id, each.name, each.user, each.status, each.start_time, each.end_time),
                    *(f"mlflow-artifacts:/{each.experiment_id}/{each.run_id}/artifacts", int(each.experiment_id)),
                )
                for each in rows
            ],
        )
        for table, pairs in (("params", params), ("tags", tags)):
            connection.executemany(
                f"INSERT INTO {table} (key, value, run_uuid) VALUES (?, ?, ?)",  # noqa: S608 (two names of ours)
                [(key, value, run_id) for run_id, some in pairs.items() for key, value in some.items()],
            )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ten_thousand", description=__doc__)
    for name, default in asdict(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--home", type=Path, required=True, help="a folder that is made")
    asked = parser.parse_args()
    began = time.perf_counter()
    make(asked.home, Size(**{name: getattr(asked, name) for name in asdict(Size())}))
    say(f"{asked.home} is made, {time.perf_counter() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
