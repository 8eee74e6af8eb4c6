"""U1: what the chart of 200 runs × 10,000 points costs the server, and how many bytes go to the browser.

Ours is the whole answer of the running web process to one tile. Theirs is what a plain page does after it has read
everything: a figure of Python lists, checked and written as `st.plotly_chart` does it; reading from MLflow, which
costs more than all of this, is left out (M1 has it).
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np

from services.metric_tee import Tee
from services.store.metrics import Point, Run
from tests.api.conftest import api_token
from tests.benchmarks.metering import Cost, Meter
from tests.conftest import Stage, free_port, make_stage

PEER = "a figure of lists in st.plotly_chart"
UNIT = "cpu"
ROUNDS = 5
BAR = 0.1
BYTES_BAR = 0.15
RUNS, POINTS = 200, 10_000
# One answer costs little more than the clock of processor time can tell.
ANSWERS = 10
START = 1_700_000_000_000
WEB = """
import uvicorn
from app import server
from services.studio import Settings, Studio

settings = Settings()
uvicorn.run(server.application(Studio(settings)), port=settings.port, log_config=None, access_log=False)
"""
NAIVE = """
import sys
import numpy as np
import plotly.graph_objects as go
import plotly.io
import plotly.tools

steps, values = list(range(int(sys.argv[2]))), np.load(sys.argv[1]).tolist()
print("ready", flush=True)
for _ in sys.stdin:
    figure = go.Figure([go.Scatter(x=steps, y=line, name=f"run {at}") for at, line in enumerate(values)])
    shown = plotly.tools.return_figure_from_figure_or_data(figure, validate_figure=True)
    print(len(plotly.io.to_json(shown, validate=False)), flush=True)
"""


def run(rounds: int) -> Iterator[tuple[Cost, Cost]]:
    with tempfile.TemporaryDirectory(prefix="atelier-u1-") as folder:
        bench = Bench(Path(folder))
        try:
            for at in range(rounds):
                yield bench.round(ours_first=bool(at % 2))
        finally:
            bench.close()


class Bench:
    """A web process with the runs in its home, and a process that has them in lists."""

    def __init__(self, folder: Path) -> None:
        self.log = (folder / "log").open("ab")
        self.stage = make_stage(folder / "home")
        values = _values()
        self.names = _logged(self.stage, values)
        np.save(folder / "values.npy", values)
        port, home = free_port(), str(self.stage.studio.settings.home)
        settings = {"ATELIER_HOME": home, "ATELIER_PORT": str(port), "PYTHONPATH": str(Path(__file__).parents[2])}
        self.web = subprocess.Popen(
            [sys.executable, "-c", WEB], env={**os.environ, **settings}, stdout=self.log, stderr=self.log
        )
        self.naive = subprocess.Popen(
            [sys.executable, "-c", NAIVE, str(folder / "values.npy"), str(POINTS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
        )  # fmt: skip
        token = api_token(self.stage, self.stage.ada)
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"Authorization": f"Bearer {token}"},
            timeout=60,
            trust_env=False,
        )
        assert self.naive.stdout is not None
        assert self.naive.stdout.readline() == "ready\n"
        self._wait()
        for _ in range(2):  # the first calls import and compile
            self._ours(), self._theirs()

    def round(self, *, ours_first: bool) -> tuple[Cost, Cost]:
        if ours_first:
            (ours, sent), (theirs, naive) = self._ours(), self._theirs()
        else:
            (theirs, naive), (ours, sent) = self._theirs(), self._ours()
        met = "met" if sent / naive <= BYTES_BAR else "missed"
        said = f"U1 bytes: ours {sent:,}, theirs {naive:,}: ratio {sent / naive:.3g}, bar ≤ {BYTES_BAR:g} {met}"
        print(said, file=sys.stderr, flush=True)
        return ours, theirs

    def close(self) -> None:
        for process in (self.web, self.naive):
            process.terminate()
            process.wait(20)
        self.stage.studio.close()
        self.log.close()

    def _ours(self) -> tuple[Cost, int]:
        meter = Meter(self.web.pid)
        tile = {"id": "a", "type": "line", "metrics": ["loss"]}
        for _ in range(ANSWERS):
            answer = self.client.post("/api/v1/workspaces/lab/tiles", json={"tile": tile, "runs": self.names})
        cost = meter.read().per(ANSWERS)
        assert len(answer.raise_for_status().json()["figure"]["data"]) == RUNS
        return cost, len(answer.content)

    def _theirs(self) -> tuple[Cost, int]:
        meter = Meter(self.naive.pid)
        assert self.naive.stdin is not None
        assert self.naive.stdout is not None
        self.naive.stdin.write("go\n")
        self.naive.stdin.flush()
        written = int(self.naive.stdout.readline())
        return meter.read(), written

    def _wait(self) -> None:
        until = time.monotonic() + 120
        while True:
            try:
                if self.client.get("/healthz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            if time.monotonic() > until:
                raise TimeoutError("the web process did not start")
            time.sleep(0.2)


def _values() -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    """Losses that fall, with noise."""
    chance = np.random.default_rng(0)
    falling = np.exp(-np.arange(POINTS) / 3000)
    return np.asarray(falling * chance.uniform(0.5, 2, (RUNS, 1)) + chance.normal(0, 0.05, (RUNS, POINTS)))


def _logged(stage: Stage, values: "np.ndarray[tuple[int, int], np.dtype[np.float64]]") -> list[str]:
    """Through the tee, as runs that have ended; their names."""
    tee, names = Tee(stage.studio), []
    for at, line in enumerate(values.tolist()):
        names.append(f"{at:032x}")
        fields = {"run_id": names[-1], "workspace_id": stage.lab.id, "experiment_id": "1", "name": f"run {at}"}
        tee.run(Run.model_validate({**fields, "status": "FINISHED", "start_time": START}))
        tee.points(names[-1], [Point("loss", value, START + step * 1000, step) for step, value in enumerate(line)])
        tee.flush()
        stage.studio.history.finish(names[-1])
    tee.close()
    return names
