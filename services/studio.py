"""Settings, the studio they open, and the scope in which every question is asked."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import platformdirs
from pydantic import Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource
from sqlmodel import Session, select

from services.core import names
from services.core.errors import NotFound
from services.core.times import now
from services.store.database import Database
from services.store.history import History
from services.store.requests import Requests
from services.store.rows import Fact, Principal, RoleAssignment, Workspace


class Settings(BaseSettings):
    """Flag > environment (`ATELIER_*`) > `config.toml` in the home > default."""

    model_config = SettingsConfigDict(env_prefix="ATELIER_", extra="ignore")

    home: Path = Path(platformdirs.user_data_dir("atelier"))
    host: str = "127.0.0.1"
    port: int = Field(default=8501, ge=1, le=65_535)
    gateway_host: str = ""
    gateway_port: int = Field(default=0, ge=0, le=65_535)
    gateway_public_url: str = ""
    database_url: str = ""
    engine: Literal["auto", "docker", "process"] = "auto"
    profile: Literal["compat", "standard", "strict"] = "compat"
    behind_proxy: bool = False
    public_url: str = ""
    allowed_hosts: str = ""
    allowed_url_hosts: str = ""
    data_roots: str = ""
    parallel_starts: int = 0
    parallel_jobs: int = 0
    stop_grace: float = 30
    job_memory: str = ""
    native_metrics: bool = False
    thin_archived_after_days: int = Field(default=0, ge=0)
    smtp_url: str = ""
    smtp_from: str = ""
    log_level: str = "INFO"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        home = Path(init_settings().get("home") or env_settings().get("home") or platformdirs.user_data_dir("atelier"))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, home / "config.toml")

    @property
    def local_url(self) -> str:
        """Of the web process, as seen from this host."""
        host = "127.0.0.1" if self.host in {"", "0.0.0.0", "localhost"} else self.host  # noqa: S104 (compared, not bound)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def reached_at(self) -> str:
        """The studio's address for people."""
        return self.public_url.rstrip("/") or self.local_url

    @property
    def opened_roots(self) -> tuple[Path, ...]:
        """Folders of this machine below which datastores may be registered; none unless an admin says so."""
        return tuple(Path(path.strip()) for path in self.data_roots.split(",") if path.strip().startswith("/"))

    @property
    def url(self) -> str:
        """Of the database."""
        return self.database_url or f"sqlite:///{self.home / 'atelier.db'}"


@dataclass(frozen=True)
class Folders:
    """Where things lie below the home (DESIGN: everything of ours is in one place)."""

    home: Path

    @property
    def artifacts(self) -> Path:
        return self.home / "artifacts"

    @property
    def history(self) -> Path:
        return self.home / "history.db"

    @property
    def mlflow(self) -> Path:
        """MLflow's own database."""
        return self.home / "mlflow.db"

    @property
    def requests(self) -> Path:
        """What the gateway answered: requests, roll-ups, answers that differ."""
        return self.home / "requests.db"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def token(self) -> Path:
        """The local owner's CLI token, readable by the owner only."""
        return self.home / "token"

    def workspace(self, workspace_id: str) -> Path:
        return self.home / "workspaces" / workspace_id

    def datastore(self, workspace_id: str, name: str) -> Path:
        return self.workspace(workspace_id) / "datastores" / name

    def snapshot(self, workspace_id: str, snapshot_id: str) -> Path:
        """Immutable files, found by content. Never mounted writable."""
        return self.workspace(workspace_id) / "code" / snapshot_id

    def uploads(self, workspace_id: str) -> Path:
        return self.workspace(workspace_id) / "uploads"

    def build_log(self, workspace_id: str, build_id: str) -> Path:
        return self.workspace(workspace_id) / "builds" / f"{build_id}.log"

    def replica(self, replica_id: str) -> Path:
        """A container of a deployment: `user_logs`, `system_logs`, `changes`."""
        return self.home / "runs" / f"replica-{replica_id}"

    def run(self, job_id: str) -> Path:
        """A running attempt: `user_logs`, `system_logs`, `outputs`, `logs`, `changes`, `named/<output>`."""
        return self.home / "runs" / job_id


@dataclass
class Scope:
    """One transaction, one principal, at most one workspace, and what the principal may do there."""

    studio: "Studio"
    session: Session
    principal: Principal
    workspace: Workspace | None
    roles: frozenset[str]
    request_id: str = ""
    job_id: str | None = None
    cache: dict[str, Any] = field(default_factory=dict)

    @property
    def workspace_id(self) -> str:
        """Raises NotFound when no workspace was named: most nouns live in one."""
        if self.workspace is None:
            raise NotFound("No workspace was named.", hint="Name one with --workspace or choose one in the studio.")
        return self.workspace.id


class Studio:
    """Settings, folders and database; the same object serves web, worker, CLI and tests."""

    def __init__(self, settings: Settings) -> None:
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.settings = settings
        self.folders = Folders(settings.home)
        self.database = Database(settings.url)
        self.history = History(self.folders.history)
        self.requests = Requests(self.folders.requests)

    @cached_property
    def install(self) -> str:
        """Marks everything that this install starts; made once."""
        with self.database.session(write=True) as session:
            fact = session.get(Fact, "install")
            if fact is None:
                fact = Fact(name="install", value={"id": secrets.token_hex(4)})
                session.add(fact)
            return str(fact.value["id"])

    def fact(self, name: str) -> Fact | None:
        """What another process has said last."""
        with self.database.session(write=False) as session:
            found = session.get(Fact, name)
            if found is not None:
                session.expunge(found)
            return found

    def say(self, name: str, value: Mapping[str, Any]) -> None:
        """Tells the other processes."""
        with self.database.session(write=True) as session:
            session.merge(Fact(name=name, value=dict(value), at=now()))

    @contextmanager
    def scope(
        self,
        principal: Principal,
        workspace: str | None = None,
        *,
        write: bool = False,
        request_id: str = "",
        job_id: str | None = None,
        deleted: bool = False,
    ) -> Iterator[Scope]:
        """One transaction for `principal`, in the workspace of that name.

        Raises NotFound when there is no such workspace or the principal has no role in it; `deleted`
        also finds one that was deleted but not purged.
        """
        with self.database.session(write=write) as session:
            row = _workspace(session, workspace, deleted) if workspace is not None else None
            roles = _roles(session, principal, row)
            if workspace is not None and not roles:
                raise _hidden(workspace)  # in the words for one that is not there
            yield Scope(self, session, principal, row, roles, request_id or secrets.token_hex(8), job_id)

    def close(self) -> None:
        self.history.close()
        self.requests.close()
        self.database.close()


def _workspace(session: Session, name: str, deleted: bool) -> Workspace:
    row = session.exec(select(Workspace).where(Workspace.folded == names.folded(name))).one_or_none()
    if row is None or (row.deleted_at is not None and not deleted):
        raise _hidden(name)
    return row


def _hidden(name: str) -> NotFound:
    return NotFound(
        f"Workspace '{name[:80]}' was not found.", hint="'atelier workspace list' shows those you can open."
    )


def _roles(session: Session, principal: Principal, workspace: Workspace | None) -> frozenset[str]:
    if principal.kind == "system":
        return frozenset({"Owner"})
    rows = session.exec(
        select(RoleAssignment.role, RoleAssignment.scope).where(RoleAssignment.principal_id == principal.id)
    ).all()
    if workspace is None:
        return frozenset(role if scope == "/" else MEMBER for role, scope in rows)
    return frozenset(role for role, scope in rows if scope in {"/", workspace.id})


MEMBER = "Member"
"""Above all workspaces, of somebody who has a role in one of them: may ask for the list of their own."""

SYSTEM = Principal(id="system", name="atelier", display_name="Atelier", kind="system")
"""The worker and the supervisor themselves; has no token and no session."""


def run_root(studio: Studio, workspace_id: str, experiment_id: str, run_id: str) -> Path:
    """MLflow's artifact folder of a run: `artifacts/workspaces/<workspace>/<experiment>/<run>/artifacts`."""
    name = mlflow_workspace(workspace_id)
    return studio.folders.artifacts / "workspaces" / name / experiment_id / run_id / "artifacts"


def mlflow_workspace(workspace_id: str) -> str:
    """A studio workspace's name in MLflow; by id, because names can be given again after a purge."""
    return f"ws-{workspace_id}"


def labels(install: str, workspace_id: str, kind: str, name: str) -> Mapping[str, str]:
    """What everything we start carries; nothing without our install id is ever touched."""
    return {
        "atelier.install": install,
        "atelier.workspace": workspace_id,
        "atelier.kind": kind,
        "atelier.name": name,
    }
