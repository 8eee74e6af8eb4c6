"""The tracking process: MLflow's own server in one process, which leaves when its supervisor is gone.

`mlflow server` starts another Python to serve, and stays beside it with everything imported twice: 200 MB and
eight seconds of processor for nothing. Here it does all that it does before that, and then serves itself.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import uvicorn.main  # before MLflow: that a server is loaded tells it to guard its routes
from mlflow import server
from mlflow.cli import cli

from app.orphan import exit_with_supervisor


class ServedHere:
    """What MLflow takes for the process that it has started: to wait for it is to serve."""

    def __init__(self, command: Sequence[str], *, extra_env: Mapping[str, str], **_: Any) -> None:
        self._arguments = [str(each) for each in command[3:]]  # after `python -m uvicorn`
        os.environ.update(extra_env)

    def poll(self) -> None:
        return None

    def send_signal(self, number: int) -> None:
        """Uvicorn has heeded it already, and says it once more when it has ended."""

    def wait(self) -> None:
        uvicorn.main.main(self._arguments, prog_name="uvicorn", standalone_mode=False)


def main() -> None:
    """Runs `mlflow` with the arguments given."""
    exit_with_supervisor()
    setattr(server, "_exec_cmd", ServedHere)  # noqa: B010 (its one seam between preparing and serving)
    cli.main(sys.argv[1:], prog_name="mlflow")


if __name__ == "__main__":
    main()
