"""A folder on which the mini-batch driver is started as a container starts it."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.runtime import batch

MAIN = Path(batch.__file__).with_name("main.py")


@dataclass
class Desk:
    """A folder with inputs, a script and what came out."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)
    said: str = ""

    @property
    def input(self) -> Path:
        return self.root / "in"

    @property
    def result(self) -> Path:
        return self.root / "out" / "predictions.csv"

    @property
    def lines(self) -> list[str]:
        return self.result.read_text().splitlines()

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / "work" / "logs" / "job_result.txt").read_text())
        return found

    def files(self, *names: str) -> None:
        for name in names:
            path = self.input / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"content of {name}\n")

    def log(self, name: str) -> str:
        return (self.root / "work" / "logs" / "user" / name).read_text()

    def start(self, script: str, *arguments: str, python: str = sys.executable, **settings: Any) -> Any:
        (self.root / "work" / "code").mkdir(parents=True, exist_ok=True)
        (self.root / "work" / "code" / "score.py").write_text(textwrap.dedent(script))
        told = {"inputs": ["IN"], "output": "OUT", "mini_batch_size": 2, "max_retries": 0, **settings}
        told.setdefault("entry_script", "code/score.py" if script else "")
        variables = {
            "PATH": os.environ["PATH"],
            "IN": str(self.input),
            "OUT": str(self.root / "out"),
            "ATELIER_BATCH_SETTINGS": json.dumps(told),
            **self.variables,
        }
        return subprocess.Popen(
            [python, str(MAIN), *arguments],
            cwd=self.root / "work",
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, script: str, *arguments: str, **settings: Any) -> int:
        process = self.start(script, *arguments, **settings)
        self.said, _ = process.communicate(timeout=60)
        code: int = process.returncode
        return code
