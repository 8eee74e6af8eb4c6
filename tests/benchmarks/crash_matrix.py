"""The crash matrix for as long as one likes: `python -m tests.benchmarks.crash_matrix --cycles 200 --seed 1`."""

import argparse
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.engines import tracking
from tests.conftest import free_port
from tests.faults import private_engine
from tests.faults.cycles import drawn
from tests.faults.private_engine import PrivateEngine
from tests.faults.rig import eventually, make_rig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    if reason := private_engine.missing():
        sys.exit(f"The crash matrix cannot run: {reason}.")
    random.seed(wanted.seed)
    with tempfile.TemporaryDirectory(prefix="atelier-crash-") as folder:
        faults, recoveries = measured(Path(folder), wanted.cycles, wanted.seed)
    kinds = Counter(fault.partition(":")[0] for fault in faults)
    ninety_five = statistics.quantiles(recoveries, n=20)[-1] if len(recoveries) > 1 else recoveries[0]
    print(
        f"T-1 {wanted.cycles} cycles: {len(faults)} faults {dict(kinds)}; "
        f"recovery median {statistics.median(recoveries):.1f} s, p95 {ninety_five:.1f} s"
    )
    sys.exit(bool(faults))


def measured(folder: Path, cycles: int, seed: int) -> tuple[list[str], list[float]]:
    """Every fault of all cycles, and how long each recovery took, in seconds."""
    faults: list[str] = []
    recoveries: list[float] = []
    engine = PrivateEngine()
    try:
        engine.start()
        with served(folder / "mlflow") as url:
            rig = make_rig(folder / "home", engine, url)
            for number, cycle in enumerate(drawn(cycles, seed), 1):
                begun = time.monotonic()
                try:
                    told = cycle.run(rig)
                    found, took = told.faults, [told.recovery]
                except AssertionError as cause:
                    found, took = [f"lost: {cause}"], []
                rig.end()
                faults += found
                recoveries += took
                print(f"{number} {cycle} {time.monotonic() - begun:.1f} s {found or 'ok'}", flush=True)
            rig.close()
    finally:
        engine.close()
    return faults, recoveries


@contextmanager
def served(home: Path) -> Iterator[str]:
    """A tracking server of its own."""
    home.mkdir()
    port = free_port()
    arguments, settings = tracking.command(home, port)
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            arguments, env={**os.environ, **settings}, stdout=log, stderr=log, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(tracking.HttpTracking(url).answers, "MLflow answers", seconds=120)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    main()
