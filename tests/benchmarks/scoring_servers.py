"""Scoring servers side by side for V1: the same model and `run()`, one worker each, asked over kept connections.

As a program it is the barest, `python scoring_servers.py PORT`: an ASGI function that calls `run()` in the loop.
"""

import asyncio
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.metering import Cost, Meter
from tests.benchmarks.stack import answers, say, started, until
from tests.conftest import free_port

CALLERS, ONCE = 8, 1000
RUNNER = Path(__file__).parents[2] / "services" / "runtime" / "serve" / "main.py"
CLOUD_SERVER = "azureml-inference-server-http"
WIDTH = 10
ROW = [[at / 10 for at in range(WIDTH)]]
SCRIPT = """
import json, os, pickle
import numpy

def init():
    global model
    with open(os.environ["AZUREML_MODEL_DIR"] + "/model.pkl", "rb") as file:
        model = pickle.load(file)

def run(data):
    return model.predict(numpy.array(json.loads(data)["data"])).tolist()
"""


@dataclass(frozen=True)
class Server:
    pid: int
    port: int
    path: str
    body: bytes

    def ask(self, count: int = ONCE) -> Cost:
        """Of a thousand requests; every answer is 200."""
        meter = Meter(self.pid)
        asyncio.run(_callers(self, count))
        return meter.read().per(count // 1000)


def in_turns(ours: Server, theirs: Server, rounds: int) -> Iterator[tuple[Cost, Cost]]:
    """Both are warmed up first; who begins changes from round to round."""
    for each in (ours, theirs):
        each.ask(1000)
    for at in range(rounds):
        pair = {server: server.ask() for server in ((ours, theirs) if at % 2 else (theirs, ours))}
        yield pair[ours], pair[theirs]


@contextmanager
def scripts(folder: Path) -> Iterator["Scripts"]:
    """Servers of the same script, ended afterwards."""
    import pickle

    (folder / "code").mkdir(parents=True)
    (folder / "code" / "score.py").write_text(SCRIPT)
    (folder / "model.pkl").write_bytes(pickle.dumps(_estimator(is_named=False)[0]))
    with ExitStack() as stack:
        yield Scripts(folder, stack)


class Scripts:
    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._settings = {
            "AML_APP_ROOT": str(folder / "code"),
            "AZUREML_ENTRY_SCRIPT": "score.py",
            "AZUREML_MODEL_DIR": str(folder),
        }

    def ours(self) -> Server:
        port = free_port()
        return self._served([sys.executable, str(RUNNER), "--port", str(port)], port, "/")

    def bare(self) -> Server:
        port = free_port()
        return self._served([sys.executable, str(Path(__file__)), str(port)], port, "/")

    def cloud(self) -> Server | None:
        """None where its packages cannot be had."""
        environment = self._folder / "environment"
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        python = environment / "bin" / "python"
        installing = [
            str(python),
            "-m",
            "pip",
            "install",
            "-q",
            CLOUD_SERVER,
            f"numpy=={np.__version__}",
            "scikit-learn",
        ]
        if subprocess.run(installing, capture_output=True, check=False).returncode:
            say(f"{CLOUD_SERVER} cannot be installed here")
            return None
        port = free_port()
        program = [str(environment / "bin" / "azmlinfsrv"), "--entry_script", str(self._folder / "code" / "score.py")]
        return self._served([*program, "--port", str(port)], port, "/")

    def _served(self, arguments: list[str], port: int, alive: str) -> Server:
        folder = self._folder / str(port)
        process = self._stack.enter_context(started(arguments, folder, **self._settings))
        until(lambda: answers(f"http://127.0.0.1:{port}{alive}"), seconds=60)
        return Server(process.pid, port, "/score", json.dumps({"data": ROW}).encode())


@contextmanager
def models(folder: Path) -> Iterator[tuple[Server, Server]]:
    """Ours and `mlflow models serve`, with the same MLflow model."""
    import mlflow
    from mlflow.models import infer_signature

    estimator, x = _estimator()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(x, estimator.predict(x))
        packages = ["mlflow", "scikit-learn"]
        mlflow.sklearn.save_model(estimator, folder / "model", signature=signature, pip_requirements=packages)
    body = json.dumps({"dataframe_split": {"columns": list(x), "data": ROW}}).encode()
    ours, theirs = free_port(), free_port()
    told = {"ATELIER_SERVE": "mlflow", "ATELIER_MODEL_PATH": str(folder / "model"), "AZUREML_MODEL_DIR": str(folder)}
    serve = ["models", "serve", "-m", str(folder / "model"), "--env-manager", "local", "--workers", "1"]
    program = [sys.executable, "-m", "mlflow", *serve, "--host", "127.0.0.1", "--port", str(theirs)]
    with (
        started([sys.executable, str(RUNNER), "--port", str(ours)], folder / "ours", **told) as one,
        started(program, folder / "theirs", PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}") as other,
    ):
        until(lambda: answers(f"http://127.0.0.1:{ours}/"), seconds=60)
        until(lambda: answers(f"http://127.0.0.1:{theirs}/ping"), seconds=60)
        yield Server(one.pid, ours, "/score", body), Server(other.pid, theirs, "/invocations", body)


def _estimator(*, is_named: bool = True) -> Any:
    """A logistic regression of ten columns, with what it was fitted on: a frame, or an array, which warns less."""
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    values = np.random.default_rng(1).normal(size=(500, WIDTH))
    x = pd.DataFrame(values, columns=[f"x{at}" for at in range(WIDTH)]) if is_named else values
    return LogisticRegression().fit(x, values.sum(axis=1) > 0), x


async def _callers(server: Server, count: int) -> None:
    await asyncio.gather(*(_caller(server, count // CALLERS) for _ in range(CALLERS)))


async def _caller(server: Server, count: int) -> None:
    head = f"POST {server.path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(server.body)}\r\n\r\n".encode() + server.body
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for _ in range(count):
        writer.write(request)
        answered = (await reader.readuntil(b"\r\n\r\n")).lower()
        assert b" 200 " in answered.splitlines()[0], answered
        size = next(line for line in answered.splitlines() if line.startswith(b"content-length:"))
        await reader.readexactly(int(size.partition(b":")[2]))
        if b"connection: close" in answered:
            writer.close()
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.close()


def _barest(port: int) -> None:
    """`run()` in the loop itself, nothing else."""
    import importlib.util

    import orjson
    import uvicorn

    spec = importlib.util.spec_from_file_location("score", Path(os.environ["AML_APP_ROOT"]) / "score.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.init()
    kind = (b"content-type", b"application/json")

    async def application(scope: Any, receive: Any, send: Any) -> None:
        body = b"{}"
        if scope["method"] == "POST":
            body = orjson.dumps(script.run(str((await receive())["body"], "utf-8")))
        headers = [kind, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    uvicorn.run(application, port=port, loop="uvloop", http="httptools", ws="none", lifespan="off", access_log=False)


if __name__ == "__main__":
    _barest(int(sys.argv[1]))
