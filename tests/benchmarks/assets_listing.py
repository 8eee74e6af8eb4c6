"""Listing five thousand data assets with a search, at the API: `python -m tests.benchmarks.assets_listing`.

Prints one line: the 95th percentile of a call in milliseconds over searches, sorts and pages, and the slowest.
The server and who asks share one process here, so that a studio of its own answers no slower.
"""

import statistics
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import httpx

from services.core.states import AssetKind
from services.core.times import now
from services.store.rows import Asset
from tests.api.conftest import opened
from tests.conftest import Stage, make_stage

NAMES, VERSIONS, ROUNDS = 5000, 2, 40
BAR = 300.0
WORDS = ("iris", "wine", "digits", "taxi", "faces")
ASKED = (
    {"search": "wine", "limit": 50},
    {"search": "asset 49", "limit": 50},
    {"search": "nothing at all", "limit": 50},
    {"order_by": "-created_at", "limit": 50},
    {"search": "taxi", "type": "uri_file", "order_by": "-updated_at", "limit": 200},
)


def filled(stage: Stage) -> None:
    with stage.scope() as scope:
        start = now() - timedelta(days=30)
        scope.session.add_all(
            Asset(
                workspace_id=scope.workspace_id,
                kind=AssetKind.data,
                name=f"{WORDS[place % 5]}-{place:05d}",
                version=str(version + 1),
                type=("uri_file", "uri_folder", "mltable")[place % 3],
                hash=f"{place * VERSIONS + version:064x}",
                path=f"https://example.com/{place}/{version}",
                description=f"This is asset {place}, made to be found",
                tags={"team": WORDS[place % 3]},
                created_by="ada",
                created_at=start + timedelta(seconds=place * VERSIONS + version),
            )
            for place in range(NAMES)
            for version in range(VERSIONS)
        )


def timed(client: httpx.Client) -> list[float]:
    """Milliseconds of each call."""
    found = []
    for _ in range(ROUNDS):
        for asked in ASKED:
            start = time.perf_counter()
            client.get("/api/v1/workspaces/lab/data", params=asked).raise_for_status()
            found.append(1000 * (time.perf_counter() - start))
    return found


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        stage = make_stage(Path(folder) / "home")
        filled(stage)
        with opened(stage) as house:
            client = house.bearer("ben")
            timed(client)
            found = timed(client)
        stage.studio.close()
    p95 = statistics.quantiles(found, n=20)[-1]
    print(f"ASSETS_LISTING p95 {p95:.0f} ms, slowest {max(found):.0f} ms, n={len(found)}, wanted < {BAR:.0f} ms")


if __name__ == "__main__":
    main()
