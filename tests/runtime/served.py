"""The scoring runner as a container starts it, on a free port of this machine."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import free_port

MAIN = Path(__file__).parents[2] / "services" / "runtime" / "serve" / "main.py"
PATIENCE = 60.0
ECHO = """
    def init():
        pass

    def run(data):
        return data
"""


class Served:
    """`code`: the text of score.py. Entered when it answers; `said` is its log, `failure` what the studio reads."""

    def __init__(
        self,
        folder: Path,
        code: str | None = None,
        *,
        files: Mapping[str, str] | None = None,
        python: str = sys.executable,
        **environment: str,
    ) -> None:
        self.root = folder / "code"
        self.root.mkdir(parents=True, exist_ok=True)
        if code is not None:
            (self.root / "score.py").write_text(textwrap.dedent(code))
        for name, text in (files or {}).items():
            (self.root / name).write_text(textwrap.dedent(text))
        self.port = free_port()
        self._log = folder / "log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ATELIER_", "AZUREML_"))}
        told = {"AML_APP_ROOT": str(self.root), "AZUREML_ENTRY_SCRIPT": "score.py", **environment}
        with self._log.open("wb") as log:
            command = [python, str(MAIN), "--host", "127.0.0.1", "--port", str(self.port)]
            self.process = subprocess.Popen(command, env=inherited | told, stdout=log, stderr=subprocess.STDOUT)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE, trust_env=False)

    def __enter__(self) -> "Served":
        self.until(lambda: self.is_alive or self.process.poll() is not None)
        assert self.process.poll() is None, self.said
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    @property
    def is_alive(self) -> bool:
        try:
            return self.client.get("/").status_code == 200
        except httpx.TransportError:
            return False

    @property
    def said(self) -> str:
        return self._log.read_text()

    @property
    def failure(self) -> str:
        """The last line, once it has ended with the status of a start that failed."""
        assert self.process.wait(PATIENCE) == 3, self.said
        return self.said.splitlines()[-1]

    def score(self, json: Any, **headers: str) -> httpx.Response:
        return self.client.post("/score", json=json, headers=headers)

    def stop(self) -> int:
        """Told to end; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def until(self, holds: Any) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)
