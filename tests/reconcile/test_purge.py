"""Purging: whatever ran and whatever was kept, nothing is left in the engine, on disk, in MLflow or in the tables."""

from collections.abc import Iterator

import pytest
from sqlalchemy import inspect, text

from app.worker import Worker, engine_for
from services import environments, jobs, workspaces
from services.core.errors import NotFound
from services.engines.docker import DockerEngine
from services.engines.tracking import HttpTracking
from services.specs.environments import Environment
from services.specs.workspaces import Workspace as WorkspaceSpec
from services.studio import mlflow_workspace
from tests.conftest import Stage, forget_install
from tests.reconcile.conftest import Site, eventually, working

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture
def site(lite: Stage, python_image: str, mlflow_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    lite.studio.settings.stop_grace, lite.studio.settings.engine = 2, "docker"
    engine, tracking = engine_for(lite.studio), HttpTracking(mlflow_server)
    monkeypatch.setattr(Worker, "tracking", lambda self: tracking)
    lite.studio.say("gateway", {"url": "http://host.docker.internal:9"})
    made = Site(lite, engine, tracking, Worker(lite.studio, engine))  # type: ignore[arg-type]
    thread = working(made.worker)
    yield made
    made.worker.stop()
    thread.join(timeout=30)
    assert isinstance(engine, DockerEngine)
    forget_install(engine)


def test_a_purged_workspace_leaves_nothing_anywhere(site: Site) -> None:
    stage, engine = site.stage, site.engine
    with stage.scope(workspace=None) as scope:
        workspaces.create(scope, WorkspaceSpec(name="kept"))
    with stage.scope() as scope:
        built = environments.create(
            scope,
            Environment.model_validate(
                {"name": "six", "image": "python:3.11", "conda_file": {"dependencies": ["six"]}}
            ),
        )
    ended = site.until(site.submit("echo out > outputs/a.txt", environment="azureml:six:1"), seconds=120)
    running = site.until(site.submit("sleep 600"), "Running", seconds=60)
    assert ended.run_id
    assert engine.image(environments.wish(stage.studio, built)) is not None  # type: ignore[attr-defined]

    with stage.scope() as scope:
        workspaces.delete(scope)
    eventually(lambda: _is_over(site, running.id), "deleting cancels what runs", seconds=60)
    with stage.scope(deleted=True) as scope:
        workspaces.purge(scope)
    eventually(lambda: not _rows(site, stage.lab.id), "the rows go last", seconds=60)

    client = engine.client  # type: ignore[attr-defined]
    mine = {"label": f"atelier.install={stage.studio.install}"}
    eventually(lambda: client.containers(all=True, filters=mine) == [], "no container is left", seconds=60)
    assert client.networks(filters=mine) == []
    assert (client.volumes(filters=mine)["Volumes"] or []) == []
    assert client.images(name=f"atelier/env-{stage.studio.install}") == []
    folders = stage.studio.folders
    assert not folders.workspace(stage.lab.id).exists()
    assert not list((folders.home / "runs").glob("*"))
    name = mlflow_workspace(stage.lab.id)
    assert not (folders.artifacts / "workspaces" / name).exists()
    with pytest.raises(NotFound):
        site.tracking.run(name, ended.run_id)  # type: ignore[arg-type]
    with stage.scope(workspace="kept", write=False) as scope:
        assert workspaces.get(scope).name == "kept"
    with stage.scope(workspace=None) as scope:
        assert workspaces.create(scope, WorkspaceSpec(name="lab")).id != stage.lab.id


def _is_over(site: Site, job_id: str) -> bool:
    with site.stage.studio.database.session(write=False) as session:
        row = session.get(jobs.Job, job_id)
        return row is not None and row.collected_at is not None


def _rows(site: Site, workspace_id: str) -> dict[str, int]:
    """Of every table that names workspaces, how many rows name this one."""
    found = {}
    with site.stage.studio.database.engine.connect() as connection:
        for table in inspect(connection).get_table_names():
            if "workspace_id" in {column["name"] for column in inspect(connection).get_columns(table)}:
                query = text(f'SELECT count(*) FROM "{table}" WHERE workspace_id = :id')  # noqa: S608 (names of our tables)
                found[table] = int(connection.execute(query, {"id": workspace_id}).scalar_one())
        found["workspace"] = int(
            connection.execute(text("SELECT count(*) FROM workspace WHERE id = :id"), {"id": workspace_id}).scalar_one()
        )
    return {table: count for table, count in found.items() if count}
