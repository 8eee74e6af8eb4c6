"""M3_NATIVE: points a second of processor by the native door of `metrics:batch`, against MLflow's log-batch over HTTP.

Of a thousand points each: ours is the web process's time for calls of 50,000 in columns, the tee's ticks included;
theirs that of MLflow's server alone for calls of 1,000, the most that it takes. Both go into the same database.
"""

import base64
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from services import sessions
from services.engines import tracking
from services.store.metrics import Run, save_run
from services.studio import mlflow_workspace
from tests.benchmarks.metering import Cost, Meter
from tests.benchmarks.stack import answers, started, until
from tests.benchmarks.ten_thousand import BEGAN, serving
from tests.conftest import free_port, make_stage

PEER = "log-batch over HTTP"
UNIT = "cpu"
ROUNDS = 5
BAR = 1 / 15
KEYS, OURS, THEIRS = 10, 50_000, 5_000
TICK_SECONDS = 2.5
WEB = [sys.executable, str(Path(__file__).parents[1] / "tracking" / "web.py")]


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with tempfile.TemporaryDirectory(prefix="atelier-m3-native-") as folder, serving(Path(folder) / "home") as served:
        mlflow, url = served
        stage = make_stage(Path(folder) / "home")
        stage.studio.say("tracking", {"url": url, "pid": mlflow})
        with stage.studio.database.session(write=True) as session:
            token = sessions._issue(session, stage.ada.id, "api")
        port = free_port()
        settings = {"ATELIER_HOME": f"{folder}/home", "ATELIER_PORT": str(port), "ATELIER_NATIVE_METRICS": "true"}
        with started(WEB, Path(folder) / "web", **settings) as web:
            until(lambda: answers(f"http://127.0.0.1:{port}/healthz"), pause=0.2)
            server = tracking.HttpTracking(url)
            workspace = mlflow_workspace(stage.lab.id)
            server.ensure_workspace(workspace)
            experiment = server.ensure_experiment(workspace, "batches")
            client = httpx.Client(timeout=600, trust_env=False)
            address = f"http://127.0.0.1:{port}/api/v1/workspaces/lab/runs"
            for at in range(rounds + 1):
                ids = [
                    server.ensure_run(
                        workspace,
                        experiment,
                        job_id=f"{at}{side}",
                        name="x",
                        user="ada",
                        start_time=BEGAN,
                        tags={},
                        is_new=True,
                    )
                    for side in ("ours", "theirs")
                ]
                with stage.studio.database.session(write=True) as session:
                    row = Run(run_id=ids[0], workspace_id=stage.lab.id, experiment_id=experiment, start_time=BEGAN)
                    save_run(session, row)
                headers = {"Authorization": f"Bearer {token}"}
                body = columns(OURS)
                meter = Meter(web.pid)
                answer = client.post(f"{address}/{ids[0]}/metrics:batch", json=body, headers=headers)
                assert answer.raise_for_status().json()["door"] == "native", answer.text
                time.sleep(TICK_SECONDS)
                ours = meter.read().per(OURS // 1000)
                theirs = batches(client, url, workspace, ids[1], mlflow)
                if at:  # the first warms both up
                    yield ours, theirs
            client.close()
        stage.studio.close()


def columns(count: int) -> dict[str, Any]:
    at = np.arange(count)
    packed = {
        "key": (at % KEYS).astype("<u4"),
        "value": np.random.default_rng(1).normal(size=count).astype("<f8"),
        "step": (at // KEYS).astype("<i8"),
        "timestamp": (BEGAN + at).astype("<i8"),
    }
    keys = {"keys": [f"metric_{key}" for key in range(KEYS)]}
    return keys | {name: base64.b64encode(each.tobytes()).decode() for name, each in packed.items()}


def batches(client: httpx.Client, url: str, workspace: str, run_id: str, pid: int) -> Cost:
    rng = np.random.default_rng(1)
    meter = Meter(pid)
    for start in range(0, THEIRS, 1000):
        metrics = [
            {"key": f"metric_{at % KEYS}", "value": rng.normal(), "step": at // KEYS, "timestamp": BEGAN + at}
            for at in range(start, start + 1000)
        ]
        answer = client.post(
            f"{url}{tracking.PREFIX}/api/2.0/mlflow/runs/log-batch",
            json={"run_id": run_id, "metrics": metrics},
            headers={tracking.WORKSPACE_HEADER: workspace},
        )
        answer.raise_for_status()
    return meter.read().per(THEIRS // 1000)
