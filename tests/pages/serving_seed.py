"""Endpoints as their worker and gateway would leave them, for the screens' tests: rows, replicas, requests, logs."""

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from services import deployments, endpoints, models, uploads
from services.core.states import ProvisioningState, ReplicaState
from services.core.times import now
from services.specs.code import Entry
from services.specs.deployments import OnlineDeployment
from services.specs.endpoints import OnlineEndpoint
from services.specs.models import Model
from services.store.requests import Record
from services.store.rows import Asset, Fact
from services.store.serving import Deployment, Endpoint, Replica
from services.studio import Scope
from tests.conftest import Stage

MLMODEL = """
flavors:
  python_function: {loader_module: mlflow.sklearn, python_version: 3.11.9, env: {conda: conda.yaml}}
  sklearn: {sklearn_version: 1.5.0, pickled_model: model.pkl}
mlflow_version: 2.9.2
saved_input_example_info: {artifact_path: input_example.json}
signature:
  inputs: >
    [{"name": "sepal length", "type": "double"}, {"name": "sepal width", "type": "double"},
     {"name": "petal_count", "type": "long"}, {"name": "garden", "type": "string", "required": false}]
  outputs: '[{"type": "long", "required": true}]'
"""
EXAMPLE = (
    '{"columns": ["sepal length", "sepal width", "petal_count", "garden"],'
    ' "data": [[5.1, 3.5, 4, "north"], [6.2, 2.9, 5, "south"]]}'
)
CONDA = "channels: [conda-forge]\ndependencies: [python=3.11, pip, {pip: [mlflow==2.9.2, scikit-learn==1.5.0]}]\n"
FILES = {
    "MLmodel": MLMODEL.encode(),
    "input_example.json": EXAMPLE.encode(),
    "conda.yaml": CONDA.encode(),
    "model.pkl": b"x",
}
LOG = (
    'Traceback (most recent call last):\n  File "/var/azureml-app/code/score.py", line 3, in init\n    import pandaz\n'
)


def sent(scope: Scope, kind: Any, files: dict[str, bytes]) -> str:
    """Its id, once all of it is there."""
    entries = [Entry(path, len(content), hashlib.sha256(content).hexdigest()) for path, content in files.items()]
    begun = uploads.begin(scope, kind, entries)
    for path, content in files.items() if not begun.complete else ():
        landing = uploads.landing(scope, begun.id, path)
        with landing.open() as target:
            target.write(content)
        landing.finish()
    if not begun.complete:
        uploads.seal(scope, begun.id)
    return begun.id


def model(scope: Scope, name: str = "iris", content: bytes = b"x") -> Asset:
    """An MLflow model with a signature and an example."""
    upload = sent(scope, "data", FILES | {"model.pkl": content})
    return models.create(scope, Model.model_validate({"name": name, "path": f"azureml://uploads/{upload}/"}))


def custom(scope: Scope, name: str = "forest") -> Asset:
    upload = sent(scope, "data", {"forest.pkl": b"x"})
    return models.create(scope, Model.model_validate({"name": name, "path": f"azureml://uploads/{upload}/forest.pkl"}))


def endpoint(scope: Scope, name: str = "flowers", **fields: Any) -> Endpoint:
    return endpoints.create(scope, OnlineEndpoint.model_validate({"name": name, **fields}))


def deployment(
    scope: Scope, place: str, name: str, *, model: str = "azureml:iris:1", state: str = "Succeeded", **fields: Any
) -> Deployment:
    """As it stands after the worker's work; one that Succeeded has a ready replica for each instance."""
    row = deployments.create(
        scope, place, OnlineDeployment.model_validate({"name": name, "endpoint_name": place, "model": model, **fields})
    )
    row.provisioning_state = ProvisioningState(state)
    if state == "Succeeded":
        row.serving_generation, row.cold_start_ms = row.generation, 2340
        for ordinal in range(row.instance_count):
            replica(scope, row, ordinal, "Ready")
    scope.session.add(row)
    scope.session.flush()
    return row


def replica(scope: Scope, row: Deployment, ordinal: int, state: str, **fields: Any) -> Replica:
    made = Replica(
        workspace_id=row.workspace_id,
        deployment_id=row.id,
        generation=row.generation,
        ordinal=ordinal,
        state=ReplicaState(state),
        started_at=now() - timedelta(minutes=12),
        ready_at=now() - timedelta(minutes=11) if state == "Ready" else None,
        **fields,
    )
    scope.session.add(made)
    scope.session.flush()
    return made


def failed(scope: Scope, place: str, name: str, **fields: Any) -> Deployment:
    """A deployment whose script cannot be imported, with the log that says so."""
    row = deployment(scope, place, name, state="Failed", **fields)
    row.reason, row.message = "UserScriptImportError", "The scoring script could not be imported."
    gone = replica(scope, row, 0, "Failed", exit_code=3)
    log = scope.studio.folders.replica(gone.id) / "user_logs" / "std_log.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(LOG + "<script>alert(1)</script>ModuleNotFoundError: No module named 'pandaz'\n", encoding="utf-8")
    scope.session.add(row)
    return row


def requests(scope: Scope, row: Endpoint, to: Deployment, count: int = 120, **fields: Any) -> None:
    """Answered within the last half minute, in 5 to 14 ms."""
    at = time.time()
    scope.studio.requests.write(
        [
            Record(
                at=at - 30 * place / count,
                workspace_id=row.workspace_id,
                endpoint_id=row.id,
                endpoint=row.name,
                deployment_id=to.id,
                deployment=to.name,
                total_ms=5.0 + place % 10,
                request_id=f"{place:08x}",
                **{"code": 200, **fields},
            )
            for place in range(count)
        ]
    )


def lived_in(stage: Stage) -> None:
    """Three endpoints: one with 90/10 and a mirror, one that failed, one that is empty."""
    with stage.scope() as scope:
        model(scope)
        model(scope, content=b"y")
        model(scope, "wine", content=b"z")
        custom(scope)
        flowers = endpoint(scope, description="Which iris is it?", tags={"team": "garden"})
        blue = deployment(scope, "flowers", "blue", instance_count=2)
        deployment(scope, "flowers", "green", model="azureml:iris:2")
        endpoints.update(scope, "flowers", traffic={"blue": 90, "green": 10}, mirror_traffic={"green": 20})
        endpoints.update(scope, "flowers", samples={"two irises": '{"input_data": [[5.1, 3.5, 4, "north"]]}'})
        requests(scope, flowers, blue)
        endpoint(scope, "broken", auth_mode="aml_token")
        failed(scope, "broken", "blue")
        endpoint(scope, "empty")
        endpoint(scope, "growing")
        grows = deployment(scope, "growing", "blue", state="Creating", instance_count=2)
        replica(scope, grows, 0, "Starting")
        replica(scope, grows, 1, "Creating")


@dataclass
class Gateway:
    """A gateway that answers with what it is told to: `answers` by deployment, the first one by traffic."""

    url: str = ""
    answers: dict[str, tuple[int, bytes]] = field(default_factory=lambda: {"blue": (200, b'{"predictions": [0, 2]}')})
    heard: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)


@contextmanager
def gateway(stage: Stage) -> Iterator[Gateway]:
    """One that listens, and that the studio knows of."""
    made = Gateway()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            made.heard.append((body, {name.lower(): value for name, value in self.headers.items()}))
            name = self.headers.get("azureml-model-deployment") or next(iter(made.answers))
            code, answer = made.answers.get(name, (404, json.dumps({"error": f"no {name}"}).encode()))
            self.send_response(code)
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("azureml-model-deployment", name)
            self.send_header("x-request-id", "r-1")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{listening.server_port}"
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    with stage.scope() as scope:
        scope.session.merge(Fact(name="scoring", value={"url": made.url, "port": listening.server_port}))
    yield made
    listening.shutdown()
    thread.join()
    listening.server_close()
