"""Three figures that are bars by themselves, taken over HTTP from a web process on a home of `ten_thousand`:

    python -m tests.benchmarks.figures [--runs 10000]

the 95th percentile of a page of the runs list, filtered and sorted by any metric (bar 500 ms); 20 charts of 50 runs of
10,000 points, bytes ready (bar 2 s); the memory of the web process, the highest it ever was (bar 1 GB).
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from services import sessions
from tests.benchmarks.metering import Meter
from tests.benchmarks.stack import answers, say, started, until
from tests.benchmarks.ten_thousand import Full, Size, charted, opened
from tests.conftest import free_port

PAGES, CHARTS, COMPARED = 200, 20, 50
WEB = [sys.executable, str(Path(__file__).parents[1] / "tracking" / "web.py")]


def pages(client: httpx.Client, size: Size) -> list[float]:
    """Milliseconds of each of many different ones."""
    rng = random.Random(7)
    found = []
    for _ in range(PAGES):
        one, other, sort = (metric(rng, size) for _ in range(3))
        low, high = (f"{rng.uniform(-2, 2):.2f}" for _ in range(2))
        params = {
            "filter": f"{one} < {low} and ({other} > {high} or params.param_01 = 'sgd')",
            "order_by": rng.choice(("", "-")) + sort,
            "column": [one, other, sort, "params.param_00", "tags.team"],
            "limit": 100,
            "offset": rng.choice((0, 0, 50, 500)),
        }
        began = time.perf_counter()
        client.get("/runs", params=params).raise_for_status()
        found.append((time.perf_counter() - began) * 1000)
    return found


def metric(rng: random.Random, size: Size) -> str:
    at = rng.randrange(size.metrics)
    return f"metrics.{'val' if at % 2 else 'train'}/metric_{at:02d}"


def charts(client: httpx.Client, size: Size) -> float:
    """Seconds; every chart is smoothed otherwise, so that none is another's."""
    runs = charted(size)[:COMPARED]
    began = time.perf_counter()
    for at in range(CHARTS):
        tile = {"id": f"t{at}", "type": "line", "metrics": ["loss"], "smoothing": "ema", "weight": at / 25}
        answer = client.post("/tiles", json={"tile": tile, "runs": runs}).raise_for_status()
        assert answer.json()["kind"] == "figure", answer.text[:200]
    return time.perf_counter() - began


def measured(full: Full, size: Size, folder: Path) -> None:
    with full.studio.database.session(write=True) as session:
        token = sessions._issue(session, full.ada.id, "api")
    port = free_port()
    with started(WEB, folder, ATELIER_HOME=str(full.home), ATELIER_PORT=str(port)) as web:
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{url}/healthz"), pause=0.2)
        headers = {"Authorization": f"Bearer {token}"}
        base = f"{url}/api/v1/workspaces/{full.lab.name}"
        with httpx.Client(base_url=base, headers=headers, timeout=120, trust_env=False) as client:
            charts(client, size)
            meter = Meter(web.pid)
            took = pages(client, size)
            cost = meter.read()
            p95 = statistics.quantiles(took, n=20)[-1]
            say(f"{PAGES} pages of {size.runs} runs: p95 {p95:.0f} ms, median {statistics.median(took):.0f} ms,"
                f" {cost.cpu / PAGES * 1000:.0f} ms of processor each")  # fmt: skip
            meter = Meter(web.pid)
            seconds = charts(client, size)
            say(f"{CHARTS} charts of {COMPARED} runs: {seconds:.2f} s, {meter.read().cpu:.2f} s of processor")
        say(f"web process at its largest: {peak(web.pid):.0f} MB; {psutil.getloadavg()[0]:.1f} wanted to run")


def peak(pid: int) -> float:
    """Megabytes resident (VmHWM)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1000 for line in status.splitlines() if line.startswith("VmHWM"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.figures")
    parser.add_argument("--runs", type=int, default=Size().runs)
    size = Size(runs=parser.parse_args().runs)
    with opened(size) as full, tempfile.TemporaryDirectory(prefix="atelier-figures-") as folder:
        measured(full, size, Path(folder) / "web")
    return 0


if __name__ == "__main__":
    sys.exit(main())
