"""Endpoints and deployments as rows, for tests of the worker that brings them up."""

import http.server
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import col, select

from services import environments
from services.specs.environments import Environment
from services.store.rows import Event
from services.store.serving import Deployment, Endpoint, Replica
from tests.conftest import Stage
from tests.reconcile.conftest import Site, eventually

CUSTOM = {
    "liveness_route": {"path": "/live", "port": 8080},
    "readiness_route": {"path": "/ready", "port": 8080},
    "scoring_route": {"path": "/score", "port": 8080},
}


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = 200 if self.path not in self.server.broken else 503  # type: ignore[attr-defined]
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *words: Any) -> None:
        return


class Server(http.server.ThreadingHTTPServer):
    """Stands for the servers of all containers; whatever path is `broken` is answered 503."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.broken: set[str] = set()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


@dataclass
class Shop:
    """What the worker of a site makes true."""

    site: Site
    environment: str = ""
    names: dict[str, str] = field(default_factory=dict)

    @property
    def stage(self) -> Stage:
        return self.site.stage

    def environment_of(self, **fields: Any) -> str:
        spec = Environment.model_validate({"image": "python:3.11", **fields})
        with self.stage.scope() as scope:
            return environments.resolve(scope, spec).id

    def endpoint(self, name: str = "churn", **fields: Any) -> str:
        with self.stage.scope() as scope:
            row = Endpoint(workspace_id=scope.workspace_id, kind="online", name=name, folded=name, **fields)
            scope.session.add(row)
            self.names[name] = row.id
            return row.id

    def deploy(self, name: str = "blue", endpoint: str = "churn", *, server: str = "custom", **fields: Any) -> str:
        """Its id. By default of an image that brings its own server."""
        if endpoint not in self.names:
            self.endpoint(endpoint)
        written = fields.pop("spec", {})
        inference = {"inference_config": CUSTOM} if server == "custom" else {}
        usual = {
            "environment_id": fields.pop("environment_id", None) or self.environment_of(**inference),
            "resolved": {"server": server, "code_name": "src", "script": "score.py", **fields.pop("resolved", {})},
            "spec": {"type": "managed", "name": name, **written},
        }
        with self.stage.scope() as scope:
            row = Deployment(
                workspace_id=scope.workspace_id,
                endpoint_id=self.names[endpoint],
                kind="online",
                name=name,
                folded=name,
                **{**usual, **fields},
            )
            scope.session.add(row)
            return row.id

    def row(self, id_: str) -> Deployment:
        with self.stage.scope(write=False) as scope:
            found = scope.session.get(Deployment, id_)
            assert found is not None
            scope.session.expunge(found)
            return found

    def change(self, id_: str, **fields: Any) -> None:
        with self.stage.scope() as scope:
            row = scope.session.get(Deployment, id_)
            for name, value in fields.items():
                setattr(row, name, value)
            scope.session.add(row)

    def wish(self, endpoint: str = "churn", **fields: Any) -> None:
        with self.stage.scope() as scope:
            row = scope.session.get(Endpoint, self.names[endpoint])
            for name, value in fields.items():
                setattr(row, name, value)
            scope.session.add(row)

    def update(self, id_: str, **written: Any) -> None:
        """A new generation with another spec."""
        row = self.row(id_)
        self.change(
            id_,
            spec={**row.spec, **written},
            generation=row.generation + 1,
            provisioning_state="Updating" if row.serving_generation else "Creating",
            reason="",
            message="",
            build_id=None,
        )

    def replicas(self, id_: str, *states: str) -> list[Replica]:
        with self.stage.scope(write=False) as scope:
            statement = select(Replica).where(Replica.deployment_id == id_).order_by(col(Replica.created_at))
            rows = [row for row in scope.session.exec(statement) if not states or str(row.state) in states]
            scope.session.expunge_all()
            return rows

    def until(self, id_: str, *states: str, seconds: float = 30) -> Deployment:
        def has() -> bool:
            return str(self.row(id_).provisioning_state) in states

        try:
            eventually(has, f"it is one of {states}", seconds)
        except AssertionError as cause:
            row = self.row(id_)
            said = [f"{each.state} {each.message}" for each in self.replicas(id_)]
            raise AssertionError(f"{cause}: {row.provisioning_state} {row.reason} {row.message} {said}") from None
        return self.row(id_)

    def until_ready(self, id_: str, count: int = 1, *, seconds: float = 30) -> list[Replica]:
        eventually(lambda: len(self.replicas(id_, "Ready")) == count, f"{count} are ready", seconds)
        return self.replicas(id_, "Ready")

    def events(self, name: str = "churn/blue") -> Sequence[tuple[str, str]]:
        with self.stage.scope(write=False) as scope:
            rows = scope.session.exec(
                select(Event).where(Event.kind == "deployment", Event.name == name).order_by(col(Event.id))
            )
            return [(row.reason, row.message) for row in rows]

    def endpoint_row(self, name: str = "churn") -> Endpoint | None:
        with self.stage.scope(write=False) as scope:
            found = scope.session.get(Endpoint, self.names[name])
            if found is not None:
                scope.session.expunge(found)
            return found


def quick(**probe: Any) -> Mapping[str, Any]:
    return {"initial_delay": 0, "period": 1, "timeout": 1, "failure_threshold": 1, **probe}
