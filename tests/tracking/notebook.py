"""A user's Python with MLflow in it and nothing of ours: imports it once, then runs each cell in a fork of itself.

Each line on standard input is JSON: `cell` (source that may set `answer`), `variables` (of its environment) and
`answer` (the file that is written when the cell is over). Started by the fixture `notebook`.
"""

import io
import json
import os
import signal
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import mlflow
import mlflow.pyfunc
from mlflow import MlflowClient


def ran(asked: dict) -> dict:
    """What came of one cell: its answer, or the error and where it was raised."""
    os.environ.update(asked["variables"])
    names = {"mlflow": mlflow, "MlflowClient": MlflowClient, "os": os, "Path": Path, "answer": None}
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            exec(compile(asked["cell"], "cell", "exec"), names)  # noqa: S102 (that is what a notebook does)
            while mlflow.active_run() is not None:
                mlflow.end_run()
    except Exception as error:  # noqa: BLE001 (whatever a cell raises is its outcome)
        where = traceback.format_exc()[-3000:]
        return {"error": type(error).__name__, "message": str(error), "where": where, "output": said.getvalue()[-3000:]}
    return {"answer": names["answer"], "output": said.getvalue()[-3000:]}


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # cells are reaped by the system
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            path = Path(asked["answer"])
            path.with_suffix(".part").write_text(json.dumps(ran(asked)))
            path.with_suffix(".part").replace(path)
            os._exit(0)


if __name__ == "__main__":
    main()
