"""A studio as people start it: `atelier up` in a process of its own, and the command line beside it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import free_port

PROGRAM = [sys.executable, "-c", "from app.cli import main; main()"]
ROOT = Path(__file__).parents[1]
PATIENCE = 150.0


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass
class Launched:
    """`variables` are given to everything that is started here."""

    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def environment(self) -> dict[str, str]:
        """Without what the test's own environment says of a studio."""
        plain = {key: value for key, value in os.environ.items() if not key.startswith("ATELIER_")}
        return {**plain, "PYTHONPATH": str(ROOT), "ATELIER_HOME": str(self.home), **self.variables}

    @property
    def output(self) -> Path:
        """What the supervisor has printed."""
        return self.home.with_name(f"{self.home.name}.out")

    def up(self) -> None:
        """Returns once jobs can be submitted."""
        with self.output.open("ab") as file:
            self.process = subprocess.Popen(
                [*PROGRAM, "up", "--no-browser", "--port", str(self.port)],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd="/",
            )
        self.until(lambda: self.said("status", "-o", "json").out and self.status()["status"] == "ready", "not ready")

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.said("status", "-o", "json").document
        return found

    def said(self, *words: str, cwd: Path | None = None) -> Said:
        done = subprocess.run(
            [*PROGRAM, *words], env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, cwd=cwd or "/"
        )
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    def ok(self, *words: str, cwd: Path | None = None) -> Any:
        """The document of a call that must succeed."""
        said = self.said(*words, "-o", "json", cwd=cwd)
        assert said.code == 0, said.err
        return said.document if said.out.strip() else None

    def children(self) -> dict[str, int]:
        known = json.loads((self.home / "studio.json").read_text())
        found: dict[str, int] = known.get("children", {})
        return found

    def signal(self, number: signal.Signals) -> int:
        """Sends it to the supervisor and waits for its end."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def links(self) -> list[str]:
        """Sign-in links that were printed."""
        return re.findall(r"Sign in: (\S+)", self.output.read_text())

    def until(self, is_so: Callable[[], object], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not is_so():
            alive = self.process is None or self.process.poll() is None
            assert alive, f"the studio ended: {self.output.read_text()[-2000:]}"
            assert time.monotonic() < until, f"{what}: {self.output.read_text()[-2000:]}"
            time.sleep(0.2)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.signal(signal.SIGTERM)
