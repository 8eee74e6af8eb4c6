"""The cast and the stage: Ada owns, Ben works, Cleo looks, Dan is outside; on SQLite and on PostgreSQL."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from docker.errors import APIError
from filelock import FileLock

from services import workspaces
from services.core.errors import EngineError
from services.engines import tracking
from services.engines.containers import BuildWish
from services.engines.docker import DockerEngine
from services.specs.workspaces import Workspace as WorkspaceSpec
from services.store import migrate
from services.store.rows import Principal, RoleAssignment, Workspace
from services.studio import Scope, Settings, Studio

CENSUS = Path(__file__).parent.parent.parent / "shared" / "census"


@dataclass
class Stage:
    """A studio with one workspace, `lab`, and four people."""

    studio: Studio
    ada: Principal
    ben: Principal
    cleo: Principal
    dan: Principal
    lab: Workspace

    def scope(
        self, who: Principal | None = None, workspace: str | None = "lab", *, write: bool = True, deleted: bool = False
    ) -> AbstractContextManager[Scope]:
        return self.studio.scope(who or self.ada, workspace, write=write, deleted=deleted)


def make_stage(home: Path, database_url: str = "") -> Stage:
    """`home` is made; the database is empty or new."""
    home.mkdir(parents=True, exist_ok=True)
    studio = Studio(Settings(home=home, database_url=database_url))
    migrate.upgrade(studio.database)
    people = {name: Principal(name=name, display_name=name.title()) for name in ("ada", "ben", "cleo", "dan")}
    with studio.database.session(write=True) as session:
        session.add_all(people.values())
        session.add(RoleAssignment(principal_id=people["ada"].id, role="Owner", scope="/"))
    with studio.scope(people["ada"], write=True) as scope:
        lab = workspaces.create(scope, WorkspaceSpec(name="lab"))
        for name, role in (("ben", "AzureML Data Scientist"), ("cleo", "Reader")):
            scope.session.add(RoleAssignment(principal_id=people[name].id, role=role, scope=lab.id))
    return Stage(studio, **people, lab=lab)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """On both databases: whatever a noun promises, it promises on both."""
    url = request.getfixturevalue("new_postgres")() if request.param == "postgres" else ""
    made = make_stage(tmp_path / "home", url)
    yield made
    made.studio.close()


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Stage]:
    """On SQLite only, for what has nothing to do with the database."""
    made = make_stage(tmp_path / "home")
    yield made
    made.studio.close()


@pytest.fixture(scope="session")
def census() -> Path:
    """Examples from outside; skipped where the folder is absent."""
    if not CENSUS.is_dir():
        pytest.skip("the census of outside examples is not here")
    return CENSUS


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def new_postgres(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Callable[[], str]]:
    """Makes an empty database per call on a server of our own, one for each test process."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("PostgreSQL is not installed")
    programs_folder = programs[-1]
    root = Path("/tmp") / f"atelier-pg-{os.getpid()}-{worker_id}"  # short: socket paths have a limit
    root.mkdir()
    port = free_port()
    run = _as_postgres(root)
    run(
        [
            str(programs_folder / "initdb"),
            "-D",
            str(root / "data"),
            "-A",
            "trust",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "-N",
        ]
    )
    options = f"-p {port} -k {root} -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=300"
    control = [str(programs_folder / "pg_ctl"), "-D", str(root / "data"), "-l", str(root / "log"), "-w"]
    run([*control, "-o", options, "start"])

    def new() -> str:
        name = f"t{uuid.uuid4().hex}"
        with psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
        return f"postgresql://postgres@127.0.0.1:{port}/{name}"

    yield new
    run([*control, "-m", "immediate", "stop"])
    shutil.rmtree(root, ignore_errors=True)


def _as_postgres(root: Path) -> Callable[[list[str]], None]:
    """PostgreSQL refuses to run as root: then as the user that Debian's package made."""
    is_root = os.geteuid() == 0
    if is_root:
        shutil.chown(root, "postgres")
    prefix = ["runuser", "-u", "postgres", "--"] if is_root else []

    def run(command: list[str]) -> None:
        subprocess.run(
            [*prefix, *command], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=root, timeout=120
        )

    return run


@pytest.fixture(scope="session")
def docker() -> None:
    """Skips where no engine answers."""
    try:
        DockerEngine(install="probe", home=Path("/nonexistent")).info()
    except EngineError as cause:
        pytest.skip(f"no Docker engine: {cause}")


@pytest.fixture(scope="session")
def python_image(docker: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base image with Python 3.11 on the Docker engine; made once from this host's own packages."""
    home = tmp_path_factory.mktemp("base")
    engine = DockerEngine(install="probe", home=home)
    return engine.build(BuildWish(hash="base", base="atelier/python:3.11"), home / "log").reference


@pytest.fixture
def docker_engine(docker: None, tmp_path: Path) -> Iterator[DockerEngine]:
    """An install of its own on the Docker engine; nothing of it stays there."""
    home = tmp_path / "engine"
    home.mkdir()
    engine = DockerEngine(install=f"t{uuid.uuid4().hex[:8]}", home=home)
    yield engine
    forget_install(engine)


def forget_install(engine: DockerEngine) -> None:
    """Removes everything that carries the install's label, and the images it built."""
    client, mine = engine.client, {"label": f"atelier.install={engine.install}"}
    client.timeout = 300  # large images go slowly on a busy disk
    for found in client.containers(all=True, filters=mine):
        with suppress(APIError):  # somebody removes it already
            client.remove_container(found["Id"], force=True, v=True)
    for volume in client.volumes(filters=mine)["Volumes"] or ():
        client.remove_volume(volume["Name"], force=True)
    for network in client.networks(filters=mine):
        client.remove_network(network["Id"])
    shutil.rmtree(engine._farms("any").parent, ignore_errors=True)
    for image in client.images(name=f"atelier/env-{engine.install}"):
        client.remove_image(image["Id"], force=True)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """One folder for all parallel test processes of a run."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def once(shared_folder: Path) -> Callable[[str], FileLock]:
    """A lock among the parallel test processes of a run."""
    return lambda name: FileLock(shared_folder / f"{name}.lock")


@pytest.fixture(scope="session")
def mlflow_server(shared_folder: Path, once: Callable[[str], FileLock]) -> Iterator[str]:
    """One real MLflow server for all parallel test processes; each makes workspaces of its own."""
    note, users = shared_folder / "mlflow.json", shared_folder / "mlflow-users"
    users.mkdir(exist_ok=True)
    with once("mlflow"):
        (users / str(os.getpid())).touch()
        if not note.exists():
            home, port = shared_folder / "mlflow", free_port()
            home.mkdir()
            arguments, settings = tracking.command(home, port)
            with (home / "log").open("wb") as log:
                process = subprocess.Popen(
                    arguments, env={**os.environ, **settings}, stdout=log, stderr=log, start_new_session=True
                )
            client = tracking.HttpTracking(f"http://127.0.0.1:{port}")
            until = time.monotonic() + 240
            while not client.answers():
                assert process.poll() is None, (home / "log").read_text()[-2000:]
                if time.monotonic() > until:
                    os.killpg(process.pid, signal.SIGKILL)
                    pytest.fail("MLflow did not start")
                time.sleep(0.2)
            note.write_text(json.dumps({"url": client.url, "pid": process.pid}))
    said = json.loads(note.read_text())
    yield said["url"]
    with once("mlflow"):
        (users / str(os.getpid())).unlink()
        if not any(users.iterdir()):
            os.killpg(said["pid"], signal.SIGTERM)
            note.unlink()
            shutil.rmtree(shared_folder / "mlflow", ignore_errors=True)
