"""Memory of the web process while gigabytes arrive: `python -m tests.benchmarks.upload_memory 5` (gigabytes).

Prints one line: how much the process grew over what it held before, at the most, and how fast the bytes came.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil

from tests.conftest import free_port
from tests.launched import PROGRAM, ROOT

BAR = 200.0
PIECE = 1 << 20
LOOK_SECONDS = 0.05
BLOCK = os.urandom(PIECE)


class Watch(threading.Thread):
    """The most memory that the process held, in bytes."""

    def __init__(self, process: psutil.Process) -> None:
        super().__init__(daemon=True)
        self._process, self._over = process, threading.Event()
        self.most = 0

    def run(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            self.most = max(self.most, self._process.memory_info().rss)

    def end(self) -> int:
        self._over.set()
        self.join()
        return self.most


def pieces(count: int) -> Iterator[bytes]:
    for place in range(count):
        yield place.to_bytes(8, "big") + BLOCK[8:]


def sent(client: httpx.Client, entry: dict[str, object], count: int) -> float:
    """Seconds that the bytes took."""
    upload = client.post("/uploads", json={"kind": "data", "entries": [entry]}).raise_for_status().json()
    start = time.perf_counter()
    state = client.put(
        f"/uploads/{upload['id']}/content", content=pieces(count), headers={"Content-Length": str(count * PIECE)}
    )
    assert state.raise_for_status().json()["complete"]
    seconds = time.perf_counter() - start
    body = {"spec": {"name": "large", "type": "uri_file", "path": "./large.bin"}, "upload": upload["id"]}
    client.post("/data", json=body).raise_for_status()
    return seconds


def measured(home: Path, gigabytes: int) -> None:
    port = free_port()
    environment = {**os.environ, "ATELIER_HOME": str(home), "PYTHONPATH": str(ROOT), "ATELIER_ENGINE": "process"}
    up = [*PROGRAM, "up", "--no-browser", "--detach", "--port", str(port)]
    subprocess.run(up, check=True, env=environment, stdout=subprocess.DEVNULL)
    try:
        base = f"http://127.0.0.1:{port}/api/v1/workspaces"
        headers = {"Authorization": f"Bearer {(home / 'token').read_text().strip()}"}
        with httpx.Client(headers=headers, timeout=600, trust_env=False) as client:
            client.post(base, json={"name": "bench"}).raise_for_status()
        count, digest = gigabytes * 1024, hashlib.sha256()
        for piece in pieces(count):
            digest.update(piece)
        entry = {"path": "large.bin", "size": count * PIECE, "sha256": digest.hexdigest()}
        with httpx.Client(base_url=f"{base}/bench", headers=headers, timeout=600, trust_env=False) as client:
            client.get("/data").raise_for_status()
            status = subprocess.run(
                [*PROGRAM, "status", "-o", "json"], env=environment, capture_output=True, check=True
            )
            web = psutil.Process(json.loads(status.stdout)["processes"]["web"])
            before, watch = web.memory_info().rss, Watch(web)
            watch.start()
            seconds = sent(client, entry, count)
            grown = (watch.end() - before) / 1e6
        speed = count * PIECE / 1e6 / seconds
        held = f"{before / 1e6:.0f} MB"
        print(f"UPLOAD_MEMORY grew {grown:.1f} MB over {held} for {gigabytes} GB at {speed:.0f} MB/s, bar {BAR:.0f} MB")
    finally:
        subprocess.run([*PROGRAM, "down"], check=True, env=environment, stdout=subprocess.DEVNULL)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="atelier-bench-") as folder:
        (Path(folder) / "home").mkdir()
        measured(Path(folder) / "home", int(sys.argv[1]) if len(sys.argv) > 1 else 5)


if __name__ == "__main__":
    main()
